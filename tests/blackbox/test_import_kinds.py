"""Imported material of every kind, under every wrapping that may carry it, judged by Python's cryptography, which holds the same key."""

import os

import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

from harness import refused
from imports import begin, finish, import_material
from test_import import AES, CURVES, HMAC, OAEP, RSA, describe, external

MESSAGE = b"attack at dawn"
WRAPPINGS = [(algorithm, spec) for algorithm in OAEP + AES for spec in RSA]


def pkcs8(key):
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def rsa_keys():
    return {spec: rsa.generate_private_key(public_exponent=65537, key_size=int(spec[-4:])) for spec in RSA}


def stays_the_same(kms, key_id, material, use, algorithm="RSA_AES_KEY_WRAP_SHA_256"):
    """Deletes the material and imports it again: the key does what it did."""
    kms.delete_imported_key_material(KeyId=key_id)
    assert describe(kms, key_id)["KeyState"] == "PendingImport"
    with refused("KMSInvalidStateException"):
        use()
    import_material(kms, key_id, material, algorithm)
    use()


@pytest.mark.parametrize("spec", HMAC)
@pytest.mark.parametrize("algorithm", OAEP)
def test_hmac(kms, spec, algorithm):
    length, digest = HMAC[spec]
    key_id, material = external(kms, KeySpec=spec, KeyUsage="GENERATE_VERIFY_MAC")["KeyId"], os.urandom(length)
    parameters = begin(kms, key_id, algorithm)
    for wrong in (material[:-1], material + b"x"):
        with refused("IncorrectKeyMaterialException"):
            finish(kms, key_id, parameters, wrong, algorithm)
    answer = finish(kms, key_id, parameters, material, algorithm)
    assert "KeyMaterialId" not in answer and "CurrentKeyMaterialId" not in describe(kms, key_id)
    name = spec.replace("HMAC_", "HMAC_SHA_")
    use = lambda: kms.generate_mac(KeyId=key_id, Message=MESSAGE, MacAlgorithm=name)["Mac"]  # noqa: E731
    own = hmac.HMAC(material, digest())
    own.update(MESSAGE)
    assert use() == own.finalize()
    with refused("IncorrectKeyMaterialException"):
        finish(kms, key_id, parameters, os.urandom(length), algorithm)
    stays_the_same(kms, key_id, material, use, algorithm)


