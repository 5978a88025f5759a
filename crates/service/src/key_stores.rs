//! Custom key stores of an account in a Region: how they are kept, and the seam to what stands behind them.
//!
//! What stands behind a store is reached by a [`KeyStoreConnector`]. There is one implementation, which is honest about having nothing to reach.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use claviger_domain::key_store::{ConnectionError, KeyStore, KeyStoreId, KeyStoreType, KeyStores};
use claviger_domain::{AccountId, Caller, Refusal, Timestamp};
use claviger_store::{Change, RecordKind};

use crate::records::{Stored, Versioned};
use crate::service::Service;

/// Reaches what stands behind custom key stores.
pub trait KeyStoreConnector: fmt::Debug + Send + Sync {
    /// Connects to what stands behind this store. Called again after a restart in the middle of it.
    fn connect<'a>(&'a self, id: &'a KeyStoreId, store: &'a KeyStore) -> Connecting<'a>;
}

/// What comes of connecting a store.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(), ConnectionError>> + Send + 'a>>;

/// A deployment without HSM clusters and without a client for external key store proxies: nothing can be reached.
#[derive(Debug, Clone, Copy)]
pub struct NoBackends;

impl KeyStoreConnector for NoBackends {
    fn connect<'a>(&'a self, _id: &'a KeyStoreId, store: &'a KeyStore) -> Connecting<'a> {
        let error = match store.kind() {
            KeyStoreType::CloudHsm => ConnectionError::ClusterNotFound,
            KeyStoreType::External => ConnectionError::ProxyNotReachable,
        };
        Box::pin(std::future::ready(Err(error)))
    }
}

/// What is said where a store is connected and nothing is there to use it with.
pub(crate) fn no_backend() -> Refusal {
    Refusal::unsupported("This deployment has nothing to use custom key stores with.")
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
}

impl Service {
    /// The custom key stores of the caller's account in the request's Region.
    pub(crate) async fn key_stores(&self, caller: &Caller) -> Result<Kept, Refusal> {
        let (account, region) = (caller.identity.account, &caller.request.region);
        Ok(match self.records.get::<KeyStores>(account, region.as_str()).await? {
            Some(Versioned { value, version }) => Kept { stores: value, version: Some(version) },
            None => Kept { stores: KeyStores::none(account, region.clone()), version: None },
        })
    }
}
