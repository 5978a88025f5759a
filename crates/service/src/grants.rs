//! Grants in the store and in memory.
//!
//! A grant's record id is that of its key, a slash, and the grant's own, so that a key's grants lie together and in the key's shard. Two
//! clear columns find them: the scope names the key, the owner key and grantee. Beside it there may be two small records: one that finds
//! it by the request that made it, for named grants, and one in the account of its retiring principal, which finds it from there.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_audit::merkle::sha256;
use claviger_domain::ids::GrantId;
use claviger_domain::key::Key;
use claviger_domain::policy::{PrincipalName, names_in_grants};
use claviger_domain::{
    AccountId, Caller, Grant, GrantOperation, GrantPrincipal, KeyArn, KeyId, KeyReference, Kind, Refusal, Region,
};
use claviger_hsm::Hsm;
use claviger_store::{Change, List, RecordKey, RecordKind, Shard};
use lru::LruCache;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::operation::Ask;
use crate::records::{Stored, Versioned, key_record_id};
use crate::resolve::cache_id;
use crate::service::Service;

/// How many grants one commit deletes with their key. Each makes up to three changes, and an audit entry names them all.
const DELETED_TOGETHER: usize = 50;
/// How many grants are read at a time.
const PAGE: usize = 500;
/// Of how many grantees a key's grants are kept in memory.
const GRANTEES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
/// What grant tokens are sealed for.
const TOKEN: &str = "grant token";

/// A grant with the clear columns that find it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Grant", into = "Grant")]
pub(crate) struct StoredGrant {
    pub(crate) grant: Grant,
    scope: String,
    owner: String,
}

impl From<Grant> for StoredGrant {
    fn from(grant: Grant) -> Self {
        let scope = key_record_id(&grant.region, grant.key);
        let owner = held_by(&scope, &grant.terms.grantee);
        Self { grant, scope, owner }
    }
}

impl From<StoredGrant> for Grant {
    fn from(stored: StoredGrant) -> Self {
        stored.grant
    }
}

impl Stored for StoredGrant {
    const KIND: RecordKind = RecordKind::Grant;

    fn account(&self) -> AccountId {
        self.grant.account
    }

    fn id(&self) -> String {
        grant_record_id(&self.grant.region, self.grant.key, self.grant.id)
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    fn owner(&self) -> &str {
        &self.owner
    }
}

/// The record id of a grant.
pub(crate) fn grant_record_id(region: &Region, key: KeyId, grant: GrantId) -> String {
    format!("{region}/{key}/{grant}")
}

/// The owner column of a grantee's grants on a key.
pub(crate) fn held_by(key: &str, grantee: &GrantPrincipal) -> String {
    format!("{key}/{grantee}")
}

/// Which grant a named request has made.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GrantName {
    account: AccountId,
    region: Region,
    key: KeyId,
    /// The digest of the request.
    request: String,
    pub(crate) grant: GrantId,
}

impl Stored for GrantName {
    const KIND: RecordKind = RecordKind::GrantName;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        format!("{}/{}", key_record_id(&self.region, self.key), self.request)
    }
}

/// A grant as its retiring principal finds it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GrantRetirement {
    /// The account of the retiring principal; the deployment's own for a service.
    retiring_account: AccountId,
    /// Region and retiring principal.
    by: String,
    /// The account that owns the key.
    pub(crate) key_owner: AccountId,
    pub(crate) region: Region,
    pub(crate) key: KeyId,
    pub(crate) grant: GrantId,
}

impl Stored for GrantRetirement {
    const KIND: RecordKind = RecordKind::GrantRetirement;

    fn account(&self) -> AccountId {
        self.retiring_account
    }

    fn id(&self) -> String {
        format!("{}/{}/{}/{}", self.region, self.key_owner, self.key, self.grant)
    }

    fn owner(&self) -> &str {
        &self.by
    }
}

impl GrantRetirement {
    /// The entry for a grant's retiring principal; none where it has no such principal.
    fn of(grant: &Grant) -> Option<Self> {
        let retiring = grant.terms.retiring.as_ref()?;
        Some(Self {
            retiring_account: holder_of(retiring)?,
            by: retired_by(&grant.region, retiring),
            key_owner: grant.account,
            region: grant.region.clone(),
            key: grant.key,
            grant: grant.id,
        })
    }
}

/// The owner column of the grants that a principal may retire in a Region.
pub(crate) fn retired_by(region: &Region, principal: &GrantPrincipal) -> String {
    format!("{region}/{principal}")
}

