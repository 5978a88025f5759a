"""Who may do what: key policies, identity policies, conditions, accounts. The whole matrix is in test_authorization_matrix.py."""

import json
import re

import pytest

from harness import alias_name, policy, refused, statement, unique

ACCOUNT = "123456789012"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
HERE = ["127.0.0.0/8", "::1/128"]
ELSEWHERE = "203.0.113.0/24"


def identity_policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


@pytest.fixture(scope="module")
def user(server):
    """A user without any identity policy."""
    return server.create_user(ACCOUNT)


@pytest.fixture(scope="module")
def admin(server):
    """A user whose identity policy allows everything."""
    return server.create_user(ACCOUNT, policy=identity_policy(statement("Allow", actions="*")))


@pytest.fixture(scope="module")
def foreign(server):
    """The root of another account."""
    return server.create_account()


@pytest.fixture(scope="module")
def foreign_user(server, foreign):
    """A user of the other account whose identity policy allows everything."""
    return server.create_user(foreign.account, policy=identity_policy(statement("Allow", actions="kms:*")))


def key_with(kms, *statements):
    """A key whose policy has these statements after the account's own."""
    return kms.create_key(Policy=policy(statement("Allow", ROOT), *statements))["KeyMetadata"]


def denied(arn, action, resource, reason=None):
    text = f"User: {arn} is not authorized to perform: {action} on resource: {resource}"
    return refused_with(text + (f" {reason}" if reason else ""))


def refused_with(text):
    return refused("AccessDeniedException", re.compile("^" + re.escape(text)))


# Within an account ---------------------------------------------------------------------------------------------------------


def test_nothing_is_allowed_at_first(server, kms, user, key):
    client = server.kms(user)
    with denied(user.arn, "kms:DescribeKey", key["Arn"], "because no identity-based policy allows the kms:DescribeKey action"):
        client.describe_key(KeyId=key["KeyId"])
    with denied(user.arn, "kms:CreateKey", "*", "because no identity-based policy allows the kms:CreateKey action"):
        client.create_key()
    with denied(user.arn, "kms:ListKeys", "*"):
        client.list_keys()
    with refused("AccessDeniedException"):
        client.generate_random(NumberOfBytes=1)


def test_the_key_policy_alone_may_allow(server, kms, user):
    key = key_with(kms, statement("Allow", user.arn, ["kms:Encrypt", "kms:Decrypt"]))
    client = server.kms(user)
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    with denied(user.arn, "kms:DescribeKey", key["Arn"]):
        client.describe_key(KeyId=key["KeyId"])


def test_the_key_policy_may_leave_it_to_the_account(server, kms, admin, user):
    key = key_with(kms)
    server.kms(admin).encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    with refused("AccessDeniedException"):
        server.kms(user).encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_without_the_key_policy_nobody_may(server, kms, admin, user):
    document = policy(statement("Allow", user.arn))
    key = kms.create_key(Policy=document, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]
    for client, arn in ((server.kms(admin), admin.arn), (kms, ROOT)):
        with denied(arn, "kms:DescribeKey", key["Arn"], "because no resource-based policy allows the kms:DescribeKey action"):
            client.describe_key(KeyId=key["KeyId"])
    server.kms(user).describe_key(KeyId=key["KeyId"])


def test_a_denial_in_the_key_policy_wins(server, kms, admin, user):
    key = key_with(kms, statement("Allow", [user.arn, admin.arn]), statement("Deny", [user.arn, admin.arn], "kms:Decrypt"))
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    for principal in (user, admin):
        client = server.kms(principal)
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
        with denied(principal.arn, "kms:Decrypt", key["Arn"], "with an explicit deny in a resource-based policy"):
            client.decrypt(CiphertextBlob=blob)


