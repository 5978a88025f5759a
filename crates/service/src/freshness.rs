//! Whether what is cached is still true. Source: design, "Lease".
//!
//! The store bumps the epoch of a shard with each change in it. This node knows an epoch for each shard and up to when that knowledge was
//! confirmed. A cached snapshot serves while its shard has seen no change by *others* since it was loaded, and while the knowledge is
//! younger than the lease. Changes made by this node evict what they changed, and leave the rest of the shard alone.
//!
//! A request is as fresh as the knowledge that it *began* with: `pipeline.rs` looks at that again before it answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use claviger_store::{Epochs, Shard};

use crate::clock::Moment;

/// The epochs that this node knows.
pub(crate) struct Freshness {
    known: [AtomicU64; SHARDS],
    /// Snapshots loaded at an earlier epoch than this have missed somebody else's change.
    floor: [AtomicU64; SHARDS],
    /// When the last successful poll began.
    confirmed_ms: AtomicU64,
    /// The era of the store in which it was.
    confirmed_in: AtomicU64,
    lease: Duration,
}

const SHARDS: usize = 64;

impl Freshness {
    /// Knowledge as of `epochs`, read from the store by a poll that began at `polled_at`, in this era.
    pub(crate) fn new(epochs: &Epochs, polled_at: Moment, era: u64, lease: Duration) -> Self {
        let freshness = Self {
            known: std::array::from_fn(|_| AtomicU64::new(0)),
            floor: std::array::from_fn(|_| AtomicU64::new(0)),
            confirmed_ms: AtomicU64::new(0),
            confirmed_in: AtomicU64::new(0),
            lease,
        };
        freshness.polled(epochs, polled_at, era);
        freshness
    }

    /// Takes in what a poll found that *began* at `began`, in this era: a change committed after that moment may be missing from it.
    pub(crate) fn polled(&self, epochs: &Epochs, began: Moment, era: u64) {
        for ((known, floor), &epoch) in self.known.iter().zip(&self.floor).zip(epochs) {
            if known.fetch_max(epoch, Ordering::AcqRel) < epoch {
                floor.fetch_max(epoch, Ordering::AcqRel);
            }
        }
        // Behind the floors: what is not true in this era any more does not hold by now.
        self.confirmed_in.fetch_max(era, Ordering::AcqRel);
        self.confirmed_ms.fetch_max(began.ms(), Ordering::AcqRel);
    }

    /// Takes in the epochs that one of this node's own commits made. Where others changed the shard in between, its snapshots are stale.
    pub(crate) fn committed(&self, epochs: &[(Shard, u64)]) {
        for &(shard, epoch) in epochs {
            let (Some(known), Some(floor)) = (self.known.get(shard.number()), self.floor.get(shard.number())) else { continue };
            let before = known.fetch_max(epoch, Ordering::AcqRel);
            if before + 1 < epoch {
                floor.fetch_max(epoch, Ordering::AcqRel);
            }
        }
    }

    /// The epoch to note before reading a record of this shard from the store.
    pub(crate) fn known(&self, shard: Shard) -> u64 {
        self.known.get(shard.number()).map_or(0, |known| known.load(Ordering::Acquire))
    }

    /// Whether a snapshot loaded at `epoch` has seen all changes by others that this node knows of.
    pub(crate) fn holds(&self, shard: Shard, epoch: u64) -> bool {
        self.floor.get(shard.number()).is_some_and(|floor| epoch >= floor.load(Ordering::Acquire))
    }

    /// The era of the store in which the knowledge was confirmed: in a later one it is worth nothing.
    pub(crate) fn confirmed_in(&self) -> u64 {
        self.confirmed_in.load(Ordering::Acquire)
    }

    /// When the knowledge was confirmed: everything that is cached and [holds](Self::holds) was true then, or later.
    pub(crate) fn confirmed(&self) -> Moment {
        Moment::from_ms(self.confirmed_ms.load(Ordering::Acquire))
    }

    /// How long ago the knowledge was confirmed.
    pub(crate) fn age(&self) -> Duration {
        self.confirmed().elapsed()
    }

    /// Whether the knowledge is younger than the lease.
    pub(crate) fn within_lease(&self) -> bool {
        self.age() < self.lease
    }

    /// For how long knowledge may be used.
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> Shard {
        Shard::from_number(3).unwrap()
    }

    fn epochs(value: u64) -> Epochs {
        let mut epochs = [0; SHARDS];
        epochs[3] = value;
        epochs
    }

    #[test]
    fn own_changes_leave_the_shard_fresh_and_others_do_not() {
        let freshness = Freshness::new(&epochs(5), Moment::now(), 0, Duration::from_secs(1));
        assert!(freshness.holds(shard(), 5));
        freshness.committed(&[(shard(), 6)]);
        assert!(freshness.holds(shard(), 5), "our own change evicts only what it changed");
        freshness.committed(&[(shard(), 9)]);
        assert!(!freshness.holds(shard(), 6), "two changes by others came before ours");
        assert!(freshness.holds(shard(), 9));
        freshness.polled(&epochs(10), Moment::now(), 0);
        assert!(!freshness.holds(shard(), 9));
        freshness.polled(&epochs(8), Moment::now(), 0);
        assert_eq!(freshness.known(shard()), 10, "a late answer does not turn the clock back");
    }

    #[test]
    fn knowledge_ages_from_the_beginning_of_the_poll() {
        let long_ago = Moment::from_ms(Moment::now().ms() - 5000);
        let freshness = Freshness::new(&epochs(0), long_ago, 0, Duration::from_secs(1));
        assert!(!freshness.within_lease());
        freshness.polled(&epochs(0), Moment::now(), 3);
        assert!(freshness.within_lease());
        assert_eq!(freshness.confirmed_in(), 3);
    }
}
