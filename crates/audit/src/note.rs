//! Checkpoints: the tree's size and root, signed by the node.
//!
//! A checkpoint is a C2SP `tlog-checkpoint` (c2sp.org/tlog-checkpoint) in a C2SP `signed-note` (c2sp.org/signed-note) with one Ed25519
//! signature. Signing goes through [`CheckpointSigner`], because the private key lives elsewhere.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, NoteError, Verifier, VerifierList};
use tlog_tiles::Checkpoint;
use uuid::Uuid;

use crate::merkle::Hash;

/// The signature type of Ed25519 in signed notes. Source: c2sp.org/signed-note, "Signature types".
const ALGORITHM_ED25519: u8 = 1;
/// Longest origin. The specification sets no limit; ours keeps a checkpoint small.
const ORIGIN_LENGTH_MAX: usize = 255;
/// Longest node name.
const NODE_LENGTH_MAX: usize = 64;

/// Signs checkpoints with a node's Ed25519 key.
pub trait CheckpointSigner {
    /// The Ed25519 signature (RFC 8032) of the message.
    ///
    /// # Errors
    /// When the key cannot be used now. The log has then not advanced, and the commit it belongs to must fail.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SigningFailed>;

    /// The public half of the key that [`Self::sign`] uses.
    fn public_key(&self) -> [u8; 32];
}

/// A checkpoint could not be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningFailed {
    /// Why, for the operator.
    pub reason: String,
}

impl fmt::Display for SigningFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the audit log's checkpoint could not be signed: {}", self.reason)
    }
}

impl std::error::Error for SigningFailed {}

/// A log's name: the first line of its checkpoints and the name of its key, `claviger.DEPLOYMENT/NODE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

impl Origin {
    /// The log of one node of a deployment.
    ///
    /// # Errors
    /// When the node's name is not 1 to 64 of letters, digits, `.`, `_` and `-`.
    pub fn new(deployment: Uuid, node: &str) -> Result<Self, InvalidNote> {
        let fits = (1..=NODE_LENGTH_MAX).contains(&node.len())
            && node.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if fits { Ok(Self(format!("claviger.{deployment}/{node}"))) } else { Err(InvalidNote::Origin) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the last slash: the node's name in our own origins.
    pub fn node(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, node)| node)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = InvalidNote;

    /// Reads any name that signed notes allow, ours or another log's.
    fn from_str(text: &str) -> Result<Self, InvalidNote> {
        let fits = text.len() <= ORIGIN_LENGTH_MAX && signed_note::is_key_name_valid(text) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidNote::Origin) }
    }
}

/// The public key with which a log's checkpoints are verified: `ORIGIN+KEYID+BASE64`, a "vkey" (c2sp.org/signed-note).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    origin: Origin,
    public_key: [u8; 32],
}

impl VerifierKey {
    /// The verifier key of a log and an Ed25519 public key.
    pub fn new(origin: Origin, public_key: [u8; 32]) -> Self {
        Self { origin, public_key }
    }

    /// The log whose checkpoints this key verifies.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The Ed25519 public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// The first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key). Source: c2sp.org/signed-note, "Signatures".
    pub fn key_id(&self) -> u32 {
        signed_note::key_id(self.origin.as_str(), &self.typed_key())
    }

    fn typed_key(&self) -> Vec<u8> {
        std::iter::once(ALGORITHM_ED25519).chain(self.public_key).collect()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.origin, self.key_id(), STANDARD.encode(self.typed_key()))
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidNote;

    fn from_str(text: &str) -> Result<Self, InvalidNote> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidNote::VerifierKey);
        };
        let key = STANDARD.decode(key).map_err(|_| InvalidNote::VerifierKey)?;
        let Some((&ALGORITHM_ED25519, public_key)) = key.split_first() else { return Err(InvalidNote::VerifierKey) };
        let public_key = public_key.try_into().map_err(|_| InvalidNote::VerifierKey)?;
        let parsed = Self { origin: name.parse()?, public_key };
        if id == format!("{:08x}", parsed.key_id()) { Ok(parsed) } else { Err(InvalidNote::VerifierKey) }
    }
}

