"""Keys whose home is a cluster of PKCS#11 tokens: custom key stores of the type AWS_CLOUDHSM on SoftHSM2, looked at with pkcs11-tool, and what happens to requests
under way when a host is killed or a token is pulled."""

import concurrent.futures
import hashlib
import hmac
import json
import re
import threading
import time

import botocore.exceptions
import pytest
import xks
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from attestation import Certified
from harness import free_port, refused, unique
from softhsm import Site, SoftHsm
from test_tokens import eventually, readiness

PASSWORD = "kmsuser-password-7x"
CLUSTER, SINGLE, CLOSED, ANCHORED = "cluster-aaaaaaaaaaa", "cluster-bbbbbbbbbbb", "cluster-ccccccccccc", "cluster-ddddddddddd"
ANCHOR = Certified("customerCA", authority=1).pem.decode()
OTHER_ANCHOR = Certified("customerCA", authority=1).pem.decode()
CLIENTS = 32
# Two tokens, two tries each with 2 s, and what boto3 and two processors for everything add.
SECONDS_MAX = 12


class Cluster:
    """Two tokens in libraries of their own, so that one can be pulled alone, and a third one that stands for itself."""

    def __init__(self, directory):
        self.one, self.two, self.three = (SoftHsm(directory / name, name) for name in ("one", "two", "three"))
        # The same wrapping key in both, as an operator brings it there.
        wrapping = directory / "wrapping.key"
        wrapping.write_bytes(bytes(range(32)))
        for hsm, label in ((self.one, "one"), (self.two, "two")):
            hsm.pkcs11_tool(
                label, "--write-object", wrapping, "--type", "secrkey", "--key-type", "AES:32", "--label", "wrapping", "--id", "77", "--usage-wrap", "--sensitive"
            )
        password = directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o600)
        (directory / "anchor.pem").write_text(ANCHOR)
        table = f'password.file = "{password}"\n'
        self.configuration = self.one.table("one") + self.two.table("two") + self.three.table("three")
        self.configuration += f'[clusters.{CLUSTER}]\ntokens = ["one", "two"]\ncopies_min = 2\nwrapping_key = "wrapping"\n{table}'
        self.configuration += f'[clusters.{SINGLE}]\ntokens = ["three"]\n{table}'
        self.configuration += f'[clusters.{CLOSED}]\ntokens = ["three"]\naccounts = ["111122223333"]\n{table}'
        self.configuration += f'[clusters.{ANCHORED}]\ntokens = ["three"]\ntrust_anchor = "{directory / "anchor.pem"}"\n{table}'


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    return Cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def served(cluster, tmp_path_factory):
    port = free_port()
    more = f'{cluster.configuration}[hyok]\nlisten = ["127.0.0.1:{port}"]\n'
    server = Site(tmp_path_factory.mktemp("site") / "site", more).start()
    server.for_clouds = f"http://127.0.0.1:{port}"
    eventually(lambda: readiness(server)[1]["degraded"] == [])
    yield server
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture(scope="module")
def owner(served):
    return served.create_account("owner")


@pytest.fixture(scope="module")
def kms(served, owner):
    return served.kms(owner)


def make_store(kms, cluster_id, password=PASSWORD, anchor=ANCHOR):
    return kms.create_custom_key_store(
        CustomKeyStoreName=unique("store"), CloudHsmClusterId=cluster_id, KeyStorePassword=password, TrustAnchorCertificate=anchor
    )["CustomKeyStoreId"]


def state(kms, store):
    found = kms.describe_custom_key_stores(CustomKeyStoreId=store)["CustomKeyStores"][0]
    return found["ConnectionState"], found.get("ConnectionErrorCode")


def connect(kms, store):
    kms.connect_custom_key_store(CustomKeyStoreId=store)
    eventually(lambda: state(kms, store)[0] != "CONNECTING")
    return state(kms, store)


@pytest.fixture(scope="module")
def store(kms):
    made = make_store(kms, CLUSTER)
    assert connect(kms, made) == ("CONNECTED", None)
    return made


@pytest.fixture(scope="module")
def single(kms):
    made = make_store(kms, SINGLE)
    assert connect(kms, made) == ("CONNECTED", None)
    return made


