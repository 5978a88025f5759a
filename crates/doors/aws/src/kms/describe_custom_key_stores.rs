//! DescribeCustomKeyStores on the wire.

use crate::json::Seconds;
use crate::mapping::Mapping;
use crate::validation::{Validator, page_size};
use claviger_domain::Refusal;
use claviger_domain::key_store::{Backing, ConnectionState, KeyStore, KeyStoreId, Proxy};
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct DescribeCustomKeyStores;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    custom_key_store_id: Option<String>,
    custom_key_store_name: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    custom_key_stores: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

/// One store. Its secrets are not in it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry {
    custom_key_store_id: String,
    custom_key_store_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_hsm_cluster_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_anchor_certificate: Option<String>,
    connection_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_error_code: Option<&'static str>,
    creation_date: Seconds,
    custom_key_store_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    xks_proxy_configuration: Option<ProxyConfiguration>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProxyConfiguration {
    connectivity: &'static str,
    access_key_id: String,
    uri_endpoint: String,
    uri_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_endpoint_service_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_endpoint_service_owner: Option<String>,
}

impl Mapping for DescribeCustomKeyStores {
    type Request = Request;
    type Operation = op::DescribeCustomKeyStores;
    type Response = Response;

    fn decode(request: Request) -> Result<op::DescribeCustomKeyStores, Refusal> {
        let mut check = Validator::new();
        check.length("customKeyStoreId", request.custom_key_store_id.as_ref(), 1, 64);
        check.length("customKeyStoreName", request.custom_key_store_name.as_ref(), 1, 256);
        check.limit(request.limit);
        check.marker(request.marker.as_ref());
        check.finish()?;
        let which = match (request.custom_key_store_id, request.custom_key_store_name) {
            (None, None) => op::WhichKeyStores::All,
            (Some(id), None) => op::WhichKeyStores::Id(id),
            (None, Some(name)) => op::WhichKeyStores::Name(name),
            (Some(_), Some(_)) => {
                let detail = "You can specify CustomKeyStoreId or CustomKeyStoreName, but not both.";
                return Err(Refusal::invalid(detail));
            }
        };
        Ok(op::DescribeCustomKeyStores { which, limit: page_size(request.limit, 100, 1000), marker: request.marker })
    }

    fn encode(output: <op::DescribeCustomKeyStores as Operation>::Output) -> Response {
        let entries = output.items.into_iter().map(|(id, store)| Entry::of(&id, store));
        Response { custom_key_stores: entries.collect(), truncated: output.next.is_some(), next_marker: output.next }
    }
}

impl Entry {
    fn of(id: &KeyStoreId, store: KeyStore) -> Self {
        let (kind, state) = (store.kind(), store.state);
        let (cluster, proxy) = match store.backing {
            Backing::CloudHsm(cluster) => (Some(cluster), None),
            Backing::External(proxy) => (None, Some(proxy)),
        };
        let (cloud_hsm_cluster_id, trust_anchor_certificate) =
            cluster.map_or((None, None), |cluster| (Some(cluster.id), Some(cluster.trust_anchor)));
        Self {
            custom_key_store_id: id.to_string(),
            custom_key_store_name: store.name,
            cloud_hsm_cluster_id,
            trust_anchor_certificate,
            connection_state: state.as_str(),
            connection_error_code: match state {
                ConnectionState::Failed { error } => Some(error.as_str()),
                _ => None,
            },
            creation_date: Seconds(store.created),
            custom_key_store_type: kind.as_str(),
            xks_proxy_configuration: proxy.map(ProxyConfiguration::of),
        }
    }
}

impl ProxyConfiguration {
    fn of(proxy: Proxy) -> Self {
        let (name, owner) = proxy.vpc_service.map_or((None, None), |service| (Some(service.name), Some(service.owner)));
        Self {
            connectivity: proxy.connectivity.as_str(),
            access_key_id: proxy.access_key,
            uri_endpoint: proxy.endpoint,
            uri_path: proxy.path,
            vpc_endpoint_service_name: name,
            vpc_endpoint_service_owner: owner,
        }
    }
}
