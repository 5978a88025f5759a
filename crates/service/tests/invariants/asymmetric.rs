//! Keys that are not symmetric: what each kind can do and cannot, what of it is in the log, and that nobody waits for the slow ones.

use claviger_domain::key::{
    DataKeyPairSpec, EncapsulationAlgorithm, EncryptionAlgorithm, KeyAgreementAlgorithm, KeySpec, KeyUsage, MacAlgorithm,
    MessageType, SigningAlgorithm,
};
use claviger_domain::policy::default_key_policy;
use claviger_domain::{Caller, EncryptionContext, KeyArn, Kind, Refusal};
use claviger_service::Settings;
use claviger_service::operations::kms;
use serde_json::json;
use zeroize::Zeroizing;

use crate::common::operations::{MESSAGE, Subject, TRIALS, data_key, data_key_pair, encapsulate, generate_mac, re_encrypt, sign};
use crate::common::{
    Deployment, MINUTE_MS, NODE, Node, account, alias, by_arn, create_key, decrypt, deployed, encrypt, identity_policy, kind_of,
};

/// Every kind of key: each spec for each of its usages.
fn kinds() -> impl Iterator<Item = (KeySpec, KeyUsage)> {
    KeySpec::ALL.iter().flat_map(|spec| spec.usages().iter().map(|usage| (*spec, *usage)))
}

/// One of each usage, quickly made.
const ONE_OF_EACH: [(KeySpec, KeyUsage); 6] = [
    (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt),
    (KeySpec::Rsa2048, KeyUsage::EncryptDecrypt),
    (KeySpec::EccNistP256, KeyUsage::SignVerify),
    (KeySpec::Hmac256, KeyUsage::GenerateVerifyMac),
    (KeySpec::EccNistP256, KeyUsage::KeyAgreement),
    (KeySpec::MlKem512, KeyUsage::EncapsulateDecapsulate),
];

async fn try_to_create(node: &Node, caller: &Caller, spec: KeySpec, usage: KeyUsage) -> Result<KeyArn, Refusal> {
    let operation = kms::CreateKey { spec, usage, ..create_key(None) };
    node.service.perform(&node.again(caller), &operation).await.map(|key| key.arn())
}

async fn create(node: &Node, caller: &Caller, spec: KeySpec, usage: KeyUsage) -> KeyArn {
    try_to_create(node, caller, spec, usage).await.unwrap_or_else(|refusal| panic!("{spec} for {usage}: {refusal}"))
}

/// A node that makes keys of the spec SM2 too.
async fn in_china(deployment: &Deployment) -> Node {
    let store = deployment.store();
    let settings = Settings { china_algorithms: true, ..Settings::for_node(NODE) };
    deployment.serve_through(store.clone(), store, settings).await.unwrap()
}

fn verify(key: &KeyArn, message: &[u8], signature: &[u8]) -> kms::Verify {
    kms::Verify {
        key: by_arn(key),
        message: Zeroizing::new(message.to_vec()),
        message_type: MessageType::Raw,
        signature: signature.to_vec(),
        algorithm: SigningAlgorithm::EcdsaSha256,
        dry_run: false,
    }
}

fn verify_mac(key: &KeyArn, mac: &[u8]) -> kms::VerifyMac {
    kms::VerifyMac {
        key: by_arn(key),
        message: Zeroizing::new(MESSAGE.to_vec()),
        mac: mac.to_vec(),
        algorithm: MacAlgorithm::HmacSha256,
        dry_run: false,
    }
}

fn derive(key: &KeyArn, public_key: &[u8]) -> kms::DeriveSharedSecret {
    let algorithm = KeyAgreementAlgorithm::Ecdh;
    kms::DeriveSharedSecret { key: by_arn(key), algorithm, public_key: public_key.to_vec(), recipient: None, dry_run: false }
}

fn decapsulate(key: &KeyArn, ciphertext: &[u8]) -> kms::Decapsulate {
    let algorithm = EncapsulationAlgorithm::MlKem;
    kms::Decapsulate { key: by_arn(key), ciphertext: ciphertext.to_vec(), algorithm, dry_run: false }
}

