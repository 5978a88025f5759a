//! BreakGlass on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::account;
use super::hyok::{cloud, external_key, store};
use crate::json::Seconds;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};

/// The mapping.
pub(crate) struct BreakGlass;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
    external_key_id: Option<String>,
    cloud: Option<String>,
    restore: Option<bool>,
    dry_run: Option<bool>,
    reason: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    stores: Vec<Store>,
}

/// A store that is meant, or of which a key is.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Store {
    account_id: String,
    store_name: String,
    path: String,
    changes: bool,
    keys: Vec<Key>,
}

/// A key that is meant.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Key {
    external_key_id: String,
    key_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_date: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_operation: Option<String>,
    uses_in_last_minute: u64,
}

impl Mapping for BreakGlass {
    type Request = Request;
    type Operation = op::BreakGlass;
    type Response = Response;

    fn decode(request: Request) -> Result<op::BreakGlass, Refusal> {
        let mut check = Validator::new();
        check.required_length("reason", request.reason.as_ref(), 1, 1000);
        check.finish()?;
        let (named, key) = (request.store_name.as_deref(), request.external_key_id.as_deref());
        let scope = match (named, key, cloud(request.cloud.as_deref())?) {
            (Some(_), None, None) => op::Scope::Store(store(named)?),
            (Some(_), Some(_), None) => op::Scope::Key(store(named)?, external_key(key)?),
            (None, None, Some(cloud)) => op::Scope::Cloud(cloud),
            _ => return Err(Refusal::invalid("Say what is meant: StoreName, StoreName and ExternalKeyId, or Cloud.")),
        };
        Ok(op::BreakGlass {
            account: account(request.account_id.as_deref())?,
            scope,
            restore: request.restore.unwrap_or(false),
            dry_run: request.dry_run.unwrap_or(false),
            reason: present(request.reason)?,
        })
    }

    fn encode(output: <op::BreakGlass as Operation>::Output) -> Response {
        let key = |key: op::AffectedKey| Key {
            external_key_id: key.id.to_string(),
            key_arn: key.arn.to_string(),
            last_used_date: key.last_use.as_ref().map(|last| Seconds(last.at)),
            last_operation: key.last_use.map(|last| last.operation),
            uses_in_last_minute: key.uses_in_last_minute,
        };
        let store = |store: op::AffectedStore| Store {
            account_id: store.account.to_string(),
            store_name: store.name.to_string(),
            path: store.path.to_string(),
            changes: store.changes,
            keys: store.keys.into_iter().map(key).collect(),
        };
        Response { stores: output.stores.into_iter().map(store).collect() }
    }
}
