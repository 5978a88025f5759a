"""The table of the AWS KMS Developer Guide, "Key states of AWS KMS keys": what each operation does in each state.

Each cell is tried with a key of its own.
"""

import os

import pytest

import outside
from harness import alias_name, refused
from imports import NEVER, begin, import_material, wrap

STATES = ["Enabled", "Disabled", "PendingDeletion", "PendingImport"]

DONE = None
DISABLED = ("DisabledException", "{arn} is disabled.")
PENDING = ("KMSInvalidStateException", "{arn} is pending deletion.")
# Keys in the first three states have material of the service's own; those that wait for an import, none at all any more.
ORIGIN = ("UnsupportedOperationException", "{arn} origin is AWS_KMS which is not valid for this operation.")
PENDING_REPLICA = ("KMSInvalidStateException", "{arn} is pending replica deletion.")
IMPORT = ("KMSInvalidStateException", "{arn} is pending import.")
IMPORTED = ("UnsupportedOperationException", "{arn} origin is EXTERNAL which is not valid for this operation.")
# Keys of the kind that the operation works with have no imported material.
NEVER_THERE = ("", "")
NOT_PENDING = ("KMSInvalidStateException", "{arn} is not pending deletion.")

# Operation: what happens in each of the states.
TABLE = {
    "CancelKeyDeletion": (NOT_PENDING, NOT_PENDING, DONE, NOT_PENDING),
    "CreateAlias": (DONE, DONE, PENDING, DONE),
    "CreateGrant": (DONE, DISABLED, PENDING, IMPORT),
    "Decapsulate": (DONE, DISABLED, PENDING, NEVER_THERE),
    "Decrypt": (DONE, DISABLED, PENDING, IMPORT),
    "DeleteAlias": (DONE, DONE, DONE, DONE),
    "DeleteImportedKeyMaterial": (ORIGIN, ORIGIN, ORIGIN, DONE),
    "DeriveSharedSecret": (DONE, DISABLED, PENDING, IMPORT),
    "DescribeKey": (DONE, DONE, DONE, DONE),
    "DisableKey": (DONE, DONE, PENDING, IMPORT),
    "DisableKeyRotation": (DONE, DISABLED, PENDING, IMPORTED),
    "EnableKey": (DONE, DONE, PENDING, IMPORT),
    "EnableKeyRotation": (DONE, DISABLED, PENDING, IMPORTED),
    "Encapsulate": (DONE, DISABLED, PENDING, NEVER_THERE),
    "Encrypt": (DONE, DISABLED, PENDING, IMPORT),
    "GenerateDataKey": (DONE, DISABLED, PENDING, IMPORT),
    "GenerateDataKeyPair": (DONE, DISABLED, PENDING, IMPORT),
    "GenerateDataKeyPairWithoutPlaintext": (DONE, DISABLED, PENDING, IMPORT),
    "GenerateDataKeyWithoutPlaintext": (DONE, DISABLED, PENDING, IMPORT),
    "GenerateMac": (DONE, DISABLED, PENDING, IMPORT),
    "GetKeyLastUsage": (DONE, DONE, DONE, DONE),
    "GetKeyPolicy": (DONE, DONE, DONE, DONE),
    "GetKeyRotationStatus": (DONE, DONE, DONE, IMPORTED),
    "GetParametersForImport": (ORIGIN, ORIGIN, ORIGIN, DONE),
    "GetPublicKey": (DONE, DISABLED, PENDING, IMPORT),
    "ImportKeyMaterial": (ORIGIN, ORIGIN, ORIGIN, DONE),
    "ListAliases": (DONE, DONE, DONE, DONE),
    "ListGrants": (DONE, DONE, DONE, DONE),
    "ListKeyPolicies": (DONE, DONE, DONE, DONE),
    "ListKeyRotations": (DONE, DONE, DONE, DONE),
    "ListResourceTags": (DONE, DONE, DONE, DONE),
    "PutKeyPolicy": (DONE, DONE, DONE, DONE),
    "ReEncrypt": (DONE, DISABLED, PENDING, IMPORT),
    "ReplicateKey": (DONE, DISABLED, PENDING, IMPORT),
    "RetireGrant": (DONE, DONE, DONE, DONE),
    "RevokeGrant": (DONE, DONE, DONE, DONE),
    "RotateKeyOnDemand": (DONE, DISABLED, PENDING, IMPORT),
    "ScheduleKeyDeletion": (DONE, DONE, PENDING, DONE),
    "Sign": (DONE, DISABLED, PENDING, IMPORT),
    "TagResource": (DONE, DONE, PENDING, DONE),
    "UntagResource": (DONE, DONE, PENDING, DONE),
    "UpdateAlias": (DONE, DONE, PENDING, DONE),
    "UpdateKeyDescription": (DONE, DONE, PENDING, DONE),
    "UpdatePrimaryRegion": (DONE, DISABLED, PENDING_REPLICA, IMPORT),
    "Verify": (DONE, DISABLED, PENDING, IMPORT),
    "VerifyMac": (DONE, DISABLED, PENDING, IMPORT),
}

