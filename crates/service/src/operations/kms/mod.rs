//! The operations of AWS KMS.

mod cancel_key_deletion;
mod connect_custom_key_store;
mod create_alias;
mod create_custom_key_store;
mod create_grant;
mod create_key;
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
mod import_key_material;
mod list_aliases;
mod list_grants;
mod list_key_policies;
mod list_key_rotations;
mod list_keys;
mod list_resource_tags;
mod list_retirable_grants;
mod put_key_policy;
mod re_encrypt;
mod replicate_key;
mod retire_grant;
mod revoke_grant;
mod rotate_key_on_demand;
mod schedule_key_deletion;
mod sign;
mod tag_resource;
mod untag_resource;
mod update_alias;
mod update_custom_key_store;
mod update_key_description;
mod update_primary_region;
mod verify;
mod verify_mac;

mod asymmetric_encryption;
mod ciphertext;
mod encryption_conditions;
mod grant_conditions;
mod imports;
mod in_key_store;
pub(crate) mod policy_check;
mod service_managed_key;
pub(crate) use service_managed_key::policy_in_force;
mod signing;
mod state;
pub(crate) mod tags;

pub use cancel_key_deletion::CancelKeyDeletion;
pub use connect_custom_key_store::ConnectCustomKeyStore;
pub use create_alias::CreateAlias;
pub use create_custom_key_store::{CreateCustomKeyStore, NewBacking};
pub use create_grant::{CreateGrant, CreatedGrant};
pub use create_key::CreateKey;
pub use decapsulate::{Decapsulate, DecapsulatedSecret};
pub use decrypt::{Decrypt, Decrypted};
pub use delete_alias::DeleteAlias;
pub use delete_custom_key_store::DeleteCustomKeyStore;
pub use delete_imported_key_material::DeleteImportedKeyMaterial;
pub use derive_shared_secret::{DeriveSharedSecret, SharedSecret};
pub use describe_custom_key_stores::{DescribeCustomKeyStores, WhichKeyStores};
pub use describe_key::DescribeKey;
pub use disable_key::DisableKey;
pub use disable_key_rotation::DisableKeyRotation;
pub use disconnect_custom_key_store::DisconnectCustomKeyStore;
pub use enable_key::EnableKey;
pub use enable_key_rotation::EnableKeyRotation;
pub use encapsulate::{Encapsulate, EncapsulatedSecret};
pub use encrypt::{Encrypt, Encrypted};
pub use generate_data_key::{DataKey, GenerateDataKey};
pub use generate_data_key_pair::{DataKeyPair, GenerateDataKeyPair};
pub use generate_data_key_pair_without_plaintext::{GenerateDataKeyPairWithoutPlaintext, SealedDataKeyPair};
pub use generate_data_key_without_plaintext::{GenerateDataKeyWithoutPlaintext, SealedDataKey};
pub use generate_mac::{GenerateMac, MadeMac};
pub use generate_random::GenerateRandom;
pub use get_key_last_usage::{GetKeyLastUsage, KeyLastUsage};
pub use get_key_policy::GetKeyPolicy;
pub use get_key_rotation_status::{GetKeyRotationStatus, RotationStatus};
pub use get_parameters_for_import::{GetParametersForImport, ParametersForImport};
pub use get_public_key::{GetPublicKey, PublicKey};
pub use import_key_material::{ImportKeyMaterial, ImportedKeyMaterial};
pub use list_aliases::ListAliases;
pub use list_grants::ListGrants;
pub use list_key_policies::ListKeyPolicies;
pub use list_key_rotations::{KeyRotations, ListKeyRotations, ListedImport, ListedMaterial};
pub use list_keys::ListKeys;
pub use list_resource_tags::ListResourceTags;
pub use list_retirable_grants::ListRetirableGrants;
pub use put_key_policy::PutKeyPolicy;
pub use re_encrypt::{ReEncrypt, ReEncrypted};
pub use replicate_key::ReplicateKey;
pub use retire_grant::{GrantReference, RetireGrant};
pub use revoke_grant::RevokeGrant;
pub use rotate_key_on_demand::RotateKeyOnDemand;
pub use schedule_key_deletion::{ScheduleKeyDeletion, ScheduledDeletion};
pub use sign::{Sign, Signed};
pub use tag_resource::TagResource;
pub use untag_resource::UntagResource;
pub use update_alias::UpdateAlias;
pub use update_custom_key_store::{ClusterUpdate, ProxyUpdate, UpdateCustomKeyStore};
pub use update_key_description::UpdateKeyDescription;
pub use update_primary_region::UpdatePrimaryRegion;
pub use verify::{Verified, Verify};
pub use verify_mac::{VerifiedMac, VerifyMac};

pub use in_key_store::InKeyStore;

pub use crate::marker::Page;
pub use crate::recipient::{Recipient, Released};

/// The actions that policies name. Source: AWS Service Authorization Reference, "Actions defined by AWS Key Management Service".
pub const ACTIONS: &[&str] = &[
    "kms:CancelKeyDeletion",
    "kms:ConnectCustomKeyStore",
    "kms:CreateAlias",
    "kms:CreateCustomKeyStore",
    "kms:CreateGrant",
    "kms:CreateKey",
    "kms:Decapsulate",
    "kms:Decrypt",
    "kms:DeleteAlias",
    "kms:DeleteCustomKeyStore",
    "kms:DeleteImportedKeyMaterial",
    "kms:DeriveSharedSecret",
    "kms:DescribeCustomKeyStores",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:DisconnectCustomKeyStore",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:Encapsulate",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GenerateMac",
    "kms:GenerateRandom",
    "kms:GetKeyLastUsage",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:GetParametersForImport",
    "kms:GetPublicKey",
    "kms:ImportKeyMaterial",
    "kms:ListAliases",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListKeys",
    "kms:ListResourceTags",
    "kms:ListRetirableGrants",
    "kms:PutKeyPolicy",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:ReplicateKey",
    "kms:RetireGrant",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:Sign",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateCustomKeyStore",
    "kms:UpdateKeyDescription",
    "kms:UpdatePrimaryRegion",
    "kms:Verify",
    "kms:VerifyMac",
];

/// The operations that use keys for cryptography, by their names in the audit log.
pub(crate) const USING_KEYS: &[&str] = &[
    "Decapsulate",
    "Decrypt",
    "DeriveSharedSecret",
    "Encapsulate",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "ReEncrypt",
    "Sign",
    "Verify",
    "VerifyMac",
];
