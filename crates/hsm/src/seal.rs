//! Seals: what wraps the root key at rest. Each seal wraps the same root key, so that any one of them opens the deployment.
//!
//! From the seal's secret comes a seal key (file, shares: HKDF with SHA-256; passphrase: argon2id), from that a check value, which is stored so that a
//! wrong secret is told from a damaged store, and a wrapping key. Everything read here comes from untrusted storage.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::encoding::{AssociatedData, base64_bytes};
use crate::error::HsmError;
use crate::kdf;
use crate::memory::Secret;
use crate::sealed::{self, Blob};
use crate::shares::{self, SHARES_MAX, Share, THRESHOLD_MIN};

/// What opens a seal. Neither `Debug` nor `Clone`; wiped when dropped.
pub enum SealSecret {
    /// The bytes of a key file: exactly 32. For development: whoever reads the file has the keys.
    File(Zeroizing<Vec<u8>>),
    /// A passphrase that a person types, or that a supervisor hands over.
    Passphrase(Zeroizing<String>),
    /// Shares that people bring, as many as the seal wants.
    Shares(Vec<Share>),
    /// What a PKCS#11 token decrypted: exactly 32 bytes.
    Token(Zeroizing<Vec<u8>>),
}

/// What a new seal is made of.
pub enum NewSeal {
    /// A secret that is there already: a key file or a passphrase.
    Secret(SealSecret),
    /// A new secret that is split into shares, which are told once.
    Shares {
        /// How many shares open it, from [`THRESHOLD_MIN`].
        threshold: u8,
        /// How many there are, up to [`SHARES_MAX`].
        count: u8,
    },
    /// 32 random bytes that a PKCS#11 token has encrypted, and alone can decrypt.
    Token {
        /// What has to be known to ask the token for them.
        wrapped: TokenWrapped,
        /// The bytes.
        secret: Zeroizing<Vec<u8>>,
    },
}

/// A secret that a key in a PKCS#11 token has encrypted. Opaque here: whoever talks to the token knows what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenWrapped {
    /// The token, for people: its label and serial number.
    pub token: String,
    /// What finds the key in the token again.
    #[serde(with = "base64_bytes")]
    pub key: Vec<u8>,
    /// The encrypted secret.
    #[serde(with = "base64_bytes")]
    pub secret: Vec<u8>,
}

/// The shares of a new seal, as text, in the order of their numbers; empty for seals of other kinds. Told once and not kept.
pub type PrintedShares = Vec<Zeroizing<String>>;

/// A seal that opens with shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSeal {
    /// Its name.
    pub name: String,
    /// Which splitting its shares are of, in hexadecimal.
    pub set: String,
    /// How many shares open it.
    pub threshold: u8,
    /// How many shares there are.
    pub count: usize,
}

/// What argon2id costs for a passphrase. Stored with the seal, so that it can be raised later. Source: RFC 9106.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassphraseCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl PassphraseCost {
    /// The second recommended choice of RFC 9106 section 4, with one lane: 64 MiB, 3 passes; 0.1 to 0.2 s.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    /// Storage is untrusted: costs beyond this would let whoever can write to it stop a node at start. 1 GiB, 32 passes, 16 lanes.
    const MAX: Self = Self { memory_kib: 1024 * 1024, passes: 32, lanes: 16 };

    fn is_reasonable(self) -> bool {
        self.memory_kib <= Self::MAX.memory_kib && self.passes <= Self::MAX.passes && self.lanes <= Self::MAX.lanes
    }
}

/// The root key as the store keeps it: wrapped once by each seal. Plain data without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedRoot {
    /// In the order in which they were added.
    pub(crate) seals: Vec<Seal>,
    /// While a rotation is under way: the new version wrapped by the one before it, for nodes that run already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) handover: Vec<Handover>,
}

