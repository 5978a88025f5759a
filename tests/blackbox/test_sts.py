"""STS GetCallerIdentity, and what is not offered beside it. test_roles.py has AssumeRole."""

import re

import wire
from harness import Credentials, Principal, refused


def test_the_account_root(server):
    answer = server.sts().get_caller_identity()
    answer.pop("ResponseMetadata")
    assert answer == {"UserId": "123456789012", "Account": "123456789012", "Arn": "arn:aws:iam::123456789012:root"}


def test_a_user(server):
    user = server.create_user("123456789012")
    answer = server.sts(user).get_caller_identity()
    assert (answer["Account"], answer["Arn"]) == ("123456789012", user.arn)
    assert re.fullmatch("AIDA[A-Z2-7]{16}|AIDA[A-Z0-9]{12,}", answer["UserId"])


def test_in_every_region(server):
    for region in ("us-east-1", "eu-central-1", "ap-northeast-3"):
        assert server.sts(region=region).get_caller_identity()["Account"] == "123456789012"


def test_needs_no_permission(server):
    nobody = server.create_user(
        "123456789012", policy={"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}
    )
    assert server.sts(nobody).get_caller_identity()["Arn"] == nobody.arn


def test_by_get_and_by_post(server):
    for method, path, body, headers in (
        ("POST", "/", b"Action=GetCallerIdentity&Version=2011-06-15", {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}),
        ("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", b"", {}),
    ):
        request = wire.request("", body, target=False, headers=headers, method=method, path=path)
        if method == "GET":
            del request.headers["Content-Type"]
        reply = wire.send(server, wire.sign(server, request, service="sts"), check=False)
        assert reply.status == 200, reply.body
        assert b"<Account>123456789012</Account>" in reply.body


def test_wrong_credentials(server):
    root = server.root
    with refused("SignatureDoesNotMatch"):
        server.sts(Principal(root.account, None, Credentials(root.credentials.access_key, "wrong" * 8))).get_caller_identity()
    with refused("InvalidClientTokenId", "The security token included in the request is invalid."):
        server.sts(Principal(root.account, None, Credentials("AKIAAAAAAAAAAAAAAAAA", "wrong" * 8))).get_caller_identity()


def test_other_actions_are_not_offered(server):
    for call in (
        lambda sts: sts.get_session_token(),
        lambda sts: sts.get_federation_token(Name="somebody"),
    ):
        with refused("InvalidAction"):
            call(server.sts())
