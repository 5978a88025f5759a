//! What stands behind a custom key store in these tests: keeps what it encrypts, and remembers what it was asked.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use claviger_domain::key::KeySpec;
use claviger_domain::{Kind, Refusal};
use claviger_service::key_stores::{
    Asked, BackendFuture, Connecting, HealthStatus, KeyStoreBackend, KeyStoreBackends, KeyUse, ManagerHealth, NewRemoteKey,
    OpenKeyStore, RemoteKey,
};
use tokio::sync::Barrier;
use zeroize::Zeroizing;

/// The reference of the key, the associated data, the plaintext.
type Kept = (Vec<u8>, Vec<u8>, Vec<u8>);

#[derive(Default)]
pub(crate) struct Behind {
    /// What was encrypted, by what was answered.
    kept: Mutex<BTreeMap<Vec<u8>, Kept>>,
    /// The references of keys that were destroyed.
    pub(crate) destroyed: Mutex<Vec<Vec<u8>>>,
    /// How many keys were asked for.
    pub(crate) made: Mutex<usize>,
    /// Whether it answers nobody.
    pub(crate) gone: AtomicBool,
    /// While there is one: what was done waits here twice before its answer comes, for somebody who waits as well.
    pub(crate) held: Mutex<Option<Arc<Barrier>>>,
}

impl std::fmt::Debug for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Behind")
    }
}

impl Behind {
    /// The same for both types of store.
    pub(crate) fn both(self: &Arc<Self>) -> KeyStoreBackends {
        KeyStoreBackends { clusters: Arc::clone(self) as _, proxies: Arc::clone(self) as _ }
    }

    /// The plaintexts that it was given to encrypt.
    pub(crate) fn plaintexts(&self) -> Vec<Vec<u8>> {
        self.kept.lock().unwrap().values().map(|(_, _, plaintext)| plaintext.clone()).collect()
    }

    fn answer(&self, reference: &[u8], use_of_key: KeyUse<'_>) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(Refusal::key_unavailable("Nobody answers. Try again shortly."));
        }
        let mut kept = self.kept.lock().unwrap();
        match use_of_key {
            KeyUse::Encrypt { plaintext, associated_data } => {
                // As long as what a token makes: something of its own, an initialization vector, the ciphertext, a tag.
                let mut token = uuid::Uuid::new_v4().as_bytes().to_vec();
                token.resize(16 + 12 + plaintext.len() + 16, 0);
                kept.insert(token.clone(), (reference.to_vec(), associated_data.to_vec(), plaintext.to_vec()));
                Ok(Zeroizing::new(token))
            }
            KeyUse::Decrypt { ciphertext, associated_data } => match kept.get(ciphertext) {
                Some((key, data, plaintext)) if key == reference && data == associated_data => {
                    Ok(Zeroizing::new(plaintext.clone()))
                }
                _ => Err(Refusal::invalid_ciphertext()),
            },
            KeyUse::GenerateMac { message, .. } => Ok(Zeroizing::new([reference, message].concat())),
            KeyUse::VerifyMac { message, code, .. } if code == [reference, message].concat() => Ok(Zeroizing::default()),
            KeyUse::VerifyMac { .. } => Err(Refusal::new(Kind::InvalidMac, "")),
            KeyUse::DecryptWithPrivate { .. } | KeyUse::Sign { .. } | KeyUse::Agree { .. } => {
                Err(Refusal::unsupported("Not here."))
            }
        }
    }
}

fn ready<'a, T: Send + 'a>(value: Result<T, Refusal>) -> BackendFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl KeyStoreBackend for Behind {
    fn check<'a>(&'a self, _store: &'a OpenKeyStore, asked: &'a Asked) -> BackendFuture<'a, ()> {
        assert!(matches!(asked.operation, "CreateCustomKeyStore" | "UpdateCustomKeyStore"), "{asked:?}");
        ready(Ok(()))
    }

    fn connect<'a>(&'a self, store: &'a OpenKeyStore) -> Connecting<'a> {
        assert!(!store.secret.is_empty(), "it gets what opens the store");
        Box::pin(std::future::ready(Ok(())))
    }

    fn create<'a>(&'a self, _store: &'a OpenKeyStore, key: NewRemoteKey<'a>, asked: &'a Asked) -> BackendFuture<'a, RemoteKey> {
        assert_eq!((asked.operation, &asked.key_arn), ("CreateKey", &None));
        *self.made.lock().unwrap() += 1;
        let held = self.held.lock().unwrap().clone();
        let reference = key.existing.map_or_else(|| key.key.uuid().as_bytes().to_vec(), |name| name.as_bytes().to_vec());
        Box::pin(async move {
            if let Some(barrier) = held {
                barrier.wait().await;
                barrier.wait().await;
            }
            Ok(RemoteKey { reference, public_key: Vec::new() })
        })
    }

    fn destroy<'a>(&'a self, _store: &'a OpenKeyStore, reference: &'a [u8]) -> BackendFuture<'a, ()> {
        self.destroyed.lock().unwrap().push(reference.to_vec());
        ready(Ok(()))
    }

    fn perform<'a>(
        &'a self,
        _store: &'a OpenKeyStore,
        reference: &'a [u8],
        _spec: KeySpec,
        use_of_key: KeyUse<'a>,
        asked: &'a Asked,
    ) -> BackendFuture<'a, Zeroizing<Vec<u8>>> {
        assert!(asked.key_arn.is_some() && asked.principal.ends_with(":root"), "{asked:?}");
        let (answer, held) = (self.answer(reference, use_of_key), self.held.lock().unwrap().clone());
        Box::pin(async move {
            if let Some(barrier) = held {
                barrier.wait().await;
                barrier.wait().await;
            }
            answer
        })
    }

    fn health<'a>(&'a self, _store: &'a OpenKeyStore) -> Pin<Box<dyn Future<Output = Vec<ManagerHealth>> + Send + 'a>> {
        let status = if self.gone.load(Ordering::Relaxed) { HealthStatus::Unavailable } else { HealthStatus::Active };
        Box::pin(std::future::ready(vec![ManagerHealth { id: "a token".to_owned(), model: "of a test".to_owned(), status }]))
    }

    fn random<'a>(&'a self, _store: &'a OpenKeyStore, length: usize) -> BackendFuture<'a, Zeroizing<Vec<u8>>> {
        ready(Ok(Zeroizing::new(vec![7; length])))
    }
}
