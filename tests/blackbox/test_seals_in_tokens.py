"""Seals in a PKCS#11 token, with SoftHSM2: the key never leaves it, a server waits for a token that is not there, and the PIN is nowhere."""

import http.client
import re
import shutil
import ssl
import time

import pytest

from harness import run
from softhsm import PIN, SoftHsm
from test_seals import Sealed, outcomes, start_sealed


@pytest.fixture
def hsm(tmp_path):
    return SoftHsm(tmp_path / "hsm", "vault")


class InToken(Sealed):
    """A deployment that a key in a token opens, and nothing else."""

    def __init__(self, directory, hsm):
        self.hsm = hsm
        super().__init__(directory)

    def write(self, *arguments, **settings):
        super().write(*arguments, **settings)
        text = self.config.read_text().replace('[seal.passphrase]\nenvironment = "TEST_PASSPHRASE"\n', table(self.hsm))
        self.config.write_text(text)


def table(hsm, key="claviger root"):
    return (
        f'[seal.pkcs11]\nlibrary = "{hsm.library}"\ntoken = "vault"\nkey = "{key}"\npin.file = "{hsm.pin_file}"\n'
        f'environment = {{ SOFTHSM2_CONF = "{hsm.configuration}" }}\n'
    )


def make(site, *arguments, **settings):
    done = run("init", "--config", site.config, "--seal", "pkcs11", *arguments, **settings)
    site.administrator = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return done


def in_use(server):
    root = server.create_account()
    key = server.kms(root).create_key()["KeyMetadata"]["KeyId"]
    blob = server.kms(root).encrypt(KeyId=key, Plaintext=b"precious")["CiphertextBlob"]
    return lambda: server.kms(root).decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious", root, blob


def told(site, method, path):
    """What a server says to anybody."""
    context = ssl.create_default_context(cafile=str(site.authority.file))
    connection = http.client.HTTPSConnection("localhost", site.port, timeout=30, context=context)
    connection.request(method, path, b"{}" if method == "POST" else None)
    return connection.getresponse().read().decode()


def test_the_root_key_is_wrapped_by_a_key_that_never_leaves_the_token(tmp_path, hsm):
    site = InToken(tmp_path / "site", hsm)
    done = make(site, check=False)
    assert done.returncode == 1 and "--generate" in done.stderr, "a key is not made unasked"
    make(site, "--generate")
    objects = hsm.pkcs11_tool("vault", "--list-objects")
    assert re.search(r"Secret Key Object; AES length 32\s+label: +claviger root", objects), objects
    assert "sensitive" in objects and "never extractable" in objects and "local" in objects, objects
    site.environment["AWS_SECRET_ACCESS_KEY"] = "nothing for a vendor's library"
    server = site.serve_it()
    try:
        works, root, blob = in_use(server)
        assert works() and outcomes(server) == (0, {"pkcs11": "opens"})
        assert server.admin("seal", "list")["Seals"] == [{"Name": "pkcs11", "Kind": "pkcs11", "Configured": True, "InUse": True}]
        for process in hsm.hosts():
            with open(f"/proc/{process}/cmdline", "rb") as cmdline, open(f"/proc/{process}/environ", "rb") as environment:
                shown = cmdline.read() + environment.read()
                assert PIN.encode() not in shown and b"nothing for a vendor" not in shown
        server.run("root", "rotate")
        assert works()
        doctor = run("doctor", "--config", site.config, check=False)
        assert "the seal pkcs11 opens the deployment" in doctor.stdout, doctor.stdout
        assert "Everything fits" in run("store", "verify", "--config", site.config).stdout
    finally:
        assert server.stop() == 0, server.log.read_text()
    site.serve_it()
    try:
        assert site.server.kms(root).decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious", "it opens again with the token alone"
    finally:
        assert site.server.stop() == 0
    assert PIN not in site.server.log.read_text() and PIN.encode() not in (site.data / "store.sqlite").read_bytes()


def test_a_server_waits_for_its_token_and_serves_once_it_is_back(tmp_path, hsm):
    site = InToken(tmp_path / "site", hsm)
    make(site, "--generate")
    away = tmp_path / "away"
    shutil.move(hsm.tokens, away)
    hsm.tokens.mkdir()
    server = site.server = start_sealed(site)
    try:
        assert "the token has to answer again" in server.http("/readyz")[1]
        reason = "the library shows no token"
        assert reason in server.http("/readyz")[1] and reason in server.log.read_text(), "the operator is told why"
        for method, path in (("POST", "/"), ("GET", "/unseal")):
            answer = told(site, method, path)
            assert "the token has to answer again" in answer and reason not in answer, "and others are not"
        shutil.rmtree(hsm.tokens)
        shutil.move(away, hsm.tokens)
        deadline = time.monotonic() + 60
        while server.http("/readyz")[0] != 200:
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.2)
    finally:
        assert server.stop() == 0, server.log.read_text()


def test_a_wrong_pin_and_a_lost_key_are_named(tmp_path, hsm):
    site = InToken(tmp_path / "site", hsm)
    make(site, "--generate")
    hsm.pin_file.write_text("99999999")
    done = run("serve", "--config", site.config, check=False)
    assert done.returncode == 1 and "PIN" in done.stderr and "99999999" not in done.stderr, done.stderr
    hsm.pin_file.write_text(PIN)
    site.serve_it()
    assert site.server.stop() == 0, "the token was not locked"


def test_a_token_is_added_to_a_running_server_also_with_an_rsa_key(tmp_path, hsm):
    hsm.pkcs11_tool("vault", "--keypairgen", "--key-type", "rsa:2048", "--label", "theirs", "--id", "0a", "--usage-decrypt")
    site = Sealed(tmp_path / "site")
    site.init()
    server = site.serve_it()
    try:
        works, root, blob = in_use(server)
        given = ["--library", hsm.library, "--token", "vault", "--pin-file", hsm.pin_file]
        environment = {"SOFTHSM2_CONF": str(hsm.configuration)}
        server.run("seal", "add", "hsm", *given, "--key", "theirs", environment=environment)
        done = server.run("seal", "add", "other", *given, "--key", "nothing", check=False, environment=environment)
        assert done.returncode == 1 and "--generate" in done.stderr
        assert works()
    finally:
        assert server.stop() == 0
    # The passphrase is lost: the token opens.
    site.environment["TEST_PASSPHRASE"] = "forgotten"
    site.config.write_text(site.config.read_text() + table(hsm, "theirs").replace("[seal.pkcs11]\n", '[seal.pkcs11]\nname = "hsm"\n'))
    server = site.serve_it()
    try:
        assert server.kms(root).decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious"
        assert outcomes(server) == (1, {"passphrase": "fails", "hsm": "opens"})
    finally:
        assert server.stop() == 0
