//! What happens when its time has come: deletion, rotation, keys that are made at their first use.

use std::collections::HashSet;
use std::sync::Arc;

use claviger_domain::key::{KeyState, Manager, RotationSchedule, RotationType};
use claviger_domain::{AccountId, Caller, GrantOperation, KeyReference, Kind, Timestamp};
use claviger_service::Settings;
use claviger_service::operations::{admin, kms};
use claviger_store::Store as _;

use crate::common::{
    MINUTE_MS, NODE, Node, START, account, alias, by_arn, create_grant, deployed, encrypt, identity_policy, key_policy, kind_of,
};

fn schedule(key: &claviger_domain::KeyArn) -> kms::ScheduleKeyDeletion {
    kms::ScheduleKeyDeletion { key: by_arn(key), window_days: 7 }
}

fn rotate_every_90_days(key: &claviger_domain::KeyArn) -> kms::EnableKeyRotation {
    kms::EnableKeyRotation { key: by_arn(key), period_days: 90 }
}

/// Everything in the store whose name or content index has to do with this text.
async fn rows_about(node: &Node, text: &str) -> Vec<String> {
    let records = node.store.scan(None, 100_000).await.unwrap();
    records.into_iter().map(|record| record.key.to_string()).filter(|name| name.contains(text)).collect()
}

#[tokio::test]
async fn a_key_is_gone_with_all_that_is_its_own_when_its_time_comes() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (key, other) = (node.create_key(&root).await, node.create_key(&root).await);
    for name in ["first", "second"] {
        node.create_alias(&root, &key, &alias(name)).await;
    }
    node.create_alias(&root, &other, &alias("stays")).await;
    let ciphertext = node.encrypt(&root, &key).await.unwrap();
    let kept = node.encrypt(&root, &other).await.unwrap();
    node.service.flush_last_uses().await.unwrap();
    assert_eq!(rows_about(&node, &key.key.to_string()).await.len(), 2, "the key and its last use");

    // A use that is in memory alone, and in the log.
    node.encrypt(&root, &key).await.unwrap();
    let scheduled = node.service.perform(&node.again(&root), &schedule(&key)).await.unwrap();
    assert_eq!((scheduled.state, scheduled.window_days), (KeyState::PendingDeletion { at: START.plus_days(7) }, 7));
    assert_eq!(kind_of(node.decrypt(&root, &ciphertext).await), Kind::InvalidState, "it cannot be used while it waits");
    node.clock.advance_ms(7 * Timestamp::DAY_MS - 1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0, "not a moment too early");
    assert!(matches!(node.describe(&root, &key).await.unwrap().state, KeyState::PendingDeletion { .. }));

    node.clock.advance_ms(1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(kind_of(node.describe(&root, &key).await), Kind::NotFound);
    assert_eq!(kind_of(node.decrypt(&root, &ciphertext).await), Kind::AccessDenied);
    assert_eq!(kind_of(node.encrypt(&root, &key).await), Kind::NotFound);
    let by_alias = kms::DescribeKey { key: KeyReference::Alias(alias("first")) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &by_alias).await), Kind::NotFound);
    // What was in memory does not bring anything back.
    node.service.flush_last_uses().await.unwrap();
    for gone in [key.key.to_string().as_str(), "alias/first", "alias/second"] {
        assert_eq!(rows_about(&node, gone).await, Vec::<String>::new());
    }
    node.decrypt(&root, &kept).await.unwrap();
    node.create_alias(&root, &other, &alias("first")).await;

    let log = node.log().await;
    let entry = &log.iter().find(|entry| entry.json["eventName"] == "DeleteKey").unwrap().json;
    assert_eq!(entry["eventType"], "AwsServiceEvent");
    assert_eq!(entry["userIdentity"]["invokedBy"], "claviger");
    assert_eq!(entry["resources"][0]["ARN"], key.to_string());
    assert_eq!(entry["serviceEventDetails"]["keyId"], key.key.to_string());
    let changed: Vec<&str> =
        entry["claviger"]["changes"].as_array().unwrap().iter().map(|change| change["kind"].as_str().unwrap()).collect();
    assert!(["key", "alias"].iter().all(|kind| changed.contains(kind)), "{changed:?}");
    assert!(node.service.verify_store().await.unwrap().is_clean());
    node.crash();
    let node = deployment.serve().await;
    node.service.shut_down().await.unwrap();
    assert_eq!(rows_about(&node, &key.key.to_string()).await, Vec::<String>::new(), "reading the log again brings nothing back");
}

