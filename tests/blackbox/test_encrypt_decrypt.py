"""Encrypt and Decrypt."""

import os

import pytest

from harness import REGION, alias_name, constraint, refused

ACCOUNT = "123456789012"
MISSING = "00000000-0000-4000-8000-000000000000"
INCORRECT = "The key ID in the request does not identify a CMK that can perform this operation."
# docs/formats and design: format, key id, material id, nonce, commitment, ciphertext, tag.
FORMAT, KEY, MATERIAL, NONCE, COMMITMENT, TAG = 1, 16, 16, 24, 32, 16
OVERHEAD = FORMAT + KEY + MATERIAL + NONCE + COMMITMENT + TAG

CONTEXTS = {
    "none": None,
    "empty": {},
    "one": {"purpose": "test"},
    "many": {f"key-{number}": f"value-{number}" for number in range(40)},
    "empty value": {"k": ""},
    "any text": {"ключ": "значение", "鍵": "🔑", " ": "\t\n", "a=b&c": '{"x": "\\"}', "\x00": "\x7f"},
    "long": {"k": "v" * 4000},
}


@pytest.fixture
def blob(kms, key_id):
    return kms.encrypt(KeyId=key_id, Plaintext=b"the plaintext of this test", EncryptionContext={"a": "b"})["CiphertextBlob"]


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 255, 256, 4095, 4096])
def test_round_trip(kms, key, size):
    plaintext = os.urandom(size)
    encrypted = kms.encrypt(KeyId=key["KeyId"], Plaintext=plaintext)
    assert (encrypted["KeyId"], encrypted["EncryptionAlgorithm"]) == (key["Arn"], "SYMMETRIC_DEFAULT")
    assert len(encrypted["CiphertextBlob"]) == size + OVERHEAD <= 6144
    assert plaintext not in encrypted["CiphertextBlob"] or size < 4
    decrypted = kms.decrypt(CiphertextBlob=encrypted["CiphertextBlob"])
    decrypted.pop("ResponseMetadata")
    assert decrypted == {
        "KeyId": key["Arn"],
        "Plaintext": plaintext,
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "KeyMaterialId": key["CurrentKeyMaterialId"],
    }


@pytest.mark.parametrize("name", CONTEXTS)
def test_contexts(kms, key_id, name):
    given = {} if CONTEXTS[name] is None else {"EncryptionContext": CONTEXTS[name]}
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"bound to its context", **given)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, **given)["Plaintext"] == b"bound to its context"
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext=(CONTEXTS[name] or {}) | {"more": "than before"})


def test_no_context_and_an_empty_one_are_the_same(kms, key_id):
    without = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    empty = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={})["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=without, EncryptionContext={})["Plaintext"] == b"x"
    assert kms.decrypt(CiphertextBlob=empty)["Plaintext"] == b"x"


def test_the_order_of_the_context_does_not_matter(kms, key_id):
    pairs = [("b", "2"), ("a", "1"), ("ab", "3"), ("B", "4")]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext=dict(pairs))["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=dict(reversed(pairs)))["Plaintext"] == b"x"


@pytest.mark.parametrize(
    "other",
    [None, {}, {"ab": "c"}, {"a": "BC"}, {"A": "bc"}, {"a": "bc", "": ""}, {"a": "b"}, {"abc": ""}, {"a ": "bc"}, {"a": "bc\0"}, {"bc": "a"}],
)
def test_another_context_does_not_open(kms, key_id, other):
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "bc"})["CiphertextBlob"]
    given = {} if other is None else {"EncryptionContext": other}
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob, **given)


def test_the_same_plaintext_never_looks_the_same(kms, key_id):
    blobs = [kms.encrypt(KeyId=key_id, Plaintext=b"x" * 64)["CiphertextBlob"] for _ in range(20)]
    tails = {blob[FORMAT + KEY + MATERIAL :] for blob in blobs}
    assert len(tails) == 20
    assert len({blob[-16:] for blob in blobs}) == 20


