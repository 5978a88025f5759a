//! Custom key stores: their states, whoever is quickest, and however often the server is restarted.

use std::sync::Arc;

use claviger_domain::key::{Key, KeySpec, KeyState, KeyUsage, MacAlgorithm, Origin};
use claviger_domain::key_store::{ConnectionError, ConnectionState, KeyStoreType};
use claviger_domain::{Caller, EncryptionContext, KeyArn, Kind, Refusal};
use claviger_service::Settings;
use claviger_service::operations::kms::{self, ProxyUpdate};
use claviger_service::operations::{admin, xks};
use claviger_store::Store;
use serde_json::json;
use tokio::sync::Barrier;

use crate::common::hyok;
use crate::common::key_store_backend::Behind;
use crate::common::key_stores::{all, create, create_cluster, rename, the_only_one};
use crate::common::{Deployment, NODE, Node, by_arn, create_key, decrypt, deployed, encrypt, generate_random, kind_of};

/// A node that reaches what stands behind its stores.
async fn reaching() -> (Deployment, Node) {
    let (deployment, node, _) = reaching_behind().await;
    (deployment, node)
}

async fn reaching_behind() -> (Deployment, Node, Arc<Behind>) {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let port: Arc<dyn Store> = Arc::clone(&store) as _;
    let behind = Arc::new(Behind::default());
    let settings = Settings { key_stores: behind.both(), ..Settings::for_node(NODE) };
    let node = deployment.serve_through(store, port, settings).await.unwrap();
    (deployment, node, behind)
}

async fn state(node: &Node, caller: &Caller) -> ConnectionState {
    all(node, caller).await[0].1.state
}

async fn connect(node: &Node, caller: &Caller, store: &str) {
    let operation = kms::ConnectCustomKeyStore { store: store.to_owned() };
    node.service.perform(&node.again(caller), &operation).await.unwrap();
}

const UNREACHABLE: ConnectionState = ConnectionState::Failed { error: ConnectionError::ProxyNotReachable };

#[tokio::test]
async fn a_connection_ends_where_nobody_waits_for_it() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let store = the_only_one(&node, &root, true).await;
    assert!(matches!(state(&node, &root).await, ConnectionState::Connecting { .. }));
    let size = node.log_size().await;
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0, "it has ended");
    let log = node.log_since(size).await;
    assert_eq!(log.len(), 1);
    let entry = &log[0].json;
    assert_eq!((&entry["eventName"], &entry["eventType"]), (&json!("CustomKeyStoreConnection"), &json!("AwsServiceEvent")));
    let outcome =
        json!({"connectionErrorCode": "XKS_PROXY_NOT_REACHABLE", "connectionState": "FAILED", "customKeyStoreId": store});
    assert_eq!(entry["serviceEventDetails"], json!({"customKeyStores": [outcome]}));
    assert_eq!(entry["claviger"]["changes"][0]["kind"], "custom-key-store");
    assert_eq!(state(&node, &root).await, UNREACHABLE);
}

#[tokio::test]
async fn a_restart_does_not_leave_a_store_connecting() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    the_only_one(&node, &root, true).await;
    node.crash();
    let node = deployment.serve().await;
    assert!(matches!(state(&node, &root).await, ConnectionState::Connecting { .. }));
    node.service.run_due_work().await.unwrap();
    assert_eq!(state(&node, &root).await, UNREACHABLE);
}

#[tokio::test]
async fn who_disconnects_meanwhile_is_heard() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let store = the_only_one(&node, &root, true).await;
    node.service.perform(&node.again(&root), &kms::DisconnectCustomKeyStore { store }).await.unwrap();
    assert_eq!(node.service.run_due_work().await.unwrap(), 0);
    assert_eq!(state(&node, &root).await, ConnectionState::Disconnected);
}

