//! Imported material: how it comes, when it goes, and that nothing but the same comes back.

use claviger_domain::key::{ExpirationModel, ImportType, Key, KeyState, MaterialState, WrappingAlgorithm, WrappingKeySpec};
use claviger_domain::{Caller, KeyArn, Kind, MaterialId, Refusal, Timestamp};
use claviger_service::Clock as _;
use claviger_service::operations::kms;
use serde_json::json;

use crate::common::imports::{begin, create_external_key, import, parameters, wrap, wrapped};
use crate::common::{Deployment, MINUTE_MS, Node, START, account, by_arn, decrypt, deployed, kind_of};

/// A deployment with a key of its owner's material, and the token that it came with, which is used again: it is quicker than a new one.
struct Setting {
    deployment: Deployment,
    node: Node,
    root: Caller,
    key: KeyArn,
    parameters: kms::ParametersForImport,
}

async fn setting() -> Setting {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = create_external_key(&node, &root, None).await;
    let parameters = begin(&node, &root, &key).await;
    Setting { deployment, node, root, key, parameters }
}

impl Setting {
    fn import(&self, byte: u8) -> kms::ImportKeyMaterial {
        import(&self.key, self.parameters.token.clone(), wrap(&self.parameters.public_key, &[byte; 32]))
    }

    fn import_new(&self, byte: u8) -> kms::ImportKeyMaterial {
        kms::ImportKeyMaterial { import_type: Some(ImportType::New), ..self.import(byte) }
    }

    fn until(&self, byte: u8, valid_to: Timestamp) -> kms::ImportKeyMaterial {
        kms::ImportKeyMaterial { expiration_model: ExpirationModel::Expires, valid_to: Some(valid_to), ..self.import(byte) }
    }

    async fn perform(&self, operation: &kms::ImportKeyMaterial) -> Result<MaterialId, Refusal> {
        self.node.service.perform(&self.node.again(&self.root), operation).await.map(|answer| answer.material.unwrap())
    }

    async fn delete(&self, material: Option<MaterialId>) -> Result<Option<MaterialId>, Refusal> {
        let operation = kms::DeleteImportedKeyMaterial { key: by_arn(&self.key), material };
        self.node.service.perform(&self.node.again(&self.root), &operation).await.map(|answer| answer.material)
    }

    async fn rotate(&self) -> Result<String, Refusal> {
        let operation = kms::RotateKeyOnDemand { key: by_arn(&self.key) };
        self.node.service.perform(&self.node.again(&self.root), &operation).await
    }

    async fn list(&self) -> Vec<kms::ListedMaterial> {
        let operation = kms::ListKeyRotations { key: by_arn(&self.key), all_material: true, limit: 100, marker: None };
        self.node.service.perform(&self.node.again(&self.root), &operation).await.unwrap().page.items
    }

    async fn describe(&self) -> Key {
        self.node.describe(&self.root, &self.key).await.unwrap()
    }

    async fn state(&self) -> KeyState {
        self.describe().await.state
    }

    async fn encrypt(&self) -> Vec<u8> {
        self.node.encrypt(&self.root, &self.key).await.unwrap()
    }

    async fn opens(&self, ciphertext: &[u8]) -> bool {
        self.node.decrypt(&self.root, ciphertext).await.is_ok()
    }
}

