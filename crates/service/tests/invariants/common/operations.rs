//! Every KMS operation as a request that anybody can try, so that a rule can be tested for all of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use claviger_domain::ids::GrantId;
use claviger_domain::key::{
    DataKeyPairSpec, EncapsulationAlgorithm, EncryptionAlgorithm, KeyAgreementAlgorithm, KeySpec, KeyUsage, MacAlgorithm,
    MessageType, SigningAlgorithm,
};
use claviger_domain::policy::default_key_policy;
use claviger_domain::{AliasName, Caller, EncryptionContext, GrantOperation, GrantPrincipal, KeyArn, Refusal};
use claviger_service::Service;
use claviger_service::operations::kms;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Node, alias, by_arn, create_grant, create_key, decrypt, elsewhere, encrypt, generate_random, imports, key_stores,
    replicate_key, root_arn,
};

/// What permission an operation needs, beside the one on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Keys alone.
    Key,
    /// A grant, which says itself who may, beside the account.
    Grant,
    /// A key, and the caller's account.
    KeyAndAccount,
    /// An alias and keys.
    Alias,
    /// The caller's account alone.
    Account,
    /// A custom key store of the caller's account.
    KeyStore,
}

/// What the multi-Region key of a trial must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replicated {
    /// No replica.
    No,
    /// A replica in [`elsewhere`].
    Yes,
}

/// A request with everything that it needs to succeed for somebody who is allowed to.
pub(crate) struct Trial {
    pub(crate) name: &'static str,
    /// The actions that have to be allowed.
    pub(crate) actions: &'static [&'static str],
    pub(crate) about: About,
    /// What kind of key it is tried on.
    pub(crate) kind: (KeySpec, KeyUsage),
    /// Whether the key must be waiting for its deletion.
    pub(crate) pending_deletion: bool,
    /// How far the import of the key's material must be.
    pub(crate) import: Import,
    /// Whether the key must be a multi-Region primary key, and whether it must have a replica.
    pub(crate) multi_region: Option<Replicated>,
    pub(crate) run: for<'a> fn(&'a Service, &'a Caller, &'a Subject) -> Answer<'a>,
}

/// How far the import of a key's material is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Import {
    /// The material was made by the service.
    No,
    /// The key waits for its owner to begin.
    Awaited,
    /// The material is wrapped.
    Begun,
    /// The material is there.
    Done,
}

pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

/// What the trials are tried on.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) key: KeyArn,
    pub(crate) other_key: KeyArn,
    /// Stands for `key`.
    pub(crate) alias: AliasName,
    /// Stands for nothing.
    pub(crate) free_alias: AliasName,
    /// Made with `key` of [`MESSAGE`], or for it: a ciphertext, a signature, a code, an encapsulated secret, or a peer's public key.
    pub(crate) made: Vec<u8>,
    /// Token and wrapped material for `key`, where its import has begun.
    pub(crate) import: (Vec<u8>, Vec<u8>),
    /// On `key`, for the account's root.
    pub(crate) grant: GrantId,
    /// The policy of the keys.
    policy: String,
    /// The id of a custom key store, for trials that are about one.
    pub(crate) key_store: String,
}

/// What is encrypted and signed.
pub(crate) const MESSAGE: &[u8] = b"attack at dawn";

/// The kind of key that most operations are tried on.
pub(crate) const SYMMETRIC: (KeySpec, KeyUsage) = (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt);
const SIGNING: (KeySpec, KeyUsage) = (KeySpec::EccNistP256, KeyUsage::SignVerify);
const MAC: (KeySpec, KeyUsage) = (KeySpec::Hmac256, KeyUsage::GenerateVerifyMac);
const AGREEMENT: (KeySpec, KeyUsage) = (KeySpec::EccNistP256, KeyUsage::KeyAgreement);
const ENCAPSULATION: (KeySpec, KeyUsage) = (KeySpec::MlKem512, KeyUsage::EncapsulateDecapsulate);

impl Subject {
    /// New symmetric keys with this policy.
    pub(crate) async fn new(node: &Node, root: &Caller, policy: &str) -> Self {
        Self::of(node, root, policy, SYMMETRIC).await
    }

    /// New keys with this policy, of the kind that a trial needs.
    pub(crate) async fn on_trial(node: &Node, root: &Caller, policy: &str, trial: &Trial) -> Self {
        let mut subject = Self::of(node, root, policy, trial.kind).await;
        if trial.about == About::KeyStore {
            subject.key_store = key_stores::the_only_one(node, root, trial.name == "DisconnectCustomKeyStore").await;
        }
        if trial.import != Import::No {
            subject.key = imports::create_external_key(node, root, Some(policy.to_owned())).await;
        }
        if matches!(trial.import, Import::Begun | Import::Done) {
            subject.import = imports::wrapped(node, root, &subject.key, &[7; 32]).await;
        }
        if trial.import == Import::Done {
            let (token, wrapped) = subject.import.clone();
            let operation = imports::import(&subject.key, token, wrapped);
            node.service.perform(&node.again(root), &operation).await.unwrap();
        }
        subject
    }

