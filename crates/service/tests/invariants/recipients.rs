//! A plaintext for an attested recipient leaves encrypted for it alone, or not at all.

use std::sync::LazyLock;

use claviger_domain::key::{DataKeyPairSpec, EncryptionAlgorithm, KeyAgreementAlgorithm, KeySpec, KeyUsage};
use claviger_domain::policy::default_key_policy;
use claviger_domain::{Caller, KeyArn, Kind, Refusal};
use claviger_hsm::AttestationRoot;
use claviger_service::Settings;
use claviger_service::operations::kms::{self, Recipient, Released};
use claviger_store::Store;
use serde_json::{Value, json};

use crate::common::operations::{Subject, data_key, data_key_pair};
use crate::common::{
    Deployment, NODE, Node, account, by_arn, create_key, decrypt, deployed, encrypt, generate_random, kind_of, root_arn,
};

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
    let settings = Settings { attestation_roots, china_algorithms: true, ..Settings::for_node(NODE) };
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

/// Key pairs, and what to ask of them.
struct Pairs {
    rsa: KeyArn,
    /// Made with the public half of `rsa`.
    encrypted: Vec<u8>,
    agreement: KeyArn,
    /// The public key of somebody else.
    peer: Vec<u8>,
}

impl Pairs {
    async fn new(node: &Node, root: &Caller, policy: Option<&str>) -> Self {
        let (rsa, encrypted) = encrypted(node, root, policy, KeySpec::Rsa2048, EncryptionAlgorithm::RsaesOaepSha256).await;
        let agreement = create(node, root, policy, KeySpec::EccNistP256, KeyUsage::KeyAgreement).await;
        let other = create(node, root, None, KeySpec::EccNistP256, KeyUsage::KeyAgreement).await;
        let peer = node.service.perform(&node.again(root), &kms::GetPublicKey { key: by_arn(&other) }).await.unwrap().public_key;
        Self { rsa, encrypted, agreement, peer }
    }

    fn decrypt(&self, recipient: Option<Recipient>) -> kms::Decrypt {
        kms::Decrypt { recipient, ..decrypt_from(&self.rsa, &self.encrypted, EncryptionAlgorithm::RsaesOaepSha256) }
    }

    fn derive(&self, recipient: Option<Recipient>) -> kms::DeriveSharedSecret {
        let (key, public_key) = (by_arn(&self.agreement), self.peer.clone());
        kms::DeriveSharedSecret { key, algorithm: KeyAgreementAlgorithm::Ecdh, public_key, recipient, dry_run: false }
    }
}

async fn create(node: &Node, root: &Caller, policy: Option<&str>, spec: KeySpec, usage: KeyUsage) -> KeyArn {
    let operation = kms::CreateKey { spec, usage, ..create_key(policy.map(str::to_owned)) };
    node.service.perform(&node.again(root), &operation).await.unwrap().arn()
}

/// A new key pair, and what was encrypted with its public half.
async fn encrypted(
    node: &Node,
    root: &Caller,
    policy: Option<&str>,
    spec: KeySpec,
    algorithm: EncryptionAlgorithm,
) -> (KeyArn, Vec<u8>) {
    let key = create(node, root, policy, spec, KeyUsage::EncryptDecrypt).await;
    let operation = kms::Encrypt { algorithm, ..encrypt(by_arn(&key), b"attack at dawn") };
    let ciphertext = node.service.perform(&node.again(root), &operation).await.unwrap().ciphertext;
    (key, ciphertext)
}

fn decrypt_from(key: &KeyArn, ciphertext: &[u8], algorithm: EncryptionAlgorithm) -> kms::Decrypt {
    kms::Decrypt { key: Some(by_arn(key)), algorithm, ..decrypt(ciphertext) }
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
    let operation = kms::GenerateRandom { recipient: genuine(), ..generate_random(24) };
    assert_eq!(opened(node.service.perform(&node.again(&root), &operation).await.unwrap()).len(), 24);
}

