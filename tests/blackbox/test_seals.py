"""Seals: several at once, added and removed while the server runs, tried without restarting it."""

import contextlib
import json
import secrets
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import boto3
import botocore.config
import botocore.exceptions
import pytest

from harness import BINARY, CLEAN_ENVIRONMENT, Server, run
from test_serve import PASSPHRASE, Site

OTHER = "a second passphrase, kept elsewhere"


class Sealed(Site):
    """A deployment whose configuration names more than one seal."""

    def serve_it(self):
        self.server = self.start()
        self.server.environment |= self.administrator | {
            "CLAVIGER_ENDPOINT": self.server.endpoint,
            "AWS_CA_BUNDLE": str(self.authority.file),
            "AWS_REGION": "us-east-1",
        }
        return self.server

    def init(self, **settings):
        done = super().init(**settings)
        self.administrator = dict(line.split("=", 1) for line in done.stdout.splitlines())
        return done


@pytest.fixture
def site(tmp_path):
    site = Sealed(tmp_path / "site")
    site.init()
    site.serve_it()
    yield site
    if site.server.process.poll() is None:
        assert site.server.stop() == 0, site.server.log.read_text()


def names(server):
    return [seal["Name"] for seal in server.admin("seal", "list")["Seals"]]


def outcomes(server, *arguments):
    done = server.run("seal", "verify", *arguments, "--json", check=False)
    return done.returncode, {seal["Name"]: seal["Outcome"] for seal in json.loads(done.stdout)["Seals"]}


def test_a_seal_that_is_added_opens_the_deployment_when_the_first_is_lost(site):
    server = site.server
    key = server.kms(root := server.create_account()).create_key()["KeyMetadata"]["KeyId"]
    blob = server.kms(root).encrypt(KeyId=key, Plaintext=b"precious")["CiphertextBlob"]
    other = site.directory / "other"
    other.write_text(OTHER + "\n")
    other.chmod(0o600)
    server.run("seal", "add", "office", "--passphrase-file", other)
    assert names(server) == ["passphrase", "office"]
    assert server.kms(root).decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious", "the server has gone on"
    assert outcomes(server) == (1, {"passphrase": "opens", "office": "not-tried"}), "the configuration does not name it yet"
    assert outcomes(server, "--passphrase-file", f"office={other}") == (0, {"passphrase": "opens", "office": "opens"})
    assert server.stop() == 0

    # The first passphrase is forgotten; the configuration names both.
    text = site.config.read_text().replace("[seal.passphrase]\n", "[[seal.passphrase]]\n")
    text += f'[[seal.passphrase]]\nname = "office"\nfile = "{other}"\n'
    site.config.write_text(text)
    site.environment["TEST_PASSPHRASE"] = "forgotten"
    server = site.serve_it()
    log = server.log.read_text()
    assert "A CONFIGURED SEAL DOES NOT OPEN" in log and "the passphrase is wrong" in log, "never a silent fall-through"
    assert server.kms(root).decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious"
    doctor = run("doctor", "--config", site.config, environment=site.environment, check=False)
    assert doctor.returncode == 1 and "the seal passphrase DOES NOT OPEN" in doctor.stdout
    assert "the seal office opens the deployment" in doctor.stdout
    assert outcomes(server) == (1, {"passphrase": "fails", "office": "opens"})
    verified = run("store", "verify", "--config", site.config, environment=site.environment)
    assert "Everything fits" in verified.stdout and "the seal passphrase does not open" in verified.stderr

    server.run("seal", "remove", "passphrase")
    done = server.run("seal", "remove", "office", check=False)
    assert done.returncode == 1 and "last seal" in done.stderr
    assert names(server) == ["office"] or names(server) == ["office", "passphrase"], "one in use"
    assert outcomes(server, "office") == (0, {"office": "opens"})
    for secret in (OTHER, "forgotten"):
        assert secret not in server.log.read_text()


