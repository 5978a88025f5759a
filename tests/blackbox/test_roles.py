"""Roles: sts:AssumeRole with boto3 and the AWS CLI, and what a session may do. The rules in depth are tested in crates/service."""

import base64
import json
import subprocess
import sys

import pytest

import wire
from harness import CLEAN_ENVIRONMENT, Credentials, Principal, policy, refused, statement, unique
from test_aws_cli import AWS

KMS = json.loads(policy(statement("Allow")))
ROOT_ACCOUNT = "123456789012"


@pytest.fixture
def user(server):
    return server.create_user(ROOT_ACCOUNT)


@pytest.fixture
def role(server, user):
    """A role that trusts the user and may do everything with keys."""
    return server.create_role(ROOT_ACCOUNT, user.arn, policy=KMS)


def test_assume_role(server, user, role, key_id):
    answer = server.sts(user).assume_role(RoleArn=role, RoleSessionName="me@example.com", DurationSeconds=900)
    credentials, who = answer["Credentials"], answer["AssumedRoleUser"]
    name = role.split("/")[-1]
    assert who["Arn"] == f"arn:aws:sts::{ROOT_ACCOUNT}:assumed-role/{name}/me@example.com"
    assert who["AssumedRoleId"].startswith("AROA") and who["AssumedRoleId"].endswith(":me@example.com")
    assert credentials["AccessKeyId"].startswith("ASIA") and len(credentials["SecretAccessKey"]) == 40
    assert "PackedPolicySize" not in answer
    session = Principal(
        ROOT_ACCOUNT,
        None,
        Credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]),
        who["Arn"],
    )
    me = server.sts(session).get_caller_identity()
    assert (me["Account"], me["Arn"], me["UserId"]) == (ROOT_ACCOUNT, who["Arn"], who["AssumedRoleId"])
    kms = server.kms(session)
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"in a session")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"in a session"


def test_a_key_policy_names_role_and_session(server, kms, user):
    role = server.create_role(ROOT_ACCOUNT, user.arn)
    session = server.assume(user, role)
    for principal in (role, session.arn):
        document = policy(statement("Allow", server.root.arn), statement("Allow", principal, "kms:Encrypt"))
        made = kms.create_key(Policy=document)["KeyMetadata"]["KeyId"]
        assert json.loads(kms.get_key_policy(KeyId=made)["Policy"]) == json.loads(document)
        server.kms(session).encrypt(KeyId=made, Plaintext=b"x")
        with refused("AccessDeniedException"):
            server.kms(session).disable_key(KeyId=made)


def test_a_session_policy_and_tags(server, user, role, kms):
    limited = policy(statement("Allow", actions=["kms:Encrypt", "kms:DescribeKey"]))
    answer = server.sts(user).assume_role(
        RoleArn=role, RoleSessionName="limited", Policy=limited, Tags=[{"Key": "Team", "Value": "red & blue <é>"}]
    )
    assert 0 < answer["PackedPolicySize"] <= 100
    made = answer["Credentials"]
    session = Principal(
        ROOT_ACCOUNT,
        None,
        Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]),
        answer["AssumedRoleUser"]["Arn"],
    )
    tagged = policy(
        statement("Allow", server.root.arn),
        statement("Allow", role, condition={"StringEquals": {"aws:PrincipalTag/team": "red & blue <é>"}}),
    )
    key = kms.create_key(Policy=tagged)["KeyMetadata"]
    blob = server.kms(session).encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    with refused(
        "AccessDeniedException",
        f"User: {session.arn} is not authorized to perform: kms:Decrypt on resource: {key['Arn']} because no session policy allows "
        "the kms:Decrypt action",
    ):
        server.kms(session).decrypt(CiphertextBlob=blob)
    untagged = server.assume(user, server.create_role(ROOT_ACCOUNT, user.arn))
    with refused("AccessDeniedException"):
        server.kms(untagged).encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_chained_roles(server, user, role, key_id):
    first = server.assume(user, role, Tags=[{"Key": "team", "Value": "red"}], TransitiveTagKeys=["team"])
    second = server.create_role(ROOT_ACCOUNT, role, policy=KMS, options=["--max-session-duration", "43200"])
    session = server.assume(first, second)
    server.kms(session).encrypt(KeyId=key_id, Plaintext=b"x")
    with refused("ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."):
        server.sts(first).assume_role(RoleArn=second, RoleSessionName="long", DurationSeconds=3601)


