"""A Region is a namespace taken from the request's signature."""

import pytest

from harness import alias_name, refused, refused_with_any

ACCOUNT = "123456789012"


@pytest.fixture
def europe(server):
    return server.kms(region="eu-west-1")


def test_a_key_is_in_its_region_only(kms, europe, key):
    assert key["Arn"].startswith("arn:aws:kms:us-east-1:")
    elsewhere = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{key['KeyId']}"
    with refused("NotFoundException", f"Key '{elsewhere}' does not exist"):
        europe.describe_key(KeyId=key["KeyId"])
    with refused("NotFoundException", f"Key '{elsewhere}' does not exist"):
        europe.encrypt(KeyId=elsewhere, Plaintext=b"x")


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("describe_key", {}),
        ("encrypt", {"Plaintext": b"x"}),
        ("generate_data_key", {"KeySpec": "AES_256"}),
        ("disable_key", {}),
        ("get_key_policy", {}),
        ("list_resource_tags", {}),
        ("schedule_key_deletion", {}),
    ],
)
def test_an_arn_of_another_region(kms, europe, key, method, parameters):
    with refused("NotFoundException", "Invalid arn us-east-1"):
        getattr(europe, method)(KeyId=key["Arn"], **parameters)
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key


def test_an_alias_arn_of_another_region(kms, europe, key):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    with refused("NotFoundException", "Invalid arn us-east-1"):
        europe.describe_key(KeyId=f"arn:aws:kms:us-east-1:{ACCOUNT}:{alias}")


def test_the_same_alias_in_two_regions(kms, europe, key):
    alias = alias_name()
    other = europe.create_key()["KeyMetadata"]
    assert other["Arn"].startswith("arn:aws:kms:eu-west-1:")
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    europe.create_alias(AliasName=alias, TargetKeyId=other["KeyId"])
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == key["KeyId"]
    assert europe.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == other["KeyId"]
    with refused("NotFoundException"):
        europe.create_alias(AliasName=alias_name(), TargetKeyId=key["KeyId"])


def test_a_ciphertext_does_not_open_elsewhere(kms, europe, key_id):
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    with refused_with_any("InvalidCiphertextException", "AccessDeniedException"):
        europe.decrypt(CiphertextBlob=blob)
    other = europe.create_key()["KeyMetadata"]["KeyId"]
    with refused("IncorrectKeyException"):
        europe.decrypt(CiphertextBlob=blob, KeyId=other)
    with refused_with_any("InvalidCiphertextException", "AccessDeniedException"):
        europe.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other)


def test_lists_are_apart(server, tenant):
    here, there = server.kms(tenant), server.kms(tenant, region="ap-southeast-2")
    for client, count in ((here, 2), (there, 3)):
        for number in range(count):
            key = client.create_key()["KeyMetadata"]["KeyId"]
            client.create_alias(AliasName=f"alias/{number}", TargetKeyId=key)
    assert len(here.list_keys()["Keys"]) == len(here.list_aliases()["Aliases"]) == 2
    assert len(there.list_keys()["Keys"]) == len(there.list_aliases()["Aliases"]) == 3
    assert not {key["KeyId"] for key in here.list_keys()["Keys"]} & {key["KeyId"] for key in there.list_keys()["Keys"]}
