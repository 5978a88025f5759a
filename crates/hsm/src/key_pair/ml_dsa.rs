//! ML-DSA. Source: FIPS 204; RFC 9881 for the encodings. The context is empty; signatures are hedged (with fresh randomness), as FIPS 204 prefers.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87, ML_DSA_87_SIGNING, PqdsaKeyPair,
    PqdsaSigningAlgorithm, PqdsaVerificationAlgorithm, UnparsedPublicKey,
};
use claviger_domain::key::{KeySpec, SigningAlgorithm};
use zeroize::Zeroizing;

use super::{Input, KeyPair, unfit};
use crate::aws_lc_gap::ParsedKey;
use crate::error::HsmError;

/// A parameter set.
#[derive(Clone, Copy)]
pub(super) struct Set {
    signing: &'static PqdsaSigningAlgorithm,
    verification: &'static PqdsaVerificationAlgorithm,
}

impl Set {
    pub(super) fn of(spec: KeySpec) -> Option<Self> {
        match spec {
            KeySpec::MlDsa44 => Some(Self { signing: &ML_DSA_44_SIGNING, verification: &ML_DSA_44 }),
            KeySpec::MlDsa65 => Some(Self { signing: &ML_DSA_65_SIGNING, verification: &ML_DSA_65 }),
            KeySpec::MlDsa87 => Some(Self { signing: &ML_DSA_87_SIGNING, verification: &ML_DSA_87 }),
            _ => None,
        }
    }
}

/// An ML-DSA key pair, parsed by AWS-LC.
pub(super) struct MlDsa {
    set: Set,
    pair: PqdsaKeyPair,
    /// The same key for external µ, which AWS-LC's safe interface does not offer: parsed at its first use.
    mu: OnceLock<ParsedKey>,
}

impl MlDsa {
    pub(super) fn generate(set: Set) -> Result<Self, HsmError> {
        let pair = PqdsaKeyPair::generate(set.signing).map_err(|_| HsmError::Primitive("ML-DSA key generation"))?;
        Ok(Self { set, pair, mu: OnceLock::new() })
    }

    /// The key has to come with its seed, alone or beside the expanded form: the expanded form alone could not be written as every other key is.
    pub(super) fn parse(set: Set, pkcs8: &[u8]) -> Result<Self, HsmError> {
        let pair = PqdsaKeyPair::from_pkcs8(set.signing, pkcs8).map_err(|_| {
            HsmError::InvalidKeyMaterial(
                "it is not a valid ML-DSA private key in PKCS#8 of the parameter set that the key spec says",
            )
        })?;
        pair.to_pkcs8v1()
            .map_err(|_| HsmError::InvalidKeyMaterial("the ML-DSA private key has no seed (RFC 9881, section 6)"))?;
        Ok(Self { set, pair, mu: OnceLock::new() })
    }

    fn mu_key(&self) -> Result<&ParsedKey, HsmError> {
        if let Some(key) = self.mu.get() {
            return Ok(key);
        }
        let key = ParsedKey::parse(&self.pkcs8()?).ok_or(HsmError::Primitive("ML-DSA key parsing"))?;
        Ok(self.mu.get_or_init(|| key))
    }
}

impl KeyPair for MlDsa {
    /// The form with the seed only.
    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let pkcs8 = self.pair.to_pkcs8v1().map_err(|_| HsmError::Primitive("ML-DSA key encoding"))?;
        Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
    }

    fn spki(&self) -> Result<Vec<u8>, HsmError> {
        let spki: PublicKeyX509Der<'_> =
            self.pair.public_key().as_der().map_err(|_| HsmError::Primitive("ML-DSA key encoding"))?;
        Ok(spki.as_ref().to_vec())
    }

    fn sign(&self, algorithm: SigningAlgorithm, input: Input<'_>) -> Result<Vec<u8>, HsmError> {
        let failed = || HsmError::Primitive("an ML-DSA signature");
        let length = self.set.signing.signature_len();
        match (algorithm, input) {
            (SigningAlgorithm::MlDsaShake256, Input::Message(message)) => {
                let mut signature = vec![0; length];
                self.pair.sign(message, &mut signature).map_err(|_| failed())?;
                Ok(signature)
            }
            (SigningAlgorithm::MlDsaShake256, Input::Mu(mu)) => self.mu_key()?.sign_mu(mu, length).ok_or_else(failed),
            _ => Err(unfit(algorithm.as_str())),
        }
    }

    fn verify(&self, algorithm: SigningAlgorithm, input: Input<'_>, signature: &[u8]) -> Result<(), HsmError> {
        let right = match (algorithm, input) {
            (SigningAlgorithm::MlDsaShake256, Input::Message(message)) => {
                verify(self.set, self.pair.public_key().as_ref(), message, signature)
            }
            (SigningAlgorithm::MlDsaShake256, Input::Mu(mu)) => self.mu_key()?.verify_mu(mu, signature),
            _ => return Err(unfit(algorithm.as_str())),
        };
        if right { Ok(()) } else { Err(HsmError::InvalidSignature) }
    }
}

/// Whether it is a signature over this message under a public key.
pub(super) fn verify(set: Set, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(set.verification, public_key).verify(message, signature).is_ok()
}
