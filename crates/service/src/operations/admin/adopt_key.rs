//! AdoptKey: a KMS key that stands for a key which is in the tokens of a cluster already, in the Region of the request.
//!
//! The administrator's alone: the tokens of a cluster are the operator's, and so is what is in them. CreateKey makes new keys only.

use claviger_domain::identity::Identity;
use claviger_domain::key::{Key, KeySpec, KeyUsage, Origin};
use claviger_domain::key_store::KeyStoreType;
use claviger_domain::{AccountId, Caller, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::about_the_deployment;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::kms::{CreateKey, InKeyStore};
use crate::service::Service;

/// The request.
pub struct AdoptKey {
    /// Whose key it will be.
    pub account: AccountId,
    /// The id of a custom key store of that account, of the type AWS_CLOUDHSM.
    pub store: String,
    /// The key in the tokens: `label:` and its label, or `id:` and its id in hexadecimal digits.
    pub token_key: String,
    /// What the key is.
    pub spec: KeySpec,
    /// What it is for.
    pub usage: KeyUsage,
    /// Free text.
    pub description: String,
}

impl Operation for AdoptKey {
    const EVENT: Event = Event::admin("AdoptKey", false);
    type Output = Key;
    about_the_deployment!("claviger:AdoptKey");

    async fn execute(&self, service: &Service, caller: &Caller, (): &(), _: Allowed<Self>) -> Result<Effect<Key>, Refusal> {
        service.records.existing_account(self.account).await?;
        let create = CreateKey {
            spec: self.spec,
            usage: self.usage,
            origin: Origin::Internal,
            in_key_store: Some(InKeyStore {
                store: self.store.clone(),
                kind: KeyStoreType::CloudHsm,
                existing: Some(self.token_key.clone()),
            }),
            description: self.description.clone(),
            policy: None,
            bypass_lockout_check: false,
            tags: BTreeMap::new(),
            multi_region: false,
        };
        create.make(service, &self.in_its_place(caller)).await
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: Some(self.account.to_string()),
            custom_key_store_id: Some(&self.store),
            description: (!self.description.is_empty()).then_some(&self.description),
            key_spec: Some(self.spec.as_str()),
            key_usage: Some(self.usage.as_str()),
            token_key: Some(&self.token_key),
            ..Parameters::default()
        }
    }

    fn response_elements(key: &Key) -> Option<serde_json::Value> {
        CreateKey::response_elements(key)
    }
}

impl AdoptKey {
    /// The owner of the key to be, for whom the administrator acts.
    fn in_its_place(&self, caller: &Caller) -> Caller {
        let mut there = caller.clone();
        there.identity = Arc::new(Identity::root(self.account));
        there
    }
}
