//! UntagUser on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{account, user};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};

/// The mapping.
pub(crate) struct UntagUser;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    user_name: Option<String>,
    tag_keys: Option<Vec<String>>,
}

impl Mapping for UntagUser {
    type Request = Request;
    type Operation = op::UntagUser;
    type Response = ();

    fn decode(request: Request) -> Result<op::UntagUser, Refusal> {
        let mut check = Validator::new();
        check.required("tagKeys", request.tag_keys.as_ref());
        check.finish()?;
        Ok(op::UntagUser {
            account: account(request.account_id.as_deref())?,
            user: user(request.user_name.as_deref())?,
            tag_keys: present(request.tag_keys)?,
        })
    }

    fn encode((): ()) {}
}
