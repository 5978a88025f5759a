//! The listener for health and metrics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use claviger::config::Limits;
use claviger::observability::{Check, Metrics, Readiness, ReadinessProbe, handler};
use claviger::server::{Server, Stop, bind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn answers_health_readiness_and_metrics() {
    let broken = Arc::new(AtomicBool::new(false));
    let probe: ReadinessProbe = Arc::new({
        let broken = Arc::clone(&broken);
        move || {
            let problem = broken.load(Ordering::SeqCst).then(|| "the store does not answer".to_owned());
            Box::pin(async move { Readiness { checks: vec![Check { name: "store", problem }], degraded: vec![] } })
        }
    });
    let metrics = Metrics::install().unwrap();
    assert!(Metrics::install().is_err(), "there is one recorder for the process");
    let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    tokio::spawn(Server::new(handler(metrics, probe), Limits::default()).serve(listeners, Stop::new()));
    let ask = async |method: &str, path: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };

    assert!(ask("GET", "/healthz").await.ends_with("\r\n\r\nalive\n"));
    assert!(ask("GET", "/readyz").await.ends_with("{\"checks\":[{\"name\":\"store\"}],\"degraded\":[],\"ready\":true}\n"));
    broken.store(true, Ordering::SeqCst);
    let answer = ask("GET", "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("the store does not answer"), "{answer}");
    assert!(ask("GET", "/healthz").await.starts_with("HTTP/1.1 200 "), "not ready is still alive");

    metrics::counter!("claviger_requests_total", "operation" => "Encrypt", "outcome" => "ok").increment(3);
    metrics::histogram!("claviger_request_seconds", "operation" => "Encrypt").record(0.0007);
    let answer = ask("GET", "/metrics").await;
    for line in [
        "content-type: text/plain; version=0.0.4; charset=utf-8",
        "claviger_requests_total{operation=\"Encrypt\",outcome=\"ok\"} 3",
        "claviger_request_seconds_bucket{operation=\"Encrypt\",le=\"0.0005\"} 0",
        "claviger_request_seconds_bucket{operation=\"Encrypt\",le=\"0.001\"} 1",
        "claviger_connections_open 1",
    ] {
        assert!(answer.contains(line), "{line} is missing in {answer}");
    }

    assert!(ask("POST", "/metrics").await.starts_with("HTTP/1.1 405 "));
    assert!(ask("GET", "/").await.starts_with("HTTP/1.1 404 "));
}
