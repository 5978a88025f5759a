"""Who is asking: SigV4 as AWS checks it, with AWS's error codes."""

import datetime
import re

import botocore.auth
import botocore.credentials
import pytest

import wire
from harness import Credentials, Principal, refused

NO_MATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing "
    "method. Consult the service documentation for details."
)
INVALID_TOKEN = "The security token included in the request is invalid."


def signed(server, **settings):
    return wire.sign(server, wire.request("ListKeys"), **settings)


def refuse(server, request, code, message=None):
    reply = wire.send(server, request)
    assert (reply.status, reply.error) == (400, code), reply.body
    if isinstance(message, re.Pattern):
        assert message.search(reply.message), reply.message
    elif message is not None:
        assert reply.message == message


def minutes(count):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=count)


def alter(request, header, pattern, replacement):
    text = request.headers[header]
    changed = re.sub(pattern, replacement, text)
    assert changed != text, f"{pattern} is not in {text}"
    del request.headers[header]
    request.headers[header] = changed
    return request


def test_a_sound_signature(server):
    assert wire.send(server, signed(server)).status == 200


def test_a_wrong_secret(server):
    root = server.root
    wrong = Principal(root.account, None, Credentials(root.credentials.access_key, "x" * 40))
    with refused("InvalidSignatureException", NO_MATCH):
        server.kms(wrong).list_keys()


def test_an_access_key_that_nobody_has(server):
    wrong = Principal("123456789012", None, Credentials("AKIAAAAAAAAAAAAAAAAA", "x" * 40))
    with refused("UnrecognizedClientException", INVALID_TOKEN):
        server.kms(wrong).list_keys()


def test_a_session_token_that_nobody_gave_out(server):
    held = server.root.credentials
    credentials = botocore.credentials.Credentials(held.access_key, held.secret, "token")
    refuse(server, signed(server, credentials=credentials), "UnrecognizedClientException", INVALID_TOKEN)


def test_no_signature_at_all(server):
    request = wire.request("ListKeys")
    request.url = server.endpoint
    refuse(server, request, "MissingAuthenticationTokenException", "Missing Authentication Token")


def test_another_scheme(server):
    for value in ("Basic dXNlcjpwYXNz", "Bearer token"):
        request = signed(server)
        del request.headers["Authorization"]
        request.headers["Authorization"] = value
        reply = wire.send(server, request)
        assert reply.error in ("MissingAuthenticationTokenException", "IncompleteSignatureException"), reply.body


@pytest.mark.parametrize("offset", [-4.5, -1, 1, 4.5])
def test_a_clock_that_is_a_little_off(server, offset):
    assert wire.send(server, signed(server, at=minutes(offset))).status == 200


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (-6, re.compile(r"^Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)$")),
        (-60 * 24, re.compile("^Signature expired: ")),
        (6, re.compile(r"^Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)$")),
        (60 * 24 * 365, re.compile("^Signature not yet current: ")),
    ],
)
def test_a_clock_that_is_far_off(server, offset, message):
    refuse(server, signed(server, at=minutes(offset)), "InvalidSignatureException", message)


def test_a_body_that_was_changed(server):
    request = signed(server)
    request.data = b'{"Limit":1}'
    del request.headers["Content-Length"]
    refuse(server, request, "InvalidSignatureException", NO_MATCH)


def test_an_operation_that_was_changed(server):
    request = signed(server)
    del request.headers["X-Amz-Target"]
    request.headers["X-Amz-Target"] = "TrentService.CreateKey"
    refuse(server, request, "InvalidSignatureException", NO_MATCH)


def test_a_signed_header_that_was_changed_or_removed(server):
    request = wire.request("ListKeys", headers={"X-Extra": "1"})
    wire.sign(server, request)
    assert wire.send(server, request).status == 200
    del request.headers["X-Extra"]
    request.headers["X-Extra"] = "2"
    refuse(server, request, "InvalidSignatureException", NO_MATCH)
    del request.headers["X-Extra"]
    refuse(server, request, "InvalidSignatureException")


def test_a_date_that_was_changed(server):
    request = signed(server)
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=70)).strftime("%Y%m%dT%H%M%SZ")
    del request.headers["X-Amz-Date"]
    request.headers["X-Amz-Date"] = later
    refuse(server, request, "InvalidSignatureException", NO_MATCH)


def test_a_path_or_query_that_was_changed(server):
    request = signed(server)
    request.url += "/?Action=GetCallerIdentity"
    reply = wire.send(server, request)
    assert reply.error == "InvalidSignatureException"


@pytest.mark.parametrize("service", ["s3", "KMS", "sts", "claviger"])
def test_another_service(server, service):
    refuse(
        server,
        signed(server, service=service),
        "InvalidSignatureException",
        re.compile("^Credential should be scoped to correct service: 'kms'"),
    )


def test_a_region_that_is_none(server):
    refuse(
        server,
        signed(server, region="no_region"),
        "InvalidSignatureException",
        re.compile("^Credential should be scoped to a valid region"),
    )


