//! When each key and each access key was last used: a projection of the audit log, kept in memory and written out now and then. What a
//! crash loses of it is read again from the log at the next start.

use std::borrow::Cow;
use std::collections::HashMap;

use claviger_audit::bundle::Bundle;
use claviger_domain::key::LastUse;
use claviger_domain::{AccessKeyId, AccountId, Caller, KeyArn, KeyId, KeyReference, Refusal, Region, Timestamp};
use claviger_store::{Change, Commit, RecordKey, RecordKind, StoreError};
use parking_lot::Mutex;
use serde::Deserialize;
use uuid::Uuid;

use crate::operation::{Ask, Operation};
use crate::records::{LastUseRecord, Stored as _, Versioned, key_record_id, store_refusal};
use crate::service::Service;

/// The uses that are not written out yet.
pub(crate) struct LastUses {
    parts: Vec<Mutex<HashMap<Subject, Use>>>,
    /// The name of the store's fact that says where in the log the written-out projection ends.
    fact: String,
    /// The log's size at the last flush: by now every use before it has been noted.
    seen_until: Mutex<u64>,
}

/// What was used.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Subject {
    Key(AccountId, Region, KeyId),
    AccessKey(AccountId, AccessKeyId),
}

#[derive(Clone, PartialEq)]
struct Use {
    operation: Cow<'static, str>,
    at: Timestamp,
    event: Uuid,
    request: Uuid,
}

const PARTS: usize = 64;

/// The name of the fact that says where in a node's log the written-out projection ends.
pub(crate) fn fact_of(node: &str) -> String {
    format!("last-use-until:{node}")
}

/// How many records one commit writes: few, because requests that wait at the same time are in the same transaction of the store.
const FLUSH_COUNT: usize = 64;
/// How often it is tried when others write the same records.
const FLUSH_TRIES: usize = 8;
/// How many bundles one read of the log's tail takes.
const BUNDLE_COUNT: usize = 256;

impl LastUses {
    pub(crate) fn new(node: &str) -> Self {
        let parts = (0..PARTS).map(|_| Mutex::new(HashMap::new())).collect();
        Self { parts, fact: fact_of(node), seen_until: Mutex::new(0) }
    }

    fn note(&self, subject: Subject, new: Use) {
        let Some(part) = self.parts.get(subject.part()) else { return };
        let mut part = part.lock();
        if part.get(&subject).is_none_or(|known| known.at <= new.at) {
            part.insert(subject, new);
        }
    }

    fn get(&self, subject: &Subject) -> Option<LastUse> {
        self.parts.get(subject.part())?.lock().get(subject).map(Use::to_last_use)
    }

    fn forget(&self, subject: &Subject) {
        if let Some(part) = self.parts.get(subject.part()) {
            part.lock().remove(subject);
        }
    }

    /// A copy of what is not written out, part by part.
    fn unwritten(&self) -> impl Iterator<Item = Vec<(Subject, Use)>> {
        self.parts.iter().map(|part| part.lock().iter().map(|(subject, last)| (subject.clone(), last.clone())).collect())
    }

    /// Forgets what was written out, unless it was used again meanwhile.
    fn written(&self, uses: &[(Subject, Use)]) {
        for (subject, last) in uses {
            if let Some(part) = self.parts.get(subject.part()) {
                let mut part = part.lock();
                if part.get(subject) == Some(last) {
                    part.remove(subject);
                }
                if part.is_empty() {
                    // Many keys may have been used once and never again: the table that held them goes, too.
                    part.shrink_to_fit();
                }
            }
        }
    }
}

impl Subject {
    fn part(&self) -> usize {
        let byte = match self {
            Self::Key(_, _, key) => key.uuid().as_bytes().last().copied(),
            Self::AccessKey(_, id) => id.as_str().bytes().last(),
        };
        usize::from(byte.unwrap_or(0)) % PARTS
    }

    fn account(&self) -> AccountId {
        match self {
            Self::Key(account, ..) | Self::AccessKey(account, _) => *account,
        }
    }

    fn record_id(&self) -> String {
        match self {
            Self::Key(_, region, key) => key_record_id(region, *key),
            Self::AccessKey(_, id) => id.to_string(),
        }
    }

