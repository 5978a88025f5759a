//! PutKeyPolicy. Source: AWS KMS API Reference, "PutKeyPolicy".

use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};

use super::get_key_policy::check_policy_name;
use super::policy_check::PolicyCheck;
use crate::conditions::text;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request. Works in every state of the key.
pub struct PutKeyPolicy {
    /// The key; not by alias.
    pub key: KeyReference,
    /// The policy's name; there is only `default`.
    pub name: Option<String>,
    /// The new policy.
    pub policy: String,
    /// Whether a policy that locks the caller out is accepted.
    pub bypass_lockout_check: bool,
}

impl Operation for PutKeyPolicy {
    const EVENT: Event = Event::kms("PutKeyPolicy");
    type Output = ();
    about_one_own_key!("kms:PutKeyPolicy");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        match key {
            "kms:bypasspolicylockoutsafetycheck" => text(if self.bypass_lockout_check { "true" } else { "false" }),
            "kms:policyname" => text(self.name.as_deref().unwrap_or("default")),
            _ => Values::Absent,
        }
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        check_policy_name(self.name.as_deref())?;
        let snapshot = &target.snapshot;
        let check =
            PolicyCheck { policy: &self.policy, arn: &snapshot.key.arn(), bypass_lockout_check: self.bypass_lockout_check };
        check.run(service, caller).await?;
        let mut key = snapshot.key.clone();
        key.policy = self.policy.as_str().into();
        Ok(Effect::change((), vec![service.records.update(&key, snapshot.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            bypass_policy_lockout_safety_check: self.bypass_lockout_check,
            key_id: Some(self.key.to_string()),
            policy: Some(&self.policy),
            policy_name: self.name.as_deref(),
            ..Parameters::default()
        }
    }
}
