//! What the requests about custom key stores share. Source: the AWS KMS service model.

use std::collections::BTreeMap;

use claviger_domain::Refusal;
use claviger_domain::key_store::KeyStoreType;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::validation::Validator;

/// The answer of operations that answer an object without members, which is not the same as no body.
pub(crate) type EmptyObject = BTreeMap<&'static str, bool>;

/// A text that must not be repeated in an error, nor stay in memory.
pub(crate) struct SecretText(pub(crate) Zeroizing<String>);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// `XksProxyAuthenticationCredentialType`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Credential {
    pub(crate) access_key_id: Option<SecretText>,
    pub(crate) raw_secret_access_key: Option<SecretText>,
}

/// `CustomKeyStoreType`.
pub(crate) const TYPES: &[&str] = &["AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"];
/// `XksProxyConnectivityType`.
pub(crate) const CONNECTIVITIES: &[&str] = &["PUBLIC_ENDPOINT", "VPC_ENDPOINT_SERVICE"];

/// The members that creating and changing a store have in common.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Properties {
    pub(crate) cloud_hsm_cluster_id: Option<String>,
    pub(crate) key_store_password: Option<SecretText>,
    pub(crate) xks_proxy_uri_endpoint: Option<String>,
    pub(crate) xks_proxy_uri_path: Option<String>,
    pub(crate) xks_proxy_vpc_endpoint_service_name: Option<String>,
    pub(crate) xks_proxy_vpc_endpoint_service_owner: Option<String>,
    pub(crate) xks_proxy_authentication_credential: Option<Credential>,
    pub(crate) xks_proxy_connectivity: Option<String>,
}

impl Properties {
    pub(crate) fn check(&self, check: &mut Validator) {
        let cluster = self.cloud_hsm_cluster_id.as_ref();
        text(check, "cloudHsmClusterId", cluster, (19, 24), "cluster-[2-7a-zA-Z]{11,16}", is_cluster_id);
        secret_length(check, "keyStorePassword", self.key_store_password.as_ref(), 7, 32);
        let endpoint = self.xks_proxy_uri_endpoint.as_ref();
        text(check, "xksProxyUriEndpoint", endpoint, (10, 128), "^https://[a-zA-Z0-9.-]+$", is_endpoint);
        text(check, "xksProxyUriPath", self.xks_proxy_uri_path.as_ref(), (10, 128), PATH_PATTERN, is_path);
        let service = self.xks_proxy_vpc_endpoint_service_name.as_ref();
        text(check, "xksProxyVpcEndpointServiceName", service, (20, 64), SERVICE_PATTERN, is_vpc_service);
        let owner = self.xks_proxy_vpc_endpoint_service_owner.as_ref();
        let is_account = |owner: &str| owner.bytes().all(|byte| byte.is_ascii_digit());
        text(check, "xksProxyVpcEndpointServiceOwner", owner, (12, 12), "[0-9]{12}", is_account);
        check.one_of("xksProxyConnectivity", self.xks_proxy_connectivity.as_ref(), CONNECTIVITIES);
        if let Some(credential) = &self.xks_proxy_authentication_credential {
            credential.check(check);
        }
    }
}

impl Credential {
    fn check(&self, check: &mut Validator) {
        let (access_key, secret) = (self.access_key_id.as_ref(), self.raw_secret_access_key.as_ref());
        let field = "xksProxyAuthenticationCredential.accessKeyId";
        check.required(field, access_key);
        secret_length(check, field, access_key, 20, 30);
        secret_characters(check, field, access_key, "^[A-Z2-7]+$", |byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'));
        let field = "xksProxyAuthenticationCredential.rawSecretAccessKey";
        check.required(field, secret);
        secret_length(check, field, secret, 43, 64);
        secret_characters(check, field, secret, "^[a-zA-Z0-9\\/+=]+$", |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+' | b'=')
        });
    }
}

/// A text of which one fault is told at a time: its length, then its pattern.
fn text(
    check: &mut Validator,
    field: &str,
    value: Option<&String>,
    (min, max): (usize, usize),
    pattern: &str,
    fits: impl Fn(&str) -> bool,
) {
    check.length(field, value, min, max);
    let of_that_length = value.filter(|value| (min..=max).contains(&value.chars().count()));
    check.pattern(field, of_that_length, pattern, fits);
}

/// A secret's length in characters. Its value is never shown.
fn secret_length(check: &mut Validator, field: &str, value: Option<&SecretText>, min: usize, max: usize) {
    let length = value.map(|value| value.0.chars().count());
    if length.is_some_and(|length| length < min) {
        check.problem(field, &format!("Member must have length greater than or equal to {min}"));
    }
    if length.is_some_and(|length| length > max) {
        check.problem(field, &format!("Member must have length less than or equal to {max}"));
    }
}

/// A secret's characters. Its value is never shown.
fn secret_characters(check: &mut Validator, field: &str, value: Option<&SecretText>, pattern: &str, fits: fn(u8) -> bool) {
    if value.is_some_and(|value| !value.0.bytes().all(fits)) {
        check.problem(field, &format!("Member must satisfy regular expression pattern: {pattern}"));
    }
}

