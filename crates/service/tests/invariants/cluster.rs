//! Several nodes on one store: what one of them knows is not older than its lease, whatever the others do and however long it is stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_domain::{AccountId, Caller, Kind, Refusal};
use claviger_hsm::{Hsm, SealSecret};
use claviger_service::operations::admin::NodeState;
use claviger_service::operations::{admin, kms, sts};
use claviger_service::seals::{KeptSecret, SealKeeper, SealSecrets, SealedRoot};
use claviger_service::{Clock as _, Effective, Service, SessionCredential, Settings, deployment};
use claviger_store::Store;
use zeroize::Zeroizing;

use crate::common::stores::{Shared, Stoppable, Way};
use crate::common::{
    Deployment, NODE, Node, again, by_arn, create_grant, create_role, encrypt, identity_policy, kind_of, trust_policy, until,
};
use crate::seals::{root_status, rotation};

/// Long enough for a machine that does much else.
const LEASE: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(3600);

fn settings(node: &str, lease: Duration) -> Settings {
    Settings { lease, ..Settings::for_node(node) }
}

/// Two nodes on one store, the second of which can be stopped.
async fn two_nodes(deployment: &Deployment, one: Settings, other: Settings) -> (Node, Node, Arc<Stoppable>) {
    let store = deployment.store();
    let [first, second] = Shared::between(&store);
    let one = deployment.serve_through(Arc::clone(&store), first, one).await.unwrap();
    let stoppable = Stoppable::before(second);
    let other = deployment.serve_through(store, Arc::clone(&stoppable) as Arc<dyn Store>, other).await.unwrap();
    (one, other, stoppable)
}

async fn lease_runs_out() {
    tokio::time::sleep(LEASE + Duration::from_millis(20)).await;
}

/// A process that is stopped while its audit entry is on its way goes on long after the key was disabled elsewhere.
#[tokio::test]
async fn a_request_that_was_stopped_in_its_middle_does_not_answer_with_what_it_knew() {
    let deployment = Deployment::new().await;
    let (one, other, stoppable) = two_nodes(&deployment, settings(NODE, LONG), settings("node-2", LEASE)).await;
    let root = deployment.root();
    let key = one.create_key(&root).await;
    lease_runs_out().await;
    other.encrypt(&root, &key).await.unwrap();

    for (disabled, expected) in [(true, Some(Kind::KeyUnavailable)), (false, None)] {
        let caller = other.again(&root);
        stoppable.stop(true);
        let before = stoppable.waiting();
        let stopped = {
            let (service, caller, key) = (Arc::clone(&other.service), caller.clone(), key.clone());
            tokio::spawn(async move { service.perform(&caller, &encrypt(by_arn(&key), b"x")).await.map(drop) })
        };
        until(|| stoppable.waiting() > before).await;
        if disabled {
            one.service.perform(&one.again(&root), &kms::DisableKey { key: by_arn(&key) }).await.unwrap();
        }
        lease_runs_out().await;
        stoppable.stop(false);
        let answer = stopped.await.unwrap();
        assert_eq!(answer.err().map(|refusal| refusal.kind), expected);
        let codes: Vec<_> = other.entries_of(&caller).await.iter().map(|entry| entry.json["errorCode"].clone()).collect();
        if disabled {
            assert_eq!(codes, [serde_json::Value::Null, "KeyUnavailableException".into()], "the log says what became of it");
            one.service.perform(&one.again(&root), &kms::EnableKey { key: by_arn(&key) }).await.unwrap();
            lease_runs_out().await;
            other.encrypt(&root, &key).await.unwrap();
        } else {
            assert_eq!(codes, [serde_json::Value::Null], "what took long and is still allowed is answered");
        }
    }
}