/// A version of the root key, wrapped by an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handover {
    pub(crate) version: u32,
    pub(crate) under: u32,
    #[serde(with = "base64_bytes")]
    pub(crate) sealed: Vec<u8>,
}

impl SealedRoot {
    /// The seals by name, each with its kind: `file`, `passphrase`, `shares` or `pkcs11`.
    pub fn seals(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.seals.iter().map(|seal| (seal.name.as_str(), seal.kind.name()))
    }

    /// The versions of the root key that every seal wraps, oldest first. Empty where there is no seal, or they do not agree: what is read here
    /// was read from untrusted storage.
    pub fn versions(&self) -> Vec<u32> {
        let mut lists = self.seals.iter().map(|seal| seal.versions().collect::<Vec<_>>());
        let first = lists.next().unwrap_or_default();
        if lists.all(|other| other == first) { first } else { Vec::new() }
    }

    /// The seals that open with shares.
    pub fn shared_seals(&self) -> impl Iterator<Item = SharedSeal> {
        self.seals.iter().filter_map(|seal| match &seal.kind {
            SealKind::Shares { set, threshold, checks } => {
                Some(SharedSeal { name: seal.name.clone(), set: hex::encode(set), threshold: *threshold, count: checks.len() })
            }
            _ => None,
        })
    }

    /// What the named seal's token has to decrypt; none for seals of other kinds.
    pub fn token_wrapped(&self, name: &str) -> Option<&TokenWrapped> {
        let seal = self.seals.iter().find(|seal| seal.name == name)?;
        match &seal.kind {
            SealKind::Pkcs11 { wrapped } => Some(wrapped),
            _ => None,
        }
    }

    /// The seal that a share is for. Needs no secret, so that a share can be verified without the others.
    ///
    /// # Errors
    /// [`HsmError::SealRefused`] when it is of no seal here, or is not the share that was made.
    pub fn verify_share(&self, deployment: Uuid, share: &Share) -> Result<SharedSeal, HsmError> {
        let seal = self.shared_seals().find(|seal| seal.set == share.set()).ok_or_else(|| {
            let sets: Vec<String> = self.shared_seals().map(|seal| format!("{} ({})", seal.set, seal.name)).collect();
            let there = if sets.is_empty() { "none that opens with shares".to_owned() } else { sets.join(", ") };
            refused("any", format!("the share is of set {}, and the seals here are: {there}", share.set()))
        })?;
        let record = self.seals.iter().find(|record| record.name == seal.name).ok_or_else(|| self.no_seal_named(&seal.name))?;
        record.kind.verify_share(deployment, &seal.name, share)?;
        Ok(seal)
    }

    /// The seal that shall be opened: the named one, or the only one of the secret's kind. Never a guess.
    pub(crate) fn choose(&self, name: Option<&str>, secret: &SealSecret) -> Result<&Seal, HsmError> {
        let fits = |seal: &&Seal| seal.kind.name() == secret.kind_name();
        if let Some(name) = name {
            let seal = self.seals.iter().find(|seal| seal.name == name).ok_or_else(|| self.no_seal_named(name))?;
            let (kind, given) = (seal.kind.name(), secret.kind_name());
            return if fits(&seal) {
                Ok(seal)
            } else {
                Err(refused(name, format!("it is of kind {kind}, and a {given} was given")))
            };
        }
        let mut candidates = self.seals.iter().filter(fits);
        match (candidates.next(), candidates.next()) {
            (Some(seal), None) => Ok(seal),
            (None, _) => Err(refused("any", format!("no seal is of kind {}; there are: {}", secret.kind_name(), self.names()))),
            (Some(_), Some(_)) => {
                Err(refused("any", format!("several seals are of kind {}; name one of: {}", secret.kind_name(), self.names())))
            }
        }
    }

    pub(crate) fn no_seal_named(&self, name: &str) -> HsmError {
        refused(name, format!("there is no seal with this name; there are: {}", self.names()))
    }

