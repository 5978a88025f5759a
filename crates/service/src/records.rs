//! Typed records: what the domain calls a key, an alias or a user, sealed into what the store calls a record and back.

use std::sync::Arc;

use claviger_domain::identity::{AccessKey, Account, Owner, Role, User};
use claviger_domain::key::{Alias, Key, LastUse};
use claviger_domain::{AccountId, AliasName, KeyId, Refusal, Region, Timestamp};
use claviger_hsm::{AccountKey, Hsm, HsmError, RecordIdentity};
use claviger_store::{Change, Expect, List, Record, RecordKey, RecordKind, Store, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::accounts::{AccountKeys, Versions};

/// A thing that the store keeps, and the clear columns that it is found by.
pub(crate) trait Stored: Serialize + DeserializeOwned + Send {
    /// Its kind of record.
    const KIND: RecordKind;

    /// The account under whose key it is sealed.
    fn account(&self) -> AccountId;

    /// Its id among the account's records of this kind.
    fn id(&self) -> String;

    /// What lists filter on: its Region.
    fn scope(&self) -> &str {
        ""
    }

    /// What it belongs to, or another thing that it is counted by.
    fn owner(&self) -> &str {
        ""
    }

    /// When background work has to look at it.
    fn due(&self) -> Option<Timestamp> {
        None
    }
}

/// A thing with the version of its record, which the next change has to name.
#[derive(Debug, Clone)]
pub(crate) struct Versioned<T> {
    pub(crate) value: T,
    pub(crate) version: u64,
}

/// The record id of a key: its Region and its id.
pub(crate) fn key_record_id(region: &Region, key: KeyId) -> String {
    format!("{region}/{key}")
}

/// The record id of an alias: its Region and its name.
pub(crate) fn alias_record_id(region: &Region, alias: &AliasName) -> String {
    format!("{region}/{alias}")
}

impl Stored for Key {
    const KIND: RecordKind = RecordKind::Key;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        key_record_id(&self.region, self.id)
    }

    fn scope(&self) -> &str {
        self.region.as_str()
    }

    /// Keys are counted by their state.
    fn owner(&self) -> &str {
        self.state.as_str()
    }

    fn due(&self) -> Option<Timestamp> {
        Key::due(self)
    }
}

impl Stored for Alias {
    const KIND: RecordKind = RecordKind::Alias;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        alias_record_id(&self.region, &self.name)
    }

    fn scope(&self) -> &str {
        self.region.as_str()
    }
}

impl Stored for Account {
    const KIND: RecordKind = RecordKind::Account;

    /// The list of accounts belongs to the deployment.
    fn account(&self) -> AccountId {
        AccountId::DEPLOYMENT
    }

    fn id(&self) -> String {
        self.id.to_string()
    }
}

impl Stored for User {
    const KIND: RecordKind = RecordKind::User;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        self.name.to_string()
    }
}

impl Stored for Role {
    const KIND: RecordKind = RecordKind::Role;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        self.name.to_string()
    }
}

impl Stored for AccessKey {
    const KIND: RecordKind = RecordKind::AccessKey;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        self.id.to_string()
    }

    /// The user's name; empty for the account's root.
    fn owner(&self) -> &str {
        match &self.owner {
            Owner::Root => "",
            Owner::User(name) => name.as_str(),
        }
    }
}

/// The last use of a key or an access key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LastUseRecord {
    /// The account of what was used.
    pub(crate) account: AccountId,
    /// The record id of what was used.
    pub(crate) subject: String,
    /// Its last use.
    pub(crate) last: LastUse,
}

impl Stored for LastUseRecord {
    const KIND: RecordKind = RecordKind::LastUse;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        self.subject.clone()
    }
}

/// A node's identity: its log's signing key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    /// The version of the deployment's account key that the signer is sealed under.
    pub(crate) account_key_version: u32,
    /// The Ed25519 key that signs the log's checkpoints, sealed.
    pub(crate) sealed_log_signer: String,
    /// The log's verifier key in the form of C2SP signed-note.
    pub(crate) verifier_key: String,
}

impl Stored for Node {
    const KIND: RecordKind = RecordKind::Node;

    fn account(&self) -> AccountId {
        AccountId::DEPLOYMENT
    }

    fn id(&self) -> String {
        self.name.clone()
    }
}

/// The store seen as typed, sealed records.
pub(crate) struct Records {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hsm: Arc<Hsm>,
    accounts: AccountKeys,
}

impl Records {
    pub(crate) fn new(store: Arc<dyn Store>, hsm: Arc<Hsm>) -> Self {
        Self { store, hsm, accounts: AccountKeys::new() }
    }

    /// The account's opened keys.
    pub(crate) async fn account(&self, account: AccountId) -> Result<Option<Arc<Versions>>, Refusal> {
        self.accounts.get(account, &self.hsm, self.store.as_ref()).await
    }

    /// The account's opened keys, for an account that must exist.
    pub(crate) async fn existing_account(&self, account: AccountId) -> Result<Arc<Versions>, Refusal> {
        self.account(account).await?.ok_or_else(|| Refusal::not_found(format!("Account {account} does not exist.")))
    }

