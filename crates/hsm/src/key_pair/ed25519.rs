//! Ed25519 and Ed25519ph. Source: RFC 8032, section 5.1; RFC 8410 for the encodings.
//!
//! AWS KMS takes a digest as the *message* of Ed25519ph, and hashes it once more: "the input is hashed twice: once by you and once by KMS" (API
//! Reference, "Sign", `MessageType`). So it is here.

use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use claviger_domain::key::SigningAlgorithm;
use zeroize::Zeroizing;

use super::{Input, KeyPair, unfit};
use crate::aws_lc_gap;
use crate::error::HsmError;
use crate::memory::Secret;

/// An Ed25519 key pair: the seed, in locked memory. It is expanded for each signature, as the audit log's signer is.
pub(super) struct Ed25519 {
    seed: Secret,
    public: [u8; 32],
}

impl Ed25519 {
    pub(super) fn generate() -> Result<Self, HsmError> {
        Self::new(Secret::generate()?)
    }

    pub(super) fn parse(pkcs8: &[u8]) -> Result<Self, HsmError> {
        let refused = HsmError::InvalidKeyMaterial("it is not a valid Ed25519 private key in PKCS#8");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| refused.clone())?;
        let seed = pair.seed().map_err(|_| refused.clone())?;
        let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| refused.clone())?;
        Self::new(Secret::from_fill(|out| {
            *out = seed.as_ref().try_into().map_err(|_| refused)?;
            Ok(())
        })?)
    }

    fn new(seed: Secret) -> Result<Self, HsmError> {
        let mut public = [0; 32];
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| HsmError::Primitive("Ed25519 key parsing"))?;
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { seed, public })
    }

    fn expanded(&self) -> Result<Ed25519KeyPair, HsmError> {
        Ed25519KeyPair::from_seed_unchecked(self.seed.expose()).map_err(|_| HsmError::Primitive("Ed25519 key parsing"))
    }
}

impl KeyPair for Ed25519 {
    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let pkcs8: Pkcs8V1Der<'_> = self.expanded()?.as_der().map_err(|_| HsmError::Primitive("Ed25519 key encoding"))?;
        Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
    }

    fn spki(&self) -> Result<Vec<u8>, HsmError> {
        let pair = self.expanded()?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| HsmError::Primitive("Ed25519 key encoding"))?;
        Ok(spki.as_ref().to_vec())
    }

    fn sign(&self, algorithm: SigningAlgorithm, input: Input<'_>) -> Result<Vec<u8>, HsmError> {
        match (algorithm, input) {
            (SigningAlgorithm::Ed25519Sha512, Input::Message(message)) => {
                let signature = self.expanded()?.try_sign(message).map_err(|_| HsmError::Primitive("an Ed25519 signature"))?;
                Ok(signature.as_ref().to_vec())
            }
            (SigningAlgorithm::Ed25519PhSha512, Input::Digest(digest)) => {
                aws_lc_gap::ed25519ph_sign(&self.seed, digest).map(Vec::from).ok_or(HsmError::Primitive("an Ed25519ph signature"))
            }
            _ => Err(unfit(algorithm.as_str())),
        }
    }

    fn verify(&self, algorithm: SigningAlgorithm, input: Input<'_>, signature: &[u8]) -> Result<(), HsmError> {
        match (algorithm, input) {
            (SigningAlgorithm::Ed25519Sha512, Input::Message(message)) => {
                UnparsedPublicKey::new(&ED25519, self.public).verify(message, signature).map_err(|_| HsmError::InvalidSignature)
            }
            (SigningAlgorithm::Ed25519PhSha512, Input::Digest(digest)) => {
                let right = aws_lc_gap::ed25519ph_verify(&self.public, digest, signature);
                if right { Ok(()) } else { Err(HsmError::InvalidSignature) }
            }
            _ => Err(unfit(algorithm.as_str())),
        }
    }
}