#[tokio::test]
async fn what_is_connected_changes_in_part_only() {
    let (deployment, node) = reaching().await;
    let root = deployment.root();
    let store = the_only_one(&node, &root, true).await;
    node.service.run_due_work().await.unwrap();
    assert_eq!(state(&node, &root).await, ConnectionState::Connected);
    connect(&node, &root, &store).await;
    assert_eq!(state(&node, &root).await, ConnectionState::Connected, "it is connected already");

    let update = |proxy: ProxyUpdate| kms::UpdateCustomKeyStore { name: None, proxy, ..rename(&store, "") };
    node.service.perform(&node.again(&root), &rename(&store, "renamed")).await.unwrap();
    let path = ProxyUpdate { path: Some("/new/kms/xks/v1".to_owned()), ..ProxyUpdate::default() };
    node.service.perform(&node.again(&root), &update(path)).await.unwrap();
    let endpoint = || ProxyUpdate { endpoint: Some("https://new.example.com".to_owned()), ..ProxyUpdate::default() };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &update(endpoint())).await), Kind::KeyStoreState);
    let delete = kms::DeleteCustomKeyStore { store: store.clone() };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &delete).await), Kind::KeyStoreState);

    let disconnect = kms::DisconnectCustomKeyStore { store: store.clone() };
    node.service.perform(&node.again(&root), &disconnect).await.unwrap();
    node.service.perform(&node.again(&root), &update(endpoint())).await.unwrap();
    node.service.perform(&node.again(&root), &delete).await.unwrap();
    assert!(all(&node, &root).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_is_given_once_whoever_is_quickest() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (service, caller) = (Arc::clone(&node.service), node.again(&root));
        tasks.spawn(async move { service.perform(&caller, &create("wanted")).await.map_err(|refusal| refusal.kind) });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Err(Kind::KeyStoreNameInUse)).count(), 7, "{outcomes:?}");
    assert_eq!(all(&node, &root).await.len(), 1);
}

#[tokio::test]
async fn other_accounts_do_not_see_it() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let store = the_only_one(&node, &root, false).await;
    let stranger = node.create_account(&deployment.administrator(), 210_987_654_321).await;
    let before = node.records().await;
    let connect = kms::ConnectCustomKeyStore { store: store.clone() };
    assert_eq!(kind_of(node.service.perform(&node.again(&stranger), &connect).await), Kind::KeyStoreNotFound);
    let delete = kms::DeleteCustomKeyStore { store: store.clone() };
    assert_eq!(kind_of(node.service.perform(&node.again(&stranger), &delete).await), Kind::KeyStoreNotFound);
    assert_eq!(kind_of(node.service.perform(&node.again(&stranger), &rename(&store, "mine")).await), Kind::KeyStoreNotFound);
    assert!(all(&node, &stranger).await.is_empty());
    assert_eq!(node.records().await, before);
}

#[tokio::test]
async fn the_deployments_own_account_has_none() {
    let (deployment, node) = deployed().await;
    let administrator = deployment.administrator();
    let refused = node.service.perform(&node.again(&administrator), &create("one")).await;
    assert_eq!(kind_of(refused), Kind::Unsupported);
}

// Keys that live there --------------------------------------------------------------------------------------------------------------

/// The id of a connected store.
async fn connected(node: &Node, caller: &Caller, operation: &kms::CreateCustomKeyStore) -> String {
    let store = node.service.perform(&node.again(caller), operation).await.unwrap().to_string();
    connect(node, caller, &store).await;
    node.service.run_due_work().await.unwrap();
    store
}

fn key_in(store: &str, kind: KeyStoreType, existing: Option<&str>) -> kms::CreateKey {
    let existing = existing.map(str::to_owned);
    kms::CreateKey { in_key_store: Some(kms::InKeyStore { store: store.to_owned(), kind, existing }), ..create_key(None) }
}

async fn make(node: &Node, caller: &Caller, operation: &kms::CreateKey) -> Result<Key, Refusal> {
    node.service.perform(&node.again(caller), operation).await
}

async fn disconnect(node: &Node, caller: &Caller, store: &str) {
    let operation = kms::DisconnectCustomKeyStore { store: store.to_owned() };
    node.service.perform(&node.again(caller), &operation).await.unwrap();
}

fn in_context(ciphertext: &[u8], pair: &str) -> kms::Decrypt {
    let context = EncryptionContext::new([("for".to_owned(), pair.to_owned())].into_iter().collect());
    kms::Decrypt { context, ..decrypt(ciphertext) }
}

async fn encrypt_for(node: &Node, caller: &Caller, key: &KeyArn, pair: &str) -> Result<Vec<u8>, Refusal> {
    let context = in_context(&[], pair).context;
    let operation = kms::Encrypt { context, ..encrypt(by_arn(key), b"a secret of ours") };
    node.service.perform(&node.again(caller), &operation).await.map(|encrypted| encrypted.ciphertext)
}

