//! Multi-Region keys: what related keys share they share at every moment, and everything else is their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use claviger_domain::key::{ImportType, Key, KeyState, MultiRegion, MultiRegionKeyType, Origin, Pending, RotationType};
use claviger_domain::{Caller, KeyArn, KeyReference, Kind, Refusal, Region, Timestamp};
use claviger_service::operations::kms;
use claviger_service::{Operation, Settings};
use claviger_store::Store;

use crate::common::{
    Deployment, NODE, Node, START, account, alias, by_arn, create_key, decrypt, deployed, elsewhere, encrypt, identity_policy,
    imports, key_policy, kind_of, region, replicate_key, root_arn,
};

const DAY: i64 = Timestamp::DAY_MS;

fn third() -> Region {
    "ap-southeast-2".parse().unwrap()
}

fn there(key: &KeyArn, region: &Region) -> KeyArn {
    KeyArn { region: region.clone(), ..key.clone() }
}

/// The caller with a new request in the Region of a key.
fn at(node: &Node, caller: &Caller, key: &KeyArn) -> Caller {
    let mut caller = node.again(caller);
    caller.request.region = key.region.clone();
    caller
}

/// Performs an operation in the Region of a key.
async fn perform<O: Operation>(node: &Node, caller: &Caller, key: &KeyArn, operation: &O) -> Result<O::Output, Refusal> {
    node.service.perform(&at(node, caller, key), operation).await
}

async fn describe(node: &Node, caller: &Caller, key: &KeyArn) -> Key {
    perform(node, caller, key, &kms::DescribeKey { key: by_arn(key) }).await.unwrap()
}

async fn sealed_by(node: &Node, caller: &Caller, key: &KeyArn) -> Vec<u8> {
    perform(node, caller, key, &encrypt(by_arn(key), b"attack at dawn")).await.unwrap().ciphertext
}

async fn schedule(node: &Node, caller: &Caller, key: &KeyArn, window_days: u32) -> kms::ScheduledDeletion {
    perform(node, caller, key, &kms::ScheduleKeyDeletion { key: by_arn(key), window_days }).await.unwrap()
}

/// A primary key in us-east-1 and its replicas.
async fn replicated(node: &Node, root: &Caller, regions: &[Region]) -> (KeyArn, Vec<KeyArn>) {
    let primary = node.create_multi_region_key(root).await;
    let mut replicas = Vec::new();
    for region in regions {
        perform(node, root, &primary, &replicate_key(&primary, region)).await.unwrap();
        replicas.push(there(&primary, region));
    }
    (primary, replicas)
}

/// What related keys must agree on, whatever happened: asked of each of them, and of every version of the material.
async fn check_agreement(node: &Node, root: &Caller, primary: &KeyArn, replicas: &[&KeyArn]) {
    let kin = MultiRegion {
        primary: primary.region.clone(),
        replicas: replicas.iter().map(|replica| replica.region.clone()).collect::<BTreeSet<_>>(),
    };
    let decides = describe(node, root, primary).await;
    assert_eq!(decides.multi_region_type(), Some(MultiRegionKeyType::Primary));
    for arn in std::iter::once(&primary).chain(replicas) {
        let key = describe(node, root, arn).await;
        assert_eq!(key.arn(), **arn);
        assert_eq!(key.multi_region.as_deref(), Some(&kin), "{arn}");
        assert_eq!(key.rotation, decides.rotation, "{arn}");
        let versions = |key: &Key| key.materials.iter().map(|m| (m.id, m.created, m.rotation)).collect::<Vec<_>>();
        assert_eq!(versions(&key), versions(&decides), "{arn}");
        let kind = if *arn == primary { MultiRegionKeyType::Primary } else { MultiRegionKeyType::Replica };
        assert_eq!(key.multi_region_type(), Some(kind), "{arn}");
    }
    assert!(node.service.verify_store().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_ciphertext_of_a_multi_region_key_opens_wherever_the_key_is() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (primary, replicas) = replicated(&node, &root, &[elsewhere(), third()]).await;
    assert!(primary.key.to_string().starts_with("mrk-"));
    let all = [&primary, &replicas[0], &replicas[1]];
    for from in all {
        let ciphertext = sealed_by(&node, &root, from).await;
        for to in all {
            for named in [None, Some(by_arn(to)), Some(KeyReference::Id(to.key))] {
                let operation = kms::Decrypt { key: named, ..decrypt(&ciphertext) };
                let opened = perform(&node, &root, to, &operation).await.unwrap();
                assert_eq!((opened.plaintext.plaintext().unwrap(), opened.key_arn), (&b"attack at dawn"[..], to.to_string()));
            }
        }
        let nowhere = KeyArn { region: "sa-east-1".parse().unwrap(), ..primary.clone() };
        assert_eq!(kind_of(perform(&node, &root, &nowhere, &decrypt(&ciphertext)).await), Kind::AccessDenied);
    }
    // A single-Region key's ciphertext opens in its own Region only.
    let single = node.create_key(&root).await;
    let ciphertext = node.encrypt(&root, &single).await.unwrap();
    node.decrypt(&root, &ciphertext).await.unwrap();
    assert_eq!(kind_of(perform(&node, &root, &replicas[0], &decrypt(&ciphertext)).await), Kind::AccessDenied);
    let named = kms::Decrypt { key: Some(by_arn(&replicas[0])), ..decrypt(&ciphertext) };
    assert_eq!(kind_of(perform(&node, &root, &replicas[0], &named).await), Kind::IncorrectKey);
    check_agreement(&node, &root, &primary, &[&replicas[0], &replicas[1]]).await;
    // What the process has opened is not what makes it work.
    let ciphertext = sealed_by(&node, &root, &primary).await;
    node.shut_down().await;
    let node = deployment.serve().await;
    perform(&node, &root, &replicas[1], &decrypt(&ciphertext)).await.unwrap();
}

#[tokio::test]
async fn a_ciphertext_of_another_accounts_multi_region_key_opens_where_that_account_allows_it() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), 210_987_654_321).await;
    let shared = key_policy(&[("Allow", &root_arn(account()), "kms:*"), ("Allow", &stranger.identity.arn, "kms:Decrypt")]);
    let primary = node.create_multi_region_key(&root).await;
    let operation = kms::ReplicateKey { policy: Some(shared), ..replicate_key(&primary, &elsewhere()) };
    perform(&node, &root, &primary, &operation).await.unwrap();
    let ciphertext = sealed_by(&node, &root, &primary).await;
    assert_eq!(kind_of(perform(&node, &stranger, &primary, &decrypt(&ciphertext)).await), Kind::AccessDenied);
    let replica = there(&primary, &elsewhere());
    assert_eq!(perform(&node, &stranger, &replica, &decrypt(&ciphertext)).await.unwrap().key_arn, replica.to_string());
}