    async fn of(node: &Node, root: &Caller, policy: &str, (spec, usage): (KeySpec, KeyUsage)) -> Self {
        let create = kms::CreateKey { spec, usage, ..create_key(Some(policy.to_owned())) };
        let key = node.service.perform(&node.again(root), &create).await.unwrap().arn();
        let other_key = node.service.perform(&node.again(root), &create).await.unwrap().arn();
        let (used, free) = (alias(&format!("used-{}", Uuid::new_v4())), alias(&format!("free-{}", Uuid::new_v4())));
        node.create_alias(root, &key, &used).await;
        let grant = create_grant(&key, &root_arn(key.account), &[GrantOperation::DescribeKey]);
        let grant = node.create_grant(root, &grant).await.unwrap().id;
        let (made, import, policy, key_store) = (Vec::new(), Default::default(), policy.to_owned(), String::new());
        let mut subject = Self { key, other_key, alias: used, free_alias: free, made, import, grant, policy, key_store };
        subject.made = subject.make(node, root, usage).await;
        subject
    }

    async fn make(&self, node: &Node, root: &Caller, usage: KeyUsage) -> Vec<u8> {
        let (service, caller) = (&node.service, node.again(root));
        match usage {
            KeyUsage::EncryptDecrypt => node.encrypt(root, &self.key).await.unwrap(),
            KeyUsage::SignVerify => service.perform(&caller, &sign(&self.key)).await.unwrap().signature,
            KeyUsage::GenerateVerifyMac => service.perform(&caller, &generate_mac(&self.key)).await.unwrap().mac,
            KeyUsage::KeyAgreement => {
                let get = kms::GetPublicKey { key: by_arn(&self.other_key) };
                service.perform(&caller, &get).await.unwrap().public_key
            }
            KeyUsage::EncapsulateDecapsulate => service.perform(&caller, &encapsulate(&self.key)).await.unwrap().ciphertext,
        }
    }

    /// Brings the key into the state that a trial needs.
    pub(crate) async fn prepare(&mut self, node: &Node, root: &Caller, trial: &Trial) {
        if let Some(replicated) = trial.multi_region {
            let policy = Some(self.policy.clone());
            self.key = node.create_multi_region_key_with(root, policy.clone()).await;
            if replicated == Replicated::Yes {
                let operation = kms::ReplicateKey { policy, ..replicate_key(&self.key, &elsewhere()) };
                node.service.perform(&node.again(root), &operation).await.unwrap();
            }
        }
        if trial.pending_deletion {
            let operation = kms::ScheduleKeyDeletion { key: by_arn(&self.key), window_days: 7 };
            node.service.perform(&node.again(root), &operation).await.unwrap();
        }
    }
}

macro_rules! trials {
    ($(
        $about:ident $name:ident $([$($action:literal),+])? $(on $kind:ident)? $(pending $pending:literal)? $(import $import:ident)?
            $(replicated $replicated:ident)? => |$subject:ident $(, $who:ident)?| $operation:expr;
    )*) => {
        /// All of them.
        pub(crate) const TRIALS: &[Trial] = &[$(Trial {
            name: stringify!($name),
            actions: trials!(@actions $name $($($action),+)?),
            about: About::$about,
            kind: trials!(@kind $($kind)?),
            pending_deletion: false $(|| $pending)?,
            import: trials!(@import $($import)?),
            multi_region: trials!(@replicated $($replicated)?),
            run: |service, caller, $subject| Box::pin(async move {
                $(let $who = caller;)?
                let operation = $operation;
                service.perform(caller, &operation).await.map(drop)
            }),
        },)*];
    };
    (@import) => { Import::No };
    (@import $import:ident) => { Import::$import };
    (@replicated) => { None };
    (@replicated $replicated:ident) => { Some(Replicated::$replicated) };
    (@kind) => { SYMMETRIC };
    (@kind $kind:ident) => { $kind };
    (@actions $name:ident) => { &[concat!("kms:", stringify!($name))] };
    (@actions $name:ident $($action:literal),+) => { &[$($action),+] };
}

