"""GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial, and what becomes of keys with imported material."""

import base64
import datetime
import os
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import constraint, policy, refused, statement
from imports import NEVER, begin, finish, import_material, wrap
from test_aws_cli import aws  # noqa: F401

OAEP = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
AES = ["RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"]
RSA = ["RSA_2048", "RSA_3072", "RSA_4096"]
CURVES = {
    "ECC_NIST_P256": (ec.SECP256R1, hashes.SHA256, "ECDSA_SHA_256"),
    "ECC_NIST_P384": (ec.SECP384R1, hashes.SHA384, "ECDSA_SHA_384"),
    "ECC_NIST_P521": (ec.SECP521R1, hashes.SHA512, "ECDSA_SHA_512"),
    "ECC_SECG_P256K1": (ec.SECP256K1, hashes.SHA256, "ECDSA_SHA_256"),
}
HMAC = {"HMAC_224": (28, hashes.SHA224), "HMAC_256": (32, hashes.SHA256), "HMAC_384": (48, hashes.SHA384), "HMAC_512": (64, hashes.SHA512)}


def external(kms, **settings):
    return kms.create_key(Origin="EXTERNAL", **settings)["KeyMetadata"]


def describe(kms, key_id):
    return kms.describe_key(KeyId=key_id)["KeyMetadata"]


def rotations(kms, key_id):
    return kms.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]


@pytest.fixture
def waiting(kms):
    """A key that waits for its material."""
    return external(kms)


@pytest.fixture
def parameters(kms, waiting):
    return begin(kms, waiting["KeyId"])


def now():
    return datetime.datetime.now(datetime.timezone.utc)


# The ceremony -----------------------------------------------------------------------------------------------------------------


def test_a_key_waits_for_its_material(kms, waiting):
    assert (waiting["KeyState"], waiting["Enabled"], waiting["Origin"]) == ("PendingImport", False, "EXTERNAL")
    assert not {"CurrentKeyMaterialId", "ExpirationModel", "ValidTo"} & set(waiting)
    with refused("KMSInvalidStateException", f"{waiting['Arn']} is pending import."):
        kms.encrypt(KeyId=waiting["KeyId"], Plaintext=b"x")
    for method in ("enable_key", "disable_key"):
        with refused("KMSInvalidStateException", f"{waiting['Arn']} is pending import."):
            getattr(kms, method)(KeyId=waiting["KeyId"])


def test_the_parameters(kms, waiting):
    answer = begin(kms, waiting["KeyId"], spec="RSA_3072")
    assert answer["KeyId"] == waiting["Arn"]
    assert abs((answer["ParametersValidTo"] - now()).total_seconds() - 86400) < 60
    assert serialization.load_der_public_key(answer["PublicKey"]).key_size == 3072
    again = begin(kms, waiting["KeyId"], spec="RSA_3072")
    assert again["PublicKey"] != answer["PublicKey"] and again["ImportToken"] != answer["ImportToken"]


def test_what_was_imported_is_what_is_used(kms, waiting, parameters):
    material = os.urandom(32)
    answer = finish(kms, waiting["KeyId"], parameters, material)
    assert answer["KeyId"] == waiting["Arn"]
    metadata = describe(kms, waiting["KeyId"])
    assert (metadata["KeyState"], metadata["Enabled"]) == ("Enabled", True)
    assert metadata["CurrentKeyMaterialId"] == answer["KeyMaterialId"]
    assert metadata["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE" and "ValidTo" not in metadata
    blob = kms.encrypt(KeyId=waiting["KeyId"], Plaintext=b"attack at dawn")["CiphertextBlob"]
    decrypted = kms.decrypt(CiphertextBlob=blob)
    assert (decrypted["Plaintext"], decrypted["KeyMaterialId"]) == (b"attack at dawn", answer["KeyMaterialId"])
    # The same material under another key has another id, and opens nothing of the first one's.
    other = external(kms)
    assert import_material(kms, other["KeyId"], material)["KeyMaterialId"] != answer["KeyMaterialId"]
    with refused("IncorrectKeyException"):
        kms.decrypt(KeyId=other["KeyId"], CiphertextBlob=blob)


def test_deletion_and_the_same_again(kms, waiting, parameters):
    key_id, material = waiting["KeyId"], os.urandom(32)
    imported = finish(kms, key_id, parameters, material)["KeyMaterialId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"made before", EncryptionContext={"a": "b"})["CiphertextBlob"]
    deleted = kms.delete_imported_key_material(KeyId=key_id)
    assert (deleted["KeyId"], deleted["KeyMaterialId"]) == (waiting["Arn"], imported)
    metadata = describe(kms, key_id)
    assert (metadata["KeyState"], metadata["Enabled"]) == ("PendingImport", False)
    assert not {"ExpirationModel", "ValidTo"} & set(metadata)
    with refused("KMSInvalidStateException", f"{waiting['Arn']} is pending import."):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})
    kms.delete_imported_key_material(KeyId=key_id)
    for other in (os.urandom(32), material[:-1] + bytes([material[-1] ^ 1])):
        with refused("IncorrectKeyMaterialException"):
            finish(kms, key_id, parameters, other)
    for algorithm, spec in (("RSAES_OAEP_SHA_1", "RSA_3072"), ("RSAES_OAEP_SHA_256", "RSA_2048")):
        assert import_material(kms, key_id, material, algorithm, spec)["KeyMaterialId"] == imported
        assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})["Plaintext"] == b"made before"