def make_key(kms, store, **settings):
    return kms.create_key(Origin="AWS_CLOUDHSM", CustomKeyStoreId=store, **settings)["KeyMetadata"]


# Stores ----------------------------------------------------------------------------------------------------------------------


def test_a_cluster_that_nobody_configured(kms):
    with refused("CloudHsmClusterNotFoundException"):
        make_store(kms, "cluster-zzzzzzzzzzz")


def test_a_cluster_of_others_looks_the_same(kms):
    with refused("CloudHsmClusterNotFoundException"):
        make_store(kms, CLOSED)


def test_the_trust_anchor_is_the_configured_one(served):
    kms = served.kms(served.create_account("anchored"))
    with refused("IncorrectTrustAnchorException"):
        make_store(kms, ANCHORED, anchor=OTHER_ANCHOR)
    assert connect(kms, make_store(kms, ANCHORED)) == ("CONNECTED", None)


def test_the_password_of_kmsuser_is_asked_for(served):
    kms = served.kms(served.create_account("guesser"))
    store = make_store(kms, SINGLE, password="something-else")
    assert connect(kms, store) == ("FAILED", "INVALID_CREDENTIALS")
    kms.disconnect_custom_key_store(CustomKeyStoreId=store)
    kms.update_custom_key_store(CustomKeyStoreId=store, KeyStorePassword=PASSWORD)
    assert connect(kms, store) == ("CONNECTED", None)


