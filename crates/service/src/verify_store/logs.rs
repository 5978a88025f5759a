//! What the logs tell, and how far that can be believed.
//!
//! Whoever can write to the store can put in a log of a node that never was, with any entries and any times. So a log is believed if the
//! node has a record, which only this deployment can have sealed, if the last checkpoint is signed by the key in that record, and if all
//! entries lead to its root. What a log tells that is not sound never overtakes what a sound one tells.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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
    /// What other logs tell of the same version, where it cannot be told which of them was the last.
    pub(super) or_else: Vec<String>,
    /// When.
    at: i64,
    /// Whether the log that tells it is sound.
    sound: bool,
    /// The version that it must be at, as far as was read; zero when it must be gone. See [`Told::fits`].
    balance: i128,
}

impl Told {
    /// Whether this is the last thing that happened to the record, by what all logs together tell of it. Each version is written once, so that the
    /// number of writes is the sum of the versions that were deleted and of the one that is there now. That needs no clock: the time of an entry is
    /// that of its request, on its node's clock, and two nodes that change one record at the same moment may have it the other way round.
    fn fits(&self, balance: i128) -> bool {
        let left = if self.sha256.is_some() { i128::from(self.version) } else { 0 };
        left == balance
    }
}

impl Service {
    /// Verifies every log of the store, and reads what they tell.
    pub(super) async fn read_logs(&self, report: &mut StoreReport) -> Result<HashMap<RecordKey, Told>, Refusal> {
        let (mut told, mut sound) = (Candidates::new(), Vec::new());
        let keys = self.log_keys().await?;
        let stored = self.records.store.log_nodes().await.map_err(store_refusal)?;
        let nodes: BTreeSet<&String> = stored.iter().chain(keys.keys()).collect();
        for node in nodes {
            match keys.get(node) {
                Some(Ok(key)) => {
                    let mut log = HashMap::new();
                    let verified = self.read_log(node, key, &mut log, report).await?;
                    if verified.is_sound() {
                        sound.push(node);
                    }
                    let place = |entries| match entries {
                        Some((first, last)) if first == last => format!(", entry {first}"),
                        Some((first, last)) => format!(", entries {first} to {last}"),
                        None => String::new(),
                    };
                    report.findings.extend(verified.findings.iter().map(|finding| {
                        format!("the log of node {node} is not sound{}: {}", place(finding.entries), finding.problem)
                    }));
                    collect(&mut told, log, verified.is_sound());
                }
                Some(Err(reason)) => report.findings.push(format!(
                    "the log of node {node} cannot be verified, and is not believed: the node's record does not open ({reason})"
                )),
                None => report.findings.push(format!(
                    "there is a log of {node:?}, but this deployment has no such node: it was put in from outside, and is not believed"
                )),
            }
        }
        let mut settled = settle(told);
        let unclear: HashSet<RecordKey> =
            settled.iter().filter(|(_, told)| told.sound && told.or_else.len() > 1).map(|(key, _)| key.clone()).collect();
        if !unclear.is_empty() {
            let mut histories: HashMap<RecordKey, Vec<History>> = HashMap::new();
            for node in sound {
                for (key, history) in self.read_histories(node, &unclear).await? {
                    histories.entry(key).or_default().push(history);
                }
            }
            for (key, histories) in histories {
                if let (Some(told), Some(ends)) = (settled.get_mut(&key), possible_ends(&histories)) {
                    told.or_else = ends.into_iter().collect();
                    told.sha256 = told.or_else.first().cloned();
                }
            }
        }
        Ok(settled)
    }

