//! Requests by operation and outcome, for `/metrics`.

use std::collections::HashMap;
use std::time::Duration;

use claviger_domain::Refusal;
use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::RwLock;

/// The meters of all operations, each made at its first use and then kept: looking one up by its labels costs more than counting.
pub(crate) struct Meters {
    of_operations: RwLock<HashMap<&'static str, Meter>>,
}

#[derive(Clone)]
struct Meter {
    succeeded: Counter,
    seconds: Histogram,
}

const REQUESTS: &str = "claviger_requests_total";
const SECONDS: &str = "claviger_request_seconds";
const DOOR: &str = "aws-kms";

impl Meters {
    pub(crate) fn new() -> Self {
        Self { of_operations: RwLock::new(HashMap::new()) }
    }

    /// Counts a request that became an operation.
    pub(crate) fn count(&self, operation: &'static str, took: Duration, refusal: Option<&Refusal>) {
        let meter = self.meter(operation);
        meter.seconds.record(took.as_secs_f64());
        match refusal {
            None => meter.succeeded.increment(1),
            Some(refusal) => {
                counter!(REQUESTS, "door" => DOOR, "operation" => operation, "outcome" => refusal.kind.name()).increment(1);
            }
        }
    }

    /// Counts a request that never became one.
    pub(crate) fn refused_before_operation(&self, refusal: &Refusal) {
        counter!(REQUESTS, "door" => DOOR, "operation" => "none", "outcome" => refusal.kind.name()).increment(1);
    }

    fn meter(&self, operation: &'static str) -> Meter {
        if let Some(meter) = self.of_operations.read().get(operation) {
            return meter.clone();
        }
        let meter = Meter {
            succeeded: counter!(REQUESTS, "door" => DOOR, "operation" => operation, "outcome" => "ok"),
            seconds: histogram!(SECONDS, "door" => DOOR, "operation" => operation),
        };
        self.of_operations.write().entry(operation).or_insert(meter).clone()
    }
}
