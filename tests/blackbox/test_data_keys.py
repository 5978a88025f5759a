"""GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom."""

import pytest

from harness import alias_name, constraint, refused

MISSING = "00000000-0000-4000-8000-000000000000"
BOTH = ["generate_data_key", "generate_data_key_without_plaintext"]

SIZES = [
    ({"KeySpec": "AES_128"}, 16),
    ({"KeySpec": "AES_256"}, 32),
    ({"NumberOfBytes": 1}, 1),
    ({"NumberOfBytes": 64}, 64),
    ({"NumberOfBytes": 1024}, 1024),
]


@pytest.mark.parametrize(("size", "length"), SIZES)
@pytest.mark.parametrize("context", [None, {"volume": "vol-1"}])
@pytest.mark.parametrize("method", BOTH)
def test_a_data_key_of_each_size(kms, key, size, length, context, method):
    given = {} if context is None else {"EncryptionContext": context}
    answer = getattr(kms, method)(KeyId=key["KeyId"], **size, **given)
    assert answer["KeyId"] == key["Arn"]
    assert answer["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    opened = kms.decrypt(CiphertextBlob=answer["CiphertextBlob"], **given)
    assert len(opened["Plaintext"]) == length
    if method == "generate_data_key":
        assert answer["Plaintext"] == opened["Plaintext"]
    else:
        assert "Plaintext" not in answer
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=answer["CiphertextBlob"], EncryptionContext={"other": "context"})


def test_no_two_are_the_same(kms, key_id):
    keys = [kms.generate_data_key(KeyId=key_id, KeySpec="AES_256") for _ in range(20)]
    assert len({key["Plaintext"] for key in keys}) == len({key["CiphertextBlob"] for key in keys}) == 20


def test_by_alias_and_with_grant_tokens(kms, key):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    made = kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=f"arn:aws:iam::{key['AWSAccountId']}:root", Operations=["GenerateDataKey"])
    for method in BOTH:
        assert getattr(kms, method)(KeyId=alias, KeySpec="AES_256", GrantTokens=[made["GrantToken"]])["KeyId"] == key["Arn"]


@pytest.mark.parametrize("method", BOTH)
def test_exactly_one_size(kms, key_id, method):
    with refused("ValidationException"):
        getattr(kms, method)(KeyId=key_id)
    with refused("ValidationException"):
        getattr(kms, method)(KeyId=key_id, KeySpec="AES_256", NumberOfBytes=32)


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        ({"KeySpec": "AES_512"}, "keySpec", "Member must satisfy enum value set"),
        ({"NumberOfBytes": 0}, "numberOfBytes", "Member must have value greater than or equal to 1"),
        ({"NumberOfBytes": -1}, "numberOfBytes", "Member must have value greater than or equal to 1"),
        ({"NumberOfBytes": 1025}, "numberOfBytes", "Member must have value less than or equal to 1024"),
        ({"KeySpec": "AES_256", "KeyId": None}, "keyId", "Member must not be null"),
        ({"KeySpec": "AES_256", "KeyId": "k" * 2049}, "keyId", "Member must have length less than or equal to 2048"),
        ({"KeySpec": "AES_256", "GrantTokens": ["t"] * 11}, "grantTokens", "Member must have length less than or equal to 10"),
    ],
)
def test_limits(unchecked, key_id, method, parameters, field, rule):
    members = {name: value for name, value in ({"KeyId": key_id} | parameters).items() if value is not None}
    with refused("ValidationException", constraint(field, rule)):
        getattr(unchecked, method)(**members)


@pytest.mark.parametrize("method", BOTH)
def test_a_missing_key(kms, method):
    with refused("NotFoundException", f"Key 'arn:aws:kms:us-east-1:123456789012:key/{MISSING}' does not exist"):
        getattr(kms, method)(KeyId=MISSING, KeySpec="AES_256")


def test_an_answer_to_an_enclave_is_refused_and_never_given_in_plaintext(kms, key_id):
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"document"}
    with refused("UnsupportedOperationException"):
        kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", Recipient=recipient)
    with refused("UnsupportedOperationException"):
        kms.generate_random(NumberOfBytes=8, Recipient=recipient)


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 1023, 1024])
def test_random_bytes(kms, length):
    first, second = (kms.generate_random(NumberOfBytes=length)["Plaintext"] for _ in range(2))
    assert len(first) == len(second) == length
    if length > 16:
        assert first != second


def test_random_needs_a_number(kms):
    with refused("ValidationException", "NumberOfBytes is required."):
        kms.generate_random()


@pytest.mark.parametrize(("number", "rule"), [(0, "greater than or equal to 1"), (-1, "greater than or equal to 1"), (1025, "less than or equal to 1024")])
def test_random_limits(unchecked, number, rule):
    with refused("ValidationException", constraint("numberOfBytes", f"Member must have value {rule}")):
        unchecked.generate_random(NumberOfBytes=number)


def test_random_from_a_key_store_that_is_not_there(kms):
    with refused("CustomKeyStoreNotFoundException"):
        kms.generate_random(NumberOfBytes=8, CustomKeyStoreId="cks-1234567890abcdef0")