def test_a_server_of_which_no_seal_opens_names_each(site):
    site.server.stop()
    text = site.config.read_text().replace("[seal.passphrase]\n", "[[seal.passphrase]]\n")
    site.config.write_text(text + '[seal.development_file]\npath = "nowhere.key"\n')
    site.environment["TEST_PASSPHRASE"] = "wrong"
    done = site.serve()
    assert done.returncode == 1
    assert "the passphrase is wrong" in done.stderr and "nowhere.key" in done.stderr, done.stderr


def test_a_development_seal_can_be_added_and_is_warned_of(site):
    server = site.server
    seal = site.directory / "seal.key"
    server.run("seal", "add", "development-file", "--development-file", seal)
    assert seal.stat().st_mode & 0o777 == 0o600 and seal.stat().st_size == 32
    assert outcomes(server, "development-file", "--key-file", f"development-file={seal}") == (0, {"development-file": "opens"})
    done = server.run("seal", "add", "development-file", "--development-file", seal, check=False)
    assert done.returncode == 1 and "already" in done.stderr
    for wrong in (["seal", "add", "Bad_Name", "--development-file", seal], ["seal", "remove", "nothing"], ["seal", "verify", "nothing"]):
        assert server.run(*wrong, check=False).returncode == 1, wrong
    root = server.create_account()
    tenant = {"CLAVIGER_ADMIN_ACCESS_KEY_ID": root.credentials.access_key, "CLAVIGER_ADMIN_SECRET_ACCESS_KEY": root.credentials.secret}
    for command in (["list"], ["verify"], ["remove", "passphrase"], ["add", "mine", "--development-file", seal]):
        done = server.run("seal", *command, check=False, environment=tenant)
        assert done.returncode == 1 and "AccessDenied" in done.stderr, command


# Shares ----------------------------------------------------------------------------------------------------------------------


class Shared(Sealed):
    """A deployment that three of five people open together, and nobody else."""

    def write(self, *arguments, **settings):
        super().write(*arguments, **settings)
        text = self.config.read_text().replace('[seal.passphrase]\nenvironment = "TEST_PASSPHRASE"\n', "[seal.shares]\n")
        self.config.write_text(text)

    def init(self):
        self.shares_at = self.directory / "shares"
        self.shares_at.mkdir(mode=0o700)
        arguments = ["--seal", "shares", "--threshold", "3", "--shares", "5", "--share-directory", self.shares_at]
        done = run("init", "--config", self.config, *arguments)
        self.administrator = dict(line.split("=", 1) for line in done.stdout.splitlines())
        return done

    def share(self, number):
        return self.shares_at / f"shares-share-{number}.txt"

    def serve_sealed(self):
        """Starts the server, and waits until it says that it is sealed."""
        self.server = start_sealed(self)
        self.server.environment |= self.administrator | {
            "CLAVIGER_ENDPOINT": self.server.endpoint,
            "AWS_CA_BUNDLE": str(self.authority.file),
            "AWS_REGION": "us-east-1",
        }
        return self.server

    def unseal(self, *arguments, **settings):
        return self.server.run("unseal", *arguments, **settings)

    def until_ready(self):
        deadline = time.monotonic() + 30
        while self.server.http("/readyz")[0] != 200:
            assert time.monotonic() < deadline, self.server.log.read_text()
            time.sleep(0.05)


