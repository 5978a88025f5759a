"""The XKS proxy API as its specification has it, with botocore's signatures."""

import http.client
import json
import secrets
import urllib.parse

import pytest

import xks
from harness import run, unique
from xks import Client, b64, create_store, integrity_value, metadata, unb64


@pytest.fixture(scope="module")
def setting(server):
    """A store with a key for everything, one for each direction, and one for nothing left."""
    store = create_store(server, unique("store"))
    key = server.kms().create_key()["KeyMetadata"]["KeyId"]
    server.admin("xks", "add-key", store.name, "both", key)
    server.admin("xks", "add-key", store.name, "to", key, "--usage", "ENCRYPT")
    server.admin("xks", "add-key", store.name, "from", key, "--usage", "DECRYPT")
    return store, key


@pytest.fixture
def client(server, setting):
    return Client(server.endpoint, setting[0])


def test_metadata(client):
    assert client.metadata("both").body == {"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "ENABLED"}
    assert client.metadata("to").body["keyUsage"] == ["ENCRYPT"]
    assert client.metadata("from").body["keyUsage"] == ["DECRYPT"]
    without_key = metadata("CreateKey")
    del without_key["kmsKeyArn"]
    reply = client.send("/keys/both/metadata", {"requestMetadata": without_key})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")


def test_health(client):
    body = client.health().body
    assert body["xksProxyFleetSize"] >= 1 and body["xksProxyVendor"] and body["xksProxyModel"] and body["ekmVendor"]
    assert 1 <= len(body["ekmFleetDetails"]) <= 10
    assert all(detail["id"] and detail["model"] and detail["healthStatus"] == "ACTIVE" for detail in body["ekmFleetDetails"])
    assert client.health(kmsOperation="SomethingNew").status == 200


@pytest.mark.parametrize("size", [1, 12, 4096, 4300, 65536])
@pytest.mark.parametrize("aad", [None, b"", b"project=nile,department=marketing", secrets.token_bytes(8192)], ids=["none", "empty", "some", "long"])
def test_what_is_encrypted_is_decrypted(client, size, aad):
    plaintext = secrets.token_bytes(size)
    made = client.encrypt("both", plaintext, aad, integrity=True)
    assert made.status == 200, made
    body = made.body
    assert len(unb64(body["ciphertext"])) == size and unb64(body["ciphertext"]) != plaintext
    assert len(unb64(body["initializationVector"])) in (12, 16) and len(unb64(body["authenticationTag"])) == 16
    assert len(unb64(body["ciphertextMetadata"])) <= 20
    assert body["ciphertextDataIntegrityValue"] == integrity_value(body, aad or b"")
    opened = client.decrypt("both", body, aad)
    assert opened.body == {"plaintext": b64(plaintext)}
    assert client.decrypt("from", body, aad).body == opened.body, "the same key under another name"


def test_no_integrity_value_unless_it_is_asked_for(client):
    assert "ciphertextDataIntegrityValue" not in client.encrypt("both", b"x").body


def test_vectors_never_repeat(client):
    vectors = {client.encrypt("both", b"the same").body["initializationVector"] for _ in range(50)}
    assert len(vectors) == 50


def test_what_is_not_what_was_made_does_not_open(client):
    aad = b"context"
    made = client.encrypt("both", b"attack at dawn", aad).body
    other = client.encrypt("both", b"attack at dawn", aad).body

    def flipped(name, bit):
        data = bytearray(unb64(made[name]))
        data[bit // 8] ^= 1 << (bit % 8)
        return {name: b64(bytes(data))}

    wrong = [flipped(name, bit) for name in ("ciphertext", "initializationVector", "authenticationTag", "ciphertextMetadata") for bit in (0, 9, 63)]
    wrong += [{name: other[name]} for name in ("ciphertext", "initializationVector", "authenticationTag", "ciphertextMetadata")]
    wrong += [{"ciphertextMetadata": None}, {"ciphertextMetadata": ""}, {"ciphertext": ""}]
    wrong += [{"initializationVector": b64(unb64(made["initializationVector"]) + b"\0" * 4)}]
    wrong += [{"authenticationTag": b64(unb64(made["authenticationTag"])[:12])}]
    wrong += [{"ciphertextMetadata": b64(bytes(21))}]
    for change in wrong:
        assert client.decrypt("both", made, aad, **change).error == (400, "InvalidCiphertextException"), change
    for wrong_aad in (None, b"", b"Context", b"context "):
        assert client.decrypt("both", made, wrong_aad).error == (400, "InvalidCiphertextException"), wrong_aad
    # Metadata cannot pass for additional data, nor the other way round.
    bare = client.encrypt("both", b"attack at dawn").body
    swapped = client.decrypt("both", bare, unb64(bare["ciphertextMetadata"]), ciphertextMetadata=None)
    assert swapped.error == (400, "InvalidCiphertextException")


def test_usages(client):
    made = client.encrypt("to", b"x").body
    assert client.encrypt("from", b"x").error == (400, "InvalidKeyUsageException")
    assert client.decrypt("to", made).error == (400, "InvalidKeyUsageException")
    assert client.decrypt("from", made).body == {"plaintext": b64(b"x")}


def test_validation(client):
    good = {"requestMetadata": metadata(), "plaintext": b64(b"x"), "encryptionAlgorithm": "AES_GCM"}
    assert client.send("/keys/both/encrypt", good).status == 200
    wrong = [b"", b"{}", b"nonsense", b"[]", b"null", json.dumps(good).encode()[:-1], b"\xff\xfe"]
    wrong += [{name: value for name, value in good.items() if name != missing} for missing in good]
    wrong += [good | {"plaintext": value} for value in ("", "not base64!", "eA", 7, None, ["eA=="], "eA==\n")]
    wrong += [good | {"encryptionAlgorithm": value} for value in ("AES_CBC", "", 1, None)]
    wrong += [good | {"ciphertextDataIntegrityValueAlgorithm": "SHA_512"}]
    wrong += [good | {"additionalAuthenticatedData": "not base64!"}]
    wrong += [good | {"requestMetadata": {}}, good | {"requestMetadata": []}, good | {"requestMetadata": None}]
    wrong += [good | {"requestMetadata": {k: v for k, v in metadata().items() if k != name}} for name in ("awsPrincipalArn", "kmsKeyArn", "kmsOperation", "kmsRequestId")]
    wrong += [good | {"requestMetadata": metadata(awsPrincipalArn="x" * 5000)}]
    for body in wrong:
        reply = client.send("/keys/both/encrypt", body)
        assert reply.error == (400, "ValidationException"), (body, reply)
        message = reply.body["errorMessage"]
        assert len(message) < 512 and all(" " <= character <= "~" for character in message)
    for operation in ("metadata", "decrypt"):
        assert client.send(f"/keys/both/{operation}", {}).error == (400, "ValidationException")
    assert client.send("/health", {}).error == (400, "ValidationException")
    assert client.send("/health", {"requestMetadata": {}}).error == (400, "ValidationException")


def test_what_is_new_is_not_refused(client):
    new = metadata(kmsOperation="BulkEncrypt", SourceIdentity="x", kmsRecipientAttestationPCR0={"a": [1]}, kmsRequestId="no uuid at all")
    body = {"requestMetadata": new, "plaintext": b64(b"x"), "encryptionAlgorithm": "AES_GCM", "somethingNew": {"deep": [None]}}
    assert client.send("/keys/both/encrypt", body).status == 200
    long = metadata(awsPrincipalArn="arn:aws:iam::111122223333:user/" + "x" * 2000, kmsKeyArn="arn:" + "k" * 2044)
    assert client.send("/keys/both/encrypt", body | {"requestMetadata": long}).status == 200
    for principal in ("ec2.amazonaws.com", "AWS Internal", ""):
        assert client.send("/keys/both/encrypt", body | {"requestMetadata": metadata(awsPrincipalArn=principal)}).status == 200


def test_too_much(client):
    assert client.encrypt("both", bytes(65537)).error == (501, "UnsupportedOperationException")
    assert client.encrypt("both", b"x", bytes(65536)).error == (501, "UnsupportedOperationException")
    assert client.encrypt("both", b"x", bytes(65535)).status == 200
    assert client.call("both", "decrypt", ciphertext=b64(bytes(65537)), initializationVector=b64(bytes(12)), authenticationTag=b64(bytes(16)), encryptionAlgorithm="AES_GCM").error[0] == 501


def test_what_is_not_there(client):
    for key in ("nothing", "x" * 128, "a%20b", "..", "x" * 129, "none.of-those_"):
        assert client.encrypt(key, b"x").error == (404, "KeyNotFoundException"), key
        assert client.metadata(key).error == (404, "KeyNotFoundException"), key
    body = {"requestMetadata": metadata()}
    store = client.store.path
    for path in ("/nowhere/kms/xks/v1", f"{store}/invalid", f"/invalid{store}", "/kms/xks/v1", store.upper(), store.replace("/kms", "//kms"), "/" + store):
        assert client.send("/keys/both/metadata", body, path=path).error == (404, "InvalidUriPathException"), path
        assert client.send("/health", body, path=path).error == (404, "InvalidUriPathException"), path
    for what in ("/keys/both/sign", "/keys/both", "/keys", "/keys/both/encrypt/", "/keys/both/Encrypt", "/nothing"):
        assert client.send(what, body).error == (404, "InvalidUriPathException"), what


def test_only_post_is_answered(client):
    for what in ("/keys/both/encrypt", "/keys/both/decrypt", "/keys/both/metadata", "/health"):
        for method in ("GET", "PUT", "DELETE", "HEAD"):
            connection = client.connect()
            connection.request(method, client.store.path + what)
            answer = connection.getresponse()
            answer.read()
            assert (answer.status, answer.headers["allow"]) == (405, "POST"), (method, what)
            connection.close()


def test_ping_needs_no_signature(server):
    url = urllib.parse.urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    connection.request("GET", "/ping")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read()


def test_who_asks(server, client, setting):
    store, _ = setting
    other = create_store(server, unique("other"))
    body = {"requestMetadata": metadata("metadata")}

    def refused(reply):
        assert reply.error == (401, "AuthenticationFailedException"), reply

    def as_store(**changes):
        return Client(server.endpoint, xks.Store(**(vars(store) | changes)))

    refused(as_store(access_key="Invalid" + store.access_key).metadata("both"))
    refused(as_store(secret="Invalid" + store.secret).metadata("both"))
    refused(as_store(access_key=other.access_key, secret=other.secret).metadata("both"))
    refused(as_store(access_key=other.access_key).health())
    refused(as_store(path=other.path).health())
    root = server.root.credentials
    refused(as_store(access_key=root.access_key, secret=root.secret).health())
    refused(Client(server.endpoint, store, service="kms").health())
    refused(Client(server.endpoint, store, region="Not A Region").health())

    def without(name):
        return lambda headers, data: ({k: v for k, v in headers.items() if k.lower() != name}, data)

    def replaced(name, value):
        return lambda headers, data: (headers | {name: value}, data)

    authorization = client.sign(f"{server.endpoint}{store.path}/keys/both/metadata", json.dumps(body).encode())["Authorization"]
    for change in (
        without("authorization"),
        without("x-amz-date"),
        replaced("Authorization", "Basic eDp5"),
        replaced("Authorization", ""),
        replaced("X-Amz-Date", "20200101T000000Z"),
        lambda headers, data: (headers, data.replace(b"user/Alice", b"user/Alicf")),
        lambda headers, data: (headers | {"Authorization": headers["Authorization"][:-1] + "x"}, data),
        lambda headers, data: (headers | {"Authorization": headers["Authorization"].replace("host;", "")}, data),
        lambda headers, data: (headers | {"X-Amz-Security-Token": "x"}, data),
        lambda headers, data: (headers | {"Authorization": authorization, "X-Amz-Date": "20990101T000000Z"}, data),
    ):
        refused(client.send("/keys/both/metadata", body, change=change))
    assert client.send("/keys/both/metadata", body).status == 200


def test_states(server):
    store = create_store(server, unique("states"))
    client, kms = Client(server.endpoint, store), server.kms()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    server.admin("xks", "add-key", store.name, "key", key)
    made = client.encrypt("key", b"x").body
    kms.disable_key(KeyId=key)
    assert client.metadata("key").body["keyStatus"] == "DISABLED"
    assert client.encrypt("key", b"x").error == (400, "InvalidStateException")
    assert client.decrypt("key", made).error == (400, "InvalidStateException")
    kms.enable_key(KeyId=key)
    kms.rotate_key_on_demand(KeyId=key)
    newer = client.encrypt("key", b"y").body
    assert client.decrypt("key", made).body["plaintext"] == b64(b"x") and client.decrypt("key", newer).body["plaintext"] == b64(b"y")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert client.metadata("key").body["keyStatus"] == "DISABLED"
    assert client.decrypt("key", made).error == (400, "InvalidStateException")
    # What AWS KMS encrypts is nothing that this server's own KMS could open, and the other way round.
    own = kms.create_key()["KeyMetadata"]["KeyId"]
    server.admin("xks", "add-key", store.name, "own", own)
    blob = kms.encrypt(KeyId=own, Plaintext=b"x")["CiphertextBlob"]
    made = client.encrypt("own", b"x").body
    assert client.decrypt("own", made, ciphertext=b64(blob)).error == (400, "InvalidCiphertextException")


def test_a_rate_of_its_own(server):
    store = create_store(server, unique("slow"), "--requests-per-second", "2")
    client = Client(server.endpoint, store)
    replies = [client.health() for _ in range(20)]
    assert any(reply.error == (429, "ThrottlingException") for reply in replies)
    server.admin("xks", "update-store", store.name, "--requests-per-second", "0")
    assert all(client.health().status == 200 for _ in range(20))


def test_the_policy(server):
    store = create_store(server, unique("policy"))
    client = Client(server.endpoint, store)
    key = server.kms().create_key()["KeyMetadata"]["KeyId"]
    server.admin("xks", "add-key", store.name, "key", key)
    condition = {"StringEquals": {"xks:KmsViaService": "ebs"}, "ArnLike": {"xks:AwsPrincipalArn": "arn:aws:iam::111122223333:*"}}
    statement = {"Effect": "Allow", "Action": ["xks:Encrypt", "xks:GetKeyMetadata"], "Resource": f"arn:claviger:hyok::*:store/{store.name}/key/key", "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    server.run("xks", "policy", store.name, "-", stdin=document)
    assert server.run("xks", "policy", store.name).stdout.strip() == document
    made = client.encrypt("key", b"x")
    assert made.status == 200 and client.metadata("key").status == 200
    refused = client.decrypt("key", made.body)
    assert refused.error == (403, "AccessDeniedException")
    assert client.call("key", "encrypt", plaintext="eA==", encryptionAlgorithm="AES_GCM", requestMetadata=metadata(kmsViaService="s3")).error[0] == 403
    assert client.health().status == 200
    wrong = server.run("xks", "policy", store.name, "-", stdin='{"Version": "2012-10-17", "Statement": []}', check=False)
    assert wrong.returncode != 0 and "MalformedPolicyDocument" in wrong.stderr


def test_the_audit_log_tells_what_the_cloud_told(server):
    store = create_store(server, unique("audit"))
    client, request_id = Client(server.endpoint, store), unique("request")
    key = server.kms().create_key()["KeyMetadata"]["KeyId"]
    server.admin("xks", "add-key", store.name, "key", key)
    plaintext = secrets.token_bytes(48)
    body = {"requestMetadata": metadata(kmsRequestId=request_id), "plaintext": b64(plaintext), "encryptionAlgorithm": "AES_GCM"}
    assert client.send("/keys/key/encrypt", body).status == 200
    lines = run("audit", "tail", "--data", server.data, "--lines", "3", "--json").stdout.splitlines()
    entry = next(entry for entry in map(json.loads, lines) if request_id in json.dumps(entry))
    assert (entry["eventSource"], entry["eventName"], entry["awsRegion"]) == ("kms-xks-proxy", "Encrypt", xks.REGION)
    assert entry["requestParameters"] == {"externalKeyId": "key", "requestMetadata": body["requestMetadata"]}
    identity = entry["userIdentity"]
    assert (identity["type"], identity["accessKeyId"]) == ("HoldYourOwnKeyStore", store.access_key)
    assert identity["arn"] == f"arn:claviger:hyok::123456789012:store/{store.name}"
    assert entry["resources"][0]["ARN"].endswith(f":key/{key}")
    assert entry["claviger"]["door"] == "aws-xks" and entry["claviger"]["decision"]["effect"] == "allow"
    assert b64(plaintext) not in "".join(lines) + server.log.read_text()