    /// Reads and opens one record.
    pub(crate) async fn get<T: Stored>(&self, account: AccountId, id: &str) -> Result<Option<Versioned<T>>, Refusal> {
        let key = RecordKey { account, kind: T::KIND, id: id.to_owned() };
        match self.store.get(&key).await.map_err(store_refusal)? {
            Some(record) => self.open(&record).await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads and opens the record of this id in whichever account it is.
    pub(crate) async fn find<T: Stored>(&self, id: &str) -> Result<Option<Versioned<T>>, Refusal> {
        match self.store.find(T::KIND, id).await.map_err(store_refusal)? {
            Some(record) => self.open(&record).await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads and opens a page of records.
    pub(crate) async fn list<T: Stored>(&self, list: List<'_>) -> Result<Vec<Versioned<T>>, Refusal> {
        let records = self.store.list(list).await.map_err(store_refusal)?;
        self.open_all(&records).await
    }

    /// The ids of a page of records, each of which opens: so it is the one that its clear columns tell of, as they tell it. What is in it
    /// is not read.
    pub(crate) async fn list_ids(&self, list: List<'_>) -> Result<Vec<String>, Refusal> {
        let records = self.store.list(list).await.map_err(store_refusal)?;
        for record in &records {
            self.open_untyped(record).await?;
        }
        Ok(records.into_iter().map(|record| record.key.id).collect())
    }

    async fn open_all<T: Stored>(&self, records: &[Record]) -> Result<Vec<Versioned<T>>, Refusal> {
        let mut opened = Vec::with_capacity(records.len());
        for record in records {
            opened.push(self.open(record).await?);
        }
        Ok(opened)
    }

    /// Opens a record only to see whether it opens.
    pub(crate) async fn open_untyped(&self, record: &Record) -> Result<(), Refusal> {
        self.unseal(record).await.map(drop)
    }

    /// Opens a record. What does not open is tampering: it is named and refused, never skipped.
    pub(crate) async fn open<T: Stored>(&self, record: &Record) -> Result<Versioned<T>, Refusal> {
        let plaintext = self.unseal(record).await?;
        let value: T = serde_json::from_slice(&plaintext).map_err(|_| tampered(&record.key))?;
        Ok(Versioned { value, version: record.version })
    }

    async fn unseal(&self, record: &Record) -> Result<zeroize::Zeroizing<Vec<u8>>, Refusal> {
        let account = record.key.account;
        let versions = self.existing_account(account).await?;
        let key = versions.version(record.account_key_version).ok_or_else(|| tampered(&record.key))?;
        self.hsm.open_record(key, &identity_of(record), &record.sealed).map_err(|error| {
            tracing::error!(record = %describe(&record.key), %error, "a record cannot be opened");
            match error {
                HsmError::Tampered(_) => tampered(&record.key),
                // The module's own trouble is nobody's tampering.
                other => other.into(),
            }
        })
    }

    /// The change that stores a new thing.
    pub(crate) async fn create<T: Stored>(&self, value: &T) -> Result<Change, Refusal> {
        let versions = self.existing_account(value.account()).await?;
        self.seal(value, versions.current()?, 1, Expect::Absent)
    }

    /// The change that stores a new thing under an account key that is not stored yet itself.
    pub(crate) fn create_under<T: Stored>(&self, value: &T, key: &AccountKey) -> Result<Change, Refusal> {
        self.seal(value, key, 1, Expect::Absent)
    }

    /// The change that replaces a thing at the version that was read.
    pub(crate) async fn update<T: Stored>(&self, value: &T, read_at: u64) -> Result<Change, Refusal> {
        let versions = self.existing_account(value.account()).await?;
        self.seal(value, versions.current()?, read_at + 1, Expect::Version(read_at))
    }

    /// The change that deletes a thing at the version that was read.
    pub(crate) fn delete<T: Stored>(&self, value: &T, read_at: u64) -> Change {
        Change::Delete { key: RecordKey { account: value.account(), kind: T::KIND, id: value.id() }, version: read_at }
    }

    fn seal<T: Stored>(&self, value: &T, key: &AccountKey, version: u64, expect: Expect) -> Result<Change, Refusal> {
        let plaintext = serde_json::to_vec(value).map_err(|_| Refusal::internal("A record could not be serialized."))?;
        let mut record = Record {
            key: RecordKey { account: value.account(), kind: T::KIND, id: value.id() },
            version,
            account_key_version: key.version(),
            scope: value.scope().to_owned(),
            owner: value.owner().to_owned(),
            due: value.due(),
            sealed: Default::default(),
        };
        record.sealed = self.hsm.seal_record(key, &identity_of(&record), &plaintext)?.into();
        Ok(Change::Put { record, expect })
    }
}

fn identity_of(record: &Record) -> RecordIdentity<'_> {
    RecordIdentity {
        account: record.key.account,
        kind: record.key.kind.as_str(),
        id: &record.key.id,
        version: record.version,
        account_key_version: record.account_key_version,
        scope: &record.scope,
        owner: &record.owner,
        due: record.due,
    }
}

/// A record's name for people.
pub(crate) fn describe(key: &RecordKey) -> String {
    format!("{} {} of account {}", key.kind.as_str(), key.id, key.account)
}

fn tampered(key: &RecordKey) -> Refusal {
    Refusal::internal(format!(
        "The record {} was changed outside of this server. Ask the operator to run 'claviger store verify'.",
        describe(key)
    ))
}

/// What background work is told when the store fails: the cause. Whoever runs it logs that, once and not with every attempt.
pub(crate) fn background_refusal(error: StoreError) -> Refusal {
    match error {
        conflict @ StoreError::Conflict(_) => store_refusal(conflict),
        other => Refusal::internal(other.to_string()),
    }
}

/// What a caller is told when the store fails. The operator finds the cause in the server's log.
pub(crate) fn store_refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::Conflict(_) => Refusal::conflict("Somebody else changed this at the same time. Try again."),
        other => {
            tracing::error!(error = %other, "the store failed");
            Refusal::internal(
                "The store cannot be reached or written at the moment, or has not confirmed this in time. If this was to change something, look whether it did. \
                 Then try again.",
            )
        }
    }
}
