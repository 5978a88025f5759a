//! PutUserPolicy: an identity policy of a user, by name.

use claviger_domain::policy::Policy;
use claviger_domain::{AccountId, Caller, Refusal, UserName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::quotas::{POLICIES_PER_USER, check_policy_size};
use crate::service::Service;

/// The request.
pub struct PutUserPolicy {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user.
    pub user: UserName,
    /// The policy's name, 1 to 128 characters.
    pub policy_name: String,
    /// The document.
    pub policy: String,
}

impl Operation for PutUserPolicy {
    const EVENT: Event = Event::admin("PutUserPolicy", false);
    type Output = ();
    about_an_account!("claviger:PutUserPolicy", |it| format!("user/{}", it.user));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        Policy::parse_identity_policy(&self.policy)
            .and_then(|policy| policy.must_be_light())
            .map_err(|malformed| Refusal::malformed_policy(malformed.detail))?;
        let mut user = service.existing_user(*account, &self.user).await?;
        if let Some(service) = &user.value.service {
            return Err(Refusal::unsupported(format!(
                "User {} is the service {service}, and services have no identity policies. Name the service in key policies.",
                self.user
            )));
        }
        user.value.policies.insert(self.policy_name.clone(), self.policy.clone());
        if user.value.policies.len() > POLICIES_PER_USER {
            return Err(Refusal::limit_exceeded(format!(
                "User {} has {POLICIES_PER_USER} policies already. Delete one first.",
                self.user
            )));
        }
        let quota = service.quotas.of(*account).resources.user_policy_characters;
        check_policy_size(&format!("user {}", self.user), user.value.policies.values(), quota)?;
        Ok(Effect::change((), vec![service.records.update(&user.value, user.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            policy: Some(&self.policy),
            policy_name: Some(&self.policy_name),
            user_name: Some(self.user.as_str().into()),
            ..Parameters::default()
        }
    }
}
