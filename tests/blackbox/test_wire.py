"""The JSON protocol, byte by byte: what SDKs never send."""

import base64
import json

import pytest

import wire


def encrypt(key_id, **members):
    return {"KeyId": key_id, "Plaintext": base64.b64encode(b"x").decode()} | members


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"}",
        b"not json",
        b"[]",
        b'"text"',
        b"null",
        b"1",
        b"{}{}",
        b'{"KeyId": "k",}',
        b"{'KeyId': 'k'}",
        b'{"KeyId": "k"} x',
        b"\xff\xfe{}",
        b'{"KeyId": "\xff"}',
        b'{"KeyId": NaN}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
)
def test_what_is_no_json_object(server, body):
    reply = wire.call(server, "DescribeKey", body)
    assert (reply.status, reply.error) == (400, "SerializationException"), reply.body


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("DescribeKey", {"KeyId": 1}),
        ("DescribeKey", {"KeyId": ["k"]}),
        ("DescribeKey", {"KeyId": "k", "GrantTokens": "t"}),
        ("Encrypt", {"KeyId": "k", "Plaintext": "not base64!"}),
        ("Encrypt", {"KeyId": "k", "Plaintext": "eA"}),
        ("Encrypt", {"KeyId": "k", "Plaintext": 1}),
        ("Encrypt", {"KeyId": "k", "Plaintext": "eA==", "EncryptionContext": ["a"]}),
        ("Encrypt", {"KeyId": "k", "Plaintext": "eA==", "EncryptionContext": {"a": 1}}),
        ("Encrypt", {"KeyId": "k", "Plaintext": "eA==", "DryRun": "true"}),
        ("Decrypt", {"CiphertextBlob": "@@@@"}),
        ("ListKeys", {"Limit": "10"}),
        ("ListKeys", {"Limit": 10.5}),
        ("DescribeKey", b'{"KeyId": "k", "KeyId": "k"}'),
        ("DescribeKey", b'{"KeyId": "k", "KeyId": null}'),
        ("Encrypt", b'{"KeyId": "k", "Plaintext": "eA==", "EncryptionContext": {"a": "b", "a": "c"}}'),
        ("Encrypt", b'{"KeyId": "k", "Plaintext": "eA==", "EncryptionContext": {"a": "b", "\\u0061": "b"}}'),
        ("ListKeys", {"Limit": {}}),
        ("CreateKey", {"Tags": {"a": "b"}}),
        ("CreateKey", {"Tags": ["a"]}),
        ("CreateKey", {"MultiRegion": "false"}),
    ],
)
def test_values_of_the_wrong_type(server, operation, body):
    reply = wire.call(server, operation, body)
    assert (reply.status, reply.error) == (400, "SerializationException"), reply.body


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "1" + "0" * 30, "-9223372036854775809", "1e2", "010", "+1", "1.", "0x10", "-0.5"])
def test_numbers_that_are_none_of_ours(server, number):
    reply = wire.call(server, "ListKeys", b'{"Limit": %s}' % number.encode())
    assert (reply.status, reply.error) == (400, "SerializationException"), reply.body


def test_a_number_that_is_far_too_large_is_out_of_range(server):
    reply = wire.call(server, "ListKeys", b'{"Limit": 9223372036854775807}')
    assert (reply.status, reply.error) == (400, "ValidationException"), reply.body


def test_deep_nesting_is_skipped_where_nobody_knows_it_and_refused_elsewhere(server, key):
    for member, outcome in ((b"Unknown", 200), (b"GrantTokens", 400)):
        body = b'{"KeyId": "%s", "%s": %s%s}' % (key["KeyId"].encode(), member, b"[" * 100_000, b"]" * 100_000)
        reply = wire.call(server, "DescribeKey", body)
        assert reply.status == outcome and (outcome == 200 or reply.error == "SerializationException"), reply.body[:200]


def test_errors_do_not_repeat_the_body(server):
    secret = "c2VjcmV0IHRoYXQgbXVzdCBub3QgY29tZSBiYWNr!"
    for body in ({"KeyId": "k", "Plaintext": secret}, {"KeyId": secret, "Plaintext": 1}):
        reply = wire.call(server, "Encrypt", body)
        assert secret.encode() not in reply.body


def test_members_that_are_null_are_absent(server, key):
    body = {"KeyId": key["KeyId"], "GrantTokens": None}
    assert wire.call(server, "DescribeKey", body).json["KeyMetadata"]["Arn"] == key["Arn"]
    body = encrypt(key["KeyId"], EncryptionContext=None, EncryptionAlgorithm=None, GrantTokens=None, DryRun=None)
    assert wire.call(server, "Encrypt", body).status == 200
    reply = wire.call(server, "DescribeKey", {"KeyId": None})
    assert reply.error == "ValidationException"


