//! Hold your own key: a cloud reaches the keys behind its own store, as far as the store's policy lets it, and only until somebody breaks the
//! glass.

use std::sync::Arc;
use std::time::Duration;

use claviger_domain::hyok::{Cloud, ExternalKeyUsage};
use claviger_domain::key::{KeySpec, KeyUsage};
use claviger_domain::{Caller, Kind};
use claviger_service::Settings;
use claviger_service::operations::xks::{GetHealthStatus, HealthStatus};
use claviger_service::operations::{admin, kms};
use serde_json::json;

use crate::common::hyok::{PLAINTEXT, Shown, create, decrypt, encrypt, external, metadata, shown, store_name};
use crate::common::stores::Shared;
use crate::common::{Deployment, NODE, Node, by_arn, create_key, deployed, identity_policy, key_policy, kind_of, root_arn};

/// A node, its account's root, and the cloud of a store `payroll` with a key `one` behind it.
async fn in_use() -> (Deployment, Node, Caller, Caller) {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let file = node.create_store(&root, &create("payroll")).await;
    let key = node.create_key(&root).await;
    node.add_key(&root, "payroll", "one", &key).await.unwrap();
    let cloud = node.cloud(&file).await.unwrap();
    (deployment, node, root, cloud)
}

#[tokio::test]
async fn what_a_cloud_encrypts_it_decrypts_and_the_log_tells_of_it() {
    let (_deployment, node, _root, cloud) = in_use().await;
    let caller = node.again(&cloud);
    let made = node.service.perform(&caller, &encrypt("one")).await.unwrap();
    assert!(made.integrity_value.is_some() && made.ciphertext.len() == PLAINTEXT.len());
    assert_eq!(*node.xks_decrypt(&cloud, "one", &made).await.unwrap(), PLAINTEXT);
    let entries = node.entries_of(&caller).await;
    assert_eq!(entries.len(), 1);
    let entry = &entries[0].json;
    assert_eq!((&entry["eventSource"], &entry["eventName"]), (&json!("kms-xks-proxy"), &json!("Encrypt")));
    assert_eq!(entry["userIdentity"]["type"], "HoldYourOwnKeyStore");
    assert_eq!(entry["userIdentity"]["arn"], "arn:claviger:hyok::123456789012:store/payroll");
    assert_eq!(entry["claviger"]["decision"]["basis"], "store policy statement \"AllowEverything\"");
    let parameters = &entry["requestParameters"];
    assert_eq!(parameters["externalKeyId"], "one");
    assert_eq!(parameters["requestMetadata"]["kmsRequestId"], "4112f4d6-db54-4af4-ae30-c55a22a8dfae");
    assert_eq!(parameters["requestMetadata"]["awsPrincipalArn"], "arn:aws:iam::111122223333:user/Alice");
    assert!(entry["resources"][0]["ARN"].as_str().unwrap().contains(":key/"), "{entry}");
    assert!(claviger_audit::entry::is_canonical(&entries[0].bytes));
    for entry in node.log().await {
        let text = String::from_utf8(entry.bytes).unwrap();
        assert!(!text.contains("data key of the cloud") && !text.contains("YSBkYXRhIGtleSBvZiB0aGU"), "{text}");
    }
}

