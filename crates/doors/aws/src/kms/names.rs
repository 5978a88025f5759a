//! The closed lists of names in the service model that are wider than what this deployment offers.

use claviger_domain::key::EncryptionAlgorithm;
use claviger_domain::{MaterialId, Region};

use crate::validation::Validator;

/// `KeySpec`.
pub(crate) const KEY_SPECS: &[&str] = &[
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "SYMMETRIC_DEFAULT",
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "SM2",
    "ML_DSA_44",
    "ML_DSA_65",
    "ML_DSA_87",
    "ECC_NIST_EDWARDS25519",
    "ML_KEM_512",
    "ML_KEM_768",
    "ML_KEM_1024",
];

/// `CustomerMasterKeySpec`: the specs that there were when it was given up for `KeySpec`.
pub(crate) const CUSTOMER_MASTER_KEY_SPECS: &[&str] = &[
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "SYMMETRIC_DEFAULT",
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "SM2",
];

/// `KeyUsageType`.
pub(crate) const KEY_USAGES: &[&str] =
    &["SIGN_VERIFY", "ENCRYPT_DECRYPT", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT", "ENCAPSULATE_DECAPSULATE"];

/// `OriginType`.
pub(crate) const ORIGINS: &[&str] = &["AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"];

/// `AlgorithmSpec`.
pub(crate) const WRAPPING_ALGORITHMS: &[&str] = &[
    "RSAES_PKCS1_V1_5",
    "RSAES_OAEP_SHA_1",
    "RSAES_OAEP_SHA_256",
    "RSA_AES_KEY_WRAP_SHA_1",
    "RSA_AES_KEY_WRAP_SHA_256",
    "SM2PKE",
];

/// `WrappingKeySpec`.
pub(crate) const WRAPPING_KEY_SPECS: &[&str] = &["RSA_2048", "RSA_3072", "RSA_4096", "SM2"];

/// `ExpirationModelType`.
pub(crate) const EXPIRATION_MODELS: &[&str] = &["KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE"];

/// `ImportType`.
pub(crate) const IMPORT_TYPES: &[&str] = &["NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL"];

/// Checks a member of type `RegionType` against the model, and reads it once the check has been finished.
pub(crate) fn read_region(check: &mut Validator, field: &str, name: Option<&String>) -> Option<Region> {
    check.required_length(field, name, 1, 32);
    check.pattern(field, name, "^([a-z]+-){2,3}\\d+$", looks_like_a_region);
    name.and_then(|name| name.parse().ok())
}

/// Two or three words, and a number.
fn looks_like_a_region(name: &str) -> bool {
    let Some((words, number)) = name.rsplit_once('-') else { return false };
    let all = |text: &str, fits: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|byte| fits(&byte));
    (2..=3).contains(&words.split('-').count())
        && words.split('-').all(|word| all(word, u8::is_ascii_lowercase))
        && all(number, u8::is_ascii_digit)
}

/// Checks the member `Policy` against the model.
pub(crate) fn check_policy(check: &mut Validator, policy: Option<&String>) {
    check.length("policy", policy, 1, 131_072);
    check.pattern("policy", policy, "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+", |text| {
        text.chars().all(|letter| matches!(letter, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}'))
    });
}

/// Checks the member `PolicyName` against the model.
pub(crate) fn check_policy_name(check: &mut Validator, name: Option<&String>) {
    check.length("policyName", name, 1, 128);
    check.pattern("policyName", name, "[\\w]+", |name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
}

/// Which material was used, which AWS tells for symmetric keys only.
pub(crate) fn key_material_id(algorithm: EncryptionAlgorithm, material: MaterialId) -> Option<String> {
    (algorithm == EncryptionAlgorithm::SymmetricDefault).then(|| material.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_those_of_the_model() {
        for name in ["us-east-1", "ap-southeast-2", "us-gov-west-1", "xx-test-123"] {
            assert!(looks_like_a_region(name), "{name}");
        }
        for name in
            ["", "us", "us-1", "us-east", "us-east-", "us-east-1a", "US-EAST-1", "us--1", "-us-east-1", "a-b-c-d-1", "us_east-1"]
        {
            assert!(!looks_like_a_region(name), "{name}");
        }
    }
}