def test_tokens(kms, waiting, parameters, server, tenant):
    key_id, wrapped = waiting["KeyId"], wrap(parameters, "RSAES_OAEP_SHA_256", bytes(32))
    token = parameters["ImportToken"]
    attempt = lambda client, key, token, wrapped=wrapped: client.import_key_material(  # noqa: E731
        KeyId=key, ImportToken=token, EncryptedKeyMaterial=wrapped, **NEVER
    )
    for forged in (token[:-1], token + b"x", b"x", bytes([token[0] ^ 1]) + token[1:], token[:-1] + bytes([token[-1] ^ 128]), token[::-1]):
        with refused("InvalidImportTokenException"):
            attempt(kms, key_id, forged)
    with refused("InvalidImportTokenException"):
        attempt(kms, external(kms)["KeyId"], token)
    other = server.kms(tenant)
    with refused("InvalidImportTokenException"):
        attempt(other, external(other)["KeyId"], token)
    # Each public key and its token belong together; the older ones stay valid.
    newer = begin(kms, key_id)
    with refused("InvalidCiphertextException", ""):
        attempt(kms, key_id, newer["ImportToken"])
    for wrong in (b"x", wrapped[:-1], wrapped + b"x", bytes(len(wrapped)), wrapped[::-1]):
        with refused("InvalidCiphertextException", ""):
            attempt(kms, key_id, token, wrong)
    for length in (16, 31, 33):
        with refused("IncorrectKeyMaterialException"):
            attempt(kms, key_id, token, wrap(parameters, "RSAES_OAEP_SHA_256", bytes(length)))
    assert describe(kms, key_id)["KeyState"] == "PendingImport"
    attempt(kms, key_id, token)