#[tokio::test]
async fn every_kind_of_key_is_made_and_no_other() {
    let deployment = Deployment::new().await;
    let node = in_china(&deployment).await;
    let root = deployment.root();
    for spec in KeySpec::ALL {
        for usage in KeyUsage::ALL {
            let made = try_to_create(&node, &root, *spec, *usage).await;
            if spec.usages().contains(usage) {
                let key = node.describe(&root, &made.unwrap()).await.unwrap();
                assert_eq!((key.spec, key.usage), (*spec, *usage));
                let material = key.current_material().unwrap();
                assert_eq!(!material.public_key.is_empty(), spec.is_asymmetric(), "{spec}");
            } else {
                let refusal = made.unwrap_err();
                assert_eq!(refusal.kind, Kind::Invalid, "{spec} {usage}");
                assert_eq!(refusal.detail, format!("KeyUsage {usage} is not compatible with KeySpec {spec}"));
            }
        }
    }
}

#[tokio::test]
async fn what_is_of_china_is_made_where_the_configuration_says_so_and_stays_in_use() {
    let deployment = Deployment::new().await;
    let root = deployment.root();
    let pair = |key: &KeyArn| kms::GenerateDataKeyPair { spec: DataKeyPairSpec::Sm2, ..data_key_pair(key) };
    let with_sm2 = in_china(&deployment).await;
    let (sm2, symmetric) = (create(&with_sm2, &root, KeySpec::Sm2, KeyUsage::SignVerify).await, with_sm2.create_key(&root).await);
    let sealed = with_sm2.service.perform(&with_sm2.again(&root), &pair(&symmetric)).await.unwrap();
    let sm2dsa = kms::Sign { algorithm: SigningAlgorithm::Sm2dsa, ..sign(&sm2) };
    let signature = with_sm2.service.perform(&with_sm2.again(&root), &sm2dsa).await.unwrap().signature;
    with_sm2.shut_down().await;

    let node = deployment.serve().await;
    for usage in KeySpec::Sm2.usages() {
        let refusal = try_to_create(&node, &root, KeySpec::Sm2, *usage).await.unwrap_err();
        assert_eq!(refusal, Refusal::unsupported("Keys of spec SM2 are not offered by this deployment."));
    }
    let refused = node.service.perform(&node.again(&root), &pair(&symmetric)).await;
    assert_eq!(kind_of(refused), Kind::Unsupported);
    let without = kms::GenerateDataKeyPairWithoutPlaintext(pair(&symmetric));
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &without).await), Kind::Unsupported);
    // What was made is still there for its owner.
    let check = kms::Verify { algorithm: SigningAlgorithm::Sm2dsa, ..verify(&sm2, MESSAGE, &signature) };
    node.service.perform(&node.again(&root), &check).await.unwrap();
    assert!(sealed.private_key.plaintext().is_some());
    let opened = node.decrypt(&root, &sealed.sealed_private_key).await.unwrap();
    assert_eq!(opened.plaintext.plaintext(), sealed.private_key.plaintext());
}

#[tokio::test]
async fn a_key_serves_its_usage_only() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let anything = vec![7; 600];
    for (spec, usage) in ONE_OF_EACH {
        let key = create(&node, &root, spec, usage).await;
        let refused = async |served: KeyUsage, operation: &str, result: Result<(), Refusal>| {
            let expected = format!("{key} key usage is {usage} which is not valid for {operation}.");
            match result {
                Err(refusal) if served != usage => {
                    assert_eq!((refusal.kind, refusal.detail), (Kind::InvalidKeyUsage, expected), "{spec}");
                }
                Err(refusal) => assert!(!refusal.detail.contains("key usage is"), "{spec} {operation}: {refusal}"),
                Ok(()) => assert_eq!(served, usage, "{spec} {operation}"),
            }
        };
        macro_rules! check {
            ($served:ident $name:literal $operation:expr) => {
                let result = node.service.perform(&node.again(&root), &$operation).await.map(drop);
                refused(KeyUsage::$served, $name, result).await;
            };
        }
        check!(EncryptDecrypt "Encrypt" encrypt(by_arn(&key), MESSAGE));
        check!(EncryptDecrypt "Decrypt" kms::Decrypt { key: Some(by_arn(&key)), ..decrypt(&anything) });
        check!(EncryptDecrypt "GenerateDataKey" data_key(&key));
        check!(EncryptDecrypt "GenerateDataKeyWithoutPlaintext" kms::GenerateDataKeyWithoutPlaintext(data_key(&key)));
        check!(EncryptDecrypt "GenerateDataKeyPair" data_key_pair(&key));
        check!(EncryptDecrypt "GenerateDataKeyPairWithoutPlaintext"
            kms::GenerateDataKeyPairWithoutPlaintext(data_key_pair(&key)));
        check!(SignVerify "Sign" sign(&key));
        check!(SignVerify "Verify" verify(&key, MESSAGE, &anything));
        check!(GenerateVerifyMac "GenerateMac" generate_mac(&key));
        check!(GenerateVerifyMac "VerifyMac" verify_mac(&key, &anything));
        check!(KeyAgreement "DeriveSharedSecret" derive(&key, &anything));
        check!(EncapsulateDecapsulate "Encapsulate" encapsulate(&key));
        check!(EncapsulateDecapsulate "Decapsulate" decapsulate(&key, &anything));
    }
}

