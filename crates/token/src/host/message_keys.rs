//! Keys that are derived inside the token for messages: never the key itself encrypts.
//!
//! A derived key serves many messages, because deriving costs as much as encrypting, but far fewer than AES-GCM allows with random IVs. It is a session object:
//! it is gone when the host is. Its salt stands in each ciphertext, and decryption derives it again, or finds it still here.
//!
//! No handle of a derived key may be used after the key was destroyed, because a token may give the number to the next one. So they are used
//! under the lock that destroying one needs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::ekdf::AesCbcDeriveParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use super::faults::Failure;
use super::token::Token;
use super::uses::random;

/// Random bytes that a key is derived from.
pub(super) const SALT_BYTES: usize = 16;
/// What follows the salt in the data to derive from, so that the derived key has two blocks.
const DERIVATION: &[u8; 16] = b"claviger message";
/// Messages that one derived key encrypts. With random IVs the chance that two of them meet is 2^-57 (NIST SP 800-38D allows 2^32).
const MESSAGES_MAX: u32 = 1 << 20;
/// Derived keys that are kept in the token.
const KEPT_MAX: usize = 512;
/// Salts that were met once are remembered up to this number: who comes a second time is kept.
const MET_MAX: usize = 1 << 14;

type Salt = [u8; SALT_BYTES];

/// The derived keys of a token.
#[derive(Default)]
pub(super) struct MessageKeys {
    kept: RwLock<Kept>,
    met: Mutex<HashSet<Salt>>,
    clock: AtomicU64,
}

#[derive(Default)]
struct Kept {
    /// The session that all of them belong to.
    session: Option<Owner>,
    keys: HashMap<(u64, Salt), MessageKey>,
    /// With which one a key encrypts now.
    current: HashMap<u64, Salt>,
}

/// A session may be used by one thread at a time: here by the one that holds the lock for writing.
struct Owner(Mutex<Session>);

struct MessageKey {
    handle: ObjectHandle,
    encrypted: AtomicU32,
    last: AtomicU64,
}

impl MessageKeys {
    /// Encrypts under a derived key that has not encrypted too much.
    pub(super) fn encrypting<T>(
        &self,
        token: &Token,
        key: ObjectHandle,
        use_it: impl FnOnce(ObjectHandle, &Salt) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let kept = self.kept.read();
        if let Some((salt, message_key)) = kept.current_of(key) {
            self.touch(message_key);
            return use_it(message_key.handle, &salt);
        }
        drop(kept);
        let mut kept = self.kept.write();
        // Somebody may have been here in between.
        if kept.current_of(key).is_none() {
            let salt = random()?;
            kept.derive(token, key, salt)?;
            kept.current.insert(key.handle(), salt);
        }
        let kept = RwLockWriteGuard::downgrade(kept);
        match kept.current_of(key) {
            Some((salt, message_key)) => use_it(message_key.handle, &salt),
            None => Err(Failure::fault(crate::wire::FaultKind::Busy, "the token derives keys more slowly than they are used up")),
        }
    }

    /// Decrypts under the key of this salt.
    pub(super) fn decrypting<T>(
        &self,
        session: &Session,
        token: &Token,
        key: ObjectHandle,
        salt: &Salt,
        use_it: impl FnOnce(ObjectHandle) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let name = (key.handle(), *salt);
        let kept = self.kept.read();
        if let Some(message_key) = kept.keys.get(&name) {
            self.touch(message_key);
            return use_it(message_key.handle);
        }
        drop(kept);
        if self.is_new(salt) {
            return once(session, key, salt, use_it);
        }
        let mut kept = self.kept.write();
        if !kept.keys.contains_key(&name) {
            kept.derive(token, key, *salt)?;
        }
        let kept = RwLockWriteGuard::downgrade(kept);
        match kept.keys.get(&name) {
            Some(message_key) => {
                self.touch(message_key);
                use_it(message_key.handle)
            }
            None => once(session, key, salt, use_it),
        }
    }

    /// Forgets all of them, and ends the session that they belong to.
    pub(super) fn clear(&self) {
        *self.kept.write() = Kept::default();
    }

    fn touch(&self, key: &MessageKey) {
        key.last.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn is_new(&self, salt: &Salt) -> bool {
        let mut met = self.met.lock();
        if met.len() >= MET_MAX {
            met.clear();
        }
        met.insert(*salt)
    }
}

impl Kept {
    /// The derived key that this key encrypts with, counted.
    fn current_of(&self, key: ObjectHandle) -> Option<(Salt, &MessageKey)> {
        let salt = self.current.get(&key.handle())?;
        let message_key = self.keys.get(&(key.handle(), *salt))?;
        (message_key.encrypted.fetch_add(1, Ordering::Relaxed) < MESSAGES_MAX).then_some((*salt, message_key))
    }

    fn derive(&mut self, token: &Token, key: ObjectHandle, salt: Salt) -> Result<(), Failure> {
        if self.session.is_none() {
            self.session = Some(Owner(Mutex::new(token.session()?)));
        }
        let Some(Owner(session)) = &self.session else { return Ok(()) };
        let session = session.lock();
        if self.keys.len() >= KEPT_MAX {
            let oldest = self.keys.iter().min_by_key(|(_, key)| key.last.load(Ordering::Relaxed)).map(|(name, _)| *name);
            if let Some(gone) = oldest.and_then(|name| self.keys.remove(&name)) {
                session.destroy_object(gone.handle)?;
            }
        }
        let handle = derive(&session, key, &salt)?;
        let message_key = MessageKey { handle, encrypted: AtomicU32::new(0), last: AtomicU64::new(u64::MAX) };
        self.keys.insert((key.handle(), salt), message_key);
        Ok(())
    }
}

/// Derives a key, lets it be used, and destroys it, all in one session.
fn once<T>(
    session: &Session,
    key: ObjectHandle,
    salt: &Salt,
    use_it: impl FnOnce(ObjectHandle) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let message_key = derive(session, key, salt)?;
    let used = use_it(message_key);
    let destroyed = session.destroy_object(message_key);
    let used = used?;
    destroyed?;
    Ok(used)
}

/// Source: PKCS #11 Mechanisms 3.1, section 6.22 "Key derivation by data encryption": CKM_AES_CBC_ENCRYPT_DATA.
fn derive(session: &Session, key: ObjectHandle, salt: &Salt) -> Result<ObjectHandle, Failure> {
    let data = [salt.as_slice(), DERIVATION].concat();
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(32.into()),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
    ];
    Ok(session.derive_key(&Mechanism::AesCbcEncryptData(AesCbcDeriveParams::new([0; 16], &data)), key, &template)?)
}
