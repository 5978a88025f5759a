//! Seals are added, removed and tried while the deployment is served, and the audit log tells of it.

use std::sync::Arc;
use std::time::Duration;

use claviger_domain::{AccountId, Caller, Kind, Refusal};
use claviger_hsm::{Hsm, NewSeal, SealSecret, Share};
use claviger_service::operations::admin::{self, SealOutcome};
use claviger_service::seals::{BroughtSecret, KeptSecret, SealKeeper, SealSecrets, SealedRoot};
use claviger_service::{Clock, Service, Settings, deployment};
use claviger_store::{RecordKey, RecordKind, Store};
use rusqlite::{Connection, params};
use zeroize::Zeroizing;

use crate::common::{Deployment, NODE, Node, deployed, kind_of};

fn key_file(byte: u8) -> Arc<SealSecret> {
    Arc::new(SealSecret::File(Zeroizing::new(vec![byte; 32])))
}

fn passphrase(text: &str) -> Arc<SealSecret> {
    Arc::new(SealSecret::Passphrase(Zeroizing::new(text.to_owned())))
}

fn add(name: &str, secret: &SealSecret) -> admin::AddSeal {
    admin::AddSeal { name: name.to_owned(), new: Arc::new(new(secret)) }
}

/// The same secret, as what a new seal is made of.
fn new(secret: &SealSecret) -> NewSeal {
    NewSeal::Secret(match secret {
        SealSecret::File(bytes) => SealSecret::File(bytes.clone()),
        SealSecret::Passphrase(text) => SealSecret::Passphrase(text.clone()),
        SealSecret::Shares(_) | SealSecret::Token(_) => panic!("made, not brought"),
    })
}

fn remove(name: &str) -> admin::RemoveSeal {
    admin::RemoveSeal { name: name.to_owned() }
}

async fn sealed_root(node: &Node) -> SealedRoot {
    deployment::sealed_root(node.store.as_ref()).await.unwrap()
}

/// Whether a seal opens the deployment as a start of the process would.
async fn opens(node: &Node, name: &str, secret: &SealSecret) -> bool {
    let id = deployment::deployment_id(node.store.as_ref()).await.unwrap();
    Hsm::open(id, &sealed_root(node).await, Some(name), secret).is_ok()
}

/// A node whose configuration names these seals.
async fn served_with(deployment: &Deployment, kept: &'static [(&'static str, Option<u8>)]) -> Node {
    #[derive(Debug)]
    struct Configured(&'static [(&'static str, Option<u8>)]);

    impl SealKeeper for Configured {
        fn secrets<'a>(&'a self, _root: &'a SealedRoot) -> SealSecrets<'a> {
            let kept = self.0.iter().map(|(name, byte)| KeptSecret {
                seal: (*name).to_owned(),
                secret: byte
                    .map(|byte| SealSecret::File(Zeroizing::new(vec![byte; 32])))
                    .ok_or_else(|| "its file is not there".to_owned()),
            });
            Box::pin(std::future::ready(kept.collect()))
        }
    }

    let store = deployment.store();
    let port = Arc::clone(&store) as Arc<dyn Store>;
    let settings = Settings { seal_keeper: Arc::new(Configured(kept)), ..Settings::for_node(NODE) };
    deployment.serve_through(store, port, settings).await.unwrap()
}

#[tokio::test]
async fn seals_are_added_and_removed_while_the_deployment_is_served() {
    let (deployment, node) = deployed().await;
    let (administrator, root) = (deployment.administrator(), deployment.root());
    let perform = async |operation: admin::AddSeal| node.service.perform(&node.again(&administrator), &operation).await;
    let key = node.create_key(&root).await;
    let ciphertext = node.encrypt(&root, &key).await.unwrap();
    perform(add("cellar", &key_file(1))).await.unwrap();
    perform(add("office", &passphrase("battery staple"))).await.unwrap();
    assert!(opens(&node, "cellar", &key_file(1)).await && opens(&node, "office", &passphrase("battery staple")).await);
    assert!(opens(&node, "people", &passphrase("correct horse")).await, "the first one still does");
    assert_eq!(kind_of(perform(add("cellar", &key_file(2))).await), Kind::AlreadyExists);
    assert_eq!(kind_of(perform(add("empty", &passphrase(""))).await), Kind::Invalid);
    let listed = node.service.perform(&node.again(&administrator), &admin::ListSeals).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|seal| (seal.name.as_str(), seal.kind)).collect();
    assert_eq!(listed, [("people", "passphrase"), ("cellar", "file"), ("office", "passphrase")]);

    let perform = async |operation: admin::RemoveSeal| node.service.perform(&node.again(&administrator), &operation).await;
    perform(remove("people")).await.unwrap();
    assert!(!opens(&node, "people", &passphrase("correct horse")).await);
    assert_eq!(kind_of(perform(remove("people")).await), Kind::NotFound);
    perform(remove("cellar")).await.unwrap();
    assert_eq!(kind_of(perform(remove("office")).await), Kind::Unsupported, "it is the last one");
    assert!(opens(&node, "office", &passphrase("battery staple")).await);
    assert!(node.decrypt(&root, &ciphertext).await.is_ok(), "the server has gone on all the while");
    assert!(node.service.verify_store().await.unwrap().is_clean());
}

