//! UpdateKeyDescription. Source: AWS KMS API Reference, "UpdateKeyDescription".

use claviger_domain::{Caller, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct UpdateKeyDescription {
    /// The key; not by alias.
    pub key: KeyReference,
    /// Free text, at most 8,192 characters.
    pub description: String,
}

impl Operation for UpdateKeyDescription {
    const EVENT: Event = Event::kms("UpdateKeyDescription");
    type Output = ();
    about_one_own_key!("kms:UpdateKeyDescription");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_not_be_pending_deletion()?;
        let mut key = snapshot.key.clone();
        key.description.clone_from(&self.description);
        Ok(Effect::change((), vec![service.records.update(&key, snapshot.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { description: Some(&self.description), key_id: Some(self.key.to_string()), ..Parameters::default() }
    }
}
