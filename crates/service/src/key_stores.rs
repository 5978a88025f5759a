//! Custom key stores of an account in a Region: how they are kept, and the seam to what stands behind them.
//!
//! What stands behind a store is reached by a [`KeyStoreBackend`], one for each type of store. The service knows nothing of how.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use claviger_domain::key::{EncryptionAlgorithm, Home, Key, KeySpec, KeyUsage, MacAlgorithm, MessageType, SigningAlgorithm};
use claviger_domain::key_store::{Backing, ConnectionError, ConnectionState, KeyStore, KeyStoreId, KeyStoreType, KeyStores};
use claviger_domain::{AccountId, Caller, KeyId, Refusal, Region, Timestamp};
use claviger_store::{Change, RecordKey, RecordKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use crate::hyok_health::{HealthStatus, ManagerHealth};
use crate::operation::Event;
use crate::records::{Stored, Versioned, store_refusal};
use crate::service::Service;
use crate::snapshot::KeySnapshot;

/// A custom key store with what opens it.
pub struct OpenKeyStore {
    /// Whose it is.
    pub account: AccountId,
    /// Its Region.
    pub region: Region,
    /// Its id.
    pub id: KeyStoreId,
    /// What is kept of it.
    pub store: KeyStore,
    /// The password of a cluster's user, or the secret half of a proxy's credential.
    pub secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for OpenKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenKeyStore").field("account", &self.account).field("id", &self.id).finish_non_exhaustive()
    }
}

/// A key that is to be in a custom key store.
#[derive(Debug, Clone, Copy)]
pub struct NewRemoteKey<'a> {
    /// The key that will stand for it.
    pub key: KeyId,
    /// What kind of material.
    pub spec: KeySpec,
    /// What it may be used for.
    pub usage: KeyUsage,
    /// What is there already and is to be it: the id of an external key; the label or id of an object in a token. None for a new one.
    pub existing: Option<&'a str>,
}

/// For whom and why a key store is asked. What external key store proxies are told of a request; never decided upon here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The ARN of the principal, or the name of the service that asks for itself.
    pub principal: String,
    /// The operation that was asked for: `GenerateDataKey`.
    pub operation: &'static str,
    /// The id of the request, which the audit entry carries too.
    pub request_id: Uuid,
    /// The key's ARN, where there is a key yet.
    pub key_arn: Option<String>,
    /// The service on whose way the request came.
    pub via_service: Option<String>,
}

impl Asked {
    /// By this caller, with this operation, about this key.
    pub(crate) fn by(caller: &Caller, operation: &'static str, key_arn: Option<&str>) -> Self {
        Self {
            principal: caller.identity.arn.clone(),
            operation,
            request_id: caller.request.id,
            key_arn: key_arn.map(str::to_owned),
            via_service: caller.via().map(ToString::to_string),
        }
    }
}

/// A key in a custom key store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteKey {
    /// What the backend finds it by, and knows again that it is the same. At most some hundred bytes.
    pub reference: Vec<u8>,
    /// Its public half: SubjectPublicKeyInfo in DER. Empty where it has none.
    pub public_key: Vec<u8>,
}

/// What is done with a key in a custom key store.
#[derive(Clone, Copy)]
pub enum KeyUse<'a> {
    /// Encrypts under a symmetric key. Answers whatever the same backend decrypts.
    Encrypt {
        /// What to encrypt, at most 4,300 bytes.
        plaintext: &'a [u8],
        /// What the ciphertext is bound to.
        associated_data: &'a [u8],
    },
    /// Decrypts under a symmetric key. `InvalidCiphertext` for whatever does not open.
    Decrypt {
        /// What Encrypt answered, perhaps: it comes from anybody.
        ciphertext: &'a [u8],
        /// What it is bound to.
        associated_data: &'a [u8],
    },
    /// Decrypts what was encrypted with the public half. `InvalidCiphertext` for whatever does not open.
    DecryptWithPrivate {
        /// How it was encrypted.
        algorithm: EncryptionAlgorithm,
        /// The ciphertext.
        ciphertext: &'a [u8],
    },
    /// Signs. Answers the signature as Sign does.
    Sign {
        /// How.
        algorithm: SigningAlgorithm,
        /// What the message is; its length fits.
        message_type: MessageType,
        /// The message or its digest.
        message: &'a [u8],
    },
    /// Makes a code.
    GenerateMac {
        /// How.
        algorithm: MacAlgorithm,
        /// What it is made over.
        message: &'a [u8],
    },
    /// Checks a code: an empty answer, or `InvalidMac`.
    VerifyMac {
        /// How it was made.
        algorithm: MacAlgorithm,
        /// What it was made over.
        message: &'a [u8],
        /// The code.
        code: &'a [u8],
    },
    /// Agrees on a secret: the x-coordinate of the shared point. `Invalid` for a peer that is not on the same curve.
    Agree {
        /// The other side's public key: SubjectPublicKeyInfo in DER.
        peer: &'a [u8],
    },
}

