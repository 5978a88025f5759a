//! Where the store's group commit meets the transparency log: entries in, a signed bundle out.

use claviger_audit::entry::Entry as AuditEntry;
use claviger_audit::note::SigningFailed;
use claviger_audit::{CheckpointSigner, Hash, Log, Prepared, bundle};
use claviger_hsm::LogSigner;
use claviger_store::{Bundle, Entry, Sequencer};

/// One node's log, as the store's writer drives it.
pub(crate) struct LogSequencer {
    node: String,
    log: Log,
    signer: Signer,
    prepared: Option<Prepared>,
}

impl LogSequencer {
    pub(crate) fn new(node: String, log: Log, signer: LogSigner) -> Self {
        Self { node, log, signer: Signer(signer), prepared: None }
    }
}

impl Sequencer for LogSequencer {
    fn sequence(&mut self, entries: &[Entry]) -> Result<Bundle, String> {
        let leaves: Vec<Hash> = entries.iter().map(|entry| Hash(entry.leaf)).collect();
        let parts: Vec<AuditEntry> =
            entries.iter().map(|entry| AuditEntry::from_parts(entry.bytes.clone(), Hash(entry.leaf))).collect();
        let data = bundle::encode(&parts).map_err(|error| error.to_string())?;
        let prepared = self.log.prepare(&leaves, &self.signer).map_err(|error| error.to_string())?;
        let bundle = Bundle {
            node: self.node.clone(),
            first: prepared.first,
            count: u32::try_from(prepared.count).map_err(|_| "too many entries in one commit".to_owned())?,
            data: data.into(),
            checkpoint: prepared.checkpoint.clone(),
            frontier: prepared.frontier.clone().into(),
        };
        self.prepared = Some(prepared);
        Ok(bundle)
    }

    fn accept(&mut self) {
        if let Some(prepared) = self.prepared.take()
            && let Err(stale) = self.log.advance(&prepared)
        {
            // Only this thread advances the log, so this cannot be; were it so, the next checkpoint would not fit and be refused.
            tracing::error!(?stale, "the audit log went on without its sequencer");
        }
    }

    fn discard(&mut self) {
        self.prepared = None;
    }
}

/// The hsm's key, seen by the log.
pub(crate) struct Signer(pub(crate) LogSigner);

impl CheckpointSigner for Signer {
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SigningFailed> {
        self.0.sign(message).map_err(|error| SigningFailed { reason: error.to_string() })
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.public_key()
    }
}