const PATH_PATTERN: &str = "^(/[a-zA-Z0-9\\/_-]+/kms/xks/v\\d{1,2})$|^(/kms/xks/v\\d{1,2})$";
const SERVICE_PATTERN: &str = "^(com|eu)\\.amazonaws\\.vpce\\.([a-z]+-){2,3}\\d+\\.vpce-svc-[0-9a-z]+$";

fn is_cluster_id(text: &str) -> bool {
    text.strip_prefix("cluster-").is_some_and(|rest| {
        (11..=16).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'2'..=b'7'))
    })
}

fn is_endpoint(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    })
}

/// There is one version of the proxy's API.
fn is_path(text: &str) -> bool {
    text.strip_suffix("/kms/xks/v1").is_some_and(|prefix| {
        prefix.is_empty()
            || prefix.len() > 1
                && prefix.starts_with('/')
                && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-'))
    })
}

/// `com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0`.
fn is_vpc_service(text: &str) -> bool {
    let rest =
        text.strip_prefix("com.").or_else(|| text.strip_prefix("eu.")).and_then(|rest| rest.strip_prefix("amazonaws.vpce."));
    let Some((region, service)) = rest.and_then(|rest| rest.split_once(".vpce-svc-")) else { return false };
    let mut parts: Vec<&str> = region.split('-').collect();
    let number = parts.pop().unwrap_or_default();
    (2..=3).contains(&parts.len())
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !service.is_empty()
        && service.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// Where the material of a new key is to be, if in a custom key store.
///
/// # Errors
/// What the request says about it does not fit together. Source: AWS KMS API Reference, "CreateKey", `CustomKeyStoreId`, `Origin`, `XksKeyId`.
pub(crate) fn in_key_store(
    origin: Option<&str>,
    store: Option<String>,
    xks_key: Option<String>,
    fits: impl Fn(KeyStoreType) -> bool,
) -> Result<Option<op::InKeyStore>, Refusal> {
    // The names of the types are those of the origins.
    let kind: Option<KeyStoreType> = origin.and_then(|origin| origin.parse().ok());
    if xks_key.is_some() && kind != Some(KeyStoreType::External) {
        return Err(Refusal::invalid("XksKeyId is valid only for keys of origin EXTERNAL_KEY_STORE."));
    }
    let (kind, store) = match (kind, store) {
        (None, None) => return Ok(None),
        (Some(kind), Some(store)) => (kind, store),
        (Some(kind), None) => return Err(Refusal::invalid(format!("CustomKeyStoreId is required for keys of origin {kind}."))),
        (None, Some(_)) => {
            let detail = "CustomKeyStoreId is valid only for keys of the origins AWS_CLOUDHSM and EXTERNAL_KEY_STORE.";
            return Err(Refusal::invalid(detail));
        }
    };
    if kind == KeyStoreType::External && xks_key.is_none() {
        return Err(Refusal::invalid("XksKeyId is required for keys of origin EXTERNAL_KEY_STORE."));
    }
    if !fits(kind) {
        return Err(Refusal::unsupported(match kind {
            KeyStoreType::CloudHsm => "Custom key stores hold single-Region keys only.",
            KeyStoreType::External => "External key stores hold single-Region symmetric encryption keys only.",
        }));
    }
    Ok(Some(op::InKeyStore { store, kind, existing: xks_key }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_the_model() {
        for good in ["cluster-abcdefg2345", "cluster-ABCDEFGHijkl2345"] {
            assert!(is_cluster_id(good), "{good}");
        }
        for bad in ["cluster-abcdefg234", "cluster-abcdefg2341", "cluster-", "Cluster-abcdefg2345", "cluster-abcdefghijklmnopq"] {
            assert!(!is_cluster_id(bad), "{bad}");
        }
        for good in ["https://proxy.example.com", "https://10.0.0.1", "https://a-b"] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in ["http://proxy.example.com", "https://", "https://proxy:443", "https://proxy/", "https://user@proxy"] {
            assert!(!is_endpoint(bad), "{bad}");
        }
        for good in ["/kms/xks/v1", "/a/kms/xks/v1", "/some/pre-fix_1/kms/xks/v1"] {
            assert!(is_path(good), "{good}");
        }
        for bad in
            ["kms/xks/v1", "/kms/xks/v2", "/kms/xks/v1/", "a/kms/xks/v1", "/a.b/kms/xks/v1", "//kms/xks", "", "/a?/kms/xks/v1"]
        {
            assert!(!is_path(bad), "{bad}");
        }
        for good in ["com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0", "eu.amazonaws.vpce.eusc-de-east-1.vpce-svc-1"] {
            assert!(is_vpc_service(good), "{good}");
        }
        for bad in [
            "com.amazonaws.vpce.us-east.vpce-svc-1",
            "com.amazonaws.vpce.us-1.vpce-svc-1",
            "org.amazonaws.vpce.us-east-1.vpce-svc-1",
            "com.amazonaws.vpce.us-east-1.vpce-svc-",
            "com.amazonaws.vpce.us-east-1.vpce-svc-A",
        ] {
            assert!(!is_vpc_service(bad), "{bad}");
        }
    }
}
