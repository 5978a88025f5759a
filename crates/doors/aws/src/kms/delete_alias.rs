//! DeleteAlias on the wire.

use super::alias::{check_alias, read_alias};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct DeleteAlias;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    alias_name: Option<String>,
}

impl Mapping for DeleteAlias {
    type Request = Request;
    type Operation = op::DeleteAlias;
    type Response = ();

    fn decode(request: Request) -> Result<op::DeleteAlias, Refusal> {
        let mut check = Validator::new();
        check_alias(&mut check, request.alias_name.as_ref());
        check.finish()?;
        Ok(op::DeleteAlias { alias: read_alias(&present(request.alias_name)?)? })
    }

    fn encode((): ()) {}
}
