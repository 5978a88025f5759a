"""Requests by hand: signed with botocore's signer, altered as a test likes, sent over a bare HTTP connection."""

import contextlib
import datetime
import http.client
import json
import unittest.mock
import urllib.parse
from dataclasses import dataclass

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session

import model
from harness import REGION

SERVICE_MODEL = botocore.session.get_session().get_service_model("kms")


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def error(self):
        """The error's code, for the JSON protocol."""
        return json.loads(self.body)["__type"]

    @property
    def message(self):
        """The error's message, in either spelling; none when there is none."""
        members = json.loads(self.body)
        return members.get("message", members.get("Message"))

    @property
    def json(self):
        return json.loads(self.body)


def request(operation, body=b"{}", target=True, headers=None, method="POST", path="/"):
    """An unsigned request for a KMS operation. `body` may be anything that becomes JSON, or bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    all_headers = {"Content-Type": model.JSON_CONTENT_TYPE}
    if target:
        all_headers["X-Amz-Target"] = f"TrentService.{operation}"
    return botocore.awsrequest.AWSRequest(method, f"http://host.invalid{path}", headers=all_headers | (headers or {}), data=content)


def sign(server, unsigned, principal=None, region=REGION, service="kms", at=None, credentials=None, signer=botocore.auth.SigV4Auth):
    """Signs as this principal, perhaps at another time."""
    unsigned.url = server.endpoint + urllib.parse.urlsplit(unsigned.url)._replace(scheme="", netloc="").geturl()
    if credentials is None:
        held = (principal or server.root).credentials
        credentials = botocore.credentials.Credentials(held.access_key, held.secret)
    moment = at or datetime.datetime.now(datetime.timezone.utc)

    with unittest.mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: moment.replace(tzinfo=None)):
        signer(credentials, service, region).add_auth(unsigned)
    return unsigned


def send(server, signed, check=True):
    """Sends a request as it is, and checks the answer's headers."""
    place = urllib.parse.urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    try:
        target = urllib.parse.urlsplit(signed.url)._replace(scheme="", netloc="").geturl() or "/"
        connection.putrequest(signed.method, target, skip_host=True, skip_accept_encoding=True)
        if "Host" not in signed.headers:
            connection.putheader("Host", place.netloc)
        body = signed.data or b""
        for name, value in signed.headers.items():
            # Raw bytes, since tests also send what is no Latin-1.
            connection.putheader(name, value if isinstance(value, bytes) else value.encode())
        if "Content-Length" not in signed.headers:
            connection.putheader("Content-Length", str(len(body)))
        # A server may answer and close before it has read everything, as for a request that is too large.
        with contextlib.suppress(BrokenPipeError):
            connection.endheaders(body)
        answer = connection.getresponse()
        reply = Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()
    if check:
        identity = model.check_request_id(reply.headers)
        # What is no POST to / is no operation, whatever its target says.
        place_of_api = (signed.method, target) == ("POST", "/")
        service, _, name = signed.headers.get("X-Amz-Target", "").partition(".")
        operation = name if place_of_api and service == "TrentService" else ""
        error = json.loads(reply.body).get("__type") if reply.status != 200 else None
        server.observer.note(model.Answer(identity, operation, reply.status, error))
        if operation in SERVICE_MODEL.operation_names:
            model.check_answer(SERVICE_MODEL.operation_model(operation), reply.status, reply.headers, reply.body)
    return reply


def call(server, operation, body=b"{}", principal=None, **settings):
    """Signs and sends in one go."""
    return send(server, sign(server, request(operation, body, **settings), principal))
