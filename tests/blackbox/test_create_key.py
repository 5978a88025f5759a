"""CreateKey and DescribeKey."""

import datetime
import json
import re
import uuid

import pytest

from harness import REGION, alias_name, constraint, policy, refused, statement

ACCOUNT = "123456789012"
MISSING = "00000000-0000-4000-8000-000000000000"


def test_without_parameters_makes_an_enabled_symmetric_key(kms):
    before = datetime.datetime.now(datetime.timezone.utc)
    key = kms.create_key()["KeyMetadata"]
    assert str(uuid.UUID(key["KeyId"])) == key["KeyId"]
    material = key.pop("CurrentKeyMaterialId")
    assert re.fullmatch("[0-9a-f]{64}", material)
    created = key.pop("CreationDate")
    assert abs((created - before).total_seconds()) < 5
    assert key == {
        "AWSAccountId": ACCOUNT,
        "KeyId": key["KeyId"],
        "Arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key['KeyId']}",
        "Enabled": True,
        "Description": "",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }


def test_two_keys_share_nothing(kms):
    one, other = kms.create_key()["KeyMetadata"], kms.create_key()["KeyMetadata"]
    assert one["KeyId"] != other["KeyId"]
    assert one["CurrentKeyMaterialId"] != other["CurrentKeyMaterialId"]


@pytest.mark.parametrize("spec_member", ["KeySpec", "CustomerMasterKeySpec"])
def test_with_everything_said(kms, spec_member):
    tags = [{"TagKey": "Project", "TagValue": "Alpha"}, {"TagKey": "Empty", "TagValue": ""}]
    key = kms.create_key(
        **{spec_member: "SYMMETRIC_DEFAULT"},
        KeyUsage="ENCRYPT_DECRYPT",
        Origin="AWS_KMS",
        Description="häß 鍵 🔑",
        MultiRegion=False,
        Tags=tags,
        BypassPolicyLockoutSafetyCheck=False,
    )["KeyMetadata"]
    assert key["Description"] == "häß 鍵 🔑"
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key
    listed = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
    assert sorted(listed, key=lambda tag: tag["TagKey"]) == sorted(tags, key=lambda tag: tag["TagKey"])


def test_with_a_policy_of_its_own(kms):
    document = policy(statement("Allow", f"arn:aws:iam::{ACCOUNT}:root", sid="mine"))
    key = kms.create_key(Policy=document)["KeyMetadata"]
    assert json.loads(kms.get_key_policy(KeyId=key["KeyId"])["Policy"]) == json.loads(document)


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        ("{", "MalformedPolicyDocumentException", None),
        ("[]", "MalformedPolicyDocumentException", None),
        (policy(statement("Allow", "arn:aws:iam::123456789012:user/nobody-of-this-name")), "MalformedPolicyDocumentException", None),
        (policy(statement("Allow", "arn:aws:iam::999999999999:root")), "MalformedPolicyDocumentException", None),
        (
            policy(statement("Allow", f"arn:aws:iam::{ACCOUNT}:root", "kms:Encrypt")),
            "MalformedPolicyDocumentException",
            "The new key policy will not allow you to update the key policy in the future.",
        ),
    ],
)
def test_refuses_policies_that_cannot_be(kms, document, code, message):
    with refused(code, message):
        kms.create_key(Policy=document)


def test_lockout_check_can_be_bypassed(kms):
    document = policy(statement("Allow", f"arn:aws:iam::{ACCOUNT}:root", ["kms:Describe*", "kms:ScheduleKeyDeletion"]))
    key = kms.create_key(Policy=document, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled"
    with refused("AccessDeniedException"):
        kms.put_key_policy(KeyId=key["KeyId"], Policy=document, BypassPolicyLockoutSafetyCheck=True)


def test_spec_may_be_named_once(kms):
    with refused("ValidationException"):
        kms.create_key(KeySpec="SYMMETRIC_DEFAULT", CustomerMasterKeySpec="SYMMETRIC_DEFAULT")


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "ECC_SECG_P256K1", "HMAC_256", "ML_DSA_44", "ML_KEM_512"])
def test_other_specs_need_a_usage(kms, spec):
    with refused("ValidationException", "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."):
        kms.create_key(KeySpec=spec)


