"""GetKeyPolicy, PutKeyPolicy, ListKeyPolicies: documents. Who may do what is in test_authorization.py."""

import json

import pytest

from harness import constraint, policy, refused, statement

ACCOUNT = "123456789012"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
LOCKOUT = "The new key policy will not allow you to update the key policy in the future."
MALFORMED = "MalformedPolicyDocumentException"


def test_the_default_policy(kms, key_id):
    answer = kms.get_key_policy(KeyId=key_id)
    assert answer["PolicyName"] == "default"
    assert json.loads(answer["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": ROOT},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }


@pytest.mark.parametrize("given", [{}, {"PolicyName": "default"}])
def test_a_policy_comes_back_as_it_went(kms, key_id, arn, given):
    document = {
        "Version": "2012-10-17",
        "Id": "mine",
        "Statement": [
            {"Sid": "all", "Effect": "Allow", "Principal": {"AWS": [ROOT]}, "Action": ["kms:*"], "Resource": ["*"]},
            {
                "Sid": "none",
                "Effect": "Deny",
                "Principal": "*",
                "NotAction": "kms:*",
                "Resource": arn,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}, "Null": {"aws:PrincipalTag/x": True}},
            },
        ],
    }
    kms.put_key_policy(KeyId=key_id, Policy=json.dumps(document), **given)
    answer = kms.get_key_policy(KeyId=arn, **given)
    assert json.loads(answer["Policy"]) == document
    assert answer["PolicyName"] == "default"


def test_only_the_name_default(kms, key_id):
    document = policy(statement("Allow", ROOT))
    with refused("NotFoundException"):
        kms.get_key_policy(KeyId=key_id, PolicyName="other")
    with pytest.raises(kms.exceptions.ClientError):
        kms.put_key_policy(KeyId=key_id, PolicyName="other", Policy=document)
    assert kms.list_key_policies(KeyId=key_id)["PolicyNames"] == ["default"]


SOUND = statement("Allow", ROOT)

MALFORMED_DOCUMENTS = {
    "no JSON": "{",
    "text behind": policy(SOUND) + "x",
    "no object": "[]",
    "a text": '"policy"',
    "no statements": '{"Version": "2012-10-17"}',
    "empty statements": '{"Version": "2012-10-17", "Statement": []}',
    "another version": json.dumps({"Version": "2020-01-01", "Statement": [SOUND]}),
    "an unknown member": json.dumps({"Version": "2012-10-17", "Extra": 1, "Statement": [SOUND]}),
    "an unknown member of a statement": policy(SOUND | {"Extra": 1}),
    "no effect": policy({name: value for name, value in SOUND.items() if name != "Effect"}),
    "another effect": policy(SOUND | {"Effect": "Maybe"}),
    "effect in lower case": policy(SOUND | {"Effect": "allow"}),
    "no principal": policy({name: value for name, value in SOUND.items() if name != "Principal"}),
    "an unknown kind of principal": policy(SOUND | {"Principal": {"Azure": "*"}}),
    "both principals": policy(SOUND | {"NotPrincipal": {"AWS": "*"}}),
    "no action": policy({name: value for name, value in SOUND.items() if name != "Action"}),
    "both actions": policy(SOUND | {"NotAction": "kms:Encrypt"}),
    "an action without service": policy(SOUND | {"Action": "Encrypt"}),
    "no resource": policy({name: value for name, value in SOUND.items() if name != "Resource"}),
    "an unknown operator": policy(SOUND, SOUND | {"Condition": {"StringResembles": {"kms:ViaService": "x"}}}),
    "a condition that is a text": policy(SOUND, SOUND | {"Condition": "x"}),
    "an address that is none": policy(SOUND, SOUND | {"Condition": {"IpAddress": {"aws:SourceIp": "300.0.0.1"}}}),
    "a number that is none": policy(SOUND, SOUND | {"Condition": {"NumericLessThan": {"kms:RotationPeriodInDays": "many"}}}),
    "a date that is none": policy(SOUND, SOUND | {"Condition": {"DateLessThan": {"aws:CurrentTime": "tomorrow"}}}),
    "a duplicate member": '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": [' + json.dumps(SOUND) + "]}",
    "a duplicate sid": policy(SOUND | {"Sid": "same"}, SOUND | {"Sid": "same"}),
}


