//! Material that its owner brings: wrapping keys, import tokens, and the way in. Source: AWS KMS Developer Guide, "Importing key material";
//! RFC 8017, section 7.1 (RSAES-OAEP); GB/T 32918.4 (SM2 public key encryption); RFC 5649 (AES key wrap with padding); PKCS#11 3.1, `CKM_RSA_AES_KEY_WRAP`.
//!
//! The private half of a wrapping key lives in the import token and nowhere else: sealed under the account's key, bound to the key that the
//! material is for. So nothing has to be kept for tokens that nobody uses, older tokens stay valid beside newer ones, and any node can take
//! any of them.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use claviger_domain::key::{EncryptionAlgorithm, KeySpec, WrappingAlgorithm, WrappingKeySpec};
use claviger_domain::{KeyId, MaterialId, Permit, Region, Timestamp};
use zeroize::Zeroizing;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::{AccountKey, Hsm};
use crate::key_pair::{self, KeyPair};
use crate::material::NewMaterial;
use crate::memory::{SECRET_BYTES, Secret};
use crate::sealed::Blob;

/// What the owner of material needs to bring it.
pub struct ImportParameters {
    /// The public half of the wrapping key, as SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
    pub public_key: Vec<u8>,
    /// To be brought back with the material: opaque, authenticated, and good for one key.
    pub token: Vec<u8>,
}

/// An import token that was opened. A handle; it cannot be printed.
pub struct ImportToken {
    key: KeyId,
    algorithm: WrappingAlgorithm,
    valid_to: Timestamp,
    private_key: WrappingKey,
}

/// The private half of a wrapping key.
enum WrappingKey {
    Rsa(OaepPrivateDecryptingKey),
    Sm2(Box<dyn KeyPair>),
}

impl ImportToken {
    /// Until when it may be used.
    pub fn valid_to(&self) -> Timestamp {
        self.valid_to
    }
}

/// What the ids of a key's imported material are made with. A handle; the secret stays in locked memory.
pub struct ImportSecret {
    key: KeyId,
    secret: Secret,
}

impl Hsm {
    /// A new wrapping key for one import (`kms:GetParametersForImport`). Takes long: RSA keys are searched for.
    #[expect(clippy::too_many_arguments, reason = "everything that the token is bound to")]
    pub fn begin_import(
        &self,
        permit: &Permit,
        account_key: &AccountKey,
        key: KeyId,
        region: &Region,
        algorithm: WrappingAlgorithm,
        spec: WrappingKeySpec,
        valid_to: Timestamp,
    ) -> Result<ImportParameters, HsmError> {
        self.state.check()?;
        self.demand_for_import(permit, "kms:GetParametersForImport", key)?;
        let (pkcs8, public_key) = match spec {
            WrappingKeySpec::Sm2 => {
                let pair = self.generate_pair(KeySpec::Sm2)?;
                (pair.pkcs8()?, pair.spki()?)
            }
            WrappingKeySpec::Rsa2048 => self.rsa_wrapping_key(KeySize::Rsa2048)?,
            WrappingKeySpec::Rsa3072 => self.rsa_wrapping_key(KeySize::Rsa3072)?,
            WrappingKeySpec::Rsa4096 => self.rsa_wrapping_key(KeySize::Rsa4096)?,
        };
        let mut content = Zeroizing::new(Vec::with_capacity(TOKEN_HEADER_BYTES + pkcs8.len()));
        content.extend_from_slice(&valid_to.0.to_be_bytes());
        content.push(code_of(algorithm)?);
        content.extend_from_slice(&pkcs8);
        let token = account_key.seal(self.token_identity_of(account_key, key, region), &content)?;
        Ok(ImportParameters { public_key, token })
    }