def test_the_expiration_model(kms, waiting, parameters):
    key_id = waiting["KeyId"]
    with refused("ValidationException", "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"):
        finish(kms, key_id, parameters, bytes(32), ExpirationModel="KEY_MATERIAL_EXPIRES")
    wrapped = wrap(parameters, "RSAES_OAEP_SHA_256", bytes(32))
    with refused("ValidationException", "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"):
        kms.import_key_material(KeyId=key_id, ImportToken=parameters["ImportToken"], EncryptedKeyMaterial=wrapped)
    tomorrow = now() + datetime.timedelta(days=1)
    for wrong in (now() - datetime.timedelta(seconds=5), now() + datetime.timedelta(days=366)):
        with refused("ValidationException"):
            finish(kms, key_id, parameters, bytes(32), ValidTo=wrong)
    with refused("ValidationException"):
        finish(kms, key_id, parameters, bytes(32), ValidTo=tomorrow, **NEVER)
    finish(kms, key_id, parameters, bytes(32), ValidTo=tomorrow)
    metadata = describe(kms, key_id)
    assert metadata["ExpirationModel"] == "KEY_MATERIAL_EXPIRES"
    assert abs((metadata["ValidTo"] - tomorrow).total_seconds()) < 1
    finish(kms, key_id, parameters, bytes(32))
    assert describe(kms, key_id)["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"


def test_material_expires(kms, waiting, parameters):
    key_id = waiting["KeyId"]
    end = now() + datetime.timedelta(seconds=3)
    finish(kms, key_id, parameters, bytes(32), ValidTo=end)
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    while describe(kms, key_id)["KeyState"] == "Enabled":
        assert now() < end + datetime.timedelta(seconds=20), "it did not expire"
        time.sleep(0.1)
    assert now() >= end
    assert describe(kms, key_id)["KeyState"] == "PendingImport"
    with refused("KMSInvalidStateException", f"{waiting['Arn']} is pending import."):
        kms.decrypt(CiphertextBlob=blob)
    entry = rotations(kms, key_id)[0]
    assert (entry["ImportState"], entry["KeyMaterialState"]) == ("PENDING_IMPORT", "CURRENT")
    finish(kms, key_id, parameters, bytes(32))
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_rotation(kms, waiting, parameters):
    key_id, arn = waiting["KeyId"], waiting["Arn"]
    first = finish(kms, key_id, parameters, b"1" * 32)["KeyMaterialId"]
    old = kms.encrypt(KeyId=key_id, Plaintext=b"old")["CiphertextBlob"]
    with refused("KMSInvalidStateException", f"No available key material pending rotation for the key: {arn}."):
        kms.rotate_key_on_demand(KeyId=key_id)
    new = {"ImportType": "NEW_KEY_MATERIAL", **NEVER}
    with refused("IncorrectKeyMaterialException"):
        finish(kms, key_id, parameters, b"1" * 32, **new)
    with refused("IncorrectKeyMaterialException"):
        finish(kms, key_id, parameters, b"2" * 32)
    with refused("ValidationException"):
        finish(kms, key_id, parameters, b"2" * 32, KeyMaterialId=first, **new)
    second = finish(kms, key_id, parameters, b"2" * 32, KeyMaterialDescription="from safe 2", **new)["KeyMaterialId"]
    with refused("KMSInvalidStateException") as refusal:
        finish(kms, key_id, parameters, b"3" * 32, **new)
    message = refusal.response["Error"]["Message"]
    assert message.endswith(f"cannot be imported into KMS key {arn}, because another key material (id: {second}) is pending rotation.")
    assert kms.list_key_rotations(KeyId=key_id)["Rotations"] == []
    pending, current = rotations(kms, key_id)
    assert pending == {
        "KeyId": arn,
        "KeyMaterialId": second,
        "KeyMaterialDescription": "from safe 2",
        "ImportState": "IMPORTED",
        "KeyMaterialState": "PENDING_ROTATION",
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
    assert (current["KeyMaterialId"], current["KeyMaterialState"]) == (first, "CURRENT")
    assert describe(kms, key_id)["CurrentKeyMaterialId"] == first

    assert kms.rotate_key_on_demand(KeyId=key_id)["KeyId"] == arn
    assert describe(kms, key_id)["CurrentKeyMaterialId"] == second
    rotated = kms.list_key_rotations(KeyId=key_id)["Rotations"]
    assert [(entry["KeyMaterialId"], entry["RotationType"]) for entry in rotated] == [(second, "ON_DEMAND")]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"new")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == second
    assert kms.decrypt(CiphertextBlob=old)["KeyMaterialId"] == first

    kms.delete_imported_key_material(KeyId=key_id, KeyMaterialId=first)
    assert describe(kms, key_id)["KeyState"] == "PendingImport"
    with refused("KMSInvalidStateException"):
        kms.encrypt(KeyId=key_id, Plaintext=b"x")
    finish(kms, key_id, parameters, b"1" * 32, KeyMaterialId=first, ImportType="EXISTING_KEY_MATERIAL", **NEVER)
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"


def test_no_automatic_rotation(kms, waiting):
    for method in ("enable_key_rotation", "disable_key_rotation", "get_key_rotation_status"):
        with refused("UnsupportedOperationException", f"{waiting['Arn']} origin is EXTERNAL which is not valid for this operation."):
            getattr(kms, method)(KeyId=waiting["KeyId"])


def test_keys_of_our_own_material(kms, key_id, arn):
    message = f"{arn} origin is AWS_KMS which is not valid for this operation."
    with refused("UnsupportedOperationException", message):
        begin(kms, key_id)
    with refused("UnsupportedOperationException", message):
        kms.delete_imported_key_material(KeyId=key_id)


def test_states(kms, waiting, parameters):
    key_id, arn = waiting["KeyId"], waiting["Arn"]
    finish(kms, key_id, parameters, bytes(32))
    kms.disable_key(KeyId=key_id)
    finish(kms, key_id, parameters, bytes(32))
    assert describe(kms, key_id)["KeyState"] == "Disabled"
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        begin(kms, key_id)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        finish(kms, key_id, parameters, bytes(32))
    kms.delete_imported_key_material(KeyId=key_id)
    assert describe(kms, key_id)["KeyState"] == "PendingDeletion"
    kms.cancel_key_deletion(KeyId=key_id)
    assert describe(kms, key_id)["KeyState"] == "PendingImport"


def test_requests_are_checked(unchecked, waiting):
    key_id = waiting["KeyId"]
    with refused("ValidationException", constraint("wrappingAlgorithm", "Member must satisfy enum value set")):
        begin(unchecked, key_id, algorithm="ROT13")
    with refused("ValidationException", constraint("wrappingKeySpec", "Member must satisfy enum value set")):
        begin(unchecked, key_id, spec="RSA_1024")
    fields = {"KeyId": key_id, "ImportToken": b"x", "EncryptedKeyMaterial": b"x", **NEVER}
    for field, value, rule in (
        ("ImportToken", bytes(6145), "length less than or equal to 6144"),
        ("EncryptedKeyMaterial", bytes(6145), "length less than or equal to 6144"),
        ("ExpirationModel", "SOON", "enum value set"),
        ("ImportType", "OLD", "enum value set"),
        ("KeyMaterialDescription", "x" * 257, "length less than or equal to 256"),
        ("KeyMaterialDescription", "ü", "regular expression pattern"),
        ("KeyMaterialId", "A" * 64, "regular expression pattern"),
    ):
        with refused("ValidationException", constraint(field[0].lower() + field[1:], rule)):
            unchecked.import_key_material(**fields | {field: value})


@pytest.mark.parametrize("algorithm", ["RSAES_PKCS1_V1_5", *AES])
def test_wrapping_that_is_refused(kms, waiting, algorithm):
    with refused("UnsupportedOperationException"):
        begin(kms, waiting["KeyId"], algorithm)


def test_conditions(server, kms, tenant):
    root = server.kms(tenant)
    key_id = external(root)["KeyId"]
    in_a_week = (now() + datetime.timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ")
    custodian = server.kms(server.create_user(tenant.account, policy=policy(
        statement("Allow", actions="kms:GetParametersForImport", condition={"StringEquals": {
            "kms:WrappingAlgorithm": "RSAES_OAEP_SHA_256", "kms:WrappingKeySpec": "RSA_2048",
        }}),
        statement("Allow", actions="kms:ImportKeyMaterial", condition={
            "StringEquals": {"kms:ExpirationModel": "KEY_MATERIAL_EXPIRES"}, "DateLessThan": {"kms:ValidTo": in_a_week},
        }),
    )))
    for algorithm, spec in (("RSAES_OAEP_SHA_1", "RSA_2048"), ("RSAES_OAEP_SHA_256", "RSA_3072")):
        with refused("AccessDeniedException"):
            begin(custodian, key_id, algorithm, spec)
    parameters = begin(custodian, key_id)
    with refused("AccessDeniedException"):
        finish(custodian, key_id, parameters, bytes(32))
    with refused("AccessDeniedException"):
        finish(custodian, key_id, parameters, bytes(32), ValidTo=now() + datetime.timedelta(days=8))
    finish(custodian, key_id, parameters, bytes(32), ValidTo=now() + datetime.timedelta(days=6))
    with refused("AccessDeniedException"):
        custodian.delete_imported_key_material(KeyId=key_id)


# Every kind of material, under every kind of wrapping ---------------------------------------------------------------------------


@pytest.mark.parametrize("spec", RSA)
@pytest.mark.parametrize("algorithm", OAEP)
def test_symmetric_material(kms, algorithm, spec):
    key_id, material = external(kms)["KeyId"], os.urandom(32)
    first = import_material(kms, key_id, material, algorithm, spec)
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    kms.delete_imported_key_material(KeyId=key_id)
    assert import_material(kms, key_id, material, "RSAES_OAEP_SHA_256")["KeyMaterialId"] == first["KeyMaterialId"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# The AWS CLI ------------------------------------------------------------------------------------------------------------------


def test_the_aws_cli(aws, tmp_path):  # noqa: F811
    key = aws("kms", "create-key", "--origin", "EXTERNAL")["KeyMetadata"]
    answer = aws(
        "kms", "get-parameters-for-import", "--key-id", key["KeyId"], "--wrapping-algorithm", "RSAES_OAEP_SHA_256", "--wrapping-key-spec",
        "RSA_2048",
    )
    decoded = {name: base64.b64decode(answer[name]) for name in ("PublicKey", "ImportToken")}
    token, wrapped = tmp_path / "token", tmp_path / "wrapped"
    token.write_bytes(decoded["ImportToken"])
    wrapped.write_bytes(wrap(decoded, "RSAES_OAEP_SHA_256", bytes(range(32))))
    imported = aws(
        "kms", "import-key-material", "--key-id", key["Arn"], "--import-token", f"fileb://{token}", "--encrypted-key-material",
        f"fileb://{wrapped}", "--valid-to", (now() + datetime.timedelta(days=2)).isoformat(), "--key-material-description", "by hand",
    )
    assert imported["KeyId"] == key["Arn"]
    listed = aws("kms", "list-key-rotations", "--key-id", key["KeyId"], "--include-key-material", "ALL_KEY_MATERIAL")["Rotations"]
    assert [(entry["KeyMaterialId"], entry["KeyMaterialDescription"]) for entry in listed] == [(imported["KeyMaterialId"], "by hand")]
    deleted = aws("kms", "delete-imported-key-material", "--key-id", key["KeyId"], "--key-material-id", imported["KeyMaterialId"])
    assert deleted["KeyMaterialId"] == imported["KeyMaterialId"]
    assert aws("kms", "describe-key", "--key-id", key["KeyId"])["KeyMetadata"]["KeyState"] == "PendingImport"
