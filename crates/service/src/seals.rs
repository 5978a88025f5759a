//! The seals of the deployment, as administration sees them: their record, and where their secrets come from.
//!
//! The record holds the root key as each seal has wrapped it. It is plain data, because it is read before anything can be opened; what it
//! wraps is authenticated by the hsm, and the audit log tells of each of its versions, as of every record's.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use claviger_domain::{AccountId, Refusal};
pub use claviger_hsm::{NewSeal, PrintedShares, SealSecret, SealedRoot, Share, TokenWrapped};
use claviger_store::{Change, Expect, Record, RecordKey, RecordKind, Store};

use crate::records::store_refusal;
use crate::service::Service;
use crate::work::Effort;

/// Gets at the secrets of the seals that this node's configuration names.
pub trait SealKeeper: fmt::Debug + Send + Sync {
    /// Each configured seal, in the order of the configuration, with its secret, or why it cannot be had without people.
    fn secrets<'a>(&'a self, root: &'a SealedRoot) -> SealSecrets<'a>;
}

/// What a keeper answers, later.
pub type SealSecrets<'a> = Pin<Box<dyn Future<Output = Vec<KeptSecret>> + Send + 'a>>;

/// What a node has of one seal.
pub struct KeptSecret {
    /// The seal's name.
    pub seal: String,
    /// Its secret; or why it cannot be had, and what to do.
    pub secret: Result<SealSecret, String>,
}

/// A node that keeps no secrets: whoever asks for a seal has to bring its secret.
#[derive(Debug, Clone, Copy)]
pub struct NoSecrets;

impl SealKeeper for NoSecrets {
    fn secrets<'a>(&'a self, _root: &'a SealedRoot) -> SealSecrets<'a> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

/// The secret of a seal, brought by whoever asks.
pub struct BroughtSecret {
    /// The seal's name.
    pub seal: String,
    /// Its secret. Shared with the thread that derives keys from it.
    pub secret: Arc<SealSecret>,
}

/// The sealed root key as it was read, and the version of its record; none in a store that keeps it as a fact.
pub(crate) struct StoredRoot {
    pub(crate) root: SealedRoot,
    pub(crate) version: Option<u64>,
}

/// Where the sealed root key is kept.
pub(crate) fn root_key() -> RecordKey {
    RecordKey { account: AccountId::DEPLOYMENT, kind: RecordKind::SealedRoot, id: "root".to_owned() }
}

/// Reads the sealed root key.
pub(crate) async fn read_root(store: &dyn Store) -> Result<Option<StoredRoot>, Refusal> {
    if let Some(record) = store.get(&root_key()).await.map_err(store_refusal)? {
        return Ok(Some(StoredRoot { root: parse_root(&record)?, version: Some(record.version) }));
    }
    // Deployments that were made before it was a record keep it as a fact until their seals change.
    match store.fact(crate::deployment::ROOT).await.map_err(store_refusal)? {
        Some(text) => Ok(Some(StoredRoot { root: parse(text.as_bytes())?, version: None })),
        None => Ok(None),
    }
}

/// Reads a sealed root key out of its record. Clear columns that nobody writes have to be empty.
pub(crate) fn parse_root(record: &Record) -> Result<SealedRoot, Refusal> {
    let empty = record.scope.is_empty() && record.owner.is_empty() && record.due.is_none() && record.account_key_version == 0;
    if empty { parse(&record.sealed) } else { Err(unreadable("its clear columns were changed")) }
}

fn parse(bytes: &[u8]) -> Result<SealedRoot, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(why: &str) -> Refusal {
    Refusal::internal(format!("The sealed root key in the store cannot be read: {why}."))
}

/// The change that stores a sealed root key in place of the one that was read.
pub(crate) fn write_root(root: &SealedRoot, read: Option<u64>) -> Result<Change, Refusal> {
    let sealed = serde_json::to_vec(root).map_err(|_| Refusal::internal("The sealed root key could not be serialized."))?.into();
    let record = Record {
        key: root_key(),
        version: read.map_or(1, |version| version + 1),
        account_key_version: 0,
        scope: String::new(),
        owner: String::new(),
        due: None,
        sealed,
    };
    Ok(Change::Put { record, expect: read.map_or(Expect::Absent, Expect::Version) })
}

impl Service {
    /// Writes into the audit log how people opened the deployment, which they did before there was a log to write to.
    ///
    /// # Errors
    /// When the entry cannot be written: the deployment must then not be served.
    pub async fn record_unsealing(&self, details: serde_json::Value) -> Result<(), Refusal> {
        let now = self.clock.now();
        crate::node_log::write_service_event(&self.records, &self.node, now, "UnsealDeployment", details, &[], Vec::new()).await
    }

    /// Writes into the audit log that a backup was begun beside the server.
    ///
    /// # Errors
    /// When the entry cannot be written.
    pub async fn record_backup(&self, details: serde_json::Value) -> Result<(), Refusal> {
        let now = self.clock.now();
        crate::node_log::write_service_event(&self.records, &self.node, now, "CreateBackup", details, &[], Vec::new()).await
    }

    /// The sealed root key as the store has it now.
    pub(crate) async fn stored_root(&self) -> Result<StoredRoot, Refusal> {
        let stored = read_root(self.records.store.as_ref()).await?;
        let stored = stored.ok_or_else(|| Refusal::internal("The sealed root key is missing."))?;
        // A rotation that was committed since takes effect here.
        self.take_root_over(&stored).await?;
        self.wipe_retired_roots().await?;
        Ok(stored)
    }

    /// The names of the seals that this node's configuration names.
    pub(crate) async fn configured_seals(&self, root: &SealedRoot) -> Vec<KeptSecret> {
        self.seal_keeper.secrets(root).await
    }

    /// Proves that this secret opens this seal. Passphrases take a while.
    pub(crate) async fn try_seal(&self, root: &Arc<SealedRoot>, name: &str, secret: Arc<SealSecret>) -> Result<(), String> {
        let (root, name) = (Arc::clone(root), name.to_owned());
        let verified = self.work(Effort::Generation, move |hsm| Ok(hsm.verify_seal(&root, &name, &secret))).await;
        match verified {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(refusal) => Err(refusal.detail),
        }
    }
}
