"""Custom key stores: their whole life, with what AWS says of each state, where nothing stands behind them, and they say so. `test_external_key_stores.py`
has those that a proxy stands behind."""

import json
import re
import subprocess
import sys
import time

import pytest

from attestation import Certified
from harness import CLEAN_ENVIRONMENT, constraint, policy, refused, run, statement, unique
from test_aws_cli import AWS

MISSING = "cks-1234567890abcdef0"
PASSWORD = "kmsuser-password-7x"
SECRET = "DXjSUawnel2fr6SKC7G25CNxTyWKE5PF9XX6H0mKIq8="
ACCESS_KEY = "ABCDE12345670EXAMPLE".replace("1", "7").replace("0", "2")
CERTIFICATE = Certified("customerCA", authority=1).pem.decode()


@pytest.fixture
def owner(server):
    """The root of an account of its own: ten stores are not many."""
    return server.create_account("key-stores")


@pytest.fixture
def client(server, owner):
    return server.kms(owner)


@pytest.fixture
def unchecked_client(server, owner):
    return server.kms(owner, parameter_validation=False)


def cluster(**changes):
    made = {
        "CustomKeyStoreName": unique("cluster"),
        "CloudHsmClusterId": f"cluster-{''.join(chr(97 + int(digit, 16)) for digit in unique('x')[2:])}a",
        "TrustAnchorCertificate": CERTIFICATE,
        "KeyStorePassword": PASSWORD,
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def proxy(**changes):
    made = {
        "CustomKeyStoreName": unique("proxy"),
        "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
        "XksProxyConnectivity": "PUBLIC_ENDPOINT",
        "XksProxyUriEndpoint": f"https://{unique('proxy')}.example.com",
        "XksProxyUriPath": "/kms/xks/v1",
        "XksProxyAuthenticationCredential": {"AccessKeyId": ACCESS_KEY, "RawSecretAccessKey": SECRET},
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def vpc(**changes):
    return proxy(**{"XksProxyConnectivity": "VPC_ENDPOINT_SERVICE", "XksProxyVpcEndpointServiceName": vpc_service()} | changes)


def vpc_service():
    return f"com.amazonaws.vpce.us-east-1.vpce-svc-{unique('x')[2:]}"


def create(client, parameters):
    return client.create_custom_key_store(**parameters)["CustomKeyStoreId"]


def describe(client, store):
    [entry] = client.describe_custom_key_stores(CustomKeyStoreId=store)["CustomKeyStores"]
    return entry


def wait_for(client, store, state):
    deadline = time.monotonic() + 20
    while describe(client, store)["ConnectionState"] != state:
        assert time.monotonic() < deadline, describe(client, store)
        time.sleep(0.1)
    return describe(client, store)


def connect_in_vain(client, store):
    client.connect_custom_key_store(CustomKeyStoreId=store)
    return wait_for(client, store, "FAILED")


# What is told of them -------------------------------------------------------------------------------------------------------------


def test_a_cluster(client):
    parameters = cluster()
    store = create(client, parameters)
    assert re.fullmatch(r"cks-[0-9a-f]{17}", store)
    entry = describe(client, store)
    entry.pop("CreationDate")
    assert entry == {
        "CustomKeyStoreId": store,
        "CustomKeyStoreName": parameters["CustomKeyStoreName"],
        "CustomKeyStoreType": "AWS_CLOUDHSM",
        "CloudHsmClusterId": parameters["CloudHsmClusterId"],
        "TrustAnchorCertificate": CERTIFICATE,
        "ConnectionState": "DISCONNECTED",
    }


def test_an_external_store(client):
    parameters = vpc(XksProxyUriPath="/pre-fix/kms/xks/v1")
    entry = describe(client, create(client, parameters))
    assert entry["CustomKeyStoreType"] == "EXTERNAL_KEY_STORE" and entry["ConnectionState"] == "DISCONNECTED"
    configuration = entry["XksProxyConfiguration"]
    assert {name: value for name, value in configuration.items() if not name.startswith("Vpc")} == {
        "Connectivity": "VPC_ENDPOINT_SERVICE",
        "AccessKeyId": ACCESS_KEY,
        "UriEndpoint": parameters["XksProxyUriEndpoint"],
        "UriPath": "/pre-fix/kms/xks/v1",
    }
    assert "CloudHsmClusterId" not in entry and "TrustAnchorCertificate" not in entry


def test_a_vpc_endpoint_service(client, owner):
    parameters = vpc()
    configuration = describe(client, create(client, parameters))["XksProxyConfiguration"]
    assert configuration["VpcEndpointServiceName"] == parameters["XksProxyVpcEndpointServiceName"]
    assert configuration["VpcEndpointServiceOwner"] == owner.account
    other = describe(client, create(client, vpc(XksProxyVpcEndpointServiceOwner="210987654321")))
    assert other["XksProxyConfiguration"]["VpcEndpointServiceOwner"] == "210987654321"


def test_lists_and_pages(client):
    assert client.describe_custom_key_stores()["CustomKeyStores"] == []
    made = {create(client, cluster()) for _ in range(3)} | {create(client, vpc()) for _ in range(2)}
    everything = client.describe_custom_key_stores()
    assert {entry["CustomKeyStoreId"] for entry in everything["CustomKeyStores"]} == made and everything["Truncated"] is False
    pages = list(client.get_paginator("describe_custom_key_stores").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["CustomKeyStores"]) for page in pages] == [2, 2, 1]
    assert {entry["CustomKeyStoreId"] for page in pages for entry in page["CustomKeyStores"]} == made
    with refused("InvalidMarkerException"):
        client.describe_custom_key_stores(Marker="nobody gave this out")


def test_by_name_and_id(client):
    parameters = cluster()
    store = create(client, parameters)
    [entry] = client.describe_custom_key_stores(CustomKeyStoreName=parameters["CustomKeyStoreName"])["CustomKeyStores"]
    assert entry["CustomKeyStoreId"] == store
    with refused("ValidationException"):
        client.describe_custom_key_stores(CustomKeyStoreId=store, CustomKeyStoreName=parameters["CustomKeyStoreName"])


@pytest.mark.parametrize("method", ["connect", "disconnect", "delete", "update", "describe"])
def test_stores_that_are_not_there(client, method):
    call = getattr(client, "describe_custom_key_stores" if method == "describe" else f"{method}_custom_key_store")
    more = {"NewCustomKeyStoreName": "new"} if method == "update" else {}
    with refused("CustomKeyStoreNotFoundException", re.compile(MISSING)):
        call(CustomKeyStoreId=MISSING, **more)


def test_a_name_that_is_not_there(client):
    with refused("CustomKeyStoreNotFoundException"):
        client.describe_custom_key_stores(CustomKeyStoreName="nothing")


def test_regions_and_accounts_are_apart(server, client, owner, tenant):
    parameters = cluster()
    store = create(client, parameters)
    for other in (server.kms(owner, region="eu-west-1"), server.kms(tenant)):
        assert other.describe_custom_key_stores()["CustomKeyStores"] == []
        with refused("CustomKeyStoreNotFoundException"):
            other.connect_custom_key_store(CustomKeyStoreId=store)
        create(other, parameters)


# What may be made -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        (cluster(CloudHsmClusterId="cluster-0000000000000"), "cloudHsmClusterId", "regular expression"),
        (cluster(KeyStorePassword="short"), "keyStorePassword", "greater than or equal to 7"),
        (cluster(KeyStorePassword="p" * 33), "keyStorePassword", "less than or equal to 32"),
        (cluster(CustomKeyStoreName="n" * 257), "customKeyStoreName", "less than or equal to 256"),
        (cluster(CustomKeyStoreName=None), "customKeyStoreName", "must not be null"),
        (cluster(CustomKeyStoreType="OTHER"), "customKeyStoreType", "enum value set"),
        (cluster(TrustAnchorCertificate="x" * 5001), "trustAnchorCertificate", "less than or equal to 5000"),
        (proxy(XksProxyUriEndpoint="http://proxy.example.com"), "xksProxyUriEndpoint", "regular expression"),
        (proxy(XksProxyUriEndpoint="https://proxy.example.com:8443"), "xksProxyUriEndpoint", "regular expression"),
        (proxy(XksProxyUriPath="/kms/xks/v2"), "xksProxyUriPath", "regular expression"),
        (proxy(XksProxyUriPath="/kms/xks/v1/"), "xksProxyUriPath", "regular expression"),
        (proxy(XksProxyConnectivity="DIRECT"), "xksProxyConnectivity", "enum value set"),
        (vpc(XksProxyVpcEndpointServiceName="com.amazonaws.vpce.somewhere"), "xksProxyVpcEndpointServiceName", "regular expression"),
        (vpc(XksProxyVpcEndpointServiceOwner="12345678901x"), "xksProxyVpcEndpointServiceOwner", "regular expression"),
        (
            proxy(XksProxyAuthenticationCredential={"AccessKeyId": "a" * 20, "RawSecretAccessKey": SECRET}),
            "xksProxyAuthenticationCredential.accessKeyId",
            "regular expression",
        ),
        (
            proxy(XksProxyAuthenticationCredential={"AccessKeyId": ACCESS_KEY, "RawSecretAccessKey": "*" * 43}),
            "xksProxyAuthenticationCredential.rawSecretAccessKey",
            "regular expression",
        ),
        (
            proxy(XksProxyAuthenticationCredential={"AccessKeyId": ACCESS_KEY, "RawSecretAccessKey": "s" * 42}),
            "xksProxyAuthenticationCredential.rawSecretAccessKey",
            "greater than or equal to 43",
        ),
        (
            proxy(XksProxyAuthenticationCredential={"AccessKeyId": ACCESS_KEY}),
            "xksProxyAuthenticationCredential.rawSecretAccessKey",
            "must not be null",
        ),
    ],
)
def test_constraints_of_the_model(unchecked_client, parameters, field, rule):
    with refused("ValidationException", constraint(field, rule)) as caught:
        unchecked_client.create_custom_key_store(**parameters)
    message = caught.response["Error"]["Message"]
    for secret in ("short", "p" * 33, "*" * 43, "s" * 42):
        assert secret not in message.replace("shorter", "")