/// What a backend answers, later.
pub type BackendFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// What comes of connecting a store.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(), ConnectionError>> + Send + 'a>>;

/// Reaches what stands behind the custom key stores of one type, and uses the keys there. Each call ends within a time that the backend sets.
pub trait KeyStoreBackend: fmt::Debug + Send + Sync {
    /// Checks a store before it is made or changed, as far as its type demands that.
    fn check<'a>(&'a self, store: &'a OpenKeyStore, asked: &'a Asked) -> BackendFuture<'a, ()>;

    /// Connects to what stands behind this store. Called again after a restart in the middle of it.
    fn connect<'a>(&'a self, store: &'a OpenKeyStore) -> Connecting<'a>;

    /// Makes a key, or finds the one that is there already, and says what it is known by.
    fn create<'a>(&'a self, store: &'a OpenKeyStore, key: NewRemoteKey<'a>, asked: &'a Asked) -> BackendFuture<'a, RemoteKey>;

    /// Destroys a key that [`KeyStoreBackend::create`] made. What was there before stays.
    fn destroy<'a>(&'a self, store: &'a OpenKeyStore, reference: &'a [u8]) -> BackendFuture<'a, ()>;

    /// Uses a key.
    fn perform<'a>(
        &'a self,
        store: &'a OpenKeyStore,
        reference: &'a [u8],
        spec: KeySpec,
        use_of_key: KeyUse<'a>,
        asked: &'a Asked,
    ) -> BackendFuture<'a, Zeroizing<Vec<u8>>>;

    /// How the parts of what stands behind a store are, soon and without a look at anybody's keys; nothing, where that cannot be told.
    fn health<'a>(&'a self, store: &'a OpenKeyStore) -> Pin<Box<dyn Future<Output = Vec<ManagerHealth>> + Send + 'a>>;

    /// Random bytes from there.
    fn random<'a>(&'a self, store: &'a OpenKeyStore, length: usize) -> BackendFuture<'a, Zeroizing<Vec<u8>>>;
}

/// The backends of a deployment.
#[derive(Debug, Clone)]
pub struct KeyStoreBackends {
    /// For stores of type AWS_CLOUDHSM.
    pub clusters: Arc<dyn KeyStoreBackend>,
    /// For stores of type EXTERNAL_KEY_STORE.
    pub proxies: Arc<dyn KeyStoreBackend>,
}

impl Default for KeyStoreBackends {
    fn default() -> Self {
        Self { clusters: Arc::new(NoBackend), proxies: Arc::new(NoBackend) }
    }
}

impl KeyStoreBackends {
    /// The backend of a store.
    pub(crate) fn of(&self, store: &KeyStore) -> &dyn KeyStoreBackend {
        match store.kind() {
            KeyStoreType::CloudHsm => &*self.clusters,
            KeyStoreType::External => &*self.proxies,
        }
    }
}

/// A deployment without HSM clusters, or without a client for external key store proxies: nothing can be reached.
#[derive(Debug, Clone, Copy)]
pub struct NoBackend;

impl NoBackend {
    fn refuse<'a, T: Send + 'a>() -> BackendFuture<'a, T> {
        let refusal = Refusal::unsupported("This deployment has nothing to use such custom key stores with.");
        Box::pin(std::future::ready(Err(refusal)))
    }
}

