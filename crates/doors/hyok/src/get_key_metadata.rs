//! GetKeyMetadata on the wire.

use bytes::Bytes;
use claviger_domain::{ExternalKeyId, Refusal};
use claviger_service::operations::xks as op;
use serde::{Deserialize, Serialize};

use crate::body::{present, write};
use crate::mapping::Mapping;
use crate::request_metadata::{RequestMetadata, Required};

/// The mapping.
pub(crate) struct GetKeyMetadata;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    request_metadata: Option<RequestMetadata>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    key_spec: &'static str,
    key_usage: Vec<&'static str>,
    key_status: &'static str,
}

impl Mapping for GetKeyMetadata {
    type Request = Request;
    type Operation = op::GetKeyMetadata;

    fn decode(key: Option<ExternalKeyId>, request: Request) -> Result<op::GetKeyMetadata, Refusal> {
        let metadata = RequestMetadata::check(request.request_metadata, Required::KeyMetadata)?;
        Ok(op::GetKeyMetadata { key: present("externalKeyId", key)?, metadata })
    }

    fn encode(output: op::KeyMetadata) -> Result<Bytes, Refusal> {
        write(&Response {
            key_spec: "AES_256",
            key_usage: output.usage.iter().map(|usage| usage.as_str()).collect(),
            key_status: if output.enabled { "ENABLED" } else { "DISABLED" },
        })
    }
}
