//! External key stores: the client of other people's XKS proxies. What AWS KMS is to a proxy, this is to one.
//!
//! It is a backend of the service: [`XksBackend`] implements [`KeyStoreBackend`] for custom key stores of type EXTERNAL_KEY_STORE. Each call is one
//! signed request over TLS, with 250 ms for everything and one retry (`client.rs`). What the proxy answers becomes the body of a ciphertext
//! (`body.rs`), and what it refuses becomes one of the texts that the specification prescribes (`failure.rs`).
//!
//! Start reading at [`XksBackend`], then `client.rs`.
//!
//! What this crate is not: it makes no decision about who may do what, and holds no key material; what it sends to be encrypted has been encrypted
//! before.
//!
//! Source: AWS KMS External Key Store (XKS) Proxy API Specification; AWS KMS Developer Guide, "External key stores".

mod body;
mod client;
mod failure;
mod health;
mod messages;
mod places;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use claviger_domain::key::KeySpec;
use claviger_domain::key_store::{Backing, ConnectionError, Connectivity, Proxy};
use claviger_domain::{Kind, Refusal};
use claviger_service::key_stores::{
    Asked, BackendFuture, Connecting, KeyStoreBackend, KeyUse, ManagerHealth, NewRemoteKey, OpenKeyStore, RemoteKey,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::body::Body;
use crate::client::{Client, Target};
use crate::failure::Failure;
use crate::messages::{Decrypted, DecryptionRequest, Encrypted, EncryptionRequest, KeyMetadata, MetadataRequest};

/// How proxies are reached.
#[derive(Debug, Clone)]
pub struct XksSettings {
    /// Whom to trust, and what to show to proxies that want to know who calls.
    pub tls: Arc<rustls::ClientConfig>,
    /// Where hosts are to be found that are not at their name's address, or not at port 443.
    pub addresses: BTreeMap<String, SocketAddr>,
    /// Patterns of hosts, one of which a proxy has to have, as [`subject_matches`](claviger_domain::hyok::subject_matches) reads them; without any, all do.
    pub hosts: Vec<String>,
    /// How long a proxy may take for one answer, connection included.
    pub timeout: Duration,
}

impl XksSettings {
    /// What the specification gives a proxy.
    pub const TIMEOUT: Duration = Duration::from_millis(250);
}

/// The backend for custom key stores of type EXTERNAL_KEY_STORE.
#[derive(Debug)]
pub struct XksBackend {
    client: Arc<Client>,
    watch: Arc<health::Watch>,
}

impl XksBackend {
    /// A backend that reaches proxies in this way.
    pub fn new(settings: XksSettings) -> Self {
        Self { client: Arc::new(Client::new(settings)), watch: Arc::default() }
    }

    /// Asks the proxy how it is. All external key managers being unavailable is no good health.
    async fn health(&self, store: &OpenKeyStore, asked: &Asked) -> Result<(), Failure> {
        let target = Target::of(store, proxy_of(store).ok_or(Failure::Malformed)?);
        health::ask(&self.client, &target, asked).await
    }

    async fn metadata(&self, store: &OpenKeyStore, key: &str, asked: &Asked) -> Result<KeyMetadata, Failure> {
        let target = Target::of(store, proxy_of(store).ok_or(Failure::Malformed)?);
        self.client.call(&target, &format!("/keys/{key}/metadata"), &MetadataRequest::new(asked)).await
    }

    async fn encrypt(
        &self,
        target: &Target<'_>,
        key: &str,
        plaintext: &[u8],
        data: &[u8],
        asked: &Asked,
    ) -> Result<Vec<u8>, Failure> {
        let request = EncryptionRequest::new(plaintext, data, asked);
        let answer: Encrypted = self.client.call(target, &format!("/keys/{key}/encrypt"), &request).await?;
        let body = Body::of(answer, plaintext.len(), data).ok_or(Failure::Malformed)?;
        Ok(body.encode())
    }

    async fn decrypt(
        &self,
        target: &Target<'_>,
        key: &str,
        body: &Body,
        data: &[u8],
        asked: &Asked,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let request = DecryptionRequest::new(body, data, asked);
        let answer: Decrypted = self.client.call(target, &format!("/keys/{key}/decrypt"), &request).await?;
        let plaintext = answer.plaintext().ok_or(Failure::Malformed)?;
        if plaintext.len() == body.ciphertext.len() { Ok(plaintext) } else { Err(Failure::Malformed) }
    }

    async fn use_key(
        &self,
        store: &OpenKeyStore,
        reference: &[u8],
        use_of_key: KeyUse<'_>,
        asked: &Asked,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let key = std::str::from_utf8(reference).map_err(|_| Refusal::internal("An external key's id is not text."))?;
        let proxy = proxy_of(store).ok_or_else(not_external)?;
        let target = Target::of(store, proxy);
        self.watch.used(&self.client, store, proxy);
        let done = match use_of_key {
            KeyUse::Encrypt { plaintext, associated_data } => {
                self.encrypt(&target, key, plaintext, associated_data, asked).await.map(Zeroizing::new)
            }
            KeyUse::Decrypt { ciphertext, associated_data } => {
                let body = Body::decode(ciphertext).ok_or_else(Refusal::invalid_ciphertext)?;
                self.decrypt(&target, key, &body, associated_data, asked).await
            }
            _ => return Err(Refusal::unsupported("External key stores hold symmetric encryption keys only.")),
        };
        done.map_err(|failure| failure.of_use(&store.id, asked))
    }

    async fn find(&self, store: &OpenKeyStore, key: NewRemoteKey<'_>, asked: &Asked) -> Result<RemoteKey, Refusal> {
        if key.spec != KeySpec::SymmetricDefault {
            return Err(Refusal::unsupported("External key stores hold symmetric encryption keys only."));
        }
        let name = key.existing.ok_or_else(|| Refusal::invalid("XksKeyId is required for keys of origin EXTERNAL_KEY_STORE."))?;
        let found = self.metadata(store, name, asked).await.map_err(|failure| failure.of_creation(&store.id, asked))?;
        if let Some(fault) = found.fault() {
            return Err(Refusal::new(Kind::XksKeyInvalidConfiguration, fault));
        }
        Ok(RemoteKey { reference: name.as_bytes().to_vec(), public_key: Vec::new() })
    }
}

impl KeyStoreBackend for XksBackend {
    /// A proxy at a public address has to answer before there is a store; one behind a VPC endpoint service is asked when the store is connected, as
    /// in AWS.
    fn check<'a>(&'a self, store: &'a OpenKeyStore, asked: &'a Asked) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            let proxy = proxy_of(store).ok_or_else(not_external)?;
            if proxy.connectivity != Connectivity::Public {
                return Ok(());
            }
            self.health(store, asked).await.map_err(|failure| failure.of_management(&store.id, asked))
        })
    }

    fn connect<'a>(&'a self, store: &'a OpenKeyStore) -> Connecting<'a> {
        Box::pin(async move {
            let proxy = proxy_of(store).ok_or(ConnectionError::InternalError)?;
            let asked = Asked {
                principal: "AWS Internal".to_owned(),
                operation: "ConnectCustomKeyStore",
                request_id: Uuid::new_v4(),
                key_arn: None,
                via_service: None,
            };
            self.health(store, &asked).await.map_err(|failure| failure.of_connection(&store.id))?;
            self.watch.used(&self.client, store, proxy);
            Ok(())
        })
    }

    fn create<'a>(&'a self, store: &'a OpenKeyStore, key: NewRemoteKey<'a>, asked: &'a Asked) -> BackendFuture<'a, RemoteKey> {
        Box::pin(self.find(store, key, asked))
    }

    /// The external key is somebody else's.
    fn destroy<'a>(&'a self, _store: &'a OpenKeyStore, _reference: &'a [u8]) -> BackendFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn perform<'a>(
        &'a self,
        store: &'a OpenKeyStore,
        reference: &'a [u8],
        _spec: KeySpec,
        use_of_key: KeyUse<'a>,
        asked: &'a Asked,
    ) -> BackendFuture<'a, Zeroizing<Vec<u8>>> {
        Box::pin(self.use_key(store, reference, use_of_key, asked))
    }

    /// A key behind a proxy stands behind no hold-your-own-key store, so that nobody asks.
    fn health<'a>(&'a self, _store: &'a OpenKeyStore) -> Pin<Box<dyn Future<Output = Vec<ManagerHealth>> + Send + 'a>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn random<'a>(&'a self, _store: &'a OpenKeyStore, _length: usize) -> BackendFuture<'a, Zeroizing<Vec<u8>>> {
        Box::pin(std::future::ready(Err(Refusal::unsupported("External key stores make no random bytes."))))
    }
}

/// The proxy behind a store; none behind a cluster.
fn proxy_of(store: &OpenKeyStore) -> Option<&Proxy> {
    match &store.store.backing {
        Backing::External(proxy) => Some(proxy),
        Backing::CloudHsm(_) => None,
    }
}

fn not_external() -> Refusal {
    Refusal::internal("A custom key store of another type was given to the client of external key store proxies.")
}