#[tokio::test]
async fn a_key_in_a_cluster_is_used_there() {
    let (deployment, node, behind) = reaching_behind().await;
    let root = deployment.root();
    let store = connected(&node, &root, &create_cluster("cluster")).await;
    let key = make(&node, &root, &key_in(&store, KeyStoreType::CloudHsm, None)).await.unwrap();
    assert_eq!((key.origin, key.state), (Origin::CloudHsm, KeyState::Enabled));
    let home = key.home.clone().unwrap();
    assert_eq!((home.store.as_str(), home.cluster.as_deref(), &home.xks_key), (&*store, Some("cluster-abcdefg2345"), &None));

    let arn = key.arn();
    let ciphertext = encrypt_for(&node, &root, &arn, "us").await.unwrap();
    assert_eq!(behind.plaintexts(), [b"a secret of ours".to_vec()], "the cluster encrypts it itself");
    let opened = node.service.perform(&node.again(&root), &in_context(&ciphertext, "us")).await.unwrap();
    assert_eq!(opened.plaintext.plaintext(), Some(b"a secret of ours".as_slice()));
    assert_eq!((opened.key_arn, opened.material), (arn.to_string(), key.materials[0].id));
    let elsewhere = node.service.perform(&node.again(&root), &in_context(&ciphertext, "others")).await;
    assert_eq!(kind_of(elsewhere), Kind::InvalidCiphertext, "another context");
    for index in 0..ciphertext.len() {
        let mut forged = ciphertext.clone();
        forged[index] ^= 1;
        let forged = node.service.perform(&node.again(&root), &in_context(&forged, "us")).await;
        // One that names another key is told as such a one.
        assert!(matches!(kind_of(forged), Kind::InvalidCiphertext | Kind::AccessDenied), "byte {index}");
    }
    let random = kms::GenerateRandom { key_store: Some(store), ..generate_random(5) };
    let random = node.service.perform(&node.again(&root), &random).await.unwrap();
    assert_eq!(random.plaintext(), Some([7; 5].as_slice()));
}

#[tokio::test]
async fn a_key_behind_a_proxy_is_encrypted_twice() {
    let (deployment, node, behind) = reaching_behind().await;
    let root = deployment.root();
    let store = connected(&node, &root, &create("proxy")).await;
    let key = make(&node, &root, &key_in(&store, KeyStoreType::External, Some("theirs"))).await.unwrap();
    assert_eq!(key.origin, Origin::ExternalKeyStore);
    assert_eq!(key.home.as_ref().unwrap().xks_key.as_deref(), Some("theirs"));
    let ciphertext = encrypt_for(&node, &root, &key.arn(), "us").await.unwrap();
    let [inner] = <[Vec<u8>; 1]>::try_from(behind.plaintexts()).unwrap();
    assert!(!inner.windows(8).any(|window| window == b"a secret"), "the proxy does not see what is encrypted");
    let opened = node.service.perform(&node.again(&root), &in_context(&ciphertext, "us")).await.unwrap();
    assert_eq!(opened.plaintext.plaintext(), Some(b"a secret of ours".as_slice()));

    let again = make(&node, &root, &key_in(&store, KeyStoreType::External, Some("theirs"))).await;
    assert_eq!(kind_of(again), Kind::XksKeyAlreadyInUse);
    make(&node, &root, &key_in(&store, KeyStoreType::External, Some("another"))).await.unwrap();
}

