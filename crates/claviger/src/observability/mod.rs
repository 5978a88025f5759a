//! What operators look at: logs, metrics, and a listener of its own for health.
//!
//! The listener serves `GET /healthz` (the process is alive), `GET /readyz` (it may be sent traffic) and `GET /metrics`
//! (Prometheus' text form). It is plain HTTP and shows no secret, but belongs on loopback or a management network.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use crate::server::{Handler, Peer};

mod logging;
mod recorder;

pub use logging::start_logging;
pub use recorder::Metrics;

/// Whether the server may be sent traffic, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Readiness {
    /// Everything that has to be in order, with what is not.
    pub checks: Vec<Check>,
    /// What does not work, although the server may be sent traffic: some keys cannot be used.
    pub degraded: Vec<Degraded>,
}

/// Something that some keys need, and that does not work.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Degraded {
    /// What it is: `token NAME`.
    pub what: String,
    /// What is wrong with it. Safe to show.
    pub problem: String,
}

/// One thing that has to be in order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What was looked at: `store`, `hsm`, `audit`, `lease`.
    pub name: &'static str,
    /// What is wrong with it; none when it is in order. Safe to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Readiness {
    /// Whether all checks are in order.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.problem.is_none())
    }
}

/// Finds out whether the server is ready, at the moment of the call.
pub type ReadinessProbe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Readiness> + Send>> + Send + Sync>;

/// Answers the three paths.
pub fn handler(metrics: Metrics, probe: ReadinessProbe) -> impl Handler {
    move |request: Request<Bytes>, _: Peer| {
        let (metrics, probe) = (metrics.clone(), Arc::clone(&probe));
        async move { respond(&request, &metrics, &probe).await }
    }
}

async fn respond(request: &Request<Bytes>, metrics: &Metrics, probe: &ReadinessProbe) -> Response<Bytes> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "alive\n".into()),
        "/readyz" => readiness(&probe().await),
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics.render());
            let form = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, form);
            response
        }
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n".into()),
    }
}

fn readiness(readiness: &Readiness) -> Response<Bytes> {
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": readiness.is_ready(), "checks": readiness.checks, "degraded": readiness.degraded });
    let mut response = text(status, format!("{body}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
