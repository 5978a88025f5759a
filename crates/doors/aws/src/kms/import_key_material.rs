//! ImportKeyMaterial on the wire.

use super::names::{EXPIRATION_MODELS, IMPORT_TYPES};
use crate::json::{Blob, Moment};
use crate::mapping::Mapping;
use crate::validation::{Validator, name_or, parsed, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_domain::key::ExpirationModel;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct ImportKeyMaterial;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    import_token: Option<Blob>,
    encrypted_key_material: Option<Blob>,
    valid_to: Option<Moment>,
    expiration_model: Option<String>,
    import_type: Option<String>,
    key_material_description: Option<String>,
    key_material_id: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_id: Option<String>,
}

impl From<op::ImportedKeyMaterial> for Response {
    fn from(output: op::ImportedKeyMaterial) -> Self {
        Self { key_id: output.key_arn, key_material_id: output.material.map(|id| id.to_string()) }
    }
}

impl Mapping for ImportKeyMaterial {
    type Request = Request;
    type Operation = op::ImportKeyMaterial;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ImportKeyMaterial, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required("importToken", request.import_token.as_ref());
        check.blob("importToken", request.import_token.as_ref().map(|blob| blob.0.as_slice()), 6144);
        check.required("encryptedKeyMaterial", request.encrypted_key_material.as_ref());
        check.blob("encryptedKeyMaterial", request.encrypted_key_material.as_ref().map(|blob| blob.0.as_slice()), 6144);
        check.one_of("expirationModel", request.expiration_model.as_ref(), EXPIRATION_MODELS);
        check.one_of("importType", request.import_type.as_ref(), IMPORT_TYPES);
        check.length("keyMaterialDescription", request.key_material_description.as_ref(), 0, 256);
        check.pattern("keyMaterialDescription", request.key_material_description.as_ref(), "^[a-zA-Z0-9:/_\\s.-]+$", |text| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b":/_.-".contains(&byte))
        });
        check.material_id("keyMaterialId", request.key_material_id.as_ref());
        check.finish()?;
        Ok(op::ImportKeyMaterial {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            token: present(request.import_token)?.0.to_vec(),
            wrapped: present(request.encrypted_key_material)?.0.to_vec(),
            expiration_model: name_or(request.expiration_model.as_ref(), ExpirationModel::Expires),
            valid_to: request.valid_to.map(|moment| moment.0),
            import_type: parsed(request.import_type.as_ref())?,
            description: request.key_material_description,
            material: parsed(request.key_material_id.as_ref())?,
        })
    }

    fn encode(output: <op::ImportKeyMaterial as Operation>::Output) -> Response {
        output.into()
    }
}
