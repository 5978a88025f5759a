//! GetHyokCredential: the newest credential of a store, secret and all, for the file that the cloud's console reads. It stays readable, unlike an
//! access key's secret, because the same secret has to be on both sides; the permission for it is one of its own.

use claviger_domain::{AccountId, Caller, HyokStoreName, Refusal};
use serde_json::json;

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::hyok::CredentialFile;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct GetHyokCredential {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store.
    pub store: HyokStoreName,
}

impl Operation for GetHyokCredential {
    const EVENT: Event = Event::admin("GetHyokCredential", true);
    type Output = CredentialFile;
    about_an_account!("claviger:GetHyokCredential");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<CredentialFile>, Refusal> {
        let store = service.existing_hyok_store(*account, &self.store).await?.value;
        let newest = store.credentials.last().ok_or_else(|| Refusal::internal("The key store has no credential."))?;
        Ok(Effect::answer(service.credential_file(&store, newest).await?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            store_name: Some(self.store.as_str()),
            ..Parameters::default()
        }
    }

    fn response_elements(file: &CredentialFile) -> Option<serde_json::Value> {
        Some(json!({"accessKeyId": file.access_key.as_str()}))
    }
}
