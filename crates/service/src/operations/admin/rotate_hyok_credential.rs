//! RotateHyokCredential: a second credential beside the first. Both are accepted until the older one is deleted, so that the cloud can change
//! over in its own time. Source: AWS KMS External Keystore Proxy API Specification, "SigV4 credentials rotation".

use claviger_domain::hyok::HyokStore;
use claviger_domain::{AccountId, Caller, HyokStoreName, Refusal};
use serde_json::json;

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::hyok::CredentialFile;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct RotateHyokCredential {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store.
    pub store: HyokStoreName,
}

impl Operation for RotateHyokCredential {
    const EVENT: Event = Event::admin("RotateHyokCredential", false);
    type Output = CredentialFile;
    about_an_account!("claviger:RotateHyokCredential");

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<CredentialFile>, Refusal> {
        let mut store = service.existing_hyok_store(*account, &self.store).await?;
        if store.value.credentials.len() >= HyokStore::CREDENTIALS_MAX {
            return Err(Refusal::limit_exceeded(format!(
                "The key store {} has two credentials already. Delete the older one once the cloud uses the newer.",
                self.store
            )));
        }
        let (path, now) = (store.value.path.clone(), caller.request.at);
        let (credential, file) = service.new_store_credential(*account, &self.store, &path, now).await?;
        store.value.credentials.push(credential);
        let change = service.records.update(&store.value, store.version).await?;
        Ok(Effect::change(file, vec![change]))
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