#[tokio::test]
async fn what_key_pairs_make_is_for_the_recipient_alone() {
    let (deployment, node) = trusting().await;
    let root = deployment.root();
    for (spec, algorithm) in [
        (KeySpec::Rsa2048, EncryptionAlgorithm::RsaesOaepSha1),
        (KeySpec::Rsa2048, EncryptionAlgorithm::RsaesOaepSha256),
        (KeySpec::Sm2, EncryptionAlgorithm::Sm2pke),
    ] {
        let (key, ciphertext) = encrypted(&node, &root, None, spec, algorithm).await;
        let operation = kms::Decrypt { recipient: genuine(), ..decrypt_from(&key, &ciphertext, algorithm) };
        let answer = node.service.perform(&node.again(&root), &operation).await.unwrap();
        assert_eq!(opened(answer.plaintext), b"attack at dawn", "{algorithm}");
    }
    let pairs = Pairs::new(&node, &root, None).await;
    let answer = node.service.perform(&node.again(&root), &pairs.derive(genuine())).await.unwrap();
    let to_the_caller = node.service.perform(&node.again(&root), &pairs.derive(None)).await.unwrap();
    assert_eq!(opened(answer.secret), to_the_caller.secret.plaintext().unwrap());
    let key = node.create_key(&root).await;
    for spec in [DataKeyPairSpec::EccNistP256, DataKeyPairSpec::Sm2, DataKeyPairSpec::Rsa2048] {
        let operation = kms::GenerateDataKeyPair { spec, recipient: genuine(), ..data_key_pair(&key) };
        let answer = node.service.perform(&node.again(&root), &operation).await.unwrap();
        let decrypted = node.decrypt(&root, &answer.sealed_private_key).await.unwrap();
        assert_eq!(opened(answer.private_key), decrypted.plaintext.plaintext().unwrap(), "{spec}");
    }
}

#[tokio::test]
async fn dry_runs_check_the_recipient_too() {
    let (deployment, node) = trusting().await;
    let root = deployment.root();
    let (pairs, key) = (Pairs::new(&node, &root, None).await, node.create_key(&root).await);
    for (recipient, expected) in
        [(genuine as fn() -> _, Kind::DryRun), (|| Some(Recipient { document: b"x".to_vec() }), Kind::Invalid)]
    {
        let decrypt = kms::Decrypt { dry_run: true, ..pairs.decrypt(recipient()) };
        let derive = kms::DeriveSharedSecret { dry_run: true, ..pairs.derive(recipient()) };
        let generate = kms::GenerateDataKeyPair { dry_run: true, recipient: recipient(), ..data_key_pair(&key) };
        assert_eq!(kind_of(node.service.perform(&node.again(&root), &decrypt).await), expected);
        assert_eq!(kind_of(node.service.perform(&node.again(&root), &derive).await), expected);
        assert_eq!(kind_of(node.service.perform(&node.again(&root), &generate).await), expected);
    }
}

