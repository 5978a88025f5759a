//! The managed object: a key with its state, policy, tags, rotation, and the sealed versions of its material.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::arn::KeyArn;
use crate::ids::{AccountId, AliasName, InvalidId, KeyId, MaterialId, Region};
use crate::timestamp::Timestamp;

/// A closed list of names that protocols spell in one way.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident, $expected:literal { $($(#[$item_doc:meta])* $item:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$item_doc])* #[serde(rename = $text)] $item,)*
        }

        impl $name {
            /// All of them, in the order of AWS's service model.
            pub const ALL: &'static [Self] = &[$(Self::$item,)*];

            /// The name as protocols write it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$item => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::ALL.iter().copied().find(|item| item.as_str() == text).ok_or(InvalidId { expected: $expected })
            }
        }
    };
}

names! {
    /// What kind of material a key has. Grows with the algorithms that the hsm crate offers.
    KeySpec, "a key spec" {
        /// A 256-bit key for KC-XAES-256-GCM (design/crypto.md).
        SymmetricDefault = "SYMMETRIC_DEFAULT",
    }
}

names! {
    /// What a key may be used for.
    KeyUsage, "a key usage" {
        /// Encrypt, Decrypt, ReEncrypt and data keys.
        EncryptDecrypt = "ENCRYPT_DECRYPT",
    }
}

names! {
    /// How a key encrypts.
    EncryptionAlgorithm, "an encryption algorithm" {
        /// KC-XAES-256-GCM under a symmetric key (design/crypto.md).
        SymmetricDefault = "SYMMETRIC_DEFAULT",
        /// RSAES-OAEP with SHA-1 (RFC 8017, section 7.1).
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        /// RSAES-OAEP with SHA-256 (RFC 8017, section 7.1).
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
        /// SM2 public key encryption (GB/T 32918.4).
        Sm2pke = "SM2PKE",
    }
}

names! {
    /// Where a key's material came from.
    Origin, "an origin" {
        /// Made in this deployment's hsm.
        Internal = "AWS_KMS",
    }
}

names! {
    /// Who looks after a key.
    Manager, "a key manager" {
        /// The service itself, on behalf of the account (`alias/aws/...`).
        Service = "AWS",
        /// The customer.
        Customer = "CUSTOMER",
    }
}

names! {
    /// Why a version of the material came to be.
    RotationType, "a rotation type" {
        /// The rotation period had passed.
        Automatic = "AUTOMATIC",
        /// Somebody asked for it.
        OnDemand = "ON_DEMAND",
    }
}

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is")]
pub enum KeyState {
    /// In use.
    Enabled,
    /// Switched off, reversibly.
    Disabled,
    /// Switched off; the material will be destroyed.
    PendingDeletion {
        /// When it will be destroyed.
        at: Timestamp,
    },
}

impl KeyState {
    /// The name as protocols write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
        }
    }
}

/// One version of a key's secret, sealed: only the hsm crate can open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterialVersion {
    /// A hash of the key's id and the material.
    pub id: MaterialId,
    /// When it was made.
    pub created: Timestamp,
    /// Why it was made; none for the first version.
    pub rotation: Option<RotationType>,
    /// The version of the account key that it is sealed under.
    pub account_key_version: u32,
    /// The material, sealed under the account key.
    #[serde(with = "base64_bytes")]
    pub sealed: Vec<u8>,
}

/// Automatic rotation, switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationSchedule {
    /// Days between two rotations, 90 to 2560.
    pub period_days: u32,
    /// When the next one is due.
    pub next: Timestamp,
}

/// The managed object. What a store keeps of it is this, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Its Region.
    pub region: Region,
    /// Its owner.
    pub account: AccountId,
    /// What kind of material it has.
    pub spec: KeySpec,
    /// What it may be used for.
    pub usage: KeyUsage,
    /// Where its material came from.
    pub origin: Origin,
    /// Who looks after it.
    pub manager: Manager,
    /// Whether it can be used.
    pub state: KeyState,
    /// Free text.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its key policy, as written.
    pub policy: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The aliases that stand for it. Each alias has a record of its own; both change in one commit.
    pub aliases: BTreeSet<AliasName>,
    /// Automatic rotation; none when switched off.
    pub rotation: Option<RotationSchedule>,
    /// All versions of its material, oldest first. The last one encrypts.
    pub materials: Vec<MaterialVersion>,
}

impl Key {
    /// The key's full name.
    pub fn arn(&self) -> KeyArn {
        KeyArn { region: self.region.clone(), account: self.account, key: self.id }
    }

    /// The version that encrypts.
    pub fn current_material(&self) -> Option<&MaterialVersion> {
        self.materials.last()
    }

    /// How many rotations were made on demand.
    pub fn on_demand_rotations(&self) -> usize {
        self.materials.iter().filter(|material| material.rotation == Some(RotationType::OnDemand)).count()
    }

    /// When background work has to look at this key next: to destroy it, or to rotate it. None while neither is due.
    pub fn due(&self) -> Option<Timestamp> {
        match self.state {
            KeyState::PendingDeletion { at } => Some(at),
            KeyState::Enabled => self.rotation.map(|schedule| schedule.next),
            // A disabled key is not rotated; the rotation is made when it is enabled again.
            KeyState::Disabled => None,
        }
    }
}

/// A name for a key, which can be pointed at another key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The name, prefix included.
    pub name: AliasName,
    /// Its Region.
    pub region: Region,
    /// Its owner.
    pub account: AccountId,
    /// The key it stands for.
    pub target: KeyId,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last pointed at a key.
    pub updated: Timestamp,
}

/// The last use of a key for cryptography. A projection of the audit log, kept beside the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    /// The operation: `Encrypt`.
    pub operation: String,
    /// When.
    pub at: Timestamp,
    /// The id of the audit entry.
    pub event_id: String,
    /// The id of the request.
    pub request_id: String,
}

/// Bytes as standard base64 in serialized records.
pub(crate) mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)
    }
}
