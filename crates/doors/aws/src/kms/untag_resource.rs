//! UntagResource on the wire.

use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct UntagResource;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    tag_keys: Option<Vec<String>>,
}

impl Mapping for UntagResource {
    type Request = Request;
    type Operation = op::UntagResource;
    type Response = ();

    fn decode(request: Request) -> Result<op::UntagResource, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required("tagKeys", request.tag_keys.as_ref());
        check.each_length("tagKeys", request.tag_keys.as_ref(), 1, 128);
        check.finish()?;
        Ok(op::UntagResource {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            tag_keys: present(request.tag_keys)?,
        })
    }

    fn encode((): ()) {}
}