trials! {
    Key CancelKeyDeletion pending true => |on| kms::CancelKeyDeletion { key: by_arn(&on.key) };
    KeyStore ConnectCustomKeyStore => |on| kms::ConnectCustomKeyStore { store: on.key_store.clone() };
    Alias CreateAlias => |on| kms::CreateAlias { alias: on.free_alias.clone(), key: by_arn(&on.key) };
    Account CreateCustomKeyStore => |_on| key_stores::create(&format!("store {}", Uuid::new_v4()));
    Key CreateGrant => |on| create_grant(&on.key, &root_arn(on.key.account), &[GrantOperation::Encrypt]);
    Account CreateKey => |_on| create_key(None);
    Key Decapsulate on ENCAPSULATION => |on| kms::Decapsulate {
        key: by_arn(&on.key),
        ciphertext: on.made.clone(),
        algorithm: EncapsulationAlgorithm::MlKem,
        dry_run: false,
    };
    Key Decrypt => |on| kms::Decrypt { key: Some(by_arn(&on.key)), ..decrypt(&on.made) };
    Alias DeleteAlias => |on| kms::DeleteAlias { alias: on.alias.clone() };
    KeyStore DeleteCustomKeyStore => |on| kms::DeleteCustomKeyStore { store: on.key_store.clone() };
    Key DeleteImportedKeyMaterial import Done => |on| kms::DeleteImportedKeyMaterial { key: by_arn(&on.key), material: None };
    Key DeriveSharedSecret on AGREEMENT => |on| kms::DeriveSharedSecret {
        key: by_arn(&on.key),
        algorithm: KeyAgreementAlgorithm::Ecdh,
        public_key: on.made.clone(),
        recipient: None,
        dry_run: false,
    };
    Account DescribeCustomKeyStores => |_on| key_stores::describe_all();
    Key DescribeKey => |on| kms::DescribeKey { key: by_arn(&on.key) };
    Key DisableKey => |on| kms::DisableKey { key: by_arn(&on.key) };
    Key DisableKeyRotation => |on| kms::DisableKeyRotation { key: by_arn(&on.key) };
    KeyStore DisconnectCustomKeyStore => |on| kms::DisconnectCustomKeyStore { store: on.key_store.clone() };
    Key EnableKey => |on| kms::EnableKey { key: by_arn(&on.key) };
    Key EnableKeyRotation => |on| kms::EnableKeyRotation { key: by_arn(&on.key), period_days: 90 };
    Key Encapsulate on ENCAPSULATION => |on| encapsulate(&on.key);
    Key Encrypt => |on| encrypt(by_arn(&on.key), MESSAGE);
    Key GenerateDataKey => |on| data_key(&on.key);
    Key GenerateDataKeyPair => |on| data_key_pair(&on.key);
    Key GenerateDataKeyPairWithoutPlaintext => |on| kms::GenerateDataKeyPairWithoutPlaintext(data_key_pair(&on.key));
    Key GenerateDataKeyWithoutPlaintext => |on| kms::GenerateDataKeyWithoutPlaintext(data_key(&on.key));
    Key GenerateMac on MAC => |on| generate_mac(&on.key);
    Account GenerateRandom => |_on| generate_random(32);
    Key GetKeyLastUsage => |on| kms::GetKeyLastUsage { key: by_arn(&on.key) };
    Key GetKeyPolicy => |on| kms::GetKeyPolicy { key: by_arn(&on.key), name: None };
    Key GetKeyRotationStatus => |on| kms::GetKeyRotationStatus { key: by_arn(&on.key) };
    Key GetParametersForImport import Awaited => |on| imports::parameters(&on.key);
    Key GetPublicKey on SIGNING => |on| kms::GetPublicKey { key: by_arn(&on.key) };
    Key ImportKeyMaterial import Begun => |on| imports::import(&on.key, on.import.0.clone(), on.import.1.clone());
    Account ListAliases => |_on| kms::ListAliases { key: None, limit: 10, marker: None };
    Key ListGrants => |on| kms::ListGrants { key: by_arn(&on.key), grant: None, grantee: None, limit: 10, marker: None };
    Key ListKeyPolicies => |on| kms::ListKeyPolicies { key: by_arn(&on.key), limit: 10, marker: None };
    Key ListKeyRotations => |on| kms::ListKeyRotations { key: by_arn(&on.key), all_material: true, limit: 10, marker: None };
    Account ListKeys => |_on| kms::ListKeys { limit: 10, marker: None };
    Key ListResourceTags => |on| kms::ListResourceTags { key: by_arn(&on.key), limit: 10, marker: None };
    Account ListRetirableGrants => |_on, caller| kms::ListRetirableGrants {
        retiring: GrantPrincipal::Principal(root_arn(caller.identity.account)),
        limit: 10,
        marker: None,
    };
    Key PutKeyPolicy => |on| kms::PutKeyPolicy {
        key: by_arn(&on.key),
        name: None,
        policy: default_key_policy(on.key.account),
        bypass_lockout_check: true,
    };
    Key ReEncrypt ["kms:ReEncryptFrom", "kms:ReEncryptTo"] => |on| re_encrypt(on);
    KeyAndAccount ReplicateKey ["kms:ReplicateKey", "kms:CreateKey"] replicated No => |on| replicate_key(&on.key, &elsewhere());
    Grant RetireGrant => |on| kms::RetireGrant {
        grant: kms::GrantReference::Id(by_arn(&on.key), on.grant),
        dry_run: false,
    };
    Key RevokeGrant => |on| kms::RevokeGrant { key: by_arn(&on.key), grant: on.grant, dry_run: false };
    Key RotateKeyOnDemand => |on| kms::RotateKeyOnDemand { key: by_arn(&on.key) };
    Key ScheduleKeyDeletion => |on| kms::ScheduleKeyDeletion { key: by_arn(&on.key), window_days: 7 };
    Key Sign on SIGNING => |on| sign(&on.key);
    Key TagResource => |on| kms::TagResource {
        key: by_arn(&on.key),
        tags: BTreeMap::from([("team".to_owned(), "red".to_owned())]),
    };
    Key UntagResource => |on| kms::UntagResource { key: by_arn(&on.key), tag_keys: vec!["team".to_owned()] };
    Alias UpdateAlias => |on| kms::UpdateAlias { alias: on.alias.clone(), key: by_arn(&on.other_key) };
    KeyStore UpdateCustomKeyStore => |on| key_stores::rename(&on.key_store, "renamed");
    Key UpdateKeyDescription => |on| kms::UpdateKeyDescription { key: by_arn(&on.key), description: "new".to_owned() };
    Key UpdatePrimaryRegion replicated Yes => |on| kms::UpdatePrimaryRegion {
        key: by_arn(&on.key),
        primary_region: elsewhere(),
    };
    Key Verify on SIGNING => |on| kms::Verify {
        key: by_arn(&on.key),
        message: Zeroizing::new(MESSAGE.to_vec()),
        message_type: MessageType::Raw,
        signature: on.made.clone(),
        algorithm: SigningAlgorithm::EcdsaSha256,
        dry_run: false,
    };
    Key VerifyMac on MAC => |on| kms::VerifyMac {
        key: by_arn(&on.key),
        message: Zeroizing::new(MESSAGE.to_vec()),
        mac: on.made.clone(),
        algorithm: MacAlgorithm::HmacSha256,
        dry_run: false,
    };
}

