"""Custom key stores of type EXTERNAL_KEY_STORE: Claviger as the client of somebody else's proxy, over TLS."""

import base64
import re
import time

import pytest

import xks_proxy
from harness import refused, start_serve, unique
from test_custom_key_stores import cluster, create, describe, vpc, vpc_service, wait_for
from test_serve import Authority, Site
from xks_proxy import is_late, refuses, says

LATE = re.compile("did not respond in time")
MALFORMED = re.compile("cannot interpret the response")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Where the proxy has its certificate."""
    directory = tmp_path_factory.mktemp("proxy")
    Authority(directory).issue(directory)
    return directory


@pytest.fixture(scope="module")
def listening(directory):
    """The proxy, whose port the configuration names."""
    proxy = xks_proxy.Proxy(directory)
    yield proxy
    proxy.close()


@pytest.fixture
def proxy(listening):
    """The proxy as it was at the beginning, with one key."""
    listening.reset()
    listening.add_key("theirs")
    return listening


@pytest.fixture(scope="module")
def hyok(tmp_path_factory, directory, listening):
    """A server of its own, which reaches the proxy under one name that its certificate has, and one that it has not."""
    site = Site(tmp_path_factory.mktemp("hyok") / "site")
    address = f"127.0.0.1:{listening.port}"
    site.write(
        regions='"any"',
        more=f"""
