//! What the logs tell, and how far that can be believed.
//!
//! Whoever can write to the store can put in a log of a node that never was, with any entries and any times. So a log is believed if the
//! node has a record, which only this deployment can have sealed, if the last checkpoint is signed by the key in that record, and if all
//! entries lead to its root. What a log tells that is not sound never overtakes what a sound one tells.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_audit::bundle::Bundle;
use claviger_audit::verify::{Checks, Head, Report, Verification};
use claviger_audit::{Origin, StoredBundle, VerifierKey};
use claviger_domain::{AccountId, Refusal};
use claviger_store::{List, RecordKey, RecordKind};
use serde::Deserialize;

use super::{PAGE, StoreReport};
use crate::deployment::deployment_id;
use crate::records::{Node, store_refusal};
use crate::service::Service;

/// The last thing that the logs tell of a record.
pub(super) struct Told {
    pub(super) version: u64,
    /// None when it was deleted.
    pub(super) sha256: Option<String>,
    /// When it was asked for, which is before it was done.
    at: i64,
    /// Whether the log that tells it is sound.
    sound: bool,
}

/// What one log tells of a record.
struct OfLog {
    last: Told,
    /// For each version, how often the log tells that it was written, less how often it tells that it was deleted or that the one after it was written.
    /// Over the logs of all nodes, whatever their order, this is one for the version that there is, and none for every other.
    left: BTreeMap<u64, i64>,
    /// Whether it tells of a deletion, after which versions begin anew.
    deleted: bool,
}

impl Service {
    /// Verifies every log of the store, and reads what they tell.
    pub(super) async fn read_logs(&self, report: &mut StoreReport) -> Result<HashMap<RecordKey, Told>, Refusal> {
        let mut told: HashMap<RecordKey, Vec<OfLog>> = HashMap::new();
        let keys = self.log_keys().await?;
        let stored = self.records.store.log_nodes().await.map_err(store_refusal)?;
        let nodes: BTreeSet<&String> = stored.iter().chain(keys.keys()).collect();
        for node in nodes {
            match keys.get(node) {
                Some(Ok(key)) => {
                    let mut log = HashMap::new();
                    let verified = self.read_log(node, key, &mut log, report).await?;
                    let place = |entries| match entries {
                        Some((first, last)) if first == last => format!(", entry {first}"),
                        Some((first, last)) => format!(", entries {first} to {last}"),
                        None => String::new(),
                    };
                    report.findings.extend(verified.findings.iter().map(|finding| {
                        format!("the log of node {node} is not sound{}: {}", place(finding.entries), finding.problem)
                    }));
                    let sound = verified.is_sound();
                    for (key, mut of_log) in log {
                        of_log.last.sound = sound;
                        told.entry(key).or_default().push(of_log);
                    }
                }
                Some(Err(reason)) => report.findings.push(format!(
                    "the log of node {node} cannot be verified, and is not believed: the node's record does not open ({reason})"
                )),
                None => report.findings.push(format!(
                    "there is a log of {node:?}, but this deployment has no such node: it was put in from outside, and is not believed"
                )),
            }
        }
        Ok(told.into_iter().filter_map(|(key, of_logs)| Some((key, newest(of_logs)?))).collect())
    }

    /// The key that verifies each node's log, by the node's name; or why it cannot be had. The key is that of the sealed signer itself.
    async fn log_keys(&self) -> Result<BTreeMap<String, Result<VerifierKey, String>>, Refusal> {
        let deployment = deployment_id(self.records.store.as_ref()).await?;
        let mut keys = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = List {
                account: AccountId::DEPLOYMENT,
                kind: RecordKind::Node,
                scope: None,
                owner: None,
                after: after.as_deref(),
                limit: PAGE,
            };
            let records = self.records.store.list(page).await.map_err(store_refusal)?;
            let Some(last) = records.last() else { return Ok(keys) };
            after = Some(last.key.id.clone());
            for record in records {
                let name = record.key.id.clone();
                let key = match self.records.open::<Node>(&record).await {
                    Ok(node) => self.log_key(deployment, &node.value).await,
                    Err(refusal) => Err(refusal),
                };
                keys.insert(name, key.map_err(|refusal| refusal.detail));
            }
        }
    }

    async fn log_key(&self, deployment: uuid::Uuid, node: &Node) -> Result<VerifierKey, Refusal> {
        let origin = Origin::new(deployment, &node.name).map_err(|error| Refusal::internal(error.to_string()))?;
        let sealed = STANDARD.decode(&node.sealed_log_signer).map_err(|_| Refusal::internal("its signer cannot be read"))?;
        let versions = self.records.existing_account(AccountId::DEPLOYMENT).await?;
        let missing = || Refusal::internal("the account key of its signer is missing");
        let account_key = versions.version(node.account_key_version).ok_or_else(missing)?;
        let signer = self.records.hsm.open_log_signer(account_key, &node.name, &sealed)?;
        Ok(VerifierKey::new(origin, signer.public_key()))
    }

    async fn read_log(
        &self,
        node: &str,
        key: &VerifierKey,
        told: &mut HashMap<RecordKey, OfLog>,
        report: &mut StoreReport,
    ) -> Result<Report, Refusal> {
        // Read before the entries, so that a log which grows meanwhile has grown from it.
        let head = self.records.store.log_head(node).await.map_err(store_refusal)?;
        let head = head.map_or(Head::Missing, |head| Head::Stored(head.checkpoint));
        let mut verification = Verification::new(key, &Checks { head, ..Checks::default() });
        let mut next = 0;
        loop {
            let bundles = self.records.store.bundles(node, next, PAGE).await.map_err(store_refusal)?;
            let Some(last) = bundles.last() else { return Ok(verification.finish()) };
            next = last.first.saturating_add(u64::from(last.count).max(1));
            for bundle in bundles {
                // What cannot be read is among the findings of the verification.
                if let Ok(parsed) = Bundle::parse(&bundle.data) {
                    for entry in parsed.entries() {
                        report.entries += 1;
                        note_changes(entry.bytes, told);
                    }
                }
                verification.bundle(StoredBundle {
                    first: bundle.first,
                    count: u64::from(bundle.count),
                    data: bundle.data.to_vec(),
                    checkpoint: bundle.checkpoint,
                });
            }
        }
    }
}