#[tokio::test]
async fn policy_tags_aliases_description_and_state_are_each_keys_own() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let primary = node.create_multi_region_key(&root).await;
    node.create_alias(&root, &primary, &alias("here")).await;
    let tagged = kms::TagResource { key: by_arn(&primary), tags: BTreeMap::from([("a".to_owned(), "1".to_owned())]) };
    node.service.perform(&node.again(&root), &tagged).await.unwrap();
    node.clock.advance_days(1);
    let replica = perform(&node, &root, &primary, &replicate_key(&primary, &elsewhere())).await.unwrap();
    assert_eq!((replica.state, replica.created), (KeyState::Enabled, START.plus_days(1)));
    assert!(replica.tags.is_empty() && replica.aliases.is_empty() && replica.description.is_empty());
    assert_eq!(*replica.policy, claviger_domain::policy::default_key_policy(account()));
    let replica = replica.arn();

    perform(&node, &root, &replica, &kms::DisableKey { key: by_arn(&replica) }).await.unwrap();
    let described = kms::UpdateKeyDescription { key: by_arn(&replica), description: "there".to_owned() };
    perform(&node, &root, &replica, &described).await.unwrap();
    perform(&node, &root, &replica, &kms::CreateAlias { alias: alias("there"), key: by_arn(&replica) }).await.unwrap();
    let (here, there) = (describe(&node, &root, &primary).await, describe(&node, &root, &replica).await);
    assert_eq!((here.state, here.description.as_str()), (KeyState::Enabled, ""));
    assert_eq!(here.aliases, BTreeSet::from([alias("here")]));
    assert_eq!((there.state, there.description.as_str()), (KeyState::Disabled, "there"));
    assert_eq!(there.aliases, BTreeSet::from([alias("there")]));
    node.encrypt(&root, &primary).await.unwrap();
    assert_eq!(kind_of(perform(&node, &root, &replica, &encrypt(by_arn(&replica), b"x")).await), Kind::Disabled);
    check_agreement(&node, &root, &primary, &[&replica]).await;
}

#[tokio::test]
async fn only_an_enabled_primary_key_is_replicated_and_into_each_region_once() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let regions = Some(vec![region(), elsewhere(), third()]);
    let port = Arc::clone(&store) as Arc<dyn Store>;
    let node = deployment.serve_through(store, port, Settings { regions, ..Settings::for_node(NODE) }).await.unwrap();
    let root = deployment.root();
    let (primary, replicas) = replicated(&node, &root, &[elsewhere()]).await;
    let refused = async |key: &KeyArn, region: &Region| {
        let refusal = perform(&node, &root, key, &replicate_key(key, region)).await.err().unwrap();
        (refusal.kind, refusal.detail)
    };
    for taken in [&region(), &elsewhere()] {
        assert_eq!(refused(&primary, taken).await.0, Kind::AlreadyExists);
    }
    let not_primary = |key: &KeyArn| (Kind::Unsupported, format!("{key} is not a multi-region primary key."));
    assert_eq!(refused(&replicas[0], &third()).await, not_primary(&replicas[0]));
    let single = node.create_key(&root).await;
    assert_eq!(refused(&single, &third()).await, not_primary(&single));
    let unserved = "sa-east-1".parse().unwrap();
    let text = "The Region sa-east-1 is not served by this deployment.".to_owned();
    assert_eq!(refused(&primary, &unserved).await, (Kind::Unsupported, text));

    // A replica that waits for its deletion is there until it is gone.
    schedule(&node, &root, &replicas[0], 7).await;
    assert_eq!(refused(&primary, &elsewhere()).await.0, Kind::AlreadyExists);
    node.clock.advance_days(7);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    check_agreement(&node, &root, &primary, &[]).await;
    perform(&node, &root, &primary, &replicate_key(&primary, &elsewhere())).await.unwrap();
    check_agreement(&node, &root, &primary, &[&replicas[0]]).await;

    perform(&node, &root, &primary, &kms::DisableKey { key: by_arn(&primary) }).await.unwrap();
    assert_eq!(refused(&primary, &third()).await, (Kind::Disabled, format!("{primary} is disabled.")));
    schedule(&node, &root, &primary, 7).await;
    assert_eq!(refused(&primary, &third()).await, (Kind::InvalidState, format!("{primary} is pending replica deletion.")));
}

