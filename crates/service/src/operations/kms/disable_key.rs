//! DisableKey: fine for a key that is disabled already. Source: AWS KMS API Reference, "DisableKey".

use claviger_domain::key::KeyState;
use claviger_domain::{Caller, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct DisableKey {
    /// The key; not by alias.
    pub key: KeyReference,
}

impl Operation for DisableKey {
    const EVENT: Event = Event::kms("DisableKey");
    type Output = ();
    about_one_own_key!("kms:DisableKey");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_not_be_pending_deletion()?;
        snapshot.must_not_be_pending_import()?;
        let mut key = snapshot.key.clone();
        key.state = KeyState::Disabled;
        Ok(Effect::change((), vec![service.records.update(&key, snapshot.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), ..Parameters::default() }
    }
}
