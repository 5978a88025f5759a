"""The spec SM2, in a deployment whose configuration offers it; checked with the openssl command, which knows SM2."""

import re

import pytest

import outside
from harness import refused
from test_serve import Site

# The distinguishing identifier that everybody uses (GB/T 35276, AWS KMS Developer Guide, "Offline verification with SM2 key pairs").
DISTINGUISHING_ID = "1234567812345678"
MESSAGE = b"what is signed in China"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("china") / "site", tls=False, regions='["cn-north-1"]', more="china_algorithms = true")
    printed = site.init().stdout
    site.server = site.start("http")
    site.server.environment |= dict(re.findall(r"^([A-Z_]+)=(.+)$", printed, re.MULTILINE))
    site.server.environment |= {"CLAVIGER_ENDPOINT": site.server.endpoint, "AWS_REGION": "cn-north-1"}
    site.root = site.server.create_account("first")
    yield site
    assert site.server.stop() == 0, site.server.log.read_text()


@pytest.fixture
def kms(site):
    return site.server.kms(site.root, "cn-north-1")


def create(kms, usage):
    key = kms.create_key(KeySpec="SM2", KeyUsage=usage)["KeyMetadata"]
    assert (key["KeySpec"], key["CustomerMasterKeySpec"], key["KeyUsage"]) == ("SM2", "SM2", usage)
    return key


@pytest.fixture
def public(tmp_path):
    """Writes a public key for openssl to read."""

    def write(der):
        path = tmp_path / "public.der"
        path.write_bytes(der)
        return ["-pubin", "-keyform", "DER", "-inkey", path]

    return write


def test_signatures(kms, public, tmp_path):
    key = create(kms, "SIGN_VERIFY")
    assert key["SigningAlgorithms"] == ["SM2DSA"]
    given = {"KeyId": key["KeyId"], "Message": MESSAGE, "SigningAlgorithm": "SM2DSA"}
    signature = kms.sign(**given)["Signature"]
    assert kms.verify(Signature=signature, **given)["SignatureValid"] is True
    with refused("KMSInvalidSignatureException", ""):
        kms.verify(Signature=signature, **given | {"Message": MESSAGE + b"x"})
    message, signed = tmp_path / "message", tmp_path / "signature"
    message.write_bytes(MESSAGE)
    signed.write_bytes(signature)
    options = ["-rawin", "-digest", "sm3", "-pkeyopt", f"distid:{DISTINGUISHING_ID}", "-in", message, "-sigfile", signed]
    key_options = public(kms.get_public_key(KeyId=key["KeyId"])["PublicKey"])
    outside.openssl("pkeyutl", "-verify", *key_options, *options)
    message.write_bytes(MESSAGE + b"x")
    assert outside.openssl("pkeyutl", "-verify", *key_options, *options, check=False).returncode != 0


def test_encryption(kms, public):
    key = create(kms, "ENCRYPT_DECRYPT")
    assert key["EncryptionAlgorithms"] == ["SM2PKE"]
    given = {"KeyId": key["KeyId"], "EncryptionAlgorithm": "SM2PKE"}
    for size in (1, 32, 1024):
        blob = kms.encrypt(Plaintext=b"s" * size, **given)["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob, **given)["Plaintext"] == b"s" * size
    with refused("ValidationException", "Algorithm SM2PKE and key spec SM2 cannot encrypt data larger than 1024 bytes."):
        kms.encrypt(Plaintext=b"s" * 1025, **given)
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob[:-1] + bytes([blob[-1] ^ 1]), **given)
    from_openssl = outside.openssl(
        "pkeyutl", "-encrypt", *public(kms.get_public_key(KeyId=key["KeyId"])["PublicKey"]), stdin=b"from openssl"
    ).stdout
    assert kms.decrypt(CiphertextBlob=from_openssl, **given)["Plaintext"] == b"from openssl"


def test_agreement(kms):
    one, other = create(kms, "KEY_AGREEMENT"), create(kms, "KEY_AGREEMENT")
    secrets = {
        kms.derive_shared_secret(
            KeyId=mine["KeyId"], KeyAgreementAlgorithm="ECDH", PublicKey=kms.get_public_key(KeyId=theirs["KeyId"])["PublicKey"]
        )["SharedSecret"]
        for mine, theirs in ((one, other), (other, one))
    }
    assert len(secrets) == 1 and len(secrets.pop()) == 32
    with refused("ValidationException"):
        peer = outside.spki(outside.GENERATORS["ECC_NIST_P256"]().public_key())
        kms.derive_shared_secret(KeyId=one["KeyId"], KeyAgreementAlgorithm="ECDH", PublicKey=peer)


def test_data_key_pairs(kms, tmp_path):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    private = tmp_path / "private.der"
    pair = kms.generate_data_key_pair(KeyId=key, KeyPairSpec="SM2")
    assert kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"])["Plaintext"] == pair["PrivateKeyPlaintext"]
    without = kms.generate_data_key_pair_without_plaintext(KeyId=key, KeyPairSpec="SM2")
    opened = kms.decrypt(CiphertextBlob=without["PrivateKeyCiphertextBlob"])["Plaintext"]
    for der, public_key in ((pair["PrivateKeyPlaintext"], pair["PublicKey"]), (opened, without["PublicKey"])):
        private.write_bytes(der)
        made = outside.openssl("pkey", "-inform", "DER", "-in", private, "-pubout", "-outform", "DER")
        assert made.stdout == public_key


def test_material_comes_in_under_sm2(kms, public, tmp_path):
    key = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    given = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm="SM2PKE", WrappingKeySpec="SM2")
    material = tmp_path / "material"
    material.write_bytes(bytes(range(32)))
    wrapped = tmp_path / "wrapped"
    outside.openssl("pkeyutl", "-encrypt", *public(given["PublicKey"]), "-in", material, "-out", wrapped)
    finish = {"KeyId": key, "ImportToken": given["ImportToken"], "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    forged = bytearray(wrapped.read_bytes())
    forged[-1] ^= 1
    with refused("InvalidCiphertextException"):
        kms.import_key_material(EncryptedKeyMaterial=bytes(forged), **finish)
    kms.import_key_material(EncryptedKeyMaterial=wrapped.read_bytes(), **finish)
    sealed = kms.encrypt(KeyId=key, Plaintext=b"hello")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"hello"
    for algorithm, spec in (("SM2PKE", "RSA_2048"), ("RSAES_OAEP_SHA_256", "SM2")):
        with refused("UnsupportedOperationException"):
            kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=spec)
    rsa = kms.create_key(Origin="EXTERNAL", KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    with refused("UnsupportedOperationException"):
        kms.get_parameters_for_import(KeyId=rsa, WrappingAlgorithm="SM2PKE", WrappingKeySpec="SM2")


def test_everything_else_is_there_too(kms):
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    assert kms.sign(KeyId=key, Message=MESSAGE, SigningAlgorithm="ECDSA_SHA_256")["Signature"]
