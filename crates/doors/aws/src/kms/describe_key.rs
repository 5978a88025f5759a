//! DescribeKey on the wire.

use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct DescribeKey;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    grant_tokens: Option<Vec<String>>,
}

impl Mapping for DescribeKey {
    type Request = Request;
    type Operation = op::DescribeKey;
    type Response = super::key_metadata::Described;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::DescribeKey, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.grant_tokens(request.grant_tokens.as_ref());
        check.finish()?;
        Ok(op::DescribeKey { key: KeyReference::parse(&present(request.key_id)?)? })
    }

    fn encode(output: <op::DescribeKey as Operation>::Output) -> super::key_metadata::Described {
        super::key_metadata::Described::of(&output)
    }
}
