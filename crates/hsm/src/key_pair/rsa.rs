//! RSA: RSASSA-PSS, RSASSA-PKCS1-v1_5 and RSAES-OAEP. Source: RFC 8017.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaParameters, UnparsedPublicKey,
};
use aws_lc_rs::{digest, error::Unspecified};
use claviger_domain::key::{EncryptionAlgorithm, KeySpec, SigningAlgorithm};
use zeroize::Zeroizing;

use super::{Input, KeyPair, unfit};
use crate::error::HsmError;

/// How long the modulus is.
#[derive(Clone, Copy)]
pub(super) struct Size(KeySize);

impl Size {
    pub(super) fn of(spec: KeySpec) -> Option<Self> {
        match spec {
            KeySpec::Rsa2048 => Some(Self(KeySize::Rsa2048)),
            KeySpec::Rsa3072 => Some(Self(KeySize::Rsa3072)),
            KeySpec::Rsa4096 => Some(Self(KeySize::Rsa4096)),
            _ => None,
        }
    }

    pub(super) fn bits(self) -> usize {
        self.0.len() * 8
    }
}

/// An RSA key pair, parsed by AWS-LC. The public exponent of those made here is 65537.
pub(super) struct Rsa {
    pair: RsaKeyPair,
    /// The same key for encryption, which AWS-LC's safe interface parses separately: at its first use, since a key does one or the other.
    oaep: OnceLock<Oaep>,
}

struct Oaep {
    public: OaepPublicEncryptingKey,
    private: OaepPrivateDecryptingKey,
}

impl Rsa {
    pub(super) fn generate(size: Size) -> Result<Self, HsmError> {
        let pair = RsaKeyPair::generate(size.0).map_err(|_| HsmError::Primitive("RSA key generation"))?;
        Ok(Self { pair, oaep: OnceLock::new() })
    }

    pub(super) fn parse(size: Size, pkcs8: &[u8]) -> Result<Self, HsmError> {
        let pair = RsaKeyPair::from_pkcs8(pkcs8)
            .map_err(|_| HsmError::InvalidKeyMaterial("it is not a valid RSA private key in PKCS#8"))?;
        let bits = PublicEncryptingKey::from_der(&spki(&pair)?).map(|key| key.key_size_bits());
        if bits.ok() != Some(size.bits()) {
            return Err(HsmError::InvalidKeyMaterial("the modulus of the RSA key has another length than the key spec says"));
        }
        Ok(Self { pair, oaep: OnceLock::new() })
    }

    fn oaep(&self) -> Result<&Oaep, HsmError> {
        if let Some(oaep) = self.oaep.get() {
            return Ok(oaep);
        }
        let made = || {
            let pkcs8: Pkcs8V1Der<'_> = self.pair.as_der()?;
            let private = PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref())?;
            let public = OaepPublicEncryptingKey::new(private.public_key())?;
            Ok::<_, Unspecified>(Oaep { public, private: OaepPrivateDecryptingKey::new(private)? })
        };
        let oaep = made().map_err(|_| HsmError::Primitive("RSA key parsing"))?;
        Ok(self.oaep.get_or_init(|| oaep))
    }
}

impl KeyPair for Rsa {
    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let pkcs8: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| HsmError::Primitive("RSA key encoding"))?;
        Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
    }

    fn spki(&self) -> Result<Vec<u8>, HsmError> {
        spki(&self.pair)
    }

    fn sign(&self, algorithm: SigningAlgorithm, input: Input<'_>) -> Result<Vec<u8>, HsmError> {
        let scheme = Scheme::of(algorithm)?;
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign_digest(scheme.encoding, &input.digest(scheme.digest)?, &mut signature)
            .map_err(|_| HsmError::Primitive("an RSA signature"))?;
        Ok(signature)
    }

    fn verify(&self, algorithm: SigningAlgorithm, input: Input<'_>, signature: &[u8]) -> Result<(), HsmError> {
        verify(algorithm, input, self.pair.public_key().as_ref(), signature)
    }

    fn encrypt(&self, algorithm: EncryptionAlgorithm, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        encrypt(&self.oaep()?.public, algorithm, plaintext)
    }

    fn decrypt(&self, algorithm: EncryptionAlgorithm, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let scheme = oaep(algorithm)?;
        let key = &self.oaep()?.private;
        let mut plaintext = Zeroizing::new(vec![0; key.min_output_size()]);
        let length = key.decrypt(scheme, ciphertext, &mut plaintext, None).map_err(|_| HsmError::InvalidCiphertext)?.len();
        plaintext.truncate(length);
        Ok(plaintext)
    }
}

