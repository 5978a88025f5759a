//! ScheduleKeyDeletion: the key is unusable at once, and destroyed when the window has passed. Source: AWS KMS API Reference,
//! "ScheduleKeyDeletion".

use claviger_domain::key::KeyState;
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};
use serde_json::json;

use crate::conditions::owned;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct ScheduleKeyDeletion {
    /// The key; not by alias.
    pub key: KeyReference,
    /// Days until it is destroyed, 7 to 30.
    pub window_days: u32,
}

/// The answer.
pub struct ScheduledDeletion {
    /// The key's ARN.
    pub key_arn: String,
    /// Its state: it waits for its deletion, or first for that of its replicas.
    pub state: KeyState,
    /// Days that it waits.
    pub window_days: u32,
}

impl Operation for ScheduleKeyDeletion {
    const EVENT: Event = Event::kms("ScheduleKeyDeletion");
    type Output = ScheduledDeletion;
    about_one_own_key!("kms:ScheduleKeyDeletion");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        match key {
            "kms:schedulekeydeletionpendingwindowindays" => owned(self.window_days.to_string()),
            _ => Values::Absent,
        }
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<ScheduledDeletion>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_not_be_pending_deletion()?;
        let mut key = snapshot.key.clone();
        key.state = if key.has_replicas() {
            // Its waiting period begins when the last of them is gone.
            KeyState::PendingReplicaDeletion { window_days: self.window_days }
        } else {
            KeyState::PendingDeletion { at: caller.request.at.plus_days(self.window_days) }
        };
        let change = service.records.update(&key, snapshot.version).await?;
        let output = ScheduledDeletion { key_arn: snapshot.arn.clone(), state: key.state, window_days: self.window_days };
        Ok(Effect::change(output, vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), pending_window_in_days: Some(self.window_days), ..Parameters::default() }
    }

    fn response_elements(output: &ScheduledDeletion) -> Option<serde_json::Value> {
        let (arn, state) = (&output.key_arn, output.state.as_str());
        Some(match output.state.deletion_date() {
            Some(at) => json!({"deletionDate": at.to_rfc3339(), "keyId": arn, "keyState": state}),
            None => json!({"keyId": arn, "keyState": state, "pendingWindowInDays": output.window_days}),
        })
    }
}