#[tokio::test]
async fn material_comes_goes_and_comes_back() {
    let setting = setting().await;
    let key = setting.describe().await;
    assert_eq!((key.state, key.current_material(), key.expiration()), (KeyState::PendingImport, None, None));
    assert_eq!(kind_of(setting.node.encrypt(&setting.root, &setting.key).await), Kind::InvalidState);

    let id = setting.perform(&setting.import(7)).await.unwrap();
    let key = setting.describe().await;
    assert_eq!((key.state, key.current_material().unwrap().id), (KeyState::Enabled, id));
    assert_eq!(key.expiration(), Some((ExpirationModel::DoesNotExpire, None)));
    let old = setting.encrypt().await;
    assert_eq!(setting.node.decrypt(&setting.root, &old).await.unwrap().material, id);

    assert_eq!(setting.delete(None).await.unwrap(), Some(id));
    let key = setting.describe().await;
    assert_eq!((key.state, key.current_material().unwrap().id), (KeyState::PendingImport, id));
    assert!(key.current_material().unwrap().sealed.is_empty(), "nothing of it is kept");
    let refusal = setting.node.decrypt(&setting.root, &old).await.err().unwrap();
    assert_eq!(refusal, Refusal::invalid_state(format!("{} is pending import.", setting.key)));

    // Only the same comes back.
    assert_eq!(kind_of(setting.perform(&setting.import(8)).await), Kind::IncorrectKeyMaterial);
    assert_eq!(kind_of(setting.perform(&setting.import_new(7)).await), Kind::IncorrectKeyMaterial);
    assert_eq!(setting.state().await, KeyState::PendingImport);
    assert_eq!(setting.perform(&setting.import(7)).await.unwrap(), id);
    assert!(setting.opens(&old).await);
    assert!(setting.node.service.verify_store().await.unwrap().is_clean());

    // And it is still there when the node starts again.
    let Setting { deployment, node, root, .. } = setting;
    node.crash();
    let node = deployment.serve().await;
    assert_eq!(node.decrypt(&root, &old).await.unwrap().material, id);
}

#[tokio::test]
async fn deleting_what_is_not_there_changes_nothing() {
    let setting = setting().await;
    assert_eq!(setting.delete(None).await.unwrap(), None);
    let id = setting.perform(&setting.import(7)).await.unwrap();
    assert_eq!(kind_of(setting.delete(Some(MaterialId::new([1; 32]))).await), Kind::NotFound);
    setting.delete(Some(id)).await.unwrap();
    let before = setting.node.records().await;
    assert_eq!(setting.delete(Some(id)).await.unwrap(), Some(id));
    assert_eq!(setting.node.records().await, before);
}

#[tokio::test]
async fn a_token_is_for_its_own_key_in_its_own_account() {
    let setting = setting().await;
    let (node, root) = (&setting.node, &setting.root);
    let other = create_external_key(node, root, None).await;
    let (token, wrapped) = (setting.parameters.token.clone(), wrap(&setting.parameters.public_key, &[7; 32]));
    let moved = import(&other, token.clone(), wrapped.clone());
    assert_eq!(kind_of(node.service.perform(&node.again(root), &moved).await), Kind::InvalidImportToken);
    let stranger = node.create_account(&setting.deployment.administrator(), 210_987_654_321).await;
    let foreign = create_external_key(node, &stranger, None).await;
    let moved = import(&foreign, token.clone(), wrapped.clone());
    assert_eq!(kind_of(node.service.perform(&node.again(&stranger), &moved).await), Kind::InvalidImportToken);
    // Whatever bit of it is another one.
    for index in (0..token.len()).step_by(97).chain([0, 1, 4, token.len() - 1]) {
        let mut forged = token.clone();
        forged[index] ^= 0x10;
        assert_eq!(kind_of(setting.perform(&import(&setting.key, forged, wrapped.clone())).await), Kind::InvalidImportToken);
    }
    let marker = node.service.perform(&node.again(root), &kms::ListKeys { limit: 1, marker: None }).await.unwrap().next.unwrap();
    let forged = import(&setting.key, marker.into_bytes(), wrapped.clone());
    assert_eq!(kind_of(setting.perform(&forged).await), Kind::InvalidImportToken);
    // A newer one does not take the place of an older one; each opens what was wrapped for it.
    let newer = begin(node, root, &setting.key).await;
    let crossed = import(&setting.key, newer.token, wrapped.clone());
    let refusal = setting.perform(&crossed).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.detail.as_str()), (Kind::InvalidCiphertext, ""));
    setting.perform(&import(&setting.key, token, wrapped)).await.unwrap();
}

