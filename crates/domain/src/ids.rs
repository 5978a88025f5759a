//! The names of things. Each is parsed once, at the edge, and is valid from then on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// A text that is not a valid id of the kind it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId {
    /// What the text should have been, with its rule: "an account id (12 digits)".
    pub expected: &'static str,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is not {}", self.expected)
    }
}

impl std::error::Error for InvalidId {}

/// Serializes an id as the text that `Display` writes and `FromStr` reads.
macro_rules! serde_as_text {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

/// A tenant: 12 decimal digits, as AWS writes account ids.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(u64);

impl AccountId {
    /// The deployment's own account, `000000000000`: it holds the administrator and the records that belong to no tenant.
    pub const DEPLOYMENT: AccountId = AccountId(0);

    const LIMIT: u64 = 1_000_000_000_000;

    /// The account with this number, if it has at most 12 digits.
    pub fn from_number(number: u64) -> Option<Self> {
        (number < Self::LIMIT).then_some(Self(number))
    }

    /// The number whose 12 digits are this id.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl FromStr for AccountId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { expected: "an account id (12 digits)" };
        if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid);
        }
        text.parse().ok().and_then(Self::from_number).ok_or(invalid)
    }
}

serde_as_text!(AccountId);

/// A namespace for keys and aliases, taken from the scope of the request's signature: `us-east-1`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Arc<str>);

impl Region {
    /// What stands for the Region of a request that did not name one which could be read.
    pub fn unknown() -> Self {
        Self("unknown".into())
    }

    /// The Region of this name, or [`Region::unknown`].
    pub fn or_unknown(name: &str) -> Self {
        name.parse().unwrap_or_else(|_| Self::unknown())
    }

    /// The name, such as `us-east-1`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Region {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits =
            (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.into())) } else { Err(InvalidId { expected: "a Region (1 to 32 of a-z, 0-9 and -)" }) }
    }
}

serde_as_text!(Region);

/// A key's id: a UUID, or `mrk-` and 32 hex digits for a multi-Region key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId {
    uuid: Uuid,
    multi_region: bool,
}

impl KeyId {
    /// The id of a single-Region key.
    pub fn single_region(uuid: Uuid) -> Self {
        Self { uuid, multi_region: false }
    }

    /// The id of a multi-Region key.
    pub fn multi_region(uuid: Uuid) -> Self {
        Self { uuid, multi_region: true }
    }

    /// The 16 bytes that stand for this key in a ciphertext.
    pub fn uuid(self) -> Uuid {
        self.uuid
    }

    /// Whether the key may have replicas in other Regions.
    pub fn is_multi_region(self) -> bool {
        self.multi_region
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.multi_region { write!(f, "mrk-{}", self.uuid.simple()) } else { write!(f, "{}", self.uuid) }
    }
}

impl FromStr for KeyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { expected: "a key id (a UUID, or mrk- and 32 hex digits)" };
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        match text.strip_prefix("mrk-") {
            Some(hex) if hex.len() == 32 && lower => Uuid::try_parse(hex).map(Self::multi_region),
            None if text.len() == 36 && lower => Uuid::try_parse(text).map(Self::single_region),
            _ => return Err(invalid),
        }
        .map_err(|_| invalid)
    }
}

serde_as_text!(KeyId);

/// One version of a key's material: a hash of the key's id and the material, 64 hex digits in protocols.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MaterialId([u8; 32]);

impl MaterialId {
    /// The id with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// All 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 16 bytes, which name the material in a ciphertext envelope.
    pub fn short(&self) -> [u8; 16] {
        let mut short = [0; 16];
        short.copy_from_slice(self.0.split_at(16).0);
        short
    }
}

impl fmt::Display for MaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for MaterialId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidId { expected: "a key material id (64 hex digits)" })?;
        Ok(Self(bytes))
    }
}

serde_as_text!(MaterialId);

/// One grant: 64 hex digits in protocols, random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId([u8; 32]);

impl GrantId {
    /// The id with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for GrantId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidId { expected: "a grant id (64 hex digits)" })?;
        Ok(Self(bytes))
    }
}

serde_as_text!(GrantId);

/// A text with a rule for its length and characters, kept as it was written.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let fits: fn(&str) -> bool = $fits;
                if fits(text) { Ok(Self(text.into())) } else { Err(InvalidId { expected: $expected }) }
            }
        }

        serde_as_text!($name);
    };
}

text_id!(
    /// An alias with its prefix: `alias/payroll`.
    AliasName,
    "an alias name (alias/ and 1 to 250 of a-z, A-Z, 0-9, :, /, _ and -)",
    |text| {
        text.len() <= 256
            && text.strip_prefix("alias/").is_some_and(|rest| {
                !rest.is_empty()
                    && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'_' | b'-'))
            })
    }
);

impl AliasName {
    /// Whether the name belongs to the keys that the service makes itself (`alias/aws/...`).
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("alias/aws/")
    }
}