# Operations on multi-Region primary keys, and whether the key has a replica, whose deletion it has to wait for.
MULTI_REGION = {"ReplicateKey": False, "UpdatePrimaryRegion": True}
ELSEWHERE = "eu-west-1"

# What kind of key an operation is tried on, where it is no symmetric one.
SYMMETRIC = ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
KINDS_OF_KEY = {
    "Decapsulate": ("ML_KEM_512", "ENCAPSULATE_DECAPSULATE"),
    "DeriveSharedSecret": ("ECC_NIST_P256", "KEY_AGREEMENT"),
    "Encapsulate": ("ML_KEM_512", "ENCAPSULATE_DECAPSULATE"),
    "GenerateMac": ("HMAC_256", "GENERATE_VERIFY_MAC"),
    "GetPublicKey": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "Sign": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "Verify": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "VerifyMac": ("HMAC_256", "GENERATE_VERIFY_MAC"),
}


def made_before(kms, key_id, usage):
    """What an operation on a key of this usage may need that was made with it: a ciphertext, a signature, a code, a peer's public key."""
    message = b"made before"
    if usage == "ENCRYPT_DECRYPT":
        return kms.encrypt(KeyId=key_id, Plaintext=message)["CiphertextBlob"]
    if usage == "SIGN_VERIFY":
        return kms.sign(KeyId=key_id, Message=message, SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    if usage == "GENERATE_VERIFY_MAC":
        return kms.generate_mac(KeyId=key_id, Message=message, MacAlgorithm="HMAC_SHA_256")["Mac"]
    if usage == "KEY_AGREEMENT":
        return outside.spki(outside.GENERATORS["ECC_NIST_P256"]().public_key())
    return kms.encapsulate(KeyId=key_id, EncapsulationAlgorithm="ML_KEM")["SharedSecretCiphertextBlob"]


def uses(key_id, made):
    """The parameters of the operations on keys that are not symmetric, and of data key pairs."""
    message = {"KeyId": key_id, "Message": b"made before"}
    ml_kem = {"KeyId": key_id, "EncapsulationAlgorithm": "ML_KEM"}
    return {
        "Decapsulate": ml_kem | {"SharedSecretCiphertextBlob": made},
        "DeriveSharedSecret": {"KeyId": key_id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": made},
        "Encapsulate": ml_kem,
        "GenerateDataKeyPair": {"KeyId": key_id, "KeyPairSpec": "ECC_NIST_P256"},
        "GenerateDataKeyPairWithoutPlaintext": {"KeyId": key_id, "KeyPairSpec": "ECC_NIST_P256"},
        "GenerateMac": message | {"MacAlgorithm": "HMAC_SHA_256"},
        "GetPublicKey": {"KeyId": key_id},
        "Sign": message | {"SigningAlgorithm": "ECDSA_SHA_256"},
        "Verify": message | {"SigningAlgorithm": "ECDSA_SHA_256", "Signature": made},
        "VerifyMac": message | {"MacAlgorithm": "HMAC_SHA_256", "Mac": made},
    }


def make_key(kms, state, kind, **given):
    """A key, which has material to lose if it is to wait for an import. `bring_to` does the rest, once all is made that needs material."""
    spec, usage = kind
    origin = "EXTERNAL" if state == "PendingImport" else "AWS_KMS"
    key = kms.create_key(KeySpec=spec, KeyUsage=usage, Origin=origin, **given)["KeyMetadata"]
    if state == "PendingImport":
        pair = outside.GENERATORS.get(spec)
        material = outside.pkcs8(pair()) if pair else os.urandom(32)
        import_material(kms, key["KeyId"], material)
        return key, material
    return key, None


def an_import(kms, key_id, material):
    """The parameters of ImportKeyMaterial. Where no import is possible, the owner has nothing to give."""
    if material is None:
        return {"KeyId": key_id, "ImportToken": b"x", "EncryptedKeyMaterial": b"x"}
    parameters = begin(kms, key_id)
    wrapped = wrap(parameters, "RSAES_OAEP_SHA_256", material)
    return {"KeyId": key_id, "ImportToken": parameters["ImportToken"], "EncryptedKeyMaterial": wrapped} | NEVER


CELLS = [
    (operation, state, outcome)
    for operation, row in TABLE.items()
    for state, outcome in zip(STATES, row, strict=True)
    if outcome != NEVER_THERE
]


class Subject:
    """A key with everything that an operation may want of it."""

    def __init__(self, kms, operation, state):
        self.kms = kms
        kind = KINDS_OF_KEY.get(operation, SYMMETRIC)
        self.key, self.material = make_key(kms, state, kind, MultiRegion=operation in MULTI_REGION)
        self.id, self.arn = self.key["KeyId"], self.key["Arn"]
        self.replicated = MULTI_REGION.get(operation, False)
        if self.replicated:
            kms.replicate_key(KeyId=self.id, ReplicaRegion=ELSEWHERE)
        self.blob = made_before(kms, self.id, kind[1])
        self.alias = alias_name()
        kms.create_alias(AliasName=self.alias, TargetKeyId=self.id)
        self.root = f"arn:aws:iam::{self.key['AWSAccountId']}:root"
        self.grant = kms.create_grant(KeyId=self.id, GranteePrincipal=self.root, Operations=["DescribeKey"])["GrantId"]

    def bring_to(self, state):
        if state == "Disabled":
            self.kms.disable_key(KeyId=self.id)
        elif state == "PendingDeletion":
            self.kms.schedule_key_deletion(KeyId=self.id, PendingWindowInDays=7)
        elif state == "PendingImport":
            self.kms.delete_imported_key_material(KeyId=self.id)

    def state(self):
        state = self.kms.describe_key(KeyId=self.id)["KeyMetadata"]["KeyState"]
        return "PendingDeletion" if self.replicated and state == "PendingReplicaDeletion" else state

    def parameters(self, operation):
        return uses(self.id, self.blob) | {
            "CreateAlias": {"AliasName": f"{self.alias}-more", "TargetKeyId": self.id},
            "CreateGrant": {"KeyId": self.id, "GranteePrincipal": self.root, "Operations": ["Decrypt"]},
            "Decrypt": {"CiphertextBlob": self.blob},
            "DeleteAlias": {"AliasName": self.alias},
            "Encrypt": {"KeyId": self.id, "Plaintext": b"x"},
            "GenerateDataKey": {"KeyId": self.id, "KeySpec": "AES_256"},
            "GenerateDataKeyWithoutPlaintext": {"KeyId": self.id, "KeySpec": "AES_256"},
            "GetParametersForImport": {"KeyId": self.id, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
            "ImportKeyMaterial": an_import(self.kms, self.id, self.material) if operation == "ImportKeyMaterial" else {},
            "PutKeyPolicy": {"KeyId": self.id, "Policy": self.kms.get_key_policy(KeyId=self.id)["Policy"]},
            "ReEncrypt": {"CiphertextBlob": self.blob, "DestinationKeyId": self.id},
            "ReplicateKey": {"KeyId": self.id, "ReplicaRegion": ELSEWHERE},
            "RetireGrant": {"KeyId": self.id, "GrantId": self.grant},
            "RevokeGrant": {"KeyId": self.id, "GrantId": self.grant},
            "TagResource": {"KeyId": self.id, "Tags": [{"TagKey": "k", "TagValue": "v"}]},
            "UntagResource": {"KeyId": self.id, "TagKeys": ["k"]},
            "UpdateAlias": {"AliasName": self.alias, "TargetKeyId": self.id},
            "UpdateKeyDescription": {"KeyId": self.id, "Description": "new"},
            "UpdatePrimaryRegion": {"KeyId": self.id, "PrimaryRegion": ELSEWHERE},
        }

    def perform(self, operation):
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
        return getattr(self.kms, method)(**self.parameters(operation).get(operation, {"KeyId": self.id}))


AFTER = {
    "CancelKeyDeletion": "Disabled",
    "DisableKey": "Disabled",
    "EnableKey": "Enabled",
    "ImportKeyMaterial": "Enabled",
    "ScheduleKeyDeletion": "PendingDeletion",
}


@pytest.mark.parametrize(("operation", "state", "outcome"), CELLS, ids=[f"{cell[0]}-{cell[1]}" for cell in CELLS])
def test_cell(kms, operation, state, outcome):
    subject = Subject(kms, operation, state)
    subject.bring_to(state)
    if outcome is DONE:
        subject.perform(operation)
        assert subject.state() == AFTER.get(operation, state)
    else:
        code, message = outcome
        with refused(code, message.format(arn=subject.arn)):
            subject.perform(operation)
        assert subject.state() == state
