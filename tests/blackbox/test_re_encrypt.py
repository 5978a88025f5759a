"""ReEncrypt."""

import pytest

from harness import alias_name, constraint, refused

MISSING = "00000000-0000-4000-8000-000000000000"
INCORRECT = "The key ID in the request does not identify a CMK that can perform this operation."
TEXT = b"from one key to another"


@pytest.fixture
def keys(kms):
    return [kms.create_key()["KeyMetadata"] for _ in range(2)]


@pytest.fixture
def blob(kms, keys):
    return kms.encrypt(KeyId=keys[0]["KeyId"], Plaintext=TEXT, EncryptionContext={"from": "here"})["CiphertextBlob"]


@pytest.mark.parametrize("name_source", [False, True])
def test_moves_a_ciphertext_with_a_new_context(kms, keys, blob, name_source):
    source, destination = keys
    given = {"SourceKeyId": source["KeyId"]} if name_source else {}
    answer = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext={"from": "here"},
        DestinationKeyId=destination["KeyId"],
        DestinationEncryptionContext={"to": "there"},
        **given,
    )
    answer.pop("ResponseMetadata")
    moved = answer.pop("CiphertextBlob")
    assert answer == {
        "SourceKeyId": source["Arn"],
        "KeyId": destination["Arn"],
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "SourceKeyMaterialId": source["CurrentKeyMaterialId"],
        "DestinationKeyMaterialId": destination["CurrentKeyMaterialId"],
    }
    opened = kms.decrypt(CiphertextBlob=moved, EncryptionContext={"to": "there"}, KeyId=destination["KeyId"])
    assert (opened["Plaintext"], opened["KeyId"]) == (TEXT, destination["Arn"])
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=moved, EncryptionContext={"from": "here"})


def test_the_same_key_moves_to_its_new_material(kms, keys, blob):
    key = keys[0]
    kms.rotate_key_on_demand(KeyId=key["KeyId"])
    newest = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["CurrentKeyMaterialId"]
    answer = kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext={"from": "here"}, DestinationKeyId=key["Arn"])
    assert answer["SourceKeyMaterialId"] == key["CurrentKeyMaterialId"] != newest
    assert answer["DestinationKeyMaterialId"] == newest
    assert kms.decrypt(CiphertextBlob=answer["CiphertextBlob"])["KeyMaterialId"] == newest


def test_keys_by_alias(kms, keys, blob):
    aliases = [alias_name(), alias_name()]
    for key, alias in zip(keys, aliases, strict=True):
        kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    answer = kms.re_encrypt(
        CiphertextBlob=blob, SourceKeyId=aliases[0], SourceEncryptionContext={"from": "here"}, DestinationKeyId=aliases[1]
    )
    assert (answer["SourceKeyId"], answer["KeyId"]) == (keys[0]["Arn"], keys[1]["Arn"])


def test_the_wrong_source(kms, keys, blob):
    with refused("IncorrectKeyException", INCORRECT):
        kms.re_encrypt(
            CiphertextBlob=blob,
            SourceKeyId=keys[1]["KeyId"],
            SourceEncryptionContext={"from": "here"},
            DestinationKeyId=keys[1]["KeyId"],
        )


@pytest.mark.parametrize("context", [None, {}, {"from": "Here"}, {"to": "here"}])
def test_the_wrong_source_context(kms, keys, blob, context):
    given = {} if context is None else {"SourceEncryptionContext": context}
    with refused("InvalidCiphertextException", ""):
        kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=keys[1]["KeyId"], **given)


def test_flipped_bits(kms, keys, blob):
    for position in range(17, len(blob), 7):
        flipped = blob[:position] + bytes([blob[position] ^ 0x40]) + blob[position + 1 :]
        with refused("InvalidCiphertextException", ""):
            kms.re_encrypt(CiphertextBlob=flipped, SourceEncryptionContext={"from": "here"}, DestinationKeyId=keys[1]["KeyId"])


def test_a_missing_destination(kms, blob):
    with refused("NotFoundException", f"Key 'arn:aws:kms:us-east-1:123456789012:key/{MISSING}' does not exist"):
        kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext={"from": "here"}, DestinationKeyId=MISSING)


@pytest.mark.parametrize("which", [0, 1])
def test_both_keys_must_be_usable(kms, keys, blob, which):
    key = keys[which]
    given = {"CiphertextBlob": blob, "SourceEncryptionContext": {"from": "here"}, "DestinationKeyId": keys[1]["KeyId"]}
    kms.disable_key(KeyId=key["KeyId"])
    with refused("DisabledException", f"{key['Arn']} is disabled."):
        kms.re_encrypt(**given)
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    with refused("KMSInvalidStateException", f"{key['Arn']} is pending deletion."):
        kms.re_encrypt(**given)


@pytest.mark.parametrize("side", ["Source", "Destination"])
def test_an_algorithm_of_other_keys(kms, keys, blob, side):
    with refused("InvalidKeyUsageException", "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."):
        kms.re_encrypt(
            CiphertextBlob=blob,
            SourceKeyId=keys[0]["KeyId"],
            SourceEncryptionContext={"from": "here"},
            DestinationKeyId=keys[1]["KeyId"],
            **{f"{side}EncryptionAlgorithm": "RSAES_OAEP_SHA_256"},
        )


@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        ({"DestinationKeyId": "k"}, "ciphertextBlob", "Member must not be null"),
        ({"CiphertextBlob": b"x"}, "destinationKeyId", "Member must not be null"),
        ({"CiphertextBlob": b"", "DestinationKeyId": "k"}, "ciphertextBlob", "Member must have length greater than or equal to 1"),
        ({"CiphertextBlob": b"x" * 6145, "DestinationKeyId": "k"}, "ciphertextBlob", "Member must have length less than or equal to 6144"),
        ({"CiphertextBlob": b"x", "DestinationKeyId": ""}, "destinationKeyId", "Member must have length greater than or equal to 1"),
        (
            {"CiphertextBlob": b"x", "DestinationKeyId": "k", "SourceEncryptionAlgorithm": "AES"},
            "sourceEncryptionAlgorithm",
            "Member must satisfy enum value set",
        ),
        (
            {"CiphertextBlob": b"x", "DestinationKeyId": "k", "DestinationEncryptionAlgorithm": "AES"},
            "destinationEncryptionAlgorithm",
            "Member must satisfy enum value set",
        ),
        ({"CiphertextBlob": b"x", "DestinationKeyId": "k", "GrantTokens": ["t"] * 11}, "grantTokens", "less than or equal to 10"),
    ],
)
def test_limits(unchecked, parameters, field, rule):
    with refused("ValidationException", constraint(field, rule)):
        unchecked.re_encrypt(**parameters)