#[tokio::test]
async fn a_key_has_a_bounded_number_of_replicas() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let primary = node.create_multi_region_key(&root).await;
    for number in 0..64 {
        let region = format!("xx-test-{number}").parse().unwrap();
        perform(&node, &root, &primary, &replicate_key(&primary, &region)).await.unwrap();
    }
    assert_eq!(kind_of(perform(&node, &root, &primary, &replicate_key(&primary, &elsewhere())).await), Kind::LimitExceeded);
}

#[tokio::test]
async fn a_rotation_takes_effect_in_all_related_keys_at_once() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (primary, replicas) = replicated(&node, &root, &[elsewhere(), third()]).await;
    let related = [&replicas[0], &replicas[1]];
    let old = sealed_by(&node, &root, &replicas[0]).await;
    // The replicas' own states do not keep them from what is shared.
    perform(&node, &root, &replicas[0], &kms::DisableKey { key: by_arn(&replicas[0]) }).await.unwrap();
    schedule(&node, &root, &replicas[1], 30).await;

    perform(&node, &root, &primary, &kms::RotateKeyOnDemand { key: by_arn(&primary) }).await.unwrap();
    check_agreement(&node, &root, &primary, &related).await;
    let every_90_days = kms::EnableKeyRotation { key: by_arn(&primary), period_days: 90 };
    perform(&node, &root, &primary, &every_90_days).await.unwrap();
    check_agreement(&node, &root, &primary, &related).await;
    perform(&node, &root, &replicas[1], &kms::CancelKeyDeletion { key: by_arn(&replicas[1]) }).await.unwrap();
    for key in &replicas {
        perform(&node, &root, key, &kms::EnableKey { key: by_arn(key) }).await.unwrap();
        let status = perform(&node, &root, key, &kms::GetKeyRotationStatus { key: by_arn(key) }).await.unwrap();
        assert_eq!(status.schedule.map(|schedule| schedule.next), Some(START.plus_days(90)));
    }
    node.clock.advance_ms(90 * DAY - 1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0);
    node.clock.advance_ms(1);
    let size = node.log_size().await;
    assert_eq!(node.service.run_due_work().await.unwrap(), 1, "one rotation, not one for each key");
    let log = node.log_since(size).await;
    check_agreement(&node, &root, &primary, &related).await;
    assert_eq!(log.len(), 1);
    let named: Vec<&str> =
        log[0].json["resources"].as_array().unwrap().iter().map(|resource| resource["ARN"].as_str().unwrap()).collect();
    assert_eq!(log[0].json["eventName"], "RotateKey");
    // In the order of the Regions' names, the primary first.
    assert_eq!(named, [primary.to_string(), replicas[1].to_string(), replicas[0].to_string()]);
    assert_eq!(log[0].json["claviger"]["changes"].as_array().unwrap().len(), 3);

    let new = sealed_by(&node, &root, &replicas[1]).await;
    let opened = perform(&node, &root, &replicas[0], &decrypt(&new)).await.unwrap();
    let rotations = describe(&node, &root, &replicas[0]).await.materials;
    assert_eq!(opened.material, rotations[2].id);
    assert_eq!(
        rotations.iter().map(|material| material.rotation).collect::<Vec<_>>(),
        [None, Some(RotationType::OnDemand), Some(RotationType::Automatic)]
    );
    perform(&node, &root, &primary, &decrypt(&old)).await.unwrap();
    perform(&node, &root, &primary, &kms::DisableKeyRotation { key: by_arn(&primary) }).await.unwrap();
    check_agreement(&node, &root, &primary, &related).await;
    node.clock.advance_days(1000);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0);
}

#[tokio::test]
async fn a_replica_is_rotated_through_its_primary_only() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (primary, replicas) = replicated(&node, &root, &[elsewhere()]).await;
    let replica = &replicas[0];
    let key = by_arn(replica);
    let enable = kms::EnableKeyRotation { key: key.clone(), period_days: 90 };
    let refusals = [
        perform(&node, &root, replica, &enable).await.err().unwrap(),
        perform(&node, &root, replica, &kms::DisableKeyRotation { key: key.clone() }).await.err().unwrap(),
        perform(&node, &root, replica, &kms::RotateKeyOnDemand { key }).await.err().unwrap(),
    ];
    for refusal in refusals {
        let told = (refusal.kind, refusal.detail);
        assert_eq!(told, (Kind::Unsupported, format!("{replica} is not a multi-region primary key.")));
    }
    check_agreement(&node, &root, &primary, &[replica]).await;
}

