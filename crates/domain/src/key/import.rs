//! Imported material: how it travels, how long it stays, and where it stands among the versions of its key. Source: AWS KMS service model
//! (`AlgorithmSpec`, `WrappingKeySpec`, `ExpirationModelType`, `ImportType`, `ImportState`, `KeyMaterialState`); AWS KMS Developer Guide,
//! "Importing key material".

use serde::{Deserialize, Serialize};

use super::{Key, KeySpec, KeyState, MaterialVersion, Origin, RotationType};
use crate::ids::MaterialId;
use crate::names::names;
use crate::refusal::{Kind, Refusal};
use crate::timestamp::Timestamp;

names! {
    /// How material is wrapped on its way in.
    WrappingAlgorithm, "a wrapping algorithm" {
        /// RSAES-PKCS1-v1_5. Named by the model, and no longer served: AWS stopped on 2023-10-10.
        RsaesPkcs1V15 = "RSAES_PKCS1_V1_5",
        /// RSAES-OAEP with SHA-1 (RFC 8017, section 7.1) around the material.
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        /// RSAES-OAEP with SHA-256 around the material.
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
        /// RSAES-OAEP with SHA-1 around an AES-256 key, followed by the material under that key (RFC 5649; PKCS#11 `CKM_RSA_AES_KEY_WRAP`).
        RsaAesKeyWrapSha1 = "RSA_AES_KEY_WRAP_SHA_1",
        /// The same with SHA-256.
        RsaAesKeyWrapSha256 = "RSA_AES_KEY_WRAP_SHA_256",
        /// SM2 public key encryption (GB/T 32918.4).
        Sm2pke = "SM2PKE",
    }
}

names! {
    /// What kind of key wraps material on its way in.
    WrappingKeySpec, "a wrapping key spec" {
        /// RSA with a modulus of 2048 bits.
        Rsa2048 = "RSA_2048",
        /// RSA with a modulus of 3072 bits.
        Rsa3072 = "RSA_3072",
        /// RSA with a modulus of 4096 bits.
        Rsa4096 = "RSA_4096",
        /// The curve of SM2.
        Sm2 = "SM2",
    }
}

names! {
    /// Whether imported material goes away by itself.
    ExpirationModel, "an expiration model" {
        /// It is destroyed at its time.
        Expires = "KEY_MATERIAL_EXPIRES",
        /// It stays until somebody deletes it.
        DoesNotExpire = "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
}

names! {
    /// Whether the material in an import is one that its key had before.
    ImportType, "an import type" {
        /// It is not.
        New = "NEW_KEY_MATERIAL",
        /// It is.
        Existing = "EXISTING_KEY_MATERIAL",
    }
}

names! {
    /// Where a version of the material stands among those of its key.
    MaterialState, "a key material state" {
        /// It opens what it once sealed.
        NonCurrent = "NON_CURRENT",
        /// It seals and opens.
        Current = "CURRENT",
        /// It was imported ahead of the rotation that will make it current.
        PendingRotation = "PENDING_ROTATION",
        /// The same for a multi-Region key, some of whose replicas do not have it yet.
        PendingMultiRegionImportAndRotation = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION",
    }
}

names! {
    /// What imported material waits for before it belongs to its key for good.
    Pending, "a pending state" {
        /// For a rotation.
        Rotation = "PENDING_ROTATION",
        /// For its import into all replicas, and then for a rotation.
        MultiRegionImportAndRotation = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION",
    }
}

/// What a key remembers of a version that its owner imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// When the material is destroyed; none when it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp>,
    /// What its owner said of it; empty when nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it waits for; none once it belongs to the key for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
}

impl Imported {
    /// Whether it goes away by itself.
    pub fn expiration_model(&self) -> ExpirationModel {
        if self.valid_to.is_some() { ExpirationModel::Expires } else { ExpirationModel::DoesNotExpire }
    }
}

