//! UpdateCustomKeyStore on the wire.

use super::custom_key_store::{EmptyObject, Properties};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct UpdateCustomKeyStore;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    custom_key_store_id: Option<String>,
    new_custom_key_store_name: Option<String>,
    #[serde(flatten)]
    properties: Properties,
}

impl Mapping for UpdateCustomKeyStore {
    type Request = Request;
    type Operation = op::UpdateCustomKeyStore;
    type Response = EmptyObject;

    fn decode(request: Request) -> Result<op::UpdateCustomKeyStore, Refusal> {
        let mut check = Validator::new();
        check.required_length("customKeyStoreId", request.custom_key_store_id.as_ref(), 1, 64);
        check.length("newCustomKeyStoreName", request.new_custom_key_store_name.as_ref(), 1, 256);
        request.properties.check(&mut check);
        check.finish()?;
        let properties = request.properties;
        let credential = properties.xks_proxy_authentication_credential.map(|credential| {
            let (access_key, secret) = (present(credential.access_key_id)?, present(credential.raw_secret_access_key)?);
            Ok::<_, Refusal>((access_key.0.to_string(), secret.0))
        });
        Ok(op::UpdateCustomKeyStore {
            store: present(request.custom_key_store_id)?,
            name: request.new_custom_key_store_name,
            cluster: op::ClusterUpdate {
                id: properties.cloud_hsm_cluster_id,
                password: properties.key_store_password.map(|password| password.0),
            },
            proxy: op::ProxyUpdate {
                connectivity: properties.xks_proxy_connectivity.as_deref().and_then(|name| name.parse().ok()),
                endpoint: properties.xks_proxy_uri_endpoint,
                path: properties.xks_proxy_uri_path,
                vpc_service: properties.xks_proxy_vpc_endpoint_service_name,
                vpc_service_owner: properties.xks_proxy_vpc_endpoint_service_owner,
                credential: credential.transpose()?,
            },
        })
    }

    fn encode((): ()) -> EmptyObject {
        EmptyObject::new()
    }
}