#[tokio::test]
async fn a_primary_key_waits_for_its_last_replica_and_then_its_full_time() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (primary, replicas) = replicated(&node, &root, &[elsewhere(), third()]).await;
    let scheduled = schedule(&node, &root, &primary, 10).await;
    let waiting = KeyState::PendingReplicaDeletion { window_days: 10 };
    assert_eq!((scheduled.state, scheduled.state.deletion_date(), scheduled.window_days), (waiting, None, 10));
    assert_eq!(kind_of(perform(&node, &root, &primary, &encrypt(by_arn(&primary), b"x")).await), Kind::InvalidState);
    sealed_by(&node, &root, &replicas[0]).await;
    node.clock.advance_days(100);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0, "its clock does not run");

    schedule(&node, &root, &replicas[0], 7).await;
    schedule(&node, &root, &replicas[1], 8).await;
    node.clock.advance_days(7);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    check_agreement(&node, &root, &primary, &[&replicas[1]]).await;
    assert_eq!(describe(&node, &root, &primary).await.state, waiting, "one is left");
    node.clock.advance_days(1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    check_agreement(&node, &root, &primary, &[]).await;
    assert_eq!(describe(&node, &root, &primary).await.state, KeyState::PendingDeletion { at: START.plus_days(118) });
    let log = node.log().await;
    let entry = &log.iter().rev().find(|entry| entry.json["eventName"] == "DeleteKey").unwrap().json;
    assert_eq!(entry["resources"][0]["ARN"], replicas[1].to_string());
    assert_eq!(entry["resources"][1]["ARN"], primary.to_string());

    node.clock.advance_ms(10 * DAY - 1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0);
    node.clock.advance_ms(1);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(kind_of(node.describe(&root, &primary).await), Kind::NotFound);
    assert!(node.service.verify_store().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_deletion_can_be_taken_back_in_both_states() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (primary, replicas) = replicated(&node, &root, &[elsewhere()]).await;
    let cancel = kms::CancelKeyDeletion { key: by_arn(&primary) };
    schedule(&node, &root, &primary, 7).await;
    perform(&node, &root, &primary, &cancel).await.unwrap();
    assert_eq!(describe(&node, &root, &primary).await.state, KeyState::Disabled);

    schedule(&node, &root, &primary, 7).await;
    schedule(&node, &root, &replicas[0], 7).await;
    node.clock.advance_days(7);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    perform(&node, &root, &primary, &cancel).await.unwrap();
    node.clock.advance_days(100);
    assert_eq!(node.service.run_due_work().await.unwrap(), 0);
    assert_eq!(describe(&node, &root, &primary).await.state, KeyState::Disabled);
    // Nothing but the replica is lost, and that can be made again.
    perform(&node, &root, &primary, &kms::EnableKey { key: by_arn(&primary) }).await.unwrap();
    perform(&node, &root, &primary, &replicate_key(&primary, &elsewhere())).await.unwrap();
    check_agreement(&node, &root, &primary, &[&replicas[0]]).await;
    // A replica's own deletion is no matter of the others, until it happens.
    schedule(&node, &root, &replicas[0], 7).await;
    perform(&node, &root, &replicas[0], &kms::CancelKeyDeletion { key: by_arn(&replicas[0]) }).await.unwrap();
    check_agreement(&node, &root, &primary, &[&replicas[0]]).await;
}

#[tokio::test]
async fn the_primary_region_moves_and_the_duties_of_a_primary_key_with_it() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (old, replicas) = replicated(&node, &root, &[elsewhere(), third()]).await;
    let new = &replicas[0];
    let every_90_days = kms::EnableKeyRotation { key: by_arn(&old), period_days: 90 };
    perform(&node, &root, &old, &every_90_days).await.unwrap();
    let ciphertext = sealed_by(&node, &root, &old).await;
    let caller = at(&node, &root, &old);
    let move_to = |key: &KeyArn, region: Region| kms::UpdatePrimaryRegion { key: by_arn(key), primary_region: region };
    node.service.perform(&caller, &move_to(&old, elsewhere())).await.unwrap();
    check_agreement(&node, &root, new, &[&old, &replicas[1]]).await;
    let entry = &node.entries_of(&caller).await[0].json;
    let named: BTreeSet<&str> =
        entry["resources"].as_array().unwrap().iter().map(|resource| resource["ARN"].as_str().unwrap()).collect();
    let all: Vec<String> = [&old, new, &replicas[1]].iter().map(ToString::to_string).collect();
    assert_eq!(named, all.iter().map(String::as_str).collect());
    assert_eq!(entry["resources"].as_array().unwrap().len(), 3, "each once");

    for key in [&old, new, &replicas[1]] {
        assert_eq!(describe(&node, &root, key).await.state, KeyState::Enabled);
        perform(&node, &root, key, &decrypt(&ciphertext)).await.unwrap();
    }
    node.clock.advance_days(90);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1, "the schedule moved with it");
    check_agreement(&node, &root, new, &[&old, &replicas[1]]).await;
    let rotate = kms::RotateKeyOnDemand { key: by_arn(&old) };
    assert_eq!(kind_of(perform(&node, &root, &old, &rotate).await), Kind::Unsupported);
    // The old primary key is a replica like any other, and goes like one.
    let scheduled = schedule(&node, &root, &old, 7).await;
    assert!(matches!(scheduled.state, KeyState::PendingDeletion { .. }));
    node.clock.advance_days(7);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    check_agreement(&node, &root, new, &[&replicas[1]]).await;
    perform(&node, &root, new, &decrypt(&ciphertext)).await.unwrap();
    perform(&node, &root, new, &replicate_key(new, &region())).await.unwrap();
    perform(&node, &root, new, &move_to(new, region())).await.unwrap();
    check_agreement(&node, &root, &old, &[new, &replicas[1]]).await;
}

