//! Elliptic curves in Weierstrass form: ECDSA on NIST's curves and secp256k1 (FIPS 186-5, section 6; SEC 2), ECDH on NIST's (SP 800-56A,
//! section 5.7.1.2). Signatures are DER (RFC 3279, section 2.2.3); s is whatever comes out, on secp256k1 too.

use std::sync::OnceLock;

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521, ParsedPublicKeyFormat};
use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1, ECDSA_P256K1_SHA256_ASN1_SIGNING,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair as _, ParsedPublicKey,
};
use claviger_domain::key::{KeySpec, SigningAlgorithm};
use zeroize::Zeroizing;

use super::{Input, KeyPair, same_algorithm, unfit};
use crate::error::HsmError;

/// A curve, with the one way in which keys on it sign.
pub(super) struct Curve {
    algorithm: SigningAlgorithm,
    digest: &'static digest::Algorithm,
    signing: &'static EcdsaSigningAlgorithm,
    verification: &'static EcdsaVerificationAlgorithm,
    agreement: Option<&'static agreement::Algorithm>,
}

static P256: Curve = Curve {
    algorithm: SigningAlgorithm::EcdsaSha256,
    digest: &digest::SHA256,
    signing: &ECDSA_P256_SHA256_ASN1_SIGNING,
    verification: &ECDSA_P256_SHA256_ASN1,
    agreement: Some(&ECDH_P256),
};

static P384: Curve = Curve {
    algorithm: SigningAlgorithm::EcdsaSha384,
    digest: &digest::SHA384,
    signing: &ECDSA_P384_SHA384_ASN1_SIGNING,
    verification: &ECDSA_P384_SHA384_ASN1,
    agreement: Some(&ECDH_P384),
};

static P521: Curve = Curve {
    algorithm: SigningAlgorithm::EcdsaSha512,
    digest: &digest::SHA512,
    signing: &ECDSA_P521_SHA512_ASN1_SIGNING,
    verification: &ECDSA_P521_SHA512_ASN1,
    agreement: Some(&ECDH_P521),
};

static P256K1: Curve = Curve {
    algorithm: SigningAlgorithm::EcdsaSha256,
    digest: &digest::SHA256,
    signing: &ECDSA_P256K1_SHA256_ASN1_SIGNING,
    verification: &ECDSA_P256K1_SHA256_ASN1,
    agreement: None,
};

impl Curve {
    pub(super) fn of(spec: KeySpec) -> Option<&'static Self> {
        match spec {
            KeySpec::EccNistP256 => Some(&P256),
            KeySpec::EccNistP384 => Some(&P384),
            KeySpec::EccNistP521 => Some(&P521),
            KeySpec::EccSecgP256k1 => Some(&P256K1),
            _ => None,
        }
    }

    /// The digest that a key on this curve signs.
    pub(super) fn digest(&self, algorithm: SigningAlgorithm, input: Input<'_>) -> Result<digest::Digest, HsmError> {
        if algorithm != self.algorithm {
            return Err(unfit(algorithm.as_str()));
        }
        input.digest(self.digest)
    }

    /// A public key on this curve, as a point or in SubjectPublicKeyInfo form.
    pub(super) fn public_key(&self, bytes: &[u8]) -> Option<PublicKey> {
        ParsedPublicKey::new(self.verification, bytes).ok().map(PublicKey)
    }
}

/// A public key that verifies signatures.
pub(super) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    pub(super) fn verify(&self, digest: &digest::Digest, signature: &[u8]) -> Result<(), HsmError> {
        self.0.verify_digest_sig(digest, signature).map_err(|_| HsmError::InvalidSignature)
    }
}

/// A key pair on a curve, parsed by AWS-LC.
pub(super) struct Ec {
    curve: &'static Curve,
    pair: EcdsaKeyPair,
    public: PublicKey,
    /// The same key for key agreement, which AWS-LC's safe interface parses separately: at its first use, since a key does one or the other.
    agreement: OnceLock<agreement::PrivateKey>,
}