USAGES = {
    "SYMMETRIC_DEFAULT": ["ENCRYPT_DECRYPT"],
    "RSA_2048": ["ENCRYPT_DECRYPT", "SIGN_VERIFY"],
    "RSA_3072": ["ENCRYPT_DECRYPT", "SIGN_VERIFY"],
    "RSA_4096": ["ENCRYPT_DECRYPT", "SIGN_VERIFY"],
    "ECC_NIST_P256": ["SIGN_VERIFY", "KEY_AGREEMENT"],
    "ECC_NIST_P384": ["SIGN_VERIFY", "KEY_AGREEMENT"],
    "ECC_NIST_P521": ["SIGN_VERIFY", "KEY_AGREEMENT"],
    "ECC_SECG_P256K1": ["SIGN_VERIFY"],
    "ECC_NIST_EDWARDS25519": ["SIGN_VERIFY"],
    "HMAC_224": ["GENERATE_VERIFY_MAC"],
    "HMAC_256": ["GENERATE_VERIFY_MAC"],
    "HMAC_384": ["GENERATE_VERIFY_MAC"],
    "HMAC_512": ["GENERATE_VERIFY_MAC"],
    "ML_DSA_44": ["SIGN_VERIFY"],
    "ML_DSA_65": ["SIGN_VERIFY"],
    "ML_DSA_87": ["SIGN_VERIFY"],
    "ML_KEM_512": ["ENCAPSULATE_DECAPSULATE"],
    "ML_KEM_768": ["ENCAPSULATE_DECAPSULATE"],
    "ML_KEM_1024": ["ENCAPSULATE_DECAPSULATE"],
}
LISTS = {
    "ENCRYPT_DECRYPT": "EncryptionAlgorithms",
    "SIGN_VERIFY": "SigningAlgorithms",
    "GENERATE_VERIFY_MAC": "MacAlgorithms",
    "KEY_AGREEMENT": "KeyAgreementAlgorithms",
    "ENCAPSULATE_DECAPSULATE": "EncapsulationAlgorithms",
}


@pytest.mark.parametrize("spec", USAGES)
def test_every_spec_for_every_usage(kms, spec):
    for usage, algorithms in LISTS.items():
        if usage not in USAGES[spec]:
            with refused("ValidationException", f"KeyUsage {usage} is not compatible with KeySpec {spec}"):
                kms.create_key(KeySpec=spec, KeyUsage=usage)
            continue
        member = "KeySpec" if spec.startswith(("ML_", "ECC_NIST_ED")) else "CustomerMasterKeySpec"
        key = kms.create_key(**{member: spec}, KeyUsage=usage)["KeyMetadata"]
        assert (key["KeySpec"], key["KeyUsage"], key["KeyState"], key["Enabled"]) == (spec, usage, "Enabled", True)
        # The list that goes with the usage is there, and no other one.
        assert [name for name in LISTS.values() if name in key] == [algorithms]
        assert ("CurrentKeyMaterialId" in key) is (spec == "SYMMETRIC_DEFAULT")
        assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key


def test_sm2_is_for_china(kms):
    for usage in ("ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT"):
        with refused("UnsupportedOperationException", "Keys of spec SM2 are not offered by this deployment."):
            kms.create_key(KeySpec="SM2", KeyUsage=usage)


@pytest.mark.parametrize(
    "parameters",
    [
        {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": "cks-1234567890abcdef0"},
        {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": "cks-1234567890abcdef0", "XksKeyId": "abc"},
    ],
)
def test_stores_that_are_not_there_are_refused_and_not_replaced(kms, parameters):
    with refused("CustomKeyStoreNotFoundException"):
        kms.create_key(**parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"Origin": "AWS_CLOUDHSM"},
        {"Origin": "EXTERNAL_KEY_STORE", "XksKeyId": "abc"},
        {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": "cks-1234567890abcdef0"},
        {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": "cks-1234567890abcdef0", "XksKeyId": "abc"},
        {"CustomKeyStoreId": "cks-1234567890abcdef0"},
        {"Origin": "EXTERNAL", "CustomKeyStoreId": "cks-1234567890abcdef0"},
        {"XksKeyId": "abc"},
    ],
)
def test_what_is_said_of_a_store_fits_together(kms, parameters):
    with refused("ValidationException"):
        kms.create_key(**parameters)


@pytest.mark.parametrize(
    "more",
    [
        {"Origin": "AWS_CLOUDHSM", "MultiRegion": True},
        {"Origin": "EXTERNAL_KEY_STORE", "XksKeyId": "abc", "MultiRegion": True},
        {"Origin": "EXTERNAL_KEY_STORE", "XksKeyId": "abc", "KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
        {"Origin": "EXTERNAL_KEY_STORE", "XksKeyId": "abc", "KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
    ],
    ids=str,
)
def test_stores_hold_keys_of_one_region_and_external_ones_symmetric_keys_only(kms, more):
    with refused("UnsupportedOperationException"):
        kms.create_key(CustomKeyStoreId="cks-1234567890abcdef0", **more)


@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        ({"KeySpec": "AES_256"}, "keySpec", "Member must satisfy enum value set"),
        ({"CustomerMasterKeySpec": "ML_DSA_44", "KeyUsage": "SIGN_VERIFY"}, "customerMasterKeySpec", "Member must satisfy enum value set"),
        ({"CustomerMasterKeySpec": "AES_256"}, "customerMasterKeySpec", "Member must satisfy enum value set"),
        ({"KeyUsage": "ENCRYPT"}, "keyUsage", "Member must satisfy enum value set"),
        ({"Origin": "HERE"}, "origin", "Member must satisfy enum value set"),
        ({"Description": "x" * 8193}, "description", "Member must have length less than or equal to 8192"),
        ({"Policy": ""}, "policy", "Member must have length greater than or equal to 1"),
        ({"Policy": "x" * 131073}, "policy", "Member must have length less than or equal to 131072"),
        ({"Tags": [{"TagKey": "", "TagValue": ""}]}, "tags.1.member.tagKey", "Member must have length greater than or equal to 1"),
        ({"Tags": [{"TagKey": "k" * 129, "TagValue": ""}]}, "tags.1.member.tagKey", "Member must have length less than or equal to 128"),
        ({"Tags": [{"TagKey": "k", "TagValue": "v" * 257}]}, "tags.1.member.tagValue", "Member must have length less than or equal to 256"),
    ],
)
def test_limits_of_the_model(unchecked, parameters, field, rule):
    with refused("ValidationException", constraint(field, rule)):
        unchecked.create_key(**parameters)


def test_the_longest_description(kms):
    key = kms.create_key(Description="é" * 8192)["KeyMetadata"]
    assert key["Description"] == "é" * 8192


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([{"TagKey": f"k{i}", "TagValue": ""} for i in range(51)], "Too many tags"),
        ([{"TagKey": "k", "TagValue": "1"}, {"TagKey": "k", "TagValue": "2"}], "Duplicate tag keys"),
        ([{"TagKey": "aws:k", "TagValue": "1"}], "Tags beginning with aws: are reserved"),
        ([{"TagKey": "AWS:k", "TagValue": "1"}], "Tags beginning with aws: are reserved"),
    ],
)
def test_tags_that_cannot_be(kms, tags, message):
    with refused("TagException", message):
        kms.create_key(Tags=tags)