#[tokio::test]
async fn data_keys_and_re_encryption_go_between_here_and_there() {
    let (deployment, node, _) = reaching_behind().await;
    let root = deployment.root();
    let cluster = connected(&node, &root, &create_cluster("cluster")).await;
    let proxy = connected(&node, &root, &create("proxy")).await;
    let keys = [
        node.create_key(&root).await,
        make(&node, &root, &key_in(&cluster, KeyStoreType::CloudHsm, None)).await.unwrap().arn(),
        make(&node, &root, &key_in(&proxy, KeyStoreType::External, Some("theirs"))).await.unwrap().arn(),
    ];
    let none = EncryptionContext::default;
    for from in &keys {
        let operation =
            kms::GenerateDataKey { key: by_arn(from), length: 32, spec: None, context: none(), recipient: None, dry_run: false };
        let made = node.service.perform(&node.again(&root), &operation).await.unwrap();
        assert_eq!(made.plaintext.plaintext().unwrap().len(), 32);
        let opened = node.service.perform(&node.again(&root), &decrypt(&made.ciphertext)).await.unwrap();
        assert_eq!(opened.plaintext.plaintext(), made.plaintext.plaintext());
        let sealed = kms::GenerateDataKeyWithoutPlaintext(operation);
        let sealed = node.service.perform(&node.again(&root), &sealed).await.unwrap();
        let opened = node.service.perform(&node.again(&root), &decrypt(&sealed.ciphertext)).await.unwrap();
        assert_eq!(opened.plaintext.plaintext().unwrap().len(), 32);
        for to in &keys {
            let operation = kms::ReEncrypt {
                source: None,
                ciphertext: made.ciphertext.clone(),
                source_context: none(),
                source_algorithm: claviger_domain::key::EncryptionAlgorithm::SymmetricDefault,
                destination: by_arn(to),
                destination_context: none(),
                destination_algorithm: claviger_domain::key::EncryptionAlgorithm::SymmetricDefault,
                dry_run: false,
                ignore_ciphertext: false,
            };
            let moved = node.service.perform(&node.again(&root), &operation).await.unwrap();
            let opened = node.service.perform(&node.again(&root), &decrypt(&moved.ciphertext)).await.unwrap();
            assert_eq!(opened.key_arn, to.to_string());
            assert_eq!(opened.plaintext.plaintext(), made.plaintext.plaintext(), "from {from} to {to}");
        }
    }
}

#[tokio::test]
async fn what_is_disconnected_cannot_be_used_until_it_is_connected_again() {
    let (deployment, node, behind) = reaching_behind().await;
    let root = deployment.root();
    let store = connected(&node, &root, &create_cluster("cluster")).await;
    let arn = make(&node, &root, &key_in(&store, KeyStoreType::CloudHsm, None)).await.unwrap().arn();
    let ciphertext = encrypt_for(&node, &root, &arn, "us").await.unwrap();
    disconnect(&node, &root, &store).await;
    assert_eq!(node.describe(&root, &arn).await.unwrap().state, KeyState::Unavailable);
    let refused = encrypt_for(&node, &root, &arn, "us").await.unwrap_err();
    assert_eq!((refused.kind, refused.detail), (Kind::InvalidState, format!("{arn} is unavailable.")));
    let refused = node.service.perform(&node.again(&root), &in_context(&ciphertext, "us")).await;
    assert_eq!(kind_of(refused), Kind::InvalidState);
    let made = *behind.made.lock().unwrap();
    let another = make(&node, &root, &key_in(&store, KeyStoreType::CloudHsm, None)).await;
    assert_eq!((kind_of(another), *behind.made.lock().unwrap()), (Kind::KeyStoreState, made), "nothing was made there");

    connect(&node, &root, &store).await;
    node.service.run_due_work().await.unwrap();
    assert_eq!(node.describe(&root, &arn).await.unwrap().state, KeyState::Enabled);
    node.service.perform(&node.again(&root), &in_context(&ciphertext, "us")).await.unwrap();

    behind.gone.store(true, std::sync::atomic::Ordering::Relaxed);
    let refused = node.service.perform(&node.again(&root), &in_context(&ciphertext, "us")).await;
    assert_eq!(kind_of(refused), Kind::KeyUnavailable);
}

#[tokio::test]
async fn a_store_with_keys_stays_and_a_deleted_key_is_destroyed_there() {
    let (deployment, node, behind) = reaching_behind().await;
    let root = deployment.root();
    let store = connected(&node, &root, &create_cluster("cluster")).await;
    let key = make(&node, &root, &key_in(&store, KeyStoreType::CloudHsm, None)).await.unwrap();
    let delete = kms::DeleteCustomKeyStore { store: store.clone() };
    disconnect(&node, &root, &store).await;
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &delete).await), Kind::KeyStoreHasKeys);
    let schedule = kms::ScheduleKeyDeletion { key: by_arn(&key.arn()), window_days: 7 };
    node.service.perform(&node.again(&root), &schedule).await.unwrap();
    assert!(matches!(node.describe(&root, &key.arn()).await.unwrap().state, KeyState::PendingDeletion { .. }));
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &delete).await), Kind::KeyStoreHasKeys);
    node.clock.advance_days(7);
    node.service.run_due_work().await.unwrap();
    assert_eq!(*behind.destroyed.lock().unwrap(), [key.home.unwrap().reference]);
    node.service.perform(&node.again(&root), &delete).await.unwrap();
}

