"""AWS managed keys: `alias/aws/s3` and its like, made when somebody first asks for one."""

import json

import pytest

from harness import policy, refused, refused_with_any, statement


@pytest.fixture
def mine(server, tenant):
    return server.kms(tenant)


def test_made_on_first_use(mine, tenant):
    assert mine.list_keys()["Keys"] == []
    key = mine.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (key["KeyManager"], key["KeyState"], key["Enabled"]) == ("AWS", "Enabled", True)
    assert (key["KeySpec"], key["Origin"], key["MultiRegion"]) == ("SYMMETRIC_DEFAULT", "AWS_KMS", False)
    assert key["Description"]
    assert mine.describe_key(KeyId="alias/aws/s3")["KeyMetadata"] == key
    assert mine.describe_key(KeyId=f"arn:aws:kms:us-east-1:{tenant.account}:alias/aws/s3")["KeyMetadata"] == key
    assert [item["KeyId"] for item in mine.list_keys()["Keys"]] == [key["KeyId"]]
    [alias] = mine.list_aliases()["Aliases"]
    assert (alias["AliasName"], alias["TargetKeyId"]) == ("alias/aws/s3", key["KeyId"])
    assert mine.list_aliases(KeyId=key["KeyId"])["Aliases"] == [alias]


def test_made_by_any_use(mine):
    data_key = mine.generate_data_key(KeyId="alias/aws/ebs", KeySpec="AES_256")
    assert mine.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"] == data_key["Plaintext"]
    blob = mine.encrypt(KeyId="alias/aws/sqs", Plaintext=b"x")["CiphertextBlob"]
    assert mine.decrypt(CiphertextBlob=blob, KeyId="alias/aws/sqs")["Plaintext"] == b"x"
    assert len(mine.list_keys()["Keys"]) == 2


def test_one_for_each_account_and_region(server, mine, tenant):
    keys = {
        client.describe_key(KeyId="alias/aws/rds")["KeyMetadata"]["Arn"]
        for client in (mine, server.kms(tenant, region="eu-west-1"), server.kms(server.create_account()))
    }
    assert len(keys) == 3


def test_no_service_no_key(mine, tenant):
    with refused("NotFoundException", f"Alias arn:aws:kms:us-east-1:{tenant.account}:alias/aws/no-such-service is not found."):
        mine.describe_key(KeyId="alias/aws/no-such-service")
    assert mine.list_keys()["Keys"] == []


def test_rotation_is_on_and_stays_on(mine):
    key = mine.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyId"]
    status = mine.get_key_rotation_status(KeyId=key)
    assert status["KeyRotationEnabled"] is True
    for method in (mine.disable_key_rotation, mine.enable_key_rotation, mine.rotate_key_on_demand):
        with refused_with_any("AccessDeniedException", "UnsupportedOperationException"):
            method(KeyId=key)
    assert mine.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True


def test_nobody_can_change_it(mine, tenant):
    key = mine.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    name = key["KeyId"]
    before = mine.get_key_policy(KeyId=name)["Policy"]
    for change in (
        lambda: mine.disable_key(KeyId=name),
        lambda: mine.schedule_key_deletion(KeyId=name),
        lambda: mine.update_key_description(KeyId=name, Description="mine"),
        lambda: mine.tag_resource(KeyId=name, Tags=[{"TagKey": "k", "TagValue": "v"}]),
        lambda: mine.put_key_policy(KeyId=name, Policy=policy(statement("Allow", tenant.arn)), BypassPolicyLockoutSafetyCheck=True),
        lambda: mine.create_alias(AliasName="alias/mine", TargetKeyId=name),
    ):
        with refused("AccessDeniedException"):
            change()
    assert mine.get_key_policy(KeyId=name)["Policy"] == before
    assert mine.describe_key(KeyId=name)["KeyMetadata"] == key


def test_its_policy_lets_the_account_use_it_and_no_other(server, mine, tenant):
    key = mine.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    document = json.loads(mine.get_key_policy(KeyId=key["KeyId"])["Policy"])
    assert document["Id"] == "auto-s3-1"
    # A user of the account without any policy may use it, because its key policy says so.
    user = server.kms(server.create_user(tenant.account))
    blob = user.encrypt(KeyId=key["Arn"], Plaintext=b"x")["CiphertextBlob"]
    assert user.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    stranger = server.kms(server.create_account())
    with refused("AccessDeniedException"):
        stranger.encrypt(KeyId=key["Arn"], Plaintext=b"x")
