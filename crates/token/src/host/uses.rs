//! What keys do: one function for each, in one session.

use aws_lc_rs::rand;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::checks;
use super::faults::{Failure, may_blame_input};
use super::message_keys::SALT_BYTES;
use super::token::{Resolved, Token};
use crate::der;
use crate::wire::{Curve, FaultKind, Form, Hash, Scheme, Secret};

const TAG_BYTES: usize = 16;
const IV_BYTES: usize = 12;
/// The IV of tokens that make it themselves and put it behind their output.
const IV_BEHIND_BYTES: usize = 16;

/// AES-GCM. The answer is a byte that says what follows, the salt of a derived key if there is one, the IV, ciphertext and tag.
pub(super) fn encrypt(
    session: &Session,
    token: &Token,
    resolved: &Resolved,
    plaintext: &[u8],
    aad: &[u8],
) -> Result<Secret, Failure> {
    if resolved.reference.form == Form::Direct {
        let (iv, output) = gcm(session, token, resolved.handle, plaintext, aad)?;
        return Ok([&[layout(Form::Direct, &iv)], iv.as_slice(), &output].concat().into());
    }
    token.message_keys.encrypting(token, resolved.handle, |key, salt| {
        let (iv, output) = gcm(session, token, key, plaintext, aad)?;
        Ok([&[layout(Form::Derived, &iv)], salt.as_slice(), &iv, &output].concat().into())
    })
}

/// The first byte of a ciphertext.
fn layout(form: Form, iv: &[u8]) -> u8 {
    match (form, iv.len()) {
        (Form::Direct, IV_BYTES) => 1,
        (Form::Derived, IV_BYTES) => 2,
        (Form::Direct, _) => 3,
        (Form::Derived, _) => 4,
    }
}

/// The form, and the bytes of the IV, that the first byte of a ciphertext says.
fn of_layout(byte: u8) -> Option<(Form, usize)> {
    match byte {
        1 => Some((Form::Direct, IV_BYTES)),
        2 => Some((Form::Derived, IV_BYTES)),
        3 => Some((Form::Direct, IV_BEHIND_BYTES)),
        4 => Some((Form::Derived, IV_BEHIND_BYTES)),
        _ => None,
    }
}

/// Decrypts what [`encrypt`] made. Where a library does not say whether ciphertext or token is to blame, the key's own check decides.
pub(super) fn decrypt(
    session: &Session,
    token: &Token,
    resolved: &Resolved,
    ciphertext: &[u8],
    aad: &[u8],
) -> Result<Secret, Failure> {
    match decrypt_unblamed(session, token, resolved, ciphertext, aad) {
        Err(Failure::Library(error)) => Err(blame(session, token, resolved, error)),
        outcome => outcome,
    }
}

/// Whose fault a failed decryption is.
pub(super) fn blame(session: &Session, token: &Token, resolved: &Resolved, error: Error) -> Failure {
    if may_blame_input(&error) && checks::prove(session, token, resolved).is_ok() { invalid() } else { Failure::Library(error) }
}

/// The same without asking who is to blame.
pub(super) fn decrypt_unblamed(
    session: &Session,
    token: &Token,
    resolved: &Resolved,
    ciphertext: &[u8],
    aad: &[u8],
) -> Result<Secret, Failure> {
    let (first, rest) = ciphertext.split_first().ok_or_else(invalid)?;
    let (form, iv_bytes) = of_layout(*first).filter(|(form, _)| *form == resolved.reference.form).ok_or_else(invalid)?;
    if form == Form::Direct {
        return open_gcm(session, resolved.handle, rest, iv_bytes, aad);
    }
    let (salt, sealed) = rest.split_first_chunk::<SALT_BYTES>().ok_or_else(invalid)?;
    token.message_keys.decrypting(session, token, resolved.handle, salt, |key| open_gcm(session, key, sealed, iv_bytes, aad))
}

fn invalid() -> Failure {
    Failure::fault(FaultKind::InvalidCiphertext, "the ciphertext was not made with this key and associated data")
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Failure::fault(FaultKind::Unavailable, "the random number generator failed"))?;
    Ok(bytes)
}

/// One AES-GCM encryption with an IV that was never used before: ours, or the token's own where it insists. The IV, and ciphertext with tag.
fn gcm(session: &Session, token: &Token, key: ObjectHandle, plaintext: &[u8], aad: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let mut iv = if token.quirks.makes_own_iv { [0; IV_BYTES] } else { random()? };
    let mut output = session.encrypt(&Mechanism::AesGcm(GcmParams::new(&mut iv, aad, 128.into())?), key, plaintext)?;
    let behind = output.split_off((plaintext.len() + TAG_BYTES).min(output.len()));
    let iv = match behind.len() {
        0 => iv.to_vec(),
        IV_BEHIND_BYTES if token.quirks.iv_behind => behind,
        _ => {
            return Err(Failure::fault(
                FaultKind::Unsupported,
                "the token's AES-GCM answers in a form that nobody has told us of",
            ));
        }
    };
    if iv.iter().all(|byte| *byte == 0) {
        // Should a token take zeros for an IV instead of making one, nothing that was encrypted with it may leave.
        return Err(Failure::fault(FaultKind::Unsupported, "the token was to make an IV for AES-GCM, and made none"));
    }
    Ok((iv, output))
}