/// Notes what an entry tells. Within a log the order of the entries decides.
fn note_changes(entry: &[u8], told: &mut HashMap<RecordKey, OfLog>) {
    let Ok(entry) = serde_json::from_slice::<LoggedChanges>(entry) else { return };
    for change in entry.claviger.changes {
        let Some(kind) = RecordKind::parse(&change.kind) else { continue };
        let key = RecordKey { account: change.account, kind, id: change.id };
        let (before, deleted) = told.remove(&key).map_or_else(Default::default, |before| (before.left, before.deleted));
        let mut left = before;
        if change.sha256.is_some() {
            count(&mut left, change.version, 1);
            count(&mut left, change.version.wrapping_sub(1), -1);
        } else {
            count(&mut left, change.version, -1);
        }
        let deleted = deleted || change.sha256.is_none();
        let last = Told { version: change.version, sha256: change.sha256, at: entry.claviger.time_ms, sound: false };
        told.insert(key, OfLog { last, left, deleted });
    }
}

/// Records have versions from 1 on.
fn count(left: &mut BTreeMap<u64, i64>, version: u64, by: i64) {
    if version == 0 {
        return;
    }
    let sum = left.get(&version).copied().unwrap_or_default().saturating_add(by);
    if sum == 0 {
        left.remove(&version);
    } else {
        left.insert(version, sum);
    }
}

/// What came last of what several logs tell of a record. The sound ones decide. Their order among each other is not known: a request that came first may have
/// been done last, and clocks may be wrong. But every version was written once in a life of the record and followed by one thing, so that the one
/// that nothing has followed is what there is, if no log is missing. If one is, versions decide; and where the record was deleted
/// meanwhile, and its versions began anew, the time.
fn newest(of_logs: Vec<OfLog>) -> Option<Told> {
    let sound = of_logs.iter().any(|of_log| of_log.last.sound);
    let of_logs: Vec<OfLog> = of_logs.into_iter().filter(|of_log| of_log.last.sound == sound).collect();
    let mut left = BTreeMap::new();
    for (version, by) in of_logs.iter().flat_map(|of_log| &of_log.left) {
        count(&mut left, *version, *by);
    }
    let deleted = of_logs.iter().any(|of_log| of_log.deleted);
    let there = match left.iter().next() {
        None => Some(None),
        Some((version, 1)) if left.len() == 1 => Some(Some(*version)),
        Some(_) => None,
    };
    let fits = |told: &Told| match there {
        Some(None) => told.sha256.is_none(),
        Some(Some(version)) => told.sha256.is_some() && told.version == version,
        None => true,
    };
    let order = |told: &Told| {
        let version = i64::try_from(told.version).unwrap_or(i64::MAX);
        if deleted { (fits(told), told.at, version) } else { (fits(told), version, told.at) }
    };
    of_logs.into_iter().map(|of_log| of_log.last).max_by_key(order)
}

#[derive(Deserialize)]
struct LoggedChanges {
    claviger: LoggedDetails,
}

#[derive(Deserialize)]
struct LoggedDetails {
    #[serde(default)]
    changes: Vec<LoggedChange>,
    #[serde(rename = "timeMs")]
    time_ms: i64,
}

