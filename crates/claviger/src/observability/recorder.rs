//! The metrics of the whole process, which all crates record through the `metrics` facade.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::problem::Problem;
use crate::server::Stop;

/// Bounds of the latency histograms, in seconds: from a cached policy decision to a request that is about to time out.
const LATENCY_BOUNDS_SECONDS: &[f64] =
    &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// How often recorded latencies are folded into their histograms. Until then they take memory.
const UPKEEP: Duration = Duration::from_secs(2);

/// The metrics, ready to be shown.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the process' recorder.
    ///
    /// # Errors
    /// One is installed already.
    pub fn install() -> Result<Self, Problem> {
        let failed = |error: &dyn std::fmt::Display| Problem::new(format!("cannot start the metrics: {error}"));
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), LATENCY_BOUNDS_SECONDS)
            .map_err(|error| failed(&error))?
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|error| failed(&error))?;
        describe();
        register();
        Ok(Self(handle))
    }

    /// All metrics in Prometheus' text exposition format, version 0.0.4.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what was recorded into the histograms until `stop`.
    pub async fn keep_up(self, stop: Stop) {
        loop {
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(UPKEEP) => self.0.run_upkeep(),
            }
        }
    }
}

fn describe() {
    metrics::describe_counter!("claviger_requests_total", "Requests by door, operation and outcome");
    metrics::describe_counter!("claviger_throttled_total", "Requests beyond a request quota, by quota");
    metrics::describe_histogram!("claviger_request_seconds", "How long requests took, by door and operation");
    metrics::describe_histogram!("claviger_audit_lag_seconds", "How long requests waited until their audit entry was durable");
    metrics::describe_gauge!("claviger_token_up", "Whether a PKCS#11 token is open");
    metrics::describe_counter!("claviger_token_requests_total", "Requests to a PKCS#11 token, by outcome");
    metrics::describe_histogram!("claviger_token_seconds", "How long requests to a PKCS#11 token took");
    metrics::describe_counter!("claviger_token_hosts_started_total", "Processes that opened a PKCS#11 token");
    metrics::describe_gauge!("claviger_sealed", "1 while the server waits to be unsealed");
    metrics::describe_gauge!("claviger_keys", "Keys by state, in all accounts");
    metrics::describe_gauge!("claviger_lease_age_seconds", "How old this node's knowledge of others' changes is");
    metrics::describe_gauge!("claviger_connections_open", "Connections that are open now, on all listeners");
    metrics::describe_counter!("claviger_connections_limit_reached_total", "Times that a new connection had to wait for room");
    metrics::describe_counter!("claviger_tls_handshake_failures_total", "TLS handshakes that failed");
    metrics::describe_counter!("claviger_tls_reloads_total", "Exchanges of the TLS certificate, by outcome");
    metrics::describe_counter!("claviger_requests_timed_out_total", "Requests that took longer than limits.request_seconds");
    metrics::describe_counter!("claviger_panics_total", "Requests whose handler panicked: each is a defect");
}

/// Shows what has not happened yet as 0, so that an alarm sees its first time. What has labels for each operation appears with it.
fn register() {
    for name in [
        "claviger_connections_limit_reached_total",
        "claviger_tls_handshake_failures_total",
        "claviger_requests_timed_out_total",
        "claviger_panics_total",
    ] {
        metrics::counter!(name).increment(0);
    }
    for outcome in ["ok", "failed"] {
        metrics::counter!("claviger_tls_reloads_total", "outcome" => outcome).increment(0);
    }
    metrics::gauge!("claviger_connections_open").increment(0.0);
}
