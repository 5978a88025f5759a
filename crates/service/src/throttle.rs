//! How often an account may ask: one bucket for each account, Region and class of operations, in the memory of this node.
//!
//! A bucket holds as many requests as may be made in a second (one, where it is less) and fills evenly. It is a single number, the time at
//! which it will be full again, so that taking from it is one atomic step and needs neither a lock nor a clock of its own. Source: the generic
//! cell rate algorithm, in its virtual scheduling form (ITU-T I.371, annex A).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_domain::{AccountId, Caller, Kind, Principal, Refusal, Region, Timestamp};
use metrics::counter;
use parking_lot::RwLock;

use crate::operation::{Event, Operation};
use crate::quotas::{Quotas, Rate, RateClass, RateClasses, Rates};
use crate::service::Service;

/// The buckets of all accounts whose rates are limited.
pub(crate) struct Throttle {
    quotas: Arc<Quotas>,
    /// Whether any account is limited at all.
    limits: bool,
    /// Accounts by their number. A lock here is only ever written when an account is first seen, and never held while anything waits.
    parts: Vec<RwLock<HashMap<AccountId, Arc<Account>>>>,
}

/// One account's buckets.
struct Account {
    rates: Arc<Rates>,
    regions: RwLock<HashMap<Region, Arc<Buckets>>>,
    /// For Regions beyond those that are told apart.
    others: Arc<Buckets>,
}

/// One bucket for each class: when it will be full again, in nanoseconds.
struct Buckets([AtomicU64; RateClass::COUNT]);

/// Where accounts are spread over.
const PARTS: u64 = 64;
/// How many Regions of one account have buckets of their own. A deployment may serve any name as a Region, and memory is bounded.
const REGIONS_MAX: usize = 64;
/// What a bucket holds, in the time that it takes to fill.
const FILL_NS: u64 = 1_000_000_000;

impl Throttle {
    pub(crate) fn new(quotas: Arc<Quotas>) -> Self {
        let limits = std::iter::once(&quotas.every).chain(quotas.accounts.values()).any(|account| !account.rates.are_unlimited());
        Self { quotas, limits, parts: (0..PARTS).map(|_| RwLock::default()).collect() }
    }

    /// Takes one request from each of the classes, or says which of them is used up.
    fn take(&self, account: AccountId, region: &Region, at: Timestamp, classes: RateClasses) -> Result<(), RateClass> {
        if !self.limits {
            return Ok(());
        }
        let Some(account) = self.account(account) else { return Ok(()) };
        let buckets = account.buckets(region);
        let now = u64::try_from(at.0).unwrap_or(0).saturating_mul(NS_PER_MS);
        for class in classes.into_iter().flatten() {
            let (Some(rate), Some(bucket)) = (account.rates.of(class), buckets.0.get(class.index())) else { continue };
            if !take(bucket, now, rate) {
                return Err(class);
            }
        }
        Ok(())
    }

    /// The account's buckets; none for an account without limits.
    fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        let part = self.parts.get(usize::try_from(id.number() % PARTS).unwrap_or(0))?;
        if let Some(known) = part.read().get(&id) {
            return Some(Arc::clone(known));
        }
        let rates = &self.quotas.of(id).rates;
        if rates.are_unlimited() {
            return None;
        }
        let new = || Account { rates: Arc::clone(rates), regions: RwLock::default(), others: Arc::new(Buckets::new()) };
        Some(Arc::clone(part.write().entry(id).or_insert_with(|| Arc::new(new()))))
    }
}

/// Nanoseconds in a millisecond.
pub(crate) const NS_PER_MS: u64 = 1_000_000;

impl Account {
    fn buckets(&self, region: &Region) -> Arc<Buckets> {
        if let Some(known) = self.regions.read().get(region) {
            return Arc::clone(known);
        }
        let mut regions = self.regions.write();
        if regions.len() >= REGIONS_MAX && !regions.contains_key(region) {
            return Arc::clone(&self.others);
        }
        Arc::clone(regions.entry(region.clone()).or_insert_with(|| Arc::new(Buckets::new())))
    }
}

impl Buckets {
    /// Full ones.
    fn new() -> Self {
        Self([const { AtomicU64::new(0) }; RateClass::COUNT])
    }
}

