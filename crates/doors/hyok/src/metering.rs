//! Requests by operation and outcome, for `/metrics`.

use std::collections::HashMap;
use std::time::Duration;

use claviger_domain::Refusal;
use metrics::{Counter, Histogram, counter, histogram};

use crate::door::NAME;

/// The meters of all operations, made once: looking one up by its labels costs more than counting.
pub(crate) struct Meters {
    of_operations: HashMap<&'static str, Meter>,
}

struct Meter {
    succeeded: Counter,
    seconds: Histogram,
}

const REQUESTS: &str = "claviger_requests_total";
const SECONDS: &str = "claviger_request_seconds";
const OPERATIONS: [&str; 4] = ["GetKeyMetadata", "Encrypt", "Decrypt", "GetHealthStatus"];

impl Meters {
    /// Meters for all operations. The process' recorder has to be there before.
    pub(crate) fn new() -> Self {
        let meter = |operation| Meter {
            succeeded: counter!(REQUESTS, "door" => NAME, "operation" => operation, "outcome" => "ok"),
            seconds: histogram!(SECONDS, "door" => NAME, "operation" => operation),
        };
        Self { of_operations: OPERATIONS.into_iter().map(|operation| (operation, meter(operation))).collect() }
    }

    /// Counts a request that became an operation.
    pub(crate) fn count(&self, operation: &'static str, took: Duration, refusal: Option<&Refusal>) {
        let meter = self.of_operations.get(operation);
        if let Some(meter) = meter {
            meter.seconds.record(took.as_secs_f64());
        }
        match (refusal, meter) {
            (Some(refusal), _) => count_refusal(operation, refusal),
            (None, Some(meter)) => meter.succeeded.increment(1),
            (None, None) => {}
        }
    }

    /// Counts a request that never became one.
    pub(crate) fn refused_before_operation(&self, refusal: &Refusal) {
        count_refusal("none", refusal);
    }
}

fn count_refusal(operation: &'static str, refusal: &Refusal) {
    counter!(REQUESTS, "door" => NAME, "operation" => operation, "outcome" => refusal.kind.name()).increment(1);
}
