//! ListKeyRotations on the wire.

use crate::json::Seconds;
use crate::mapping::Mapping;
use crate::validation::{Validator, page_size, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct ListKeyRotations;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    include_key_material: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    rotations: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

/// One version of the material.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    key_id: String,
    key_material_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    import_state: Option<&'static str>,
    key_material_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_model: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_date: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_type: Option<&'static str>,
}

const ALL: &str = "ALL_KEY_MATERIAL";

impl Mapping for ListKeyRotations {
    type Request = Request;
    type Operation = op::ListKeyRotations;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListKeyRotations, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.one_of("includeKeyMaterial", request.include_key_material.as_ref(), &[ALL, "ROTATIONS_ONLY"]);
        check.limit(request.limit);
        check.marker(request.marker.as_ref());
        check.finish()?;
        Ok(op::ListKeyRotations {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            all_material: request.include_key_material.as_deref() == Some(ALL),
            limit: page_size(request.limit, 100, 1000),
            marker: request.marker,
        })
    }

    fn encode(output: <op::ListKeyRotations as Operation>::Output) -> Response {
        let op::KeyRotations { key_arn, page } = output;
        let listed = page.items.into_iter().map(|version| {
            let imported = version.imported.as_ref();
            Listed {
                key_id: key_arn.clone(),
                key_material_id: version.id.to_string(),
                key_material_description: imported.map(|import| import.description.clone()).filter(|text| !text.is_empty()),
                import_state: imported.map(|import| if import.present { "IMPORTED" } else { "PENDING_IMPORT" }),
                key_material_state: version.state.as_str(),
                expiration_model: imported.map(|import| import.expiration_model.as_str()),
                valid_to: imported.and_then(|import| import.valid_to).map(Seconds),
                rotation_date: version.rotation.map(|(at, _)| Seconds(at)),
                rotation_type: version.rotation.map(|(_, rotation)| rotation.as_str()),
            }
        });
        Response { rotations: listed.collect(), truncated: page.next.is_some(), next_marker: page.next }
    }
}
