"""Quotas and rates: settings of `claviger serve`, seen from outside."""

import json
import re
import time

import pytest

import wire
from harness import Credentials, Principal, alias_name, free_port, refused, run, start_serve

THROTTLED = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
BUSY = "123456789013"

SETTINGS = f"""
[quotas]
keys = 4
aliases_per_key = 2
users = 2
[quotas.accounts.{BUSY}]
keys = 100000
rates = "aws"
requests_per_second = {{ ListKeys = 0.01, DescribeKey = 0.01, cryptographic_symmetric = 0.01, cryptographic_rsa = 0.01 }}
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A server with small quotas; its account root, and the root of an account with rates."""
    directory = tmp_path_factory.mktemp("quotas")
    port, watch_port = free_port(), free_port()
    config = directory / "claviger.toml"
    config.write_text(
        f'node = "node-1"\ndata = "data"\nregions = "any"\nlisten = ["127.0.0.1:{port}"]\n'
        f'[seal.development_file]\npath = "seal"\n[observability]\nlisten = "127.0.0.1:{watch_port}"\n{SETTINGS}'
    )
    printed = run("init", "--config", config).stdout
    server = start_serve(config, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{watch_port}", directory / "data")
    server.environment |= dict(re.findall(r"^([A-Z_]+)=(.+)$", printed, re.MULTILINE))
    server.environment |= {"CLAVIGER_ENDPOINT": server.endpoint, "AWS_REGION": "us-east-1"}
    yield server, config
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture
def busy(limited):
    """The root of the account with rates."""
    server, _ = limited
    if not hasattr(server, "busy"):
        made = server.admin("account", "create", "busy", "--id", BUSY)
        server.busy = Principal(BUSY, None, Credentials(made["RootAccessKeyId"], made["RootSecretAccessKey"]))
    return server.busy


def test_keys_aliases_and_users(limited):
    server, _ = limited
    root = server.create_account()
    kms = server.kms(root)
    keys = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(4)]
    with refused("LimitExceededException", "Key quota for this account in this region is 4, current usage is 4."):
        kms.create_key()
    server.kms(root, region="eu-west-1").create_key()
    kms.create_alias(AliasName=alias_name(), TargetKeyId=keys[0])
    kms.create_alias(AliasName=alias_name(), TargetKeyId=keys[0])
    with refused("LimitExceededException", "Aliases per key quota for this account in this region is 2, current usage is 2."):
        kms.create_alias(AliasName=alias_name(), TargetKeyId=keys[0])
    for _ in range(2):
        server.create_user(root.account)
    refusal = server.run("user", "create", "third", "--account", root.account, check=False)
    assert refusal.returncode == 1 and "Cannot exceed quota for UsersPerAccount: 2" in refusal.stderr


def test_a_throttled_client_gets_awss_error(limited, busy):
    server, config = limited
    # boto3's standard retries would wait: the harness' clients try once.
    kms = server.kms(busy, region="x-boto-1")
    kms.list_keys()
    with refused("ThrottlingException", THROTTLED) as refusal:
        kms.list_keys()
    metadata = refusal.response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 400
    reply = wire.send(server, wire.sign(server, wire.request("ListKeys"), busy, region="x-boto-1"))
    assert reply.body == b'{"__type":"ThrottlingException","message":"' + THROTTLED.encode() + b'"}'
    # Others are not held up: other operations, Regions and accounts.
    kms.list_aliases()
    server.kms(busy, region="x-boto-2").list_keys()
    for _ in range(3):
        server.kms(server.create_account()).list_keys()
    # It is counted, and in the log.
    metrics = server.http("/metrics")[1]
    assert re.search(r'^claviger_throttled_total\{quota="ListKeys"\} [1-9]', metrics, re.MULTILINE), metrics
    assert re.search(r'claviger_requests_total\{[^}]*operation="ListKeys",outcome="ThrottlingException"\} [1-9]', metrics)
    lines = run("audit", "tail", "--config", config, "--json", "-n", "1000").stdout.splitlines()
    found = [entry for entry in map(json.loads, lines) if entry.get("requestID") == metadata["RequestId"]]
    assert [entry["errorCode"] for entry in found] == ["ThrottlingException"]
    assert "requestParameters" not in found[0]


def test_a_client_that_waits_is_served(limited, busy):
    server, _ = limited
    # AWS's 5 a second.
    kms = server.kms(busy, region="x-wait-1")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    codes = []
    for _ in range(12):
        try:
            kms.disable_key(KeyId=key)
            codes.append("ok")
        except kms.exceptions.ClientError as error:
            codes.append(error.response["Error"]["Code"])
    assert codes[:5] == ["ok"] * 5 and "ThrottlingException" in codes, codes
    time.sleep(1.1)
    kms.disable_key(KeyId=key)


def test_bodies_that_cannot_be_read_count_as_well(limited, busy):
    server, _ = limited

    def ask(body):
        return wire.send(server, wire.sign(server, wire.request("DescribeKey", body), busy, region="x-bodies-1")).error

    assert ask(b"{") == "SerializationException"
    assert ask(b"{") == "ThrottlingException"
    assert ask({}) == "ThrottlingException"


def test_what_nobody_signed_counts_for_nobody(limited, busy):
    server, _ = limited
    stranger = Principal(BUSY, None, Credentials(busy.credentials.access_key, "not the secret"))
    request = {"KeyId": "alias/nothing"}
    for _ in range(3):
        signed = wire.sign(server, wire.request("DescribeKey", request), stranger, region="x-unsigned-1")
        assert wire.send(server, signed).error == "InvalidSignatureException"
    assert wire.send(server, wire.sign(server, wire.request("DescribeKey", request), busy, region="x-unsigned-1")).error == "NotFoundException"
