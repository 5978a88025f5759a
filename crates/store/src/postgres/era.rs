//! Eras: how what is read is known to come from the database that is written to.
//!
//! After a failover there may be two servers that both say that they are the primary: the new one, and one that was cut off or stopped and does not
//! know yet. Someone who reads there sees keys that were disabled long ago. So each time that the writer has connected anew, it begins an era, by moving a
//! counter, durably, before it writes anything else. A connection is read from only if it is younger than that, and shows that count or a later one: which the
//! server that was left behind never will.
//!
//! Epochs as this store tells them have the era's number above the database's own number. So they only grow, also over a failover that has lost
//! changes, after which the database counts from before; and whoever compares them takes a new era for a change in every shard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::{Epochs, Shard, StoreError};

/// The bits of an epoch that the database counts.
const COUNTED_BITS: u32 = 40;

/// The row of the table of shards that counts eras: one that no shard has.
pub(super) const ROW: i64 = Shard::COUNT as i64;

/// What begins with a connection of the writer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Era {
    /// The first one has the number 0.
    pub(super) number: u64,
    /// The database that is written to has counted to this or further; zero in a store that is only read.
    pub(super) mark: u64,
    /// Connections from before are of no use.
    pub(super) began: Instant,
}

/// The era that it is, for all who read and write.
#[derive(Debug)]
pub(super) struct Eras {
    current: Mutex<Era>,
    /// Its number, for those who ask often.
    number: AtomicU64,
    /// What the database counted last, and in which era.
    last: Mutex<(u64, Epochs)>,
}

impl Eras {
    pub(super) fn new(mark: u64) -> Self {
        let current = Mutex::new(Era { number: 0, mark, began: Instant::now() });
        Self { current, number: AtomicU64::new(0), last: Mutex::new((0, [0; Shard::COUNT])) }
    }

    pub(super) fn current(&self) -> Era {
        *self.current.lock()
    }

    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// The writer has connected anew.
    pub(super) fn begin(&self, mark: u64) {
        let mut current = self.current.lock();
        *current = Era { number: current.number + 1, mark, began: Instant::now() };
        self.number.store(current.number, Ordering::Release);
    }

    /// Takes in what the database counts now. Where that is less than before without any connection having broken, somebody has put it back, and an era begins
    /// all the same.
    pub(super) fn counted(&self, epochs: &Epochs) {
        let era = self.number();
        let mut last = self.last.lock();
        let fell = last.0 == era && last.1.iter().zip(epochs).any(|(before, now)| now < before);
        *last = (era, *epochs);
        drop(last);
        if fell {
            tracing::error!(
                "the epochs of the store were put back: all that was known is looked at again, and what was not told in between is known to nobody"
            );
            self.begin(self.current().mark);
        }
    }
}

/// An epoch of the database, as it is told.
pub(super) fn told(era: u64, counted: u64) -> Result<u64, StoreError> {
    if counted >> COUNTED_BITS != 0 {
        return Err(StoreError::Corrupt(format!("an epoch is {counted}, which nobody has counted to")));
    }
    Ok(era << COUNTED_BITS | counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_grow_from_era_to_era_whatever_the_database_says() {
        assert_eq!(told(0, 7), Ok(7));
        assert!(told(1, 3).unwrap() > told(0, 7).unwrap() + 1);
        assert!(told(2, 0).unwrap() > told(1, (1 << COUNTED_BITS) - 1).unwrap());
        assert!(told(0, 1 << COUNTED_BITS).is_err());
    }

    #[test]
    fn epochs_that_fall_begin_an_era() {
        let eras = Eras::new(4);
        let epochs = |value: u64| [value; Shard::COUNT];
        eras.counted(&epochs(7));
        eras.counted(&epochs(9));
        assert_eq!(eras.number(), 0);
        let mut fell = epochs(9);
        fell[5] = 8;
        eras.counted(&fell);
        assert_eq!((eras.number(), eras.current().mark), (1, 4));
        eras.counted(&epochs(1));
        assert_eq!(eras.number(), 1, "in a new era it may count from before");
        eras.begin(5);
        eras.counted(&epochs(0));
        assert_eq!(eras.number(), 2);
    }

    #[test]
    fn an_era_ends_those_before() {
        let eras = Eras::new(4);
        let first = eras.current();
        eras.begin(9);
        let second = eras.current();
        assert_eq!((first.number, first.mark, second.number, second.mark, eras.number()), (0, 4, 1, 9, 1));
        assert!(second.began >= first.began);
    }
}
