//! ML-KEM. Source: FIPS 203; RFC 9935 for the encodings.

use aws_lc_rs::kem::{self, AlgorithmId, Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_512, ML_KEM_768, ML_KEM_1024};
use claviger_domain::key::KeySpec;
use zeroize::Zeroizing;

use super::{Encapsulated, KeyPair};
use crate::aws_lc_gap::ParsedKey;
use crate::error::HsmError;
use crate::memory::LongSecret;

const SEED_BYTES: usize = 64;

/// A parameter set.
pub(super) struct Set {
    algorithm: &'static kem::Algorithm<AlgorithmId>,
    /// Bytes in the encapsulation and in the decapsulation key (FIPS 203, table 3).
    public_bytes: usize,
    private_bytes: usize,
    /// What comes before the seed in PKCS#8, and before the encapsulation key in SubjectPublicKeyInfo (RFC 9935, sections 6 and 4).
    pkcs8: [u8; 22],
    spki: [u8; 22],
}

static SET_512: Set = Set::new(&ML_KEM_512, 1, 800, 1632);
static SET_768: Set = Set::new(&ML_KEM_768, 2, 1184, 2400);
static SET_1024: Set = Set::new(&ML_KEM_1024, 3, 1568, 3168);

impl Set {
    pub(super) fn of(spec: KeySpec) -> Option<&'static Self> {
        match spec {
            KeySpec::MlKem512 => Some(&SET_512),
            KeySpec::MlKem768 => Some(&SET_768),
            KeySpec::MlKem1024 => Some(&SET_1024),
            _ => None,
        }
    }

    /// `arc` is the last arc of the set's object identifier, 2.16.840.1.101.3.4.4.x.
    const fn new(algorithm: &'static kem::Algorithm<AlgorithmId>, arc: u8, public_bytes: u16, private_bytes: usize) -> Self {
        let oid = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04, arc];
        let [o0, o1, o2, o3, o4, o5, o6, o7, o8, o9, o10] = oid;
        let [bits_high, bits_low] = (public_bytes + 1).to_be_bytes();
        let [all_high, all_low] = (public_bytes + 18).to_be_bytes();
        Self {
            algorithm,
            public_bytes: public_bytes as usize,
            private_bytes,
            // SEQUENCE { INTEGER 0, SEQUENCE { OID }, OCTET STRING { [0] seed } }
            pkcs8: [
                0x30, 0x54, 0x02, 0x01, 0x00, 0x30, 0x0b, o0, o1, o2, o3, o4, o5, o6, o7, o8, o9, o10, 0x04, 0x42, 0x80, 0x40,
            ],
            // SEQUENCE { SEQUENCE { OID }, BIT STRING without unused bits { key } }
            spki: [
                0x30, 0x82, all_high, all_low, 0x30, 0x0b, o0, o1, o2, o3, o4, o5, o6, o7, o8, o9, o10, 0x03, 0x82, bits_high,
                bits_low, 0x00,
            ],
        }
    }
}

/// An ML-KEM key pair: its seed (d ‖ z) in locked memory, and what AWS-LC expanded of it.
pub(super) struct MlKem {
    set: &'static Set,
    seed: LongSecret,
    public: Vec<u8>,
    decapsulation: DecapsulationKey<AlgorithmId>,
    encapsulation: EncapsulationKey<AlgorithmId>,
}

impl MlKem {
    pub(super) fn generate(set: &'static Set) -> Result<Self, HsmError> {
        Self::new(set, LongSecret::generate(SEED_BYTES)?).ok_or(HsmError::Primitive("ML-KEM key generation"))
    }

    /// The key has to be in the form of its seed (RFC 9935, section 6), from which everything else follows.
    pub(super) fn parse(set: &'static Set, pkcs8: &[u8]) -> Result<Self, HsmError> {
        let refused = HsmError::InvalidKeyMaterial(
            "it is not an ML-KEM private key in PKCS#8, in seed format, of the parameter set that the key spec says",
        );
        let seed = pkcs8.strip_prefix(&set.pkcs8).filter(|seed| seed.len() == SEED_BYTES).ok_or_else(|| refused.clone())?;
        Self::new(set, LongSecret::from_bytes(seed)?).ok_or(refused)
    }

    fn new(set: &'static Set, seed: LongSecret) -> Option<Self> {
        let key = ParsedKey::parse(&encode(set, &seed))?;
        let public = key.public(set.public_bytes)?;
        let decapsulation = DecapsulationKey::new(set.algorithm, &key.private(set.private_bytes)?).ok()?;
        let encapsulation = EncapsulationKey::new(set.algorithm, &public).ok()?;
        Some(Self { set, seed, public, decapsulation, encapsulation })
    }
}

impl KeyPair for MlKem {
    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        Ok(encode(self.set, &self.seed))
    }

    fn spki(&self) -> Result<Vec<u8>, HsmError> {
        Ok([&self.set.spki[..], &self.public].concat())
    }

    fn encapsulate(&self) -> Result<Encapsulated, HsmError> {
        let (ciphertext, secret) = self.encapsulation.encapsulate().map_err(|_| HsmError::Primitive("ML-KEM encapsulation"))?;
        Ok(Encapsulated { ciphertext: ciphertext.as_ref().to_vec(), secret: Zeroizing::new(secret.as_ref().to_vec()) })
    }

    fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let secret = self.decapsulation.decapsulate(Ciphertext::from(ciphertext)).map_err(|_| HsmError::InvalidCiphertext)?;
        Ok(Zeroizing::new(secret.as_ref().to_vec()))
    }
}

fn encode(set: &Set, seed: &LongSecret) -> Zeroizing<Vec<u8>> {
    let mut pkcs8 = Zeroizing::new(Vec::with_capacity(set.pkcs8.len() + SEED_BYTES));
    pkcs8.extend_from_slice(&set.pkcs8);
    seed.expose(|seed| pkcs8.extend_from_slice(seed));
    pkcs8
}

#[cfg(test)]
pub(super) fn pkcs8_prefix(set: &Set) -> [u8; 22] {
    set.pkcs8
}
