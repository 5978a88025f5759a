//! How long the writer waits for company: a transaction costs the disk and both processors about the same whether it is for one commit or for ten.
//!
//! Those who were answered together are likely to come again together ([`Company::expected`]). Others come one by one, each at its own time, because
//! something else takes them longer (a signature with RSA, a network): for them the writer holds the first one back a little until
//! others have come ([`Company::wanted`]), where that has been worth it lately. Whoever has time ([`Commit::leisure`](crate::Commit::leisure)) waits for
//! more of them, until somebody comes who has not. Nobody is held back while the writer is idle most of the time.

use std::time::Duration;

/// How many commits may be expected at about the same time, and how long they are worth waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Company {
    /// So many are about to come, if those come again who were answered last.
    pub(super) expected: usize,
    /// For how long it is waited for them.
    pub(super) patience: Duration,
    /// A commit that finds nobody else waits until it is one of so many.
    pub(super) wanted: usize,
    /// For how long at most.
    pub(super) hold: Duration,
    /// A commit with more time than that waits until it is one of so many.
    pub(super) wanted_at_leisure: usize,
}

impl Company {
    /// How many a commit with so much time waits for, and for how long.
    pub(super) fn hold(&self, leisure: Duration) -> (usize, Duration) {
        if self.is_at_leisure(leisure) { (self.wanted_at_leisure, leisure) } else { (self.wanted, self.hold) }
    }

    /// Whether that is more time than anybody has.
    pub(super) fn is_at_leisure(&self, leisure: Duration) -> bool {
        self.wanted_at_leisure > self.wanted && leisure > self.hold
    }
}

/// A transaction that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// How many commits it was for.
    pub(super) commits: usize,
    /// Whether the first of them found nobody else, so that it waited for [`Company::wanted`].
    pub(super) held: bool,
    /// How long it took.
    pub(super) took: Duration,
    /// How long ago the one before it ended.
    pub(super) cycle: Duration,
    /// How many wait by now.
    pub(super) waiting: usize,
}

/// What has been seen of those who commit.
#[derive(Debug)]
pub(super) struct Habits {
    /// The part of its time that the writer would be busy if each commit had a transaction of its own.
    load: f64,
    /// How many came lately before a commit had been held back for long.
    usual: usize,
    /// How often in a row that was so.
    streak: u32,
    /// After how many times one more is waited for.
    trial_after: u32,
}

/// The longest that it is waited for those who were answered last.
const PATIENCE_MAX: Duration = Duration::from_micros(500);
/// The longest that a commit is held back.
const HOLD_MAX: Duration = Duration::from_millis(1);
/// Below this load nobody is held back.
const LOAD_MIN: f64 = 0.3;
/// More than so many are not waited for.
const WANTED_MAX: usize = 16;
/// A trial that fails is repeated later and later: whoever is alone pays for few of them.
const TRIAL_AFTER_MIN: u32 = 4;
const TRIAL_AFTER_MAX: u32 = 256;

impl Habits {
    pub(super) fn new() -> Self {
        Self { load: 0.0, usual: 1, streak: 0, trial_after: TRIAL_AFTER_MIN }
    }

    /// Before anything has been seen.
    pub(super) fn first(&self) -> Company {
        Company { expected: 1, patience: Duration::ZERO, wanted: 1, hold: Duration::ZERO, wanted_at_leisure: 1 }
    }

    /// Learns from a transaction, and says whom the next one waits for.
    pub(super) fn learn(&mut self, ended: &Ended) -> Company {
        let by_themselves = ended.took.as_secs_f64() * f64::from(u32::try_from(ended.commits).unwrap_or(u32::MAX));
        let load = (by_themselves / ended.cycle.as_secs_f64().max(f64::MIN_POSITIVE)).min(1.0);
        self.load += (load - self.load) / 8.0;
        if ended.held {
            self.learn_from_holding(ended.commits);
        }
        let idle = self.load < LOAD_MIN;
        Company {
            expected: ended.commits + ended.waiting,
            // Waiting longer than a part of what a transaction takes would cost more time than it saves.
            patience: (ended.took / 2).min(PATIENCE_MAX),
            wanted: if idle { 1 } else { self.wanted() },
            hold: (ended.took * 2).min(HOLD_MAX),
            wanted_at_leisure: if idle { 1 } else { WANTED_MAX },
        }
    }