@pytest.mark.parametrize("member", ["CloudHsmClusterId", "TrustAnchorCertificate", "KeyStorePassword"])
def test_members_that_a_cluster_needs(client, member):
    with refused("ValidationException", re.compile(f"^{member} is required")):
        client.create_custom_key_store(**cluster(**{member: None}))


@pytest.mark.parametrize(
    "member", ["XksProxyConnectivity", "XksProxyUriEndpoint", "XksProxyUriPath", "XksProxyAuthenticationCredential"]
)
def test_members_that_a_proxy_needs(client, member):
    with refused("ValidationException", re.compile(f"^{member} is required")):
        client.create_custom_key_store(**proxy(**{member: None}))


def test_members_of_the_other_type(client):
    for member in ("CloudHsmClusterId", "TrustAnchorCertificate", "KeyStorePassword"):
        with refused("ValidationException", re.compile(f"^{member} is not valid")):
            client.create_custom_key_store(**proxy(**{member: cluster()[member]}))
    for member in ("XksProxyConnectivity", "XksProxyUriEndpoint", "XksProxyUriPath", "XksProxyAuthenticationCredential"):
        with refused("ValidationException", re.compile(f"^{member} is not valid")):
            client.create_custom_key_store(**cluster(**{member: proxy()[member]}))
    with refused("ValidationException", re.compile("VPC_ENDPOINT_SERVICE")):
        client.create_custom_key_store(**proxy(XksProxyVpcEndpointServiceName=vpc_service()))
    with refused("ValidationException", re.compile("VPC_ENDPOINT_SERVICE")):
        client.create_custom_key_store(**vpc(XksProxyVpcEndpointServiceName=None))