#[tokio::test]
async fn a_token_is_valid_for_a_day() {
    let setting = setting().await;
    assert_eq!(setting.parameters.valid_to, START.plus_days(1));
    setting.node.clock.advance_ms(Timestamp::DAY_MS - 1);
    setting.perform(&setting.import(7)).await.unwrap();
    setting.node.clock.advance_ms(1);
    assert_eq!(kind_of(setting.perform(&setting.import(7)).await), Kind::ExpiredImportToken);
}

#[tokio::test]
async fn what_was_wrapped_must_be_material() {
    let setting = setting().await;
    let import_of = |wrapped| import(&setting.key, setting.parameters.token.clone(), wrapped);
    for length in [0, 16, 31, 33, 64] {
        let wrapped = wrap(&setting.parameters.public_key, &vec![7; length]);
        let refusal = setting.perform(&import_of(wrapped)).await.unwrap_err();
        assert_eq!(refusal.kind, Kind::IncorrectKeyMaterial, "{length}");
    }
    let whole = wrap(&setting.parameters.public_key, &[7; 32]);
    for wrapped in [vec![1], whole[1..].to_vec(), [&whole[..], &[0]].concat(), vec![0xff; whole.len()]] {
        assert_eq!(kind_of(setting.perform(&import_of(wrapped)).await), Kind::InvalidCiphertext);
    }
    assert_eq!(setting.state().await, KeyState::PendingImport);
}

#[tokio::test]
async fn material_goes_when_its_time_comes() {
    let setting = setting().await;
    let end = START.plus_ms(30 * MINUTE_MS);
    let id = setting.perform(&setting.until(7, end)).await.unwrap();
    assert_eq!(setting.describe().await.expiration(), Some((ExpirationModel::Expires, Some(end))));
    let old = setting.encrypt().await;
    setting.node.clock.advance_ms(30 * MINUTE_MS - 1);
    assert_eq!(setting.node.service.run_due_work().await.unwrap(), 0, "not a moment too early");
    assert!(setting.opens(&old).await);
    setting.node.clock.advance_ms(1);
    let size = setting.node.log_size().await;
    assert_eq!(setting.node.service.run_due_work().await.unwrap(), 1);
    let key = setting.describe().await;
    assert_eq!((key.state, key.current_material().unwrap().sealed.len()), (KeyState::PendingImport, 0));
    assert_eq!(kind_of(setting.node.decrypt(&setting.root, &old).await), Kind::InvalidState);
    assert_eq!(setting.node.service.run_due_work().await.unwrap(), 0, "once");

    let entry = &setting.node.log_since(size).await[0].json;
    assert_eq!(entry["eventName"], "DeleteExpiredKeyMaterial");
    assert_eq!(entry["eventType"], "AwsServiceEvent");
    assert_eq!(entry["userIdentity"]["invokedBy"], "claviger");
    assert_eq!(entry["resources"][0]["ARN"], setting.key.to_string());
    assert_eq!(entry["recipientAccountId"], account().to_string());
    let details = json!({"keyId": setting.key.key.to_string(), "keyMaterialIds": [id.to_string()], "keyState": "PendingImport"});
    assert_eq!(entry["serviceEventDetails"], details);
    assert_eq!(entry["claviger"]["changes"][0]["kind"], "key");

    // The same again, for good this time.
    assert_eq!(setting.perform(&setting.import(7)).await.unwrap(), id);
    setting.node.clock.advance_days(400);
    assert_eq!(setting.node.service.run_due_work().await.unwrap(), 0);
    assert!(setting.opens(&old).await);
}

