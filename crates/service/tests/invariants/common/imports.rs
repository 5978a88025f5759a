//! The ceremony of an import, as the owner of material goes through it.

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use claviger_domain::key::{ExpirationModel, Origin, WrappingAlgorithm, WrappingKeySpec};
use claviger_domain::{Caller, KeyArn};
use claviger_service::operations::kms;

use super::{Node, by_arn, create_key};

/// A key that waits for its material.
pub(crate) async fn create_external_key(node: &Node, caller: &Caller, policy: Option<String>) -> KeyArn {
    let operation = kms::CreateKey { origin: Origin::External, ..create_key(policy) };
    node.service.perform(&node.again(caller), &operation).await.unwrap().arn()
}

pub(crate) fn parameters(key: &KeyArn) -> kms::GetParametersForImport {
    kms::GetParametersForImport {
        key: by_arn(key),
        algorithm: WrappingAlgorithm::RsaesOaepSha256,
        wrapping_key_spec: WrappingKeySpec::Rsa2048,
    }
}

pub(crate) async fn begin(node: &Node, caller: &Caller, key: &KeyArn) -> kms::ParametersForImport {
    node.service.perform(&node.again(caller), &parameters(key)).await.unwrap()
}

/// Material as it travels.
pub(crate) fn wrap(public_key: &[u8], material: &[u8]) -> Vec<u8> {
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(public_key).unwrap()).unwrap();
    let mut wrapped = vec![0; key.ciphertext_size()];
    key.encrypt(&OAEP_SHA256_MGF1SHA256, material, &mut wrapped, None).unwrap().to_vec()
}

/// A new token for this key, and this material wrapped for it.
pub(crate) async fn wrapped(node: &Node, caller: &Caller, key: &KeyArn, material: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let parameters = begin(node, caller, key).await;
    let wrapped = wrap(&parameters.public_key, material);
    (parameters.token, wrapped)
}

/// The import of material that stays.
pub(crate) fn import(key: &KeyArn, token: Vec<u8>, wrapped: Vec<u8>) -> kms::ImportKeyMaterial {
    kms::ImportKeyMaterial {
        key: by_arn(key),
        token,
        wrapped,
        expiration_model: ExpirationModel::DoesNotExpire,
        valid_to: None,
        import_type: None,
        description: None,
        material: None,
    }
}
