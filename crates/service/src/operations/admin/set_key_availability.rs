//! SetKeyAvailability: whether a key may be used by nodes that cannot reach the store. It decides how long a revocation may take, and so needs the
//! permission of whoever decides about the key: `kms:PutKeyPolicy` on it.

use claviger_domain::availability::Availability;
use claviger_domain::{Caller, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::resolve::{KeyTarget, must_be_own};
use crate::service::Service;

/// The request.
pub struct SetKeyAvailability {
    /// The key: one of the caller's account, in the Region of the request.
    pub key: KeyReference,
    /// What shall be; none for what the account says.
    pub availability: Option<Availability>,
}

const ACTION: &str = "claviger:SetKeyAvailability";
const DECIDE: &str = "kms:PutKeyPolicy";

impl Operation for SetKeyAvailability {
    const EVENT: Event = Event::admin("SetKeyAvailability", false);
    type Target = KeyTarget;
    type Output = Option<Availability>;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<KeyTarget, Refusal> {
        must_be_own(&self.key, caller, ACTION)?;
        service.resolve_key(caller, &self.key, DECIDE).await
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, target: &'a KeyTarget) -> Vec<Ask<'a>> {
        let snapshot = &target.snapshot;
        vec![Ask::resource(ACTION, snapshot.arn.clone(), snapshot.key.account), Ask::key(DECIDE, target)]
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<Option<Availability>>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_not_be_pending_deletion()?;
        let mut key = snapshot.key.clone();
        key.availability = self.availability;
        Ok(Effect::change(self.availability, vec![service.records.update(&key, snapshot.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            availability: Some(self.availability.map_or_else(|| "account".to_owned(), |availability| availability.to_string())),
            key_id: Some(self.key.to_string()),
            ..Parameters::default()
        }
    }
}