@pytest.mark.parametrize("name", MALFORMED_DOCUMENTS)
def test_malformed_documents(kms, key_id, name):
    with refused(MALFORMED):
        kms.put_key_policy(KeyId=key_id, Policy=MALFORMED_DOCUMENTS[name], BypassPolicyLockoutSafetyCheck=True)
    assert "key-default-1" in kms.get_key_policy(KeyId=key_id)["Policy"]


@pytest.mark.parametrize(
    "principal",
    [
        f"arn:aws:iam::{ACCOUNT}:user/nobody",
        f"arn:aws:iam::{ACCOUNT}:role/nothing",
        "arn:aws:iam::999999999999:root",
        "999999999999",
        "nobody",
        "AIDAAAAAAAAAAAAAAAAA",
        f"arn:aws:iam::{ACCOUNT}:user/*",
        "arn:aws:s3:::bucket",
        "",
    ],
)
def test_unknown_principals(kms, key_id, principal):
    with refused(MALFORMED):
        kms.put_key_policy(KeyId=key_id, Policy=policy(SOUND, statement("Allow", principal, "kms:Encrypt")))


def test_principals_that_are_there(server, kms, key_id):
    user = server.create_user(ACCOUNT)
    stranger = server.create_account()
    document = policy(SOUND, statement("Allow", [user.arn, stranger.arn, stranger.account], "kms:Encrypt"))
    kms.put_key_policy(KeyId=key_id, Policy=document)
    assert json.loads(kms.get_key_policy(KeyId=key_id)["Policy"]) == json.loads(document)


@pytest.mark.parametrize(
    "statements",
    [
        [statement("Allow", ROOT, ["kms:Encrypt", "kms:Get*"])],
        [SOUND, statement("Deny", ROOT, "kms:PutKeyPolicy")],
        [SOUND, statement("Deny", "*", "kms:Put*")],
        [SOUND | {"Condition": {"StringEquals": {"kms:CallerAccount": "999999999999"}}}],
        [SOUND | {"Resource": "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000000"}],
    ],
)
def test_lockout(kms, key_id, statements):
    with refused(MALFORMED, LOCKOUT):
        kms.put_key_policy(KeyId=key_id, Policy=policy(*statements))
    kms.put_key_policy(KeyId=key_id, Policy=policy(*statements), BypassPolicyLockoutSafetyCheck=True)
    with refused("AccessDeniedException"):
        kms.put_key_policy(KeyId=key_id, Policy=policy(SOUND))


def test_size(unchecked, key_id):
    """The model allows 131072 characters, the quota 32 KiB."""
    longest = policy(SOUND)
    longest += " " * (32 * 1024 - len(longest))
    unchecked.put_key_policy(KeyId=key_id, Policy=longest)
    with refused("LimitExceededException"):
        unchecked.put_key_policy(KeyId=key_id, Policy=longest + " ")
    with refused("ValidationException", constraint("policy", "Member must have length less than or equal to 131072")):
        unchecked.put_key_policy(KeyId=key_id, Policy=longest + " " * 131072)
    with refused("ValidationException", constraint("policy", "Member must have length greater than or equal to 1")):
        unchecked.put_key_policy(KeyId=key_id, Policy="")
    with refused("ValidationException", constraint("policy", "Member must not be null")):
        unchecked.put_key_policy(KeyId=key_id)
    with refused("ValidationException", constraint("policyName", "Member must satisfy regular expression pattern: [\\w]+")):
        unchecked.get_key_policy(KeyId=key_id, PolicyName="a b")


def test_in_every_state(kms, key_id):
    document = policy(SOUND)
    for change in (kms.disable_key, kms.schedule_key_deletion):
        change(KeyId=key_id)
        kms.put_key_policy(KeyId=key_id, Policy=document)
        assert json.loads(kms.get_key_policy(KeyId=key_id)["Policy"]) == json.loads(document)


def test_what_a_policy_gives_to_a_name(server, kms, key_id):
    """docs/divergences/aws-kms.md: a policy speaks of whoever has the name, where AWS remembers whom it meant."""
    user = server.create_user(ACCOUNT)
    kms.put_key_policy(KeyId=key_id, Policy=policy(SOUND, statement("Allow", user.arn, "kms:DescribeKey")))
    server.kms(user).describe_key(KeyId=key_id)
    server.run("access-key", "delete", user.credentials.access_key, "--account", ACCOUNT)
    server.run("user", "delete", user.name, "--account", ACCOUNT)
    with refused("UnrecognizedClientException"):
        server.kms(user).describe_key(KeyId=key_id)
    again = server.create_user(ACCOUNT, user.name)
    server.kms(again).describe_key(KeyId=key_id)
