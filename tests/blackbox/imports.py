"""The ceremony of an import as the owner of material goes through it, with Python's cryptography in the place of their own HSM."""

import os

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import padding

NEVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


def wrap(parameters, algorithm, material):
    """Wraps material as the wrapping algorithm says."""
    public_key = serialization.load_der_public_key(parameters["PublicKey"])
    digest = hashes.SHA1() if algorithm.endswith("SHA_1") else hashes.SHA256()
    oaep = padding.OAEP(mgf=padding.MGF1(type(digest)()), algorithm=digest, label=None)
    if algorithm.startswith("RSAES_OAEP"):
        return public_key.encrypt(material, oaep)
    kek = os.urandom(32)
    return public_key.encrypt(kek, oaep) + keywrap.aes_key_wrap_with_padding(kek, material)


def begin(kms, key_id, algorithm="RSAES_OAEP_SHA_256", spec="RSA_2048"):
    """A wrapping key and its token."""
    return kms.get_parameters_for_import(KeyId=key_id, WrappingAlgorithm=algorithm, WrappingKeySpec=spec)


def finish(kms, key_id, parameters, material, algorithm="RSAES_OAEP_SHA_256", **settings):
    """Wraps material and imports it."""
    wrapped = wrap(parameters, algorithm, material)
    settings = settings or NEVER
    return kms.import_key_material(
        KeyId=key_id, ImportToken=parameters["ImportToken"], EncryptedKeyMaterial=wrapped, **settings
    )


def import_material(kms, key_id, material, algorithm="RSAES_OAEP_SHA_256", spec="RSA_2048", **settings):
    """All of it."""
    return finish(kms, key_id, begin(kms, key_id, algorithm, spec), material, algorithm, **settings)
