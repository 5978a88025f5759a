//! UpdatePrimaryRegion: a replica becomes the primary key, and the primary key a replica. Source: AWS KMS API Reference,
//! "UpdatePrimaryRegion".

use claviger_domain::key::MultiRegion;
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal, Region};
use claviger_store::Change;

use crate::conditions::text;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::resolve::{KeyTarget, Named, key_not_found, must_be_own};
use crate::service::Service;

/// The request.
pub struct UpdatePrimaryRegion {
    /// The primary key; not by alias.
    pub key: KeyReference,
    /// The Region of the replica that will be the primary key.
    pub primary_region: Region,
}

/// Both keys.
pub struct PrimaryAndReplica {
    primary: KeyTarget,
    /// None when the Region has no such key.
    replica: Option<KeyTarget>,
}

impl Operation for UpdatePrimaryRegion {
    const EVENT: Event = Event::kms("UpdatePrimaryRegion");
    type Target = PrimaryAndReplica;
    type Output = ();

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<PrimaryAndReplica, Refusal> {
        must_be_own(&self.key, caller, "kms:UpdatePrimaryRegion")?;
        let primary = service.resolve_key(caller, &self.key, "kms:UpdatePrimaryRegion").await?;
        let key = &primary.snapshot.key;
        let replica = service.key(key.account, &self.primary_region, key.id).await?;
        Ok(PrimaryAndReplica { replica: replica.map(|snapshot| KeyTarget { snapshot, named: Named::Key }), primary })
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, target: &'a PrimaryAndReplica) -> Vec<Ask<'a>> {
        let mut demands = vec![Ask::key("kms:UpdatePrimaryRegion", &target.primary)];
        let replica = target.replica.as_ref();
        demands.extend(replica.map(|key| Ask::key("kms:UpdatePrimaryRegion", key).in_region(&self.primary_region)));
        demands
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a PrimaryAndReplica, key: &str) -> Values<'a> {
        match key {
            "kms:primaryregion" => text(self.primary_region.as_str()),
            _ => Values::Absent,
        }
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &PrimaryAndReplica,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let old = &target.primary.snapshot;
        old.must_be_primary()?;
        if old.key.region == self.primary_region {
            return Err(Refusal::unsupported(format!("{} is the multi-region primary key already.", old.arn)));
        }
        let Some(KeyTarget { snapshot: new, .. }) = &target.replica else {
            return Err(key_not_found(&old.key.arn_in(&self.primary_region)));
        };
        old.must_be_settled()?;
        new.must_be_settled()?;
        let mut key = old.key.clone();
        key.multi_region = key.multi_region.map(|kin| with_primary(kin, &self.primary_region));
        let mut related = service.update_with_relatives(old, &key).await?;
        // What was allowed and checked of it must still be so.
        related.changes.push(Change::Check { key: new.record_key(), version: new.version });
        // The new primary key is named already: it was asked about.
        related.arns.retain(|arn| *arn != new.arn);
        Ok(related.effect(()))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            primary_region: Some(self.primary_region.as_str()),
            ..Parameters::default()
        }
    }
}

fn with_primary(mut kin: Box<MultiRegion>, region: &Region) -> Box<MultiRegion> {
    kin.replicas.remove(region);
    kin.replicas.insert(std::mem::replace(&mut kin.primary, region.clone()));
    kin
}