def test_a_disconnected_store_takes_its_keys_away(served):
    kms = served.kms(served.create_account("disconnected"))
    store = make_store(kms, SINGLE)
    connect(kms, store)
    key = make_key(kms, store)["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disconnect_custom_key_store(CustomKeyStoreId=store)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Unavailable"
    with refused("KMSInvalidStateException"):
        kms.decrypt(CiphertextBlob=blob)
    assert connect(kms, store) == ("CONNECTED", None)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# Keys ------------------------------------------------------------------------------------------------------------------------


def test_a_symmetric_key_is_in_both_tokens_and_nowhere_else(kms, store, cluster):
    made = make_key(kms, store)
    assert (made["Origin"], made["CustomKeyStoreId"], made["CloudHsmClusterId"]) == ("AWS_CLOUDHSM", store, CLUSTER)
    key, context = made["KeyId"], {"purpose": "test"}
    for plaintext in (b"x", b"p" * 4096):
        blob = kms.encrypt(KeyId=key, Plaintext=plaintext, EncryptionContext=context)["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == plaintext
        with refused("InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=blob, EncryptionContext={"purpose": "other"})
        flipped = blob[:-1] + bytes([blob[-1] ^ 1])
        with refused("InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=flipped, EncryptionContext=context)
    data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"] == data_key["Plaintext"]
    for hsm, label in ((cluster.one, "one"), (cluster.two, "two")):
        listed = hsm.pkcs11_tool(label, "--list-objects", "--type", "secrkey")
        found = re.search(rf"label: +claviger {key}\n(.*\n)*?.*Access: +(.*)", listed)
        assert found, listed
        assert "sensitive" in found[2], listed


def test_a_key_of_one_token_never_leaves_it(kms, single, cluster):
    key = make_key(kms, single)["KeyId"]
    listed = cluster.three.pkcs11_tool("three", "--list-objects", "--type", "secrkey")
    access = re.search(rf"label: +claviger {key}\n(?:.*\n)*? +Access: +(.*)", listed)
    assert access and access[1] == "sensitive, always sensitive, never extractable, local", listed


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"])
def test_signatures_are_verified_by_others(kms, single, spec):
    key = make_key(kms, single, KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyId"]
    described = kms.get_public_key(KeyId=key)
    public = serialization.load_der_public_key(described["PublicKey"])
    for algorithm in described["SigningAlgorithms"]:
        digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[algorithm[-3:]]
        signature = kms.sign(KeyId=key, Message=b"message", SigningAlgorithm=algorithm)["Signature"]
        if spec.startswith("ECC"):
            public.verify(signature, b"message", ec.ECDSA(digest))
        elif "PSS" in algorithm:
            public.verify(signature, b"message", padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        else:
            public.verify(signature, b"message", padding.PKCS1v15(), digest)
        digested = hashlib.new(digest.name, b"message").digest()
        signature = kms.sign(KeyId=key, Message=digested, MessageType="DIGEST", SigningAlgorithm=algorithm)["Signature"]
        assert kms.verify(KeyId=key, Message=b"message", Signature=signature, SigningAlgorithm=algorithm)["SignatureValid"]


def test_rsa_decrypts(kms, single):
    key = make_key(kms, single, KeySpec="RSA_3072", KeyUsage="ENCRYPT_DECRYPT")["KeyId"]
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    blob = public.encrypt(b"secret", padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
    assert kms.decrypt(KeyId=key, CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_1")["Plaintext"] == b"secret"
    with refused("InvalidCiphertextException"):
        kms.decrypt(KeyId=key, CiphertextBlob=blob[:-1] + bytes([blob[-1] ^ 1]), EncryptionAlgorithm="RSAES_OAEP_SHA_1")


def test_codes(kms, single):
    key = make_key(kms, single, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyId"]
    code = kms.generate_mac(KeyId=key, Message=b"message", MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert len(code) == 32
    assert kms.verify_mac(KeyId=key, Message=b"message", MacAlgorithm="HMAC_SHA_256", Mac=code)["MacValid"]
    with refused("KMSInvalidMacException"):
        kms.verify_mac(KeyId=key, Message=b"other", MacAlgorithm="HMAC_SHA_256", Mac=code)
    assert not hmac.compare_digest(code, hashlib.sha256(b"message").digest())


def test_agreement(kms, single):
    key = make_key(kms, single, KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyId"]
    theirs = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    ours = ec.generate_private_key(ec.SECP256R1())
    public = ours.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    secret = kms.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=public)["SharedSecret"]
    assert secret == ours.exchange(ec.ECDH(), theirs)


def test_what_tokens_cannot_make(kms, single):
    with refused("UnsupportedOperationException"):
        make_key(kms, single, KeySpec="ECC_SECG_P256K1", KeyUsage="SIGN_VERIFY")


def test_random_bytes_come_from_a_token(kms, single):
    first, second = (kms.generate_random(NumberOfBytes=1024, CustomKeyStoreId=single)["Plaintext"] for _ in range(2))
    assert len(first) == 1024 and first != second


# Keys that are there already ------------------------------------------------------------------------------------------------------


def adopt(served, owner, store, *arguments, check=True):
    return served.run("token", "adopt-key", "--store", store, "--account", owner.account, "--region", "us-east-1", "--json", *arguments, check=check)


def test_a_key_of_somebody_elses_making_is_adopted(served, owner, kms, single, cluster):
    cluster.three.pkcs11_tool("three", "--keygen", "--key-type", "AES:32", "--label", "their own", "--id", "beef", "--sensitive")
    by_label = json.loads(adopt(served, owner, single, "--label", "their own").stdout)["KeyId"]
    by_id = json.loads(adopt(served, owner, single, "--id", "BEEF", "--description", "theirs").stdout)["KeyId"]
    assert kms.describe_key(KeyId=by_id)["KeyMetadata"]["Description"] == "theirs"
    for key in (by_label, by_id):
        blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    # Each KMS key opens its own ciphertexts only, although one key in the token stands behind both.
    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=blob, KeyId=by_label)
    entries = [line for line in served.run("audit", "tail", "--data", served.data, "--node", "node-1", "-n", "50", "--json").stdout.splitlines() if "AdoptKey" in line]
    assert any(json.loads(line)["requestParameters"]["tokenKey"] == "label:their own" for line in entries), entries


def test_a_pair_of_somebody_elses_making_is_adopted(served, owner, kms, single, cluster):
    cluster.three.pkcs11_tool("three", "--keypairgen", "--key-type", "EC:prime256v1", "--label", "pair", "--id", "cafe", "--usage-sign")
    made = adopt(served, owner, single, "--label", "pair", "--spec", "ECC_NIST_P256", "--usage", "SIGN_VERIFY")
    key = json.loads(made.stdout)["KeyId"]
    signature = kms.sign(KeyId=key, Message=b"message", SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    public.verify(signature, b"message", ec.ECDSA(hashes.SHA256()))
    wrong = adopt(served, owner, single, "--label", "pair", check=False)
    assert wrong.returncode == 1 and "The key labelled \"pair\" in the token is P-256" in wrong.stderr, wrong.stderr
    nobody = adopt(served, owner, single, "--label", "nobody", check=False)
    assert nobody.returncode == 1 and "is not in the cluster" in nobody.stderr, nobody.stderr


def test_only_the_administrator_adopts(served, owner, single):
    credentials = owner.credentials
    environment = {"CLAVIGER_ADMIN_ACCESS_KEY_ID": credentials.access_key, "CLAVIGER_ADMIN_SECRET_ACCESS_KEY": credentials.secret}
    done = served.run(
        *("token", "adopt-key", "--store", single, "--account", owner.account, "--region", "us-east-1", "--label", "their own"),
        environment=environment,
        check=False,
    )
    assert done.returncode == 1 and "not authorized" in done.stderr, done.stderr


# For a cloud ---------------------------------------------------------------------------------------------------------------------


def test_a_key_in_a_token_stands_behind_the_door_for_clouds(served, owner, kms, single):
    key = make_key(kms, single)["KeyId"]
    credentials = owner.credentials
    environment = {"CLAVIGER_ADMIN_ACCESS_KEY_ID": credentials.access_key, "CLAVIGER_ADMIN_SECRET_ACCESS_KEY": credentials.secret}
    name = unique("store")
    store = xks.store_of(name, json.loads(served.run("xks", "create-store", name, environment=environment).stdout))
    served.run("xks", "add-key", name, "ours", key, environment=environment)
    cloud = xks.Client(served.for_clouds, store)
    for plaintext, aad in ((b"x", None), (bytes(4300), bytes(8192))):
        made = cloud.encrypt("ours", plaintext, aad, integrity=True)
        assert made.status == 200, made
        assert made.body["ciphertextDataIntegrityValue"] == xks.integrity_value(made.body, aad or b"")
        assert len(xks.unb64(made.body["ciphertext"])) == len(plaintext) and len(xks.unb64(made.body["ciphertextMetadata"])) == 20
        assert cloud.decrypt("ours", made.body, aad).body == {"plaintext": xks.b64(plaintext)}
        assert cloud.decrypt("ours", made.body, b"other").error == (400, "InvalidCiphertextException")
        for member in ("ciphertext", "ciphertextMetadata", "initializationVector", "authenticationTag"):
            spoilt = bytearray(xks.unb64(made.body[member]))
            spoilt[-1] ^= 1
            assert cloud.decrypt("ours", made.body | {member: xks.b64(spoilt)}, aad).error == (400, "InvalidCiphertextException"), member


# Faults ----------------------------------------------------------------------------------------------------------------------


def test_a_swapped_key_is_not_used(kms, single, cluster):
    key = make_key(kms, single)["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    identity = key.replace("-", "")
    cluster.three.pkcs11_tool("three", "--delete-object", "--type", "secrkey", "--id", identity)
    cluster.three.pkcs11_tool("three", "--keygen", "--key-type", "AES:32", "--label", f"claviger {key}", "--id", identity, "--sensitive")
    # The library's own memory of the old object goes with its process.
    cluster.three.kill_hosts()
    with refused("KMSInternalException", re.compile("Another key is in the place of this one")):
        kms.decrypt(CiphertextBlob=blob)
    with refused("KMSInternalException", re.compile("Another key is in the place of this one")):
        kms.encrypt(KeyId=key, Plaintext=b"x")
    cluster.three.pkcs11_tool("three", "--delete-object", "--type", "secrkey", "--id", identity)
    cluster.three.kill_hosts()
    with refused("KMSInvalidStateException", "The material of this key is not in the cluster."):
        kms.decrypt(CiphertextBlob=blob)


class Workers:
    """Clients that encrypt and decrypt until they are told to stop."""

    def __init__(self, served, owner, key):
        self.stop, self.done, self.faults, self.longest = threading.Event(), 0, [], 0.0
        self.lock = threading.Lock()
        # A connection for each, and no retries by boto3.
        self.kms = served.kms(owner, read_timeout=60, tcp_keepalive=True)
        self.pool = concurrent.futures.ThreadPoolExecutor(CLIENTS)
        self.running = [self.pool.submit(self.work, key, number) for number in range(CLIENTS)]

    def work(self, key, number):
        while not self.stop.is_set():
            text, began = f"{number} {self.done}".encode(), time.monotonic()
            try:
                blob = self.ask(self.kms.encrypt, KeyId=key, Plaintext=text)["CiphertextBlob"]
                assert self.ask(self.kms.decrypt, CiphertextBlob=blob)["Plaintext"] == text
                with self.lock:
                    self.done += 1
            except botocore.exceptions.ClientError as error:
                with self.lock:
                    self.faults.append(error.response["Error"]["Code"])
                time.sleep(0.02)

    def ask(self, operation, **parameters):
        began = time.monotonic()
        try:
            return operation(**parameters)
        finally:
            with self.lock:
                self.longest = max(self.longest, time.monotonic() - began)

    def finish(self):
        self.stop.set()
        for running in self.running:
            running.result(60)
        self.pool.shutdown()


def more(workers, count=CLIENTS):
    """Waits until so many rounds more were done."""
    before = workers.done
    eventually(lambda: workers.done >= before + count, 40)


def test_killing_hosts_under_32_clients_costs_no_request(served, owner, kms, store, cluster):
    workers = Workers(served, owner, make_key(kms, store)["KeyId"])
    for _ in range(3):
        more(workers)
        assert cluster.one.kill_hosts() and cluster.two.kill_hosts()
    more(workers)
    workers.finish()
    assert workers.faults == []
    assert workers.longest < SECONDS_MAX


def test_a_pulled_token_fails_over_to_the_other_one(served, owner, kms, store, cluster):
    workers = Workers(served, owner, make_key(kms, store)["KeyId"])
    more(workers)
    away = cluster.one.directory / "away"
    cluster.one.tokens.rename(away)
    cluster.one.tokens.mkdir()
    try:
        cluster.one.kill_hosts()
        more(workers)
        eventually(lambda: [found["what"] for found in readiness(served)[1]["degraded"]] == ["token one"])
        more(workers)
        with refused("CloudHsmClusterInvalidConfigurationException", "1 of the 2 tokens that a new key has to be on work now."):
            make_key(kms, store)
    finally:
        cluster.one.tokens.rmdir()
        away.rename(cluster.one.tokens)
    eventually(lambda: readiness(served)[1]["degraded"] == [])
    more(workers)
    workers.finish()
    assert workers.faults == []
    assert workers.longest < SECONDS_MAX


def test_swapping_a_token_directory_gives_each_request_an_answer(served, owner, kms, single, cluster):
    workers = Workers(served, owner, make_key(kms, single)["KeyId"])
    more(workers)
    hsm, away = cluster.three, cluster.three.directory / "away"
    hsm.tokens.rename(away)
    hsm.tokens.mkdir()
    hsm.make("three")
    eventually(lambda: workers.faults or not hsm.hosts(), 20)
    hsm.kill_hosts()
    # A token of the same name and PIN is there, but not the key.
    eventually(lambda: "KMSInvalidStateException" in workers.faults, 30)
    strange = hsm.directory / "strange"
    hsm.tokens.rename(strange)
    away.rename(hsm.tokens)
    hsm.kill_hosts()
    more(workers)
    workers.finish()
    assert set(workers.faults) <= {"KMSInvalidStateException", "KeyUnavailableException", "DependencyTimeoutException"}, set(workers.faults)
    assert workers.longest < SECONDS_MAX


def test_all_tokens_gone_is_said_at_once(kms, single, cluster):
    key = make_key(kms, single)["KeyId"]
    hsm, away = cluster.three, cluster.three.directory / "away"
    hsm.tokens.rename(away)
    hsm.tokens.mkdir()
    try:
        hsm.kill_hosts()
        with refused("KeyUnavailableException"):
            kms.encrypt(KeyId=key, Plaintext=b"x")
        began = time.monotonic()
        for _ in range(5):
            with refused("KeyUnavailableException", "No token of the cluster works at the moment. Try again shortly."):
                kms.encrypt(KeyId=key, Plaintext=b"x")
        assert time.monotonic() - began < 5
    finally:
        hsm.tokens.rmdir()
        away.rename(hsm.tokens)
    eventually(lambda: try_to(lambda: kms.encrypt(KeyId=key, Plaintext=b"x")))


def try_to(operation):
    try:
        return operation()
    except botocore.exceptions.ClientError:
        return None