/// Takes one request from a bucket, unless it is empty.
pub(crate) fn take(bucket: &AtomicU64, now: u64, rate: Rate) -> bool {
    // A rate below one a second has room for one request.
    let latest = now.saturating_add(FILL_NS.max(rate.interval_ns));
    let taken = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
        // A time that no request can have left behind: the clock was set back, and nobody has to wait for it to catch up.
        let full_at = if full_at > latest { now } else { full_at.max(now) };
        Some(full_at.saturating_add(rate.interval_ns)).filter(|next| *next <= latest)
    });
    taken.is_ok()
}

impl Service {
    /// Counts a request against its account's rates, before anybody looks at what it is about.
    pub(crate) fn admit<O: Operation>(&self, caller: &Caller, operation: &O) -> Result<(), Refusal> {
        self.count(caller, operation.rate_classes())
    }

    /// The same for a request that never became an operation, so that these are no way around the rates.
    ///
    /// # Errors
    /// `Throttled` when the account has used up the rate of the operation that the event names.
    pub fn admit_unread(&self, caller: &Caller, event: Event) -> Result<(), Refusal> {
        self.count(caller, [RateClass::of_operation(event.name), None])
    }

    /// Cross-account use counts against who asks, not against the owner of the key.
    fn count(&self, caller: &Caller, classes: RateClasses) -> Result<(), Refusal> {
        let request = &caller.request;
        // What a cloud asks of a store counts against the store's own rate, and against no other.
        if let Principal::Store(store) = &caller.identity.principal {
            return self.store_meters.take(caller.identity.account, store, request.at);
        }
        self.throttle.take(caller.identity.account, &request.region, request.at, classes).map_err(|class| {
            counter!("claviger_throttled_total", "quota" => class.name()).increment(1);
            Refusal::new(Kind::Throttled, THROTTLED).with_reason(format!("the request quota {} is used up", class.name()))
        })
    }
}

