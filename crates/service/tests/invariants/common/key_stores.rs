//! Custom key stores to try things on.

use claviger_domain::Caller;
use claviger_domain::key_store::{Connectivity, KeyStore, KeyStoreId};
use claviger_service::operations::kms::{self, NewBacking};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Node;

/// What somebody asks for who has a proxy of their own.
pub(crate) fn create(name: &str) -> kms::CreateCustomKeyStore {
    let backing = NewBacking::External {
        connectivity: Connectivity::Public,
        endpoint: format!("https://{}.example.com", Uuid::new_v4()),
        path: "/kms/xks/v1".to_owned(),
        vpc_service: None,
        access_key: "ABCDEFGHIJKLMNOPQRST".to_owned(),
        secret: Zeroizing::new("the secret of a proxy".to_owned()),
    };
    kms::CreateCustomKeyStore { name: name.to_owned(), backing }
}

pub(crate) fn rename(store: &str, name: &str) -> kms::UpdateCustomKeyStore {
    let (cluster, proxy) = (kms::ClusterUpdate::default(), kms::ProxyUpdate::default());
    kms::UpdateCustomKeyStore { store: store.to_owned(), name: Some(name.to_owned()), cluster, proxy }
}

pub(crate) fn describe_all() -> kms::DescribeCustomKeyStores {
    kms::DescribeCustomKeyStores { which: kms::WhichKeyStores::All, limit: 100, marker: None }
}

pub(crate) async fn all(node: &Node, caller: &Caller) -> Vec<(KeyStoreId, KeyStore)> {
    node.service.perform(&node.again(caller), &describe_all()).await.unwrap().items
}

/// The one store that there is in the account afterwards; perhaps on its way to be connected.
pub(crate) async fn the_only_one(node: &Node, root: &Caller, connecting: bool) -> String {
    for (id, _) in all(node, root).await {
        let store = id.to_string();
        // It may be disconnected already.
        let _ = node.service.perform(&node.again(root), &kms::DisconnectCustomKeyStore { store: store.clone() }).await;
        node.service.perform(&node.again(root), &kms::DeleteCustomKeyStore { store }).await.unwrap();
    }
    let made = node.service.perform(&node.again(root), &create("the only one")).await.unwrap();
    let store = made.to_string();
    if connecting {
        node.service.perform(&node.again(root), &kms::ConnectCustomKeyStore { store: store.clone() }).await.unwrap();
    }
    store
}

/// What somebody asks for who has a cluster of their own.
pub(crate) fn create_cluster(name: &str) -> kms::CreateCustomKeyStore {
    let backing = NewBacking::CloudHsm {
        cluster: "cluster-abcdefg2345".to_owned(),
        trust_anchor: rcgen::generate_simple_self_signed(vec!["customerCA".to_owned()]).unwrap().cert.pem(),
        password: Zeroizing::new("kmsuser's password".to_owned()),
    };
    kms::CreateCustomKeyStore { name: name.to_owned(), backing }
}