#[tokio::test]
async fn a_path_is_one_stores_and_a_credential_opens_no_other() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (one, two) = (node.create_store(&root, &create("one")).await, node.create_store(&root, &create("two")).await);
    assert_eq!(kind_of(node.ask_as(two.path.as_str(), &one, None).await), Kind::UnknownCredential);
    for nowhere in ["/three/kms/xks/v1", "/kms/xks/v1", "/one", "", "/one//kms/xks/v1", "/one/kms/xks/v1/"] {
        assert_eq!(kind_of(node.ask_as(nowhere, &one, None).await), Kind::InvalidUriPath, "{nowhere}");
    }
    let forged = claviger_service::hyok::CredentialFile {
        path: one.path.clone(),
        access_key: one.access_key.clone(),
        secret: two.secret.clone(),
    };
    assert_eq!(kind_of(node.cloud(&forged).await), Kind::WrongSignature);
    // Another account's store cannot have the path either, and its keys are its own.
    let other = node.create_account(&deployment.administrator(), 210_987_654_321).await;
    let taken = admin::CreateHyokStore { name: store_name("mine"), ..create("one") };
    assert_eq!(kind_of(node.service.perform(&node.again(&other), &taken).await), Kind::AlreadyExists);
    let key = node.create_key(&root).await;
    node.add_key(&root, "one", "key", &key).await.unwrap();
    let cloud = node.cloud(&two).await.unwrap();
    assert_eq!(kind_of(node.xks_encrypt(&cloud, "key").await), Kind::NotFound);
    assert_eq!(kind_of(node.xks_metadata(&cloud, "key").await), Kind::NotFound);
    // A store is nobody elsewhere: no policy that speaks of everyone means it.
    let everyone = key_policy(&[("Allow", "*", "kms:*"), ("Allow", &root_arn(key.account), "kms:*")]);
    let open = node.create_key_with(&root, Some(everyone)).await;
    assert_eq!(kind_of(node.encrypt(&cloud, &open).await), Kind::AccessDenied);
    assert_eq!(kind_of(node.xks_encrypt(&root, "key").await), Kind::AccessDenied, "and nobody is a store");
}

#[tokio::test]
async fn a_store_that_is_made_anew_is_another_one() {
    let (_deployment, node, root, cloud) = in_use().await;
    let remove = admin::RemoveHyokKey { account: None, store: store_name("payroll"), external: external("one") };
    let delete = admin::DeleteHyokStore { account: None, name: store_name("payroll") };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &delete).await), Kind::InvalidState);
    node.service.perform(&node.again(&root), &remove).await.unwrap();
    node.service.perform(&node.again(&root), &delete).await.unwrap();
    assert_eq!(kind_of(node.xks_encrypt(&cloud, "one").await), Kind::InvalidUriPath);
    node.clock.advance_ms(1);
    let file = node.create_store(&root, &create("payroll")).await;
    assert_eq!(kind_of(node.xks_encrypt(&cloud, "one").await), Kind::InvalidUriPath, "the old caller is nobody's");
    node.cloud(&file).await.unwrap();
}

#[tokio::test]
async fn two_credentials_overlap_while_they_are_exchanged() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let old = node.create_store(&root, &create("payroll")).await;
    let rotate = admin::RotateHyokCredential { account: None, store: store_name("payroll") };
    let finish = admin::DeleteHyokCredential { account: None, store: store_name("payroll"), access_key: None };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &finish).await), Kind::InvalidState, "the last one stays");
    let new = node.service.perform(&node.again(&root), &rotate).await.unwrap();
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &rotate).await), Kind::LimitExceeded);
    node.cloud(&old).await.unwrap();
    node.cloud(&new).await.unwrap();
    let get = admin::GetHyokCredential { account: None, store: store_name("payroll") };
    let again = node.service.perform(&node.again(&root), &get).await.unwrap();
    assert_eq!((again.access_key, again.secret), (new.access_key.clone(), new.secret.clone()));
    assert_eq!(node.service.perform(&node.again(&root), &finish).await.unwrap(), old.access_key);
    assert_eq!(kind_of(node.cloud(&old).await), Kind::UnknownCredential);
    node.cloud(&new).await.unwrap();
    for entry in node.log().await {
        let text = String::from_utf8(entry.bytes).unwrap();
        assert!(!text.contains(new.secret.as_str()) && !text.contains(old.secret.as_str()), "{text}");
    }
}

