//! What this node knows of the root key, when another node rotates it.
//!
//! The lease covers the root key too: no poll succeeds before the node has taken over what the store then says of it. So whatever was stored longer
//! than a lease ago is known to every node that serves anybody, and a rotation goes by the clock: a lease after the new version was stored, account keys
//! may come to be under it, and tokens may be sealed with it; two leases later no node seals tokens with the old one any more, and it may be retired.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use claviger_domain::Refusal;
use claviger_hsm::HsmError;
use claviger_store::{Epochs, Shard};

use crate::clock::Moment;
use crate::records::background_refusal;
use crate::seals::{StoredRoot, parse_root, read_root, root_key};
use crate::service::Service;

/// What was seen of the root key's record.
pub(crate) struct RootWatch {
    /// The epoch of its shard at which it was read last, plus one; zero before the first time.
    seen: AtomicU64,
    /// Since when the newest version is known here.
    known_ms: AtomicU64,
    /// Whether there is a newer version that only a seal can tell.
    lost: AtomicBool,
    /// Whether the store says that the old versions are retired.
    retired: AtomicBool,
}

impl RootWatch {
    pub(crate) fn new() -> Self {
        let (lost, retired) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { seen: AtomicU64::new(0), known_ms: AtomicU64::new(Moment::now().ms()), lost, retired }
    }

    fn learned(&self) {
        self.known_ms.store(Moment::now().ms(), Ordering::Release);
    }

    /// This long after the newest version became known here.
    fn later(&self, time: Duration) -> Moment {
        Moment::from_ms(self.known_ms.load(Ordering::Acquire)).plus(time)
    }
}

impl Service {
    /// Takes over what the store says of the root key, if it may have changed, and says so by failing when that cannot be done.
    pub(crate) async fn follow_root(&self, epochs: &Epochs) -> Result<(), Refusal> {
        let epoch = epochs.get(Shard::of(&root_key()).number()).map_or(0, |epoch| epoch.saturating_add(1));
        if self.root_watch.seen.load(Ordering::Acquire) != epoch {
            if let Some(record) = self.records.store.get(&root_key()).await.map_err(background_refusal)? {
                match parse_root(&record) {
                    Ok(root) => self.take_root_over(&StoredRoot { root, version: Some(record.version) }).await?,
                    // Nobody who knows the root key wrote that. Who is served with what is known goes on being served; it is looked at again.
                    Err(refusal) => {
                        if self.complaints.is_due("the sealed root key", self.clock.now()) {
                            tracing::error!(%refusal, "the sealed root key in the store was changed outside of this server");
                        }
                        return Ok(());
                    }
                }
            }
            self.root_watch.seen.store(epoch, Ordering::Release);
        }
        if self.hsm().root_versions().len() > 1 && self.root_watch.later(self.longest_lease()) <= Moment::now() {
            self.hsm().seal_tokens_with_newest();
        }
        Ok(())
    }

    /// Takes over the versions of the root key that the store has now, and takes no tokens any more of those that another node has retired.
    pub(crate) async fn take_root_over(&self, stored: &StoredRoot) -> Result<(), Refusal> {
        match self.hsm().adopt_root(&stored.root) {
            Ok(true) => {
                self.root_watch.learned();
                self.root_watch.retired.store(false, Ordering::Release);
                tracing::info!(versions = ?self.hsm().root_versions(), "the root key is being rotated: this node knows the new version");
            }
            Ok(false) => {}
            Err(error) => {
                self.root_watch.lost.store(matches!(error, HsmError::UnknownRoot(_)), Ordering::Release);
                return Err(Refusal::from(error.clone()).with_reason(error.to_string()));
            }
        }
        self.root_watch.lost.store(false, Ordering::Release);
        let held = self.hsm().root_versions();
        if let (&[newest], [_, .., last]) = (stored.root.versions().as_slice(), held.as_slice())
            && newest == *last
            && !self.root_watch.retired.swap(true, Ordering::AcqRel)
        {
            self.hsm().end_old_tokens();
            self.sessions.forget_all();
        }
        Ok(())
    }

    /// Wipes the versions of the root key that another node has retired. Somebody who can write to the store could say that while there are account
    /// keys under them: it is seen for oneself, which takes a while where there are many accounts.
    pub(crate) async fn wipe_retired_roots(&self) -> Result<(), Refusal> {
        let held = self.hsm().root_versions();
        if let ([_, .., newest], true) = (held.as_slice(), self.root_watch.retired.load(Ordering::Acquire))
            && self.account_keys_under_others(*newest).await?.is_empty()
        {
            self.forget_old_roots();
        }
        Ok(())
    }

    /// Wipes the old versions of the root key, and with them what was sealed under them and is still open.
    pub(crate) fn forget_old_roots(&self) {
        self.hsm().forget_old_roots();
        self.sessions.forget_all();
        self.root_watch.retired.store(false, Ordering::Release);
    }

    /// Gets the newest version of the root key from a seal, where a rotation ended while this node was not listening. Only seals whose secrets the
    /// configuration has can do that.
    pub(crate) async fn find_lost_root(&self) -> Result<(), Refusal> {
        if !self.root_watch.lost.load(Ordering::Acquire) {
            return Ok(());
        }
        let Some(stored) = read_root(self.records.store.as_ref()).await? else { return Ok(()) };
        let mut why = Vec::new();
        for kept in self.configured_seals(&stored.root).await {
            let adopted = match kept.secret {
                Ok(secret) => {
                    let (root, seal) = (stored.root.clone(), kept.seal.clone());
                    let adopt = move |hsm: &claviger_hsm::Hsm| Ok(hsm.adopt_root_from_seal(&root, &seal, &secret));
                    self.work(crate::work::Effort::Generation, adopt).await?.map_err(|error| error.to_string())
                }
                Err(reason) => Err(format!("seal {}: {reason}", kept.seal)),
            };
            match adopted {
                Ok(true) => {
                    self.root_watch.learned();
                    self.root_watch.lost.store(false, Ordering::Release);
                    tracing::info!(
                        seal = kept.seal,
                        "the root key was rotated meanwhile: a seal has told this node the new version"
                    );
                    return Ok(());
                }
                Ok(false) => {}
                Err(reason) => why.push(reason),
            }
        }
        Err(Refusal::internal(format!(
            "the root key was rotated while this node could not hear of it, and none of its seals tells it the new version: restart it ({})",
            why.join("; ")
        )))
    }

    /// Waits until every node that serves knows the newest version of the root key.
    pub(crate) async fn until_root_is_known_everywhere(&self) {
        self.root_watch.later(self.longest_lease()).arrives().await;
        self.hsm().seal_tokens_with_newest();
    }

    /// Waits until no node seals anything with an older version of the root key any more.
    pub(crate) async fn until_old_roots_are_unused(&self) {
        self.root_watch.later(3 * self.longest_lease()).arrives().await;
    }
}
