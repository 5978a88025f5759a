//! TagUser on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{account, user};
use crate::kms::{Tag, read_tags};
use crate::mapping::Mapping;
use crate::validation::Validator;

/// The mapping.
pub(crate) struct TagUser;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    user_name: Option<String>,
    tags: Option<Vec<Tag>>,
}

impl Mapping for TagUser {
    type Request = Request;
    type Operation = op::TagUser;
    type Response = ();

    fn decode(request: Request) -> Result<op::TagUser, Refusal> {
        let mut check = Validator::new();
        check.required("tags", request.tags.as_ref());
        let tags = read_tags(&mut check, request.tags.as_ref());
        check.finish()?;
        Ok(op::TagUser {
            account: account(request.account_id.as_deref())?,
            user: user(request.user_name.as_deref())?,
            tags: tags?,
        })
    }

    fn encode((): ()) {}
}
