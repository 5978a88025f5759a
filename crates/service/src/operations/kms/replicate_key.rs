//! ReplicateKey: a key with the same id and material in another Region. Source: AWS KMS API Reference, "ReplicateKey".

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use claviger_domain::key::{Key, KeyState, MultiRegion, MultiRegionKeyType, Origin};
use claviger_domain::policy::{Values, default_key_policy};
use claviger_domain::{Caller, KeyReference, Refusal, Region};
use serde_json::json;

use super::policy_check::PolicyCheck;
use super::tags::{check_tags, request_tag};
use crate::conditions::text;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::resolve::{KeyTarget, must_be_own};
use crate::service::Service;

/// The request.
pub struct ReplicateKey {
    /// The primary key; not by alias.
    pub key: KeyReference,
    /// Where the replica will be.
    pub replica_region: Region,
    /// The replica's key policy; AWS's default one when absent.
    pub policy: Option<String>,
    /// Whether a policy that locks the caller out is accepted.
    pub bypass_lockout_check: bool,
    /// The replica's description, at most 8,192 characters.
    pub description: String,
    /// The replica's tags.
    pub tags: BTreeMap<String, String>,
}

/// How many replicas a key may have. More than AWS has Regions; the limit is there because all of them change in one commit.
const REPLICAS_MAX: usize = 64;

impl Operation for ReplicateKey {
    const EVENT: Event = Event::kms("ReplicateKey");
    type Target = KeyTarget;
    /// The replica.
    type Output = Key;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<KeyTarget, Refusal> {
        must_be_own(&self.key, caller, "kms:ReplicateKey")?;
        service.resolve_key(caller, &self.key, "kms:ReplicateKey").await
    }

    fn demands<'a>(&'a self, caller: &'a Caller, target: &'a KeyTarget) -> Vec<Ask<'a>> {
        let there = |action| Ask::anything(action, caller).in_region(&self.replica_region);
        let mut demands = vec![Ask::key("kms:ReplicateKey", target), there("kms:CreateKey")];
        if !self.tags.is_empty() {
            demands.push(there("kms:TagResource"));
        }
        demands
    }

    /// What is asked of the primary key has the primary's values already; what is left is about the replica.
    fn condition<'a>(&'a self, ask: &Ask<'_>, target: &'a KeyTarget, key: &str) -> Values<'a> {
        let primary = &target.snapshot.key;
        match key {
            "kms:replicaregion" if ask.action == "kms:ReplicateKey" => text(self.replica_region.as_str()),
            "kms:keyspec" | "kms:customermasterkeyspec" => text(primary.spec.as_str()),
            "kms:keyusage" | "kms:customermasterkeyusage" => text(primary.usage.as_str()),
            "kms:keyorigin" => text(primary.origin.as_str()),
            "kms:multiregion" => text("true"),
            "kms:multiregionkeytype" => text(MultiRegionKeyType::Replica.as_str()),
            "kms:bypasspolicylockoutsafetycheck" => text(if self.bypass_lockout_check { "true" } else { "false" }),
            "aws:tagkeys" if !self.tags.is_empty() => {
                Values::Many(self.tags.keys().map(|key| Cow::Borrowed(key.as_str())).collect())
            }
            _ => request_tag(&self.tags, key),
        }
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<Key>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_be_primary()?;
        snapshot.must_be_settled()?;
        let mut primary = snapshot.key.clone();
        let kin = primary.multi_region.get_or_insert_with(|| Box::new(MultiRegion::primary_in(snapshot.key.region.clone())));
        self.check_region(service, &snapshot.arn, kin)?;
        check_tags(&self.tags)?;
        service.must_have_room_for_a_key(snapshot.key.account, &self.replica_region).await?;
        kin.replicas.insert(self.replica_region.clone());
        let replica = self.replica_of(&primary, service, caller).await?;
        let mut related = service.update_with_relatives(snapshot, &primary).await?;
        related.changes.push(service.records.create(&replica).await?);
        related.arns.insert(0, replica.arn().to_string());
        Ok(related.effect(replica))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            bypass_policy_lockout_safety_check: self.bypass_lockout_check,
            description: Some(&self.description),
            key_id: Some(self.key.to_string()),
            policy: self.policy.as_deref(),
            replica_region: Some(self.replica_region.as_str()),
            tags: (!self.tags.is_empty()).then_some(&self.tags),
            ..Parameters::default()
        }
    }

    fn response_elements(replica: &Key) -> Option<serde_json::Value> {
        Some(json!({"replicaKeyMetadata": {
            "arn": replica.arn().to_string(),
            "aWSAccountId": replica.account.to_string(),
            "creationDate": replica.created.to_rfc3339(),
            "enabled": replica.state == KeyState::Enabled,
            "keyId": replica.id.to_string(),
            "keySpec": replica.spec.as_str(),
            "keyState": replica.state.as_str(),
            "keyUsage": replica.usage.as_str(),
            "multiRegion": true,
            "origin": replica.origin.as_str(),
        }}))
    }
}

impl ReplicateKey {
    fn check_region(&self, service: &Service, arn: &str, kin: &MultiRegion) -> Result<(), Refusal> {
        let region = &self.replica_region;
        if !service.serves(region) {
            return Err(Refusal::unsupported(format!("The Region {region} is not served by this deployment.")));
        }
        if kin.regions().any(|taken| taken == region) {
            return Err(Refusal::already_exists(format!("{arn} exists in the Region {region} already.")));
        }
        if kin.replicas.len() >= REPLICAS_MAX {
            return Err(Refusal::limit_exceeded(format!("The key has {REPLICAS_MAX} replicas already; delete one first.")));
        }
        Ok(())
    }

    async fn replica_of(&self, primary: &Key, service: &Service, caller: &Caller) -> Result<Key, Refusal> {
        let region = &self.replica_region;
        let policy = match &self.policy {
            Some(policy) => {
                // The next policy would be put there.
                let mut there = caller.clone();
                there.request.region = region.clone();
                let arn = primary.arn_in(region);
                let check = PolicyCheck { policy, arn: &arn, bypass_lockout_check: self.bypass_lockout_check };
                check.run(service, &there).await?;
                policy.clone()
            }
            None => default_key_policy(primary.account),
        };
        let mut replica = Key {
            region: region.clone(),
            // Imported material comes to each Region from its owner.
            state: if primary.origin == Origin::External { KeyState::PendingImport } else { KeyState::Enabled },
            description: self.description.clone(),
            created: caller.request.at,
            policy: policy.into(),
            tags: self.tags.clone(),
            aliases: BTreeSet::new(),
            materials: Vec::new(),
            ..primary.clone()
        };
        service.share(primary, &mut replica).await?;
        Ok(replica)
    }
}
