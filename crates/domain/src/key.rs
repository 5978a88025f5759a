//! The managed object: a key with its state, policy, tags, rotation, and the sealed versions of its material.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::import::{
    Arrival, ExpirationModel, ImportType, Imported, MaterialState, Pending, WrappingAlgorithm, WrappingKeySpec,
};
pub use self::spec::{
    DataKeyPairSpec, EncapsulationAlgorithm, EncryptionAlgorithm, KeyAgreementAlgorithm, KeySpec, KeyUsage, MacAlgorithm,
    MessageType, SigningAlgorithm,
};
use crate::arn::KeyArn;
use crate::availability::Availability;
use crate::ids::{AccountId, AliasName, KeyId, MaterialId, Region};
use crate::key_store::KeyStoreId;
use crate::names::names;
use crate::timestamp::Timestamp;

mod import;
mod spec;

names! {
    /// Where a key's material came from.
    Origin, "an origin" {
        /// Made in this deployment's hsm.
        Internal = "AWS_KMS",
        /// Imported by its owner.
        External = "EXTERNAL",
        /// Made in the hardware of a custom key store, where it stays.
        CloudHsm = "AWS_CLOUDHSM",
        /// A key of somebody else's, behind the proxy of an external key store.
        ExternalKeyStore = "EXTERNAL_KEY_STORE",
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

names! {
    /// What a multi-Region key is to its kin.
    MultiRegionKeyType, "a multi-Region key type" {
        /// The one that decides what all of them share, and that can be replicated.
        Primary = "PRIMARY",
        /// A key with the same id and material in another Region.
        Replica = "REPLICA",
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
    /// A multi-Region primary key that will wait for its deletion once its last replica is gone.
    PendingReplicaDeletion {
        /// For how many days it will then wait.
        window_days: u32,
    },
    /// Waits for its owner to import material.
    PendingImport,
    /// A replica that is being made.
    Creating,
    /// Its primary Region is being changed.
    Updating,
    /// The custom key store that it lives in is not connected. Never stored: it follows from the store's state.
    Unavailable,
}

impl KeyState {
    /// When the material will be destroyed, if that is known.
    pub fn deletion_date(self) -> Option<Timestamp> {
        match self {
            Self::PendingDeletion { at } => Some(at),
            _ => None,
        }
    }

    /// The name as protocols write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
            Self::PendingReplicaDeletion { .. } => "PendingReplicaDeletion",
            Self::PendingImport => "PendingImport",
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::Unavailable => "Unavailable",
        }
    }
}

/// One version of a key's secret, sealed: only the hsm crate can open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterialVersion {
    /// A hash of the key's id and the material.
    pub id: MaterialId,
    /// When it was made; for imported material that waited for a rotation, when that was.
    pub created: Timestamp,
    /// Why it was made, or made current; none for the first version, and for one that waits for its rotation.
    pub rotation: Option<RotationType>,
    /// The version of the account key that it is sealed under.
    pub account_key_version: u32,
    /// The material, sealed under the account key. Empty when imported material is not there (deleted, expired, or not imported yet), and where the
    /// only material is in a custom key store.
    #[serde(with = "base64_bytes")]
    pub sealed: Vec<u8>,
    /// The public half of an asymmetric key, as SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER; empty for other keys.
    #[serde(with = "base64_bytes", default, skip_serializing_if = "Vec::is_empty")]
    pub public_key: Vec<u8>,
    /// What is known of material that its owner imported; none for material that was made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Box<Imported>>,
}

/// Automatic rotation, switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationSchedule {
    /// Days between two rotations, 90 to 2560.
    pub period_days: u32,
    /// When the next one is due.
    pub next: Timestamp,
}

/// What a multi-Region key knows of its kin. Each of them has a record of its own with the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiRegion {
    /// The Region of the primary key.
    pub primary: Region,
    /// The Regions of the replica keys.
    pub replicas: BTreeSet<Region>,
}

