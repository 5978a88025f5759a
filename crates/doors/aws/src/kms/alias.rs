//! Alias names in requests.

use claviger_domain::{AliasName, Refusal};

use crate::validation::Validator;

const PATTERN: &str = "^[a-zA-Z0-9:/_-]+$";

/// Checks the member `AliasName` against the model.
pub(crate) fn check_alias(check: &mut Validator, name: Option<&String>) {
    check.required_length("aliasName", name, 1, 256);
    check.pattern("aliasName", name, PATTERN, |name| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'/' | b'_' | b'-'))
    });
}

/// The name, with its prefix.
///
/// # Errors
/// `Invalid` when the prefix is missing or nothing follows it.
pub(crate) fn read_alias(name: &str) -> Result<AliasName, Refusal> {
    if !name.starts_with("alias/") {
        return Err(Refusal::invalid(
            "Alias must start with the prefix \"alias/\". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        ));
    }
    name.parse().map_err(|_| Refusal::new(claviger_domain::Kind::InvalidAliasName, "Alias is not valid"))
}
