"""A client of the XKS proxy API that is not ours: botocore signs, http.client sends."""

import base64
import hashlib
import http.client
import json
import ssl
import urllib.parse
from dataclasses import dataclass

import botocore.auth
import botocore.awsrequest
import botocore.credentials

REGION = "us-east-2"
PRINCIPAL = "arn:aws:iam::111122223333:user/Alice"
KMS_KEY = "arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@dataclass(frozen=True)
class Store:
    """What AWS KMS knows of a store."""

    name: str
    path: str
    access_key: str
    secret: str


def store_of(name, file):
    """The store that a credential file is about."""
    credential = file["XksProxyAuthenticationCredential"]
    return Store(name, file["XksProxyUriPath"], credential["AccessKeyId"], credential["RawSecretAccessKey"])


def create_store(server, name, *options):
    """A new store."""
    file = json.loads(server.run("xks", "create-store", name, *options).stdout)
    server.observer.keep_secret(file["XksProxyAuthenticationCredential"]["RawSecretAccessKey"], f"secret of store {name}")
    return store_of(name, file)


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: dict
    body: dict

    @property
    def error(self):
        return self.status, self.body.get("errorName")


class Client:
    """AWS KMS, as far as a proxy can see."""

    def __init__(self, endpoint, store, region=REGION, context=None, service="kms-xks-proxy"):
        self.url, self.store, self.region, self.context, self.service = urllib.parse.urlsplit(endpoint), store, region, context, service

    def connect(self):
        if self.url.scheme == "https":
            context = self.context or ssl.create_default_context()
            return http.client.HTTPSConnection(self.url.hostname, self.url.port, timeout=30, context=context)
        return http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=30)

    def sign(self, url, body, method="POST", headers=None):
        """The headers of a signed request."""
        credentials = botocore.credentials.Credentials(self.store.access_key, self.store.secret)
        request = botocore.awsrequest.AWSRequest(method, url, data=body, headers=headers or {"Content-Type": "application/json"})
        botocore.auth.SigV4Auth(credentials, self.service, self.region).add_auth(request)
        return dict(request.prepare().headers)

    def send(self, what, body, method="POST", path=None, change=None):
        """Signs a request and sends it; `change` may spoil its headers and body in between."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        target = (path or self.store.path) + what
        headers = self.sign(f"{self.url.scheme}://{self.url.netloc}{target}", data, method)
        if change:
            headers, data = change(headers, data)
        connection = self.connect()
        try:
            connection.request(method, target, data, headers)
            answer = connection.getresponse()
            content = answer.read()
            return Reply(answer.status, dict(answer.getheaders()), json.loads(content or b"{}"))
        finally:
            connection.close()

    def call(self, key, operation, **members):
        """Asks for an operation on a key."""
        return self.send(f"/keys/{key}/{operation}", {"requestMetadata": metadata(operation)} | members)

    def metadata(self, key):
        return self.call(key, "metadata")

    def health(self, **changes):
        return self.send("/health", {"requestMetadata": {"kmsRequestId": "4112f4d6", "kmsOperation": "KmsHealthCheck"} | changes})

    def encrypt(self, key, plaintext, aad=None, integrity=False, **members):
        optional = {"additionalAuthenticatedData": b64(aad)} if aad is not None else {}
        if integrity:
            optional["ciphertextDataIntegrityValueAlgorithm"] = "SHA_256"
        return self.call(key, "encrypt", plaintext=b64(plaintext), encryptionAlgorithm="AES_GCM", **(optional | members))

    def decrypt(self, key, made, aad=None, **changes):
        names = ("ciphertext", "ciphertextMetadata", "initializationVector", "authenticationTag")
        members = {name: made[name] for name in names} | {"encryptionAlgorithm": "AES_GCM"}
        if aad is not None:
            members["additionalAuthenticatedData"] = b64(aad)
        members |= changes
        return self.call(key, "decrypt", **{name: value for name, value in members.items() if value is not None})


def metadata(operation="encrypt", **changes):
    """What AWS KMS tells of its own request."""
    names = {"encrypt": "Encrypt", "decrypt": "Decrypt", "metadata": "DescribeKey"}
    return {
        "awsPrincipalArn": PRINCIPAL,
        "kmsKeyArn": KMS_KEY,
        "kmsOperation": names.get(operation, operation),
        "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
        "kmsViaService": "ebs",
    } | changes


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.b64decode(text, validate=True)


def integrity_value(made, aad=b""):
    """The specification's appendix C."""
    parts = [aad] + [unb64(made[name]) for name in ("ciphertextMetadata", "initializationVector", "ciphertext", "authenticationTag")]
    return b64(hashlib.sha256(b"".join(parts)).digest())
