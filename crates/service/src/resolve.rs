//! From what a request names to what it is about: aliases, ARNs and ids become key snapshots, fresh within the lease.

use std::sync::Arc;

use claviger_domain::hyok::{HyokPath, HyokStore};
use claviger_domain::identity::{AccessKey, Account, Owner, Role, User};
use claviger_domain::key::{Alias, Key};
use claviger_domain::key_store::KeyStores;
use claviger_domain::policy::Denial;
use claviger_domain::{
    AccountId, AliasArn, AliasName, Caller, HyokStoreName, Identity, KeyArn, KeyId, KeyReference, Kind, Refusal, Region,
    RoleName, StorePath,
};
use claviger_store::{List, RecordKey, RecordKind, Shard};

use crate::cache::Cache;
use crate::hyok::HyokSnapshot;
use crate::key_stores::OpenKeyStores;
use crate::operations::kms::policy_in_force;
use crate::records::{Versioned, alias_record_id, key_record_id};
use crate::service::Service;
use crate::snapshot::{Credential, KeySnapshot, RoleSnapshot};

/// A key that a request is about, and how the request named it.
#[derive(Clone)]
pub struct KeyTarget {
    pub(crate) snapshot: Arc<KeySnapshot>,
    pub(crate) named: Named,
}

/// How a request named a key. Nothing that a caller of another account is told may go beyond it.
#[derive(Clone)]
pub(crate) enum Named {
    /// By its id or ARN.
    Key,
    /// By an alias or an alias's ARN.
    Alias(AliasArn),
    /// By a ciphertext that it made.
    Ciphertext,
}

impl Service {
    /// The key that a request names, in any of the four ways, for an action on it.
    pub(crate) async fn resolve_key(
        &self,
        caller: &Caller,
        reference: &KeyReference,
        action: &'static str,
    ) -> Result<KeyTarget, Refusal> {
        let (account, region) = (caller.identity.account, &caller.request.region);
        match reference {
            KeyReference::Id(id) => {
                let arn = KeyArn { region: region.clone(), account, key: *id };
                self.resolve_arn(caller, &arn, action).await
            }
            KeyReference::Arn(arn) => self.resolve_arn(caller, arn, action).await,
            KeyReference::Alias(alias) => {
                let arn = AliasArn { region: region.clone(), account, alias: alias.clone() };
                self.resolve_alias(caller, arn, action).await
            }
            KeyReference::AliasArn(arn) => self.resolve_alias(caller, arn.clone(), action).await,
        }
    }

    async fn resolve_arn(&self, caller: &Caller, arn: &KeyArn, action: &'static str) -> Result<KeyTarget, Refusal> {
        check_region(caller, &arn.region)?;
        match self.key(arn.account, &arn.region, arn.key).await? {
            Some(snapshot) => Ok(KeyTarget { snapshot, named: Named::Key }),
            None if arn.account == caller.identity.account => Err(key_not_found(arn)),
            None => Err(hidden(caller, action, &arn.to_string())),
        }
    }

    async fn resolve_alias(&self, caller: &Caller, arn: AliasArn, action: &'static str) -> Result<KeyTarget, Refusal> {
        check_region(caller, &arn.region)?;
        let own = arn.account == caller.identity.account;
        let snapshot = match self.alias(arn.account, &arn.region, &arn.alias).await? {
            Some(alias) => self.key(arn.account, &arn.region, alias.target).await?,
            None if own && arn.alias.is_reserved() => self.unborn_key(caller, &arn.alias).await?,
            None => None,
        };
        match snapshot {
            Some(snapshot) => Ok(KeyTarget { snapshot, named: Named::Alias(arn) }),
            None if own => Err(alias_not_found(&arn)),
            None => Err(hidden(caller, action, &arn.to_string())),
        }
    }

