//! From requests to what is done in a session.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::checks::{self, resolve};
use super::faults::Failure;
use super::objects::{self, Described, Wanted};
use super::token::{Resolved, Token};
use super::uses;
use crate::wire::{Answer, FaultKind, KeyKind, Purpose, Request, Secret, Selector};

/// Random bytes that are made at once: as many as GenerateRandom gives.
const RANDOM_BYTES_MAX: u32 = 1024;

impl Request {
    /// The key that this is about.
    pub(super) fn reference(&self) -> Option<&[u8]> {
        match self {
            Self::Status | Self::Generate { .. } | Self::Adopt { .. } | Self::List | Self::Random { .. } => None,
            Self::Inspect { reference }
            | Self::Destroy { reference }
            | Self::Encrypt { reference, .. }
            | Self::Decrypt { reference, .. }
            | Self::Sign { reference, .. }
            | Self::OaepDecrypt { reference, .. }
            | Self::Mac { reference, .. }
            | Self::Agree { reference, .. }
            | Self::Wrap { reference, .. }
            | Self::Unwrap { reference, .. } => Some(reference),
        }
    }
}

/// Does what is asked, once.
pub(super) fn perform(session: &Session, token: &Token, request: &Request) -> Result<Answer, Failure> {
    let key = |reference: &[u8]| resolve(session, token, reference);
    let bytes = |bytes: Result<Secret, Failure>| bytes.map(|bytes| Answer::Bytes { bytes });
    match request {
        Request::Status => {
            session.get_session_info()?;
            if !token.is_there() {
                return Err(Failure::fault(FaultKind::Unavailable, "the token is not in its slot any more"));
            }
            // Reaches the token itself: some libraries answer the lines above from memory.
            objects::by_id(session, KeyKind::Aes256, b"claviger: is anybody there?")?;
            Ok(Answer::Token { facts: token.facts() })
        }
        Request::Generate { kind, purpose, id, label, extractable } => {
            let wanted = Wanted { kind: *kind, purpose: *purpose, id, label, extractable: *extractable };
            generate(session, token, &wanted)
        }
        Request::Adopt { selector } => {
            let handle = objects::by_selector(session, selector)?;
            let described = objects::describe(session, handle)?;
            checks::reference(session, token, handle, described).map(|key| Answer::Key { key })
        }
        Request::List => objects::list(session).map(|objects| Answer::Objects { objects }),
        Request::Inspect { reference } => {
            let resolved = key(reference)?;
            // Asked for to find out how the key is: what was found out before does not count.
            checks::prove(session, token, &resolved)?;
            objects::facts(session, resolved.handle).map(|facts| Answer::Objects { objects: vec![facts] })
        }
        Request::Destroy { reference } => destroy(session, token, reference),
        Request::Encrypt { reference, plaintext, aad } => {
            bytes(uses::encrypt(session, token, &*using(key(reference)?, Purpose::Encrypt)?, plaintext, aad))
        }
        Request::Decrypt { reference, ciphertext, aad } => {
            bytes(uses::decrypt(session, token, &*using(key(reference)?, Purpose::Encrypt)?, ciphertext, aad))
        }
        Request::Sign { reference, scheme, digest } => {
            bytes(uses::sign(session, using(key(reference)?, Purpose::Sign)?.handle, *scheme, digest))
        }
        Request::OaepDecrypt { reference, hash, ciphertext } => {
            let resolved = using(key(reference)?, Purpose::Encrypt)?;
            bytes(match uses::oaep_decrypt(session, resolved.handle, *hash, ciphertext) {
                // The check uses SHA-1, which every token has: a token that has no other hash is not to be taken for a wrong ciphertext.
                Err(Failure::Library(error)) if *hash == crate::wire::Hash::Sha1 => {
                    Err(uses::blame(session, token, &resolved, error))
                }
                outcome => outcome,
            })
        }
        Request::Mac { reference, hash, message } => {
            bytes(uses::mac(session, using(key(reference)?, Purpose::Mac)?.handle, *hash, message))
        }
        Request::Agree { reference, point } => {
            let resolved = using(key(reference)?, Purpose::Agree)?;
            let KeyKind::Ec { curve } = resolved.reference.kind else { return Err(wrong_purpose()) };
            bytes(uses::agree(session, resolved.handle, curve, point))
        }
        Request::Random { length } => {
            let bytes = Zeroizing::new(session.generate_random_vec((*length).min(RANDOM_BYTES_MAX))?);
            Ok(Answer::Bytes { bytes })
        }
        Request::Wrap { under, reference } => wrap(session, under, key(reference)?.handle),
        Request::Unwrap { under, reference, wrapped } => unwrap(session, token, under, reference, wrapped),
    }
}

