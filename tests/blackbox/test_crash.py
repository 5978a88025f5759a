"""What was acknowledged survives `kill -9`.

Writers create keys, encrypt, rotate, disable, enable, alias and schedule deletions, while the server is killed at random moments and
started again. Afterwards: nothing acknowledged is missing, every ciphertext ever returned opens, the audit log verifies, the store holds
what the log tells, and the log has exactly one entry for each acknowledged request.

Rounds: CLAVIGER_CRASH_ROUNDS (50 by default; any number by hand). Seed: CLAVIGER_CRASH_SEED.
"""

import collections
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import boto3
import botocore.exceptions
from botocore.config import Config

ROUNDS = int(os.environ.get("CLAVIGER_CRASH_ROUNDS", "50"))
SEED = int(os.environ.get("CLAVIGER_CRASH_SEED", "0")) or random.randrange(1, 2**32)
WRITERS = 6
ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("CLAVIGER_BINARY", ROOT / "target/debug/claviger"))


class Server:
    """One server process after another on the same store and port."""

    def __init__(self, data):
        self.data = data
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None

    def start(self):
        with open(self.data.parent / "server.log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [BINARY, "dev", "--data", self.data, "--listen", f"127.0.0.1:{self.port}"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server ended by itself with {self.process.returncode}"
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=0.2):
                    if (self.data / "dev.env").exists():
                        return
            except OSError:
                pass
            time.sleep(0.01)
        raise AssertionError("the server did not come up within 30 s")

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0

    def client(self):
        environment = {}
        for line in (self.data / "dev.env").read_text().splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                environment[name] = value
        return boto3.client(
            "kms",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            # One attempt for one call: a repeated request would be another request.
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10),
        )


class Key:
    """What one writer was told about one of its keys. Only that writer changes it, one request after the other."""

    def __init__(self, metadata):
        self.id = metadata["KeyId"]
        self.states = {"Enabled"}  # more than one when the last change was not answered
        self.rotations = 0
        self.rotations_max = 0
        self.aliases = set()
        self.ciphertexts = []


class Writer(threading.Thread):
    def __init__(self, client, seed):
        super().__init__()
        self.client = client
        self.random = random.Random(seed)
        self.keys = []
        self.acknowledged = []  # (request id, operation)
        self.halt = threading.Event()
        self.strange = []

    def call(self, operation, **parameters):
        """The answer, or None when there was none because the server died."""
        method = getattr(self.client, operation)
        try:
            answer = method(**parameters)
        except botocore.exceptions.ClientError as error:
            self.acknowledged.append((error.response["ResponseMetadata"]["RequestId"], operation))
            self.strange.append(f"{operation} {parameters}: {error}")
            return None
        except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError, botocore.exceptions.ClientError):
            self.halt.wait(0.02)
            return None
        self.acknowledged.append((answer["ResponseMetadata"]["RequestId"], operation))
        return answer

    def run(self):
        while not self.halt.is_set():
            try:
                self.step()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must hear of it
                self.strange.append(f"{type(error).__name__}: {error}")
                return

    def step(self):
        certain = [key for key in self.keys if key.states == {"Enabled"}]
        if not certain or self.random.random() < 0.25:
            answer = self.call("create_key")
            if answer:
                self.keys.append(Key(answer["KeyMetadata"]))
            return
        key = self.random.choice(certain)
        action = self.random.choices(
            ["encrypt", "rotate", "disable", "delete", "alias"], weights=[6, 2, 1, 1, 1]
        )[0]
        getattr(self, action)(key)

    def encrypt(self, key):
        plaintext = self.random.randbytes(32)
        answer = self.call("encrypt", KeyId=key.id, Plaintext=plaintext)
        if answer:
            key.ciphertexts.append((answer["CiphertextBlob"], plaintext))

    def rotate(self, key):
        if key.rotations_max >= 25:
            return
        key.rotations_max += 1
        if self.call("rotate_key_on_demand", KeyId=key.id):
            key.rotations += 1

    def disable(self, key):
        key.states = {"Enabled", "Disabled"}
        if self.call("disable_key", KeyId=key.id) is None:
            return
        key.states = {"Disabled", "Enabled"}
        if self.random.random() < 0.5:
            key.states = {"Disabled"}
        elif self.call("enable_key", KeyId=key.id) is not None:
            key.states = {"Enabled"}

    def delete(self, key):
        key.states = {"Enabled", "PendingDeletion"}
        if self.call("schedule_key_deletion", KeyId=key.id, PendingWindowInDays=7) is not None:
            key.states = {"PendingDeletion"}

    def alias(self, key):
        name = f"alias/crash-{self.random.randrange(2**64):x}"
        if self.call("create_alias", AliasName=name, TargetKeyId=key.id) is not None:
            key.aliases.add(name)


