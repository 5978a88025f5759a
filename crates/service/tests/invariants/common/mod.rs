//! A deployment in a temporary directory, the people in it, and what its audit log says.

pub(crate) mod hyok;
pub(crate) mod imports;
pub(crate) mod key_store_backend;
pub(crate) mod key_stores;
pub(crate) mod operations;
pub(crate) mod stores;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use claviger_audit::bundle::Bundle;
use claviger_domain::caller::Request;
use claviger_domain::key::{EncryptionAlgorithm, Key, KeySpec, KeyUsage, Origin};
use claviger_domain::{
    AccountId, AliasName, Caller, EncryptionContext, GrantConstraints, GrantOperation, GrantPrincipal, GrantTerms, Identity,
    KeyArn, KeyReference, Kind, Refusal, Region, Timestamp, UserName,
};
use claviger_hsm::{Hsm, PassphraseCost, SealSecret, SealedRoot};
use claviger_service::operations::{admin, kms};
use claviger_service::{Assertions, Clock, InitialCredential, ManualClock, Service, SessionCredential, Settings, SignatureClaim};
use claviger_store::{OpenMode, RecordKey, SqliteStore, Store};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) const NODE: &str = "node-1";
pub(crate) const START: Timestamp = Timestamp(1_795_344_813_000);
pub(crate) const MINUTE_MS: i64 = 60 * 1000;

/// Argon2id at the least that it can do, so that tests are quick.
const CHEAP: PassphraseCost = PassphraseCost { memory_kib: 8, passes: 1, lanes: 1 };

pub(crate) fn account() -> AccountId {
    AccountId::from_number(123_456_789_012).unwrap()
}

pub(crate) fn region() -> Region {
    "us-east-1".parse().unwrap()
}

/// Another Region.
pub(crate) fn elsewhere() -> Region {
    "eu-west-1".parse().unwrap()
}

/// A deployment that is not being served: what is on its disk, and the secrets that its owner keeps.
pub(crate) struct Deployment {
    directory: TempDir,
    id: Uuid,
    root: SealedRoot,
    /// Root of the deployment's own account.
    pub(crate) administrator: InitialCredential,
    /// Root of the first account.
    pub(crate) tenant: InitialCredential,
    pub(crate) verifier_key: String,
    pub(crate) clock: Arc<ManualClock>,
}

/// A node that serves it.
pub(crate) struct Node {
    pub(crate) service: Arc<Service>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) name: String,
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        let directory = temporary_directory();
        let id = Uuid::new_v4();
        let (hsm, root) = Hsm::initialize_with_cost(id, &[("people", passphrase())], CHEAP).unwrap();
        let store = Arc::new(SqliteStore::open(&directory.path().join("store.sqlite"), OpenMode::CreateNew).unwrap());
        let port = Arc::clone(&store) as Arc<dyn Store>;
        let made =
            claviger_service::initialize(port, Arc::new(hsm), id, &root, NODE, Some((account(), "first")), START).await.unwrap();
        store.close();
        Self {
            directory,
            id,
            root,
            administrator: made.administrator,
            tenant: made.first_account.unwrap(),
            verifier_key: made.verifier_key,
            clock: Arc::new(ManualClock::at(START)),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("store.sqlite")
    }

    pub(crate) fn store(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(&self.path(), OpenMode::Existing).unwrap())
    }

    /// The hsm as a start of the process opens it.
    pub(crate) fn hsm(&self) -> Arc<Hsm> {
        Arc::new(Hsm::open(self.id, &self.root, None, &passphrase()).unwrap())
    }

    /// The node serves it.
    pub(crate) async fn serve(&self) -> Node {
        let store = self.store();
        let port = Arc::clone(&store) as Arc<dyn Store>;
        self.serve_through(store, port, Settings::for_node(NODE)).await.unwrap()
    }

    /// A node serves it through `port`, which stands before `store`.
    pub(crate) async fn serve_through(
        &self,
        store: Arc<SqliteStore>,
        port: Arc<dyn Store>,
        settings: Settings,
    ) -> Result<Node, Refusal> {
        let name = settings.node.clone();
        let clock = Arc::clone(&self.clock);
        let service = Service::open(port, self.hsm(), Arc::clone(&clock) as Arc<dyn Clock>, settings).await?;
        Ok(Node { service, store, clock, name })
    }

    /// The account's root without a look at credentials.
    pub(crate) fn root(&self) -> Caller {
        caller(Identity::root(account()), &self.tenant, self.clock.now())
    }

    /// The administrator without a look at credentials.
    pub(crate) fn administrator(&self) -> Caller {
        caller(Identity::root(AccountId::DEPLOYMENT), &self.administrator, self.clock.now())
    }
}

