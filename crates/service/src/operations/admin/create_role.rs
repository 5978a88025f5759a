//! CreateRole: a role that those may assume whom its trust policy names, and that may do nothing yet. Source: AWS IAM API Reference,
//! "CreateRole".

use std::collections::BTreeMap;

use claviger_domain::identity::Role;
use claviger_domain::{AccountId, Caller, Refusal, RoleName};
use claviger_store::RecordKind;

use super::about_an_account;
use super::roles::{check_principal_tags, check_trust_policy};
use crate::deployment::random_id;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::quotas::check_room_in_account;
use crate::records::store_refusal;
use crate::service::Service;

/// The request.
pub struct CreateRole {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The role's name.
    pub name: RoleName,
    /// Who may assume it.
    pub trust_policy: String,
    /// Free text, at most 1,000 characters.
    pub description: String,
    /// The longest session that may be asked for, in seconds: 3,600 to 43,200.
    pub max_session_seconds: u32,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl Operation for CreateRole {
    const EVENT: Event = Event::admin("CreateRole", false);
    type Output = Role;
    about_an_account!("claviger:CreateRole", |it| format!("role/{}", it.name));

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Role>, Refusal> {
        if service.records.get::<Role>(*account, self.name.as_str()).await?.is_some() {
            return Err(Refusal::already_exists(format!("Account {account} already has a role named {}.", self.name)));
        }
        let usage = service.records.store.count(RecordKind::Role, Some(*account)).await.map_err(store_refusal)?;
        check_room_in_account("RolesPerAccount", service.quotas.of(*account).resources.roles, usage)?;
        check_trust_policy(service, &self.trust_policy).await?;
        check_principal_tags(&self.tags)?;
        let role = Role {
            account: *account,
            name: self.name.clone(),
            unique_id: random_id(service.hsm(), "AROA")?,
            created: caller.request.at,
            description: self.description.clone(),
            trust_policy: self.trust_policy.clone(),
            policies: BTreeMap::new(),
            tags: self.tags.clone(),
            max_session_seconds: self.max_session_seconds,
        };
        let change = service.records.create(&role).await?;
        Ok(Effect::change(role, vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            assume_role_policy_document: Some(&self.trust_policy),
            description: (!self.description.is_empty()).then_some(&self.description),
            max_session_duration: Some(self.max_session_seconds),
            role_name: Some(self.name.as_str().into()),
            tags: (!self.tags.is_empty()).then_some(&self.tags),
            ..Parameters::default()
        }
    }
}
