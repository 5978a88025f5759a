//! CreateAccount: a tenant with a key of its own and a root credential.

use claviger_domain::identity::Account;
use claviger_domain::{AccountId, Caller, Refusal};

use super::about_the_deployment;
use crate::deployment::{InitialCredential, create_account};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct CreateAccount {
    /// A name for people, 1 to 128 characters.
    pub name: String,
    /// The id; a random one when absent.
    pub id: Option<AccountId>,
}

impl Operation for CreateAccount {
    const EVENT: Event = Event::admin("CreateAccount", false);
    type Output = InitialCredential;
    about_the_deployment!("claviger:CreateAccount");

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<InitialCredential>, Refusal> {
        let id = match self.id {
            Some(id) => id,
            None => random_account_id(service)?,
        };
        if service.records.get::<Account>(AccountId::DEPLOYMENT, &id.to_string()).await?.is_some() {
            return Err(Refusal::already_exists(format!("Account {id} already exists.")));
        }
        let (credential, changes) = {
            // Should another node rotate the root key meanwhile, this account's key would be under the old one: then all of it is done again.
            let root = service.stored_root().await?.version;
            create_account(&service.records, root, id, &self.name, caller.request.at).await?
        };
        Ok(Effect::change(credential, changes))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { account_id: self.id.map(|id| id.to_string()), name: Some(&self.name), ..Parameters::default() }
    }

    fn response_elements(credential: &InitialCredential) -> Option<serde_json::Value> {
        Some(serde_json::json!({
            "accountId": credential.account.to_string(),
            "rootAccessKeyId": credential.access_key.as_str(),
        }))
    }
}

/// A random id with its first digit not zero, as AWS's are.
fn random_account_id(service: &Service) -> Result<AccountId, Refusal> {
    const FIRST: u64 = 100_000_000_000;
    let mut bytes = [0; 8];
    service.hsm().fill_public(&mut bytes)?;
    AccountId::from_number(FIRST + u64::from_be_bytes(bytes) % (9 * FIRST))
        .ok_or_else(|| Refusal::internal("An account id could not be made."))
}
