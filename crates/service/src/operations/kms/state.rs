//! What a key's state forbids. Source: AWS KMS Developer Guide, "Key states of AWS KMS keys".

use claviger_domain::Refusal;
use claviger_domain::key::{EncryptionAlgorithm, KeySpec, KeyState, KeyUsage, MultiRegionKeyType, Origin};

use crate::snapshot::KeySnapshot;

impl KeySnapshot {
    /// The key must be enabled: for cryptography and for what depends on it.
    pub(crate) fn must_be_enabled(&self) -> Result<(), Refusal> {
        match self.key.state {
            // A key is in use while its primary Region changes.
            KeyState::Enabled | KeyState::Updating => Ok(()),
            KeyState::Disabled => Err(Refusal::disabled(format!("{} is disabled.", self.arn))),
            KeyState::PendingDeletion { .. }
            | KeyState::PendingReplicaDeletion { .. }
            | KeyState::PendingImport
            | KeyState::Creating
            | KeyState::Unavailable => Err(self.is_in_the_wrong_state()),
        }
    }

    /// The key must be enabled, and its kin not be changing: for what changes them.
    pub(crate) fn must_be_settled(&self) -> Result<(), Refusal> {
        if self.key.state == KeyState::Updating { Err(self.is_in_the_wrong_state()) } else { self.must_be_enabled() }
    }

    /// The key must not wait for its deletion: for what changes it.
    pub(crate) fn must_not_be_pending_deletion(&self) -> Result<(), Refusal> {
        match self.key.state {
            KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport | KeyState::Updating | KeyState::Unavailable => {
                Ok(())
            }
            KeyState::PendingDeletion { .. } | KeyState::PendingReplicaDeletion { .. } | KeyState::Creating => {
                Err(self.is_in_the_wrong_state())
            }
        }
    }

    /// The key's material must come from its owner: for everything about imports.
    pub(crate) fn must_be_for_imports(&self) -> Result<(), Refusal> {
        if self.key.origin == Origin::External { Ok(()) } else { Err(self.has_the_wrong_origin()) }
    }

    /// The key's material must have been made here: for automatic rotation.
    pub(crate) fn must_be_made_here(&self) -> Result<(), Refusal> {
        if self.key.origin == Origin::Internal { Ok(()) } else { Err(self.has_the_wrong_origin()) }
    }

    /// The key must not live in a custom key store: for what is not offered there.
    pub(crate) fn must_not_be_elsewhere(&self) -> Result<(), Refusal> {
        if self.key.home.is_none() { Ok(()) } else { Err(self.has_the_wrong_origin()) }
    }

    fn has_the_wrong_origin(&self) -> Refusal {
        Refusal::unsupported(format!("{} origin is {} which is not valid for this operation.", self.arn, self.key.origin))
    }

    /// Material can come: the key does not wait for its end, nor for its primary Region to change.
    pub(crate) fn must_take_imports(&self) -> Result<(), Refusal> {
        match self.key.state {
            KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => Ok(()),
            _ => Err(self.is_in_the_wrong_state()),
        }
    }

    /// The key must not be in the middle of a change of its own: for taking material away, which is fine while it waits for its deletion.
    pub(crate) fn must_exist_in_full(&self) -> Result<(), Refusal> {
        match self.key.state {
            KeyState::Creating | KeyState::Updating => Err(self.is_in_the_wrong_state()),
            _ => Ok(()),
        }
    }

    /// The key must have its material: for switching it on and off.
    pub(crate) fn must_not_be_pending_import(&self) -> Result<(), Refusal> {
        if self.key.state == KeyState::PendingImport { Err(self.is_in_the_wrong_state()) } else { Ok(()) }
    }

    /// The key must be the one that decides what its kin share. A single-Region key decides for itself.
    pub(crate) fn must_not_be_replica(&self) -> Result<(), Refusal> {
        if self.key.multi_region_type() == Some(MultiRegionKeyType::Replica) { Err(self.is_no_primary()) } else { Ok(()) }
    }

    /// The key must be a multi-Region primary key.
    pub(crate) fn must_be_primary(&self) -> Result<(), Refusal> {
        if self.key.multi_region_type() == Some(MultiRegionKeyType::Primary) { Ok(()) } else { Err(self.is_no_primary()) }
    }

    fn is_no_primary(&self) -> Refusal {
        Refusal::unsupported(format!("{} is not a multi-region primary key.", self.arn))
    }

    /// The refusal for a key whose state does not allow what was asked for.
    pub(crate) fn is_in_the_wrong_state(&self) -> Refusal {
        let state = match self.key.state {
            KeyState::Enabled => "enabled",
            KeyState::Disabled => "disabled",
            KeyState::PendingDeletion { .. } => "pending deletion",
            KeyState::PendingReplicaDeletion { .. } => "pending replica deletion",
            KeyState::PendingImport => "pending import",
            KeyState::Creating => "creating",
            KeyState::Updating => "updating",
            KeyState::Unavailable => "unavailable",
        };
        Refusal::invalid_state(format!("{} is {state}.", self.arn))
    }

    /// The key must be for this usage. `operation` is what the caller asked for: `Encrypt`.
    pub(crate) fn must_be_for(&self, usage: KeyUsage, operation: &str) -> Result<(), Refusal> {
        if self.key.usage == usage {
            return Ok(());
        }
        Err(Refusal::invalid_key_usage(format!(
            "{} key usage is {} which is not valid for {operation}.",
            self.arn, self.key.usage
        )))
    }

    /// The algorithm must be one that the key's spec has.
    pub(crate) fn must_offer(&self, algorithm: EncryptionAlgorithm) -> Result<(), Refusal> {
        if self.key.spec.encryption_algorithms().contains(&algorithm) {
            return Ok(());
        }
        Err(incompatible(algorithm.as_str(), self.key.spec))
    }

    /// The key must be one that data keys are sealed under. `operation` is what the caller asked for: `GenerateDataKey`.
    pub(crate) fn must_seal_data_keys(&self, operation: &str) -> Result<(), Refusal> {
        self.must_be_for(KeyUsage::EncryptDecrypt, operation)?;
        if self.key.spec == KeySpec::SymmetricDefault {
            return Ok(());
        }
        Err(Refusal::invalid_key_usage("You cannot generate a data key with an asymmetric CMK"))
    }

    /// The key must be one whose material can be rotated, whatever its state.
    pub(crate) fn must_rotate(&self) -> Result<(), Refusal> {
        if self.key.spec == KeySpec::SymmetricDefault { Ok(()) } else { Err(Refusal::unsupported("")) }
    }
}

/// The refusal for an algorithm that the key's spec does not have.
pub(crate) fn incompatible(algorithm: &str, spec: KeySpec) -> Refusal {
    Refusal::invalid_key_usage(format!("Algorithm {algorithm} is incompatible with key spec {spec}."))
}

/// Ends a dry run of a request that has passed every check.
pub(crate) fn stop_if_dry(dry_run: bool) -> Result<(), Refusal> {
    if dry_run { Err(Refusal::dry_run()) } else { Ok(()) }
}
