//! UpdateAssumeRolePolicy: replaces the trust policy of a role. Sessions that have begun stay as they are.

use claviger_domain::{AccountId, Caller, Refusal, RoleName};

use super::about_an_account;
use super::roles::check_trust_policy;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct UpdateAssumeRolePolicy {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The role.
    pub role: RoleName,
    /// Who may assume it.
    pub trust_policy: String,
}

impl Operation for UpdateAssumeRolePolicy {
    const EVENT: Event = Event::admin("UpdateAssumeRolePolicy", false);
    type Output = ();
    about_an_account!("claviger:UpdateAssumeRolePolicy", |it| format!("role/{}", it.role));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        check_trust_policy(service, &self.trust_policy).await?;
        let mut role = service.existing_role(*account, &self.role).await?;
        role.value.trust_policy.clone_from(&self.trust_policy);
        Ok(Effect::change((), vec![service.records.update(&role.value, role.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            assume_role_policy_document: Some(&self.trust_policy),
            role_name: Some(self.role.as_str().into()),
            ..Parameters::default()
        }
    }
}
