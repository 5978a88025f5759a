"""Encapsulate and Decapsulate, each done outside the server as well, where there is a library for it."""

import os

import pytest

import outside
from harness import alias_name, constraint, refused

# Spec: bytes of the encapsulated secret, and of the public key without what stands around it (FIPS 203, table 3).
SPECS = {"ML_KEM_512": (768, 800), "ML_KEM_768": (1088, 1184), "ML_KEM_1024": (1568, 1568)}
# What `cryptography` has. ML-KEM-512 is tested with vectors in the hsm crate.
OUTSIDE = ["ML_KEM_768", "ML_KEM_1024"]


@pytest.fixture(scope="module")
def keys(kms):
    return {spec: kms.create_key(KeySpec=spec, KeyUsage="ENCAPSULATE_DECAPSULATE")["KeyMetadata"] for spec in SPECS}


def encapsulate(kms, key, **given):
    return kms.encapsulate(KeyId=key["KeyId"], EncapsulationAlgorithm="ML_KEM", **given)


def decapsulate(kms, key, blob, **given):
    return kms.decapsulate(KeyId=key["KeyId"], SharedSecretCiphertextBlob=blob, EncapsulationAlgorithm="ML_KEM", **given)


def test_metadata(kms, keys):
    for spec, key in keys.items():
        assert (key["KeySpec"], key["KeyUsage"], key["EncapsulationAlgorithms"]) == (spec, "ENCAPSULATE_DECAPSULATE", ["ML_KEM"])
        assert "CurrentKeyMaterialId" not in key
        answer = kms.get_public_key(KeyId=key["KeyId"])
        assert answer["EncapsulationAlgorithms"] == ["ML_KEM"]
        # RFC 9935: the algorithm is 11 bytes of an object identifier, and the key stands in a bit string.
        assert len(answer["PublicKey"]) == SPECS[spec][1] + 22
        if spec in OUTSIDE:
            assert outside.kind(outside.load_public(answer["PublicKey"])) == spec


@pytest.mark.parametrize("spec", SPECS)
def test_there_and_back(kms, keys, spec):
    key, seen = keys[spec], set()
    for _ in range(3):
        made = encapsulate(kms, key)
        made.pop("ResponseMetadata")
        secret, blob = made.pop("SharedSecret"), made.pop("SharedSecretCiphertextBlob")
        assert made == {"KeyId": key["Arn"], "EncapsulationAlgorithm": "ML_KEM"}
        assert (len(secret), len(blob)) == (32, SPECS[spec][0])
        opened = decapsulate(kms, key, blob)
        opened.pop("ResponseMetadata")
        assert opened == {"KeyId": key["Arn"], "SharedSecret": secret, "EncapsulationAlgorithm": "ML_KEM"}
        seen |= {secret, blob}
    assert len(seen) == 6


@pytest.mark.parametrize("spec", OUTSIDE)
def test_encapsulated_outside_decapsulated_inside(kms, keys, spec):
    public = outside.load_public(kms.get_public_key(KeyId=keys[spec]["KeyId"])["PublicKey"])
    for _ in range(3):
        secret, blob = public.encapsulate()
        assert decapsulate(kms, keys[spec], blob)["SharedSecret"] == secret


@pytest.mark.parametrize("spec", OUTSIDE)
def test_a_data_key_pair_decapsulates_outside(kms, key_id, spec):
    pair = kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec=spec)
    private = outside.load_private(pair["PrivateKeyPlaintext"])
    secret, blob = outside.load_public(pair["PublicKey"]).encapsulate()
    assert private.decapsulate(blob) == secret


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_not_of_this_key_gives_another_secret(kms, keys, spec):
    """FIPS 203 rejects implicitly: the answer does not tell."""
    other = kms.create_key(KeySpec=spec, KeyUsage="ENCAPSULATE_DECAPSULATE")["KeyMetadata"]
    made = encapsulate(kms, keys[spec])
    secret, blob = made["SharedSecret"], made["SharedSecretCiphertextBlob"]
    flipped = bytes([blob[0] ^ 1]) + blob[1:]
    answers = [decapsulate(kms, keys[spec], flipped)["SharedSecret"] for _ in range(2)]
    assert answers[0] == answers[1] != secret
    assert decapsulate(kms, other, blob)["SharedSecret"] != secret
    assert len(decapsulate(kms, keys[spec], os.urandom(len(blob)))["SharedSecret"]) == 32


@pytest.mark.parametrize("spec", SPECS)
def test_ciphertexts_of_another_length(kms, keys, spec):
    right = SPECS[spec][0]
    for length in {1, 32, 768, 1088, 1568, right - 1, right + 1, 6144} - {right}:
        with refused("InvalidCiphertextException", ""):
            decapsulate(kms, keys[spec], bytes(length))


@pytest.mark.parametrize(("spec", "usage"), [("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("ECC_NIST_P256", "KEY_AGREEMENT")])
def test_keys_for_something_else(kms, spec, usage):
    key = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is {usage} which is not valid for Encapsulate."):
        encapsulate(kms, key)
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is {usage} which is not valid for Decapsulate."):
        decapsulate(kms, key, bytes(768))


@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        ({"SharedSecretCiphertextBlob": None}, "sharedSecretCiphertextBlob", "Member must not be null"),
        ({"SharedSecretCiphertextBlob": b""}, "sharedSecretCiphertextBlob", "Member must have length greater than or equal to 1"),
        ({"SharedSecretCiphertextBlob": b"x" * 6145}, "sharedSecretCiphertextBlob", "Member must have length less than or equal to 6144"),
        ({"EncapsulationAlgorithm": None}, "encapsulationAlgorithm", "Member must not be null"),
        ({"EncapsulationAlgorithm": "RSA"}, "encapsulationAlgorithm", "Member must satisfy enum value set: [ML_KEM]"),
        ({"KeyId": None}, "keyId", "Member must not be null"),
        ({"GrantTokens": ["t"] * 11}, "grantTokens", "Member must have length less than or equal to 10"),
    ],
)
def test_limits_of_the_model(unchecked, keys, parameters, field, rule):
    given = {"KeyId": keys["ML_KEM_512"]["KeyId"], "SharedSecretCiphertextBlob": bytes(768), "EncapsulationAlgorithm": "ML_KEM"} | parameters
    given = {name: value for name, value in given.items() if value is not None}
    with refused("ValidationException", constraint(field, rule)):
        unchecked.decapsulate(**given)
    if field != "sharedSecretCiphertextBlob":
        given.pop("SharedSecretCiphertextBlob")
        with refused("ValidationException", constraint(field, rule)):
            unchecked.encapsulate(**given)


def test_by_alias_and_in_rehearsal(kms, keys):
    alias, key = alias_name(), keys["ML_KEM_768"]
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    made = encapsulate(kms, {"KeyId": alias})
    assert decapsulate(kms, {"KeyId": alias}, made["SharedSecretCiphertextBlob"])["KeyId"] == made["KeyId"] == key["Arn"]
    with refused("DryRunOperationException"):
        encapsulate(kms, key, DryRun=True)
    with refused("DryRunOperationException"):
        decapsulate(kms, key, made["SharedSecretCiphertextBlob"], DryRun=True)
    with refused("InvalidCiphertextException", ""):
        decapsulate(kms, key, b"x", DryRun=True)
