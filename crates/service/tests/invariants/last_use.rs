//! When a key or a credential was last used is known exactly, whatever happens to the process.

use std::sync::Arc;

use claviger_domain::key::LastUse;
use claviger_domain::policy::default_key_policy;
use claviger_domain::{AccessKeyId, Caller, KeyArn, Kind};
use claviger_service::Settings;
use claviger_service::operations::{admin, kms};
use claviger_store::Store;

use crate::common::operations::{Subject, data_key, re_encrypt};
use crate::common::stores::{Late, Shared};
use crate::common::{
    Deployment, MINUTE_MS, NODE, Node, account, by_arn, decrypt, deployed, encrypt, generate_random, identity_policy, key_policy,
    kind_of, root_arn,
};

async fn of_key(node: &Node, root: &Caller, key: &KeyArn) -> Option<LastUse> {
    let operation = kms::GetKeyLastUsage { key: by_arn(key) };
    node.service.perform(&node.again(root), &operation).await.unwrap().last
}

/// Of an account's root or one of its users, as the administrator sees it: without the requests of whoever asks.
async fn of_access_key(node: &Node, asks: &Caller, of: &Caller, id: &AccessKeyId) -> Option<LastUse> {
    let user = match &of.identity.principal {
        claviger_domain::Principal::Root => None,
        claviger_domain::Principal::User(name) => Some(name.clone()),
        other => panic!("{other:?} has no access keys"),
    };
    let operation = admin::ListAccessKeys { account: Some(of.identity.account), user };
    let listed = node.service.perform(&node.again(asks), &operation).await.unwrap();
    listed.into_iter().find(|listed| listed.key.id == *id).unwrap().last
}

/// What the log says that the last use of `caller`'s request was.
async fn told(node: &Node, caller: &Caller, operation: &str) -> LastUse {
    let entries = node.entries_of(caller).await;
    assert_eq!(entries.len(), 1);
    LastUse {
        operation: operation.to_owned(),
        at: caller.request.at,
        event_id: entries[0].json["eventID"].as_str().unwrap().to_owned(),
        request_id: caller.request.id.to_string(),
    }
}

#[tokio::test]
async fn it_is_exact_at_once_after_a_crash_and_after_a_good_end() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (key, unused) = (node.create_key(&root).await, node.create_key(&root).await);
    assert_eq!(of_key(&node, &root, &key).await, None);
    node.encrypt(&root, &key).await.unwrap();
    node.clock.advance_ms(MINUTE_MS);
    let caller = node.again(&root);
    node.service.perform(&caller, &data_key(&key)).await.unwrap();
    let expected = told(&node, &caller, "GenerateDataKey").await;
    assert_eq!(of_key(&node, &root, &key).await.as_ref(), Some(&expected));

    node.crash();
    let node = deployment.serve().await;
    assert_eq!(of_key(&node, &root, &key).await.as_ref(), Some(&expected), "read from the log");
    node.shut_down().await;
    let node = deployment.serve().await;
    assert_eq!(of_key(&node, &root, &key).await.as_ref(), Some(&expected), "written out");

    // Written out, used again, and then a crash: the newer one counts. Twice, so that the log is read from more than one place.
    for _ in 0..2 {
        node.service.flush_last_uses().await.unwrap();
        node.clock.advance_ms(MINUTE_MS);
        let caller = node.again(&root);
        node.service.perform(&caller, &encrypt(by_arn(&key), b"x")).await.unwrap();
        assert_eq!(of_key(&node, &root, &key).await, Some(told(&node, &caller, "Encrypt").await));
    }
    let expected = of_key(&node, &root, &key).await;
    node.crash();
    let node = deployment.serve().await;
    assert_eq!(of_key(&node, &root, &key).await, expected);
    assert_eq!(of_key(&node, &root, &unused).await, None, "looking at a key is not using it");
}

