//! GetKeyPolicy: the policy as it was written. Source: AWS KMS API Reference, "GetKeyPolicy".

use claviger_domain::{Caller, KeyReference, Refusal};

use super::list_key_policies::DEFAULT;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct GetKeyPolicy {
    /// The key; not by alias.
    pub key: KeyReference,
    /// The policy's name; there is only `default`.
    pub name: Option<String>,
}

impl Operation for GetKeyPolicy {
    const EVENT: Event = Event::kms_read("GetKeyPolicy");
    type Output = String;
    about_one_own_key!("kms:GetKeyPolicy");

    async fn execute(
        &self,
        _service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<String>, Refusal> {
        check_policy_name(self.name.as_deref())?;
        Ok(Effect::answer(target.snapshot.key.policy.to_string()))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), policy_name: self.name.as_deref(), ..Parameters::default() }
    }
}

/// A key has exactly one policy.
pub(crate) fn check_policy_name(name: Option<&str>) -> Result<(), Refusal> {
    match name {
        None | Some(DEFAULT) => Ok(()),
        Some(_) => Err(Refusal::not_found("No such policy exists")),
    }
}