@pytest.mark.parametrize(("algorithm", "wrapping"), WRAPPINGS)
@pytest.mark.parametrize("spec", CURVES)
def test_ecc(kms, spec, algorithm, wrapping):
    curve, digest, signing = CURVES[spec]
    key_id, key = external(kms, KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyId"], ec.generate_private_key(curve())
    if spec == "ECC_NIST_P521" and wrapping == "RSA_2048" and algorithm in OAEP:
        with refused("UnsupportedOperationException"):
            begin(kms, key_id, algorithm, wrapping)
        return
    import_material(kms, key_id, pkcs8(key), algorithm, wrapping)
    assert kms.get_public_key(KeyId=key_id)["PublicKey"] == spki(key)
    signature = kms.sign(KeyId=key_id, Message=MESSAGE, SigningAlgorithm=signing)["Signature"]
    key.public_key().verify(signature, MESSAGE, ec.ECDSA(digest()))


@pytest.mark.parametrize("spec", CURVES)
def test_ecc_comes_back(kms, spec):
    curve, digest, signing = CURVES[spec]
    key_id, key = external(kms, KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyId"], ec.generate_private_key(curve())
    parameters = begin(kms, key_id, "RSA_AES_KEY_WRAP_SHA_256")
    others = [ec.generate_private_key(other()) for other, *_ in CURVES.values() if other is not curve]
    for wrong in [b"x", os.urandom(32), *map(pkcs8, others)]:
        with refused("IncorrectKeyMaterialException"):
            finish(kms, key_id, parameters, wrong, "RSA_AES_KEY_WRAP_SHA_256")
    finish(kms, key_id, parameters, pkcs8(key), "RSA_AES_KEY_WRAP_SHA_256")
    own = key.sign(MESSAGE, ec.ECDSA(digest()))
    use = lambda: kms.verify(KeyId=key_id, Message=MESSAGE, Signature=own, SigningAlgorithm=signing)  # noqa: E731
    use()
    with refused("IncorrectKeyMaterialException"):
        finish(kms, key_id, parameters, pkcs8(ec.generate_private_key(curve())), "RSA_AES_KEY_WRAP_SHA_256")
    stays_the_same(kms, key_id, pkcs8(key), use)


@pytest.mark.parametrize("algorithm", OAEP + AES)
def test_ed25519(kms, algorithm):
    key_id, key = external(kms, KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY")["KeyId"], ed25519.Ed25519PrivateKey.generate()
    import_material(kms, key_id, pkcs8(key), algorithm)
    signature = kms.sign(KeyId=key_id, Message=MESSAGE, SigningAlgorithm="ED25519_SHA_512")["Signature"]
    key.public_key().verify(signature, MESSAGE)


@pytest.mark.parametrize("algorithm", OAEP + AES)
@pytest.mark.parametrize("spec", ["ML_DSA_44", "ML_DSA_65", "ML_DSA_87"])
def test_ml_dsa(kms, spec, algorithm):
    key = {"ML_DSA_44": mldsa.MLDSA44PrivateKey, "ML_DSA_65": mldsa.MLDSA65PrivateKey, "ML_DSA_87": mldsa.MLDSA87PrivateKey}[spec].generate()
    key_id = external(kms, KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyId"]
    import_material(kms, key_id, pkcs8(key), algorithm)
    use = lambda: kms.sign(KeyId=key_id, Message=MESSAGE, SigningAlgorithm="ML_DSA_SHAKE_256")["Signature"]  # noqa: E731
    key.public_key().verify(use(), MESSAGE)
    stays_the_same(kms, key_id, pkcs8(key), use)


@pytest.mark.parametrize("curve", ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"])
def test_key_agreement(kms, curve):
    key_id, key = external(kms, KeySpec=curve, KeyUsage="KEY_AGREEMENT")["KeyId"], ec.generate_private_key(CURVES[curve][0]())
    import_material(kms, key_id, pkcs8(key), "RSA_AES_KEY_WRAP_SHA_256")
    peer = ec.generate_private_key(CURVES[curve][0]())
    answer = kms.derive_shared_secret(KeyId=key_id, KeyAgreementAlgorithm="ECDH", PublicKey=spki(peer))
    assert answer["SharedSecret"] == peer.exchange(ec.ECDH(), key.public_key())
    assert answer["KeyOrigin"] == "EXTERNAL"


@pytest.mark.parametrize("wrapping", RSA)
@pytest.mark.parametrize("algorithm", AES)
@pytest.mark.parametrize("spec", RSA)
def test_rsa(kms, rsa_keys, spec, algorithm, wrapping):
    key = rsa_keys[spec]
    key_id = external(kms, KeySpec=spec, KeyUsage="ENCRYPT_DECRYPT")["KeyId"]
    import_material(kms, key_id, pkcs8(key), algorithm, wrapping)
    blob = kms.encrypt(KeyId=key_id, Plaintext=MESSAGE, EncryptionAlgorithm="RSAES_OAEP_SHA_256")["CiphertextBlob"]
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    assert key.decrypt(blob, oaep) == MESSAGE


@pytest.mark.parametrize("spec", RSA)
def test_rsa_comes_back(kms, rsa_keys, spec):
    key = rsa_keys[spec]
    key_id = external(kms, KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyId"]
    for algorithm in OAEP:
        with refused("UnsupportedOperationException"):
            begin(kms, key_id, algorithm, "RSA_4096")
    parameters = begin(kms, key_id, "RSA_AES_KEY_WRAP_SHA_256")
    for other in RSA:
        if other != spec:
            with refused("IncorrectKeyMaterialException"):
                finish(kms, key_id, parameters, pkcs8(rsa_keys[other]), "RSA_AES_KEY_WRAP_SHA_256")
    finish(kms, key_id, parameters, pkcs8(key), "RSA_AES_KEY_WRAP_SHA_256")
    use = lambda: kms.sign(KeyId=key_id, Message=MESSAGE, SigningAlgorithm="RSASSA_PSS_SHA_256")["Signature"]  # noqa: E731
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    key.public_key().verify(use(), MESSAGE, pss, hashes.SHA256())
    stays_the_same(kms, key_id, pkcs8(key), use)


def test_what_only_symmetric_keys_have(kms):
    key_id = external(kms, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyId"]
    parameters = begin(kms, key_id)
    for member in ({"ImportType": "NEW_KEY_MATERIAL"}, {"KeyMaterialDescription": "x"}, {"KeyMaterialId": "0" * 64}):
        with refused("ValidationException"):
            finish(kms, key_id, parameters, bytes(32), ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE", **member)
    finish(kms, key_id, parameters, bytes(32))


@pytest.mark.parametrize("spec", ["ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"])
def test_encapsulation_keys_are_not_imported(kms, spec):
    with refused("UnsupportedOperationException"):
        external(kms, KeySpec=spec, KeyUsage="ENCAPSULATE_DECAPSULATE")