fn using(resolved: std::sync::Arc<Resolved>, purpose: Purpose) -> Result<std::sync::Arc<Resolved>, Failure> {
    if resolved.reference.purpose == purpose { Ok(resolved) } else { Err(wrong_purpose()) }
}

fn wrong_purpose() -> Failure {
    Failure::fault(FaultKind::Refused, "this key of the token is for something else")
}

/// Makes a key, unless one of this id is there: then an earlier try has made it, and its answer was lost on the way.
fn generate(session: &Session, token: &Token, wanted: &Wanted<'_>) -> Result<Answer, Failure> {
    let handle = match objects::by_id(session, wanted.kind, wanted.id)?.as_slice() {
        [] => objects::generate(session, token, wanted)?,
        [made] => *made,
        _ => return Err(Failure::fault(FaultKind::Ambiguous, "the token has several keys of the id that a new one was to have")),
    };
    let described = describe(session, wanted, handle)?;
    match checks::reference(session, token, handle, described) {
        Ok(key) => Ok(Answer::Key { key }),
        Err(failure) => {
            // A key that nobody can refer to must not stay behind. That it is gone is not worth more than why it had to go.
            let _ = objects::destroy(session, handle, wanted.kind, wanted.id);
            Err(failure)
        }
    }
}

fn describe(session: &Session, wanted: &Wanted<'_>, handle: ObjectHandle) -> Result<Described, Failure> {
    let described = objects::describe(session, handle)?;
    if described.kind != wanted.kind {
        return Err(Failure::fault(FaultKind::Ambiguous, "the token has another key of the id that a new one was to have"));
    }
    // A token may allow more than was asked for. We do not.
    Ok(Described { purpose: wanted.purpose, ..described })
}

/// A key that is gone already is destroyed. One that fails its check is not ours to destroy.
fn destroy(session: &Session, token: &Token, reference: &[u8]) -> Result<Answer, Failure> {
    match resolve(session, token, reference) {
        Ok(resolved) => {
            objects::destroy(session, resolved.handle, resolved.reference.kind, &resolved.reference.id)?;
            token.forget(Some(reference));
            Ok(Answer::Done)
        }
        Err(Failure::Fault(fault)) if fault.kind == FaultKind::NotFound => Ok(Answer::Done),
        Err(failure) => Err(failure),
    }
}

/// Source: PKCS #11 Mechanisms 3.1, section 6.14.4, and RFC 5649.
fn wrap(session: &Session, under: &Selector, key: ObjectHandle) -> Result<Answer, Failure> {
    let wrapping = objects::by_selector(session, under)?;
    let wrapped = session.wrap_key(&Mechanism::AesKeyWrapPad, wrapping, key)?;
    Ok(Answer::Bytes { bytes: Zeroizing::new(wrapped) })
}

fn unwrap(session: &Session, token: &Token, under: &Selector, reference: &[u8], wrapped: &[u8]) -> Result<Answer, Failure> {
    match resolve(session, token, reference) {
        // Asked again: it is there.
        Ok(_) => return Ok(Answer::Done),
        Err(Failure::Fault(fault)) if fault.kind == FaultKind::NotFound => {}
        Err(failure) => return Err(failure),
    }
    let parsed = crate::Reference::parse(reference).map_err(|_| Failure::fault(FaultKind::Protocol, "this is no reference"))?;
    let wanted = Wanted {
        kind: parsed.kind,
        purpose: parsed.purpose,
        id: &parsed.id,
        label: &parsed.label,
        // It came in wrapped, so it may go on to the next token; and the first one could not have kept it in either.
        extractable: true,
    };
    let wrapping = objects::by_selector(session, under)?;
    let template = objects::unwrapped(&wanted, parsed.form);
    let handle = session.unwrap_key(&Mechanism::AesKeyWrapPad, wrapping, wrapped, &template)?;
    match resolve(session, token, reference) {
        Ok(_) => Ok(Answer::Done),
        Err(failure) => {
            let _ = session.destroy_object(handle);
            Err(failure)
        }
    }
}
