"""An external key store proxy for tests, written from AWS's specification ("External Key Store (XKS) Proxy API Specification") with the Python standard
library, botocore's signatures and the `cryptography` package. It knows nothing of the server."""

import base64
import contextlib
import hashlib
import http.server
import json
import secrets
import ssl
import threading
import time

import botocore.auth
import botocore.awsrequest
import botocore.credentials
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ACCESS_KEY = "ABCDEFGHIJKLMNOP2345"
SECRET = base64.b64encode(b"the secret of a proxy, 32 bytes!").decode()


class Refused(Exception):
    def __init__(self, status, name, message=None):
        super().__init__(name)
        self.status, self.name, self.message = status, name, message


class Proxy:
    """The proxy, serving until it is closed. `trouble` is what it does instead of its work; while it is `lenient`, it serves everybody
    under every path."""

    def __init__(self, directory, path="/kms/xks/v1", access_key=ACCESS_KEY, secret=SECRET):
        self.beginning = {"path": path, "access_key": access_key, "secret": secret}
        self.reset()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
                    outer.answer(self, body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """Connections end as they like."""

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reset(self):
        """As it was at the beginning, without keys."""
        vars(self).pop("encrypt", None)
        vars(self).pop("decrypt", None)
        vars(self).update(self.beginning, keys={}, metadata={}, asked=[], trouble=None, health="ACTIVE", lenient=False)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def add_key(self, name, **metadata):
        self.keys[name] = AESGCM(secrets.token_bytes(32))
        self.metadata[name] = {"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "ENABLED"} | metadata

    def answer(self, handler, body):
        try:
            status, answer = 200, self.work(handler, body)
        except Refused as refused:
            status, answer = refused.status, {"errorName": refused.name, "errorMessage": refused.message or "no"}
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def work(self, handler, body):
        if callable(self.trouble):
            answer = self.trouble()
            if answer is not None:
                return answer
        if not self.lenient:
            self.authenticate(handler, body)
        path, _, resource = handler.path.partition("/kms/xks/v1/")
        if not self.lenient and f"{path}/kms/xks/v1" != self.path:
            raise Refused(404, "InvalidUriPathException")
        request = json.loads(body)
        self.asked.append((resource, request))
        if resource == "health":
            manager = {"id": "one", "model": "test", "healthStatus": self.health}
            return {"xksProxyFleetSize": 1, "xksProxyVendor": "t", "xksProxyModel": "t", "ekmVendor": "t", "ekmFleetDetails": [manager]}
        _, name, operation = resource.split("/")
        if name not in self.keys:
            raise Refused(404, "KeyNotFoundException")
        return {"metadata": self.get_metadata, "encrypt": self.encrypt, "decrypt": self.decrypt}[operation](name, request)

    def authenticate(self, handler, body):
        """The signature that botocore makes of the same request has to be the same."""
        authorization = handler.headers["Authorization"]
        scope = authorization.split("Credential=")[1].split(",")[0].split("/")
        assert "SignedHeaders=host;x-amz-date," in authorization.replace(" ", ""), authorization
        request = botocore.awsrequest.AWSRequest("POST", f"https://{handler.headers['Host']}{handler.path}", data=body)
        request.context["timestamp"] = handler.headers["X-Amz-Date"]
        request.headers["X-Amz-Date"] = handler.headers["X-Amz-Date"]
        signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(scope[0], self.secret), scope[3], scope[2])
        canonical = signer.canonical_request(request)
        signature = signer.signature(signer.string_to_sign(request, canonical), request)
        if scope[0] != self.access_key or scope[3] != "kms-xks-proxy" or not authorization.endswith(f"Signature={signature}"):
            raise Refused(401, "AuthenticationFailedException")

    def get_metadata(self, name, _request):
        return self.metadata[name]

    def encrypt(self, name, request):
        assert request["encryptionAlgorithm"] == "AES_GCM", request
        data, plaintext = base64.b64decode(request["additionalAuthenticatedData"]), base64.b64decode(request["plaintext"])
        assert len(plaintext) <= 4300 and len(data) <= 8192
        vector, metadata = secrets.token_bytes(12), b"version=1"
        sealed = self.keys[name].encrypt(vector, plaintext, authenticated(data, metadata))
        ciphertext, tag = sealed[:-16], sealed[-16:]
        integrity = hashlib.sha256(data + metadata + vector + ciphertext + tag).digest()
        parts = {
            "ciphertext": ciphertext,
            "authenticationTag": tag,
            "initializationVector": vector,
            "ciphertextMetadata": metadata,
            "ciphertextDataIntegrityValue": integrity,
        }
        return {part: base64.b64encode(value).decode() for part, value in parts.items()}

    def decrypt(self, name, request):
        part = lambda member: base64.b64decode(request[member])  # noqa: E731
        data = authenticated(part("additionalAuthenticatedData"), part("ciphertextMetadata"))
        try:
            plaintext = self.keys[name].decrypt(part("initializationVector"), part("ciphertext") + part("authenticationTag"), data)
        except InvalidTag:
            raise Refused(400, "InvalidCiphertextException") from None
        return {"plaintext": base64.b64encode(plaintext).decode()}


def authenticated(data, metadata):
    return len(data).to_bytes(2, "big") + data + bytes([len(metadata)]) + metadata


def refuses(status, name):
    """A trouble: it refuses."""

    def trouble():
        raise Refused(status, name)

    return trouble


def is_late(seconds):
    """A trouble: it takes its time."""
    return lambda: time.sleep(seconds)


def says(answer):
    """A trouble: it answers this, whatever was asked."""
    return lambda: answer