#[tokio::test]
async fn data_keys_are_sealed_by_symmetric_keys_only() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let rsa = create(&node, &root, KeySpec::Rsa2048, KeyUsage::EncryptDecrypt).await;
    let results = [
        node.service.perform(&node.again(&root), &data_key(&rsa)).await.map(drop),
        node.service.perform(&node.again(&root), &kms::GenerateDataKeyWithoutPlaintext(data_key(&rsa))).await.map(drop),
        node.service.perform(&node.again(&root), &data_key_pair(&rsa)).await.map(drop),
        node.service.perform(&node.again(&root), &kms::GenerateDataKeyPairWithoutPlaintext(data_key_pair(&rsa))).await.map(drop),
    ];
    for result in results {
        let expected = Refusal::invalid_key_usage("You cannot generate a data key with an asymmetric CMK");
        assert_eq!(result, Err(expected));
    }
}

#[tokio::test]
async fn what_is_not_symmetric_is_not_rotated() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for (spec, usage) in ONE_OF_EACH.into_iter().filter(|(spec, _)| *spec != KeySpec::SymmetricDefault) {
        let key = create(&node, &root, spec, usage).await;
        for state in ["Enabled", "Disabled"] {
            let (service, by) = (&node.service, || node.again(&root));
            let all = kms::ListKeyRotations { key: by_arn(&key), all_material: true, limit: 10, marker: None };
            let results = [
                service.perform(&by(), &kms::EnableKeyRotation { key: by_arn(&key), period_days: 90 }).await,
                service.perform(&by(), &kms::DisableKeyRotation { key: by_arn(&key) }).await,
                service.perform(&by(), &kms::RotateKeyOnDemand { key: by_arn(&key) }).await.map(drop),
                service.perform(&by(), &kms::GetKeyRotationStatus { key: by_arn(&key) }).await.map(drop),
                service.perform(&by(), &all).await.map(drop),
            ];
            for result in results {
                assert_eq!(result, Err(Refusal::unsupported("")), "{spec}, {state}");
            }
            service.perform(&by(), &kms::DisableKey { key: by_arn(&key) }).await.unwrap();
        }
        assert_eq!(node.describe(&root, &key).await.unwrap().materials.len(), 1);
    }
}

#[tokio::test]
async fn an_alias_moves_between_keys_of_one_type_and_usage() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let mut keys = Vec::new();
    for (spec, usage) in ONE_OF_EACH.into_iter().chain([
        (KeySpec::EccNistP384, KeyUsage::SignVerify),
        (KeySpec::Hmac512, KeyUsage::GenerateVerifyMac),
        (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt),
    ]) {
        keys.push((create(&node, &root, spec, usage).await, spec, usage));
    }
    let kind = |spec: KeySpec| (spec.is_asymmetric(), spec.is_hmac());
    for (number, (from, from_spec, from_usage)) in keys.iter().enumerate() {
        let name = alias(&format!("from-{number}"));
        for (to, to_spec, to_usage) in &keys {
            node.create_alias(&root, from, &name).await;
            let moved =
                node.service.perform(&node.again(&root), &kms::UpdateAlias { alias: name.clone(), key: by_arn(to) }).await;
            let fits = (kind(*from_spec), from_usage) == (kind(*to_spec), to_usage);
            assert_eq!(
                moved.map_err(|refusal| refusal.kind),
                if fits { Ok(()) } else { Err(Kind::Invalid) },
                "{from_spec} {to_spec}"
            );
            node.service.perform(&node.again(&root), &kms::DeleteAlias { alias: name.clone() }).await.unwrap();
        }
    }
}