def test_fifty_tags(kms):
    tags = [{"TagKey": f"k{i:02}", "TagValue": "v" * 256} for i in range(50)]
    key = kms.create_key(Tags=tags)["KeyMetadata"]
    assert len(kms.list_resource_tags(KeyId=key["KeyId"], Limit=50)["Tags"]) == 50


def test_described_by_each_of_its_names(kms, key):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    alias_arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:{alias}"
    for name in (key["KeyId"], key["Arn"], alias, alias_arn):
        assert kms.describe_key(KeyId=name)["KeyMetadata"] == key


def test_described_in_every_state(kms, key_id):
    def metadata():
        return kms.describe_key(KeyId=key_id)["KeyMetadata"]

    kms.disable_key(KeyId=key_id)
    disabled = metadata()
    assert (disabled["KeyState"], disabled["Enabled"]) == ("Disabled", False)
    assert "DeletionDate" not in disabled
    scheduled = kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    pending = metadata()
    assert (pending["KeyState"], pending["Enabled"]) == ("PendingDeletion", False)
    assert pending["DeletionDate"] == scheduled["DeletionDate"]
    assert "PendingDeletionWindowInDays" not in pending
    kms.cancel_key_deletion(KeyId=key_id)
    assert "DeletionDate" not in metadata()


def test_a_missing_key(kms):
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{MISSING}"
    for name in (MISSING, arn):
        with refused("NotFoundException", f"Key '{arn}' does not exist"):
            kms.describe_key(KeyId=name)


def test_a_missing_alias(kms):
    alias = alias_name()
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:{alias}"
    for name in (alias, arn):
        with refused("NotFoundException", f"Alias {arn} is not found."):
            kms.describe_key(KeyId=name)


@pytest.mark.parametrize("name", ["not-a-key", "1234", "00000000000040008000000000000000", "mrk-1234", "Alias/x", "key/" + MISSING])
def test_what_is_no_key_id(kms, name):
    with refused("NotFoundException", f"Invalid keyId '{name}'"):
        kms.describe_key(KeyId=name)


@pytest.mark.parametrize(
    "arn",
    [
        "arn:",
        "arn:aws:kms",
        f"arn:aws:s3:{REGION}:{ACCOUNT}:key/{MISSING}",
        f"arn:aws:kms:{REGION}:{ACCOUNT}:grant/{MISSING}",
        f"arn:aws:kms:{REGION}:12:key/{MISSING}",
        f"arn:other:kms:{REGION}:{ACCOUNT}:key/{MISSING}",
    ],
)
def test_what_is_no_arn(kms, arn):
    with refused("InvalidArnException"):
        kms.describe_key(KeyId=arn)


def test_key_id_limits(unchecked):
    with refused("ValidationException", constraint("keyId", "Member must not be null")):
        unchecked.describe_key()
    with refused("ValidationException", constraint("keyId", "Member must have length greater than or equal to 1")):
        unchecked.describe_key(KeyId="")
    with refused("ValidationException", constraint("keyId", "Member must have length less than or equal to 2048")):
        unchecked.describe_key(KeyId="k" * 2049)
    with refused("ValidationException", constraint("grantTokens", "Member must have length less than or equal to 10")):
        unchecked.describe_key(KeyId=MISSING, GrantTokens=["t"] * 11)


def test_grant_tokens_are_accepted(kms, key):
    made = kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:root", Operations=["DescribeKey"])
    assert kms.describe_key(KeyId=key["KeyId"], GrantTokens=[made["GrantToken"]])["KeyMetadata"] == key