#[tokio::test]
async fn a_cancelled_deletion_does_not_happen() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    let ciphertext = node.encrypt(&root, &key).await.unwrap();
    node.service.perform(&node.again(&root), &schedule(&key)).await.unwrap();
    node.clock.advance_days(6);
    node.service.perform(&node.again(&root), &kms::CancelKeyDeletion { key: by_arn(&key) }).await.unwrap();
    node.clock.advance_days(100);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0);
    assert_eq!(node.describe(&root, &key).await.unwrap().state, KeyState::Disabled);
    let again = kms::CancelKeyDeletion { key: by_arn(&key) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &again).await), Kind::InvalidState);
    node.service.perform(&node.again(&root), &kms::EnableKey { key: by_arn(&key) }).await.unwrap();
    node.decrypt(&root, &ciphertext).await.unwrap();
}

#[tokio::test]
async fn more_keys_than_one_page_are_all_handled() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for _ in 0..130 {
        let key = node.create_key(&root).await;
        node.service.perform(&node.again(&root), &schedule(&key)).await.unwrap();
    }
    node.clock.advance_days(8);
    assert_eq!(node.service.run_due_work().await.unwrap(), 130);
    let left = node.service.perform(&node.again(&root), &kms::ListKeys { limit: 1000, marker: None }).await.unwrap();
    assert!(left.items.is_empty());
}

#[tokio::test]
async fn rotation_makes_new_material_and_keeps_the_old() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    let old = node.encrypt(&root, &key).await.unwrap();
    let first = node.decrypt(&root, &old).await.unwrap().material;
    node.service.perform(&node.again(&root), &rotate_every_90_days(&key)).await.unwrap();
    node.clock.advance_ms(90 * Timestamp::DAY_MS - 1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0);
    node.clock.advance_ms(1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0, "once");

    let new = node.encrypt(&root, &key).await.unwrap();
    let second = node.decrypt(&root, &new).await.unwrap().material;
    assert_ne!(first, second);
    let opened = node.decrypt(&root, &old).await.unwrap();
    assert_eq!((opened.material, opened.plaintext.plaintext().unwrap()), (first, &b"attack at dawn"[..]));
    let described = node.describe(&root, &key).await.unwrap();
    assert_eq!(described.rotation, Some(RotationSchedule { period_days: 90, next: START.plus_days(180) }));
    assert_eq!(described.materials.iter().map(|m| m.rotation).collect::<Vec<_>>(), [None, Some(RotationType::Automatic)]);
    let log = node.log().await;
    let entry = &log.iter().rev().find(|entry| entry.json["eventName"] == "RotateKey").unwrap().json;
    assert_eq!(entry["serviceEventDetails"]["rotationType"], "AUTOMATIC");
    assert_eq!(entry["eventType"], "AwsServiceEvent");
}

#[tokio::test]
async fn a_long_stop_makes_one_rotation() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    node.service.perform(&node.again(&root), &rotate_every_90_days(&key)).await.unwrap();
    node.crash();
    deployment.clock.advance_days(1000);
    let node = deployment.serve().await;
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0);
    let described = node.describe(&root, &key).await.unwrap();
    assert_eq!(described.materials.len(), 2);
    assert_eq!(described.rotation.unwrap().next, START.plus_days(1090));
    // A late worker does not shift the dates that were announced.
    node.clock.advance_ms(90 * Timestamp::DAY_MS + 5 * MINUTE_MS);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(node.describe(&root, &key).await.unwrap().rotation.unwrap().next, START.plus_days(1180));
}

#[tokio::test]
async fn a_disabled_key_is_rotated_when_it_is_enabled_again() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    node.service.perform(&node.again(&root), &rotate_every_90_days(&key)).await.unwrap();
    node.service.perform(&node.again(&root), &kms::DisableKey { key: by_arn(&key) }).await.unwrap();
    node.clock.advance_days(100);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0);
    node.service.perform(&node.again(&root), &kms::EnableKey { key: by_arn(&key) }).await.unwrap();
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(node.describe(&root, &key).await.unwrap().materials.len(), 2);
}

