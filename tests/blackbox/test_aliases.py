"""CreateAlias, UpdateAlias, DeleteAlias. ListAliases is in test_lists.py."""

import re
import time

import pytest

from harness import REGION, alias_name, constraint, refused, refused_as_no_key_id

ACCOUNT = "123456789012"
MISSING = "00000000-0000-4000-8000-000000000000"
PREFIX = re.compile(r'^Alias must start with the prefix "alias/"\.')


def alias_arn(name, region=REGION):
    return f"arn:aws:kms:{region}:{ACCOUNT}:{name}"


def entry(kms, key_id, name):
    return next((item for item in kms.list_aliases(KeyId=key_id, Limit=100)["Aliases"] if item["AliasName"] == name), None)


def test_an_alias_stands_for_its_key(kms, key):
    name = alias_name()
    kms.create_alias(AliasName=name, TargetKeyId=key["Arn"])
    assert entry(kms, key["KeyId"], name)["TargetKeyId"] == key["KeyId"]
    blob = kms.encrypt(KeyId=name, Plaintext=b"by its alias")["CiphertextBlob"]
    answer = kms.decrypt(CiphertextBlob=blob, KeyId=alias_arn(name))
    assert (answer["Plaintext"], answer["KeyId"]) == (b"by its alias", key["Arn"])


@pytest.mark.parametrize("tail", ["a", "A-b_c/d", "0", "x" * 250, "team/app/prod", "a:b"])
def test_names_that_can_be(kms, key_id, tail):
    name = f"alias/{tail}"
    kms.create_alias(AliasName=name, TargetKeyId=key_id)
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == key_id
    kms.delete_alias(AliasName=name)


def test_names_differ_by_case(kms):
    name = alias_name()
    keys = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2)]
    kms.create_alias(AliasName=name, TargetKeyId=keys[0])
    kms.create_alias(AliasName=f"alias/{name[6:].upper()}", TargetKeyId=keys[1])
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == keys[0]


@pytest.mark.parametrize("operation", ["create_alias", "update_alias", "delete_alias"])
def test_the_prefix_is_needed(kms, key_id, operation):
    parameters = {} if operation == "delete_alias" else {"TargetKeyId": key_id}
    for name in ("no-prefix", "Alias/x", "aliasx", "/alias/x"):
        with refused("ValidationException", PREFIX):
            getattr(kms, operation)(AliasName=name, **parameters)


def test_the_prefix_alone_is_no_name(kms, key_id):
    with refused("InvalidAliasNameException"):
        kms.create_alias(AliasName="alias/", TargetKeyId=key_id)


@pytest.mark.parametrize("operation", ["create_alias", "update_alias", "delete_alias"])
def test_the_services_names_are_reserved(kms, key_id, operation):
    parameters = {} if operation == "delete_alias" else {"TargetKeyId": key_id}
    for name in ("alias/aws/mine", "alias/aws/s3", "alias/aws/"):
        with refused("NotAuthorizedException"):
            getattr(kms, operation)(AliasName=name, **parameters)


def test_what_only_looks_reserved_is_not(kms, key_id):
    name = f"{alias_name().replace('alias/', 'alias/aws-')}"
    kms.create_alias(AliasName=name, TargetKeyId=key_id)
    kms.delete_alias(AliasName=name)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "Member must have length greater than or equal to 1"),
        ("alias/" + "x" * 251, "Member must have length less than or equal to 256"),
        ("alias/with space", "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"),
        ("alias/ümlaut", "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"),
        ("alias/dot.dot", "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"),
        ("alias/line\n", "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"),
    ],
)
@pytest.mark.parametrize("operation", ["create_alias", "update_alias", "delete_alias"])
def test_limits_of_the_model(unchecked, key_id, operation, name, rule):
    parameters = {} if operation == "delete_alias" else {"TargetKeyId": key_id}
    with refused("ValidationException", constraint("aliasName", rule)):
        getattr(unchecked, operation)(AliasName=name, **parameters)


