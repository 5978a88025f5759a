"""Sign, Verify and GetPublicKey, each signature checked outside the server as well."""

import hashlib
import os

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding

import outside
from harness import REGION, alias_name, constraint, refused

ACCOUNT = "123456789012"
MISSING = "00000000-0000-4000-8000-000000000000"
RSA_ALGORITHMS = [f"RSASSA_{padding}_SHA_{bits}" for padding in ("PKCS1_V1_5", "PSS") for bits in (256, 384, 512)]
ALGORITHMS = {
    "RSA_2048": RSA_ALGORITHMS,
    "RSA_3072": RSA_ALGORITHMS,
    "RSA_4096": RSA_ALGORITHMS,
    "ECC_NIST_P256": ["ECDSA_SHA_256"],
    "ECC_NIST_P384": ["ECDSA_SHA_384"],
    "ECC_NIST_P521": ["ECDSA_SHA_512"],
    "ECC_SECG_P256K1": ["ECDSA_SHA_256"],
    "ECC_NIST_EDWARDS25519": ["ED25519_SHA_512", "ED25519_PH_SHA_512"],
    "ML_DSA_44": ["ML_DSA_SHAKE_256"],
    "ML_DSA_65": ["ML_DSA_SHAKE_256"],
    "ML_DSA_87": ["ML_DSA_SHAKE_256"],
}
# What the outside can check over a whole message.
PAIRS = [(spec, algorithm) for spec, all_of in ALGORITHMS.items() for algorithm in all_of if algorithm != "ED25519_PH_SHA_512"]
WITH_DIGESTS = [(spec, algorithm) for spec, algorithm in PAIRS if algorithm.startswith(("RSASSA", "ECDSA"))]
SIGNATURE_BYTES = {"RSA_2048": 256, "RSA_3072": 384, "RSA_4096": 512, "ECC_NIST_EDWARDS25519": 64, "ML_DSA_44": 2420, "ML_DSA_65": 3309, "ML_DSA_87": 4627}
MESSAGE = b"what is signed"


