//! GetRootStatus: which versions of the root key are in use, and how far their rotation is.

use claviger_domain::{Caller, Refusal};

use super::about_the_deployment;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct GetRootStatus;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootStatus {
    /// The version that seals.
    pub version: u32,
    /// Older versions that still open what is not re-wrapped yet. Empty when no rotation is under way.
    pub old_versions: Vec<u32>,
    /// How many account keys there are.
    pub account_keys: u64,
    /// How many of them are not under the newest version yet.
    pub account_keys_left: u64,
}

impl Operation for GetRootStatus {
    const EVENT: Event = Event::admin("GetRootStatus", true);
    type Output = RootStatus;
    about_the_deployment!("claviger:GetRootStatus");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<RootStatus>, Refusal> {
        Ok(Effect::answer(service.root_status().await?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
    }
}
