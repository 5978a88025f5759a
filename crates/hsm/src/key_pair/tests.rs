use proptest::prelude::*;

use super::*;

/// Specs whose pairs are quick to make.
const QUICK: [KeySpec; 5] =
    [KeySpec::EccNistP256, KeySpec::EccNistP384, KeySpec::EccNistP521, KeySpec::EccSecgP256k1, KeySpec::EccNistEdwards25519];

#[test]
fn a_pair_comes_back_from_its_encoding() {
    for spec in QUICK {
        let pair = generate(spec).unwrap();
        let again = parse(spec, &pair.pkcs8().unwrap()).unwrap();
        assert_eq!(*pair.pkcs8().unwrap(), *again.pkcs8().unwrap(), "{spec}");
        assert_eq!(pair.spki().unwrap(), again.spki().unwrap(), "{spec}");
        assert!(sequence_content(&pair.spki().unwrap()).is_some(), "{spec}");
        assert_ne!(pair.spki().unwrap(), generate(spec).unwrap().spki().unwrap(), "{spec}");
        assert!(is_consistent(spec, &*again), "{spec}");
    }
}

#[test]
fn halves_that_do_not_belong_together_are_inconsistent() {
    /// The private half of one pair with the public half of another.
    struct Mixed(Box<dyn KeyPair>, Box<dyn KeyPair>);
    impl KeyPair for Mixed {
        fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, HsmError> {
            self.0.pkcs8()
        }
        fn spki(&self) -> Result<Vec<u8>, HsmError> {
            self.1.spki()
        }
        fn sign(&self, algorithm: SigningAlgorithm, input: Input<'_>) -> Result<Vec<u8>, HsmError> {
            self.0.sign(algorithm, input)
        }
        fn verify(&self, algorithm: SigningAlgorithm, input: Input<'_>, signature: &[u8]) -> Result<(), HsmError> {
            self.1.verify(algorithm, input, signature)
        }
        fn encapsulate(&self) -> Result<Encapsulated, HsmError> {
            self.1.encapsulate()
        }
        fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
            self.0.decapsulate(ciphertext)
        }
    }
    for spec in QUICK {
        assert!(!is_consistent(spec, &Mixed(generate(spec).unwrap(), generate(spec).unwrap())), "{spec}");
    }
}

#[test]
fn a_changed_encoding_is_refused_or_that_of_another_pair() {
    for spec in crate::testing::specs().filter(|spec| spec.is_asymmetric()) {
        let pkcs8 = if spec == KeySpec::Rsa2048 {
            hex::decode(crate::self_test::vectors::RSA_2048).unwrap()
        } else {
            generate(spec).unwrap().pkcs8().unwrap().to_vec()
        };
        let spki = parse(spec, &pkcs8).unwrap().spki().unwrap();
        // An RSA key is long, and takes long to check: each 97th bit of it.
        let step = if spec == KeySpec::Rsa2048 { 97 } else { 1 };
        for forged in crate::testing::flips(&pkcs8).step_by(step) {
            match parse(spec, &forged) {
                Err(error) => assert!(matches!(error, HsmError::InvalidKeyMaterial(_)), "{spec}"),
                Ok(other) => {
                    assert!(is_consistent(spec, &*other), "{spec} {}", hex::encode(&forged));
                    // What the encoding says beside the key itself may change without changing the key; it is not kept.
                    // (The second half of an ML-KEM seed, z, has no public counterpart: it makes what an implicit rejection answers.)
                    let same = other.spki().unwrap() == spki;
                    assert!(
                        spec.as_str().starts_with("ML_KEM") || same == (*other.pkcs8().unwrap() == pkcs8),
                        "{spec} {}",
                        hex::encode(&forged)
                    );
                }
            }
        }
    }
}

#[test]
fn there_is_one_encoding_for_each_pair() {
    // The same scalar with its public point, without it, and with the point in compressed form.
    let whole = crate::self_test::vectors::EC_P256;
    let (scalar, x) = (&whole[72..136], &whole[148..212]);
    let compressed =
        |sign: &str| format!("3067020100301306072a8648ce3d020106082a8648ce3d030107044d304b0201010420{scalar}a124032200{sign}{x}");
    let without = format!("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420{scalar}");
    let encoded =
        |given: &str| parse(KeySpec::EccNistP256, &hex::decode(given).unwrap()).map(|pair| hex::encode(&*pair.pkcs8().unwrap()));
    assert_eq!(encoded(whole).as_deref(), Ok(whole));
    assert_eq!(encoded(&without).as_deref(), Ok(whole));
    assert!([compressed("02"), compressed("03")].iter().any(|given| encoded(given).as_deref() == Ok(whole)));
}

proptest! {
    #[test]
    fn no_bytes_crash_it(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for spec in QUICK.into_iter().chain([KeySpec::Rsa2048, KeySpec::MlDsa44, KeySpec::MlKem512, KeySpec::Sm2]) {
            prop_assert!(parse(spec, &bytes).is_err());
            // With a beginning that is right, so that more is looked at.
            prop_assert!(parse(spec, &[&[0x30, 0x82, bytes.len().to_be_bytes()[6], bytes.len().to_be_bytes()[7]][..], &bytes].concat()).is_err());
        }
        let sm2 = parse(KeySpec::Sm2, &hex::decode(crate::self_test::vectors::SM2).unwrap()).unwrap();
        prop_assert_eq!(sm2.decrypt(EncryptionAlgorithm::Sm2pke, &bytes), Err(HsmError::InvalidCiphertext));
        prop_assert_eq!(sm2.agree(&bytes), Err(HsmError::InvalidPublicKey));
        let verified = sm2.verify(SigningAlgorithm::Sm2dsa, Input::Message(b"x"), &bytes);
        prop_assert_eq!(verified, Err(HsmError::InvalidSignature));
    }
}

#[test]
fn only_whole_der_sequences_are_read() {
    assert_eq!(sequence_content(&[0x30, 0]), Some(&[][..]));
    assert_eq!(sequence_content(&[0x30, 1, 5]), Some(&[5][..]));
    assert_eq!(sequence_content(&[&[0x30, 0x81, 0x80][..], &[7; 128]].concat()), Some(&[7; 128][..]));
    assert_eq!(sequence_content(&[&[0x30, 0x82, 1, 0][..], &[7; 256]].concat()), Some(&[7; 256][..]));
    for wrong in [
        &[][..],
        &[0x30],
        &[0x31, 0],
        &[0x30, 0, 0],
        &[0x30, 1],
        &[0x30, 0x80, 0, 0],
        &[0x30, 0x85, 0, 0, 0, 0, 0],
        &[0x30, 0x81],
    ] {
        assert_eq!(sequence_content(wrong), None, "{wrong:?}");
    }
}
