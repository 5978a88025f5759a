//! RevokeGrant on the wire.

use super::grant::read_grant_id;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::{KeyReference, Refusal};
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct RevokeGrant;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    grant_id: Option<String>,
    dry_run: Option<bool>,
}

impl Mapping for RevokeGrant {
    type Request = Request;
    type Operation = op::RevokeGrant;
    type Response = ();

    fn decode(request: Request) -> Result<op::RevokeGrant, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required("grantId", request.grant_id.as_ref());
        check.length("grantId", request.grant_id.as_ref(), 1, 128);
        check.finish()?;
        Ok(op::RevokeGrant {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            grant: read_grant_id(&present(request.grant_id)?)?,
            dry_run: request.dry_run.unwrap_or(false),
        })
    }

    fn encode((): ()) {}
}
