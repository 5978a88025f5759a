//! ListGrants on the wire.

use super::grant::{Grants, check_principal, check_service, principal_or_service, read_grant_id};
use crate::mapping::Mapping;
use crate::validation::{Validator, page_size, present};
use claviger_domain::{KeyReference, Refusal};
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct ListGrants;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    limit: Option<i64>,
    marker: Option<String>,
    key_id: Option<String>,
    grant_id: Option<String>,
    grantee_principal: Option<String>,
    grantee_service_principal: Option<String>,
}

impl Mapping for ListGrants {
    type Request = Request;
    type Operation = op::ListGrants;
    type Response = Grants;

    fn decode(request: Request) -> Result<op::ListGrants, Refusal> {
        let mut check = Validator::new();
        check.limit(request.limit);
        check.marker(request.marker.as_ref());
        check.key_id("keyId", request.key_id.as_ref());
        check.length("grantId", request.grant_id.as_ref(), 1, 128);
        check_principal(&mut check, "granteePrincipal", request.grantee_principal.as_ref());
        check_service(&mut check, "granteeServicePrincipal", request.grantee_service_principal.as_ref());
        check.finish()?;
        let grantee = ["GranteePrincipal", "GranteeServicePrincipal"];
        Ok(op::ListGrants {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            grant: request.grant_id.as_deref().map(read_grant_id).transpose()?,
            grantee: principal_or_service(grantee, request.grantee_principal, request.grantee_service_principal)?,
            limit: page_size(request.limit, 50, 100),
            marker: request.marker,
        })
    }

    fn encode(output: <op::ListGrants as Operation>::Output) -> Grants {
        Grants::of(output)
    }
}