/// Material that has just been unwrapped, on its way into its key.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its id.
    pub id: MaterialId,
    /// The version of the account key that it is sealed under.
    pub account_key_version: u32,
    /// The material, sealed.
    pub sealed: Vec<u8>,
    /// The public half of an asymmetric key.
    pub public_key: Vec<u8>,
    /// When it arrived.
    pub at: Timestamp,
    /// When it will be destroyed; none when it stays.
    pub valid_to: Option<Timestamp>,
    /// What its owner says of it; none to keep what was said before.
    pub description: Option<String>,
    /// Whether the key had it before; none to expect what the key needs.
    pub kind: Option<ImportType>,
    /// The id that its owner expects.
    pub expected: Option<MaterialId>,
}

impl WrappingAlgorithm {
    /// Whether material of this kind may travel so, under a wrapping key of that kind. Source: AWS KMS service model,
    /// `GetParametersForImportRequest$WrappingAlgorithm`.
    ///
    /// ML-DSA keys, of which the model says nothing, may travel in all ways in which ECC keys may.
    pub fn may_carry(self, spec: KeySpec, wrapping: WrappingKeySpec) -> bool {
        let is_rsa = matches!(spec, KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096);
        match self {
            Self::RsaesPkcs1V15 => false,
            Self::RsaesOaepSha1 | Self::RsaesOaepSha256 => {
                let too_long = spec == KeySpec::EccNistP521 && wrapping == WrappingKeySpec::Rsa2048;
                wrapping != WrappingKeySpec::Sm2 && !is_rsa && !too_long
            }
            Self::RsaAesKeyWrapSha1 | Self::RsaAesKeyWrapSha256 => wrapping != WrappingKeySpec::Sm2 && spec.is_asymmetric(),
            Self::Sm2pke => wrapping == WrappingKeySpec::Sm2 && !is_rsa,
        }
    }
}

impl KeySpec {
    /// Whether material of this kind can be imported. Source: AWS KMS service model, `ImportKeyMaterial`: symmetric encryption, HMAC, asymmetric
    /// encryption, signing and key agreement keys.
    pub fn can_be_imported(self) -> bool {
        !matches!(self, Self::MlKem512 | Self::MlKem768 | Self::MlKem1024)
    }
}

impl MaterialVersion {
    /// The same version as a related key in another Region knows it before its owner has brought the material there.
    pub fn to_be_imported(&self) -> Self {
        let pending = self.pending().map(|_| Pending::MultiRegionImportAndRotation);
        Self { sealed: Vec::new(), imported: Some(Box::new(Imported { pending, ..Imported::default() })), ..self.clone() }
    }

    /// Whether the material is there, rather than deleted, expired or not imported yet.
    pub fn is_present(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// What it waits for before it belongs to its key for good.
    pub fn pending(&self) -> Option<Pending> {
        self.imported.as_ref().and_then(|imported| imported.pending)
    }

    /// When it will be destroyed; none when it stays, or is gone already.
    pub fn expires(&self) -> Option<Timestamp> {
        self.imported.as_ref().and_then(|imported| imported.valid_to).filter(|_| self.is_present())
    }
}

impl Key {
    /// Where the version that encrypts stands in [`Key::materials`]: the last one that waits for nothing.
    pub fn current_index(&self) -> Option<usize> {
        self.materials.iter().rposition(|material| material.pending().is_none())
    }

    /// Where this version stands among the others.
    pub fn material_state(&self, material: &MaterialVersion) -> MaterialState {
        match material.pending() {
            Some(Pending::Rotation) => MaterialState::PendingRotation,
            Some(Pending::MultiRegionImportAndRotation) => MaterialState::PendingMultiRegionImportAndRotation,
            None if self.current_material().is_some_and(|current| current.id == material.id) => MaterialState::Current,
            None => MaterialState::NonCurrent,
        }
    }

    /// The version that was imported ahead of a rotation.
    pub fn pending_material(&self) -> Option<&MaterialVersion> {
        self.materials.iter().find(|material| material.pending().is_some())
    }

    /// Whether material that belongs to the key is missing, so that it has to be imported before the key can be used.
    pub fn lacks_material(&self) -> bool {
        let mut permanent = self.materials.iter().filter(|material| material.pending().is_none()).peekable();
        permanent.peek().is_none() || permanent.any(|material| !material.is_present())
    }

