//! DisableKeyRotation. Source: AWS KMS API Reference, "DisableKeyRotation".

use claviger_domain::{Caller, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct DisableKeyRotation {
    /// The key; not by alias.
    pub key: KeyReference,
}

impl Operation for DisableKeyRotation {
    const EVENT: Event = Event::kms("DisableKeyRotation");
    type Output = ();
    about_one_own_key!("kms:DisableKeyRotation");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_rotate()?;
        snapshot.must_be_made_here()?;
        snapshot.must_not_be_replica()?;
        snapshot.must_be_enabled()?;
        let mut key = snapshot.key.clone();
        key.rotation = None;
        Ok(service.update_with_relatives(snapshot, &key).await?.effect(()))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), ..Parameters::default() }
    }
}
