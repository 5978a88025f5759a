"""EnableKey, DisableKey, UpdateKeyDescription, ScheduleKeyDeletion, CancelKeyDeletion."""

import datetime

import pytest

from harness import alias_name, constraint, refused, refused_as_no_key_id

MISSING = "00000000-0000-4000-8000-000000000000"
PLAINTEXT = b"the keeper stands at the door"


def state(kms, key_id):
    return kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"]


def test_disable_and_enable_are_idempotent(kms, key_id, arn):
    blob = kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    for _ in range(2):
        kms.disable_key(KeyId=key_id)
        assert state(kms, key_id) == "Disabled"
        with refused("DisabledException", f"{arn} is disabled."):
            kms.decrypt(CiphertextBlob=blob)
    for _ in range(2):
        kms.enable_key(KeyId=arn)
        assert state(kms, key_id) == "Enabled"
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_description_is_replaced(kms, key_id):
    for text in ("first", "", "zweite – 第二", "x" * 8192):
        kms.update_key_description(KeyId=key_id, Description=text)
        assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Description"] == text


def test_description_limits(unchecked, key_id):
    with refused("ValidationException", constraint("description", "Member must have length less than or equal to 8192")):
        unchecked.update_key_description(KeyId=key_id, Description="x" * 8193)
    with refused("ValidationException", constraint("description", "Member must not be null")):
        unchecked.update_key_description(KeyId=key_id)


@pytest.mark.parametrize("days", [None, 7, 8, 30])
def test_deletion_is_scheduled(kms, key_id, arn, days):
    given = {} if days is None else {"PendingWindowInDays": days}
    now = datetime.datetime.now(datetime.timezone.utc)
    answer = kms.schedule_key_deletion(KeyId=key_id, **given)
    answer.pop("ResponseMetadata")
    expected = now + datetime.timedelta(days=days or 30)
    assert abs((answer.pop("DeletionDate") - expected).total_seconds()) < 5
    # The key's ARN, not its id.
    assert answer == {"KeyId": arn, "KeyState": "PendingDeletion", "PendingWindowInDays": days or 30}


@pytest.mark.parametrize(("days", "rule"), [(6, "greater than or equal to 7"), (0, "greater than or equal to 7"), (31, "less than or equal to 30")])
def test_window_limits(unchecked, key_id, days, rule):
    with refused("ValidationException"):
        unchecked.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days)
    assert state(unchecked, key_id) == "Enabled"


def test_cancelling_leaves_the_key_disabled(kms, key_id, arn):
    blob = kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        kms.decrypt(CiphertextBlob=blob)
    assert kms.cancel_key_deletion(KeyId=arn)["KeyId"] == arn
    assert state(kms, key_id) == "Disabled"
    kms.enable_key(KeyId=key_id)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_cancelling_what_was_not_scheduled(kms, key_id, arn):
    with refused("KMSInvalidStateException", f"{arn} is not pending deletion."):
        kms.cancel_key_deletion(KeyId=key_id)
    kms.disable_key(KeyId=key_id)
    with refused("KMSInvalidStateException", f"{arn} is not pending deletion."):
        kms.cancel_key_deletion(KeyId=key_id)


def test_scheduling_twice(kms, key_id, arn):
    first = kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=30)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["DeletionDate"] == first["DeletionDate"]


def test_a_key_that_waits_keeps_its_aliases(kms, key_id):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    kms.schedule_key_deletion(KeyId=key_id)
    assert [item["AliasName"] for item in kms.list_aliases(KeyId=key_id)["Aliases"]] == [alias]
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyState"] == "PendingDeletion"


OPERATIONS = [
    ("enable_key", {}),
    ("disable_key", {}),
    ("update_key_description", {"Description": "x"}),
    ("schedule_key_deletion", {}),
    ("cancel_key_deletion", {}),
]


@pytest.mark.parametrize(("method", "parameters"), OPERATIONS)
def test_missing_keys(kms, method, parameters):
    with refused("NotFoundException", f"Key 'arn:aws:kms:us-east-1:123456789012:key/{MISSING}' does not exist"):
        getattr(kms, method)(KeyId=MISSING, **parameters)
    with refused("NotFoundException", "Invalid keyId 'nonsense'"):
        getattr(kms, method)(KeyId="nonsense", **parameters)


@pytest.mark.parametrize(("method", "parameters"), OPERATIONS)
def test_a_key_is_not_changed_by_its_alias(kms, key_id, method, parameters):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    before = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    for name in (alias, f"arn:aws:kms:us-east-1:123456789012:{alias}"):
        with refused_as_no_key_id():
            getattr(kms, method)(KeyId=name, **parameters)
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"] == before
