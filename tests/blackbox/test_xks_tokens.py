"""Keys in PKCS#11 tokens behind the XKS door: AWS KMS, as far as a proxy can see, down to SoftHSM2."""

import json
import secrets

import pytest

from harness import free_port, refused, unique
from softhsm import Site
from test_token_key_stores import CLUSTER, SINGLE, Cluster, connect, make_key, make_store
from test_tokens import eventually, readiness
from xks import Client, b64, integrity_value, store_of, unb64

HYOK_PORT = free_port()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A deployment with two clusters of tokens and a listener for clouds; its owner, and a store."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    more = cluster.configuration + f'[hyok]\nlisten = ["127.0.0.1:{HYOK_PORT}"]\n'
    server = Site(tmp_path_factory.mktemp("site") / "site", more).start()
    server.cluster = cluster
    eventually(lambda: readiness(server)[1]["degraded"] == [])
    owner = server.create_account("owner")
    server.as_owner = {"AWS_ACCESS_KEY_ID": owner.credentials.access_key, "AWS_SECRET_ACCESS_KEY": owner.credentials.secret}
    server.owner_kms = server.kms(owner)
    yield server
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture(scope="module", params=[CLUSTER, SINGLE], ids=["two tokens", "one token"])
def keyed(request, served):
    """A key in tokens, behind a store as `one`; the custom key store that it is in."""
    kms, name = served.owner_kms, unique("tokens")
    home = make_store(kms, request.param)
    assert connect(kms, home) == ("CONNECTED", None)
    key = make_key(kms, home)["KeyId"]
    file = json.loads(served.run("xks", "create-store", name, environment=served.as_owner).stdout)
    served.observer.keep_secret(file["XksProxyAuthenticationCredential"]["RawSecretAccessKey"], "secret of a store")
    served.run("xks", "add-key", name, "one", key, environment=served.as_owner)
    return Client(f"http://127.0.0.1:{HYOK_PORT}", store_of(name, file)), key, home


@pytest.mark.parametrize("size", [1, 32, 4300])
@pytest.mark.parametrize("aad", [None, b"project=nile", secrets.token_bytes(8192)], ids=["none", "some", "long"])
def test_what_a_token_encrypts_it_decrypts(keyed, size, aad):
    client, plaintext = keyed[0], secrets.token_bytes(size)
    made = client.encrypt("one", plaintext, aad, integrity=True)
    assert made.status == 200, made
    body = made.body
    assert len(unb64(body["ciphertext"])) == size and len(unb64(body["authenticationTag"])) == 16
    assert len(unb64(body["initializationVector"])) in (12, 16) and len(unb64(body["ciphertextMetadata"])) <= 20
    assert body["ciphertextDataIntegrityValue"] == integrity_value(body, aad or b"")
    assert client.decrypt("one", body, aad).body == {"plaintext": b64(plaintext)}
    assert client.metadata("one").body == {"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "ENABLED"}


def test_vectors_never_repeat(keyed):
    vectors = {keyed[0].encrypt("one", b"the same").body["initializationVector"] for _ in range(50)}
    assert len(vectors) == 50


def test_what_is_not_what_was_made_does_not_open(keyed):
    client, aad = keyed[0], b"context"
    made, other = (client.encrypt("one", b"attack at dawn", aad).body for _ in range(2))
    names = ("ciphertext", "initializationVector", "authenticationTag", "ciphertextMetadata")
    changes = []
    for name in names:
        for bit in (0, 9, len(unb64(made[name])) * 8 - 1):
            data = bytearray(unb64(made[name]))
            data[bit // 8] ^= 1 << (bit % 8)
            changes.append({name: b64(bytes(data))})
    changes += [{"ciphertext": other["ciphertext"]}, {"authenticationTag": other["authenticationTag"]}, {"ciphertextMetadata": None}]
    changes += [{"authenticationTag": b64(unb64(made["authenticationTag"])[:12])}, {"ciphertext": ""}]
    for change in changes:
        assert client.decrypt("one", made, aad, **change).error == (400, "InvalidCiphertextException"), change
    for wrong in (None, b"", b"Context"):
        assert client.decrypt("one", made, wrong).error == (400, "InvalidCiphertextException")


def test_a_ciphertext_of_one_door_does_not_open_at_the_other(served, keyed):
    client, key, _ = keyed
    blob = served.owner_kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    made = client.encrypt("one", b"x").body
    assert client.decrypt("one", made, ciphertext=b64(blob)).error == (400, "InvalidCiphertextException")
    first = unb64(made["ciphertextMetadata"])
    body = first[1 : 1 + first[0]] + unb64(made["initializationVector"]) + unb64(made["ciphertext"]) + unb64(made["authenticationTag"])
    with refused("InvalidCiphertextException"):
        served.owner_kms.decrypt(CiphertextBlob=blob[: -len(body)] + body, KeyId=key)


def test_health_tells_of_the_tokens_behind_a_store(served, keyed):
    client, _, home = keyed
    cluster = served.owner_kms.describe_custom_key_stores(CustomKeyStoreId=home)["CustomKeyStores"][0]["CloudHsmClusterId"]
    told = client.health().body["ekmFleetDetails"]
    expected = {"one", "two"} if cluster == CLUSTER else {"three"}
    assert {detail["id"]: detail["healthStatus"] for detail in told} == dict.fromkeys(expected, "ACTIVE"), told
    assert all("SoftHSM" in detail["model"] for detail in told)


def test_a_key_whose_home_is_disconnected_is_not_there(served, keyed):
    client, _, home = keyed
    made = client.encrypt("one", b"x").body
    served.owner_kms.disconnect_custom_key_store(CustomKeyStoreId=home)
    assert client.metadata("one").body["keyStatus"] == "DISABLED"
    assert client.encrypt("one", b"x").error == client.decrypt("one", made).error == (400, "InvalidStateException")
    assert connect(served.owner_kms, home) == ("CONNECTED", None)
    assert client.decrypt("one", made).body == {"plaintext": b64(b"x")}


def test_the_glass(served, keyed):
    client = keyed[0]
    made = client.encrypt("one", b"x").body
    served.run("xks", "break-glass", "--store", client.store.name, environment=served.as_owner)
    assert client.decrypt("one", made).error == (400, "InvalidStateException")
    served.run("xks", "break-glass", "--store", client.store.name, "--restore", environment=served.as_owner)
    assert client.decrypt("one", made).status == 200


def test_hosts_that_are_killed_cost_no_answer(served, keyed):
    client = keyed[0]
    made = client.encrypt("one", b"x").body
    for hsm in (served.cluster.one, served.cluster.two, served.cluster.three):
        hsm.kill_hosts()
    eventually(lambda: client.decrypt("one", made).status == 200)
