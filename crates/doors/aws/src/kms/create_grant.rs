//! CreateGrant on the wire.

use super::grant::{Constraints, check_principal, check_service, principal_or_service};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::{GrantOperation, GrantTerms, KeyReference, Refusal};
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct CreateGrant;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    grantee_principal: Option<String>,
    retiring_principal: Option<String>,
    operations: Option<Vec<String>>,
    constraints: Option<Constraints>,
    grant_tokens: Option<Vec<String>>,
    name: Option<String>,
    dry_run: Option<bool>,
    grantee_service_principal: Option<String>,
    retiring_service_principal: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    grant_token: String,
    grant_id: String,
}

impl Mapping for CreateGrant {
    type Request = Request;
    type Operation = op::CreateGrant;
    type Response = Response;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::CreateGrant, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check_principal(&mut check, "granteePrincipal", request.grantee_principal.as_ref());
        check_principal(&mut check, "retiringPrincipal", request.retiring_principal.as_ref());
        check_operations(&mut check, request.operations.as_ref());
        if let Some(constraints) = &request.constraints {
            constraints.check(&mut check);
        }
        check.grant_tokens(request.grant_tokens.as_ref());
        check.length("name", request.name.as_ref(), 1, 256);
        check.pattern("name", request.name.as_ref(), "^[a-zA-Z0-9:/_-]+$", |name| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/_-".contains(&byte))
        });
        check_service(&mut check, "granteeServicePrincipal", request.grantee_service_principal.as_ref());
        check_service(&mut check, "retiringServicePrincipal", request.retiring_service_principal.as_ref());
        check.finish()?;
        let grantee = ["GranteePrincipal", "GranteeServicePrincipal"];
        let grantee = principal_or_service(grantee, request.grantee_principal, request.grantee_service_principal)?;
        let retiring = ["RetiringPrincipal", "RetiringServicePrincipal"];
        let operations = present(request.operations)?;
        Ok(op::CreateGrant {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            name: request.name,
            terms: GrantTerms {
                grantee: grantee
                    .ok_or_else(|| Refusal::invalid("You must specify either GranteePrincipal or GranteeServicePrincipal."))?,
                retiring: principal_or_service(retiring, request.retiring_principal, request.retiring_service_principal)?,
                operations: operations.iter().filter_map(|name| name.parse().ok()).collect(),
                constraints: request.constraints.map(Constraints::read).unwrap_or_default(),
            },
            dry_run: request.dry_run.unwrap_or(false),
        })
    }

    fn encode(output: <op::CreateGrant as Operation>::Output) -> Response {
        Response { grant_token: output.token, grant_id: output.id.to_string() }
    }
}

/// In the words in which AWS KMS complains of the members of a list.
fn check_operations(check: &mut Validator, operations: Option<&Vec<String>>) {
    check.required("operations", operations);
    let Some(operations) = operations else { return };
    if operations.is_empty() {
        check.problem("operations", "Member must have length greater than or equal to 1");
    }
    if operations.iter().any(|name| name.parse::<GrantOperation>().is_err()) {
        let names: Vec<&str> = GrantOperation::ALL.iter().map(|operation| operation.as_str()).collect();
        check.problem(
            "operations",
            &format!("Member must satisfy constraint: [Member must satisfy enum value set: [{}]]", names.join(", ")),
        );
    }
}