impl KeyStoreBackend for NoBackend {
    fn check<'a>(&'a self, _store: &'a OpenKeyStore, _asked: &'a Asked) -> BackendFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn connect<'a>(&'a self, store: &'a OpenKeyStore) -> Connecting<'a> {
        let error = match store.store.kind() {
            KeyStoreType::CloudHsm => ConnectionError::ClusterNotFound,
            KeyStoreType::External => ConnectionError::ProxyNotReachable,
        };
        Box::pin(std::future::ready(Err(error)))
    }

    fn create<'a>(&'a self, _store: &'a OpenKeyStore, _key: NewRemoteKey<'a>, _asked: &'a Asked) -> BackendFuture<'a, RemoteKey> {
        Self::refuse()
    }

    fn destroy<'a>(&'a self, _store: &'a OpenKeyStore, _reference: &'a [u8]) -> BackendFuture<'a, ()> {
        Self::refuse()
    }

    fn perform<'a>(
        &'a self,
        _store: &'a OpenKeyStore,
        _reference: &'a [u8],
        _spec: KeySpec,
        _use_of_key: KeyUse<'a>,
        _asked: &'a Asked,
    ) -> BackendFuture<'a, Zeroizing<Vec<u8>>> {
        Self::refuse()
    }

    fn health<'a>(&'a self, _store: &'a OpenKeyStore) -> Pin<Box<dyn Future<Output = Vec<ManagerHealth>> + Send + 'a>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn random<'a>(&'a self, _store: &'a OpenKeyStore, _length: usize) -> BackendFuture<'a, Zeroizing<Vec<u8>>> {
        Self::refuse()
    }
}

impl Stored for KeyStores {
    const KIND: RecordKind = RecordKind::CustomKeyStores;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        self.region.to_string()
    }

    fn scope(&self) -> &str {
        self.region.as_str()
    }

    fn due(&self) -> Option<Timestamp> {
        KeyStores::due(self)
    }
}

/// Which key stands for a key in a custom key store. It is made and destroyed in the commits that make and destroy the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyStoreKey {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) store: KeyStoreId,
    /// The id of the key in an external key manager; that of the key itself in a cluster.
    pub(crate) name: String,
    pub(crate) key: KeyId,
}

impl KeyStoreKey {
    /// The one of this key, which lives there.
    pub(crate) fn of(key: &Key, home: &Home) -> Self {
        Self {
            account: key.account,
            region: key.region.clone(),
            store: home.store.clone(),
            name: home.xks_key.clone().unwrap_or_else(|| key.id.to_string()),
            key: key.id,
        }
    }
}

impl Stored for KeyStoreKey {
    const KIND: RecordKind = RecordKind::KeyStoreKey;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        format!("{}/{}/{}", self.region, self.store, self.name)
    }

    fn scope(&self) -> &str {
        self.store.as_str()
    }
}

/// A key that was made in a custom key store, and that no record names yet.
pub(crate) struct MadeElsewhere {
    pub(crate) key: KeyId,
    pub(crate) store: OpenKeyStore,
    pub(crate) reference: Vec<u8>,
}

/// The stores as they were read, to be changed and written back.
pub(crate) struct Kept {
    pub(crate) stores: KeyStores,
    /// None when there is no record yet.
    version: Option<u64>,
}

impl Kept {
    /// The change that writes them back.
    pub(crate) async fn change(&self, service: &Service) -> Result<Change, Refusal> {
        match self.version {
            Some(version) => service.records.update(&self.stores, version).await,
            None => service.records.create(&self.stores).await,
        }
    }

    /// What makes a commit fail when the stores have changed meanwhile.
    pub(crate) fn unchanged(&self) -> Option<Change> {
        let (account, id) = (self.stores.account, Stored::id(&self.stores));
        self.version.map(|version| Change::Check { key: RecordKey { account, kind: RecordKind::CustomKeyStores, id }, version })
    }
}

/// The custom key stores of an account in a Region, with what opens them.
pub(crate) type OpenKeyStores = BTreeMap<KeyStoreId, Arc<OpenKeyStore>>;