fn spki(pair: &RsaKeyPair) -> Result<Vec<u8>, HsmError> {
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| HsmError::Primitive("RSA key encoding"))?;
    Ok(spki.as_ref().to_vec())
}

/// Verifies under a public key in SubjectPublicKeyInfo or RSAPublicKey form.
pub(super) fn verify(algorithm: SigningAlgorithm, input: Input<'_>, public_key: &[u8], signature: &[u8]) -> Result<(), HsmError> {
    let scheme = Scheme::of(algorithm)?;
    UnparsedPublicKey::new(scheme.parameters, public_key)
        .verify_digest(&input.digest(scheme.digest)?, signature)
        .map_err(|_| HsmError::InvalidSignature)
}

/// Encrypts for the holder of the private key.
pub(super) fn encrypt(
    key: &OaepPublicEncryptingKey,
    algorithm: EncryptionAlgorithm,
    plaintext: &[u8],
) -> Result<Vec<u8>, HsmError> {
    let scheme = oaep(algorithm)?;
    let max = key.max_plaintext_size(scheme);
    if plaintext.len() > max {
        return Err(HsmError::PlaintextTooLong { max });
    }
    let mut ciphertext = vec![0; key.ciphertext_size()];
    key.encrypt(scheme, plaintext, &mut ciphertext, None).map_err(|_| HsmError::Primitive("RSA encryption"))?;
    Ok(ciphertext)
}

struct Scheme {
    digest: &'static digest::Algorithm,
    encoding: &'static dyn RsaEncoding,
    parameters: &'static RsaParameters,
}

impl Scheme {
    /// The salt of PSS is as long as the digest, in signing and in verification.
    fn of(algorithm: SigningAlgorithm) -> Result<Self, HsmError> {
        use SigningAlgorithm as S;
        let (digest, encoding, parameters): (_, &'static dyn RsaEncoding, _) = match algorithm {
            S::RsassaPssSha256 => (&digest::SHA256, &RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256),
            S::RsassaPssSha384 => (&digest::SHA384, &RSA_PSS_SHA384, &RSA_PSS_2048_8192_SHA384),
            S::RsassaPssSha512 => (&digest::SHA512, &RSA_PSS_SHA512, &RSA_PSS_2048_8192_SHA512),
            S::RsassaPkcs1V15Sha256 => (&digest::SHA256, &RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256),
            S::RsassaPkcs1V15Sha384 => (&digest::SHA384, &RSA_PKCS1_SHA384, &RSA_PKCS1_2048_8192_SHA384),
            S::RsassaPkcs1V15Sha512 => (&digest::SHA512, &RSA_PKCS1_SHA512, &RSA_PKCS1_2048_8192_SHA512),
            other => return Err(unfit(other.as_str())),
        };
        Ok(Self { digest, encoding, parameters })
    }
}

/// The mask is generated with the same hash; the label is empty.
fn oaep(algorithm: EncryptionAlgorithm) -> Result<&'static OaepAlgorithm, HsmError> {
    match algorithm {
        EncryptionAlgorithm::RsaesOaepSha1 => Ok(&OAEP_SHA1_MGF1SHA1),
        EncryptionAlgorithm::RsaesOaepSha256 => Ok(&OAEP_SHA256_MGF1SHA256),
        other => Err(unfit(other.as_str())),
    }
}
