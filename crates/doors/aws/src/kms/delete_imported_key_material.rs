//! DeleteImportedKeyMaterial on the wire.

use crate::mapping::Mapping;
use crate::validation::{Validator, parsed, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct DeleteImportedKeyMaterial;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    key_material_id: Option<String>,
}

impl Mapping for DeleteImportedKeyMaterial {
    type Request = Request;
    type Operation = op::DeleteImportedKeyMaterial;
    type Response = super::import_key_material::Response;

    fn decode(request: Request) -> Result<op::DeleteImportedKeyMaterial, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.material_id("keyMaterialId", request.key_material_id.as_ref());
        check.finish()?;
        Ok(op::DeleteImportedKeyMaterial {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            material: parsed(request.key_material_id.as_ref())?,
        })
    }

    fn encode(output: <op::DeleteImportedKeyMaterial as Operation>::Output) -> Self::Response {
        output.into()
    }
}
