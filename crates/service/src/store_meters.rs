//! How often each hold-your-own-key store asks: its rate limit, and what is known of the last minutes, in the memory of this node.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_domain::hyok::HyokStore;
use claviger_domain::{AccountId, ExternalKeyId, HyokStoreName, Kind, Refusal, Timestamp};
use metrics::counter;
use parking_lot::{Mutex, RwLock};

use crate::quotas::Rate;
use crate::throttle::{NS_PER_MS, take};

/// The meters of the stores that asked since this node started.
#[derive(Default)]
pub(crate) struct StoreMeters {
    stores: RwLock<HashMap<(AccountId, HyokStoreName), Arc<StoreMeter>>>,
}

/// One store's.
#[derive(Default)]
struct StoreMeter {
    /// When its bucket will be full again, in nanoseconds.
    bucket: AtomicU64,
    /// Nanoseconds between two requests; zero for no limit.
    interval_ns: AtomicU64,
    /// Uses of the keys behind it.
    uses: Mutex<HashMap<ExternalKeyId, Recent>>,
}

/// How many uses there were in the minute of the last one, and in the one before.
#[derive(Clone, Copy, Default)]
struct Recent {
    minute: i64,
    this: u64,
    before: u64,
}

const MINUTE_MS: i64 = 60_000;
const SECOND_NS: u64 = 1_000_000_000;

impl StoreMeters {
    /// Notes which rate a store has.
    pub(crate) fn know(&self, store: &HyokStore) {
        let interval = store.requests_per_second.map_or(0, |rate| SECOND_NS / u64::from(rate.max(1)));
        if let Some(meter) = self.of(store.account, &store.name) {
            return meter.interval_ns.store(interval, Ordering::Relaxed);
        }
        let meter = StoreMeter { interval_ns: AtomicU64::new(interval), ..StoreMeter::default() };
        self.stores.write().entry((store.account, store.name.clone())).or_insert_with(|| Arc::new(meter));
    }

    /// Takes one request of a store from its bucket.
    pub(crate) fn take(&self, account: AccountId, store: &HyokStoreName, at: Timestamp) -> Result<(), Refusal> {
        let Some(meter) = self.of(account, store) else { return Ok(()) };
        let interval_ns = meter.interval_ns.load(Ordering::Relaxed);
        let now = u64::try_from(at.0).unwrap_or(0).saturating_mul(NS_PER_MS);
        if interval_ns == 0 || take(&meter.bucket, now, Rate { interval_ns }) {
            return Ok(());
        }
        counter!("claviger_throttled_total", "quota" => "hyok_store").increment(1);
        let detail = "This key store has used up its rate. Reduce the frequency of your calls.";
        Err(Refusal::new(Kind::Throttled, detail).with_reason("the rate of the key store is used up"))
    }

    /// Notes a use of a key behind a store.
    pub(crate) fn note(&self, store: &HyokStore, key: &ExternalKeyId, at: Timestamp) {
        let Some(meter) = self.of(store.account, &store.name) else { return };
        let mut uses = meter.uses.lock();
        if uses.len() > 2 * HyokStore::KEYS_MAX {
            // Keys that came and went: those that stand are noted again at their next use.
            uses.clear();
        }
        match uses.get_mut(key) {
            Some(recent) => recent.note(at),
            None => uses.entry(key.clone()).or_default().note(at),
        }
    }

    /// How many uses of a key there were through a store in the last whole minute, as far as this node knows.
    pub(crate) fn in_last_minute(&self, store: &HyokStore, key: &ExternalKeyId, now: Timestamp) -> u64 {
        let recent = self.of(store.account, &store.name).and_then(|meter| meter.uses.lock().get(key).copied());
        recent.map_or(0, |recent| recent.in_last_minute(now))
    }

    fn of(&self, account: AccountId, store: &HyokStoreName) -> Option<Arc<StoreMeter>> {
        self.stores.read().get(&(account, store.clone())).cloned()
    }
}

impl Recent {
    fn note(&mut self, at: Timestamp) {
        let minute = at.0.div_euclid(MINUTE_MS);
        if minute != self.minute {
            self.before = if minute == self.minute + 1 { self.this } else { 0 };
            self.this = 0;
            self.minute = minute;
        }
        self.this += 1;
    }

    /// The whole minute before this one; or the one under way, where there were more in it.
    fn in_last_minute(&self, now: Timestamp) -> u64 {
        match now.0.div_euclid(MINUTE_MS) - self.minute {
            0 => self.before.max(self.this),
            1 => self.this,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_told_by_the_minute() {
        let mut recent = Recent::default();
        let start = Timestamp(1_795_344_780_000);
        (0..5).for_each(|step| recent.note(start.plus_ms(step * 1000)));
        assert_eq!(recent.in_last_minute(start.plus_ms(30_000)), 5);
        recent.note(start.plus_ms(MINUTE_MS));
        assert_eq!(recent.in_last_minute(start.plus_ms(MINUTE_MS)), 5, "the whole minute before");
        assert_eq!(recent.in_last_minute(start.plus_ms(2 * MINUTE_MS)), 1);
        assert_eq!(recent.in_last_minute(start.plus_ms(3 * MINUTE_MS)), 0);
        recent.note(start.plus_ms(10 * MINUTE_MS));
        assert_eq!(recent.in_last_minute(start.plus_ms(10 * MINUTE_MS)), 1);
    }
}