const THROTTLED: &str = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::AccountQuotas;

    const START: Timestamp = Timestamp(1_795_344_813_000);

    fn account(number: u64) -> AccountId {
        AccountId::from_number(number).unwrap()
    }

    fn region(name: &str) -> Region {
        name.parse().unwrap()
    }

    fn class(name: &str) -> RateClass {
        RateClass::parse(name).unwrap()
    }

    fn limited(rates: &[(&str, f64)]) -> Throttle {
        let mut every = Rates::unlimited();
        for (name, rate) in rates {
            every.set(class(name), Rate::per_second(*rate));
        }
        let every = AccountQuotas { rates: Arc::new(every), ..AccountQuotas::default() };
        Throttle::new(Arc::new(Quotas { every, accounts: HashMap::new() }))
    }

    /// How many of `count` requests at this time pass.
    fn passing(throttle: &Throttle, at: Timestamp, name: &str, count: usize) -> usize {
        let classes = [Some(class(name)), None];
        (0..count).filter(|_| throttle.take(account(1), &region("eu-west-1"), at, classes).is_ok()).count()
    }

    #[test]
    fn a_bucket_holds_a_second_and_fills_evenly() {
        let throttle = limited(&[("CreateKey", 5.0)]);
        assert_eq!(passing(&throttle, START, "CreateKey", 20), 5);
        assert_eq!(passing(&throttle, START.plus_ms(199), "CreateKey", 20), 0);
        assert_eq!(passing(&throttle, START.plus_ms(200), "CreateKey", 20), 1);
        assert_eq!(passing(&throttle, START.plus_ms(1000), "CreateKey", 20), 4);
        assert_eq!(passing(&throttle, START.plus_ms(3_600_000), "CreateKey", 20), 5, "and never more than it holds");
    }

    #[test]
    fn over_a_long_time_as_many_pass_as_the_rate_says() {
        for rate in [0.5, 1.0, 3.0, 7.0, 100.0] {
            let throttle = limited(&[("CreateKey", rate)]);
            let passed: usize = (0..20_000).map(|step| passing(&throttle, START.plus_ms(step * 5), "CreateKey", 1)).sum();
            let expected = 100.0 * rate + rate.max(1.0);
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let difference = (passed as f64 - expected).abs();
            assert!(difference <= 1.0, "{rate}: {passed}, not about {expected}");
        }
    }

    #[test]
    fn less_than_one_in_a_second_is_one_at_a_time() {
        let throttle = limited(&[("CreateKey", 0.25)]);
        assert_eq!(passing(&throttle, START, "CreateKey", 3), 1);
        assert_eq!(passing(&throttle, START.plus_ms(3999), "CreateKey", 3), 0);
        assert_eq!(passing(&throttle, START.plus_ms(4000), "CreateKey", 3), 1);
    }

    #[test]
    fn accounts_regions_and_classes_do_not_share() {
        let throttle = limited(&[("CreateKey", 1.0), ("EnableKey", 1.0)]);
        let take = |number, name, operation| throttle.take(account(number), &region(name), START, [Some(class(operation)), None]);
        assert!(take(1, "eu-west-1", "CreateKey").is_ok());
        assert_eq!(take(1, "eu-west-1", "CreateKey"), Err(class("CreateKey")));
        // Account 65 is kept in the same part as account 1.
        for (number, name, operation) in
            [(65, "eu-west-1", "CreateKey"), (1, "eu-west-2", "CreateKey"), (1, "eu-west-1", "EnableKey")]
        {
            assert!(take(number, name, operation).is_ok(), "{number} {name} {operation}");
        }
        for _ in 0..100 {
            assert!(take(1, "eu-west-1", "DescribeKey").is_ok(), "no rate, no limit");
        }
    }

    #[test]
    fn a_request_of_two_classes_needs_room_in_both() {
        let throttle = limited(&[("cryptographic_symmetric", 10.0), ("cryptographic_rsa", 2.0)]);
        let both = [Some(RateClass::SYMMETRIC), Some(RateClass::RSA)];
        let take = |classes| throttle.take(account(1), &region("eu-west-1"), START, classes);
        assert!(take(both).is_ok() && take(both).is_ok());
        assert_eq!(take(both), Err(RateClass::RSA));
        let twice = [Some(RateClass::SYMMETRIC), Some(RateClass::SYMMETRIC)];
        // Three of ten are gone.
        assert!((0..3).all(|_| take(twice).is_ok()));
        assert_eq!(take(twice), Err(RateClass::SYMMETRIC));
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_waiting() {
        let throttle = limited(&[("CreateKey", 5.0)]);
        assert_eq!(passing(&throttle, START.plus_days(365), "CreateKey", 9), 5);
        assert_eq!(passing(&throttle, START, "CreateKey", 9), 5);
        assert_eq!(passing(&throttle, START.plus_ms(200), "CreateKey", 9), 1);
    }

    #[test]
    fn regions_beyond_the_bound_share_their_buckets() {
        let throttle = limited(&[("CreateKey", 1.0)]);
        let take = |number: usize| {
            throttle.take(account(1), &region(&format!("x-region-{number}")), START, [Some(class("CreateKey")), None]).is_ok()
        };
        assert_eq!((0..1000).filter(|number| take(*number)).count(), REGIONS_MAX + 1);
        assert_eq!(throttle.account(account(1)).unwrap().regions.read().len(), REGIONS_MAX);
    }

    #[test]
    fn an_account_may_have_rates_of_its_own() {
        let mut own = Rates::unlimited();
        own.set(class("CreateKey"), Rate::per_second(3.0));
        let own = AccountQuotas { rates: Arc::new(own), ..AccountQuotas::default() };
        let throttle = Throttle::new(Arc::new(Quotas { accounts: HashMap::from([(account(1), own)]), ..Quotas::default() }));
        assert_eq!(passing(&throttle, START, "CreateKey", 9), 3);
        for _ in 0..9 {
            assert!(throttle.take(account(2), &region("eu-west-1"), START, [Some(class("CreateKey")), None]).is_ok());
        }
        assert!(throttle.account(account(2)).is_none(), "no memory for accounts without limits");
    }

    #[test]
    fn many_at_once_take_no_more_than_there_is() {
        let throttle = limited(&[("CreateKey", 100.0)]);
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| passing(&throttle, START, "CreateKey", 100))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 100);
    }
}
