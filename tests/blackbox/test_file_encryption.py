"""`claviger encrypt` and `claviger decrypt`: files of any size under a key."""

import os
import stat

import pytest

from harness import alias_name, run


@pytest.mark.parametrize("size", [0, 1, 100, 65_535, 65_536, 65_537, 1_048_576, 5_000_000])
def test_round_trip(server, key_id, tmp_path, size):
    content = os.urandom(size)
    plain = tmp_path / "letter.txt"
    plain.write_bytes(content)
    server.run("encrypt", plain, "--key", key_id)
    sealed = tmp_path / "letter.txt.claviger"
    assert size < sealed.stat().st_size < size + 1024 + size // 1000
    if size >= 16:
        assert content[:16] not in sealed.read_bytes()
    plain.unlink()
    server.run("decrypt", sealed)
    assert plain.read_bytes() == content


def test_by_alias_and_to_named_files(server, kms, key_id, tmp_path):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    plain, sealed, opened = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    plain.write_bytes(b"content")
    server.run("encrypt", plain, "--key", alias, "--output", sealed)
    server.run("decrypt", sealed, "--key", alias, "--output", opened)
    assert opened.read_bytes() == b"content"
    assert stat.S_IMODE(opened.stat().st_mode) & 0o077 == 0 or stat.S_IMODE(plain.stat().st_mode) & 0o077 != 0


def test_through_pipes(server, key_id):
    content = os.urandom(300_000)
    sealed = run("encrypt", "-", "--key", key_id, "--output", "-", environment=server.environment, stdin=content, binary=True).stdout
    assert content[:32] not in sealed
    assert run("decrypt", "-", "--output", "-", environment=server.environment, stdin=sealed, binary=True).stdout == content


def test_two_files_never_look_the_same(server, key_id, tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"x" * 1000)
    for name in ("one", "two"):
        server.run("encrypt", plain, "--key", key_id, "--output", tmp_path / name)
    assert (tmp_path / "one").read_bytes()[-900:] != (tmp_path / "two").read_bytes()[-900:]


def test_every_part_is_authenticated(server, key_id, tmp_path):
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(os.urandom(200_000))
    server.run("encrypt", plain, "--key", key_id, "--output", sealed)
    content = sealed.read_bytes()
    chunk = 65_536
    damaged = {
        "cut short by a byte": content[:-1],
        "cut short by a chunk": content[: -(chunk + 16)],
        "cut to its header": content[:300],
        "empty": b"",
        "longer": content + b"\0",
        "a bit in the first byte": bytes([content[0] ^ 1]) + content[1:],
        "a bit in the header": content[:60] + bytes([content[60] ^ 1]) + content[61:],
        "a bit in the middle": content[:100_000] + bytes([content[100_000] ^ 1]) + content[100_001:],
        "a bit in the last byte": content[:-1] + bytes([content[-1] ^ 1]),
        "chunks swapped": content[:-140_000] + content[-70_000:] + content[-140_000:-70_000],
    }
    for name, bad in damaged.items():
        (tmp_path / "bad").write_bytes(bad)
        target = tmp_path / "opened"
        done = server.run("decrypt", tmp_path / "bad", "--output", target, check=False)
        assert done.returncode == 1, name
        assert done.stderr.startswith("claviger: "), name
        assert not target.exists(), f"{name}: something was left behind"


def test_another_key_is_refused(server, kms, key_id, tmp_path):
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(b"content")
    server.run("encrypt", plain, "--key", key_id, "--output", sealed)
    done = server.run("decrypt", sealed, "--key", other, "--output", tmp_path / "x", check=False)
    assert done.returncode == 1 and "another key" in done.stderr


def test_nothing_is_overwritten(server, key_id, tmp_path):
    plain, sealed = tmp_path / "plain", tmp_path / "plain.claviger"
    plain.write_bytes(b"content")
    sealed.write_bytes(b"precious")
    done = server.run("encrypt", plain, "--key", key_id, check=False)
    assert done.returncode != 0 and sealed.read_bytes() == b"precious"
    server.run("encrypt", plain, "--key", key_id, "--force")
    assert sealed.read_bytes() != b"precious"
    plain.write_bytes(b"newer")
    done = server.run("decrypt", sealed, check=False)
    assert done.returncode != 0 and plain.read_bytes() == b"newer"


def test_problems_are_told_to_people(server, kms, key_id, tmp_path):
    done = server.run("encrypt", tmp_path / "missing", "--key", key_id, check=False)
    assert done.returncode != 0 and "missing" in done.stderr
    plain = tmp_path / "plain"
    plain.write_bytes(b"content")
    done = server.run("encrypt", plain, "--key", "alias/no-such-alias", check=False)
    assert done.returncode == 1 and "NotFoundException" in done.stderr
    assert not (tmp_path / "plain.claviger").exists()
    kms.disable_key(KeyId=key_id)
    done = server.run("encrypt", plain, "--key", key_id, check=False)
    assert done.returncode == 1 and "is disabled" in done.stderr
    done = server.run("decrypt", plain, "--output", tmp_path / "x", check=False)
    assert done.returncode == 1
    done = run("encrypt", plain, "--key", key_id, check=False)
    assert done.returncode == 2, "without a server and credentials it is used wrongly"
