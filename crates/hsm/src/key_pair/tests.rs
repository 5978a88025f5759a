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