/// In which account the entries of a retiring principal are.
pub(crate) fn holder_of(principal: &GrantPrincipal) -> Option<AccountId> {
    match principal {
        GrantPrincipal::Principal(arn) => PrincipalName::parse_arn(arn)?.account(),
        GrantPrincipal::Service(_) => Some(AccountId::DEPLOYMENT),
    }
}

/// The digest that two requests share which ask for the same grant under the same name.
fn request_digest(grant: &Grant) -> Result<Option<String>, Refusal> {
    let Some(name) = &grant.name else { return Ok(None) };
    let request = serde_json::to_vec(&(name, grant.issuing_account, &grant.terms));
    let request = request.map_err(|_| Refusal::internal("A grant could not be serialized."))?;
    Ok(Some(hex::encode(sha256(&request).0)))
}

/// What is in memory of the grants on one key: those of the principals that were asked for, also where there are none.
///
/// An entry of the cache is dropped whenever a grant of its key changes, and with it everything that was read into it: what a request
/// reads from the store late cannot reach those that come after the change.
pub(crate) struct KeyGrants {
    by_grantee: Mutex<LruCache<GrantPrincipal, Arc<[Grant]>>>,
}

impl KeyGrants {
    fn new() -> Self {
        // Unbounded at birth, as that makes room for nothing yet.
        let mut by_grantee = LruCache::unbounded();
        by_grantee.resize(GRANTEES_MAX);
        Self { by_grantee: Mutex::new(by_grantee) }
    }
}

impl Service {
    /// The grants that could allow what is asked for: those on the key whose grantee is the caller or its account.
    pub(crate) async fn grants_held(&self, caller: &Caller, ask: &Ask<'_>) -> Result<Vec<Arc<[Grant]>>, Refusal> {
        let (Some(snapshot), Some(_)) = (ask.key, GrantOperation::of_action(ask.action)) else { return Ok(Vec::new()) };
        let mut held = Vec::new();
        for name in names_in_grants(&caller.identity) {
            let grants = self.grants_of(&snapshot.key, name).await?;
            if !grants.is_empty() {
                held.push(grants);
            }
        }
        Ok(held)
    }

    /// A grantee's grants on a key, from the cache or the store.
    async fn grants_of(&self, key: &Key, grantee: GrantPrincipal) -> Result<Arc<[Grant]>, Refusal> {
        let known = self.key_grants(key);
        if let Some(grants) = known.by_grantee.lock().get(&grantee) {
            return Ok(Arc::clone(grants));
        }
        let grants: Arc<[Grant]> = self.read_grants_of(key, &grantee).await?.into();
        known.by_grantee.lock().put(grantee, Arc::clone(&grants));
        Ok(grants)
    }

    /// What is known of a key's grants, which may be nothing yet.
    fn key_grants(&self, key: &Key) -> Arc<KeyGrants> {
        let id = key_record_id(&key.region, key.id);
        let cached_as = cache_id(key.account, &id);
        let shard = Shard::of(&RecordKey { account: key.account, kind: RecordKind::Key, id });
        if let Some(known) = self.caches.grants.get(shard, &cached_as, &self.freshness) {
            return known;
        }
        let epoch = self.freshness.known(shard);
        let known = Arc::new(KeyGrants::new());
        self.caches.grants.insert(shard, &cached_as, epoch, &known, &self.freshness);
        known
    }

    /// One of each kind of grant is enough to decide by.
    async fn read_grants_of(&self, key: &Key, grantee: &GrantPrincipal) -> Result<Vec<Grant>, Refusal> {
        let owner = held_by(&key_record_id(&key.region, key.id), grantee);
        let (mut grants, mut kinds) = (Vec::new(), HashSet::new());
        let mut after: Option<String> = None;
        loop {
            let list = List {
                account: key.account,
                kind: RecordKind::Grant,
                scope: None,
                owner: Some(&owner),
                after: after.as_deref(),
                limit: PAGE,
            };
            let page = self.records.list::<StoredGrant>(list).await?;
            let last = page.last().filter(|_| page.len() == PAGE).map(|last| last.value.id());
            for Versioned { value: StoredGrant { grant, .. }, .. } in page {
                if kinds.insert((grant.terms.operations.clone(), grant.terms.constraints.clone())) {
                    grants.push(grant);
                }
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(grants),
            }
        }
    }

    /// A grant on a key, straight from the store.
    pub(crate) async fn stored_grant(&self, key: &Key, grant: GrantId) -> Result<Option<Versioned<StoredGrant>>, Refusal> {
        self.records.get::<StoredGrant>(key.account, &grant_record_id(&key.region, key.id, grant)).await
    }