#[tokio::test]
async fn only_what_the_key_made_is_confirmed() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let by = || node.again(&root);
    let (key, other) = (
        create(&node, &root, KeySpec::EccNistP256, KeyUsage::SignVerify).await,
        create(&node, &root, KeySpec::EccNistP256, KeyUsage::SignVerify).await,
    );
    let signature = node.service.perform(&by(), &sign(&key)).await.unwrap().signature;
    let mut forged = signature.clone();
    *forged.last_mut().unwrap() ^= 1;
    node.service.perform(&by(), &verify(&key, MESSAGE, &signature)).await.unwrap();
    let invalid = Refusal::new(Kind::InvalidSignature, "");
    for wrong in
        [verify(&other, MESSAGE, &signature), verify(&key, b"attack at noon", &signature), verify(&key, MESSAGE, &forged)]
    {
        let refusal = node.service.perform(&by(), &wrong).await.err().unwrap();
        assert_eq!((refusal.kind, refusal.detail.as_str()), (invalid.kind, ""));
        // A rehearsal says the same.
        let rehearsal = kms::Verify { dry_run: true, ..wrong };
        assert_eq!(kind_of(node.service.perform(&by(), &rehearsal).await), Kind::InvalidSignature);
    }
    let rehearsal = kms::Verify { dry_run: true, ..verify(&key, MESSAGE, &signature) };
    assert_eq!(kind_of(node.service.perform(&by(), &rehearsal).await), Kind::DryRun);

    let (key, other) = (
        create(&node, &root, KeySpec::Hmac256, KeyUsage::GenerateVerifyMac).await,
        create(&node, &root, KeySpec::Hmac256, KeyUsage::GenerateVerifyMac).await,
    );
    let mac = node.service.perform(&by(), &generate_mac(&key)).await.unwrap().mac;
    node.service.perform(&by(), &verify_mac(&key, &mac)).await.unwrap();
    for wrong in [verify_mac(&other, &mac), verify_mac(&key, &mac[..31]), verify_mac(&key, &[0; 32])] {
        let refusal = node.service.perform(&by(), &wrong).await.err().unwrap();
        assert_eq!((refusal.kind, refusal.detail.as_str()), (Kind::InvalidMac, ""));
    }
}

#[tokio::test]
async fn messages_are_of_the_type_and_length_that_the_algorithm_takes() {
    let deployment = Deployment::new().await;
    let node = in_china(&deployment).await;
    let root = deployment.root();
    for (spec, _) in kinds().filter(|(_, usage)| *usage == KeyUsage::SignVerify) {
        let key = create(&node, &root, spec, KeyUsage::SignVerify).await;
        for algorithm in SigningAlgorithm::ALL {
            for message_type in MessageType::ALL {
                for length in [32, 48, 63, 64] {
                    let message = Zeroizing::new(vec![7; length]);
                    let (algorithm, message_type) = (*algorithm, *message_type);
                    let operation = kms::Sign { message, message_type, algorithm, ..sign(&key) };
                    // The answer to a rehearsal and the one to the real thing.
                    let rehearsal =
                        kms::Sign { message: operation.message.clone(), key: by_arn(&key), dry_run: true, ..operation };
                    let rehearsed = node.service.perform(&node.again(&root), &rehearsal).await.err().unwrap();
                    let expected = expected_of_message(spec, algorithm, message_type, length);
                    let what = format!("{spec} {algorithm} {message_type} {length}");
                    match &expected {
                        None => assert_eq!(rehearsed.kind, Kind::DryRun, "{what}"),
                        Some((kind, text)) => assert_eq!((rehearsed.kind, &rehearsed.detail), (*kind, text), "{what}"),
                    }
                    if expected.is_none() {
                        let real = kms::Sign { dry_run: false, ..rehearsal };
                        let signed = node.service.perform(&node.again(&root), &real).await.unwrap();
                        let check = kms::Verify {
                            message: real.message.clone(),
                            message_type,
                            algorithm,
                            ..verify(&key, b"", &signed.signature)
                        };
                        node.service.perform(&node.again(&root), &check).await.unwrap_or_else(|r| panic!("{what}: {r}"));
                    }
                }
            }
        }
    }
}