#[tokio::test]
async fn the_primary_region_moves_to_an_enabled_replica_only() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (primary, replicas) = replicated(&node, &root, &[elsewhere(), third()]).await;
    let refused = async |key: &KeyArn, region: &Region| {
        let operation = kms::UpdatePrimaryRegion { key: by_arn(key), primary_region: region.clone() };
        let refusal = perform(&node, &root, key, &operation).await.err().unwrap();
        (refusal.kind, refusal.detail)
    };
    let not_primary = |key: &KeyArn| (Kind::Unsupported, format!("{key} is not a multi-region primary key."));
    assert_eq!(refused(&replicas[0], &third()).await, not_primary(&replicas[0]));
    let single = node.create_key(&root).await;
    assert_eq!(refused(&single, &third()).await, not_primary(&single));
    let already = format!("{primary} is the multi-region primary key already.");
    assert_eq!(refused(&primary, &region()).await, (Kind::Unsupported, already));
    let nowhere: Region = "sa-east-1".parse().unwrap();
    let missing = format!("Key '{}' does not exist", there(&primary, &nowhere));
    assert_eq!(refused(&primary, &nowhere).await, (Kind::NotFound, missing));
    perform(&node, &root, &replicas[0], &kms::DisableKey { key: by_arn(&replicas[0]) }).await.unwrap();
    assert_eq!(refused(&primary, &elsewhere()).await, (Kind::Disabled, format!("{} is disabled.", replicas[0])));
    schedule(&node, &root, &replicas[1], 7).await;
    assert_eq!(refused(&primary, &third()).await.0, Kind::InvalidState);
    perform(&node, &root, &primary, &kms::DisableKey { key: by_arn(&primary) }).await.unwrap();
    assert_eq!(refused(&primary, &third()).await, (Kind::Disabled, format!("{primary} is disabled.")));
    check_agreement(&node, &root, &primary, &[&replicas[0], &replicas[1]]).await;
}

/// An identity policy that allows this where these conditions hold, all of the operator StringEquals.
fn allowed_if(actions: &[&str], conditions: &[(&str, &str)]) -> String {
    let conditions: BTreeMap<&str, &str> = conditions.iter().copied().collect();
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*", "Condition": {"StringEquals": conditions}}],
    })
    .to_string()
}

#[tokio::test]
async fn conditions_know_the_regions_and_what_a_key_is_to_its_kin() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (primary, replicas) = replicated(&node, &root, &[third()]).await;
    let user = async |name: &str, policies: &[String]| {
        node.create_user(&root, name, &policies.iter().map(String::as_str).collect::<Vec<_>>()).await
    };

    // Into eu-west-1 and nowhere else: once by the primary's permission, once by that of the replica's Region.
    let create = identity_policy("Allow", &["kms:CreateKey"]);
    let by_primary =
        user("by-primary", &[create, allowed_if(&["kms:ReplicateKey"], &[("kms:ReplicaRegion", "eu-west-1")])]).await;
    let replicate = identity_policy("Allow", &["kms:ReplicateKey"]);
    let conditions = [
        ("aws:RequestedRegion", "eu-west-1"),
        ("kms:KeySpec", "SYMMETRIC_DEFAULT"),
        ("kms:MultiRegion", "true"),
        ("kms:MultiRegionKeyType", "REPLICA"),
    ];
    let by_region = user("by-region", &[replicate.clone(), allowed_if(&["kms:CreateKey"], &conditions)]).await;
    let primaries_only = allowed_if(&["kms:CreateKey"], &[("kms:MultiRegionKeyType", "PRIMARY")]);
    let no_replicas = user("no-replicas", &[replicate, primaries_only]).await;
    for who in [&by_primary, &by_region] {
        let key = node.create_multi_region_key(&root).await;
        assert_eq!(kind_of(perform(&node, who, &key, &replicate_key(&key, &third())).await), Kind::AccessDenied);
        perform(&node, who, &key, &replicate_key(&key, &elsewhere())).await.unwrap();
        assert_eq!(kind_of(perform(&node, &no_replicas, &key, &replicate_key(&key, &third())).await), Kind::AccessDenied);
    }
    let made = perform(&node, &no_replicas, &primary, &kms::CreateKey { multi_region: true, ..create_key(None) }).await;
    assert!(made.is_ok());
    assert_eq!(kind_of(perform(&node, &no_replicas, &primary, &create_key(None)).await), Kind::AccessDenied);
    // Tags need their own permission.
    let tags = BTreeMap::from([("team".to_owned(), "red".to_owned())]);
    let tagged = kms::ReplicateKey { tags, ..replicate_key(&primary, &elsewhere()) };
    assert_eq!(kind_of(perform(&node, &by_primary, &primary, &tagged).await), Kind::AccessDenied);

    let replicas_only = user("replicas", &[allowed_if(&["kms:Encrypt"], &[("kms:MultiRegionKeyType", "REPLICA")])]).await;
    let single = node.create_key(&root).await;
    for (key, may) in [(&primary, false), (&replicas[0], true), (&single, false)] {
        let result = perform(&node, &replicas_only, key, &encrypt(by_arn(key), b"x")).await;
        assert_eq!(result.is_ok(), may, "{key}");
    }

    let update = allowed_if(&["kms:UpdatePrimaryRegion"], &[("kms:PrimaryRegion", "ap-southeast-2")]);
    let mover = user("mover", &[update]).await;
    let move_to = |region: Region| kms::UpdatePrimaryRegion { key: by_arn(&primary), primary_region: region };
    perform(&node, &root, &primary, &replicate_key(&primary, &elsewhere())).await.unwrap();
    assert_eq!(kind_of(perform(&node, &mover, &primary, &move_to(elsewhere())).await), Kind::AccessDenied);
    perform(&node, &mover, &primary, &move_to(third())).await.unwrap();
}

