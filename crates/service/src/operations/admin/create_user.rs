//! CreateUser: a user without permissions and without credentials.

use std::collections::BTreeMap;

use claviger_domain::identity::User;
use claviger_domain::{AccountId, Caller, Refusal, UserName};
use claviger_store::RecordKind;

use super::about_an_account;
use crate::deployment::random_id;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::quotas::check_room_in_account;
use crate::records::store_refusal;
use crate::service::Service;

/// The request.
pub struct CreateUser {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user's name.
    pub name: UserName,
}

impl Operation for CreateUser {
    const EVENT: Event = Event::admin("CreateUser", false);
    type Output = User;
    about_an_account!("claviger:CreateUser");

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
        let usage = service.records.store.count(RecordKind::User, Some(*account)).await.map_err(store_refusal)?;
        check_room_in_account("UsersPerAccount", service.quotas.of(*account).resources.users, usage)?;
        let user = User {
            account: *account,
            name: self.name.clone(),
            unique_id: random_id(service.hsm(), "AIDA")?,
            created: caller.request.at,
            policies: BTreeMap::new(),
        };
        let change = service.records.create(&user).await?;
        Ok(Effect::change(user, vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            user_name: Some(self.name.as_str().into()),
            ..Parameters::default()
        }
    }
}