#[tokio::test]
async fn each_change_of_the_seals_is_in_the_audit_log_and_no_secret_is() {
    let (deployment, node) = deployed().await;
    let caller = node.again(&deployment.administrator());
    node.service.perform(&caller, &add("office", &passphrase("battery staple"))).await.unwrap();
    let entries = node.entries_of(&caller).await;
    let entry = &entries[0].json;
    assert_eq!((&entry["eventName"], entries.len()), (&"AddSeal".into(), 1));
    assert_eq!(entry["requestParameters"], serde_json::json!({"name": "office", "sealKind": "passphrase"}));
    let change = &entry["claviger"]["changes"][0];
    assert_eq!((&change["kind"], &change["version"]), (&"sealed-root".into(), &2.into()));
    let caller = node.again(&deployment.administrator());
    node.service.perform(&caller, &remove("office")).await.unwrap();
    let change = node.entries_of(&caller).await[0].json["claviger"]["changes"][0].clone();
    assert_eq!((&change["kind"], &change["version"]), (&"sealed-root".into(), &3.into()));
    let told = node.log().await.iter().any(|entry| {
        entry.json["eventName"] == "InitializeDeployment" && entry.json["claviger"]["changes"].to_string().contains("sealed-root")
    });
    assert!(told, "the log tells of the seals from the beginning");
    let text = |entry: &crate::common::Entry| String::from_utf8(entry.bytes.clone()).unwrap();
    assert!(node.log().await.iter().all(|entry| !text(entry).contains("battery")));
}

#[tokio::test]
async fn a_seal_that_was_put_back_behind_our_back_is_found() {
    let (deployment, node) = deployed().await;
    let administrator = deployment.administrator();
    node.service.perform(&node.again(&administrator), &add("office", &passphrase("battery staple"))).await.unwrap();
    let key = RecordKey { account: AccountId::DEPLOYMENT, kind: RecordKind::SealedRoot, id: "root".to_owned() };
    let before = node.store.get(&key).await.unwrap().unwrap();
    node.service.perform(&node.again(&administrator), &remove("office")).await.unwrap();
    let after = node.store.get(&key).await.unwrap().unwrap();
    assert!(node.service.verify_store().await.unwrap().is_clean());
    // The content of before under the version of now; and a version that nobody wrote.
    for (sealed, version) in [(before.sealed.clone(), after.version), (after.sealed.clone(), after.version + 1)] {
        let version = i64::try_from(version).unwrap();
        let update = "UPDATE records SET sealed = ?, version = ? WHERE kind = 'sealed-root'";
        Connection::open(deployment.path()).unwrap().execute(update, params![sealed.as_ref(), version]).unwrap();
        let report = node.service.verify_store().await.unwrap();
        assert!(report.findings.iter().any(|finding| finding.contains("sealed-root")), "{report}");
    }
}