#[tokio::test]
async fn the_primary_region_moves_with_permission_on_both_keys_only() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let user = node.create_user(&root, "mover", &[&identity_policy("Allow", &["kms:UpdatePrimaryRegion"])]).await;
    let open = claviger_domain::policy::default_key_policy(account());
    let closed = key_policy(&[("Allow", &root_arn(account()), "kms:*"), ("Deny", &user.identity.arn, "kms:*")]);
    for (here, there) in [(&open, &closed), (&closed, &open)] {
        let primary = node.create_multi_region_key_with(&root, Some(here.clone())).await;
        let replica = kms::ReplicateKey { policy: Some(there.clone()), ..replicate_key(&primary, &elsewhere()) };
        perform(&node, &root, &primary, &replica).await.unwrap();
        let operation = kms::UpdatePrimaryRegion { key: by_arn(&primary), primary_region: elsewhere() };
        assert_eq!(kind_of(perform(&node, &user, &primary, &operation).await), Kind::AccessDenied);
        perform(&node, &root, &primary, &operation).await.unwrap();
    }
}

#[tokio::test]
async fn the_entry_of_a_replication_names_both_keys() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (primary, replicas) = replicated(&node, &root, &[third()]).await;
    let caller = at(&node, &root, &primary);
    node.service.perform(&caller, &replicate_key(&primary, &elsewhere())).await.unwrap();
    let entries = node.entries_of(&caller).await;
    assert_eq!(entries.len(), 1);
    let entry = &entries[0].json;
    let replica = there(&primary, &elsewhere());
    let named: Vec<&str> =
        entry["resources"].as_array().unwrap().iter().map(|resource| resource["ARN"].as_str().unwrap()).collect();
    assert_eq!(named, [primary.to_string(), replica.to_string(), replicas[0].to_string()]);
    assert_eq!(entry["responseElements"]["replicaKeyMetadata"]["arn"], replica.to_string());
    assert_eq!(entry["requestParameters"]["replicaRegion"], "eu-west-1");
    assert_eq!(entry["claviger"]["changes"].as_array().unwrap().len(), 3);
}

/// Imports this material in the Region of the key.
async fn import(node: &Node, root: &Caller, key: &KeyArn, material: &[u8], kind: Option<ImportType>) -> Result<(), Refusal> {
    let parameters = perform(node, root, key, &imports::parameters(key)).await.unwrap();
    let operation = imports::import(key, parameters.token, imports::wrap(&parameters.public_key, material));
    perform(node, root, key, &kms::ImportKeyMaterial { import_type: kind, ..operation }).await.map(drop)
}

#[tokio::test]
async fn imported_material_is_imported_in_each_region_and_is_the_same_in_all() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let operation = kms::CreateKey { origin: Origin::External, multi_region: true, ..create_key(None) };
    let primary = node.service.perform(&node.again(&root), &operation).await.unwrap().arn();
    let replication = replicate_key(&primary, &elsewhere());
    let refusal = perform(&node, &root, &primary, &replication).await.err().unwrap();
    assert_eq!((refusal.kind, refusal.detail), (Kind::InvalidState, format!("{primary} is pending import.")));
    import(&node, &root, &primary, &[7; 32], None).await.unwrap();
    let ciphertext = sealed_by(&node, &root, &primary).await;

    let replica = perform(&node, &root, &primary, &replication).await.unwrap();
    assert_eq!(replica.state, KeyState::PendingImport);
    assert!(replica.materials.iter().all(|material| !material.is_present()));
    let replica = replica.arn();
    check_agreement(&node, &root, &primary, &[&replica]).await;
    assert_eq!(kind_of(perform(&node, &root, &replica, &decrypt(&ciphertext)).await), Kind::InvalidState);
    let promotion = kms::UpdatePrimaryRegion { key: by_arn(&primary), primary_region: elsewhere() };
    assert_eq!(kind_of(perform(&node, &root, &primary, &promotion).await), Kind::InvalidState);
    // Other material than the primary's is refused, however it is called.
    assert_eq!(kind_of(import(&node, &root, &replica, &[8; 32], None).await), Kind::IncorrectKeyMaterial);
    assert_eq!(kind_of(import(&node, &root, &replica, &[8; 32], Some(ImportType::New)).await), Kind::Unsupported);
    import(&node, &root, &replica, &[7; 32], None).await.unwrap();
    assert_eq!(describe(&node, &root, &replica).await.state, KeyState::Enabled);
    perform(&node, &root, &replica, &decrypt(&ciphertext)).await.unwrap();
    check_agreement(&node, &root, &primary, &[&replica]).await;

    // It goes, and comes back, in each Region by itself.
    let delete = kms::DeleteImportedKeyMaterial { key: by_arn(&replica), material: None };
    perform(&node, &root, &replica, &delete).await.unwrap();
    assert_eq!(describe(&node, &root, &primary).await.state, KeyState::Enabled);
    assert_eq!(describe(&node, &root, &replica).await.state, KeyState::PendingImport);
    check_agreement(&node, &root, &primary, &[&replica]).await;
    import(&node, &root, &replica, &[7; 32], None).await.unwrap();
    perform(&node, &root, &primary, &promotion).await.unwrap();
    check_agreement(&node, &root, &replica, &[&primary]).await;
    perform(&node, &root, &replica, &decrypt(&ciphertext)).await.unwrap();
}