/// Tries each operation that answers a plaintext with this recipient.
async fn refusals(
    node: &Node,
    caller: &Caller,
    (subject, pairs): (&Subject, &Pairs),
    recipient: impl Fn() -> Option<Recipient>,
) -> Vec<Refusal> {
    let decrypt = kms::Decrypt { recipient: recipient(), ..decrypt(&subject.made) };
    let generate = kms::GenerateDataKey { recipient: recipient(), ..data_key(&subject.key) };
    let random = kms::GenerateRandom { recipient: recipient(), ..generate_random(32) };
    let generate_pair = kms::GenerateDataKeyPair { recipient: recipient(), ..data_key_pair(&subject.key) };
    vec![
        node.service.perform(&node.again(caller), &pairs.decrypt(recipient())).await.err().unwrap(),
        node.service.perform(&node.again(caller), &pairs.derive(recipient())).await.err().unwrap(),
        node.service.perform(&node.again(caller), &generate_pair).await.err().unwrap(),
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
    let pairs = Pairs::new(&node, &root, None).await;
    let mut forged = PKI.attest(&document());
    *forged.last_mut().unwrap() ^= 1;
    let without_key = PKI.attest(&Document { public_key: None, ..document() });
    let of_others = Pki::new();
    let of_others = of_others.attest(&of_others.enclave(&ENCLAVE.public()));
    for bad in [forged, without_key, of_others, b"document".to_vec(), Vec::new()] {
        for refusal in refusals(&node, &root, (&subject, &pairs), || Some(Recipient { document: bad.clone() })).await {
            assert_eq!(refusal.kind, Kind::Invalid, "{refusal}");
            assert!(refusal.detail.starts_with("The attestation document is not accepted: "), "{refusal}");
        }
    }
    // Two months later the certificates have expired.
    node.clock.advance_ms(60 * 24 * 3600 * 1000);
    for refusal in refusals(&node, &root, (&subject, &pairs), genuine).await {
        assert!(refusal.detail.contains("expired"), "{refusal}");
    }
}

#[tokio::test]
async fn without_roots_every_attestation_is_refused() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
    let pairs = Pairs::new(&node, &root, None).await;
    for refusal in refusals(&node, &root, (&subject, &pairs), genuine).await {
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
async fn policies_of_key_pairs_look_at_it_too() {
    let (deployment, node) = trusting().await;
    let root = deployment.root();
    let user = node.create_user(&root, "enclave", &[]).await;
    for (measured, allowed) in [("a3", true), ("b3", false)] {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": root_arn(account())}, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Allow", "Principal": {"AWS": user.identity.arn}, "Action": "kms:*", "Resource": "*",
             "Condition": {"StringEquals": {"kms:RecipientAttestation:PCR3": measured.repeat(48)}}},
        ]});
        let policy = policy.to_string();
        let pairs = Pairs::new(&node, &root, Some(&policy)).await;
        let key = node.service.perform(&node.again(&root), &create_key(Some(policy))).await.unwrap().arn();
        let generate = |recipient| kms::GenerateDataKeyPair { recipient, ..data_key_pair(&key) };
        for (recipient, allowed) in [(genuine as fn() -> _, allowed), (|| None, false)] {
            let expected = if allowed { None } else { Some(Kind::AccessDenied) };
            let decrypted = node.service.perform(&node.again(&user), &pairs.decrypt(recipient())).await;
            assert_eq!(decrypted.err().map(|refusal| refusal.kind), expected, "{measured}");
            let derived = node.service.perform(&node.again(&user), &pairs.derive(recipient())).await;
            assert_eq!(derived.err().map(|refusal| refusal.kind), expected, "{measured}");
            let generated = node.service.perform(&node.again(&user), &generate(recipient())).await;
            assert_eq!(generated.err().map(|refusal| refusal.kind), expected, "{measured}");
        }
    }
}

#[tokio::test]
async fn the_log_tells_of_the_recipients_of_key_pairs() {
    let (deployment, node) = trusting().await;
    let root = deployment.root();
    let (pairs, key) = (Pairs::new(&node, &root, None).await, node.create_key(&root).await);
    let (decrypt, derive, generate) = (node.again(&root), node.again(&root), node.again(&root));
    let decrypted = node.service.perform(&decrypt, &pairs.decrypt(genuine())).await.unwrap();
    node.service.perform(&derive, &pairs.derive(genuine())).await.unwrap();
    let operation = kms::GenerateDataKeyPair { recipient: genuine(), ..data_key_pair(&key) };
    let generated = node.service.perform(&generate, &operation).await.unwrap();
    let material = |caller: Caller| {
        let node = &node;
        async move {
            let entry = &node.entries_of(&caller).await[0];
            let told = &entry.json["additionalEventData"];
            assert_eq!(told["recipient"]["attestationDocumentEnclavePCR3"], "a3".repeat(48));
            assert_eq!(told["recipient"]["attestationDocumentEnclaveImageDigest"], "a0".repeat(48));
            assert!(!String::from_utf8(entry.bytes.clone()).unwrap().contains("attack at dawn"));
            told["keyMaterialId"].as_str().unwrap().to_owned()
        }
    };
    assert_eq!(material(decrypt).await, decrypted.material.to_string());
    assert!(!material(derive).await.is_empty());
    assert_eq!(material(generate).await, generated.material.to_string());
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
    let operation = kms::GenerateRandom { recipient: Some(Recipient { document: PKI.attest(&tpm) }), ..generate_random(8) };
    let caller = node.again(&root);
    node.service.perform(&caller, &operation).await.unwrap();
    let expected = json!({"recipient": {
        "attestationDocumentModuleId": "i-1234567890abcdef0-enc1234567890abcdef",
        "attestationDocumentNitroTPMPCR4": "04".repeat(48),
    }});
    assert_eq!(node.entries_of(&caller).await[0].json["additionalEventData"], expected);
}