#[tokio::test]
async fn seals_are_tried_with_the_secrets_of_the_configuration_or_with_those_that_are_brought() {
    let deployment = Deployment::new().await;
    let node = served_with(&deployment, &[("cellar", Some(1)), ("attic", None), ("nowhere", Some(9))]).await;
    let administrator = deployment.administrator();
    for (name, secret) in [("cellar", key_file(1)), ("attic", key_file(2))] {
        node.service.perform(&node.again(&administrator), &add(name, &secret)).await.unwrap();
    }
    let verify = async |names: &[&str], secrets: Vec<(&str, Arc<SealSecret>)>| {
        let secrets = secrets.into_iter().map(|(seal, secret)| BroughtSecret { seal: seal.to_owned(), secret }).collect();
        let operation = admin::VerifySeals { names: names.iter().map(|name| (*name).to_owned()).collect(), secrets };
        let verified = node.service.perform(&node.again(&administrator), &operation).await?;
        Ok::<_, Refusal>(verified.into_iter().map(|seal| (seal.name, seal.outcome.name(), seal.outcome)).collect::<Vec<_>>())
    };
    let words = |verified: &[(String, &'static str, SealOutcome)]| {
        verified.iter().map(|(name, outcome, _)| format!("{name} {outcome}")).collect::<Vec<_>>().join(", ")
    };
    let all = verify(&[], vec![]).await.unwrap();
    assert_eq!(words(&all), "people not-tried, cellar opens, attic not-tried, nowhere fails");
    assert!(all[2].2.reason().unwrap().contains("its file is not there"));
    assert!(all[3].2.reason().unwrap().contains("claviger seal add nowhere"));
    let brought = vec![("people", passphrase("correct horse")), ("attic", key_file(2))];
    assert_eq!(words(&verify(&["people", "attic"], brought).await.unwrap()), "people opens, attic opens");
    let wrong = verify(&["people", "cellar"], vec![("people", passphrase("wrong")), ("cellar", key_file(7))]).await.unwrap();
    assert_eq!(words(&wrong), "people fails, cellar fails");
    assert!(wrong[0].2.reason().unwrap().contains("the passphrase is wrong"), "{wrong:?}");
    assert_eq!(kind_of(verify(&["basement"], vec![]).await), Kind::NotFound);
    let listed = node.service.perform(&node.again(&administrator), &admin::ListSeals).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|seal| (seal.name.as_str(), seal.configured, seal.in_use)).collect();
    let expected = [("people", false, true), ("cellar", true, true), ("attic", true, true), ("nowhere", true, false)];
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn seals_are_the_administrators_alone() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let refused = [
        kind_of(node.service.perform(&node.again(&root), &admin::ListSeals).await),
        kind_of(node.service.perform(&node.again(&root), &add("mine", &key_file(1))).await),
        kind_of(node.service.perform(&node.again(&root), &remove("people")).await),
        kind_of(node.service.perform(&node.again(&root), &admin::VerifySeals { names: Vec::new(), secrets: Vec::new() }).await),
    ];
    assert_eq!(refused, [Kind::AccessDenied; 4]);
    assert!(!opens(&node, "mine", &key_file(1)).await && opens(&node, "people", &passphrase("correct horse")).await);
}

#[tokio::test]
async fn the_shares_of_a_new_seal_are_told_once_and_open_the_deployment() {
    let (deployment, node) = deployed().await;
    let caller = node.again(&deployment.administrator());
    let operation = admin::AddSeal { name: "board".to_owned(), new: Arc::new(NewSeal::Shares { threshold: 2, count: 3 }) };
    let printed = node.service.perform(&caller, &operation).await.unwrap();
    assert_eq!(printed.len(), 3);
    let shares = |numbers: [usize; 2]| SealSecret::Shares(numbers.map(|at| Share::parse(&printed[at]).unwrap()).into());
    assert!(opens(&node, "board", &shares([0, 2])).await);
    let brought = vec![BroughtSecret { seal: "board".to_owned(), secret: Arc::new(shares([1, 2])) }];
    let verify = admin::VerifySeals { names: vec!["board".to_owned()], secrets: brought };
    let verified = node.service.perform(&node.again(&caller), &verify).await.unwrap();
    assert_eq!(verified[0].outcome, SealOutcome::Opens);
    for entry in node.log().await {
        let text = String::from_utf8(entry.bytes).unwrap();
        assert!(printed.iter().flat_map(|share| share.lines()).all(|line| !text.contains(line)), "a share is in the log");
    }
    let too_few = admin::AddSeal { name: "alone".to_owned(), new: Arc::new(NewSeal::Shares { threshold: 1, count: 3 }) };
    assert_eq!(kind_of(node.service.perform(&node.again(&caller), &too_few).await), Kind::Invalid);
}

