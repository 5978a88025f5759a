//! The operations of AWS KMS.

mod cancel_key_deletion;
mod create_alias;
mod create_key;
mod decrypt;
mod delete_alias;
mod describe_key;
mod disable_key;
mod disable_key_rotation;
mod enable_key;
mod enable_key_rotation;
mod encrypt;
mod generate_data_key;
mod generate_data_key_without_plaintext;
mod generate_random;
mod get_key_last_usage;
mod get_key_policy;
mod get_key_rotation_status;
mod list_aliases;
mod list_key_policies;
mod list_key_rotations;
mod list_keys;
mod list_resource_tags;
mod put_key_policy;
mod re_encrypt;
mod rotate_key_on_demand;
mod schedule_key_deletion;
mod tag_resource;
mod untag_resource;
mod update_alias;
mod update_key_description;

mod ciphertext;
mod encryption_conditions;
mod policy_check;
mod service_managed_key;
mod state;
mod tags;

pub use cancel_key_deletion::CancelKeyDeletion;
pub use create_alias::CreateAlias;
pub use create_key::CreateKey;
pub use decrypt::{Decrypt, Decrypted};
pub use delete_alias::DeleteAlias;
pub use describe_key::DescribeKey;
pub use disable_key::DisableKey;
pub use disable_key_rotation::DisableKeyRotation;
pub use enable_key::EnableKey;
pub use enable_key_rotation::EnableKeyRotation;
pub use encrypt::{Encrypt, Encrypted};
pub use generate_data_key::{DataKey, GenerateDataKey};
pub use generate_data_key_without_plaintext::{GenerateDataKeyWithoutPlaintext, SealedDataKey};
pub use generate_random::GenerateRandom;
pub use get_key_last_usage::{GetKeyLastUsage, KeyLastUsage};
pub use get_key_policy::GetKeyPolicy;
pub use get_key_rotation_status::{GetKeyRotationStatus, RotationStatus};
pub use list_aliases::ListAliases;
pub use list_key_policies::ListKeyPolicies;
pub use list_key_rotations::{KeyRotations, ListKeyRotations, ListedMaterial};
pub use list_keys::ListKeys;
pub use list_resource_tags::ListResourceTags;
pub use put_key_policy::PutKeyPolicy;
pub use re_encrypt::{ReEncrypt, ReEncrypted};
pub use rotate_key_on_demand::RotateKeyOnDemand;
pub use schedule_key_deletion::{ScheduleKeyDeletion, ScheduledDeletion};
pub use tag_resource::TagResource;
pub use untag_resource::UntagResource;
pub use update_alias::UpdateAlias;
pub use update_key_description::UpdateKeyDescription;

pub use crate::marker::Page;

/// The operations that use keys for cryptography, by their names in the audit log.
pub(crate) const USING_KEYS: &[&str] = &["Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"];
