"""Operations of AWS KMS that are not offered yet say so, and all others do not exist."""

import pytest

import wire
from wire import SERVICE_MODEL

# Issue "1/4 The keeper stands".
OFFERED = {
    "CancelKeyDeletion",
    "ConnectCustomKeyStore",
    "CreateAlias",
    "CreateCustomKeyStore",
    "CreateGrant",
    "CreateKey",
    "Decapsulate",
    "Decrypt",
    "DeleteAlias",
    "DeleteCustomKeyStore",
    "DeleteImportedKeyMaterial",
    "DeriveSharedSecret",
    "DescribeCustomKeyStores",
    "DescribeKey",
    "DisableKey",
    "DisableKeyRotation",
    "DisconnectCustomKeyStore",
    "EnableKey",
    "EnableKeyRotation",
    "Encapsulate",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GenerateRandom",
    "GetKeyLastUsage",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "GetParametersForImport",
    "GetPublicKey",
    "ImportKeyMaterial",
    "ListAliases",
    "ListGrants",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListKeys",
    "ListResourceTags",
    "ListRetirableGrants",
    "PutKeyPolicy",
    "ReEncrypt",
    "ReplicateKey",
    "RetireGrant",
    "RevokeGrant",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "Sign",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateCustomKeyStore",
    "UpdateKeyDescription",
    "UpdatePrimaryRegion",
    "Verify",
    "VerifyMac",
}


@pytest.mark.parametrize("operation", sorted(set(SERVICE_MODEL.operation_names) - OFFERED))
def test_not_offered(server, operation):
    reply = wire.call(server, operation)
    assert (reply.status, reply.error) == (400, "UnsupportedOperationException")


@pytest.mark.parametrize("operation", sorted(OFFERED))
def test_offered(server, operation):
    # Whatever is missing in an empty request, it is not the operation.
    reply = wire.call(server, operation)
    assert reply.status == 200 or reply.error == "ValidationException", reply.body


@pytest.mark.parametrize("operation", ["", "Nothing", "encrypt", "ENCRYPT", "EncryptX", "Encrypt.Encrypt", "x" * 300])
def test_unknown(server, operation):
    reply = wire.call(server, operation)
    assert (reply.status, reply.error) == (400, "UnknownOperationException")


def test_unknown_targets(server):
    for headers in ({}, {"X-Amz-Target": "Encrypt"}, {"X-Amz-Target": "OtherService.Encrypt"}, {"X-Amz-Target": "trentservice.Encrypt"}):
        request = wire.request("", target=False, headers=headers)
        reply = wire.send(server, wire.sign(server, request))
        assert (reply.status, reply.error) == (400, "UnknownOperationException")
