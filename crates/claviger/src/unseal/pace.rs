//! Who may try how often. Shares cannot be guessed; this keeps the log readable and the processor free, and makes guessing passphrases hopeless. Shares that
//! are right are not counted, so that nobody who tries keeps the holders out.

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
    all_shares: Bucket,
    all_passphrases: Bucket,
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
        let full = Bucket::full(ALL);
        let buckets = Buckets { shares: HashMap::new(), passphrases: HashMap::new(), all_shares: full, all_passphrases: full };
        Self { buckets: Mutex::new(buckets) }
    }

    /// Whether this address is told now what is wrong with its share.
    pub(super) fn admits_wrong_share(&self, from: IpAddr, now: Instant) -> bool {
        let Buckets { shares, all_shares, .. } = &mut *self.buckets.lock();
        of(shares, from, SHARES).take(SHARES, now) && all_shares.take(ALL, now)
    }

    /// Whether this address may try a passphrase now.
    pub(super) fn admits_passphrase(&self, from: IpAddr, now: Instant) -> bool {
        let Buckets { passphrases, all_passphrases, .. } = &mut *self.buckets.lock();
        of(passphrases, from, PASSPHRASES).take(PASSPHRASES, now) && all_passphrases.take(ALL, now)
    }
}

fn of(known: &mut HashMap<IpAddr, Bucket>, from: IpAddr, rate: Rate) -> &mut Bucket {
    let from = network(from);
    if known.len() >= ADDRESSES_MAX && !known.contains_key(&from) {
        known.clear();
    }
    known.entry(from).or_insert_with(|| Bucket::full(rate))
}

/// What one party has: an address of version 4, a network of 64 bits of version 6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
        v4 @ IpAddr::V4(_) => v4,
    }
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
        let tries = |from, now| (0..1000).take_while(|_| pace.admits_wrong_share(from, now)).count();
        assert_eq!(tries(address(1), start), 20);
        assert_eq!(tries(address(1), start + Duration::from_secs(4)), 2);
        assert_eq!(tries(address(2), start + Duration::from_secs(4)), 20);
        let passphrases = (0..1000).take_while(|_| pace.admits_passphrase(address(2), start)).count();
        assert_eq!(passphrases, 5);
        let many = (10..=250).map(|number| tries(address(number), start + Duration::from_secs(4))).sum::<usize>();
        assert!((150..=200).contains(&many), "all together: {many}");
        assert!(
            pace.admits_passphrase(address(9), start + Duration::from_secs(4)),
            "whoever brings wrong shares keeps nobody from typing"
        );
    }

    #[test]
    fn who_has_many_addresses_of_a_network_has_one() {
        let (pace, now) = (Pace::new(), Instant::now());
        let from = |text: String| text.parse::<IpAddr>().unwrap();
        let passed = (0..100).filter(|n| pace.admits_passphrase(from(format!("2001:db8:0:1::{n:x}")), now)).count();
        assert_eq!(passed, 5);
        assert!(pace.admits_passphrase(from("2001:db8:0:2::1".to_owned()), now));
        let passed = (0..100).filter(|_| pace.admits_passphrase(from("::ffff:10.0.0.1".to_owned()), now)).count();
        assert_eq!(passed, 5);
        assert!(!pace.admits_passphrase(from("10.0.0.1".to_owned()), now), "the same address, written otherwise");
    }
}