/// Stopped between authentication and operation.
#[tokio::test]
async fn a_caller_who_was_made_known_too_long_ago_is_looked_at_again() {
    let deployment = Deployment::new().await;
    let (one, other, _) = two_nodes(&deployment, settings(NODE, LONG), settings("node-2", LEASE)).await;
    let root = deployment.root();
    let key = one.create_key(&root).await;
    one.create_user(&root, "user", &[&identity_policy("Allow", &["kms:Encrypt"])]).await;
    let user: claviger_domain::UserName = "user".parse().unwrap();
    let create = admin::CreateAccessKey { account: None, user: Some(user.clone()) };
    let credential = one.service.perform(&one.again(&root), &create).await.unwrap().credential;
    let operation = encrypt(by_arn(&key), b"x");

    lease_runs_out().await;
    let caller = other.sign_in(&credential).await.unwrap();
    lease_runs_out().await;
    other.service.perform(&caller, &operation).await.expect("nothing has changed");
    let withdrawn = admin::DeleteUserPolicy { account: None, user, policy_name: "policy-0".to_owned() };
    one.service.perform(&one.again(&root), &withdrawn).await.unwrap();
    lease_runs_out().await;
    assert_eq!(kind_of(other.service.perform(&caller, &operation).await), Kind::AccessDenied);
    let switched_off = admin::UpdateAccessKey { account: None, id: credential.access_key.clone(), active: false };
    one.service.perform(&one.again(&root), &switched_off).await.unwrap();
    lease_runs_out().await;
    assert_eq!(kind_of(other.service.perform(&caller, &operation).await), Kind::UnknownCredential);
}

#[tokio::test]
async fn a_session_that_was_made_known_too_long_ago_is_looked_at_again() {
    let deployment = Deployment::new().await;
    let (one, other, _) = two_nodes(&deployment, settings(NODE, LONG), settings("node-2", LEASE)).await;
    let root = deployment.root();
    let key = one.create_key(&root).await;
    let sleeper = sleeper(&one, &root).await;
    let session = begin_session(&one, &sleeper).await;
    lease_runs_out().await;
    let caller = other.sign_in_to(&session).await.unwrap();
    lease_runs_out().await;
    other.service.perform(&caller, &encrypt(by_arn(&key), b"x")).await.unwrap();
    let delete = admin::DeleteRolePolicy { account: None, role: "worker".parse().unwrap(), policy_name: "use".to_owned() };
    one.service.perform(&one.again(&root), &delete).await.unwrap();
    lease_runs_out().await;
    assert_eq!(kind_of(other.service.perform(&caller, &encrypt(by_arn(&key), b"x")).await), Kind::AccessDenied);
}

/// A user who may take a role that may do everything with keys.
async fn sleeper(node: &Node, root: &Caller) -> Caller {
    let user = node.create_user(root, "sleeper", &[&identity_policy("Allow", &["sts:AssumeRole"])]).await;
    let role = create_role("worker", &trust_policy(&user.identity.arn, &["sts:AssumeRole"]));
    node.service.perform(&node.again(root), &role).await.unwrap();
    let put = admin::PutRolePolicy {
        account: None,
        role: "worker".parse().unwrap(),
        policy_name: "use".to_owned(),
        policy: identity_policy("Allow", &["kms:*"]),
    };
    node.service.perform(&node.again(root), &put).await.unwrap();
    user
}

async fn begin_session(node: &Node, sleeper: &Caller) -> SessionCredential {
    let account = sleeper.identity.account;
    let assume = sts::AssumeRole {
        role_arn: format!("arn:aws:iam::{account}:role/worker"),
        account,
        role: Some("worker".parse().unwrap()),
        session_name: "night".parse().unwrap(),
        duration_seconds: None,
        policy: None,
        tags: Default::default(),
        transitive: Default::default(),
        external_id: None,
    };
    node.service.perform(&node.again(sleeper), &assume).await.unwrap().credential
}

