//! RetireGrant on the wire.

use super::grant::read_grant_id;
use crate::mapping::Mapping;
use crate::validation::Validator;
use claviger_domain::{KeyReference, Refusal};
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct RetireGrant;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    grant_token: Option<String>,
    key_id: Option<String>,
    grant_id: Option<String>,
    dry_run: Option<bool>,
}

impl Mapping for RetireGrant {
    type Request = Request;
    type Operation = op::RetireGrant;
    type Response = ();

    fn decode(request: Request) -> Result<op::RetireGrant, Refusal> {
        let mut check = Validator::new();
        check.length("grantToken", request.grant_token.as_ref(), 1, 8192);
        check.length("keyId", request.key_id.as_ref(), 1, 2048);
        check.length("grantId", request.grant_id.as_ref(), 1, 128);
        check.finish()?;
        let grant = match (request.grant_token, request.key_id, request.grant_id) {
            (Some(token), None, None) => op::GrantReference::Token(token),
            (None, Some(key), Some(grant)) => {
                op::GrantReference::Id(KeyReference::parse_without_alias(&key)?, read_grant_id(&grant)?)
            }
            _ => return Err(Refusal::invalid("You must specify either a grant token, or both a key ID and a grant ID.")),
        };
        Ok(op::RetireGrant { grant, dry_run: request.dry_run.unwrap_or(false) })
    }

    fn encode((): ()) {}
}
