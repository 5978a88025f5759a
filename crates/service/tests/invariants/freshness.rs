//! Invariant 6: changes bite everywhere within the lease, at once on the node that makes them, and a node that cannot know refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use claviger_domain::{AliasName, Caller, KeyArn, KeyReference, Kind, Refusal, UserName};
use claviger_service::operations::{admin, kms};
use claviger_service::{Service, Settings};
use claviger_store::{RecordKey, RecordKind, Shard, Store};

use crate::common::stores::{Held, Plan, Shared, Unreliable};
use crate::common::{
    Deployment, NODE, Node, account, again, alias, by_arn, encrypt, generate_random, identity_policy, key_policy, kind_of,
    region, until,
};

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(3600);

fn settings(node: &str, lease: Duration) -> Settings {
    Settings { lease, ..Settings::for_node(node) }
}

/// Two nodes on one store: the first makes changes, the second has this lease.
async fn two_nodes(deployment: &Deployment, lease: Duration) -> (Node, Node) {
    let store = deployment.store();
    let [one, other] = Shared::between(&store);
    let one = deployment.serve_through(Arc::clone(&store), one, settings(NODE, LONG)).await.unwrap();
    let other = deployment.serve_through(store, other, settings("node-2", lease)).await.unwrap();
    (one, other)
}

/// Lets the lease run out, so that the next request asks the store.
async fn lease_runs_out() {
    tokio::time::sleep(SHORT + Duration::from_millis(10)).await;
}

#[tokio::test]
async fn another_nodes_changes_are_seen_once_the_lease_is_renewed() {
    let deployment = Deployment::new().await;
    let (one, other) = two_nodes(&deployment, SHORT).await;
    let root = deployment.root();
    let key = one.create_key(&root).await;
    let disable = kms::DisableKey { key: by_arn(&key) };
    let enable = kms::EnableKey { key: by_arn(&key) };
    for _ in 0..3 {
        lease_runs_out().await;
        other.encrypt(&root, &key).await.unwrap();
        one.service.perform(&one.again(&root), &disable).await.unwrap();
        lease_runs_out().await;
        assert_eq!(kind_of(other.encrypt(&root, &key).await), Kind::Disabled);
        one.service.perform(&one.again(&root), &enable).await.unwrap();
    }
    // Both ways: what the second node changes, the first one sees when it asks.
    lease_runs_out().await;
    other.service.perform(&other.again(&root), &disable).await.unwrap();
    assert!(one.service.verify_store().await.unwrap().is_clean(), "both logs together tell of every record");
}

#[tokio::test]
async fn every_kind_of_change_is_seen() {
    let deployment = Deployment::new().await;
    let (one, other) = two_nodes(&deployment, SHORT).await;
    let root = deployment.root();
    let (key, second) = (one.create_key(&root).await, one.create_key(&root).await);
    let name = alias("moves");
    one.create_alias(&root, &key, &name).await;
    let user: UserName = "user".parse().unwrap();
    one.create_user(&root, "user", &[&identity_policy("Allow", &["kms:Encrypt"])]).await;
    let created = admin::CreateAccessKey { account: None, user: Some(user.clone()) };
    let credential = one.service.perform(&one.again(&root), &created).await.unwrap().credential;

    lease_runs_out().await;
    let signed_in = other.sign_in(&credential).await.unwrap();
    let by_alias = kms::DescribeKey { key: KeyReference::Alias(name.clone()) };
    let behind = async || other.service.perform(&other.again(&root), &by_alias).await.unwrap().id;
    assert_eq!(behind().await, key.key);
    other.encrypt(&signed_in, &key).await.unwrap();

    let moved = kms::UpdateAlias { alias: name, key: by_arn(&second) };
    one.service.perform(&one.again(&root), &moved).await.unwrap();
    let policy = key_policy(&[("Allow", &root.identity.arn, "kms:*"), ("Deny", &signed_in.identity.arn, "kms:*")]);
    let put = kms::PutKeyPolicy { key: by_arn(&key), name: None, policy, bypass_lockout_check: false };
    one.service.perform(&one.again(&root), &put).await.unwrap();
    lease_runs_out().await;
    assert_eq!(behind().await, second.key);
    assert_eq!(kind_of(other.encrypt(&signed_in, &key).await), Kind::AccessDenied);
    other.encrypt(&signed_in, &second).await.unwrap();

    let withdrawn = admin::DeleteUserPolicy { account: None, user, policy_name: "policy-0".to_owned() };
    one.service.perform(&one.again(&root), &withdrawn).await.unwrap();
    lease_runs_out().await;
    let signed_in = other.sign_in(&credential).await.unwrap();
    assert_eq!(kind_of(other.encrypt(&signed_in, &second).await), Kind::AccessDenied);

    let switched_off = admin::UpdateAccessKey { account: None, id: credential.access_key.clone(), active: false };
    one.service.perform(&one.again(&root), &switched_off).await.unwrap();
    lease_runs_out().await;
    assert_eq!(kind_of(other.sign_in(&credential).await), Kind::UnknownCredential);

    one.service.perform(&one.again(&root), &kms::ScheduleKeyDeletion { key: by_arn(&second), window_days: 7 }).await.unwrap();
    deployment.clock.advance_days(7);
    one.service.run_due_work().await.unwrap();
    lease_runs_out().await;
    assert_eq!(kind_of(other.describe(&root, &second).await), Kind::NotFound);
}

