//! The operations of AWS KMS on the wire: one file each, and the table of all of them.

mod algorithms;
mod alias;
mod cancel_key_deletion;
mod connect_custom_key_store;
mod create_alias;
mod create_custom_key_store;
mod create_grant;
mod create_key;
mod custom_key_store;
mod data_key;
mod data_key_pair;
mod decapsulate;
mod decrypt;
mod delete_alias;
mod delete_custom_key_store;
mod delete_imported_key_material;
mod derive_shared_secret;
mod describe_custom_key_stores;
mod describe_key;
mod disable_key;
mod disable_key_rotation;
mod disconnect_custom_key_store;
mod dry_run;
mod enable_key;
mod enable_key_rotation;
mod encapsulate;
mod encrypt;
mod generate_data_key;
mod generate_data_key_pair;
mod generate_data_key_pair_without_plaintext;
mod generate_data_key_without_plaintext;
mod generate_mac;
mod generate_random;
mod get_key_last_usage;
mod get_key_policy;
mod get_key_rotation_status;
mod get_parameters_for_import;
mod get_public_key;
mod grant;
mod import_key_material;
mod key_metadata;
mod list_aliases;
mod list_grants;
mod list_key_policies;
mod list_key_rotations;
mod list_keys;
mod list_resource_tags;
mod list_retirable_grants;
mod names;
mod put_key_policy;
mod re_encrypt;
mod recipient;
mod replicate_key;
mod retire_grant;
mod revoke_grant;
mod rotate_key_on_demand;
mod schedule_key_deletion;
mod sign;
mod tag;
mod tag_resource;
mod untag_resource;
mod update_alias;
mod update_custom_key_store;
mod update_key_description;
mod update_primary_region;
mod verify;
mod verify_mac;

pub(crate) use create_key::usage_of;
pub(crate) use tag::{Tag, read_tags};

use bytes::Bytes;
use claviger_domain::{Caller, Refusal};
use claviger_service::Operation;
use claviger_service::operation::Event;

use crate::door::{Door, unknown_operation};
use crate::errors::json_error;
use crate::json;
use crate::mapping::{Mapping, run};

/// The table: each name with its mapping.
macro_rules! operations {
    ($($name:literal => $mapping:ty,)*) => {
        /// Answers a request for the operation of this name.
        pub(crate) async fn dispatch(door: &Door, name: &str, caller: Caller, body: &Bytes) -> http::Response<Bytes> {
            // Boxed, so that the future of every connection is not as large as that of the largest operation: it is moved for each request.
            match name {
                $($name => Box::pin(run::<$mapping>(door, caller, body)).await,)*
                _ => refuse(door, name, &caller).await,
            }
        }

        /// How the operation of this name appears in the audit log.
        pub(crate) fn event_named(name: &str) -> Event {
            match name {
                $($name => <$mapping as Mapping>::Operation::EVENT,)*
                _ => Event::kms_read("Unknown"),
            }
        }

        /// Reads a body as the request of the operation of this name, and drops it: for fuzzing.
        pub(crate) fn read_request_body(name: &str, body: &[u8]) -> Result<(), Refusal> {
            match name {
                $($name => json::read(body).and_then(<$mapping>::decode).map(drop),)*
                _ => Err(unknown_operation()),
            }
        }

        /// The names in the table.
        pub(crate) const OFFERED: &[&str] = &[$($name,)*];
    };
}