@pytest.mark.parametrize("anchor", ["no certificate", CERTIFICATE[:-40], CERTIFICATE.replace("MII", "MIJ"), CERTIFICATE.replace("CERTIFICATE", "KEY")])
def test_a_trust_anchor_is_a_certificate(client, anchor):
    with refused("IncorrectTrustAnchorException"):
        client.create_custom_key_store(**cluster(TrustAnchorCertificate=anchor))


def test_ten_are_enough(client):
    stores = [create(client, cluster()) for _ in range(10)]
    with refused("LimitExceededException"):
        create(client, cluster())
    client.delete_custom_key_store(CustomKeyStoreId=stores[0])
    create(client, cluster())


# States ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parameters", "error"), [(cluster(), "CLUSTER_NOT_FOUND"), (vpc(), "XKS_PROXY_NOT_REACHABLE")], ids=["cluster", "proxy"])
def test_connecting_in_vain(client, parameters, error):
    store = create(client, parameters)
    answer = client.connect_custom_key_store(CustomKeyStoreId=store)
    assert set(answer) == {"ResponseMetadata"}
    entry = wait_for(client, store, "FAILED")
    assert entry["ConnectionErrorCode"] == error
    with refused("CustomKeyStoreInvalidStateException", re.compile("FAILED")):
        client.connect_custom_key_store(CustomKeyStoreId=store)
    for change in ({"NewCustomKeyStoreName": "new"}, {"XksProxyUriPath": "/new/kms/xks/v1"} if error.startswith("XKS") else {"KeyStorePassword": PASSWORD}):
        with refused("CustomKeyStoreInvalidStateException"):
            client.update_custom_key_store(CustomKeyStoreId=store, **change)
    with refused("CustomKeyStoreInvalidStateException"):
        client.delete_custom_key_store(CustomKeyStoreId=store)
    assert set(client.disconnect_custom_key_store(CustomKeyStoreId=store)) == {"ResponseMetadata"}
    entry = describe(client, store)
    assert entry["ConnectionState"] == "DISCONNECTED" and "ConnectionErrorCode" not in entry
    # And once more.
    connect_in_vain(client, store)
    client.disconnect_custom_key_store(CustomKeyStoreId=store)
    assert set(client.delete_custom_key_store(CustomKeyStoreId=store)) == {"ResponseMetadata"}
    with refused("CustomKeyStoreNotFoundException"):
        describe(client, store)


