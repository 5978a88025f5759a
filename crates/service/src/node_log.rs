//! A node's own audit log: taken up where its last checkpoint left it, or begun with a new signing key.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_audit::{Log, Origin, VerifierKey};
use claviger_domain::{AccountId, Refusal, Region, Timestamp};
use claviger_store::{Change, Commit};
use serde_json::json;
use uuid::Uuid;

use crate::audit_trail::{ServiceAct, service_event};
use crate::records::{Node, Records, store_refusal};
use crate::sequencer::LogSequencer;
use crate::service::Service;

/// Attaches the node's log to the store, so that commits can carry entries, and returns the key that verifies it.
///
/// # Errors
/// When the stored log does not fit its signed checkpoint, or the node's record was changed from outside.
pub(crate) async fn attach(records: &Records, deployment: Uuid, name: &str, now: Timestamp) -> Result<VerifierKey, Refusal> {
    let origin = Origin::new(deployment, name).map_err(|error| Refusal::invalid(error.to_string()))?;
    match records.get::<Node>(AccountId::DEPLOYMENT, name).await? {
        Some(found) => take_up(records, origin, &found.value).await,
        None => begin(records, origin, name, now).await,
    }
}

async fn take_up(records: &Records, origin: Origin, node: &Node) -> Result<VerifierKey, Refusal> {
    let sealed = STANDARD.decode(&node.sealed_log_signer).map_err(|_| Refusal::internal("The node's record cannot be read."))?;
    let versions = records.existing_account(AccountId::DEPLOYMENT).await?;
    let account_key = versions
        .version(node.account_key_version)
        .ok_or_else(|| Refusal::internal("The account key of the node's signer is missing."))?;
    let signer = records.hsm.open_log_signer(account_key, &node.name, &sealed)?;
    let verifier_key = VerifierKey::new(origin, signer.public_key());
    let unfit = |what: &str| {
        Refusal::internal(format!("The audit log of node {} {what}. Nothing is served. Run 'claviger audit verify'.", node.name))
    };
    // The node's record is the first thing that its log tells of, so a record without a log is one whose log was taken away.
    let head = records.store.log_head(&node.name).await.map_err(store_refusal)?.ok_or_else(|| unfit("is missing"))?;
    let log = Log::resume(&verifier_key, head.size, &head.frontier, &head.checkpoint)
        .map_err(|error| unfit(&format!("does not fit its signed checkpoint: {error}")))?;
    records.store.attach_log(Box::new(LogSequencer::new(node.name.clone(), log, signer)));
    Ok(verifier_key)
}

impl Service {
    /// Takes up this node's log where it ends in the store, if entries have gone into it that this process did not write: those of a process that had the
    /// node's name before, and was slow to end. A log that ends before what was acknowledged is left alone: then the store has lost entries, and
    /// somebody has to decide about that. Public so that tests need not wait for the background.
    ///
    /// # Errors
    /// When that cannot be done, or should not.
    pub async fn take_up_log_again(&self) -> Result<(), Refusal> {
        if !self.log_refused.load(Ordering::Acquire) {
            return Ok(());
        }
        self.must_be_the_only_one()?;
        let head = self.records.store.log_head(&self.node).await.map_err(store_refusal)?;
        let (found, known) = (head.map_or(0, |head| head.size), self.logged.load(Ordering::Acquire));
        if found < known {
            return Err(Refusal::internal(format!(
                "The audit log of node {} ends at {found} in the store, and entries up to {known} were acknowledged: the store has lost some. \
                 Nothing is served. Keep the store as it is, find out what it lost, and restart this node to go on behind the gap",
                self.node
            )));
        }
        attach(&self.records, self.deployment, &self.node, self.clock.now()).await?;
        tracing::warn!(
            node = self.node,
            at = found,
            "the audit log was taken up again behind entries that another process of this name has written"
        );
        self.log_refused.store(false, Ordering::Release);
        Ok(())
    }

    /// Confirms that the store holds the newest entries of this node's log, which its head tells of. Cheap: the rest is for
    /// `claviger audit verify`. A server that went on behind a gap would bury it.
    ///
    /// # Errors
    /// When they are not there, or the store cannot be read.
    pub async fn confirm_end_of_log(&self) -> Result<(), Refusal> {
        let Some(head) = self.records.store.log_head(&self.node).await.map_err(store_refusal)? else { return Ok(()) };
        let Some(last) = head.size.checked_sub(1) else { return Ok(()) };
        let found = self.records.store.bundles(&self.node, last, 1).await.map_err(store_refusal)?;
        if found.last().is_some_and(|newest| newest.checkpoint == head.checkpoint) {
            return Ok(());
        }
        Err(Refusal::internal(format!(
            "The newest entries of the audit log of node {} were taken away: its head tells of {} entries, and the last of them is not there. Nothing is \
             served. Keep the store as it is, run 'claviger audit verify', and restore a backup, or go on under a new node name.",
            self.node, head.size
        )))
    }
}

/// Makes a signing key, attaches the empty log, and stores the node's record with the log's first entry, which tells of it.
async fn begin(records: &Records, origin: Origin, name: &str, now: Timestamp) -> Result<VerifierKey, Refusal> {
    let versions = records.existing_account(AccountId::DEPLOYMENT).await?;
    let account_key = versions.current()?;
    let (sealed, public_key) = records.hsm.create_log_signer(account_key, name)?;
    let verifier_key = VerifierKey::new(origin.clone(), public_key);
    let node = Node {
        name: name.to_owned(),
        created: now,
        account_key_version: account_key.version(),
        sealed_log_signer: STANDARD.encode(&sealed),
        verifier_key: verifier_key.to_string(),
    };
    let signer = records.hsm.open_log_signer(account_key, name, &sealed)?;
    records.store.attach_log(Box::new(LogSequencer::new(name.to_owned(), Log::empty(origin), signer)));
    let details = json!({"verifierKey": node.verifier_key});
    write_service_event(records, name, now, "BeginLog", details, &[], vec![records.create(&node).await?]).await?;
    Ok(verifier_key)
}

/// Commits `changes` with an entry of the deployment's own account that also tells of `earlier` changes, which were committed before there
/// was a log to put them into.
pub(crate) async fn write_service_event(
    records: &Records,
    node: &str,
    now: Timestamp,
    name: &'static str,
    details: serde_json::Value,
    earlier: &[Change],
    changes: Vec<Change>,
) -> Result<(), Refusal> {
    let region: Region = "global".parse().map_err(|_| Refusal::internal("The name 'global' is not a Region."))?;
    let all: Vec<Change> = earlier.iter().chain(&changes).cloned().collect();
    let account = AccountId::DEPLOYMENT;
    let resource = format!("arn:claviger::{account}:node/{node}");
    let act = ServiceAct {
        name,
        account,
        region: &region,
        resource: &resource,
        related: &[],
        at: now,
        details,
        changes: &all,
        request_id: None,
    };
    let entry = service_event(node, &act)?;
    records.store.commit(Commit::new(changes, vec![entry])).await.map_err(store_refusal)?;
    Ok(())
}