operations! {
    "CancelKeyDeletion" => cancel_key_deletion::CancelKeyDeletion,
    "ConnectCustomKeyStore" => connect_custom_key_store::ConnectCustomKeyStore,
    "CreateAlias" => create_alias::CreateAlias,
    "CreateCustomKeyStore" => create_custom_key_store::CreateCustomKeyStore,
    "CreateGrant" => create_grant::CreateGrant,
    "CreateKey" => create_key::CreateKey,
    "Decapsulate" => decapsulate::Decapsulate,
    "Decrypt" => decrypt::Decrypt,
    "DeleteAlias" => delete_alias::DeleteAlias,
    "DeleteCustomKeyStore" => delete_custom_key_store::DeleteCustomKeyStore,
    "DeleteImportedKeyMaterial" => delete_imported_key_material::DeleteImportedKeyMaterial,
    "DeriveSharedSecret" => derive_shared_secret::DeriveSharedSecret,
    "DescribeCustomKeyStores" => describe_custom_key_stores::DescribeCustomKeyStores,
    "DescribeKey" => describe_key::DescribeKey,
    "DisableKey" => disable_key::DisableKey,
    "DisableKeyRotation" => disable_key_rotation::DisableKeyRotation,
    "DisconnectCustomKeyStore" => disconnect_custom_key_store::DisconnectCustomKeyStore,
    "EnableKey" => enable_key::EnableKey,
    "EnableKeyRotation" => enable_key_rotation::EnableKeyRotation,
    "Encapsulate" => encapsulate::Encapsulate,
    "Encrypt" => encrypt::Encrypt,
    "GenerateDataKey" => generate_data_key::GenerateDataKey,
    "GenerateDataKeyPair" => generate_data_key_pair::GenerateDataKeyPair,
    "GenerateDataKeyPairWithoutPlaintext" => generate_data_key_pair_without_plaintext::GenerateDataKeyPairWithoutPlaintext,
    "GenerateDataKeyWithoutPlaintext" => generate_data_key_without_plaintext::GenerateDataKeyWithoutPlaintext,
    "GenerateMac" => generate_mac::GenerateMac,
    "GenerateRandom" => generate_random::GenerateRandom,
    "GetKeyLastUsage" => get_key_last_usage::GetKeyLastUsage,
    "GetKeyPolicy" => get_key_policy::GetKeyPolicy,
    "GetKeyRotationStatus" => get_key_rotation_status::GetKeyRotationStatus,
    "GetParametersForImport" => get_parameters_for_import::GetParametersForImport,
    "GetPublicKey" => get_public_key::GetPublicKey,
    "ImportKeyMaterial" => import_key_material::ImportKeyMaterial,
    "ListAliases" => list_aliases::ListAliases,
    "ListGrants" => list_grants::ListGrants,
    "ListKeyPolicies" => list_key_policies::ListKeyPolicies,
    "ListKeyRotations" => list_key_rotations::ListKeyRotations,
    "ListKeys" => list_keys::ListKeys,
    "ListResourceTags" => list_resource_tags::ListResourceTags,
    "ListRetirableGrants" => list_retirable_grants::ListRetirableGrants,
    "PutKeyPolicy" => put_key_policy::PutKeyPolicy,
    "ReEncrypt" => re_encrypt::ReEncrypt,
    "ReplicateKey" => replicate_key::ReplicateKey,
    "RetireGrant" => retire_grant::RetireGrant,
    "RevokeGrant" => revoke_grant::RevokeGrant,
    "RotateKeyOnDemand" => rotate_key_on_demand::RotateKeyOnDemand,
    "ScheduleKeyDeletion" => schedule_key_deletion::ScheduleKeyDeletion,
    "Sign" => sign::Sign,
    "TagResource" => tag_resource::TagResource,
    "UntagResource" => untag_resource::UntagResource,
    "UpdateAlias" => update_alias::UpdateAlias,
    "UpdateCustomKeyStore" => update_custom_key_store::UpdateCustomKeyStore,
    "UpdateKeyDescription" => update_key_description::UpdateKeyDescription,
    "UpdatePrimaryRegion" => update_primary_region::UpdatePrimaryRegion,
    "Verify" => verify::Verify,
    "VerifyMac" => verify_mac::VerifyMac,
}

async fn refuse(door: &Door, name: &str, caller: &Caller) -> http::Response<Bytes> {
    let refusal = door.record(&caller.request, Some(caller), None, event_named(name), unknown_operation()).await;
    door.meters.refused_before_operation(&refusal);
    json_error(&refusal, caller.request.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_the_model_is_offered() {
        // AWS KMS has 56 operations (botocore 1.44).
        let mut all: Vec<_> = OFFERED.iter().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 56);
    }
}
