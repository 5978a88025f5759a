//! Hold-your-own-key stores: how they are kept, how a cloud's request to one is recognised, and which key it is about.

use std::sync::Arc;

use claviger_domain::caller::Request;
use claviger_domain::hyok::{HyokPath, HyokStore, StoreCredential};
use claviger_domain::policy::Policy;
use claviger_domain::{
    AccessKeyId, AccountId, Caller, ExternalKeyId, HyokStoreName, Identity, Kind, Principal, Refusal, StorePath, Timestamp,
};
use claviger_hsm::Hsm;
use claviger_store::RecordKind;
use zeroize::Zeroizing;

use crate::accounts::Versions;
use crate::authenticate::SignatureClaim;
use crate::clock::Moment;
use crate::deployment::random_id;
use crate::records::{Stored, Versioned};
use crate::service::Service;
use crate::snapshot::{KeySnapshot, SigningKeys};

impl Stored for HyokStore {
    const KIND: RecordKind = RecordKind::HyokStore;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        self.name.to_string()
    }

    /// Stores are told apart by whose cloud they are for.
    fn scope(&self) -> &str {
        self.cloud.as_str()
    }
}

impl Stored for HyokPath {
    const KIND: RecordKind = RecordKind::HyokPath;

    /// Paths belong to the deployment: that is what makes each of them one store's alone.
    fn account(&self) -> AccountId {
        AccountId::DEPLOYMENT
    }

    fn id(&self) -> String {
        self.path.to_string()
    }
}

/// A store as it was at one version of its record.
pub(crate) struct HyokSnapshot {
    pub(crate) store: HyokStore,
    pub(crate) policy: Arc<Policy>,
    identity: Arc<Identity>,
    credentials: Vec<(AccessKeyId, SigningKeys)>,
}

impl HyokSnapshot {
    pub(crate) fn open(store: HyokStore, policy: Arc<Policy>, keys: &Versions, hsm: &Hsm) -> Result<Self, Refusal> {
        let mut credentials = Vec::with_capacity(store.credentials.len());
        for credential in &store.credentials {
            let key = account_key(keys, credential)?;
            let secret = hsm.open_store_secret(key, &store.name, &credential.access_key, &credential.sealed_secret)?;
            credentials.push((credential.access_key.clone(), SigningKeys::new(secret)));
        }
        Ok(Self { identity: Arc::new(store.identity()), store, policy, credentials })
    }

    /// Who asks through it.
    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// Whether this is one of its credentials.
    pub(crate) fn knows(&self, access_key: &AccessKeyId) -> bool {
        self.credentials.iter().any(|(known, _)| known == access_key)
    }
}

fn account_key<'k>(keys: &'k Versions, credential: &StoreCredential) -> Result<&'k claviger_hsm::AccountKey, Refusal> {
    keys.version(credential.account_key_version).ok_or_else(|| {
        Refusal::internal("The credential of a key store cannot be opened. Ask the operator to run 'claviger doctor'.")
    })
}

/// The key that a request to a store is about.
pub struct ExternalTarget {
    pub(crate) store: Arc<HyokSnapshot>,
    pub(crate) key: Arc<KeySnapshot>,
    /// The ARN by which policies name the key behind the store.
    pub(crate) arn: String,
}

/// The store that is found at a path. Whether a request to it is the cloud's is not known yet.
pub struct FoundStore {
    snapshot: Arc<HyokSnapshot>,
    known: Moment,
}

impl Service {
    /// The store at a path.
    ///
    /// # Errors
    /// `InvalidUriPath` where there is none.
    pub async fn find_store(&self, path: &str) -> Result<FoundStore, Refusal> {
        let known = self.confirm_freshness_or_grace().await?;
        let Ok(path) = path.parse::<StorePath>() else { return Err(no_such_path()) };
        let Some(at) = self.hyok_path(&path).await? else { return Err(no_such_path()) };
        let snapshot = self.hyok_store(at.account, &at.store).await?.ok_or_else(no_such_path)?;
        Ok(FoundStore { snapshot, known })
    }

    /// Finds out whether a request comes from the cloud that a store is for. `client` is the certificate that it has shown, if it has.
    ///
    /// # Errors
    /// `UnknownCredential` when the access key is none of the store's, or the client's certificate is none that the store accepts;
    /// `WrongSignature` when the signature is not its. The caller of this function has to put the refusal into the audit log.
    pub fn authenticate_store(
        &self,
        store: &FoundStore,
        claim: &SignatureClaim<'_>,
        client: Option<&dyn ClientCertificate>,
        request: Request,
    ) -> Result<Caller, Refusal> {
        let snapshot = &store.snapshot;
        if snapshot.store.wants_certificate() && !client.is_some_and(|client| fits(client, &snapshot.store)) {
            let detail = "This key store is for clients whose TLS certificate has another subject or another authority than this \
                          connection's, if it has one.";
            return Err(Refusal::new(Kind::UnknownCredential, detail));
        }
        let known = snapshot.credentials.iter().find(|(access_key, _)| access_key.as_str() == claim.access_key);
        let Some((access_key, signing_keys)) = known.filter(|_| claim.session_token.is_none()) else {
            return Err(Refusal::new(Kind::UnknownCredential, "The access key id is none of this key store's."));
        };
        let signing_key = signing_keys.of_scope(claim.date, claim.region, claim.service)?;
        if !signing_key.verify(claim.string_to_sign, claim.signature) {
            return Err(Refusal::new(Kind::WrongSignature, "The signature is not that of this key store's credential."));
        }
        self.store_meters.know(&snapshot.store);
        let identity = Arc::clone(&snapshot.identity);
        let (forwarding, grant_tokens, known_at_ms) = (None, Vec::new(), Some(store.known.ms()));
        Ok(Caller { identity, access_key: access_key.clone(), forwarding, request, grant_tokens, known_at_ms })
    }

