//! CreateUser: a user without permissions and without credentials; perhaps marked as a service, which only the deployment's own account may
//! do.

use std::collections::BTreeMap;

use claviger_domain::identity::User;
use claviger_domain::{AccountId, Caller, Refusal, ServiceName, UserName};
use claviger_store::RecordKind;

use super::roles::check_principal_tags;
use super::{administered_account, ask_to_administer_one};
use crate::deployment::random_id;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::quotas::check_room_in_account;
use crate::records::store_refusal;
use crate::service::Service;

/// The request.
pub struct CreateUser {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user's name.
    pub name: UserName,
    /// The service that the user is, if it is one.
    pub service: Option<ServiceName>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl Operation for CreateUser {
    const EVENT: Event = Event::admin("CreateUser", false);
    type Output = User;
    type Target = AccountId;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<AccountId, Refusal> {
        administered_account(service, caller, self.account).await
    }

    fn demands<'a>(&'a self, caller: &'a Caller, account: &'a AccountId) -> Vec<Ask<'a>> {
        let mut demands = vec![ask_to_administer_one("claviger:CreateUser", caller, *account, &format!("user/{}", self.name))];
        if self.service.is_some() {
            // Services are believed when they speak for others.
            demands.push(Ask::resource("claviger:CreateService", "*".to_owned(), AccountId::DEPLOYMENT));
        }
        demands
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<User>, Refusal> {
        if service.records.get::<User>(*account, self.name.as_str()).await?.is_some() {
            return Err(Refusal::already_exists(format!("Account {account} already has a user named {}.", self.name)));
        }
        check_principal_tags(&self.tags)?;
        let usage = service.records.store.count(RecordKind::User, Some(*account)).await.map_err(store_refusal)?;
        check_room_in_account("UsersPerAccount", service.quotas.of(*account).resources.users, usage)?;
        let user = User {
            account: *account,
            name: self.name.clone(),
            unique_id: random_id(service.hsm(), "AIDA")?,
            created: caller.request.at,
            policies: BTreeMap::new(),
            tags: self.tags.clone(),
            service: self.service.clone(),
        };
        let change = service.records.create(&user).await?;
        Ok(Effect::change(user, vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            service: self.service.as_ref().map(|service| service.as_str().into()),
            tags: (!self.tags.is_empty()).then_some(&self.tags),
            user_name: Some(self.name.as_str().into()),
            ..Parameters::default()
        }
    }
}
