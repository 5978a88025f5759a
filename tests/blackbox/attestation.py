"""Attestation documents as the Nitro hypervisor makes them, under a root of the tests' own, and the reader of what is answered to them.

Written from AWS's documents ("Verifying the root of trust", "Validate a NitroTPM Attestation Document") with the `cryptography` package; knows
nothing of the server.
"""

import datetime
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


# CBOR (RFC 8949), as much as is needed --------------------------------------------------------------------------------------------


def head(major, argument):
    if argument < 24:
        return bytes([major << 5 | argument])
    for info, length in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * length:
            return bytes([major << 5 | info]) + argument.to_bytes(length, "big")
    raise ValueError(argument)


def cbor(value):
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(key) + cbor(item) for key, item in value.items())


# Certificates ---------------------------------------------------------------------------------------------------------------------


class Certified:
    """A certificate with its key."""

    def __init__(self, name, issuer=None, authority=None, begin=-DAY, end=DAY, curve=None):
        self.key = ec.generate_private_key(curve or ec.SECP384R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = issuer or self
        now = datetime.datetime.now(datetime.timezone.utc)
        is_authority = authority is not None
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only", "decipher_only"), False
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begin)
            .not_valid_after(now + end)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=authority), critical=True)
            .add_extension(x509.KeyUsage(digital_signature=not is_authority, key_cert_sign=is_authority, **usage), critical=True)
            .sign(issuer.key, hashes.SHA384())
        )
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, message):
        """ES384: r and s, 48 bytes each."""
        r, s = utils.decode_dss_signature(self.key.sign(message, ec.ECDSA(hashes.SHA384())))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")


class Pki:
    """Root, region, zone and the instance that signs."""

    def __init__(self):
        self.root = Certified("tests.nitro-enclaves", authority=3)
        self.region = Certified("region.tests.nitro-enclaves", self.root, authority=1)
        self.zone = Certified("zone.tests.nitro-enclaves", self.region, authority=0)
        self.instance = Certified("i-1234567890abcdef0", self.zone)
        self.cabundle = [self.root.der, self.region.der, self.zone.der]

    def members(self, key, /, **changes):
        """What a document of an enclave says."""
        members = {
            "module_id": "i-1234567890abcdef0-enc1234567890abcdef",
            "digest": "SHA384",
            "timestamp": int(time.time() * 1000),
            "pcrs": {index: bytes([index]) * 48 for index in range(16)},
            "certificate": self.instance.der,
            "cabundle": self.cabundle,
            "public_key": key,
            "user_data": None,
            "nonce": None,
        }
        return {name: value for name, value in (members | changes).items() if value != "absent"}

    def attest(self, key, /, signer=None, **changes):
        """A signed document."""
        return sign(cbor(self.members(key, **changes)), signer or self.instance)


def sign(payload, signer):
    """A COSE_Sign1 message (RFC 9052) without its tag."""
    protected = cbor({1: -35})
    signature = signer.sign(cbor(["Signature1", protected, b"", payload]))
    return cbor([protected, {}, payload, signature])


# The enclave's side ---------------------------------------------------------------------------------------------------------------


class Enclave:
    """The key pair that an enclave makes for itself."""

    def __init__(self, bits=2048):
        self.key = rsa.generate_private_key(65537, bits)

    @property
    def public(self):
        return self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def open(self, cms):
        """Opens `CiphertextForRecipient`: CMS EnvelopedData (RFC 5652, section 6), BER."""
        oaep = rsa_padding.OAEP(rsa_padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        [(_, (content_type, (_, (enveloped,))))] = [ber(cms)[0]]
        assert content_type == (0x06, bytes.fromhex("2a864886f70d010703"))
        _, (version, (_, recipients), (_, content)) = enveloped
        assert version == (0x02, b"\x02") and len(recipients) == 1
        _, (version, _, (_, algorithm), (_, encrypted_key)) = recipients[0]
        assert version == (0x02, b"\x02") and algorithm[0] == (0x06, bytes.fromhex("2a864886f70d010107"))
        content_type, (_, cipher), (_, parts) = content
        assert content_type == (0x06, bytes.fromhex("2a864886f70d010701"))
        assert cipher[0] == (0x06, bytes.fromhex("60864801650304012a")), "AES-256-CBC"
        key, iv = self.key.decrypt(encrypted_key, oaep), cipher[1][1]
        decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
        padded = decryptor.update(b"".join(part for _, part in parts)) + decryptor.finalize()
        unpadder = padding.PKCS7(128).unpadder()
        return unpadder.update(padded) + unpadder.finalize()


def ber(data):
    """Elements as (tag, content), where the content of constructed ones is such a list itself."""
    elements, rest = read_elements(data, indefinite=False)
    assert not rest
    return elements


def read_elements(data, indefinite):
    elements = []
    while data:
        if indefinite and data[:2] == b"\x00\x00":
            return elements, data[2:]
        tag, length, data = data[0], data[1], data[2:]
        if length == 0x80:
            content, data = read_elements(data, indefinite=True)
        else:
            if length > 0x80:
                size = length - 0x80
                length, data = int.from_bytes(data[:size], "big"), data[size:]
            content, data = data[:length], data[length:]
            if tag & 0x20:
                content, _ = read_elements(content, indefinite=False)
        elements.append((tag, content))
    assert not indefinite, "the end is missing"
    return elements, b""
