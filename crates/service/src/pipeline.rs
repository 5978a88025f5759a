//! The way of a request: count, resolve, authorise, execute, commit with its audit entry, answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use claviger_domain::policy::{ConditionContext, Denial, Granted, authorize, authorize_assumption, authorize_through_store};
use claviger_domain::{Caller, Kind, Permit, Refusal};
use claviger_store::{Commit, Committed, RecordKey, Shard, StoreError};

use crate::audit_trail::{Decision, Ground, Heard, Outcome, event_of, refusal_event};
use crate::clock::Moment;
use crate::conditions::Conditions;
use crate::confirm::unconfirmed;
use crate::key_stores::MadeElsewhere;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::records::store_refusal;
use crate::resolve::{Named, cache_id, hidden, hidden_by_ciphertext};
use crate::service::Service;
use crate::standing::Approved;

/// How often an operation is tried again when others change the same records at the same time.
const ATTEMPTS_MAX: usize = 32;

/// A request whose entry is to be written can wait for others to share its transaction: for this part of the time that it has taken,
const LEISURE_PART: u32 = 8;
/// and no longer than this.
const LEISURE_MAX: Duration = Duration::from_millis(5);

/// Why something was not made durable.
enum Unwritten {
    /// Another change came first.
    Overtaken(RecordKey),
    /// It could not be written.
    Failed(Refusal),
}

/// How one attempt ended.
enum Attempt<T> {
    /// With an answer or a refusal that is in the audit log.
    Settled(Result<T, Refusal>),
    /// Another change came first: nothing was written, everything is to be looked at again.
    Overtaken(RecordKey),
}

