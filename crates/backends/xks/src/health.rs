//! How proxies are, asked once a minute of each that somebody uses. Source: XKS Proxy API Specification, "GetHealthStatus".

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_domain::key_store::{KeyStoreId, Proxy};
use claviger_service::key_stores::{Asked, OpenKeyStore};
use parking_lot::Mutex;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::client::{Client, Target};
use crate::failure::Failure;
use crate::messages::{Health, HealthRequest};

/// How often a proxy is asked.
const PERIOD: Duration = Duration::from_secs(60);
/// For how long after its last use.
const WATCHED: Duration = Duration::from_secs(300);

/// Asks a proxy how it is.
pub(crate) async fn ask(client: &Client, target: &Target<'_>, asked: &Asked) -> Result<(), Failure> {
    let health: Health = client.call(target, "/health", &HealthRequest::new(asked)).await?;
    match (health.is_well_formed(), health.is_available()) {
        (false, _) => Err(Failure::Malformed),
        (true, false) => Err(Failure::Unhealthy),
        (true, true) => Ok(()),
    }
}

/// The stores whose proxies are watched.
#[derive(Default)]
pub(crate) struct Watch {
    stores: Mutex<HashMap<KeyStoreId, Watched>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

struct Watched {
    last_use: Instant,
    /// A copy, which is renewed when the store is changed.
    store: Arc<OpenKeyStore>,
}

impl Watch {
    /// Somebody uses this store now.
    pub(crate) fn used(self: &Arc<Self>, client: &Arc<Client>, store: &OpenKeyStore, proxy: &Proxy) {
        let now = Instant::now();
        let mut stores = self.stores.lock();
        if let Some(watched) = stores.get_mut(&store.id) {
            watched.last_use = now;
            if watched.store.secret != store.secret || crate::proxy_of(&watched.store) != Some(proxy) {
                watched.store = Arc::new(copy(store));
            }
            return;
        }
        stores.insert(store.id.clone(), Watched { last_use: now, store: Arc::new(copy(store)) });
        drop(stores);
        let (watch, client, id) = (Arc::clone(self), Arc::clone(client), store.id.clone());
        tokio::spawn(async move { watch.run(&client, &id).await });
    }

    async fn run(&self, client: &Client, id: &KeyStoreId) {
        let gauge = metrics::gauge!("claviger_xks_proxy_healthy", "store" => id.to_string());
        gauge.set(1.0);
        let mut was = Ok(());
        loop {
            tokio::time::sleep(PERIOD).await;
            let Some(store) = self.still_watched(id) else { return gauge.set(0.0) };
            let Some(proxy) = crate::proxy_of(&store) else { return };
            let asked = Asked {
                principal: "AWS Internal".to_owned(),
                operation: "KmsHealthCheck",
                request_id: Uuid::new_v4(),
                key_arn: None,
                via_service: None,
            };
            let is = ask(client, &Target::of(&store, proxy), &asked).await;
            gauge.set(if is.is_ok() { 1.0 } else { 0.0 });
            // One line for each change, however long it lasts.
            match (was, is) {
                (Ok(()), Err(failure)) => {
                    tracing::warn!(
                        store = id.as_str(),
                        endpoint = proxy.endpoint,
                        ?failure,
                        "an external key store proxy is not well"
                    );
                }
                (Err(_), Ok(())) => {
                    tracing::info!(store = id.as_str(), endpoint = proxy.endpoint, "the external key store proxy is well again");
                }
                _ => {}
            }
            was = is;
        }
    }

    /// The store, as long as somebody has used it lately.
    fn still_watched(&self, id: &KeyStoreId) -> Option<Arc<OpenKeyStore>> {
        let mut stores = self.stores.lock();
        if stores.get(id)?.last_use.elapsed() > WATCHED {
            stores.remove(id);
            return None;
        }
        stores.get(id).map(|watched| Arc::clone(&watched.store))
    }
}

fn copy(store: &OpenKeyStore) -> OpenKeyStore {
    OpenKeyStore {
        account: store.account,
        region: store.region.clone(),
        id: store.id.clone(),
        store: store.store.clone(),
        secret: Zeroizing::new(store.secret.to_vec()),
    }
}
