//! UpdateAlias on the wire.

use super::alias::{check_alias, read_alias};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct UpdateAlias;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    alias_name: Option<String>,
    target_key_id: Option<String>,
}

impl Mapping for UpdateAlias {
    type Request = Request;
    type Operation = op::UpdateAlias;
    type Response = ();

    fn decode(request: Request) -> Result<op::UpdateAlias, Refusal> {
        let mut check = Validator::new();
        check_alias(&mut check, request.alias_name.as_ref());
        check.key_id("targetKeyId", request.target_key_id.as_ref());
        check.finish()?;
        Ok(op::UpdateAlias {
            alias: read_alias(&present(request.alias_name)?)?,
            key: KeyReference::parse_without_alias(&present(request.target_key_id)?)?,
        })
    }

    fn encode((): ()) {}
}