#[tokio::test]
async fn the_next_date_follows_the_period() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    let next = async |period_days| {
        let operation = kms::EnableKeyRotation { key: by_arn(&key), period_days };
        node.service.perform(&node.again(&root), &operation).await.unwrap();
        let status = kms::GetKeyRotationStatus { key: by_arn(&key) };
        node.service.perform(&node.again(&root), &status).await.unwrap().schedule.unwrap().next
    };
    assert_eq!(next(365).await, START.plus_days(365));
    node.clock.advance_days(10);
    assert_eq!(next(365).await, START.plus_days(365), "asking again for the same puts nothing off");
    assert_eq!(next(90).await, START.plus_days(100));
    node.service.perform(&node.again(&root), &kms::DisableKeyRotation { key: by_arn(&key) }).await.unwrap();
    let status = kms::GetKeyRotationStatus { key: by_arn(&key) };
    assert!(node.service.perform(&node.again(&root), &status).await.unwrap().schedule.is_none());
    node.clock.advance_days(1000);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0);
}

#[tokio::test]
async fn on_demand_a_key_is_rotated_twenty_five_times() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    node.service.perform(&node.again(&root), &rotate_every_90_days(&key)).await.unwrap();
    let rotate = kms::RotateKeyOnDemand { key: by_arn(&key) };
    let mut ciphertexts = vec![node.encrypt(&root, &key).await.unwrap()];
    for _ in 0..25 {
        node.service.perform(&node.again(&root), &rotate).await.unwrap();
        ciphertexts.push(node.encrypt(&root, &key).await.unwrap());
    }
    let refusal = node.service.perform(&node.again(&root), &rotate).await.unwrap_err();
    assert_eq!(refusal.kind, Kind::LimitExceeded);
    assert!(refusal.detail.ends_with(&key.to_string()), "{refusal}");
    let mut materials = HashSet::new();
    for ciphertext in &ciphertexts {
        materials.insert(node.decrypt(&root, ciphertext).await.unwrap().material);
    }
    assert_eq!(materials.len(), 26, "each rotation made material of its own, and all of it still opens");
    assert_eq!(
        node.describe(&root, &key).await.unwrap().rotation.unwrap().next,
        START.plus_days(90),
        "the schedule is as it was"
    );
    node.clock.advance_days(90);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1, "the automatic rotation does not count");
    let disabled = node.create_key(&root).await;
    node.service.perform(&node.again(&root), &kms::DisableKey { key: by_arn(&disabled) }).await.unwrap();
    let rotate = kms::RotateKeyOnDemand { key: by_arn(&disabled) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &rotate).await), Kind::Disabled);
}

#[tokio::test]
async fn no_rotation_on_demand_right_after_an_automatic_one() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    let rotate = kms::RotateKeyOnDemand { key: by_arn(&key) };
    node.service.perform(&node.again(&root), &rotate_every_90_days(&key)).await.unwrap();
    node.clock.advance_days(90);
    node.service.run_due_work().await.unwrap();
    node.clock.advance_ms(20 * MINUTE_MS - 1);
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &rotate).await), Kind::Conflict);
    node.clock.advance_ms(1);
    node.service.perform(&node.again(&root), &rotate).await.unwrap();
    assert_eq!(node.describe(&root, &key).await.unwrap().materials.len(), 3);
}

