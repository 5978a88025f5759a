//! One token of a loaded library: its sessions, its login, and which of its keys are known by handle.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::ObjectHandle;
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;
use parking_lot::{Mutex, RwLock};

use super::faults::{Failure, explain, name_of};
use super::message_keys::MessageKeys;
use super::quirks::Quirks;
use crate::Reference;
use crate::wire::{Fault, FaultKind, Hello, TokenFacts, TokenName};

/// Handles that are remembered. Beyond it all are forgotten, and looked up again one by one.
const HANDLES_MAX: usize = 8192;

/// What we use, and what it is called.
const ABILITIES: &[(MechanismType, &str)] = &[
    (MechanismType::AES_GCM, "AES-GCM"),
    (MechanismType::AES_CBC_ENCRYPT_DATA, "AES key derivation"),
    (MechanismType::AES_KEY_WRAP_PAD, "AES-KWP"),
    (MechanismType::RSA_PKCS, "RSASSA-PKCS1-v1_5"),
    (MechanismType::RSA_PKCS_PSS, "RSASSA-PSS"),
    (MechanismType::RSA_PKCS_OAEP, "RSAES-OAEP"),
    (MechanismType::ECDSA, "ECDSA"),
    (MechanismType::ECDH1_DERIVE, "ECDH"),
    (MechanismType::SHA256_HMAC, "HMAC"),
];

/// A token that was opened and let us in.
pub(super) struct Token {
    library: Pkcs11,
    slot: Slot,
    pin: RawAuthPin,
    serial: String,
    facts: TokenFacts,
    mechanisms: Vec<MechanismType>,
    pub(super) quirks: Quirks,
    /// One login at a time: it is the token's, not the session's.
    login: Mutex<()>,
    /// A PIN that was refused once is never given again: tokens count, and lock themselves.
    refused: AtomicBool,
    handles: RwLock<HashMap<Vec<u8>, Arc<Resolved>>>,
    pub(super) message_keys: MessageKeys,
}

/// What came of opening a token.
pub(super) enum Opened {
    /// We are in.
    Open(Box<Token>, Session),
    /// It is there, and does not let us in.
    LockedOut { serial: String, fault: Fault },
}

/// A key that was found, and passed its check.
pub(super) struct Resolved {
    pub(super) reference: Reference,
    pub(super) handle: ObjectHandle,
}

