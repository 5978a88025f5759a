//! A plaintext for an attested recipient leaves encrypted for it alone, or not at all.

use std::sync::LazyLock;

use claviger_domain::policy::default_key_policy;
use claviger_domain::{Caller, Kind, Refusal};
use claviger_hsm::AttestationRoot;
use claviger_service::Settings;
use claviger_service::operations::kms::{self, Recipient, Released};
use claviger_store::Store;
use serde_json::{Value, json};

use crate::common::operations::{Subject, data_key};
use crate::common::{Deployment, NODE, Node, account, by_arn, create_key, decrypt, deployed, encrypt, kind_of, root_arn};

#[allow(unreachable_pub, dead_code, missing_docs, reason = "the included file is shared by the tests of several crates")]
#[path = "../../../hsm/tests/support/attestation_documents.rs"]
mod documents;

use documents::{Document, EnclaveKey, Pki};

static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);
static ENCLAVE: LazyLock<EnclaveKey> = LazyLock::new(EnclaveKey::new);

/// A node that trusts the root of these tests.
async fn trusting() -> (Deployment, Node) {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let port: std::sync::Arc<dyn Store> = std::sync::Arc::clone(&store) as _;
    let attestation_roots = vec![AttestationRoot::from_der(&PKI.root.der).unwrap()];
    let settings = Settings { attestation_roots, ..Settings::for_node(NODE) };
    let node = deployment.serve_through(store, port, settings).await.unwrap();
    (deployment, node)
}

fn document() -> Document {
    PKI.enclave(&ENCLAVE.public())
}

fn genuine() -> Option<Recipient> {
    Some(Recipient { document: PKI.attest(&document()) })
}

fn opened(released: Released) -> Vec<u8> {
    match released {
        Released::ForRecipient(answer) => ENCLAVE.open(&answer),
        Released::Plaintext(_) => panic!("the plaintext was answered"),
    }
}

#[tokio::test]
async fn the_plaintext_is_for_the_recipient_alone() {
    let (deployment, node) = trusting().await;
    let root = deployment.root();
    let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
    let operation = kms::Decrypt { recipient: genuine(), ..decrypt(&subject.made) };
    let answer = node.service.perform(&node.again(&root), &operation).await.unwrap();
    assert_eq!(opened(answer.plaintext), b"attack at dawn");
    let operation = kms::GenerateDataKey { recipient: genuine(), ..data_key(&subject.key) };
    let answer = node.service.perform(&node.again(&root), &operation).await.unwrap();
    let decrypted = node.decrypt(&root, &answer.ciphertext).await.unwrap();
    assert_eq!(opened(answer.plaintext), decrypted.plaintext.plaintext().unwrap());
    let operation = kms::GenerateRandom { length: 24, recipient: genuine() };
    assert_eq!(opened(node.service.perform(&node.again(&root), &operation).await.unwrap()).len(), 24);
}

/// Tries each operation that answers a plaintext with this recipient.
async fn refusals(node: &Node, caller: &Caller, subject: &Subject, recipient: impl Fn() -> Option<Recipient>) -> Vec<Refusal> {
    let decrypt = kms::Decrypt { recipient: recipient(), ..decrypt(&subject.made) };
    let generate = kms::GenerateDataKey { recipient: recipient(), ..data_key(&subject.key) };
    let random = kms::GenerateRandom { length: 32, recipient: recipient() };
    vec![
        node.service.perform(&node.again(caller), &decrypt).await.err().unwrap(),
        node.service.perform(&node.again(caller), &generate).await.err().unwrap(),
        node.service.perform(&node.again(caller), &random).await.err().unwrap(),
    ]
}

#[tokio::test]
async fn in_doubt_nobody_gets_it() {
    let (deployment, node) = trusting().await;
    let root = deployment.root();
    let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
    let mut forged = PKI.attest(&document());
    *forged.last_mut().unwrap() ^= 1;
    let without_key = PKI.attest(&Document { public_key: None, ..document() });
    let of_others = Pki::new();
    let of_others = of_others.attest(&of_others.enclave(&ENCLAVE.public()));
    for bad in [forged, without_key, of_others, b"document".to_vec(), Vec::new()] {
        for refusal in refusals(&node, &root, &subject, || Some(Recipient { document: bad.clone() })).await {
            assert_eq!(refusal.kind, Kind::Invalid, "{refusal}");
            assert!(refusal.detail.starts_with("The attestation document is not accepted: "), "{refusal}");
        }
    }
    // Two months later the certificates have expired.
    node.clock.advance_ms(60 * 24 * 3600 * 1000);
    for refusal in refusals(&node, &root, &subject, genuine).await {
        assert!(refusal.detail.contains("expired"), "{refusal}");
    }
}

#[tokio::test]
async fn without_roots_every_attestation_is_refused() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
    for refusal in refusals(&node, &root, &subject, genuine).await {
        assert_eq!(refusal.kind, Kind::Unsupported);
        assert!(refusal.detail.contains("no root certificate"), "{refusal}");
    }
}

