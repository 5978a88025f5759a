"""Plaintexts for attested enclaves, from outside: a server with a root of attestation of its own, boto3, the AWS CLI, OpenSSL."""

import base64
import json
import re
import subprocess
import sys

import pytest

import outside
from attestation import DAY, Certified, Enclave, Pki, cbor, sign
from cryptography.hazmat.primitives.asymmetric import ec
from harness import CLEAN_ENVIRONMENT, constraint, free_port, policy, refused, run, start_serve, statement
from test_aws_cli import AWS

ALGORITHM = "RSAES_OAEP_SHA_256"
REFUSED = re.compile(r"^The attestation document is not accepted: ")


@pytest.fixture(scope="module")
def pki():
    return Pki()


@pytest.fixture(scope="module")
def enclave():
    return Enclave()


class Site:
    """A configuration with roots of attestation."""

    def __init__(self, directory, roots):
        directory.mkdir()
        self.port, self.watch_port = free_port(), free_port()
        self.config, self.data = directory / "claviger.toml", directory / "data"
        for name, content in roots.items():
            (directory / name).write_bytes(content)
        self.config.write_text(
            f'node = "node-1"\ndata = "data"\nregions = "any"\nchina_algorithms = true\nlisten = ["127.0.0.1:{self.port}"]\n'
            f"[attestation]\nroots = {json.dumps(list(roots))}\n"
            '[seal.development_file]\npath = "seal.key"\n'
            f'[observability]\nlisten = "127.0.0.1:{self.watch_port}"\n'
        )

    def start(self):
        printed = run("init", "--config", self.config).stdout
        server = start_serve(self.config, f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.watch_port}", self.data)
        server.environment |= dict(re.findall(r"^([A-Z_]+)=(.+)$", printed, re.MULTILINE)) | {"CLAVIGER_ENDPOINT": server.endpoint}
        return server


@pytest.fixture(scope="module")
def site(pki, tmp_path_factory):
    # A file may hold several certificates.
    return Site(tmp_path_factory.mktemp("attestation") / "site", {"roots.pem": Certified("other", authority=1).pem + pki.root.pem})


@pytest.fixture(scope="module")
def attesting(site):
    server = site.start()
    yield server
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture(scope="module")
def owner(attesting):
    return attesting.create_account("enclaves")


@pytest.fixture(scope="module")
def trusting(attesting, owner):
    """A client of the server that trusts the root."""
    return attesting.kms(owner)


@pytest.fixture(scope="module")
def blob(trusting):
    key = trusting.create_key()["KeyMetadata"]["KeyId"]
    return {"key": key, "ciphertext": trusting.encrypt(KeyId=key, Plaintext=b"attack at dawn")["CiphertextBlob"]}


def recipient(document):
    return {"KeyEncryptionAlgorithm": ALGORITHM, "AttestationDocument": document}


# What the enclave gets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
@pytest.mark.parametrize("tag", [b"", b"\xd2"], ids=["untagged", "tagged"])
def test_decrypt(pki, trusting, blob, bits, tag):
    enclave = Enclave(bits)
    document = tag + pki.attest(enclave.public)
    answer = trusting.decrypt(CiphertextBlob=blob["ciphertext"], Recipient=recipient(document))
    assert enclave.open(answer["CiphertextForRecipient"]) == b"attack at dawn"
    assert set(answer) == {"CiphertextForRecipient", "EncryptionAlgorithm", "KeyId", "ResponseMetadata"}, "no Plaintext, no KeyMaterialId"


@pytest.mark.parametrize("length", [{"KeySpec": "AES_128"}, {"KeySpec": "AES_256"}, {"NumberOfBytes": 1024}], ids=str)
def test_generate_data_key(pki, enclave, trusting, blob, length):
    answer = trusting.generate_data_key(KeyId=blob["key"], Recipient=recipient(pki.attest(enclave.public)), **length)
    assert set(answer) == {"CiphertextBlob", "CiphertextForRecipient", "KeyId", "ResponseMetadata"}
    data_key = enclave.open(answer["CiphertextForRecipient"])
    assert data_key == trusting.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"]