#[tokio::test]
async fn the_stores_policy_decides_by_what_the_cloud_tells() {
    let (_deployment, node, root, cloud) = in_use().await;
    let made = node.xks_encrypt(&cloud, "one").await.unwrap();
    let cases = [
        (json!({"StringEquals": {"xks:KmsOperation": "Encrypt"}}), true),
        (json!({"StringEquals": {"xks:KmsOperation": "ReEncrypt"}}), false),
        (json!({"ArnLike": {"xks:AwsPrincipalArn": "arn:aws:iam::111122223333:user/*"}}), true),
        (json!({"ArnLike": {"xks:AwsPrincipalArn": "arn:aws:iam::444455556666:*"}}), false),
        (json!({"StringEquals": {"xks:KmsViaService": ["ebs", "s3"]}}), true),
        (json!({"StringEquals": {"xks:KmsViaService": "s3"}}), false),
        (json!({"StringEquals": {"xks:AwsSourceVpc": "vpc-1", "xks:AwsSourceVpce": "vpce-1"}}), true),
        (json!({"StringEquals": {"xks:AwsSourceVpc": "vpc-2"}}), false),
        (json!({"Null": {"xks:AwsSourceVpce": "true"}}), false),
        (json!({"ArnEquals": {"xks:KmsKeyArn": metadata().kms_key_arn}}), true),
        (json!({"ArnEquals": {"xks:KmsKeyArn": "arn:aws:kms:us-east-2:111122223333:key/other"}}), false),
    ];
    for (condition, allowed) in cases {
        let statement = json!({"Effect": "Allow", "Action": "xks:Encrypt", "Resource": "*", "Condition": condition});
        put_policy(&node, &root, &json!([statement])).await;
        let caller = node.again(&cloud);
        let answer = node.service.perform(&caller, &encrypt("one")).await;
        assert_eq!(answer.as_ref().err().map(|refusal| refusal.kind), (!allowed).then_some(Kind::AccessDenied), "{statement}");
        assert_eq!(kind_of(node.xks_decrypt(&cloud, "one", &made).await), Kind::AccessDenied, "another action");
        let entry = &node.entries_of(&caller).await[0].json;
        assert_eq!(entry["claviger"]["decision"]["effect"], if allowed { "allow" } else { "deny" }, "{entry}");
        if !allowed {
            assert_eq!(entry["claviger"]["decision"]["basis"], "no statement of the store policy allows");
        }
    }
    let arn = "arn:claviger:hyok::123456789012:store/payroll/key/one";
    let all = json!({"Effect": "Allow", "Action": "xks:*", "Resource": arn});
    let deny = json!({"Sid": "NoDecrypt", "Effect": "Deny", "Action": "xks:Decrypt", "Resource": "*"});
    put_policy(&node, &root, &json!([all, deny])).await;
    node.xks_encrypt(&cloud, "one").await.unwrap();
    assert_eq!(kind_of(node.xks_decrypt(&cloud, "one", &made).await), Kind::AccessDenied);
    // Health is nobody's to forbid.
    node.service.perform(&node.again(&cloud), &GetHealthStatus { metadata: metadata() }).await.unwrap();
    let malformed = admin::PutHyokStorePolicy { account: None, name: store_name("payroll"), policy: "{}".to_owned() };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &malformed).await), Kind::MalformedPolicy);
}

async fn put_policy(node: &Node, root: &Caller, statements: &serde_json::Value) {
    let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let operation = admin::PutHyokStorePolicy { account: None, name: store_name("payroll"), policy };
    node.service.perform(&node.again(root), &operation).await.unwrap();
}

