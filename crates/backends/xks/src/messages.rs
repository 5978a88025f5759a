//! What is said to a proxy, and what it answers. Source: XKS Proxy API Specification, "API operations". Members that nobody knows yet are ignored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_service::key_stores::Asked;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::body::Body;
use crate::client::shown;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    aws_principal_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<&'a str>,
    kms_operation: &'a str,
    kms_request_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_via_service: Option<&'a str>,
}

impl<'a> Metadata<'a> {
    fn new(asked: &'a Asked) -> Self {
        Self {
            aws_principal_arn: &asked.principal,
            kms_key_arn: asked.key_arn.as_deref(),
            kms_operation: asked.operation,
            kms_request_id: asked.request_id,
            kms_via_service: asked.via_service.as_deref(),
        }
    }
}

/// GetKeyMetadata.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetadataRequest<'a> {
    request_metadata: Metadata<'a>,
}

impl<'a> MetadataRequest<'a> {
    pub(crate) fn new(asked: &'a Asked) -> Self {
        Self { request_metadata: Metadata::new(asked) }
    }
}

/// The answer to GetKeyMetadata.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyMetadata {
    key_spec: String,
    key_usage: Vec<String>,
    key_status: String,
}

impl KeyMetadata {
    /// Why it cannot stand behind a key. Texts: AWS KMS Developer Guide, "Troubleshooting external key stores", "CreateKey errors for the external key".
    pub(crate) fn fault(&self) -> Option<String> {
        if self.key_spec != "AES_256" {
            let found = shown(&self.key_spec);
            return Some(format!(
                "The key spec of the external key must be AES_256. The key spec of specified external key is {found}."
            ));
        }
        if self.key_status != "ENABLED" {
            let found = shown(&self.key_status);
            return Some(format!(
                "The status of the external key must be ENABLED. The status of specified external key is {found}."
            ));
        }
        if ["ENCRYPT", "DECRYPT"].iter().all(|usage| self.key_usage.iter().any(|found| found == usage)) {
            return None;
        }
        let found = shown(&self.key_usage.join(", "));
        Some(format!(
            "The key usage of the external key must include ENCRYPT and DECRYPT. The key use of specified external key is {found}."
        ))
    }
}

/// Encrypt.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EncryptionRequest<'a> {
    request_metadata: Metadata<'a>,
    #[serde(serialize_with = "base64")]
    plaintext: &'a [u8],
    encryption_algorithm: &'static str,
    #[serde(serialize_with = "base64")]
    additional_authenticated_data: &'a [u8],
    ciphertext_data_integrity_value_algorithm: &'static str,
}

impl<'a> EncryptionRequest<'a> {
    pub(crate) fn new(plaintext: &'a [u8], data: &'a [u8], asked: &'a Asked) -> Self {
        Self {
            request_metadata: Metadata::new(asked),
            plaintext,
            encryption_algorithm: "AES_GCM",
            additional_authenticated_data: data,
            ciphertext_data_integrity_value_algorithm: "SHA_256",
        }
    }
}

/// The answer to Encrypt.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Encrypted {
    pub(crate) authentication_tag: String,
    pub(crate) ciphertext: String,
    pub(crate) ciphertext_data_integrity_value: Option<String>,
    pub(crate) ciphertext_metadata: Option<String>,
    pub(crate) initialization_vector: String,
}

/// Decrypt.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DecryptionRequest<'a> {
    request_metadata: Metadata<'a>,
    #[serde(serialize_with = "base64")]
    ciphertext: &'a [u8],
    #[serde(serialize_with = "base64", skip_serializing_if = "<[u8]>::is_empty")]
    ciphertext_metadata: &'a [u8],
    encryption_algorithm: &'static str,
    #[serde(serialize_with = "base64")]
    additional_authenticated_data: &'a [u8],
    #[serde(serialize_with = "base64")]
    authentication_tag: &'a [u8],
    #[serde(serialize_with = "base64")]
    initialization_vector: &'a [u8],
}

impl<'a> DecryptionRequest<'a> {
    pub(crate) fn new(body: &'a Body, data: &'a [u8], asked: &'a Asked) -> Self {
        Self {
            request_metadata: Metadata::new(asked),
            ciphertext: &body.ciphertext,
            ciphertext_metadata: &body.metadata,
            encryption_algorithm: "AES_GCM",
            additional_authenticated_data: data,
            authentication_tag: &body.authentication_tag,
            initialization_vector: &body.initialization_vector,
        }
    }
}

/// The answer to Decrypt.
#[derive(Deserialize)]
pub(crate) struct Decrypted {
    #[serde(deserialize_with = "wiped")]
    plaintext: Zeroizing<String>,
}

impl Decrypted {
    pub(crate) fn plaintext(&self) -> Option<Zeroizing<Vec<u8>>> {
        STANDARD.decode(self.plaintext.as_bytes()).ok().map(Zeroizing::new)
    }
}

/// GetHealthStatus.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthRequest<'a> {
    request_metadata: HealthMetadata<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthMetadata<'a> {
    kms_operation: &'a str,
    kms_request_id: Uuid,
}

impl<'a> HealthRequest<'a> {
    pub(crate) fn new(asked: &'a Asked) -> Self {
        Self { request_metadata: HealthMetadata { kms_operation: asked.operation, kms_request_id: asked.request_id } }
    }
}

/// The answer to GetHealthStatus.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    xks_proxy_fleet_size: u64,
    xks_proxy_vendor: String,
    xks_proxy_model: String,
    ekm_vendor: String,
    ekm_fleet_details: Vec<KeyManager>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyManager {
    health_status: String,
}

impl Health {
    /// Whether it says what the specification demands.
    pub(crate) fn is_well_formed(&self) -> bool {
        let named = [&self.xks_proxy_vendor, &self.xks_proxy_model, &self.ekm_vendor];
        let known = |manager: &KeyManager| matches!(manager.health_status.as_str(), "ACTIVE" | "DEGRADED" | "UNAVAILABLE");
        self.xks_proxy_fleet_size > 0
            && named.iter().all(|name| !name.is_empty())
            && (1..=10).contains(&self.ekm_fleet_details.len())
            && self.ekm_fleet_details.iter().all(known)
    }

    /// Whether any external key manager can be used.
    pub(crate) fn is_available(&self) -> bool {
        self.ekm_fleet_details.iter().any(|manager| manager.health_status != "UNAVAILABLE")
    }
}

/// A refusal of the proxy.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProxyError {
    pub(crate) error_name: String,
    pub(crate) error_message: Option<String>,
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Zeroizing::new(STANDARD.encode(bytes)))
}

fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_says_of_a_key_is_repeated_in_bounds() {
        let metadata = |key_spec: &str| KeyMetadata {
            key_spec: key_spec.to_owned(),
            key_usage: vec!["ENCRYPT".to_owned(), "DECRYPT".to_owned()],
            key_status: "ENABLED".to_owned(),
        };
        assert_eq!(metadata("AES_256").fault(), None);
        assert!(metadata("RSA_2048").fault().is_some_and(|fault| fault.ends_with("external key is RSA_2048.")));
        let fault = metadata(&format!("A\n\u{1b}[31m{}", "x".repeat(60_000))).fault().unwrap();
        assert!(fault.contains("A??[31mxxx") && fault.len() < 400, "{fault}");
    }
}
