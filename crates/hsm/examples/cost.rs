//! What the operations of the boundary cost, in microseconds of one core: `cargo run --release -p claviger-hsm --example cost`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people who measure; it may stop and it prints")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use claviger_domain::key::{KeySpec, MessageType, SigningAlgorithm};
use claviger_domain::policy::{ConditionContext, Demand, Granted, Policy, Values, authorize, default_key_policy};
use claviger_domain::{AccountId, EncryptionContext, Identity, KeyId, Permit};
use claviger_hsm::{AccountKey, Envelope, Hsm, SealSecret, generate_file_seal_secret};
use uuid::Uuid;

struct NoContext;

impl ConditionContext for NoContext {
    fn values(&self, _key: &str) -> Values<'_> {
        Values::Absent
    }
}

fn permit(action: &'static str, account: AccountId, key: KeyId) -> Permit {
    let policy = Policy::parse_key_policy(&default_key_policy(account)).unwrap();
    let resource = format!("arn:aws:kms:us-east-1:{account}:key/{key}");
    let demand = Demand { action, resource: &resource, owner: account, key: Some((key, &policy)), granted: Granted::Nothing };
    authorize(&Identity::root(account), &demand, &NoContext).unwrap()
}

fn measure(name: &str, work: impl FnMut()) {
    measure_rounds(name, 50_000, work);
}

fn measure_rounds(name: &str, rounds: u32, mut work: impl FnMut()) {
    for _ in 0..rounds / 10 {
        work();
    }
    // The least of several runs: what the work costs when nobody else uses the core.
    let least = (0..7).map(|_| {
        let start = Instant::now();
        for _ in 0..rounds {
            work();
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
    });
    println!("{name:55} {:10.3} µs", least.fold(f64::INFINITY, f64::min));
}

fn main() {
    let seals = [("file", SealSecret::File(generate_file_seal_secret().unwrap()))];
    let (hsm, root) = Hsm::initialize(Uuid::from_bytes([1; 16]), &seals).unwrap();
    let account: AccountId = "123456789012".parse().unwrap();
    let account_key = hsm.open_account_key(account, 1, &hsm.create_account_key(account, 1).unwrap()).unwrap();
    let key = KeyId::single_region(Uuid::from_bytes([2; 16]));
    let spec = KeySpec::SymmetricDefault;
    let made = hsm.generate_material(&account_key, key, spec).unwrap();
    let material = hsm.load_material(&account_key, key, spec, made.id, &made.sealed).unwrap();
    let (none, some) = (
        EncryptionContext::default(),
        EncryptionContext::new(BTreeMap::from([
            ("tenant".to_owned(), "a".to_owned()),
            ("purpose".to_owned(), "backup".to_owned()),
        ])),
    );
    let (encrypt, decrypt) = (permit("kms:Encrypt", account, key), permit("kms:Decrypt", account, key));
    let data_key = permit("kms:GenerateDataKey", account, key);

    for (name, context, length) in
        [("Encrypt 32 B", &none, 32), ("Encrypt 32 B, two pairs of context", &some, 32), ("Encrypt 4 KiB", &none, 4096)]
    {
        let plaintext = vec![7; length];
        measure(name, || drop(black_box(hsm.encrypt(&encrypt, &material, context, &plaintext).unwrap())));
    }
    let ciphertext = hsm.encrypt(&encrypt, &material, &none, &[7; 32]).unwrap();
    let envelope = Envelope::parse(&ciphertext).unwrap();
    measure("Decrypt 32 B", || drop(black_box(hsm.decrypt(&decrypt, &material, &none, &envelope).unwrap())));
    measure("GenerateDataKey 32 B", || drop(black_box(hsm.generate_data_key(&data_key, &material, &none, 32).unwrap())));
    measure("24 random bytes", || hsm.fill_public(black_box(&mut [0; 24])).unwrap());
    measure("generate material, sealed", || drop(black_box(hsm.generate_material(&account_key, key, spec).unwrap())));
    measure("load material", || drop(black_box(hsm.load_material(&account_key, key, spec, made.id, &made.sealed).unwrap())));

    asymmetric(&hsm, &account_key, account, key);

    let access_key = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
    let (_, sealed) = hsm.create_access_secret(&account_key, &access_key).unwrap();
    let secret = hsm.open_access_secret(&account_key, &access_key, &sealed).unwrap();
    let signing = secret.signing_key("20261122", "us-east-1", "kms").unwrap();
    let string_to_sign = [b'x'; 140];
    let signature = signing.sign(&string_to_sign).unwrap();
    measure("derive a signing key", || drop(black_box(secret.signing_key("20261122", "us-east-1", "kms").unwrap())));
    measure("verify a signature over 140 B", || assert!(black_box(signing.verify(&string_to_sign, &signature))));

    let (sealed, _) = hsm.create_log_signer(&account_key, "node").unwrap();
    let signer = hsm.open_log_signer(&account_key, "node", &sealed).unwrap();
    measure("sign a checkpoint of 140 B", || _ = black_box(signer.sign(&string_to_sign).unwrap()));

    measure_rounds("self-test", 100, || claviger_hsm::self_test().unwrap());
    measure_rounds("make a passphrase seal of the default cost", 1, || {
        let secret = SealSecret::Passphrase("correct horse".to_owned().into());
        drop(black_box(hsm.add_seal(&root, "people", &secret).unwrap()));
    });
    println!("{:?}", claviger_hsm::memory_report());
}

/// Key pairs and codes: making them, and using them for 32 bytes.
fn asymmetric(hsm: &Hsm, account_key: &AccountKey, account: AccountId, key: KeyId) {
    let (sign, verify) = (permit("kms:Sign", account, key), permit("kms:Verify", account, key));
    for &spec in KeySpec::ALL.iter().filter(|spec| spec.is_asymmetric()) {
        let rsa = spec.as_str().starts_with("RSA");
        let made = hsm.generate_material(account_key, key, spec).unwrap();
        if !rsa {
            measure_rounds(&format!("generate {spec}, sealed"), 200, || {
                drop(black_box(hsm.generate_material(account_key, key, spec).unwrap()));
            });
        }
        let load = || hsm.load_material(account_key, key, spec, made.id, &made.sealed).unwrap();
        measure_rounds(&format!("load {spec}"), 200, || drop(black_box(load())));
        let material = load();
        for &algorithm in spec.signing_algorithms() {
            let (kind, message) = match algorithm {
                SigningAlgorithm::Ed25519PhSha512 => (MessageType::Digest, vec![7; 64]),
                _ => (MessageType::Raw, vec![7; 32]),
            };
            let signature = hsm.sign(&sign, &material, algorithm, kind, &message).unwrap();
            measure_rounds(&format!("sign {spec} {algorithm}"), 200, || {
                drop(black_box(hsm.sign(&sign, &material, algorithm, kind, &message).unwrap()));
            });
            measure_rounds(&format!("verify {spec} {algorithm}"), 200, || {
                hsm.verify(&verify, &material, algorithm, kind, &message, &signature).unwrap();
            });
        }
    }
}
