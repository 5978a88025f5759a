//! UpdateCustomKeyStore: some properties change while the store is connected, the others only while it is not. Source: AWS KMS API Reference,
//! "UpdateCustomKeyStore".

use claviger_domain::key_store::{Backing, Change, Cluster, Connectivity, Proxy, SealedSecret, VpcService};
use claviger_domain::{Caller, Kind, Refusal};
use zeroize::Zeroizing;

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_the_account;
use crate::service::Service;

/// The request: what is absent stays as it is.
pub struct UpdateCustomKeyStore {
    /// The store's id.
    pub store: String,
    /// Its new name.
    pub name: Option<String>,
    /// What to change of a cluster.
    pub cluster: ClusterUpdate,
    /// What to change of a proxy.
    pub proxy: ProxyUpdate,
}

/// What to change of a cluster.
#[derive(Default)]
pub struct ClusterUpdate {
    /// The cluster's id.
    pub id: Option<String>,
    /// The password of its user `kmsuser`, which has been changed there.
    pub password: Option<Zeroizing<String>>,
}

/// What to change of a proxy.
#[derive(Default)]
pub struct ProxyUpdate {
    /// How it is reached.
    pub connectivity: Option<Connectivity>,
    /// `https://` and a host.
    pub endpoint: Option<String>,
    /// A path.
    pub path: Option<String>,
    /// The VPC endpoint service.
    pub vpc_service: Option<String>,
    /// Its owner.
    pub vpc_service_owner: Option<String>,
    /// The credential, public half first.
    pub credential: Option<(String, Zeroizing<String>)>,
}

impl Operation for UpdateCustomKeyStore {
    const EVENT: Event = Event::kms("UpdateCustomKeyStore");
    type Output = ();
    about_the_account!("kms:UpdateCustomKeyStore");

    async fn execute(&self, service: &Service, caller: &Caller, (): &(), _: Allowed<Self>) -> Result<Effect<()>, Refusal> {
        let mut kept = service.key_stores(caller).await?;
        let (id, store) = kept.stores.get(&self.store)?;
        let (id, mut store) = (id.clone(), store.clone());
        let of_its_type = match &store.backing {
            Backing::CloudHsm(_) => self.proxy.is_empty(),
            Backing::External(_) => self.cluster.is_empty(),
        };
        if !of_its_type {
            return Err(Refusal::invalid(format!(
                "A property in the request is not one of a custom key store of type {}.",
                store.kind()
            )));
        }
        if self.name.is_none() && self.cluster.is_empty() && self.proxy.is_empty() {
            return Err(Refusal::invalid("The request names no property to change."));
        }
        store.must_allow(&id, self.weight())?;
        let versions = service.records.existing_account(caller.identity.account).await?;
        let seal = |secret: &Zeroizing<String>| -> Result<SealedSecret, Refusal> {
            Ok(service.hsm().seal_key_store_secret(versions.current()?, &id, secret)?)
        };
        if let Some(name) = &self.name {
            store.name.clone_from(name);
        }
        match &mut store.backing {
            Backing::CloudHsm(cluster) => self.cluster.apply(cluster, seal)?,
            Backing::External(proxy) => self.proxy.apply(proxy, &caller.identity.account.to_string(), seal)?,
        }
        kept.stores.must_be_unique(&id, &store)?;
        if !(self.cluster.is_empty() && self.proxy.is_empty()) {
            service.check_key_store(caller, &id, &store, Self::EVENT).await?;
        }
        kept.stores.stores.insert(id, store);
        Ok(Effect::change((), vec![kept.change(service).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            cloud_hsm_cluster_id: self.cluster.id.as_deref(),
            custom_key_store_id: Some(&self.store),
            new_custom_key_store_name: self.name.as_deref(),
            xks_proxy_connectivity: self.proxy.connectivity.map(Connectivity::as_str),
            xks_proxy_uri_endpoint: self.proxy.endpoint.as_deref(),
            xks_proxy_uri_path: self.proxy.path.as_deref(),
            xks_proxy_vpc_endpoint_service_name: self.proxy.vpc_service.as_deref(),
            xks_proxy_vpc_endpoint_service_owner: self.proxy.vpc_service_owner.as_deref(),
            ..Parameters::default()
        }
    }
}

impl UpdateCustomKeyStore {
    /// Names, and a proxy's path and credential, may change in use.
    fn weight(&self) -> Change {
        let proxy = &self.proxy;
        let heavy = !self.cluster.is_empty()
            || proxy.connectivity.is_some()
            || proxy.endpoint.is_some()
            || proxy.vpc_service.is_some()
            || proxy.vpc_service_owner.is_some();
        if heavy { Change::Heavy } else { Change::Light }
    }
}

impl ClusterUpdate {
    fn is_empty(&self) -> bool {
        self.id.is_none() && self.password.is_none()
    }

    fn apply(
        &self,
        cluster: &mut Cluster,
        seal: impl Fn(&Zeroizing<String>) -> Result<SealedSecret, Refusal>,
    ) -> Result<(), Refusal> {
        if self.id.as_ref().is_some_and(|id| *id != cluster.id) {
            // Another cluster would have to hold the same keys, which nobody here can tell.
            let detail = format!("Whether the new cluster is related to {} cannot be found out by this deployment.", cluster.id);
            return Err(Refusal::new(Kind::ClusterNotRelated, detail));
        }
        if let Some(password) = &self.password {
            cluster.password = seal(password)?;
        }
        Ok(())
    }
}

impl ProxyUpdate {
    fn is_empty(&self) -> bool {
        self.connectivity.is_none()
            && self.endpoint.is_none()
            && self.path.is_none()
            && self.vpc_service.is_none()
            && self.vpc_service_owner.is_none()
            && self.credential.is_none()
    }

    fn apply(
        &self,
        proxy: &mut Proxy,
        account: &str,
        seal: impl Fn(&Zeroizing<String>) -> Result<SealedSecret, Refusal>,
    ) -> Result<(), Refusal> {
        let change = |place: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                place.clone_from(value);
            }
        };
        change(&mut proxy.endpoint, &self.endpoint);
        change(&mut proxy.path, &self.path);
        if let Some((access_key, secret)) = &self.credential {
            proxy.access_key.clone_from(access_key);
            proxy.secret = seal(secret)?;
        }
        proxy.connectivity = self.connectivity.unwrap_or(proxy.connectivity);
        proxy.vpc_service = match (proxy.connectivity, proxy.vpc_service.take()) {
            (Connectivity::Public, _) if self.vpc_service.is_some() || self.vpc_service_owner.is_some() => {
                return Err(Refusal::invalid(
                    "A VPC endpoint service can be named only when XksProxyConnectivity is VPC_ENDPOINT_SERVICE.",
                ));
            }
            (Connectivity::Public, _) => None,
            (Connectivity::Vpc, before) => Some(self.vpc_service_after(before, account)?),
        };
        Ok(())
    }

    fn vpc_service_after(&self, before: Option<VpcService>, account: &str) -> Result<VpcService, Refusal> {
        let (name, owner) = before.map_or((None, None), |service| (Some(service.name), Some(service.owner)));
        let missing =
            || Refusal::invalid("XksProxyVpcEndpointServiceName is required when XksProxyConnectivity is VPC_ENDPOINT_SERVICE.");
        Ok(VpcService {
            name: self.vpc_service.clone().or(name).ok_or_else(missing)?,
            owner: self.vpc_service_owner.clone().or(owner).unwrap_or_else(|| account.to_owned()),
        })
    }
}
