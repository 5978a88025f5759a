//! A log with a fixed key, and its bundles in a vector.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use claviger_audit::bundle;
use claviger_audit::entry::{Decision, Effect, EventError, EventIdentity, EventType, Resource};
use claviger_audit::note::SigningFailed;
use claviger_audit::{CheckpointSigner, Entry, Event, Hash, Log, Origin, StoredBundle, VerifierKey};
use claviger_domain::identity::Session;
use claviger_domain::{AccountId, Timestamp};
use uuid::Uuid;

pub struct TestSigner(Ed25519KeyPair);

impl TestSigner {
    pub fn from_seed(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }
}

impl CheckpointSigner for TestSigner {
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SigningFailed> {
        Ok(self.0.sign(message).as_ref().try_into().unwrap())
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }
}

pub const DEPLOYMENT: Uuid = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);
pub const ACCOUNT: u64 = 111_122_223_333;

pub fn origin() -> Origin {
    Origin::new(DEPLOYMENT, "node-1").unwrap()
}

pub fn key() -> VerifierKey {
    VerifierKey::new(origin(), TestSigner::from_seed(7).public_key())
}

/// An event as a refused Encrypt leaves it.
pub fn event<'a>(number: u64, resources: &'a [Resource<'a>]) -> Event<'a> {
    Event {
        id: Uuid::from_u128(u128::from(number)),
        request_id: Some(Uuid::from_u128(1 << 64 | u128::from(number))),
        at: Timestamp(1_795_344_813_123),
        source: "kms.amazonaws.com",
        name: "Encrypt",
        event_type: EventType::ApiCall,
        read_only: true,
        region: "eu-central-1",
        source_ip: Some("192.0.2.17".parse().unwrap()),
        user_agent: Some("aws-cli/2.31 \"quoted\" é"),
        tls: None,
        identity: EventIdentity {
            kind: Some("IAMUser"),
            principal_id: Some("AIDAEXAMPLE"),
            arn: Some("arn:aws:iam::111122223333:user/Alice"),
            account: AccountId::from_number(ACCOUNT),
            access_key: Some("AKIAIOSFODNN7EXAMPLE"),
            user_name: Some("Alice"),
            invoked_by: None,
            session: None,
        },
        recipient_account: AccountId::from_number(ACCOUNT).unwrap(),
        resources,
        request_parameters: None,
        response_elements: None,
        additional: None,
        service_event_details: None,
        error: Some(EventError { code: "AccessDeniedException", message: Some("no") }),
        door: "aws-kms",
        node: "node-1",
        decision: Decision { effect: Effect::Deny, basis: Some("no statement allows it") },
        changes: &[],
        grace_age_ms: None,
        secure_transport: false,
    }
}

pub fn entry(number: u64) -> Entry {
    event(number, &[]).encode().unwrap()
}

/// Different entries that a large log can repeat, because encoding with the checks of a debug build takes its time.
const POOL: u64 = 1_009;

/// The entry at an index of a log that [`log_of`] made.
pub fn entry_at(index: u64) -> Entry {
    entry(index % POOL)
}

/// A log whose group commits have these sizes.
pub fn log_of(groups: &[u64]) -> (Log, Vec<StoredBundle>) {
    let signer = TestSigner::from_seed(7);
    let mut log = Log::empty(origin());
    let mut bundles = Vec::new();
    let pool: Vec<Entry> = (0..groups.iter().sum::<u64>().min(POOL)).map(entry).collect();
    for count in groups {
        let entries: Vec<Entry> = (log.size()..log.size() + count).map(|index| pool[(index % POOL) as usize].clone()).collect();
        bundles.push(append(&mut log, &entries, &signer));
    }
    (log, bundles)
}

pub fn append(log: &mut Log, entries: &[Entry], signer: &TestSigner) -> StoredBundle {
    let leaves: Vec<Hash> = entries.iter().map(Entry::leaf).collect();
    let prepared = log.prepare(&leaves, signer).unwrap();
    log.advance(&prepared).unwrap();
    StoredBundle::new(&prepared, bundle::encode_plain(entries).unwrap())
}

/// A session of a role.
pub fn session() -> Session {
    Session {
        account: AccountId::from_number(ACCOUNT).unwrap(),
        role: "Backup".parse().unwrap(),
        role_id: "AROAEXAMPLE".to_owned(),
        name: "nightly".parse().unwrap(),
        issued: Timestamp(1_795_344_813_000),
        expires: Timestamp(1_795_348_413_000),
        policy: None,
        tags: Default::default(),
        transitive: Default::default(),
    }
}
