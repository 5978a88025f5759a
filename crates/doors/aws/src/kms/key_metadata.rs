//! `KeyMetadata`, as CreateKey and DescribeKey answer it.

use claviger_domain::key::{Key, KeySpec, KeyState, MultiRegion};
use claviger_domain::{KeyArn, Region};
use serde::Serialize;

use super::algorithms::Algorithms;
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

/// Members that a key does not have are absent, never null or empty.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeyMetadata {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_deletion_window_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_model: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to: Option<Seconds>,
    origin: &'static str,
    key_manager: &'static str,
    customer_master_key_spec: &'static str,
    key_spec: &'static str,
    #[serde(flatten)]
    algorithms: Algorithms,
    multi_region: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_region_configuration: Option<MultiRegionConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_key_material_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_key_store_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_hsm_cluster_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xks_key_configuration: Option<XksKeyConfiguration>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct XksKeyConfiguration {
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MultiRegionConfiguration {
    multi_region_key_type: &'static str,
    primary_key: MultiRegionKey,
    replica_keys: Vec<MultiRegionKey>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MultiRegionKey {
    arn: String,
    region: String,
}

impl Described {
    pub(crate) fn of(key: &Key) -> Self {
        Self { key_metadata: KeyMetadata::of(key) }
    }
}

impl KeyMetadata {
    pub(crate) fn of(key: &Key) -> Self {
        let mut metadata = Self {
            account: key.account.to_string(),
            key_id: key.id.to_string(),
            arn: key.arn().to_string(),
            creation_date: Seconds(key.created),
            enabled: key.state == KeyState::Enabled,
            description: key.description.clone(),
            key_usage: key.usage.as_str(),
            key_state: key.state.as_str(),
            origin: key.origin.as_str(),
            key_manager: key.manager.as_str(),
            customer_master_key_spec: key.spec.as_str(),
            key_spec: key.spec.as_str(),
            algorithms: Algorithms::of(key.spec, key.usage),
            multi_region: key.id.is_multi_region(),
            multi_region_configuration: key.multi_region.as_ref().map(|kin| MultiRegionConfiguration::of(key, kin)),
            custom_key_store_id: key.home.as_ref().map(|home| home.store.to_string()),
            cloud_hsm_cluster_id: key.home.as_ref().and_then(|home| home.cluster.clone()),
            xks_key_configuration: key.home.as_ref().and_then(|home| home.xks_key.clone()).map(|id| XksKeyConfiguration { id }),
            // AWS tells it for symmetric encryption keys only, and not for those in custom key stores.
            current_key_material_id: key
                .current_material()
                .filter(|_| key.spec == KeySpec::SymmetricDefault && key.home.is_none())
                .map(|material| material.id.to_string()),
            ..Self::default()
        };
        metadata.deletion_date = key.state.deletion_date().map(Seconds);
        if let KeyState::PendingReplicaDeletion { window_days } = key.state {
            metadata.pending_deletion_window_in_days = Some(window_days);
        }
        if let Some((model, valid_to)) = key.expiration() {
            metadata.expiration_model = Some(model.as_str());
            metadata.valid_to = valid_to.map(Seconds);
        }
        metadata
    }
}

impl MultiRegionConfiguration {
    fn of(key: &Key, kin: &MultiRegion) -> Self {
        let relative = |region: &Region| MultiRegionKey {
            arn: KeyArn { region: region.clone(), account: key.account, key: key.id }.to_string(),
            region: region.to_string(),
        };
        Self {
            multi_region_key_type: if kin.primary == key.region { "PRIMARY" } else { "REPLICA" },
            primary_key: relative(&kin.primary),
            replica_keys: kin.replicas.iter().map(relative).collect(),
        }
    }
}
