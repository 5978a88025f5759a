"""Backups: consistent beside a running server, restored elsewhere with any seal, and drilled; and the rotation of the root key."""

import json
import random
import re
import signal
import threading
import time

import pytest

from harness import run
from test_seals import OTHER, Sealed

SEED = random.randrange(2**32)


@pytest.fixture
def site(tmp_path):
    site = Sealed(tmp_path / "site")
    site.init()
    site.serve_it()
    yield site
    if site.server.process.poll() is None:
        assert site.server.stop() == 0, site.server.log.read_text()


@pytest.fixture
def office(site):
    """A second seal, which the configuration does not name."""
    file = site.directory / "office"
    file.write_text(OTHER)
    file.chmod(0o600)
    site.server.run("seal", "add", "office", "--passphrase-file", file)
    return file


def backup(site, file, *arguments, **settings):
    return run("backup", file, "--config", site.config, *arguments, environment=site.environment, **settings)


def some_ciphertexts(server, count=3):
    made = []
    for _ in range(count):
        root = server.create_account()
        key = server.kms(root).create_key()["KeyMetadata"]["KeyId"]
        made.append((root, server.kms(root).encrypt(KeyId=key, Plaintext=b"precious")["CiphertextBlob"]))
    return made


def still_opens(server, made):
    return all(server.kms(root).decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious" for root, blob in made)


def test_a_backup_of_a_busy_server_is_restored_elsewhere_with_any_seal(site, office):
    server = site.server
    made = some_ciphertexts(server)
    root, _ = made[0]
    halt = threading.Event()

    def write():
        client = server.kms(root)
        while not halt.is_set():
            client.create_key()

    writer = threading.Thread(target=write)
    writer.start()
    file = site.directory / "nightly.backup"
    try:
        done = backup(site, file)
    finally:
        halt.set()
        writer.join()
    assert file.stat().st_mode & 0o777 == 0o600 and "backup" in done.stdout
    assert not list(site.directory.glob(".claviger-*")), "nothing is left beside it"
    content = file.read_bytes()
    assert root.account.encode() not in content and b"access-key" not in content, "clear columns are encrypted too"
    assert backup(site, file, check=False).returncode == 1, "a backup is not written over"
    assert still_opens(server, made)
    assert server.stop() == 0

    # Another machine: a new directory, another configuration, and the other seal.
    other = Sealed(site.directory / "other")
    other.config.write_text(
        other.config.read_text().replace('environment = "TEST_PASSPHRASE"', f'name = "office"\nfile = "{office}"').replace("node-1", "node-2")
    )
    done = run("restore", file, "--config", other.config)
    assert "is restored" in done.stdout and "NEW NAME" in done.stderr
    assert run("restore", file, "--config", other.config, check=False).returncode == 1, "nothing is written over"
    other.administrator = site.administrator
    restored = other.serve_it()
    try:
        assert still_opens(restored, made)
        verified = run("store", "verify", "--config", other.config)
        assert "Everything fits" in verified.stdout
    finally:
        assert restored.stop() == 0


def test_a_drill_decrypts_a_canary_of_every_account(site, office):
    made = some_ciphertexts(site.server, 2)
    file = site.directory / "nightly.backup"
    backup(site, file)
    before = set(site.directory.iterdir())
    for how in (["--config", site.config], ["--passphrase-file", f"office={office}"]):
        done = run("restore", "--drill", file, *how, environment=site.environment if "--config" in how else None)
        for account in ["000000000000", *(root.account for root, _ in made)]:
            assert f"ok       account {account}: its canary was decrypted" in done.stdout
        assert "Everything fits" in done.stdout
    assert set(site.directory.iterdir()) == before
    wrong = site.directory / "wrong"
    wrong.write_text("wrong")
    wrong.chmod(0o600)
    done = run("restore", "--drill", file, "--passphrase-file", f"office={wrong}", check=False)
    assert done.returncode == 1 and "the passphrase is wrong" in done.stderr
    done = run("restore", "--drill", file, check=False)
    assert done.returncode == 2 and "office (passphrase)" in done.stderr, "without a seal it is told which there are"
    content = bytearray(file.read_bytes())
    for place in (3, 40, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        damaged = site.directory / f"damaged-{place}"
        damaged.write_bytes(changed)
        done = run("restore", "--drill", damaged, "--config", site.config, environment=site.environment, check=False)
        assert done.returncode != 0, place
    cut = site.directory / "cut"
    cut.write_bytes(content[: len(content) // 2])
    done = run("restore", cut, "--data", site.directory / "new", "--config", site.config, environment=site.environment, check=False)
    assert done.returncode == 1 and not (site.directory / "new" / "store.sqlite").exists()


def told_backups(site):
    """The ids of the backups that the audit log tells of."""
    done = run("audit", "tail", "--json", "--config", site.config, environment=site.environment)
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    return [entry["serviceEventDetails"]["backup"] for entry in entries if entry["eventName"] == "CreateBackup"]


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_audit_log_tells_of_each_backup(site, tmp_path):
    def make(name):
        said = backup(site, tmp_path / name).stdout
        return re.search(r"backup ([0-9a-f-]{36}) is in", said)[1]

    first = make("first")
    wait_until(lambda: told_backups(site) == [first])
    assert site.server.stop() == 0
    second = make("second")
    assert told_backups(site) == [first], "nobody writes the log now"
    site.serve_it()
    wait_until(lambda: told_backups(site) == [first, second])
    assert not list((site.data / "notices").iterdir())
    assert "nothing was altered" in run("audit", "verify", "--config", site.config, environment=site.environment).stdout
    # Without a notice there is no backup.
    (site.data / "notices").rmdir()
    (site.data / "notices").write_text("in the way")
    refused = backup(site, tmp_path / "third", check=False)
    assert refused.returncode == 1 and "notice" in refused.stderr and not (tmp_path / "third").exists()


def test_a_stopped_deployment_is_backed_up_too(site, office):
    made = some_ciphertexts(site.server, 1)
    assert site.server.stop() == 0
    file = site.directory / "cold.backup"
    done = run("backup", file, "--config", site.config, "--passphrase-file", f"office={office}")
    assert done.returncode == 0
    assert made[0][0].account in run("restore", "--drill", file, "--passphrase-file", f"office={office}").stdout


def test_the_root_key_is_rotated_and_needs_every_seal(site, office):
    server = site.server
    made = some_ciphertexts(server)
    old = site.directory / "old.backup"
    backup(site, old)
    done = server.run("root", "rotate", check=False)
    assert done.returncode == 1 and '"office"' in done.stderr, "the seal whose secret is missing is named"
    done = server.run("root", "rotate", "--passphrase-file", f"office={office}", "--json")
    status = server.admin("root", "status")
    assert (status["Version"], status["OldVersions"], status["AccountKeysLeft"]) == (2, [], 0)
    assert still_opens(server, made)
    new = site.directory / "new.backup"
    backup(site, new)
    for file in (old, new):
        run("restore", "--drill", file, "--passphrase-file", f"office={office}")
    server.run("seal", "remove", "office")
    done = run("restore", "--drill", new, "--passphrase-file", f"office={office}")
    assert done.returncode == 0, "a backup opens with the seals of its time"
    assert server.stop() == 0
    site.serve_it()
    assert still_opens(site.server, made)
    assert "Everything fits" in run("store", "verify", "--config", site.config, environment=site.environment).stdout


def test_kill_9_during_a_rotation_loses_nothing(site):
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    made = some_ciphertexts(site.server, 2)
    for number in range(60):
        site.server.run("account", "create", f"tenant {number}")
    version = 1
    for _ in range(4):
        done = site.server.run("root", "rotate", "--no-wait", check=False)
        version += done.returncode == 0
        time.sleep(dice.uniform(0, 1.3))
        site.server.process.send_signal(signal.SIGKILL)
        site.server.process.wait()
        site.serve_it()
        assert still_opens(site.server, made), f"seed {SEED}"
    deadline = time.monotonic() + 30
    while (status := site.server.admin("root", "status"))["OldVersions"]:
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    assert status["Version"] == version and status["AccountKeysLeft"] == 0, f"seed {SEED}"
    assert still_opens(site.server, made)
    assert site.server.stop() == 0
    verified = run("store", "verify", "--config", site.config, environment=site.environment)
    assert re.search(r"Everything fits", verified.stdout), verified.stdout
    audit = run("audit", "verify", "--config", site.config, environment=site.environment, check=False)
    assert audit.returncode == 0, audit.stdout + audit.stderr
