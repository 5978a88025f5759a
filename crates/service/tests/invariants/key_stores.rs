//! Custom key stores: their states, whoever is quickest, and however often the server is restarted.

use std::sync::Arc;

use claviger_domain::key_store::{ConnectionError, ConnectionState, KeyStore, KeyStoreId};
use claviger_domain::{Caller, Kind};
use claviger_service::Settings;
use claviger_service::key_stores::{Connecting, KeyStoreConnector};
use claviger_service::operations::kms::{self, ProxyUpdate};
use claviger_store::Store;
use serde_json::json;

use crate::common::key_stores::{all, create, rename, the_only_one};
use crate::common::{Deployment, NODE, Node, deployed, kind_of};

/// What reaches everything.
#[derive(Debug)]
struct Reaching;

impl KeyStoreConnector for Reaching {
    fn connect<'a>(&'a self, _id: &'a KeyStoreId, _store: &'a KeyStore) -> Connecting<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A node that reaches what stands behind its stores.
async fn reaching() -> (Deployment, Node) {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let port: Arc<dyn Store> = Arc::clone(&store) as _;
    let settings = Settings { key_store_connector: Arc::new(Reaching), ..Settings::for_node(NODE) };
    let node = deployment.serve_through(store, port, settings).await.unwrap();
    (deployment, node)
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
