//! DescribeKey. Source: AWS KMS API Reference, "DescribeKey".

use claviger_domain::key::{Key, KeyState};
use claviger_domain::{Caller, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request. Works in every state of the key.
pub struct DescribeKey {
    /// The key.
    pub key: KeyReference,
}

impl Operation for DescribeKey {
    const EVENT: Event = Event::kms_read("DescribeKey");
    type Output = Key;
    about_one_key!("kms:DescribeKey");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<Key>, Refusal> {
        let mut key = target.snapshot.key.clone();
        // A key that waits for its deletion does so whether its store is connected or not.
        if matches!(key.state, KeyState::Enabled | KeyState::Disabled) && service.is_unavailable(&key).await? {
            key.state = KeyState::Unavailable;
        }
        Ok(Effect::answer(key))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), ..Parameters::default() }
    }
}
