//! Members that the administration's requests and answers share.

use claviger_domain::ids::SessionName;
use claviger_domain::{AccessKeyId, AccountId, Refusal, RoleName, ServiceName, UserName};
use claviger_service::seals::{SealSecret, Share};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::str::FromStr;
use zeroize::Zeroizing;

use crate::json::Blob;
use crate::validation::{Validator, page_size, present};

/// A secret in an answer: wiped when dropped.
pub(crate) struct SecretText(pub(crate) Zeroizing<String>);

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// `Status` of an access key.
pub(crate) fn status_name(active: bool) -> &'static str {
    if active { "Active" } else { "Inactive" }
}

/// `AccountId`; the caller's account when absent.
pub(crate) fn account(text: Option<&str>) -> Result<Option<AccountId>, Refusal> {
    text.map(|text| read("AccountId", text)).transpose()
}

/// `UserName`.
pub(crate) fn user(text: Option<&str>) -> Result<UserName, Refusal> {
    required("UserName", text)
}

/// `UserName`; the account's root when absent.
pub(crate) fn user_or_root(text: Option<&str>) -> Result<Option<UserName>, Refusal> {
    text.map(|text| read("UserName", text)).transpose()
}

/// `RoleName`.
pub(crate) fn role(text: Option<&str>) -> Result<RoleName, Refusal> {
    required("RoleName", text)
}

/// `RoleSessionName`.
pub(crate) fn session(text: &str) -> Result<SessionName, Refusal> {
    read("RoleSessionName", text)
}

/// `Service`; none for a user that is none.
pub(crate) fn service(text: Option<&str>) -> Result<Option<ServiceName>, Refusal> {
    text.map(|text| read("Service", text)).transpose()
}

/// `AccessKeyId`.
pub(crate) fn access_key(text: Option<&str>) -> Result<AccessKeyId, Refusal> {
    required("AccessKeyId", text)
}

/// `PolicyName`. Source: the IAM `policyNameType` pattern `[\w+=,.@-]+`, 1..128.
pub(crate) fn policy_name(text: Option<String>) -> Result<String, Refusal> {
    let mut check = Validator::new();
    check.required_length("policyName", text.as_ref(), 1, 128);
    check.pattern("policyName", text.as_ref(), "[\\w+=,.@-]+", |name| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
    });
    check.finish()?;
    present(text)
}

/// `Name` of a seal.
pub(crate) fn seal_name(text: Option<String>) -> Result<String, Refusal> {
    let mut check = Validator::new();
    check.required_length("name", text.as_ref(), 1, 64);
    check.pattern("name", text.as_ref(), "[a-z0-9-]+", |name| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    });
    check.finish()?;
    present(text)
}

/// The secret of a seal, of which exactly one kind has to be given. What cannot be taken over is wiped.
pub(crate) fn seal_secret(
    passphrase: Option<SecretIn>,
    key_file: Option<Blob>,
    shares: Option<Vec<SecretIn>>,
) -> Result<SealSecret, Refusal> {
    match (passphrase, key_file, shares) {
        (Some(SecretIn(passphrase)), None, None) => Ok(SealSecret::Passphrase(passphrase)),
        (None, Some(Blob(bytes)), None) => Ok(SealSecret::File(bytes)),
        (None, None, Some(shares)) => {
            let read = |SecretIn(text): &SecretIn| Share::parse(text).map_err(|error| Refusal::invalid(format!("{error}.")));
            shares.iter().take(SHARES_MAX).map(read).collect::<Result<_, _>>().map(SealSecret::Shares)
        }
        _ => Err(Refusal::invalid("The secret of a seal is exactly one of Passphrase, KeyFile and Shares.")),
    }
}

/// More shares than any seal has.
const SHARES_MAX: usize = 64;

/// A secret text in a request: wiped when dropped.
pub(crate) struct SecretIn(pub(crate) Zeroizing<String>);

impl<'de> Deserialize<'de> for SecretIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// `Limit` and `Marker`.
pub(crate) fn page(limit: Option<i64>, marker: Option<String>) -> Result<(usize, Option<String>), Refusal> {
    let mut check = Validator::new();
    check.limit(limit);
    check.marker(marker.as_ref());
    check.finish()?;
    Ok((page_size(limit, 100, 1000), marker))
}

/// A member that has to be there.
pub(crate) fn required<T: FromStr>(member: &str, text: Option<&str>) -> Result<T, Refusal>
where
    T::Err: std::fmt::Display,
{
    let text = text.ok_or_else(|| Refusal::invalid(format!("{member} is required.")))?;
    read(member, text)
}

/// The value of a member.
pub(crate) fn read<T: FromStr>(member: &str, text: &str) -> Result<T, Refusal>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Refusal::invalid(format!("{member} is not valid: {error}.")))
}
