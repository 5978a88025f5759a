//! Public halves whose private halves are elsewhere: they verify and encrypt, and refuse everything else.

use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
use claviger_domain::key::{EncryptionAlgorithm, SigningAlgorithm};
use zeroize::Zeroizing;

use super::{Input, KeyPair, ec, rsa, unfit};
use crate::error::HsmError;

/// The public half of an RSA key pair.
pub(super) struct RsaPublic {
    spki: Vec<u8>,
    oaep: OaepPublicEncryptingKey,
}

impl RsaPublic {
    pub(super) fn parse(size: rsa::Size, spki: &[u8]) -> Result<Self, HsmError> {
        let key = PublicEncryptingKey::from_der(spki).map_err(|_| HsmError::InvalidPublicKey)?;
        if key.key_size_bits() != size.bits() {
            return Err(HsmError::InvalidPublicKey);
        }
        let oaep = OaepPublicEncryptingKey::new(key).map_err(|_| HsmError::InvalidPublicKey)?;
        Ok(Self { spki: spki.to_vec(), oaep })
    }
}

impl KeyPair for RsaPublic {
    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        Err(unfit("its private half"))
    }

    fn spki(&self) -> Result<Vec<u8>, HsmError> {
        Ok(self.spki.clone())
    }

    fn verify(&self, algorithm: SigningAlgorithm, input: Input<'_>, signature: &[u8]) -> Result<(), HsmError> {
        rsa::verify(algorithm, input, &self.spki, signature)
    }

    fn encrypt(&self, algorithm: EncryptionAlgorithm, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        rsa::encrypt(&self.oaep, algorithm, plaintext)
    }
}

/// The public half of a key pair on a curve.
pub(super) struct EcPublic {
    spki: Vec<u8>,
    curve: &'static ec::Curve,
    key: ec::PublicKey,
}

impl EcPublic {
    pub(super) fn parse(curve: &'static ec::Curve, spki: &[u8]) -> Result<Self, HsmError> {
        let key = curve.public_key(spki).ok_or(HsmError::InvalidPublicKey)?;
        Ok(Self { spki: spki.to_vec(), curve, key })
    }
}

impl KeyPair for EcPublic {
    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        Err(unfit("its private half"))
    }

    fn spki(&self) -> Result<Vec<u8>, HsmError> {
        Ok(self.spki.clone())
    }

    fn verify(&self, algorithm: SigningAlgorithm, input: Input<'_>, signature: &[u8]) -> Result<(), HsmError> {
        self.key.verify(&self.curve.digest(algorithm, input)?, signature)
    }
}
