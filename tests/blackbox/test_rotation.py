"""EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand, ListKeyRotations."""

import datetime

import pytest

from harness import alias_name, constraint, refused, refused_as_no_key_id

MISSING = "00000000-0000-4000-8000-000000000000"


def status(kms, key_id):
    answer = kms.get_key_rotation_status(KeyId=key_id)
    answer.pop("ResponseMetadata")
    return answer


def days_from_now(moment):
    return (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400


def test_off_at_first(kms, key_id, arn):
    answer = status(kms, key_id)
    assert answer.pop("KeyId") in (key_id, arn)
    assert answer == {"KeyRotationEnabled": False}


@pytest.mark.parametrize("days", [None, 90, 91, 365, 2560])
def test_on_with_a_period(kms, key_id, arn, days):
    kms.enable_key_rotation(KeyId=arn, **({} if days is None else {"RotationPeriodInDays": days}))
    answer = status(kms, key_id)
    assert answer["KeyRotationEnabled"] is True
    assert answer["RotationPeriodInDays"] == (days or 365)
    assert abs(days_from_now(answer["NextRotationDate"]) - (days or 365)) < 0.01
    assert "OnDemandRotationStartDate" not in answer
    kms.disable_key_rotation(KeyId=key_id)
    assert set(status(kms, key_id)) == {"KeyId", "KeyRotationEnabled"}
    assert status(kms, key_id)["KeyRotationEnabled"] is False


def test_a_new_period_replaces_the_old(kms, key_id):
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=365)
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=100)
    assert status(kms, key_id)["RotationPeriodInDays"] == 100
    assert abs(days_from_now(status(kms, key_id)["NextRotationDate"]) - 100) < 0.01


def test_both_switches_are_idempotent(kms, key_id):
    for _ in range(2):
        kms.disable_key_rotation(KeyId=key_id)
    for _ in range(2):
        kms.enable_key_rotation(KeyId=key_id)
    assert status(kms, key_id)["KeyRotationEnabled"] is True


@pytest.mark.parametrize(("days", "rule"), [(89, "greater than or equal to 90"), (0, "greater than or equal to 90"), (2561, "less than or equal to 2560")])
def test_limits_of_the_period(unchecked, key_id, days, rule):
    with refused("ValidationException", constraint("rotationPeriodInDays", f"Member must have value {rule}")):
        unchecked.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=days)
    assert status(unchecked, key_id)["KeyRotationEnabled"] is False


def test_states(kms, key_id, arn):
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=180)
    kms.disable_key(KeyId=key_id)
    for method in ("enable_key_rotation", "disable_key_rotation", "rotate_key_on_demand"):
        with refused("DisabledException", f"{arn} is disabled."):
            getattr(kms, method)(KeyId=key_id)
    assert status(kms, key_id)["RotationPeriodInDays"] == 180
    kms.schedule_key_deletion(KeyId=key_id)
    for method in ("enable_key_rotation", "disable_key_rotation", "rotate_key_on_demand"):
        with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
            getattr(kms, method)(KeyId=key_id)
    # While a key waits for its deletion its rotation counts as off, and is back after.
    assert status(kms, key_id)["KeyRotationEnabled"] is False
    kms.cancel_key_deletion(KeyId=key_id)
    assert status(kms, key_id)["RotationPeriodInDays"] == 180


def test_on_demand(kms, key):
    key_id, first = key["KeyId"], key["CurrentKeyMaterialId"]
    blobs = {first: kms.encrypt(KeyId=key_id, Plaintext=first[::-1].encode())["CiphertextBlob"]}
    for _ in range(5):
        assert kms.rotate_key_on_demand(KeyId=key_id)["KeyId"] == key["Arn"]
        current = kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]
        assert current not in blobs
        blobs[current] = kms.encrypt(KeyId=key_id, Plaintext=current[::-1].encode())["CiphertextBlob"]
        data_key = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        assert data_key["KeyMaterialId"] == current
    for material, blob in blobs.items():
        opened = kms.decrypt(CiphertextBlob=blob, KeyId=key_id)
        assert (opened["Plaintext"].decode(), opened["KeyMaterialId"]) == (material[::-1], material)
    # A ciphertext does not open as one of another material.
    materials = list(blobs)
    one, other = blobs[materials[0]], blobs[materials[1]]
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=one[:17] + other[17:33] + one[33:])


def test_on_demand_leaves_the_schedule(kms, key_id):
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=120)
    before = status(kms, key_id)
    kms.rotate_key_on_demand(KeyId=key_id)
    assert status(kms, key_id) == before


def test_twenty_five_on_demand(kms, key_id, arn):
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key_id)
    with refused(
        "LimitExceededException",
        "The on-demand rotations limit has been reached for the given keyId. "
        f"No more on-demand rotations can be performed for this key: {arn}",
    ):
        kms.rotate_key_on_demand(KeyId=key_id)
    assert len(kms.list_key_rotations(KeyId=key_id)["Rotations"]) == 25


def test_the_list(kms, key):
    key_id, first = key["KeyId"], key["CurrentKeyMaterialId"]
    assert kms.list_key_rotations(KeyId=key_id)["Rotations"] == []
    [only] = kms.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert only["KeyId"] in (key_id, key["Arn"])
    # The first material has no date and no type of rotation.
    assert {name: value for name, value in only.items() if name != "KeyId"} == {
        "KeyMaterialId": first,
        "KeyMaterialState": "CURRENT",
    }
    for _ in range(2):
        kms.rotate_key_on_demand(KeyId=key_id)
    current = kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]
    for given in ({}, {"IncludeKeyMaterial": "ROTATIONS_ONLY"}):
        rotations = kms.list_key_rotations(KeyId=key["Arn"], **given)["Rotations"]
        assert len(rotations) == 2
        assert {rotation["RotationType"] for rotation in rotations} == {"ON_DEMAND"}
        assert all(abs(days_from_now(rotation["RotationDate"])) < 0.01 for rotation in rotations)
        assert first not in {rotation["KeyMaterialId"] for rotation in rotations}
    everything = kms.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    states = {rotation["KeyMaterialId"]: rotation["KeyMaterialState"] for rotation in everything}
    assert len(states) == 3
    assert states[current] == "CURRENT" and sorted(states.values()) == ["CURRENT", "NON_CURRENT", "NON_CURRENT"]
    oldest = next(rotation for rotation in everything if rotation["KeyMaterialId"] == first)
    assert "RotationDate" not in oldest and "RotationType" not in oldest


def test_the_list_in_every_state(kms, key_id):
    kms.rotate_key_on_demand(KeyId=key_id)
    for change in (kms.disable_key, kms.schedule_key_deletion):
        change(KeyId=key_id)
        assert len(kms.list_key_rotations(KeyId=key_id)["Rotations"]) == 1


def test_unknown_include(unchecked, key_id):
    with refused("ValidationException", constraint("includeKeyMaterial", "Member must satisfy enum value set")):
        unchecked.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="EVERYTHING")


@pytest.mark.parametrize(
    "method", ["enable_key_rotation", "disable_key_rotation", "get_key_rotation_status", "rotate_key_on_demand", "list_key_rotations"]
)
def test_names(kms, key_id, method):
    with refused("NotFoundException", f"Key 'arn:aws:kms:us-east-1:123456789012:key/{MISSING}' does not exist"):
        getattr(kms, method)(KeyId=MISSING)
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    with refused_as_no_key_id():
        getattr(kms, method)(KeyId=alias)
