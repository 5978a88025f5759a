"""`claviger xks`, the glass to break, and curl as AWS's documents use it."""

import json
import re
import stat
import subprocess

import pytest

from harness import unique
from xks import Client, b64, create_store, metadata, store_of


@pytest.fixture
def store(server):
    """A store with the key `one` behind it."""
    made = create_store(server, unique("store"))
    made_key = server.kms().create_key()["KeyMetadata"]["KeyId"]
    server.admin("xks", "add-key", made.name, "one", made_key)
    return made


@pytest.fixture
def client(server, store):
    return Client(server.endpoint, store)


def curl(server, store, what, body, *options):
    """AWS's own example: appendix D of the specification."""
    arguments = ["curl", "--silent", "--aws-sigv4", "aws:amz:eu-central-1:kms-xks-proxy", "--user", f"{store.access_key}:{store.secret}"]
    arguments += ["-H", "Content-Type:application/json", "--data-binary", json.dumps(body), "--write-out", "\n%{http_code}", *options]
    done = subprocess.run([*arguments, server.endpoint + store.path + what], capture_output=True, text=True, timeout=60, check=True)
    content, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(content)


def test_curl_is_a_client(server, store):
    body = {"requestMetadata": metadata(), "plaintext": b64(b"Hello World!"), "encryptionAlgorithm": "AES_GCM"}
    status, made = curl(server, store, "/keys/one/encrypt", body | {"ciphertextDataIntegrityValueAlgorithm": "SHA_256"})
    assert status == 200 and made["ciphertextDataIntegrityValue"]
    names = ("ciphertext", "ciphertextMetadata", "initializationVector", "authenticationTag")
    request = {"requestMetadata": metadata("decrypt"), "encryptionAlgorithm": "AES_GCM"} | {name: made[name] for name in names}
    assert curl(server, store, "/keys/one/decrypt", request) == (200, {"plaintext": b64(b"Hello World!")})
    assert curl(server, store, "/keys/one/metadata", {"requestMetadata": metadata("metadata")})[1]["keySpec"] == "AES_256"
    assert curl(server, store, "/health", {"requestMetadata": metadata("KmsHealthCheck")})[0] == 200
    assert curl(server, store, "/keys/one/metadata", {})[1]["errorName"] == "ValidationException"
    wrong = curl(server, store, "/health", {"requestMetadata": metadata()}, "--user", f"{store.access_key}:wrong")
    assert (wrong[0], wrong[1]["errorName"]) == (401, "AuthenticationFailedException")


def test_the_credential_file_is_as_the_console_reads_it(server, store, tmp_path):
    file = json.loads(server.run("xks", "credential-file", store.name).stdout)
    assert set(file) == {"XksProxyUriPath", "XksProxyAuthenticationCredential"}
    assert file["XksProxyUriPath"] == f"/{store.name}/kms/xks/v1"
    credential = file["XksProxyAuthenticationCredential"]
    assert set(credential) == {"AccessKeyId", "RawSecretAccessKey"}
    assert re.fullmatch("[A-Z2-7]{20,30}", credential["AccessKeyId"])
    assert re.fullmatch("[A-Za-z0-9/+=]{43,64}", credential["RawSecretAccessKey"])
    path = tmp_path / "credential.json"
    server.run("xks", "credential-file", store.name, "--out", path)
    assert json.loads(path.read_text()) == file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_credential_is_not_made_where_it_cannot_be_handed_over(server, store, tmp_path):
    path = tmp_path / "credential.json"
    path.write_text("the first one's")
    refused = server.run("xks", "rotate-credential", store.name, "--out", path, check=False)
    assert refused.returncode == 1 and "there already; nothing was done" in refused.stderr, refused.stderr
    listed = {item["StoreName"]: item for item in server.admin("xks", "list-stores")["Stores"]}
    assert listed[store.name]["AccessKeyIds"] == [store.access_key] and path.read_text() == "the first one's"