/// Written from AWS's documentation of Sign. None where the message is signed.
fn expected_of_message(
    spec: KeySpec,
    algorithm: SigningAlgorithm,
    message_type: MessageType,
    length: usize,
) -> Option<(Kind, String)> {
    let invalid = |text: String| Some((Kind::Invalid, text));
    if !spec.signing_algorithms().contains(&algorithm) {
        return Some((Kind::InvalidKeyUsage, format!("Algorithm {algorithm} is incompatible with key spec {spec}.")));
    }
    let name = algorithm.as_str();
    let digest = match name {
        "SM2DSA" => 32,
        _ if name.ends_with("256") => 32,
        _ if name.ends_with("384") => 48,
        _ => 64,
    };
    match (name, message_type) {
        ("ML_DSA_SHAKE_256", MessageType::Digest) => {
            invalid(format!("Message type DIGEST is incompatible with key spec {spec}."))
        }
        ("ML_DSA_SHAKE_256", MessageType::ExternalMu) if length != 64 => {
            invalid(format!("External Mu is invalid length for algorithm {name}."))
        }
        ("ML_DSA_SHAKE_256", _) => None,
        (_, MessageType::ExternalMu) => invalid(format!("Message type EXTERNAL_MU is incompatible with key spec {spec}.")),
        ("ED25519_SHA_512", MessageType::Digest) | ("ED25519_PH_SHA_512", MessageType::Raw) => {
            invalid(format!("Message type {message_type} is incompatible with algorithm {name}."))
        }
        (_, MessageType::Digest) if length != digest => invalid(format!("Digest is invalid length for algorithm {name}.")),
        _ => None,
    }
}

#[tokio::test]
async fn a_key_pair_encrypts_little_and_without_a_context() {
    let deployment = Deployment::new().await;
    let node = in_china(&deployment).await;
    let (root, by) = (deployment.root(), || node.again(&deployment.root()));
    let some = EncryptionContext::new([("a".to_owned(), "b".to_owned())].into());
    for (spec, limits) in [
        (KeySpec::Rsa2048, &[(EncryptionAlgorithm::RsaesOaepSha1, 214), (EncryptionAlgorithm::RsaesOaepSha256, 190)][..]),
        (KeySpec::Sm2, &[(EncryptionAlgorithm::Sm2pke, 1024)][..]),
    ] {
        let key = create(&node, &root, spec, KeyUsage::EncryptDecrypt).await;
        for &(algorithm, most) in limits {
            let request = |length: usize| kms::Encrypt { algorithm, ..encrypt(by_arn(&key), &vec![7; length]) };
            let ciphertext = node.service.perform(&by(), &request(most)).await.unwrap().ciphertext;
            let refusal = node.service.perform(&by(), &request(most + 1)).await.err().unwrap();
            let text = format!("Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {most} bytes.");
            assert_eq!(refusal, Refusal::invalid(text.clone()));
            let open = || kms::Decrypt { key: Some(by_arn(&key)), algorithm, ..decrypt(&ciphertext) };
            let opened = node.service.perform(&by(), &open()).await.unwrap();
            assert_eq!(opened.plaintext.plaintext(), Some(vec![7; most].as_slice()));

            let no_context =
                Refusal::invalid("EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.");
            let bound = kms::Encrypt { context: some.clone(), ..request(1) };
            assert_eq!(node.service.perform(&by(), &bound).await.err().unwrap(), no_context);
            let bound = kms::Decrypt { context: some.clone(), ..open() };
            assert_eq!(node.service.perform(&by(), &bound).await.err().unwrap(), no_context);
            let nameless = kms::Decrypt { key: None, ..open() };
            let refusal = node.service.perform(&by(), &nameless).await.err().unwrap();
            assert_eq!(refusal, Refusal::invalid("KeyId must not be null"));
            let unsaid = kms::Decrypt { algorithm: EncryptionAlgorithm::SymmetricDefault, ..open() };
            assert_eq!(kind_of(node.service.perform(&by(), &unsaid).await), Kind::InvalidCiphertext);

            // A plaintext that came with a symmetric ciphertext may be too long as well.
            let symmetric = node.create_key(&root).await;
            let long = node.service.perform(&by(), &encrypt(by_arn(&symmetric), &vec![7; most + 1])).await.unwrap();
            let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
            let moved = kms::ReEncrypt {
                source: None,
                ciphertext: long.ciphertext,
                destination: by_arn(&key),
                destination_algorithm: algorithm,
                ..re_encrypt(&subject)
            };
            assert_eq!(node.service.perform(&by(), &moved).await.err().unwrap(), Refusal::invalid(text));
        }
    }
}