/// Without this the tests above would also pass if nothing were ever cached.
#[tokio::test]
async fn within_the_lease_a_snapshot_serves_and_the_background_renews_it() {
    let deployment = Deployment::new().await;
    let (one, other) = two_nodes(&deployment, LONG).await;
    let root = deployment.root();
    let key = one.create_key(&root).await;
    other.encrypt(&root, &key).await.unwrap();
    one.service.perform(&one.again(&root), &kms::DisableKey { key: by_arn(&key) }).await.unwrap();
    other.encrypt(&root, &key).await.expect("the snapshot is within its lease, and nobody has asked the store");
    let background = tokio::spawn(Arc::clone(&other.service).run_background());
    let begun = Instant::now();
    while other.encrypt(&root, &key).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the background never asked the store");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(kind_of(other.encrypt(&root, &key).await), Kind::Disabled);
    background.abort();
}

/// It would be overtaken again and again by what it has cached, until it gives up.
#[tokio::test]
async fn a_node_that_was_overtaken_by_another_looks_again_at_once() {
    let deployment = Deployment::new().await;
    let (one, other) = two_nodes(&deployment, LONG).await;
    let root = deployment.root();
    let key = one.create_key(&root).await;
    other.encrypt(&root, &key).await.unwrap();
    one.service.perform(&one.again(&root), &kms::DisableKey { key: by_arn(&key) }).await.unwrap();
    one.service.perform(&one.again(&root), &kms::EnableKey { key: by_arn(&key) }).await.unwrap();
    other
        .service
        .perform(&other.again(&root), &kms::DisableKey { key: by_arn(&key) })
        .await
        .expect("nobody else is changing it now");
    assert_eq!(kind_of(other.encrypt(&root, &key).await), Kind::Disabled);
}

#[tokio::test]
async fn a_node_that_cannot_know_refuses_and_recovers() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let unreliable = Unreliable::before(&store);
    let port = Arc::clone(&unreliable) as Arc<dyn Store>;
    let node = deployment.serve_through(store, port, settings(NODE, SHORT)).await.unwrap();
    let root = deployment.root();
    let key = node.create_key(&root).await;
    let ciphertext = node.encrypt(&root, &key).await.unwrap();
    assert!(node.service.readiness().await.is_ready());

    unreliable.plan(Plan { fail_epochs: true, ..Plan::default() });
    lease_runs_out().await;
    let caller = node.again(&root);
    let refusal = node.service.perform(&caller, &encrypt(by_arn(&key), b"x")).await.err().unwrap();
    assert_eq!(refusal.kind, Kind::KeyUnavailable);
    let entries = node.entries_of(&caller).await;
    assert_eq!(entries.len(), 1, "this refusal is an entry too");
    assert_eq!(entries[0].json["errorCode"], "KeyUnavailableException");
    assert_eq!(kind_of(node.decrypt(&root, &ciphertext).await), Kind::KeyUnavailable);
    assert_eq!(kind_of(node.describe(&root, &key).await), Kind::KeyUnavailable);
    assert_eq!(kind_of(node.sign_in(&deployment.tenant).await), Kind::KeyUnavailable, "nor does it know who may sign in");
    let readiness = node.service.readiness().await;
    assert!(!readiness.is_ready() && !readiness.lease && !readiness.store && readiness.hsm);

    unreliable.plan(Plan::default());
    node.decrypt(&root, &ciphertext).await.unwrap();
    node.sign_in(&deployment.tenant).await.unwrap();
    assert!(node.service.readiness().await.is_ready());
}

#[tokio::test]
async fn a_short_silence_of_the_store_is_bridged_by_the_lease() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let unreliable = Unreliable::before(&store);
    let port = Arc::clone(&unreliable) as Arc<dyn Store>;
    let node = deployment.serve_through(store, port, settings(NODE, LONG)).await.unwrap();
    let root = deployment.root();
    let key = node.create_key(&root).await;
    unreliable.plan(Plan { fail_epochs: true, ..Plan::default() });
    node.encrypt(&root, &key).await.unwrap();
}

/// What has been acknowledged about a key: an odd number while it is certainly disabled, an even one while it is certainly enabled, and
/// another one for each time.
struct Acknowledged(AtomicU64);

impl Acknowledged {
    const CHANGING: u64 = u64::MAX;