def test_credentials_are_exchanged_without_a_break(server, store, client):
    new = store_of(store.name, json.loads(server.run("xks", "rotate-credential", store.name).stdout))
    server.observer.keep_secret(new.secret, "secret of a store")
    assert new.access_key != store.access_key
    newer = Client(server.endpoint, new)
    assert client.health().status == 200 and newer.health().status == 200
    again = server.run("xks", "rotate-credential", store.name, check=False)
    assert again.returncode != 0 and "two credentials" in again.stderr
    assert server.admin("xks", "rotate-credential", store.name, "--finish") == {"AccessKeyId": store.access_key}
    assert client.health().error == (401, "AuthenticationFailedException")
    assert newer.health().status == 200
    last = server.run("xks", "rotate-credential", store.name, "--finish", check=False)
    assert last.returncode != 0


def test_stores_and_keys_are_listed(server, store):
    listed = {item["StoreName"]: item for item in server.admin("xks", "list-stores")["Stores"]}
    assert listed[store.name]["Path"] == store.path and listed[store.name]["KeyCount"] == 1
    told = server.admin("xks", "get-store", store.name)
    assert told["AccessKeyIds"] == [store.access_key] and "xks:*" in told["Policy"] and store.secret not in json.dumps(told)
    [key] = server.admin("xks", "list-keys", store.name)["Keys"]
    assert (key["ExternalKeyId"], key["KeyState"], key["Usage"]) == ("one", "Enabled", ["ENCRYPT", "DECRYPT"])


def test_keys_are_listed_page_by_page(server, store):
    key = server.kms().create_key()["KeyMetadata"]["KeyId"]
    for number in range(120):
        server.admin("xks", "add-key", store.name, f"key-{number:03}", key)
    listed = [item["ExternalKeyId"] for item in server.admin("xks", "list-keys", store.name)["Keys"]]
    assert listed == [f"key-{number:03}" for number in range(120)] + ["one"]


def test_a_store_is_deleted_with_its_path(server, store, client):
    assert server.run("xks", "delete-store", store.name, check=False).returncode != 0
    server.run("xks", "remove-key", store.name, "one")
    assert client.encrypt("one", b"x").error == (404, "KeyNotFoundException")
    server.run("xks", "delete-store", store.name)
    assert client.health().error == (404, "InvalidUriPathException")
    again = create_store(server, store.name)
    assert client.health().error == (401, "AuthenticationFailedException") and Client(server.endpoint, again).health().status == 200


def test_what_cannot_be_made(server, store):
    key = server.kms().create_key()["KeyMetadata"]["KeyId"]
    pair = server.kms().create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    for arguments in (
        ["create-store", store.name],
        ["create-store", unique("other"), "--prefix", store.name],
        ["create-store", unique("other"), "--prefix", "a//b"],
        ["create-store", unique("other"), "--prefix", "x" * 118],
        ["create-store", "no name"],
        ["add-key", store.name, "one", key],
        ["add-key", store.name, "no name", key],
        ["add-key", store.name, "two", pair],
        ["add-key", store.name, "two", "alias/nothing"],
        ["add-key", unique("nowhere"), "two", key],
        ["remove-key", store.name, "two"],
        ["break-glass"],
        ["break-glass", "--key", "one"],
        ["break-glass", "--store", unique("nowhere")],
        ["break-glass", "--store", store.name, "--key", "two"],
        ["break-glass", "--cloud", "nimbus"],
    ):
        done = server.run("xks", *arguments, check=False)
        assert done.returncode != 0 and done.stderr, arguments


def test_whoever_puts_a_key_behind_a_store_must_be_allowed_to_give_it_away(server, store):
    key = server.kms().create_key()["KeyMetadata"]
    done = server.run("xks", "add-key", store.name, "two", key["Arn"], "--administrator", "--account", "123456789012", check=False)
    assert done.returncode != 0 and "AccessDenied" in done.stderr