def claviger(*arguments):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


def check_keys(client, writers):
    """Every key is as it was acknowledged, and every ciphertext opens."""
    names = {}
    for page in client.get_paginator("list_aliases").paginate():
        names.update({alias["AliasName"]: alias["TargetKeyId"] for alias in page["Aliases"]})
    ciphertexts = 0
    for key in (key for writer in writers for key in writer.keys):
        metadata = client.describe_key(KeyId=key.id)["KeyMetadata"]
        assert metadata["KeyState"] in key.states, key.id
        rotations = client.list_key_rotations(KeyId=key.id)["Rotations"]
        assert key.rotations <= len(rotations) <= key.rotations_max, key.id
        assert all(names.get(name) == key.id for name in key.aliases), key.id
        if metadata["KeyState"] == "PendingDeletion":
            client.cancel_key_deletion(KeyId=key.id)
        if metadata["KeyState"] != "Enabled":
            client.enable_key(KeyId=key.id)
        for blob, plaintext in key.ciphertexts:
            assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext
            ciphertexts += 1
    return ciphertexts


def check_log(data, acknowledged):
    verified = claviger("audit", "verify", "--data", data)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    stored = claviger("store", "verify", "--data", data)
    assert stored.returncode == 0, stored.stdout + stored.stderr
    export = data.parent / "export"
    exported = claviger("audit", "export", "--data", data, export)
    assert exported.returncode == 0, exported.stderr
    counted = collections.Counter(entry["requestID"] for entry in entries_of(export) if entry.get("eventType") == "AwsApiCall")
    missing = [(request, operation) for request, operation in acknowledged if counted[request] != 1]
    assert not missing, f"{len(missing)} acknowledged requests without exactly one entry, first: {missing[:3]}"
    return sum(counted.values())


def entries_of(export):
    """The entries in an exported log: bundles of 16-bit length and bytes (C2SP tlog-tiles)."""
    for path in sorted((export / "tile" / "entries").rglob("*"), key=str):
        if path.is_dir():
            continue
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 2], "big")
            yield json.loads(data[at + 2 : at + 2 + length])
            at += 2 + length


def test_kill_9_loses_nothing(tmp_path):
    print(f"seed {SEED}, {ROUNDS} rounds")
    dice = random.Random(SEED)
    server = Server(tmp_path / "data")
    server.start()
    writers = [Writer(server.client(), dice.random()) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(ROUNDS):
            time.sleep(dice.uniform(0.05, 0.6))
            server.kill()
            server.start()
        time.sleep(0.3)
    finally:
        for writer in writers:
            writer.halt.set()
        for writer in writers:
            writer.join()
    strange = [line for writer in writers for line in writer.strange]
    assert not strange, f"seed {SEED}: {strange[:5]}"
    acknowledged = [answered for writer in writers for answered in writer.acknowledged]
    keys = sum(len(writer.keys) for writer in writers)
    assert keys >= ROUNDS and len(acknowledged) >= 10 * ROUNDS, "the writers hardly got to write"
    ciphertexts = check_keys(server.client(), writers)
    server.stop()
    entries = check_log(server.data, acknowledged)
    print(f"{len(acknowledged)} acknowledged requests, {entries} entries, {keys} keys, {ciphertexts} ciphertexts: nothing is missing")