#[tokio::test]
async fn what_is_cut_off_is_refused_at_once_and_works_again_once_it_is_restored() {
    let (_deployment, node, root, cloud) = in_use().await;
    let key = node.create_key(&root).await;
    node.add_key(&root, "payroll", "two", &key).await.unwrap();
    let made = node.xks_encrypt(&cloud, "one").await.unwrap();
    let works = |name: &'static str| {
        let (node, cloud) = (&node, &cloud);
        async move { node.xks_encrypt(cloud, name).await.is_ok() }
    };
    let one = || admin::Scope::Key(store_name("payroll"), external("one"));
    let store = || admin::Scope::Store(store_name("payroll"));
    let everything = || admin::Scope::Cloud(Cloud::Aws);

    // A rehearsal changes nothing, and tells what would fail.
    for scope in [one(), store(), everything()] {
        let records = node.records().await;
        let report = node.glass(&root, scope, false, true).await.unwrap();
        assert_eq!(node.records().await, records);
        let keys = &report.stores[0].keys;
        assert!(report.stores.len() == 1 && report.stores[0].changes && !keys.is_empty());
        assert_eq!((keys[0].id.as_str(), keys[0].uses_in_last_minute), ("one", 1));
        assert_eq!(keys[0].last_use.as_ref().unwrap().operation, "Encrypt");
        assert!(works("one").await && works("two").await);
        node.clock.advance_ms(120_000);
        node.xks_encrypt(&cloud, "one").await.unwrap();
    }

    node.glass(&root, one(), false, false).await.unwrap();
    assert_eq!(kind_of(node.xks_encrypt(&cloud, "one").await), Kind::InvalidState);
    assert_eq!(kind_of(node.xks_decrypt(&cloud, "one", &made).await), Kind::InvalidState);
    assert!(!node.xks_metadata(&cloud, "one").await.unwrap().enabled && node.xks_metadata(&cloud, "two").await.unwrap().enabled);
    assert!(works("two").await);
    for scope in [store(), everything()] {
        node.glass(&root, scope, false, false).await.unwrap();
        assert!(!works("two").await);
        assert_eq!(kind_of(node.xks_metadata(&cloud, "two").await), Kind::InvalidState);
        let health = GetHealthStatus { metadata: metadata() };
        assert_eq!(kind_of(node.service.perform(&node.again(&cloud), &health).await), Kind::InvalidState);
        let again = node.glass(&root, store(), false, false).await.unwrap();
        assert!(!again.stores[0].changes, "it is cut off already");
        node.glass(&root, store(), true, false).await.unwrap();
        assert!(works("two").await && !works("one").await, "the key was cut off for itself");
    }
    node.glass(&root, one(), true, false).await.unwrap();
    assert_eq!(*node.xks_decrypt(&cloud, "one", &made).await.unwrap(), PLAINTEXT);
    let entry = node.log().await.into_iter().rfind(|entry| entry.json["eventName"] == "BreakGlass").unwrap().json;
    assert_eq!(
        (&entry["requestParameters"]["reason"], &entry["requestParameters"]["restore"]),
        (&json!("a drill"), &json!(true))
    );
    assert_eq!(entry["responseElements"]["changedStores"][0], "123456789012/payroll");
}

#[tokio::test]
async fn a_cut_off_reaches_other_nodes_within_the_lease() {
    let deployment = Deployment::new().await;
    let root = deployment.root();
    let (lease, store) = (Duration::from_millis(40), deployment.store());
    let [one, other] = Shared::between(&store);
    let one = deployment.serve_through(Arc::clone(&store), one, Settings::for_node(NODE)).await.unwrap();
    let settings = Settings { lease, ..Settings::for_node("node-2") };
    let other = deployment.serve_through(store, other, settings).await.unwrap();
    let file = one.create_store(&root, &create("payroll")).await;
    let key = one.create_key(&root).await;
    one.add_key(&root, "payroll", "one", &key).await.unwrap();
    let everything = || admin::Scope::Cloud(Cloud::Aws);
    for _ in 0..3 {
        tokio::time::sleep(2 * lease).await;
        let cloud = other.cloud(&file).await.unwrap();
        other.xks_encrypt(&cloud, "one").await.unwrap();
        one.glass(&root, everything(), false, false).await.unwrap();
        tokio::time::sleep(2 * lease).await;
        assert_eq!(kind_of(other.xks_encrypt(&cloud, "one").await), Kind::InvalidState);
        one.glass(&root, everything(), true, false).await.unwrap();
    }
}

#[tokio::test]
async fn the_administrator_stops_a_cloud_for_everybody_and_an_account_for_itself() {
    let (deployment, node, root, cloud) = in_use().await;
    let administrator = deployment.administrator();
    let other = node.create_account(&administrator, 210_987_654_321).await;
    let file = node.create_store(&other, &create("elsewhere")).await;
    let key = node.create_key(&other).await;
    node.add_key(&other, "elsewhere", "key", &key).await.unwrap();
    let elsewhere = node.cloud(&file).await.unwrap();
    let everything = || admin::Scope::Cloud(Cloud::Aws);
    let report = node.glass(&root, everything(), false, false).await.unwrap();
    assert_eq!(report.stores.len(), 1);
    assert!(node.xks_encrypt(&cloud, "one").await.is_err());
    node.xks_encrypt(&elsewhere, "key").await.unwrap();
    let report = node.glass(&administrator, everything(), false, false).await.unwrap();
    assert_eq!(report.stores.iter().map(|store| store.changes).collect::<Vec<_>>(), [true, false]);
    assert_eq!(kind_of(node.xks_encrypt(&elsewhere, "key").await), Kind::InvalidState);
    let one_store = || admin::Scope::Store(store_name("payroll"));
    assert_eq!(
        kind_of(node.glass(&administrator, one_store(), true, false).await),
        Kind::NotFound,
        "of the deployment's own account"
    );
    // Whoever may cut off need not be able to restore.
    let guard = node.create_user(&root, "guard", &[&identity_policy("Allow", &["claviger:BreakGlass"])]).await;
    node.glass(&guard, one_store(), false, false).await.unwrap();
    assert_eq!(kind_of(node.glass(&guard, one_store(), true, false).await), Kind::AccessDenied);
    node.glass(&administrator, everything(), true, false).await.unwrap();
    node.xks_encrypt(&cloud, "one").await.unwrap();
    node.xks_encrypt(&elsewhere, "key").await.unwrap();
}

