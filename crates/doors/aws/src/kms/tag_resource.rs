//! TagResource on the wire.

use super::tag::{Tag, read_tags};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct TagResource;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    tags: Option<Vec<Tag>>,
}

impl Mapping for TagResource {
    type Request = Request;
    type Operation = op::TagResource;
    type Response = ();

    fn decode(request: Request) -> Result<op::TagResource, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required("tags", request.tags.as_ref());
        let tags = read_tags(&mut check, request.tags.as_ref());
        check.finish()?;
        Ok(op::TagResource { key: KeyReference::parse_without_alias(&present(request.key_id)?)?, tags: tags? })
    }

    fn encode((): ()) {}
}