[external_key_stores]
certificate_authority = "{directory / 'ca.pem'}"
[external_key_stores.addresses]
"localhost" = "{address}"
"one.proxies.example.com" = "{address}"
"two.proxies.example.com" = "{address}"
"three.proxies.example.com" = "{address}"
"stranger.example.com" = "{address}"
"nobody.example.com" = "127.0.0.1:1"
""",
    )
    server = start_site(site)
    yield server
    assert server.stop() == 0


def start_site(site):
    administrator = dict(line.removeprefix("export ").split("=", 1) for line in site.init().stdout.splitlines() if "=" in line)
    endpoint = f"https://localhost:{site.port}"
    environment = site.environment | {name: value.strip("'\"") for name, value in administrator.items()}
    environment |= {"CLAVIGER_ENDPOINT": endpoint, "AWS_CA_BUNDLE": str(site.authority.file)}
    watch = f"http://127.0.0.1:{site.watch_port}"
    return start_serve(site.config, endpoint, watch, site.data, environment, str(site.authority.file))


@pytest.fixture
def client(hyok, proxy):
    return hyok.kms(hyok.create_account("hyok"))


def parameters(**changes):
    made = {
        "CustomKeyStoreName": unique("external"),
        "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
        "XksProxyConnectivity": "PUBLIC_ENDPOINT",
        "XksProxyUriEndpoint": "https://localhost",
        "XksProxyUriPath": "/kms/xks/v1",
        "XksProxyAuthenticationCredential": {"AccessKeyId": xks_proxy.ACCESS_KEY, "RawSecretAccessKey": xks_proxy.SECRET},
    }
    return made | changes


@pytest.fixture
def store(client):
    """A connected store."""
    store = client.create_custom_key_store(**parameters())["CustomKeyStoreId"]
    client.connect_custom_key_store(CustomKeyStoreId=store)
    wait_for(client, store, "CONNECTED")
    return store


def create_key(client, store, name="theirs"):
    return client.create_key(Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=store, XksKeyId=name)["KeyMetadata"]


# The store ------------------------------------------------------------------------------------------------------------------------


def test_a_proxy_is_asked_before_there_is_a_store(client, proxy):
    client.create_custom_key_store(**parameters())
    [(resource, request)] = proxy.asked
    assert resource == "health" and request["requestMetadata"]["kmsOperation"] == "CreateCustomKeyStore"
    assert request["requestMetadata"]["kmsRequestId"]


@pytest.mark.parametrize(
    "changes, error, text",
    [
        ({"XksProxyUriEndpoint": "https://nobody.example.com"}, "XksProxyUriUnreachableException", "cannot communicate"),
        ({"XksProxyUriEndpoint": "https://stranger.example.com"}, "XksProxyUriUnreachableException", "TLS connection"),
        ({"XksProxyUriPath": "/else/kms/xks/v1"}, "XksProxyInvalidConfigurationException", "invalid URI path"),
        (
            {"XksProxyAuthenticationCredential": {"AccessKeyId": "B" * 20, "RawSecretAccessKey": xks_proxy.SECRET}},
            "XksProxyIncorrectAuthenticationCredentialException",
            "could not authenticate",
        ),
    ],
)
def test_a_store_is_not_made_of_a_proxy_that_does_not_do(client, changes, error, text):
    with refused(error, re.compile(text)):
        client.create_custom_key_store(**parameters(**changes))
    assert client.describe_custom_key_stores()["CustomKeyStores"] == []


@pytest.mark.parametrize(
    "trouble, error",
    [
        (is_late(0.6), "XksProxyUriUnreachableException"),
        (refuses(429, "ThrottlingException"), "XksProxyUriUnreachableException"),
        (refuses(503, "DependencyTimeoutException"), "XksProxyUriUnreachableException"),
        (refuses(500, "InternalException"), "XksProxyInvalidResponseException"),
        (refuses(400, "ValidationException"), "XksProxyInvalidResponseException"),
        (refuses(418, "TeapotException"), "XksProxyInvalidResponseException"),
        (says(b"hello"), "XksProxyInvalidResponseException"),
        (says({"xksProxyFleetSize": 0}), "XksProxyInvalidResponseException"),
    ],
)
def test_troubles_while_a_store_is_made(client, proxy, trouble, error):
    proxy.trouble = trouble
    with refused(error):
        client.create_custom_key_store(**parameters())


def test_key_managers_that_are_all_unavailable(client, proxy):
    proxy.health = "UNAVAILABLE"
    with refused("XksProxyUriUnreachableException", re.compile("unhealthy")):
        client.create_custom_key_store(**parameters())
    proxy.health = "DEGRADED"
    store = client.create_custom_key_store(**parameters())["CustomKeyStoreId"]
    proxy.health = "UNAVAILABLE"
    client.connect_custom_key_store(CustomKeyStoreId=store)
    assert wait_for(client, store, "FAILED")["ConnectionErrorCode"] == "XKS_PROXY_NOT_REACHABLE"


@pytest.mark.parametrize(
    "trouble, code",
    [
        (is_late(0.6), "XKS_PROXY_TIMED_OUT"),
        (refuses(401, "AuthenticationFailedException"), "INVALID_CREDENTIALS"),
        (refuses(403, "AccessDeniedException"), "XKS_PROXY_ACCESS_DENIED"),
        (refuses(404, "InvalidUriPathException"), "XKS_PROXY_INVALID_CONFIGURATION"),
        (says(b"[]"), "XKS_PROXY_INVALID_RESPONSE"),
    ],
)
def test_troubles_while_a_store_is_connected(client, proxy, trouble, code):
    store = client.create_custom_key_store(**parameters())["CustomKeyStoreId"]
    proxy.trouble = trouble
    client.connect_custom_key_store(CustomKeyStoreId=store)
    assert wait_for(client, store, "FAILED")["ConnectionErrorCode"] == code
    proxy.trouble = None
    with refused("CustomKeyStoreInvalidStateException"):
        client.connect_custom_key_store(CustomKeyStoreId=store)
    client.disconnect_custom_key_store(CustomKeyStoreId=store)
    client.connect_custom_key_store(CustomKeyStoreId=store)
    wait_for(client, store, "CONNECTED")


def test_a_proxy_behind_a_vpc_endpoint_service_is_asked_when_it_is_connected(client, proxy):
    service = "com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0"
    changes = {"XksProxyConnectivity": "VPC_ENDPOINT_SERVICE", "XksProxyVpcEndpointServiceName": service}
    store = client.create_custom_key_store(**parameters(**changes))["CustomKeyStoreId"]
    assert proxy.asked == []
    client.connect_custom_key_store(CustomKeyStoreId=store)
    wait_for(client, store, "CONNECTED")
    assert [request["requestMetadata"]["kmsOperation"] for _, request in proxy.asked] == ["ConnectCustomKeyStore"]


def test_what_must_be_unique(client, proxy):
    proxy.lenient = True
    first, second, third = cluster(), parameters(), vpc(XksProxyUriEndpoint="https://three.proxies.example.com")
    for made in (first, second, third):
        create(client, made)
    with refused("CustomKeyStoreNameInUseException"):
        create(client, parameters(XksProxyUriEndpoint="https://one.proxies.example.com", CustomKeyStoreName=first["CustomKeyStoreName"]))
    with refused("CloudHsmClusterInUseException"):
        create(client, cluster(CloudHsmClusterId=first["CloudHsmClusterId"]))
    with refused("XksProxyUriInUseException"):
        create(client, parameters(XksProxyUriEndpoint=second["XksProxyUriEndpoint"]))
    with refused("XksProxyUriEndpointInUseException"):
        create(client, vpc(XksProxyUriEndpoint=second["XksProxyUriEndpoint"], XksProxyUriPath="/other/kms/xks/v1"))
    with refused("XksProxyUriEndpointInUseException"):
        create(client, vpc(XksProxyUriEndpoint=third["XksProxyUriEndpoint"], XksProxyUriPath="/other/kms/xks/v1"))
    with refused("XksProxyVpcEndpointServiceInUseException"):
        create(client, vpc(XksProxyVpcEndpointServiceName=third["XksProxyVpcEndpointServiceName"]))
    # The same public endpoint may serve several stores under paths of their own.
    create(client, parameters(XksProxyUriEndpoint=second["XksProxyUriEndpoint"], XksProxyUriPath="/other/kms/xks/v1"))


def test_changing_a_proxy(client, proxy):
    proxy.lenient = True
    other = parameters()
    create(client, other)
    store = create(client, parameters(XksProxyUriEndpoint="https://one.proxies.example.com"))
    client.update_custom_key_store(
        CustomKeyStoreId=store,
        XksProxyUriEndpoint="https://two.proxies.example.com",
        XksProxyUriPath="/new/kms/xks/v1",
        XksProxyAuthenticationCredential={"AccessKeyId": "B" * 20, "RawSecretAccessKey": "b" * 43},
    )
    expected = {"Connectivity": "PUBLIC_ENDPOINT", "AccessKeyId": "B" * 20, "UriEndpoint": "https://two.proxies.example.com", "UriPath": "/new/kms/xks/v1"}
    assert describe(client, store)["XksProxyConfiguration"] == expected
    with refused("XksProxyUriInUseException"):
        client.update_custom_key_store(
            CustomKeyStoreId=store, XksProxyUriEndpoint=other["XksProxyUriEndpoint"], XksProxyUriPath=other["XksProxyUriPath"]
        )
    with refused("CustomKeyStoreNameInUseException"):
        client.update_custom_key_store(CustomKeyStoreId=store, NewCustomKeyStoreName=other["CustomKeyStoreName"])
    with refused("ValidationException"):
        client.update_custom_key_store(CustomKeyStoreId=store, KeyStorePassword="kmsuser-password-7x")
    with refused("ValidationException", re.compile("XksProxyVpcEndpointServiceName is required")):
        client.update_custom_key_store(CustomKeyStoreId=store, XksProxyConnectivity="VPC_ENDPOINT_SERVICE")
    assert describe(client, store)["XksProxyConfiguration"] == expected, "what was refused has changed nothing"
    service = vpc_service()
    client.update_custom_key_store(CustomKeyStoreId=store, XksProxyConnectivity="VPC_ENDPOINT_SERVICE", XksProxyVpcEndpointServiceName=service)
    assert describe(client, store)["XksProxyConfiguration"]["VpcEndpointServiceName"] == service
    client.update_custom_key_store(CustomKeyStoreId=store, XksProxyConnectivity="PUBLIC_ENDPOINT")
    assert describe(client, store)["XksProxyConfiguration"] == expected


def test_a_credential_is_changed_in_use(client, proxy, store):
    key = create_key(client, store)["KeyId"]
    proxy.access_key, proxy.secret = "C" * 20, base64.b64encode(b"another secret of a proxy, 32 by").decode()
    with refused("KMSInvalidStateException", re.compile("could not authenticate AWS KMS")):
        client.encrypt(KeyId=key, Plaintext=b"hello")
    wrong = {"AccessKeyId": "C" * 20, "RawSecretAccessKey": xks_proxy.SECRET}
    with refused("XksProxyIncorrectAuthenticationCredentialException"):
        client.update_custom_key_store(CustomKeyStoreId=store, XksProxyAuthenticationCredential=wrong)
    right = {"AccessKeyId": proxy.access_key, "RawSecretAccessKey": proxy.secret}
    client.update_custom_key_store(CustomKeyStoreId=store, XksProxyAuthenticationCredential=right)
    client.encrypt(KeyId=key, Plaintext=b"hello")


# Keys -----------------------------------------------------------------------------------------------------------------------------


def test_a_key_and_what_is_told_of_it(client, proxy, store):
    metadata = create_key(client, store)
    assert (metadata["Origin"], metadata["KeyState"], metadata["Enabled"]) == ("EXTERNAL_KEY_STORE", "Enabled", True)
    assert (metadata["CustomKeyStoreId"], metadata["XksKeyConfiguration"]) == (store, {"Id": "theirs"})
    assert "CurrentKeyMaterialId" not in metadata and "CloudHsmClusterId" not in metadata
    assert client.describe_key(KeyId=metadata["KeyId"])["KeyMetadata"] == metadata
    resource, request = proxy.asked[-1]
    assert resource == "keys/theirs/metadata" and request["requestMetadata"]["kmsOperation"] == "CreateKey"
    assert "kmsKeyArn" not in request["requestMetadata"]
    with refused("XksKeyAlreadyInUseException"):
        create_key(client, store)


@pytest.mark.parametrize(
    "metadata, text",
    [
        ({"keySpec": "RSA_2048"}, "must be AES_256"),
        ({"keyStatus": "DISABLED"}, "must be ENABLED"),
        ({"keyUsage": ["ENCRYPT"]}, "must include ENCRYPT and DECRYPT"),
    ],
)
def test_external_keys_that_do_not_do(client, proxy, store, metadata, text):
    proxy.add_key("other", **metadata)
    with refused("XksKeyInvalidConfigurationException", re.compile(text)):
        create_key(client, store, "other")
    with refused("XksKeyNotFoundException"):
        create_key(client, store, "missing")
    assert client.list_keys()["Keys"] == []


def test_what_is_encrypted_is_encrypted_twice(client, proxy, store):
    arn = create_key(client, store)["Arn"]
    context = {"department": "payroll"}
    for plaintext in (b"x", b"hello", bytes(4096)):
        sealed = client.encrypt(KeyId=arn, Plaintext=plaintext, EncryptionContext=context)
        assert sealed["KeyId"] == arn and len(sealed["CiphertextBlob"]) <= 6144
        resource, request = proxy.asked[-1]
        assert resource == "keys/theirs/encrypt"
        assert plaintext not in base64.b64decode(request["plaintext"]) or len(plaintext) == 1
        told = request["requestMetadata"]
        assert (told["kmsKeyArn"], told["kmsOperation"]) == (arn, "Encrypt") and told["awsPrincipalArn"].endswith(":root")
        opened = client.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context)
        assert (opened["Plaintext"], opened["KeyId"]) == (plaintext, arn)
    with refused("KMSInvalidStateException", re.compile("ciphertext or encryption context is corrupted")):
        client.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"department": "sales"})


def test_data_keys_and_re_encryption(client, store):
    outside, inside = create_key(client, store)["KeyId"], client.create_key()["KeyMetadata"]["KeyId"]
    made = client.generate_data_key(KeyId=outside, KeySpec="AES_256")
    assert client.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    sealed = client.generate_data_key_without_plaintext(KeyId=outside, NumberOfBytes=24)
    assert len(client.decrypt(CiphertextBlob=sealed["CiphertextBlob"])["Plaintext"]) == 24
    moved = client.re_encrypt(CiphertextBlob=made["CiphertextBlob"], DestinationKeyId=inside)
    assert client.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    back = client.re_encrypt(CiphertextBlob=moved["CiphertextBlob"], DestinationKeyId=outside)
    assert client.decrypt(CiphertextBlob=back["CiphertextBlob"])["Plaintext"] == made["Plaintext"]


def test_what_such_keys_cannot_do(client, store):
    key = create_key(client, store)["KeyId"]
    with refused("UnsupportedOperationException"):
        client.generate_data_key_pair(KeyId=key, KeyPairSpec="RSA_2048")
    with refused("UnsupportedOperationException"):
        client.enable_key_rotation(KeyId=key)
    with refused("UnsupportedOperationException"):
        client.get_parameters_for_import(KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048")
    with refused("UnsupportedOperationException"):
        client.create_key(Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=store, XksKeyId="b", KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    with refused("UnsupportedOperationException"):
        client.create_key(Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=store, XksKeyId="b", MultiRegion=True)


@pytest.mark.parametrize(
    "trouble, text",
    [
        (refuses(400, "ValidationException"), MALFORMED),
        (refuses(400, "InvalidStateException"), re.compile("is not enabled in the external key manager")),
        (refuses(400, "InvalidKeyUsageException"), re.compile("does not support the requested operation")),
        (refuses(403, "AccessDeniedException"), re.compile("denied access to the operation")),
        (refuses(404, "KeyNotFoundException"), re.compile("was not found in its external key manager")),
        (refuses(404, "InvalidUriPathException"), re.compile("invalid URI path")),
        (refuses(429, "ThrottlingException"), re.compile("very high request rate")),
        (refuses(500, "InternalException"), re.compile("cannot communicate with the external key manager")),
        (refuses(501, "UnsupportedOperationException"), re.compile("does not support the requested operation")),
        (refuses(503, "DependencyTimeoutException"), re.compile("in the time allotted")),
        (is_late(0.6), LATE),
        (says(b""), MALFORMED),
        (says({"plaintext": "aGVsbG8="}), MALFORMED),
    ],
)
def test_troubles_while_a_key_is_used(client, proxy, store, trouble, text):
    key = create_key(client, store)["KeyId"]
    sealed = client.encrypt(KeyId=key, Plaintext=b"hello")["CiphertextBlob"]
    proxy.trouble = trouble
    began = time.monotonic()
    with refused("KMSInvalidStateException", text):
        client.encrypt(KeyId=key, Plaintext=b"hello")
    with refused("KMSInvalidStateException"):
        client.decrypt(CiphertextBlob=sealed)
    assert time.monotonic() - began < 10
    proxy.trouble = None
    assert client.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"hello"


def test_an_answer_that_comes_late_once_is_asked_for_again(client, proxy, store):
    key = create_key(client, store)["KeyId"]
    waits = iter([0.6])
    proxy.trouble = lambda: time.sleep(next(waits, 0))
    assert client.encrypt(KeyId=key, Plaintext=b"hello")["CiphertextBlob"]


def test_a_proxy_that_breaks_what_it_encrypts_is_found_out(client, proxy, store):
    key = create_key(client, store)["KeyId"]
    honest = proxy.encrypt

    def broken(name, request):
        answer = honest(name, request)
        ciphertext = bytearray(base64.b64decode(answer["ciphertext"]))
        ciphertext[0] ^= 1
        return answer | {"ciphertext": base64.b64encode(ciphertext).decode()}

    proxy.encrypt = broken
    with refused("KMSInvalidStateException", MALFORMED):
        client.generate_data_key(KeyId=key, KeySpec="AES_256")


def test_a_proxy_that_opens_what_nobody_sealed_is_found_out(client, proxy, store):
    key = create_key(client, store)["KeyId"]
    sealed = client.encrypt(KeyId=key, Plaintext=b"hello")["CiphertextBlob"]
    honest = proxy.decrypt

    def broken(name, request):
        plaintext = bytearray(base64.b64decode(honest(name, request)["plaintext"]))
        plaintext[-1] ^= 1
        return {"plaintext": base64.b64encode(plaintext).decode()}

    proxy.decrypt = broken
    with refused("KMSInvalidStateException", re.compile("ciphertext that the external key store proxy submitted for decryption")):
        client.decrypt(CiphertextBlob=sealed)


def test_a_disconnected_store_takes_its_keys_away(client, store):
    key = create_key(client, store)["KeyId"]
    sealed = client.encrypt(KeyId=key, Plaintext=b"hello")["CiphertextBlob"]
    with refused("CustomKeyStoreInvalidStateException"):
        client.delete_custom_key_store(CustomKeyStoreId=store)
    client.disconnect_custom_key_store(CustomKeyStoreId=store)
    metadata = client.describe_key(KeyId=key)["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"]) == ("Unavailable", False)
    for use in (lambda: client.encrypt(KeyId=key, Plaintext=b"hello"), lambda: client.decrypt(CiphertextBlob=sealed)):
        with refused("KMSInvalidStateException", re.compile("not connected to its external key store proxy")):
            use()
    with refused("CustomKeyStoreHasCMKsException"):
        client.delete_custom_key_store(CustomKeyStoreId=store)
    client.connect_custom_key_store(CustomKeyStoreId=store)
    wait_for(client, store, "CONNECTED")
    assert client.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"hello"
