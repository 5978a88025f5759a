"""What somebody does to the store's file while the server is away, and what `store verify` and `audit verify` say of it."""

import contextlib
import hashlib
import json
import re
import sqlite3
import struct

import pytest

from harness import refused, run, start_dev


@pytest.fixture
def scene(tmp_path):
    """A deployment in which a key was disabled, and the row as it was before."""
    server = start_dev(tmp_path / "data")
    kms = server.kms()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    with edit(server.data) as store:
        before = store.execute("SELECT * FROM records WHERE kind = 'key' AND id LIKE ?", ("%" + key,)).fetchone()
    kms.disable_key(KeyId=key)
    with refused("DisabledException"):
        kms.encrypt(KeyId=key, Plaintext=b"x")
    server.stop()
    verifier_key = (server.data / "audit-dev.vkey").read_text().strip()
    return server.data, before, verifier_key


@contextlib.contextmanager
def edit(data):
    """The store's file, for reading and changing."""
    store = sqlite3.connect(data / "store.sqlite")
    store.row_factory = sqlite3.Row
    try:
        yield store
        store.commit()
    finally:
        store.close()


def verified(what, data, *more):
    done = run(what, "verify", "--data", data, *more, check=False)
    return done.returncode == 0, done.stdout


def put(store, row):
    store.execute(f"INSERT OR REPLACE INTO records VALUES ({','.join('?' * len(row))})", tuple(row))


def test_nothing_was_done(scene):
    data, _, key = scene
    assert verified("store", data)[0]
    for more in ([], ["--vkey", key], ["--node", "dev"], ["--vkey", key, "--every-signature"]):
        assert verified("audit", data, *more)[0]


@pytest.mark.parametrize("name", ["aa", "zz", "../../etc/x", "\u202enode\u001b[31m"])
def test_an_invented_log_does_not_hide_a_rollback(scene, name):
    data, before, key = scene
    changes = [
        {
            "account": f"{before['account']:012}",
            "id": before["id"],
            "kind": before["kind"],
            "version": before["version"],
            "sha256": hashlib.sha256(before["sealed"]).hexdigest()[:32],
        }
    ]
    entry = json.dumps({"claviger": {"changes": changes, "timeMs": 9 * 10**15}}).encode()
    bundle = b"\x01" + struct.pack(">I", 1) + bytes(32) + struct.pack(">H", len(entry)) + entry
    with edit(data) as store:
        put(store, before)
    clean, told = verified("store", data)
    rolled_back = f"is at version {before['version']}; the log has it at version {before['version'] + 1}"
    assert not clean and rolled_back in told

    with edit(data) as store:
        store.execute("INSERT INTO audit_bundles (node, first, count, checkpoint, data) VALUES (?, 0, 1, '', ?)", (name, bundle))
    for head in (False, True):
        if head:
            with edit(data) as store:
                store.execute("INSERT INTO audit_heads (node, size, checkpoint, frontier) VALUES (?, 1, '', x'')", (name,))
        clean, told = verified("store", data)
        assert not clean and rolled_back in told and "this deployment has no such node" in told, told
        for more in ([], ["--vkey", key]):
            sound, told = verified("audit", data, *more)
            assert not sound, told
            assert re.search(r"^sound ", told, re.MULTILINE) and re.search(r"^NOT SOUND$", told, re.MULTILINE), told
            assert "\u202e" not in told and "\u001b" not in told
        # Whoever names a node hears that there is another one.
        done = run("audit", "verify", "--data", data, "--node", "dev")
        assert "was not verified, because of --node" in done.stderr


def test_a_log_that_was_taken_away_is_not_sound(scene):
    data, _, key = scene
    with edit(data) as store:
        head = store.execute("SELECT * FROM audit_heads").fetchone()
        store.execute("DELETE FROM audit_bundles")
        store.execute("DELETE FROM audit_heads")
    for more in ([], ["--vkey", key]):
        sound, told = verified("audit", data, *more)
        assert not sound and "it has no entries" in told and "keeps no head" in told, told
    with edit(data) as store:
        store.execute("INSERT INTO audit_heads VALUES (?, ?, ?, ?)", tuple(head))
    sound, told = verified("audit", data)
    assert not sound and "it has no entries" in told and f"speaks of {head['size']} entries" in told, told


def test_bundles_without_a_head_are_not_sound(scene):
    data, _, _ = scene
    with edit(data) as store:
        store.execute("DELETE FROM audit_heads")
    sound, told = verified("audit", data)
    assert not sound and "keeps no head" in told and "it has no entries" not in told, told


def test_a_checkpoint_of_another_log_is_none_of_this_one(scene, tmp_path):
    data, _, _ = scene
    kept = tmp_path / "checkpoint"
    with edit(data) as store:
        kept.write_text(store.execute("SELECT checkpoint FROM audit_heads").fetchone()[0])
    assert verified("audit", data, "--checkpoint", kept)[0]
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join(["claviger.3f2b8a52-0000-4000-8000-000000000000/dev", *lines[1:]]) + "\n")
    assert not verified("audit", data, "--checkpoint", kept)[0]
