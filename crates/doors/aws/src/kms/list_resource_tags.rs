//! ListResourceTags on the wire.

use super::tag::Tag;
use crate::mapping::Mapping;
use crate::validation::{Validator, page_size, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct ListResourceTags;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

impl Mapping for ListResourceTags {
    type Request = Request;
    type Operation = op::ListResourceTags;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListResourceTags, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.limit(request.limit);
        check.marker(request.marker.as_ref());
        check.finish()?;
        Ok(op::ListResourceTags {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            limit: page_size(request.limit, 50, 50),
            marker: request.marker,
        })
    }

    fn encode(output: <op::ListResourceTags as Operation>::Output) -> Response {
        let tags = output.items.into_iter().map(|(key, value)| Tag::new(key, value));
        Response { tags: tags.collect(), truncated: output.next.is_some(), next_marker: output.next }
    }
}
