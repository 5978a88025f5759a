//! RemoveSeal: what it wrapped is forgotten, so that it opens this deployment no more.

use claviger_domain::{Caller, Refusal};

use super::about_the_deployment;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::seals::write_root;
use crate::service::Service;

/// The request.
pub struct RemoveSeal {
    /// The seal's name.
    pub name: String,
}

impl Operation for RemoveSeal {
    const EVENT: Event = Event::admin("RemoveSeal", false);
    type Output = ();
    about_the_deployment!("claviger:RemoveSeal");

    async fn execute(&self, service: &Service, _caller: &Caller, (): &(), _: Allowed<Self>) -> Result<Effect<()>, Refusal> {
        let stored = service.stored_root().await?;
        if stored.root.seals().all(|(name, _)| name != self.name) {
            return Err(Refusal::not_found(format!("There is no seal named {}.", self.name)));
        }
        let left =
            service.hsm().remove_seal(&stored.root, &self.name).map_err(|error| Refusal::unsupported(error.to_string()))?;
        Ok(Effect::change((), vec![write_root(&left, stored.version)?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { name: Some(&self.name), ..Parameters::default() }
    }
}