text_id!(
    /// The public half of a credential: `AKIA` and 16 letters or digits. Source: the IAM `AccessKeyId` pattern `[\w]*`, 16..128.
    AccessKeyId,
    "an access key id (16 to 128 letters and digits)",
    |text| (16..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
);

text_id!(
    /// A user's name within its account. Source: the IAM `UserName` pattern `[\w+=,.@-]+`, 1..64.
    UserName,
    "a user name (1 to 64 of letters, digits and _+=,.@-)",
    |text| (1..=64).contains(&text.len()) && is_iam_name(text)
);

text_id!(
    /// A role's name within its account. Source: the IAM `roleNameType` pattern `[\w+=,.@-]+`, 1..64.
    RoleName,
    "a role name (1 to 64 of letters, digits and _+=,.@-)",
    |text| (1..=64).contains(&text.len()) && is_iam_name(text)
);

text_id!(
    /// The name that somebody gives to a session of a role. Source: the STS `roleSessionNameType` pattern `[\w+=,.@-]*`, 2..64.
    SessionName,
    "a session name (2 to 64 of letters, digits and _+=,.@-)",
    |text| (2..=64).contains(&text.len()) && is_iam_name(text)
);

text_id!(
    /// A service as policies name it: `s3.amazonaws.com`. Any name of the domain name system that has a dot.
    ServiceName,
    "a service's name (1 to 128 of a-z, 0-9, - and ., with a dot inside, such as s3.amazonaws.com)",
    |text| {
        text.len() <= 128
            && text.contains('.')
            && text.split('.').all(|label| {
                !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })
    }
);

impl ServiceName {
    /// What the condition key `kms:ViaService` says of the service in a Region: `s3.us-east-1.amazonaws.com`. Names that are of a Region
    /// already, and names outside of `amazonaws.com`, stay as they are.
    pub fn in_region(&self, region: &Region) -> String {
        match self.0.strip_suffix(".amazonaws.com") {
            Some(service) if !service.contains('.') => format!("{service}.{region}.amazonaws.com"),
            _ => self.0.to_string(),
        }
    }
}

text_id!(
    /// The name of a hold-your-own-key store within its account.
    HyokStoreName,
    "a key store's name (1 to 64 of letters, digits, - and _)",
    |text| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
);

text_id!(
    /// What a cloud calls a key that it does not hold. Source: AWS KMS External Keystore Proxy API Specification, `externalKeyId`.
    ExternalKeyId,
    "an external key id (1 to 128 of letters, digits, -, . and _)",
    |text| {
        (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    }
);

text_id!(
    /// Where a cloud finds a hold-your-own-key store: AWS's `XksProxyUriPath`, an optional prefix and `/kms/xks/v1`. Source: AWS KMS External
    /// Keystore Proxy API Specification, "API operations".
    StorePath,
    "a key store's path (at most 128 of letters, digits, /, - and _: /PREFIX/kms/xks/v1, the prefix without empty parts)",
    |text| {
        let prefix = text.strip_suffix(StorePath::ENDING).and_then(|prefix| match prefix.strip_prefix('/') {
            None if prefix.is_empty() => Some("any"),
            rest => rest,
        });
        text.len() <= 128
            && prefix.is_some_and(|prefix| {
                prefix.split('/').all(|part| {
                    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                })
            })
    }
);

impl StorePath {
    /// What every path ends with, in version 1 of the specification.
    pub const ENDING: &'static str = "/kms/xks/v1";
}

/// The characters of names in IAM and STS: `[\w+=,.@-]*`.
fn is_iam_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_are_twelve_digits() {
        assert_eq!("000000000042".parse::<AccountId>().unwrap().to_string(), "000000000042");
        for wrong in ["", "42", "12345678901a", "1234567890123", "+12345678901"] {
            assert!(wrong.parse::<AccountId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn key_ids_keep_their_form() {
        for text in ["1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab"] {
            assert_eq!(text.parse::<KeyId>().unwrap().to_string(), text);
        }
        for wrong in ["", "mrk-", "1234ABCD-12ab-34cd-56ef-1234567890ab", "1234abcd12ab34cd56ef1234567890ab", "alias/x"] {
            assert!(wrong.parse::<KeyId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn alias_names_need_prefix_and_rest() {
        assert!("alias/a:b/c_d-e".parse::<AliasName>().is_ok());
        for wrong in ["alias/", "alia/x", "x", "alias/ü", "alias/a b"] {
            assert!(wrong.parse::<AliasName>().is_err(), "{wrong}");
        }
        assert!("alias/aws/s3".parse::<AliasName>().unwrap().is_reserved());
    }

    #[test]
    fn paths_of_stores_have_one_form() {
        for text in ["/kms/xks/v1", "/a/kms/xks/v1", "/stores/4a0d79d6-1d1b/x_Y/kms/xks/v1"] {
            assert_eq!(text.parse::<StorePath>().unwrap().as_str(), text);
        }
        let long = format!("/{}/kms/xks/v1", "a".repeat(120));
        for wrong in
            ["", "/", "a/kms/xks/v1", "//kms/xks/v1", "/a//b/kms/xks/v1", "/kms/xks/v1/", "/a./kms/xks/v1", "/kms/xks/v2", &long]
        {
            assert!(wrong.parse::<StorePath>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn services_are_named_by_their_domain() {
        let region: Region = "eu-west-1".parse().unwrap();
        for (name, via) in [
            ("s3.amazonaws.com", "s3.eu-west-1.amazonaws.com"),
            ("logs.us-east-1.amazonaws.com", "logs.us-east-1.amazonaws.com"),
            ("objects.example.com", "objects.example.com"),
        ] {
            assert_eq!(name.parse::<ServiceName>().unwrap().in_region(&region), via);
        }
        for wrong in ["", "s3", ".", "s3.", ".com", "S3.amazonaws.com", "s3 .amazonaws.com", "*.amazonaws.com"] {
            assert!(wrong.parse::<ServiceName>().is_err(), "{wrong}");
        }
    }
}
