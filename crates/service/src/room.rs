//! Whether there is room for another of something that a quota limits.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use claviger_domain::key::Key;
use claviger_domain::{AccountId, Refusal, Region};
use claviger_store::RecordKind;
use parking_lot::Mutex;

use crate::clock::Moment;
use crate::quotas::check_room;
use crate::records::{key_record_id, store_refusal};
use crate::service::Service;

/// How many may be made in each place before they have to be counted again. Counting reads an index from end to end, so it is not done for each one
/// that is made: after a count, half of what is left, shared among the nodes, may be made without another one, for a while. The other half is for
/// whoever else makes some, and so that near the quota every one is counted.
pub(crate) struct Room<Place> {
    left: Mutex<HashMap<Place, Left>>,
}

struct Left {
    count: u64,
    until: Moment,
}

/// For how long a count is good, while other nodes may make some as well.
const COUNTED_FOR: Duration = Duration::from_secs(10);

/// How many places are remembered.
const REMEMBERED_MAX: usize = 4096;

impl<Place> Default for Room<Place> {
    fn default() -> Self {
        Self { left: Mutex::default() }
    }
}

impl<Place: Eq + Hash> Room<Place> {
    /// Uses one of those that are left, if there are any.
    fn take(&self, place: &Place) -> bool {
        let mut left = self.left.lock();
        let Some(known) = left.get_mut(place) else { return false };
        let some = known.count > 0 && Moment::now() < known.until;
        known.count = known.count.saturating_sub(1);
        some
    }

    /// There were so many when one was about to be made, on one of so many nodes.
    fn counted(&self, place: Place, quota: u64, usage: u64, nodes: u64) {
        let mut left = self.left.lock();
        if left.len() >= REMEMBERED_MAX {
            left.clear();
        }
        let count = quota.saturating_sub(usage + 1) / 2 / nodes.max(1);
        left.insert(place, Left { count, until: Moment::now().plus(COUNTED_FOR) });
    }
}

impl Service {
    /// The account must have room for another key. Keys that are made at the very same time are not counted by each other, so that they may
    /// exceed the quota together.
    ///
    /// # Errors
    /// `LimitExceeded` when it has as many as it may.
    pub(crate) async fn must_have_room_for_a_key(&self, account: AccountId, region: &Region) -> Result<(), Refusal> {
        let place = (account, region.clone());
        if self.room_for_keys.take(&place) {
            return Ok(());
        }
        let quota = self.quotas.of(account).resources.keys;
        let usage = self.records.store.count_in_scope(RecordKind::Key, account, region.as_str()).await.map_err(store_refusal)?;
        check_room("Key", quota, usage)?;
        self.room_for_keys.counted(place, quota, usage, self.heartbeats.count());
        Ok(())
    }

    /// The key must have room for another grant; as for keys.
    ///
    /// # Errors
    /// `LimitExceeded` when it has as many as it may.
    pub(crate) async fn must_have_room_for_a_grant(&self, key: &Key) -> Result<(), Refusal> {
        let scope = key_record_id(&key.region, key.id);
        let place = (key.account, scope.clone());
        if self.room_for_grants.take(&place) {
            return Ok(());
        }
        let quota = self.quotas.of(key.account).resources.grants_per_key;
        let usage = self.records.store.count_in_scope(RecordKind::Grant, key.account, &scope).await.map_err(store_refusal)?;
        check_room("Grants per key", quota, usage)?;
        self.room_for_grants.counted(place, quota, usage, self.heartbeats.count());
        Ok(())
    }
}
