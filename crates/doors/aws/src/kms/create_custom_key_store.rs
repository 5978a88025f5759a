//! CreateCustomKeyStore on the wire.

use super::custom_key_store::{Properties, TYPES};
use crate::mapping::Mapping;
use crate::validation::{Validator, name_or, present};
use claviger_domain::Refusal;
use claviger_domain::key_store::{Connectivity, KeyStoreType};
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct CreateCustomKeyStore;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    custom_key_store_name: Option<String>,
    custom_key_store_type: Option<String>,
    trust_anchor_certificate: Option<String>,
    #[serde(flatten)]
    properties: Properties,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    custom_key_store_id: String,
}

impl Mapping for CreateCustomKeyStore {
    type Request = Request;
    type Operation = op::CreateCustomKeyStore;
    type Response = Response;

    fn decode(request: Request) -> Result<op::CreateCustomKeyStore, Refusal> {
        let mut check = Validator::new();
        check.required_length("customKeyStoreName", request.custom_key_store_name.as_ref(), 1, 256);
        check.one_of("customKeyStoreType", request.custom_key_store_type.as_ref(), TYPES);
        check.length("trustAnchorCertificate", request.trust_anchor_certificate.as_ref(), 1, 5000);
        request.properties.check(&mut check);
        check.finish()?;
        let kind = name_or(request.custom_key_store_type.as_ref(), KeyStoreType::CloudHsm);
        let backing = match kind {
            KeyStoreType::CloudHsm => cluster(request.properties, request.trust_anchor_certificate)?,
            KeyStoreType::External => proxy(request.properties, request.trust_anchor_certificate.is_some())?,
        };
        Ok(op::CreateCustomKeyStore { name: present(request.custom_key_store_name)?, backing })
    }

    fn encode(output: <op::CreateCustomKeyStore as Operation>::Output) -> Response {
        Response { custom_key_store_id: output.to_string() }
    }
}

fn cluster(properties: Properties, trust_anchor: Option<String>) -> Result<op::NewBacking, Refusal> {
    let kind = KeyStoreType::CloudHsm;
    let foreign = [
        ("XksProxyConnectivity", properties.xks_proxy_connectivity.is_some()),
        ("XksProxyUriEndpoint", properties.xks_proxy_uri_endpoint.is_some()),
        ("XksProxyUriPath", properties.xks_proxy_uri_path.is_some()),
        ("XksProxyAuthenticationCredential", properties.xks_proxy_authentication_credential.is_some()),
        ("XksProxyVpcEndpointServiceName", properties.xks_proxy_vpc_endpoint_service_name.is_some()),
        ("XksProxyVpcEndpointServiceOwner", properties.xks_proxy_vpc_endpoint_service_owner.is_some()),
    ];
    refuse_foreign(kind, &foreign)?;
    Ok(op::NewBacking::CloudHsm {
        cluster: needed(kind, "CloudHsmClusterId", properties.cloud_hsm_cluster_id)?,
        trust_anchor: needed(kind, "TrustAnchorCertificate", trust_anchor)?,
        password: needed(kind, "KeyStorePassword", properties.key_store_password)?.0,
    })
}

fn proxy(properties: Properties, trust_anchor: bool) -> Result<op::NewBacking, Refusal> {
    let kind = KeyStoreType::External;
    let foreign = [
        ("CloudHsmClusterId", properties.cloud_hsm_cluster_id.is_some()),
        ("TrustAnchorCertificate", trust_anchor),
        ("KeyStorePassword", properties.key_store_password.is_some()),
    ];
    refuse_foreign(kind, &foreign)?;
    let connectivity = needed(kind, "XksProxyConnectivity", properties.xks_proxy_connectivity)?;
    let connectivity = name_or(Some(&connectivity), Connectivity::Public);
    let owner = properties.xks_proxy_vpc_endpoint_service_owner;
    let vpc_service = match (connectivity, properties.xks_proxy_vpc_endpoint_service_name) {
        (Connectivity::Vpc, Some(name)) => Some((name, owner)),
        (Connectivity::Public, None) if owner.is_none() => None,
        (Connectivity::Vpc, None) => {
            let detail = "XksProxyVpcEndpointServiceName is required when XksProxyConnectivity is VPC_ENDPOINT_SERVICE.";
            return Err(Refusal::invalid(detail));
        }
        (Connectivity::Public, _) => {
            let detail = "A VPC endpoint service can be named only when XksProxyConnectivity is VPC_ENDPOINT_SERVICE.";
            return Err(Refusal::invalid(detail));
        }
    };
    let credential = needed(kind, "XksProxyAuthenticationCredential", properties.xks_proxy_authentication_credential)?;
    Ok(op::NewBacking::External {
        connectivity,
        endpoint: needed(kind, "XksProxyUriEndpoint", properties.xks_proxy_uri_endpoint)?,
        path: needed(kind, "XksProxyUriPath", properties.xks_proxy_uri_path)?,
        vpc_service,
        access_key: present(credential.access_key_id)?.0.to_string(),
        secret: present(credential.raw_secret_access_key)?.0,
    })
}

fn needed<T>(kind: KeyStoreType, member: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::invalid(format!("{member} is required for custom key stores of type {kind}.")))
}

fn refuse_foreign(kind: KeyStoreType, members: &[(&str, bool)]) -> Result<(), Refusal> {
    match members.iter().find(|(_, there)| *there) {
        Some((member, _)) => Err(Refusal::invalid(format!("{member} is not valid for custom key stores of type {kind}."))),
        None => Ok(()),
    }
}