#[tokio::test]
async fn a_replica_of_rotated_imported_material_needs_all_of_it() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let operation = kms::CreateKey { origin: Origin::External, multi_region: true, ..create_key(None) };
    let primary = node.service.perform(&node.again(&root), &operation).await.unwrap().arn();
    import(&node, &root, &primary, &[1; 32], None).await.unwrap();
    let old = sealed_by(&node, &root, &primary).await;
    import(&node, &root, &primary, &[2; 32], Some(ImportType::New)).await.unwrap();
    perform(&node, &root, &primary, &kms::RotateKeyOnDemand { key: by_arn(&primary) }).await.unwrap();
    // What waits for a rotation is no part of the key yet, but will be of the replica's as well.
    import(&node, &root, &primary, &[3; 32], Some(ImportType::New)).await.unwrap();
    assert_eq!(pending(&node, &root, &primary).await, Some((Pending::Rotation, true)));
    let replica = perform(&node, &root, &primary, &replicate_key(&primary, &elsewhere())).await.unwrap();
    assert_eq!(replica.materials.len(), 3);
    let replica = replica.arn();
    assert_eq!(pending(&node, &root, &primary).await, Some((Pending::MultiRegionImportAndRotation, true)));
    assert_eq!(pending(&node, &root, &replica).await, Some((Pending::MultiRegionImportAndRotation, false)));
    import(&node, &root, &replica, &[2; 32], None).await.unwrap();
    assert_eq!(describe(&node, &root, &replica).await.state, KeyState::PendingImport);
    import(&node, &root, &replica, &[1; 32], None).await.unwrap();
    assert_eq!(describe(&node, &root, &replica).await.state, KeyState::Enabled);
    perform(&node, &root, &replica, &decrypt(&old)).await.unwrap();
    let new = sealed_by(&node, &root, &replica).await;
    perform(&node, &root, &primary, &decrypt(&new)).await.unwrap();
}

/// What the material of a key that belongs to it not yet waits for, and whether it is there.
async fn pending(node: &Node, root: &Caller, key: &KeyArn) -> Option<(Pending, bool)> {
    let key = describe(node, root, key).await;
    key.pending_material().map(|material| (material.pending().unwrap(), material.is_present()))
}

#[tokio::test]
async fn new_material_is_imported_into_every_region_before_all_of_them_rotate_to_it() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let operation = kms::CreateKey { origin: Origin::External, multi_region: true, ..create_key(None) };
    let primary = node.service.perform(&node.again(&root), &operation).await.unwrap().arn();
    import(&node, &root, &primary, &[1; 32], None).await.unwrap();
    let mut replicas = Vec::new();
    for region in [elsewhere(), third()] {
        let replica = perform(&node, &root, &primary, &replicate_key(&primary, &region)).await.unwrap().arn();
        import(&node, &root, &replica, &[1; 32], None).await.unwrap();
        replicas.push(replica);
    }
    let all = [&primary, &replicas[0], &replicas[1]];
    let old = sealed_by(&node, &root, &primary).await;
    let rotate = || async { perform(&node, &root, &primary, &kms::RotateKeyOnDemand { key: by_arn(&primary) }).await.map(drop) };
    let states = || async {
        let mut found = Vec::new();
        for key in all {
            found.push(pending(&node, &root, key).await);
        }
        found
    };
    let waits = |there| Some((Pending::MultiRegionImportAndRotation, there));
    let ready = Some((Pending::Rotation, true));

    let size = node.log_size().await;
    import(&node, &root, &primary, &[2; 32], Some(ImportType::New)).await.unwrap();
    let log = node.log_since(size).await;
    assert_eq!(log.last().unwrap().json["claviger"]["changes"].as_array().unwrap().len(), 3, "the replicas know of it");
    assert_eq!(states().await, [waits(true), waits(false), waits(false)]);
    assert_eq!(kind_of(rotate().await), Kind::InvalidState);
    assert_eq!(
        kind_of(import(&node, &root, &primary, &[3; 32], Some(ImportType::New)).await),
        Kind::InvalidState,
        "one at a time"
    );
    assert_eq!(kind_of(import(&node, &root, &replicas[0], &[3; 32], None).await), Kind::IncorrectKeyMaterial);
    for key in all {
        assert_eq!(describe(&node, &root, key).await.state, KeyState::Enabled, "they work as before");
    }
    import(&node, &root, &replicas[0], &[2; 32], None).await.unwrap();
    assert_eq!(states().await, [waits(true), waits(true), waits(false)]);
    import(&node, &root, &replicas[1], &[2; 32], Some(ImportType::Existing)).await.unwrap();
    assert_eq!(states().await, [ready, ready, ready]);

    // What goes somewhere is waited for again; what goes from the primary key is forgotten.
    let id = describe(&node, &root, &primary).await.pending_material().unwrap().id;
    let delete = |key: &KeyArn| kms::DeleteImportedKeyMaterial { key: by_arn(key), material: Some(id) };
    perform(&node, &root, &replicas[0], &delete(&replicas[0])).await.unwrap();
    assert_eq!(states().await, [waits(true), waits(false), waits(true)]);
    perform(&node, &root, &primary, &delete(&primary)).await.unwrap();
    assert_eq!(states().await, [None, None, None]);

    import(&node, &root, &primary, &[2; 32], Some(ImportType::New)).await.unwrap();
    for replica in &replicas {
        import(&node, &root, replica, &[2; 32], None).await.unwrap();
    }
    rotate().await.unwrap();
    assert_eq!(states().await, [None, None, None]);
    check_agreement(&node, &root, &primary, &[&replicas[0], &replicas[1]]).await;
    let new = sealed_by(&node, &root, &replicas[1]).await;
    for key in all {
        assert_eq!(describe(&node, &root, key).await.current_material().unwrap().id, id);
        for ciphertext in [&old, &new] {
            perform(&node, &root, key, &decrypt(ciphertext)).await.unwrap();
        }
    }
    assert!(node.service.verify_store().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_replica_that_goes_is_not_waited_for() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let operation = kms::CreateKey { origin: Origin::External, multi_region: true, ..create_key(None) };
    let primary = node.service.perform(&node.again(&root), &operation).await.unwrap().arn();
    import(&node, &root, &primary, &[1; 32], None).await.unwrap();
    let replica = perform(&node, &root, &primary, &replicate_key(&primary, &elsewhere())).await.unwrap().arn();
    import(&node, &root, &primary, &[2; 32], Some(ImportType::New)).await.unwrap();
    assert_eq!(pending(&node, &root, &primary).await, Some((Pending::MultiRegionImportAndRotation, true)));
    schedule(&node, &root, &replica, 7).await;
    node.clock.advance_days(7);
    node.service.run_due_work().await.unwrap();
    assert_eq!(pending(&node, &root, &primary).await, Some((Pending::Rotation, true)));
    perform(&node, &root, &primary, &kms::RotateKeyOnDemand { key: by_arn(&primary) }).await.unwrap();
    assert_eq!(pending(&node, &root, &primary).await, None);
}