def test_the_glass_is_broken_in_rehearsal_for_a_key_a_store_and_a_cloud(server, store, client):
    made = client.encrypt("one", b"x").body
    second = server.kms().create_key()["KeyMetadata"]["KeyId"]
    server.admin("xks", "add-key", store.name, "two", second)

    def glass(*arguments):
        return server.admin("xks", "break-glass", *arguments, "--reason", "a drill")

    rehearsal = glass("--store", store.name, "--dry-run")["Stores"]
    assert [item["StoreName"] for item in rehearsal] == [store.name] and rehearsal[0]["Changes"]
    keys = {key["ExternalKeyId"]: key for key in rehearsal[0]["Keys"]}
    assert keys["one"]["LastUsedDate"] and keys["one"]["UsesInLastMinute"] >= 1 and "LastUsedDate" not in keys["two"]
    people = server.run("xks", "break-glass", "--store", store.name, "--dry-run").stdout
    assert "would be cut off" in people and "last used" in people and "never used" in people
    assert client.encrypt("one", b"x").status == 200

    glass("--store", store.name, "--key", "one")
    assert client.encrypt("one", b"x").error == client.decrypt("one", made).error == (400, "InvalidStateException")
    assert client.metadata("one").body["keyStatus"] == "DISABLED" and client.encrypt("two", b"x").status == 200
    [cut_off] = [key["CutOff"] for key in server.admin("xks", "list-keys", store.name)["Keys"] if "CutOff" in key]
    assert cut_off["Reason"] == "a drill" and cut_off["By"].endswith(":root")
    glass("--store", store.name, "--key", "one", "--restore")
    assert client.decrypt("one", made).body == {"plaintext": b64(b"x")}

    glass("--store", store.name)
    for reply in (client.encrypt("two", b"x"), client.decrypt("one", made), client.metadata("one"), client.health()):
        assert reply.error == (400, "InvalidStateException")
    assert glass("--store", store.name)["Stores"][0]["Changes"] is False
    glass("--store", store.name, "--restore")
    assert client.health().status == 200


def test_the_administrator_stops_the_cloud_for_everybody(server, store, client):
    tenant = server.create_account()
    environment = {"AWS_ACCESS_KEY_ID": tenant.credentials.access_key, "AWS_SECRET_ACCESS_KEY": tenant.credentials.secret}
    name = unique("tenants")
    file = json.loads(server.run("xks", "create-store", name, environment=environment).stdout)
    other = Client(server.endpoint, store_of(name, file))
    server.observer.keep_secret(other.store.secret, "secret of a store")
    assert client.health().status == 200 and other.health().status == 200
    try:
        server.admin("xks", "break-glass", "--cloud", "aws", "--reason", "a drill")
        assert client.health().error == (400, "InvalidStateException") and other.health().status == 200, "one account's"
        report = server.admin("xks", "break-glass", "--cloud", "aws", "--administrator", "--reason", "a drill")["Stores"]
        assert {item["StoreName"]: item["Changes"] for item in report}[name] is True
        assert other.health().error == (400, "InvalidStateException")
    finally:
        server.run("xks", "break-glass", "--cloud", "aws", "--administrator", "--restore")
    assert client.health().status == 200 and other.health().status == 200


def test_a_cut_off_outlives_a_restart(tmp_path):
    import harness

    server = harness.start_dev(tmp_path / "data")
    try:
        store = create_store(server, "payroll")
        server.run("xks", "break-glass", "--store", store.name)
        server.process.kill()
        server.process.wait()
        server = harness.start_dev(tmp_path / "data")
        assert Client(server.endpoint, store).health().error == (400, "InvalidStateException")
        server.run("xks", "break-glass", "--store", store.name, "--restore")
        assert Client(server.endpoint, store).health().status == 200
    finally:
        assert server.stop() == 0
