//! Members that the requests and answers about hold-your-own-key stores share.

use std::collections::BTreeSet;

use claviger_domain::hyok::{Cloud, CutOff, ExternalKey, ExternalKeyUsage, HyokStore};
use claviger_domain::{ExternalKeyId, HyokStoreName, Refusal, StorePath};
use claviger_service::hyok::CredentialFile;
use serde::Serialize;

use super::fields::{SecretText, read, required};
use crate::json::Seconds;

/// `StoreName`.
pub(crate) fn store(text: Option<&str>) -> Result<HyokStoreName, Refusal> {
    required("StoreName", text)
}

/// `ExternalKeyId`.
pub(crate) fn external_key(text: Option<&str>) -> Result<ExternalKeyId, Refusal> {
    required("ExternalKeyId", text)
}

/// `Cloud`.
pub(crate) fn cloud(text: Option<&str>) -> Result<Option<Cloud>, Refusal> {
    text.map(|text| read("Cloud", text)).transpose()
}

/// `PathPrefix`: what stands before `/kms/xks/v1`; nothing when absent.
pub(crate) fn path(prefix: Option<&str>) -> Result<StorePath, Refusal> {
    let prefix = prefix.unwrap_or_default().trim_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    read("PathPrefix", &format!("{slash}{prefix}{}", StorePath::ENDING))
}

/// `Usage` of an external key; both when absent.
pub(crate) fn usage(names: Option<Vec<String>>) -> Result<BTreeSet<ExternalKeyUsage>, Refusal> {
    match names {
        None => Ok(ExternalKeyUsage::ALL.iter().copied().collect()),
        Some(names) => names.iter().map(|name| read("Usage", name)).collect(),
    }
}

/// `Usage` in an answer.
pub(crate) fn usage_names(key: &ExternalKey) -> Vec<&'static str> {
    key.usage.iter().map(|usage| usage.as_str()).collect()
}

/// A store in an answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StoreResponse {
    store_name: String,
    arn: String,
    cloud: &'static str,
    path: String,
    create_date: Seconds,
    access_key_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_second: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_subjects: Option<Vec<String>>,
    key_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_off: Option<CutOffResponse>,
}

impl StoreResponse {
    pub(crate) fn of(store: &HyokStore) -> Self {
        Self {
            store_name: store.name.to_string(),
            arn: store.arn(),
            cloud: store.cloud.as_str(),
            path: store.path.to_string(),
            create_date: Seconds(store.created),
            access_key_ids: store.credentials.iter().map(|credential| credential.access_key.to_string()).collect(),
            requests_per_second: store.requests_per_second,
            client_subjects: store.client_subjects.clone(),
            key_count: store.keys.len(),
            cut_off: store.cut_off.as_ref().map(CutOffResponse::of),
        }
    }
}

/// That something is cut off.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CutOffResponse {
    since: Seconds,
    by: String,
    reason: String,
}

impl CutOffResponse {
    pub(crate) fn of(cut_off: &CutOff) -> Self {
        Self { since: Seconds(cut_off.at), by: cut_off.by.clone(), reason: cut_off.reason.clone() }
    }
}

/// A credential in the form that AWS's console reads from a file. Source: AWS KMS External Keystore Proxy API Specification, "XKS proxy
/// configuration in AWS KMS console".
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CredentialResponse {
    xks_proxy_uri_path: String,
    xks_proxy_authentication_credential: AuthenticationCredential,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AuthenticationCredential {
    access_key_id: String,
    raw_secret_access_key: SecretText,
}

impl CredentialResponse {
    pub(crate) fn of(file: CredentialFile) -> Self {
        Self {
            xks_proxy_uri_path: file.path.to_string(),
            xks_proxy_authentication_credential: AuthenticationCredential {
                access_key_id: file.access_key.to_string(),
                raw_secret_access_key: SecretText(file.secret),
            },
        }
    }
}
