//! A bounded cache of snapshots that never serves what a change has overtaken.

use std::sync::Arc;

use claviger_store::Shard;
use lru::LruCache;
use parking_lot::Mutex;
use std::num::NonZeroUsize;

use crate::freshness::Freshness;

/// Snapshots by record id, in as many separately locked parts as the store has shards.
pub(crate) struct Cache<V> {
    parts: Vec<Mutex<Part<V>>>,
    /// About how many bytes a snapshot takes, and how many each part may.
    weigh: fn(&V) -> usize,
    weight_max: usize,
}

struct Part<V> {
    cached: LruCache<Box<str>, Cached<V>>,
    weight: usize,
}

impl<V> Part<V> {
    fn pop(&mut self, id: &str) {
        if let Some(gone) = self.cached.pop(id) {
            self.weight = self.weight.saturating_sub(gone.weight);
        }
    }
}

struct Cached<V> {
    weight: usize,
    /// The shard's epoch that was known before the value was read from the store.
    epoch: u64,
    value: Arc<V>,
}

impl<V> Cache<V> {
    /// A cache for about `capacity` snapshots.
    pub(crate) fn new(capacity: usize) -> Self {
        Self::weighed(capacity, |_| 0, usize::MAX)
    }

    /// The same for snapshots that take very different amounts of memory: all together about `weight_max` bytes at most.
    pub(crate) fn weighed(capacity: usize, weigh: fn(&V) -> usize, weight_max: usize) -> Self {
        let each = NonZeroUsize::new(capacity / Shard::COUNT).unwrap_or(NonZeroUsize::MIN);
        // Unbounded at birth so that an idle server does not pay for the whole table; `insert` keeps the bound.
        let part = || Part { cached: LruCache::unbounded(), weight: 0 };
        let parts = (0..Shard::COUNT).map(|_| Mutex::new(part())).collect::<Vec<_>>();
        for part in &parts {
            part.lock().cached.resize(each);
        }
        Self { parts, weigh, weight_max: weight_max / Shard::COUNT }
    }

    /// The snapshot, if it is here and fresh.
    pub(crate) fn get(&self, shard: Shard, id: &str, freshness: &Freshness) -> Option<Arc<V>> {
        let mut part = self.parts.get(shard.number())?.lock();
        let cached = part.cached.get(id)?;
        if freshness.holds(shard, cached.epoch) {
            return Some(Arc::clone(&cached.value));
        }
        part.pop(id);
        None
    }

    /// Keeps a snapshot that was read after noting `epoch`, unless the shard has changed meanwhile: then nobody knows on which side of the
    /// change the read fell.
    pub(crate) fn insert(&self, shard: Shard, id: &str, epoch: u64, value: &Arc<V>, freshness: &Freshness) {
        let Some(part) = self.parts.get(shard.number()) else { return };
        let mut part = part.lock();
        if freshness.known(shard) == epoch {
            part.pop(id);
            let weight = (self.weigh)(value);
            // `push` tells what it drops to make room.
            if let Some((_, gone)) = part.cached.push(id.into(), Cached { weight, epoch, value: Arc::clone(value) }) {
                part.weight = part.weight.saturating_sub(gone.weight);
            }
            part.weight += weight;
            while part.weight > self.weight_max
                && let Some((_, gone)) = part.cached.pop_lru()
            {
                part.weight = part.weight.saturating_sub(gone.weight);
            }
        }
    }

    /// Forgets a snapshot. Called after the new epoch is known and before the change is acknowledged.
    pub(crate) fn evict(&self, shard: Shard, id: &str) {
        if let Some(part) = self.parts.get(shard.number()) {
            part.lock().pop(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use claviger_store::Epochs;

    use super::*;
    use crate::clock::Moment;

    fn shard() -> Shard {
        Shard::from_number(7).unwrap()
    }

    fn at(epoch: u64) -> Epochs {
        [epoch; Shard::COUNT]
    }

    fn fresh(epoch: u64) -> Freshness {
        Freshness::new(&at(epoch), Moment::now(), 0, Duration::from_secs(1))
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let (cache, freshness) = (Cache::new(1024), fresh(5));
        let noted = freshness.known(shard());
        // The reader reads; the writer's change becomes durable and known, and evicts; only then the reader comes to keep what it read.
        freshness.committed(&[(shard(), 6)]);
        cache.evict(shard(), "key");
        cache.insert(shard(), "key", noted, &Arc::new("old"), &freshness);
        assert!(cache.get(shard(), "key", &freshness).is_none());
        cache.insert(shard(), "key", freshness.known(shard()), &Arc::new("new"), &freshness);
        assert_eq!(*cache.get(shard(), "key", &freshness).unwrap(), "new");
    }

    #[test]
    fn own_changes_take_only_what_they_changed() {
        let (cache, freshness) = (Cache::new(1024), fresh(5));
        for id in ["changed", "other"] {
            cache.insert(shard(), id, 5, &Arc::new(id), &freshness);
        }
        freshness.committed(&[(shard(), 6)]);
        cache.evict(shard(), "changed");
        assert!(cache.get(shard(), "changed", &freshness).is_none());
        assert!(cache.get(shard(), "other", &freshness).is_some());
        // Somebody else's change may have been to anything in the shard.
        freshness.polled(&at(7), Moment::now(), 0);
        assert!(cache.get(shard(), "other", &freshness).is_none());
    }

    #[test]
    fn heavy_snapshots_are_fewer() {
        let (cache, freshness) = (Cache::weighed(Shard::COUNT * 100, |text: &String| text.len(), Shard::COUNT * 10), fresh(0));
        let kept =
            |names: &[&str]| -> Vec<bool> { names.iter().map(|name| cache.get(shard(), name, &freshness).is_some()).collect() };
        let insert = |name: &str, weight: usize| cache.insert(shard(), name, 0, &Arc::new("x".repeat(weight)), &freshness);
        for name in ["a", "b", "c"] {
            insert(name, 3);
        }
        assert_eq!(kept(&["a", "b", "c"]), [true; 3]);
        insert("d", 5);
        assert_eq!(kept(&["a", "b", "c", "d"]), [false, false, true, true], "those that were used least lately went");
        // What is put again, or taken out, counts once, or no more.
        insert("d", 6);
        insert("d", 7);
        cache.evict(shard(), "d");
        insert("e", 7);
        assert_eq!(kept(&["c", "d", "e"]), [true, false, true]);
        insert("huge", 11);
        assert_eq!(kept(&["c", "e", "huge"]), [false; 3], "not even by itself");
    }

    #[test]
    fn it_holds_no_more_than_it_may() {
        let (cache, freshness) = (Cache::new(Shard::COUNT * 2), fresh(0));
        for id in ["a", "b", "c"] {
            cache.insert(shard(), id, 0, &Arc::new(id), &freshness);
        }
        assert!(cache.get(shard(), "a", &freshness).is_none(), "the one that was used least lately");
        assert!(cache.get(shard(), "b", &freshness).is_some() && cache.get(shard(), "c", &freshness).is_some());
    }
}