    /// Whether the material that is there, and belongs to the key, goes away by itself, and when the first of it will. None for a key without
    /// imported material.
    pub fn expiration(&self) -> Option<(ExpirationModel, Option<Timestamp>)> {
        let there = || self.materials.iter().filter(|material| material.pending().is_none() && material.is_present());
        if self.origin != Origin::External || there().next().is_none() {
            return None;
        }
        let first = there().filter_map(MaterialVersion::expires).min();
        Some((if first.is_some() { ExpirationModel::Expires } else { ExpirationModel::DoesNotExpire }, first))
    }

    /// When the first of its material will be destroyed, whether it belongs to the key yet or not.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.materials.iter().filter_map(MaterialVersion::expires).min()
    }

    /// Takes imported material: the first, the same again, or new material that waits for a rotation. The key can be used once nothing is missing.
    ///
    /// # Errors
    /// `IncorrectKeyMaterial` when it is not the material that was to come; `InvalidState` when other material waits for its rotation already.
    pub fn take_import(&mut self, arrival: Arrival) -> Result<(), Refusal> {
        let id = arrival.id;
        if let Some(expected) = arrival.expected.filter(|expected| *expected != id) {
            return Err(incorrect(format!("The key material (id: {id}) is not the material that was named (id: {expected}).")));
        }
        let is_first = self.materials.is_empty();
        let kind = arrival.kind.unwrap_or(if is_first { ImportType::New } else { ImportType::Existing });
        let known = self.materials.iter_mut().find(|material| material.id == id);
        match (kind, known) {
            (ImportType::Existing, Some(material)) => {
                let before = material.imported.take().unwrap_or_default();
                material.imported = Some(Box::new(Imported {
                    valid_to: arrival.valid_to,
                    description: arrival.description.unwrap_or(before.description),
                    pending: before.pending,
                }));
                material.account_key_version = arrival.account_key_version;
                material.sealed = arrival.sealed;
            }
            (ImportType::Existing, None) => {
                return Err(incorrect(format!("The key material (id: {id}) was not imported into {} before.", self.arn())));
            }
            (ImportType::New, Some(_)) => {
                return Err(incorrect(format!("The key material (id: {id}) is associated with {} already.", self.arn())));
            }
            (ImportType::New, None) => {
                self.must_take_new_material(id)?;
                self.materials.push(MaterialVersion {
                    id,
                    created: arrival.at,
                    rotation: None,
                    account_key_version: arrival.account_key_version,
                    sealed: arrival.sealed,
                    public_key: arrival.public_key,
                    imported: Some(Box::new(Imported {
                        valid_to: arrival.valid_to,
                        description: arrival.description.unwrap_or_default(),
                        pending: (!is_first).then_some(Pending::Rotation),
                    })),
                });
            }
        }
        if self.state == KeyState::PendingImport && !self.lacks_material() {
            self.state = KeyState::Enabled;
        }
        Ok(())
    }

    fn must_take_new_material(&self, id: MaterialId) -> Result<(), Refusal> {
        if let Some(pending) = self.pending_material() {
            return Err(Refusal::invalid_state(format!(
                "New key material (id: {id}) cannot be imported into KMS key {}, because another key material (id: {}) is pending rotation.",
                self.arn(),
                pending.id
            )));
        }
        if !self.materials.is_empty() && self.multi_region.as_ref().is_some_and(|kin| kin.primary != self.region) {
            // Its id is told to the replicas then.
            return Err(Refusal::unsupported(format!(
                "{} is a multi-region replica key. Import new key material into the primary key first, and then the same material here.",
                self.arn()
            )));
        }
        if !self.materials.is_empty() && self.spec != KeySpec::SymmetricDefault {
            return Err(incorrect(format!("{} takes only the key material that was first imported into it.", self.arn())));
        }
        Ok(())
    }

