//! CreateKey on the wire.

use super::custom_key_store::in_key_store;
use super::names::{CUSTOMER_MASTER_KEY_SPECS, KEY_SPECS, KEY_USAGES, ORIGINS, check_policy};
use super::tag::{Tag, read_tags};
use crate::mapping::Mapping;
use crate::validation::{Validator, name};
use claviger_domain::Refusal;
use claviger_domain::key::{KeySpec, KeyUsage, Origin};
use claviger_domain::key_store::KeyStoreType;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct CreateKey;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    policy: Option<String>,
    description: Option<String>,
    key_usage: Option<String>,
    customer_master_key_spec: Option<String>,
    key_spec: Option<String>,
    origin: Option<String>,
    custom_key_store_id: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
    tags: Option<Vec<Tag>>,
    multi_region: Option<bool>,
    xks_key_id: Option<String>,
}

impl Mapping for CreateKey {
    type Request = Request;
    type Operation = op::CreateKey;
    type Response = super::key_metadata::Described;

    fn decode(request: Request) -> Result<op::CreateKey, Refusal> {
        let mut check = Validator::new();
        check_policy(&mut check, request.policy.as_ref());
        check.length("description", request.description.as_ref(), 0, 8192);
        check.one_of("keyUsage", request.key_usage.as_ref(), KEY_USAGES);
        check.one_of("customerMasterKeySpec", request.customer_master_key_spec.as_ref(), CUSTOMER_MASTER_KEY_SPECS);
        check.one_of("keySpec", request.key_spec.as_ref(), KEY_SPECS);
        check.one_of("origin", request.origin.as_ref(), ORIGINS);
        check.length("customKeyStoreId", request.custom_key_store_id.as_ref(), 1, 64);
        check.length("xksKeyId", request.xks_key_id.as_ref(), 1, 128);
        check.pattern("xksKeyId", request.xks_key_id.as_ref(), "^[a-zA-Z0-9-_.]+$", |id| {
            id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        });
        let tags = read_tags(&mut check, request.tags.as_ref());
        check.finish()?;
        if request.key_spec.is_some() && request.customer_master_key_spec.is_some() {
            return Err(Refusal::invalid("You cannot specify KeySpec and CustomerMasterKeySpec in the same request."));
        }
        let spec = request.key_spec.or(request.customer_master_key_spec);
        let spec = spec.as_deref().unwrap_or(KeySpec::SymmetricDefault.as_str());
        let (symmetric, single) = (spec == KeySpec::SymmetricDefault.as_str(), request.multi_region != Some(true));
        let fits = |kind| single && (symmetric || kind == KeyStoreType::CloudHsm);
        let origin = request.origin.as_deref();
        let in_key_store = in_key_store(origin, request.custom_key_store_id, request.xks_key_id, fits)?;
        // Where a store is to hold the material, the origin is the store's.
        let origin = origin.filter(|_| in_key_store.is_none());
        let spec: KeySpec = spec.parse().map_err(|_| Refusal::invalid(format!("{spec} is not a key spec.")))?;
        Ok(op::CreateKey {
            spec,
            usage: usage_of(spec, request.key_usage.as_ref())?,
            origin: offered_origin(origin)?,
            in_key_store,
            description: request.description.unwrap_or_default(),
            policy: request.policy,
            bypass_lockout_check: request.bypass_policy_lockout_safety_check.unwrap_or(false),
            tags: tags?,
            multi_region: request.multi_region.unwrap_or(false),
        })
    }

    fn encode(output: <op::CreateKey as Operation>::Output) -> super::key_metadata::Described {
        super::key_metadata::Described::of(&output)
    }
}

/// What the key will be for. Only symmetric keys have one usage, and so a default.
pub(crate) fn usage_of(spec: KeySpec, usage: Option<&String>) -> Result<KeyUsage, Refusal> {
    match usage {
        Some(_) => name(usage),
        None if spec == KeySpec::SymmetricDefault => Ok(KeyUsage::EncryptDecrypt),
        None => Err(Refusal::invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")),
    }
}

fn offered_origin(origin: Option<&str>) -> Result<Origin, Refusal> {
    let origin = origin.unwrap_or(Origin::Internal.as_str());
    let not_offered = || Refusal::unsupported(format!("Keys of origin {origin} are not offered by this deployment."));
    origin.parse().ok().ok_or_else(not_offered)
}