def test_every_flipped_bit_is_found(kms, key_id, blob):
    given = {"EncryptionContext": {"a": "b"}}
    assert kms.decrypt(CiphertextBlob=blob, KeyId=key_id, **given)["Plaintext"] == b"the plaintext of this test"
    for position in range(len(blob)):
        flipped = bytearray(blob)
        flipped[position] ^= 1 << (position % 8)
        flipped = bytes(flipped)
        if FORMAT <= position < FORMAT + KEY:
            # It names another key, which is not there, and not the one that the request names.
            with refused("AccessDeniedException"):
                kms.decrypt(CiphertextBlob=flipped, **given)
            with refused("IncorrectKeyException", INCORRECT):
                kms.decrypt(CiphertextBlob=flipped, KeyId=key_id, **given)
        else:
            with refused("InvalidCiphertextException", ""):
                kms.decrypt(CiphertextBlob=flipped, **given)
            with refused("InvalidCiphertextException", ""):
                kms.decrypt(CiphertextBlob=flipped, KeyId=key_id, **given)


@pytest.mark.parametrize("length", [1, 2, 16, 17, 33, 57, 89, 104, 105, -17, -16, -2, -1])
def test_truncated_and_prolonged_blobs(kms, key_id, blob, length):
    for wrong in (blob[:length], blob + blob[: abs(length)], b"\x00" + blob[:length]):
        with refused("InvalidCiphertextException", ""):
            kms.decrypt(CiphertextBlob=wrong, KeyId=key_id, EncryptionContext={"a": "b"})


@pytest.mark.parametrize("size", [1, 64, 105, 106, 200, 6144])
def test_noise_does_not_open(kms, key_id, size):
    for noise in (os.urandom(size), bytes(size), b"\x01" + os.urandom(size - 1)):
        with pytest.raises(kms.exceptions.ClientError) as caught:
            kms.decrypt(CiphertextBlob=noise)
        assert caught.value.response["Error"]["Code"] in ("InvalidCiphertextException", "AccessDeniedException")


def test_parts_of_two_blobs_do_not_make_a_third(kms, key_id):
    one, other = (kms.encrypt(KeyId=key_id, Plaintext=text)["CiphertextBlob"] for text in (b"first text", b"other text"))
    edges = [0]
    for part in (FORMAT + KEY + MATERIAL, NONCE, COMMITMENT, 10, TAG):
        edges.append(edges[-1] + part)
    for begin, end in zip(edges[1:], edges[2:], strict=False):
        with refused("InvalidCiphertextException", ""):
            kms.decrypt(CiphertextBlob=one[:begin] + other[begin:end] + one[end:])


def test_named_by_each_of_its_names(kms, key):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    for name in (key["KeyId"], key["Arn"], alias, f"arn:aws:kms:{REGION}:{ACCOUNT}:{alias}"):
        encrypted = kms.encrypt(KeyId=name, Plaintext=b"x")
        assert encrypted["KeyId"] == key["Arn"]
        assert kms.decrypt(KeyId=name, CiphertextBlob=encrypted["CiphertextBlob"])["KeyId"] == key["Arn"]


def test_the_wrong_key(kms, blob):
    other = kms.create_key()["KeyMetadata"]
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=other["KeyId"])
    for name in (other["KeyId"], other["Arn"], alias):
        with refused("IncorrectKeyException", INCORRECT):
            kms.decrypt(CiphertextBlob=blob, KeyId=name, EncryptionContext={"a": "b"})


def test_a_missing_key(kms, blob):
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{MISSING}"
    for name in (MISSING, arn):
        with refused("NotFoundException", f"Key '{arn}' does not exist"):
            kms.encrypt(KeyId=name, Plaintext=b"x")
        with refused("NotFoundException", f"Key '{arn}' does not exist"):
            kms.decrypt(KeyId=name, CiphertextBlob=blob)
    with refused("NotFoundException", "Invalid keyId 'nonsense'"):
        kms.encrypt(KeyId="nonsense", Plaintext=b"x")


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])
def test_an_algorithm_of_other_keys(kms, key_id, blob, algorithm):
    message = f"Algorithm {algorithm} is incompatible with key spec SYMMETRIC_DEFAULT."
    with refused("InvalidKeyUsageException", message):
        kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionAlgorithm=algorithm)
    with refused("InvalidKeyUsageException", message):
        kms.decrypt(KeyId=key_id, CiphertextBlob=blob, EncryptionAlgorithm=algorithm)


