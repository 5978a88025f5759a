//! Keys with a grace are used while the store cannot be reached: no longer than their owner said, never changed, and every use ends in the audit log,
//! in order and once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claviger_domain::availability::Availability;
use claviger_domain::{Caller, EncryptionContext, KeyArn, Kind, Refusal};
use claviger_service::Settings;
use claviger_service::operations::{admin, kms};
use claviger_store::Store;
use serde_json::Value;

use crate::common::stores::{Shared, Stoppable, Way};
use crate::common::{Deployment, Entry, NODE, Node, by_arn, decrypt, identity_policy, kind_of};

const LEASE: Duration = Duration::from_millis(150);

/// A node whose store can be taken away, beside one that always has it.
struct Scene {
    deployment: Deployment,
    other: Node,
    node: Node,
    way: Arc<Stoppable>,
    root: Caller,
}

impl Scene {
    async fn new() -> Self {
        let deployment = Deployment::new().await;
        let store = deployment.store();
        let [first, second] = Shared::between(&store);
        let other = deployment.serve_through(Arc::clone(&store), first, Settings::for_node("node-2")).await.unwrap();
        let way = Stoppable::before(second);
        let settings = Settings { lease: LEASE, grace_spool: Some(spool(&deployment)), ..Settings::for_node(NODE) };
        let node = deployment.serve_through(store, Arc::clone(&way) as Arc<dyn Store>, settings).await.unwrap();
        let root = deployment.root();
        Self { deployment, other, node, way, root }
    }

    /// A key of this availability.
    async fn key(&self, availability: &str) -> KeyArn {
        let key = self.node.create_key(&self.root).await;
        self.set(&key, Some(availability)).await.unwrap();
        self.node.encrypt(&self.root, &key).await.unwrap();
        key
    }

    async fn set(&self, key: &KeyArn, availability: Option<&str>) -> Result<(), Refusal> {
        let availability = availability.map(|text| text.parse::<Availability>().unwrap());
        let operation = admin::SetKeyAvailability { key: by_arn(key), availability };
        self.node.service.perform(&self.node.again(&self.root), &operation).await.map(drop)
    }

    async fn set_account(&self, node: &Node, availability: &str) {
        let operation = admin::SetAccountAvailability { account: None, availability: availability.parse().unwrap() };
        node.service.perform(&node.again(&self.root), &operation).await.unwrap();
    }

    /// The store goes away, and the lease runs out.
    async fn lose_store(&self, way: Way) {
        self.way.set_way(way);
        lease_runs_out().await;
    }
}

fn spool(deployment: &Deployment) -> PathBuf {
    deployment.path().with_file_name("spool")
}

async fn lease_runs_out() {
    tokio::time::sleep(LEASE + Duration::from_millis(20)).await;
}

fn age(entry: &Entry) -> Option<u64> {
    entry.json["claviger"]["grace"]["knowledgeAgeMs"].as_u64()
}

fn of_request<'a>(log: &'a [Entry], caller: &Caller) -> Vec<&'a Entry> {
    let id = caller.request.id.to_string();
    log.iter().filter(|entry| entry.json["requestID"] == id.as_str()).collect()
}