#[tokio::test]
async fn only_successful_cryptography_counts() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
    let nobody = node.create_user(&root, "nobody", &[]).await;
    let before = of_key(&node, &root, &subject.key).await.unwrap();
    node.clock.advance_ms(MINUTE_MS);
    assert_eq!(kind_of(node.encrypt(&nobody, &subject.key).await), Kind::AccessDenied);
    let dry = kms::GenerateDataKey { dry_run: true, ..data_key(&subject.key) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &dry).await), Kind::DryRun);
    let mut broken = subject.made.clone();
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(kind_of(node.decrypt(&root, &broken).await), Kind::InvalidCiphertext);
    node.describe(&root, &subject.key).await.unwrap();
    node.service.perform(&node.again(&root), &kms::RotateKeyOnDemand { key: by_arn(&subject.key) }).await.unwrap();
    assert_eq!(of_key(&node, &root, &subject.key).await, Some(before.clone()));
    node.crash();
    let node = deployment.serve().await;
    assert_eq!(of_key(&node, &root, &subject.key).await, Some(before), "the log is read by the same rules");
}

#[tokio::test]
async fn both_keys_of_a_re_encryption_and_keys_of_other_accounts_count() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), 42).await;
    let shared = key_policy(&[("Allow", &root_arn(account()), "kms:*"), ("Allow", &stranger.identity.arn, "kms:*")]);
    let subject = Subject::new(&node, &root, &shared).await;
    node.clock.advance_ms(MINUTE_MS);
    let caller = node.again(&stranger);
    node.service.perform(&caller, &re_encrypt(&subject)).await.unwrap();
    let expected = told(&node, &caller, "ReEncrypt").await;
    for restarted in [false, true] {
        let node = if restarted { &deployment.serve().await } else { &node };
        for key in [&subject.key, &subject.other_key] {
            assert_eq!(of_key(node, &root, key).await.as_ref(), Some(&expected));
        }
        node.store.close();
    }
}

#[tokio::test]
async fn access_keys_have_one_too() {
    let (deployment, node) = deployed().await;
    let (root, administrator) = (deployment.root(), deployment.administrator());
    let user = node.create_user(&root, "user", &[&identity_policy("Allow", &["kms:ListKeys"])]).await;
    assert_eq!(of_access_key(&node, &administrator, &user, &user.access_key).await, None);
    let caller = node.again(&user);
    node.service.perform(&caller, &kms::ListKeys { limit: 1, marker: None }).await.unwrap();
    let expected = told(&node, &caller, "ListKeys").await;
    node.clock.advance_ms(MINUTE_MS);
    // Who is not allowed has not used the key for anything. As in AWS this is not a use here: the request failed.
    assert_eq!(kind_of(node.service.perform(&node.again(&user), &generate_random(8)).await), Kind::AccessDenied);
    assert_eq!(of_access_key(&node, &administrator, &user, &user.access_key).await.as_ref(), Some(&expected));
    let caller = node.again(&root);
    node.service.perform(&caller, &generate_random(8)).await.unwrap();
    let of_root = told(&node, &caller, "GenerateRandom").await;
    node.crash();
    let node = deployment.serve().await;
    for _ in 0..2 {
        assert_eq!(of_access_key(&node, &administrator, &user, &user.access_key).await.as_ref(), Some(&expected));
        assert_eq!(of_access_key(&node, &administrator, &root, &root.access_key).await.as_ref(), Some(&of_root));
        node.service.shut_down().await.unwrap();
    }
}

#[tokio::test]
async fn the_last_use_of_a_deleted_credential_goes_with_it_and_stays_away() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let user = node.create_user(&root, "user", &[]).await;
    let operation = claviger_service::operations::sts::GetCallerIdentity;
    let rows = async |node: &Node| {
        let records = node.store.scan(None, 1000).await.unwrap();
        records.into_iter().filter(|record| record.key.id == user.access_key.as_str()).count()
    };
    node.service.perform(&node.again(&user), &operation).await.unwrap();
    node.service.flush_last_uses().await.unwrap();
    assert_eq!(rows(&node).await, 2, "the credential and its last use");
    node.service.perform(&node.again(&user), &operation).await.unwrap();
    let delete = admin::DeleteAccessKey { account: None, id: user.access_key.clone() };
    node.service.perform(&node.again(&root), &delete).await.unwrap();
    node.service.flush_last_uses().await.unwrap();
    assert_eq!(rows(&node).await, 0);
    node.crash();
    let node = deployment.serve().await;
    node.service.shut_down().await.unwrap();
    assert_eq!(rows(&node).await, 0, "reading the log again brings nothing back");
}

