//! Records: sealed bytes, the clear columns beside them, and the changes that a commit makes to them.

use std::fmt;

use bytes::Bytes;
use claviger_domain::{AccountId, Timestamp};

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// An account's own key, wrapped by the root key.
    AccountKey,
    /// An account.
    Account,
    /// A user with its policies.
    User,
    /// A role with its policies.
    Role,
    /// A user's or an account root's credential.
    AccessKey,
    /// A key with its material.
    Key,
    /// An alias.
    Alias,
    /// A grant on a key.
    Grant,
    /// Which grant a named request for one has made.
    GrantName,
    /// A grant as its retiring principal finds it, in the account of that principal.
    GrantRetirement,
    /// When something was last used: a projection of the audit log.
    LastUse,
    /// A node's identity: the signing key of its log.
    Node,
    /// What a node last said about itself.
    Heartbeat,
    /// Who does the background work: its version is what fences off whoever did it before.
    Lease,
    /// How far a node's entries from the time in which the store could not be reached are in its log.
    GraceSpool,
    /// The custom key stores of an account in a Region.
    CustomKeyStores,
    /// Which key stands for a key in a custom key store: what counts the keys there, and gives each to one key only.
    KeyStoreKey,
    /// A hold-your-own-key store of an account.
    HyokStore,
    /// Which hold-your-own-key store is found at a path.
    HyokPath,
    /// A setting of the deployment or of an account.
    Setting,
    /// The root key as its seals have wrapped it: plain data, read before anything can be opened.
    SealedRoot,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [Self; 21] = [
        Self::AccountKey,
        Self::Account,
        Self::User,
        Self::Role,
        Self::AccessKey,
        Self::Key,
        Self::Alias,
        Self::Grant,
        Self::GrantName,
        Self::GrantRetirement,
        Self::LastUse,
        Self::Node,
        Self::Heartbeat,
        Self::Lease,
        Self::GraceSpool,
        Self::CustomKeyStores,
        Self::KeyStoreKey,
        Self::HyokStore,
        Self::HyokPath,
        Self::Setting,
        Self::SealedRoot,
    ];

    /// The name that is stored. Never change one: it is part of what records are sealed with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountKey => "account-key",
            Self::Account => "account",
            Self::User => "user",
            Self::Role => "role",
            Self::AccessKey => "access-key",
            Self::Key => "key",
            Self::Alias => "alias",
            Self::Grant => "grant",
            Self::GrantName => "grant-name",
            Self::GrantRetirement => "grant-retirement",
            Self::LastUse => "last-use",
            Self::Node => "node",
            Self::Heartbeat => "heartbeat",
            Self::Lease => "lease",
            Self::GraceSpool => "grace-spool",
            Self::CustomKeyStores => "custom-key-store",
            Self::KeyStoreKey => "key-store-key",
            Self::HyokStore => "hyok-store",
            Self::HyokPath => "hyok-path",
            Self::Setting => "setting",
            Self::SealedRoot => "sealed-root",
        }
    }

    /// The kind with this stored name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether the id is that of a key's record, a slash, and a part of its own. Such records share the key's shard, so that what is cached
    /// of all of them together can be cached beside the key.
    pub const fn belongs_to_key(self) -> bool {
        matches!(self, Self::Grant | Self::GrantName)
    }

    /// Whether such records say nothing that is not said again soon, or is in the audit log. Their changes are not audited (the log would then
    /// grow by being read) and do not move epochs: nobody decides by them what somebody may do, and nobody caches them.
    pub const fn derived(self) -> bool {
        matches!(self, Self::LastUse | Self::Heartbeat | Self::Lease | Self::GraceSpool)
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What identifies a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    /// The account that the record belongs to.
    pub account: AccountId,
    /// What it is about.
    pub kind: RecordKind,
    /// Its id within account and kind: `us-east-1/1234abcd-...` for a key. Never empty, no zero byte.
    pub id: String,
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of account {}", self.kind, self.id, self.account)
    }
}

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What identifies it.
    pub key: RecordKey,
    /// Goes up with every change.
    pub version: u64,
    /// The version of the account key that sealed it, so that re-wrapping can tell what is left to do.
    pub account_key_version: u32,
    /// What lists filter on: the Region of a key or an alias; empty for records that have none.
    pub scope: String,
    /// What the record hangs on: an alias's key, an access key's user; empty for records that hang on nothing.
    pub owner: String,
    /// When background work must look at it: a deletion, a rotation.
    pub due: Option<Timestamp>,
    /// The content, sealed by the record's owner. Opaque to the store.
    pub sealed: Bytes,
}

/// In which state a record must be for a commit to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is no such record.
    Absent,
    /// It has this version.
    Version(u64),
}

/// One thing that a commit does. All expectations of a commit are about the store as it was before that commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a record, with a version above the expected one.
    Put {
        /// The record as it will be.
        record: Record,
        /// What must be there now.
        expect: Expect,
    },
    /// Removes a record that has this version.
    Delete {
        /// Which record.
        key: RecordKey,
        /// The version that it must have.
        version: u64,
    },
    /// Writes nothing; the commit fails unless the record has this version.
    Check {
        /// Which record.
        key: RecordKey,
        /// The version that it must have.
        version: u64,
    },
}

impl Change {
    /// The record that this is about.
    pub fn key(&self) -> &RecordKey {
        match self {
            Self::Put { record, .. } => &record.key,
            Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    /// What must be there before.
    pub fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } => *expect,
            Self::Delete { version, .. } | Self::Check { version, .. } => Expect::Version(*version),
        }
    }

    /// Whether it changes anything.
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Check { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in RecordKind::ALL {
            assert_eq!(RecordKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(RecordKind::parse("keys"), None);
    }
}