    fn names(&self) -> String {
        let mut names: Vec<String> = self.seals.iter().map(|seal| format!("{} ({})", seal.name, seal.kind.name())).collect();
        names.sort();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

/// One seal's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seal {
    pub(crate) name: String,
    kind: SealKind,
    #[serde(with = "base64_bytes")]
    check: Vec<u8>,
    /// Each version of the root key, wrapped; oldest first.
    roots: Vec<WrappedRoot>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", deny_unknown_fields)]
enum SealKind {
    #[serde(rename = "file")]
    File {},
    #[serde(rename = "passphrase")]
    Passphrase {
        #[serde(with = "base64_bytes")]
        salt: Vec<u8>,
        cost: PassphraseCost,
    },
    #[serde(rename = "shares")]
    Shares {
        #[serde(with = "base64_bytes")]
        set: Vec<u8>,
        threshold: u8,
        /// A check of each share, in the order of their numbers.
        checks: Vec<Check>,
    },
    #[serde(rename = "pkcs11")]
    Pkcs11 { wrapped: TokenWrapped },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Check(#[serde(with = "base64_bytes")] Vec<u8>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrappedRoot {
    version: u32,
    #[serde(with = "base64_bytes")]
    sealed: Vec<u8>,
}

/// 32 random bytes to be written to a file, as they are, for a seal of kind `file`.
pub fn generate_file_seal_secret() -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let mut bytes = Zeroizing::new(vec![0; crate::memory::SECRET_BYTES]);
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| HsmError::Primitive("the random generator"))?;
    Ok(bytes)
}

impl NewSeal {
    /// The kind of the seal: `file`, `passphrase`, `shares` or `pkcs11`.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Secret(secret) => secret.kind_name(),
            Self::Shares { .. } => "shares",
            Self::Token { .. } => "pkcs11",
        }
    }
}

impl SealSecret {
    /// The kind of seal that it opens: `file`, `passphrase`, `shares` or `pkcs11`.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Passphrase(_) => "passphrase",
            Self::Shares(_) => "shares",
            Self::Token(_) => "pkcs11",
        }
    }
}

impl SealKind {
    fn name(&self) -> &'static str {
        match self {
            Self::File {} => "file",
            Self::Passphrase { .. } => "passphrase",
            Self::Shares { .. } => "shares",
            Self::Pkcs11 { .. } => "pkcs11",
        }
    }

    fn new(name: &str, secret: &SealSecret, cost: PassphraseCost) -> Result<Self, HsmError> {
        match secret {
            SealSecret::Shares(_) => Err(refused(name, "a seal of shares is made of new shares, not of those of another seal")),
            SealSecret::Token(_) => Err(refused(name, "a seal of a token is made with what the token has encrypted")),
            SealSecret::File(_) => Ok(Self::File {}),
            SealSecret::Passphrase(_) => {
                let mut salt = vec![0; 16];
                aws_lc_rs::rand::fill(&mut salt).map_err(|_| HsmError::Primitive("the random generator"))?;
                Ok(Self::Passphrase { salt, cost })
            }
        }
    }
}

impl SealKind {
    /// A new secret, split: the seal's kind, and the shares.
    fn split(deployment: Uuid, name: &str, threshold: u8, count: u8) -> Result<(Self, Vec<Share>), HsmError> {
        if !(THRESHOLD_MIN..=count).contains(&threshold) || count > SHARES_MAX {
            let why = format!(
                "{threshold} of {count} shares cannot be: at least {THRESHOLD_MIN} have to open it, of at most {SHARES_MAX}"
            );
            return Err(refused(name, why));
        }
        let made = shares::split(&Secret::generate()?, threshold, count)?;
        let set = made.first().and_then(|share| hex::decode(share.set()).ok()).unwrap_or_default();
        let checks = made.iter().map(|share| Check(share.record_check(deployment).to_vec())).collect();
        Ok((Self::Shares { set, threshold, checks }, made))
    }