#[tokio::test]
async fn a_key_stands_behind_a_store_only_if_its_policy_lets_it_be_given_away() {
    let (_deployment, node, root, _) = in_use().await;
    let closed = key_policy(&[("Allow", &root.identity.arn, "kms:PutKeyPolicy")]);
    let key = node.create_key_with(&root, Some(closed)).await;
    assert_eq!(kind_of(node.add_key(&root, "payroll", "closed", &key).await), Kind::AccessDenied);
    let keeper = node.create_user(&root, "keeper", &[&identity_policy("Allow", &["claviger:AddHyokKey"])]).await;
    let own = node.create_key(&root).await;
    assert_eq!(kind_of(node.add_key(&keeper, "payroll", "own", &own).await), Kind::AccessDenied);
    assert_eq!(kind_of(node.add_key(&root, "payroll", "one", &own).await), Kind::AlreadyExists);
    assert_eq!(kind_of(node.add_key(&root, "nowhere", "own", &own).await), Kind::NotFound);
    for (spec, usage) in [(KeySpec::EccNistP256, KeyUsage::SignVerify), (KeySpec::Hmac256, KeyUsage::GenerateVerifyMac)] {
        let create = kms::CreateKey { spec, usage, ..create_key(None) };
        let other = node.service.perform(&node.again(&root), &create).await.unwrap().arn();
        assert_eq!(kind_of(node.add_key(&root, "payroll", "other", &other).await), Kind::InvalidKeyUsage);
    }
    node.add_key(&root, "payroll", "own", &own).await.unwrap();
}

#[tokio::test]
async fn states_and_usages_of_keys_are_told() {
    let (_deployment, node, root, cloud) = in_use().await;
    let key = node.create_key(&root).await;
    for (name, usage) in [("to", ExternalKeyUsage::Encrypt), ("from", ExternalKeyUsage::Decrypt)] {
        let add = admin::AddHyokKey {
            account: None,
            store: store_name("payroll"),
            external: external(name),
            key: by_arn(&key),
            usage: [usage].into(),
        };
        node.service.perform(&node.again(&root), &add).await.unwrap();
        assert_eq!(node.xks_metadata(&cloud, name).await.unwrap().usage, [usage].into());
    }
    let made = node.xks_encrypt(&cloud, "to").await.unwrap();
    assert_eq!(kind_of(node.xks_encrypt(&cloud, "from").await), Kind::InvalidKeyUsage);
    assert_eq!(kind_of(node.xks_decrypt(&cloud, "to", &made).await), Kind::InvalidKeyUsage);
    assert_eq!(*node.xks_decrypt(&cloud, "from", &made).await.unwrap(), PLAINTEXT);
    assert_eq!(kind_of(node.xks_decrypt(&cloud, "one", &made).await), Kind::InvalidCiphertext, "another key");
    // An old version of the material opens what it made.
    node.service.perform(&node.again(&root), &kms::RotateKeyOnDemand { key: by_arn(&key) }).await.unwrap();
    let newer = node.xks_encrypt(&cloud, "to").await.unwrap();
    assert_ne!(newer.metadata[1..8], made.metadata[1..8]);
    for made in [&made, &newer] {
        assert_eq!(*node.xks_decrypt(&cloud, "from", made).await.unwrap(), PLAINTEXT);
    }
    let mut stripped = decrypt("from", &made);
    stripped.ciphertext_metadata.clear();
    assert_eq!(kind_of(node.service.perform(&node.again(&cloud), &stripped).await), Kind::InvalidCiphertext);
    node.service.perform(&node.again(&root), &kms::DisableKey { key: by_arn(&key) }).await.unwrap();
    assert!(!node.xks_metadata(&cloud, "to").await.unwrap().enabled);
    assert_eq!(kind_of(node.xks_encrypt(&cloud, "to").await), Kind::Disabled);
    assert_eq!(kind_of(node.xks_decrypt(&cloud, "from", &made).await), Kind::Disabled);
}

