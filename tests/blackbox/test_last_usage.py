"""GetKeyLastUsage."""

import datetime

import pytest

from harness import alias_name, refused, refused_as_no_key_id
from test_key_states import KINDS_OF_KEY, made_before
from test_key_states import uses as parameters_of


def usage(kms, key_id):
    return kms.get_key_last_usage(KeyId=key_id)


def test_a_key_that_was_never_used(kms, key):
    answer = usage(kms, key["KeyId"])
    assert answer.get("KeyLastUsage", {}) == {}
    assert answer["KeyCreationDate"] == key["CreationDate"]
    assert answer["TrackingStartDate"] >= key["CreationDate"]
    assert answer["KeyId"] in (key["KeyId"], key["Arn"])


def uses(kms, key_id):
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    return {
        "Encrypt": lambda: kms.encrypt(KeyId=key_id, Plaintext=b"x"),
        "Decrypt": lambda: kms.decrypt(CiphertextBlob=blob),
        "ReEncrypt": lambda: kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key_id),
        "GenerateDataKey": lambda: kms.generate_data_key(KeyId=key_id, KeySpec="AES_256"),
        "GenerateDataKeyWithoutPlaintext": lambda: kms.generate_data_key_without_plaintext(KeyId=key_id, KeySpec="AES_256"),
    }


@pytest.mark.parametrize("operation", ["Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"])
def test_each_use_is_noted(kms, key_id, arn, operation):
    answer = uses(kms, key_id)[operation]()
    last = usage(kms, arn)["KeyLastUsage"]
    assert last["Operation"] == operation
    assert last["KmsRequestId"] == answer["ResponseMetadata"]["RequestId"]
    assert last["CloudTrailEventId"]
    assert abs((last["Timestamp"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) < 5


@pytest.mark.parametrize("operation", sorted(parameters_of("", b"")))
def test_each_use_of_other_keys_is_noted_but_reading_the_public_key_is_none(kms, operation):
    spec, usage_of_key = KINDS_OF_KEY.get(operation, ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"))
    key = kms.create_key(KeySpec=spec, KeyUsage=usage_of_key)["KeyMetadata"]
    parameters = parameters_of(key["KeyId"], made_before(kms, key["KeyId"], usage_of_key))[operation]
    before = usage(kms, key["KeyId"]).get("KeyLastUsage")
    method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
    answer = getattr(kms, method)(**parameters)
    last = usage(kms, key["KeyId"]).get("KeyLastUsage")
    if operation == "GetPublicKey":
        assert last == before
    else:
        assert (last["Operation"], last["KmsRequestId"]) == (operation, answer["ResponseMetadata"]["RequestId"])


def test_re_encrypt_counts_for_both_keys(kms):
    source, destination = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    blob = kms.encrypt(KeyId=source, Plaintext=b"x")["CiphertextBlob"]
    request = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=destination)["ResponseMetadata"]["RequestId"]
    for key in (source, destination):
        last = usage(kms, key)["KeyLastUsage"]
        assert (last["Operation"], last["KmsRequestId"]) == ("ReEncrypt", request)


def test_only_successful_cryptography_counts(kms, key_id):
    request = kms.encrypt(KeyId=key_id, Plaintext=b"x")["ResponseMetadata"]["RequestId"]
    with refused("InvalidCiphertextException"):
        kms.decrypt(KeyId=key_id, CiphertextBlob=b"noise")
    kms.describe_key(KeyId=key_id)
    kms.update_key_description(KeyId=key_id, Description="x")
    kms.rotate_key_on_demand(KeyId=key_id)
    kms.disable_key(KeyId=key_id)
    with refused("DisabledException"):
        kms.encrypt(KeyId=key_id, Plaintext=b"x")
    assert usage(kms, key_id)["KeyLastUsage"]["KmsRequestId"] == request
    kms.schedule_key_deletion(KeyId=key_id)
    assert usage(kms, key_id)["KeyLastUsage"]["KmsRequestId"] == request


def test_not_by_alias(kms, key_id):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    with refused_as_no_key_id():
        kms.get_key_last_usage(KeyId=alias)


def test_missing_keys(kms):
    with refused("NotFoundException"):
        kms.get_key_last_usage(KeyId="00000000-0000-4000-8000-000000000000")