    /// A new RSA key pair: PKCS#8 and SubjectPublicKeyInfo.
    fn rsa_wrapping_key(&self, size: KeySize) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), HsmError> {
        let private_key = PrivateDecryptingKey::generate(size).map_err(|_| failed())?;
        let public_key = private_key.public_key();
        self.check_pair(&private_key, &public_key)?;
        let pkcs8: Pkcs8V1Der<'static> = private_key.as_der().map_err(|_| failed())?;
        let spki: PublicKeyX509Der<'static> = public_key.as_der().map_err(|_| failed())?;
        Ok((Zeroizing::new(pkcs8.as_ref().to_vec()), spki.as_ref().to_vec()))
    }

    /// Opens an import token (`kms:ImportKeyMaterial`). Whatever was not made here, for this key, is [`HsmError::InvalidImportToken`]. Whether
    /// it is still valid is the caller's business.
    pub fn open_import_token(
        &self,
        permit: &Permit,
        account_key: &AccountKey,
        key: KeyId,
        region: &Region,
        token: &[u8],
    ) -> Result<ImportToken, HsmError> {
        self.state.check()?;
        self.demand_for_import(permit, "kms:ImportKeyMaterial", key)?;
        let identity = self.token_identity_of(account_key, key, region);
        let blob = Blob::parse(token).filter(|blob| blob.key_version == account_key.version());
        let content = blob.and_then(|blob| account_key.open_blob(&blob, identity).ok()).ok_or(HsmError::InvalidImportToken)?;
        let (valid_to, rest) = content.split_first_chunk().ok_or(HsmError::InvalidImportToken)?;
        let (code, pkcs8) = rest.split_first().ok_or(HsmError::InvalidImportToken)?;
        let algorithm = algorithm_of(*code).ok_or(HsmError::InvalidImportToken)?;
        let private_key = match algorithm {
            WrappingAlgorithm::Sm2pke => {
                WrappingKey::Sm2(key_pair::parse(KeySpec::Sm2, pkcs8).map_err(|_| HsmError::InvalidImportToken)?)
            }
            _ => {
                let key = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| HsmError::InvalidImportToken)?;
                WrappingKey::Rsa(OaepPrivateDecryptingKey::new(key).map_err(|_| failed())?)
            }
        };
        Ok(ImportToken { key, algorithm, valid_to: Timestamp(i64::from_be_bytes(*valid_to)), private_key })
    }

    /// Unwraps material, checks that it is of this kind, and seals it for its key.
    ///
    /// # Errors
    /// [`HsmError::InvalidCiphertext`] when it cannot be unwrapped, [`HsmError::InvalidKeyMaterial`] when it is not what the key needs.
    pub fn import_material(
        &self,
        token: &ImportToken,
        account_key: &AccountKey,
        secret: &ImportSecret,
        spec: KeySpec,
        wrapped: &[u8],
    ) -> Result<NewMaterial, HsmError> {
        self.state.check()?;
        if token.key != secret.key {
            return Err(HsmError::WrongKey("an import token was used with another key's secret".to_owned()));
        }
        let plaintext = token.unwrap(wrapped)?;
        self.new_material(account_key, secret, spec, &plaintext)
    }

    /// A new secret for the ids of a key's imported material, sealed.
    pub fn create_import_secret(&self, account_key: &AccountKey, key: KeyId) -> Result<Vec<u8>, HsmError> {
        self.state.check()?;
        let secret = Secret::generate()?;
        account_key.seal(self.secret_identity(account_key, key), secret.expose())
    }

    /// Opens the secret for the ids of a key's imported material.
    pub fn open_import_secret(&self, account_key: &AccountKey, key: KeyId, sealed: &[u8]) -> Result<ImportSecret, HsmError> {
        self.state.check()?;
        let name = || format!("import secret of key {key}, account {}", account_key.account());
        let identity = self.secret_identity(account_key, key);
        let secret = account_key.open(sealed, name, |blob, sealing| blob.open_secret(sealing, identity))?;
        Ok(ImportSecret { key, secret })
    }

    /// Encrypts and decrypts once: a key pair whose halves do not fit must not leave (FIPS 140-3, pairwise consistency).
    fn check_pair(&self, private_key: &PrivateDecryptingKey, public_key: &PublicEncryptingKey) -> Result<(), HsmError> {
        let mut probe = [0; SECRET_BYTES];
        aws_lc_rs::rand::fill(&mut probe).map_err(|_| HsmError::Primitive("the random generator"))?;
        let mut wrapped = vec![0; public_key.key_size_bytes()];
        let sealed = OaepPublicEncryptingKey::new(public_key.clone())
            .and_then(|key| key.encrypt(&OAEP_SHA256_MGF1SHA256, &probe, &mut wrapped, None).map(|wrapped| wrapped.to_vec()));
        let opened = sealed.and_then(|sealed| {
            let key = OaepPrivateDecryptingKey::new(private_key.clone())?;
            let mut out = vec![0; key.min_output_size()];
            key.decrypt(&OAEP_SHA256_MGF1SHA256, &sealed, &mut out, None).map(|opened| opened == probe)
        });
        match opened {
            Ok(true) => Ok(()),
            _ => Err(self.state.fail("RSA key generation")),
        }
    }

    fn demand_for_import(&self, permit: &Permit, action: &str, key: KeyId) -> Result<(), HsmError> {
        if permit.action() == action && permit.covers(key) { Ok(()) } else { Err(HsmError::PermitMismatch) }
    }

    fn token_identity_of(&self, account_key: &AccountKey, key: KeyId, region: &Region) -> AssociatedData {
        AssociatedData::new("import token", self.deployment)
            .number(account_key.account().number())
            .text(&key.to_string())
            .text(region.as_str())
    }

    fn secret_identity(&self, account_key: &AccountKey, key: KeyId) -> AssociatedData {
        AssociatedData::new("import secret", self.deployment).number(account_key.account().number()).text(&key.to_string())
    }
}