/// A key whose policy lets this user decrypt under a condition, and what was encrypted with it.
async fn guarded(node: &Node, root: &Caller, user: &Caller, condition: Value) -> Vec<u8> {
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": root_arn(account())}, "Action": ["kms:Put*", "kms:Encrypt"], "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": user.identity.arn}, "Action": "kms:Decrypt", "Resource": "*", "Condition": condition},
    ]});
    let key = node.service.perform(&node.again(root), &create_key(Some(policy.to_string()))).await.unwrap().arn();
    node.service.perform(&node.again(root), &encrypt(by_arn(&key), b"attack at dawn")).await.unwrap().ciphertext
}

#[tokio::test]
async fn policies_look_at_what_was_measured() {
    let (deployment, node) = trusting().await;
    let root = deployment.root();
    let user = node.create_user(&root, "enclave", &[]).await;
    let (a0, a3, b3) = ("a0".repeat(48), "a3".repeat(48), "b3".repeat(48));
    let tpm = || Some(Recipient { document: PKI.attest(&Document { platform: "nitrotpm_pcrs", ..document() }) });
    let equals = |key: &str, value: &str| json!({"StringEquals": {format!("kms:RecipientAttestation:{key}"): value}});
    for (condition, for_enclave, for_tpm) in [
        (equals("ImageSha384", &a0), true, false),
        (equals("PCR0", &a0), true, false),
        (equals("PCR3", &a3), true, false),
        (equals("pcr3", &a3), true, false),
        (equals("NitroTPMPCR3", &a3), false, true),
        (equals("PCR3", &b3), false, false),
        (equals("PCR3", &a3.to_uppercase()), false, false),
        (json!({"StringEqualsIgnoreCase": {"kms:RecipientAttestation:PCR3": a3.to_uppercase()}}), true, false),
        (equals("PCR03", &a3), false, false),
        (equals("PCR8", &a3), false, false),
        (equals("ImageSha384", &a3), false, false),
        (json!({"Null": {"kms:RecipientAttestation:PCR3": "true"}}), false, true),
    ] {
        let ciphertext = guarded(&node, &root, &user, condition.clone()).await;
        for (recipient, allowed) in [(genuine(), for_enclave), (tpm(), for_tpm)] {
            let operation = kms::Decrypt { recipient, ..decrypt(&ciphertext) };
            match node.service.perform(&node.again(&user), &operation).await {
                Ok(answer) => assert!(allowed && opened(answer.plaintext) == b"attack at dawn", "{condition}"),
                Err(refusal) => assert!(!allowed && refusal.kind == Kind::AccessDenied, "{condition}: {refusal}"),
            }
        }
        // Whoever attests nothing has measured nothing.
        let absent = condition["Null"].is_object();
        assert_eq!(node.service.perform(&node.again(&user), &decrypt(&ciphertext)).await.is_ok(), absent, "{condition}");
    }
}

#[tokio::test]
async fn the_log_tells_who_the_recipient_was() {
    let (deployment, node) = trusting().await;
    let root = deployment.root();
    let user = node.create_user(&root, "nobody", &[]).await;
    let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
    let evidence = json!({
        "attestationDocumentEnclaveImageDigest": "a0".repeat(48),
        "attestationDocumentEnclavePCR1": "a1".repeat(48),
        "attestationDocumentEnclavePCR3": "a3".repeat(48),
        "attestationDocumentModuleId": "i-1234567890abcdef0-enc1234567890abcdef",
    });
    let operation = kms::Decrypt { recipient: genuine(), ..decrypt(&subject.made) };
    let caller = node.again(&root);
    let answer = node.service.perform(&caller, &operation).await.unwrap();
    let entry = &node.entries_of(&caller).await[0];
    let expected = json!({"keyMaterialId": answer.material.to_string(), "recipient": evidence});
    assert_eq!(entry.json["additionalEventData"], expected);
    assert!(claviger_audit::entry::is_canonical(&entry.bytes));
    let text = String::from_utf8(entry.bytes.clone()).unwrap();
    let Released::ForRecipient(cms) = answer.plaintext else { panic!("the plaintext was answered") };
    assert!(!text.contains("attack at dawn") && !text.contains(&hex::encode(&cms)), "{text}");

    // Refused for who asked, and refused for what was asked: the measurements help to find out why.
    let caller = node.again(&user);
    assert_eq!(kind_of(node.service.perform(&caller, &operation).await), Kind::AccessDenied);
    assert_eq!(node.entries_of(&caller).await[0].json["additionalEventData"], json!({"recipient": evidence}));
    let disable = kms::DisableKey { key: by_arn(&subject.key) };
    node.service.perform(&node.again(&root), &disable).await.unwrap();
    let caller = node.again(&root);
    assert_eq!(kind_of(node.service.perform(&caller, &operation).await), Kind::Disabled);
    assert_eq!(node.entries_of(&caller).await[0].json["additionalEventData"], json!({"recipient": evidence}));

    let tpm = Document { platform: "nitrotpm_pcrs", pcrs: vec![(4, vec![4; 48]), (5, vec![5; 48])], ..document() };
    let operation = kms::GenerateRandom { length: 8, recipient: Some(Recipient { document: PKI.attest(&tpm) }) };
    let caller = node.again(&root);
    node.service.perform(&caller, &operation).await.unwrap();
    let expected = json!({"recipient": {
        "attestationDocumentModuleId": "i-1234567890abcdef0-enc1234567890abcdef",
        "attestationDocumentNitroTPMPCR4": "04".repeat(48),
    }});
    assert_eq!(node.entries_of(&caller).await[0].json["additionalEventData"], expected);
}
