//! Clusters of tokens as the home of keys: what stands behind custom key stores of the type AWS_CLOUDHSM.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use claviger_domain::key::KeySpec;
use claviger_domain::key_store::{Backing, Cluster, ConnectionError};
use claviger_domain::{Kind, Refusal};
use claviger_service::key_stores::{
    Asked, BackendFuture, Connecting, KeyStoreBackend, KeyUse, ManagerHealth, NewRemoteKey, OpenKeyStore, RemoteKey,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::OpenTokens;
use super::message_counts::MessageCounts;
use super::pool::Pool;
use crate::config::{ClusterConfig, Config};
use crate::problem::Problem;
use crate::server::tls::read_certificates;

/// The clusters of a configuration.
#[derive(Default)]
pub struct TokenClusters(BTreeMap<String, ConfiguredCluster>);

struct ConfiguredCluster {
    config: ClusterConfig,
    /// The certificate that a store has to name as its trust anchor.
    trust_anchor: Option<CertificateDer<'static>>,
    pool: Arc<Pool>,
}

impl TokenClusters {
    /// The clusters, on top of tokens that are kept open.
    ///
    /// # Errors
    /// A certificate cannot be read.
    pub fn of(config: &Config, tokens: &OpenTokens, counts: MessageCounts) -> Result<Self, Problem> {
        let counts = Arc::new(counts);
        let mut clusters = BTreeMap::new();
        for (id, cluster) in &config.clusters {
            let trust_anchor = match &cluster.trust_anchor {
                Some(path) => read_certificates(path)?.into_iter().next(),
                None => None,
            };
            let members = cluster.tokens.iter().filter_map(|name| tokens.get(name).cloned()).collect();
            let pool = Pool::new(id.as_str(), members, cluster.copies_min, cluster.wrapping_key.clone(), Arc::clone(&counts));
            clusters.insert(id.as_str().to_owned(), ConfiguredCluster { config: cluster.clone(), trust_anchor, pool });
        }
        Ok(Self(clusters))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The cluster of a store, if the configuration has it for the store's account. Whose it is otherwise is nobody's business.
    fn of_store<'a, 'b>(&'a self, store: &'b OpenKeyStore) -> Option<(&'a ConfiguredCluster, &'b Cluster)> {
        let Backing::CloudHsm(cluster) = &store.store.backing else { return None };
        let configured = self.0.get(&cluster.id)?;
        let allowed = configured.config.accounts.as_ref().is_none_or(|accounts| accounts.contains(&store.account));
        allowed.then_some((configured, cluster))
    }

    fn pool(&self, store: &OpenKeyStore) -> Result<&Arc<Pool>, Refusal> {
        let gone =
            || Refusal::key_unavailable("The cluster of this custom key store is not in the server's configuration any more.");
        self.of_store(store).map(|(configured, _)| &configured.pool).ok_or_else(gone)
    }
}

impl std::fmt::Debug for TokenClusters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl KeyStoreBackend for TokenClusters {
    fn check<'a>(&'a self, store: &'a OpenKeyStore, _asked: &'a Asked) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            let Some((configured, cluster)) = self.of_store(store) else {
                let id = match &store.store.backing {
                    Backing::CloudHsm(cluster) => cluster.id.as_str(),
                    Backing::External(_) => "",
                };
                return Err(Refusal::new(Kind::ClusterNotFound, format!("There is no cluster {id} for this account.")));
            };
            let given = CertificateDer::from_pem_slice(cluster.trust_anchor.as_bytes()).ok();
            if configured.trust_anchor.is_some() && given != configured.trust_anchor {
                let detail = "The trust anchor certificate is not the one of the cluster.";
                return Err(Refusal::new(Kind::IncorrectTrustAnchor, detail));
            }
            Ok(())
        })
    }

    fn connect<'a>(&'a self, store: &'a OpenKeyStore) -> Connecting<'a> {
        Box::pin(async move {
            let (configured, cluster) = self.of_store(store).ok_or(ConnectionError::ClusterNotFound)?;
            let setting = format!("[clusters.{}] password", cluster.id);
            let expected = configured.config.password.read_secret("the password of kmsuser", &setting).map_err(|problem| {
                tracing::error!(cluster = %cluster.id, %problem, "a custom key store cannot be connected");
                ConnectionError::InternalError
            })?;
            if aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), &store.secret).is_err() {
                return Err(ConnectionError::InvalidCredentials);
            }
            configured.pool.connect().await
        })
    }

    fn create<'a>(&'a self, store: &'a OpenKeyStore, key: NewRemoteKey<'a>, _asked: &'a Asked) -> BackendFuture<'a, RemoteKey> {
        Box::pin(async move {
            let pool = self.pool(store)?;
            match key.existing {
                Some(name) => pool.adopt(&key, name).await,
                None => pool.make(&key).await,
            }
        })
    }

    fn destroy<'a>(&'a self, store: &'a OpenKeyStore, reference: &'a [u8]) -> BackendFuture<'a, ()> {
        Box::pin(async move { self.pool(store)?.destroy(reference).await })
    }

    fn perform<'a>(
        &'a self,
        store: &'a OpenKeyStore,
        reference: &'a [u8],
        _spec: KeySpec,
        use_of_key: KeyUse<'a>,
        _asked: &'a Asked,
    ) -> BackendFuture<'a, Zeroizing<Vec<u8>>> {
        Box::pin(async move { self.pool(store)?.perform(reference, use_of_key).await })
    }

    fn health<'a>(&'a self, store: &'a OpenKeyStore) -> Pin<Box<dyn Future<Output = Vec<ManagerHealth>> + Send + 'a>> {
        Box::pin(async move {
            match self.pool(store) {
                Ok(pool) => pool.health().await,
                Err(_) => Vec::new(),
            }
        })
    }

    fn random<'a>(&'a self, store: &'a OpenKeyStore, length: usize) -> BackendFuture<'a, Zeroizing<Vec<u8>>> {
        Box::pin(async move { self.pool(store)?.random(length).await })
    }
}