    fn verify_share(&self, deployment: Uuid, name: &str, share: &Share) -> Result<(), HsmError> {
        let Self::Shares { set, threshold, checks } = self else {
            return Err(refused(name, "it does not open with shares"));
        };
        if hex::encode(set) != share.set() {
            return Err(refused(
                name,
                format!("share {} is of set {}, and not of {}", share.index(), share.set(), hex::encode(set)),
            ));
        }
        let check = usize::from(share.index()).checked_sub(1).and_then(|at| checks.get(at));
        let genuine = check.is_some_and(|Check(check)| shares::is_genuine(share, deployment, check));
        if genuine && share.threshold() == *threshold {
            Ok(())
        } else {
            Err(refused(name, format!("share {} is not the one that was made: it was changed, or made up", share.index())))
        }
    }

    /// What of a kind is neither part of the derivation of its keys nor secret: bound to what the seal wraps. Empty for the kinds without.
    fn binding(&self) -> Vec<u8> {
        match self {
            Self::File {} | Self::Passphrase { .. } => Vec::new(),
            Self::Pkcs11 { wrapped } => {
                let parts = [wrapped.token.as_bytes(), &wrapped.key, &wrapped.secret].into_iter();
                parts.flat_map(|part| (part.len() as u64).to_be_bytes().into_iter().chain(part.iter().copied())).collect()
            }
            Self::Shares { set, threshold, checks } => {
                let threshold = [*threshold];
                let parts = [set.as_slice(), &threshold].into_iter().chain(checks.iter().map(|Check(check)| check.as_slice()));
                parts.flat_map(|part| (part.len() as u64).to_be_bytes().into_iter().chain(part.iter().copied())).collect()
            }
        }
    }
}

impl Seal {
    const WRAP_VERSION: u32 = 1;

    /// A new seal around these versions of the root key, and its shares, if it has any.
    pub(crate) fn new<'a>(
        deployment: Uuid,
        name: &str,
        new: &NewSeal,
        cost: PassphraseCost,
        roots: impl Iterator<Item = (u32, &'a Secret)>,
    ) -> Result<(Self, PrintedShares), HsmError> {
        match new {
            NewSeal::Secret(secret) => Ok((Self::of_secret(deployment, name, secret, cost, roots)?, Vec::new())),
            NewSeal::Token { wrapped, secret } => {
                let (kind, secret) = (SealKind::Pkcs11 { wrapped: wrapped.clone() }, SealSecret::Token(secret.clone()));
                Ok((Self::around(deployment, name, kind, &secret, roots)?, Vec::new()))
            }
            NewSeal::Shares { threshold, count } => {
                let (kind, shares) = SealKind::split(deployment, name, *threshold, *count)?;
                let printed = shares.iter().map(Share::text).collect();
                Ok((Self::around(deployment, name, kind, &SealSecret::Shares(shares), roots)?, printed))
            }
        }
    }

    /// A new seal that opens with this secret.
    pub(crate) fn of_secret<'a>(
        deployment: Uuid,
        name: &str,
        secret: &SealSecret,
        cost: PassphraseCost,
        roots: impl Iterator<Item = (u32, &'a Secret)>,
    ) -> Result<Self, HsmError> {
        Self::around(deployment, name, SealKind::new(name, secret, cost)?, secret, roots)
    }

    fn around<'a>(
        deployment: Uuid,
        name: &str,
        kind: SealKind,
        secret: &SealSecret,
        roots: impl Iterator<Item = (u32, &'a Secret)>,
    ) -> Result<Self, HsmError> {
        let keys = SealKeys::derive(deployment, name, &kind, secret)?;
        let roots = roots.map(|(version, root)| keys.wrap_root(deployment, name, version, root));
        Ok(Self { name: name.to_owned(), kind, check: keys.check.to_vec(), roots: roots.collect::<Result<_, HsmError>>()? })
    }

