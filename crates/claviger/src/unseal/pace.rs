//! Who may try how often. Shares cannot be guessed; this keeps the log readable and the processor free, and makes guessing passphrases hopeless.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;

/// Attempts by address, and of all together.
pub(super) struct Pace {
    buckets: Mutex<Buckets>,
}

struct Buckets {
    shares: HashMap<IpAddr, Bucket>,
    passphrases: HashMap<IpAddr, Bucket>,
    all: Bucket,
}

/// A bucket that fills up again with time.
#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Option<Instant>,
}

/// How much a bucket holds, and how fast it fills up.
#[derive(Clone, Copy)]
struct Rate {
    burst: f64,
    per_second: f64,
}

const SHARES: Rate = Rate { burst: 20.0, per_second: 0.5 };
const PASSPHRASES: Rate = Rate { burst: 5.0, per_second: 1.0 / 15.0 };
const ALL: Rate = Rate { burst: 200.0, per_second: 10.0 };
/// Beyond so many addresses, what is known of them is forgotten; the bucket of all together stays.
const ADDRESSES_MAX: usize = 4096;

impl Pace {
    pub(super) fn new() -> Self {
        let buckets = Buckets { shares: HashMap::new(), passphrases: HashMap::new(), all: Bucket::full(ALL) };
        Self { buckets: Mutex::new(buckets) }
    }

    /// Whether this address may bring a share now.
    pub(super) fn admits(&self, from: IpAddr, now: Instant) -> bool {
        let Buckets { shares, all, .. } = &mut *self.buckets.lock();
        of(shares, from, SHARES).take(SHARES, now) && all.take(ALL, now)
    }

    /// Whether this address may try a passphrase now.
    pub(super) fn admits_passphrase(&self, from: IpAddr, now: Instant) -> bool {
        let Buckets { passphrases, all, .. } = &mut *self.buckets.lock();
        of(passphrases, from, PASSPHRASES).take(PASSPHRASES, now) && all.take(ALL, now)
    }
}

fn of(known: &mut HashMap<IpAddr, Bucket>, from: IpAddr, rate: Rate) -> &mut Bucket {
    if known.len() >= ADDRESSES_MAX && !known.contains_key(&from) {
        known.clear();
    }
    known.entry(from).or_insert_with(|| Bucket::full(rate))
}

impl Bucket {
    fn full(rate: Rate) -> Self {
        Self { left: rate.burst, at: None }
    }

    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let passed = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.at = Some(now);
        self.left = (self.left + passed * rate.per_second).min(rate.burst);
        let admitted = self.left >= 1.0;
        if admitted {
            self.left -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_address_has_its_own_and_all_have_one_together() {
        let (pace, start) = (Pace::new(), Instant::now());
        let address = |number: u8| IpAddr::from([10, 0, 0, number]);
        let tries = |from, now| (0..1000).take_while(|_| pace.admits(from, now)).count();
        assert_eq!(tries(address(1), start), 20);
        assert_eq!(tries(address(1), start + Duration::from_secs(4)), 2);
        assert_eq!(tries(address(2), start + Duration::from_secs(4)), 20);
        let passphrases = (0..1000).take_while(|_| pace.admits_passphrase(address(2), start)).count();
        assert_eq!(passphrases, 5);
        let many = (10..=250).map(|number| tries(address(number), start + Duration::from_secs(4))).sum::<usize>();
        assert!((150..=200).contains(&many), "all together: {many}");
    }
}