#[derive(Deserialize)]
struct LoggedChange {
    account: AccountId,
    id: String,
    kind: String,
    sha256: Option<String>,
    version: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    /// An entry at this time that tells of one record at this version; `content` is none for a deletion.
    fn entry(at: i64, version: u64, content: Option<&str>) -> Vec<u8> {
        let mut change = json!({"account": "123456789012", "id": "x", "kind": "alias", "version": version});
        if let Some(content) = content {
            change["sha256"] = json!(content);
        }
        json!({"claviger": {"changes": [change], "timeMs": at}}).to_string().into_bytes()
    }

    /// The version and content that these entries tell of last, each in the log of a node.
    fn last(entries: &[(&str, Vec<u8>)]) -> (u64, Option<String>) {
        last_of(entries.iter().map(|(node, entry)| (*node, true, entry)))
    }

    /// The same of logs of which some are not sound.
    fn last_of<'a>(entries: impl Iterator<Item = (&'a str, bool, &'a Vec<u8>)>) -> (u64, Option<String>) {
        let mut logs: BTreeMap<(&str, bool), HashMap<RecordKey, OfLog>> = BTreeMap::new();
        for (node, sound, entry) in entries {
            note_changes(entry, logs.entry((node, sound)).or_default());
        }
        let of_logs = logs.into_iter().flat_map(|((_, sound), log)| {
            log.into_values().map(move |of_log| OfLog { last: Told { sound, ..of_log.last }, ..of_log })
        });
        let last = newest(of_logs.collect()).unwrap();
        (last.version, last.sha256)
    }

    fn is(version: u64, content: &str) -> (u64, Option<String>) {
        (version, Some(content.to_owned()))
    }

    #[test]
    fn within_a_log_the_order_of_the_entries_decides() {
        // Also against the clock, which may have been set back, and when a deleted record is made again from its first version.
        assert_eq!(last(&[("a", entry(9, 1, Some("one"))), ("a", entry(5, 2, Some("two")))]), is(2, "two"));
        let again = [("a", entry(1, 3, Some("old"))), ("a", entry(2, 3, None)), ("a", entry(3, 1, Some("new")))];
        assert_eq!(last(&again), is(1, "new"));
        assert_eq!(last(&again[..2]), (3, None));
    }

    #[test]
    fn between_logs_the_version_decides_and_after_a_deletion_the_time() {
        // The logs are read one after the other, in the order of the nodes' names.
        assert_eq!(last(&[("a", entry(5, 2, Some("two"))), ("b", entry(1, 1, Some("one")))]), is(2, "two"));
        assert_eq!(last(&[("a", entry(1, 1, Some("one"))), ("b", entry(5, 2, Some("two")))]), is(2, "two"));
        assert_eq!(last(&[("a", entry(5, 2, Some("two"))), ("b", entry(5, 1, Some("one")))]), is(2, "two"));
        assert_eq!(last(&[("a", entry(5, 4, None)), ("b", entry(6, 1, Some("again")))]), is(1, "again"));
        // One node's request came first and was done last, or its clock is behind.
        assert_eq!(last(&[("a", entry(5, 8, Some("eight"))), ("b", entry(6, 5, Some("five")))]), is(8, "eight"));
        let late = [("a", entry(1, 1, Some("late"))), ("b", entry(2, 1, Some("again"))), ("b", entry(3, 1, None))];
        assert_eq!(last(&late), is(1, "late"), "asked for first and done last: it was written once more than it was deleted");
        let gone = [("a", entry(5, 1, Some("first"))), ("b", entry(2, 2, Some("second"))), ("c", entry(1, 2, None))];
        assert_eq!(last(&gone), (2, None), "a clock that is behind does not bring it back");
        let thrice = [("a", entry(5, 5, Some("old"))), ("b", entry(9, 1, Some("again"))), ("c", entry(6, 5, None))];
        assert_eq!(last(&thrice), is(1, "again"), "whichever log tells of the deletion");
    }

    #[test]
    fn a_log_that_is_not_sound_overtakes_none_that_is() {
        let (real, invented) = (entry(5, 2, Some("two")), entry(9, 1, Some("one")));
        for name in ["a", "z"] {
            let entries = [("node", true, &real), (name, false, &invented)];
            assert_eq!(last_of(entries.into_iter()), is(2, "two"));
        }
        // It is still better than nothing: the findings are about the log, and not about each record.
        assert_eq!(last_of([("a", false, &invented)].into_iter()), is(1, "one"));
    }

    #[test]
    fn what_is_no_entry_of_ours_tells_of_nothing() {
        let mut told = HashMap::new();
        for bytes in [&b""[..], b"{", b"{}", br#"{"claviger":{}}"#, br#"{"claviger":{"changes":[{}],"timeMs":1}}"#] {
            note_changes(bytes, &mut told);
        }
        note_changes(
            &entry(1, 1, Some("x")).iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect::<Vec<_>>(),
            &mut told,
        );
        assert_eq!(told.len(), 1);
    }
}
