"""AWS's clients for JavaScript: the AWS SDK v3, and client-side encryption with the AWS Encryption SDK for Node.js."""

import base64
import json
import pathlib
import secrets
import subprocess

import aws_encryption_sdk
import pytest
from aws_encryption_sdk.key_providers.kms import KMSMasterKey

from harness import CLEAN_ENVIRONMENT, REGION, alias_name

PROGRAM = pathlib.Path(__file__).with_name("javascript") / "kms.mjs"
CONTEXT = {"language": "both", "department": "payroll"}


@pytest.fixture
def node(server):
    """Runs one task of the program as the account's root."""

    def run(task, principal=None, **parameters):
        credentials = (principal or server.root).credentials
        environment = CLEAN_ENVIRONMENT | {
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret,
        }
        arguments = ["node", str(PROGRAM), task]
        done = subprocess.run(arguments, env=environment, input=json.dumps(parameters), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_it_knows_who_it_is(node, server):
    assert node("identity") == {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:root"}


def test_the_life_of_a_key(node, kms):
    alias = alias_name()
    seen = node("lifeOfAKey", alias=alias)
    assert seen == {
        "arn": kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"],
        "created": True,
        "same": True,
        "dataKeyBytes": 32,
        "described": seen["arn"],
        "rotated": True,
    }


def test_its_paginators_see_everything_once(node, server, tenant):
    kms = server.kms(tenant)
    made = {kms.create_key()["KeyMetadata"]["Arn"] for _ in range(5)}
    names = sorted(alias_name() for _ in range(5))
    for name, arn in zip(names, made, strict=True):
        kms.create_alias(AliasName=name, TargetKeyId=arn)
    seen = node("pages", principal=tenant)
    assert (sorted(seen["keys"]), seen["aliases"]) == (sorted(made), names)


def test_a_refusal_is_the_models_exception(node, arn):
    missing = arn[:-12] + "0" * 12
    refusal = node("refusal", keyId=missing)
    assert refusal.pop("requestId")
    assert refusal == {"name": "NotFoundException", "message": f"Key '{missing}' does not exist", "status": 400, "isNotFound": True}


def test_messages_go_from_one_language_to_the_other(node, kms, arn):
    message = secrets.token_bytes(9_000)
    python = aws_encryption_sdk.EncryptionSDKClient()
    master_key = KMSMasterKey(key_id=arn, client=kms)

    sealed = base64.b64decode(node("sealMessage", generatorKeyId=arn, message=base64.b64encode(message).decode(), context=CONTEXT)["sealed"])
    opened, header = python.decrypt(source=sealed, key_provider=master_key)
    assert opened == message
    assert CONTEXT.items() <= header.encryption_context.items()

    sealed, _ = python.encrypt(source=message, key_provider=master_key, encryption_context=CONTEXT)
    back = node("openMessage", keyIds=[arn], sealed=base64.b64encode(sealed).decode())
    assert base64.b64decode(back["message"]) == message
    assert CONTEXT.items() <= back["context"].items()
