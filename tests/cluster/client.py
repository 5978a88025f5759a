"""A light client of AWS KMS, and a balancer over nodes. botocore signs; everything else of it would cost ten times as much."""

import base64
import http.client
import json
import random
import socket
import threading
import time
from dataclasses import dataclass, field

import botocore.auth
import botocore.awsrequest
import botocore.credentials

REGION = "us-east-1"
# Seconds for one connection, and for one answer.
CONNECT_TIMEOUT, ANSWER_TIMEOUT = 0.3, 1.0
# How long a node is left alone after it has failed, by the client that saw it: twice as long each time, until it answers again.
AVOID_SECONDS, AVOID_SECONDS_MAX = 0.5, 4.0
# After which a client gives up.
PATIENCE_SECONDS = 20.0

# What AWS's SDKs try again by themselves: errors of the transport, any status from 500 on, and these codes
# (botocore/retries/standard.py, and "retryable" in the service model).
RETRYABLE_CODES = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "RequestTimeout",
        "RequestTimeoutException",
        "DependencyTimeoutException",
        "KeyUnavailableException",
        "ConnectionError",
        "HTTPClientError",
    }
)


@dataclass
class Answer:
    """One attempt: one request to one node, and what came of it. Times are of this machine's monotonic clock, in seconds."""

    node: str
    start: float
    end: float
    # 0 when there was no answer.
    status: int
    # The code of a refusal, or of what went wrong on the way; empty for a success.
    code: str
    request_id: str
    body: dict = field(repr=False)

    @property
    def succeeded(self):
        return self.status == 200

    @property
    def answered(self):
        """Whether the server has said what became of it."""
        return self.status == 200 or 400 <= self.status < 500

    @property
    def retryable(self):
        return self.status == 0 or self.status >= 500 or self.code in RETRYABLE_CODES

    @property
    def never_sent(self):
        """Whether the server cannot have got it."""
        return self.code == "ConnectionRefused"


class Target:
    """A node as clients see it."""

    def __init__(self, name, port):
        self.name, self.port = name, port


class Client:
    """One principal's client: one connection to each node, used by one thread."""

    def __init__(self, access_key, secret, targets, seed, answer_timeout=ANSWER_TIMEOUT):
        self.signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(access_key, secret), "kms", REGION)
        self.targets = list(targets)
        self.random = random.Random(seed)
        self.random.shuffle(self.targets)
        self.answer_timeout = answer_timeout
        self.connections, self.avoided, self.failures = {}, {}, {}
        self.next = 0

    # One attempt ----------------------------------------------------------------------------------------------------------

    def ask(self, target, operation, body):
        """Asks one node once."""
        data = json.dumps(body).encode()
        url = f"http://127.0.0.1:{target.port}/"
        headers = {"X-Amz-Target": f"TrentService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        request = botocore.awsrequest.AWSRequest(method="POST", url=url, headers=headers, data=data)
        self.signer.add_auth(request)
        start = time.monotonic()
        try:
            status, answer_headers, content = self.exchange(target, data, dict(request.headers.items()))
        except (OSError, http.client.HTTPException) as error:
            self.drop(target)
            return Answer(target.name, start, time.monotonic(), 0, name_of(error), "", {})
        end = time.monotonic()
        request_id = answer_headers.get("x-amzn-RequestId") or ""
        try:
            parsed = json.loads(content or b"{}")
        except ValueError:
            parsed = {}
        code = "" if status == 200 else str(parsed.get("__type") or f"HTTP{status}").rsplit("#", 1)[-1]
        return Answer(target.name, start, end, status, code, request_id, parsed)

    def exchange(self, target, data, headers):
        connection = self.connections.get(target.name)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=CONNECT_TIMEOUT)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock.settimeout(self.answer_timeout)
            self.connections[target.name] = connection
        connection.request("POST", "/", body=data, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def drop(self, target):
        connection = self.connections.pop(target.name, None)
        if connection is not None:
            connection.close()

    def close(self):
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()

    # The balancer ----------------------------------------------------------------------------------------------------------

    def choose(self):
        """The next node, in turns; one that has just failed only when all have."""
        now = time.monotonic()
        for step in range(len(self.targets)):
            target = self.targets[(self.next + step) % len(self.targets)]
            if self.avoided.get(target.name, 0) <= now:
                self.next = (self.next + step + 1) % len(self.targets)
                return target
        self.next = (self.next + 1) % len(self.targets)
        return self.targets[self.next]

    def avoid(self, target):
        failures = self.failures.get(target.name, 0)
        self.failures[target.name] = failures + 1
        self.avoided[target.name] = time.monotonic() + min(AVOID_SECONDS * 2 ** min(failures, 16), AVOID_SECONDS_MAX)

    def call(self, operation, body, patience=PATIENCE_SECONDS, attempted=None):
        """Asks until a node gives an answer that is none of a failure. Answers all attempts, the last one last."""
        attempts = []
        give_up = time.monotonic() + patience
        while True:
            target = self.choose()
            answer = self.ask(target, operation, body)
            attempts.append(answer)
            if attempted is not None:
                attempted(answer)
            if not answer.retryable:
                self.failures[target.name] = 0
                return attempts
            self.avoid(target)
            if time.monotonic() > give_up:
                return attempts
            # All have failed lately: not so fast.
            if len(attempts) >= len(self.targets):
                time.sleep(self.random.uniform(0.02, 0.1))


def name_of(error):
    """One word for what went wrong on the way."""
    if isinstance(error, ConnectionRefusedError):
        return "ConnectionRefused"
    if isinstance(error, TimeoutError):
        return "TimedOut"
    if isinstance(error, (ConnectionError, http.client.RemoteDisconnected, http.client.IncompleteRead)):
        return "ConnectionLost"
    return type(error).__name__


def encoded(data):
    """Bytes as the protocol has them."""
    return base64.b64encode(data).decode()


class Stop:
    """A flag for all threads of a round, with a pace for each."""

    def __init__(self):
        self.event = threading.Event()

    def wait(self, seconds):
        """Waits, but not beyond the end."""
        return self.event.wait(seconds)

    @property
    def requested(self):
        return self.event.is_set()

    def request(self):
        self.event.set()
