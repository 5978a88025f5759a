//! RotateKeyOnDemand: new material at once, made here or imported before; the automatic schedule stays. Source: AWS KMS API Reference, "RotateKeyOnDemand".

use claviger_domain::key::{Origin, RotationType};
use claviger_domain::{Caller, KeyReference, Refusal};
use serde_json::json;

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct RotateKeyOnDemand {
    /// The key; not by alias.
    pub key: KeyReference,
}

/// How long after an automatic rotation none on demand is made. Source: AWS KMS API Reference, "ConflictException".
const AFTER_AUTOMATIC_MS: i64 = 20 * 60 * 1000;

impl Operation for RotateKeyOnDemand {
    const EVENT: Event = Event::kms("RotateKeyOnDemand");
    type Output = String;
    about_one_own_key!("kms:RotateKeyOnDemand");

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<String>, Refusal> {
        let (snapshot, now) = (&target.snapshot, caller.request.at);
        snapshot.must_rotate()?;
        snapshot.must_not_be_elsewhere()?;
        snapshot.must_not_be_replica()?;
        snapshot.must_be_enabled()?;
        let quota = service.quotas.of(snapshot.key.account).resources.on_demand_rotations_per_key;
        if snapshot.key.on_demand_rotations() as u64 >= quota {
            return Err(Refusal::limit_exceeded(format!(
                "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for \
                 this key: {}",
                snapshot.arn
            )));
        }
        let automatic = |created: claviger_domain::Timestamp| created.plus_ms(AFTER_AUTOMATIC_MS) > now;
        let newest = snapshot.key.current_material();
        if newest.is_some_and(|material| material.rotation == Some(RotationType::Automatic) && automatic(material.created)) {
            return Err(Refusal::conflict(format!(
                "{} was rotated automatically a moment ago. Try again in 20 minutes.",
                snapshot.arn
            )));
        }
        if snapshot.key.origin != Origin::Internal {
            // Its owner imports what the key rotates to, into each Region.
            let rotated = service.rotate_imported_with_relatives(snapshot, RotationType::OnDemand, now).await?;
            let nothing =
                || Refusal::invalid_state(format!("No available key material pending rotation for the key: {}.", snapshot.arn));
            return Ok(rotated.ok_or_else(nothing)?.effect(snapshot.arn.clone()));
        }
        let mut key = snapshot.key.clone();
        service.add_material(&mut key, Some(RotationType::OnDemand), now).await?;
        Ok(service.update_with_relatives(snapshot, &key).await?.effect(snapshot.arn.clone()))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), ..Parameters::default() }
    }

    fn response_elements(arn: &String) -> Option<serde_json::Value> {
        Some(json!({"keyId": arn}))
    }
}
