//! Invariants 1 and 2: no answer without a durable audit entry, and a success is durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_audit::entry::{ChangeDigest, is_canonical};
use claviger_domain::policy::default_key_policy;
use claviger_domain::{AccountId, Kind, Refusal};
use claviger_service::operation::Event;
use claviger_service::operations::{admin, kms, sts};
use claviger_service::{Clock as _, Settings};
use claviger_store::{RecordKey, RecordKind, Store};
use serde_json::{Value, json};

use crate::common::operations::{About, Subject, TRIALS, data_key, re_encrypt};
use crate::common::stores::{Plan, Unreliable};
use crate::common::{
    Deployment, Entry, MINUTE_MS, NODE, Node, account, by_arn, create_key, decrypt, deployed, encrypt, generate_random,
    key_policy, kind_of, request,
};

/// A node whose store fails when it is told to.
async fn on_an_unreliable_store() -> (Deployment, Node, Arc<Unreliable>) {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let unreliable = Unreliable::before(&store);
    let port = Arc::clone(&unreliable) as Arc<dyn Store>;
    let node = deployment.serve_through(store, port, Settings::for_node(NODE)).await.unwrap();
    (deployment, node, unreliable)
}

const ALL: usize = usize::MAX;

#[tokio::test]
async fn without_an_entry_there_is_no_answer_and_no_change() {
    let (deployment, node, store) = on_an_unreliable_store().await;
    let root = deployment.root();
    for trial in TRIALS {
        let subject = Subject::on_trial(&node, &root, &default_key_policy(account()), trial).await;
        let (records, entries) = (node.records().await, node.log_size().await);
        store.plan(Plan { fail_commits: ALL, ..Plan::default() });
        let result = (trial.run)(&node.service, &node.again(&root), &subject).await;
        store.plan(Plan::default());
        assert_eq!(kind_of(result), Kind::Internal, "{}", trial.name);
        assert_eq!(node.records().await, records, "{}", trial.name);
        assert_eq!(node.log_size().await, entries, "{}", trial.name);
    }
    // The same for those who would have been refused anyway: not even that is said without an entry.
    let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
    let nobody = node.create_user(&root, "nobody", &[]).await;
    store.plan(Plan { fail_commits: ALL, ..Plan::default() });
    for trial in TRIALS {
        let result = (trial.run)(&node.service, &node.again(&nobody), &subject).await;
        assert_eq!(kind_of(result), Kind::Internal, "{}", trial.name);
    }
    let refusal = Refusal::new(Kind::WrongSignature, "");
    let written = node.service.record_refusal(&request(node.clock.now()), None, None, Event::kms("Encrypt"), &refusal).await;
    assert_eq!(kind_of(written), Kind::Internal);
    store.plan(Plan::default());
    let state = node.describe(&root, &subject.key).await.unwrap().state;
    assert_eq!(state.as_str(), "Enabled", "what failed has not been done, in memory either");
}

#[tokio::test]
async fn a_reader_never_sees_what_was_not_made_durable() {
    let (deployment, node, store) = on_an_unreliable_store().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    node.encrypt(&root, &key).await.unwrap();
    store.plan(Plan { fail_commits: 1, ..Plan::default() });
    let disable = kms::DisableKey { key: by_arn(&key) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &disable).await), Kind::Internal);
    node.encrypt(&root, &key).await.unwrap();
    node.service.perform(&node.again(&root), &disable).await.unwrap();
    assert_eq!(kind_of(node.encrypt(&root, &key).await), Kind::Disabled);
}

#[tokio::test]
async fn who_comes_second_tries_again_and_leaves_one_entry() {
    let (deployment, node, store) = on_an_unreliable_store().await;
    let root = deployment.root();
    for trial in TRIALS.iter().filter(|trial| trial.about != About::Account) {
        let mut subject = Subject::on_trial(&node, &root, &default_key_policy(account()), trial).await;
        subject.prepare(&node, &root, trial).await;
        store.plan(Plan { conflicts: 3, ..Plan::default() });
        let caller = node.again(&root);
        (trial.run)(&node.service, &caller, &subject).await.unwrap_or_else(|refusal| panic!("{}: {refusal}", trial.name));
        store.plan(Plan::default());
        assert_eq!(node.entries_of(&caller).await.len(), 1, "{}", trial.name);
    }
}