#[tokio::test]
async fn an_import_anew_changes_the_end() {
    let setting = setting().await;
    setting.perform(&setting.until(7, START.plus_ms(30 * MINUTE_MS))).await.unwrap();
    setting.perform(&setting.until(7, START.plus_ms(60 * MINUTE_MS))).await.unwrap();
    setting.node.clock.advance_ms(30 * MINUTE_MS);
    assert_eq!(setting.node.service.run_due_work().await.unwrap(), 0);
    setting.node.clock.advance_ms(30 * MINUTE_MS);
    assert_eq!(setting.node.service.run_due_work().await.unwrap(), 1);
}

#[tokio::test]
async fn an_end_must_be_within_a_year() {
    let setting = setting().await;
    let plain = || setting.import(7);
    let expires = |valid_to| kms::ImportKeyMaterial { expiration_model: ExpirationModel::Expires, valid_to, ..plain() };
    let refusal = setting.perform(&expires(None)).await.unwrap_err();
    assert_eq!(refusal, Refusal::invalid("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"));
    for wrong in [START, Timestamp(0), START.plus_days(365).plus_ms(1)] {
        assert_eq!(kind_of(setting.perform(&expires(Some(wrong))).await), Kind::Invalid, "{wrong}");
    }
    let both = kms::ImportKeyMaterial { valid_to: Some(START.plus_days(1)), ..plain() };
    assert_eq!(kind_of(setting.perform(&both).await), Kind::Invalid);
    setting.perform(&expires(Some(START.plus_days(365)))).await.unwrap();
}

#[tokio::test]
async fn what_ends_in_any_state_ends() {
    let setting = setting().await;
    let (node, root, key) = (&setting.node, &setting.root, &setting.key);
    let in_an_hour = |node: &Node| node.clock.now().plus_ms(60 * MINUTE_MS);
    // Disabled: as in AWS, the key waits for an import then, and is enabled by it.
    setting.perform(&setting.until(7, in_an_hour(node))).await.unwrap();
    node.service.perform(&node.again(root), &kms::DisableKey { key: by_arn(key) }).await.unwrap();
    node.clock.advance_ms(60 * MINUTE_MS);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(setting.state().await, KeyState::PendingImport);
    for refused in [
        node.service.perform(&node.again(root), &kms::EnableKey { key: by_arn(key) }).await,
        node.service.perform(&node.again(root), &kms::DisableKey { key: by_arn(key) }).await,
    ] {
        assert_eq!(refused.unwrap_err(), Refusal::invalid_state(format!("{key} is pending import.")));
    }
    // Waiting for its deletion: it goes on waiting; when that is cancelled, it waits for an import.
    setting.perform(&setting.until(7, in_an_hour(node))).await.unwrap();
    assert_eq!(setting.state().await, KeyState::Enabled);
    node.service.perform(&node.again(root), &kms::ScheduleKeyDeletion { key: by_arn(key), window_days: 7 }).await.unwrap();
    assert_eq!(kind_of(setting.perform(&setting.import(7)).await), Kind::InvalidState);
    node.clock.advance_ms(60 * MINUTE_MS);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert!(matches!(setting.state().await, KeyState::PendingDeletion { .. }));
    node.service.perform(&node.again(root), &kms::CancelKeyDeletion { key: by_arn(key) }).await.unwrap();
    assert_eq!(setting.state().await, KeyState::PendingImport);
    setting.perform(&setting.import(7)).await.unwrap();
    // Deleted by its owner while it waits for its deletion.
    node.service.perform(&node.again(root), &kms::ScheduleKeyDeletion { key: by_arn(key), window_days: 7 }).await.unwrap();
    setting.delete(None).await.unwrap();
    assert!(matches!(setting.state().await, KeyState::PendingDeletion { .. }));
    node.clock.advance_days(8);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(kind_of(node.describe(root, key).await), Kind::NotFound);
}

#[tokio::test]
async fn a_key_that_ended_with_its_material_is_handled_in_one_go() {
    let setting = setting().await;
    let (node, root, key) = (&setting.node, &setting.root, &setting.key);
    setting.perform(&setting.until(7, START.plus_days(3))).await.unwrap();
    node.service.perform(&node.again(root), &kms::ScheduleKeyDeletion { key: by_arn(key), window_days: 7 }).await.unwrap();
    node.clock.advance_days(30);
    assert_eq!(node.service.run_due_work().await.unwrap(), 2, "the material, then the key");
    assert_eq!(kind_of(node.describe(root, key).await), Kind::NotFound);
}

