"""Encrypt, Decrypt and ReEncrypt with RSA keys, each ciphertext opened and made outside the server as well."""

import os

import pytest

import outside
from harness import refused

LIMITS = {
    ("RSA_2048", "RSAES_OAEP_SHA_1"): 214,
    ("RSA_2048", "RSAES_OAEP_SHA_256"): 190,
    ("RSA_3072", "RSAES_OAEP_SHA_1"): 342,
    ("RSA_3072", "RSAES_OAEP_SHA_256"): 318,
    ("RSA_4096", "RSAES_OAEP_SHA_1"): 470,
    ("RSA_4096", "RSAES_OAEP_SHA_256"): 446,
}
SPECS = sorted({spec for spec, _ in LIMITS})
ALGORITHMS = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
NO_CONTEXT = "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."


@pytest.fixture(scope="module")
def keys(kms):
    return {spec: kms.create_key(KeySpec=spec, KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"] for spec in SPECS}


@pytest.fixture(scope="module")
def public(kms, keys):
    return {spec: outside.load_public(kms.get_public_key(KeyId=key["KeyId"])["PublicKey"]) for spec, key in keys.items()}


def test_metadata(kms, keys, public):
    for spec, key in keys.items():
        assert (key["KeySpec"], key["KeyUsage"], key["EncryptionAlgorithms"]) == (spec, "ENCRYPT_DECRYPT", ALGORITHMS)
        assert not {"SigningAlgorithms", "CurrentKeyMaterialId"} & set(key)
        answer = kms.get_public_key(KeyId=key["KeyId"])
        assert (answer["EncryptionAlgorithms"], answer["KeyUsage"]) == (ALGORITHMS, "ENCRYPT_DECRYPT")
        assert outside.kind(public[spec]) == spec


@pytest.mark.parametrize(("spec", "algorithm"), LIMITS)
def test_there_and_back(kms, keys, public, spec, algorithm):
    key = keys[spec]
    for size in (1, 32, LIMITS[spec, algorithm]):
        plaintext = os.urandom(size)
        encrypted = kms.encrypt(KeyId=key["KeyId"], Plaintext=plaintext, EncryptionAlgorithm=algorithm)
        assert (encrypted["KeyId"], encrypted["EncryptionAlgorithm"]) == (key["Arn"], algorithm)
        assert len(encrypted["CiphertextBlob"]) == public[spec].key_size // 8
        from_outside = public[spec].encrypt(plaintext, outside.oaep(algorithm))
        for blob in (encrypted["CiphertextBlob"], from_outside):
            decrypted = kms.decrypt(KeyId=key["KeyId"], CiphertextBlob=blob, EncryptionAlgorithm=algorithm)
            decrypted.pop("ResponseMetadata")
            assert decrypted == {"KeyId": key["Arn"], "Plaintext": plaintext, "EncryptionAlgorithm": algorithm}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_data_key_pair_opens_outside_what_was_encrypted_for_it(kms, key_id, algorithm):
    """The private key that is in our hands opens what the same padding made: the padding is the one that everybody uses."""
    pair = kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="RSA_2048")
    private = outside.load_private(pair["PrivateKeyPlaintext"])
    blob = outside.load_public(pair["PublicKey"]).encrypt(b"x", outside.oaep(algorithm))
    assert private.decrypt(blob, outside.oaep(algorithm)) == b"x"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_openssl_encrypts_for_the_key(kms, keys, tmp_path, algorithm):
    public = tmp_path / "public.der"
    public.write_bytes(kms.get_public_key(KeyId=keys["RSA_3072"]["KeyId"])["PublicKey"])
    function = algorithm.removeprefix("RSAES_OAEP_").replace("_", "").lower()
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{function}", f"rsa_mgf1_md:{function}"]
    given = [part for option in options for part in ("-pkeyopt", option)]
    made = outside.openssl("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", public, *given, stdin=b"from openssl")
    answer = kms.decrypt(KeyId=keys["RSA_3072"]["KeyId"], CiphertextBlob=made.stdout, EncryptionAlgorithm=algorithm)
    assert answer["Plaintext"] == b"from openssl"


def test_the_same_plaintext_never_looks_the_same(kms, keys):
    given = {"KeyId": keys["RSA_2048"]["KeyId"], "Plaintext": b"x", "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    assert len({kms.encrypt(**given)["CiphertextBlob"] for _ in range(5)}) == 5


@pytest.mark.parametrize(("spec", "algorithm"), LIMITS)
def test_what_is_too_long(kms, keys, spec, algorithm):
    most = LIMITS[spec, algorithm]
    for size in (most + 1, 4096):
        with refused("ValidationException", f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {most} bytes."):
            kms.encrypt(KeyId=keys[spec]["KeyId"], Plaintext=b"p" * size, EncryptionAlgorithm=algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_does_not_open(kms, keys, public, algorithm):
    key, public = keys["RSA_2048"]["KeyId"], public["RSA_2048"]
    blob = public.encrypt(b"x", outside.oaep(algorithm))
    flipped = bytearray(blob)
    flipped[100] ^= 1
    other = next(name for name in ALGORITHMS if name != algorithm)
    labelled = outside.padding.OAEP(outside.oaep(algorithm).mgf, outside.oaep(algorithm).algorithm, b"label")
    for wrong in (
        bytes(flipped),
        blob[:-1],
        blob + b"\x00",
        b"\x00" + blob,
        b"x",
        bytes(256),
        b"\xff" * 256,
        public.encrypt(b"x", outside.oaep(other)),
        public.encrypt(b"x", labelled),
        public.encrypt(b"x", outside.padding.PKCS1v15()),
        outside.GENERATORS["RSA_2048"]().public_key().encrypt(b"x", outside.oaep(algorithm)),
    ):
        with refused("InvalidCiphertextException", ""):
            kms.decrypt(KeyId=key, CiphertextBlob=wrong, EncryptionAlgorithm=algorithm)


def test_the_key_and_the_algorithm_have_to_be_named(kms, keys, public):
    blob = public["RSA_2048"].encrypt(b"x", outside.oaep("RSAES_OAEP_SHA_256"))
    with refused("ValidationException", "KeyId must not be null"):
        kms.decrypt(CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob, KeyId=keys["RSA_2048"]["KeyId"])
    with refused("ValidationException", "KeyId must not be null"):
        kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionAlgorithm="RSAES_OAEP_SHA_256", DestinationKeyId=keys["RSA_2048"]["KeyId"])


def test_algorithms_that_do_not_fit(kms, keys, key_id):
    with refused("InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_4096."):
        kms.encrypt(KeyId=keys["RSA_4096"]["KeyId"], Plaintext=b"x")
    for algorithm in (*ALGORITHMS, "SM2PKE"):
        text = f"Algorithm {algorithm} is incompatible with key spec SYMMETRIC_DEFAULT."
        with refused("InvalidKeyUsageException", text):
            kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionAlgorithm=algorithm)
        with refused("InvalidKeyUsageException", text):
            kms.decrypt(KeyId=key_id, CiphertextBlob=b"x", EncryptionAlgorithm=algorithm)
    with refused("InvalidKeyUsageException", "Algorithm SM2PKE is incompatible with key spec RSA_2048."):
        kms.encrypt(KeyId=keys["RSA_2048"]["KeyId"], Plaintext=b"x", EncryptionAlgorithm="SM2PKE")


def test_a_symmetric_ciphertext_is_none_of_an_rsa_key(kms, keys, key_id):
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    with refused("IncorrectKeyException"):
        kms.decrypt(KeyId=keys["RSA_2048"]["KeyId"], CiphertextBlob=blob)
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(KeyId=keys["RSA_2048"]["KeyId"], CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256")


def test_no_encryption_context(kms, keys, key_id):
    key, context = keys["RSA_2048"]["KeyId"], {"a": "b"}
    algorithm = "RSAES_OAEP_SHA_256"
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionAlgorithm=algorithm, EncryptionContext={})["CiphertextBlob"]
    with refused("ValidationException", NO_CONTEXT):
        kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionAlgorithm=algorithm, EncryptionContext=context)
    with refused("ValidationException", NO_CONTEXT):
        kms.decrypt(KeyId=key, CiphertextBlob=blob, EncryptionAlgorithm=algorithm, EncryptionContext=context)
    source = {"SourceKeyId": key, "CiphertextBlob": blob, "SourceEncryptionAlgorithm": algorithm, "DestinationKeyId": key_id}
    with refused("ValidationException", NO_CONTEXT):
        kms.re_encrypt(SourceEncryptionContext=context, **source)
    symmetric = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    with refused("ValidationException", NO_CONTEXT):
        kms.re_encrypt(
            CiphertextBlob=symmetric, DestinationKeyId=key, DestinationEncryptionAlgorithm=algorithm, DestinationEncryptionContext=context
        )
    assert kms.re_encrypt(DestinationEncryptionContext=context, **source)["KeyId"]


@pytest.mark.parametrize("source", ["SYMMETRIC_DEFAULT", *ALGORITHMS])
@pytest.mark.parametrize("destination", ["SYMMETRIC_DEFAULT", *ALGORITHMS])
def test_re_encrypt(kms, keys, source, destination):
    def key_for(algorithm, spec):
        return kms.create_key()["KeyMetadata"] if algorithm == "SYMMETRIC_DEFAULT" else keys[spec]

    old, new = key_for(source, "RSA_2048"), key_for(destination, "RSA_3072")
    blob = kms.encrypt(KeyId=old["KeyId"], Plaintext=b"moved", EncryptionAlgorithm=source)["CiphertextBlob"]
    answer = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceKeyId=old["KeyId"],
        SourceEncryptionAlgorithm=source,
        DestinationKeyId=new["KeyId"],
        DestinationEncryptionAlgorithm=destination,
    )
    answer.pop("ResponseMetadata")
    moved = answer.pop("CiphertextBlob")
    expected = {
        "SourceKeyId": old["Arn"],
        "KeyId": new["Arn"],
        "SourceEncryptionAlgorithm": source,
        "DestinationEncryptionAlgorithm": destination,
    }
    for side, key in (("Source", old), ("Destination", new)):
        if "CurrentKeyMaterialId" in key:
            expected[f"{side}KeyMaterialId"] = key["CurrentKeyMaterialId"]
    assert answer == expected
    assert kms.decrypt(KeyId=new["KeyId"], CiphertextBlob=moved, EncryptionAlgorithm=destination)["Plaintext"] == b"moved"


