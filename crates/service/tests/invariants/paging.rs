//! Lists come in pages that miss nothing, repeat nothing, and continue only for whoever they were made for.

use std::collections::BTreeMap;

use claviger_domain::key::MaterialState;
use claviger_domain::{Caller, Kind};
use claviger_service::operations::{admin, kms};

use crate::common::{Node, alias, by_arn, create_key, deployed, kind_of};

async fn keys(node: &Node, caller: &Caller, marker: Option<String>) -> Result<kms::Page<claviger_domain::KeyArn>, Kind> {
    let operation = kms::ListKeys { limit: 3, marker };
    node.service.perform(&node.again(caller), &operation).await.map_err(|refusal| refusal.kind)
}

#[tokio::test]
async fn pages_together_are_the_list() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.push(node.create_key(&root).await.to_string());
    }
    expected.sort();
    let (mut found, mut marker, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = keys(&node, &root, marker).await.unwrap();
        found.extend(page.items.iter().map(ToString::to_string));
        pages += 1;
        match page.next {
            Some(next) => marker = Some(next),
            None => break,
        }
    }
    assert_eq!((found, pages), (expected, 3));
}

/// Ids are read from an index of the store. What is listed from it has been opened once, and shows every change since.
#[tokio::test]
async fn a_list_of_keys_knows_every_change() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let list = async |node: &Node| {
        let operation = kms::ListKeys { limit: 100, marker: None };
        let page = node.service.perform(&node.again(&root), &operation).await?;
        Ok::<_, claviger_domain::Refusal>(page.items.into_iter().map(|arn| arn.key).collect::<Vec<_>>())
    };
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(node.create_key(&root).await.key);
        expected.sort_by_key(ToString::to_string);
        assert_eq!(list(&node).await.unwrap(), expected, "a new key");
        assert_eq!(list(&node).await.unwrap(), expected, "and again, from memory");
    }
    let gone = expected.remove(2);
    let arn = claviger_domain::KeyArn { region: crate::common::region(), account: crate::common::account(), key: gone };
    let deletion = kms::ScheduleKeyDeletion { key: by_arn(&arn), window_days: 7 };
    node.service.perform(&node.again(&root), &deletion).await.unwrap();
    node.clock.advance_days(8);
    node.service.run_due_work().await.unwrap();
    assert_eq!(list(&node).await.unwrap(), expected);
}

#[tokio::test]
async fn a_marker_is_good_for_one_list_of_one_account_and_region() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), 42).await;
    let mut all = Vec::new();
    for caller in [&root, &stranger] {
        for _ in 0..4 {
            all.push(node.create_key(caller).await);
        }
    }
    let marker = keys(&node, &root, None).await.unwrap().next.unwrap();
    assert_eq!(keys(&node, &stranger, Some(marker.clone())).await.err(), Some(Kind::InvalidMarker));
    let mut elsewhere = node.again(&root);
    elsewhere.request.region = "eu-central-1".parse().unwrap();
    let there = kms::ListKeys { limit: 3, marker: Some(marker.clone()) };
    assert_eq!(kind_of(node.service.perform(&elsewhere, &there).await), Kind::InvalidMarker);
    let aliases = kms::ListAliases { key: None, limit: 3, marker: Some(marker.clone()) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &aliases).await), Kind::InvalidMarker);
    let users = admin::ListUsers { account: None, limit: 3, marker: Some(marker.clone()) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &users).await), Kind::InvalidMarker);
    assert_eq!(keys(&node, &root, Some(marker)).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn aliases_tags_and_rotations_have_pages_too() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let tags: BTreeMap<String, String> = (0..5).map(|number| (format!("tag-{number}"), "x".to_owned())).collect();
    let tagged = kms::CreateKey { tags: tags.clone(), ..create_key(None) };
    let key = node.service.perform(&node.again(&root), &tagged).await.unwrap().arn();
    let other = node.create_key(&root).await;
    for number in 0..5 {
        node.create_alias(&root, &key, &alias(&format!("of-key-{number}"))).await;
        node.create_alias(&root, &other, &alias(&format!("of-other-{number}"))).await;
        node.service.perform(&node.again(&root), &kms::RotateKeyOnDemand { key: by_arn(&key) }).await.unwrap();
    }
    macro_rules! collect {
        ($operation:expr, |$answer:ident| $page:expr, |$item:ident| $name:expr) => {{
            let (mut found, mut next) = (Vec::new(), None);
            loop {
                let $answer = node.service.perform(&node.again(&root), &$operation(next)).await.unwrap();
                let page = $page;
                assert!(page.items.len() <= 2);
                found.extend(page.items.iter().map(|$item| $name));
                next = page.next;
                if next.is_none() {
                    break found;
                }
            }
        }};
    }
    let of_key = |marker| kms::ListAliases { key: Some(by_arn(&key)), limit: 2, marker };
    let found = collect!(of_key, |answer| answer, |item| item.name.to_string());
    assert_eq!(found, (0..5).map(|number| format!("alias/of-key-{number}")).collect::<Vec<_>>());
    let all = |marker| kms::ListAliases { key: None, limit: 2, marker };
    assert_eq!(collect!(all, |answer| answer, |item| item.name.to_string()).len(), 10);
    let of_tags = |marker| kms::ListResourceTags { key: by_arn(&key), limit: 2, marker };
    assert_eq!(collect!(of_tags, |answer| answer, |item| item.clone()), tags.into_iter().collect::<Vec<_>>());
    let materials: Vec<_> =
        node.describe(&root, &key).await.unwrap().materials.iter().rev().map(|material| material.id).collect();
    for (all_material, count) in [(true, 6), (false, 5)] {
        let rotations = |marker| kms::ListKeyRotations { key: by_arn(&key), all_material, limit: 2, marker };
        let found = collect!(rotations, |answer| answer.page, |item| (item.id, item.state == MaterialState::Current));
        assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), materials[..count], "newest first");
        assert_eq!(found.iter().filter(|(_, current)| *current).count(), 1);
        assert!(found[0].1);
    }
}
