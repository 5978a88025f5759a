//! EnableKeyRotation. Source: AWS KMS API Reference, "EnableKeyRotation".

use claviger_domain::key::RotationSchedule;
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};

use crate::conditions::owned;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct EnableKeyRotation {
    /// The key; not by alias.
    pub key: KeyReference,
    /// Days between two rotations, 90 to 2,560.
    pub period_days: u32,
}

impl Operation for EnableKeyRotation {
    const EVENT: Event = Event::kms("EnableKeyRotation");
    type Output = ();
    about_one_own_key!("kms:EnableKeyRotation");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        match key {
            "kms:rotationperiodindays" => owned(self.period_days.to_string()),
            _ => Values::Absent,
        }
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_rotate()?;
        snapshot.must_be_made_here()?;
        snapshot.must_not_be_replica()?;
        snapshot.must_be_enabled()?;
        let mut key = snapshot.key.clone();
        // Asking again for what is set already does not put the next rotation off.
        if key.rotation.is_none_or(|schedule| schedule.period_days != self.period_days) {
            let next = caller.request.at.plus_days(self.period_days);
            key.rotation = Some(RotationSchedule { period_days: self.period_days, next });
        }
        Ok(service.update_with_relatives(snapshot, &key).await?.effect(()))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            rotation_period_in_days: Some(self.period_days),
            ..Parameters::default()
        }
    }
}