    /// A key by its id, from the cache or the store.
    pub(crate) async fn key(&self, account: AccountId, region: &Region, id: KeyId) -> Result<Option<Arc<KeySnapshot>>, Refusal> {
        let slot = match self.look(&self.caches.keys, account, RecordKind::Key, key_record_id(region, id)) {
            Look::Cached(snapshot) => return Ok(Some(snapshot)),
            Look::Missing(slot) => slot,
        };
        let Some(Versioned { mut value, version }) = self.records.get::<Key>(account, &slot.record.id).await? else {
            return Ok(None);
        };
        if let Some(policy) = policy_in_force(&value) {
            value.policy = policy.into();
        }
        let (text, policy) = self.policies.shared_key_policy(&value.policy)?;
        value.policy = text;
        let account_key = self.records.existing_account(account).await?;
        let snapshot = Arc::new(KeySnapshot::new(value, version, policy, account_key));
        self.meet(&snapshot).await?;
        Ok(Some(self.keep(&self.caches.keys, &slot, snapshot)))
    }

    /// A key by its id, if it is in the cache.
    pub(crate) fn cached_key(&self, account: AccountId, region: &Region, id: KeyId) -> Option<Arc<KeySnapshot>> {
        match self.look(&self.caches.keys, account, RecordKind::Key, key_record_id(region, id)) {
            Look::Cached(snapshot) => Some(snapshot),
            Look::Missing(_) => None,
        }
    }