impl Service {
    /// Runs an operation. The only way into the core.
    ///
    /// # Errors
    /// Whatever the operation refuses. The refusal, like the success, is durable in the audit log before this returns.
    pub async fn perform<O: Operation>(&self, caller: &Caller, operation: &O) -> Result<O::Output, Refusal> {
        if let Err(refusal) = self.admit(caller, operation) {
            self.record_refusal(&caller.request, Some(caller), None, O::EVENT, &refusal).await?;
            return Err(refusal);
        }
        let mut turn = None;
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(caller, operation).await {
                Attempt::Settled(result) => return result,
                // From now on this request waits in line with the others that met at this record.
                Attempt::Overtaken(record) => {
                    drop(turn.take());
                    turn = self.turn(&record).await;
                }
            }
        }
        let refusal = Refusal::conflict("Too many others change this at the same time. Try again.");
        let entry = refusal_event(&self.node, &caller.request, Some(caller), None, O::EVENT, &refusal)?;
        self.commit(Commit::new(Vec::new(), vec![entry])).await.map_err(store_refusal)?;
        Err(refusal)
    }

    /// Writes the refusal of a request that never became an operation: a wrong signature, a body that cannot be read.
    ///
    /// # Errors
    /// When the entry cannot be written: the caller must then hear of that instead.
    pub async fn record_refusal(
        &self,
        request: &claviger_domain::caller::Request,
        caller: Option<&Caller>,
        claimed_access_key: Option<&str>,
        event: Event,
        refusal: &Refusal,
    ) -> Result<(), Refusal> {
        let entry = refusal_event(&self.node, request, caller, claimed_access_key, event, refusal)?;
        self.commit(Commit::new(Vec::new(), vec![entry])).await.map_err(store_refusal)
    }

    async fn attempt<O: Operation>(&self, caller: &Caller, operation: &O) -> Attempt<O::Output> {
        let (begun, era) = (Instant::now(), self.records.store.era());
        let mut heard = Heard { caller, operation, target: None, asks: &[], ground: Ground::Fresh };
        let (renewed, since, ground) = match self.ready::<O>(caller).await {
            Ok(ready) => ready,
            Err(refusal) => return self.settle_refusal(heard, Decision::None, refusal).await,
        };
        let caller = renewed.as_ref().unwrap_or(caller);
        heard.caller = caller;
        let target = match self.soon_enough(operation.resolve(self, caller)).await {
            Ok(target) => target,
            Err(refusal) => return self.settle_refusal(heard, Decision::None, refusal).await,
        };
        let asks = operation.demands(caller, &target);
        (heard.target, heard.asks) = (Some(&target), &asks);
        if let Ground::Grace(since) = ground {
            match self.must_be_in_grace(&asks, since) {
                Ok(()) => heard.ground = ground,
                Err(refusal) => return self.settle_refusal(heard, Decision::None, refusal).await,
            }
        }
        let allowed = match self.soon_enough(self.authorize(caller, operation, &target, &asks)).await {
            Ok(permits) => Allowed::<O>::new(permits),
            Err(refusal) => {
                let reason = refusal.reason.clone().unwrap_or_default();
                let decision = if refusal.kind == Kind::AccessDenied { Decision::Denied(&reason) } else { Decision::None };
                return self.settle_refusal(heard, decision, refusal).await;
            }
        };
        let basis = Decision::of(allowed.permits());
        // A key that the service makes for who asks for it is made now, since it may be had; then everything is looked at again.
        if let Some(unborn) = asks.iter().filter_map(|ask| ask.key).find(|key| key.is_unborn())
            && !operation.parameters().dry_run
        {
            return match self.give_birth(caller, unborn).await {
                Ok(()) => Attempt::Overtaken(unborn.record_key()),
                Err(refusal) => self.settle_refusal(heard, basis.as_decision(), refusal).await,
            };
        }
        let approved = Approved { caller, operation, target: &target, asks: &asks, since, era, ground, begun };
        match operation.execute(self, caller, &target, allowed).await {
            Ok(effect) => self.settle_success(&approved, basis, effect).await,
            Err(refusal) => self.settle_refusal(heard, basis.as_decision(), refusal).await,
        }
    }

    /// What a request needs before anybody looks at what it is about: the caller as it is now, where it was made known to the service too long ago,
    /// since when what follows is known, and whether that is known to be true still.
    async fn ready<O: Operation>(&self, caller: &Caller) -> Result<(Option<Caller>, Moment, Ground), Refusal> {
        self.check_grant_tokens(caller)?;
        match self.confirm_freshness().await {
            Ok(confirmed) => {
                let renewed = self.renewed(caller).await?;
                let since = self.known_since(renewed.as_ref().unwrap_or(caller), confirmed);
                Ok((renewed, since, Ground::Fresh))
            }
            Err(_) if O::USES_KEYS => {
                let since = self.known_since(caller, self.grace_since()?);
                Ok((None, since, Ground::Grace(since)))
            }
            Err(refusal) => Err(refusal),
        }
    }

    pub(crate) async fn authorize<O: Operation>(
        &self,
        caller: &Caller,
        operation: &O,
        target: &O::Target,
        asks: &[Ask<'_>],
    ) -> Result<Vec<Permit>, Refusal> {
        let mut permits = Vec::with_capacity(asks.len());
        for ask in asks {
            let conditions = Conditions { caller, operation, target, ask };
            if let Some(trust) = ask.trust {
                let decided = authorize_assumption(&caller.identity, &ask.demand(Granted::Nothing), trust, &conditions);
                permits.push(decided.map_err(|denial| denied(caller, ask, denial))?);
                continue;
            }
            if let Some(policy) = ask.through {
                let decided = authorize_through_store(&caller.identity, &ask.demand(Granted::Nothing), policy, &conditions);
                permits.push(decided.map_err(|denial| denied(caller, ask, denial))?);
                continue;
            }
            let decided = self.decide(caller, ask, &conditions).await?;
            permits.push(decided.map_err(|denial| denied(caller, ask, denial))?);
        }
        Ok(permits)
    }

    /// What policies and grants say to one demand.
    pub(crate) async fn decide(
        &self,
        caller: &Caller,
        ask: &Ask<'_>,
        conditions: &(dyn ConditionContext + Sync),
    ) -> Result<Result<Permit, Denial>, Refusal> {
        let granted = ask.retires.map_or(Granted::Nothing, Granted::Retiring);
        match authorize(&caller.identity, &ask.demand(granted), conditions) {
            // Grants are looked for only where policies say nothing: most requests never pay for them.
            Err(denial) if denial.silent => {
                let grants = self.grants_held(caller, ask).await?;
                let granted = Granted::Held { grants: &grants, proposed: ask.proposes };
                Ok(if grants.is_empty() { Err(denial) } else { authorize(&caller.identity, &ask.demand(granted), conditions) })
            }
            decided => Ok(decided),
        }
    }

    async fn settle_success<O: Operation>(
        &self,
        approved: &Approved<'_, O>,
        basis: crate::audit_trail::Basis,
        effect: Effect<O::Output>,
    ) -> Attempt<O::Output> {
        let Approved { caller, operation, target, asks, ground, .. } = *approved;
        let heard = Heard { caller, operation, target: Some(target), asks, ground };
        let standing = match self.must_still_stand(approved).await {
            Ok(()) if ground != Ground::Fresh && !effect.changes.is_empty() => Err(unconfirmed()),
            standing => standing,
        };
        if let Err(refusal) = standing {
            self.take_away_all(effect.made).await;
            return self.settle_refusal(heard, basis.as_decision(), refusal).await;
        }
        let outcome = Outcome::Success {
            changes: &effect.changes,
            used: effect.used,
            elements: O::response_elements(&effect.output),
            related: &effect.related,
        };
        let (event_id, entry) = match event_of(&self.node, &heard, basis.as_decision(), &outcome) {
            Ok(made) => made,
            Err(refusal) => {
                self.take_away_all(effect.made).await;
                return Attempt::Settled(Err(refusal));
            }
        };
        let (changed, waits) = (!effect.changes.is_empty(), self.effective.waits_for(&effect.changes));
        // What changes nothing holds nobody else up.
        let leisure = if changed { Duration::ZERO } else { (approved.begun.elapsed() / LEISURE_PART).min(LEISURE_MAX) };
        match self.write_down(ground, Commit::new(effect.changes, vec![entry]).at_leisure(leisure)).await {
            Ok(()) => {}
            Err(Unwritten::Overtaken(record)) => {
                self.take_away_all(effect.made).await;
                return Attempt::Overtaken(record);
            }
            // It may have been committed all the same: what was made for it elsewhere stays.
            Err(Unwritten::Failed(refusal)) => return Attempt::Settled(Err(refusal)),
        }
        self.note_use::<O>(caller, asks, event_id);
        if O::USES_KEYS {
            self.note_for_grace(caller, asks);
        }
        if waits {
            // Who asked for it hears of it when no node accepts any more what was before.
            Moment::now().plus(self.longest_lease() + Moment::UNIT).arrives().await;
        }
        // The commit may have taken long. What comes late is not answered, and the log says so in a second entry; what was changed is changed.
        match self.must_still_stand(approved).await {
            Err(refusal) if !changed => self.settle_refusal(heard, basis.as_decision(), refusal).await,
            _ => Attempt::Settled(Ok(effect.output)),
        }
    }

    async fn take_away_all(&self, made: Option<MadeElsewhere>) {
        if let Some(made) = made {
            self.take_away(made).await;
        }
    }

    async fn settle_refusal<O: Operation>(
        &self,
        heard: Heard<'_, O>,
        decision: Decision<'_>,
        refusal: Refusal,
    ) -> Attempt<O::Output> {
        let (_, entry) = match event_of(&self.node, &heard, decision, &Outcome::Refusal(&refusal)) {
            Ok(made) => made,
            Err(unwritable) => return Attempt::Settled(Err(unwritable)),
        };
        Attempt::Settled(match self.write_down(heard.ground, Commit::new(Vec::new(), vec![entry])).await {
            Ok(()) => Err(refusal),
            Err(Unwritten::Overtaken(_)) => Err(Refusal::internal("An entry without changes met others.")),
            Err(Unwritten::Failed(unwritten)) => Err(unwritten),
        })
    }

    /// Makes changes and their entry durable: in the store; or, for what rests on a grace, the entry on this node's disk.
    async fn write_down(&self, ground: Ground, commit: Commit) -> Result<(), Unwritten> {
        if let Ground::Grace(_) = ground {
            for entry in &commit.entries {
                self.spool(entry).await.map_err(Unwritten::Failed)?;
            }
            return Ok(());
        }
        match self.commit(commit).await {
            Ok(()) => Ok(()),
            Err(StoreError::Conflict(record)) => Err(Unwritten::Overtaken(record)),
            Err(error) => Err(Unwritten::Failed(store_refusal(error))),
        }
    }

    /// Commits, and makes this node's caches know of it before anybody is told.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let (began, entries) = (Instant::now(), commit.entries.len() as u64);
        let result = self.commit_and_evict(commit).await;
        if entries > 0 {
            self.note_logged(&result, entries);
        }
        self.audit_lag.record(began.elapsed().as_secs_f64());
        result.map(drop)
    }

    /// Remembers how far the log is, and whether it takes entries.
    fn note_logged(&self, result: &Result<Committed, StoreError>, entries: u64) {
        let refused = matches!(result, Err(StoreError::Corrupt(_)));
        // Written only when it changes: every request comes by.
        if self.log_refused.load(Ordering::Relaxed) != refused && (refused || result.is_ok()) {
            self.log_refused.store(refused, Ordering::Release);
        }
        if let Ok(Committed { first_index: Some(first), .. }) = result {
            self.logged.fetch_max(first + entries, Ordering::AcqRel);
        }
    }

    async fn commit_and_evict(&self, commit: Commit) -> Result<Committed, StoreError> {
        // Not even a refusal: it would stand where the other process writes on.
        if let Err(refusal) = self.must_be_the_only_one() {
            return Err(StoreError::Unavailable(refusal.detail));
        }
        if commit.changes.is_empty() {
            // Entries alone do not wait in line for a store that was found to hang a moment ago.
            if self.store_hangs() {
                return Err(StoreError::Unavailable("it does not answer".to_owned()));
            }
            return self.records.store.commit(commit).await;
        }
        let touched: Vec<(RecordKey, bool)> =
            commit.changes.iter().map(|change| (change.key().clone(), change.writes())).collect();
        let (store, freshness, caches) = (Arc::clone(&self.records.store), Arc::clone(&self.freshness), Arc::clone(&self.caches));
        // A task of its own: when the client goes away this future is dropped, but a change that was made must still reach the caches.
        let settled = tokio::spawn(async move {
            let committed = store.commit(commit).await;
            if let Ok(committed) = &committed {
                freshness.committed(&committed.epochs);
            }
            // Whoever was overtaken by another node has looked at something old, and would again until the next poll.
            let overtaken = matches!(committed, Err(StoreError::Conflict(_)));
            for (record, _) in touched.iter().filter(|(_, written)| *written && committed.is_ok() || overtaken) {
                caches.evict(Shard::of(record), record.kind, &cache_id(record.account, &record.id));
            }
            committed
        });
        settled.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the commit was interrupted".to_owned())))
    }
}

/// What the caller is told of a denial: nothing that the request did not name itself when the key is another account's.
fn denied(caller: &Caller, ask: &Ask<'_>, denial: Denial) -> Refusal {
    let foreign = ask.owner != caller.identity.account;
    let refusal = match ask.named {
        Some(Named::Ciphertext) if foreign => hidden_by_ciphertext(),
        Some(Named::Alias(arn)) if foreign => hidden(caller, ask.action, &arn.to_string()),
        _ => Refusal::new(Kind::AccessDenied, denial.message),
    };
    refusal.with_reason(denial.reason)
}