def test_a_denial_in_an_identity_policy_wins(server, kms):
    careful = server.create_user(
        ACCOUNT, policy=identity_policy(statement("Allow", actions="kms:*"), statement("Deny", actions="kms:ScheduleKeyDeletion"))
    )
    key = key_with(kms, statement("Allow", careful.arn))
    client = server.kms(careful)
    client.disable_key(KeyId=key["KeyId"])
    with denied(careful.arn, "kms:ScheduleKeyDeletion", key["Arn"], "with an explicit deny in an identity-based policy"):
        client.schedule_key_deletion(KeyId=key["KeyId"])


def test_everybody_of_the_deployment_may_be_denied(server, kms, admin):
    key = key_with(kms, statement("Deny", "*", "kms:Encrypt"))
    for client in (kms, server.kms(admin)):
        with refused("AccessDeniedException"):
            client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_a_change_bites_at_once(server, kms, user):
    key = key_with(kms, statement("Allow", user.arn, "kms:Encrypt"))
    client = server.kms(user)
    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    kms.put_key_policy(KeyId=key["KeyId"], Policy=policy(statement("Allow", ROOT)))
    with refused("AccessDeniedException"):
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    changing = server.create_user(ACCOUNT)
    client = server.kms(changing)
    for allowed in (True, False, True):
        server.put_policy(ACCOUNT, changing.name, identity_policy(statement("Allow" if allowed else "Deny", actions="kms:Encrypt")))
        if allowed:
            client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
        else:
            with refused("AccessDeniedException"):
                client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    server.run("policy", "delete", "--user", changing.name, "--name", "test", "--account", ACCOUNT)
    with refused("AccessDeniedException"):
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_resources_of_identity_policies(server, kms):
    mine, other = (kms.create_key()["KeyMetadata"] for _ in range(2))
    holder = server.create_user(ACCOUNT, policy=identity_policy(statement("Allow", actions="kms:*", resource=mine["Arn"])))
    client = server.kms(holder)
    client.describe_key(KeyId=mine["KeyId"])
    with refused("AccessDeniedException"):
        client.describe_key(KeyId=other["KeyId"])
    # What has no resource is not allowed by a key's ARN.
    with refused("AccessDeniedException"):
        client.list_keys()


@pytest.mark.parametrize(
    ("actions", "allowed"),
    [
        ("kms:Describe*", True),
        ("kms:D?scribeKey", True),
        ("KMS:describekey", True),
        (["kms:List*", "kms:DescribeKey"], True),
        ("kms:*", True),
        ("*", True),
        ("kms:Get*", False),
        ("s3:*", False),
        ("kms:DescribeKe", False),
    ],
)
def test_actions_with_wildcards(server, kms, user, actions, allowed):
    key = key_with(kms, statement("Allow", user.arn, actions))
    if allowed:
        server.kms(user).describe_key(KeyId=key["KeyId"])
    else:
        with refused("AccessDeniedException"):
            server.kms(user).describe_key(KeyId=key["KeyId"])


