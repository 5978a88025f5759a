//! What is counted of a token.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use crate::wire::{FaultKind, Outcome};

pub(super) struct Meters {
    done: Counter,
    refused: Counter,
    failed: Counter,
    seconds: Histogram,
    pub(super) up: Gauge,
    pub(super) started: Counter,
}

impl Meters {
    pub(super) fn of(token: &str) -> Self {
        let name = token.to_owned();
        let requests = |outcome: &'static str| metrics::counter!("claviger_token_requests_total", "token" => name.clone(), "outcome" => outcome);
        Self {
            done: requests("ok"),
            refused: requests("refused"),
            failed: requests("failed"),
            seconds: metrics::histogram!("claviger_token_seconds", "token" => name.clone()),
            up: metrics::gauge!("claviger_token_up", "token" => name.clone()),
            started: metrics::counter!("claviger_token_hosts_started_total", "token" => name.clone()),
        }
    }

    pub(super) fn count(&self, took: Duration, outcome: &Outcome) {
        self.seconds.record(took.as_secs_f64());
        let counter = match outcome {
            Ok(_) => &self.done,
            Err(fault) => match fault.kind {
                FaultKind::NotFound
                | FaultKind::Ambiguous
                | FaultKind::Swapped
                | FaultKind::InvalidCiphertext
                | FaultKind::Refused
                | FaultKind::Unsupported => &self.refused,
                _ => &self.failed,
            },
        };
        counter.increment(1);
    }
}