/// Lets the signed-note crate verify with AWS-LC, so that there is one implementation of Ed25519 in the project.
struct AwsLcVerifier {
    name: String,
    id: u32,
    public_key: [u8; 32],
}

impl Verifier for AwsLcVerifier {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public_key).verify(message, signature).is_ok()
    }
}

/// What a checkpoint says: how many entries the log has, and the root of their tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// How many entries.
    pub size: u64,
    /// The root over all of them.
    pub root: Hash,
}

impl TreeHead {
    /// The checkpoint that says this of the signer's log: a signed note.
    ///
    /// # Errors
    /// When the signer cannot sign.
    pub fn sign(self, origin: &Origin, signer: &dyn CheckpointSigner) -> Result<String, SigningFailed> {
        let mut note = format!("{origin}\n{}\n{}\n", self.size, self.root);
        let signature = signer.sign(note.as_bytes())?;
        let key_id = VerifierKey::new(origin.clone(), signer.public_key()).key_id();
        let stamped: Vec<u8> = key_id.to_be_bytes().into_iter().chain(signature).collect();
        note.push_str(&format!("\n\u{2014} {origin} {}\n", STANDARD.encode(stamped)));
        Ok(note)
    }

    /// Reads a checkpoint after checking that it is of the key's log and signed by the key. Others' signatures (witnesses) may be
    /// there too and are not looked at.
    ///
    /// # Errors
    /// Says which of these did not hold.
    pub fn open(checkpoint: &str, key: &VerifierKey) -> Result<Self, InvalidNote> {
        let note = Note::from_bytes(checkpoint.as_bytes()).map_err(|_| InvalidNote::Malformed)?;
        let head = Self::parse(note.text(), key.origin())?;
        let verifier = AwsLcVerifier { name: key.origin().as_str().to_owned(), id: key.key_id(), public_key: *key.public_key() };
        match note.verify(&VerifierList::new(vec![Box::new(verifier)])) {
            Ok(_) => Ok(head),
            Err(NoteError::UnverifiedNote) => Err(InvalidNote::NotSigned),
            Err(_) => Err(InvalidNote::WrongSignature),
        }
    }

    /// Reads a checkpoint's text without looking at its signatures.
    ///
    /// # Errors
    /// When it is not a signed checkpoint, or of another log.
    pub fn open_unverified(checkpoint: &str, origin: &Origin) -> Result<Self, InvalidNote> {
        let note = Note::from_bytes(checkpoint.as_bytes()).map_err(|_| InvalidNote::Malformed)?;
        Self::parse(note.text(), origin)
    }

    fn parse(text: &[u8], origin: &Origin) -> Result<Self, InvalidNote> {
        let checkpoint = Checkpoint::from_bytes(text).map_err(|_| InvalidNote::Malformed)?;
        if checkpoint.origin() != origin.as_str() {
            return Err(InvalidNote::OtherLog { origin: checkpoint.origin().to_owned() });
        }
        Ok(Self { size: checkpoint.size(), root: Hash(checkpoint.hash().0) })
    }
}

/// Why a checkpoint, a verifier key or a log's name was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidNote {
    /// Not a log's name.
    Origin,
    /// Not a verifier key.
    VerifierKey,
    /// Not a checkpoint in a signed note.
    Malformed,
    /// A checkpoint of another log.
    OtherLog {
        /// The log that it is of.
        origin: String,
    },
    /// No signature by the key is on it.
    NotSigned,
    /// The signature that claims to be by the key is not.
    WrongSignature,
}

impl fmt::Display for InvalidNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin => {
                write!(f, "this is not a log's name (no spaces, no +, a node's name has 1 to 64 of a-z, 0-9, '.', '_', '-')")
            }
            Self::VerifierKey => write!(f, "this is not a verifier key (NAME+ID+KEY, Ed25519, where the id fits name and key)"),
            Self::Malformed => write!(f, "this is not a checkpoint (a signed note with the log's name, size and root)"),
            Self::OtherLog { origin } => write!(f, "this is a checkpoint of another log, {origin:?}"),
            Self::NotSigned => write!(f, "the checkpoint is not signed by the log's key"),
            Self::WrongSignature => {
                write!(f, "the signature on the checkpoint is not valid: its text or the signature was altered")
            }
        }
    }
}

impl std::error::Error for InvalidNote {}