#[tokio::test]
async fn who_never_gets_a_turn_is_told_so_and_it_is_in_the_log() {
    let (deployment, node, store) = on_an_unreliable_store().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    store.plan(Plan { conflicts: ALL, ..Plan::default() });
    let caller = node.again(&root);
    let result = node.service.perform(&caller, &kms::DisableKey { key: by_arn(&key) }).await;
    store.plan(Plan::default());
    assert_eq!(kind_of(result), Kind::Conflict);
    let entries = node.entries_of(&caller).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].json["errorCode"], "ConflictException");
    assert_eq!(node.describe(&root, &key).await.unwrap().state.as_str(), "Enabled");
    assert!(store.commits() > 10, "it was tried more than once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_that_meet_all_happen() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let (service, caller) = (Arc::clone(&node.service), node.again(&root));
        let operation = kms::TagResource { key: by_arn(&key), tags: BTreeMap::from([(format!("tag-{number}"), "x".to_owned())]) };
        tasks.spawn(async move { service.perform(&caller, &operation).await.map(|()| caller.request.id) });
    }
    let mut acknowledged = Vec::new();
    while let Some(done) = tasks.join_next().await {
        acknowledged.push(done.unwrap().unwrap().to_string());
    }
    assert_eq!(node.describe(&root, &key).await.unwrap().tags.len(), 40, "no acknowledged change is lost");
    let log = node.log().await;
    for id in acknowledged {
        assert_eq!(log.iter().filter(|entry| entry.json["requestID"] == id.as_str()).count(), 1);
    }
}

#[tokio::test]
async fn every_operation_leaves_one_entry_that_tells_what_was_done() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for trial in TRIALS {
        let mut subject = Subject::on_trial(&node, &root, &default_key_policy(account()), trial).await;
        subject.prepare(&node, &root, trial).await;
        node.clock.advance_ms(MINUTE_MS);
        let (size, caller) = (node.log_size().await, node.again(&root));
        (trial.run)(&node.service, &caller, &subject).await.unwrap();
        let log = node.log_since(size).await;
        assert_eq!(log.len(), 1, "{}: one request, one entry", trial.name);
        let Entry { bytes, json } = &log[0];
        assert!(is_canonical(bytes), "{}", trial.name);
        assert_eq!(json["eventName"], trial.name);
        assert_eq!(json["eventSource"], "kms.amazonaws.com");
        assert_eq!(json["eventType"], "AwsApiCall");
        assert_eq!(json["requestID"], caller.request.id.to_string());
        assert_eq!(json["recipientAccountId"], account().to_string());
        assert_eq!(json["awsRegion"], "us-east-1");
        assert_eq!(json["sourceIPAddress"], "127.0.0.1");
        assert_eq!(json["userAgent"], "tests");
        assert_eq!(json["eventTime"], caller.request.at.to_rfc3339());
        assert_eq!(json["claviger"]["timeMs"], caller.request.at.0);
        assert_eq!(json["claviger"]["door"], "test");
        assert_eq!(json["claviger"]["node"], NODE);
        assert_eq!(json["claviger"]["transport"], "tls");
        assert_eq!(json["errorCode"], Value::Null);
        let identity = json!({
            "accessKeyId": deployment.tenant.access_key.to_string(),
            "accountId": account().to_string(),
            "arn": root.identity.arn,
            "principalId": account().to_string(),
            "type": "Root",
        });
        assert_eq!(json["userIdentity"], identity);
        assert_eq!(json["claviger"]["decision"]["effect"], "allow");
        let basis = json["claviger"]["decision"]["basis"].as_str().unwrap();
        let expected = if matches!(trial.about, About::Account | About::Grant | About::KeyStore) {
            "account root"
        } else {
            r#""Enable IAM User Permissions""#
        };
        assert!(basis.contains(expected), "{}: {basis}", trial.name);
        check_resources(json, &subject, trial.about, trial.name);
        check_changes(json, &node, trial.name).await;
    }
}

fn check_resources(json: &Value, subject: &Subject, about: About, name: &str) {
    let named: Vec<&str> = json["resources"]
        .as_array()
        .map_or(Vec::new(), |all| all.iter().map(|resource| resource["ARN"].as_str().unwrap()).collect());
    let key = subject.key.to_string();
    match about {
        About::Account | About::KeyStore => assert!(named.is_empty(), "{name}: {named:?}"),
        About::Key | About::KeyAndAccount | About::Grant => assert_eq!(named[0], key, "{name}"),
        About::Alias => assert!(named.contains(&key.as_str()) && named[0].contains(":alias/"), "{name}: {named:?}"),
    }
    for resource in json["resources"].as_array().unwrap_or(&Vec::new()) {
        let is_alias = resource["ARN"].as_str().unwrap().contains(":alias/");
        assert_eq!(resource["type"], if is_alias { "AWS::KMS::Alias" } else { "AWS::KMS::Key" });
        assert_eq!(resource["accountId"], account().to_string());
    }
}