@pytest.fixture(scope="module")
def keys(kms):
    """A signing key of each spec."""
    return {spec: kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"] for spec in ALGORITHMS}


@pytest.fixture(scope="module")
def public(kms, keys):
    """The public key of each."""
    return {spec: outside.load_public(kms.get_public_key(KeyId=key["KeyId"])["PublicKey"]) for spec, key in keys.items()}


def test_metadata(kms, keys):
    for spec, key in keys.items():
        assert (key["KeySpec"], key["CustomerMasterKeySpec"], key["KeyUsage"], key["KeyState"]) == (spec, spec, "SIGN_VERIFY", "Enabled")
        assert key["SigningAlgorithms"] == ALGORITHMS[spec]
        assert not {"EncryptionAlgorithms", "MacAlgorithms", "KeyAgreementAlgorithms", "EncapsulationAlgorithms", "CurrentKeyMaterialId"} & set(key)
        assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key


def test_public_keys_are_of_their_spec(kms, keys, public):
    for spec, key in keys.items():
        answer = kms.get_public_key(KeyId=key["KeyId"])
        answer.pop("ResponseMetadata")
        assert outside.spki(public[spec]) == answer.pop("PublicKey")
        assert answer == {
            "KeyId": key["Arn"],
            "KeySpec": spec,
            "CustomerMasterKeySpec": spec,
            "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": ALGORITHMS[spec],
        }
        assert outside.kind(public[spec]) == spec
    assert len({outside.spki(key) for key in public.values()}) == len(public)


@pytest.mark.parametrize(("spec", "algorithm"), PAIRS)
@pytest.mark.parametrize("size", [1, 4096])
def test_signed_inside_valid_outside(kms, keys, public, spec, algorithm, size):
    key, message = keys[spec], os.urandom(size)
    answer = kms.sign(KeyId=key["KeyId"], Message=message, SigningAlgorithm=algorithm)
    assert (answer["KeyId"], answer["SigningAlgorithm"]) == (key["Arn"], algorithm)
    signature = answer["Signature"]
    assert len(signature) == SIGNATURE_BYTES.get(spec, len(signature))
    assert outside.is_valid(public[spec], algorithm, message, signature)
    assert not outside.is_valid(public[spec], algorithm, message + b"x", signature)
    verified = kms.verify(KeyId=key["KeyId"], Message=message, Signature=signature, SigningAlgorithm=algorithm, MessageType="RAW")
    verified.pop("ResponseMetadata")
    assert verified == {"KeyId": key["Arn"], "SignatureValid": True, "SigningAlgorithm": algorithm}


@pytest.mark.parametrize(("spec", "algorithm"), WITH_DIGESTS)
def test_a_message_and_its_digest_are_the_same(kms, keys, public, spec, algorithm):
    key, value = keys[spec]["KeyId"], outside.digest(algorithm, MESSAGE)
    of_digest = kms.sign(KeyId=key, Message=value, MessageType="DIGEST", SigningAlgorithm=algorithm)["Signature"]
    of_message = kms.sign(KeyId=key, Message=MESSAGE, MessageType="RAW", SigningAlgorithm=algorithm)["Signature"]
    for signature in (of_digest, of_message):
        assert outside.is_valid(public[spec], algorithm, MESSAGE, signature)
        assert outside.is_valid_over_digest(public[spec], algorithm, value, signature)
        assert kms.verify(KeyId=key, Message=MESSAGE, Signature=signature, SigningAlgorithm=algorithm)["SignatureValid"]
        assert kms.verify(KeyId=key, Message=value, MessageType="DIGEST", Signature=signature, SigningAlgorithm=algorithm)["SignatureValid"]
        # A digest that is said to be a message is hashed once more.
        with refused("KMSInvalidSignatureException", ""):
            kms.verify(KeyId=key, Message=value, MessageType="RAW", Signature=signature, SigningAlgorithm=algorithm)
    deterministic = "PKCS1" in algorithm
    assert (of_digest == of_message) is deterministic


@pytest.mark.parametrize("spec", ["ML_DSA_44", "ML_DSA_65", "ML_DSA_87"])
def test_external_mu(kms, keys, public, spec):
    key, value = keys[spec]["KeyId"], outside.mu(public[spec], MESSAGE)
    of_mu = kms.sign(KeyId=key, Message=value, MessageType="EXTERNAL_MU", SigningAlgorithm="ML_DSA_SHAKE_256")["Signature"]
    of_message = kms.sign(KeyId=key, Message=MESSAGE, SigningAlgorithm="ML_DSA_SHAKE_256")["Signature"]
    for signature in (of_mu, of_message):
        assert outside.is_valid(public[spec], "ML_DSA_SHAKE_256", MESSAGE, signature)
        public[spec].verify_mu(signature, value)
        for message, message_type in ((MESSAGE, "RAW"), (value, "EXTERNAL_MU")):
            given = {"Message": message, "MessageType": message_type, "Signature": signature}
            assert kms.verify(KeyId=key, SigningAlgorithm="ML_DSA_SHAKE_256", **given)["SignatureValid"]


def test_ed25519_is_deterministic_and_takes_messages(kms, keys):
    key = keys["ECC_NIST_EDWARDS25519"]["KeyId"]
    signatures = {kms.sign(KeyId=key, Message=MESSAGE, SigningAlgorithm="ED25519_SHA_512")["Signature"] for _ in range(2)}
    assert len(signatures) == 1


def test_ed25519ph(kms, keys, tmp_path):
    """With DIGEST, what was sent is hashed once more: the prehash is that of the 64 bytes (AWS KMS API Reference, Sign)."""
    key, value = keys["ECC_NIST_EDWARDS25519"]["KeyId"], outside.digest("SHA_512", MESSAGE)
    given = {"Message": value, "MessageType": "DIGEST", "SigningAlgorithm": "ED25519_PH_SHA_512"}
    signature = kms.sign(KeyId=key, **given)["Signature"]
    assert len(signature) == 64
    assert kms.verify(KeyId=key, Signature=signature, **given)["SignatureValid"]
    der = kms.get_public_key(KeyId=key)["PublicKey"]
    assert ed25519ph_is_valid(der[-32:], outside.digest("SHA_512", value), signature)
    assert not ed25519ph_is_valid(der[-32:], value, signature)
    # It is another algorithm than Ed25519, not another way to write it.
    assert not outside.is_valid(outside.load_public(der), "ED25519_SHA_512", value, signature)
    with refused("KMSInvalidSignatureException", ""):
        kms.verify(KeyId=key, Message=value, Signature=signature, SigningAlgorithm="ED25519_SHA_512")


def ed25519ph_is_valid(public_key, prehash, signature):
    """Ed25519ph as RFC 8032, section 5.1.7, verifies it, in plain arithmetic: no library at hand has it."""
    prime, order = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
    d = -121665 * pow(121666, -1, prime) % prime

    def add(p, q):
        (x1, y1), (x2, y2) = p, q
        t = d * x1 * x2 * y1 * y2 % prime
        return ((x1 * y2 + x2 * y1) * pow(1 + t, -1, prime) % prime, (y1 * y2 + x1 * x2) * pow(1 - t, -1, prime) % prime)

    def multiply(scalar, point):
        result = (0, 1)
        while scalar:
            if scalar & 1:
                result = add(result, point)
            point, scalar = add(point, point), scalar >> 1
        return result

    def decode(text):
        y = int.from_bytes(text, "little")
        sign, y = y >> 255, y & ((1 << 255) - 1)
        square = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
        x = pow(square, (prime + 3) // 8, prime)
        if (x * x - square) % prime:
            x = x * pow(2, (prime - 1) // 4, prime) % prime
        if (x * x - square) % prime:
            return None
        return (prime - x if x & 1 != sign else x), y

    base = decode((4 * pow(5, -1, prime) % prime).to_bytes(32, "little"))
    a, r, s = decode(public_key), decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= order:
        return False
    domain = b"SigEd25519 no Ed25519 collisions" + bytes([1, 0])
    k = int.from_bytes(hashlib.sha512(domain + signature[:32] + public_key + prehash).digest(), "little") % order
    return multiply(s, base) == add(r, multiply(k, a))


@pytest.mark.parametrize("spec", [spec for spec in ALGORITHMS if not spec.startswith("ML_DSA")])
def test_openssl_agrees(kms, keys, tmp_path, spec):
    """The command of the system, where it knows the algorithm."""
    key, algorithm = keys[spec]["KeyId"], ALGORITHMS[spec][-1] if spec.startswith("RSA") else ALGORITHMS[spec][0]
    files = {name: tmp_path / name for name in ("public", "message", "signature")}
    files["public"].write_bytes(kms.get_public_key(KeyId=key)["PublicKey"])
    files["message"].write_bytes(MESSAGE)
    files["signature"].write_bytes(kms.sign(KeyId=key, Message=MESSAGE, SigningAlgorithm=algorithm)["Signature"])
    given = ["-pubin", "-inkey", files["public"], "-keyform", "DER", "-sigfile", files["signature"], "-in", files["message"], "-rawin"]
    if spec != "ECC_NIST_EDWARDS25519":
        given += ["-digest", f"sha{algorithm[-3:]}"]
    if "PSS" in algorithm:
        given += ["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest"]
    assert outside.openssl("pkeyutl", "-verify", *given).returncode == 0
    files["message"].write_bytes(MESSAGE + b"x")
    assert outside.openssl("pkeyutl", "-verify", *given, check=False).returncode != 0


@pytest.mark.parametrize(("spec", "algorithm"), PAIRS)
def test_only_this_signature_of_this_key_over_this_message(kms, keys, spec, algorithm):
    key = keys[spec]["KeyId"]
    signature = kms.sign(KeyId=key, Message=MESSAGE, SigningAlgorithm=algorithm)["Signature"]
    flipped = bytearray(signature)
    flipped[len(flipped) // 2] ^= 1
    stranger = outside.sign(outside.GENERATORS[spec](), algorithm, MESSAGE)
    for wrong in (bytes(flipped), signature[:-1], signature + b"\x00", b"\x00", bytes(len(signature)), stranger):
        with refused("KMSInvalidSignatureException", ""):
            kms.verify(KeyId=key, Message=MESSAGE, Signature=wrong, SigningAlgorithm=algorithm)
    with refused("KMSInvalidSignatureException", ""):
        kms.verify(KeyId=key, Message=MESSAGE + b"x", Signature=signature, SigningAlgorithm=algorithm)
    for other in ALGORITHMS[spec]:
        if other != algorithm and other != "ED25519_PH_SHA_512":
            with refused("KMSInvalidSignatureException", ""):
                kms.verify(KeyId=key, Message=MESSAGE, Signature=signature, SigningAlgorithm=other)


def test_pss_salts_are_as_long_as_the_digest(kms, keys, public):
    key = keys["RSA_2048"]["KeyId"]
    for bits in (256, 384, 512):
        function = outside.HASHES[str(bits)]()
        signature = kms.sign(KeyId=key, Message=MESSAGE, SigningAlgorithm=f"RSASSA_PSS_SHA_{bits}")["Signature"]
        for length, fits in ((bits // 8, True), (0, False), (20, False)):
            scheme = padding.PSS(padding.MGF1(function), length)
            if fits:
                public["RSA_2048"].verify(signature, MESSAGE, scheme, function)
            else:
                with pytest.raises(InvalidSignature):
                    public["RSA_2048"].verify(signature, MESSAGE, scheme, function)


@pytest.mark.parametrize("spec", ALGORITHMS)
def test_algorithms_of_other_specs(kms, keys, spec):
    for algorithm in sorted({name for all_of in ALGORITHMS.values() for name in all_of} | {"SM2DSA"}):
        if algorithm in ALGORITHMS[spec]:
            continue
        text = f"Algorithm {algorithm} is incompatible with key spec {spec}."
        with refused("InvalidKeyUsageException", text):
            kms.sign(KeyId=keys[spec]["KeyId"], Message=MESSAGE, SigningAlgorithm=algorithm)
        with refused("InvalidKeyUsageException", text):
            kms.verify(KeyId=keys[spec]["KeyId"], Message=MESSAGE, Signature=b"x", SigningAlgorithm=algorithm)


@pytest.mark.parametrize(("spec", "algorithm"), WITH_DIGESTS)
def test_digests_of_another_length(kms, keys, spec, algorithm):
    right = int(algorithm[-3:]) // 8
    for length in {1, 20, 32, 48, 64, right - 1, right + 1} - {right}:
        text = f"Digest is invalid length for algorithm {algorithm}."
        with refused("ValidationException", text):
            kms.sign(KeyId=keys[spec]["KeyId"], Message=b"d" * length, MessageType="DIGEST", SigningAlgorithm=algorithm)
        with refused("ValidationException", text):
            kms.verify(KeyId=keys[spec]["KeyId"], Message=b"d" * length, MessageType="DIGEST", Signature=b"x", SigningAlgorithm=algorithm)


@pytest.mark.parametrize(
    ("spec", "algorithm", "message_type", "length", "text"),
    [
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "DIGEST", 64, "Message type DIGEST is incompatible with algorithm ED25519_SHA_512."),
        ("ECC_NIST_EDWARDS25519", "ED25519_PH_SHA_512", "RAW", 64, "Message type RAW is incompatible with algorithm ED25519_PH_SHA_512."),
        ("ECC_NIST_EDWARDS25519", "ED25519_PH_SHA_512", "DIGEST", 32, "Digest is invalid length for algorithm ED25519_PH_SHA_512."),
        ("ML_DSA_44", "ML_DSA_SHAKE_256", "DIGEST", 64, "Message type DIGEST is incompatible with key spec ML_DSA_44."),
        ("ML_DSA_65", "ML_DSA_SHAKE_256", "EXTERNAL_MU", 63, "External Mu is invalid length for algorithm ML_DSA_SHAKE_256."),
        ("RSA_2048", "RSASSA_PSS_SHA_256", "EXTERNAL_MU", 64, "Message type EXTERNAL_MU is incompatible with key spec RSA_2048."),
    ],
)
def test_message_types_that_do_not_fit(kms, keys, spec, algorithm, message_type, length, text):
    given = {"KeyId": keys[spec]["KeyId"], "Message": b"d" * length, "MessageType": message_type, "SigningAlgorithm": algorithm}
    with refused("ValidationException", text):
        kms.sign(**given)
    with refused("ValidationException", text):
        kms.verify(Signature=b"x", **given)


@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        ({"Message": None}, "message", "Member must not be null"),
        ({"Message": b""}, "message", "Member must have length greater than or equal to 1"),
        ({"Message": b"x" * 4097}, "message", "Member must have length less than or equal to 4096"),
        ({"MessageType": "HASH"}, "messageType", "Member must satisfy enum value set: [RAW, DIGEST, EXTERNAL_MU]"),
        ({"SigningAlgorithm": None}, "signingAlgorithm", "Member must not be null"),
        ({"SigningAlgorithm": "ECDSA"}, "signingAlgorithm", "Member must satisfy enum value set: [RSASSA_PSS_SHA_256, "),
        ({"KeyId": None}, "keyId", "Member must not be null"),
        ({"KeyId": ""}, "keyId", "Member must have length greater than or equal to 1"),
        ({"GrantTokens": ["t"] * 11}, "grantTokens", "Member must have length less than or equal to 10"),
    ],
)
def test_limits_of_the_model(unchecked, keys, parameters, field, rule):
    given = {"KeyId": keys["ECC_NIST_P256"]["KeyId"], "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"} | parameters
    given = {name: value for name, value in given.items() if value is not None}
    with refused("ValidationException", constraint(field, rule)) as refusal:
        unchecked.sign(**given)
    assert "xx" not in refusal.response["Error"]["Message"]
    with refused("ValidationException", constraint(field, rule)):
        unchecked.verify(Signature=b"x", **given)


@pytest.mark.parametrize(
    ("signature", "rule"),
    [
        (None, "Member must not be null"),
        (b"", "Member must have length greater than or equal to 1"),
        (b"x" * 6145, "Member must have length less than or equal to 6144"),
    ],
)
def test_limits_of_signatures(unchecked, keys, signature, rule):
    given = {"KeyId": keys["ECC_NIST_P256"]["KeyId"], "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
    with refused("ValidationException", constraint("signature", rule)):
        unchecked.verify(**given, **({} if signature is None else {"Signature": signature}))


@pytest.mark.parametrize(
    ("spec", "usage"),
    [("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("HMAC_256", "GENERATE_VERIFY_MAC"), ("ECC_NIST_P256", "KEY_AGREEMENT"), ("ML_KEM_512", "ENCAPSULATE_DECAPSULATE")],
)
def test_keys_for_something_else(kms, spec, usage):
    key = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is {usage} which is not valid for Sign."):
        kms.sign(KeyId=key["KeyId"], Message=b"x", SigningAlgorithm="ECDSA_SHA_256")
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is {usage} which is not valid for Verify."):
        kms.verify(KeyId=key["KeyId"], Message=b"x", Signature=b"x", SigningAlgorithm="ECDSA_SHA_256")
    if spec.startswith(("SYMMETRIC", "HMAC")):
        with refused("UnsupportedOperationException", ""):
            kms.get_public_key(KeyId=key["KeyId"])


def test_by_each_of_its_names(kms, keys):
    key, alias = keys["ECC_NIST_P256"], alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    for name in (key["KeyId"], key["Arn"], alias, f"arn:aws:kms:{REGION}:{ACCOUNT}:{alias}"):
        signed = kms.sign(KeyId=name, Message=MESSAGE, SigningAlgorithm="ECDSA_SHA_256")
        verified = kms.verify(KeyId=name, Message=MESSAGE, Signature=signed["Signature"], SigningAlgorithm="ECDSA_SHA_256")
        assert signed["KeyId"] == verified["KeyId"] == kms.get_public_key(KeyId=name)["KeyId"] == key["Arn"]


def test_missing_keys(kms):
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{MISSING}"
    with refused("NotFoundException", f"Key '{arn}' does not exist"):
        kms.sign(KeyId=MISSING, Message=b"x", SigningAlgorithm="ECDSA_SHA_256")
    with refused("NotFoundException", f"Key '{arn}' does not exist"):
        kms.get_public_key(KeyId=MISSING)


def test_they_are_not_rotated(kms, keys):
    for spec in ("RSA_2048", "ECC_NIST_P256", "ML_DSA_44"):
        key = keys[spec]["KeyId"]
        for refused_to in (kms.enable_key_rotation, kms.disable_key_rotation, kms.get_key_rotation_status, kms.rotate_key_on_demand, kms.list_key_rotations):
            with refused("UnsupportedOperationException", ""):
                refused_to(KeyId=key)


def test_an_alias_moves_to_a_key_of_the_same_type_and_usage(kms, keys):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=keys["RSA_2048"]["KeyId"])
    kms.update_alias(AliasName=alias, TargetKeyId=keys["ML_DSA_65"]["KeyId"])
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == keys["ML_DSA_65"]["KeyId"]
    agreement = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["KeyId"]
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    for other in (agreement, mac, kms.create_key()["KeyMetadata"]["KeyId"]):
        with refused("ValidationException"):
            kms.update_alias(AliasName=alias, TargetKeyId=other)


def test_what_signs_encrypts_nothing(kms, keys):
    key = keys["RSA_2048"]
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is SIGN_VERIFY which is not valid for Encrypt."):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is SIGN_VERIFY which is not valid for GenerateDataKey."):
        kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
