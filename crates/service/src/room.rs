//! Whether there is room for another of something that a quota limits.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::time::Duration;

use claviger_domain::key::Key;
use claviger_domain::{AccountId, Refusal, Region};
use claviger_store::{RecordKind, StoreError};
use parking_lot::Mutex;

use crate::clock::Moment;
use crate::quotas::check_room;
use crate::records::{key_record_id, store_refusal};
use crate::service::Service;

/// How many may be made in each place before they have to be counted again. Counting reads an index from end to end, so it is not done for each one
/// that is made: after a count, half of what is left, shared among the nodes, may be made without another one, for a while. The other half is for
/// whoever else makes some, and so that near the quota every one is counted.
///
/// One counts at a time, and those who wait for it take from what was found: with hundreds of thousands of keys, sixty counts at once take all
/// processors for seconds.
pub(crate) struct Room<Place> {
    left: Mutex<HashMap<Place, Left>>,
    /// Whose turn it is to count, in as many lines, so that one place hardly ever waits for another.
    turns: [tokio::sync::Mutex<()>; LINES],
    lines: RandomState,
}

const LINES: usize = 16;

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
        Self { left: Mutex::default(), turns: std::array::from_fn(|_| tokio::sync::Mutex::default()), lines: RandomState::new() }
    }
}

impl<Place: Eq + Hash> Room<Place> {
    /// Finds room for one more: among those that are left, or by counting how many there are.
    ///
    /// # Errors
    /// `LimitExceeded` when there are as many as may be; when the store fails.
    async fn find(
        &self,
        place: Place,
        what: &str,
        quota: u64,
        nodes: u64,
        count: impl Future<Output = Result<u64, StoreError>>,
    ) -> Result<(), Refusal> {
        if self.take(&place) {
            return Ok(());
        }
        let line = usize::try_from(self.lines.hash_one(&place) % LINES as u64).unwrap_or_default();
        let _turn = match self.turns.get(line) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        // Perhaps somebody has counted meanwhile.
        if self.take(&place) {
            return Ok(());
        }
        let usage = count.await.map_err(store_refusal)?;
        check_room(what, quota, usage)?;
        self.counted(place, quota, usage, nodes);
        Ok(())
    }

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
        let quota = self.quotas.of(account).resources.keys;
        let count = self.records.store.count_in_scope(RecordKind::Key, account, region.as_str());
        self.room_for_keys.find((account, region.clone()), "Key", quota, self.heartbeats.count(), count).await
    }

    /// The key must have room for another grant; as for keys.
    ///
    /// # Errors
    /// `LimitExceeded` when it has as many as it may.
    pub(crate) async fn must_have_room_for_a_grant(&self, key: &Key) -> Result<(), Refusal> {
        let scope = key_record_id(&key.region, key.id);
        let quota = self.quotas.of(key.account).resources.grants_per_key;
        let count = self.records.store.count_in_scope(RecordKind::Grant, key.account, &scope);
        self.room_for_grants.find((key.account, scope), "Grants per key", quota, self.heartbeats.count(), count).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_at_once_are_counted_once_and_each_at_the_quota() {
        for (quota, counts, refused) in [(1_000_000, 1, 0), (7, 100, 100)] {
            let (room, counted) = (Arc::new(Room::default()), Arc::new(AtomicU64::new(0)));
            let mut requests = Vec::new();
            for _ in 0..100 {
                let (room, counted) = (Arc::clone(&room), Arc::clone(&counted));
                requests.push(tokio::spawn(async move {
                    let count = async {
                        tokio::task::yield_now().await;
                        counted.fetch_add(1, Ordering::Relaxed);
                        Ok(7)
                    };
                    room.find("place", "Key", quota, 1, count).await
                }));
            }
            let mut limited = 0;
            for request in requests {
                limited += u64::from(request.await.unwrap().is_err());
            }
            assert_eq!((counted.load(Ordering::Relaxed), limited), (counts, refused), "{quota}");
        }
    }
}