    /// Lets related multi-Region keys agree on the material that waits for the rotation of all of them. The primary key says which it is; it waits for its
    /// import, until each of them has it, and for the rotation from then on. Source: AWS KMS Developer Guide, "Rotating multi-Region keys with imported key
    /// material".
    pub fn agree_on_pending_material(keys: &mut [&mut Self]) {
        let Some(kin) = keys.first().and_then(|key| key.multi_region.clone()) else { return };
        let Some(primary) = keys.iter().find(|key| key.region == kin.primary) else { return };
        let pending = primary.pending_material().cloned();
        let is_it = |material: &MaterialVersion| pending.as_ref().is_some_and(|pending| pending.id == material.id);
        let has_it = |key: &&mut Self| key.materials.iter().any(|material| is_it(material) && material.is_present());
        // One that is not here is only being made.
        let all = keys.len() == kin.regions().count() && keys.iter().all(has_it);
        let waits = if all { Pending::Rotation } else { Pending::MultiRegionImportAndRotation };
        for key in keys.iter_mut() {
            key.materials.retain(|material| material.pending().is_none() || is_it(material));
            let Some(pending) = &pending else { continue };
            if !key.materials.iter().any(is_it) {
                key.materials.push(pending.to_be_imported());
            }
            let its = key.materials.iter_mut().filter(|material| is_it(material));
            its.filter_map(|material| material.imported.as_mut()).for_each(|imported| imported.pending = Some(waits));
        }
    }

    /// Makes the material that waits for its rotation current, and answers whether there was any.
    pub fn rotate_to_pending(&mut self, rotation: RotationType, at: Timestamp) -> bool {
        let waiting = self.materials.iter_mut().find(|material| material.pending() == Some(Pending::Rotation));
        let Some((material, imported)) = waiting.and_then(|material| {
            let imported = material.imported.take()?;
            Some((material, imported))
        }) else {
            return false;
        };
        material.imported = Some(Box::new(Imported { pending: None, ..*imported }));
        material.rotation = Some(rotation);
        material.created = at;
        true
    }

    /// Destroys those versions that `doomed` says, and answers their ids. The key keeps the ids of what belongs to it, so that only the same
    /// material can come back; what was pending is forgotten. The key waits for an import once something is missing.
    pub fn destroy_material(&mut self, doomed: impl Fn(&MaterialVersion) -> bool) -> Vec<MaterialId> {
        let mut destroyed = Vec::new();
        for material in self.materials.iter_mut().filter(|material| material.is_present() && doomed(material)) {
            material.sealed.clear();
            destroyed.push(material.id);
        }
        self.materials.retain(|material| material.is_present() || material.pending().is_none());
        if self.lacks_material() && matches!(self.state, KeyState::Enabled | KeyState::Disabled) {
            self.state = KeyState::PendingImport;
        }
        destroyed
    }
}

fn incorrect(detail: String) -> Refusal {
    Refusal::new(Kind::IncorrectKeyMaterial, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_fits_the_material() {
        use {KeySpec as K, WrappingAlgorithm as A, WrappingKeySpec as W};
        for wrapping in [W::Rsa2048, W::Rsa3072, W::Rsa4096] {
            for spec in KeySpec::ALL.iter().copied() {
                assert!(!A::RsaesPkcs1V15.may_carry(spec, wrapping));
                assert!(!A::Sm2pke.may_carry(spec, wrapping));
            }
            for algorithm in [A::RsaesOaepSha1, A::RsaesOaepSha256] {
                for spec in [K::SymmetricDefault, K::Hmac512, K::EccNistP384, K::EccSecgP256k1, K::MlDsa87] {
                    assert!(algorithm.may_carry(spec, wrapping));
                }
                assert!(!algorithm.may_carry(K::Rsa2048, wrapping));
                assert_eq!(algorithm.may_carry(K::EccNistP521, wrapping), wrapping != W::Rsa2048);
                assert!(!algorithm.may_carry(K::SymmetricDefault, W::Sm2));
            }
            for algorithm in [A::RsaAesKeyWrapSha1, A::RsaAesKeyWrapSha256] {
                assert!(algorithm.may_carry(K::Rsa4096, wrapping) && algorithm.may_carry(K::EccNistP521, wrapping));
                assert!(!algorithm.may_carry(K::SymmetricDefault, wrapping) && !algorithm.may_carry(K::Hmac224, wrapping));
                assert!(!algorithm.may_carry(K::Rsa4096, W::Sm2));
            }
        }
        assert!(A::Sm2pke.may_carry(K::SymmetricDefault, W::Sm2));
    }
}