fn open_gcm(session: &Session, key: ObjectHandle, sealed: &[u8], iv_bytes: usize, aad: &[u8]) -> Result<Secret, Failure> {
    let (iv, ciphertext) = sealed.split_at_checked(iv_bytes).ok_or_else(invalid)?;
    if ciphertext.len() < TAG_BYTES {
        return Err(invalid());
    }
    let mut iv = iv.to_vec();
    let plaintext = session.decrypt(&Mechanism::AesGcm(GcmParams::new(&mut iv, aad, 128.into())?), key, ciphertext)?;
    Ok(Zeroizing::new(plaintext))
}

/// Signs a digest.
pub(super) fn sign(session: &Session, key: ObjectHandle, scheme: Scheme, digest: &[u8]) -> Result<Secret, Failure> {
    let signature = match scheme {
        Scheme::RsaPkcs1 { hash } => session.sign(&Mechanism::RsaPkcs, key, &[hash.digest_info(), digest].concat())?,
        Scheme::RsaPss { hash } => {
            let parameters = PkcsPssParams { hash_alg: hash.mechanism(), mgf: hash.mgf(), s_len: hash.length().into() };
            session.sign(&Mechanism::RsaPkcsPss(parameters), key, digest)?
        }
        Scheme::Ecdsa => {
            let raw = session.sign(&Mechanism::Ecdsa, key, digest)?;
            let odd = || Failure::fault(FaultKind::Unsupported, "the token's ECDSA signature has not two halves");
            der::ecdsa_signature(&raw).ok_or_else(odd)?
        }
    };
    Ok(Zeroizing::new(signature))
}

/// RSAES-OAEP (RFC 8017, section 7.1).
pub(super) fn oaep_decrypt(session: &Session, key: ObjectHandle, hash: Hash, ciphertext: &[u8]) -> Result<Secret, Failure> {
    let parameters = PkcsOaepParams::new(hash.mechanism(), hash.mgf(), PkcsOaepSource::empty());
    Ok(Zeroizing::new(session.decrypt(&Mechanism::RsaPkcsOaep(parameters), key, ciphertext)?))
}

/// HMAC (FIPS 198-1).
pub(super) fn mac(session: &Session, key: ObjectHandle, hash: Hash, message: &[u8]) -> Result<Secret, Failure> {
    let mechanism = match hash {
        Hash::Sha1 => Mechanism::Sha1Hmac,
        Hash::Sha224 => Mechanism::Sha224Hmac,
        Hash::Sha256 => Mechanism::Sha256Hmac,
        Hash::Sha384 => Mechanism::Sha384Hmac,
        Hash::Sha512 => Mechanism::Sha512Hmac,
    };
    Ok(Zeroizing::new(session.sign(&mechanism, key, message)?))
}

/// Elliptic curve Diffie-Hellman (NIST SP 800-56A, section 5.7.1.2): the x coordinate.
pub(super) fn agree(session: &Session, key: ObjectHandle, curve: Curve, point: &[u8]) -> Result<Secret, Failure> {
    let length = u64::try_from(curve.field_bytes()).unwrap_or(0);
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::ValueLen(length.into()),
        Attribute::Token(false),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ];
    let derive = |point: &[u8]| {
        let parameters = Ecdh1DeriveParams::new(EcKdf::null(), point);
        session.derive_key(&Mechanism::Ecdh1Derive(parameters), key, &template)
    };
    let derived = match derive(point) {
        // "A token MAY, in addition, support" the DER form (PKCS #11 Mechanisms 3.1, section 6.3.17); some support it alone.
        Err(Error::Pkcs11(RvError::MechanismParamInvalid | RvError::DomainParamsInvalid | RvError::ArgumentsBad, _)) => {
            derive(&der::octet_string(point))?
        }
        derived => derived?,
    };
    let value = session.get_attributes(derived, &[AttributeType::Value]);
    session.destroy_object(derived)?;
    let secret = value?.into_iter().find_map(|attribute| match attribute {
        Attribute::Value(bytes) => Some(Zeroizing::new(bytes)),
        _ => None,
    });
    secret
        .filter(|secret| secret.len() == curve.field_bytes())
        .ok_or_else(|| Failure::fault(FaultKind::Unsupported, "the token does not hand out the shared secret of a key agreement"))
}

impl Hash {
    fn mechanism(self) -> MechanismType {
        match self {
            Self::Sha1 => MechanismType::SHA1,
            Self::Sha224 => MechanismType::SHA224,
            Self::Sha256 => MechanismType::SHA256,
            Self::Sha384 => MechanismType::SHA384,
            Self::Sha512 => MechanismType::SHA512,
        }
    }

    fn mgf(self) -> PkcsMgfType {
        match self {
            Self::Sha1 => PkcsMgfType::MGF1_SHA1,
            Self::Sha224 => PkcsMgfType::MGF1_SHA224,
            Self::Sha256 => PkcsMgfType::MGF1_SHA256,
            Self::Sha384 => PkcsMgfType::MGF1_SHA384,
            Self::Sha512 => PkcsMgfType::MGF1_SHA512,
        }
    }

    fn length(self) -> u64 {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// What stands before the digest in a DigestInfo (RFC 8017, section 9.2, note 1).
    fn digest_info(self) -> &'static [u8] {
        match self {
            Self::Sha1 => &[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14],
            Self::Sha224 => &[
                0x30, 0x2d, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04, 0x05, 0x00, 0x04, 0x1c,
            ],
            Self::Sha256 => &[
                0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
            ],
            Self::Sha384 => &[
                0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30,
            ],
            Self::Sha512 => &[
                0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40,
            ],
        }
    }
}
