//! GetKeyRotationStatus. Source: AWS KMS API Reference, "GetKeyRotationStatus".

use claviger_domain::key::{KeyState, RotationSchedule};
use claviger_domain::{Caller, KeyId, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct GetKeyRotationStatus {
    /// The key; not by alias.
    pub key: KeyReference,
}

/// The answer.
pub struct RotationStatus {
    /// The key.
    pub key: KeyId,
    /// Period and next date; none when automatic rotation is off, or the key waits for its deletion.
    pub schedule: Option<RotationSchedule>,
}

impl Operation for GetKeyRotationStatus {
    const EVENT: Event = Event::kms_read("GetKeyRotationStatus");
    type Output = RotationStatus;
    about_one_key!("kms:GetKeyRotationStatus");

    async fn execute(
        &self,
        _service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<RotationStatus>, Refusal> {
        target.snapshot.must_rotate()?;
        target.snapshot.must_be_made_here()?;
        let key = &target.snapshot.key;
        let schedule = match key.state {
            KeyState::PendingDeletion { .. } | KeyState::PendingReplicaDeletion { .. } => None,
            _ => key.rotation,
        };
        Ok(Effect::answer(RotationStatus { key: key.id, schedule }))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), ..Parameters::default() }
    }
}
