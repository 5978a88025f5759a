//! CreateKey: a key with its first material, or one that waits for its owner to import it. Source: AWS KMS API Reference, "CreateKey".

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use claviger_domain::key::{Key, KeySpec, KeyState, KeyUsage, Manager, MultiRegion, MultiRegionKeyType, Origin};
use claviger_domain::key_store::KeyStoreType;
use claviger_domain::policy::{Values, default_key_policy};
use claviger_domain::{AccountId, Caller, KeyArn, KeyId, Refusal, Timestamp};
use serde_json::json;

use super::in_key_store::InKeyStore;
use super::policy_check::PolicyCheck;
use super::tags::{check_tags, request_tag};
use crate::conditions::text;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct CreateKey {
    /// What kind of material.
    pub spec: KeySpec,
    /// What it may be used for.
    pub usage: KeyUsage,
    /// Where the material comes from, unless it is to be in a custom key store.
    pub origin: Origin,
    /// The custom key store that is to hold the material.
    pub in_key_store: Option<InKeyStore>,
    /// Free text, at most 8,192 characters.
    pub description: String,
    /// The key policy; AWS's default one when absent.
    pub policy: Option<String>,
    /// Whether a policy that locks the caller out is accepted.
    pub bypass_lockout_check: bool,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Whether it is a multi-Region primary key, which can be replicated into other Regions.
    pub multi_region: bool,
}

impl Operation for CreateKey {
    const EVENT: Event = Event::kms("CreateKey");
    type Target = ();
    type Output = Key;

    async fn resolve(&self, service: &Service, _caller: &Caller) -> Result<(), Refusal> {
        service.must_offer_spec(self.spec, "Keys")?;
        if self.spec.usages().contains(&self.usage) {
            return Ok(());
        }
        Err(Refusal::invalid(format!("KeyUsage {} is not compatible with KeySpec {}", self.usage, self.spec)))
    }

    fn demands<'a>(&'a self, caller: &'a Caller, (): &'a ()) -> Vec<Ask<'a>> {
        let mut demands = vec![Ask::anything("kms:CreateKey", caller)];
        if !self.tags.is_empty() {
            demands.push(Ask::anything("kms:TagResource", caller));
        }
        demands
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, (): &'a (), key: &str) -> Values<'a> {
        match key {
            "kms:keyspec" | "kms:customermasterkeyspec" => text(self.spec.as_str()),
            "kms:keyusage" | "kms:customermasterkeyusage" => text(self.usage.as_str()),
            "kms:keyorigin" => text(self.origin_name()),
            "kms:multiregion" => text(if self.multi_region { "true" } else { "false" }),
            "kms:multiregionkeytype" if self.multi_region => text(MultiRegionKeyType::Primary.as_str()),
            "kms:bypasspolicylockoutsafetycheck" => text(if self.bypass_lockout_check { "true" } else { "false" }),
            "aws:tagkeys" if !self.tags.is_empty() => {
                Values::Many(self.tags.keys().map(|key| Cow::Borrowed(key.as_str())).collect())
            }
            _ => request_tag(&self.tags, key),
        }
    }

    async fn execute(&self, service: &Service, caller: &Caller, (): &(), _: Allowed<Self>) -> Result<Effect<Key>, Refusal> {
        self.make(service, caller).await
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            bypass_policy_lockout_safety_check: self.bypass_lockout_check,
            description: Some(&self.description),
            key_spec: Some(self.spec.as_str()),
            key_usage: Some(self.usage.as_str()),
            multi_region: self.multi_region,
            custom_key_store_id: self.in_key_store.as_ref().map(|place| place.store.as_str()),
            origin: Some(self.origin_name()),
            policy: self.policy.as_deref(),
            tags: (!self.tags.is_empty()).then_some(&self.tags),
            xks_key_id: self
                .in_key_store
                .as_ref()
                .and_then(|place| place.existing.as_deref().filter(|_| place.kind == KeyStoreType::External)),
            ..Parameters::default()
        }
    }

    fn response_elements(key: &Key) -> Option<serde_json::Value> {
        Some(json!({"keyMetadata": {
            "arn": key.arn().to_string(),
            "aWSAccountId": key.account.to_string(),
            "creationDate": key.created.to_rfc3339(),
            "enabled": key.state == KeyState::Enabled,
            "keyId": key.id.to_string(),
            "keySpec": key.spec.as_str(),
            "keyState": key.state.as_str(),
            "keyUsage": key.usage.as_str(),
            "multiRegion": key.id.is_multi_region(),
            "origin": key.origin.as_str(),
        }}))
    }
}

