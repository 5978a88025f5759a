"""Seals: several at once, added and removed while the server runs, tried without restarting it."""

import json

import pytest

from harness import run
from test_serve import Site

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