impl Ec {
    pub(super) fn generate(curve: &'static Curve) -> Result<Self, HsmError> {
        let pair = EcdsaKeyPair::generate(curve.signing).map_err(|_| HsmError::Primitive("EC key generation"))?;
        Self::new(curve, pair)
    }

    pub(super) fn parse(curve: &'static Curve, pkcs8: &[u8]) -> Result<Self, HsmError> {
        let pair = EcdsaKeyPair::from_pkcs8(curve.signing, pkcs8).map_err(|_| {
            HsmError::InvalidKeyMaterial("it is not a valid EC private key in PKCS#8 on the curve that the key spec says")
        })?;
        // AWS-LC remembers in which form the public point came, or that it did not, and writes it so again. Here there is one form for each pair.
        let encoded = pair.to_pkcs8v1().map_err(|_| HsmError::Primitive("EC key encoding"))?;
        if encoded.as_ref().ends_with(pair.public_key().as_ref()) {
            return Self::new(curve, pair);
        }
        let refused = HsmError::Primitive("EC key parsing");
        let scalar: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().map_err(|_| refused.clone())?;
        let public = pair.public_key().as_ref();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.signing, scalar.as_ref(), public).map_err(|_| refused)?;
        Self::new(curve, pair)
    }

    fn new(curve: &'static Curve, pair: EcdsaKeyPair) -> Result<Self, HsmError> {
        let public = curve.public_key(pair.public_key().as_ref()).ok_or(HsmError::Primitive("EC key parsing"))?;
        Ok(Self { curve, pair, public, agreement: OnceLock::new() })
    }

    fn agreement_key(&self, algorithm: &'static agreement::Algorithm) -> Result<&agreement::PrivateKey, HsmError> {
        if let Some(key) = self.agreement.get() {
            return Ok(key);
        }
        let refused = HsmError::Primitive("EC key parsing");
        let scalar: EcPrivateKeyBin<'_> = self.pair.private_key().as_be_bytes().map_err(|_| refused.clone())?;
        let key = agreement::PrivateKey::from_private_key(algorithm, scalar.as_ref()).map_err(|_| refused)?;
        Ok(self.agreement.get_or_init(|| key))
    }
}

impl KeyPair for Ec {
    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let pkcs8 = self.pair.to_pkcs8v1().map_err(|_| HsmError::Primitive("EC key encoding"))?;
        Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
    }

    fn spki(&self) -> Result<Vec<u8>, HsmError> {
        let spki: PublicKeyX509Der<'_> = self.pair.public_key().as_der().map_err(|_| HsmError::Primitive("EC key encoding"))?;
        Ok(spki.as_ref().to_vec())
    }

    fn sign(&self, algorithm: SigningAlgorithm, input: Input<'_>) -> Result<Vec<u8>, HsmError> {
        let digest = self.curve.digest(algorithm, input)?;
        let signature = self.pair.sign_digest(&digest).map_err(|_| HsmError::Primitive("an ECDSA signature"))?;
        Ok(signature.as_ref().to_vec())
    }

    fn verify(&self, algorithm: SigningAlgorithm, input: Input<'_>, signature: &[u8]) -> Result<(), HsmError> {
        self.public.verify(&self.curve.digest(algorithm, input)?, signature)
    }

    fn agree(&self, peer: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let algorithm = self.curve.agreement.ok_or_else(|| unfit("ECDH"))?;
        // AWS-LC takes more: bare points, curves that are spelled out instead of named (which RFC 5480, section 2.1.1 forbids), and anything after
        // the encoding.
        let own = self.spki()?;
        let peer = agreement::ParsedPublicKey::try_from(agreement::UnparsedPublicKey::new(algorithm, peer))
            .ok()
            .filter(|parsed| parsed.format() == ParsedPublicKeyFormat::X509 && same_algorithm(&own, peer))
            .ok_or(HsmError::InvalidPublicKey)?;
        agreement::agree(self.agreement_key(algorithm)?, peer, HsmError::InvalidPublicKey, |secret| {
            Ok(Zeroizing::new(secret.to_vec()))
        })
    }
}
