//! Grace: for keys whose owners chose so, uses go on for a while when the store cannot be reached, from what is cached, with their audit entries kept
//! on this node's own disk until the store is back.
//!
//! Only uses, never changes; only of keys whose availability says so; only as long after the last confirmation as it says. Each entry says how old the
//! knowledge was. The entries are in the log before the node's lease is confirmed anew, and so before the entry of whatever is asked then.

mod spool;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use claviger_audit::merkle::leaf_hash;
use claviger_domain::availability::{Availability, Grace};
use claviger_domain::{AccountId, Caller, KeyId, Refusal, Region};
use claviger_store::{Commit, Entry, RecordKind, StoreError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::audit_trail::{ServiceAct, service_event};
use crate::clock::Moment;
use crate::confirm::unconfirmed;
use crate::operation::Ask;
use crate::records::{Records, Stored, background_refusal};
use crate::service::Service;
use crate::snapshot::KeySnapshot;

use spool::{Batch, Spool};

/// How many things of each kind are kept warm.
const WARM_MAX: usize = 1000;
/// How many entries go into the log in one commit.
const REPLAY_COUNT: usize = 500;

/// What this node needs for grace.
pub(crate) struct Graces {
    spool: Option<Arc<Spool>>,
    /// Whether any key or account with a grace was met.
    met: AtomicBool,
    warm: Mutex<Warm>,
    replaying: AtomicBool,
}

/// What is looked at again every second, so that it is there, and fresh, when the store goes away.
#[derive(Default)]
struct Warm {
    accounts: HashSet<AccountId>,
    keys: HashSet<(AccountId, Region, KeyId)>,
    credentials: HashSet<String>,
}

/// How far a node's spool is in its log.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SpoolMark {
    node: String,
    /// The id of the file.
    file: Uuid,
    /// The number of the last entry that is in the log.
    until: u64,
}

impl Stored for SpoolMark {
    const KIND: RecordKind = RecordKind::GraceSpool;

    fn account(&self) -> AccountId {
        AccountId::DEPLOYMENT
    }

    fn id(&self) -> String {
        self.node.clone()
    }
}

impl Graces {
    /// With a spool at this path, if there is to be one.
    pub(crate) async fn open(path: Option<PathBuf>, node: &str, records: &Records) -> Result<Self, Refusal> {
        let spool = match path {
            Some(path) => {
                let key = records.existing_account(AccountId::DEPLOYMENT).await?.current()?.clone();
                let mark = records.get::<SpoolMark>(AccountId::DEPLOYMENT, node).await?;
                let last = mark.map_or(Uuid::nil(), |mark| mark.value.file);
                Some(Arc::new(Spool::open(path, node, last, Arc::clone(&records.hsm), key)?))
            }
            None => None,
        };
        Ok(Self { spool, met: AtomicBool::new(false), warm: Mutex::default(), replaying: AtomicBool::new(false) })
    }

    /// Whether entries wait for the store to be back.
    pub(crate) fn is_waiting(&self) -> bool {
        self.spool.as_ref().is_some_and(|spool| spool.is_waiting())
    }

    /// Whether those that were there when the store came back are being put into the log: nobody need wait for that. Who comes when it is about
    /// the last ones waits, or there would be no end to it.
    pub(crate) fn is_replaying(&self) -> bool {
        self.replaying.load(Ordering::Acquire)
    }
}

impl Service {
    /// Since when what this node knows may be used for keys with a grace, when it cannot be confirmed because the store is away. It is not away for a node
    /// that has been superseded, does not know the root key any more, or cannot read its own spool.
    ///
    /// # Errors
    /// `KeyUnavailable` where no key could be used.
    pub(crate) fn grace_since(&self) -> Result<Moment, Refusal> {
        self.must_be_the_only_one().map_err(|_| unconfirmed())?;
        let since = self.freshness.confirmed();
        let away = self.store_is_away() || self.graces.is_replaying();
        let possible = away && self.graces.spool.is_some() && self.graces.met.load(Ordering::Acquire);
        if possible && since.elapsed() <= Duration::from_secs(Grace::SECONDS_MAX.into()) { Ok(since) } else { Err(unconfirmed()) }
    }

