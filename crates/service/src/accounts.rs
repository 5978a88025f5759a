//! Account keys, opened once and kept.

use std::collections::HashMap;
use std::sync::Arc;

use claviger_domain::{AccountId, Refusal};
use claviger_hsm::{AccountKey, Hsm};
use claviger_store::{Change, Expect, List, Record, RecordKey, RecordKind, Store};
use parking_lot::RwLock;

/// The opened keys of all accounts that were asked for.
pub(crate) struct AccountKeys {
    opened: RwLock<HashMap<AccountId, Arc<Versions>>>,
}

/// All versions of one account's key.
pub(crate) struct Versions {
    by_version: Vec<(u32, AccountKey)>,
}

impl Versions {
    /// The version that seals: the newest.
    pub(crate) fn current(&self) -> Result<&AccountKey, Refusal> {
        self.by_version.last().map(|(_, key)| key).ok_or_else(|| Refusal::internal("The account has no key."))
    }

    /// The version that sealed an old record.
    pub(crate) fn version(&self, version: u32) -> Option<&AccountKey> {
        self.by_version.iter().find(|(number, _)| *number == version).map(|(_, key)| key)
    }
}

impl AccountKeys {
    pub(crate) fn new() -> Self {
        Self { opened: RwLock::new(HashMap::new()) }
    }

    /// The account's keys; none when there is no such account.
    pub(crate) async fn get(&self, account: AccountId, hsm: &Hsm, store: &dyn Store) -> Result<Option<Arc<Versions>>, Refusal> {
        if let Some(versions) = self.opened.read().get(&account) {
            return Ok(Some(Arc::clone(versions)));
        }
        let list = List { account, kind: RecordKind::AccountKey, scope: None, owner: None, after: None, limit: 10_000 };
        let records = store.list(list).await.map_err(super::records::store_refusal)?;
        let mut by_version = Vec::with_capacity(records.len());
        for record in records {
            let version = record.key.id.parse().map_err(|_| Refusal::internal("An account key's version is not a number."))?;
            by_version.push((version, hsm.open_account_key(account, version, &record.sealed)?));
        }
        if by_version.is_empty() {
            return Ok(None);
        }
        by_version.sort_by_key(|(version, _)| *version);
        let versions = Arc::new(Versions { by_version });
        self.opened.write().insert(account, Arc::clone(&versions));
        Ok(Some(versions))
    }
}

/// A new account's first key: the opened key, and the change that stores it.
pub(crate) fn create_account_key(hsm: &Hsm, account: AccountId) -> Result<(AccountKey, Change), Refusal> {
    const FIRST: u32 = 1;
    let sealed = hsm.create_account_key(account, FIRST)?;
    let key = hsm.open_account_key(account, FIRST, &sealed)?;
    let record = Record {
        key: RecordKey { account, kind: RecordKind::AccountKey, id: FIRST.to_string() },
        version: 1,
        account_key_version: 0,
        scope: String::new(),
        owner: String::new(),
        due: None,
        sealed: sealed.into(),
    };
    Ok((key, Change::Put { record, expect: Expect::Absent }))
}