impl MultiRegion {
    /// A primary key without replicas.
    pub fn primary_in(region: Region) -> Self {
        Self { primary: region, replicas: BTreeSet::new() }
    }

    /// The Regions of all of them, the primary's first.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }
}

/// Where a key lives whose material is not in this deployment's hsm: in a custom key store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The custom key store, of the key's account and Region.
    pub store: KeyStoreId,
    /// What the backend of the store finds the key by there, and knows again that it is the same. Means nothing to anybody else.
    #[serde(with = "base64_bytes")]
    pub reference: Vec<u8>,
    /// The cluster that the store stood for when the key was made; none in an external key store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The id of the key in the external key manager; none in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xks_key: Option<String>,
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
    /// Its key policy, as written. Most keys of an account have the same one, so that its text can be shared.
    #[serde(with = "shared_text")]
    pub policy: Arc<str>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The aliases that stand for it. Each alias has a record of its own; both change in one commit.
    pub aliases: BTreeSet<AliasName>,
    /// Automatic rotation; none when switched off.
    pub rotation: Option<RotationSchedule>,
    /// Its primary and replica keys; none for a single-Region key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi_region: Option<Box<MultiRegion>>,
    /// What the ids of imported material are made with, sealed: without it nobody can search for material of little entropy by its id. Empty for
    /// keys of another origin.
    #[serde(with = "base64_bytes", default, skip_serializing_if = "Vec::is_empty")]
    pub import_secret: Vec<u8>,
    /// Where it lives; none for a key whose material is sealed here alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Box<Home>>,
    /// Whether nodes that cannot reach the store may use it; none for what the account says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// All versions of its material, oldest first. The last one that waits for nothing encrypts ([`Key::current_index`]).
    pub materials: Vec<MaterialVersion>,
}

impl Key {
    /// The key's full name.
    pub fn arn(&self) -> KeyArn {
        self.arn_in(&self.region)
    }

    /// The full name of the related key in this Region.
    pub fn arn_in(&self, region: &Region) -> KeyArn {
        KeyArn { region: region.clone(), account: self.account, key: self.id }
    }

    /// What it is to its kin; none for a single-Region key.
    pub fn multi_region_type(&self) -> Option<MultiRegionKeyType> {
        let kin = self.multi_region.as_ref()?;
        Some(if kin.primary == self.region { MultiRegionKeyType::Primary } else { MultiRegionKeyType::Replica })
    }

    /// Whether other keys depend on it: a primary key with replicas.
    pub fn has_replicas(&self) -> bool {
        let kin = self.multi_region.as_ref();
        kin.is_some_and(|kin| kin.primary == self.region && !kin.replicas.is_empty())
    }

    /// The version that encrypts.
    pub fn current_material(&self) -> Option<&MaterialVersion> {
        self.current_index().and_then(|index| self.materials.get(index))
    }

    /// How many rotations were made on demand.
    pub fn on_demand_rotations(&self) -> usize {
        self.materials.iter().filter(|material| material.rotation == Some(RotationType::OnDemand)).count()
    }

    /// When background work has to look at this key next: to destroy it or some of its material, or to rotate it. None while nothing will be due.
    pub fn due(&self) -> Option<Timestamp> {
        let at_its_state = match self.state {
            KeyState::PendingDeletion { at } => Some(at),
            // A replica gets its new material when its primary is rotated.
            KeyState::Enabled if self.multi_region_type() == Some(MultiRegionKeyType::Replica) => None,
            KeyState::Enabled => self.rotation.map(|schedule| schedule.next),
            // A disabled key is not rotated; the rotation is made when it is enabled again.
            KeyState::Disabled
            | KeyState::PendingReplicaDeletion { .. }
            | KeyState::PendingImport
            | KeyState::Creating
            | KeyState::Updating
            | KeyState::Unavailable => None,
        };
        at_its_state.into_iter().chain(self.next_expiry()).min()
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

/// A text that several may hold, in serialized records as any other text.
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
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