impl CreateKey {
    /// Makes the key, in the caller's account and the request's Region. Whoever calls this has been allowed to.
    pub(crate) async fn make(&self, service: &Service, caller: &Caller) -> Result<Effect<Key>, Refusal> {
        let account = caller.identity.account;
        if account == AccountId::DEPLOYMENT {
            return Err(Refusal::unsupported("The deployment's own account holds no keys. Create an account for them first."));
        }
        check_tags(&self.tags)?;
        let place = match &self.in_key_store {
            Some(in_key_store) => Some(in_key_store.open(service, caller).await?),
            None => None,
        };
        if self.origin == Origin::External && !self.spec.can_be_imported() {
            return Err(Refusal::unsupported(format!("Material for keys of spec {} cannot be imported.", self.spec)));
        }
        service.must_have_room_for_a_key(account, &caller.request.region).await?;
        let uuid = new_uuid(caller.request.at);
        let id = if self.multi_region { KeyId::multi_region(uuid) } else { KeyId::single_region(uuid) };
        let region = caller.request.region.clone();
        let policy = match &self.policy {
            Some(policy) => {
                let arn = KeyArn { region: region.clone(), account, key: id };
                let check = PolicyCheck { policy, arn: &arn, bypass_lockout_check: self.bypass_lockout_check };
                check.run(service, caller).await?;
                policy.clone()
            }
            None => default_key_policy(account),
        };
        let mut key = Key {
            id,
            multi_region: self.multi_region.then(|| Box::new(MultiRegion::primary_in(region.clone()))),
            region,
            account,
            spec: self.spec,
            usage: self.usage,
            origin: self.in_key_store.as_ref().map_or(self.origin, InKeyStore::origin),
            manager: Manager::Customer,
            state: KeyState::Enabled,
            description: self.description.clone(),
            created: caller.request.at,
            policy: policy.into(),
            tags: self.tags.clone(),
            aliases: BTreeSet::new(),
            rotation: None,
            import_secret: Vec::new(),
            home: None,
            availability: None,
            materials: Vec::new(),
        };
        let (mut changes, mut made) = (Vec::new(), None);
        match (place, self.origin) {
            (Some(place), _) => {
                let existing = self.in_key_store.as_ref().and_then(|place| place.existing.as_deref());
                let (with_it, there) = place.settle(service, &mut key, existing, caller).await?;
                (changes, made) = (with_it, Some(there));
            }
            (None, Origin::External) => service.await_import(&mut key).await?,
            (None, _) => service.add_material(&mut key, None, caller.request.at).await?,
        }
        match service.records.create(&key).await {
            Ok(change) => changes.push(change),
            Err(refusal) => {
                if let Some(made) = made {
                    service.take_away(made).await;
                }
                return Err(refusal);
            }
        }
        Ok(Effect::change(key, changes).with_made_elsewhere(made))
    }
}

/// The id of a key that is made now: the time, and 74 random bits (RFC 9562, UUID version 7). Keys that are made together then lie together in
/// the store and in each of its indexes, where ids of random bits alone would have every new key read and write pages of its own.
fn new_uuid(at: Timestamp) -> uuid::Uuid {
    let ms = u64::try_from(at.0).unwrap_or_default();
    let (seconds, nanoseconds) = (ms / 1000, u32::try_from(ms % 1000 * 1_000_000).unwrap_or_default());
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanoseconds))
}

impl CreateKey {
    /// The origin as AWS names it.
    fn origin_name(&self) -> &'static str {
        self.in_key_store.as_ref().map_or(self.origin.as_str(), |place| place.kind.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_keys_have_greater_ids() {
        let times = [-1, 1, 999, 1000, 1_764_315_000_123, 1_764_315_000_124].map(Timestamp);
        let ids = times.map(new_uuid);
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert_eq!(ids[4].get_timestamp().map(|time| time.to_unix()), Some((1_764_315_000, 123_000_000)));
        assert_ne!(new_uuid(times[4]), ids[4]);
    }
}
