//! BreakGlass: stops the use of a key through a store, of a whole store, or of every store of one cloud, in one commit; or allows it again. Nodes
//! that have the store in memory stop within the lease, as with every other change.

use claviger_domain::hyok::{Cloud, CutOff, HyokPath, HyokStore};
use claviger_domain::key::LastUse;
use claviger_domain::{AccountId, Caller, ExternalKeyId, HyokStoreName, KeyArn, Refusal, StorePath};
use claviger_store::{List, RecordKind};
use serde_json::json;

use super::{administered_account, ask_to_administer};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::records::Versioned;
use crate::service::Service;

/// The request.
pub struct BreakGlass {
    /// The account; the caller's when absent, and every account when the administrator stops a whole cloud.
    pub account: Option<AccountId>,
    /// What is meant.
    pub scope: Scope,
    /// Whether to allow it again.
    pub restore: bool,
    /// Whether to change nothing, and only tell what would be.
    pub dry_run: bool,
    /// Why, for those who look into it later.
    pub reason: String,
}

/// What is cut off.
pub enum Scope {
    /// One key behind a store.
    Key(HyokStoreName, ExternalKeyId),
    /// A store.
    Store(HyokStoreName),
    /// Every store for a cloud.
    Cloud(Cloud),
}

/// The answer: what fails from now on, or would, or works again.
pub struct GlassReport {
    /// The stores that are meant.
    pub stores: Vec<AffectedStore>,
}

/// A store that is meant, or of which a key is.
pub struct AffectedStore {
    /// Its account.
    pub account: AccountId,
    /// Its name.
    pub name: HyokStoreName,
    /// Its path.
    pub path: StorePath,
    /// Whether this request changes anything about it: it may have been in that state already.
    pub changes: bool,
    /// The keys that are meant.
    pub keys: Vec<AffectedKey>,
}

/// A key that is meant.
pub struct AffectedKey {
    /// What the cloud calls it.
    pub id: ExternalKeyId,
    /// Its ARN.
    pub arn: KeyArn,
    /// When it was last used, through this store or otherwise.
    pub last_use: Option<LastUse>,
    /// How many uses through this store there were in the last minute, as far as the node knows that answers.
    pub uses_in_last_minute: u64,
}

/// Whose stores are meant.
pub enum Whose {
    /// This account's.
    Account(AccountId),
    /// Everybody's.
    All,
}

/// How many paths one read takes.
const PAGE: usize = 500;

impl Operation for BreakGlass {
    const EVENT: Event = Event::admin("BreakGlass", false);
    type Target = Whose;
    type Output = GlassReport;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<Whose, Refusal> {
        let administrator = caller.identity.account == AccountId::DEPLOYMENT;
        if administrator && self.account.is_none() && matches!(self.scope, Scope::Cloud(_)) {
            return Ok(Whose::All);
        }
        administered_account(service, caller, self.account).await.map(Whose::Account)
    }