@pytest.mark.parametrize(
    ("pattern", "replacement", "code"),
    [
        (r"Signature=[0-9a-f]+", "Signature=" + "0" * 64, "InvalidSignatureException"),
        (r"Signature=[0-9a-f]{4}", "Signature=ABCD", "InvalidSignatureException"),
        (r"Signature=[0-9a-f]+", "Signature=", "IncompleteSignatureException"),
        (r", Signature=[0-9a-f]+", "", "IncompleteSignatureException"),
        (r"SignedHeaders=[^,]+, ", "", "IncompleteSignatureException"),
        (r"Credential=[^,]+, ", "", "IncompleteSignatureException"),
        (r"Credential=[^,]+", "Credential=AKIA", "IncompleteSignatureException"),
        (r"/aws4_request", "/aws5_request", "InvalidSignatureException"),
        (r"/us-east-1/", "/us-east-2/", "InvalidSignatureException"),
        (r"/20\d{6}/", "/20200101/", "InvalidSignatureException"),
        (r"AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "IncompleteSignatureException"),
        (r"SignedHeaders=[^,]+", "SignedHeaders=content-type", "InvalidSignatureException"),
        (r"Credential=", "Credential", "IncompleteSignatureException"),
    ],
)
def test_an_authorization_header_that_is_wrong(server, pattern, replacement, code):
    request = alter(signed(server), "Authorization", pattern, replacement)
    refuse(server, request, code)


def test_no_date(server):
    request = signed(server)
    del request.headers["X-Amz-Date"]
    refuse(server, request, "IncompleteSignatureException")


def test_an_unsigned_payload(server):
    request = wire.request("ListKeys", headers={"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"})
    request.context["payload_signing_enabled"] = False
    refuse(server, wire.sign(server, request), "InvalidSignatureException")


def test_presigned_requests_are_refused(server):
    request = wire.request("ListKeys", method="GET")
    request.data = b""
    wire.sign(server, request, signer=lambda *given: botocore.auth.SigV4QueryAuth(*given, expires=60))
    reply = wire.send(server, request)
    assert reply.status == 400 and reply.error in ("IncompleteSignatureException", "InvalidSignatureException"), reply.body


def test_who_you_are_comes_before_what_you_want(server):
    """Nobody learns without a signature which operations and keys there are."""
    for operation in ("Encrypt", "Sign", "Nothing"):
        request = wire.request(operation, b"not json")
        request.url = server.endpoint
        refuse(server, request, "MissingAuthenticationTokenException")


def test_an_access_key_that_is_inactive_or_deleted(server):
    user = server.create_user("123456789012", policy=ALLOW_ALL)
    client, access_key = server.kms(user), user.credentials.access_key
    client.list_keys()
    server.run("access-key", "deactivate", access_key, "--account", "123456789012")
    with refused("UnrecognizedClientException", INVALID_TOKEN):
        client.list_keys()
    server.run("access-key", "activate", access_key, "--account", "123456789012")
    client.list_keys()
    server.run("access-key", "delete", access_key, "--account", "123456789012")
    with refused("UnrecognizedClientException", INVALID_TOKEN):
        client.list_keys()


ALLOW_ALL = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}}


def test_two_access_keys_at_most(server):
    user = server.create_user("123456789012", policy=ALLOW_ALL)
    where = ("--account", "123456789012")
    second = server.admin("access-key", "create", "--user", user.name, *where)
    server.observer.keep_secret(second["SecretAccessKey"], "secret access key")
    other = Principal(user.account, user.name, Credentials(second["AccessKeyId"], second["SecretAccessKey"]))
    assert server.sts(other).get_caller_identity()["Arn"] == server.sts(user).get_caller_identity()["Arn"]
    refusal = server.run("access-key", "create", "--user", user.name, *where, check=False)
    assert refusal.returncode == 1 and "LimitExceeded" in refusal.stderr


def test_the_last_use_of_an_access_key_is_known(server):
    user = server.create_user("123456789012", policy=ALLOW_ALL)
    where = ("--user", user.name, "--account", "123456789012")
    [before] = server.admin("access-key", "list", *where)["AccessKeys"]
    assert before["AccessKeyId"] == user.credentials.access_key
    server.kms(user).list_keys()
    assert "LastUsed" not in str(before)
    deadline = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=15)
    while datetime.datetime.now(datetime.timezone.utc) < deadline:
        [after] = server.admin("access-key", "list", *where)["AccessKeys"]
        if "LastUsed" in str(after):
            break
    assert "LastUsed" in str(after), after
    assert user.credentials.secret not in str(after)


def test_the_secret_is_shown_once(server):
    user = server.create_user("123456789012")
    where = ("--account", "123456789012")
    for command in (("access-key", "list", "--user", user.name), ("user", "list"), ("policy", "list", "--user", user.name)):
        assert user.credentials.secret not in server.run(*command, *where).stdout


def test_administration_is_for_the_administrator(server):
    """The account's own credentials do not manage the deployment."""
    root = server.root.credentials
    environment = {"CLAVIGER_ADMIN_ACCESS_KEY_ID": root.access_key, "CLAVIGER_ADMIN_SECRET_ACCESS_KEY": root.secret}
    refusal = server.run("account", "create", "mine", check=False, environment=environment)
    assert refusal.returncode == 1 and "AccessDenied" in refusal.stderr
    stranger = server.create_account()
    environment = {
        "CLAVIGER_ADMIN_ACCESS_KEY_ID": stranger.credentials.access_key,
        "CLAVIGER_ADMIN_SECRET_ACCESS_KEY": stranger.credentials.secret,
    }
    refusal = server.run("user", "list", "--account", "123456789012", check=False, environment=environment)
    assert refusal.returncode == 1 and "AccessDenied" in refusal.stderr


def test_the_administrator_uses_no_keys(server, key_id):
    environment = server.environment
    administrator = Principal(
        "000000000000",
        None,
        Credentials(environment["CLAVIGER_ADMIN_ACCESS_KEY_ID"], environment["CLAVIGER_ADMIN_SECRET_ACCESS_KEY"]),
    )
    arn = f"arn:aws:kms:us-east-1:123456789012:key/{key_id}"
    client = server.kms(administrator)
    with refused("AccessDeniedException"):
        client.describe_key(KeyId=arn)
    with refused("AccessDeniedException"):
        client.encrypt(KeyId=arn, Plaintext=b"x")
    with refused("AccessDeniedException"):
        client.put_key_policy(KeyId=arn, Policy="{}")
