//! CreateCustomKeyStore: a proxy that is to be reached at a public address has to answer; everything else is seen when the store is connected.
//! Source: AWS KMS API Reference, "CreateCustomKeyStore".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_domain::key_store::{
    Backing, Cluster, ConnectionState, Connectivity, KeyStore, KeyStoreId, KeyStoreType, Proxy, VpcService,
};
use claviger_domain::{AccountId, Caller, Kind, Refusal};
use serde_json::json;
use zeroize::Zeroizing;

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_the_account;
use crate::quotas::{CUSTOM_KEY_STORES, check_room};
use crate::service::Service;

/// The request.
pub struct CreateCustomKeyStore {
    /// Its name.
    pub name: String,
    /// What stands behind it.
    pub backing: NewBacking,
}

/// What stands behind a new store, its secrets in clear.
pub enum NewBacking {
    /// A cluster of hardware security modules.
    CloudHsm {
        /// Its id.
        cluster: String,
        /// The certificate that the cluster's own goes back to, in PEM.
        trust_anchor: String,
        /// The password of its user `kmsuser`.
        password: Zeroizing<String>,
    },
    /// An external key store proxy.
    External {
        /// How it is reached.
        connectivity: Connectivity,
        /// `https://` and a host.
        endpoint: String,
        /// A path.
        path: String,
        /// The VPC endpoint service, where it is reached through one, and its owner if that is not the caller's account.
        vpc_service: Option<(String, Option<String>)>,
        /// The public half of the credential.
        access_key: String,
        /// Its secret half.
        secret: Zeroizing<String>,
    },
}

impl Operation for CreateCustomKeyStore {
    const EVENT: Event = Event::kms("CreateCustomKeyStore");
    type Output = KeyStoreId;
    about_the_account!("kms:CreateCustomKeyStore");

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<KeyStoreId>, Refusal> {
        let account = caller.identity.account;
        if account == AccountId::DEPLOYMENT {
            return Err(Refusal::unsupported("The deployment's own account holds no keys. Create an account for them first."));
        }
        let mut kept = service.key_stores(caller).await?;
        check_room("Custom key store", CUSTOM_KEY_STORES, kept.stores.stores.len() as u64)?;
        let mut random = [0; 16];
        service.hsm().fill_public(&mut random)?;
        let id = KeyStoreId::from_random(random);
        let store = KeyStore {
            name: self.name.clone(),
            created: caller.request.at,
            state: ConnectionState::Disconnected,
            backing: self.backing(service, caller, &id).await?,
        };
        kept.stores.add(id.clone(), store.clone())?;
        service.check_key_store(caller, &id, &store, Self::EVENT).await?;
        let change = kept.change(service).await?;
        Ok(Effect::change(id, vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        let parameters = Parameters { custom_key_store_name: Some(&self.name), ..Parameters::default() };
        match &self.backing {
            NewBacking::CloudHsm { cluster, .. } => Parameters {
                cloud_hsm_cluster_id: Some(cluster),
                custom_key_store_type: Some(KeyStoreType::CloudHsm.as_str()),
                ..parameters
            },
            NewBacking::External { connectivity, endpoint, path, vpc_service, .. } => Parameters {
                custom_key_store_type: Some(KeyStoreType::External.as_str()),
                xks_proxy_connectivity: Some(connectivity.as_str()),
                xks_proxy_uri_endpoint: Some(endpoint),
                xks_proxy_uri_path: Some(path),
                xks_proxy_vpc_endpoint_service_name: vpc_service.as_ref().map(|(name, _)| name.as_str()),
                xks_proxy_vpc_endpoint_service_owner: vpc_service.as_ref().and_then(|(_, owner)| owner.as_deref()),
                ..parameters
            },
        }
    }

    fn response_elements(id: &KeyStoreId) -> Option<serde_json::Value> {
        Some(json!({"customKeyStoreId": id.as_str()}))
    }
}

impl CreateCustomKeyStore {
    /// What is stored of it, its secret sealed.
    async fn backing(&self, service: &Service, caller: &Caller, id: &KeyStoreId) -> Result<Backing, Refusal> {
        let versions = service.records.existing_account(caller.identity.account).await?;
        let seal = |secret| service.hsm().seal_key_store_secret(versions.current()?, id, secret).map_err(Refusal::from);
        Ok(match &self.backing {
            NewBacking::CloudHsm { cluster, trust_anchor, password } => {
                check_trust_anchor(trust_anchor)?;
                Backing::CloudHsm(Cluster { id: cluster.clone(), trust_anchor: trust_anchor.clone(), password: seal(password)? })
            }
            NewBacking::External { connectivity, endpoint, path, vpc_service, access_key, secret } => Backing::External(Proxy {
                connectivity: *connectivity,
                endpoint: endpoint.clone(),
                path: path.clone(),
                vpc_service: vpc_service.as_ref().map(|(name, owner)| VpcService {
                    name: name.clone(),
                    owner: owner.clone().unwrap_or_else(|| caller.identity.account.to_string()),
                }),
                access_key: access_key.clone(),
                secret: seal(secret)?,
            }),
        })
    }
}

/// A trust anchor must at least be a certificate. Whether it is the cluster's is seen when the store is connected.
fn check_trust_anchor(pem: &str) -> Result<(), Refusal> {
    let body =
        pem.trim().strip_prefix("-----BEGIN CERTIFICATE-----").and_then(|rest| rest.strip_suffix("-----END CERTIFICATE-----"));
    let digits: Option<String> = body.map(|body| body.split_ascii_whitespace().collect());
    let der = digits.and_then(|digits| STANDARD.decode(digits).ok());
    if der.is_some_and(|der| claviger_hsm::is_certificate(&der)) {
        return Ok(());
    }
    Err(Refusal::new(Kind::IncorrectTrustAnchor, "The trust anchor is not an X.509 certificate in PEM form (customerCA.crt)."))
}
