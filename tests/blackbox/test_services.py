"""Users that are marked as services: {"Service": ...} in key policies, and requests on behalf of others."""

import json

import pytest

from harness import policy, refused, statement

ROOT_ACCOUNT = "123456789012"
S3 = "s3.amazonaws.com"
ON_BEHALF = "x-amz-claviger-on-behalf-of"


@pytest.fixture(scope="module")
def s3(server):
    """The deployment's own S3."""
    return server.create_user("000000000000", service=S3)


def service_statement(condition=None):
    made = {"Effect": "Allow", "Principal": {"Service": S3}, "Action": "kms:*", "Resource": "*"}
    return made | ({"Condition": condition} if condition else {})


def asserting(server, principal, **headers):
    """A client that says something of its requests in signed headers."""
    client = server.client("kms", principal, read_timeout=60 + len(server.clients))

    def add(request, **_):
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value

    client.meta.events.register("before-sign.kms", add)
    return client


def create_key(kms, *statements):
    return kms.create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))["KeyMetadata"]["Arn"]


def test_a_service_is_named_as_one(server, kms, s3):
    key = create_key(kms, statement("Allow", server.root.arn), service_statement())
    blob = server.kms(s3).encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert server.kms(s3).decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    with refused("AccessDeniedException"):
        server.kms(s3).encrypt(KeyId=create_key(kms, statement("Allow", server.root.arn)), Plaintext=b"x")
    assert server.admin("user", "get", s3.name, "--account", "000000000000")["Service"] == S3
    assert server.sts(s3).get_caller_identity()["Arn"] == s3.arn


def test_what_a_service_works_for(server, kms, s3):
    condition = {"StringEquals": {"aws:SourceAccount": ROOT_ACCOUNT}, "ArnLike": {"aws:SourceArn": "arn:aws:s3:::photos*"}}
    key = create_key(kms, statement("Allow", server.root.arn), service_statement(condition))
    with refused("AccessDeniedException"):
        server.kms(s3).encrypt(KeyId=key, Plaintext=b"x")
    photos = asserting(server, s3, x_amz_source_arn="arn:aws:s3:::photos-2026", x_amz_source_account=ROOT_ACCOUNT)
    photos.encrypt(KeyId=key, Plaintext=b"x")
    with refused("AccessDeniedException"):
        asserting(server, s3, x_amz_source_arn="arn:aws:s3:::films", x_amz_source_account=ROOT_ACCOUNT).encrypt(KeyId=key, Plaintext=b"x")


def test_on_behalf_of_a_user(server, kms, s3):
    user = server.create_user(ROOT_ACCOUNT, policy=json.loads(policy(statement("Allow"))))
    via = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    key = create_key(
        kms, statement("Allow", server.root.arn, actions=["kms:PutKeyPolicy"]), statement("Allow", server.root.arn, condition=via)
    )
    for whom in (user.arn, user.credentials.access_key):
        asserting(server, s3, **{ON_BEHALF: whom}).encrypt(KeyId=key, Plaintext=b"x")
    with refused("AccessDeniedException"):
        server.kms(user).encrypt(KeyId=key, Plaintext=b"x")
    with refused("AccessDeniedException"):
        asserting(server, user, **{ON_BEHALF: server.root.arn}).encrypt(KeyId=key, Plaintext=b"x")


def test_on_behalf_of_a_session(server, kms, s3):
    user = server.create_user(ROOT_ACCOUNT)
    session = server.assume(user, server.create_role(ROOT_ACCOUNT, user.arn, policy=json.loads(policy(statement("Allow")))))
    key = kms.create_key()["KeyMetadata"]["Arn"]
    made = session.credentials
    client = asserting(server, s3, **{ON_BEHALF: made.access_key, f"{ON_BEHALF}-token": made.token})
    client.encrypt(KeyId=key, Plaintext=b"x")
    with refused("AccessDeniedException"):
        asserting(server, s3, **{ON_BEHALF: made.access_key}).encrypt(KeyId=key, Plaintext=b"x")


def test_only_the_administrator_makes_services(server):
    root = server.create_account()
    environment = {"CLAVIGER_ADMIN_ACCESS_KEY_ID": root.credentials.access_key, "CLAVIGER_ADMIN_SECRET_ACCESS_KEY": root.credentials.secret}
    made = server.run("user", "create", "false", "--service", S3, environment=environment, check=False)
    assert made.returncode != 0 and "AccessDenied" in made.stderr, made.stderr
    wrong = server.run("user", "create", "false", "--service", "s3", check=False)
    assert wrong.returncode == 2 and "s3.amazonaws.com" in wrong.stderr
