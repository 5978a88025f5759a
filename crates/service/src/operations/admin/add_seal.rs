//! AddSeal: one more way to open the deployment.

use std::sync::Arc;

use claviger_domain::{Caller, Refusal};
use claviger_hsm::{NewSeal, PassphraseCost, PrintedShares};

use super::about_the_deployment;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::seals::write_root;
use crate::service::Service;
use crate::work::Effort;

/// The request.
pub struct AddSeal {
    /// The new seal's name, 1 to 64 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// What it is made of.
    pub new: Arc<NewSeal>,
}

impl Operation for AddSeal {
    const EVENT: Event = Event::admin("AddSeal", false);
    /// The shares, where the seal is of shares: told once.
    type Output = PrintedShares;
    about_the_deployment!("claviger:AddSeal");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<PrintedShares>, Refusal> {
        let stored = service.stored_root().await?;
        if stored.root.seals().any(|(taken, _)| taken == self.name) {
            return Err(Refusal::already_exists(format!("There is a seal named {} already.", self.name)));
        }
        let (name, new, root) = (self.name.clone(), Arc::clone(&self.new), stored.root);
        // Deriving a key from a passphrase takes tenths of a second and 64 MiB.
        let (more, shares) = service
            .work(Effort::Generation, move |hsm| {
                hsm.add_new_seal(&root, &name, &new, PassphraseCost::DEFAULT).map_err(|error| Refusal::invalid(error.to_string()))
            })
            .await?;
        Ok(Effect::change(shares, vec![write_root(&more, stored.version)?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { name: Some(&self.name), seal_kind: Some(self.new.kind_name()), ..Parameters::default() }
    }
}
