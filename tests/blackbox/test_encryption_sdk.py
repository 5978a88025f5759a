"""The AWS Encryption SDK for Python: client-side encryption with keys that stay here."""

import secrets
import sys

import aws_encryption_sdk
import pytest
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
from aws_encryption_sdk.key_providers.kms import KMSMasterKey
from cryptography.exceptions import InvalidSignature, InvalidTag

from harness import alias_name

CONTEXT = {"department": "payroll", "purpose": "encryption sdk"}
# More than one frame, and not a whole number of them.
MESSAGE = secrets.token_bytes(10_000)

# The keyrings are a package of their own, which needs a newer Python than the rest.
needs_keyrings = pytest.mark.skipif(sys.version_info < (3, 11), reason="the AWS Encryption SDK's keyrings need Python 3.11")


@pytest.fixture
def sdk():
    return aws_encryption_sdk.EncryptionSDKClient()


def keyring(kms, key, **discovery):
    from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
    from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
    from aws_cryptographic_material_providers.mpl.models import (
        CreateAwsKmsDiscoveryKeyringInput,
        CreateAwsKmsKeyringInput,
        DiscoveryFilter,
    )

    providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    if discovery:
        accounts = DiscoveryFilter(account_ids=discovery["accounts"], partition="aws")
        return providers.create_aws_kms_discovery_keyring(CreateAwsKmsDiscoveryKeyringInput(kms_client=kms, discovery_filter=accounts))
    return providers.create_aws_kms_keyring(CreateAwsKmsKeyringInput(kms_key_id=key, kms_client=kms))


@needs_keyrings
def test_a_keyring_encrypts_and_decrypts(kms, sdk, arn):
    sealed, _ = sdk.encrypt(source=MESSAGE, keyring=keyring(kms, arn), encryption_context=CONTEXT)
    assert MESSAGE[:32] not in sealed
    opened, header = sdk.decrypt(source=sealed, keyring=keyring(kms, arn), encryption_context=CONTEXT)
    assert opened == MESSAGE
    assert CONTEXT.items() <= header.encryption_context.items()
    # The key of the message is one that the server made and opens.
    assert [key.key_provider.key_info.decode() for key in header.encrypted_data_keys] == [arn]


@needs_keyrings
def test_a_keyring_takes_an_alias_and_finds_the_key_again(kms, sdk, key):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    alias_arn = key["Arn"].rpartition(":")[0] + ":" + alias
    sealed, _ = sdk.encrypt(source=MESSAGE, keyring=keyring(kms, alias_arn), encryption_context=CONTEXT)
    # A discovery keyring takes the key from the message.
    opened, _ = sdk.decrypt(source=sealed, keyring=keyring(kms, None, accounts=[key["AWSAccountId"]]))
    assert opened == MESSAGE


@needs_keyrings
def test_a_message_stays_closed_without_its_key_its_context_and_every_byte(kms, sdk, arn, server):
    sealed, _ = sdk.encrypt(source=MESSAGE, keyring=keyring(kms, arn), encryption_context=CONTEXT)
    with pytest.raises(AWSEncryptionSDKClientError):
        sdk.decrypt(source=sealed, keyring=keyring(kms, arn), encryption_context=CONTEXT | {"department": "sales"})
    for position in (50, len(sealed) // 2, len(sealed) - 1):
        changed = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
        with pytest.raises((AWSEncryptionSDKClientError, InvalidSignature, InvalidTag)):
            sdk.decrypt(source=changed, keyring=keyring(kms, arn))
    other = kms.create_key()["KeyMetadata"]["Arn"]
    with pytest.raises(AWSEncryptionSDKClientError):
        sdk.decrypt(source=sealed, keyring=keyring(kms, other))
    kms.disable_key(KeyId=arn)
    with pytest.raises(AWSEncryptionSDKClientError):
        sdk.decrypt(source=sealed, keyring=keyring(kms, arn))
    kms.enable_key(KeyId=arn)
    assert sdk.decrypt(source=sealed, keyring=keyring(kms, arn))[0] == MESSAGE


@needs_keyrings
def test_a_message_outlives_the_rotation_of_its_key(kms, sdk, arn):
    sealed, _ = sdk.encrypt(source=MESSAGE, keyring=keyring(kms, arn), encryption_context=CONTEXT)
    kms.rotate_key_on_demand(KeyId=arn)
    assert sdk.decrypt(source=sealed, keyring=keyring(kms, arn))[0] == MESSAGE


@pytest.fixture
def data_keys(kms):
    """How many requests of each operation were made through the client."""
    counts = {"GenerateDataKey": 0, "Decrypt": 0}

    def count(model, **_):
        if model.name in counts:
            counts[model.name] += 1

    kms.meta.events.register("before-call.kms", count)
    yield counts
    kms.meta.events.unregister("before-call.kms", count)


def test_cached_data_keys_serve_many_messages(kms, sdk, arn, data_keys):
    master_key = KMSMasterKey(key_id=arn, client=kms)
    cache = aws_encryption_sdk.LocalCryptoMaterialsCache(capacity=10)
    manager = aws_encryption_sdk.CachingCryptoMaterialsManager(
        master_key_provider=master_key, cache=cache, max_age=600.0, max_messages_encrypted=5
    )
    messages = [secrets.token_bytes(size) for size in (0, 1, 100, 5000, 70, 80, 90)]
    sealed = [sdk.encrypt(source=message, materials_manager=manager, encryption_context=CONTEXT)[0] for message in messages]
    # Seven messages, five for each data key.
    assert data_keys["GenerateDataKey"] == 2
    assert [sdk.decrypt(source=each, materials_manager=manager)[0] for each in sealed] == messages
    # What the cache encrypted with it also opens, without asking.
    assert data_keys["Decrypt"] <= 2
    # Without a cache each message asks.
    assert sdk.decrypt(source=sealed[3], key_provider=master_key)[0] == messages[3]
    assert data_keys["Decrypt"] >= 1