pub(crate) fn sign(key: &KeyArn) -> kms::Sign {
    kms::Sign {
        key: by_arn(key),
        message: Zeroizing::new(MESSAGE.to_vec()),
        message_type: MessageType::Raw,
        algorithm: SigningAlgorithm::EcdsaSha256,
        dry_run: false,
    }
}

pub(crate) fn generate_mac(key: &KeyArn) -> kms::GenerateMac {
    kms::GenerateMac {
        key: by_arn(key),
        message: Zeroizing::new(MESSAGE.to_vec()),
        algorithm: MacAlgorithm::HmacSha256,
        dry_run: false,
    }
}

pub(crate) fn encapsulate(key: &KeyArn) -> kms::Encapsulate {
    kms::Encapsulate { key: by_arn(key), algorithm: EncapsulationAlgorithm::MlKem, dry_run: false }
}

pub(crate) fn data_key_pair(key: &KeyArn) -> kms::GenerateDataKeyPair {
    kms::GenerateDataKeyPair {
        key: by_arn(key),
        spec: DataKeyPairSpec::EccNistP256,
        context: EncryptionContext::default(),
        recipient: None,
        dry_run: false,
    }
}

pub(crate) fn data_key(key: &KeyArn) -> kms::GenerateDataKey {
    kms::GenerateDataKey {
        key: by_arn(key),
        length: 32,
        spec: Some("AES_256"),
        context: EncryptionContext::default(),
        recipient: None,
        dry_run: false,
    }
}

pub(crate) fn re_encrypt(on: &Subject) -> kms::ReEncrypt {
    kms::ReEncrypt {
        source: Some(by_arn(&on.key)),
        ciphertext: on.made.clone(),
        source_context: EncryptionContext::default(),
        source_algorithm: EncryptionAlgorithm::SymmetricDefault,
        destination: by_arn(&on.other_key),
        destination_context: EncryptionContext::default(),
        destination_algorithm: EncryptionAlgorithm::SymmetricDefault,
        dry_run: false,
        ignore_ciphertext: false,
    }
}

/// The list above has every operation that the crate offers, so that none can be forgotten by the tests that go through it.
#[test]
fn every_kms_operation_has_a_trial() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/operations/kms");
    let mut offered = Vec::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for part in text.split("const EVENT: Event = Event::kms").skip(1) {
            offered.push(part.split('"').nth(1).unwrap().to_owned());
        }
    }
    offered.sort();
    let tried: Vec<&str> = TRIALS.iter().map(|trial| trial.name).collect();
    assert_eq!(tried, offered);
}
