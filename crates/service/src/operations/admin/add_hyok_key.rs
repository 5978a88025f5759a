//! AddHyokKey: puts a key behind a store, under a name of the cloud's. That lets somebody else use the key, and so needs the permission that
//! letting others use a key needs elsewhere: `kms:CreateGrant` on it.

use std::collections::BTreeSet;

use claviger_domain::hyok::{ExternalKey, ExternalKeyUsage, HyokStore};
use claviger_domain::key::{KeySpec, KeyUsage, Origin};
use claviger_domain::{AccountId, Caller, ExternalKeyId, HyokStoreName, KeyReference, Refusal};

use super::{administered_account, ask_to_administer};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::quotas::check_room_in_account;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct AddHyokKey {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store.
    pub store: HyokStoreName,
    /// What the cloud will call the key.
    pub external: ExternalKeyId,
    /// The key: one of the store's account, in the Region of the request.
    pub key: KeyReference,
    /// What it may be used for through the store.
    pub usage: BTreeSet<ExternalKeyUsage>,
}

/// The account and the key.
pub struct KeyForStore {
    account: AccountId,
    key: KeyTarget,
}

const GIVE_AWAY: &str = "kms:CreateGrant";

impl Operation for AddHyokKey {
    const EVENT: Event = Event::admin("AddHyokKey", false);
    type Target = KeyForStore;
    type Output = ExternalKey;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<KeyForStore, Refusal> {
        let account = administered_account(service, caller, self.account).await?;
        let key = service.resolve_key(caller, &self.key, GIVE_AWAY).await?;
        Ok(KeyForStore { account, key })
    }

    fn demands<'a>(&'a self, caller: &'a Caller, target: &'a KeyForStore) -> Vec<Ask<'a>> {
        vec![ask_to_administer("claviger:AddHyokKey", caller, target.account), Ask::key(GIVE_AWAY, &target.key)]
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyForStore,
        _: Allowed<Self>,
    ) -> Result<Effect<ExternalKey>, Refusal> {
        let snapshot = &target.key.snapshot;
        let key = &snapshot.key;
        if key.account != target.account {
            return Err(Refusal::invalid(format!("The key store is of account {}, and the key is not.", target.account)));
        }
        if key.spec != KeySpec::SymmetricDefault || key.usage != KeyUsage::EncryptDecrypt {
            let detail = "Only symmetric keys for encryption (SYMMETRIC_DEFAULT) can stand behind a key store.";
            return Err(Refusal::invalid_key_usage(detail));
        }
        if key.origin == Origin::ExternalKeyStore {
            let detail = "A key of an external key store cannot stand behind a hold-your-own-key store: it is held by somebody else's proxy.";
            return Err(Refusal::invalid_key_usage(detail));
        }
        snapshot.must_not_be_pending_deletion()?;
        let mut store = service.existing_hyok_store(target.account, &self.store).await?;
        if store.value.keys.contains_key(&self.external) {
            return Err(Refusal::already_exists(format!(
                "The key store {} already has a key {}. Remove it first, or choose another name.",
                self.store, self.external
            )));
        }
        check_room_in_account("KeysPerHyokStore", HyokStore::KEYS_MAX as u64, store.value.keys.len() as u64)?;
        let external = ExternalKey {
            key: key.id,
            region: key.region.clone(),
            usage: self.usage.clone(),
            added: caller.request.at,
            cut_off: None,
        };
        store.value.keys.insert(self.external.clone(), external.clone());
        let change = service.records.update(&store.value, store.version).await?;
        Ok(Effect::change(external, vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            external_key_id: Some(self.external.as_str()),
            key_id: Some(self.key.to_string()),
            store_name: Some(self.store.as_str()),
            usage: Some(self.usage.iter().map(|usage| usage.as_str()).collect()),
            ..Parameters::default()
        }
    }
}