def test_disconnecting_what_is_not_connected(client):
    store = create(client, cluster())
    with refused("CustomKeyStoreInvalidStateException", re.compile("DISCONNECTED")):
        client.disconnect_custom_key_store(CustomKeyStoreId=store)


def test_keys_in_a_store(client):
    hsm, external = create(client, cluster()), create(client, vpc())
    for parameters in (
        {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": hsm},
        {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": external, "XksKeyId": "abc"},
    ):
        with refused("CustomKeyStoreInvalidStateException", re.compile("DISCONNECTED")):
            client.create_key(**parameters)
    with refused("ValidationException", re.compile("EXTERNAL_KEY_STORE")):
        client.create_key(Origin="AWS_CLOUDHSM", CustomKeyStoreId=external)
    assert client.list_keys()["Keys"] == []


def test_random_bytes_of_a_store(client):
    with refused("CustomKeyStoreInvalidStateException", re.compile("DISCONNECTED")):
        client.generate_random(NumberOfBytes=8, CustomKeyStoreId=create(client, cluster()))
    with refused("UnsupportedOperationException"):
        client.generate_random(NumberOfBytes=8, CustomKeyStoreId=create(client, vpc()))


# Changes --------------------------------------------------------------------------------------------------------------------------


def test_changing_a_cluster(client):
    parameters = cluster()
    store = create(client, parameters)
    answer = client.update_custom_key_store(CustomKeyStoreId=store, NewCustomKeyStoreName="renamed", KeyStorePassword="another-password")
    assert set(answer) == {"ResponseMetadata"}
    assert describe(client, store)["CustomKeyStoreName"] == "renamed"
    client.update_custom_key_store(CustomKeyStoreId=store, CloudHsmClusterId=parameters["CloudHsmClusterId"])
    with refused("CloudHsmClusterNotRelatedException"):
        client.update_custom_key_store(CustomKeyStoreId=store, CloudHsmClusterId="cluster-abcdefghijk")
    with refused("ValidationException"):
        client.update_custom_key_store(CustomKeyStoreId=store, XksProxyUriPath="/kms/xks/v1")
    with refused("ValidationException"):
        client.update_custom_key_store(CustomKeyStoreId=store)


# Who may, and what is told of it ----------------------------------------------------------------------------------------------------


OPERATIONS = ["Create", "Update", "Delete", "Connect", "Disconnect"]


def attempt(client, operation, store):
    calls = {
        "Create": lambda: client.create_custom_key_store(**cluster()),
        "Update": lambda: client.update_custom_key_store(CustomKeyStoreId=store, NewCustomKeyStoreName=unique("new")),
        "Delete": lambda: client.delete_custom_key_store(CustomKeyStoreId=store),
        "Connect": lambda: client.connect_custom_key_store(CustomKeyStoreId=store),
        "Disconnect": lambda: client.disconnect_custom_key_store(CustomKeyStoreId=store),
        "Describe": lambda: client.describe_custom_key_stores(),
    }
    return calls[operation]()


@pytest.mark.parametrize("operation", [*OPERATIONS, "Describe"])
def test_permissions(server, owner, client, operation):
    store = create(client, cluster())
    if operation == "Disconnect":
        connect_in_vain(client, store)
    action = f"kms:{operation}CustomKeyStore{'s' if operation == 'Describe' else ''}"
    document = json.loads(policy(statement("Allow"), statement("Deny", actions=action)))
    forbidden = server.kms(server.create_user(owner.account, policy=document))
    with refused("AccessDeniedException"):
        attempt(forbidden, operation, store)
    allowed = server.kms(server.create_user(owner.account, policy=json.loads(policy(statement("Allow", actions=action)))))
    attempt(allowed, operation, store)


def test_secrets_are_told_to_nobody(server, owner, client):
    for parameters in (cluster(), vpc()):
        store = create(client, parameters)
        told = json.dumps(describe(client, store), default=str)
        connect_in_vain(client, store)
        for secret in (PASSWORD, SECRET):
            assert secret not in told
    for secret in (PASSWORD, SECRET):
        server.observer.keep_secret(secret, "secret of a custom key store")
    log = run("audit", "tail", "--json", "--lines", "200", "--data", server.data).stdout
    assert "CreateCustomKeyStore" in log and "CustomKeyStoreConnection" in log
    assert PASSWORD not in log and SECRET not in log
    for path in server.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert PASSWORD.encode() not in content and SECRET.encode() not in content, path


def test_aws_cli(server, owner, tmp_path):
    environment = {
        "PATH": CLEAN_ENVIRONMENT["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": owner.credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": owner.credentials.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_KMS": server.endpoint,
    }

    def aws(*arguments):
        done = subprocess.run(
            [sys.executable, str(AWS), "kms", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    anchor = tmp_path / "customerCA.crt"
    anchor.write_text(CERTIFICATE)
    parameters = cluster()
    made = aws(
        "create-custom-key-store",
        *("--custom-key-store-name", parameters["CustomKeyStoreName"], "--cloud-hsm-cluster-id", parameters["CloudHsmClusterId"]),
        *("--trust-anchor-certificate", f"file://{anchor}", "--key-store-password", PASSWORD),
    )
    store = ["--custom-key-store-id", made["CustomKeyStoreId"]]
    aws("update-custom-key-store", *store, "--new-custom-key-store-name", "renamed")
    aws("connect-custom-key-store", *store)
    deadline = time.monotonic() + 20
    while True:
        [entry] = aws("describe-custom-key-stores", *store)["CustomKeyStores"]
        if entry["ConnectionState"] == "FAILED":
            break
        assert time.monotonic() < deadline, entry
    assert (entry["CustomKeyStoreName"], entry["ConnectionErrorCode"]) == ("renamed", "CLUSTER_NOT_FOUND")
    aws("disconnect-custom-key-store", *store)
    aws("delete-custom-key-store", *store)
    assert aws("describe-custom-key-stores")["CustomKeyStores"] == []
