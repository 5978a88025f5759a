//! TagRole on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{account, role};
use crate::kms::{Tag, read_tags};
use crate::mapping::Mapping;
use crate::validation::Validator;

/// The mapping.
pub(crate) struct TagRole;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    role_name: Option<String>,
    tags: Option<Vec<Tag>>,
}

impl Mapping for TagRole {
    type Request = Request;
    type Operation = op::TagRole;
    type Response = ();

    fn decode(request: Request) -> Result<op::TagRole, Refusal> {
        let mut check = Validator::new();
        check.required("tags", request.tags.as_ref());
        let tags = read_tags(&mut check, request.tags.as_ref());
        check.finish()?;
        Ok(op::TagRole {
            account: account(request.account_id.as_deref())?,
            role: role(request.role_name.as_deref())?,
            tags: tags?,
        })
    }

    fn encode((): ()) {}
}