#[tokio::test]
async fn a_store_has_a_rate_of_its_own() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let limited = admin::CreateHyokStore { requests_per_second: Some(3), ..create("slow") };
    let (slow, quick) = (node.create_store(&root, &limited).await, node.create_store(&root, &create("quick")).await);
    let key = node.create_key(&root).await;
    for store in ["slow", "quick"] {
        node.add_key(&root, store, "key", &key).await.unwrap();
    }
    let (slow, quick) = (node.cloud(&slow).await.unwrap(), node.cloud(&quick).await.unwrap());
    for _ in 0..3 {
        node.xks_encrypt(&slow, "key").await.unwrap();
    }
    let caller = node.again(&slow);
    assert_eq!(kind_of(node.service.perform(&caller, &encrypt("key")).await), Kind::Throttled);
    assert_eq!(node.entries_of(&caller).await[0].json["errorCode"], "ThrottlingException");
    for _ in 0..9 {
        node.xks_encrypt(&quick, "key").await.unwrap();
    }
    node.clock.advance_ms(400);
    node.xks_encrypt(&slow, "key").await.unwrap();
    assert_eq!(kind_of(node.xks_encrypt(&slow, "key").await), Kind::Throttled);
}

#[tokio::test]
async fn a_store_may_ask_for_a_client_certificate() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let guarded =
        admin::CreateHyokStore { client_subjects: Some(vec!["cks.kms.*.amazonaws.com".to_owned()]), ..create("guarded") };
    let file = node.create_store(&root, &guarded).await;
    let path = file.path.clone();
    let kms = || shown("cks.kms.eu-west-1.amazonaws.com");
    assert_eq!(kind_of(node.ask_as(path.as_str(), &file, None).await), Kind::UnknownCredential);
    assert_eq!(kind_of(node.ask_as(path.as_str(), &file, Some(&shown("mallory"))).await), Kind::UnknownCredential);
    let signed_by_itself = Shown { of_listener: false, ..kms() };
    assert_eq!(kind_of(node.ask_as(path.as_str(), &file, Some(&signed_by_itself)).await), Kind::UnknownCredential);
    node.ask_as(path.as_str(), &file, Some(&kms())).await.unwrap();
    for wrong in [vec![], vec![String::new()], vec!["a*b*c".to_owned()], vec!["x".repeat(254)], vec!["x".to_owned(); 21]] {
        let create = admin::CreateHyokStore { client_subjects: Some(wrong), ..create("other") };
        assert_eq!(kind_of(node.service.perform(&node.again(&root), &create).await), Kind::Invalid);
    }
    let relax = admin::UpdateHyokStore {
        account: None,
        name: store_name("guarded"),
        requests_per_second: Some(0),
        client_subjects: Some(Vec::new()),
        client_authorities: None,
    };
    assert!(node.service.perform(&node.again(&root), &relax).await.unwrap().client_subjects.is_none());
    node.cloud(&file).await.unwrap();
}