    /// Since when what this node knows of callers may be used: within the lease, or, while that cannot be had, for keys with a grace. Which key it is
    /// about is not known yet: the pipeline asks again.
    pub(crate) async fn confirm_freshness_or_grace(&self) -> Result<Moment, Refusal> {
        match self.confirm_freshness().await {
            Ok(confirmed) => Ok(confirmed),
            Err(_) => self.grace_since(),
        }
    }

    /// Does what should need nothing of the store but may, without waiting for one that hangs.
    pub(crate) async fn soon_enough<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        if self.freshness.within_lease() {
            return work.await;
        }
        tokio::time::timeout(self.poll_deadline(), work).await.unwrap_or_else(|_| Err(unconfirmed()))
    }

    /// Confirms that all keys that are asked for may be used with knowledge that was confirmed then.
    pub(crate) fn must_be_in_grace(&self, asks: &[Ask<'_>], since: Moment) -> Result<(), Refusal> {
        let in_grace = |ask: &Ask<'_>| {
            let grace = ask.key.filter(|key| !key.is_unborn()).and_then(|key| self.grace_of(key));
            grace.is_some_and(|grace| since.elapsed() <= grace.duration())
        };
        if !asks.is_empty() && asks.iter().all(in_grace) { Ok(()) } else { Err(unconfirmed()) }
    }

    /// The grace of a key: its own, or that of its account, as far as that is known to be true.
    fn grace_of(&self, key: &KeySnapshot) -> Option<Grace> {
        match key.key.availability {
            Some(own) => own.grace(),
            None => self.cached_account(key.key.account)?.availability.and_then(Availability::grace),
        }
    }

    /// Keeps the entry of a use in grace, durably, until it can be put into the log.
    pub(crate) async fn spool(&self, entry: &Entry) -> Result<(), Refusal> {
        match &self.graces.spool {
            Some(spool) => spool.append(&entry.bytes).await,
            None => Err(unconfirmed()),
        }
    }

    /// Notes that a key was used that may have a grace, and by whom, so that both are known when the store goes away.
    pub(crate) fn note_for_grace(&self, caller: &Caller, asks: &[Ask<'_>]) {
        if self.graces.spool.is_none() || !self.graces.met.load(Ordering::Relaxed) {
            return;
        }
        for key in asks.iter().filter_map(|ask| ask.key) {
            if self.grace_of(key).is_none() {
                continue;
            }
            let mut warm = self.graces.warm.lock();
            if warm.keys.len() < WARM_MAX {
                warm.keys.insert((key.key.account, key.key.region.clone(), key.key.id));
            }
            if warm.credentials.len() < WARM_MAX && !warm.credentials.contains(caller.access_key.as_str()) {
                warm.credentials.insert(caller.access_key.to_string());
            }
        }
    }

    /// Notes the grace of a key that was read from the store.
    pub(crate) async fn meet(&self, key: &KeySnapshot) -> Result<(), Refusal> {
        let grace = match key.key.availability {
            Some(own) => own.grace(),
            None if self.graces.spool.is_some() => {
                let account = self.account_record(key.key.account).await?;
                account.and_then(|account| account.availability).and_then(Availability::grace)
            }
            None => None,
        };
        if grace.is_some() {
            self.graces.met.store(true, Ordering::Release);
            let mut warm = self.graces.warm.lock();
            if key.key.availability.is_none() && warm.accounts.len() < WARM_MAX {
                warm.accounts.insert(key.key.account);
            }
        }
        Ok(())
    }

    /// Looks again at what may be needed when the store goes away. What is fresh costs nothing. Public so that tests need not wait for the background.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_warm(&self) -> Result<(), Refusal> {
        let (accounts, keys, credentials) = {
            let warm = self.graces.warm.lock();
            (warm.accounts.clone(), warm.keys.clone(), warm.credentials.clone())
        };
        for account in accounts {
            self.account_record(account).await?;
        }
        for (account, region, id) in keys {
            let known = self.key(account, &region, id).await?;
            if known.is_none_or(|key| self.grace_of(&key).is_none()) {
                self.graces.warm.lock().keys.remove(&(account, region, id));
            }
        }
        for id in credentials {
            match self.credential(&id).await? {
                Some(credential) => drop(self.identity(credential.access_key.account, &credential.access_key.owner).await?),
                // That of a session, or one that is gone.
                None => drop(self.graces.warm.lock().credentials.remove(&id)),
            }
        }
        Ok(())
    }

    /// Puts what waits on this node's disk into its log, in order and once, and removes it.
    ///
    /// # Errors
    /// When the store fails; or what waits was changed, which is named.
    pub(crate) async fn replay_spool(&self) -> Result<(), Refusal> {
        let Some(spool) = self.graces.spool.clone().filter(|spool| spool.is_waiting()) else { return Ok(()) };
        self.graces.replaying.store(true, Ordering::Release);
        let replayed = self.replay(&spool).await;
        self.graces.replaying.store(false, Ordering::Release);
        replayed
    }

    async fn replay(&self, spool: &Arc<Spool>) -> Result<(), Refusal> {
        let mut count = 0;
        loop {
            let mark = self.records.get::<SpoolMark>(AccountId::DEPLOYMENT, &self.node).await?;
            let known = mark.as_ref().map(|mark| (mark.value.file, mark.value.until));
            let batch = off_the_runtime(spool, move |spool| spool.read(known)).await?;
            let until = batch.as_ref().map_or(0, |batch| batch.after);
            match batch {
                Some(batch) if !batch.entries.is_empty() => {
                    count += self.replay_batch(&batch, mark.map(|mark| mark.version)).await?;
                }
                batch => {
                    if let Some(batch) = batch.filter(|batch| batch.cut_off > 0) {
                        self.tell_of_cut_off(&batch).await?;
                    }
                    if off_the_runtime(spool, move |spool| spool.clear(until)).await? {
                        tracing::warn!(entries = count, "the store is back: what was used in grace is in the audit log now");
                        return Ok(());
                    }
                    self.graces.replaying.store(false, Ordering::Release);
                }
            }
        }
    }

    /// Commits entries, some at a time, each time with the mark that says so: both or none.
    async fn replay_batch(&self, batch: &Batch, mut mark: Option<u64>) -> Result<usize, Refusal> {
        let mut count = 0;
        for some in batch.entries.chunks(REPLAY_COUNT) {
            let Some((until, _)) = some.last() else { break };
            let new = SpoolMark { node: self.node.clone(), file: batch.id, until: *until };
            let change = match mark {
                Some(version) => self.records.update(&new, version).await?,
                None => self.records.create(&new).await?,
            };
            let entry = |(_, bytes): &(u64, Vec<u8>)| Entry { leaf: leaf_hash(bytes).0, bytes: Bytes::copy_from_slice(bytes) };
            let commit = Commit::new(vec![change], some.iter().map(entry).collect());
            match self.commit(commit).await {
                Ok(()) => {
                    count += some.len();
                    mark = Some(mark.map_or(1, |version| version + 1));
                }
                // A commit whose answer was lost has moved the mark: it is read again.
                Err(StoreError::Conflict(_)) => break,
                Err(error) => return Err(background_refusal(error)),
            }
        }
        Ok(count)
    }

    /// A crash, or somebody, has cut the file within its last entry: that is for the log too.
    async fn tell_of_cut_off(&self, batch: &Batch) -> Result<(), Refusal> {
        tracing::warn!(
            bytes = batch.cut_off,
            "the last entry in the spool was cut off: it was never acknowledged, if a crash did it"
        );
        let region = "global".parse().map_err(|_| Refusal::internal("The name 'global' is not a Region."))?;
        let act = ServiceAct {
            name: "RecoverGraceSpool",
            account: AccountId::DEPLOYMENT,
            region: &region,
            resource: "",
            related: &[],
            at: self.clock.now(),
            details: json!({ "bytesCutOff": batch.cut_off, "spool": batch.id.to_string() }),
            changes: &[],
            request_id: None,
        };
        let entry = service_event(&self.node, &act)?;
        self.commit(Commit::new(Vec::new(), vec![entry])).await.map_err(background_refusal)
    }
}

/// Reads and writes the disk where it does not hold up requests.
async fn off_the_runtime<T: Send + 'static>(
    spool: &Arc<Spool>,
    work: impl FnOnce(&Spool) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let spool = Arc::clone(spool);
    let interrupted = || Err(Refusal::internal("Reading the spool of audit entries was interrupted."));
    tokio::task::spawn_blocking(move || work(&spool)).await.unwrap_or_else(|_| interrupted())
}
