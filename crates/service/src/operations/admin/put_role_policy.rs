//! PutRolePolicy: an identity policy of a role, by name. Sessions have it from their next request on.

use claviger_domain::policy::Policy;
use claviger_domain::{AccountId, Caller, Refusal, RoleName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::quotas::{POLICIES_PER_USER, check_policy_size};
use crate::service::Service;

/// The request.
pub struct PutRolePolicy {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The role.
    pub role: RoleName,
    /// The policy's name, 1 to 128 characters.
    pub policy_name: String,
    /// The document.
    pub policy: String,
}

impl Operation for PutRolePolicy {
    const EVENT: Event = Event::admin("PutRolePolicy", false);
    type Output = ();
    about_an_account!("claviger:PutRolePolicy", |it| format!("role/{}", it.role));

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
        let mut role = service.existing_role(*account, &self.role).await?;
        role.value.policies.insert(self.policy_name.clone(), self.policy.clone());
        if role.value.policies.len() > POLICIES_PER_USER {
            return Err(Refusal::limit_exceeded(format!(
                "Role {} has {POLICIES_PER_USER} policies already. Delete one first.",
                self.role
            )));
        }
        let quota = service.quotas.of(*account).resources.role_policy_characters;
        check_policy_size(&format!("role {}", self.role), role.value.policies.values(), quota)?;
        Ok(Effect::change((), vec![service.records.update(&role.value, role.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            policy: Some(&self.policy),
            policy_name: Some(&self.policy_name),
            role_name: Some(self.role.as_str().into()),
            ..Parameters::default()
        }
    }
}