#[tokio::test]
async fn a_ciphertext_moves_between_symmetric_keys_and_key_pairs() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let by = || node.again(&root);
    let symmetric = (node.create_key(&root).await, EncryptionAlgorithm::SymmetricDefault);
    let other = (node.create_key(&root).await, EncryptionAlgorithm::SymmetricDefault);
    let rsa = create(&node, &root, KeySpec::Rsa2048, KeyUsage::EncryptDecrypt).await;
    let sides =
        [symmetric, other, (rsa.clone(), EncryptionAlgorithm::RsaesOaepSha1), (rsa, EncryptionAlgorithm::RsaesOaepSha256)];
    let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
    for (from, source_algorithm) in &sides {
        let made = kms::Encrypt { algorithm: *source_algorithm, ..encrypt(by_arn(from), MESSAGE) };
        let ciphertext = node.service.perform(&by(), &made).await.unwrap().ciphertext;
        for (to, destination_algorithm) in &sides {
            let request = kms::ReEncrypt {
                source: Some(by_arn(from)),
                ciphertext: ciphertext.clone(),
                source_algorithm: *source_algorithm,
                destination: by_arn(to),
                destination_algorithm: *destination_algorithm,
                ..re_encrypt(&subject)
            };
            let caller = by();
            let moved = node.service.perform(&caller, &request).await.unwrap();
            assert_eq!((&moved.source_arn, &moved.destination_arn), (&from.to_string(), &to.to_string()));
            let open = kms::Decrypt { key: Some(by_arn(to)), algorithm: *destination_algorithm, ..decrypt(&moved.ciphertext) };
            let opened = node.service.perform(&by(), &open).await.unwrap();
            assert_eq!(opened.plaintext.plaintext(), Some(MESSAGE));
            let entry = &node.entries_of(&caller).await[0].json["requestParameters"];
            assert_eq!(entry["sourceEncryptionAlgorithm"], source_algorithm.as_str());
            assert_eq!(entry["destinationEncryptionAlgorithm"], destination_algorithm.as_str());
        }
    }
}

#[tokio::test]
async fn conditions_see_what_was_asked_for() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let mut users = 0;
    for (operation, condition, right, wrong) in [
        ("Sign", "kms:SigningAlgorithm", "ECDSA_SHA_256", "ECDSA_SHA_384"),
        ("Sign", "kms:MessageType", "RAW", "DIGEST"),
        ("Verify", "kms:SigningAlgorithm", "ECDSA_SHA_256", "ECDSA_SHA_384"),
        ("Verify", "kms:MessageType", "RAW", "DIGEST"),
        ("Sign", "kms:KeySpec", "ECC_NIST_P256", "ECC_NIST_P384"),
        ("Sign", "kms:KeyUsage", "SIGN_VERIFY", "KEY_AGREEMENT"),
        ("GenerateMac", "kms:MacAlgorithm", "HMAC_SHA_256", "HMAC_SHA_512"),
        ("VerifyMac", "kms:MacAlgorithm", "HMAC_SHA_256", "HMAC_SHA_512"),
        ("DeriveSharedSecret", "kms:KeyAgreementAlgorithm", "ECDH", "DH"),
        ("GenerateDataKeyPair", "kms:DataKeyPairSpec", "ECC_NIST_P256", "RSA_2048"),
        ("GenerateDataKeyPair", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1"),
        ("GenerateDataKeyPairWithoutPlaintext", "kms:DataKeyPairSpec", "ECC_NIST_P256", "RSA_2048"),
        ("GetPublicKey", "kms:KeySpec", "ECC_NIST_P256", "RSA_2048"),
        ("Encapsulate", "kms:KeyUsage", "ENCAPSULATE_DECAPSULATE", "KEY_AGREEMENT"),
    ] {
        let trial = TRIALS.iter().find(|trial| trial.name == operation).unwrap();
        let subject = Subject::on_trial(&node, &root, &default_key_policy(account()), trial).await;
        for (value, may) in [(right, true), (wrong, false)] {
            users += 1;
            let policy = json!({"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Action": trial.actions, "Resource": "*",
                "Condition": {"StringEquals": {condition: value}},
            }]});
            let user = node.create_user(&root, &format!("user-{users}"), &[&policy.to_string()]).await;
            let result = (trial.run)(&node.service, &node.again(&user), &subject).await;
            let expected = if may { Ok(()) } else { Err(Kind::AccessDenied) };
            assert_eq!(result.map_err(|refusal| refusal.kind), expected, "{operation} where {condition} is {value}");
        }
    }
}

