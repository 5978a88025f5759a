"""The unchanged AWS CLI, with nothing but the variables of dev.env."""

import base64
import json
import pathlib
import subprocess
import sys

import botocore
import pytest

import outside
from harness import CLEAN_ENVIRONMENT, alias_name

AWS = pathlib.Path(sys.executable).with_name("aws")


@pytest.fixture
def aws(server, tmp_path):
    """Runs the AWS CLI as a person would after `source dev.env`."""
    environment = {"PATH": CLEAN_ENVIRONMENT["PATH"], "HOME": str(tmp_path)} | server.environment

    def run(*arguments, check=True, more_environment=None):
        done = subprocess.run(
            [sys.executable, str(AWS), *arguments],
            env=environment | (more_environment or {}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
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


def fields(answer, *names):
    return [base64.b64decode(answer[name]) for name in names]


def test_signatures(aws, tmp_path):
    key = aws("kms", "create-key", "--key-spec", "ECC_NIST_P384", "--key-usage", "SIGN_VERIFY")["KeyMetadata"]["Arn"]
    message, signature = tmp_path / "message", tmp_path / "signature"
    message.write_bytes(b"signed by the CLI")
    given = ["--key-id", key, "--message", f"fileb://{message}", "--signing-algorithm", "ECDSA_SHA_384"]
    signature.write_bytes(*fields(aws("kms", "sign", *given), "Signature"))
    verified = aws("kms", "verify", *given, "--signature", f"fileb://{signature}")
    assert verified == {"KeyId": key, "SignatureValid": True, "SigningAlgorithm": "ECDSA_SHA_384"}
    public = outside.load_public(*fields(aws("kms", "get-public-key", "--key-id", key), "PublicKey"))
    assert outside.is_valid(public, "ECDSA_SHA_384", b"signed by the CLI", signature.read_bytes())
    message.write_bytes(b"signed by somebody")
    refusal = aws("kms", "verify", *given, "--signature", f"fileb://{signature}", check=False)
    assert "(KMSInvalidSignatureException)" in refusal.stderr


def test_codes(aws, tmp_path):
    key = aws("kms", "create-key", "--key-spec", "HMAC_384", "--key-usage", "GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    message, mac = tmp_path / "message", tmp_path / "mac"
    message.write_bytes(b"authenticated by the CLI")
    given = ["--key-id", key, "--message", f"fileb://{message}", "--mac-algorithm", "HMAC_SHA_384"]
    mac.write_bytes(*fields(aws("kms", "generate-mac", *given), "Mac"))
    assert aws("kms", "verify-mac", *given, "--mac", f"fileb://{mac}")["MacValid"] is True
    mac.write_bytes(b"wrong")
    assert "(KMSInvalidMacException)" in aws("kms", "verify-mac", *given, "--mac", f"fileb://{mac}", check=False).stderr


def test_shared_secrets(aws, tmp_path):
    key = aws("kms", "create-key", "--key-spec", "ECC_NIST_P256", "--key-usage", "KEY_AGREEMENT")["KeyMetadata"]["Arn"]
    peer, public = outside.GENERATORS["ECC_NIST_P256"](), tmp_path / "public"
    public.write_bytes(outside.spki(peer.public_key()))
    derived = aws("kms", "derive-shared-secret", "--key-id", key, "--key-agreement-algorithm", "ECDH", "--public-key", f"fileb://{public}")
    ours = outside.load_public(*fields(aws("kms", "get-public-key", "--key-id", key), "PublicKey"))
    assert fields(derived, "SharedSecret") == [peer.exchange(outside.ec.ECDH(), ours)]


def test_encapsulation(aws, tmp_path):
    """The newest CLI of version 1 does not know these two operations, but takes the model that boto3 has."""
    newer = {"AWS_DATA_PATH": str(pathlib.Path(botocore.__file__).parent / "data")}
    key = aws("kms", "create-key", "--key-spec", "ML_KEM_768", "--key-usage", "ENCAPSULATE_DECAPSULATE")["KeyMetadata"]["Arn"]
    given = ["--key-id", key, "--encapsulation-algorithm", "ML_KEM"]
    made, blob = aws("kms", "encapsulate", *given, more_environment=newer), tmp_path / "blob"
    blob.write_bytes(*fields(made, "SharedSecretCiphertextBlob"))
    opened = aws("kms", "decapsulate", *given, "--shared-secret-ciphertext-blob", f"fileb://{blob}", more_environment=newer)
    assert opened["SharedSecret"] == made["SharedSecret"] and len(*fields(opened, "SharedSecret")) == 32


def test_key_pairs(aws, tmp_path):
    key, blob = aws("kms", "create-key")["KeyMetadata"]["Arn"], tmp_path / "blob"
    for command in ("generate-data-key-pair", "generate-data-key-pair-without-plaintext"):
        pair = aws("kms", command, "--key-id", key, "--key-pair-spec", "ECC_NIST_P521")
        blob.write_bytes(*fields(pair, "PrivateKeyCiphertextBlob"))
        opened = fields(aws("kms", "decrypt", "--ciphertext-blob", f"fileb://{blob}"), "Plaintext")[0]
        assert outside.spki(outside.load_private(opened).public_key()) == fields(pair, "PublicKey")[0]
        assert ("PrivateKeyPlaintext" in pair) is not command.endswith("plaintext")


def test_rsa(aws, tmp_path):
    key = aws("kms", "create-key", "--key-spec", "RSA_2048", "--key-usage", "ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
    plaintext, blob = tmp_path / "plaintext", tmp_path / "blob"
    plaintext.write_bytes(b"for the holder of the private key")
    algorithm = ["--key-id", key, "--encryption-algorithm", "RSAES_OAEP_SHA_256"]
    blob.write_bytes(*fields(aws("kms", "encrypt", *algorithm, "--plaintext", f"fileb://{plaintext}"), "CiphertextBlob"))
    assert fields(aws("kms", "decrypt", *algorithm, "--ciphertext-blob", f"fileb://{blob}"), "Plaintext") == [plaintext.read_bytes()]


def test_the_clis_own_paging(aws):
    made = {aws("kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text") for _ in range(3)}
    listed = aws("kms", "list-keys", "--page-size", "50", "--query", "Keys[].KeyId", "--output", "text").split()
    assert made <= set(listed)
    assert len(listed) == len(set(listed))
