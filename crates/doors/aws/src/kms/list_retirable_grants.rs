//! ListRetirableGrants on the wire.

use super::grant::{Grants, check_principal, check_service, principal_or_service};
use crate::mapping::Mapping;
use crate::validation::{Validator, page_size};
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct ListRetirableGrants;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    limit: Option<i64>,
    marker: Option<String>,
    retiring_principal: Option<String>,
    retiring_service_principal: Option<String>,
}

impl Mapping for ListRetirableGrants {
    type Request = Request;
    type Operation = op::ListRetirableGrants;
    type Response = Grants;

    fn decode(request: Request) -> Result<op::ListRetirableGrants, Refusal> {
        let mut check = Validator::new();
        check.limit(request.limit);
        check.marker(request.marker.as_ref());
        check_principal(&mut check, "retiringPrincipal", request.retiring_principal.as_ref());
        check_service(&mut check, "retiringServicePrincipal", request.retiring_service_principal.as_ref());
        check.finish()?;
        let names = ["RetiringPrincipal", "RetiringServicePrincipal"];
        let retiring = principal_or_service(names, request.retiring_principal, request.retiring_service_principal)?;
        Ok(op::ListRetirableGrants {
            retiring: retiring
                .ok_or_else(|| Refusal::invalid("You must specify either RetiringPrincipal or RetiringServicePrincipal."))?,
            limit: page_size(request.limit, 50, 100),
            marker: request.marker,
        })
    }

    fn encode(output: <op::ListRetirableGrants as Operation>::Output) -> Grants {
        Grants::of(output)
    }
}