/// The digests are those of what is in the store now, and an operation is said to be read-only exactly when there are none.
async fn check_changes(json: &Value, node: &Node, name: &str) {
    let none = Vec::new();
    let changes = json["claviger"]["changes"].as_array().unwrap_or(&none);
    assert_eq!(json["readOnly"], changes.is_empty(), "{name}");
    let records = node.records().await;
    for change in changes {
        let key = RecordKey {
            account: change["account"].as_str().unwrap().parse().unwrap(),
            kind: RecordKind::parse(change["kind"].as_str().unwrap()).unwrap(),
            id: change["id"].as_str().unwrap().to_owned(),
        };
        match records.get(&key) {
            Some((version, sealed)) => {
                assert_eq!(change["version"], *version, "{name}: {key}");
                assert_eq!(change["sha256"], hex::encode(ChangeDigest::of_sealed(sealed)), "{name}: {key}");
            }
            None => assert_eq!(change["sha256"], Value::Null, "{name}: {key} was deleted"),
        }
    }
}

#[tokio::test]
async fn refusals_are_entries_too() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let nobody = node.create_user(&root, "nobody", &[]).await;
    let key = node.create_key(&root).await;
    let gone =
        kms::DescribeKey { key: claviger_domain::KeyReference::Id(claviger_domain::KeyId::single_region(uuid::Uuid::nil())) };
    for (caller, expected, effect) in [(&root, "NotFoundException", "none"), (&nobody, "NotFoundException", "none")] {
        let caller = node.again(caller);
        node.service.perform(&caller, &gone).await.err().unwrap();
        let entries = node.entries_of(&caller).await;
        assert_eq!((entries.len(), &entries[0].json["errorCode"]), (1, &json!(expected)));
        assert_eq!(entries[0].json["claviger"]["decision"]["effect"], effect);
    }
    let caller = node.again(&nobody);
    let refusal = node.service.perform(&caller, &kms::DisableKey { key: by_arn(&key) }).await.unwrap_err();
    let entry = &node.entries_of(&caller).await[0].json;
    assert_eq!(entry["errorCode"], "AccessDenied");
    assert_eq!(entry["errorMessage"], refusal.detail);
    assert_eq!(entry["claviger"]["decision"]["effect"], "deny");
    assert_eq!(entry["claviger"]["decision"]["basis"], "no statement of an identity policy allows");
    assert_eq!(entry["userIdentity"]["type"], "IAMUser");
    assert_eq!(entry["userIdentity"]["userName"], "nobody");
    assert_eq!(entry["resources"][0]["ARN"], key.to_string());
    assert_eq!(entry["claviger"]["changes"], Value::Null);

    // A request that never became one: nobody is named as its author, but the credential that it claimed is.
    let unknown = request(node.clock.now());
    let refusal = Refusal::new(Kind::WrongSignature, "wrong");
    let event = Event::kms("Encrypt");
    node.service.record_refusal(&unknown, None, Some("AKIACLAIMEDBYSOMEBODY"), event, &refusal).await.unwrap();
    let log = node.log().await;
    let entry = &log.last().unwrap().json;
    assert!(is_canonical(&log.last().unwrap().bytes));
    assert_eq!(entry["errorCode"], "InvalidSignatureException");
    assert_eq!(entry["userIdentity"], json!({"accessKeyId": "AKIACLAIMEDBYSOMEBODY", "type": "Unknown"}));
    assert_eq!(entry["requestID"], unknown.id.to_string());
}