def test_the_algorithm_may_be_said(kms, key_id):
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionAlgorithm="SYMMETRIC_DEFAULT")["CiphertextBlob"]
    assert kms.decrypt(KeyId=key_id, CiphertextBlob=blob, EncryptionAlgorithm="SYMMETRIC_DEFAULT")["Plaintext"] == b"x"


@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        ({"Plaintext": b""}, "plaintext", "Member must have length greater than or equal to 1"),
        ({"Plaintext": b"x" * 4097}, "plaintext", "Member must have length less than or equal to 4096"),
        ({}, "plaintext", "Member must not be null"),
        ({"KeyId": None, "Plaintext": b"x"}, "keyId", "Member must not be null"),
        ({"KeyId": "", "Plaintext": b"x"}, "keyId", "Member must have length greater than or equal to 1"),
        ({"KeyId": "k" * 2049, "Plaintext": b"x"}, "keyId", "Member must have length less than or equal to 2048"),
        ({"Plaintext": b"x", "EncryptionAlgorithm": "AES_GCM"}, "encryptionAlgorithm", "Member must satisfy enum value set"),
        ({"Plaintext": b"x", "GrantTokens": ["t"] * 11}, "grantTokens", "Member must have length less than or equal to 10"),
        ({"Plaintext": b"x", "GrantTokens": [""]}, "grantTokens", "Member must have length greater than or equal to 1"),
        ({"Plaintext": b"x", "GrantTokens": ["t" * 8193]}, "grantTokens", "Member must have length less than or equal to 8192"),
    ],
)
def test_limits_of_encrypt(unchecked, key_id, parameters, field, rule):
    members = {name: value for name, value in ({"KeyId": key_id} | parameters).items() if value is not None}
    with refused("ValidationException", constraint(field, rule)) as refusal:
        unchecked.encrypt(**members)
    # What was to be encrypted is never repeated.
    assert "xx" not in refusal.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        ({}, "ciphertextBlob", "Member must not be null"),
        ({"CiphertextBlob": b""}, "ciphertextBlob", "Member must have length greater than or equal to 1"),
        ({"CiphertextBlob": b"x" * 6145}, "ciphertextBlob", "Member must have length less than or equal to 6144"),
        ({"CiphertextBlob": b"x", "KeyId": ""}, "keyId", "Member must have length greater than or equal to 1"),
        ({"CiphertextBlob": b"x", "EncryptionAlgorithm": "AES"}, "encryptionAlgorithm", "Member must satisfy enum value set"),
        ({"CiphertextBlob": b"x", "GrantTokens": ["t"] * 11}, "grantTokens", "Member must have length less than or equal to 10"),
    ],
)
def test_limits_of_decrypt(unchecked, parameters, field, rule):
    with refused("ValidationException", constraint(field, rule)):
        unchecked.decrypt(**parameters)


def test_several_faults_are_told_together(unchecked):
    with refused("ValidationException") as refusal:
        unchecked.encrypt(KeyId="", Plaintext=b"")
    message = refusal.response["Error"]["Message"]
    assert message.startswith("2 validation errors detected: ")
    assert "'keyId'" in message and "'plaintext'" in message


def test_grant_tokens_are_accepted(kms, key_id):
    made = kms.create_grant(KeyId=key_id, GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:root", Operations=["Encrypt"])
    tokens = [made["GrantToken"]] * 10
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=tokens)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, GrantTokens=tokens)["Plaintext"] == b"x"


def test_an_answer_to_an_enclave_is_refused_and_never_given_in_plaintext(kms, blob):
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"document"}
    with refused("UnsupportedOperationException"):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"}, Recipient=recipient)


def test_keys_do_not_open_each_others_blobs(server, kms, tenant):
    """A blob of one account is of no use in another, and does not tell that its key is there."""
    mine = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=mine, Plaintext=b"x")["CiphertextBlob"]
    gone = bytearray(blob)
    gone[FORMAT] ^= 1
    other = server.kms(tenant)
    messages = []
    for foreign in (blob, bytes(gone)):
        with refused("AccessDeniedException") as refusal:
            other.decrypt(CiphertextBlob=foreign)
        messages.append(refusal.response["Error"]["Message"])
    assert messages[0] == messages[1]