#[tokio::test]
async fn the_entry_tells_how_a_key_was_used_and_nothing_that_it_was_used_on() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for (operation, more) in [
        ("Sign", json!({"messageType": "RAW", "signingAlgorithm": "ECDSA_SHA_256"})),
        ("Verify", json!({"messageType": "RAW", "signingAlgorithm": "ECDSA_SHA_256"})),
        ("GenerateMac", json!({"macAlgorithm": "HMAC_SHA_256"})),
        ("VerifyMac", json!({"macAlgorithm": "HMAC_SHA_256"})),
        ("DeriveSharedSecret", json!({"keyAgreementAlgorithm": "ECDH"})),
        ("Encapsulate", json!({"encapsulationAlgorithm": "ML_KEM"})),
        ("Decapsulate", json!({"encapsulationAlgorithm": "ML_KEM"})),
        ("GenerateDataKeyPair", json!({"keyPairSpec": "ECC_NIST_P256"})),
        ("GenerateDataKeyPairWithoutPlaintext", json!({"keyPairSpec": "ECC_NIST_P256"})),
        ("GetPublicKey", json!({})),
    ] {
        let trial = TRIALS.iter().find(|trial| trial.name == operation).unwrap();
        let subject = Subject::on_trial(&node, &root, &default_key_policy(account()), trial).await;
        let caller = node.again(&root);
        (trial.run)(&node.service, &caller, &subject).await.unwrap();
        let entry = &node.entries_of(&caller).await[0].json;
        let mut expected = more;
        expected["keyId"] = json!(subject.key.to_string());
        assert_eq!(entry["requestParameters"], expected, "{operation}");
        let material = node.describe(&root, &subject.key).await.unwrap().current_material().unwrap().id.to_string();
        let told = if operation == "GetPublicKey" { json!(null) } else { json!({"keyMaterialId": material}) };
        assert_eq!(entry["additionalEventData"], told, "{operation}");
        let text = entry.to_string();
        for secret in [subject.made.as_slice(), MESSAGE] {
            use base64::Engine as _;
            let form = base64::engine::general_purpose::STANDARD.encode(&secret[..12]);
            assert!(!text.contains(&form) && !text.contains(&hex::encode(&secret[..12])), "{operation}: {text}");
        }
    }
}