    fn wanted(&self) -> usize {
        if self.streak >= self.trial_after { (self.usual + 1).min(WANTED_MAX) } else { self.usual }
    }

    fn learn_from_holding(&mut self, came: usize) {
        let wanted = self.wanted();
        let trial = wanted > self.usual;
        if came < wanted {
            self.usual = came.max(1);
            self.streak = 0;
            if trial {
                self.trial_after = (self.trial_after * 2).min(TRIAL_AFTER_MAX);
            }
        } else if trial {
            self.usual = wanted;
            self.streak = 0;
            self.trial_after = TRIAL_AFTER_MIN;
        } else {
            self.streak = self.streak.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_micros(400);

    /// Lets one transaction after the other pass, `come` saying how many commits each of them gets that wants so many. Tells how many each
    /// wanted, and how many it got.
    fn run(count: usize, cycle: Duration, mut come: impl FnMut(usize) -> usize) -> Vec<(usize, usize)> {
        let (mut habits, mut seen) = (Habits::new(), Vec::new());
        let mut company = habits.first();
        for _ in 0..count {
            let commits = come(company.wanted);
            seen.push((company.wanted, commits));
            company = habits.learn(&Ended { commits, held: true, took: TOOK, cycle, waiting: 0 });
        }
        seen
    }

    #[test]
    fn who_is_always_alone_is_hardly_ever_held_back() {
        let seen = run(10_000, Duration::from_micros(700), |_| 1);
        let held = seen.iter().filter(|(wanted, _)| *wanted > 1).count();
        assert!((1..60).contains(&held), "{held}");
    }

    #[test]
    fn those_who_come_together_wait_for_nobody_else() {
        // Two clients, each of which waits for its answer: no third one ever comes.
        let seen = run(10_000, Duration::from_micros(900), |wanted| wanted.min(2));
        let held = seen.iter().filter(|(wanted, _)| *wanted > 2).count();
        assert!((1..60).contains(&held), "{held}");
        assert!(seen.iter().skip(100).all(|(_, got)| *got == 2));
    }

    #[test]
    fn a_stream_is_gathered() {
        // At most four come within the time.
        let seen = run(1000, Duration::from_micros(900), |wanted| wanted.min(4));
        let settled: Vec<usize> = seen.iter().skip(100).map(|(_, got)| *got).collect();
        assert!(settled.iter().all(|got| *got == 4), "{settled:?}");
        // Somebody comes in most cases, by chance.
        let mut turn = 0_usize;
        let seen = run(10_000, Duration::from_micros(900), |wanted| {
            turn += 1;
            wanted.min([1, 3, 2, 4, 2, 3, 1, 5][turn % 8])
        });
        let commits: usize = seen.iter().map(|(_, got)| got).sum();
        assert!(commits > 13_000, "{commits}");
    }

    #[test]
    fn an_idle_writer_holds_nobody_back() {
        let seen = run(1000, Duration::from_millis(5), |_| 1);
        assert!(seen.iter().all(|(wanted, _)| *wanted == 1));
    }

    #[test]
    fn who_meets_others_anyway_is_no_lesson() {
        let mut habits = Habits::new();
        for _ in 0..1000 {
            let ended = Ended { commits: 24, held: false, took: TOOK, cycle: TOOK * 2, waiting: 3 };
            let company = habits.learn(&ended);
            let Company { expected, patience, wanted, hold, .. } = company;
            assert_eq!((expected, patience, wanted, hold), (27, TOOK / 2, 1, TOOK * 2));
        }
    }

    #[test]
    fn who_has_time_waits_for_more_and_only_a_busy_writer() {
        let mut habits = Habits::new();
        assert_eq!(habits.first().hold(Duration::from_secs(1)).0, 1);
        let idle = Ended { commits: 1, held: true, took: TOOK, cycle: TOOK * 20, waiting: 0 };
        assert_eq!(habits.learn(&idle).hold(Duration::from_secs(1)).0, 1);
        let busy = Ended { cycle: TOOK, ..idle };
        let company = (0..100).map(|_| habits.learn(&busy)).last().unwrap();
        assert_eq!(company.hold(Duration::from_millis(4)), (WANTED_MAX, Duration::from_millis(4)));
        assert_eq!(company.hold(Duration::from_micros(100)), (company.wanted, company.hold));
    }
}
