"""DryRun and DryRunModifiers: the answer is an error, and nothing happens."""

import pytest

from harness import refused
from test_key_states import KINDS_OF_KEY, made_before, uses

SUCCEEDED = "The request would have succeeded, but the DryRun option is set."


@pytest.fixture
def blob(kms, key_id):
    return kms.encrypt(KeyId=key_id, Plaintext=b"only a rehearsal")["CiphertextBlob"]


def calls(key_id, blob):
    return {
        "encrypt": {"KeyId": key_id, "Plaintext": b"x"},
        "decrypt": {"CiphertextBlob": blob},
        "re_encrypt": {"CiphertextBlob": blob, "DestinationKeyId": key_id},
        "generate_data_key": {"KeyId": key_id, "KeySpec": "AES_256"},
        "generate_data_key_without_plaintext": {"KeyId": key_id, "KeySpec": "AES_256"},
    }


METHODS = list(calls("", b""))


@pytest.mark.parametrize("method", METHODS)
def test_a_request_that_would_succeed(kms, key_id, blob, method):
    with refused("DryRunOperationException", SUCCEEDED):
        getattr(kms, method)(**calls(key_id, blob)[method], DryRun=True)


@pytest.mark.parametrize("method", METHODS)
def test_false_means_no_dry_run(kms, key_id, blob, method):
    assert getattr(kms, method)(**calls(key_id, blob)[method], DryRun=False)["KeyId"]


@pytest.mark.parametrize("method", METHODS)
def test_a_request_that_would_fail_fails_the_same_way(kms, key_id, arn, blob, method):
    kms.disable_key(KeyId=key_id)
    with refused("DisabledException", f"{arn} is disabled."):
        getattr(kms, method)(**calls(key_id, blob)[method], DryRun=True)
    kms.schedule_key_deletion(KeyId=key_id)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        getattr(kms, method)(**calls(key_id, blob)[method], DryRun=True)


def test_a_ciphertext_is_looked_at(kms, key_id, blob):
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"}, DryRun=True)
    with refused("InvalidCiphertextException", ""):
        kms.re_encrypt(CiphertextBlob=blob[:-1], DestinationKeyId=key_id, DryRun=True)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=blob, KeyId=other, DryRun=True)


def test_forbidden_stays_forbidden(server, kms, key_id, blob):
    nobody = server.kms(server.create_user("123456789012"))
    for method in METHODS:
        with refused("AccessDeniedException"):
            getattr(nobody, method)(**calls(key_id, blob)[method], DryRun=True)


def test_the_ciphertext_may_be_ignored(kms, key_id, blob):
    modifiers = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    for given in ({}, {"CiphertextBlob": blob}, {"CiphertextBlob": b"no ciphertext at all"}):
        with refused("DryRunOperationException", SUCCEEDED):
            kms.decrypt(KeyId=key_id, **given, **modifiers)
        with refused("DryRunOperationException", SUCCEEDED):
            kms.re_encrypt(SourceKeyId=key_id, DestinationKeyId=key_id, **given, **modifiers)


def test_then_the_key_must_be_named(kms, key_id, blob):
    modifiers = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    with refused("ValidationException"):
        kms.decrypt(**modifiers)
    with refused("ValidationException"):
        kms.decrypt(CiphertextBlob=blob, **modifiers)
    with refused("ValidationException"):
        kms.re_encrypt(DestinationKeyId=key_id, CiphertextBlob=blob, **modifiers)


def test_modifiers_are_for_dry_runs(kms, key_id, blob):
    for dry in ({}, {"DryRun": False}):
        with refused("ValidationException"):
            kms.decrypt(KeyId=key_id, CiphertextBlob=blob, DryRunModifiers=["IGNORE_CIPHERTEXT"], **dry)


def test_unknown_modifiers(unchecked, key_id, blob):
    with refused("ValidationException"):
        unchecked.decrypt(KeyId=key_id, CiphertextBlob=blob, DryRun=True, DryRunModifiers=["IGNORE_POLICY"])


def test_a_rehearsal_is_no_use_of_the_key(kms, key_id):
    with refused("DryRunOperationException"):
        kms.encrypt(KeyId=key_id, Plaintext=b"x", DryRun=True)
    assert kms.get_key_last_usage(KeyId=key_id).get("KeyLastUsage", {}) == {}


ON_OTHER_KEYS = sorted(set(uses("", b"")) - {"GetPublicKey"})


@pytest.mark.parametrize("operation", ON_OTHER_KEYS)
def test_other_keys_and_data_key_pairs(kms, operation):
    """The same for the operations on keys that are not symmetric."""
    spec, usage = KINDS_OF_KEY.get(operation, ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"))
    key = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    parameters = uses(key["KeyId"], made_before(kms, key["KeyId"], usage))[operation]
    method = getattr(kms, "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_"))
    before = kms.get_key_last_usage(KeyId=key["KeyId"]).get("KeyLastUsage")
    with refused("DryRunOperationException", SUCCEEDED):
        method(**parameters, DryRun=True)
    assert kms.get_key_last_usage(KeyId=key["KeyId"]).get("KeyLastUsage") == before
    assert method(**parameters, DryRun=False)["KeyId"] == key["Arn"]
    kms.disable_key(KeyId=key["KeyId"])
    with refused("DisabledException", f"{key['Arn']} is disabled."):
        method(**parameters, DryRun=True)