fn authority() -> String {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

#[tokio::test]
async fn a_store_may_name_the_authorities_of_its_clients() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (ours, theirs) = (authority(), authority());
    let subjects = Some(vec!["cks.kms.*.amazonaws.com".to_owned()]);
    let guarded =
        admin::CreateHyokStore { client_subjects: subjects, client_authorities: Some(ours.clone()), ..create("guarded") };
    let file = node.create_store(&root, &guarded).await;
    let kms = |of: &str| Shown { of: vec![of.to_owned()], ..shown("cks.kms.eu-west-1.amazonaws.com") };
    let ask = |client: Option<Shown>| {
        let (node, file) = (&node, &file);
        async move { node.ask_as(file.path.as_str(), file, client.as_ref()).await.map(drop).map_err(|refusal| refusal.kind) }
    };
    let refused = Err(Kind::UnknownCredential);
    assert_eq!(ask(Some(kms(&ours))).await, Ok(()));
    assert_eq!(ask(Some(Shown { of_listener: false, ..kms(&ours) })).await, Ok(()), "the listener need not know it");
    assert_eq!(ask(None).await, refused);
    assert_eq!(ask(Some(kms(&theirs))).await, refused, "another authority, though the listener believes it");
    assert_eq!(ask(Some(Shown { subjects: vec!["mallory".into()], ..kms(&ours) })).await, refused, "the subject counts as well");
    let update = |authorities: &str| admin::UpdateHyokStore {
        account: None,
        name: store_name("guarded"),
        requests_per_second: None,
        client_subjects: None,
        client_authorities: Some(authorities.to_owned()),
    };
    node.service.perform(&node.again(&root), &update(&theirs)).await.unwrap();
    assert_eq!((ask(Some(kms(&ours))).await, ask(Some(kms(&theirs))).await), (refused, Ok(())));
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &update("no certificate")).await), Kind::Invalid);
    let store = node.service.perform(&node.again(&root), &update("")).await.unwrap();
    assert!(store.client_authorities.is_none() && store.client_subjects.is_some());
    assert_eq!((ask(Some(kms(&ours))).await, ask(None).await), (Ok(()), refused));
}

#[tokio::test]
async fn health_is_told_without_a_look_at_anybodys_key() {
    let (_deployment, node, _root, cloud) = in_use().await;
    let size = node.log_size().await;
    let health = node.service.perform(&node.again(&cloud), &GetHealthStatus { metadata: metadata() }).await.unwrap();
    assert_eq!((health.nodes, health.managers.len(), health.managers[0].status), (1, 1, HealthStatus::Active));
    let log = node.log_since(size).await;
    assert_eq!(log.len(), 1);
    assert!(log[0].json["resources"].as_array().is_none_or(Vec::is_empty), "{}", log[0].json);
}

#[tokio::test]
async fn stores_outlive_a_restart_and_are_listed() {
    let (deployment, node, root, _) = in_use().await;
    let get = admin::GetHyokCredential { account: None, store: store_name("payroll") };
    let file = node.service.perform(&node.again(&root), &get).await.unwrap();
    for name in ["a", "b"] {
        node.create_store(&root, &create(name)).await;
    }
    node.glass(&root, admin::Scope::Store(store_name("a")), false, false).await.unwrap();
    node.crash();
    let node = deployment.serve().await;
    let cloud = node.cloud(&file).await.unwrap();
    node.xks_encrypt(&cloud, "one").await.unwrap();
    let (mut found, mut marker) = (Vec::new(), None);
    loop {
        let list = admin::ListHyokStores { account: None, limit: 2, marker };
        let page = node.service.perform(&node.again(&root), &list).await.unwrap();
        found.extend(page.items.into_iter().map(|store| (store.name.to_string(), store.cut_off.is_some())));
        marker = page.next;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(found, [("a".to_owned(), true), ("b".to_owned(), false), ("payroll".to_owned(), false)]);
    for name in ["two", "three", "four", "a"] {
        let key = node.create_key(&root).await;
        node.add_key(&root, "payroll", name, &key).await.unwrap();
    }
    let (mut found, mut marker) = (Vec::new(), None);
    loop {
        let list = |store| admin::ListHyokKeys { account: None, store: store_name(store), limit: 2, marker: marker.clone() };
        let page = node.service.perform(&node.again(&root), &list("payroll")).await.unwrap();
        if marker.is_some() {
            assert_eq!(
                kind_of(node.service.perform(&node.again(&root), &list("b")).await),
                Kind::InvalidMarker,
                "another list's"
            );
        }
        assert!(page.items.iter().all(|key| key.state.map(|state| state.as_str()) == Some("Enabled")));
        found.push(page.items.iter().map(|key| key.id.to_string()).collect::<Vec<_>>());
        marker = page.next;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(found, [vec!["a", "four"], vec!["one", "three"], vec!["two"]]);
    let get = admin::GetHyokStore { account: None, name: store_name("payroll") };
    assert_eq!(node.service.perform(&node.again(&root), &get).await.unwrap().keys.len(), 5);
    assert!(node.service.verify_store().await.unwrap().is_clean());
}