    /// The record of what was used.
    fn record_key(&self) -> RecordKey {
        let kind = match self {
            Self::Key(..) => RecordKind::Key,
            Self::AccessKey(..) => RecordKind::AccessKey,
        };
        RecordKey { account: self.account(), kind, id: self.record_id() }
    }
}

impl Use {
    fn to_last_use(&self) -> LastUse {
        LastUse {
            operation: self.operation.clone().into_owned(),
            at: self.at,
            event_id: self.event.to_string(),
            request_id: self.request.to_string(),
        }
    }
}

impl Service {
    /// Notes a request that succeeded, for its access key and for the keys it used.
    pub(crate) fn note_use<O: Operation>(&self, caller: &Caller, asks: &[Ask<'_>], event: Uuid) {
        let last = Use { operation: Cow::Borrowed(O::EVENT.name), at: caller.request.at, event, request: caller.request.id };
        if O::USES_KEYS {
            for snapshot in asks.iter().filter_map(|ask| ask.key) {
                let subject = Subject::Key(snapshot.key.account, snapshot.key.region.clone(), snapshot.key.id);
                self.last_uses.note(subject, last.clone());
            }
        }
        // Credentials of sessions are stored nowhere, and neither is their last use.
        if caller.identity.session.is_none() || caller.forwarding.is_some() {
            self.last_uses.note(Subject::AccessKey(caller.credential_account(), caller.access_key.clone()), last);
        }
    }

    /// The last use of a key.
    pub(crate) async fn last_use_of_key(
        &self,
        account: AccountId,
        region: &Region,
        key: KeyId,
    ) -> Result<Option<LastUse>, Refusal> {
        self.last_use(&Subject::Key(account, region.clone(), key)).await
    }

    /// The last use of an access key.
    pub(crate) async fn last_use_of_access_key(&self, account: AccountId, id: &AccessKeyId) -> Result<Option<LastUse>, Refusal> {
        self.last_use(&Subject::AccessKey(account, id.clone())).await
    }

    async fn last_use(&self, subject: &Subject) -> Result<Option<LastUse>, Refusal> {
        if let Some(last) = self.last_uses.get(subject) {
            return Ok(Some(last));
        }
        let record = self.records.get::<LastUseRecord>(subject.account(), &subject.record_id()).await?;
        Ok(record.map(|record| record.value.last))
    }

    /// The change that deletes the stored last use of something that is deleted itself, if there is one.
    pub(crate) async fn delete_last_use(&self, account: AccountId, subject: &str) -> Result<Option<Change>, Refusal> {
        let record = self.records.get::<LastUseRecord>(account, subject).await?;
        Ok(record.map(|record| self.records.delete(&record.value, record.version)))
    }

    /// Forgets the last use of a key that is gone.
    pub(crate) fn forget_use_of_key(&self, account: AccountId, region: &Region, key: KeyId) {
        self.last_uses.forget(&Subject::Key(account, region.clone(), key));
    }

    /// Forgets the last use of an access key that is gone.
    pub(crate) fn forget_use_of_access_key(&self, account: AccountId, id: &AccessKeyId) {
        self.last_uses.forget(&Subject::AccessKey(account, id.clone()));
    }

    /// Writes out what is in memory, and up to where in the log that reaches. Public so that tests need not wait for the background.
    ///
    /// # Errors
    /// When the store fails. What was not written out stays in memory, and in the log.
    pub async fn flush_last_uses(&self) -> Result<(), Refusal> {
        let head = self.records.store.log_head(&self.node).await.map_err(store_refusal)?;
        let size = head.map_or(0, |head| head.size);
        let until = std::mem::replace(&mut *self.last_uses.seen_until.lock(), size);
        for unwritten in self.last_uses.unwritten() {
            for uses in unwritten.chunks(FLUSH_COUNT) {
                self.write_out_all(uses).await?;
                self.last_uses.written(uses);
            }
        }
        self.records.store.set_fact(&self.last_uses.fact, &until.to_string()).await.map_err(store_refusal)
    }

    /// Writes out uses, again when another node has just written out one of the same thing.
    async fn write_out_all(&self, uses: &[(Subject, Use)]) -> Result<(), Refusal> {
        let mut tries = FLUSH_TRIES;
        loop {
            let mut commit = Commit::default();
            for (subject, last) in uses {
                commit.changes.extend(self.write_out(subject, last).await?);
            }
            if commit.changes.is_empty() {
                return Ok(());
            }
            match self.commit(commit).await {
                Err(StoreError::Conflict(_)) if tries > 1 => tries -= 1,
                done => return done.map_err(store_refusal),
            }
        }
    }

    /// The change that writes out a use; none when the store tells of a later one, or what was used is gone.
    async fn write_out(&self, subject: &Subject, last: &Use) -> Result<Option<Change>, Refusal> {
        let record = LastUseRecord { account: subject.account(), subject: subject.record_id(), last: last.to_last_use() };
        match self.records.get::<LastUseRecord>(record.account, &record.id()).await? {
            Some(stored) if stored.value.last.at > last.at => Ok(None),
            Some(Versioned { version, .. }) => self.records.update(&record, version).await.map(Some),
            // The log may tell of uses of what was deleted later.
            None => match self.records.store.get(&subject.record_key()).await.map_err(store_refusal)? {
                Some(_) => self.records.create(&record).await.map(Some),
                None => Ok(None),
            },
        }
    }

    /// Reads from the log what was used after the last flush of the process before this one.
    pub(crate) async fn recover_last_uses(&self) -> Result<(), Refusal> {
        let written = self.records.store.fact(&self.last_uses.fact).await.map_err(store_refusal)?;
        let mut next: u64 = written.and_then(|text| text.parse().ok()).unwrap_or(0);
        loop {
            let bundles = self.records.store.bundles(&self.node, next, BUNDLE_COUNT).await.map_err(store_refusal)?;
            let Some(last) = bundles.last() else { break };
            next = last.first + u64::from(last.count);
            for bundle in &bundles {
                let parsed = Bundle::parse(&bundle.data).map_err(|damage| {
                    tracing::error!(
                        first = bundle.first,
                        ?damage,
                        "a bundle of the audit log cannot be read; run 'claviger audit verify'"
                    );
                    Refusal::internal("The audit log is damaged. Run 'claviger audit verify'.")
                })?;
                for entry in parsed.entries() {
                    self.recover_from(entry.bytes);
                }
            }
        }
        *self.last_uses.seen_until.lock() = next;
        Ok(())
    }

    fn recover_from(&self, entry: &[u8]) {
        let Ok(LoggedUse { error_code: None, event_name, event_id, request_id, claviger, resources, user_identity }) =
            serde_json::from_slice(entry)
        else {
            return;
        };
        let (Some(event), Some(request)) = (event_id, request_id) else { return };
        let last = Use { operation: Cow::Owned(event_name), at: claviger.time_ms, event, request };
        if let (Some(account), Some(access_key)) = (user_identity.account_id, user_identity.access_key_id) {
            self.last_uses.note(Subject::AccessKey(account, access_key), last.clone());
        }
        if !crate::operations::kms::USING_KEYS.contains(&last.operation.as_ref()) {
            return;
        }
        for resource in resources {
            if let Ok(KeyReference::Arn(KeyArn { region, account, key })) = KeyReference::parse(&resource.arn) {
                self.last_uses.note(Subject::Key(account, region, key), last.clone());
            }
        }
    }
}

/// What of an entry tells of a use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedUse {
    #[serde(rename = "errorCode")]
    error_code: Option<serde::de::IgnoredAny>,
    event_name: String,
    #[serde(rename = "eventID")]
    event_id: Option<Uuid>,
    #[serde(rename = "requestID")]
    request_id: Option<Uuid>,
    claviger: LoggedTime,
    #[serde(default)]
    resources: Vec<LoggedResource>,
    user_identity: LoggedIdentity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedTime {
    time_ms: Timestamp,
}

#[derive(Deserialize)]
struct LoggedResource {
    #[serde(rename = "ARN")]
    arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedIdentity {
    account_id: Option<AccountId>,
    access_key_id: Option<AccessKeyId>,
}