#[tokio::test]
async fn only_what_succeeds_is_the_last_use() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let usage = async |key: &KeyArn| {
        let operation = kms::GetKeyLastUsage { key: by_arn(key) };
        node.service.perform(&node.again(&root), &operation).await.unwrap().last
    };
    // GetPublicKey is no cryptography.
    let used: Vec<_> = TRIALS
        .iter()
        .filter(|trial| {
            ["Decapsulate", "DeriveSharedSecret", "Encapsulate", "GenerateMac", "Sign", "Verify", "VerifyMac"]
                .contains(&trial.name)
                || trial.name.starts_with("GenerateDataKeyPair")
        })
        .collect();
    assert_eq!(used.len(), 9);
    let mut noted = Vec::new();
    for trial in used {
        let subject = Subject::on_trial(&node, &root, &default_key_policy(account()), trial).await;
        node.clock.advance_ms(MINUTE_MS);
        let caller = node.again(&root);
        (trial.run)(&node.service, &caller, &subject).await.unwrap();
        let last = usage(&subject.key).await.unwrap();
        assert_eq!((last.operation.as_str(), &last.request_id), (trial.name, &caller.request.id.to_string()));
        noted.push((subject.key, last));
    }
    let key = create(&node, &root, KeySpec::EccNistP256, KeyUsage::SignVerify).await;
    let by = || node.again(&root);
    assert_eq!(kind_of(node.service.perform(&by(), &verify(&key, MESSAGE, b"no signature")).await), Kind::InvalidSignature);
    assert_eq!(kind_of(node.service.perform(&by(), &kms::Sign { dry_run: true, ..sign(&key) }).await), Kind::DryRun);
    node.service.perform(&by(), &kms::GetPublicKey { key: by_arn(&key) }).await.unwrap();
    assert_eq!(usage(&key).await, None);
    node.crash();
    let node = deployment.serve().await;
    for (key, last) in noted {
        let operation = kms::GetKeyLastUsage { key: by_arn(&key) };
        assert_eq!(node.service.perform(&node.again(&root), &operation).await.unwrap().last, Some(last), "read from the log");
    }
}

#[tokio::test]
async fn keys_come_back_after_a_restart() {
    let deployment = Deployment::new().await;
    let root = deployment.root();
    let node = in_china(&deployment).await;
    let mut signed = Vec::new();
    for (spec, usage) in kinds().filter(|(_, usage)| *usage == KeyUsage::SignVerify) {
        let key = create(&node, &root, spec, usage).await;
        let algorithm = spec.signing_algorithms()[0];
        let made = node.service.perform(&node.again(&root), &kms::Sign { algorithm, ..sign(&key) }).await.unwrap();
        signed.push((key, algorithm, made.signature));
    }
    node.crash();
    let node = deployment.serve().await;
    for (key, algorithm, signature) in signed {
        let check = kms::Verify { algorithm, ..verify(&key, MESSAGE, &signature) };
        node.service.perform(&node.again(&root), &check).await.unwrap();
    }
}

/// On one thread: whoever computes on it keeps everybody waiting.
#[tokio::test(flavor = "current_thread")]
async fn a_key_in_the_making_keeps_nobody_waiting() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    let finished = std::sync::Mutex::new(Vec::new());
    let making = async {
        create(&node, &root, KeySpec::Rsa4096, KeyUsage::SignVerify).await;
        finished.lock().unwrap().push("RSA");
    };
    let using = async {
        node.encrypt(&root, &key).await.unwrap();
        finished.lock().unwrap().push("symmetric");
    };
    tokio::join!(making, using);
    assert_eq!(*finished.lock().unwrap(), ["symmetric", "RSA"]);
}

#[tokio::test]
async fn a_public_key_is_for_those_who_may_have_it_while_the_key_is_in_use() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for (spec, usage) in ONE_OF_EACH {
        let key = create(&node, &root, spec, usage).await;
        let get = kms::GetPublicKey { key: by_arn(&key) };
        let got = node.service.perform(&node.again(&root), &get).await;
        if !spec.is_asymmetric() {
            assert_eq!(got.err(), Some(Refusal::unsupported("")), "{spec}");
            continue;
        }
        let got = got.unwrap();
        assert_eq!((got.spec, got.usage, got.key_arn), (spec, usage, key.to_string()));
        assert_eq!(got.public_key, node.describe(&root, &key).await.unwrap().current_material().unwrap().public_key);
        let user = node.create_user(&root, &format!("user-of-{spec}-{usage}"), &[&identity_policy("Allow", &["kms:Sign"])]).await;
        assert_eq!(kind_of(node.service.perform(&node.again(&user), &get).await), Kind::AccessDenied);
        node.service.perform(&node.again(&root), &kms::DisableKey { key: by_arn(&key) }).await.unwrap();
        assert_eq!(kind_of(node.service.perform(&node.again(&root), &get).await), Kind::Disabled);
    }
}
