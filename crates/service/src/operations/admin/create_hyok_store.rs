//! CreateHyokStore: a store without keys, and its first credential.

use std::collections::BTreeMap;

use claviger_domain::hyok::{Cloud, HyokPath, HyokStore};
use claviger_domain::policy::default_store_policy;
use claviger_domain::{AccountId, Caller, HyokStoreName, Refusal, StorePath};
use claviger_store::RecordKind;
use serde_json::json;

use super::about_an_account;
use super::hyok_stores::{
    STORES_PER_ACCOUNT, check_client_authorities, check_client_subjects, check_policy, check_rate, must_have_keys,
};
use crate::event_parameters::Parameters;
use crate::hyok::CredentialFile;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::quotas::check_room_in_account;
use crate::records::store_refusal;
use crate::service::Service;

/// The request.
pub struct CreateHyokStore {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store's name.
    pub name: HyokStoreName,
    /// Whose cloud it is for.
    pub cloud: Cloud,
    /// Where the cloud finds it.
    pub path: StorePath,
    /// How many requests it may make in a second; none for any number.
    pub requests_per_second: Option<u32>,
    /// Patterns of subjects, one of which a client's certificate must have; none where no certificate is needed.
    pub client_subjects: Option<Vec<String>>,
    /// Certificates in PEM of authorities, one of which a client's certificate must go back to; none where the listener's are enough.
    pub client_authorities: Option<String>,
    /// What its requests may do; none for everything.
    pub policy: Option<String>,
}

/// The answer.
pub struct CreatedHyokStore {
    /// The store.
    pub store: HyokStore,
    /// Its credential.
    pub credential: CredentialFile,
}

impl Operation for CreateHyokStore {
    const EVENT: Event = Event::admin("CreateHyokStore", false);
    type Output = CreatedHyokStore;
    about_an_account!("claviger:CreateHyokStore");

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<CreatedHyokStore>, Refusal> {
        must_have_keys(*account)?;
        check_rate(self.requests_per_second)?;
        check_client_subjects(self.client_subjects.as_deref())?;
        check_client_authorities(self.client_authorities.as_deref())?;
        let policy = self.policy.as_deref().unwrap_or_else(|| default_store_policy());
        check_policy(policy)?;
        let records = &service.records;
        if records.get::<HyokStore>(*account, self.name.as_str()).await?.is_some() {
            return Err(Refusal::already_exists(format!("Account {account} already has a key store named {}.", self.name)));
        }
        if records.get::<HyokPath>(AccountId::DEPLOYMENT, self.path.as_str()).await?.is_some() {
            return Err(Refusal::already_exists(format!(
                "The path {} is another key store's. Choose another prefix.",
                self.path
            )));
        }
        let usage = records.store.count(RecordKind::HyokStore, Some(*account)).await.map_err(store_refusal)?;
        check_room_in_account("HyokStoresPerAccount", STORES_PER_ACCOUNT, usage)?;
        let now = caller.request.at;
        let (credential, file) = service.new_store_credential(*account, &self.name, &self.path, now).await?;
        let store = HyokStore {
            account: *account,
            name: self.name.clone(),
            cloud: self.cloud,
            path: self.path.clone(),
            created: now,
            cut_off: None,
            credentials: vec![credential],
            requests_per_second: self.requests_per_second,
            client_subjects: self.client_subjects.clone(),
            client_authorities: self.client_authorities.clone(),
            policy: policy.to_owned(),
            keys: BTreeMap::new(),
        };
        let path = HyokPath { path: self.path.clone(), account: *account, store: self.name.clone() };
        let changes = vec![records.create(&store).await?, records.create(&path).await?];
        Ok(Effect::change(CreatedHyokStore { store, credential: file }, changes))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            client_authorities: self.client_authorities.as_deref(),
            client_subjects: self.client_subjects.as_deref(),
            cloud: Some(self.cloud.as_str()),
            policy: self.policy.as_deref(),
            requests_per_second: self.requests_per_second,
            store_name: Some(self.name.as_str()),
            store_path: Some(self.path.as_str()),
            ..Parameters::default()
        }
    }

    fn response_elements(created: &CreatedHyokStore) -> Option<serde_json::Value> {
        Some(json!({"accessKeyId": created.credential.access_key.as_str()}))
    }
}
