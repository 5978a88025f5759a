"""PKCS#11 tokens, with SoftHSM2: what the command line says of them, and what a server does whose token is killed, pulled, or not there."""

import json
import re
import time
import uuid

import pytest

from softhsm import PIN, Site, SoftHsm


@pytest.fixture(scope="module")
def hsm(tmp_path_factory):
    return SoftHsm(tmp_path_factory.mktemp("hsm") / "hsm", "one", "two")


@pytest.fixture(scope="module")
def site(hsm, tmp_path_factory):
    """A deployment with two tokens."""
    return Site(tmp_path_factory.mktemp("site") / "site", hsm.table("one") + hsm.table("two"))


@pytest.fixture(scope="module")
def served(site):
    server = site.start()
    yield server
    assert server.stop() == 0, server.log.read_text()


def eventually(condition, seconds=20):
    """Waits until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.05)


def readiness(server):
    status, body = server.http("/readyz")
    return status, json.loads(body)


def test_tokens_are_listed_with_what_they_can_do(site):
    said = site.run("token", "list").stdout
    assert "one: open" in said and "two: open" in said, said
    assert re.search(r"abilities +AES-GCM.*RSASSA-PSS.*ECDSA", said), said


def test_a_check_makes_uses_and_destroys_a_key(site, hsm):
    said = site.run("token", "check").stdout
    assert [line.split()[:2] for line in said.splitlines()] == [["ok", "one:"], ["ok", "two:"]]
    assert "no keys" in site.run("token", "keys", "one").stderr
    assert "Key" not in hsm.pkcs11_tool("one", "--list-objects")


def test_keys_of_others_are_shown(site, hsm):
    hsm.pkcs11_tool("two", "--keygen", "--key-type", "AES:32", "--label", "theirs", "--id", "a1b2", "--sensitive")
    said = site.run("token", "keys", "two").stdout
    assert re.search(r"^AES-256 +id a1b2 +label theirs +never left the token$", said, re.MULTILINE), said


def test_what_is_wrong_with_a_token_is_said(hsm, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("0000")
    more = hsm.table("one").replace(str(hsm.pin_file), str(wrong)) + hsm.table("nobody")
    site = Site(tmp_path / "site", more)
    done = site.run("token", "check", check=False)
    assert done.returncode == 1
    assert "WRONG  one: token one: the token refused the PIN" in done.stdout
    assert re.search(r'WRONG  nobody: .*no token that is labelled "nobody"; it shows .*"one"', done.stdout), done.stdout
    assert "0000" not in done.stdout + done.stderr
    done = site.run("token", "check", "three", check=False)
    assert (done.returncode, "there are: nobody, one" in done.stderr) == (2, True), done.stderr


def test_a_server_opens_its_tokens_and_says_so(served, hsm):
    eventually(lambda: readiness(served)[1]["degraded"] == [])
    assert len(hsm.hosts()) == 2
    status, metrics = served.http("/metrics")
    assert status == 200 and 'claviger_token_up{token="one"} 1' in metrics


def test_neither_pin_nor_passphrase_is_where_others_look(served, hsm):
    for process in hsm.hosts():
        with open(f"/proc/{process}/cmdline", "rb") as cmdline, open(f"/proc/{process}/environ", "rb") as environment:
            seen = cmdline.read() + environment.read()
        assert PIN.encode() not in seen and b"TEST_PASSPHRASE" not in seen
    assert PIN not in served.log.read_text()


def test_a_killed_host_is_started_again(served, hsm):
    killed = hsm.kill_hosts()
    eventually(lambda: len(hsm.hosts()) == 2 and not set(hsm.hosts()) & set(killed))
    eventually(lambda: readiness(served)[1]["degraded"] == [])
    assert served.log.read_text().count("the token's host process ended") >= 2


def test_a_pulled_token_degrades_but_the_server_stays_ready(served, hsm):
    away = hsm.directory / "away"
    before = served.log.read_text().count("token is down")
    hsm.tokens.rename(away)
    hsm.tokens.mkdir()
    try:
        gone = lambda: {found["what"] for found in readiness(served)[1]["degraded"] if "no token" in found["problem"]}
        eventually(lambda: gone() == {"token one", "token two"})
        status, said = readiness(served)
        assert (status, said["ready"]) == (200, True)
        time.sleep(2)
        # One line for each token's change, not one for each try.
        assert served.log.read_text().count("token is down") == before + 2
        assert "claviger_token_up{token=\"one\"} 0" in served.http("/metrics")[1]
    finally:
        hsm.tokens.rmdir()
        away.rename(hsm.tokens)
    eventually(lambda: readiness(served)[1]["degraded"] == [])


def test_the_doctor_looks_at_tokens(site, served):
    said = site.run("doctor", check=False).stdout
    assert "ok       the token one opens: SoftHSM project SoftHSM v2" in said, said


def test_the_doctor_finds_what_no_key_stands_for(site, served, hsm):
    lost = uuid.uuid4()
    hsm.pkcs11_tool("one", "--keygen", "--key-type", "AES:32", "--label", f"claviger {lost}", "--id", lost.hex, "--sensitive")
    try:
        said = site.run("doctor", check=False).stdout
        assert f'warning  the token one holds the key "claviger {lost}"' in said and lost.hex in said, said
    finally:
        hsm.pkcs11_tool("one", "--delete-object", "--type", "secrkey", "--id", lost.hex)
    assert "holds the key" not in site.run("doctor", check=False).stdout


def test_hosts_end_with_their_server(hsm, tmp_path):
    site = Site(tmp_path / "site", hsm.table("one"))
    before = set(hsm.hosts())
    server = site.start()
    eventually(lambda: set(hsm.hosts()) - before)
    mine = set(hsm.hosts()) - before
    server.process.kill()
    server.process.wait()
    eventually(lambda: not mine & set(hsm.hosts()))