    /// Wraps one more version of the root key. The secret was found to be right.
    pub(crate) fn wrap_another(
        &mut self,
        deployment: Uuid,
        secret: &SealSecret,
        version: u32,
        root: &Secret,
    ) -> Result<(), HsmError> {
        let keys = SealKeys::derive(deployment, &self.name, &self.kind, secret)?;
        self.roots.push(keys.wrap_root(deployment, &self.name, version, root)?);
        Ok(())
    }

    /// Forgets what it wrapped of all other versions of the root key.
    pub(crate) fn keep_version(&mut self, version: u32) {
        self.roots.retain(|wrapped| wrapped.version == version);
    }

    /// The versions of the root key that it wraps, oldest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = u32> {
        self.roots.iter().map(|wrapped| wrapped.version)
    }

    /// All versions of the root key, oldest first.
    pub(crate) fn open(&self, deployment: Uuid, secret: &SealSecret) -> Result<Vec<(u32, Secret)>, HsmError> {
        let keys = SealKeys::derive(deployment, &self.name, &self.kind, secret)?;
        if verify_slices_are_equal(&keys.check, &self.check).is_err() {
            let why = match secret {
                SealSecret::File(_) => "this is not the key file that the deployment was sealed with",
                SealSecret::Passphrase(_) => "the passphrase is wrong",
                SealSecret::Token(_) => "the token gave another secret than the one that it was sealed with",
                SealSecret::Shares(_) => "the shares do not give the secret that it was sealed with",
            };
            return Err(refused(&self.name, why));
        }
        let roots = self.roots.iter().map(|wrapped| {
            let opened = Blob::parse(&wrapped.sealed)
                .filter(|blob| blob.key_version == Self::WRAP_VERSION)
                .and_then(|blob| blob.open_secret(&keys.wrap, keys.identity(deployment, &self.name, wrapped.version)).ok());
            let name = || HsmError::Tampered(format!("root key, version {}, wrapped by the seal {}", wrapped.version, self.name));
            Ok((wrapped.version, opened.ok_or_else(name)?))
        });
        let roots: Vec<(u32, Secret)> = roots.collect::<Result<_, HsmError>>()?;
        let ascending = roots.iter().zip(roots.iter().skip(1)).all(|((one, _), (next, _))| one < next);
        if roots.is_empty() || !ascending {
            return Err(HsmError::Tampered(format!("list of root keys wrapped by the seal {}", self.name)));
        }
        Ok(roots)
    }
}

struct SealKeys {
    wrap: Secret,
    check: [u8; 32],
    binding: Vec<u8>,
}

impl SealKeys {
    fn derive(deployment: Uuid, name: &str, kind: &SealKind, secret: &SealSecret) -> Result<Self, HsmError> {
        let seal_key = match (kind, secret) {
            (SealKind::File {}, SealSecret::File(bytes)) => file_seal_key(deployment, name, bytes)?,
            (SealKind::Passphrase { salt, cost }, SealSecret::Passphrase(text)) => passphrase_seal_key(name, salt, *cost, text)?,
            (SealKind::Pkcs11 { .. }, SealSecret::Token(bytes)) => token_seal_key(deployment, name, bytes)?,
            (SealKind::Shares { threshold, .. }, SealSecret::Shares(shares)) => {
                shares_seal_key(deployment, name, kind, *threshold, shares)?
            }
            _ => return Err(refused(name, format!("it is of kind {}, and a {} was given", kind.name(), secret.kind_name()))),
        };
        let mut check = [0; 32];
        kdf::expand_into(seal_key.expose(), &[b"claviger seal check 1", deployment.as_bytes(), name.as_bytes()], &mut check)?;
        let wrap = kdf::expand(&seal_key, &[b"claviger seal wrap 1", deployment.as_bytes(), name.as_bytes()])?;
        Ok(Self { wrap, check, binding: kind.binding() })
    }

