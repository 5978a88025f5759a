//! `KeyMetadata`, as CreateKey and DescribeKey answer it.

use claviger_domain::key::{Key, KeyState};
use serde::Serialize;

use crate::json::Seconds;

/// The answer of CreateKey and DescribeKey.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Described {
    key_metadata: KeyMetadata,
}

/// The answer of operations that only name the key.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OnlyKeyId {
    pub(crate) key_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyMetadata {
    #[serde(rename = "AWSAccountId")]
    account: String,
    key_id: String,
    arn: String,
    creation_date: Seconds,
    enabled: bool,
    description: String,
    key_usage: &'static str,
    key_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_date: Option<Seconds>,
    origin: &'static str,
    key_manager: &'static str,
    customer_master_key_spec: &'static str,
    key_spec: &'static str,
    encryption_algorithms: [&'static str; 1],
    multi_region: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_key_material_id: Option<String>,
}

impl Described {
    pub(crate) fn of(key: &Key) -> Self {
        let deletion_date = match key.state {
            KeyState::PendingDeletion { at } => Some(Seconds(at)),
            KeyState::Enabled | KeyState::Disabled => None,
        };
        let key_metadata = KeyMetadata {
            account: key.account.to_string(),
            key_id: key.id.to_string(),
            arn: key.arn().to_string(),
            creation_date: Seconds(key.created),
            enabled: key.state == KeyState::Enabled,
            description: key.description.clone(),
            key_usage: key.usage.as_str(),
            key_state: key.state.as_str(),
            deletion_date,
            origin: key.origin.as_str(),
            key_manager: key.manager.as_str(),
            customer_master_key_spec: key.spec.as_str(),
            key_spec: key.spec.as_str(),
            // The only algorithm of the only spec there is.
            encryption_algorithms: [key.spec.as_str()],
            multi_region: key.id.is_multi_region(),
            current_key_material_id: key.current_material().map(|material| material.id.to_string()),
        };
        Self { key_metadata }
    }
}