def test_generate_random(pki, enclave, trusting):
    answers = [trusting.generate_random(NumberOfBytes=24, Recipient=recipient(pki.attest(enclave.public))) for _ in range(2)]
    assert all(set(answer) == {"CiphertextForRecipient", "ResponseMetadata"} for answer in answers)
    first, second = (enclave.open(answer["CiphertextForRecipient"]) for answer in answers)
    assert len(first) == len(second) == 24 and first != second


@pytest.fixture(scope="module")
def pairs(trusting):
    """Key pairs of each spec that decrypts, with a ciphertext each, and of a spec that agrees."""
    made = {}
    for spec, algorithm in (("RSA_2048", "RSAES_OAEP_SHA_1"), ("RSA_3072", "RSAES_OAEP_SHA_256"), ("SM2", "SM2PKE")):
        key = trusting.create_key(KeySpec=spec, KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
        ciphertext = trusting.encrypt(KeyId=key, Plaintext=b"attack at dawn", EncryptionAlgorithm=algorithm)["CiphertextBlob"]
        made[spec] = {"KeyId": key, "CiphertextBlob": ciphertext, "EncryptionAlgorithm": algorithm}
    made["agreement"] = trusting.create_key(KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["Arn"]
    return made


@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072", "SM2"])
def test_decrypt_with_a_key_pair(pki, enclave, trusting, pairs, spec):
    answer = trusting.decrypt(Recipient=recipient(pki.attest(enclave.public)), **pairs[spec])
    assert enclave.open(answer.pop("CiphertextForRecipient")) == b"attack at dawn"
    answer.pop("ResponseMetadata")
    assert answer == {"KeyId": pairs[spec]["KeyId"], "EncryptionAlgorithm": pairs[spec]["EncryptionAlgorithm"]}, "no Plaintext"


def test_derive_shared_secret(pki, enclave, trusting, pairs):
    key, peer = pairs["agreement"], outside.GENERATORS["ECC_NIST_P384"]()
    given = {"KeyId": key, "KeyAgreementAlgorithm": "ECDH", "PublicKey": outside.spki(peer.public_key())}
    answer = trusting.derive_shared_secret(Recipient=recipient(pki.attest(enclave.public)), **given)
    public = outside.load_public(trusting.get_public_key(KeyId=key)["PublicKey"])
    assert enclave.open(answer.pop("CiphertextForRecipient")) == peer.exchange(ec.ECDH(), public)
    answer.pop("ResponseMetadata")
    assert answer == {"KeyId": key, "KeyAgreementAlgorithm": "ECDH", "KeyOrigin": "AWS_KMS"}, "no SharedSecret"


@pytest.mark.parametrize("spec", ["RSA_4096", "ECC_NIST_P521", "ML_KEM_768", "SM2"])
def test_generate_data_key_pair(pki, enclave, trusting, blob, spec):
    context = {"for": "an enclave"}
    answer = trusting.generate_data_key_pair(
        KeyId=blob["key"], KeyPairSpec=spec, EncryptionContext=context, Recipient=recipient(pki.attest(enclave.public))
    )
    members = {"CiphertextForRecipient", "KeyId", "KeyMaterialId", "KeyPairSpec", "PrivateKeyCiphertextBlob", "PublicKey"}
    assert set(answer) == members | {"ResponseMetadata"}, "no PrivateKeyPlaintext"
    private_key = enclave.open(answer["CiphertextForRecipient"])
    opened = trusting.decrypt(CiphertextBlob=answer["PrivateKeyCiphertextBlob"], EncryptionContext=context)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (private_key, answer["KeyMaterialId"])
    if spec != "SM2":
        assert outside.spki(outside.load_private(private_key).public_key()) == answer["PublicKey"]


def test_the_largest_plaintext(pki, trusting, blob):
    enclave, plaintext = Enclave(4096), bytes(range(256)) * 16
    ciphertext = trusting.encrypt(KeyId=blob["key"], Plaintext=plaintext)["CiphertextBlob"]
    answer = trusting.decrypt(CiphertextBlob=ciphertext, Recipient=recipient(pki.attest(enclave.public)))
    assert enclave.open(answer["CiphertextForRecipient"]) == plaintext


def test_openssl_opens_it(pki, enclave, trusting, blob, tmp_path):
    answer = trusting.decrypt(CiphertextBlob=blob["ciphertext"], Recipient=recipient(pki.attest(enclave.public)))
    cms, key = tmp_path / "cms", tmp_path / "key.pem"
    cms.write_bytes(answer["CiphertextForRecipient"])
    key.write_bytes(enclave.pem)
    command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", cms, "-inkey", key]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"attack at dawn"
    key.write_bytes(Enclave().pem)
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert b"attack" not in done.stdout, "another enclave's key opens nothing"


def ask_with_the_cli(server, owner, directory, document, *arguments):
    """What `aws kms ... --recipient` answers; the document is in a file."""
    path = directory / "document"
    path.write_bytes(document)
    environment = {
        "PATH": CLEAN_ENVIRONMENT["PATH"],
        "HOME": str(directory),
        "AWS_ACCESS_KEY_ID": owner.credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": owner.credentials.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_KMS": server.endpoint,
    }
    shape = f"KeyEncryptionAlgorithm={ALGORITHM},AttestationDocument@=fileb://{path}"
    command = [sys.executable, str(AWS), "kms", *arguments, "--recipient", shape]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_aws_cli(pki, enclave, attesting, owner, blob, tmp_path):
    ciphertext = tmp_path / "ciphertext"
    ciphertext.write_bytes(blob["ciphertext"])
    document = pki.attest(enclave.public)
    answer = ask_with_the_cli(attesting, owner, tmp_path, document, "decrypt", "--ciphertext-blob", f"fileb://{ciphertext}")
    assert "Plaintext" not in answer
    assert enclave.open(base64.b64decode(answer["CiphertextForRecipient"])) == b"attack at dawn"


def test_aws_cli_with_a_shared_secret(pki, enclave, attesting, owner, trusting, pairs, tmp_path):
    key, peer, path = pairs["agreement"], outside.GENERATORS["ECC_NIST_P384"](), tmp_path / "peer"
    path.write_bytes(outside.spki(peer.public_key()))
    given = ["--key-id", key, "--key-agreement-algorithm", "ECDH", "--public-key", f"fileb://{path}"]
    answer = ask_with_the_cli(attesting, owner, tmp_path, pki.attest(enclave.public), "derive-shared-secret", *given)
    public = outside.load_public(trusting.get_public_key(KeyId=key)["PublicKey"])
    assert enclave.open(base64.b64decode(answer["CiphertextForRecipient"])) == peer.exchange(ec.ECDH(), public)
    assert "SharedSecret" not in answer


def test_aws_cli_with_a_data_key_pair(pki, enclave, attesting, owner, trusting, blob, tmp_path):
    given = ["--key-id", blob["key"], "--key-pair-spec", "ECC_NIST_P256"]
    answer = ask_with_the_cli(attesting, owner, tmp_path, pki.attest(enclave.public), "generate-data-key-pair", *given)
    private_key = enclave.open(base64.b64decode(answer["CiphertextForRecipient"]))
    opened = trusting.decrypt(CiphertextBlob=base64.b64decode(answer["PrivateKeyCiphertextBlob"]))
    assert opened["Plaintext"] == private_key and "PrivateKeyPlaintext" not in answer
    assert outside.spki(outside.load_private(private_key).public_key()) == base64.b64decode(answer["PublicKey"])


def test_dry_run_of_key_pairs(pki, enclave, trusting, blob, pairs):
    peer = outside.spki(outside.GENERATORS["ECC_NIST_P384"]().public_key())
    given = {"KeyId": pairs["agreement"], "KeyAgreementAlgorithm": "ECDH", "PublicKey": peer}
    for document, code in ((pki.attest(enclave.public), "DryRunOperationException"), (b"document", "ValidationException")):
        shape = {"Recipient": recipient(document), "DryRun": True}
        with refused(code):
            trusting.decrypt(**pairs["RSA_2048"], **shape)
        with refused(code):
            trusting.derive_shared_secret(**given, **shape)
        with refused(code):
            trusting.generate_data_key_pair(KeyId=blob["key"], KeyPairSpec="ECC_NIST_P256", **shape)


def test_bad_documents_get_nothing_of_key_pairs(pki, enclave, trusting, blob, pairs):
    peer = outside.spki(outside.GENERATORS["ECC_NIST_P384"]().public_key())
    given = {"KeyId": pairs["agreement"], "KeyAgreementAlgorithm": "ECDH", "PublicKey": peer}
    genuine = pki.attest(enclave.public)
    for document in (genuine[:-1] + bytes([genuine[-1] ^ 1]), pki.attest(enclave.public, public_key=None), Pki().attest(enclave.public)):
        with refused("ValidationException", REFUSED):
            trusting.decrypt(Recipient=recipient(document), **pairs["SM2"])
        with refused("ValidationException", REFUSED):
            trusting.derive_shared_secret(Recipient=recipient(document), **given)
        with refused("ValidationException", REFUSED):
            trusting.generate_data_key_pair(KeyId=blob["key"], KeyPairSpec="SM2", Recipient=recipient(document))


def test_dry_run(pki, enclave, trusting, blob):
    with refused("DryRunOperationException"):
        trusting.decrypt(CiphertextBlob=blob["ciphertext"], Recipient=recipient(pki.attest(enclave.public)), DryRun=True)
    with refused("ValidationException", REFUSED):
        trusting.decrypt(CiphertextBlob=blob["ciphertext"], Recipient=recipient(b"document"), DryRun=True)


# What is refused ------------------------------------------------------------------------------------------------------------------


def nobody_gets_it(client, blob, document, message=REFUSED, code="ValidationException"):
    """All three operations refuse."""
    attempts = [
        lambda: client.decrypt(CiphertextBlob=blob["ciphertext"], Recipient=recipient(document)),
        lambda: client.generate_data_key(KeyId=blob["key"], KeySpec="AES_256", Recipient=recipient(document)),
        lambda: client.generate_random(NumberOfBytes=32, Recipient=recipient(document)),
    ]
    for attempt in attempts:
        with refused(code, message):
            attempt()


CHANGES = {
    "no public key": {"public_key": None},
    "public key absent": {"public_key": "absent"},
    "RSA-1024": {"public_key": Enclave(1024).public},
    "not a key": {"public_key": b"\x30\x03\x02\x01\x00"},
    "SHA-256": {"digest": "SHA256"},
    "no registers": {"pcrs": {}},
    "short register": {"pcrs": {0: bytes(32)}},
    "register 32": {"pcrs": {32: bytes(48)}},
    "no module": {"module_id": ""},
    "from the future": {"timestamp": 4_000_000_000_000},
    "before time": {"timestamp": 0},
    "unknown member": {"debug": 1},
    "no bundle": {"cabundle": []},
    "nonce too long": {"nonce": bytes(1025)},
    "certificate absent": {"certificate": "absent"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_documents_that_say_something_else(pki, enclave, trusting, blob, changes):
    nobody_gets_it(trusting, blob, pki.attest(enclave.public, **changes))


def test_every_part_is_signed(pki, enclave, trusting, blob):
    document = pki.attest(enclave.public)
    # Somewhere in each: headers, module, registers, certificates, public key, the end of the payload, both halves of the signature.
    for position in [1, 4, 30, 120, 600, 1200, 2000, 3000, len(document) - 300, len(document) - 105, len(document) - 60, len(document) - 1]:
        changed = bytearray(document)
        changed[position] ^= 1
        with refused("ValidationException", REFUSED):
            trusting.decrypt(CiphertextBlob=blob["ciphertext"], Recipient=recipient(bytes(changed)))


def test_documents_that_are_not_whole(pki, enclave, trusting, blob):
    document = pki.attest(enclave.public)
    for changed in (document[:-1], document[: len(document) // 2], document[:1], document + b"\x00", b"\xd2" + b"\xd2" + document):
        nobody_gets_it(trusting, blob, changed)


def test_a_wrong_root(enclave, trusting, blob):
    nobody_gets_it(trusting, blob, Pki().attest(enclave.public), re.compile("not one of the roots"))


def test_somebody_elses_signature(pki, enclave, trusting, blob):
    nobody_gets_it(trusting, blob, pki.attest(enclave.public, signer=Pki().instance), re.compile("its signature is wrong"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"begin": -2 * DAY, "end": -DAY}, "expired"),
        ({"begin": DAY, "end": 2 * DAY}, "not valid yet"),
        ({"authority": 0}, "authority"),
        ({"curve": ec.SECP256R1()}, "P-384"),
    ],
    ids=["expired", "not yet valid", "an authority", "P-256"],
)
def test_signers_that_cannot_be_accepted(pki, enclave, trusting, blob, settings, message):
    signer = Certified("i-2", pki.zone, **settings)
    payload = cbor(pki.members(enclave.public, certificate=signer.der))
    document = sign(payload, signer if "curve" not in settings else pki.instance)
    nobody_gets_it(trusting, blob, document, re.compile(message))


def test_the_order_of_the_bundle(pki, enclave, trusting, blob):
    for bundle in (pki.cabundle[::-1], pki.cabundle[1:], [pki.root.der, pki.zone.der, pki.region.der], pki.cabundle[:2]):
        nobody_gets_it(trusting, blob, pki.attest(enclave.public, cabundle=bundle))


def test_recipients_without_a_document(attesting, owner, blob):
    unchecked = attesting.kms(owner, parameter_validation=False)
    ciphertext = blob["ciphertext"]
    document = constraint("recipient.attestationDocument", "Member must have length less than or equal to 262144")
    with refused("ValidationException", document):
        unchecked.decrypt(CiphertextBlob=ciphertext, Recipient=recipient(bytes(262_145)))
    with refused("ValidationException", constraint("recipient.attestationDocument", "Member must have length greater than or equal to 1")):
        unchecked.decrypt(CiphertextBlob=ciphertext, Recipient=recipient(b""))
    algorithm = constraint("recipient.keyEncryptionAlgorithm", f"Member must satisfy enum value set: [{ALGORITHM}]")
    with refused("ValidationException", algorithm):
        unchecked.decrypt(CiphertextBlob=ciphertext, Recipient={"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_1", "AttestationDocument": b"x"})
    for empty in ({}, {"KeyEncryptionAlgorithm": ALGORITHM}, {"AttestationDocument": b"x"}):
        with refused("ValidationException", re.compile("Member must not be null")):
            unchecked.decrypt(CiphertextBlob=ciphertext, Recipient=empty)
        with refused("ValidationException", re.compile("Member must not be null")):
            unchecked.generate_random(NumberOfBytes=8, Recipient=empty)


def test_without_roots_nothing_is_believed(server, kms, key_id, pki, enclave):
    blob = {"key": key_id, "ciphertext": kms.encrypt(KeyId=key_id, Plaintext=b"x" * 12)["CiphertextBlob"]}
    nobody_gets_it(kms, blob, pki.attest(enclave.public), re.compile("no root certificate"), "UnsupportedOperationException")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no certificate"),
        (Certified("leaf").pem, "cannot be a root of attestation"),
        (Certified("weak", authority=1, curve=ec.SECP256R1()).pem, "not on P-384"),
        (None, "cannot"),
    ],
    ids=["empty", "not an authority", "P-256", "missing"],
)
def test_roots_that_cannot_be_used(tmp_path, content, message):
    site = Site(tmp_path / "site", {"root.pem": content or b""})
    if content is None:
        (tmp_path / "site" / "root.pem").unlink()
    run("init", "--config", site.config)
    done = run("serve", "--config", site.config, check=False)
    assert done.returncode != 0 and message in done.stderr and "root.pem" in done.stderr, done.stderr


# Policies and the audit log -------------------------------------------------------------------------------------------------------


def pcr(index):
    return bytes([index]).hex() * 48


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"StringEqualsIgnoreCase": {"kms:RecipientAttestation:ImageSha384": pcr(0)}}, True),
        ({"StringEquals": {"kms:RecipientAttestation:PCR3": pcr(3)}}, True),
        ({"StringEquals": {"kms:RecipientAttestation:PCR3": pcr(3), "kms:RecipientAttestation:PCR8": pcr(8)}}, True),
        ({"StringEquals": {"kms:RecipientAttestation:PCR3": pcr(4)}}, False),
        ({"StringEquals": {"kms:RecipientAttestation:PCR3": pcr(3), "kms:RecipientAttestation:PCR8": pcr(7)}}, False),
        ({"StringEquals": {"kms:RecipientAttestation:PCR16": pcr(0)}}, False),
        ({"StringEquals": {"kms:RecipientAttestation:NitroTPMPCR3": pcr(3)}}, False),
    ],
    ids=str,
)
def test_conditions(pki, enclave, attesting, owner, trusting, condition, allowed):
    user = attesting.create_user(owner.account)
    document = policy(statement("Allow", owner.arn), statement("Allow", user.arn, "kms:Decrypt", condition=condition))
    key = trusting.create_key(Policy=document)["KeyMetadata"]["KeyId"]
    ciphertext = trusting.encrypt(KeyId=key, Plaintext=b"measured")["CiphertextBlob"]
    client = attesting.kms(user)
    with refused("AccessDeniedException"):
        client.decrypt(CiphertextBlob=ciphertext)
    if allowed:
        answer = client.decrypt(CiphertextBlob=ciphertext, Recipient=recipient(pki.attest(enclave.public)))
        assert enclave.open(answer["CiphertextForRecipient"]) == b"measured"
    else:
        with refused("AccessDeniedException"):
            client.decrypt(CiphertextBlob=ciphertext, Recipient=recipient(pki.attest(enclave.public)))


