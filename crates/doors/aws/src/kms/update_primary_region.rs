//! UpdatePrimaryRegion on the wire.

use super::names::read_region;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::{KeyReference, Refusal};
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct UpdatePrimaryRegion;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    primary_region: Option<String>,
}

impl Mapping for UpdatePrimaryRegion {
    type Request = Request;
    type Operation = op::UpdatePrimaryRegion;
    type Response = ();

    fn decode(request: Request) -> Result<op::UpdatePrimaryRegion, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        let primary_region = read_region(&mut check, "primaryRegion", request.primary_region.as_ref());
        check.finish()?;
        Ok(op::UpdatePrimaryRegion {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            primary_region: present(primary_region)?,
        })
    }

    fn encode((): <op::UpdatePrimaryRegion as Operation>::Output) {}
}