    fn wrap_root(&self, deployment: Uuid, name: &str, version: u32, root: &Secret) -> Result<WrappedRoot, HsmError> {
        let sealed = sealed::seal(&self.wrap, Seal::WRAP_VERSION, self.identity(deployment, name, version), root.expose())?;
        Ok(WrappedRoot { version, sealed })
    }

    fn identity(&self, deployment: Uuid, seal: &str, version: u32) -> AssociatedData {
        let identity = AssociatedData::new("root key", deployment).text(seal).number(version.into());
        if self.binding.is_empty() { identity } else { identity.number(self.binding.len() as u64).fixed(&self.binding) }
    }
}

/// The key of a seal of shares. Each share is looked at first, so that a wrong one is named.
fn shares_seal_key(deployment: Uuid, name: &str, kind: &SealKind, threshold: u8, shares: &[Share]) -> Result<Secret, HsmError> {
    let mut distinct: Vec<&Share> = Vec::new();
    for share in shares {
        kind.verify_share(deployment, name, share)?;
        if distinct.iter().all(|known| known.index() != share.index()) {
            distinct.push(share);
        }
    }
    distinct.truncate(usize::from(threshold));
    if distinct.len() < usize::from(threshold) || threshold < THRESHOLD_MIN {
        return Err(refused(name, format!("{} of {threshold} shares are here", distinct.len())));
    }
    let secret = shares::combine(&distinct)?;
    Secret::from_fill(|out| kdf::extract_and_expand(secret.expose(), deployment.as_bytes(), &[b"claviger seal shares 1"], out))
}

fn file_seal_key(deployment: Uuid, name: &str, bytes: &[u8]) -> Result<Secret, HsmError> {
    if bytes.len() != crate::memory::SECRET_BYTES {
        return Err(refused(name, format!("a key file holds exactly 32 bytes, and this one has {}", bytes.len())));
    }
    Secret::from_fill(|out| kdf::extract_and_expand(bytes, deployment.as_bytes(), &[b"claviger seal file 1"], out))
}

fn token_seal_key(deployment: Uuid, name: &str, bytes: &[u8]) -> Result<Secret, HsmError> {
    if bytes.len() != crate::memory::SECRET_BYTES {
        return Err(refused(name, format!("the secret in a token has exactly 32 bytes, and the token gave {}", bytes.len())));
    }
    Secret::from_fill(|out| kdf::extract_and_expand(bytes, deployment.as_bytes(), &[b"claviger seal pkcs11 1"], out))
}

fn passphrase_seal_key(name: &str, salt: &[u8], cost: PassphraseCost, text: &str) -> Result<Secret, HsmError> {
    if text.is_empty() {
        return Err(refused(name, "the passphrase is empty"));
    }
    if !cost.is_reasonable() {
        return Err(refused(
            name,
            format!("the stored cost of the passphrase is beyond all reason ({cost:?}); restore it from a backup"),
        ));
    }
    Secret::from_fill(|out| argon2id(text.as_bytes(), salt, cost, out))
        .map_err(|error| refused(name, format!("argon2id cannot run with the stored parameters: {error}")))
}

/// Argon2id in memory that is wiped afterwards.
pub(crate) fn argon2id(password: &[u8], salt: &[u8], cost: PassphraseCost, out: &mut [u8; 32]) -> Result<(), HsmError> {
    let refused = |_| HsmError::Primitive("argon2id");
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(refused)?;
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(params.block_count()).map_err(|_| HsmError::Primitive("memory for argon2id"))?;
    blocks.resize(params.block_count(), Block::new());
    let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        password,
        salt,
        out,
        &mut *blocks,
    );
    for block in &mut blocks {
        zeroize::Zeroize::zeroize(block.as_mut());
    }
    hashed.map_err(refused)
}

pub(crate) fn refused(seal: &str, why: impl Into<String>) -> HsmError {
    HsmError::SealRefused { seal: seal.to_owned(), why: why.into() }
}

#[cfg(test)]
mod tests;