#[tokio::test]
async fn a_store_that_hangs_is_as_one_that_is_not_there_and_is_asked_once_by_all() {
    let deployment = Deployment::new().await;
    let (_, other, stoppable) = two_nodes(&deployment, settings(NODE, LONG), settings("node-2", LEASE)).await;
    let root = deployment.root();
    let key = other.create_key(&root).await;
    stoppable.set_way(Way::Hangs);
    lease_runs_out().await;
    let asked = stoppable.asked();
    let many: Vec<_> = (0..200)
        .map(|_| {
            let service = Arc::clone(&other.service);
            let credential = deployment.tenant.clone();
            tokio::spawn(async move { confirm(&service, &credential).await })
        })
        .collect();
    for one in many {
        assert_eq!(one.await.unwrap().unwrap_err().kind, Kind::KeyUnavailable);
    }
    assert!(stoppable.asked() - asked <= 3, "{} questions for 200 requests", stoppable.asked() - asked);
    let readiness =
        tokio::time::timeout(Duration::from_secs(10), other.service.readiness()).await.expect("it is not kept waiting");
    assert!(!readiness.store && !readiness.lease);
    stoppable.set_way(Way::Open);
    let begun = Instant::now();
    while other.encrypt(&root, &key).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never came back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A request that needs nothing of the store but to know that what is cached is true.
async fn confirm(service: &Service, credential: &claviger_service::InitialCredential) -> Result<(), Refusal> {
    let request = again_request();
    let claim = claviger_service::SignatureClaim {
        access_key: credential.access_key.as_str(),
        session_token: None,
        date: "20261122",
        region: "us-east-1",
        service: "kms",
        string_to_sign: b"x",
        signature: b"x",
        assertions: claviger_service::Assertions::default(),
    };
    service.authenticate(&claim, request).await.map(drop)
}

fn again_request() -> claviger_domain::caller::Request {
    crate::common::request(crate::common::START)
}

/// The seal of the deployment, as a node's configuration would have it.
#[derive(Debug)]
struct People;

impl SealKeeper for People {
    fn secrets<'a>(&'a self, _root: &'a SealedRoot) -> SealSecrets<'a> {
        let secret = SealSecret::Passphrase(Zeroizing::new("correct horse".to_owned()));
        Box::pin(std::future::ready(vec![KeptSecret { seal: "people".to_owned(), secret: Ok(secret) }]))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_of_the_root_key_is_followed_by_nodes_that_run() {
    let deployment = Deployment::new().await;
    let (one, other, _) = two_nodes(&deployment, settings(NODE, LEASE), settings("node-2", LEASE)).await;
    assert!(one.service.leads().await.unwrap(), "the first does the background work");
    let background = tokio::spawn(Arc::clone(&other.service).run_background());
    let (administrator, root) = (deployment.administrator(), deployment.root());
    let key = one.create_key(&root).await;
    let ciphertext = one.encrypt(&root, &key).await.unwrap();
    let sleeper = sleeper(&one, &root).await;
    for number in 1..=60 {
        one.create_account(&administrator, number).await;
    }
    one.service.perform(&one.again(&administrator), &rotation()).await.unwrap();
    // The account that the other node makes now must not be under a root key that is about to go.
    let made = other.create_account(&administrator, 77).await;
    let mut more = true;
    while more {
        more = one.service.advance_root_rotation().await.unwrap();
        other.decrypt(&root, &ciphertext).await.unwrap();
        // What one of them gives out, the other takes: sessions are under the root key.
        for (giver, taker) in [(&one, &other), (&other, &one)] {
            if more {
                let session = begin_session(giver, &sleeper).await;
                taker.sign_in_to(&session).await.unwrap();
            }
        }
        // Accounts that the other node has never opened.
        let number = if more { 3 } else { 4 };
        let stranger = again(&root_of(&root, number), root.request.at);
        other.create_key(&stranger).await;
    }
    let status = root_status(&one, &administrator).await;
    assert_eq!((status.version, status.old_versions.len(), status.account_keys_left), (2, 0, 0));
    let begun = Instant::now();
    while !root_status(&other, &administrator).await.old_versions.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the other node keeps the old root key");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let key = other.create_key(&made).await;
    background.abort();
    one.shut_down().await;
    // As another start of the process finds it.
    let store = deployment.store();
    let id = deployment::deployment_id(store.as_ref()).await.unwrap();
    let sealed = deployment::sealed_root(store.as_ref()).await.unwrap();
    let secret = SealSecret::Passphrase(Zeroizing::new("correct horse".to_owned()));
    let hsm = Arc::new(Hsm::open(id, &sealed, Some("people"), &secret).unwrap());
    assert_eq!(hsm.root_versions(), [2]);
    let port = Arc::clone(&store) as Arc<dyn Store>;
    let clock = Arc::clone(&deployment.clock) as Arc<dyn claviger_service::Clock>;
    let service = Service::open(port, hsm, clock, Settings::for_node(NODE)).await.unwrap();
    service.perform(&again(&made, root.request.at), &encrypt(by_arn(&key), b"x")).await.expect("nothing was lost");
    let report = service.verify_store().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

fn root_of(root: &Caller, account: u64) -> Caller {
    let identity = claviger_domain::Identity::root(AccountId::from_number(account).unwrap());
    Caller { identity: Arc::new(identity), ..root.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_did_not_hear_of_a_rotation_refuses_until_a_seal_tells_it() {
    for (keeps_seal, comes_back) in [(true, true), (false, false)] {
        let deployment = Deployment::new().await;
        let mut second = settings("node-2", LEASE);
        if keeps_seal {
            second.seal_keeper = Arc::new(People);
        }
        let (one, other, stoppable) = two_nodes(&deployment, settings(NODE, LEASE), second).await;
        let (administrator, root) = (deployment.administrator(), deployment.root());
        let key = one.create_key(&root).await;
        lease_runs_out().await;
        other.encrypt(&root, &key).await.unwrap();
        stoppable.set_way(Way::Cut);
        one.service.perform(&one.again(&administrator), &rotation()).await.unwrap();
        while one.service.advance_root_rotation().await.unwrap() {}
        stoppable.set_way(Way::Open);
        assert_eq!(kind_of(other.encrypt(&root, &key).await), Kind::KeyUnavailable, "it does not know the root key of today");
        let background = tokio::spawn(Arc::clone(&other.service).run_background());
        let begun = Instant::now();
        let patience = if comes_back { Duration::from_secs(20) } else { Duration::from_secs(2) };
        while other.encrypt(&root, &key).await.is_err() && begun.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(other.encrypt(&root, &key).await.is_ok(), comes_back);
        background.abort();
    }
}

#[tokio::test]
async fn a_session_under_a_root_key_that_is_gone_ends_where_it_was_open_too() {
    let deployment = Deployment::new().await;
    let (one, other, _) = two_nodes(&deployment, settings(NODE, LEASE), settings("node-2", LEASE)).await;
    let (administrator, root) = (deployment.administrator(), deployment.root());
    let sleeper = sleeper(&one, &root).await;
    let session = begin_session(&one, &sleeper).await;
    for node in [&one, &other] {
        node.sign_in_to(&session).await.unwrap();
    }
    one.service.perform(&one.again(&administrator), &rotation()).await.unwrap();
    lease_runs_out().await;
    other.sign_in_to(&session).await.expect("while the rotation is under way it is good");
    while one.service.advance_root_rotation().await.unwrap() {}
    lease_runs_out().await;
    for node in [&one, &other] {
        assert_eq!(kind_of(node.sign_in_to(&session).await), Kind::UnknownCredential);
    }
}

#[tokio::test]
async fn a_change_that_is_effective_when_acknowledged_is_accepted_by_nobody_after_its_answer() {
    let deployment = Deployment::new().await;
    let waiting = Settings { effective: Effective::Acknowledged, ..settings(NODE, LEASE) };
    let (one, other, _) = two_nodes(&deployment, waiting, settings("node-2", LEASE)).await;
    let root = deployment.root();
    let key = one.create_key(&root).await;
    for _ in 0..3 {
        // The other node has just asked the store, and now lags behind for a whole lease.
        lease_runs_out().await;
        other.encrypt(&root, &key).await.unwrap();
        one.service.perform(&one.again(&root), &kms::DisableKey { key: by_arn(&key) }).await.unwrap();
        assert_eq!(kind_of(other.encrypt(&root, &key).await), Kind::Disabled);
        one.service.perform(&one.again(&root), &kms::EnableKey { key: by_arn(&key) }).await.unwrap();
    }
    let grant = create_grant(&key, &root.identity.arn, &[claviger_domain::GrantOperation::Encrypt]);
    let grant = one.create_grant(&root, &grant).await.unwrap().id;
    let user = one.create_user(&root, "user", &[]).await;
    let to_user = create_grant(&key, &user.identity.arn, &[claviger_domain::GrantOperation::Encrypt]);
    let to_user = one.create_grant(&root, &to_user).await.unwrap().id;
    lease_runs_out().await;
    other.encrypt(&user, &key).await.unwrap();
    for grant in [grant, to_user] {
        one.service.perform(&one.again(&root), &kms::RevokeGrant { key: by_arn(&key), grant, dry_run: false }).await.unwrap();
    }
    assert_eq!(kind_of(other.encrypt(&user, &key).await), Kind::AccessDenied);
}

/// Who leads has to be silent for this long before another one does.
const BACKGROUND: Duration = Duration::from_millis(1500);

fn background(node: &str) -> Settings {
    Settings { background_lease: BACKGROUND, ..settings(node, LEASE) }
}

/// A key whose time to be deleted has come.
async fn due_key(deployment: &Deployment, node: &Node, root: &Caller) -> claviger_domain::KeyArn {
    let key = node.create_key(root).await;
    node.service.perform(&node.again(root), &kms::ScheduleKeyDeletion { key: by_arn(&key), window_days: 7 }).await.unwrap();
    deployment.clock.advance_days(7);
    key
}

async fn deletions(nodes: &[&Node]) -> usize {
    let mut count = 0;
    for node in nodes {
        count += node.log().await.iter().filter(|entry| entry.json["eventName"] == "DeleteKey").count();
    }
    count
}

#[tokio::test]
async fn a_leader_that_was_stopped_past_its_lease_writes_nothing_and_nothing_is_done_twice() {
    let deployment = Deployment::new().await;
    let (one, other, stoppable) = two_nodes(&deployment, background(NODE), background("node-2")).await;
    let root = deployment.root();
    let key = due_key(&deployment, &one, &root).await;
    assert!(other.service.leads().await.unwrap());
    assert_eq!(one.service.run_due_work().await.unwrap(), 0, "it is the other one's work");
    let before = stoppable.waiting();
    stoppable.stop(true);
    let stopped = {
        let service = Arc::clone(&other.service);
        tokio::spawn(async move { service.run_due_work().await })
    };
    until(|| stoppable.waiting() > before).await;
    assert!(!one.service.leads().await.unwrap(), "not before its time has passed");
    tokio::time::sleep(BACKGROUND + Duration::from_millis(100)).await;
    assert!(one.service.leads().await.unwrap());
    // Nothing has been done yet that the late commit would meet, but for the lease.
    stoppable.stop(false);
    assert_eq!(stopped.await.unwrap().unwrap(), 0);
    assert!(one.describe(&root, &key).await.is_ok() && deletions(&[&one, &other]).await == 0, "the late commit was refused");
    assert_eq!(other.service.run_due_work().await.unwrap(), 0, "it knows now");
    assert_eq!(one.service.run_due_work().await.unwrap(), 1);
    assert_eq!(other.service.run_due_work().await.unwrap(), 0);
    assert_eq!(kind_of(one.describe(&root, &key).await), Kind::NotFound);
    assert_eq!(deletions(&[&one, &other]).await, 1);
    let report = one.service.verify_store().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

#[tokio::test]
async fn a_leader_whose_clock_is_ahead_deletes_nothing_early() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let [way] = Shared::between(&store);
    way.set_time(deployment.clock.now());
    let one = deployment.serve_through(store, way.clone() as Arc<dyn Store>, background(NODE)).await.unwrap();
    let root = deployment.root();
    let key = one.create_key(&root).await;
    one.service.perform(&one.again(&root), &kms::ScheduleKeyDeletion { key: by_arn(&key), window_days: 7 }).await.unwrap();
    deployment.clock.advance_days(30);
    assert_eq!(one.service.run_due_work().await.unwrap(), 0, "for everybody else it is not yet time");
    way.set_time(deployment.clock.now());
    assert_eq!(one.service.run_due_work().await.unwrap(), 1);
}

#[tokio::test]
async fn a_leader_that_renews_its_lease_keeps_it_and_its_next_process_takes_it_at_once() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let [first, second, third] = Shared::between(&store);
    let one = deployment.serve_through(Arc::clone(&store), first, background(NODE)).await.unwrap();
    let other = deployment.serve_through(Arc::clone(&store), second, background("node-2")).await.unwrap();
    assert!(one.service.leads().await.unwrap());
    let begun = Instant::now();
    while begun.elapsed() < 2 * BACKGROUND {
        assert!(one.service.leads().await.unwrap() && !other.service.leads().await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let root = deployment.root();
    due_key(&deployment, &one, &root).await;
    drop(one);
    let again = deployment.serve_through(store, third, background(NODE)).await.unwrap();
    assert_eq!(again.service.run_due_work().await.unwrap(), 1);
    assert!(!other.service.leads().await.unwrap());
}

#[tokio::test]
async fn the_nodes_of_a_cluster_know_of_each_other() {
    let deployment = Deployment::new().await;
    let first = Settings { addresses: vec!["127.0.0.1:1".to_owned()], ..background(NODE) };
    let (one, other, _) = two_nodes(&deployment, first, background("node-2")).await;
    let administrator = deployment.administrator();
    let entries = one.log_size().await;
    for node in [&one, &other, &one] {
        node.service.beat().await.unwrap();
    }
    assert!(other.service.leads().await.unwrap());
    assert_eq!(one.log_size().await, entries, "what nodes say of themselves is not for the log");
    let status = one.service.perform(&one.again(&administrator), &admin::GetClusterStatus).await.unwrap();
    assert!(status.shared && status.store.engine.starts_with("SQLite"));
    assert_eq!(status.leader.map(|leader| (leader.node, leader.fence)), Some(("node-2".to_owned(), 1)));
    let nodes: Vec<_> = status.nodes.iter().map(|node| (node.name.as_str(), node.state, node.last.is_some())).collect();
    assert_eq!(nodes, [(NODE, NodeState::Serving, true), ("node-2", NodeState::Serving, true)]);
    let last = status.nodes[0].last.as_ref().unwrap();
    assert_eq!((last.addresses.as_slice(), last.root_version), (&["127.0.0.1:1".to_owned()][..], 1));
    assert_eq!(status.nodes[1].log_size, other.log_size().await);
    // The test's clock stands still, and the store's does not.
    assert!(last.clock_ahead_ms.abs() > 1000);
    let denied = one.service.perform(&one.again(&deployment.root()), &admin::GetClusterStatus).await;
    assert_eq!(kind_of(denied), Kind::AccessDenied);
}

#[tokio::test]
async fn of_two_processes_of_one_name_the_first_serves_nobody_any_more() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let [first, second] = Shared::between(&store);
    let one = deployment.serve_through(Arc::clone(&store), first, settings(NODE, LEASE)).await.unwrap();
    one.service.beat().await.unwrap();
    one.service.beat().await.unwrap();
    let again = deployment.serve_through(store, second, settings(NODE, LEASE)).await.unwrap();
    again.service.beat().await.unwrap();
    let refusal = one.service.beat().await.unwrap_err();
    assert!(refusal.detail.contains("another process serves under the node name node-1"), "{refusal}");
    lease_runs_out().await;
    assert_eq!(kind_of(one.sign_in(&deployment.tenant).await), Kind::KeyUnavailable);
    assert!(!one.service.readiness().await.is_ready());
    again.sign_in(&deployment.tenant).await.unwrap();
}

/// A process that was slow to end has written behind the place where the next one of its name took up their log.
#[tokio::test]
async fn a_log_is_taken_up_again_behind_what_a_process_of_the_same_name_wrote() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let [first, second] = Shared::between(&store);
    let slow = deployment.serve_through(Arc::clone(&store), first, settings(NODE, LONG)).await.unwrap();
    let next = deployment.serve_through(store, second, settings(NODE, LONG)).await.unwrap();
    let root = deployment.root();
    assert!(next.service.readiness().await.is_ready());
    let key = slow.create_key(&root).await;
    assert_eq!(kind_of(next.encrypt(&root, &key).await), Kind::Internal);
    assert!(!next.service.readiness().await.log, "it can do nothing, and says so");
    next.service.take_up_log_again().await.unwrap();
    next.encrypt(&root, &key).await.unwrap();
    assert!(next.service.readiness().await.is_ready());
    let report = next.service.verify_store().await.unwrap();
    assert!(report.is_clean(), "{report}");
}