    fn demands<'a>(&'a self, caller: &'a Caller, target: &'a Whose) -> Vec<Ask<'a>> {
        let action = if self.restore { "claviger:RestoreGlass" } else { "claviger:BreakGlass" };
        vec![match target {
            Whose::Account(account) => ask_to_administer(action, caller, *account),
            Whose::All => Ask::resource(action, "*".to_owned(), AccountId::DEPLOYMENT),
        }]
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &Whose,
        _: Allowed<Self>,
    ) -> Result<Effect<GlassReport>, Refusal> {
        let (mut stores, mut changes) = (Vec::new(), Vec::new());
        for mut found in self.meant(service, target).await? {
            let store = &mut found.value;
            let key = match &self.scope {
                Scope::Key(_, key) => Some(key),
                Scope::Store(_) | Scope::Cloud(_) => None,
            };
            let keys = affected_keys(service, store, key, caller).await?;
            let changed = if self.restore {
                store.restore(key)?
            } else {
                let by = caller.identity.arn.clone();
                store.cut_off(key, CutOff { at: caller.request.at, by, reason: self.reason.clone() })?
            };
            if changed && !self.dry_run {
                changes.push(service.records.update(store, found.version).await?);
            }
            let (account, name, path) = (store.account, store.name.clone(), store.path.clone());
            stores.push(AffectedStore { account, name, path, changes: changed, keys });
        }
        Ok(Effect::change(GlassReport { stores }, changes))
    }

    fn parameters(&self) -> Parameters<'_> {
        let (scope, store, key, cloud) = match &self.scope {
            Scope::Key(store, key) => ("key", Some(store.as_str()), Some(key.as_str()), None),
            Scope::Store(store) => ("store", Some(store.as_str()), None, None),
            Scope::Cloud(cloud) => ("cloud", None, None, Some(cloud.as_str())),
        };
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            cloud,
            dry_run: self.dry_run,
            external_key_id: key,
            reason: Some(&self.reason),
            restore: self.restore,
            scope: Some(scope),
            store_name: store,
            ..Parameters::default()
        }
    }

    fn response_elements(report: &GlassReport) -> Option<serde_json::Value> {
        let changed = report.stores.iter().filter(|store| store.changes);
        let stores: Vec<_> = changed.map(|store| format!("{}/{}", store.account, store.name)).collect();
        Some(json!({"changedStores": stores}))
    }
}

impl BreakGlass {
    /// The stores that are meant, as they are now.
    async fn meant(&self, service: &Service, whose: &Whose) -> Result<Vec<Versioned<HyokStore>>, Refusal> {
        match (&self.scope, whose) {
            (Scope::Key(store, _) | Scope::Store(store), Whose::Account(account)) => {
                Ok(vec![service.existing_hyok_store(*account, store).await?])
            }
            (Scope::Key(..) | Scope::Store(_), Whose::All) => {
                Err(Refusal::invalid("Name the account of the key store that is meant."))
            }
            (Scope::Cloud(cloud), whose) => stores_for(service, *cloud, whose).await,
        }
    }
}

/// Every store for a cloud, of one account or of all.
async fn stores_for(service: &Service, cloud: Cloud, whose: &Whose) -> Result<Vec<Versioned<HyokStore>>, Refusal> {
    let (mut stores, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = List {
            account: AccountId::DEPLOYMENT,
            kind: RecordKind::HyokPath,
            scope: None,
            owner: None,
            after: after.as_deref(),
            limit: PAGE,
        };
        let paths = service.records.list::<HyokPath>(page).await?;
        let more = paths.len() == PAGE;
        for path in paths {
            let HyokPath { path, account, store } = path.value;
            let meant = match whose {
                Whose::All => true,
                Whose::Account(whose) => *whose == account,
            };
            if meant && let Some(found) = service.records.get::<HyokStore>(account, store.as_str()).await? {
                stores.extend(Some(found).filter(|found| found.value.cloud == cloud));
            }
            after = Some(path.to_string());
        }
        if !more {
            return Ok(stores);
        }
    }
}

/// The keys of a store that can be used until it is cut off; or the one that is meant.
async fn affected_keys(
    service: &Service,
    store: &HyokStore,
    only: Option<&ExternalKeyId>,
    caller: &Caller,
) -> Result<Vec<AffectedKey>, Refusal> {
    let mut keys = Vec::new();
    for (id, external) in store.keys.iter().filter(|(id, _)| only.is_none_or(|only| only == *id)) {
        let arn = KeyArn { region: external.region.clone(), account: store.account, key: external.key };
        keys.push(AffectedKey {
            last_use: service.last_use_of_key(store.account, &external.region, external.key).await?,
            uses_in_last_minute: service.store_meters.in_last_minute(store, id, caller.request.at),
            id: id.clone(),
            arn,
        });
    }
    Ok(keys)
}