/// A fresh deployment and the node that serves it.
pub(crate) async fn deployed() -> (Deployment, Node) {
    let deployment = Deployment::new().await;
    let node = deployment.serve().await;
    (deployment, node)
}

/// In memory where there is such a place: that what is written stays written is tested by the store crate, and here only costs time.
fn temporary_directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn passphrase() -> SealSecret {
    SealSecret::Passphrase(Zeroizing::new("correct horse".to_owned()))
}

fn caller(identity: Identity, credential: &InitialCredential, at: Timestamp) -> Caller {
    Caller {
        identity: Arc::new(identity),
        access_key: credential.access_key.clone(),
        forwarding: None,
        request: request(at),
        grant_tokens: Vec::new(),
        known_at_ms: None,
    }
}

pub(crate) fn request(at: Timestamp) -> Request {
    Request {
        id: Uuid::new_v4(),
        door: "test",
        region: region(),
        at,
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        user_agent: "tests".to_owned(),
        secure_transport: true,
    }
}

/// The same caller with a new request.
pub(crate) fn again(caller: &Caller, at: Timestamp) -> Caller {
    Caller { request: request(at), known_at_ms: None, ..caller.clone() }
}

impl Node {
    /// Ends the process in good order.
    pub(crate) async fn shut_down(self) {
        self.service.shut_down().await.unwrap();
        self.store.close();
    }

    /// Ends the process without the courtesy of writing out what is in memory.
    pub(crate) fn crash(self) {
        self.store.close();
    }

    /// Signs a request as a client does, and has the service find out who it is.
    pub(crate) async fn sign_in(&self, credential: &InitialCredential) -> Result<Caller, Refusal> {
        self.sign_in_asserting(credential, Assertions::default()).await
    }

    /// The same with what a service says of its request.
    pub(crate) async fn sign_in_asserting(
        &self,
        credential: &InitialCredential,
        assertions: Assertions<'_>,
    ) -> Result<Caller, Refusal> {
        self.authenticate(credential.access_key.as_str(), &credential.secret, None, assertions).await
    }

    /// The same with the credential of a session.
    pub(crate) async fn sign_in_to(&self, session: &SessionCredential) -> Result<Caller, Refusal> {
        self.authenticate(session.access_key.as_str(), &session.secret, Some(&session.token), Assertions::default()).await
    }

    pub(crate) async fn authenticate(
        &self,
        access_key: &str,
        secret: &str,
        session_token: Option<&str>,
        assertions: Assertions<'_>,
    ) -> Result<Caller, Refusal> {
        let (date, message) = ("20261122", b"what was asked");
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [date, "us-east-1", "kms", "aws4_request"] {
            key = sign(&key, part.as_bytes());
        }
        let claim = SignatureClaim {
            access_key,
            session_token,
            date,
            region: "us-east-1",
            service: "kms",
            string_to_sign: message,
            signature: &sign(&key, message),
            assertions,
        };
        self.service.authenticate(&claim, request(self.clock.now())).await
    }

    /// The caller with a new request, now.
    pub(crate) fn again(&self, caller: &Caller) -> Caller {
        again(caller, self.clock.now())
    }

    pub(crate) async fn create_key(&self, caller: &Caller) -> KeyArn {
        self.create_key_with(caller, None).await
    }

    pub(crate) async fn create_key_with(&self, caller: &Caller, policy: Option<String>) -> KeyArn {
        self.service.perform(&self.again(caller), &create_key(policy)).await.unwrap().arn()
    }

    pub(crate) async fn create_multi_region_key(&self, caller: &Caller) -> KeyArn {
        self.create_multi_region_key_with(caller, None).await
    }

    pub(crate) async fn create_multi_region_key_with(&self, caller: &Caller, policy: Option<String>) -> KeyArn {
        let operation = kms::CreateKey { multi_region: true, ..create_key(policy) };
        self.service.perform(&self.again(caller), &operation).await.unwrap().arn()
    }

    pub(crate) async fn describe(&self, caller: &Caller, key: &KeyArn) -> Result<Key, Refusal> {
        self.service.perform(&self.again(caller), &kms::DescribeKey { key: by_arn(key) }).await
    }

