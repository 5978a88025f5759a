//! SM2: signatures, encryption and key agreement on its own curve. Source: GB/T 32918 (draft-shen-sm2-ecdsa), GM/T 0009 for the encodings.
//!
//! AWS-LC has none of it, so this is RustCrypto's. As in AWS KMS, the signer's distinguishing id is the default one; a digest is SM3(Z ‖ message), with
//! that id in Z; signatures and ciphertexts (C1, C3, C2) are DER.

use elliptic_curve::ecdh::diffie_hellman;
use sm2::dsa::signature::hazmat::{PrehashVerifier as _, RandomizedPrehashSigner as _};
use sm2::dsa::signature::{RandomizedSigner as _, Verifier as _};
use sm2::dsa::{DerSignature, Signature, SigningKey, VerifyingKey};
use sm2::elliptic_curve::rand_core::{TryCryptoRng, TryRng};
use sm2::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _};
use sm2::pke::{DecryptingKey, EncryptingKey, Mode};
use sm2::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use claviger_domain::key::{EncryptionAlgorithm, SigningAlgorithm};

use super::{Input, KeyPair, unfit};
use crate::error::HsmError;
use crate::memory::Secret;

/// The distinguishing id of a signer who has none (GM/T 0009, section 10).
const DEFAULT_ID: &str = "1234567812345678";

/// The most that AWS KMS encrypts with SM2PKE (API Reference, "Encrypt"); the algorithm itself has no such limit.
const PLAINTEXT_BYTES_MAX: usize = 1024;

/// An SM2 key pair: the scalar, in locked memory, and the public point. The scalar is given to the library for each operation.
pub(super) struct Sm2 {
    scalar: Secret,
    public: PublicKey,
    verifying: VerifyingKey,
}

impl Sm2 {
    pub(super) fn generate() -> Result<Self, HsmError> {
        // Of all 32-byte numbers, one in 2^32 is too large to be a scalar.
        for _ in 0..16 {
            if let Some(pair) = Self::new(Secret::generate()?) {
                return Ok(pair);
            }
        }
        Err(HsmError::Primitive("SM2 key generation"))
    }

    pub(super) fn parse(pkcs8: &[u8]) -> Result<Self, HsmError> {
        let refused = HsmError::InvalidKeyMaterial("it is not a valid SM2 private key in PKCS#8");
        let key = SecretKey::from_pkcs8_der(pkcs8).map_err(|_| refused.clone())?;
        let bytes = Zeroizing::new(key.to_bytes());
        let scalar = Secret::from_fill(|out| {
            out.copy_from_slice(&bytes);
            Ok(())
        });
        Self::new(scalar?).ok_or(refused)
    }

    fn new(scalar: Secret) -> Option<Self> {
        let public = SecretKey::from_slice(scalar.expose()).ok()?.public_key();
        let verifying = VerifyingKey::new(DEFAULT_ID, public).ok()?;
        Some(Self { scalar, public, verifying })
    }

    fn secret_key(&self) -> Result<SecretKey, HsmError> {
        SecretKey::from_slice(self.scalar.expose()).map_err(|_| HsmError::Primitive("SM2 key parsing"))
    }
}

impl KeyPair for Sm2 {
    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let pkcs8 = self.secret_key()?.to_pkcs8_der().map_err(|_| HsmError::Primitive("SM2 key encoding"))?;
        Ok(Zeroizing::new(pkcs8.as_bytes().to_vec()))
    }

    fn spki(&self) -> Result<Vec<u8>, HsmError> {
        let spki = self.public.to_public_key_der().map_err(|_| HsmError::Primitive("SM2 key encoding"))?;
        Ok(spki.as_bytes().to_vec())
    }

    fn sign(&self, algorithm: SigningAlgorithm, input: Input<'_>) -> Result<Vec<u8>, HsmError> {
        let failed = HsmError::Primitive("an SM2 signature");
        let key = SigningKey::new(DEFAULT_ID, &self.secret_key()?).map_err(|_| failed.clone())?;
        let signature: Signature = match (algorithm, input) {
            (SigningAlgorithm::Sm2dsa, Input::Message(message)) => key.try_sign_with_rng(&mut AwsLcRng, message),
            (SigningAlgorithm::Sm2dsa, Input::Digest(digest)) => key.sign_prehash_with_rng(&mut AwsLcRng, digest),
            _ => return Err(unfit(algorithm.as_str())),
        }
        .map_err(|_| failed)?;
        Ok(DerSignature::from(signature).to_vec())
    }

    fn verify(&self, algorithm: SigningAlgorithm, input: Input<'_>, signature: &[u8]) -> Result<(), HsmError> {
        let parsed = Signature::from_der(signature);
        match (algorithm, input) {
            (SigningAlgorithm::Sm2dsa, Input::Message(message)) => {
                parsed.and_then(|parsed| self.verifying.verify(message, &parsed))
            }
            (SigningAlgorithm::Sm2dsa, Input::Digest(digest)) => {
                parsed.and_then(|parsed| self.verifying.verify_prehash(digest, &parsed))
            }
            _ => return Err(unfit(algorithm.as_str())),
        }
        .map_err(|_| HsmError::InvalidSignature)
    }

    fn encrypt(&self, algorithm: EncryptionAlgorithm, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        if algorithm != EncryptionAlgorithm::Sm2pke {
            return Err(unfit(algorithm.as_str()));
        }
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(HsmError::PlaintextTooLong { max: PLAINTEXT_BYTES_MAX });
        }
        EncryptingKey::new_with_mode(self.public, Mode::C1C3C2)
            .encrypt_der(&mut AwsLcRng, plaintext)
            .map_err(|_| HsmError::Primitive("SM2 encryption"))
    }

    fn decrypt(&self, algorithm: EncryptionAlgorithm, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        if algorithm != EncryptionAlgorithm::Sm2pke {
            return Err(unfit(algorithm.as_str()));
        }
        let key = DecryptingKey::new_with_mode(self.secret_key()?.to_nonzero_scalar(), Mode::C1C3C2);
        key.decrypt_der(ciphertext).map(Zeroizing::new).map_err(|_| HsmError::InvalidCiphertext)
    }

    fn agree(&self, peer: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let peer = PublicKey::from_public_key_der(peer).map_err(|_| HsmError::InvalidPublicKey)?;
        let secret = diffie_hellman(self.secret_key()?.to_nonzero_scalar(), peer.as_affine());
        Ok(Zeroizing::new(secret.raw_secret_bytes().to_vec()))
    }
}

/// AWS-LC's generator, as RustCrypto's crates want to be given one.
struct AwsLcRng;

impl TryRng for AwsLcRng {
    type Error = aws_lc_rs::error::Unspecified;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        aws_lc_rs::rand::fill(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        aws_lc_rs::rand::fill(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        aws_lc_rs::rand::fill(out)
    }
}

impl TryCryptoRng for AwsLcRng {}
