"""The other side: what somebody who has only a public key, or a key pair of their own, computes without the server.

Done with Python's `cryptography` and, where it can, with the `openssl` command, which share no code of ours.
"""

import hashlib
import subprocess

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa, utils

# Spec: what generates a key pair of it.
GENERATORS = {
    "RSA_2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA_3072": lambda: rsa.generate_private_key(65537, 3072),
    "RSA_4096": lambda: rsa.generate_private_key(65537, 4096),
    "ECC_NIST_P256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECC_NIST_P384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ECC_NIST_P521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ECC_SECG_P256K1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ECC_NIST_EDWARDS25519": ed25519.Ed25519PrivateKey.generate,
    "ML_DSA_44": mldsa.MLDSA44PrivateKey.generate,
    "ML_DSA_65": mldsa.MLDSA65PrivateKey.generate,
    "ML_DSA_87": mldsa.MLDSA87PrivateKey.generate,
    "ML_KEM_768": mlkem.MLKEM768PrivateKey.generate,
    "ML_KEM_1024": mlkem.MLKEM1024PrivateKey.generate,
}

HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def load_public(der):
    """A public key from SubjectPublicKeyInfo, which must be in DER: what is written again is what was read."""
    key = serialization.load_der_public_key(der)
    assert spki(key) == der
    return key


def load_private(der):
    """A private key from PKCS#8."""
    return serialization.load_der_private_key(der, password=None)


def spki(key):
    """A public key as SubjectPublicKeyInfo in DER."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pkcs8(key):
    """A private key as PKCS#8 in DER."""
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def kind(key):
    """The spec of a public key."""
    if isinstance(key, rsa.RSAPublicKey):
        assert key.public_numbers().e == 65537
        return f"RSA_{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {
            "secp256r1": "ECC_NIST_P256",
            "secp384r1": "ECC_NIST_P384",
            "secp521r1": "ECC_NIST_P521",
            "secp256k1": "ECC_SECG_P256K1",
        }[key.curve.name]
    return {
        "Ed25519PublicKey": "ECC_NIST_EDWARDS25519",
        "MLDSA44PublicKey": "ML_DSA_44",
        "MLDSA65PublicKey": "ML_DSA_65",
        "MLDSA87PublicKey": "ML_DSA_87",
        "MLKEM768PublicKey": "ML_KEM_768",
        "MLKEM1024PublicKey": "ML_KEM_1024",
    }[type(key).__name__]


def digest(algorithm, message):
    """The digest that goes with a signing algorithm."""
    return hashlib.new(f"sha{algorithm[-3:]}", message).digest()


def is_valid(key, algorithm, message, signature):
    """Whether this is a signature over the message."""
    try:
        _verify(key, algorithm, message, signature)
    except InvalidSignature:
        return False
    return True


def _verify(key, algorithm, message, signature):
    if algorithm == "ML_DSA_SHAKE_256" or algorithm == "ED25519_SHA_512":
        key.verify(signature, message)
    elif algorithm.startswith("ECDSA"):
        key.verify(signature, message, ec.ECDSA(HASHES[algorithm[-3:]]()))
    elif algorithm.startswith("RSASSA"):
        key.verify(signature, message, rsa_padding(algorithm), HASHES[algorithm[-3:]]())
    else:
        raise AssertionError(f"{algorithm} is not verified here")


def sign(key, algorithm, message):
    """A signature over the message."""
    if algorithm == "ML_DSA_SHAKE_256" or algorithm == "ED25519_SHA_512":
        return key.sign(message)
    if algorithm.startswith("ECDSA"):
        return key.sign(message, ec.ECDSA(HASHES[algorithm[-3:]]()))
    return key.sign(message, rsa_padding(algorithm), HASHES[algorithm[-3:]]())


def is_valid_over_digest(key, algorithm, value, signature):
    """Whether this is a signature over the message with this digest."""
    hashed = utils.Prehashed(HASHES[algorithm[-3:]]())
    try:
        if algorithm.startswith("ECDSA"):
            key.verify(signature, value, ec.ECDSA(hashed))
        else:
            key.verify(signature, value, rsa_padding(algorithm), hashed)
    except InvalidSignature:
        return False
    return True


def rsa_padding(algorithm):
    """How RSA pads with this algorithm: PSS with a salt that is exactly as long as the digest, or PKCS #1 v1.5."""
    if "PSS" not in algorithm:
        return padding.PKCS1v15()
    function = HASHES[algorithm[-3:]]()
    return padding.PSS(padding.MGF1(function), function.digest_size)


def oaep(algorithm):
    """How RSA pads when it encrypts: one hash for both uses, and an empty label."""
    function = {"RSAES_OAEP_SHA_1": hashes.SHA1, "RSAES_OAEP_SHA_256": hashes.SHA256}[algorithm]
    return padding.OAEP(padding.MGF1(function()), function(), None)


def mu(public_key, message):
    """The message representative of ML-DSA, as FIPS 204, section 6.2, defines it, computed by hand: H(H(pk, 64) ‖ 0 ‖ 0 ‖ M, 64)."""
    public = hashlib.shake_256(public_key.public_bytes_raw()).digest(64)
    value = hashlib.shake_256(public + b"\x00\x00" + message).digest(64)
    hasher = mldsa.MLDSAMuHasher(public_key)
    hasher.update(message)
    assert hasher.finalize() == value
    return value


def openssl(*arguments, stdin=None, check=True):
    """Runs the openssl command."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=60)
    if check:
        assert done.returncode == 0, done.stderr.decode()
    return done
