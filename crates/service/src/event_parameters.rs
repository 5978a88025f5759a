//! The request parameters that audit entries carry. Source: AWS KMS Developer Guide, "Logging AWS KMS API calls with AWS CloudTrail".

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use claviger_domain::{EncryptionContext, GrantConstraints, GrantOperation};
use serde::Serialize;

use crate::operations::xks::RequestMetadata;

/// What a request asked for, as far as the audit log may know it: never a secret, a plaintext or a ciphertext. One type for all
/// operations, with the members in the order of their names, which makes the entry's JSON canonical.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the members are those of the requests")]
pub struct Parameters<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assume_role_policy_document: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub bypass_policy_lockout_safety_check: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_authorities: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_subjects: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_hsm_cluster_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<&'a GrantConstraints>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_key_store_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_key_store_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_key_store_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_encryption_algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "no_context")]
    pub destination_encryption_context: Option<&'a EncryptionContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_key_id: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encapsulation_algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "no_context")]
    pub encryption_context: Option<&'a EncryptionContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_model: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grantee_principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grantee_service_principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_agreement_algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_material_description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_material_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pair_spec: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_spec: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_usage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_session_duration: Option<u32>,
    #[serde(skip_serializing_if = "is_false")]
    pub multi_region: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_custom_key_store_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_of_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<&'a BTreeSet<GrantOperation>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_window_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_metadata: Option<&'a RequestMetadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    #[serde(skip_serializing_if = "is_false")]
    pub restore: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retiring_principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retiring_service_principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_session_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_period_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seals: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_encryption_algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "no_context")]
    pub source_encryption_context: Option<&'a EncryptionContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_keys: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transitive_tag_keys: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapping_algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapping_key_spec: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xks_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xks_proxy_connectivity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xks_proxy_uri_endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xks_proxy_uri_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xks_proxy_vpc_endpoint_service_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xks_proxy_vpc_endpoint_service_owner: Option<&'a str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(value: &bool) -> bool {
    !value
}

fn no_context(context: &Option<&EncryptionContext>) -> bool {
    context.is_none_or(EncryptionContext::is_empty)
}
