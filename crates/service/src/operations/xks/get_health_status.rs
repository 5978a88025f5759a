//! GetHealthStatus: whether the keys behind a store could be used now. No policy speaks about it: the specification wants it so.

use std::sync::Arc;

use claviger_domain::{Caller, Refusal};

use super::RequestMetadata;
use crate::event_parameters::Parameters;
use crate::hyok::HyokSnapshot;
use crate::hyok_health::Health;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::quotas::RateClass;
use crate::service::Service;

/// The request.
pub struct GetHealthStatus {
    /// What AWS KMS tells of its own request.
    pub metadata: RequestMetadata,
}

/// The store that asks.
pub struct AskingStore(Arc<HyokSnapshot>);

impl Operation for GetHealthStatus {
    const EVENT: Event = Event::xks("GetHealthStatus");
    const RATE_CLASS: Option<RateClass> = None;
    type Target = AskingStore;
    type Output = Health;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<AskingStore, Refusal> {
        service.asking_store(caller).await.map(AskingStore)
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, _target: &'a AskingStore) -> Vec<Ask<'a>> {
        Vec::new()
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &AskingStore,
        _: Allowed<Self>,
    ) -> Result<Effect<Health>, Refusal> {
        target.0.store.must_not_be_cut_off()?;
        Ok(Effect::answer(service.hyok_health(&target.0.store).await?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { request_metadata: Some(&self.metadata), ..Parameters::default() }
    }
}