#[tokio::test]
async fn new_material_waits_for_its_rotation() {
    let setting = setting().await;
    let refusal = setting.rotate().await.unwrap_err();
    assert_eq!(refusal.kind, Kind::InvalidState, "it waits for its first material");
    let first = setting.perform(&setting.import(1)).await.unwrap();
    let under_first = setting.encrypt().await;
    let refusal = setting.rotate().await.unwrap_err();
    assert_eq!(refusal.detail, format!("No available key material pending rotation for the key: {}.", setting.key));
    assert_eq!(refusal.kind, Kind::InvalidState);

    let described = kms::ImportKeyMaterial { description: Some("second of 2026".to_owned()), ..setting.import_new(2) };
    let second = setting.perform(&described).await.unwrap();
    assert_eq!(setting.describe().await.current_material().unwrap().id, first);
    let listed = setting.list().await;
    assert_eq!((listed[0].id, listed[0].state, listed[0].rotation), (second, MaterialState::PendingRotation, None));
    assert_eq!((listed[1].id, listed[1].state, listed[1].rotation), (first, MaterialState::Current, None));
    let refusal = setting.perform(&setting.import_new(3)).await.unwrap_err();
    assert_eq!(refusal.kind, Kind::InvalidState);
    let start = "New key material (id: ";
    let end = format!(
        ") cannot be imported into KMS key {}, because another key material (id: {second}) is pending rotation.",
        setting.key
    );
    assert!(refusal.detail.starts_with(start) && refusal.detail.ends_with(&end), "{}", refusal.detail);

    setting.node.clock.advance_ms(MINUTE_MS);
    setting.rotate().await.unwrap();
    let listed = setting.list().await;
    assert_eq!((listed[0].id, listed[0].state), (second, MaterialState::Current));
    assert_eq!(listed[0].rotation.map(|(at, _)| at), Some(START.plus_ms(MINUTE_MS)));
    assert_eq!(listed[0].imported.as_ref().unwrap().description, "second of 2026");
    assert_eq!((listed[1].id, listed[1].state), (first, MaterialState::NonCurrent));
    let under_second = setting.encrypt().await;
    assert_eq!(setting.node.decrypt(&setting.root, &under_second).await.unwrap().material, second);
    assert!(setting.opens(&under_first).await);

    // Any one that is missing stops the key, until it is there again.
    setting.delete(Some(first)).await.unwrap();
    assert_eq!(setting.state().await, KeyState::PendingImport);
    assert!(!setting.opens(&under_second).await);
    setting.delete(None).await.unwrap();
    setting.perform(&setting.import(1)).await.unwrap();
    assert_eq!(setting.state().await, KeyState::PendingImport, "one of two");
    let named = kms::ImportKeyMaterial { material: Some(first), ..setting.import(2) };
    assert_eq!(kind_of(setting.perform(&named).await), Kind::IncorrectKeyMaterial);
    let named = kms::ImportKeyMaterial { material: Some(second), ..setting.import(2) };
    assert_eq!(setting.perform(&named).await.unwrap(), second);
    assert_eq!(setting.state().await, KeyState::Enabled);
    assert!(setting.opens(&under_first).await && setting.opens(&under_second).await);
    assert_eq!(setting.list().await[0].imported.as_ref().unwrap().description, "second of 2026", "it is kept");
}

