//! What an entry costs. Not a test: `cargo test --release -p claviger-audit --test measure -- --ignored --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic, and each test file uses its part of the common helpers"
)]

mod common;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use claviger_audit::bundle::encode;
use claviger_audit::entry::{KeyMaterial, Resource};
use claviger_audit::merkle::leaf_hash;
use claviger_audit::{CheckpointSigner, Event, Hash, Log, TreeHead};
use claviger_domain::{AccountId, MaterialId};
use common::TestSigner;
use serde::Serialize;

#[derive(Serialize)]
struct Parameters<'a> {
    #[serde(rename = "encryptionAlgorithm")]
    algorithm: &'a str,
    #[serde(rename = "encryptionContext")]
    context: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "keyId")]
    key: &'a str,
}

fn measure<R>(name: &str, times: u32, mut run: impl FnMut() -> R) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..times {
            black_box(run());
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(times));
    }
    println!("{name:<50} {:>9.3} µs", best * 1e6);
}

#[test]
#[ignore = "a measurement, not a test"]
fn costs() {
    let arn = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let resources = [Resource::key(arn, AccountId::from_number(common::ACCOUNT).unwrap())];
    let material = MaterialId::new([0xab; 32]);
    let parameters =
        Parameters { algorithm: "SYMMETRIC_DEFAULT", context: BTreeMap::from([("Department", "Engineering")]), key: arn };
    let additional = KeyMaterial { id: &material };
    let event = Event {
        error: None,
        request_parameters: Some(&parameters),
        additional: Some(&additional),
        ..common::event(5, &resources)
    };
    let entry = event.encode().unwrap();
    println!("an entry of an Encrypt has {} bytes", entry.bytes().len());
    measure("encode", 100_000, || black_box(&event).encode().unwrap());
    measure("  of which the leaf hash", 100_000, || leaf_hash(black_box(entry.bytes())));

    let signer = TestSigner::from_seed(7);
    let mut log = Log::empty(common::origin());
    let many: Vec<Hash> = (0_u64..1_000_003).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let grown = log.prepare(&many, &signer).unwrap();
    log.advance(&grown).unwrap();
    measure("sign a checkpoint", 2_000, || signer.sign(black_box(&[7; 120])).unwrap());
    for count in [1_usize, 8, 64] {
        measure(&format!("prepare {count} after 1,000,003, signature included"), 1_000, || {
            log.prepare(black_box(&many[..count]), &signer).unwrap()
        });
    }
    let entries = vec![entry; 64];
    measure("bundle of 64", 10_000, || encode(black_box(&entries)).unwrap());
    measure("open a checkpoint (verify)", 1_000, || TreeHead::open(black_box(&grown.checkpoint), &common::key()).unwrap());
}
