"""`claviger init` and `claviger serve`: TLS, a passphrase seal, the observability listener, stopping, and what is refused at start."""

import datetime
import hashlib
import http.client
import ipaddress
import re
import signal
import socket
import ssl
import time
import urllib.parse

import boto3
import botocore.config
import botocore.exceptions
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import wire
from harness import Credentials, Principal, free_port, policy, refused, run, start_dev, start_serve, statement

PASSPHRASE = "correct horse battery staple"


# Certificates ----------------------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority for tests."""

    def __init__(self, directory):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Claviger test authority")])
        self.certificate = self.sign(self.name, self.key.public_key(), authority=True)
        self.file = directory / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def sign(self, name, public_key, authority=False):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(usage(authority), critical=True)
        )
        if not authority:
            names = x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.DNSName("*.proxies.example.com"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            )
            builder = builder.add_extension(names, critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, directory):
        """Writes a new certificate and its key, the key first: as a careful tool would, each file in one step."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), key.public_key())
        for name, content in (
            ("key.pem", key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())),
            ("certificate.pem", certificate.public_bytes(serialization.Encoding.PEM)),
        ):
            fresh = directory / f"{name}.new"
            fresh.write_bytes(content)
            fresh.chmod(0o600)
            fresh.replace(directory / name)
        return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def usage(authority):
    names = ("key_encipherment", "content_commitment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")
    return x509.KeyUsage(digital_signature=True, key_cert_sign=authority, crl_sign=authority, **dict.fromkeys(names, False))


# A deployment ----------------------------------------------------------------------------------------------------------------


class Site:
    """A deployment with a configuration file, a certificate and a passphrase in the environment."""

    def __init__(self, directory, tls=True, regions='["us-east-1", "eu-west-1"]', **settings):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.authority = Authority(directory)
        self.fingerprint = self.authority.issue(directory)
        self.port, self.watch_port = free_port(), free_port()
        self.config = directory / "claviger.toml"
        self.data = directory / "data"
        self.environment = {"TEST_PASSPHRASE": PASSPHRASE}
        self.write(tls, regions, **settings)

    def write(self, tls=True, regions='["us-east-1", "eu-west-1"]', listen=None, more="", node="node-1"):
        text = f'node = "{node}"\ndata = "data"\nregions = {regions}\nlisten = ["{listen or f"127.0.0.1:{self.port}"}"]\n{more}\n'
        if tls:
            text += '[tls]\ncertificate = "certificate.pem"\nkey = "key.pem"\n'
        text += '[seal.passphrase]\nenvironment = "TEST_PASSPHRASE"\n'
        text += f'[observability]\nlisten = "127.0.0.1:{self.watch_port}"\n'
        self.config.write_text(text)

    def init(self, **settings):
        return run("init", "--config", self.config, environment=self.environment, **settings)

    def init_into(self, file, **settings):
        return run("init", "--config", self.config, "--credentials", file, environment=self.environment, **settings)

    def start(self, scheme="https"):
        return start_serve(
            self.config,
            f"{scheme}://127.0.0.1:{self.port}",
            f"http://127.0.0.1:{self.watch_port}",
            self.data,
            self.environment,
            ca=str(self.authority.file),
        )

    def serve(self, **settings):
        return run("serve", "--config", self.config, environment=self.environment, check=False, **settings)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A deployment that is served with TLS, and its account."""
    site = Site(tmp_path_factory.mktemp("site") / "site")
    site.printed = site.init().stdout
    site.server = site.start()
    site.server.environment |= dict(re.findall(r"^([A-Z_]+)=(.+)$", site.printed, re.MULTILINE))
    site.server.environment |= {"CLAVIGER_ENDPOINT": site.server.endpoint, "AWS_CA_BUNDLE": str(site.authority.file), "AWS_REGION": "us-east-1"}
    site.root = site.server.create_account("first")
    yield site
    assert site.server.stop() == 0, site.server.log.read_text()


@pytest.fixture
def kms(site):
    return site.server.kms(site.root)