#[tokio::test]
async fn uses_go_on_and_are_in_the_log_in_order_and_once_when_the_store_is_back() {
    for way in [Way::Cut, Way::Hangs] {
        let scene = Scene::new().await;
        let Scene { node, root, .. } = &scene;
        let (graced, strict) = (scene.key("grace 10m").await, scene.key("strict").await);
        let ciphertext = node.encrypt(root, &graced).await.unwrap();
        node.sign_in(&scene.deployment.tenant).await.unwrap();
        let size = node.log_size().await;
        scene.lose_store(way).await;

        let mut callers = Vec::new();
        for _ in 0..5 {
            let signed_in = node.sign_in(&scene.deployment.tenant).await.expect("who asks is known from before");
            let caller = Caller { known_at_ms: signed_in.known_at_ms, identity: signed_in.identity, ..node.again(root) };
            let opened = node.service.perform(&caller, &decrypt(&ciphertext)).await.unwrap();
            assert_eq!(opened.key_arn, graced.to_string());
            callers.push(caller);
        }
        let caller = node.again(root);
        let wrong = EncryptionContext::new([("a".to_owned(), "b".to_owned())].into());
        let wrong = kms::Decrypt { context: wrong, ..decrypt(&ciphertext) };
        assert_eq!(kind_of(node.service.perform(&caller, &wrong).await), Kind::InvalidCiphertext, "refusals as ever");
        callers.push(caller);
        for refused in [
            kind_of(node.encrypt(root, &strict).await),
            kind_of(node.describe(root, &graced).await),
            kind_of(node.service.perform(&node.again(root), &kms::DisableKey { key: by_arn(&graced) }).await),
        ] {
            assert_eq!(refused, Kind::Internal, "what has no grace is refused, and may be tried again");
        }
        assert_eq!(node.log_size().await, size, "nobody could write");
        assert!(spool(&scene.deployment).exists());

        scene.way.set_way(Way::Open);
        tokio::time::sleep(2 * Duration::from_millis(300)).await;
        let caller = node.again(root);
        let encrypt = crate::common::encrypt(by_arn(&strict), b"x");
        node.service.perform(&caller, &encrypt).await.unwrap();
        callers.push(caller);
        let log = node.log_since(size).await;
        let place =
            |caller: &Caller| log.iter().position(|entry| entry.json["requestID"] == caller.request.id.to_string().as_str());
        let places: Vec<_> = callers.iter().map(|caller| place(caller).expect("each is there")).collect();
        assert!(places.is_sorted(), "in the order in which they were answered, and before what came after: {places:?}");
        for caller in &callers {
            assert_eq!(of_request(&log, caller).len(), 1);
        }
        let ages: Vec<_> = callers.iter().map(|caller| age(of_request(&log, caller)[0])).collect();
        assert!(ages[..6].iter().all(|age| age.is_some_and(|age| age >= 150)) && ages[6].is_none(), "{ages:?}");
        assert_eq!(of_request(&log, &callers[5])[0].json["errorCode"], "InvalidCiphertextException");
        assert!(!spool(&scene.deployment).exists());
        let report = node.service.verify_store().await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

#[tokio::test]
async fn a_grace_ends() {
    let scene = Scene::new().await;
    let key = scene.key("grace 1s").await;
    scene.lose_store(Way::Cut).await;
    scene.node.encrypt(&scene.root, &key).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(kind_of(scene.node.encrypt(&scene.root, &key).await), Kind::Internal);
    scene.way.set_way(Way::Open);
    scene.node.encrypt(&scene.root, &key).await.unwrap();
}

#[tokio::test]
async fn an_account_may_have_a_grace_and_each_key_may_say_otherwise() {
    let scene = Scene::new().await;
    let Scene { node, root, .. } = &scene;
    let (own, account) = (scene.key("strict").await, scene.key("strict").await);
    scene.set(&account, None).await.unwrap();
    scene.set_account(node, "grace 10m").await;
    let encrypt_both = async || {
        for key in [&own, &account] {
            node.encrypt(root, key).await.unwrap();
        }
        // As the background does.
        node.service.keep_warm().await.unwrap();
    };
    encrypt_both().await;
    scene.lose_store(Way::Cut).await;
    node.encrypt(root, &account).await.unwrap();
    assert_eq!(kind_of(node.encrypt(root, &own).await), Kind::Internal);
    // What another node takes back is taken back here, with the next answer of the store.
    scene.way.set_way(Way::Open);
    encrypt_both().await;
    scene.set_account(&scene.other, "strict").await;
    lease_runs_out().await;
    encrypt_both().await;
    scene.lose_store(Way::Cut).await;
    assert_eq!(kind_of(node.encrypt(root, &account).await), Kind::Internal);
}

#[tokio::test]
async fn a_key_that_is_disabled_elsewhere_is_not_used_again_once_that_was_heard() {
    let scene = Scene::new().await;
    let key = scene.key("grace 10m").await;
    let disable = kms::DisableKey { key: by_arn(&key) };
    scene.other.service.perform(&scene.other.again(&scene.root), &disable).await.unwrap();
    lease_runs_out().await;
    assert_eq!(kind_of(scene.node.encrypt(&scene.root, &key).await), Kind::Disabled);
    scene.lose_store(Way::Cut).await;
    assert_eq!(kind_of(scene.node.encrypt(&scene.root, &key).await), Kind::Disabled);
}

/// What the next process finds after this one was killed in an outage.
async fn killed_in_grace(uses: usize) -> (Scene, Vec<u8>, u64) {
    let scene = Scene::new().await;
    let key = scene.key("grace 10m").await;
    let size = scene.node.log_size().await;
    scene.lose_store(Way::Cut).await;
    for _ in 0..uses {
        scene.node.encrypt(&scene.root, &key).await.unwrap();
    }
    let bytes = std::fs::read(spool(&scene.deployment)).unwrap();
    (scene, bytes, size)
}

async fn start_again(scene: &Scene) -> Result<Node, Refusal> {
    let settings = Settings { grace_spool: Some(spool(&scene.deployment)), ..Settings::for_node(NODE) };
    let [port] = Shared::between(&scene.node.store);
    scene.deployment.serve_through(Arc::clone(&scene.node.store), port, settings).await
}

fn in_grace(log: &[Entry]) -> usize {
    log.iter().filter(|entry| age(entry).is_some()).count()
}

#[tokio::test]
async fn a_start_puts_what_waits_into_the_log_before_it_serves_and_never_twice() {
    let (scene, bytes, size) = killed_in_grace(7).await;
    let node = start_again(&scene).await.unwrap();
    assert_eq!(in_grace(&node.log_since(size).await), 7);
    assert!(!spool(&scene.deployment).exists());
    drop(node);
    // Killed after the commit, and before the file was removed.
    std::fs::write(spool(&scene.deployment), &bytes).unwrap();
    let node = start_again(&scene).await.unwrap();
    assert_eq!(in_grace(&node.log_since(size).await), 7);
    assert!(!spool(&scene.deployment).exists());
    assert!(node.service.verify_store().await.unwrap().is_clean());
    let uses: Vec<Value> = node.log_since(size).await.iter().map(|entry| entry.json["requestID"].clone()).collect();
    let distinct: std::collections::BTreeSet<String> = uses.iter().map(ToString::to_string).collect();
    assert_eq!(distinct.len(), uses.len());
}

#[tokio::test]
async fn what_was_changed_in_the_spool_is_found_and_nothing_is_served() {
    let (scene, bytes, size) = killed_in_grace(4).await;
    let path = spool(&scene.deployment);
    let frame = 4 + usize::try_from(u32::from_be_bytes(bytes[24..28].try_into().unwrap())).unwrap();
    let without_the_first = [&bytes[..24], &bytes[24 + frame..]].concat();
    let mut swapped_file = bytes.clone();
    swapped_file[12] ^= 1;
    let mut changed = bytes.clone();
    changed[24 + frame / 2] ^= 1;
    let mut too_long = bytes.clone();
    too_long[24] ^= 1;
    for (what, forged) in
        [("an entry", changed), ("one less", without_the_first), ("of another file", swapped_file), ("a length", too_long)]
    {
        std::fs::write(&path, forged).unwrap();
        let refusal = start_again(&scene).await.err().unwrap_or_else(|| panic!("{what}: it is served"));
        assert!(refusal.detail.contains("spool") && refusal.detail.contains("nothing is served"), "{what}: {refusal}");
    }
    // Cut off within the last entry, as a crash does.
    std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let node = start_again(&scene).await.unwrap();
    let log = node.log_since(size).await;
    assert_eq!(in_grace(&log), 3);
    assert!(log.iter().any(|entry| entry.json["eventName"] == "RecoverGraceSpool"), "and that is told");
}

#[tokio::test]
async fn what_was_cut_off_while_the_process_runs_is_found() {
    let scene = Scene::new().await;
    let key = scene.key("grace 10m").await;
    scene.lose_store(Way::Cut).await;
    for _ in 0..3 {
        scene.node.encrypt(&scene.root, &key).await.unwrap();
    }
    let bytes = std::fs::read(spool(&scene.deployment)).unwrap();
    std::fs::OpenOptions::new().write(true).open(spool(&scene.deployment)).unwrap().set_len(bytes.len() as u64 - 500).unwrap();
    scene.way.set_way(Way::Open);
    tokio::time::sleep(2 * Duration::from_millis(300)).await;
    let described = kms::DescribeKey { key: by_arn(&key) };
    let refused = scene.node.service.perform(&scene.node.again(&scene.root), &described).await;
    assert_eq!(kind_of(refused), Kind::KeyUnavailable, "nothing is served");
    assert_eq!(
        kind_of(scene.node.encrypt(&scene.root, &key).await),
        Kind::KeyUnavailable,
        "not in grace either: the store is there"
    );
    std::fs::write(spool(&scene.deployment), &bytes).unwrap();
    scene.node.encrypt(&scene.root, &key).await.unwrap();
}

/// A node whose name another process has taken is not without its store: it has to stop.
#[tokio::test]
async fn a_superseded_process_has_no_grace() {
    let scene = Scene::new().await;
    let key = scene.key("grace 10m").await;
    scene.node.service.beat().await.unwrap();
    scene.node.service.beat().await.unwrap();
    let [way] = Shared::between(&scene.node.store);
    let store = Arc::clone(&scene.node.store);
    let next = scene.deployment.serve_through(store, way, Settings::for_node(NODE)).await.unwrap();
    next.service.beat().await.unwrap();
    scene.node.service.beat().await.unwrap_err();
    lease_runs_out().await;
    assert_eq!(kind_of(scene.node.encrypt(&scene.root, &key).await), Kind::Internal);
    scene.lose_store(Way::Cut).await;
    assert_eq!(kind_of(scene.node.encrypt(&scene.root, &key).await), Kind::Internal, "nor without it");
    assert!(!spool(&scene.deployment).exists());
    next.encrypt(&scene.root, &key).await.expect("the other one has written nothing behind it, not even refusals");
}

#[tokio::test]
async fn whoever_decides_about_a_key_decides_about_its_grace() {
    let scene = Scene::new().await;
    let Scene { node, root, .. } = &scene;
    let key = node.create_key(root).await;
    let operation = || admin::SetKeyAvailability { key: by_arn(&key), availability: Some("grace 1h".parse().unwrap()) };
    for (name, policy, allowed) in [
        ("nobody", vec!["kms:PutKeyPolicy"], false),
        ("somebody", vec!["claviger:SetKeyAvailability"], false),
        ("both", vec!["kms:PutKeyPolicy", "claviger:SetKeyAvailability"], true),
    ] {
        let user = node.create_user(root, name, &[&identity_policy("Allow", &policy)]).await;
        let done = node.service.perform(&node.again(&user), &operation()).await;
        assert_eq!(done.is_ok(), allowed, "{name}");
    }
    assert_eq!(node.describe(root, &key).await.unwrap().availability, Some("grace 1h".parse().unwrap()));
    let account = admin::SetAccountAvailability { account: None, availability: Availability::Strict };
    let user = node.create_user(root, "other", &[&identity_policy("Allow", &["claviger:SetKeyAvailability"])]).await;
    assert_eq!(kind_of(node.service.perform(&node.again(&user), &account).await), Kind::AccessDenied);
    node.service.perform(&node.again(root), &account).await.unwrap();
}