def test_what_is_refused(server, user, role):
    sts = server.sts(user)
    denied = f"User: {user.arn} is not authorized to perform: sts:AssumeRole on resource: "
    for arn in (f"{role}-not", server.create_role(ROOT_ACCOUNT, server.create_user(ROOT_ACCOUNT).arn), f"arn:aws:iam::{ROOT_ACCOUNT}:role/p/x"):
        with refused("AccessDenied", denied + arn):
            sts.assume_role(RoleArn=arn, RoleSessionName="session")
    with refused("AccessDenied", "Roles may not be assumed by root accounts."):
        server.sts().assume_role(RoleArn=role, RoleSessionName="session")
    with refused("MalformedPolicyDocument"):
        sts.assume_role(RoleArn=role, RoleSessionName="session", Policy='{"Version": "2012-10-17"}')
    with refused("PackedPolicyTooLarge"):
        sts.assume_role(RoleArn=role, RoleSessionName="session", Policy=policy(*[statement("Allow", sid=f"s{n}") for n in range(40)]))
    with refused("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."):
        sts.assume_role(RoleArn=role, RoleSessionName="session", DurationSeconds=3601)
    with refused("ValidationError", "Duplicate tag keys found. Please note that Tag keys are case insensitive."):
        sts.assume_role(RoleArn=role, RoleSessionName="session", Tags=[{"Key": k, "Value": ""} for k in ("a", "A")])
    with refused("ValidationError", "SourceIdentity is not offered by this deployment."):
        sts.assume_role(RoleArn=role, RoleSessionName="session", SourceIdentity="somebody")
    unchecked = server.sts(user, parameter_validation=False)
    for wrong in ({"RoleSessionName": "x"}, {"RoleSessionName": "a b"}, {"DurationSeconds": 899}, {"RoleArn": "arn:aws:iam::1:role/not"}):
        with refused("ValidationError"):
            unchecked.assume_role(**{"RoleArn": role, "RoleSessionName": "session"} | wrong)


def test_tokens_that_are_none_of_ours(server, user, role, key_id):
    session = server.assume(user, role)
    made = session.credentials
    invalid = "The security token included in the request is invalid."
    for credentials in (
        Credentials(made.access_key, made.secret),
        Credentials(made.access_key, made.secret, "FwoGZXIvYXdzEXAMPLE"),
        Credentials(made.access_key, made.secret, made.token[:-4] + "AAAA"),
        Credentials(user.credentials.access_key, user.credentials.secret, made.token),
    ):
        forged = Principal(ROOT_ACCOUNT, None, credentials)
        with refused("UnrecognizedClientException", invalid):
            server.kms(forged).describe_key(KeyId=key_id)
        with refused("InvalidClientTokenId", invalid):
            server.sts(forged).get_caller_identity()
    with refused("InvalidSignatureException"):
        server.kms(Principal(ROOT_ACCOUNT, None, Credentials(made.access_key, "wrong" * 8, made.token))).describe_key(KeyId=key_id)


def test_the_token_is_signed(server, user, role):
    """A token that is added to a request after it was signed is no token of that request."""
    request = wire.sign(server, wire.request("ListKeys", b"{}"))
    request.headers["X-Amz-Security-Token"] = server.assume(user, role).credentials.token
    reply = wire.send(server, request, check=False)
    assert reply.status == 400 and b"'x-amz-security-token' must be a 'SignedHeader'" in reply.body, reply.body


def test_a_deleted_role_takes_its_sessions_along(server, user, key_id):
    name = unique("role")
    session = server.assume(user, server.create_role(ROOT_ACCOUNT, user.arn, name=name, policy=KMS))
    server.kms(session).describe_key(KeyId=key_id)
    server.run("policy", "delete", "--role", name, "--name", "test", "--account", ROOT_ACCOUNT)
    with refused("AccessDeniedException"):
        server.kms(session).describe_key(KeyId=key_id)
    server.run("role", "delete", name, "--account", ROOT_ACCOUNT)
    with refused("UnrecognizedClientException", "The security token included in the request is invalid."):
        server.kms(session).describe_key(KeyId=key_id)