impl ImportSecret {
    /// The key whose material it is for.
    pub(crate) fn key(&self) -> KeyId {
        self.key
    }

    /// The id of imported material = HMAC-SHA256(import secret, "claviger imported material id 1" ‖ the key's UUID ‖ material). For a key pair, its
    /// public half in SubjectPublicKeyInfo form takes the place of the material.
    ///
    /// Unlike the ids of material that is made here, its key is a secret that never leaves the hsm, random for each key: imported material may be
    /// guessable, and its id is public.
    pub(crate) fn id_of(&self, material: &[u8]) -> MaterialId {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose()));
        context.update(b"claviger imported material id 1");
        context.update(self.key.uuid().as_bytes());
        context.update(material);
        let mut id = [0; 32];
        id.copy_from_slice(context.sign().as_ref());
        MaterialId::new(id)
    }
}

impl ImportToken {
    /// The material in what was wrapped with this token's wrapping key. Every failure is the same one.
    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        match (self.algorithm, &self.private_key) {
            (WrappingAlgorithm::RsaesOaepSha1, WrappingKey::Rsa(key)) => decrypt(key, &OAEP_SHA1_MGF1SHA1, wrapped),
            (WrappingAlgorithm::RsaesOaepSha256, WrappingKey::Rsa(key)) => decrypt(key, &OAEP_SHA256_MGF1SHA256, wrapped),
            (WrappingAlgorithm::RsaAesKeyWrapSha1, WrappingKey::Rsa(key)) => unwrap_with_both(key, &OAEP_SHA1_MGF1SHA1, wrapped),
            (WrappingAlgorithm::RsaAesKeyWrapSha256, WrappingKey::Rsa(key)) => {
                unwrap_with_both(key, &OAEP_SHA256_MGF1SHA256, wrapped)
            }
            (WrappingAlgorithm::Sm2pke, WrappingKey::Sm2(pair)) => pair.decrypt(EncryptionAlgorithm::Sm2pke, wrapped),
            _ => Err(HsmError::InvalidCiphertext),
        }
    }
}

/// A key of 256 bits for AES under RSA, and the material under that key.
fn unwrap_with_both(
    key: &OaepPrivateDecryptingKey,
    algorithm: &'static OaepAlgorithm,
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let (head, rest) = wrapped.split_at_checked(key.key_size_bytes()).ok_or(HsmError::InvalidCiphertext)?;
    unwrap_with_padding(&decrypt(key, algorithm, head)?, rest)
}

fn decrypt(
    key: &OaepPrivateDecryptingKey,
    algorithm: &'static OaepAlgorithm,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let mut plaintext = Zeroizing::new(vec![0; key.min_output_size()]);
    let length = key.decrypt(algorithm, ciphertext, &mut plaintext, None).map_err(|_| HsmError::InvalidCiphertext)?.len();
    plaintext.truncate(length);
    Ok(plaintext)
}

/// AES key wrap with padding (RFC 5649) under a key of 256 bits.
pub(crate) fn unwrap_with_padding(kek: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let kek = AesKek::new(&AES_256, kek).map_err(|_| HsmError::InvalidCiphertext)?;
    let mut plaintext = Zeroizing::new(vec![0; wrapped.len()]);
    let length = kek.unwrap_with_padding(wrapped, &mut plaintext).map_err(|_| HsmError::InvalidCiphertext)?.len();
    plaintext.truncate(length);
    Ok(plaintext)
}

/// The token's content begins with its end (8 bytes) and its algorithm (1 byte); the private key follows (PKCS#8, RFC 5208).
const TOKEN_HEADER_BYTES: usize = 9;

const CODES: [(u8, WrappingAlgorithm); 5] = [
    (1, WrappingAlgorithm::RsaesOaepSha1),
    (2, WrappingAlgorithm::RsaesOaepSha256),
    (3, WrappingAlgorithm::RsaAesKeyWrapSha1),
    (4, WrappingAlgorithm::RsaAesKeyWrapSha256),
    (5, WrappingAlgorithm::Sm2pke),
];

fn code_of(algorithm: WrappingAlgorithm) -> Result<u8, HsmError> {
    let found = CODES.iter().find(|(_, known)| *known == algorithm).map(|(code, _)| *code);
    found.ok_or_else(|| HsmError::WrongKey(format!("nothing is wrapped with {algorithm}")))
}

fn algorithm_of(code: u8) -> Option<WrappingAlgorithm> {
    CODES.iter().find(|(known, _)| *known == code).map(|(_, algorithm)| *algorithm)
}

fn failed() -> HsmError {
    HsmError::Primitive("RSA")
}

#[cfg(test)]
mod tests;
