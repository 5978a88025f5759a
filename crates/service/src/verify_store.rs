//! Whether the store holds what the audit log says it holds: every record opens, is at the version that the log tells of last, and none is
//! missing or too many. What rolling back, deleting, swapping or editing rows of the store cannot hide from. Each log is verified before it
//! is believed (`logs.rs`).

use std::fmt;

use claviger_audit::entry::ChangeDigest;
use claviger_domain::Refusal;
use claviger_store::{Record, RecordKey, RecordKind};

use crate::records::{describe, store_refusal};
use crate::seals::parse_root;
use crate::service::Service;

mod logs;

use logs::Told;

/// What was found.
#[derive(Debug, Default)]
pub struct StoreReport {
    /// How many records were looked at.
    pub records: u64,
    /// How many entries of the logs were read.
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

const PAGE: usize = 500;

impl Service {
    /// Verifies and reads all logs, and compares all records with what they tell.
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
            return;
        }
        let found = hex::encode(ChangeDigest::of_sealed(&record.sealed));
        if found != sha256 && !told.or_else.contains(&found) {
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
}
