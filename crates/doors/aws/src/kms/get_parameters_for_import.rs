//! GetParametersForImport on the wire.

use super::names::{WRAPPING_ALGORITHMS, WRAPPING_KEY_SPECS};
use crate::json::{BlobOut, Seconds};
use crate::mapping::Mapping;
use crate::validation::{Validator, parsed, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct GetParametersForImport;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    wrapping_algorithm: Option<String>,
    wrapping_key_spec: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    import_token: BlobOut<Vec<u8>>,
    public_key: BlobOut<Vec<u8>>,
    parameters_valid_to: Seconds,
}

impl Mapping for GetParametersForImport {
    type Request = Request;
    type Operation = op::GetParametersForImport;
    type Response = Response;

    fn decode(request: Request) -> Result<op::GetParametersForImport, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required("wrappingAlgorithm", request.wrapping_algorithm.as_ref());
        check.one_of("wrappingAlgorithm", request.wrapping_algorithm.as_ref(), WRAPPING_ALGORITHMS);
        check.required("wrappingKeySpec", request.wrapping_key_spec.as_ref());
        check.one_of("wrappingKeySpec", request.wrapping_key_spec.as_ref(), WRAPPING_KEY_SPECS);
        check.finish()?;
        Ok(op::GetParametersForImport {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            algorithm: present(parsed(request.wrapping_algorithm.as_ref())?)?,
            wrapping_key_spec: present(parsed(request.wrapping_key_spec.as_ref())?)?,
        })
    }

    fn encode(output: <op::GetParametersForImport as Operation>::Output) -> Response {
        Response {
            key_id: output.key_arn,
            import_token: BlobOut(output.token),
            public_key: BlobOut(output.public_key),
            parameters_valid_to: Seconds(output.valid_to),
        }
    }
}