    /// The store that asks, as it is now.
    pub(crate) async fn asking_store(&self, caller: &Caller) -> Result<Arc<HyokSnapshot>, Refusal> {
        let Principal::Store(name) = &caller.identity.principal else {
            return Err(Refusal::new(Kind::AccessDenied, "Only a hold-your-own-key store may ask for this."));
        };
        let found = self.hyok_store(caller.identity.account, name).await?;
        // One of the same name that was made meanwhile is somebody else.
        let same = found.filter(|snapshot| snapshot.identity.unique_id == caller.identity.unique_id);
        same.ok_or_else(no_such_path)
    }

    /// The key behind the store that asks.
    pub(crate) async fn external_key(&self, caller: &Caller, id: &ExternalKeyId) -> Result<ExternalTarget, Refusal> {
        let store = self.asking_store(caller).await?;
        let external = store.store.key(id)?;
        let key = self.key(store.store.account, &external.region, external.key).await?;
        let key = key.ok_or_else(|| Refusal::not_found(format!("The key behind {id} was deleted.")))?;
        Ok(ExternalTarget { arn: store.store.key_arn(id), store, key })
    }

    /// A store with the version of its record, for those who change it.
    pub(crate) async fn existing_hyok_store(
        &self,
        account: AccountId,
        name: &HyokStoreName,
    ) -> Result<Versioned<HyokStore>, Refusal> {
        let store = self.records.get::<HyokStore>(account, name.as_str()).await?;
        store.ok_or_else(|| Refusal::not_found(format!("Account {account} has no key store named {name}.")))
    }

    /// A new credential for a store: what is kept of it, and what the cloud is told.
    pub(crate) async fn new_store_credential(
        &self,
        account: AccountId,
        store: &HyokStoreName,
        path: &StorePath,
        now: Timestamp,
    ) -> Result<(StoreCredential, CredentialFile), Refusal> {
        let versions = self.records.existing_account(account).await?;
        let key = versions.current()?;
        let access_key = random_id(self.hsm(), "XKSA")?;
        let access_key: AccessKeyId = access_key.parse().map_err(|_| Refusal::internal("An access key id could not be made."))?;
        let (secret, sealed_secret) = self.hsm().create_store_secret(key, store, &access_key)?;
        let credential =
            StoreCredential { access_key: access_key.clone(), created: now, account_key_version: key.version(), sealed_secret };
        Ok((credential, CredentialFile { path: path.clone(), access_key, secret }))
    }

    /// What the cloud is told of a credential, once more.
    pub(crate) async fn credential_file(
        &self,
        store: &HyokStore,
        credential: &StoreCredential,
    ) -> Result<CredentialFile, Refusal> {
        let versions = self.records.existing_account(store.account).await?;
        let (key, access_key) = (account_key(&versions, credential)?, credential.access_key.clone());
        let secret = self.hsm().reveal_store_secret(key, &store.name, &access_key, &credential.sealed_secret)?;
        Ok(CredentialFile { path: store.path.clone(), access_key, secret })
    }
}

/// The certificate that a client has shown, whose private key it has proven to have. What else of it was verified, it says itself.
pub trait ClientCertificate: Send + Sync {
    /// The common names of its subject.
    fn subjects(&self) -> &[Box<str>];

    /// Whether it goes back to an authority that the listener accepts.
    fn is_of_listener(&self) -> bool;

    /// Whether it is a client's, is valid now, and goes back to one of these authorities, given as certificates in PEM.
    fn goes_back_to(&self, authorities: &str) -> bool;
}

/// A subject alone proves nothing: whoever has signed the certificate must be one whom the store, or else the listener, believes.
fn fits(client: &dyn ClientCertificate, store: &HyokStore) -> bool {
    let believed = match &store.client_authorities {
        Some(authorities) => client.goes_back_to(authorities),
        None => client.is_of_listener(),
    };
    believed && store.accepts_subjects(client.subjects())
}

/// What AWS's console reads from a file. Source: AWS KMS External Keystore Proxy API Specification, "XKS proxy configuration in AWS KMS
/// console".
pub struct CredentialFile {
    /// The store's path.
    pub path: StorePath,
    /// The public half of the credential.
    pub access_key: AccessKeyId,
    /// Its secret half.
    pub secret: Zeroizing<String>,
}

fn no_such_path() -> Refusal {
    Refusal::new(Kind::InvalidUriPath, "No key store is found at this path.")
}