    fn now(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst)).filter(|state| *state != Self::CHANGING)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_change_is_acknowledged_no_later_request_sees_what_was_before() {
    // With room for everything, and with so little that snapshots are forced out all the time.
    for cached_keys in [131_072, 64] {
        let deployment = Deployment::new().await;
        let store = deployment.store();
        let port = Arc::clone(&store) as Arc<dyn Store>;
        let settings = Settings { cached_keys, ..Settings::for_node(NODE) };
        let node = deployment.serve_through(store, port, settings).await.unwrap();
        let root = deployment.root();
        let key = node.create_key(&root).await;
        let background = tokio::spawn(Arc::clone(&node.service).run_background());
        let acknowledged = Arc::new(Acknowledged(AtomicU64::new(0)));
        let (refused, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let (service, root, key) = (Arc::clone(&node.service), node.again(&root), key.clone());
            let (acknowledged, refused, served) = (Arc::clone(&acknowledged), Arc::clone(&refused), Arc::clone(&served));
            readers.spawn(async move {
                loop {
                    let before = acknowledged.now();
                    let result = service.perform(&again(&root, root.request.at), &encrypt(by_arn(&key), b"x")).await;
                    let (Some(state), true) = (before, acknowledged.now() == before) else { continue };
                    match result.map(drop).map_err(|refusal| refusal.kind) {
                        Err(Kind::Disabled) if state % 2 == 1 => refused.fetch_add(1, Ordering::Relaxed),
                        Ok(()) if state % 2 == 0 => served.fetch_add(1, Ordering::Relaxed),
                        other => panic!("state {state}: {other:?}"),
                    };
                }
            });
        }
        for change in 1..=60 {
            acknowledged.0.store(Acknowledged::CHANGING, Ordering::SeqCst);
            switch(&node.service, &node.again(&root), &key, change % 2 == 0).await.unwrap();
            acknowledged.0.store(change, Ordering::SeqCst);
            // Until somebody has used the key in this state.
            let seen = refused.load(Ordering::Relaxed) + served.load(Ordering::Relaxed);
            while refused.load(Ordering::Relaxed) + served.load(Ordering::Relaxed) < seen + 2 {
                if let Some(ended) = readers.try_join_next() {
                    ended.unwrap();
                }
                tokio::task::yield_now().await;
            }
        }
        background.abort();
        readers.abort_all();
        while let Some(ended) = readers.join_next().await {
            assert!(ended.unwrap_err().is_cancelled(), "a reader saw what was before");
        }
        assert!(refused.load(Ordering::Relaxed) >= 60 && served.load(Ordering::Relaxed) >= 60, "both states were used");
    }
}

async fn switch(service: &Service, caller: &Caller, key: &KeyArn, on: bool) -> Result<(), Refusal> {
    if on {
        service.perform(caller, &kms::EnableKey { key: by_arn(key) }).await
    } else {
        service.perform(caller, &kms::DisableKey { key: by_arn(key) }).await
    }
}

/// An alias whose record shares a shard with a key's.
fn alias_in_shard_of(key: &KeyArn) -> AliasName {
    let shard = |kind, id| Shard::of(&RecordKey { account: account(), kind, id });
    let of_key = shard(RecordKind::Key, format!("{}/{}", region(), key.key));
    let fits = |name: &AliasName| shard(RecordKind::Alias, format!("{}/{name}", region())) == of_key;
    (0..100_000).map(|number| alias(&format!("a{number}"))).find(fits).unwrap()
}

/// The client of a change goes away after its commit was handed to the store. The commit is written together with another one of the
/// same shard, and so they share an epoch: nothing but the lost request itself could tell this node's caches.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_whose_client_went_away_reaches_the_caches_too() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let (held, gate) = Held::before(&store);
    let port = Arc::clone(&held) as Arc<dyn Store>;
    let node = deployment.serve_through(store, port, settings(NODE, LONG)).await.unwrap();
    let root = deployment.root();
    let (key, other) = (node.create_key(&root).await, node.create_key(&root).await);
    let neighbour = alias_in_shard_of(&key);
    node.encrypt(&root, &key).await.unwrap();

    let (arrived, handed) = (gate.arrived(), held.handed());
    gate.set_closed(true);
    let perform_random = {
        let (service, caller) = (Arc::clone(&node.service), node.again(&root));
        tokio::spawn(async move { service.perform(&caller, &generate_random(1)).await.map(drop) })
    };
    until(|| gate.arrived() > arrived).await;
    let lost = {
        let (service, caller, key) = (Arc::clone(&node.service), node.again(&root), key.clone());
        tokio::spawn(async move { switch(&service, &caller, &key, false).await })
    };
    until(|| held.handed() > handed + 1).await;
    lost.abort();
    assert!(lost.await.unwrap_err().is_cancelled());
    let kept = {
        let (service, caller) = (Arc::clone(&node.service), node.again(&root));
        tokio::spawn(async move { service.perform(&caller, &kms::CreateAlias { alias: neighbour, key: by_arn(&other) }).await })
    };
    until(|| held.handed() > handed + 2).await;
    gate.set_closed(false);
    perform_random.await.unwrap().unwrap();
    kept.await.unwrap().unwrap();

    let written = node.log().await.into_iter().filter(|entry| entry.json["eventName"] == "DisableKey").count();
    assert_eq!(written, 1, "the change has been made, and the log tells of it");
    let background = tokio::spawn(Arc::clone(&node.service).run_background());
    let begun = Instant::now();
    while node.encrypt(&root, &key).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(3), "the key is disabled, and goes on encrypting");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    background.abort();
}