#[tokio::test]
async fn administration_and_sts_leave_entries_too() {
    let (deployment, node) = deployed().await;
    let administrator = deployment.administrator();
    let caller = node.again(&administrator);
    let operation = admin::CreateAccount { name: "second".to_owned(), id: AccountId::from_number(42) };
    node.service.perform(&caller, &operation).await.unwrap();
    let entries = node.entries_of(&caller).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].json["eventName"], "CreateAccount");
    assert_eq!(entries[0].json["eventSource"], "claviger");
    let changes = entries[0].json["claviger"]["changes"].as_array().unwrap();
    let mut kinds: Vec<&str> = changes.iter().map(|change| change["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["access-key", "account", "account-key", "setting"], "the setting is its canary");
    check_changes(&entries[0].json, &node, "CreateAccount").await;
    let caller = node.again(&deployment.root());
    node.service.perform(&caller, &sts::GetCallerIdentity).await.unwrap();
    let entry = &node.entries_of(&caller).await[0].json;
    assert_eq!((&entry["eventName"], &entry["eventSource"]), (&json!("GetCallerIdentity"), &json!("sts.amazonaws.com")));
}

#[tokio::test]
async fn no_entry_holds_plaintext_ciphertext_or_secrets() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
    let plaintext = b"the plaintext that nobody may find in a log";
    let mut secrets: Vec<Vec<u8>> = vec![plaintext.to_vec()];
    let encrypted = node.service.perform(&node.again(&root), &encrypt(by_arn(&subject.key), plaintext)).await.unwrap();
    let opened = node.service.perform(&node.again(&root), &decrypt(&encrypted.ciphertext)).await.unwrap();
    assert_eq!(opened.plaintext.plaintext().unwrap(), plaintext);
    let moved = node.service.perform(&node.again(&root), &re_encrypt(&subject)).await.unwrap();
    let data = node.service.perform(&node.again(&root), &data_key(&subject.key)).await.unwrap();
    let sealed =
        node.service.perform(&node.again(&root), &kms::GenerateDataKeyWithoutPlaintext(data_key(&subject.key))).await.unwrap();
    let random = node.service.perform(&node.again(&root), &generate_random(32)).await.unwrap();
    // Refused requests carry what they were about as well.
    let mut broken = encrypted.ciphertext.clone();
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(kind_of(node.decrypt(&root, &broken).await), Kind::InvalidCiphertext);
    let user = node.create_user(&root, "user", &[]).await;
    assert_eq!(kind_of(node.encrypt(&user, &subject.key).await), Kind::AccessDenied);
    let named = admin::CreateAccessKey { account: None, user: Some("user".parse().unwrap()) };
    let created = node.service.perform(&node.again(&root), &named).await.unwrap();
    let account = admin::CreateAccount { name: "other".to_owned(), id: None };
    let credential = node.service.perform(&node.again(&deployment.administrator()), &account).await.unwrap();
    for made in [&created.credential, &credential, &deployment.tenant, &deployment.administrator] {
        secrets.push(made.secret.as_bytes().to_vec());
        secrets.push(STANDARD.decode(made.secret.as_bytes()).unwrap());
    }
    secrets.extend([
        data.plaintext.plaintext().unwrap().to_vec(),
        random.plaintext().unwrap().to_vec(),
        b"attack at dawn".to_vec(),
    ]);
    let ciphertexts = [&encrypted.ciphertext, &moved.ciphertext, &data.ciphertext, &sealed.ciphertext, &subject.made, &broken];
    secrets.extend(ciphertexts.into_iter().cloned());

    let log = node.log().await;
    assert!(log.len() > 15);
    for entry in &log {
        assert!(is_canonical(&entry.bytes));
        for secret in &secrets {
            for form in forms(secret) {
                assert!(!contains(&entry.bytes, &form), "{} holds {}", entry.json, String::from_utf8_lossy(&form));
            }
        }
    }
}

/// As it is, in hex, in base64 wherever it begins within a longer text.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let part = &secret[secret.len() / 4..];
    let encoded = STANDARD.encode(part).trim_end_matches('=').to_owned();
    vec![part.to_vec(), hex::encode(part).into_bytes(), encoded.into_bytes(), STANDARD.encode(secret).into_bytes()]
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_the_process_has_gone() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    let ciphertext = node.encrypt(&root, &key).await.unwrap();
    let entries = node.log_size().await;
    node.crash();
    let node = deployment.serve().await;
    assert_eq!(node.decrypt(&root, &ciphertext).await.unwrap().plaintext.plaintext().unwrap(), b"attack at dawn");
    assert_eq!(node.log_size().await, entries + 1, "the log goes on where it was");
    assert!(node.service.verify_store().await.unwrap().is_clean());
}

#[tokio::test]
async fn policies_that_allow_are_named_in_the_entry() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let allow = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Use","Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}]}"#;
    let user = node.create_user(&root, "user", &[allow]).await;
    let by_identity = node.create_key(&root).await;
    let by_key = key_policy(&[("Allow", &root.identity.arn, "kms:*"), ("Allow", &user.identity.arn, "kms:Encrypt")]);
    let by_key = node.service.perform(&node.again(&root), &create_key(Some(by_key))).await.unwrap().arn();
    for (key, basis) in [
        (by_identity, r#"key policy statement "Enable IAM User Permissions" and identity policy "policy-0" statement "Use""#),
        (by_key, "key policy statement 2"),
    ] {
        let caller = node.again(&user);
        node.service.perform(&caller, &encrypt(by_arn(&key), b"x")).await.unwrap();
        assert_eq!(node.entries_of(&caller).await[0].json["claviger"]["decision"], json!({"basis": basis, "effect": "allow"}));
    }
}