def test_not_action(server, kms, user):
    made = statement("Allow", user.arn)
    del made["Action"]
    key = key_with(kms, made | {"NotAction": ["kms:Encrypt", "kms:Re*"]})
    client = server.kms(user)
    client.describe_key(KeyId=key["KeyId"])
    with refused("AccessDeniedException"):
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_aliases_need_permission_on_the_alias_and_on_the_key(server, kms, user):
    name = alias_name()
    alias_arn = f"arn:aws:kms:us-east-1:{ACCOUNT}:{name}"
    key = key_with(kms, statement("Allow", user.arn, ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"]))
    with denied(user.arn, "kms:CreateAlias", alias_arn):
        server.kms(user).create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    namer = server.create_user(
        ACCOUNT, policy=identity_policy(statement("Allow", actions="kms:*Alias", resource=f"arn:aws:kms:us-east-1:{ACCOUNT}:{name}"))
    )
    with denied(namer.arn, "kms:CreateAlias", key["Arn"]):
        server.kms(namer).create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    shared = key_with(kms, statement("Allow", namer.arn, "kms:*Alias"))
    client = server.kms(namer)
    client.create_alias(AliasName=name, TargetKeyId=shared["KeyId"])
    with denied(namer.arn, "kms:UpdateAlias", key["Arn"]):
        client.update_alias(AliasName=name, TargetKeyId=key["KeyId"])
    client.delete_alias(AliasName=name)


def test_tags_of_a_new_key_need_a_permission_of_their_own(server):
    maker = server.create_user(ACCOUNT, policy=identity_policy(statement("Allow", actions="kms:CreateKey")))
    client = server.kms(maker)
    client.create_key()
    with refused("AccessDeniedException"):
        client.create_key(Tags=[{"TagKey": "k", "TagValue": "v"}])
    server.put_policy(ACCOUNT, maker.name, identity_policy(statement("Allow", actions=["kms:CreateKey", "kms:TagResource"])))
    client.create_key(Tags=[{"TagKey": "k", "TagValue": "v"}])


def test_re_encrypt_needs_both_sides(server, kms, user):
    blob_key = key_with(kms, statement("Allow", user.arn, "kms:ReEncryptFrom"))
    to_key = key_with(kms, statement("Allow", user.arn, "kms:ReEncryptTo"))
    client = server.kms(user)
    blob = kms.encrypt(KeyId=blob_key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    client.re_encrypt(CiphertextBlob=blob, DestinationKeyId=to_key["KeyId"])
    with denied(user.arn, "kms:ReEncryptTo", blob_key["Arn"]):
        client.re_encrypt(CiphertextBlob=blob, DestinationKeyId=blob_key["KeyId"])
    back = kms.encrypt(KeyId=to_key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    with denied(user.arn, "kms:ReEncryptFrom", to_key["Arn"]):
        client.re_encrypt(CiphertextBlob=back, DestinationKeyId=to_key["KeyId"])


def test_being_forbidden_comes_before_the_keys_state(server, kms, user):
    key = key_with(kms)
    kms.disable_key(KeyId=key["KeyId"])
    with refused("AccessDeniedException"):
        server.kms(user).encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_malformed_identity_policies(server, user):
    for document in (
        "{",
        "[]",
        json.dumps({"Version": "2012-10-17"}),
        json.dumps(identity_policy(statement("Allow", "*"))),
        json.dumps(identity_policy(statement("Allow", actions="kms"))),
        json.dumps(identity_policy(statement("Allow") | {"Unknown": 1})),
        json.dumps(identity_policy(statement("Allow", condition={"StringLooksLike": {"a": "b"}}))),
    ):
        refusal = server.run(
            "policy", "put", "-", "--user", user.name, "--name", "broken", "--account", ACCOUNT, stdin=document, check=False
        )
        assert refusal.returncode == 1 and "MalformedPolicyDocument" in refusal.stderr, (document, refusal.stderr)
    assert "broken" not in server.run("policy", "list", "--user", user.name, "--account", ACCOUNT).stdout


def test_policies_come_back_as_they_went(server, user):
    document = json.dumps(identity_policy(statement("Allow", actions="kms:NoSuchAction", sid="odd")))
    name = unique("policy")
    server.put_policy(ACCOUNT, user.name, document, name)
    got = server.run("policy", "get", "--user", user.name, "--name", name, "--account", ACCOUNT).stdout
    assert json.loads(got) == json.loads(document)
    assert name in server.run("policy", "list", "--user", user.name, "--account", ACCOUNT).stdout
    server.run("policy", "delete", "--user", user.name, "--name", name, "--account", ACCOUNT)
    assert name not in server.run("policy", "list", "--user", user.name, "--account", ACCOUNT).stdout


# Conditions ------------------------------------------------------------------------------------------------------------------

# A condition, what the user does, and whether the statement with the condition applies.
CONDITIONS = [
    ({"StringEquals": {"kms:EncryptionContext:team": "a"}}, {"EncryptionContext": {"team": "a"}}, True),
    ({"StringEquals": {"kms:EncryptionContext:team": "a"}}, {"EncryptionContext": {"team": "a", "more": "b"}}, True),
    ({"StringEquals": {"kms:EncryptionContext:team": "a"}}, {"EncryptionContext": {"team": "A"}}, False),
    ({"StringEquals": {"kms:EncryptionContext:team": "a"}}, {}, False),
    ({"StringEquals": {"kms:EncryptionContext:team": ["a", "b"]}}, {"EncryptionContext": {"team": "b"}}, True),
    ({"StringEqualsIgnoreCase": {"kms:EncryptionContext:team": "A"}}, {"EncryptionContext": {"team": "a"}}, True),
    ({"StringLike": {"kms:EncryptionContext:path": "/home/*/x?"}}, {"EncryptionContext": {"path": "/home/me/x1"}}, True),
    ({"StringLike": {"kms:EncryptionContext:path": "/home/*/x?"}}, {"EncryptionContext": {"path": "/home/me/x"}}, False),
    ({"StringNotEquals": {"kms:EncryptionContext:team": "a"}}, {"EncryptionContext": {"team": "b"}}, True),
    ({"StringNotEquals": {"kms:EncryptionContext:team": "a"}}, {}, True),
    ({"StringEqualsIfExists": {"kms:EncryptionContext:team": "a"}}, {}, True),
    ({"StringEqualsIfExists": {"kms:EncryptionContext:team": "a"}}, {"EncryptionContext": {"team": "b"}}, False),
    ({"Null": {"kms:EncryptionContext:team": "false"}}, {"EncryptionContext": {"team": "x"}}, True),
    ({"Null": {"kms:EncryptionContext:team": "true"}}, {"EncryptionContext": {"team": "x"}}, False),
    ({"Null": {"kms:EncryptionContext:team": "true"}}, {}, True),
    ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}, {"EncryptionContext": {"a": "1"}}, True),
    ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}, {"EncryptionContext": {"a": "1", "b": "2"}}, True),
    ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}, {"EncryptionContext": {"a": "1", "c": "2"}}, False),
    ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}, {"EncryptionContext": {"A": "1"}}, False),
    ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a"]}}, {}, True),
    ({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}, {"EncryptionContext": {"b": "1", "c": "2"}}, True),
    ({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}, {"EncryptionContext": {"c": "2"}}, False),
    ({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["a"]}}, {}, False),
    (
        {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a"]}, "Null": {"kms:EncryptionContextKeys": "false"}},
        {},
        False,
    ),
    ({"StringEquals": {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}}, {}, True),
    ({"StringEquals": {"kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}}, {}, False),
    ({"IpAddress": {"aws:SourceIp": HERE}}, {}, True),
    ({"IpAddress": {"aws:SourceIp": ELSEWHERE}}, {}, False),
    ({"NotIpAddress": {"aws:SourceIp": ELSEWHERE}}, {}, True),
    ({"NotIpAddress": {"aws:SourceIp": HERE}}, {}, False),
    ({"Bool": {"aws:SecureTransport": "false"}}, {}, True),
    ({"Bool": {"aws:SecureTransport": "true"}}, {}, False),
    ({"StringEquals": {"kms:CallerAccount": ACCOUNT}}, {}, True),
    ({"StringEquals": {"kms:CallerAccount": "999999999999"}}, {}, False),
    ({"StringEquals": {"KMS:calleraccount": ACCOUNT}}, {}, True),
    ({"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT", "kms:KeyUsage": "ENCRYPT_DECRYPT", "kms:KeyOrigin": "AWS_KMS"}}, {}, True),
    ({"StringEquals": {"kms:KeyOrigin": "EXTERNAL"}}, {}, False),
    ({"Bool": {"kms:MultiRegion": "false"}}, {}, True),
    ({"Bool": {"kms:MultiRegion": "true"}}, {}, False),
    ({"StringEquals": {"aws:ResourceTag/Stage": "test"}}, {}, True),
    ({"StringEquals": {"aws:ResourceTag/Stage": "prod"}}, {}, False),
    ({"StringEquals": {"aws:ResourceTag/Missing": "x"}}, {}, False),
    ({"StringEquals": {"aws:RequestedRegion": "us-east-1"}}, {}, True),
    ({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}, {}, False),
    ({"StringLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/*"}}, {}, True),
    ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/*"}}, {}, True),
    ({"ArnEquals": {"aws:PrincipalArn": ROOT}}, {}, False),
    ({"StringEquals": {"aws:PrincipalAccount": ACCOUNT, "aws:PrincipalType": "User"}}, {}, True),
    ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, {}, True),
    ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, {}, False),
    ({"NumericGreaterThan": {"aws:EpochTime": "1577836800"}}, {}, True),
    ({"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}, {}, False),
    ({"Null": {"kms:ViaService": "true"}}, {}, True),
    ({"Null": {"kms:RequestAlias": "true"}}, {}, True),
]


@pytest.mark.parametrize(("condition", "given", "applies"), CONDITIONS, ids=range(len(CONDITIONS)))
def test_condition(server, kms, user, condition, given, applies):
    """The condition on an Allow lets in, on a Deny keeps out."""
    tags = [{"TagKey": "Stage", "TagValue": "test"}]
    allowing = policy(statement("Allow", ROOT), statement("Allow", user.arn, "kms:Encrypt", condition=condition))
    denying = policy(
        statement("Allow", ROOT), statement("Allow", user.arn), statement("Deny", user.arn, "kms:Encrypt", condition=condition)
    )
    client = server.kms(user)
    for document, allowed in ((allowing, applies), (denying, not applies)):
        key = kms.create_key(Policy=document, Tags=tags)["KeyMetadata"]["KeyId"]
        if allowed:
            client.encrypt(KeyId=key, Plaintext=b"x", **given)
        else:
            with refused("AccessDeniedException"):
                client.encrypt(KeyId=key, Plaintext=b"x", **given)


def test_request_alias(server, kms, user):
    name = alias_name()
    key = key_with(kms, statement("Allow", user.arn, condition={"StringEquals": {"kms:RequestAlias": name}}))
    other = alias_name()
    for alias in (name, other):
        kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    client = server.kms(user)
    blob = client.encrypt(KeyId=name, Plaintext=b"x")["CiphertextBlob"]
    client.describe_key(KeyId=f"arn:aws:kms:us-east-1:{ACCOUNT}:{name}")
    client.decrypt(KeyId=name, CiphertextBlob=blob)
    for reference in (other, key["KeyId"], key["Arn"]):
        with refused("AccessDeniedException"):
            client.encrypt(KeyId=reference, Plaintext=b"x")
    with refused("AccessDeniedException"):
        client.decrypt(CiphertextBlob=blob)


def test_resource_aliases(server, kms, user):
    name = alias_name()
    key = key_with(kms, statement("Allow", user.arn, "kms:Encrypt", condition={"ForAnyValue:StringEquals": {"kms:ResourceAliases": name}}))
    client = server.kms(user)
    with refused("AccessDeniedException"):
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    kms.create_alias(AliasName=alias_name(), TargetKeyId=key["KeyId"])
    kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=name, TargetKeyId=other)
    with refused("AccessDeniedException"):
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_resource_tags_follow_the_key(server, kms, user):
    key = key_with(kms, statement("Allow", user.arn, "kms:Encrypt", condition={"StringEquals": {"aws:ResourceTag/Project": "Alpha"}}))
    client, tag = server.kms(user), {"KeyId": key["KeyId"], "Tags": [{"TagKey": "Project", "TagValue": "Alpha"}]}
    with refused("AccessDeniedException"):
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    kms.tag_resource(**tag)
    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    kms.untag_resource(KeyId=key["KeyId"], TagKeys=["Project"])
    with refused("AccessDeniedException"):
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_request_tags_and_tag_keys(server, kms, user):
    key = key_with(
        kms,
        statement(
            "Allow",
            user.arn,
            "kms:TagResource",
            condition={
                "StringEquals": {"aws:RequestTag/Stage": ["test", "dev"]},
                "ForAllValues:StringEquals": {"aws:TagKeys": ["Stage", "Owner"]},
            },
        ),
        statement("Allow", user.arn, "kms:UntagResource", condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["Owner"]}}),
    )["KeyId"]
    client = server.kms(user)

    def tags(**pairs):
        return [{"TagKey": name, "TagValue": value} for name, value in pairs.items()]

    client.tag_resource(KeyId=key, Tags=tags(Stage="dev"))
    client.tag_resource(KeyId=key, Tags=tags(Stage="test", Owner="me"))
    for wrong in (tags(Stage="prod"), tags(Owner="me"), tags(Stage="dev", Other="x")):
        with refused("AccessDeniedException"):
            client.tag_resource(KeyId=key, Tags=wrong)
    client.untag_resource(KeyId=key, TagKeys=["Owner"])
    with refused("AccessDeniedException"):
        client.untag_resource(KeyId=key, TagKeys=["Owner", "Stage"])


def test_tags_of_a_new_key(server):
    maker = server.create_user(
        ACCOUNT,
        policy=identity_policy(
            statement(
                "Allow",
                actions=["kms:CreateKey", "kms:TagResource"],
                condition={"StringEquals": {"aws:RequestTag/Team": "a"}, "ForAllValues:StringEquals": {"aws:TagKeys": "Team"}},
            )
        ),
    )
    client = server.kms(maker)
    client.create_key(Tags=[{"TagKey": "Team", "TagValue": "a"}])
    for wrong in ([], [{"TagKey": "Team", "TagValue": "b"}], [{"TagKey": "Team", "TagValue": "a"}, {"TagKey": "X", "TagValue": "y"}]):
        with refused("AccessDeniedException"):
            client.create_key(**({"Tags": wrong} if wrong else {}))


def test_conditions_of_create_key(server):
    maker = server.create_user(
        ACCOUNT,
        policy=identity_policy(
            statement("Allow", actions="kms:CreateKey", condition={"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "false"}}),
        ),
    )
    client = server.kms(maker)
    client.create_key()
    with refused("AccessDeniedException"):
        client.create_key(BypassPolicyLockoutSafetyCheck=True)


def test_re_encrypt_on_the_same_key(server, kms, user):
    keys = [
        key_with(kms, statement("Allow", user.arn, "kms:ReEncrypt*", condition={"Bool": {"kms:ReEncryptOnSameKey": "true"}}))["KeyId"]
        for _ in range(2)
    ]
    blob = kms.encrypt(KeyId=keys[0], Plaintext=b"x")["CiphertextBlob"]
    client = server.kms(user)
    client.re_encrypt(CiphertextBlob=blob, DestinationKeyId=keys[0])
    with refused("AccessDeniedException"):
        client.re_encrypt(CiphertextBlob=blob, DestinationKeyId=keys[1])


def test_each_side_of_re_encrypt_has_its_own_context(server, kms, user):
    condition = {"StringEquals": {"kms:EncryptionContext:side": "source"}}
    source = key_with(kms, statement("Allow", user.arn, "kms:ReEncryptFrom", condition=condition))["KeyId"]
    condition = {"StringEquals": {"kms:EncryptionContext:side": "destination"}}
    destination = key_with(kms, statement("Allow", user.arn, "kms:ReEncryptTo", condition=condition))["KeyId"]
    blob = kms.encrypt(KeyId=source, Plaintext=b"x", EncryptionContext={"side": "source"})["CiphertextBlob"]
    client = server.kms(user)
    given = {"CiphertextBlob": blob, "SourceEncryptionContext": {"side": "source"}, "DestinationKeyId": destination}
    client.re_encrypt(**given, DestinationEncryptionContext={"side": "destination"})
    with refused("AccessDeniedException"):
        client.re_encrypt(**given, DestinationEncryptionContext={"side": "source"})


@pytest.mark.parametrize(
    ("action", "condition", "right", "wrong"),
    [
        (
            "kms:ScheduleKeyDeletion",
            {"NumericGreaterThanEquals": {"kms:ScheduleKeyDeletionPendingWindowInDays": "20"}},
            lambda kms, key: kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=20),
            lambda kms, key: kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=19),
        ),
        (
            "kms:EnableKeyRotation",
            {"NumericLessThanEquals": {"kms:RotationPeriodInDays": "180"}},
            lambda kms, key: kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=180),
            lambda kms, key: kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=181),
        ),
        (
            "kms:PutKeyPolicy",
            {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}},
            lambda kms, key: kms.put_key_policy(
                KeyId=key, Policy=policy(statement("Allow", ROOT)), BypassPolicyLockoutSafetyCheck=True
            ),
            lambda kms, key: kms.put_key_policy(KeyId=key, Policy=policy(statement("Allow", ROOT))),
        ),
    ],
)
def test_conditions_of_one_operation(server, kms, user, action, condition, right, wrong):
    key = key_with(kms, statement("Allow", user.arn, action, condition=condition))["KeyId"]
    with refused("AccessDeniedException"):
        wrong(server.kms(user), key)
    right(server.kms(user), key)


def test_variables_in_policies(server, kms, user, admin):
    made = statement("Allow", [user.arn, admin.arn], "kms:Encrypt", condition={"StringEquals": {"kms:EncryptionContext:owner": "${aws:username}"}})
    key = kms.create_key(Policy=policy(statement("Allow", ROOT, "kms:PutKeyPolicy"), made))["KeyMetadata"]["KeyId"]
    for principal, other in ((user, admin), (admin, user)):
        client = server.kms(principal)
        client.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"owner": principal.name})
        with refused("AccessDeniedException"):
            client.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"owner": other.name})


# Across accounts -------------------------------------------------------------------------------------------------------------


def test_the_key_names_the_other_account(server, kms, foreign, foreign_user):
    key = key_with(kms, statement("Allow", foreign.arn, ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"]))
    for principal in (foreign, foreign_user):
        client = server.kms(principal)
        encrypted = client.encrypt(KeyId=key["Arn"], Plaintext=b"x")
        assert encrypted["KeyId"] == key["Arn"]
        assert client.decrypt(CiphertextBlob=encrypted["CiphertextBlob"])["Plaintext"] == b"x"
        assert client.describe_key(KeyId=key["Arn"])["KeyMetadata"]["AWSAccountId"] == ACCOUNT
    plain = server.create_user(foreign.account)
    with denied(plain.arn, "kms:Encrypt", key["Arn"], "because no identity-based policy allows the kms:Encrypt action"):
        server.kms(plain).encrypt(KeyId=key["Arn"], Plaintext=b"x")


def test_the_key_names_one_user_of_the_other_account(server, kms, foreign, foreign_user):
    key = key_with(kms, statement("Allow", foreign_user.arn, "kms:Encrypt"))
    server.kms(foreign_user).encrypt(KeyId=key["Arn"], Plaintext=b"x")
    other = server.create_user(foreign.account, policy=identity_policy(statement("Allow", actions="kms:*")))
    plain = server.create_user(foreign.account)
    kms.put_key_policy(
        KeyId=key["KeyId"], Policy=policy(statement("Allow", ROOT), statement("Allow", [foreign_user.arn, plain.arn], "kms:Encrypt"))
    )
    # Both sides must agree.
    for principal in (other, plain):
        with refused("AccessDeniedException"):
            server.kms(principal).encrypt(KeyId=key["Arn"], Plaintext=b"x")


def test_by_the_alias_of_the_other_account(server, kms, foreign):
    name = alias_name()
    key = key_with(kms, statement("Allow", foreign.arn, "kms:Encrypt"))
    kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    encrypted = server.kms(foreign).encrypt(KeyId=f"arn:aws:kms:us-east-1:{ACCOUNT}:{name}", Plaintext=b"x")
    assert encrypted["KeyId"] == key["Arn"]
    # A bare id or alias is one of the caller's own account.
    for reference in (key["KeyId"], name):
        with refused("NotFoundException"):
            server.kms(foreign).encrypt(KeyId=reference, Plaintext=b"x")


FOREIGN_OPERATIONS = {
    "describe_key": {},
    "encrypt": {"Plaintext": b"x"},
    "decrypt": {"CiphertextBlob": b"no ciphertext"},
    "generate_data_key": {"KeySpec": "AES_256"},
    "generate_data_key_without_plaintext": {"KeySpec": "AES_256"},
    "get_key_rotation_status": {},
}
OWN_OPERATIONS = {
    "disable_key": {},
    "enable_key": {},
    "get_key_policy": {},
    "put_key_policy": {"Policy": policy(statement("Allow", ROOT))},
    "list_resource_tags": {},
    "tag_resource": {"Tags": [{"TagKey": "k", "TagValue": "v"}]},
    "list_key_policies": {},
    "list_key_rotations": {},
    "list_aliases": {},
    "schedule_key_deletion": {},
    "cancel_key_deletion": {},
    "update_key_description": {"Description": "x"},
    "rotate_key_on_demand": {},
    "enable_key_rotation": {},
    "get_key_last_usage": {},
}
MISSING = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("method", [*FOREIGN_OPERATIONS, *OWN_OPERATIONS])
def test_what_is_forbidden_looks_like_what_is_missing(server, key, foreign, foreign_user, method):
    """Nobody learns which keys another account has: same code, same words, but for the ARN that the caller gave."""
    for principal in (foreign, foreign_user):
        told = []
        for arn in (key["Arn"], MISSING):
            with refused("AccessDeniedException") as refusal:
                getattr(server.kms(principal), method)(KeyId=arn, **(FOREIGN_OPERATIONS | OWN_OPERATIONS)[method])
            error = refusal.response
            told.append((error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"].replace(arn, "ARN")))
        assert told[0] == told[1]


def test_forbidden_and_missing_aliases_look_the_same(server, kms, key, foreign):
    name = alias_name()
    kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    told = []
    for alias in (name, alias_name()):
        arn = f"arn:aws:kms:us-east-1:{ACCOUNT}:{alias}"
        with refused("AccessDeniedException") as refusal:
            server.kms(foreign).encrypt(KeyId=arn, Plaintext=b"x")
        message = refusal.response["Error"]["Message"]
        assert key["KeyId"] not in message
        told.append(message.replace(arn, "ARN"))
    assert told[0] == told[1]


def test_accounts_that_are_not_there_look_the_same_too(server, key, foreign):
    told = []
    for arn in (key["Arn"], "arn:aws:kms:us-east-1:999999999999:key/00000000-0000-4000-8000-000000000000"):
        with refused("AccessDeniedException") as refusal:
            server.kms(foreign).describe_key(KeyId=arn)
        told.append(refusal.response["Error"]["Message"].replace(arn, "ARN"))
    assert told[0] == told[1]


@pytest.mark.parametrize("method", OWN_OPERATIONS)
def test_operations_that_stay_within_the_account(server, kms, foreign, method):
    """AWS: "Cross-account use: No." Even a key policy that allows everything does not help."""
    key = key_with(kms, statement("Allow", foreign.arn))
    with refused("AccessDeniedException"):
        getattr(server.kms(foreign), method)(KeyId=key["Arn"], **OWN_OPERATIONS[method])


def test_re_encrypt_between_accounts(server, kms, foreign):
    theirs = server.kms(foreign).create_key()["KeyMetadata"]
    shared = key_with(kms, statement("Allow", foreign.arn, "kms:ReEncrypt*"))
    blob = kms.encrypt(KeyId=shared["KeyId"], Plaintext=b"moving out")["CiphertextBlob"]
    moved = server.kms(foreign).re_encrypt(CiphertextBlob=blob, SourceKeyId=shared["Arn"], DestinationKeyId=theirs["KeyId"])
    assert moved["SourceKeyId"] == shared["Arn"]
    assert server.kms(foreign).decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == b"moving out"
    with refused("AccessDeniedException"):
        kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])


def test_an_alias_is_never_given_to_a_foreign_key(server, kms, foreign):
    key = key_with(kms, statement("Allow", foreign.arn))
    with refused("AccessDeniedException"):
        server.kms(foreign).create_alias(AliasName=alias_name(), TargetKeyId=key["Arn"])
