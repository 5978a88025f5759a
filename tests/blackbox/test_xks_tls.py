"""The listener `[hyok]`: TLS, client certificates, and nothing else behind it."""

import datetime
import http.client
import json
import re
import ssl
import subprocess
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness import free_port, unique
from test_serve import Authority, Site
from xks import Client, b64, metadata, store_of

KMS = "cks.kms.eu-west-1.amazonaws.com"


def client_certificate(directory, authority, common_name, expired=False, usage=ExtendedKeyUsageOID.CLIENT_AUTH):
    """A client's certificate and key; the file's path."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    end = now - datetime.timedelta(days=1) if expired else now + datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(authority.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    path = directory / f"{unique('client')}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


class HyokSite(Site):
    """A deployment with a listener for clouds."""

    def __init__(self, directory, hyok):
        directory.mkdir(exist_ok=True)
        (directory / "clients").mkdir(exist_ok=True)
        self.clients = Authority(directory / "clients")
        self.hyok_port = free_port()
        super().__init__(directory, more="")
        text = self.config.read_text() + f'[hyok]\nlisten = ["127.0.0.1:{self.hyok_port}"]\n{hyok}\n'
        self.config.write_text(text)
        printed = self.init().stdout
        self.server = self.start()
        self.server.environment |= dict(re.findall(r"^([A-Z_]+)=(.+)$", printed, re.MULTILINE))
        self.server.environment |= {"CLAVIGER_ENDPOINT": self.server.endpoint, "AWS_CA_BUNDLE": str(self.authority.file), "AWS_REGION": "us-east-1"}
        root = self.server.create_account("first")
        self.kms = self.server.kms(root)
        self.server.environment |= {"AWS_ACCESS_KEY_ID": root.credentials.access_key, "AWS_SECRET_ACCESS_KEY": root.credentials.secret}

    def store(self, *options):
        """A new store with the key `one`."""
        name = unique("store")
        file = json.loads(self.server.run("xks", "create-store", name, *options).stdout)
        key = self.kms.create_key()["KeyMetadata"]["KeyId"]
        self.server.admin("xks", "add-key", name, "one", key)
        return store_of(name, file)

    def context(self, certificate=None):
        context = ssl.create_default_context(cafile=str(self.authority.file))
        if certificate:
            context.load_cert_chain(certificate)
        return context

    def client(self, store, certificate=None):
        return Client(f"https://localhost:{self.hyok_port}", store, context=self.context(certificate))


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """Every client needs a certificate of AWS KMS."""
    site = HyokSite(tmp_path_factory.mktemp("strict") / "site", 'client_ca = ["clients/ca.pem"]\nclient_subjects = ["cks.kms.*.amazonaws.com"]')
    yield site
    assert site.server.stop() == 0, site.server.log.read_text()


@pytest.fixture(scope="module")
def lenient(tmp_path_factory):
    """Stores say whether they want a certificate."""
    site = HyokSite(tmp_path_factory.mktemp("lenient") / "site", 'client_ca = ["clients/ca.pem"]\nclient_certificates = "optional"')
    yield site
    assert site.server.stop() == 0, site.server.log.read_text()


def test_the_cloud_comes_with_its_certificate(strict):
    client = strict.client(strict.store(), client_certificate(strict.directory, strict.clients, KMS))
    made = client.encrypt("one", b"Hello World!", b"context", integrity=True)
    assert made.status == 200
    assert client.decrypt("one", made.body, b"context").body == {"plaintext": b64(b"Hello World!")}
    assert client.health().status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("whose", ["nobody", "another subject", "another authority", "expired", "a server"])
def test_others_are_not_let_in(strict, tmp_path, whose, version):
    other = Authority(tmp_path)
    certificate = {
        "nobody": lambda: None,
        "another subject": lambda: client_certificate(tmp_path, strict.clients, "cks.kms.eu-west-1.example.com"),
        "another authority": lambda: client_certificate(tmp_path, other, KMS),
        "expired": lambda: client_certificate(tmp_path, strict.clients, KMS, expired=True),
        "a server": lambda: client_certificate(tmp_path, strict.clients, KMS, usage=ExtendedKeyUsageOID.SERVER_AUTH),
    }[whose]()
    client = strict.client(strict.store(), certificate)
    client.context.minimum_version = client.context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        client.health()


def test_the_alert_is_that_of_a_failed_handshake(strict, tmp_path):
    """What AWS's own test client looks for."""
    certificate = client_certificate(tmp_path, Authority(tmp_path), KMS)
    url = f"https://localhost:{strict.hyok_port}/ping"
    done = subprocess.run(
        ["curl", "-v", "--cacert", strict.authority.file, "--cert", certificate, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0 and "alert, handshake failure" in done.stderr, done.stderr


def test_curl_with_a_client_certificate(strict):
    store = strict.store()
    certificate = client_certificate(strict.directory, strict.clients, KMS)
    body = {"requestMetadata": metadata("metadata")}
    done = subprocess.run(
        ["curl", "--silent", "--cacert", strict.authority.file, "--cert", certificate, "--aws-sigv4", "aws:amz:eu-west-1:kms-xks-proxy"]
        + ["--user", f"{store.access_key}:{store.secret}", "-H", "Content-Type:application/json", "--data-binary", json.dumps(body)]
        + [f"https://localhost:{strict.hyok_port}{store.path}/keys/one/metadata"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)["keyStatus"] == "ENABLED"


def test_a_store_may_ask_for_a_certificate_of_its_own(lenient):
    open_store, guarded = lenient.store(), lenient.store("--client-subject", KMS, "--client-subject", "backup.example.com")
    kms = client_certificate(lenient.directory, lenient.clients, KMS)
    elsewhere = client_certificate(lenient.directory, lenient.clients, "cks.kms.us-east-1.amazonaws.com")
    for certificate, opened in ((None, False), (elsewhere, False), (kms, True)):
        assert lenient.client(open_store, certificate).health().status == 200
        expected = (200, None) if opened else (401, "AuthenticationFailedException")
        assert lenient.client(guarded, certificate).health().error == expected, certificate
    lenient.server.admin("xks", "update-store", guarded.name, "--client-subject", "")
    assert lenient.client(guarded).health().status == 200


@pytest.fixture(scope="module")
def by_store(tmp_path_factory):
    """Each store says whose certificates it believes."""
    site = HyokSite(tmp_path_factory.mktemp("by-store") / "site", 'client_certificates = "by-store"')
    yield site
    assert site.server.stop() == 0, site.server.log.read_text()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_each_store_has_authorities_of_its_own(by_store, tmp_path, version):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    ours = by_store.directory / "clients" / "ca.pem"
    store = by_store.store("--client-ca", ours, "--client-subject", KMS)
    theirs = by_store.store("--client-ca", other.file)
    subject_only, open_store = by_store.store("--client-subject", KMS), by_store.store()
    certificates = {
        "none": None,
        "ours": client_certificate(tmp_path, by_store.clients, KMS),
        "another subject": client_certificate(tmp_path, by_store.clients, "somebody.example.com"),
        "theirs": client_certificate(tmp_path, other, KMS),
        "expired": client_certificate(tmp_path, by_store.clients, KMS, expired=True),
        "a server's": client_certificate(tmp_path, by_store.clients, KMS, usage=ExtendedKeyUsageOID.SERVER_AUTH),
    }

    def let_in(store):
        found = set()
        for name, certificate in certificates.items():
            client = by_store.client(store, certificate)
            client.context.minimum_version = client.context.maximum_version = version
            answer = client.health()
            assert answer.status == 200 or answer.error == (401, "AuthenticationFailedException"), (name, answer)
            found |= {name} if answer.status == 200 else set()
        return found

    assert let_in(store) == {"ours"}
    assert let_in(theirs) == {"theirs"}
    assert let_in(subject_only) == set(), "anybody can sign a certificate with a subject"
    assert let_in(open_store) == set(certificates)
    assert by_store.server.admin("xks", "get-store", store.name)["ClientAuthorities"] == ours.read_text()
    by_store.server.admin("xks", "update-store", store.name, "--client-ca", other.file)
    assert let_in(store) == {"theirs"}
    empty = tmp_path / "empty"
    empty.write_text("")
    by_store.server.admin("xks", "update-store", store.name, "--client-ca", empty, "--client-subject", "")
    assert let_in(store) == set(certificates)
    refused = by_store.server.run("xks", "update-store", store.name, "--client-ca", certificates["ours"], check=False)
    assert refused.returncode != 0 and "authority" in refused.stderr, refused.stderr


def test_a_store_is_stricter_than_its_listener(strict, tmp_path):
    (tmp_path / "other").mkdir()
    store = strict.store("--client-ca", Authority(tmp_path / "other").file)
    client = strict.client(store, client_certificate(strict.directory, strict.clients, KMS))
    assert client.health().error == (401, "AuthenticationFailedException")


def test_nothing_else_is_behind_it(lenient):
    client = lenient.client(lenient.store())
    connection = client.connect()
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "TrentService.ListKeys", "Content-Type": "application/x-amz-json-1.1"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["errorName"]) == (404, "InvalidUriPathException")
    # And nothing of it is anywhere else.
    url = urllib.parse.urlsplit(lenient.server.endpoint)
    main = http.client.HTTPSConnection(url.hostname, url.port, timeout=30, context=lenient.context())
    main.request("GET", "/ping")
    assert main.getresponse().status == 400


def test_plain_http_gets_no_answer(lenient):
    connection = http.client.HTTPConnection("127.0.0.1", lenient.hyok_port, timeout=30)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        connection.request("GET", "/ping")
        connection.getresponse()


@pytest.mark.parametrize(
    ("hyok", "complaint"),
    [
        ("listen = []", "hyok.listen"),
        ('listen = ["0.0.0.0:1"]', "hyok.tls"),
        ('listen = ["127.0.0.1:1"]\nclient_ca = ["ca.pem"]', "TLS"),
        ('listen = ["127.0.0.1:1"]\nclient_subjects = ["x"]', "client_ca"),
        ('listen = ["127.0.0.1:1"]\nclient_certificates = "never"', "never"),
        ('listen = ["127.0.0.1:1"]\nclient_certificates = "by-store"', "TLS"),
        ('listen = ["127.0.0.1:1"]\nclient_certificates = "by-store"\nclient_ca = ["ca.pem"]', "by-store"),
        ('listen = ["127.0.0.1:1"]\nunknown = 1', "unknown"),
    ],
)
def test_a_wrong_configuration_is_refused(tmp_path, hyok, complaint):
    site = Site(tmp_path / "site", tls=False)
    site.config.write_text(site.config.read_text() + f"[hyok]\n{hyok}\n")
    done = site.serve()
    assert done.returncode != 0 and complaint in done.stderr, done.stderr