def test_the_command_line(server, user):
    name, account = unique("role"), ["--account", ROOT_ACCOUNT]
    trust = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": user.arn}, "Action": "sts:AssumeRole"}})
    made = server.admin(
        *["role", "create", name, "--trust", "-", *account, "--description", "for tests", "--max-session-duration", "7200"],
        *["--tag", "team=red", "--tag", "floor=a=b"],
        stdin=trust,
    )
    assert made["Arn"] == f"arn:aws:iam::{ROOT_ACCOUNT}:role/{name}" and made["RoleId"].startswith("AROA")
    told = server.admin("role", "get", name, *account)
    assert json.loads(told["AssumeRolePolicyDocument"]) == json.loads(trust)
    assert (told["Description"], told["MaxSessionDuration"]) == ("for tests", 7200)
    assert told["Tags"] == [{"TagKey": "floor", "TagValue": "a=b"}, {"TagKey": "team", "TagValue": "red"}]
    server.run("role", "tag", name, "team=blue", *account)
    server.run("role", "untag", name, "floor", *account)
    assert server.admin("role", "get", name, *account)["Tags"] == [{"TagKey": "team", "TagValue": "blue"}]
    assert name in [role["RoleName"] for role in server.admin("role", "list", *account)["Roles"]]
    server.run("policy", "put", "-", "--role", name, "--name", "keys", *account, stdin=json.dumps(KMS))
    assert server.admin("policy", "list", "--role", name, *account)["PolicyNames"] == ["keys"]
    assert json.loads(server.run("policy", "get", "--role", name, "--name", "keys", *account).stdout) == KMS
    server.run("policy", "delete", "--role", name, "--name", "keys", *account)
    nobody = json.loads(trust) | {"Statement": {"Effect": "Deny", "Principal": "*", "Action": "sts:*"}}
    server.run("role", "trust", name, "-", *account, stdin=json.dumps(nobody))
    with refused("AccessDenied"):
        server.sts(user).assume_role(RoleArn=made["Arn"], RoleSessionName="session")
    printed = server.run("role", "get", name, *account).stdout
    assert "for tests" in printed and '"sts:*"' in printed
    server.run("role", "delete", name, *account)
    gone = server.run("role", "get", name, *account, check=False)
    assert gone.returncode != 0 and f"has no role named {name}" in gone.stderr
    for wrong in (["role", "create", name, "--trust", "/nonexistent"], ["policy", "list", "--role", "a", "--user", "b"]):
        assert server.run(*wrong, *account, check=False).returncode != 0


def test_users_have_tags(server, kms):
    user = server.create_user(ROOT_ACCOUNT)
    account = ["--account", ROOT_ACCOUNT]
    key = kms.create_key(
        Policy=policy(
            statement("Allow", server.root.arn),
            statement("Allow", user.arn, condition={"StringEquals": {"aws:PrincipalTag/team": "red"}}),
        )
    )["KeyMetadata"]["KeyId"]
    with refused("AccessDeniedException"):
        server.kms(user).describe_key(KeyId=key)
    server.run("user", "tag", user.name, "Team=red", *account)
    server.kms(user).describe_key(KeyId=key)
    assert server.admin("user", "get", user.name, *account)["Tags"] == [{"TagKey": "Team", "TagValue": "red"}]
    server.run("user", "untag", user.name, "team", *account)
    with refused("AccessDeniedException"):
        server.kms(user).describe_key(KeyId=key)


def test_the_aws_cli(server, user, role, key_id, tmp_path):
    def aws(credentials, *arguments):
        environment = {"PATH": CLEAN_ENVIRONMENT["PATH"], "HOME": str(tmp_path)} | server.environment
        environment |= {"AWS_ACCESS_KEY_ID": credentials["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"]}
        if "SessionToken" in credentials:
            environment["AWS_SESSION_TOKEN"] = credentials["SessionToken"]
        done = subprocess.run(
            [sys.executable, str(AWS), *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    own = {"AccessKeyId": user.credentials.access_key, "SecretAccessKey": user.credentials.secret}
    session = aws(own, "sts", "assume-role", "--role-arn", role, "--role-session-name", "cli", "--tags", "Key=team,Value=red")["Credentials"]
    server.observer.keep_secret(session["SessionToken"], "session token")
    assert aws(session, "sts", "get-caller-identity")["Arn"].endswith("/cli")
    (tmp_path / "plaintext").write_bytes(b"hello")
    blob = aws(session, "kms", "encrypt", "--key-id", key_id, "--plaintext", "fileb://plaintext")["CiphertextBlob"]
    (tmp_path / "blob").write_bytes(base64.b64decode(blob))
    assert aws(session, "kms", "decrypt", "--ciphertext-blob", "fileb://blob")["Plaintext"] == base64.b64encode(b"hello").decode()
