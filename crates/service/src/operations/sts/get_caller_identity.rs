//! GetCallerIdentity: who am I? Everybody may ask. Source: AWS STS API Reference, "GetCallerIdentity".

use claviger_domain::{AccountId, Caller, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct GetCallerIdentity;

/// The answer.
pub struct CallerIdentity {
    /// The caller's account.
    pub account: AccountId,
    /// The caller's ARN.
    pub arn: String,
    /// The caller's unique id.
    pub user_id: String,
}

impl Operation for GetCallerIdentity {
    const EVENT: Event = Event::sts("GetCallerIdentity");
    type Target = ();
    type Output = CallerIdentity;

    async fn resolve(&self, _service: &Service, _caller: &Caller) -> Result<(), Refusal> {
        Ok(())
    }

    /// Nothing: a policy that denies it has no effect in AWS either.
    fn demands<'a>(&'a self, _caller: &'a Caller, (): &'a ()) -> Vec<Ask<'a>> {
        Vec::new()
    }

    async fn execute(
        &self,
        _service: &Service,
        caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<CallerIdentity>, Refusal> {
        let identity = &caller.identity;
        Ok(Effect::answer(CallerIdentity {
            account: identity.account,
            arn: identity.arn.clone(),
            user_id: identity.unique_id.clone(),
        }))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
    }
}