def test_a_name_is_taken_once(kms, key_id):
    name = alias_name()
    kms.create_alias(AliasName=name, TargetKeyId=key_id)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    for target in (key_id, other):
        with refused("AlreadyExistsException", f"An alias with the name {alias_arn(name)} already exists"):
            kms.create_alias(AliasName=name, TargetKeyId=target)
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == key_id


def test_the_target_must_be_there(kms, key_id):
    missing = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{MISSING}"
    for target in (MISSING, missing):
        with refused("NotFoundException", f"Key '{missing}' does not exist"):
            kms.create_alias(AliasName=alias_name(), TargetKeyId=target)
    name = alias_name()
    kms.create_alias(AliasName=name, TargetKeyId=key_id)
    with refused("NotFoundException", f"Key '{missing}' does not exist"):
        kms.update_alias(AliasName=name, TargetKeyId=MISSING)
    assert entry(kms, key_id, name)


def test_an_alias_is_no_target(kms, key_id):
    name = alias_name()
    kms.create_alias(AliasName=name, TargetKeyId=key_id)
    with refused_as_no_key_id():
        kms.create_alias(AliasName=alias_name(), TargetKeyId=name)
    with refused_as_no_key_id():
        kms.update_alias(AliasName=name, TargetKeyId=name)


def test_target_is_required(unchecked):
    for operation in ("create_alias", "update_alias"):
        with refused("ValidationException", constraint("targetKeyId", "Member must not be null")):
            getattr(unchecked, operation)(AliasName=alias_name())


def test_update_moves_the_alias(kms, key_id):
    name, other = alias_name(), kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=name, TargetKeyId=key_id)
    blob = kms.encrypt(KeyId=name, Plaintext=b"before the move")["CiphertextBlob"]
    before = entry(kms, key_id, name)
    time.sleep(0.01)
    kms.update_alias(AliasName=name, TargetKeyId=other["Arn"])
    assert entry(kms, key_id, name) is None
    after = entry(kms, other["KeyId"], name)
    assert (after["TargetKeyId"], after["CreationDate"]) == (other["KeyId"], before["CreationDate"])
    assert after["LastUpdatedDate"] > before["LastUpdatedDate"]
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == other["KeyId"]
    # The old ciphertext still names the old key.
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"before the move"
    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=blob, KeyId=name)


def test_update_and_delete_of_a_missing_alias(kms, key_id):
    name = alias_name()
    with refused("NotFoundException", f"Alias {alias_arn(name)} is not found."):
        kms.update_alias(AliasName=name, TargetKeyId=key_id)
    with refused("NotFoundException", f"Alias {alias_arn(name)} is not found."):
        kms.delete_alias(AliasName=name)


def test_delete_leaves_the_key(kms, key):
    name = alias_name()
    kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    kms.delete_alias(AliasName=name)
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key
    with refused("NotFoundException", f"Alias {alias_arn(name)} is not found."):
        kms.describe_key(KeyId=name)
    kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    assert entry(kms, key["KeyId"], name)


def test_fifty_aliases_for_a_key(kms, key_id):
    """AWS's quota: 50 aliases for a key."""
    stem = alias_name()
    for number in range(50):
        kms.create_alias(AliasName=f"{stem}-{number}", TargetKeyId=key_id)
    with refused("LimitExceededException"):
        kms.create_alias(AliasName=f"{stem}-50", TargetKeyId=key_id)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=f"{stem}-50", TargetKeyId=other)
    with refused("LimitExceededException"):
        kms.update_alias(AliasName=f"{stem}-50", TargetKeyId=key_id)
    kms.delete_alias(AliasName=f"{stem}-0")
    kms.update_alias(AliasName=f"{stem}-50", TargetKeyId=key_id)


def test_an_alias_may_leave_a_key_that_waits_for_deletion_but_not_go_to_one(kms, key_id, arn):
    name, other = alias_name(), kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=name, TargetKeyId=key_id)
    kms.schedule_key_deletion(KeyId=key_id)
    kms.update_alias(AliasName=name, TargetKeyId=other)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        kms.update_alias(AliasName=name, TargetKeyId=key_id)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        kms.create_alias(AliasName=alias_name(), TargetKeyId=key_id)
    kms.delete_alias(AliasName=name)
