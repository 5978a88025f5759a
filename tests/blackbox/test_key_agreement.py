"""DeriveSharedSecret, each secret derived by the other side too."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import outside
from harness import alias_name, constraint, refused

SPECS = {"ECC_NIST_P256": 32, "ECC_NIST_P384": 48, "ECC_NIST_P521": 66}


@pytest.fixture(scope="module")
def keys(kms):
    return {spec: kms.create_key(KeySpec=spec, KeyUsage="KEY_AGREEMENT")["KeyMetadata"] for spec in SPECS}


def derive(kms, key, public_key, **given):
    return kms.derive_shared_secret(KeyId=key["KeyId"], KeyAgreementAlgorithm="ECDH", PublicKey=public_key, **given)


def test_metadata(kms, keys):
    for spec, key in keys.items():
        assert (key["KeySpec"], key["KeyUsage"], key["KeyAgreementAlgorithms"]) == (spec, "KEY_AGREEMENT", ["ECDH"])
        assert not {"SigningAlgorithms", "CurrentKeyMaterialId"} & set(key)
        answer = kms.get_public_key(KeyId=key["KeyId"])
        assert (answer["KeyAgreementAlgorithms"], outside.kind(outside.load_public(answer["PublicKey"]))) == (["ECDH"], spec)


@pytest.mark.parametrize("spec", SPECS)
def test_both_sides_have_the_same_secret(kms, keys, spec):
    key = keys[spec]
    public = outside.load_public(kms.get_public_key(KeyId=key["KeyId"])["PublicKey"])
    for _ in range(3):
        peer = outside.GENERATORS[spec]()
        answer = derive(kms, key, outside.spki(peer.public_key()))
        answer.pop("ResponseMetadata")
        assert answer == {
            "KeyId": key["Arn"],
            "SharedSecret": peer.exchange(ec.ECDH(), public),
            "KeyAgreementAlgorithm": "ECDH",
            "KeyOrigin": "AWS_KMS",
        }
        assert len(answer["SharedSecret"]) == SPECS[spec]


@pytest.mark.parametrize("spec", SPECS)
def test_two_keys_of_the_server_agree(kms, keys, spec):
    other = kms.create_key(KeySpec=spec, KeyUsage="KEY_AGREEMENT")["KeyMetadata"]
    one_way = derive(kms, keys[spec], kms.get_public_key(KeyId=other["KeyId"])["PublicKey"])["SharedSecret"]
    other_way = derive(kms, other, kms.get_public_key(KeyId=keys[spec]["KeyId"])["PublicKey"])["SharedSecret"]
    assert one_way == other_way


def test_openssl_derives_the_same(kms, keys, tmp_path):
    peer = outside.GENERATORS["ECC_NIST_P384"]()
    files = {name: tmp_path / name for name in ("private", "public")}
    files["private"].write_bytes(outside.pkcs8(peer))
    files["public"].write_bytes(kms.get_public_key(KeyId=keys["ECC_NIST_P384"]["KeyId"])["PublicKey"])
    made = outside.openssl(
        "pkeyutl", "-derive", "-keyform", "DER", "-inkey", files["private"], "-peerform", "DER", "-peerkey", files["public"]
    )
    assert derive(kms, keys["ECC_NIST_P384"], outside.spki(peer.public_key()))["SharedSecret"] == made.stdout


@pytest.mark.parametrize("spec", SPECS)
def test_public_keys_that_are_none(kms, keys, spec):
    good = outside.spki(outside.GENERATORS[spec]().public_key())
    other_curve = outside.spki(outside.GENERATORS["ECC_NIST_P384" if spec != "ECC_NIST_P384" else "ECC_NIST_P256"]().public_key())
    off_the_curve = good[:-1] + bytes([good[-1] ^ 1])
    point_bytes = 2 * SPECS[spec] + 1
    at_infinity = good[:-point_bytes] + bytes(point_bytes)
    for wrong in (
        other_curve,
        off_the_curve,
        at_infinity,
        good[:-1],
        good + b"\x00",
        good[-point_bytes:],
        b"x",
        bytes(100),
        outside.spki(outside.GENERATORS["ECC_SECG_P256K1"]().public_key()),
        outside.spki(outside.GENERATORS["ECC_NIST_EDWARDS25519"]().public_key()),
        outside.spki(outside.GENERATORS["RSA_2048"]().public_key()),
        outside.pkcs8(outside.GENERATORS[spec]()),
    ):
        with refused("ValidationException", f"PublicKey is not a DER-encoded X.509 public key (SubjectPublicKeyInfo) that is valid for key spec {spec}."):
            derive(kms, keys[spec], wrong)


@pytest.mark.parametrize(
    ("spec", "usage"), [("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("ECC_NIST_P256", "SIGN_VERIFY"), ("RSA_2048", "ENCRYPT_DECRYPT")]
)
def test_keys_for_something_else(kms, spec, usage):
    key = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    peer = outside.spki(outside.GENERATORS["ECC_NIST_P256"]().public_key())
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is {usage} which is not valid for DeriveSharedSecret."):
        derive(kms, key, peer)


def test_an_agreement_key_signs_nothing(kms, keys):
    key = keys["ECC_NIST_P256"]
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is KEY_AGREEMENT which is not valid for Sign."):
        kms.sign(KeyId=key["KeyId"], Message=b"x", SigningAlgorithm="ECDSA_SHA_256")


@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        ({"PublicKey": None}, "publicKey", "Member must not be null"),
        ({"PublicKey": b""}, "publicKey", "Member must have length greater than or equal to 1"),
        ({"PublicKey": b"x" * 8193}, "publicKey", "Member must have length less than or equal to 8192"),
        ({"KeyAgreementAlgorithm": None}, "keyAgreementAlgorithm", "Member must not be null"),
        ({"KeyAgreementAlgorithm": "X25519"}, "keyAgreementAlgorithm", "Member must satisfy enum value set: [ECDH]"),
        ({"KeyId": None}, "keyId", "Member must not be null"),
        ({"GrantTokens": ["t"] * 11}, "grantTokens", "Member must have length less than or equal to 10"),
    ],
)
def test_limits_of_the_model(unchecked, keys, parameters, field, rule):
    given = {"KeyId": keys["ECC_NIST_P256"]["KeyId"], "PublicKey": b"x", "KeyAgreementAlgorithm": "ECDH"} | parameters
    with refused("ValidationException", constraint(field, rule)):
        unchecked.derive_shared_secret(**{name: value for name, value in given.items() if value is not None})


def test_by_alias_and_in_rehearsal(kms, keys):
    alias, key = alias_name(), keys["ECC_NIST_P521"]
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    peer = outside.spki(outside.GENERATORS["ECC_NIST_P521"]().public_key())
    assert derive(kms, {"KeyId": alias}, peer)["KeyId"] == key["Arn"]
    with refused("DryRunOperationException"):
        derive(kms, key, peer, DryRun=True)
    with refused("ValidationException"):
        derive(kms, key, b"no public key", DryRun=True)