    /// The grant that the same request under the same name has made before.
    pub(crate) async fn same_grant(&self, key: &Key, grant: &Grant) -> Result<Option<GrantId>, Refusal> {
        let Some(request) = request_digest(grant)? else { return Ok(None) };
        let id = format!("{}/{request}", key_record_id(&key.region, key.id));
        Ok(self.records.get::<GrantName>(key.account, &id).await?.map(|found| found.value.grant))
    }

    /// The changes that store a new grant, if its key is still as it was at this version.
    pub(crate) async fn add_grant(&self, grant: Grant, key_version: u64) -> Result<Vec<Change>, Refusal> {
        let id = key_record_id(&grant.region, grant.key);
        let key = RecordKey { account: grant.account, kind: RecordKind::Key, id };
        let mut changes = vec![Change::Check { key, version: key_version }];
        if let Some(request) = request_digest(&grant)? {
            let (account, region, key) = (grant.account, grant.region.clone(), grant.key);
            changes.push(self.records.create(&GrantName { account, region, key, request, grant: grant.id }).await?);
        }
        if let Some(retirement) = GrantRetirement::of(&grant) {
            changes.push(self.records.create(&retirement).await?);
        }
        changes.push(self.records.create(&StoredGrant::from(grant)).await?);
        Ok(changes)
    }

    /// The changes that delete a grant.
    pub(crate) async fn delete_grant(&self, stored: &Versioned<StoredGrant>) -> Result<Vec<Change>, Refusal> {
        let Versioned { value: stored, version } = stored;
        let mut changes = vec![self.records.delete(stored, *version)];
        if let Some(request) = request_digest(&stored.grant)? {
            let id = format!("{}/{request}", stored.scope);
            let found = self.records.get::<GrantName>(stored.grant.account, &id).await?;
            changes.extend(found.map(|name| self.records.delete(&name.value, name.version)));
        }
        if let Some(retirement) = GrantRetirement::of(&stored.grant) {
            let found = self.records.get::<GrantRetirement>(retirement.retiring_account, &retirement.id()).await?;
            changes.extend(found.map(|found| self.records.delete(&found.value, found.version)));
        }
        Ok(changes)
    }

    /// The changes that delete some of a key's grants, and whether there are more.
    pub(crate) async fn delete_some_grants(&self, key: &Key) -> Result<(Vec<Change>, bool), Refusal> {
        let scope = key_record_id(&key.region, key.id);
        let list = List {
            account: key.account,
            kind: RecordKind::Grant,
            scope: Some(&scope),
            owner: None,
            after: None,
            limit: DELETED_TOGETHER + 1,
        };
        let page = self.records.list::<StoredGrant>(list).await?;
        let mut changes = Vec::new();
        for grant in page.iter().take(DELETED_TOGETHER) {
            changes.extend(self.delete_grant(grant).await?);
        }
        Ok((changes, page.len() > DELETED_TOGETHER))
    }

    /// Refuses grant tokens that this deployment did not give out. A token adds nothing to what the caller may do: a grant is known
    /// everywhere within the lease. So one that is not about this caller or key, or whose grant is gone, is as good as none.
    pub(crate) fn check_grant_tokens(&self, caller: &Caller) -> Result<(), Refusal> {
        caller.grant_tokens.iter().try_for_each(|token| open_token(self.hsm(), token).map(drop))
    }
}

/// A token for a grant, another one each time.
pub(crate) fn seal_token(hsm: &Hsm, key: &KeyArn, grant: GrantId) -> Result<String, Refusal> {
    let sealed = hsm.seal_token(TOKEN, format!("{key}\0{grant}").as_bytes())?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// The grant that a token is for.
///
/// # Errors
/// `InvalidGrantToken` for whatever this deployment did not give out.
pub(crate) fn open_token(hsm: &Hsm, token: &str) -> Result<(KeyArn, GrantId), Refusal> {
    let read = || {
        let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let text = String::from_utf8(hsm.open_token(TOKEN, &sealed).ok()?).ok()?;
        let (key, grant) = text.split_once('\0')?;
        match KeyReference::parse(key).ok()? {
            KeyReference::Arn(arn) => Some((arn, grant.parse().ok()?)),
            _ => None,
        }
    };
    read().ok_or_else(|| Refusal::new(Kind::InvalidGrantToken, "The grant token is not valid."))
}