# TLS ---------------------------------------------------------------------------------------------------------------------------


def test_init_prints_the_administrators_credentials_once(site):
    names = re.findall(r"^([A-Z_]+)=", site.printed, re.MULTILINE)
    assert names == ["CLAVIGER_ADMIN_ACCESS_KEY_ID", "CLAVIGER_ADMIN_SECRET_ACCESS_KEY", "CLAVIGER_AUDIT_VKEY"]
    secret = site.server.environment["CLAVIGER_ADMIN_SECRET_ACCESS_KEY"].encode()
    for path in site.directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert secret not in content and PASSPHRASE.encode() not in content, path
    done = site.init(check=False)
    assert done.returncode == 1, "a second init must not touch what is there"


def test_boto3_over_tls(kms):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"over TLS")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"over TLS"


def test_sts_over_tls(site):
    assert site.server.sts(site.root).get_caller_identity()["Account"] == site.root.account


def test_a_client_that_does_not_know_the_authority(site):
    client = boto3.client(
        "kms",
        endpoint_url=site.server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=site.root.credentials.access_key,
        aws_secret_access_key=site.root.credentials.secret,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(botocore.exceptions.SSLError):
        client.list_keys()


def tls_context(site):
    return ssl.create_default_context(cafile=str(site.authority.file))


def handshake(site, context=None, host="localhost"):
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as raw:
        with (context or tls_context(site)).wrap_socket(raw, server_hostname=host) as wrapped:
            return wrapped.version(), wrapped.cipher()[0], hashlib.sha256(wrapped.getpeercert(binary_form=True)).hexdigest()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_of_tls(site):
    assert handshake(site)[0] == "TLSv1.3"
    context = tls_context(site)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    version, cipher, _ = handshake(site, context)
    assert version == "TLSv1.2" and ("GCM" in cipher or "CHACHA20" in cipher)
    context = tls_context(site)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(site, context)


def test_plain_http_gets_no_answer_from_the_tls_port(site):
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 400
        raise http.client.HTTPException("refused in plain words")


def test_secure_transport_is_seen_by_policies(site, kms):
    allow = statement("Allow", site.root.arn)
    deny = statement("Deny", "*", "kms:Encrypt", condition={"Bool": {"aws:SecureTransport": "false"}})
    key = kms.create_key(Policy=policy(allow, deny))["KeyMetadata"]["KeyId"]
    kms.encrypt(KeyId=key, Plaintext=b"x")
    deny = statement("Deny", "*", "kms:Encrypt", condition={"Bool": {"aws:SecureTransport": "true"}})
    kms.put_key_policy(KeyId=key, Policy=policy(allow, deny))
    with refused("AccessDeniedException"):
        kms.encrypt(KeyId=key, Plaintext=b"x")


@pytest.mark.parametrize("signalled", [True, False])
def test_a_new_certificate_is_used_without_a_restart(site, signalled):
    old = handshake(site)[2]
    held = http.client.HTTPSConnection("localhost", site.port, timeout=30, context=tls_context(site))
    held.request("GET", "/")
    held.getresponse().read()
    new = site.authority.issue(site.directory)
    if signalled:
        site.server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while handshake(site)[2] == old and time.monotonic() < deadline:
        time.sleep(0.1)
    assert handshake(site)[2] == new
    # A connection that was open goes on.
    held.request("GET", "/")
    held.getresponse().read()
    held.close()


def test_a_broken_certificate_leaves_the_old_one_in_use(site):
    before = handshake(site)[2]
    kept = (site.directory / "certificate.pem").read_bytes()
    (site.directory / "certificate.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    site.server.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert handshake(site)[2] == before
    (site.directory / "certificate.pem").write_bytes(kept)


# Regions -----------------------------------------------------------------------------------------------------------------------


def test_only_the_regions_of_the_configuration(site):
    site.server.kms(site.root, region="eu-west-1").list_keys()
    with refused("InvalidSignatureException", re.compile("^Credential should be scoped to a valid region")):
        site.server.kms(site.root, region="ap-south-1").list_keys()


# Observability -----------------------------------------------------------------------------------------------------------------


def test_health_and_readiness(site):
    assert site.server.http("/healthz")[0] == 200
    status, body = site.server.http("/readyz")
    assert status == 200 and "store" in body
    assert site.server.http("/other")[0] == 404


def test_metrics(site, kms):
    def count():
        _, text = site.server.http("/metrics")
        found = re.findall(r'^claviger_requests_total\{[^}]*operation="GenerateRandom"[^}]*outcome="ok"[^}]*\} (\d+)', text, re.MULTILINE)
        return sum(map(int, found))

    before = count()
    for _ in range(3):
        kms.generate_random(NumberOfBytes=16)
    assert count() == before + 3
    _, text = site.server.http("/metrics")
    for name in ("claviger_requests_total", "claviger_keys", "claviger_store_commit", "claviger_request"):
        assert name in text, name
    # A metric names no key, no account and no secret.
    assert site.root.account not in text and "AKIA" not in text and "arn:" not in text


def test_the_api_is_not_on_the_observability_listener_nor_the_other_way_round(site):
    place = urllib.parse.urlsplit(site.server.observability)
    connection = http.client.HTTPConnection(place.netloc, timeout=10)
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "TrentService.ListKeys"})
    assert connection.getresponse().status >= 400
    connection = http.client.HTTPSConnection("localhost", site.port, timeout=10, context=tls_context(site))
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status >= 400 and b"claviger_requests_total" not in answer.read()