#[tokio::test]
async fn a_node_does_not_put_an_older_use_over_a_newer_one_of_another_node() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let [one, other] = Shared::between(&store);
    let one = deployment.serve_through(Arc::clone(&store), one, Settings::for_node(NODE)).await.unwrap();
    let other = deployment.serve_through(store, other, Settings::for_node("node-2")).await.unwrap();
    let root = deployment.root();
    let key = one.create_key(&root).await;
    one.encrypt(&root, &key).await.unwrap();
    deployment.clock.advance_ms(MINUTE_MS);
    let caller = other.again(&root);
    other.service.perform(&caller, &data_key(&key)).await.unwrap();
    let expected = told(&other, &caller, "GenerateDataKey").await;
    other.service.shut_down().await.unwrap();
    one.service.shut_down().await.unwrap();
    for node in [&one, &other] {
        assert_eq!(of_key(node, &root, &key).await.as_ref(), Some(&expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writing_out_while_keys_are_used_loses_nothing() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let mut keys = Vec::new();
    for _ in 0..8 {
        keys.push(node.create_key(&root).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for key in keys.clone() {
        let (service, clock, root) = (Arc::clone(&node.service), Arc::clone(&node.clock), root.clone());
        tasks.spawn(async move {
            let mut last = None;
            for _ in 0..25 {
                clock.advance_ms(1);
                let caller = crate::common::again(&root, claviger_service::Clock::now(clock.as_ref()));
                service.perform(&caller, &encrypt(by_arn(&key), b"x")).await.unwrap();
                last = Some(caller.request.id.to_string());
            }
            (key, last.unwrap())
        });
    }
    let flushing = tokio::spawn({
        let service = Arc::clone(&node.service);
        async move {
            loop {
                service.flush_last_uses().await.unwrap();
            }
        }
    });
    let mut expected = Vec::new();
    while let Some(done) = tasks.join_next().await {
        expected.push(done.unwrap());
    }
    flushing.abort();
    assert!(flushing.await.unwrap_err().is_cancelled());
    for (key, request) in &expected {
        assert_eq!(&of_key(&node, &root, key).await.unwrap().request_id, request);
    }
    node.crash();
    let node = deployment.serve().await;
    for (key, request) in &expected {
        assert_eq!(&of_key(&node, &root, key).await.unwrap().request_id, request, "after a crash");
    }
    let ciphertext = node.encrypt(&root, &expected[0].0).await.unwrap();
    node.service.perform(&node.again(&root), &decrypt(&ciphertext)).await.unwrap();
    assert_eq!(of_key(&node, &root, &expected[0].0).await.unwrap().operation, "Decrypt");
}

/// The use is in the log, and its request has not got so far as to note it, when what is in memory is written out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_that_is_noted_late_is_not_lost() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let late = Late::before(&store);
    let port = Arc::clone(&late) as Arc<dyn Store>;
    let node = deployment.serve_through(store, port, Settings::for_node(NODE)).await.unwrap();
    let root = deployment.root();
    let key = node.create_key(&root).await;
    late.hold_answers(true);
    let (size, caller) = (node.log_size().await, node.again(&root));
    let using = tokio::spawn({
        let (service, caller, key) = (Arc::clone(&node.service), caller.clone(), key.clone());
        async move { service.perform(&caller, &encrypt(by_arn(&key), b"x")).await.map(drop) }
    });
    while node.log_size().await == size {
        tokio::task::yield_now().await;
    }
    node.service.flush_last_uses().await.unwrap();
    using.abort();
    assert!(using.await.unwrap_err().is_cancelled());
    let expected = told(&node, &caller, "Encrypt").await;
    node.crash();
    let node = deployment.serve().await;
    assert_eq!(of_key(&node, &root, &key).await, Some(expected));
}