def test_re_encrypt_to_a_key_that_is_too_small(kms, keys, key_id):
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"p" * 191)["CiphertextBlob"]
    with refused("ValidationException", "Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes."):
        kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=keys["RSA_2048"]["KeyId"], DestinationEncryptionAlgorithm="RSAES_OAEP_SHA_256")


def test_no_data_keys(kms, keys):
    key = keys["RSA_2048"]["KeyId"]
    text = "You cannot generate a data key with an asymmetric CMK"
    for refusing in (kms.generate_data_key, kms.generate_data_key_without_plaintext):
        with refused("InvalidKeyUsageException", text):
            refusing(KeyId=key, KeySpec="AES_256")
    for refusing in (kms.generate_data_key_pair, kms.generate_data_key_pair_without_plaintext):
        with refused("InvalidKeyUsageException", text):
            refusing(KeyId=key, KeyPairSpec="ECC_NIST_P256")


def test_a_rehearsal(kms, keys, public):
    key, algorithm = keys["RSA_2048"]["KeyId"], "RSAES_OAEP_SHA_256"
    blob = public["RSA_2048"].encrypt(b"x", outside.oaep(algorithm))
    given = {"KeyId": key, "EncryptionAlgorithm": algorithm, "DryRun": True}
    for request in (
        lambda: kms.encrypt(Plaintext=b"x", **given),
        lambda: kms.decrypt(CiphertextBlob=blob, **given),
        lambda: kms.decrypt(DryRunModifiers=["IGNORE_CIPHERTEXT"], **given),
    ):
        with refused("DryRunOperationException"):
            request()
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob[:-1], **given)
    with refused("ValidationException"):
        kms.encrypt(Plaintext=b"p" * 191, **given)


def test_an_answer_to_an_enclave_is_refused_and_never_given_in_plaintext(kms, keys, public):
    blob = public["RSA_2048"].encrypt(b"x", outside.oaep("RSAES_OAEP_SHA_256"))
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"document"}
    with pytest.raises(kms.exceptions.ClientError) as caught:
        kms.decrypt(KeyId=keys["RSA_2048"]["KeyId"], CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256", Recipient=recipient)
    assert "Plaintext" not in caught.value.response
