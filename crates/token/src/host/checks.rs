//! Is this the key that the reference was made for? Asked of the key itself, by letting it do what only it can do.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::digest;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{self, VerificationAlgorithm};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use super::faults::{Course, Failure, course, may_blame_input};
use super::objects::{self, Described};
use super::token::{Resolved, Token};
use super::uses;
use crate::wire::{Curve, Fault, FaultKind, Hash, KeyKind, MadeKey, Purpose, Scheme, Selector};
use crate::{Check, Reference, der};

/// What a key decrypts, authenticates or signs to prove itself. Long enough for every digest.
const CHALLENGE: &[u8; 32] = b"claviger: are you still my key?\n";
/// Associated data of the challenge, which no request of ours has.
const CHALLENGE_AAD: &[u8] = b"claviger token reference 1";

/// Makes the reference of a key that was just made or found.
pub(super) fn reference(
    session: &Session,
    token: &Token,
    handle: ObjectHandle,
    described: Described,
) -> Result<MadeKey, Failure> {
    let Described { id, label, kind, purpose, form } = described;
    let public_key = objects::public_key(session, handle, kind, &id)?;
    let mut reference = Reference { id, label, kind, purpose, form, check: Check::Wrapped };
    let resolved = |reference: &Reference| Resolved { reference: reference.clone(), handle };
    reference.check = match (purpose, kind) {
        (Purpose::Wrap, _) => Check::Wrapped,
        (Purpose::Encrypt, KeyKind::Aes256) => {
            let ciphertext = uses::encrypt(session, token, &resolved(&reference), CHALLENGE, CHALLENGE_AAD)?.to_vec();
            Check::Ciphertext { ciphertext }
        }
        (Purpose::Mac, _) => Check::Mac { mac: uses::mac(session, handle, Hash::Sha256, CHALLENGE)?.to_vec() },
        _ => Check::PublicKey { spki: public_key.clone() },
    };
    // A key that cannot prove itself now could never be used.
    if !passes(session, token, &resolved(&reference))? {
        return Err(Failure::fault(FaultKind::Unsupported, "the token's key does not do what it should be able to"));
    }
    let bytes = reference.to_bytes();
    token.remember(&bytes, Resolved { reference, handle });
    Ok(MadeKey { reference: bytes, kind, purpose, public_key })
}

