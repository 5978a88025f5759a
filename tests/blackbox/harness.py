"""Starts real servers and makes clients for them. Everything here is an outside view: processes, files and sockets."""

import contextlib
import json
import os
import pathlib
import re
import secrets
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field

import boto3
import botocore.config
import botocore.exceptions
import botocore.session

from model import Observer

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("CLAVIGER_BINARY", ROOT / "target" / "debug" / "claviger"))
REGION = "us-east-1"
START_SECONDS_MAX = 60

# Nothing of the person's own AWS or Claviger settings reaches the tests.
CLEAN_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CLAVIGER_", "BOTO_")) or name == "CLAVIGER_BINARY"
}
CLEAN_ENVIRONMENT |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
for name in [name for name in os.environ if name.startswith(("AWS_", "CLAVIGER_", "BOTO_")) and name != "CLAVIGER_BINARY"]:
    del os.environ[name]
os.environ.update({name: value for name, value in CLEAN_ENVIRONMENT.items() if name.startswith("AWS_")})

# One session for all clients: it reads the service models once.
_SESSION = boto3.Session(botocore_session=botocore.session.get_session())


@dataclass(frozen=True)
class Credentials:
    """An access key."""

    access_key: str
    secret: str
    token: str | None = None


@dataclass(frozen=True)
class Principal:
    """Somebody who can sign requests."""

    account: str
    name: str | None
    credentials: Credentials
    # The ARN of a session of a role.
    session: str | None = None

    @property
    def arn(self):
        """As policies name it."""
        if self.session:
            return self.session
        return f"arn:aws:iam::{self.account}:" + (f"user/{self.name}" if self.name else "root")