impl Service {
    /// The custom key stores of the caller's account in the request's Region.
    pub(crate) async fn key_stores(&self, caller: &Caller) -> Result<Kept, Refusal> {
        let (account, region) = (caller.identity.account, &caller.request.region);
        Ok(match self.records.get::<KeyStores>(account, region.as_str()).await? {
            Some(Versioned { value, version }) => Kept { stores: value, version: Some(version) },
            None => Kept { stores: KeyStores::none(account, region.clone()), version: None },
        })
    }

    /// A store with its secret opened.
    pub(crate) async fn open_key_store(
        &self,
        account: AccountId,
        region: &Region,
        id: &KeyStoreId,
        store: &KeyStore,
    ) -> Result<OpenKeyStore, Refusal> {
        let sealed = match &store.backing {
            Backing::CloudHsm(cluster) => &cluster.password,
            Backing::External(proxy) => &proxy.secret,
        };
        let versions = self.records.existing_account(account).await?;
        let unreadable = || {
            Refusal::internal(
                "The secret of a custom key store cannot be opened. Ask the operator to run 'claviger store verify'.",
            )
        };
        let key = versions.version(sealed.account_key_version).ok_or_else(unreadable)?;
        let secret = self.hsm().open_key_store_secret(key, id, sealed)?;
        Ok(OpenKeyStore { account, region: region.clone(), id: id.clone(), store: store.clone(), secret })
    }

    /// Takes away what was made for a key that there will not be. What cannot be taken away is found by `claviger doctor`.
    pub(crate) async fn take_away(&self, made: MadeElsewhere) {
        let MadeElsewhere { key, store, reference } = made;
        if let Err(refusal) = self.key_store_backends.of(&store.store).destroy(&store, &reference).await {
            let store = store.id.as_str();
            tracing::warn!(%key, store, %refusal, "what was made in a custom key store for a key that was not created stays there; remove it");
        }
    }

    /// Asks the backend whether this store would do.
    pub(crate) async fn check_key_store(
        &self,
        caller: &Caller,
        id: &KeyStoreId,
        store: &KeyStore,
        event: Event,
    ) -> Result<(), Refusal> {
        let opened = self.open_key_store(caller.identity.account, &caller.request.region, id, store).await?;
        self.key_store_backends.of(store).check(&opened, &Asked::by(caller, event.name, None)).await
    }

    /// The store that a key lives in, as long as it is connected; none for a key whose material is here.
    ///
    /// # Errors
    /// `InvalidState` when it is not connected: the key is unavailable.
    pub(crate) async fn home_of(&self, snapshot: &KeySnapshot) -> Result<Option<Arc<OpenKeyStore>>, Refusal> {
        let Some(home) = &snapshot.key.home else { return Ok(None) };
        let store = self.key_store_of(&snapshot.key, home).await?;
        if store.store.state == ConnectionState::Connected {
            return Ok(Some(store));
        }
        Err(Refusal::invalid_state(match store.store.kind() {
            KeyStoreType::CloudHsm => format!("{} is unavailable.", snapshot.arn),
            // The XKS proxy API specification, "Error codes", prescribes the text.
            KeyStoreType::External => {
                "This KMS key is in a custom key store that is not connected to its external key store proxy. Connect the \
                                       external key store and try the request again."
                    .to_owned()
            }
        }))
    }

    /// Whether the key's material cannot be reached now, because its store is not connected.
    pub(crate) async fn is_unavailable(&self, key: &Key) -> Result<bool, Refusal> {
        let Some(home) = &key.home else { return Ok(false) };
        Ok(self.key_store_of(key, home).await?.store.state != ConnectionState::Connected)
    }

    /// The store that the key lives in, whatever its state.
    pub(crate) async fn key_store_of(&self, key: &Key, home: &Home) -> Result<Arc<OpenKeyStore>, Refusal> {
        let stores = self.open_key_stores(key.account, &key.region).await?;
        // A store with keys is not deleted, so this is never missing.
        let missing = || Refusal::internal(format!("The custom key store {} of key {} is not there.", home.store, key.arn()));
        stores.get(&home.store).cloned().ok_or_else(missing)
    }

    /// How many keys a store holds.
    pub(crate) async fn keys_in_store(&self, account: AccountId, store: &KeyStoreId) -> Result<u64, Refusal> {
        self.records.store.count_in_scope(RecordKind::KeyStoreKey, account, store.as_str()).await.map_err(store_refusal)
    }
}