    /// The keys of an account in a Region, one page of them, in the order of their ids. Each is one whose record opens: a row that somebody put
    /// into the store, or moved there, is refused. What a key is beside its name is not looked at.
    pub(crate) async fn list_keys(
        &self,
        account: AccountId,
        region: &Region,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<KeyArn>, Refusal> {
        let page = List { account, kind: RecordKind::Key, scope: Some(region.as_str()), owner: None, after, limit };
        let mut keys = Vec::with_capacity(limit.min(1024));
        for id in self.records.list_ids(page).await? {
            let key = id.rsplit_once('/').and_then(|(_, key)| key.parse().ok());
            let key = key.ok_or_else(|| Refusal::internal("The record of a key is not named as keys are."))?;
            keys.push(KeyArn { region: region.clone(), account, key });
        }
        Ok(keys)
    }

    /// An alias by its name, from the cache or the store.
    pub(crate) async fn alias(
        &self,
        account: AccountId,
        region: &Region,
        name: &AliasName,
    ) -> Result<Option<Arc<Alias>>, Refusal> {
        let slot = match self.look(&self.caches.aliases, account, RecordKind::Alias, alias_record_id(region, name)) {
            Look::Cached(alias) => return Ok(Some(alias)),
            Look::Missing(slot) => slot,
        };
        let Some(found) = self.records.get::<Alias>(account, &slot.record.id).await? else { return Ok(None) };
        Ok(Some(self.keep(&self.caches.aliases, &slot, Arc::new(found.value))))
    }

    /// The alias with the version of its record, straight from the store, for those who change it.
    pub(crate) async fn stored_alias(&self, arn: &AliasArn) -> Result<Option<Versioned<Alias>>, Refusal> {
        self.records.get::<Alias>(arn.account, &alias_record_id(&arn.region, &arn.alias)).await
    }

    /// A principal's identity with its policies parsed; none when there is no such user.
    pub(crate) async fn identity(&self, account: AccountId, owner: &Owner) -> Result<Option<Arc<Identity>>, Refusal> {
        let name = match owner {
            Owner::Root => "",
            Owner::User(name) => name.as_str(),
        };
        let slot = match self.look(&self.caches.identities, account, RecordKind::User, name.to_owned()) {
            Look::Cached(identity) => return Ok(Some(identity)),
            Look::Missing(slot) => slot,
        };
        if *owner == Owner::Root {
            return Ok(Some(self.keep(&self.caches.identities, &slot, Arc::new(Identity::root(account)))));
        }
        let Some(found) = self.records.get::<User>(account, name).await? else { return Ok(None) };
        let policies = self.policies.identity_policies(&found.value.policies)?;
        Ok(Some(self.keep(&self.caches.identities, &slot, Arc::new(Identity::user(&found.value, policies)))))
    }

    /// A role with its policies parsed, from the cache or the store; none when there is no such role.
    pub(crate) async fn role(&self, account: AccountId, name: &RoleName) -> Result<Option<Arc<RoleSnapshot>>, Refusal> {
        let slot = match self.look(&self.caches.roles, account, RecordKind::Role, name.to_string()) {
            Look::Cached(role) => return Ok(Some(role)),
            Look::Missing(slot) => slot,
        };
        let Some(found) = self.records.get::<Role>(account, name.as_str()).await? else { return Ok(None) };
        let role = found.value;
        let trust = self.policies.trust_policy(&role.trust_policy)?;
        let policies = self.policies.identity_policies(&role.policies)?;
        Ok(Some(self.keep(&self.caches.roles, &slot, Arc::new(RoleSnapshot { role, trust, policies }))))
    }

    /// The custom key stores of an account in a Region with their secrets, from the cache or the store.
    pub(crate) async fn open_key_stores(&self, account: AccountId, region: &Region) -> Result<Arc<OpenKeyStores>, Refusal> {
        let slot = match self.look(&self.caches.key_stores, account, RecordKind::CustomKeyStores, region.to_string()) {
            Look::Cached(stores) => return Ok(stores),
            Look::Missing(slot) => slot,
        };
        let mut stores = OpenKeyStores::new();
        if let Some(found) = self.records.get::<KeyStores>(account, region.as_str()).await? {
            for (id, store) in &found.value.stores {
                stores.insert(id.clone(), Arc::new(self.open_key_store(account, region, id, store).await?));
            }
        }
        Ok(self.keep(&self.caches.key_stores, &slot, Arc::new(stores)))
    }

    /// An access key, ready to check signatures.
    pub(crate) async fn credential(&self, id: &str) -> Result<Option<Arc<Credential>>, Refusal> {
        // Which account an access key belongs to never changes, so that this needs no freshness.
        let known = self.caches.access_key_accounts.read().get(id).copied();
        let Some(account) = known else { return Box::pin(self.first_use_of_credential(id)).await };
        let slot = match self.look(&self.caches.credentials, account, RecordKind::AccessKey, id.to_owned()) {
            Look::Cached(credential) => return Ok(Some(credential)),
            Look::Missing(slot) => slot,
        };
        let Some(found) = self.records.get::<AccessKey>(account, id).await? else { return Ok(None) };
        let versions = self.records.existing_account(account).await?;
        let credential = Credential::open(found.value, &versions, &self.records.hsm)?;
        Ok(Some(self.keep(&self.caches.credentials, &slot, Arc::new(credential))))
    }

    async fn first_use_of_credential(&self, id: &str) -> Result<Option<Arc<Credential>>, Refusal> {
        let found = {
            let _turn = self.strangers.acquire().await;
            self.records.find::<AccessKey>(id).await?
        };
        let Some(found) = found else { return Ok(None) };
        let account = found.value.account;
        self.caches.access_key_accounts.write().insert(id.into(), account);
        Box::pin(self.credential(id)).await
    }

    /// A hold-your-own-key store, its policy parsed and its credentials opened; none when there is no such store.
    pub(crate) async fn hyok_store(
        &self,
        account: AccountId,
        name: &HyokStoreName,
    ) -> Result<Option<Arc<HyokSnapshot>>, Refusal> {
        let slot = match self.look(&self.caches.hyok_stores, account, RecordKind::HyokStore, name.to_string()) {
            Look::Cached(store) => return Ok(Some(store)),
            Look::Missing(slot) => slot,
        };
        let Some(found) = self.records.get::<HyokStore>(account, name.as_str()).await? else { return Ok(None) };
        let policy = self.policies.store_policy(&found.value.policy)?;
        let account_keys = self.records.existing_account(account).await?;
        let snapshot = HyokSnapshot::open(found.value, policy, &account_keys, &self.records.hsm)?;
        Ok(Some(self.keep(&self.caches.hyok_stores, &slot, Arc::new(snapshot))))
    }

    /// Which hold-your-own-key store is found at a path.
    pub(crate) async fn hyok_path(&self, path: &StorePath) -> Result<Option<Arc<HyokPath>>, Refusal> {
        let account = AccountId::DEPLOYMENT;
        let slot = match self.look(&self.caches.hyok_paths, account, RecordKind::HyokPath, path.to_string()) {
            Look::Cached(path) => return Ok(Some(path)),
            Look::Missing(slot) => slot,
        };
        let found = {
            let _turn = self.strangers.acquire().await;
            self.records.get::<HyokPath>(account, path.as_str()).await?
        };
        let Some(found) = found else { return Ok(None) };
        Ok(Some(self.keep(&self.caches.hyok_paths, &slot, Arc::new(found.value))))
    }

    /// An account's record, if it is in the cache.
    pub(crate) fn cached_account(&self, account: AccountId) -> Option<Arc<Account>> {
        match self.look(&self.caches.accounts, AccountId::DEPLOYMENT, RecordKind::Account, account.to_string()) {
            Look::Cached(account) => Some(account),
            Look::Missing(_) => None,
        }
    }

    /// An account's record, from the cache or the store.
    pub(crate) async fn account_record(&self, account: AccountId) -> Result<Option<Arc<Account>>, Refusal> {
        let owner = AccountId::DEPLOYMENT;
        let slot = match self.look(&self.caches.accounts, owner, RecordKind::Account, account.to_string()) {
            Look::Cached(account) => return Ok(Some(account)),
            Look::Missing(slot) => slot,
        };
        let Some(found) = self.records.get::<Account>(owner, &slot.record.id).await? else { return Ok(None) };
        Ok(Some(self.keep(&self.caches.accounts, &slot, Arc::new(found.value))))
    }

    /// Looks into a cache, and notes the epoch of the record's shard for the read that follows when it is not there.
    fn look<V>(&self, cache: &Cache<V>, account: AccountId, kind: RecordKind, id: String) -> Look<V> {
        let record = RecordKey { account, kind, id };
        let shard = Shard::of(&record);
        let cache_id = cache_id(account, &record.id);
        match cache.get(shard, &cache_id, &self.freshness) {
            Some(value) => Look::Cached(value),
            None => Look::Missing(Slot { epoch: self.freshness.known(shard), record, shard, cache_id }),
        }
    }

    fn keep<V>(&self, cache: &Cache<V>, slot: &Slot, value: Arc<V>) -> Arc<V> {
        cache.insert(slot.shard, &slot.cache_id, slot.epoch, &value, &self.freshness);
        value
    }
}

/// What a cache said.
enum Look<V> {
    Cached(Arc<V>),
    Missing(Slot),
}

/// Where a snapshot will be kept once it has been read.
struct Slot {
    record: RecordKey,
    shard: Shard,
    cache_id: String,
    /// The shard's epoch before the read.
    epoch: u64,
}

/// What a snapshot is cached under: the account and the record's id.
pub(crate) fn cache_id(account: AccountId, record_id: &str) -> String {
    format!("{account}/{record_id}")
}

/// A resource of another Region is not served in this one, as in AWS.
fn check_region(caller: &Caller, region: &Region) -> Result<(), Refusal> {
    if *region == caller.request.region { Ok(()) } else { Err(Refusal::not_found(format!("Invalid arn {region}"))) }
}

/// What the caller is told of a key of another account that is missing or closed: the same in both cases.
pub(crate) fn hidden(caller: &Caller, action: &str, named: &str) -> Refusal {
    let denial = Denial::of_unknown_key(&caller.identity, action, named);
    Refusal::new(Kind::AccessDenied, denial.message).with_reason(denial.reason)
}

/// What the caller is told of a ciphertext whose key is missing, or is another account's and closed: the same in both cases.
pub(crate) fn hidden_by_ciphertext() -> Refusal {
    let detail = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not \
                  allowed to access.";
    Refusal::new(Kind::AccessDenied, detail).with_reason("the key that the ciphertext names does not exist")
}

/// Refuses a key of another account, whether it exists or not, where only the caller's own will do.
pub(crate) fn must_be_own(reference: &KeyReference, caller: &Caller, action: &str) -> Result<(), Refusal> {
    let owner = match reference {
        KeyReference::Arn(arn) => arn.account,
        KeyReference::AliasArn(arn) => arn.account,
        KeyReference::Id(_) | KeyReference::Alias(_) => return Ok(()),
    };
    if owner == caller.identity.account { Ok(()) } else { Err(hidden(caller, action, &reference.to_string())) }
}

/// A key of the caller's own account that is not there.
pub(crate) fn key_not_found(arn: &KeyArn) -> Refusal {
    Refusal::not_found(format!("Key '{arn}' does not exist"))
}

/// An alias of the caller's own account that is not there.
pub(crate) fn alias_not_found(arn: &AliasArn) -> Refusal {
    Refusal::not_found(format!("Alias {arn} is not found."))
}