fn by_service_alias() -> KeyReference {
    KeyReference::Alias(alias("aws/s3"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_service_managed_key_is_made_once_however_many_ask() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..32 {
        let (service, caller) = (Arc::clone(&node.service), node.again(&root));
        tasks.spawn(async move {
            if number % 2 == 0 {
                service.perform(&caller, &kms::DescribeKey { key: by_service_alias() }).await.map(|key| key.arn().to_string())
            } else {
                service.perform(&caller, &encrypt(by_service_alias(), b"x")).await.map(|answer| answer.key_arn)
            }
        });
    }
    let mut answers = HashSet::new();
    while let Some(done) = tasks.join_next().await {
        answers.insert(done.unwrap().unwrap());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    let keys = node.service.perform(&node.again(&root), &kms::ListKeys { limit: 10, marker: None }).await.unwrap();
    assert_eq!(keys.items.iter().map(ToString::to_string).collect::<HashSet<_>>(), answers);
    assert_eq!(keys.items.len(), 1);
    let made = node.log().await.into_iter().filter(|entry| entry.json["eventName"] == "CreateKey").count();
    assert_eq!(made, 1);
    assert!(node.service.verify_store().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_service_managed_key_serves_its_account_and_nobody_changes_it() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let nobody = node.create_user(&root, "nobody", &[]).await;
    let answer = node.service.perform(&node.again(&nobody), &encrypt(by_service_alias(), b"x")).await.unwrap();
    let key = node.service.perform(&node.again(&root), &kms::DescribeKey { key: by_service_alias() }).await.unwrap();
    assert_eq!((key.manager, key.arn().to_string()), (Manager::Service, answer.key_arn));
    let arn = key.arn();
    let stranger = node.create_account(&deployment.administrator(), 42).await;
    assert_eq!(kind_of(node.encrypt(&stranger, &arn).await), Kind::AccessDenied);
    let denied: [(&str, Kind); 5] = [
        ("schedule", kind_of(node.service.perform(&node.again(&root), &schedule(&arn)).await)),
        ("disable", kind_of(node.service.perform(&node.again(&root), &kms::DisableKey { key: by_arn(&arn) }).await)),
        ("rotate", kind_of(node.service.perform(&node.again(&root), &kms::RotateKeyOnDemand { key: by_arn(&arn) }).await)),
        (
            "switch rotation off",
            kind_of(node.service.perform(&node.again(&root), &kms::DisableKeyRotation { key: by_arn(&arn) }).await),
        ),
        ("alias", kind_of(node.service.perform(&node.again(&root), &kms::DeleteAlias { alias: alias("aws/s3") }).await)),
    ];
    for (what, kind) in denied {
        assert_eq!(kind, if what == "alias" { Kind::Reserved } else { Kind::AccessDenied }, "{what}");
    }
    let policy = kms::PutKeyPolicy {
        key: by_arn(&arn),
        name: None,
        policy: key_policy(&[("Allow", &root.identity.arn, "kms:*")]),
        bypass_lockout_check: true,
    };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &policy).await), Kind::AccessDenied);
    node.clock.advance_days(365);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1, "it is rotated every year");
    assert_eq!(node.decrypt(&nobody, &answer.ciphertext).await.unwrap().plaintext.plaintext().unwrap(), b"x");
}

/// Nothing is made by who may not have it, or only asks what would be.
#[tokio::test]
async fn a_service_managed_key_is_made_for_who_may_use_it_only() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let denied = node.create_user(&root, "denied", &[&identity_policy("Deny", &["kms:*"])]).await;
    let simulator = node.create_user(&root, "simulator", &[&identity_policy("Allow", &["claviger:SimulatePolicy"])]).await;
    let keys = async || node.store.count(claviger_store::RecordKind::Key, None).await.unwrap();

    let refusal = node.service.perform(&node.again(&denied), &encrypt(by_service_alias(), b"x")).await.err().unwrap();
    assert_eq!(refusal.kind, Kind::AccessDenied);
    let describe = kms::DescribeKey { key: by_service_alias() };
    assert_eq!(kind_of(node.service.perform(&node.again(&denied), &describe).await), Kind::AccessDenied);
    assert_eq!(keys().await, 0, "not by who may not use it");

    let rehearsal = kms::Encrypt { dry_run: true, ..encrypt(by_service_alias(), b"x") };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &rehearsal).await), Kind::DryRun);
    assert_eq!(kind_of(node.service.perform(&node.again(&denied), &rehearsal).await), Kind::AccessDenied);
    let simulation = admin::SimulatePolicy {
        account: None,
        principal: admin::SimulatedPrincipal::Root,
        action: "kms:Encrypt".to_owned(),
        key: Some(by_service_alias()),
        context: claviger_domain::EncryptionContext::default(),
        conditions: std::collections::BTreeMap::new(),
    };
    let simulated = node.service.perform(&node.again(&simulator), &simulation).await.unwrap();
    assert_eq!(simulated.verdict, admin::Verdict::Allowed);
    assert_eq!(keys().await, 0, "not by who only wants to know");

    let key = node.service.perform(&node.again(&root), &describe).await.unwrap().arn().to_string();
    assert_eq!(keys().await, 1);
    assert_eq!(simulated.resource, key, "what would be asked about is what is made");
    assert!(refusal.detail.contains(&key), "{refusal}");
    assert_eq!(node.service.perform(&node.again(&root), &encrypt(by_service_alias(), b"x")).await.unwrap().key_arn, key);
}