#[tokio::test]
async fn what_is_not_offered_there_is_refused() {
    let (deployment, node, _) = reaching_behind().await;
    let root = deployment.root();
    let store = connected(&node, &root, &create_cluster("cluster")).await;
    let arn = make(&node, &root, &key_in(&store, KeyStoreType::CloudHsm, None)).await.unwrap().arn();
    let caller = node.again(&root);
    let rotate = kms::EnableKeyRotation { key: by_arn(&arn), period_days: 365 };
    assert_eq!(kind_of(node.service.perform(&caller, &rotate).await), Kind::Unsupported);
    let rotate = kms::RotateKeyOnDemand { key: by_arn(&arn) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &rotate).await), Kind::Unsupported);
    let wrong_type = make(&node, &root, &key_in(&store, KeyStoreType::External, Some("theirs"))).await;
    assert_eq!(kind_of(wrong_type), Kind::Invalid);
}

#[tokio::test]
async fn codes_are_made_and_checked_there() {
    let (deployment, node, _) = reaching_behind().await;
    let root = deployment.root();
    let store = connected(&node, &root, &create_cluster("cluster")).await;
    let operation = kms::CreateKey {
        spec: KeySpec::Hmac256,
        usage: KeyUsage::GenerateVerifyMac,
        ..key_in(&store, KeyStoreType::CloudHsm, None)
    };
    let arn = make(&node, &root, &operation).await.unwrap().arn();
    let (algorithm, message) = (MacAlgorithm::HmacSha256, zeroize::Zeroizing::new(b"hello".to_vec()));
    let generate = kms::GenerateMac { key: by_arn(&arn), message: message.clone(), algorithm, dry_run: false };
    let made = node.service.perform(&node.again(&root), &generate).await.unwrap();
    let verify = |mac: Vec<u8>| kms::VerifyMac { key: by_arn(&arn), message: message.clone(), mac, algorithm, dry_run: false };
    node.service.perform(&node.again(&root), &verify(made.mac)).await.unwrap();
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &verify(vec![1; 32])).await), Kind::InvalidMac);
}

#[tokio::test]
async fn the_administrator_alone_lets_a_key_stand_for_one_that_is_there() {
    let (deployment, node, behind) = reaching_behind().await;
    let root = deployment.root();
    let store = node.service.perform(&node.again(&root), &create_cluster("cluster")).await.unwrap().to_string();
    connect(&node, &root, &store).await;
    node.service.run_due_work().await.unwrap();
    let account = root.identity.account;
    let adopt = admin::AdoptKey {
        account,
        store: store.clone(),
        token_key: "label:theirs".to_owned(),
        spec: KeySpec::SymmetricDefault,
        usage: KeyUsage::EncryptDecrypt,
        description: String::new(),
    };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &adopt).await), Kind::AccessDenied);
    assert_eq!(*behind.made.lock().unwrap(), 0);

    let administrator = deployment.administrator();
    let size = node.log_size().await;
    let key = node.service.perform(&node.again(&administrator), &adopt).await.unwrap();
    assert_eq!((key.account, key.origin), (account, Origin::CloudHsm));
    assert_eq!(key.home.as_ref().unwrap().reference, b"label:theirs");
    let entry = &node.log_since(size).await[0].json;
    assert_eq!((&entry["eventName"], &entry["requestParameters"]["tokenKey"]), (&json!("AdoptKey"), &json!("label:theirs")));
    assert_eq!(entry["requestParameters"]["accountId"], json!(account.to_string()));

    let nobody = admin::AdoptKey { account: claviger_domain::AccountId::from_number(999_999_999_999).unwrap(), ..adopt };
    assert!(node.service.perform(&node.again(&administrator), &nobody).await.is_err());
}

/// Does something while the backend has done its part and holds its answer back.
async fn meanwhile<T>(behind: &Behind, asked: impl Future<Output = T>, change: impl Future<Output = ()>) -> T {
    let barrier = Arc::new(Barrier::new(2));
    *behind.held.lock().unwrap() = Some(Arc::clone(&barrier));
    let change = async {
        barrier.wait().await;
        *behind.held.lock().unwrap() = None;
        change.await;
        barrier.wait().await;
    };
    tokio::join!(asked, change).0
}

