//! DeleteImportedKeyMaterial: the key cannot be used until the same material is imported again. Source: AWS KMS API Reference,
//! "DeleteImportedKeyMaterial".

use claviger_domain::key::KeySpec;
use claviger_domain::{Caller, KeyReference, MaterialId, Refusal};
use serde_json::json;

use super::import_key_material::ImportedKeyMaterial;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request. The answer is that of an import.
pub struct DeleteImportedKeyMaterial {
    /// The key; not by alias.
    pub key: KeyReference,
    /// Which of its materials; the current one when absent.
    pub material: Option<MaterialId>,
}

impl Operation for DeleteImportedKeyMaterial {
    const EVENT: Event = Event::kms("DeleteImportedKeyMaterial");
    type Output = ImportedKeyMaterial;
    about_one_own_key!("kms:DeleteImportedKeyMaterial");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<ImportedKeyMaterial>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_be_for_imports()?;
        snapshot.must_exist_in_full()?;
        let mut key = snapshot.key.clone();
        let id = match self.material {
            None => key.current_material().map(|material| material.id),
            Some(id) if key.materials.iter().any(|material| material.id == id) => Some(id),
            Some(id) => {
                return Err(Refusal::not_found(format!("Key material (id: {id}) is not associated with {}.", snapshot.arn)));
            }
        };
        let material = id.filter(|_| key.spec == KeySpec::SymmetricDefault);
        let output = ImportedKeyMaterial { key_arn: snapshot.arn.clone(), material };
        // Deleting what is not there changes nothing, and is fine.
        if key.destroy_material(|version| Some(version.id) == id).is_empty() {
            return Ok(Effect::answer(output));
        }
        Ok(service.update_with_relatives(snapshot, &key).await?.effect(output))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            key_material_id: self.material.map(|id| id.to_string()),
            ..Parameters::default()
        }
    }

    fn response_elements(output: &ImportedKeyMaterial) -> Option<serde_json::Value> {
        Some(match output.material {
            Some(id) => json!({"keyId": output.key_arn, "keyMaterialId": id.to_string()}),
            None => json!({"keyId": output.key_arn}),
        })
    }
}
