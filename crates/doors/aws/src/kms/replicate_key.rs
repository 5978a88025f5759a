//! ReplicateKey on the wire.

use super::key_metadata::KeyMetadata;
use super::names::{check_policy, read_region};
use super::tag::{Tag, read_tags};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::{KeyReference, Refusal};
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct ReplicateKey;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    replica_region: Option<String>,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
    description: Option<String>,
    tags: Option<Vec<Tag>>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    replica_key_metadata: KeyMetadata,
    replica_policy: String,
    replica_tags: Vec<Tag>,
}

impl Mapping for ReplicateKey {
    type Request = Request;
    type Operation = op::ReplicateKey;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ReplicateKey, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        let replica_region = read_region(&mut check, "replicaRegion", request.replica_region.as_ref());
        check_policy(&mut check, request.policy.as_ref());
        check.length("description", request.description.as_ref(), 0, 8192);
        let tags = read_tags(&mut check, request.tags.as_ref());
        check.finish()?;
        Ok(op::ReplicateKey {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            replica_region: present(replica_region)?,
            policy: request.policy,
            bypass_lockout_check: request.bypass_policy_lockout_safety_check.unwrap_or(false),
            description: request.description.unwrap_or_default(),
            tags: tags?,
        })
    }

    fn encode(replica: <op::ReplicateKey as Operation>::Output) -> Response {
        Response {
            replica_key_metadata: KeyMetadata::of(&replica),
            replica_policy: replica.policy.to_string(),
            replica_tags: replica.tags.into_iter().map(|(key, value)| Tag::new(key, value)).collect(),
        }
    }
}