#[tokio::test]
async fn the_last_use_is_each_keys_own() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (primary, replicas) = replicated(&node, &root, &[elsewhere()]).await;
    let ciphertext = sealed_by(&node, &root, &primary).await;
    let last = async |key: &KeyArn| {
        let usage = perform(&node, &root, key, &kms::GetKeyLastUsage { key: by_arn(key) }).await.unwrap();
        usage.last.map(|last| last.operation)
    };
    assert_eq!((last(&primary).await.as_deref(), last(&replicas[0]).await), (Some("Encrypt"), None));
    perform(&node, &root, &replicas[0], &decrypt(&ciphertext)).await.unwrap();
    assert_eq!(last(&primary).await.as_deref(), Some("Encrypt"));
    assert_eq!(last(&replicas[0]).await.as_deref(), Some("Decrypt"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_replications_into_one_region_one_is_done() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for _ in 0..5 {
        let primary = node.create_multi_region_key(&root).await;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..6 {
            let (service, caller) = (Arc::clone(&node.service), node.again(&root));
            let region = if number % 2 == 0 { elsewhere() } else { third() };
            let operation = replicate_key(&primary, &region);
            tasks.spawn(async move { service.perform(&caller, &operation).await.map(drop) });
        }
        let results: Vec<_> = tasks.join_all().await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
        for refusal in results.into_iter().filter_map(Result::err) {
            assert_eq!(refusal.kind, Kind::AlreadyExists);
        }
        check_agreement(&node, &root, &primary, &[&there(&primary, &elsewhere()), &there(&primary, &third())]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_of_related_keys_that_meet_leave_them_agreed() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for _ in 0..5 {
        let (primary, replicas) = replicated(&node, &root, &[elsewhere()]).await;
        let replica = &replicas[0];
        let mut tasks = tokio::task::JoinSet::new();
        macro_rules! spawn {
            ($key:expr, $operation:expr) => {{
                let (service, caller, operation) = (Arc::clone(&node.service), at(&node, &root, $key), $operation);
                tasks.spawn(async move { service.perform(&caller, &operation).await.map(drop) });
            }};
        }
        spawn!(&primary, replicate_key(&primary, &third()));
        spawn!(&primary, kms::RotateKeyOnDemand { key: by_arn(&primary) });
        spawn!(&primary, kms::EnableKeyRotation { key: by_arn(&primary), period_days: 90 });
        spawn!(replica, kms::DisableKey { key: by_arn(replica) });
        spawn!(replica, kms::UpdateKeyDescription { key: by_arn(replica), description: "met".to_owned() });
        spawn!(&primary, kms::RotateKeyOnDemand { key: by_arn(&primary) });
        for result in tasks.join_all().await {
            result.unwrap();
        }
        check_agreement(&node, &root, &primary, &[replica, &there(&primary, &third())]).await;
        let described = describe(&node, &root, replica).await;
        assert_eq!((described.state, described.description.as_str()), (KeyState::Disabled, "met"));
        assert_eq!(described.materials.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_goes_while_its_primary_changes_takes_nothing_with_it() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for _ in 0..5 {
        let (primary, replicas) = replicated(&node, &root, &[elsewhere()]).await;
        schedule(&node, &root, &replicas[0], 7).await;
        node.clock.advance_days(7);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (service, caller) = (Arc::clone(&node.service), node.again(&root));
            let operation = kms::RotateKeyOnDemand { key: by_arn(&primary) };
            tasks.spawn(async move { service.perform(&caller, &operation).await.map(drop) });
        }
        let (service, caller) = (Arc::clone(&node.service), node.again(&root));
        let operation = kms::ScheduleKeyDeletion { key: by_arn(&primary), window_days: 9 };
        let scheduled = tokio::spawn(async move { service.perform(&caller, &operation).await });
        // Overtaken like everybody else, and not in line: it comes back.
        let gone = kms::DescribeKey { key: by_arn(&replicas[0]) };
        while perform(&node, &root, &replicas[0], &gone).await.is_ok() {
            node.service.run_due_work().await.unwrap();
        }
        let results = tasks.join_all().await;
        // Some may have come after the primary key was scheduled for deletion.
        assert!(results.into_iter().filter_map(Result::err).all(|refusal| refusal.kind == Kind::InvalidState));
        scheduled.await.unwrap().unwrap();
        check_agreement(&node, &root, &primary, &[]).await;
        let KeyState::PendingDeletion { at } = describe(&node, &root, &primary).await.state else {
            panic!("it waits for nothing")
        };
        assert_eq!(at, node.again(&root).request.at.plus_days(9));
    }
}