    pub(crate) async fn encrypt(&self, caller: &Caller, key: &KeyArn) -> Result<Vec<u8>, Refusal> {
        let operation = encrypt(by_arn(key), b"attack at dawn");
        self.service.perform(&self.again(caller), &operation).await.map(|answer| answer.ciphertext)
    }

    pub(crate) async fn decrypt(&self, caller: &Caller, ciphertext: &[u8]) -> Result<kms::Decrypted, Refusal> {
        self.service.perform(&self.again(caller), &decrypt(ciphertext)).await
    }

    pub(crate) async fn create_grant(&self, caller: &Caller, grant: &kms::CreateGrant) -> Result<kms::CreatedGrant, Refusal> {
        self.service.perform(&self.again(caller), grant).await
    }

    pub(crate) async fn create_alias(&self, caller: &Caller, key: &KeyArn, alias: &AliasName) {
        let operation = kms::CreateAlias { alias: alias.clone(), key: by_arn(key) };
        self.service.perform(&self.again(caller), &operation).await.unwrap();
    }

    /// A user with these identity policies, as the service sees it when it signs in.
    pub(crate) async fn create_user(&self, root: &Caller, name: &str, policies: &[&str]) -> Caller {
        let user: UserName = name.parse().unwrap();
        self.service.perform(&self.again(root), &create_user(name)).await.unwrap();
        for (number, policy) in policies.iter().enumerate() {
            let operation = admin::PutUserPolicy {
                account: None,
                user: user.clone(),
                policy_name: format!("policy-{number}"),
                policy: (*policy).to_owned(),
            };
            self.service.perform(&self.again(root), &operation).await.unwrap();
        }
        let operation = admin::CreateAccessKey { account: None, user: Some(user) };
        let created = self.service.perform(&self.again(root), &operation).await.unwrap();
        self.sign_in(&created.credential).await.unwrap()
    }

    /// Another account and its root.
    pub(crate) async fn create_account(&self, administrator: &Caller, number: u64) -> Caller {
        let id = AccountId::from_number(number).unwrap();
        let operation = admin::CreateAccount { name: format!("account {number}"), id: Some(id) };
        let credential = self.service.perform(&self.again(administrator), &operation).await.unwrap();
        self.sign_in(&credential).await.unwrap()
    }

    /// Everything that the node's log says, oldest first.
    pub(crate) async fn log(&self) -> Vec<Entry> {
        self.log_since(0).await
    }

    /// How many entries the node's log has.
    pub(crate) async fn log_size(&self) -> u64 {
        self.store.log_head(&self.name).await.unwrap().map_or(0, |head| head.size)
    }

    /// What the log says from this entry on.
    pub(crate) async fn log_since(&self, from: u64) -> Vec<Entry> {
        log_of(self.store.as_ref(), &self.name, from).await
    }

    /// What the log says of one request.
    pub(crate) async fn entries_of(&self, caller: &Caller) -> Vec<Entry> {
        let id = caller.request.id.to_string();
        self.log().await.into_iter().filter(|entry| entry.json["requestID"] == id.as_str()).collect()
    }

    /// Every record, derived ones aside, with its version and sealed content.
    pub(crate) async fn records(&self) -> BTreeMap<RecordKey, (u64, Vec<u8>)> {
        records_of(self.store.as_ref()).await
    }
}

pub(crate) fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// An audit entry.
pub(crate) struct Entry {
    pub(crate) bytes: Vec<u8>,
    pub(crate) json: Value,
}

pub(crate) async fn log_of(store: &dyn Store, node: &str, from: u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut next = from;
    loop {
        let bundles = store.bundles(node, next, 100).await.unwrap();
        let Some(last) = bundles.last() else { return entries };
        next = last.first + u64::from(last.count);
        for bundle in &bundles {
            let parsed = Bundle::parse(&bundle.data).unwrap();
            let earlier = usize::try_from(from.saturating_sub(bundle.first)).unwrap();
            for entry in parsed.entries().skip(earlier) {
                assert!(entry.is_intact());
                entries.push(Entry { bytes: entry.bytes.to_vec(), json: serde_json::from_slice(entry.bytes).unwrap() });
            }
        }
    }
}

