"""Mistakes that operators make, and what the command line says of them."""

import contextlib
import re
import sqlite3
import time
from datetime import datetime, timedelta, timezone

import pytest

from harness import free_port, run, start_dev
from imports import import_material
from test_serve import Site


@pytest.fixture
def site(tmp_path):
    """A configuration of which nothing was made yet."""
    return Site(tmp_path / "site", tls=False)


def init(site, code=0):
    done = site.init(check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


@contextlib.contextmanager
def edit(data):
    """The store's file, while no server has it."""
    store = sqlite3.connect(data / "store.sqlite")
    try:
        yield store
        store.commit()
    finally:
        store.close()


# Configuration and files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"something else" * 100])
def test_a_file_that_is_no_store_is_left_alone(site, content):
    site.data.mkdir()
    file = site.data / "store.sqlite"
    file.write_bytes(content)
    said = init(site, 1)
    assert "is not a Claviger store" in said and "move it away" in said, said
    assert file.read_bytes() == content


def test_what_an_interrupted_init_left_is_removed(site):
    litter = site.data / ".new-6f9619ff8b86d011b42d00cf4fc964ff"
    kept = site.data / ".new-plans"
    litter.mkdir(parents=True)
    kept.mkdir()
    (litter / "store.sqlite").write_bytes(b"half")
    init(site)
    assert not litter.exists() and kept.exists()
    assert {path.name for path in site.data.iterdir() if path.name.startswith(".new")} == {kept.name}


def test_a_passphrase_file_that_cannot_be_used(site):
    passphrase = site.directory / "passphrase"
    site.config.write_text(site.config.read_text().replace('environment = "TEST_PASSPHRASE"', 'file = "passphrase"'))
    assert "put it there, or correct [seal]" in init(site, 1)
    passphrase.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in init(site, 1)
    passphrase.unlink()
    passphrase.mkdir()
    assert "has to name a file" in init(site, 1)


def test_wrong_roots_of_attestation_name_their_setting(site):
    init(site)
    site.write(tls=False, more='[attestation]\nroots = ["root.pem"]\n')
    root = site.directory / "root.pem"
    for content in (None, b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"):
        if content:
            root.write_bytes(content)
        done = site.serve()
        assert done.returncode == 2 and "attestation.roots: " in done.stderr, done.stderr
        assert not re.search(r"\[\d+, \d+", done.stderr), "bytes are no text"


def test_a_wrong_address_says_what_is_expected(site):
    done = run("dev", "--listen", "9911", check=False)
    assert done.returncode == 2 and "127.0.0.1:9911" in done.stderr, done.stderr


def test_dev_tells_where_it_is_in_words_of_the_shell(tmp_path):
    data = tmp_path / "with space" / "dev"
    data.parent.mkdir()
    server = start_dev(data)
    try:
        assert f"source '{data}/dev.env'\n" in server.log.read_text()
    finally:
        assert server.stop() == 0
    (data / "seal.key").unlink()
    done = run("dev", "--data", data, "--listen", f"127.0.0.1:{free_port()}", check=False)
    assert done.returncode == 1 and "seal.key" in done.stderr and "remove the whole directory" in done.stderr, done.stderr


# TLS ----------------------------------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_connection(server, tmp_path):
    def said(environment, endpoint=None):
        done = server.run("status", *(["--endpoint", endpoint] if endpoint else []), check=False, environment=environment)
        assert done.returncode == 1, done.stderr
        return done.stderr

    text = said({}, server.endpoint.replace("http://", "https://"))
    assert "does not speak TLS" in text and server.endpoint in text, text
    bundle = tmp_path / "ca.pem"
    for content in (b"nothing", b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        bundle.write_bytes(content)
        text = said({"AWS_CA_BUNDLE": str(bundle)}, server.endpoint.replace("http://", "https://"))
        assert str(bundle) in text and not re.search(r"\[\d+, \d+|Error|Bad", text), text


def test_a_name_that_the_certificate_has_not(tmp_path):
    site = Site(tmp_path / "site")
    site.write(listen=f"127.0.0.2:{site.port}")
    site.init()
    server = site.start()
    try:
        environment = {"AWS_CA_BUNDLE": str(site.authority.file), "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"}
        done = run("status", "--endpoint", f"https://127.0.0.2:{site.port}", environment=environment, check=False)
        assert done.returncode == 1 and "as its certificate does" in done.stderr, done.stderr
    finally:
        assert server.stop() == 0


# The audit log ------------------------------------------------------------------------------------------------------------------


def test_a_node_that_has_no_log_is_named(server):
    done = run("audit", "tail", "--data", server.data, "--node", "nope", check=False)
    assert done.returncode == 2 and "there is no log of node nope; there are: dev" in done.stderr, done.stderr
    assert done.stdout == ""


def test_a_key_or_a_checkpoint_of_another_log_is_no_tampering(server, tmp_path):
    other = start_dev(tmp_path / "other")
    assert other.stop() == 0
    key = (other.data / "audit-dev.vkey").read_text().strip()
    for command in (["verify"], ["export", tmp_path / "export"]):
        done = run("audit", *command, "--data", server.data, "--vkey", key, check=False)
        assert done.returncode == 2 and "belongs to another log" in done.stderr and "NOT SOUND" not in done.stdout, done.stderr
    run("audit", "export", tmp_path / "theirs", "--data", other.data)
    done = run("audit", "verify", "--data", server.data, "--checkpoint", tmp_path / "theirs" / "checkpoint", check=False)
    assert done.returncode == 2 and "is a checkpoint of another log" in done.stderr, done.stderr


def test_a_log_whose_end_was_cut_off_is_not_gone_on_with(site):
    init(site)
    assert site.start("http").stop() == 0
    with edit(site.data) as store:
        (size,) = store.execute("SELECT size FROM audit_heads").fetchone()
        store.execute("DELETE FROM audit_bundles WHERE first = (SELECT MAX(first) FROM audit_bundles)")
    done = site.serve(timeout=60)
    assert done.returncode == 1 and f"tells of {size} entries" in done.stderr and "claviger audit verify" in done.stderr, done.stderr
    told = run("audit", "tail", "--config", site.config)
    assert f"to {size - 1} are missing" in told.stderr, told.stderr
    assert run("audit", "verify", "--config", site.config, check=False).returncode == 1
    # What looks at the store goes on looking.
    done = run("store", "verify", "--config", site.config, environment=site.environment, check=False)
    assert done.returncode == 1 and "is not sound" in done.stdout, done.stdout


def test_a_gap_in_the_log_is_named(site):
    init(site)
    assert site.start("http").stop() == 0
    server = site.start("http")
    for _ in range(3):
        run("status", "--endpoint", server.endpoint, environment={"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"}, check=False)
    assert server.stop() == 0
    with edit(site.data) as store:
        (first, count) = store.execute("SELECT first, count FROM audit_bundles ORDER BY first LIMIT 1 OFFSET 1").fetchone()
        store.execute("DELETE FROM audit_bundles WHERE first = ?", (first,))
    told = run("audit", "tail", "--config", site.config)
    assert f"the entries {first} to {first + count - 1} are missing" in told.stderr, told.stderr
    shown = [int(line.split()[0]) for line in told.stdout.splitlines()]
    assert shown[0] == 0 and first + count in shown and not set(shown) & set(range(first, first + count)), told.stdout


# The log of the server ----------------------------------------------------------------------------------------------------------


def test_a_tampered_record_does_not_flood_the_log(tmp_path):
    data = tmp_path / "dev"
    server = start_dev(data)
    kms = server.kms()
    key = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    expires = datetime.now(timezone.utc) + timedelta(seconds=2)
    import_material(kms, key, b"x" * 32, ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=expires)
    assert server.stop() == 0
    with edit(data) as store:
        (sealed,) = store.execute("SELECT sealed FROM records WHERE kind = 'key'").fetchone()
        store.execute("UPDATE records SET sealed = ? WHERE kind = 'key'", (sealed[:-1] + bytes([sealed[-1] ^ 1]),))
    time.sleep(2)
    assert complaints(data, "could not be handled") == 1
    # A row of which nothing can be read is met before any key is.
    with edit(data) as store:
        store.execute("UPDATE records SET sealed = 'text' WHERE kind = 'key'")
    assert complaints(data, "Text where bytes belong") == 1


def complaints(data, text):
    """How often a server says this while it meets with it five times."""
    server = start_dev(data)
    time.sleep(5)
    assert server.stop() == 0
    return server.log.read_text().count(text)
