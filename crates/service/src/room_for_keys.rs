//! Whether an account may have another key in a Region.

use std::collections::HashMap;

use claviger_domain::{AccountId, Refusal, Region};
use claviger_store::RecordKind;
use parking_lot::Mutex;

use crate::quotas::check_room;
use crate::records::store_refusal;
use crate::service::Service;

/// How many keys may be made before they have to be counted again. Counting reads an index from end to end, so it is not done for each key:
/// after a count, half of what is left may be made without another one. The other half is for whoever else makes keys, and so that near the
/// quota every key is counted.
#[derive(Default)]
pub(crate) struct RoomForKeys {
    left: Mutex<HashMap<(AccountId, Region), u64>>,
}

/// How many accounts and Regions are remembered.
const REMEMBERED_MAX: usize = 4096;

impl RoomForKeys {
    /// Uses one of those that are left, if there are any.
    fn take(&self, account: AccountId, region: &Region) -> bool {
        let mut left = self.left.lock();
        let Some(count) = left.get_mut(&(account, region.clone())) else { return false };
        let some = *count > 0;
        *count = count.saturating_sub(1);
        some
    }

    fn set(&self, account: AccountId, region: &Region, count: u64) {
        let mut left = self.left.lock();
        if left.len() >= REMEMBERED_MAX {
            left.clear();
        }
        left.insert((account, region.clone()), count);
    }
}

impl Service {
    /// The account must have room for another key. Keys that are made at the very same time are not counted by each other, so that they may
    /// exceed the quota together.
    ///
    /// # Errors
    /// `LimitExceeded` when it has as many as it may.
    pub(crate) async fn must_have_room_for_a_key(&self, account: AccountId, region: &Region) -> Result<(), Refusal> {
        if self.room_for_keys.take(account, region) {
            return Ok(());
        }
        let quota = self.quotas.of(account).resources.keys;
        let usage = self.records.store.count_in_scope(RecordKind::Key, account, region.as_str()).await.map_err(store_refusal)?;
        check_room("Key", quota, usage)?;
        self.room_for_keys.set(account, region, quota.saturating_sub(usage + 1) / 2);
        Ok(())
    }
}
