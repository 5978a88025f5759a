//! What a key's state forbids. Source: AWS KMS Developer Guide, "Key states of AWS KMS keys".

use claviger_domain::Refusal;
use claviger_domain::key::{EncryptionAlgorithm, KeyState};

use crate::snapshot::KeySnapshot;

impl KeySnapshot {
    /// The key must be enabled: for cryptography and for what depends on it.
    pub(crate) fn must_be_enabled(&self) -> Result<(), Refusal> {
        match self.key.state {
            KeyState::Enabled => Ok(()),
            KeyState::Disabled => Err(Refusal::disabled(format!("{} is disabled.", self.arn))),
            KeyState::PendingDeletion { .. } => Err(self.is_pending_deletion()),
        }
    }

    /// The key must not wait for its deletion: for what changes it.
    pub(crate) fn must_not_be_pending_deletion(&self) -> Result<(), Refusal> {
        match self.key.state {
            KeyState::Enabled | KeyState::Disabled => Ok(()),
            KeyState::PendingDeletion { .. } => Err(self.is_pending_deletion()),
        }
    }

    fn is_pending_deletion(&self) -> Refusal {
        Refusal::invalid_state(format!("{} is pending deletion.", self.arn))
    }

    /// The algorithm must be one that the key's spec has.
    pub(crate) fn must_offer(&self, algorithm: EncryptionAlgorithm) -> Result<(), Refusal> {
        if algorithm == EncryptionAlgorithm::SymmetricDefault {
            return Ok(());
        }
        Err(Refusal::invalid_key_usage(format!("Algorithm {algorithm} is incompatible with key spec {}.", self.key.spec)))
    }
}

/// Ends a dry run of a request that has passed every check.
pub(crate) fn stop_if_dry(dry_run: bool) -> Result<(), Refusal> {
    if dry_run { Err(Refusal::dry_run()) } else { Ok(()) }
}