def test_status_and_doctor(site):
    assert "node-1" in site.server.run("status").stdout
    done = site.server.run("doctor", "--config", site.config, check=False)
    assert done.returncode in (0, 1) and (done.stdout + done.stderr).strip()


# Starting and stopping ---------------------------------------------------------------------------------------------------------


def test_everything_is_there_after_a_restart(tmp_path):
    site = Site(tmp_path / "site", tls=False)
    printed = site.init().stdout
    server = site.start("http")
    environment = dict(re.findall(r"^([A-Z_]+)=(.+)$", printed, re.MULTILINE)) | {"CLAVIGER_ENDPOINT": server.endpoint}
    server.environment |= environment
    root = server.create_account()
    kms = server.kms(root)
    key = kms.create_key(Description="stays")["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"stays")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key["KeyId"])
    kms.create_alias(AliasName="alias/stays", TargetKeyId=key["KeyId"])
    before = kms.describe_key(KeyId="alias/stays")["KeyMetadata"]

    # A second server on the same store is refused: it would not know what the first one does.
    second = site.serve(timeout=60)
    assert second.returncode == 1, second.stderr

    assert server.stop() == 0, server.log.read_text()
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        kms.list_keys()

    server = site.start("http")
    kms = server.kms(root)
    assert kms.describe_key(KeyId="alias/stays")["KeyMetadata"] == before
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"stays"
    assert server.stop() == 0

    # The passphrase is needed, and the right one.
    site.environment = {"TEST_PASSPHRASE": "wrong"}
    refusal = site.serve()
    assert refusal.returncode == 1 and "passphrase" in refusal.stderr.lower(), refusal.stderr
    site.environment = {}
    refusal = site.serve()
    assert refusal.returncode != 0 and "TEST_PASSPHRASE" in refusal.stderr, refusal.stderr


def test_requests_under_way_are_finished(tmp_path):
    server = start_dev(tmp_path / "data")
    root = server.root
    key = server.kms().create_key()["KeyMetadata"]["KeyId"]
    signed = wire.sign(server, wire.request("DescribeKey", {"KeyId": key}), root)
    place = urllib.parse.urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(place.netloc, timeout=30)
    connection.putrequest("POST", "/", skip_host=True)
    connection.putheader("Host", place.netloc)
    for name, value in signed.headers.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(signed.data)))
    connection.endheaders(signed.data[:5])
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    connection.send(signed.data[5:])
    answer = connection.getresponse()
    assert answer.status == 200 and key.encode() in answer.read()
    assert server.stop() == 0, server.log.read_text()


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_stops_on(tmp_path, which):
    server = start_dev(tmp_path / "data")
    server.kms().create_key()
    server.process.send_signal(which)
    assert server.process.wait(30) == 0, server.log.read_text()


