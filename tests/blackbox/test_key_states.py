"""The table of the AWS KMS Developer Guide, "Key states of AWS KMS keys": what each operation does in each state.

Each cell is tried with a key of its own.
"""

import pytest

from harness import alias_name, refused

STATES = ["Enabled", "Disabled", "PendingDeletion"]

DONE = None
DISABLED = ("DisabledException", "{arn} is disabled.")
PENDING = ("KMSInvalidStateException", "{arn} is pending deletion.")
# The keys here are made with material of the service's own; test_import.py has those that wait for their owner's.
ORIGIN = ("UnsupportedOperationException", "{arn} origin is AWS_KMS which is not valid for this operation.")
PENDING_REPLICA = ("KMSInvalidStateException", "{arn} is pending replica deletion.")
NOT_PENDING = ("KMSInvalidStateException", "{arn} is not pending deletion.")

# Operation: what happens in each of the states.
TABLE = {
    "CancelKeyDeletion": (NOT_PENDING, NOT_PENDING, DONE),
    "CreateAlias": (DONE, DONE, PENDING),
    "CreateGrant": (DONE, DISABLED, PENDING),
    "Decrypt": (DONE, DISABLED, PENDING),
    "DeleteAlias": (DONE, DONE, DONE),
    "DeleteImportedKeyMaterial": (ORIGIN, ORIGIN, ORIGIN),
    "DescribeKey": (DONE, DONE, DONE),
    "DisableKey": (DONE, DONE, PENDING),
    "DisableKeyRotation": (DONE, DISABLED, PENDING),
    "EnableKey": (DONE, DONE, PENDING),
    "EnableKeyRotation": (DONE, DISABLED, PENDING),
    "Encrypt": (DONE, DISABLED, PENDING),
    "GenerateDataKey": (DONE, DISABLED, PENDING),
    "GenerateDataKeyWithoutPlaintext": (DONE, DISABLED, PENDING),
    "GetKeyLastUsage": (DONE, DONE, DONE),
    "GetKeyPolicy": (DONE, DONE, DONE),
    "GetKeyRotationStatus": (DONE, DONE, DONE),
    "GetParametersForImport": (ORIGIN, ORIGIN, ORIGIN),
    "ImportKeyMaterial": (ORIGIN, ORIGIN, ORIGIN),
    "ListAliases": (DONE, DONE, DONE),
    "ListGrants": (DONE, DONE, DONE),
    "ListKeyPolicies": (DONE, DONE, DONE),
    "ListKeyRotations": (DONE, DONE, DONE),
    "ListResourceTags": (DONE, DONE, DONE),
    "PutKeyPolicy": (DONE, DONE, DONE),
    "ReEncrypt": (DONE, DISABLED, PENDING),
    "ReplicateKey": (DONE, DISABLED, PENDING),
    "RetireGrant": (DONE, DONE, DONE),
    "RevokeGrant": (DONE, DONE, DONE),
    "RotateKeyOnDemand": (DONE, DISABLED, PENDING),
    "ScheduleKeyDeletion": (DONE, DONE, PENDING),
    "TagResource": (DONE, DONE, PENDING),
    "UntagResource": (DONE, DONE, PENDING),
    "UpdateAlias": (DONE, DONE, PENDING),
    "UpdateKeyDescription": (DONE, DONE, PENDING),
    "UpdatePrimaryRegion": (DONE, DISABLED, PENDING_REPLICA),
}

# Operations on multi-Region primary keys, and whether the key has a replica, whose deletion it has to wait for.
MULTI_REGION = {"ReplicateKey": False, "UpdatePrimaryRegion": True}
ELSEWHERE = "eu-west-1"

CELLS = [(operation, state, outcome) for operation, row in TABLE.items() for state, outcome in zip(STATES, row, strict=True)]


class Subject:
    """A key with everything that an operation may want of it."""

    def __init__(self, kms, operation):
        self.kms = kms
        self.key = kms.create_key(MultiRegion=operation in MULTI_REGION)["KeyMetadata"]
        self.id, self.arn = self.key["KeyId"], self.key["Arn"]
        self.replicated = MULTI_REGION.get(operation, False)
        if self.replicated:
            kms.replicate_key(KeyId=self.id, ReplicaRegion=ELSEWHERE)
        self.blob = kms.encrypt(KeyId=self.id, Plaintext=b"made before")["CiphertextBlob"]
        self.alias = alias_name()
        kms.create_alias(AliasName=self.alias, TargetKeyId=self.id)
        self.root = f"arn:aws:iam::{self.key['AWSAccountId']}:root"
        self.grant = kms.create_grant(KeyId=self.id, GranteePrincipal=self.root, Operations=["Encrypt"])["GrantId"]

    def bring_to(self, state):
        if state == "Disabled":
            self.kms.disable_key(KeyId=self.id)
        elif state == "PendingDeletion":
            self.kms.schedule_key_deletion(KeyId=self.id, PendingWindowInDays=7)

    def state(self):
        state = self.kms.describe_key(KeyId=self.id)["KeyMetadata"]["KeyState"]
        return "PendingDeletion" if self.replicated and state == "PendingReplicaDeletion" else state

    def parameters(self, operation):
        return {
            "CreateAlias": {"AliasName": f"{self.alias}-more", "TargetKeyId": self.id},
            "CreateGrant": {"KeyId": self.id, "GranteePrincipal": self.root, "Operations": ["Decrypt"]},
            "Decrypt": {"CiphertextBlob": self.blob},
            "DeleteAlias": {"AliasName": self.alias},
            "Encrypt": {"KeyId": self.id, "Plaintext": b"x"},
            "GenerateDataKey": {"KeyId": self.id, "KeySpec": "AES_256"},
            "GenerateDataKeyWithoutPlaintext": {"KeyId": self.id, "KeySpec": "AES_256"},
            "GetParametersForImport": {"KeyId": self.id, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
            "ImportKeyMaterial": {"KeyId": self.id, "ImportToken": b"x", "EncryptedKeyMaterial": b"x"},
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
        }.get(operation, {"KeyId": self.id})

    def perform(self, operation):
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
        return getattr(self.kms, method)(**self.parameters(operation))


AFTER = {
    "CancelKeyDeletion": "Disabled",
    "DisableKey": "Disabled",
    "EnableKey": "Enabled",
    "ScheduleKeyDeletion": "PendingDeletion",
}


@pytest.mark.parametrize(("operation", "state", "outcome"), CELLS, ids=[f"{cell[0]}-{cell[1]}" for cell in CELLS])
def test_cell(kms, operation, state, outcome):
    subject = Subject(kms, operation)
    subject.bring_to(state)
    if outcome is DONE:
        subject.perform(operation)
        assert subject.state() == AFTER.get(operation, state)
    else:
        code, message = outcome
        with refused(code, message.format(arn=subject.arn)):
            subject.perform(operation)
        assert subject.state() == state
