//! Whether the store holds what the audit log says it holds: every record opens, is at the version that the log tells of last, and none is
//! missing or too many. What rolling back, deleting, swapping or editing rows of the store cannot hide from.

use std::collections::HashMap;
use std::fmt;

use claviger_audit::bundle::Bundle;
use claviger_audit::entry::ChangeDigest;
use claviger_domain::{AccountId, Refusal};
use claviger_store::{Record, RecordKey, RecordKind};
use serde::Deserialize;

use crate::records::{describe, store_refusal};
use crate::seals::parse_root;
use crate::service::Service;

/// What was found.
#[derive(Debug, Default)]
pub struct StoreReport {
    /// How many records were looked at.
    pub records: u64,
    /// How many entries of how many logs were read.
    pub entries: u64,
    /// What does not fit, one sentence each, with the record's name.
    pub findings: Vec<String>,
}

impl StoreReport {
    /// Whether everything fits.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for StoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} records compared with {} audit entries", self.records, self.entries)?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        match self.findings.len() {
            0 => write!(f, "Everything fits."),
            count => write!(
                f,
                "{count} things do not fit: the store was changed from outside, put back to an older state, or is damaged."
            ),
        }
    }
}

/// The last thing that the log tells of a record.
struct Told {
    version: u64,
    /// None when it was deleted.
    sha256: Option<String>,
    /// In which node's log, and when.
    node: String,
    at: i64,
}

const PAGE: usize = 500;

impl Service {
    /// Reads all logs and all records. The logs themselves are verified by `claviger audit verify`.
    ///
    /// # Errors
    /// When the store cannot be read at all. What does not fit is in the report.
    pub async fn verify_store(&self) -> Result<StoreReport, Refusal> {
        let mut report = StoreReport::default();
        let mut told = self.read_logs(&mut report).await?;
        let mut after: Option<RecordKey> = None;
        loop {
            let records = self.records.store.scan(after.as_ref(), PAGE).await.map_err(store_refusal)?;
            let Some(last) = records.last() else { break };
            after = Some(last.key.clone());
            for record in &records {
                report.records += 1;
                self.verify_record(record, told.remove(&record.key), &mut report);
                self.verify_seal(record, &mut report).await;
            }
        }
        for (key, last) in told.iter().filter(|(_, last)| last.sha256.is_some()) {
            report.findings.push(format!("{} is missing; the log has it at version {}", describe(key), last.version));
        }
        report.findings.sort();
        Ok(report)
    }

    fn verify_record(&self, record: &Record, told: Option<Told>, report: &mut StoreReport) {
        if record.key.kind.derived() {
            return;
        }
        let name = describe(&record.key);
        let Some(told) = told else {
            report.findings.push(format!("{name} is in the store, but no log tells of it"));
            return;
        };
        let Some(sha256) = told.sha256 else {
            report.findings.push(format!("{name} was deleted (version {}), but is in the store again", told.version));
            return;
        };
        if record.version != told.version {
            report.findings.push(format!("{name} is at version {}; the log has it at version {}", record.version, told.version));
        } else if hex::encode(ChangeDigest::of_sealed(&record.sealed)) != sha256 {
            report
                .findings
                .push(format!("{name} was replaced: its content is not what the log tells of version {}", told.version));
        }
    }

    async fn verify_seal(&self, record: &Record, report: &mut StoreReport) {
        let name = describe(&record.key);
        let opened = match record.key.kind {
            RecordKind::AccountKey => record
                .key
                .id
                .parse()
                .map_err(|_| Refusal::internal("its version is not a number"))
                .and_then(|version| Ok(self.records.hsm.open_account_key(record.key.account, version, &record.sealed)?))
                .map(drop),
            RecordKind::SealedRoot => parse_root(record).map(drop),
            _ => self.records.open_untyped(record).await,
        };
        if let Err(refusal) = opened {
            report.findings.push(format!("{name} does not open: {}", refusal.detail));
        }
    }

    async fn read_logs(&self, report: &mut StoreReport) -> Result<HashMap<RecordKey, Told>, Refusal> {
        let mut told: HashMap<RecordKey, Told> = HashMap::new();
        for node in self.records.store.log_nodes().await.map_err(store_refusal)? {
            let mut next = 0;
            loop {
                let bundles = self.records.store.bundles(&node, next, PAGE).await.map_err(store_refusal)?;
                let Some(last) = bundles.last() else { break };
                next = last.first + u64::from(last.count);
                for bundle in &bundles {
                    match Bundle::parse(&bundle.data) {
                        Ok(parsed) => {
                            for entry in parsed.entries() {
                                report.entries += 1;
                                note_changes(&node, entry.bytes, &mut told);
                            }
                        }
                        Err(damage) => {
                            report
                                .findings
                                .push(format!("the log of node {node} is damaged at entry {}: {damage}", bundle.first));
                        }
                    }
                }
            }
        }
        Ok(told)
    }
}

fn note_changes(node: &str, entry: &[u8], told: &mut HashMap<RecordKey, Told>) {
    let Ok(entry) = serde_json::from_slice::<LoggedChanges>(entry) else { return };
    for change in entry.claviger.changes {
        let Some(kind) = RecordKind::parse(&change.kind) else { continue };
        let key = RecordKey { account: change.account, kind, id: change.id };
        let at = entry.claviger.time_ms;
        let new = Told { version: change.version, sha256: change.sha256, node: node.to_owned(), at };
        match told.get(&key) {
            // Within a log the order of the entries decides; between logs the time, and within a millisecond the version.
            Some(known) if known.node != new.node && (known.at, known.version) > (new.at, new.version) => {}
            _ => {
                told.insert(key, new);
            }
        }
    }
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
        let mut told = HashMap::new();
        for (node, entry) in entries {
            note_changes(node, entry, &mut told);
        }
        let last = told.into_values().next().unwrap();
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
    fn what_is_no_entry_of_ours_tells_of_nothing() {
        let mut told = HashMap::new();
        for bytes in [&b""[..], b"{", b"{}", br#"{"claviger":{}}"#, br#"{"claviger":{"changes":[{}],"timeMs":1}}"#] {
            note_changes("a", bytes, &mut told);
        }
        note_changes(
            "a",
            &entry(1, 1, Some("x")).iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect::<Vec<_>>(),
            &mut told,
        );
        assert_eq!(told.len(), 1);
    }
}