pub(crate) async fn records_of(store: &dyn Store) -> BTreeMap<RecordKey, (u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.scan(after.as_ref(), 1000).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = Some(last.key.clone());
        for record in page.into_iter().filter(|record| !record.key.kind.derived()) {
            found.insert(record.key, (record.version, record.sealed.to_vec()));
        }
    }
}

pub(crate) fn by_arn(key: &KeyArn) -> KeyReference {
    KeyReference::Arn(key.clone())
}

pub(crate) fn alias(name: &str) -> AliasName {
    format!("alias/{name}").parse().unwrap()
}

pub(crate) fn create_key(policy: Option<String>) -> kms::CreateKey {
    kms::CreateKey {
        spec: KeySpec::SymmetricDefault,
        usage: KeyUsage::EncryptDecrypt,
        origin: Origin::Internal,
        in_key_store: None,
        description: String::new(),
        policy,
        bypass_lockout_check: false,
        tags: BTreeMap::new(),
        multi_region: false,
    }
}

pub(crate) fn create_user(name: &str) -> admin::CreateUser {
    admin::CreateUser { account: None, name: name.parse().unwrap(), service: None, tags: BTreeMap::new() }
}

pub(crate) fn create_role(name: &str, trust_policy: &str) -> admin::CreateRole {
    admin::CreateRole {
        account: None,
        name: name.parse().unwrap(),
        trust_policy: trust_policy.to_owned(),
        description: String::new(),
        max_session_seconds: 3600,
        tags: BTreeMap::new(),
    }
}

/// A trust policy that allows these actions to this principal.
pub(crate) fn trust_policy(principal: &str, actions: &[&str]) -> String {
    let statement = serde_json::json!({"Effect": "Allow", "Principal": {"AWS": principal}, "Action": actions});
    serde_json::json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

pub(crate) fn encrypt(key: KeyReference, plaintext: &[u8]) -> kms::Encrypt {
    kms::Encrypt {
        key,
        plaintext: Zeroizing::new(plaintext.to_vec()),
        context: EncryptionContext::default(),
        algorithm: EncryptionAlgorithm::SymmetricDefault,
        dry_run: false,
    }
}

/// A grant to this principal that allows these operations.
pub(crate) fn create_grant(key: &KeyArn, grantee: &str, operations: &[GrantOperation]) -> kms::CreateGrant {
    let terms = GrantTerms {
        grantee: GrantPrincipal::Principal(grantee.to_owned()),
        retiring: None,
        operations: operations.iter().copied().collect(),
        constraints: GrantConstraints::default(),
    };
    kms::CreateGrant { key: by_arn(key), name: None, terms, dry_run: false }
}

pub(crate) fn decrypt(ciphertext: &[u8]) -> kms::Decrypt {
    kms::Decrypt {
        key: None,
        ciphertext: ciphertext.to_vec(),
        context: EncryptionContext::default(),
        algorithm: EncryptionAlgorithm::SymmetricDefault,
        recipient: None,
        dry_run: false,
        ignore_ciphertext: false,
    }
}

pub(crate) fn replicate_key(key: &KeyArn, region: &Region) -> kms::ReplicateKey {
    kms::ReplicateKey {
        key: by_arn(key),
        replica_region: region.clone(),
        policy: None,
        bypass_lockout_check: false,
        description: String::new(),
        tags: BTreeMap::new(),
    }
}

pub(crate) fn generate_random(length: usize) -> kms::GenerateRandom {
    kms::GenerateRandom { length, recipient: None, key_store: None }
}

/// What a request was refused for; panics when it was not.
pub(crate) fn kind_of<T>(result: Result<T, Refusal>) -> Kind {
    match result {
        Ok(_) => panic!("this should have been refused"),
        Err(refusal) => refusal.kind,
    }
}

/// An identity policy of one statement.
pub(crate) fn identity_policy(effect: &str, actions: &[&str]) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": effect, "Action": actions, "Resource": "*"}],
    })
    .to_string()
}

/// A key policy of these statements: effect, ARN of the principal, action.
pub(crate) fn key_policy(statements: &[(&str, &str, &str)]) -> String {
    let statements: Vec<Value> = statements
        .iter()
        .map(|(effect, principal, action)| {
            serde_json::json!({"Effect": effect, "Principal": {"AWS": principal}, "Action": action, "Resource": "*"})
        })
        .collect();
    serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

pub(crate) fn root_arn(account: AccountId) -> String {
    format!("arn:aws:iam::{account}:root")
}

/// Waits for something that has to come.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never came to that");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