/// A node that serves a deployment whose root key may have been rotated: opened with what the store has now.
async fn serve_again(deployment: &Deployment) -> Node {
    let store = deployment.store();
    let port = Arc::clone(&store) as Arc<dyn Store>;
    let id = deployment::deployment_id(store.as_ref()).await.unwrap();
    let root = deployment::sealed_root(store.as_ref()).await.unwrap();
    let hsm = Arc::new(Hsm::open(id, &root, Some("people"), &passphrase("correct horse")).unwrap());
    let clock = Arc::clone(&deployment.clock);
    // A rotation waits for leases.
    let settings = Settings { lease: Duration::from_millis(100), ..Settings::for_node(NODE) };
    let service = Service::open(port, hsm, Arc::clone(&clock) as Arc<dyn Clock>, settings).await.unwrap();
    Node { service, store, clock, name: NODE.to_owned() }
}

pub(crate) fn rotation() -> admin::RotateRoot {
    let secret = passphrase("correct horse");
    admin::RotateRoot { secrets: vec![BroughtSecret { seal: "people".to_owned(), secret }] }
}

pub(crate) async fn root_status(node: &Node, administrator: &Caller) -> admin::RootStatus {
    node.service.perform(&node.again(administrator), &admin::GetRootStatus).await.unwrap()
}

#[tokio::test]
async fn the_root_key_is_rotated_step_by_step_and_a_crash_between_steps_loses_nothing() {
    let (deployment, node) = deployed().await;
    let (administrator, root) = (deployment.administrator(), deployment.root());
    let key = node.create_key(&root).await;
    let ciphertext = node.encrypt(&root, &key).await.unwrap();
    for number in 1..=120 {
        let operation = admin::CreateAccount { name: format!("account {number}"), id: AccountId::from_number(number) };
        node.service.perform(&node.again(&administrator), &operation).await.unwrap();
    }
    let nobody = admin::RotateRoot { secrets: Vec::new() };
    let refused = node.service.perform(&node.again(&administrator), &nobody).await.unwrap_err();
    assert!(refused.kind == Kind::Unsupported && refused.detail.contains("people"), "{refused}");
    let caller = node.again(&administrator);
    node.service.perform(&caller, &rotation()).await.unwrap();
    assert_eq!(node.entries_of(&caller).await[0].json["claviger"]["changes"][0]["kind"], "sealed-root");
    node.crash();

    // Each step by another process, which begins after the one before it was killed.
    let mut left = u64::MAX;
    let mut steps = 0;
    loop {
        let node = serve_again(&deployment).await;
        assert!(node.decrypt(&root, &ciphertext).await.is_ok(), "served all the while");
        let status = root_status(&node, &administrator).await;
        assert_eq!((status.version, status.old_versions.as_slice(), status.account_keys), (2, &[1][..], 122));
        assert!(status.account_keys_left < left || steps == 0);
        left = status.account_keys_left;
        let again = node.service.advance_root_rotation().await.unwrap();
        steps += 1;
        if !again {
            let status = root_status(&node, &administrator).await;
            assert_eq!((status.version, status.old_versions.len(), status.account_keys_left), (2, 0, 0));
            node.crash();
            break;
        }
        assert!(node.service.perform(&node.again(&administrator), &rotation()).await.is_err(), "one at a time");
        node.crash();
    }
    assert_eq!(steps, 4, "three batches and the end");
    let node = serve_again(&deployment).await;
    assert!(!node.service.advance_root_rotation().await.unwrap(), "nothing is left to do");
    assert!(node.decrypt(&root, &ciphertext).await.is_ok());
    let report = node.service.verify_store().await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(node.service.try_canaries().await.unwrap().iter().all(|(_, found)| found.is_ok()));
    let names: Vec<String> = node.log().await.iter().map(|entry| entry.json["eventName"].as_str().unwrap().to_owned()).collect();
    for (name, times) in [("RewrapAccountKeys", 3), ("RetireRoot", 1)] {
        assert_eq!(names.iter().filter(|found| *found == name).count(), times, "{name}");
    }
    assert!(node.service.perform(&node.again(&root), &rotation()).await.is_err(), "the administrator alone may");
}

#[tokio::test]
async fn an_account_that_is_made_during_a_rotation_is_under_the_new_root_key() {
    let (deployment, node) = deployed().await;
    let administrator = deployment.administrator();
    node.service.perform(&node.again(&administrator), &rotation()).await.unwrap();
    let stranger = node.create_account(&administrator, 42).await;
    while node.service.advance_root_rotation().await.unwrap() {}
    let key = node.create_key(&stranger).await;
    node.crash();
    let node = serve_again(&deployment).await;
    node.encrypt(&stranger, &key).await.unwrap();
    assert!(node.service.verify_store().await.unwrap().is_clean());
}
