//! Requests by door, operation and outcome, for `/metrics`. Doors count, because they know when a request came and when its answer is there.

use std::collections::HashMap;
use std::time::Duration;

use claviger_domain::Refusal;
use metrics::{Counter, Histogram, counter, histogram};

/// The meters of all operations, made once: looking one up by its labels costs more than counting.
pub struct Meters {
    door: &'static str,
    of_operations: HashMap<&'static str, Meter>,
}

struct Meter {
    succeeded: Counter,
    seconds: Histogram,
}

const REQUESTS: &str = "claviger_requests_total";
const SECONDS: &str = "claviger_request_seconds";

impl Meters {
    /// Meters of a door for the operations of these names. The process' recorder has to be there before.
    pub fn new(door: &'static str, operations: impl IntoIterator<Item = &'static str>) -> Self {
        let meter = |operation| Meter {
            succeeded: counter!(REQUESTS, "door" => door, "operation" => operation, "outcome" => "ok"),
            seconds: histogram!(SECONDS, "door" => door, "operation" => operation),
        };
        Self { door, of_operations: operations.into_iter().map(|operation| (operation, meter(operation))).collect() }
    }

    /// Counts a request that became an operation.
    pub fn count(&self, operation: &'static str, took: Duration, refusal: Option<&Refusal>) {
        let meter = self.of_operations.get(operation);
        if let Some(meter) = meter {
            meter.seconds.record(took.as_secs_f64());
        }
        match (refusal, meter) {
            (Some(refusal), _) => self.count_refusal(operation, refusal),
            (None, Some(meter)) => meter.succeeded.increment(1),
            (None, None) => {}
        }
    }

    /// Counts a request that never became one.
    pub fn refused_before_operation(&self, refusal: &Refusal) {
        self.count_refusal("none", refusal);
    }

    fn count_refusal(&self, operation: &'static str, refusal: &Refusal) {
        counter!(REQUESTS, "door" => self.door, "operation" => operation, "outcome" => refusal.kind.name()).increment(1);
    }
}