#[tokio::test]
async fn what_is_pending_does_not_belong_to_the_key_yet() {
    let setting = setting().await;
    let first = setting.perform(&setting.import(1)).await.unwrap();
    let second = setting.perform(&setting.import_new(2)).await.unwrap();
    setting.delete(Some(second)).await.unwrap();
    assert_eq!(setting.state().await, KeyState::Enabled);
    assert_eq!(setting.list().await.len(), 1, "it is forgotten");
    // Other material may take its place; and when that expires, nothing happens to the key either.
    let end = START.plus_ms(30 * MINUTE_MS);
    let third = kms::ImportKeyMaterial { import_type: Some(ImportType::New), ..setting.until(3, end) };
    setting.perform(&third).await.unwrap();
    assert_eq!(setting.describe().await.expiration(), Some((ExpirationModel::DoesNotExpire, None)));
    setting.node.clock.advance_ms(30 * MINUTE_MS);
    assert_eq!(setting.node.service.run_due_work().await.unwrap(), 1);
    let key = setting.describe().await;
    assert_eq!((key.state, key.materials.len(), key.current_material().unwrap().id), (KeyState::Enabled, 1, first));
    assert_eq!(kind_of(setting.rotate().await), Kind::InvalidState);
    let new_and_named = kms::ImportKeyMaterial { material: Some(first), ..setting.import_new(4) };
    assert_eq!(kind_of(setting.perform(&new_and_named).await), Kind::Invalid);
}

#[tokio::test]
async fn the_schedule_is_for_material_that_is_made_here() {
    let setting = setting().await;
    let (node, root, key) = (&setting.node, &setting.root, &setting.key);
    let made_here = node.create_key(root).await;
    for state in [KeyState::PendingImport, KeyState::Enabled] {
        assert_eq!(setting.state().await, state);
        let expected = Refusal::unsupported(format!("{key} origin is EXTERNAL which is not valid for this operation."));
        let enable = kms::EnableKeyRotation { key: by_arn(key), period_days: 90 };
        assert_eq!(node.service.perform(&node.again(root), &enable).await.unwrap_err(), expected);
        let disable = kms::DisableKeyRotation { key: by_arn(key) };
        assert_eq!(node.service.perform(&node.again(root), &disable).await.unwrap_err(), expected);
        let status = kms::GetKeyRotationStatus { key: by_arn(key) };
        assert_eq!(node.service.perform(&node.again(root), &status).await.err().unwrap(), expected);
        if state == KeyState::PendingImport {
            setting.perform(&setting.import(7)).await.unwrap();
        }
    }
    // And the other way round.
    let expected = Refusal::unsupported(format!("{made_here} origin is AWS_KMS which is not valid for this operation."));
    assert_eq!(node.service.perform(&node.again(root), &parameters(&made_here)).await.err().unwrap(), expected);
    let operation = import(&made_here, vec![1], vec![1]);
    assert_eq!(node.service.perform(&node.again(root), &operation).await.err().unwrap(), expected);
    let operation = kms::DeleteImportedKeyMaterial { key: by_arn(&made_here), material: None };
    assert_eq!(node.service.perform(&node.again(root), &operation).await.err().unwrap(), expected);
}

#[tokio::test]
async fn wrapping_that_does_not_fit_is_refused() {
    let setting = setting().await;
    for (algorithm, spec) in [
        (WrappingAlgorithm::RsaesPkcs1V15, WrappingKeySpec::Rsa2048),
        (WrappingAlgorithm::RsaAesKeyWrapSha256, WrappingKeySpec::Rsa4096),
        (WrappingAlgorithm::RsaAesKeyWrapSha1, WrappingKeySpec::Rsa2048),
        (WrappingAlgorithm::RsaesOaepSha256, WrappingKeySpec::Sm2),
        (WrappingAlgorithm::Sm2pke, WrappingKeySpec::Sm2),
        (WrappingAlgorithm::Sm2pke, WrappingKeySpec::Rsa2048),
    ] {
        let operation = kms::GetParametersForImport { algorithm, wrapping_key_spec: spec, ..parameters(&setting.key) };
        let result = setting.node.service.perform(&setting.node.again(&setting.root), &operation).await;
        assert_eq!(kind_of(result), Kind::Unsupported, "{algorithm} {spec}");
    }
}