def start_sealed(site):
    """Starts a server that does not get ready."""
    log = site.data.with_name(f"sealed-{secrets.token_hex(3)}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(BINARY), "serve", "--config", str(site.config)],
            env=CLEAN_ENVIRONMENT | site.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(
        process, f"https://127.0.0.1:{site.port}", f"http://127.0.0.1:{site.watch_port}", site.data, log, dict(site.environment),
        ca=str(site.authority.file),
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            if server.http("/readyz")[0] == 503:
                return server
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def plain_client(server, service, attempts):
    """A client that does not hold answers against the model: there AWS KMS has no error for a whole service that is not there, as 503 says."""
    return boto3.client(
        service,
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="x" * 40,
        verify=server.ca,
        config=botocore.config.Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
    )


@pytest.fixture
def shared(tmp_path):
    site = Shared(tmp_path / "site")
    site.init()
    site.serve_sealed()
    yield site
    assert site.server.stop() == 0, site.server.log.read_text()


def test_a_sealed_server_says_what_it_waits_for_and_refuses_so_that_clients_try_again(shared):
    server = shared.server
    assert server.http("/healthz") == (200, "alive\n")
    status, body = server.http("/readyz")
    seal = next(check for check in json.loads(body)["checks"] if check["name"] == "seal")
    assert status == 503 and "claviger unseal" in seal["problem"] and "seal shares" in seal["problem"], body
    assert "claviger_sealed 1" in server.http("/metrics")[1]
    assert "THE SERVER IS SEALED" in server.log.read_text()
    for client, call in (("kms", "list_keys"), ("sts", "get_caller_identity")):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            getattr(plain_client(server, client, attempts=1), call)()
        answer = refused.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 503
        assert answer["Error"]["Code"] == {"kms": "KMSInternalException", "sts": "ServiceUnavailable"}[client]
        assert "sealed" in answer["Error"]["Message"]
    retrying = plain_client(server, "kms", attempts=3)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        retrying.list_keys()
    assert refused.value.response["ResponseMetadata"]["RetryAttempts"] == 2, "SDKs try again"
    done = server.run("status", check=False)
    assert done.returncode == 1 and "sealed" in done.stderr


def test_three_people_open_the_server_one_after_another(shared):
    server, first = shared.server, shared.share(2)
    assert first.stat().st_mode & 0o777 == 0o600 and len(list(shared.shares_at.iterdir())) == 5
    assert "1 of 3 shares" in shared.unseal("--share", first).stdout
    assert "1 of 3 shares" in shared.unseal("--share", first).stdout, "the same share counts once"
    mistyped = shared.directory / "mistyped"
    lines = shared.share(3).read_text().splitlines()
    lines[-2] = ("b" if lines[-2][0] == "a" else "a") + lines[-2][1:]
    mistyped.write_text("\n".join(lines))
    done = shared.unseal("--share", mistyped, check=False)
    assert done.returncode == 1 and "line 3 of the share is mistyped" in done.stderr
    other = Shared(shared.directory / "other")
    other.init()
    done = shared.unseal("--share", other.share(1), check=False)
    assert done.returncode == 1 and "is of set" in done.stderr
    assert "2 of 3 shares" in shared.unseal("--share", "-", stdin=shared.share(5).read_text()).stdout
    assert "2 of 3 shares are here" in shared.unseal("--status").stdout
    assert "2 of 3 shares are here" in server.http("/readyz")[1]
    assert "opened the deployment" in shared.unseal("--share", shared.share(1)).stdout
    shared.until_ready()
    assert "claviger_sealed 0" in server.http("/metrics")[1]
    root = server.create_account()
    key = server.kms(root).create_key()["KeyMetadata"]["KeyId"]
    blob = server.kms(root).encrypt(KeyId=key, Plaintext=b"precious")["CiphertextBlob"]
    done = shared.unseal("--share", shared.share(1), check=False)
    assert done.returncode == 1 and "open already" in done.stderr

    # Everything is sealed again after a restart, and opens with three others.
    assert server.stop() == 0
    server = shared.serve_sealed()
    for number in (3, 4, 5):
        shared.unseal("--share", shared.share(number))
    shared.until_ready()
    assert server.kms(root).decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious"
    # The log tells who opened it, and none of the shares is anywhere.
    assert server.stop() == 0
    shared.serve_sealed()
    for number in (1, 2, 3):
        shared.unseal("--share", shared.share(number))
    shared.until_ready()
    words = [line for number in range(1, 6) for line in shared.share(number).read_text().splitlines() if not line.startswith("#")]
    for log in shared.directory.glob("*.log"):
        assert not any(word in log.read_text() for word in words)
    assert not any(word.encode() in (shared.data / "store.sqlite").read_bytes() for word in words)


def test_the_audit_log_tells_how_the_server_was_opened(shared):
    office = shared.directory / "office"
    office.write_text(OTHER)
    office.chmod(0o600)
    for number in (1, 2, 4):
        shared.unseal("--share", shared.share(number))
    shared.until_ready()
    shared.server.run("seal", "add", "office", "--passphrase-file", office)
    assert shared.server.stop() == 0
    shared.config.write_text(shared.config.read_text() + f'[seal.passphrase]\nname = "office"\nfile = "{office}"\n')
    tail = run("audit", "tail", "--config", shared.config, "--json").stdout
    event = next(entry for entry in map(json.loads, tail.splitlines()) if entry["eventName"] == "UnsealDeployment")
    details = event["serviceEventDetails"]
    assert details["by"] == "shares" and [brought["share"] for brought in details["brought"]] == [1, 2, 4]
    assert {brought["from"] for brought in details["brought"]} == {"127.0.0.1"}
    # The server starts by itself now: the second seal opens.
    shared.server = shared.start()
    assert "the deployment was opened by a seal" in shared.server.log.read_text()


def test_a_share_is_verified_without_the_others(shared):
    for number in range(1, 6):
        done = run("seal", "verify-share", shared.share(number))
        assert f"share {number} of set" in done.stdout and "3 shares of its set" in done.stdout
        done = run("seal", "verify-share", shared.share(number), "--config", shared.config)
        assert "which is the seal shares of this deployment" in done.stdout
    other = Shared(shared.directory / "other")
    other.init()
    assert run("seal", "verify-share", other.share(1)).returncode == 0, "it is whole"
    done = run("seal", "verify-share", other.share(1), "--config", shared.config, check=False)
    assert done.returncode == 1 and "is of set" in done.stderr, "but not one of this deployment's"
    done = run("seal", "verify-share", shared.config, check=False)
    assert done.returncode == 1 and "this is not a share" in done.stderr


def test_shares_are_added_to_a_running_server_and_tried(site):
    server, directory = site.server, site.directory / "shares"
    directory.mkdir()
    server.run("seal", "add", "board", "--shares", "3", "--threshold", "2", "--share-directory", directory)
    files = sorted(directory.iterdir())
    assert len(files) == 3
    given = [argument for file in files[1:] for argument in ("--share", f"board={file}")]
    assert outcomes(server, "board", *given) == (0, {"board": "opens"})
    assert outcomes(server, "board", *given[:2]) == (1, {"board": "fails"})
    printed = server.run("seal", "add", "other", "--shares", "2", "--threshold", "2").stdout
    assert printed.count("# Claviger: share") == 2
    assert names(server) == ["passphrase", "board", "other"]


def test_a_passphrase_is_typed_to_a_server_without_a_terminal(site):
    assert site.server.stop() == 0
    site.config.write_text(site.config.read_text().replace('environment = "TEST_PASSPHRASE"', "prompt = true"))
    server = site.server = start_sealed(site)
    assert "whoever knows its passphrase" in server.http("/readyz")[1]

    def offer(**body):
        request = urllib.request.Request(
            f"{server.endpoint}/unseal", json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=server.ca), timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    assert offer(passphrase="wrong")[0] == 400
    assert "wrong" in offer(passphrase="wrong", seal="passphrase")[1]["message"]
    assert offer(passphrase="x", seal="nothing")[0] == 400 and offer(share="x")[0] == 400 and offer(more="x")[0] == 400
    assert offer(passphrase=PASSPHRASE) == (
        200, {"message": "the seal passphrase opened the deployment: the server begins to serve", "seal": "passphrase", "sealed": False}
    )
    deadline = time.monotonic() + 30
    while server.http("/readyz")[0] != 200:
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.05)
    assert offer(passphrase=PASSPHRASE)[0] == 409


def test_guessing_is_slowed_down(site):
    assert site.server.stop() == 0
    site.config.write_text(site.config.read_text().replace('environment = "TEST_PASSPHRASE"', "prompt = true"))
    server = site.server = start_sealed(site)
    wire = ssl.create_default_context(cafile=server.ca)
    codes = []
    for _ in range(40):
        request = urllib.request.Request(f"{server.endpoint}/unseal", b'{"share": "guess"}')
        try:
            urllib.request.urlopen(request, context=wire, timeout=30)
        except urllib.error.HTTPError as error:
            codes.append(error.code)
    assert codes[0] == 400 and 429 in codes and set(codes) == {400, 429}, codes
