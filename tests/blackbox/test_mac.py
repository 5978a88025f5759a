"""GenerateMac and VerifyMac. The keys never leave, so nobody outside can compute these codes: the vectors of the hsm crate do."""

import pytest

from harness import alias_name, constraint, refused

SPECS = {"HMAC_224": "HMAC_SHA_224", "HMAC_256": "HMAC_SHA_256", "HMAC_384": "HMAC_SHA_384", "HMAC_512": "HMAC_SHA_512"}
BYTES = {"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}
MESSAGE = b"zwoelf Boxkaempfer jagen"


@pytest.fixture(scope="module")
def keys(kms):
    return {spec: kms.create_key(KeySpec=spec, KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"] for spec in SPECS}


def test_metadata(kms, keys):
    for spec, key in keys.items():
        assert (key["KeySpec"], key["KeyUsage"], key["MacAlgorithms"]) == (spec, "GENERATE_VERIFY_MAC", [SPECS[spec]])
        assert "CurrentKeyMaterialId" not in key
        with refused("UnsupportedOperationException", ""):
            kms.get_public_key(KeyId=key["KeyId"])


@pytest.mark.parametrize("spec", SPECS)
def test_a_code_is_verified(kms, keys, spec):
    key, algorithm = keys[spec], SPECS[spec]
    for message in (b"\x00", MESSAGE, b"m" * 4096):
        made = kms.generate_mac(KeyId=key["KeyId"], Message=message, MacAlgorithm=algorithm)
        made.pop("ResponseMetadata")
        mac = made.pop("Mac")
        assert made == {"KeyId": key["Arn"], "MacAlgorithm": algorithm}
        assert len(mac) == BYTES[spec]
        assert kms.generate_mac(KeyId=key["KeyId"], Message=message, MacAlgorithm=algorithm)["Mac"] == mac
        verified = kms.verify_mac(KeyId=key["KeyId"], Message=message, MacAlgorithm=algorithm, Mac=mac)
        verified.pop("ResponseMetadata")
        assert verified == {"KeyId": key["Arn"], "MacValid": True, "MacAlgorithm": algorithm}


@pytest.mark.parametrize("spec", SPECS)
def test_only_this_code_of_this_key_for_this_message(kms, keys, spec):
    given = {"KeyId": keys[spec]["KeyId"], "MacAlgorithm": SPECS[spec]}
    mac = kms.generate_mac(Message=MESSAGE, **given)["Mac"]
    other = kms.create_key(KeySpec=spec, KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    flipped = bytes([mac[0] ^ 1]) + mac[1:]
    for wrong in (flipped, mac[:-1], mac[:16], mac + b"\x00", bytes(len(mac)), b"x", b"x" * 6144):
        with refused("KMSInvalidMacException", ""):
            kms.verify_mac(Message=MESSAGE, Mac=wrong, **given)
    with refused("KMSInvalidMacException", ""):
        kms.verify_mac(Message=MESSAGE + b"x", Mac=mac, **given)
    with refused("KMSInvalidMacException", ""):
        kms.verify_mac(Message=MESSAGE, Mac=mac, **given | {"KeyId": other})


@pytest.mark.parametrize("spec", SPECS)
def test_algorithms_of_other_specs(kms, keys, spec):
    for algorithm in set(SPECS.values()) - {SPECS[spec]}:
        text = f"Algorithm {algorithm} is incompatible with key spec {spec}."
        with refused("InvalidKeyUsageException", text):
            kms.generate_mac(KeyId=keys[spec]["KeyId"], Message=MESSAGE, MacAlgorithm=algorithm)
        with refused("InvalidKeyUsageException", text):
            kms.verify_mac(KeyId=keys[spec]["KeyId"], Message=MESSAGE, MacAlgorithm=algorithm, Mac=b"x")


@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        ({"Message": None}, "message", "Member must not be null"),
        ({"Message": b""}, "message", "Member must have length greater than or equal to 1"),
        ({"Message": b"x" * 4097}, "message", "Member must have length less than or equal to 4096"),
        ({"MacAlgorithm": None}, "macAlgorithm", "Member must not be null"),
        ({"MacAlgorithm": "HMAC_SHA_1"}, "macAlgorithm", "Member must satisfy enum value set: [HMAC_SHA_224, HMAC_SHA_256, HMAC_SHA_384, HMAC_SHA_512]"),
        ({"KeyId": ""}, "keyId", "Member must have length greater than or equal to 1"),
        ({"GrantTokens": ["t"] * 11}, "grantTokens", "Member must have length less than or equal to 10"),
    ],
)
def test_limits_of_the_model(unchecked, keys, parameters, field, rule):
    given = {"KeyId": keys["HMAC_256"]["KeyId"], "Message": b"x", "MacAlgorithm": "HMAC_SHA_256"} | parameters
    given = {name: value for name, value in given.items() if value is not None}
    with refused("ValidationException", constraint(field, rule)):
        unchecked.generate_mac(**given)
    with refused("ValidationException", constraint(field, rule)):
        unchecked.verify_mac(Mac=b"x", **given)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({}, "Member must not be null"),
        ({"Mac": b""}, "Member must have length greater than or equal to 1"),
        ({"Mac": b"x" * 6145}, "Member must have length less than or equal to 6144"),
    ],
)
def test_limits_of_codes(unchecked, keys, given, rule):
    with refused("ValidationException", constraint("mac", rule)):
        unchecked.verify_mac(KeyId=keys["HMAC_256"]["KeyId"], Message=b"x", MacAlgorithm="HMAC_SHA_256", **given)


@pytest.mark.parametrize(("spec", "usage"), [("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("ECC_NIST_P256", "SIGN_VERIFY")])
def test_keys_for_something_else(kms, spec, usage):
    key = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is {usage} which is not valid for GenerateMac."):
        kms.generate_mac(KeyId=key["KeyId"], Message=b"x", MacAlgorithm="HMAC_SHA_256")
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is {usage} which is not valid for VerifyMac."):
        kms.verify_mac(KeyId=key["KeyId"], Message=b"x", MacAlgorithm="HMAC_SHA_256", Mac=b"x")


def test_by_alias(kms, keys):
    alias, key = alias_name(), keys["HMAC_384"]
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    given = {"KeyId": alias, "Message": MESSAGE, "MacAlgorithm": "HMAC_SHA_384"}
    made = kms.generate_mac(**given)
    assert made["KeyId"] == kms.verify_mac(Mac=made["Mac"], **given)["KeyId"] == key["Arn"]
    kms.update_alias(AliasName=alias, TargetKeyId=keys["HMAC_512"]["KeyId"])
    with refused("ValidationException"):
        kms.update_alias(AliasName=alias, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])


def test_they_are_not_rotated(kms, keys):
    key = keys["HMAC_256"]["KeyId"]
    for refused_to in (kms.enable_key_rotation, kms.disable_key_rotation, kms.get_key_rotation_status, kms.rotate_key_on_demand, kms.list_key_rotations):
        with refused("UnsupportedOperationException", ""):
            refused_to(KeyId=key)
