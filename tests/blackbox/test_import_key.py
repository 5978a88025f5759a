"""`claviger import-key`: the whole ceremony on the command line."""

import base64
import datetime
import os

import pytest

from harness import alias_name, run
from test_import import describe, external, rotations


def said(done):
    """What the command told: its lines as a dictionary."""
    return dict(line.split(None, 1) for line in done.stdout.splitlines())


@pytest.fixture
def material(tmp_path):
    path = tmp_path / "material"
    path.write_bytes(os.urandom(32))
    return path


def test_a_new_key_with_everything(server, kms, material):
    alias = alias_name()
    done = server.run("import-key", material, "--description", "of the old HSM", "--alias", alias, "--expires", "90d")
    told = said(done)
    assert told["state"] == "Enabled"
    metadata = describe(kms, alias)
    assert (metadata["Arn"], metadata["Origin"], metadata["Description"]) == (told["key"], "EXTERNAL", "of the old HSM")
    assert metadata["CurrentKeyMaterialId"] == told["material"]
    days = (metadata["ValidTo"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400
    assert abs(days - 90) < 0.01 and told["expires"].startswith(metadata["ValidTo"].strftime("%Y-%m-%d"))
    assert "safe place" in done.stderr
    blob = kms.encrypt(KeyId=alias, Plaintext=b"x")["CiphertextBlob"]
    kms.delete_imported_key_material(KeyId=metadata["KeyId"])
    # The same again, by alias, and for good.
    again = said(server.run("import-key", material, "--key", alias, "--wrapping-key-spec", "RSA_2048"))
    assert (again["key"], again["material"], again["expires"]) == (told["key"], told["material"], "never")
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


@pytest.mark.parametrize("form", ["raw", "hex", "base64"])
def test_from_standard_input(server, kms, form):
    raw = os.urandom(32)
    text = {"raw": raw, "hex": raw.hex().encode() + b"\n", "base64": base64.b64encode(raw) + b"\n"}[form]
    key = external(kms)
    done = run("import-key", "-", "--key", key["KeyId"], "--wrapping-key-spec", "RSA_2048", environment=server.environment, stdin=text, binary=True)
    assert key["Arn"].encode() in done.stdout
    # That it is the raw material: the same as bytes is the same to the key.
    again = run("import-key", "-", "--key", key["KeyId"], "--wrapping-key-spec", "RSA_2048", environment=server.environment, stdin=raw, binary=True)
    assert again.stdout == done.stdout


def test_new_material_for_a_rotation(server, kms, material, tmp_path):
    first = said(server.run("import-key", material, "--wrapping-key-spec", "RSA_2048"))
    other = tmp_path / "other"
    other.write_bytes(os.urandom(32))
    refused = server.run("import-key", other, "--key", first["key"], "--wrapping-key-spec", "RSA_2048", check=False)
    assert refused.returncode == 1 and "IncorrectKeyMaterialException" in refused.stderr
    second = server.run("import-key", other, "--key", first["key"], "--new-material", "--wrapping-key-spec", "RSA_2048")
    assert "rotate-key-on-demand" in second.stderr
    assert [entry["KeyMaterialState"] for entry in rotations(kms, first["key"])] == ["PENDING_ROTATION", "CURRENT"]


def test_errors_for_people(server, kms, key_id, material, tmp_path):
    def refusal(*arguments, code=1):
        done = server.run("import-key", *arguments, check=False)
        assert done.returncode == code, done.stderr
        return done.stderr

    count = len(kms.list_keys(Limit=1000)["Keys"])
    short = tmp_path / "short"
    short.write_bytes(b"a secret that is short")
    text = refusal(short)
    assert "32 bytes" in text and "openssl rand 32" in text and "a secret" not in text
    assert "cannot read" in refusal(tmp_path / "missing")
    assert "has origin AWS_KMS" in refusal(material, "--key", key_id)
    assert "NotFoundException" in refusal(material, "--key", "alias/there-is-none")
    assert "is no time" in refusal(material, "--expires", "soon", code=2)
    assert "cannot be used with" in refusal(material, "--key", key_id, "--spec", "HMAC_256", code=2)
    assert "--usage" in refusal(write_pem(tmp_path), "--spec", "RSA_2048", code=2)
    assert "HMAC_224" in refusal(material, "--spec", "NOPE", code=2)
    taken = alias_name()
    kms.create_alias(AliasName=taken, TargetKeyId=key_id)
    assert key_id in refusal(material, "--alias", taken)
    assert "alias/aws/" in refusal(material, "--alias", "aws/mine", code=2)
    assert "an alias name" in refusal(material, "--alias", "no spaces", code=2)
    assert "365 days" in refusal(material, "--expires", "366d", code=2)
    assert "expired already" in refusal(material, "--expires", "2020-01-31", code=2)
    assert len(kms.list_keys(Limit=1000)["Keys"]) == count, "nothing was made"
    # What goes wrong after the key was made says which key waits.
    text = refusal(write_pem(tmp_path), "--spec", "ECC_NIST_P256", "--usage", "SIGN_VERIFY", "--wrapping-key-spec", "RSA_2048")
    assert "Exception" in text and "--key " in text
    waiting = text.split("--key ")[1].split(",")[0].split()[0]
    assert describe(kms, waiting)["KeyState"] == "PendingImport"


def write_pem(tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    path = tmp_path / "key.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path
