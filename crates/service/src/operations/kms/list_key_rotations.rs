//! ListKeyRotations: the versions of a key's material. Source: AWS KMS API Reference, "ListKeyRotations".

use claviger_domain::key::{ExpirationModel, MaterialState, RotationType};
use claviger_domain::{Caller, KeyReference, MaterialId, Refusal, Timestamp};

use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct ListKeyRotations {
    /// The key; not by alias.
    pub key: KeyReference,
    /// Whether the first material is listed too, which no rotation made, and what waits for its rotation.
    pub all_material: bool,
    /// How many versions at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

/// The answer.
pub struct KeyRotations {
    /// The key's ARN.
    pub key_arn: String,
    /// The versions, newest first.
    pub page: Page<ListedMaterial>,
}

/// One version of the material.
pub struct ListedMaterial {
    /// Its id.
    pub id: MaterialId,
    /// Where it stands among the others.
    pub state: MaterialState,
    /// When and why it was made, or made current; none for the first version, and for one that waits for its rotation.
    pub rotation: Option<(Timestamp, RotationType)>,
    /// What is known of imported material.
    pub imported: Option<ListedImport>,
}

/// What is known of one version of imported material.
pub struct ListedImport {
    /// Whether it is there.
    pub present: bool,
    /// Whether it goes away by itself.
    pub expiration_model: ExpirationModel,
    /// When it will, or did.
    pub valid_to: Option<Timestamp>,
    /// What its owner said of it; empty when nothing.
    pub description: String,
}

impl Operation for ListKeyRotations {
    const EVENT: Event = Event::kms_read("ListKeyRotations");
    type Output = KeyRotations;
    about_one_own_key!("kms:ListKeyRotations");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<KeyRotations>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_rotate()?;
        snapshot.must_not_be_elsewhere()?;
        let list = format!("rotations/{}/{}", self.all_material, snapshot.arn);
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let versions = snapshot.key.materials.iter().rev().map(|material| ListedMaterial {
            id: material.id,
            state: snapshot.key.material_state(material),
            rotation: material.rotation.map(|rotation| (material.created, rotation)),
            imported: material.imported.as_ref().map(|imported| ListedImport {
                present: material.is_present(),
                expiration_model: imported.expiration_model(),
                valid_to: imported.valid_to,
                description: imported.description.clone(),
            }),
        });
        let listed = versions.filter(|version| self.all_material || version.rotation.is_some());
        let mut passed = after.is_none();
        let rest = listed.filter(|version| {
            let was_passed = passed;
            passed |= after.as_ref().is_some_and(|after| *after == version.id.to_string());
            was_passed
        });
        let page =
            Page::cut(rest.take(self.limit + 1).collect(), self.limit, service.hsm(), &list, |version: &ListedMaterial| {
                version.id.to_string()
            })?;
        Ok(Effect::answer(KeyRotations { key_arn: snapshot.arn.clone(), page }))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), limit: Some(self.limit), ..Parameters::default() }
    }
}
