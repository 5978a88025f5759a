"""Tink's client for AWS KMS: an AEAD whose key is here, and envelope encryption under it."""

import pytest
import tink
from tink import aead
from tink.integration import awskms

from harness import alias_name

aead.register()


def primitive(kms, name):
    """Tink's AEAD for a key that has this ARN."""
    uri = f"aws-kms://{name}"
    return awskms.new_client(boto3_client=kms, key_uri=uri).get_aead(uri)


def test_the_remote_key_encrypts_with_associated_data(kms, arn):
    remote = primitive(kms, arn)
    sealed = remote.encrypt(b"attack at dawn", b"associated")
    assert remote.decrypt(sealed, b"associated") == b"attack at dawn"
    # Tink writes associated data into the encryption context as hex.
    opened = kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"associatedData": b"associated".hex()})
    assert opened["Plaintext"] == b"attack at dawn"
    for associated in (b"", b"other"):
        with pytest.raises(tink.TinkError):
            remote.decrypt(sealed, associated)
    with pytest.raises(tink.TinkError):
        remote.decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1]), b"associated")


def test_what_another_key_encrypted_does_not_open(kms, arn):
    other = kms.create_key()["KeyMetadata"]["Arn"]
    sealed = primitive(kms, other).encrypt(b"attack at dawn", b"")
    with pytest.raises(tink.TinkError):
        primitive(kms, arn).decrypt(sealed, b"")


def test_envelope_encryption_of_more_than_a_request_may_hold(kms, arn):
    envelope = aead.KmsEnvelopeAead(aead.aead_key_templates.AES256_GCM, primitive(kms, arn))
    message = bytes(range(256)) * 400
    sealed = envelope.encrypt(message, b"file name")
    assert envelope.decrypt(sealed, b"file name") == message
    kms.rotate_key_on_demand(KeyId=arn)
    assert envelope.decrypt(sealed, b"file name") == message
    with pytest.raises(tink.TinkError):
        envelope.decrypt(sealed, b"other name")


def test_a_keyset_at_rest_under_a_key_by_its_alias(kms, key):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    remote = primitive(kms, key["Arn"].rpartition(":")[0] + ":" + alias)
    keyset = tink.new_keyset_handle(aead.aead_key_templates.AES128_GCM)
    sealed = keyset.primitive(aead.Aead).encrypt(b"local", b"")
    written = tink.proto_keyset_format.serialize_encrypted(keyset, remote, b"keyset")
    read = tink.proto_keyset_format.parse_encrypted(written, remote, b"keyset")
    assert read.primitive(aead.Aead).decrypt(sealed, b"") == b"local"
