//! A bounded cache of snapshots that never serves what a change has overtaken.

use std::sync::Arc;

use claviger_store::Shard;
use lru::LruCache;
use parking_lot::Mutex;
use std::num::NonZeroUsize;

use crate::freshness::Freshness;

/// Snapshots by record id, in as many separately locked parts as the store has shards.
pub(crate) struct Cache<V> {
    parts: Vec<Mutex<LruCache<Box<str>, Cached<V>>>>,
}

struct Cached<V> {
    /// The shard's epoch that was known before the value was read from the store.
    epoch: u64,
    value: Arc<V>,
}

impl<V> Cache<V> {
    /// A cache for about `capacity` snapshots.
    pub(crate) fn new(capacity: usize) -> Self {
        let each = NonZeroUsize::new(capacity / Shard::COUNT).unwrap_or(NonZeroUsize::MIN);
        // Unbounded at birth so that an idle server does not pay for the whole table; `insert` keeps the bound.
        let parts = (0..Shard::COUNT).map(|_| Mutex::new(LruCache::unbounded())).collect::<Vec<_>>();
        for part in &parts {
            part.lock().resize(each);
        }
        Self { parts }
    }

    /// The snapshot, if it is here and fresh.
    pub(crate) fn get(&self, shard: Shard, id: &str, freshness: &Freshness) -> Option<Arc<V>> {
        let mut part = self.parts.get(shard.number())?.lock();
        let cached = part.get(id)?;
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
            part.put(id.into(), Cached { epoch, value: Arc::clone(value) });
        }
    }

    /// Forgets a snapshot. Called after the new epoch is known and before the change is acknowledged.
    pub(crate) fn evict(&self, shard: Shard, id: &str) {
        if let Some(part) = self.parts.get(shard.number()) {
            part.lock().pop(id);
        }
    }
}