impl Token {
    /// Loads the library, finds the token, and logs in. The session keeps the login alive.
    pub(super) fn open(hello: &Hello) -> Result<Opened, Fault> {
        let library_failed = |error: &Error| {
            let path = &hello.library;
            Fault::new(FaultKind::Library, format!("the PKCS#11 library {path} cannot be used: {}", name_of(error)))
        };
        let library = Pkcs11::new(&hello.library).map_err(|error| library_failed(&error))?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(library_failed(&error)),
        }
        let (slot, mut facts) = find(&library, &hello.token)?;
        let quirks = Quirks::of(&mut facts);
        let mechanisms = library.get_mechanism_list(slot).map_err(|error| explain(&error))?;
        let able = ABILITIES.iter().filter(|(mechanism, _)| mechanisms.contains(mechanism));
        facts.abilities = able.map(|(_, name)| (*name).to_owned()).collect();
        if !hello.refused_by.is_empty() && hello.refused_by == facts.serial {
            let fault = Fault::new(FaultKind::PinRefused, "the token refused this PIN before, and is not asked again");
            return Ok(Opened::LockedOut { serial: facts.serial, fault });
        }
        let token = Self {
            library,
            slot,
            pin: RawAuthPin::new(Box::new(hello.pin.to_vec())),
            serial: facts.serial.clone(),
            facts,
            mechanisms,
            quirks,
            login: Mutex::new(()),
            refused: AtomicBool::new(false),
            handles: RwLock::new(HashMap::new()),
            message_keys: MessageKeys::default(),
        };
        let fault = match token.session() {
            Ok(session) => return Ok(Opened::Open(Box::new(token), session)),
            Err(Failure::Library(error)) => explain(&error),
            Err(Failure::Fault(fault)) => fault,
        };
        match fault.kind {
            FaultKind::PinRefused | FaultKind::PinLocked => Ok(Opened::LockedOut { serial: token.serial, fault }),
            _ => Err(fault),
        }
    }

    /// What the token says of itself, and what we make of it.
    pub(super) fn facts(&self) -> TokenFacts {
        self.facts.clone()
    }

    /// Whether the token has a mechanism.
    pub(super) fn offers(&self, mechanism: MechanismType) -> bool {
        self.mechanisms.contains(&mechanism)
    }

    /// A session in which the user is logged in.
    pub(super) fn session(&self) -> Result<Session, Failure> {
        let session = self.library.open_rw_session(self.slot)?;
        let _alone = self.login.lock();
        if session.get_session_info()?.session_state() == SessionState::RwUser {
            return Ok(session);
        }
        if self.refused.load(Ordering::Relaxed) {
            return Err(Failure::fault(FaultKind::PinRefused, "the token refused the PIN, and is not asked again"));
        }
        match session.login_with_raw(UserType::User, &self.pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                let refused = matches!(explain(&error).kind, FaultKind::PinRefused | FaultKind::PinLocked);
                self.refused.store(refused, Ordering::Relaxed);
                Err(Failure::Library(error))
            }
        }
    }

    /// Whether the slot still holds the token that was opened, by its own word.
    pub(super) fn is_there(&self) -> bool {
        self.library.get_token_info(self.slot).is_ok_and(|info| info.serial_number() == self.serial)
    }

    /// Whether the token, apart from what was just asked of it, works: it is there, opens a session, and does something in it.
    pub(super) fn works(&self) -> bool {
        let session = self.is_there().then(|| self.session().ok()).flatten();
        // Looking for an object that is not there reaches the token's storage.
        let nothing = [cryptoki::object::Attribute::Label(b"claviger: is anybody there?".to_vec())];
        session.is_some_and(|session| session.find_objects(&nothing).is_ok())
    }

    /// A key that is known already.
    pub(super) fn known(&self, reference: &[u8]) -> Option<Arc<Resolved>> {
        self.handles.read().get(reference).cloned()
    }

    /// Keeps a key that was found and checked.
    pub(super) fn remember(&self, reference: &[u8], resolved: Resolved) -> Arc<Resolved> {
        let resolved = Arc::new(resolved);
        let mut handles = self.handles.write();
        if handles.len() >= HANDLES_MAX {
            handles.clear();
        }
        handles.insert(reference.to_vec(), Arc::clone(&resolved));
        resolved
    }

    /// Forgets one handle, or all.
    pub(super) fn forget(&self, reference: Option<&[u8]>) {
        // They hang on handles, whose numbers may mean something else now.
        self.message_keys.clear();
        let mut handles = self.handles.write();
        match reference {
            Some(reference) => drop(handles.remove(reference)),
            None => handles.clear(),
        }
    }
}

fn find(library: &Pkcs11, name: &TokenName) -> Result<(Slot, TokenFacts), Fault> {
    let slots = library.get_slots_with_token().map_err(|error| explain(&error))?;
    let about = library
        .get_library_info()
        .map(|info| format!("{} {}", info.library_description(), info.library_version()))
        .unwrap_or_default();
    let mut labels = Vec::new();
    let mut found = Vec::new();
    for slot in slots {
        // A slot whose token does not answer is not the one that we can use.
        let Ok(info) = library.get_token_info(slot) else { continue };
        labels.push(format!("{:?}", info.label()));
        let fits = match name {
            TokenName::Label { label } => info.label() == label && info.token_initialized(),
            TokenName::Serial { serial } => info.serial_number() == serial,
        };
        if fits {
            let text = str::to_owned;
            found.push((
                slot,
                TokenFacts {
                    label: text(info.label()),
                    serial: text(info.serial_number()),
                    manufacturer: text(info.manufacturer_id()),
                    model: text(info.model()),
                    firmware: info.firmware_version().to_string(),
                    library: about.clone(),
                    abilities: Vec::new(),
                    quirks: Vec::new(),
                },
            ));
        }
    }
    if found.len() > 1 {
        return Err(Fault::new(
            FaultKind::NoSuchToken,
            format!("{} tokens are {name}; name one by its serial number", found.len()),
        ));
    }
    found.pop().ok_or_else(|| {
        let there = if labels.is_empty() { "no token at all".to_owned() } else { labels.join(", ") };
        Fault::new(FaultKind::NoSuchToken, format!("the library shows no token that is {name}; it shows {there}"))
    })
}

impl std::fmt::Display for TokenName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Label { label } => write!(f, "labelled {label:?}"),
            Self::Serial { serial } => write!(f, "of serial number {serial:?}"),
        }
    }
}
