"""The unchanged AWS CLI, with nothing but the variables of dev.env."""

import base64
import json
import pathlib
import subprocess
import sys

import pytest

from harness import CLEAN_ENVIRONMENT, alias_name

AWS = pathlib.Path(sys.executable).with_name("aws")


@pytest.fixture
def aws(server, tmp_path):
    """Runs the AWS CLI as a person would after `source dev.env`."""
    environment = {"PATH": CLEAN_ENVIRONMENT["PATH"], "HOME": str(tmp_path)} | server.environment

    def run(*arguments, check=True):
        done = subprocess.run(
            [sys.executable, str(AWS), *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        if check:
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout) if done.stdout.strip().startswith("{") else done.stdout.strip()
        return done

    return run


def test_dev_env_is_what_a_shell_can_read(server):
    printed = subprocess.run(
        ["sh", "-c", '. "$1" && env', "sh", str(server.data / "dev.env")], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    ).stdout
    for name in ("AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_STS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        assert f"{name}={server.environment[name]}\n" in printed


def test_who_am_i(aws):
    answer = aws("sts", "get-caller-identity")
    assert answer == {"UserId": "123456789012", "Account": "123456789012", "Arn": "arn:aws:iam::123456789012:root"}


def test_the_first_minute(aws, server):
    """The lines that `claviger dev` prints."""
    key = aws("kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text")
    hello = base64.b64encode(b"hello").decode()
    blob = aws("kms", "encrypt", "--key-id", key, "--plaintext", hello, "--query", "CiphertextBlob", "--output", "text")
    assert base64.b64decode(blob)
    assert "aws kms create-key --query KeyMetadata.KeyId --output text" in server.log.read_text()
    assert f"source {server.data / 'dev.env'}" in server.log.read_text()


def test_a_file_there_and_back(aws, tmp_path):
    plaintext, blob = tmp_path / "plaintext", tmp_path / "blob"
    plaintext.write_bytes(bytes(range(256)) * 3)
    key = aws("kms", "create-key", "--description", "from the CLI", "--tags", "TagKey=a,TagValue=b")["KeyMetadata"]
    context = ["--encryption-context", "purpose=test,team=a"]
    encrypted = aws("kms", "encrypt", "--key-id", key["Arn"], "--plaintext", f"fileb://{plaintext}", *context)
    blob.write_bytes(base64.b64decode(encrypted["CiphertextBlob"]))
    decrypted = aws("kms", "decrypt", "--ciphertext-blob", f"fileb://{blob}", *context)
    assert base64.b64decode(decrypted["Plaintext"]) == plaintext.read_bytes()
    assert decrypted["KeyId"] == key["Arn"]
    refusal = aws("kms", "decrypt", "--ciphertext-blob", f"fileb://{blob}", check=False)
    assert refusal.returncode != 0 and "(InvalidCiphertextException)" in refusal.stderr


def test_a_keys_life(aws):
    key, alias = aws("kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text"), alias_name()
    aws("kms", "create-alias", "--alias-name", alias, "--target-key-id", key)
    aws("kms", "enable-key-rotation", "--key-id", key, "--rotation-period-in-days", "90")
    aws("kms", "rotate-key-on-demand", "--key-id", key)
    data_key = aws("kms", "generate-data-key", "--key-id", alias, "--key-spec", "AES_256")
    assert len(base64.b64decode(data_key["Plaintext"])) == 32
    assert len(aws("kms", "list-key-rotations", "--key-id", key)["Rotations"]) == 1
    assert aws("kms", "list-aliases", "--key-id", key)["Aliases"][0]["AliasName"] == alias
    assert json.loads(aws("kms", "get-key-policy", "--key-id", key)["Policy"])["Id"] == "key-default-1"
    assert aws("kms", "schedule-key-deletion", "--key-id", key, "--pending-window-in-days", "7")["KeyState"] == "PendingDeletion"
    refusal = aws("kms", "generate-data-key", "--key-id", alias, "--key-spec", "AES_256", check=False)
    assert "(KMSInvalidStateException)" in refusal.stderr and "is pending deletion." in refusal.stderr


def test_the_clis_own_paging(aws):
    made = {aws("kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text") for _ in range(3)}
    listed = aws("kms", "list-keys", "--page-size", "50", "--query", "Keys[].KeyId", "--output", "text").split()
    assert made <= set(listed)
    assert len(listed) == len(set(listed))