def test_dev_keeps_its_keys_and_credentials(tmp_path):
    server = start_dev(tmp_path / "data")
    key = server.kms().create_key()["KeyMetadata"]
    credentials = server.root
    assert server.stop() == 0
    again = start_dev(tmp_path / "data")
    assert again.root == credentials
    assert again.kms().describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key
    assert again.stop() == 0


def test_dev_survives_being_killed(tmp_path):
    server = start_dev(tmp_path / "data")
    kms = server.kms()
    keys = [kms.create_key()["KeyMetadata"] for _ in range(5)]
    blob = kms.encrypt(KeyId=keys[-1]["KeyId"], Plaintext=b"acknowledged")["CiphertextBlob"]
    server.process.kill()
    server.process.wait()
    again = start_dev(tmp_path / "data")
    assert {key["KeyId"] for key in again.kms().list_keys()["Keys"]} == {key["KeyId"] for key in keys}
    assert again.kms().decrypt(CiphertextBlob=blob)["Plaintext"] == b"acknowledged"
    assert again.stop() == 0


def test_files_are_for_their_owner_only(server):
    for path in server.data.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert server.data.stat().st_mode & 0o077 == 0


# What is refused at start ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:9911"])
def test_dev_stays_on_loopback(tmp_path, address):
    done = run("dev", "--data", tmp_path / "data", "--listen", address, check=False)
    assert done.returncode != 0 and "this machine only" in done.stderr
    assert not (tmp_path / "data").exists()


def test_serve_without_tls_stays_on_loopback(tmp_path):
    site = Site(tmp_path / "site", tls=False, listen=f"0.0.0.0:{free_port()}")
    for command in (site.serve, lambda: site.init(check=False)):
        done = command()
        assert done.returncode != 0 and "tls" in done.stderr.lower(), done.stderr
    site.write(tls=False, listen="127.0.0.1:1", more="insecure_plain_http = true")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("unknown = 1", "unknown field `unknown`"),
        ("[limits]\nrequests = 5", "unknown field `requests`"),
        ("[limits]\nbody_bytes = -1", "`-1`"),
        ("[log]\nlevel = 'loud'", "`loud`"),
        ("[seal.development_file]\npath = 1", "`1`"),
        ("node = 'twice'", "duplicate key"),
    ],
)
def test_mistakes_in_the_configuration_are_named(tmp_path, more, words):
    site = Site(tmp_path / "site", more=more)
    done = site.serve()
    line = site.config.read_text().splitlines().index(more.splitlines()[-1]) + 1
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert f"claviger.toml, line {line}:" in done.stderr, done.stderr


def test_missing_certificates_are_named(tmp_path):
    site = Site(tmp_path / "site")
    site.init()
    (site.directory / "key.pem").unlink()
    done = site.serve()
    assert done.returncode != 0 and "key.pem" in done.stderr, done.stderr


def test_serving_what_was_never_made(tmp_path):
    done = Site(tmp_path / "site").serve()
    assert done.returncode == 1 and "init" in done.stderr, done.stderr


def test_an_address_in_use_is_named(server, tmp_path):
    taken = urllib.parse.urlsplit(server.endpoint).netloc
    done = run("dev", "--data", tmp_path / "data", "--listen", taken, check=False)
    assert done.returncode == 1 and taken in done.stderr and "--listen" in done.stderr


def test_credentials_of_another_deployment_are_unknown(server, site):
    stranger = Principal(site.root.account, None, Credentials(site.root.credentials.access_key, site.root.credentials.secret))
    with refused("UnrecognizedClientException"):
        server.kms(stranger).list_keys()
