"""GenerateDataKeyPair and GenerateDataKeyPairWithoutPlaintext: the pairs work outside the server."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import outside
from harness import alias_name, constraint, refused

SPECS = [
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "ECC_NIST_EDWARDS25519",
    "ML_KEM_512",
    "ML_KEM_768",
    "ML_KEM_1024",
]
# RFC 9935: version, algorithm, and the 64 bytes of the seed, so that all specs are of one length.
ML_KEM_PRIVATE_BYTES = 86
CONTEXT = {"purpose": "pairs"}


def works(spec, private_key, public_key):
    """Whether the two halves are one pair of this spec, tried outside."""
    if spec == "ML_KEM_512":
        # No library at hand has it. The hsm crate tests it with vectors; here its form is looked at.
        assert (len(private_key), len(public_key)) == (ML_KEM_PRIVATE_BYTES, 822)
        return True
    private, public = outside.load_private(private_key), outside.load_public(public_key)
    assert outside.kind(public) == spec
    assert outside.spki(private.public_key()) == public_key
    if spec.startswith("ML_KEM"):
        assert len(private_key) == ML_KEM_PRIVATE_BYTES
        secret, blob = public.encapsulate()
        return private.decapsulate(blob) == secret
    if spec.startswith("RSA"):
        algorithm = "RSAES_OAEP_SHA_256"
        assert private.decrypt(public.encrypt(b"x", outside.oaep(algorithm)), outside.oaep(algorithm)) == b"x"
    if spec.startswith("ECC_NIST_P"):
        peer = outside.GENERATORS[spec]()
        assert private.exchange(ec.ECDH(), peer.public_key()) == peer.exchange(ec.ECDH(), public)
    algorithm = "ED25519_SHA_512" if spec == "ECC_NIST_EDWARDS25519" else "RSASSA_PSS_SHA_256" if spec.startswith("RSA") else "ECDSA_SHA_256"
    return outside.is_valid(public, algorithm, b"message", outside.sign(private, algorithm, b"message"))


@pytest.mark.parametrize("spec", SPECS)
def test_a_pair_in_clear_and_sealed(kms, key, spec):
    answer = kms.generate_data_key_pair(KeyId=key["KeyId"], KeyPairSpec=spec, EncryptionContext=CONTEXT)
    answer.pop("ResponseMetadata")
    private, sealed, public = (answer.pop(name) for name in ("PrivateKeyPlaintext", "PrivateKeyCiphertextBlob", "PublicKey"))
    assert answer == {"KeyId": key["Arn"], "KeyPairSpec": spec, "KeyMaterialId": key["CurrentKeyMaterialId"]}
    assert works(spec, private, public)
    opened = kms.decrypt(CiphertextBlob=sealed, EncryptionContext=CONTEXT)
    assert (opened["Plaintext"], opened["KeyId"]) == (private, key["Arn"])
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=sealed)


@pytest.mark.parametrize("spec", SPECS)
def test_a_pair_that_nobody_sees_until_it_is_decrypted(kms, key, spec):
    answer = kms.generate_data_key_pair_without_plaintext(KeyId=key["KeyId"], KeyPairSpec=spec)
    answer.pop("ResponseMetadata")
    sealed, public = answer.pop("PrivateKeyCiphertextBlob"), answer.pop("PublicKey")
    assert answer == {"KeyId": key["Arn"], "KeyPairSpec": spec, "KeyMaterialId": key["CurrentKeyMaterialId"]}
    assert works(spec, kms.decrypt(CiphertextBlob=sealed)["Plaintext"], public)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if not spec.startswith("ML_KEM")])
def test_openssl_reads_the_private_key(kms, key_id, tmp_path, spec):
    pair = kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec=spec)
    private = tmp_path / "private.der"
    private.write_bytes(pair["PrivateKeyPlaintext"])
    outside.openssl("pkey", "-inform", "DER", "-in", private, "-check", "-noout")
    public = outside.openssl("pkey", "-inform", "DER", "-in", private, "-pubout", "-outform", "DER")
    assert public.stdout == pair["PublicKey"]


def test_no_two_are_the_same(kms, key_id):
    pairs = [kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256") for _ in range(5)]
    assert len({pair["PublicKey"] for pair in pairs}) == len({pair["PrivateKeyPlaintext"] for pair in pairs}) == 5


def test_a_sealed_private_key_can_be_re_encrypted(kms, key_id):
    pair = kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="RSA_4096", EncryptionContext=CONTEXT)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    moved = kms.re_encrypt(
        CiphertextBlob=pair["PrivateKeyCiphertextBlob"], SourceEncryptionContext=CONTEXT, DestinationKeyId=other
    )["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=moved, KeyId=other)["Plaintext"] == pair["PrivateKeyPlaintext"]


def test_sm2_is_for_china(kms, key_id):
    text = "Data key pairs of spec SM2 are not offered by this deployment."
    for refusing in (kms.generate_data_key_pair, kms.generate_data_key_pair_without_plaintext):
        with refused("UnsupportedOperationException", text):
            refusing(KeyId=key_id, KeyPairSpec="SM2")


@pytest.mark.parametrize(
    ("spec", "usage"), [("HMAC_256", "GENERATE_VERIFY_MAC"), ("ECC_NIST_P256", "SIGN_VERIFY"), ("ML_KEM_512", "ENCAPSULATE_DECAPSULATE")]
)
def test_keys_for_something_else(kms, spec, usage):
    key = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is {usage} which is not valid for GenerateDataKeyPair."):
        kms.generate_data_key_pair(KeyId=key["KeyId"], KeyPairSpec="ECC_NIST_P256")
    with refused("InvalidKeyUsageException", f"{key['Arn']} key usage is {usage} which is not valid for GenerateDataKeyPairWithoutPlaintext."):
        kms.generate_data_key_pair_without_plaintext(KeyId=key["KeyId"], KeyPairSpec="ECC_NIST_P256")


@pytest.mark.parametrize(
    ("parameters", "field", "rule"),
    [
        ({"KeyPairSpec": None}, "keyPairSpec", "Member must not be null"),
        ({"KeyPairSpec": "ML_DSA_44"}, "keyPairSpec", "Member must satisfy enum value set: [RSA_2048, RSA_3072, RSA_4096, "),
        ({"KeyId": None}, "keyId", "Member must not be null"),
        ({"KeyId": ""}, "keyId", "Member must have length greater than or equal to 1"),
        ({"GrantTokens": ["t"] * 11}, "grantTokens", "Member must have length less than or equal to 10"),
    ],
)
def test_limits_of_the_model(unchecked, key_id, parameters, field, rule):
    given = {"KeyId": key_id, "KeyPairSpec": "ECC_NIST_P256"} | parameters
    given = {name: value for name, value in given.items() if value is not None}
    with refused("ValidationException", constraint(field, rule)):
        unchecked.generate_data_key_pair(**given)
    with refused("ValidationException", constraint(field, rule)):
        unchecked.generate_data_key_pair_without_plaintext(**given)


def test_by_alias_and_in_rehearsal(kms, key):
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    for asked in (kms.generate_data_key_pair, kms.generate_data_key_pair_without_plaintext):
        assert asked(KeyId=alias, KeyPairSpec="ECC_NIST_P256")["KeyId"] == key["Arn"]
        with refused("DryRunOperationException"):
            asked(KeyId=alias, KeyPairSpec="RSA_4096", DryRun=True)


def test_an_answer_to_an_enclave_is_refused_and_never_given_in_plaintext(kms, key_id):
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"document"}
    with pytest.raises(kms.exceptions.ClientError) as caught:
        kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256", Recipient=recipient)
    assert "PrivateKeyPlaintext" not in caught.value.response