#[tokio::test]
async fn policies_may_ask_how_material_comes_and_how_long_it_stays() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let key = create_external_key(&node, &root, None).await;
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "kms:GetParametersForImport", "Resource": "*", "Condition": {"StringEquals": {
            "kms:WrappingAlgorithm": "RSAES_OAEP_SHA_256", "kms:WrappingKeySpec": "RSA_2048",
        }}},
        {"Effect": "Allow", "Action": "kms:ImportKeyMaterial", "Resource": "*", "Condition": {
            "StringEquals": {"kms:ExpirationModel": "KEY_MATERIAL_EXPIRES"},
            "DateLessThan": {"kms:ValidTo": START.plus_days(10).to_rfc3339()},
        }},
    ]});
    let user = node.create_user(&root, "custodian", &[&policy.to_string()]).await;
    let perform = |operation: kms::GetParametersForImport| {
        let (node, caller) = (&node, node.again(&user));
        async move { node.service.perform(&caller, &operation).await.map(drop) }
    };
    let sha_1 = kms::GetParametersForImport { algorithm: WrappingAlgorithm::RsaesOaepSha1, ..parameters(&key) };
    assert_eq!(kind_of(perform(sha_1).await), Kind::AccessDenied);
    let long = kms::GetParametersForImport { wrapping_key_spec: WrappingKeySpec::Rsa4096, ..parameters(&key) };
    assert_eq!(kind_of(perform(long).await), Kind::AccessDenied);
    let (token, wrapped) = wrapped(&node, &user, &key, &[7; 32]).await;
    let for_ever = import(&key, token, wrapped);
    let until = |days| kms::ImportKeyMaterial {
        expiration_model: ExpirationModel::Expires,
        valid_to: Some(START.plus_days(days)),
        ..import(&key, for_ever.token.clone(), for_ever.wrapped.clone())
    };
    assert_eq!(kind_of(node.service.perform(&node.again(&user), &for_ever).await), Kind::AccessDenied);
    assert_eq!(kind_of(node.service.perform(&node.again(&user), &until(11)).await), Kind::AccessDenied);
    node.service.perform(&node.again(&user), &until(9)).await.unwrap();
}

#[tokio::test]
async fn the_log_tells_of_imports_but_not_what_was_imported() {
    let setting = setting().await;
    let size = setting.node.log_size().await;
    let operation = kms::ImportKeyMaterial {
        description: Some("from the safe".to_owned()),
        import_type: Some(ImportType::New),
        ..setting.until(0xa5, START.plus_days(1))
    };
    let id = setting.perform(&operation).await.unwrap();
    setting.delete(Some(id)).await.unwrap();
    let log = setting.node.log_since(size).await;
    let parameters = json!({
        "expirationModel": "KEY_MATERIAL_EXPIRES",
        "importType": "NEW_KEY_MATERIAL",
        "keyId": setting.key.to_string(),
        "keyMaterialDescription": "from the safe",
        "validTo": START.plus_days(1).to_rfc3339(),
    });
    assert_eq!(log[0].json["requestParameters"], parameters);
    let response = json!({"keyId": setting.key.to_string(), "keyMaterialId": id.to_string()});
    assert_eq!(log[0].json["responseElements"], response);
    assert_eq!(log[1].json["requestParameters"]["keyMaterialId"], id.to_string());
    assert_eq!(log[1].json["responseElements"], response);
    for entry in setting.node.log().await {
        for secret in [&[0xa5; 16][..], &operation.token[100..132], &operation.wrapped[..32]] {
            let forms = [secret.to_vec(), hex::encode(secret).into_bytes()];
            assert!(forms.iter().all(|form| !entry.bytes.windows(form.len()).any(|window| window == form)));
        }
    }
    assert!(setting.node.service.perform(&setting.node.again(&setting.root), &decrypt(b"x")).await.is_err());
}