    /// Everything that a log tells of some records, in order.
    async fn read_histories(&self, node: &str, of: &HashSet<RecordKey>) -> Result<HashMap<RecordKey, History>, Refusal> {
        let (mut histories, mut next) = (HashMap::<RecordKey, History>::new(), 0);
        loop {
            let bundles = self.records.store.bundles(node, next, PAGE).await.map_err(store_refusal)?;
            let Some(last) = bundles.last() else { return Ok(histories) };
            next = last.first.saturating_add(u64::from(last.count).max(1));
            for bundle in &bundles {
                let Ok(parsed) = Bundle::parse(&bundle.data) else { continue };
                for entry in parsed.entries() {
                    let changes = changes_of(entry.bytes).into_iter().flat_map(|entry| entry.claviger.changes);
                    for (key, event) in changes.filter_map(event_of).filter(|(key, _)| of.contains(key)) {
                        histories.entry(key).or_default().push(event);
                    }
                }
            }
        }
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
        told: &mut HashMap<RecordKey, Told>,
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

/// What one log tells of a record, in order.
type History = Vec<Event>;

/// A record was written at a version, with this content; or deleted from that version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    version: u64,
    sha256: Option<String>,
}

/// More ways than so many through the histories of a record are not tried.
const WAYS_MAX: usize = 100_000;

/// What a record can hold at the end, when all that several logs tell of it has happened, each log in its own order: it is made at version 1, each change
/// goes one version on, and it is deleted from the version at which it is. That leaves nothing open but what could really have been either
/// way. None when there is no such order, or there are too many to try.
fn possible_ends(histories: &[History]) -> Option<BTreeSet<String>> {
    // Where one is in each log, and which log wrote last.
    let mut open: Vec<(Vec<usize>, Option<usize>)> = vec![(vec![0; histories.len()], None)];
    let (mut seen, mut ends) = (HashSet::new(), BTreeSet::new());
    while let Some((places, by)) = open.pop() {
        if seen.len() > WAYS_MAX {
            return None;
        }
        if !seen.insert((places.clone(), by)) {
            continue;
        }
        let last = by.and_then(|log| histories.get(log)?.get(places.get(log)?.checked_sub(1)?));
        if places.iter().zip(histories).all(|(place, history)| *place == history.len()) {
            ends.extend(last.and_then(|event| event.sha256.clone()));
        }
        let version = last.map_or(0, |event| event.version);
        for (log, (place, history)) in places.iter().zip(histories).enumerate() {
            let Some(next) = history.get(*place) else { continue };
            let by = match next.sha256 {
                Some(_) if next.version == version + 1 => Some(log),
                None if next.version == version && version > 0 => None,
                _ => continue,
            };
            let mut places = places.clone();
            if let Some(place) = places.get_mut(log) {
                *place += 1;
            }
            open.push((places, by));
        }
    }
    (!ends.is_empty()).then_some(ends)
}

fn changes_of(entry: &[u8]) -> Option<LoggedChanges> {
    serde_json::from_slice(entry).ok()
}

/// What a change is about, and what became of it.
fn event_of(change: LoggedChange) -> Option<(RecordKey, Event)> {
    let kind = RecordKind::parse(&change.kind)?;
    let key = RecordKey { account: change.account, kind, id: change.id };
    Some((key, Event { version: change.version, sha256: change.sha256 }))
}

/// Notes what an entry tells. Within a log the order of the entries decides.
fn note_changes(entry: &[u8], told: &mut HashMap<RecordKey, Told>) {
    let Some(entry) = changes_of(entry) else { return };
    for (key, Event { version, sha256 }) in entry.claviger.changes.into_iter().filter_map(event_of) {
        let before = told.get(&key).map_or(0, |told| told.balance);
        let balance = if sha256.is_some() { before + 1 } else { before - i128::from(version) };
        let at = entry.claviger.time_ms;
        told.insert(key, Told { version, sha256, or_else: Vec::new(), at, sound: false, balance });
    }
}

/// What each log tells last of a record, where several do.
pub(super) type Candidates = HashMap<RecordKey, Vec<Told>>;

fn collect(all: &mut Candidates, log: HashMap<RecordKey, Told>, sound: bool) {
    for (key, told) in log {
        all.entry(key).or_default().push(Told { sound, ..told });
    }
}

/// Between logs, the sound one decides; then what fits with what all of them tell; then the time; and within a millisecond the version.
fn settle(all: Candidates) -> HashMap<RecordKey, Told> {
    let last = |(key, candidates): (RecordKey, Vec<Told>)| {
        // What was put in from outside does not count.
        let any_sound = candidates.iter().any(|told| told.sound);
        let balance = candidates.iter().filter(|told| told.sound || !any_sound).map(|told| told.balance).sum();
        let order = |told: &Told| (told.sound, told.fits(balance), told.at, told.version);
        let digests = |told: &Told| (told.sound == any_sound && told.fits(balance)).then(|| told.sha256.clone()).flatten();
        let or_else = candidates.iter().filter_map(digests).collect();
        let last = candidates.into_iter().max_by_key(order)?;
        Some((key, if last.fits(balance) { Told { or_else, ..last } } else { last }))
    };
    all.into_iter().filter_map(last).collect()
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
        let mut logs: BTreeMap<(&str, bool), HashMap<RecordKey, Told>> = BTreeMap::new();
        for (node, sound, entry) in entries {
            note_changes(entry, logs.entry((node, sound)).or_default());
        }
        let mut told = Candidates::new();
        for ((_, sound), log) in logs {
            collect(&mut told, log, sound);
        }
        let last = settle(told).into_values().next().unwrap();
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
    fn between_logs_the_time_decides_and_then_the_version() {
        // The logs are read one after the other, in the order of the nodes' names.
        assert_eq!(last(&[("a", entry(5, 2, Some("two"))), ("b", entry(1, 1, Some("one")))]), is(2, "two"));
        assert_eq!(last(&[("a", entry(1, 1, Some("one"))), ("b", entry(5, 2, Some("two")))]), is(2, "two"));
        assert_eq!(last(&[("a", entry(5, 2, Some("two"))), ("b", entry(5, 1, Some("one")))]), is(2, "two"));
        assert_eq!(last(&[("a", entry(5, 4, None)), ("b", entry(6, 1, Some("again")))]), is(1, "again"));
    }

    #[test]
    fn between_logs_no_clock_decides_where_all_is_told() {
        // Two nodes change a record in turns, and the clock of the second is behind; deletions and new beginnings as well.
        let told = [
            ("a", entry(100, 1, Some("one"))),
            ("b", entry(50, 2, Some("two"))),
            ("a", entry(101, 3, Some("three"))),
            ("b", entry(51, 4, Some("four"))),
        ];
        assert_eq!(last(&told), is(4, "four"));
        let deleted = [&told[..], &[("b", entry(52, 4, None))]].concat();
        assert_eq!(last(&deleted), (4, None));
        let again = [&deleted[..], &[("a", entry(102, 1, Some("again"))), ("b", entry(53, 2, Some("and again")))]].concat();
        assert_eq!(last(&again), is(2, "and again"));
        assert_eq!(last(&again[..6]), is(1, "again"));
    }

    #[test]
    fn what_was_made_again_by_another_node_may_be_either() {
        // The second node deletes what the first has made, and makes it anew; its clock is behind.
        let told = [("a", entry(100, 1, Some("first"))), ("b", entry(50, 1, None)), ("b", entry(51, 1, Some("second")))];
        let mut logs = Candidates::new();
        for (node, sound) in [("a", true), ("b", true), ("c", false)] {
            let mut log = HashMap::new();
            told.iter().filter(|(of, _)| *of == node).for_each(|(_, entry)| note_changes(entry, &mut log));
            if !sound {
                note_changes(&entry(200, 1, Some("invented")), &mut log);
            }
            collect(&mut logs, log, sound);
        }
        let mut last = settle(logs).into_values().next().unwrap();
        last.or_else.sort_unstable();
        assert_eq!((last.version, last.or_else), (1, vec!["first".to_owned(), "second".to_owned()]));
    }

    #[test]
    fn what_must_have_come_last_is_found_without_clocks() {
        let event = |version, content: &str| Event { version, sha256: (!content.is_empty()).then(|| content.to_owned()) };
        let ends = |histories: &[&[Event]]| {
            let histories: Vec<History> = histories.iter().map(|history| history.to_vec()).collect();
            possible_ends(&histories).map(|ends| ends.into_iter().collect::<Vec<_>>().join(" "))
        };
        // The second node has deleted what the first made: so that came before.
        assert_eq!(ends(&[&[event(1, "first")], &[event(1, ""), event(1, "second")]]), Some("second".to_owned()));
        let in_turns = [event(1, "a"), event(2, "c"), event(1, "e")];
        assert_eq!(ends(&[&in_turns, &[event(2, ""), event(1, "b"), event(1, "")]]), Some("e".to_owned()));
        assert_eq!(ends(&[&in_turns, &[event(3, ""), event(1, "b")]]), None, "nobody has made its third version");
        let told = [&[event(1, "a"), event(2, "c")][..], &[event(2, ""), event(1, "b"), event(1, ""), event(1, "e")]];
        assert_eq!(ends(&told), Some("e".to_owned()));
        // Two that could have been either way round: each made it, and a third deleted one of them.
        assert_eq!(ends(&[&[event(1, "x")], &[event(1, "y")], &[event(1, "")]]), Some("x y".to_owned()));
        // It ends deleted.
        assert_eq!(ends(&[&[event(1, "x")], &[event(1, "")]]), None);
        // Long histories are no more than what fits.
        let even: History = (1..2000).filter(|version| version % 2 == 0).map(|version| event(version, "even")).collect();
        let odd: History = (1..2000).filter(|version| version % 2 == 1).map(|version| event(version, "odd")).collect();
        assert_eq!(ends(&[&even, &odd]), Some("odd".to_owned()));
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