/// Finds the key of a reference, and lets it prove itself, unless that was done with the same handle before.
pub(super) fn resolve(session: &Session, token: &Token, bytes: &[u8]) -> Result<std::sync::Arc<Resolved>, Failure> {
    if let Some(known) = token.known(bytes) {
        return Ok(known);
    }
    let reference = Reference::parse(bytes)
        .map_err(|_| Fault::new(FaultKind::Protocol, "this is no reference to a key of a token, or one of a newer version"))?;
    let candidates = if reference.id.is_empty() {
        vec![objects::by_selector(session, &Selector::Label { label: reference.label.clone() })?]
    } else {
        objects::by_id(session, reference.kind, &reference.id)?
    };
    if candidates.is_empty() {
        let name = Selector::Id { id: reference.id };
        return Err(Failure::fault(FaultKind::NotFound, format!("the token has no key {name} any more")));
    }
    let mut last = None;
    for handle in candidates {
        let resolved = Resolved { reference: reference.clone(), handle };
        match prove(session, token, &resolved) {
            Ok(()) => return Ok(token.remember(bytes, resolved)),
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.unwrap_or_else(swapped))
}

/// Lets a key prove that it is the right one. A key that cannot do at all what the right one did is not the right one; but a token that is going may
/// look like that, and an error that comes once says nothing: whoever is called a stranger has failed twice.
pub(super) fn prove(session: &Session, token: &Token, resolved: &Resolved) -> Result<(), Failure> {
    match passes(session, token, resolved) {
        Ok(true) => Ok(()),
        Ok(false) => Err(swapped()),
        Err(Failure::Library(error)) if course(&error) == Course::Answer || may_blame_input(&error) => {
            match (passes(session, token, resolved), token.works()) {
                (Ok(true), _) => Ok(()),
                (_, true) => Err(swapped()),
                (_, false) => Err(Failure::Library(error)),
            }
        }
        Err(failure) => Err(failure),
    }
}

/// Whether a key does what its reference says.
fn passes(session: &Session, token: &Token, resolved: &Resolved) -> Result<bool, Failure> {
    let Resolved { reference, handle } = resolved;
    match &reference.check {
        Check::Wrapped => Ok(objects::describe(session, *handle)?.purpose == Purpose::Wrap),
        Check::Ciphertext { ciphertext } => {
            Ok(*uses::decrypt_unblamed(session, token, resolved, ciphertext, CHALLENGE_AAD)? == *CHALLENGE)
        }
        Check::Mac { mac } => {
            let made = uses::mac(session, *handle, Hash::Sha256, CHALLENGE)?;
            Ok(aws_lc_rs::constant_time::verify_slices_are_equal(&made, mac).is_ok())
        }
        Check::PublicKey { spki } => fits_public_key(session, *handle, reference, spki),
    }
}

fn swapped() -> Failure {
    Failure::fault(
        FaultKind::Swapped,
        "there is a key of that id in the token, but it is not the one that was put there: it fails its check",
    )
}

fn fits_public_key(session: &Session, handle: ObjectHandle, reference: &Reference, spki: &[u8]) -> Result<bool, Failure> {
    match (reference.purpose, reference.kind) {
        (Purpose::Sign, KeyKind::Rsa { .. }) => {
            let digest = digest::digest(&digest::SHA256, CHALLENGE);
            let signature = uses::sign(session, handle, Scheme::RsaPkcs1 { hash: Hash::Sha256 }, digest.as_ref())?;
            Ok(verifies(&signature::RSA_PKCS1_2048_8192_SHA256, spki, &signature))
        }
        (Purpose::Sign, KeyKind::Ec { curve }) => {
            let digest = digest::digest(&digest::SHA256, CHALLENGE);
            let signature = uses::sign(session, handle, Scheme::Ecdsa, digest.as_ref())?;
            let algorithm = match curve {
                Curve::P256 => &signature::ECDSA_P256_SHA256_ASN1,
                Curve::P384 => &signature::ECDSA_P384_SHA256_ASN1,
                Curve::P521 => &signature::ECDSA_P521_SHA256_ASN1,
            };
            Ok(der::ec_point_of_spki(spki).is_some_and(|(_, point)| verifies(algorithm, point, &signature)))
        }
        (Purpose::Agree, KeyKind::Ec { curve }) => agrees(session, handle, curve, spki),
        (Purpose::Encrypt, KeyKind::Rsa { bits }) => {
            let Some(ciphertext) = encrypt_challenge(spki, bits) else { return Ok(false) };
            match uses::oaep_decrypt(session, handle, Hash::Sha1, &ciphertext) {
                Ok(plaintext) => Ok(*plaintext == *CHALLENGE),
                Err(Failure::Library(error)) if may_blame_input(&error) => Ok(false),
                Err(failure) => Err(failure),
            }
        }
        _ => Ok(false),
    }
}

fn verifies(algorithm: &'static dyn VerificationAlgorithm, key: &[u8], signature: &[u8]) -> bool {
    signature::UnparsedPublicKey::new(algorithm, key).verify(CHALLENGE, signature).is_ok()
}

fn encrypt_challenge(spki: &[u8], bits: u32) -> Option<Vec<u8>> {
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(spki).ok()?).ok()?;
    let mut ciphertext = vec![0; usize::try_from(bits.div_ceil(8)).ok()?];
    let length = key.encrypt(&OAEP_SHA1_MGF1SHA1, CHALLENGE, &mut ciphertext, None).ok()?.len();
    ciphertext.truncate(length);
    Some(ciphertext)
}

fn agrees(session: &Session, handle: ObjectHandle, curve: Curve, spki: &[u8]) -> Result<bool, Failure> {
    let algorithm: &'static agreement::Algorithm = match curve {
        Curve::P256 => &ECDH_P256,
        Curve::P384 => &ECDH_P384,
        Curve::P521 => &ECDH_P521,
    };
    let failed = || Failure::fault(FaultKind::Unavailable, "no key could be made to check a key agreement with");
    let ours = PrivateKey::generate(algorithm).map_err(|_| failed())?;
    let point = ours.compute_public_key().map_err(|_| failed())?;
    let theirs = uses::agree(session, handle, curve, point.as_ref())?;
    let Some((_, recorded)) = der::ec_point_of_spki(spki) else { return Ok(false) };
    let same = |secret: &[u8]| aws_lc_rs::constant_time::verify_slices_are_equal(secret, &theirs).map_err(|_| ());
    Ok(agree(&ours, UnparsedPublicKey::new(algorithm, recorded), (), same).is_ok())
}