#[tokio::test]
async fn a_key_of_somebody_elses_proxy_is_not_passed_on() {
    let (deployment, node, _) = reaching_behind().await;
    let root = deployment.root();
    let store = connected(&node, &root, &create("proxy")).await;
    let key = make(&node, &root, &key_in(&store, KeyStoreType::External, Some("theirs"))).await.unwrap().arn();
    node.create_store(&root, &hyok::create("payroll")).await;
    assert_eq!(kind_of(node.add_key(&root, "payroll", "one", &key).await), Kind::InvalidKeyUsage);
}

#[tokio::test]
async fn what_was_made_for_a_key_that_was_not_created_is_taken_away() {
    let (deployment, node, behind) = reaching_behind().await;
    let root = deployment.root();
    let store = connected(&node, &root, &create_cluster("cluster")).await;
    // The store changes while the token makes the key, so that the commit that would have made the key true fails, and the store cannot be used at the next try.
    let wanted = key_in(&store, KeyStoreType::CloudHsm, None);
    let refused = meanwhile(&behind, make(&node, &root, &wanted), disconnect(&node, &root, &store)).await;
    assert_eq!(kind_of(refused), Kind::KeyStoreState);
    assert_eq!((*behind.made.lock().unwrap(), behind.destroyed.lock().unwrap().len()), (1, 1));
    // A change that does not matter: the second try makes another key, and the first one's material goes.
    connect(&node, &root, &store).await;
    node.service.run_due_work().await.unwrap();
    let another = async {
        node.service.perform(&node.again(&root), &create("another")).await.unwrap();
    };
    let key = meanwhile(&behind, make(&node, &root, &wanted), another).await.unwrap();
    let destroyed = behind.destroyed.lock().unwrap().clone();
    assert_eq!((*behind.made.lock().unwrap(), destroyed.len()), (3, 2));
    assert!(!destroyed.contains(&key.home.unwrap().reference));
}

#[tokio::test]
async fn health_tells_of_what_keeps_the_keys_behind_a_store() {
    let (deployment, node, behind) = reaching_behind().await;
    let root = deployment.root();
    let store = connected(&node, &root, &create_cluster("cluster")).await;
    let there = make(&node, &root, &key_in(&store, KeyStoreType::CloudHsm, None)).await.unwrap().arn();
    let here = node.create_key(&root).await;
    let store_named = |name: &'static str| {
        let (node, root) = (&node, &root);
        async move { (node.create_store(root, &hyok::create(name)).await, name) }
    };
    let told = |file| {
        let node = &node;
        async move {
            let cloud = node.cloud(file).await.unwrap();
            let health =
                node.service.perform(&node.again(&cloud), &xks::GetHealthStatus { metadata: hyok::metadata() }).await.unwrap();
            health.managers.into_iter().map(|manager| (manager.id, manager.status)).collect::<Vec<_>>()
        }
    };
    let own = (NODE.to_owned(), xks::HealthStatus::Active);
    let token = |status| ("a token".to_owned(), status);
    let (empty, _) = store_named("empty").await;
    assert_eq!(told(&empty).await, std::slice::from_ref(&own));
    let (hardware, name) = store_named("hardware").await;
    node.add_key(&root, name, "one", &there).await.unwrap();
    assert_eq!(told(&hardware).await, [token(xks::HealthStatus::Active)], "and not of what has nothing to do with it");
    let (both, name) = store_named("both").await;
    node.add_key(&root, name, "one", &there).await.unwrap();
    node.add_key(&root, name, "two", &here).await.unwrap();
    assert_eq!(told(&both).await, [own, token(xks::HealthStatus::Active)]);
    behind.gone.store(true, std::sync::atomic::Ordering::Relaxed);
    let (gone, name) = store_named("gone").await;
    node.add_key(&root, name, "one", &there).await.unwrap();
    assert_eq!(told(&gone).await, [token(xks::HealthStatus::Unavailable)]);
    disconnect(&node, &root, &store).await;
    let (disconnected, name) = store_named("disconnected").await;
    node.add_key(&root, name, "one", &there).await.unwrap();
    assert_eq!(told(&disconnected).await, [(store.clone(), xks::HealthStatus::Unavailable)]);
}