def test_members_that_the_model_does_not_know_are_ignored(server, key):
    """A newer SDK may send what this server does not know yet."""
    body = {"KeyId": key["KeyId"], "FutureMember": {"deep": [1, None, {"x": "y"}]}}
    assert wire.call(server, "DescribeKey", body).json["KeyMetadata"]["Arn"] == key["Arn"]


def test_names_of_members_are_case_sensitive(server, key):
    assert wire.call(server, "DescribeKey", {"keyId": key["KeyId"]}).error == "ValidationException"


def test_an_empty_body_is_an_empty_object(server):
    assert wire.call(server, "CreateKey", b"").json["KeyMetadata"]["KeyState"] == "Enabled"
    assert wire.call(server, "DescribeKey", b"").error == "ValidationException"


def test_space_and_escapes(server, key):
    text = "".join(f"\\u{ord(letter):04x}" for letter in key["KeyId"])
    reply = wire.call(server, "DescribeKey", b' \r\n\t{ "KeyId" : "' + text.encode() + b'" } \n')
    assert reply.json["KeyMetadata"]["KeyId"] == key["KeyId"]


def test_texts_that_no_utf_8_can_hold(server, key_id):
    reply = wire.call(server, "UpdateKeyDescription", b'{"KeyId": "%s", "Description": "\\ud800"}' % key_id.encode())
    assert reply.error == "SerializationException"


def test_the_content_type_may_differ(server, key):
    for content_type in ("application/x-amz-json-1.1; charset=utf-8", "application/json", "text/plain"):
        headers = {"Content-Type": content_type}
        assert wire.call(server, "DescribeKey", {"KeyId": key["KeyId"]}, headers=headers).status == 200


def test_empty_answers_have_no_body(server, kms, key_id):
    reply = wire.call(server, "DisableKey", {"KeyId": key_id})
    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", "0")


def test_times_are_numbers_and_blobs_standard_base64(server, key):
    described = wire.call(server, "DescribeKey", {"KeyId": key["KeyId"]}).json["KeyMetadata"]
    assert isinstance(described["CreationDate"], (int, float))
    # Whole answers that have many bytes of each value: characters 62 and 63 are + and /, never - and _.
    blobs = "".join(wire.call(server, "GenerateRandom", {"NumberOfBytes": 1024}).json["Plaintext"] for _ in range(4))
    assert "+" in blobs and "/" in blobs and "-" not in blobs and "_" not in blobs


def test_error_bodies(server):
    reply = wire.call(server, "DescribeKey", {"KeyId": "nonsense"})
    assert reply.json == {"__type": "NotFoundException", "message": "Invalid keyId 'nonsense'"}
    key = wire.call(server, "CreateKey").json["KeyMetadata"]
    blob = wire.call(server, "Encrypt", encrypt(key["KeyId"])).json["CiphertextBlob"]
    reply = wire.call(server, "Decrypt", {"CiphertextBlob": blob, "EncryptionContext": {"a": "b"}})
    assert reply.body == b'{"__type":"InvalidCiphertextException"}'
    nobody = server.create_user("123456789012")
    reply = wire.call(server, "DescribeKey", {"KeyId": key["KeyId"]}, nobody)
    assert set(reply.json) == {"__type", "Message"}
    assert reply.json["__type"] == "AccessDeniedException"


def test_a_body_that_is_too_large(server):
    reply = wire.send(server, wire.sign(server, wire.request("Encrypt", b'{"KeyId": "' + b"x" * 2_000_000 + b'"}')), check=False)
    assert reply.status == 413


def test_a_head_that_is_too_large(server):
    request = wire.sign(server, wire.request("ListKeys"))
    request.headers["X-Padding"] = "x" * 100_000
    assert wire.send(server, request, check=False).status == 431


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_do_nothing(server, method):
    request = wire.request("CreateKey", method=method)
    reply = wire.send(server, wire.sign(server, request), check=False)
    assert reply.status >= 400, (method, reply.status, reply.body)


def test_other_paths_are_no_api(server):
    reply = wire.send(server, wire.sign(server, wire.request("CreateKey", path="/other/path")), check=False)
    assert reply.status >= 400


def test_a_connection_is_used_for_many_requests(server, key):
    import http.client
    import urllib.parse

    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.endpoint).netloc, timeout=10)
    for _ in range(5):
        signed = wire.sign(server, wire.request("DescribeKey", {"KeyId": key["KeyId"]}))
        connection.request("POST", "/", signed.data, dict(signed.headers.items()))
        answer = connection.getresponse()
        assert json.loads(answer.read())["KeyMetadata"]["KeyId"] == key["KeyId"]
        wire.model.check_request_id(answer.headers)
    connection.close()