#[tokio::test]
async fn a_service_managed_key_needs_room_and_a_region_that_is_served() {
    let (deployment, node) = deployed().await;
    node.shut_down().await;
    let store = deployment.store();
    let port = Arc::clone(&store) as Arc<dyn claviger_store::Store>;
    let mut settings = Settings::for_node(NODE);
    settings.regions = Some(vec![crate::common::region()]);
    settings.quotas.every.resources.keys = 1;
    let node = deployment.serve_through(store, port, settings).await.unwrap();
    let root = deployment.root();
    let describe = |name: &str| kms::DescribeKey { key: KeyReference::Alias(alias(name)) };
    let mut elsewhere = node.again(&root);
    elsewhere.request.region = crate::common::elsewhere();
    assert_eq!(kind_of(node.service.perform(&elsewhere, &describe("aws/s3")).await), Kind::NotFound);
    node.service.perform(&node.again(&root), &describe("aws/s3")).await.unwrap();
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &describe("aws/ebs")).await), Kind::LimitExceeded);
    node.service.perform(&node.again(&root), &describe("aws/s3")).await.unwrap();
    assert_eq!(node.store.count(claviger_store::RecordKind::Key, None).await.unwrap(), 1);
}

/// A grant gives the use of a key to anybody. Without a policy of its own, nobody takes the key out of the account with one.
#[tokio::test]
async fn nobody_grants_the_use_of_a_service_managed_key_to_others() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let nobody = node.create_user(&root, "nobody", &[]).await;
    let everything = node.create_user(&root, "everything", &[&identity_policy("Allow", &["kms:*"])]).await;
    let stranger = node.create_account(&deployment.administrator(), 42).await;
    let ciphertext = node.service.perform(&node.again(&nobody), &encrypt(by_service_alias(), b"x")).await.unwrap().ciphertext;
    let key = node.service.perform(&node.again(&root), &kms::DescribeKey { key: by_service_alias() }).await.unwrap().arn();
    let grant = create_grant(&key, &stranger.identity.arn, &[GrantOperation::Decrypt]);
    for caller in [&nobody, &everything, &root] {
        assert_eq!(kind_of(node.create_grant(caller, &grant).await), Kind::AccessDenied, "{}", caller.identity);
    }
    assert_eq!(kind_of(node.decrypt(&stranger, &ciphertext).await), Kind::AccessDenied);
}

#[tokio::test]
async fn keys_are_made_for_known_services_in_tenants_accounts_only() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let describe = async |caller: &Caller, name: &str| {
        let operation = kms::DescribeKey { key: KeyReference::Alias(alias(name)) };
        node.service.perform(&node.again(caller), &operation).await.map(|key| key.id)
    };
    assert_eq!(kind_of(describe(&root, "aws/nonsense").await), Kind::NotFound);
    assert_eq!(kind_of(describe(&deployment.administrator(), "aws/s3").await), Kind::NotFound);
    // Not in another account, whose owner has not asked for it.
    let stranger = node.create_account(&deployment.administrator(), 42).await;
    let foreign = claviger_domain::AliasArn { region: crate::common::region(), account: account(), alias: alias("aws/s3") };
    let operation = kms::DescribeKey { key: KeyReference::AliasArn(foreign) };
    assert_eq!(kind_of(node.service.perform(&node.again(&stranger), &operation).await), Kind::AccessDenied);
    assert_eq!(node.store.count(claviger_store::RecordKind::Key, None).await.unwrap(), 0);
    let everything = identity_policy("Allow", &["kms:*"]);
    let user = node.create_user(&root, "user", &[&everything]).await;
    let mine = describe(&user, "aws/s3").await.unwrap();
    assert_eq!(describe(&root, "aws/s3").await.unwrap(), mine);
    assert_ne!(describe(&root, "aws/ebs").await.unwrap(), mine);
    assert_ne!(describe(&stranger, "aws/s3").await.unwrap(), mine, "each account has its own");
    let mut elsewhere = node.again(&root);
    elsewhere.request.region = "eu-central-1".parse().unwrap();
    let there = node.service.perform(&elsewhere, &kms::DescribeKey { key: by_service_alias() }).await.unwrap();
    assert_ne!(there.id, mine, "each Region has its own");
    assert_eq!(AccountId::DEPLOYMENT.number(), 0);
}