@dataclass
class Server:
    """A running server process."""

    process: subprocess.Popen
    endpoint: str
    observability: str
    data: pathlib.Path
    log: pathlib.Path
    environment: dict = field(default_factory=dict)
    observer: Observer = field(default_factory=Observer)
    ca: str | None = None
    clients: dict = field(default_factory=dict)

    # Clients -------------------------------------------------------------------------------------------------------------

    def client(self, service, principal, region=REGION, parameter_validation=True, **settings):
        """A boto3 client that signs as this principal, whose every answer is checked against the service model."""
        signature = (service, principal, region, parameter_validation, tuple(sorted(settings.items())))
        if signature not in self.clients:
            credentials = principal.credentials
            client = _SESSION.client(
                service,
                endpoint_url=self.endpoint,
                region_name=region,
                aws_access_key_id=credentials.access_key,
                aws_secret_access_key=credentials.secret,
                aws_session_token=credentials.token,
                verify=self.ca,
                config=botocore.config.Config(
                    retries={"total_max_attempts": 1}, parameter_validation=parameter_validation, max_pool_connections=4, **settings
                ),
            )
            self.observer.keep_secret(credentials.secret, f"secret of {credentials.access_key}")
            if credentials.token:
                self.observer.keep_secret(credentials.token, f"session token of {credentials.access_key}")
            self.clients[signature] = self.observer.watch(client)
        return self.clients[signature]

    def kms(self, principal=None, region=REGION, **settings):
        """A boto3 KMS client."""
        return self.client("kms", principal or self.root, region, **settings)

    def sts(self, principal=None, region=REGION, **settings):
        """A boto3 STS client."""
        return self.client("sts", principal or self.root, region, **settings)

    @property
    def root(self):
        """The root of the account that the server came with."""
        return Principal(
            "123456789012", None, Credentials(self.environment["AWS_ACCESS_KEY_ID"], self.environment["AWS_SECRET_ACCESS_KEY"])
        )

    # Administration ------------------------------------------------------------------------------------------------------

    def run(self, *arguments, check=True, environment=None, stdin=None):
        """Runs the command line against this server."""
        return run(*arguments, check=check, environment=self.environment | (environment or {}), stdin=stdin)

    def admin(self, *arguments, stdin=None):
        """Runs an administrative command and answers what it says as JSON."""
        return json.loads(self.run(*arguments, "--json", stdin=stdin).stdout or "{}")

    def create_account(self, name="tenant"):
        """A new account; answers its root."""
        made = self.admin("account", "create", name)
        self.observer.keep_secret(made["RootSecretAccessKey"], "secret access key")
        return Principal(made["AccountId"], None, Credentials(made["RootAccessKeyId"], made["RootSecretAccessKey"]))

    def create_user(self, account, name=None, policy=None, service=None):
        """A new user of an account, perhaps with an identity policy, perhaps a service."""
        name = name or unique("user")
        self.admin("user", "create", name, "--account", account, *(["--service", service] if service else []))
        made = self.admin("access-key", "create", "--user", name, "--account", account)
        self.observer.keep_secret(made["SecretAccessKey"], "secret access key")
        if policy is not None:
            self.put_policy(account, name, policy)
        return Principal(account, name, Credentials(made["AccessKeyId"], made["SecretAccessKey"]))

    def put_policy(self, account, user, policy, name="test"):
        """Attaches an identity policy to a user, or replaces it."""
        document = policy if isinstance(policy, str) else json.dumps(policy)
        self.run("policy", "put", "-", "--user", user, "--name", name, "--account", account, stdin=document)

    def create_role(self, account, trusted, name=None, policy=None, actions=("sts:AssumeRole", "sts:TagSession"), options=()):
        """A new role of an account that trusts these principals, perhaps with an identity policy; answers its ARN."""
        name = name or unique("role")
        principal = trusted if isinstance(trusted, dict) else {"AWS": trusted}
        trust = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": principal, "Action": list(actions)}}
        made = self.admin("role", "create", name, "--trust", "-", "--account", account, *options, stdin=json.dumps(trust))
        if policy is not None:
            document = policy if isinstance(policy, str) else json.dumps(policy)
            self.run("policy", "put", "-", "--role", name, "--name", "test", "--account", account, stdin=document)
        return made["Arn"]

    def assume(self, principal, role, session="session", **parameters):
        """A session of a role."""
        answer = self.sts(principal).assume_role(RoleArn=role, RoleSessionName=session, **parameters)
        made = answer["Credentials"]
        credentials = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
        return Principal(role.split(":")[4], None, credentials, answer["AssumedRoleUser"]["Arn"])

    # The process ---------------------------------------------------------------------------------------------------------

    def http(self, path):
        """Asks the observability listener; answers status and body."""
        try:
            with urllib.request.urlopen(f"{self.observability}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self, seconds=30):
        """Asks the server to stop, and answers its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not stop within {seconds} s: {self.log.read_text()}") from None


def run(*arguments, check=True, environment=None, stdin=None, binary=False, timeout=60):
    """Runs the command line once."""
    done = subprocess.run(
        [str(BINARY), *map(str, arguments)],
        env=CLEAN_ENVIRONMENT | (environment or {}),
        input=stdin,
        capture_output=True,
        text=not binary,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"claviger {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr}")
    return done


def start_dev(directory, port=None):
    """Starts `claviger dev`."""
    directory = pathlib.Path(directory)
    port, watch_port = port or free_port(), free_port()
    arguments = ["dev", "--data", directory, "--listen", f"127.0.0.1:{port}", "--observability", f"127.0.0.1:{watch_port}"]
    server = spawn(arguments, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{watch_port}", directory)
    server.environment = read_environment(directory / "dev.env")
    return server


def start_serve(config, endpoint, observability, data, environment=None, ca=None):
    """Starts `claviger serve` with a configuration file."""
    return spawn(["serve", "--config", config], endpoint, observability, pathlib.Path(data), environment, ca)


def spawn(arguments, endpoint, observability, data, environment=None, ca=None):
    log = data.with_name(f"{data.name}-{secrets.token_hex(3)}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(BINARY), *map(str, arguments)],
            env=CLEAN_ENVIRONMENT | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(process, endpoint, observability, data, log, dict(environment or {}), ca=ca)
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}: {log.read_text()}")
        with contextlib.suppress(OSError):
            if server.http("/readyz")[0] == 200:
                return server
        time.sleep(0.05)
    server.stop()
    raise AssertionError(f"the server did not become ready: {log.read_text()}")


def read_environment(path):
    """The variables of a `dev.env` file, as a shell would export them."""
    pairs = re.findall(r"^export ([A-Z_]+)=(.*)$", path.read_text(), re.MULTILINE)
    assert pairs, f"{path} exports nothing"
    return dict(pairs)


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unique(prefix):
    """A name that no other test uses."""
    return f"{prefix}-{secrets.token_hex(5)}"


def alias_name():
    """An alias that no other test uses."""
    return f"alias/{unique('test')}"


class refused:
    """Expects a refusal with this code, and this message: a text, a pattern that must be found, or "" for none at all."""

    def __init__(self, code, message=None):
        self.code, self.message, self.response = code, message, None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if error is None:
            raise AssertionError(f"expected {self.code} ({self.message}), but the request succeeded")
        if not isinstance(error, botocore.exceptions.ClientError):
            return False
        self.response = error.response
        got = error.response["Error"]
        assert got["Code"] == self.code, f"expected {self.code} ({self.message}), got {got}"
        if isinstance(self.message, re.Pattern):
            assert self.message.search(got["Message"]), f"expected {self.message.pattern!r}, got {got['Message']!r}"
        elif self.message is not None:
            assert got["Message"] == self.message, f"expected {self.message!r}, got {got['Message']!r}"
        return True


class refused_with_any(refused):
    """Expects one of several codes: where no source says which of them AWS takes."""

    def __init__(self, *codes):
        super().__init__(codes)

    def __exit__(self, kind, error, trace):
        if isinstance(error, botocore.exceptions.ClientError) and error.response["Error"]["Code"] in self.code:
            self.response = error.response
            return True
        return super().__exit__(kind, error, trace)


def refused_as_no_key_id():
    """Expects that an alias is refused where only key ids and key ARNs may stand."""
    return refused_with_any("NotFoundException", "InvalidArnException", "ValidationException")


def constraint(field_name, rule):
    """The text of a ValidationException for one field."""
    return re.compile(
        rf"^1 validation error detected: Value .*at '{re.escape(field_name)}' failed to satisfy constraint: .*{re.escape(rule)}", re.DOTALL
    )


def statement(effect, principals=None, actions="kms:*", resource="*", condition=None, sid=None):
    """One statement of a policy."""
    made = {"Effect": effect, "Action": actions, "Resource": resource}
    if sid:
        made["Sid"] = sid
    if principals is not None:
        made["Principal"] = principals if principals == "*" else {"AWS": principals}
    if condition:
        made["Condition"] = condition
    return made


def policy(*statements):
    """A policy document as text."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
