//! GetKeyLastUsage: the last successful use of a key for cryptography. Source: AWS KMS API Reference, "GetKeyLastUsage".

use claviger_domain::key::LastUse;
use claviger_domain::{Caller, KeyReference, Refusal, Timestamp};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct GetKeyLastUsage {
    /// The key; not by alias.
    pub key: KeyReference,
}

/// The answer.
pub struct KeyLastUsage {
    /// The key's ARN.
    pub key_arn: String,
    /// When the key was made. Uses are recorded from then on.
    pub created: Timestamp,
    /// The last use; none when it was never used.
    pub last: Option<LastUse>,
}

impl Operation for GetKeyLastUsage {
    const EVENT: Event = Event::kms_read("GetKeyLastUsage");
    type Output = KeyLastUsage;
    about_one_own_key!("kms:GetKeyLastUsage");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<KeyLastUsage>, Refusal> {
        let key = &target.snapshot.key;
        let last = service.last_use_of_key(key.account, &key.region, key.id).await?;
        Ok(Effect::answer(KeyLastUsage { key_arn: target.snapshot.arn.clone(), created: key.created, last }))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), ..Parameters::default() }
    }
}
