//! CancelKeyDeletion: the key is disabled afterwards, or waits for its import again. Source: AWS KMS API Reference, "CancelKeyDeletion".

use claviger_domain::key::KeyState;
use claviger_domain::{Caller, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct CancelKeyDeletion {
    /// The key; not by alias.
    pub key: KeyReference,
}

impl Operation for CancelKeyDeletion {
    const EVENT: Event = Event::kms("CancelKeyDeletion");
    type Output = String;
    about_one_own_key!("kms:CancelKeyDeletion");

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<String>, Refusal> {
        let snapshot = &target.snapshot;
        let deletion = match snapshot.key.state {
            KeyState::PendingDeletion { at } => Some(at),
            KeyState::PendingReplicaDeletion { .. } => None,
            _ => return Err(Refusal::invalid_state(format!("{} is not pending deletion.", snapshot.arn))),
        };
        // Its grants may be gone already.
        if deletion.is_some_and(|at| at <= caller.request.at) {
            return Err(Refusal::invalid_state(format!("{} is being deleted: its waiting period has ended.", snapshot.arn)));
        }
        let mut key = snapshot.key.clone();
        key.state = if key.lacks_material() { KeyState::PendingImport } else { KeyState::Disabled };
        Ok(Effect::change(snapshot.arn.clone(), vec![service.records.update(&key, snapshot.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), ..Parameters::default() }
    }
}
