//! What was complained about in the log already: what stays wrong is said at once, and then once an hour, not with every attempt.

use std::borrow::Cow;
use std::collections::HashMap;

use claviger_domain::Timestamp;
use parking_lot::Mutex;

/// How long nothing is said again about what was said.
const SILENCE_MS: i64 = 3_600_000;
/// How many subjects are remembered. Beyond it all are forgotten, and said once more: memory stays bounded, and nothing goes unsaid.
const SUBJECTS_MAX: usize = 10_000;

/// When each subject was last complained about.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<HashMap<Cow<'static, str>, Timestamp>>);

impl Complaints {
    /// Whether this has to be said now, which is then taken as said.
    pub(crate) fn is_due(&self, subject: impl Into<Cow<'static, str>>, now: Timestamp) -> bool {
        let mut said = self.0.lock();
        if said.len() >= SUBJECTS_MAX {
            said.clear();
        }
        let subject = subject.into();
        if said.get(&subject).is_some_and(|at| (0..SILENCE_MS).contains(&(now.0 - at.0))) {
            return false;
        }
        said.insert(subject, now);
        true
    }

    /// It is well again: should it fail once more, that is news.
    pub(crate) fn settle(&self, subject: &str) {
        self.0.lock().remove(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_wrong_is_said_once_an_hour() {
        let complaints = Complaints::default();
        let at = |seconds: i64| Timestamp(1_000 * seconds);
        assert!(complaints.is_due("a", at(0)));
        assert!((1..3_600).all(|seconds| !complaints.is_due("a", at(seconds))));
        assert!(complaints.is_due("b", at(5)), "another one");
        assert!(complaints.is_due("a", at(3_600)) && !complaints.is_due("a", at(3_601)));
        complaints.settle("a");
        assert!(complaints.is_due("a", at(3_602)), "it was well in between");
        assert!(complaints.is_due("a", at(10)), "the clock was set back");
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let complaints = Complaints::default();
        for subject in 0..SUBJECTS_MAX * 2 {
            assert!(complaints.is_due(subject.to_string(), Timestamp(0)));
        }
        assert!(complaints.0.lock().len() <= SUBJECTS_MAX);
    }
}
