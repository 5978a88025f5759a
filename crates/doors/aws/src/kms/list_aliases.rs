//! ListAliases on the wire.

use crate::json::Seconds;
use crate::mapping::Mapping;
use crate::validation::{Validator, page_size};
use claviger_domain::AliasArn;
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct ListAliases;

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
    aliases: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

/// One alias.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    alias_name: String,
    alias_arn: String,
    target_key_id: String,
    creation_date: Seconds,
    last_updated_date: Seconds,
}

impl Mapping for ListAliases {
    type Request = Request;
    type Operation = op::ListAliases;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListAliases, Refusal> {
        let mut check = Validator::new();
        check.length("keyId", request.key_id.as_ref(), 1, 2048);
        check.limit(request.limit);
        check.marker(request.marker.as_ref());
        check.finish()?;
        Ok(op::ListAliases {
            key: request.key_id.as_deref().map(KeyReference::parse_without_alias).transpose()?,
            limit: page_size(request.limit, 50, 100),
            marker: request.marker,
        })
    }

    fn encode(output: <op::ListAliases as Operation>::Output) -> Response {
        let listed = output.items.into_iter().map(|alias| Listed {
            alias_arn: AliasArn { region: alias.region, account: alias.account, alias: alias.name.clone() }.to_string(),
            alias_name: alias.name.to_string(),
            target_key_id: alias.target.to_string(),
            creation_date: Seconds(alias.created),
            last_updated_date: Seconds(alias.updated),
        });
        Response { aliases: listed.collect(), truncated: output.next.is_some(), next_marker: output.next }
    }
}
