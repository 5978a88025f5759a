//! Amazon Resource Names of keys and aliases, and the four ways in which a request may name a key.

use std::fmt;

use crate::ids::{AccountId, AliasName, KeyId, Region};
use crate::refusal::Refusal;

/// `arn:aws:kms:REGION:ACCOUNT:key/ID`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyArn {
    /// The Region in which the key lives.
    pub region: Region,
    /// The account that owns the key.
    pub account: AccountId,
    /// The key's id.
    pub key: KeyId,
}

impl fmt::Display for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:kms:{}:{}:key/{}", self.region, self.account, self.key)
    }
}

/// `arn:aws:kms:REGION:ACCOUNT:alias/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AliasArn {
    /// The Region in which the alias lives.
    pub region: Region,
    /// The account that owns the alias.
    pub account: AccountId,
    /// The alias, prefix included.
    pub alias: AliasName,
}

impl fmt::Display for AliasArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:kms:{}:{}:{}", self.region, self.account, self.alias)
    }
}

/// How a request names a key. Source: the `KeyId` parameter of the AWS KMS API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyReference {
    /// A key id in the caller's account and Region.
    Id(KeyId),
    /// A key ARN, perhaps of another account.
    Arn(KeyArn),
    /// An alias in the caller's account and Region.
    Alias(AliasName),
    /// An alias ARN, perhaps of another account.
    AliasArn(AliasArn),
}

impl KeyReference {
    /// Reads any of the four forms.
    ///
    /// # Errors
    /// `NotFound` with AWS's text for what is none of them: a key that cannot exist does not exist.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let invalid = || Refusal::not_found(format!("Invalid keyId '{text}'"));
        if text.starts_with("arn:") {
            return Self::parse_arn(text).ok_or_else(|| Refusal::invalid_arn(format!("Invalid arn '{text}'")));
        }
        if text.starts_with("alias/") {
            return text.parse().map(Self::Alias).map_err(|_| invalid());
        }
        text.parse().map(Self::Id).map_err(|_| invalid())
    }

    /// Reads a key id or key ARN, for the operations that do not take aliases.
    ///
    /// # Errors
    /// `NotFound` for aliases and for what is no reference at all.
    pub fn parse_without_alias(text: &str) -> Result<Self, Refusal> {
        match Self::parse(text)? {
            Self::Alias(_) | Self::AliasArn(_) => Err(Refusal::not_found(format!("Invalid keyId '{text}'"))),
            reference => Ok(reference),
        }
    }

    fn parse_arn(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let prefix = (parts.next()?, parts.next()?, parts.next()?);
        if prefix != ("arn", "aws", "kms") {
            return None;
        }
        let region = parts.next()?.parse().ok()?;
        let account = parts.next()?.parse().ok()?;
        let resource = parts.next()?;
        if let Some(id) = resource.strip_prefix("key/") {
            return Some(Self::Arn(KeyArn { region, account, key: id.parse().ok()? }));
        }
        Some(Self::AliasArn(AliasArn { region, account, alias: resource.parse().ok()? }))
    }
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Arn(arn) => arn.fmt(f),
            Self::Alias(alias) => alias.fmt(f),
            Self::AliasArn(arn) => arn.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "alias/a",
            "arn:aws:kms:eu-west-1:111122223333:alias/a/b:c",
        ] {
            assert_eq!(KeyReference::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_reference() {
        for text in ["", "x", "alias/", "arn:aws:s3:us-east-1:111122223333:key/x", "arn:", "arn:aws:kms:us-east-1:1:key/x"] {
            assert!(KeyReference::parse(text).is_err(), "{text}");
        }
        assert!(KeyReference::parse_without_alias("alias/a").is_err());
    }
}
