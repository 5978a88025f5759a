//! Hosts that die, tokens that are pulled, PINs that are wrong: every request ends within its deadline, and what can come back comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use claviger_token::{FaultKind, Health, KeyKind, Purpose, Token, TokenName};

mod common;
use common::{PIN, SoftHsm, start};

#[test]
#[ignore = "the host process of the tests below"]
fn the_host_process() {
    assert!(std::env::var_os("CLAVIGER_TEST_HIDDEN").is_none());
    claviger_token::host::run().unwrap();
}

/// The host processes of a token directory, by the environment that they were started with.
fn hosts(hsm: &SoftHsm) -> Vec<i32> {
    let mark = format!("SOFTHSM2_CONF={}", hsm.configuration().display());
    let of = |entry: std::fs::DirEntry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()).then_some(id)
    };
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| of(entry.ok()?)).collect()
}

fn kill(id: i32) {
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), rustix::process::Signal::KILL);
}

/// Clients that encrypt and decrypt until they are told to stop; each returns what it got, and how long the longest wait was.
fn work(token: &Arc<Token>, reference: &[u8], stop: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<(u64, u64, Duration)>> {
    let client = |number: u32| {
        let (token, reference, stop) = (Arc::clone(token), reference.to_vec(), Arc::clone(stop));
        tokio::spawn(async move {
            let (mut done, mut failed, mut longest) = (0, 0, Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                let text = format!("{number} {done}");
                let round = async {
                    let ciphertext = token.encrypt(&reference, text.as_bytes(), b"aad").await?;
                    token.decrypt(&reference, &ciphertext, b"aad").await
                };
                match round.await {
                    Ok(plaintext) => {
                        assert_eq!(**plaintext, *text.as_bytes());
                        done += 1;
                    }
                    Err(fault) => {
                        let may = [
                            FaultKind::Lost,
                            FaultKind::Unavailable,
                            FaultKind::Expired,
                            FaultKind::NoSuchToken,
                            FaultKind::NotFound,
                        ];
                        assert!(may.contains(&fault.kind), "{fault:?}");
                        failed += 1;
                        // As a client would: not at full speed against a wall.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                longest = longest.max(began.elapsed());
            }
            (done, failed, longest)
        })
    };
    (0..32).map(client).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_host_costs_a_second_try_and_no_error() {
    let hsm = SoftHsm::new().with("one");
    let token = Arc::new(hsm.open("one").await);
    let made = token.generate(KeyKind::Aes256, Purpose::Encrypt, &[1; 16], "k", false).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let clients = work(&token, &made.reference, &stop);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let hosts = hosts(&hsm);
        assert_eq!(hosts.len(), 1);
        kill(hosts[0]);
        token.status().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = 0;
    for client in clients {
        let (done, failed, longest) = client.await.unwrap();
        assert_eq!(failed, 0, "each request that was lost with a host found the next one");
        assert!(longest < Duration::from_secs(11), "within the deadlines of two requests: {longest:?}");
        all += done;
    }
    assert!(all > 32, "{all}");
    let hosts = hosts(&hsm);
    drop(token);
    for _ in 0..100 {
        if hosts.iter().all(|id| !std::path::Path::new(&format!("/proc/{id}/fd/0")).exists()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the host outlives its client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pulled_token_is_said_at_once_and_comes_back_by_itself() {
    let hsm = SoftHsm::new().with("one");
    let token = Arc::new(hsm.open("one").await);
    let made = token.generate(KeyKind::Aes256, Purpose::Encrypt, &[1; 16], "k", false).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let clients = work(&token, &made.reference, &stop);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (here, away) = (hsm.directory.path().join("tokens"), hsm.directory.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    std::fs::create_dir(&here).unwrap();
    let down = async {
        loop {
            if let Health::Down(fault) = token.health() {
                return fault;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let fault = tokio::time::timeout(Duration::from_secs(20), down).await.expect("a token that is gone is noticed");
    assert_eq!(fault.kind, FaultKind::NoSuchToken, "{fault}");
    let began = Instant::now();
    assert!(token.encrypt(&made.reference, b"x", b"").await.is_err());
    assert!(began.elapsed() < Duration::from_secs(1), "a dead token fails fast");
    std::fs::remove_dir(&here).unwrap();
    std::fs::rename(&away, &here).unwrap();
    let back = async {
        while token.encrypt(&made.reference, b"x", b"").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back).await.expect("a token that is back is used again");
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let (done, _, longest) = client.await.unwrap();
        assert!(done > 0);
        assert!(longest < Duration::from_secs(11), "within the deadlines of two requests: {longest:?}");
    }
}

#[tokio::test]
async fn a_wrong_pin_is_shown_to_a_token_once() {
    let hsm = SoftHsm::new().with("one");
    let token = start(hsm.settings("one"), "0000").await;
    let Health::Down(fault) = token.health() else { panic!("the PIN is wrong") };
    assert_eq!(fault.kind, FaultKind::PinRefused, "{fault}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let Health::Down(fault) = token.health() else { panic!("the PIN is wrong") };
    assert!(fault.detail.contains("not asked again"), "{fault}");
    assert!(!fault.detail.contains("0000"));
    assert_eq!(token.status().await.unwrap_err().kind, FaultKind::PinRefused);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let hsm = SoftHsm::new().with("one").with("other");
    let nobody = hsm.open("nobody").await;
    let Health::Down(fault) = nobody.health() else { panic!("there is no such token") };
    assert_eq!(fault.kind, FaultKind::NoSuchToken);
    assert!(fault.detail.contains("\"one\"") && fault.detail.contains("\"nobody\""), "{fault}");

    let mut settings = hsm.settings("one");
    settings.library = "/nonexistent/lib.so".into();
    let token = start(settings, PIN).await;
    let Health::Down(fault) = token.health() else { panic!("there is no such library") };
    assert_eq!(fault.kind, FaultKind::Library);
    assert!(fault.detail.contains("/nonexistent/lib.so"), "{fault}");

    let Health::Up(facts) = hsm.open("one").await.health() else { panic!("it is there") };
    assert!(facts.abilities.iter().any(|ability| ability == "AES-GCM"), "{facts:?}");
    let mut settings = hsm.settings("one");
    settings.token = TokenName::Serial { serial: facts.serial.clone() };
    let by_serial = start(settings, PIN).await;
    assert_eq!(by_serial.status().await.unwrap().label, "one");
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_replaced() {
    let hsm = SoftHsm::new().with("one");
    let mut settings = hsm.settings("one");
    settings.timeout = Duration::from_millis(500);
    let token = start(settings, PIN).await;
    let made = token.generate(KeyKind::Aes256, Purpose::Encrypt, &[1; 16], "k", false).await.unwrap();
    let host = hosts(&hsm)[0];
    rustix::process::kill_process(rustix::process::Pid::from_raw(host).unwrap(), rustix::process::Signal::STOP).unwrap();
    let began = Instant::now();
    let late = token.encrypt(&made.reference, b"x", b"").await.unwrap_err();
    assert_eq!(late.kind, FaultKind::Expired, "{late}");
    assert!(began.elapsed() < Duration::from_secs(2));
    let back = async {
        while token.encrypt(&made.reference, b"x", b"").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.expect("another host takes over");
    assert_ne!(hosts(&hsm)[0], host);
}