def test_nitrotpm(pki, enclave, attesting, owner, trusting):
    condition = {"StringEquals": {"kms:RecipientAttestation:NitroTPMPCR4": pcr(4)}}
    user = attesting.create_user(owner.account)
    document = policy(statement("Allow", owner.arn), statement("Allow", user.arn, "kms:GenerateDataKey", condition=condition))
    key = trusting.create_key(Policy=document)["KeyMetadata"]["Arn"]
    tpm = {"module_id": "i-1234567890abcdef0-tpm0000000000000000", "pcrs": "absent", "nitrotpm_pcrs": {4: bytes([4]) * 48, 12: bytes(48)}}
    answer = attesting.kms(user).generate_data_key(
        KeyId=key, KeySpec="AES_256", Recipient=recipient(pki.attest(enclave.public, **tpm))
    )
    assert len(enclave.open(answer["CiphertextForRecipient"])) == 32
    with refused("AccessDeniedException"):
        attesting.kms(user).generate_data_key(KeyId=key, KeySpec="AES_256", Recipient=recipient(pki.attest(enclave.public)))
    both = tpm | {"pcrs": {0: bytes(48)}}
    with refused("ValidationException", REFUSED):
        trusting.generate_data_key(KeyId=key, KeySpec="AES_256", Recipient=recipient(pki.attest(enclave.public, **both)))


def test_the_audit_log(pki, enclave, site, trusting, blob):
    document = pki.attest(enclave.public)
    answer = trusting.decrypt(CiphertextBlob=blob["ciphertext"], Recipient=recipient(document))
    request = answer["ResponseMetadata"]["RequestId"]
    lines = run("audit", "tail", "--json", "--lines", "50", "--config", site.config).stdout.splitlines()
    [line] = [line for line in lines if request in line]
    entry = json.loads(line)
    told = entry["additionalEventData"]["recipient"]
    assert told["attestationDocumentModuleId"] == "i-1234567890abcdef0-enc1234567890abcdef"
    assert told["attestationDocumentEnclaveImageDigest"] == pcr(0)
    assert {f"attestationDocumentEnclavePCR{index}": pcr(index) for index in (1, 2, 3, 4, 8)}.items() <= told.items()
    for secret in (b"attack at dawn", answer["CiphertextForRecipient"], document):
        assert base64.b64encode(secret).decode()[:-4] not in line and secret.hex() not in line
    assert "attack at dawn" not in line
