//! One decision while it is being made: what it may cost, and what cannot be told.
//!
//! Policies and requests are written by people who may wish us ill, and the time that it takes to weigh them is taken from others. So each
//! decision has a budget of work, and when that is used up the request is denied.
//!
//! Names of condition keys are compared without regard to case, but tags and encryption contexts may have names that differ in nothing else.
//! Which of two such values is meant nobody can tell. A statement that asks for one fits if it denies, and does not if it allows.

use std::cell::Cell;

use super::{ConditionContext, Values};

/// Units of work that one decision may take: a unit is about the comparison of one character. Policies as large as AWS allows them to be take
/// a hundredth of it with any sensible request.
const WORK_MAX: usize = 16 << 20;
/// What it takes to look a condition key up, and for each of its values.
const LOOKUP: usize = 256;
const VALUE: usize = 16;

/// A request's condition keys, and the state of the decision.
pub(super) struct Evaluation<'a> {
    context: &'a dyn ConditionContext,
    left: Cell<usize>,
    ambiguous: Cell<bool>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn of(context: &'a dyn ConditionContext) -> Self {
        Self { context, left: Cell::new(WORK_MAX), ambiguous: Cell::new(false) }
    }

    /// Whether the budget is used up: then nothing that was found out counts.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left.get() == 0
    }

    /// What `test` says; or `otherwise`, if it asked for a value that cannot be told.
    pub(super) fn told(&self, otherwise: bool, test: impl FnOnce(&dyn ConditionContext) -> bool) -> bool {
        self.ambiguous.set(false);
        let result = test(self);
        if self.ambiguous.get() { otherwise } else { result }
    }
}

impl ConditionContext for Evaluation<'_> {
    fn values(&self, key: &str) -> Values<'_> {
        if !self.charge(LOOKUP) {
            return Values::Absent;
        }
        match self.context.values(key) {
            Values::Ambiguous => {
                self.ambiguous.set(true);
                Values::Absent
            }
            values => {
                self.charge(VALUE.saturating_mul(values.as_slice().len()));
                values
            }
        }
    }

    fn charge(&self, work: usize) -> bool {
        let left = self.left.get().saturating_sub(work);
        self.left.set(left);
        left > 0
    }
}
