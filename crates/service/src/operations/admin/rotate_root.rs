//! RotateRoot: a new version of the root key, wrapped by every seal. The account keys follow in the background.

use std::sync::Arc;

use claviger_domain::{Caller, Refusal};

use super::about_the_deployment;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::seals::{BroughtSecret, write_root};
use crate::service::Service;
use crate::work::Effort;

/// The request.
pub struct RotateRoot {
    /// The secrets of the seals whose secrets this node's configuration does not have.
    pub secrets: Vec<BroughtSecret>,
}

impl Operation for RotateRoot {
    const EVENT: Event = Event::admin("RotateRoot", false);
    type Output = ();
    about_the_deployment!("claviger:RotateRoot");

    async fn execute(&self, service: &Service, _caller: &Caller, (): &(), _: Allowed<Self>) -> Result<Effect<()>, Refusal> {
        let stored = service.stored_root().await?;
        let mut secrets: Vec<(String, Arc<_>)> = Vec::new();
        for brought in &self.secrets {
            secrets.push((brought.seal.clone(), Arc::clone(&brought.secret)));
        }
        for kept in service.configured_seals(&stored.root).await {
            if let (Ok(secret), true) = (kept.secret, secrets.iter().all(|(seal, _)| *seal != kept.seal)) {
                secrets.push((kept.seal, Arc::new(secret)));
            }
        }
        let root = stored.root;
        let rotated = service
            .work(Effort::Generation, move |hsm| {
                let secrets: Vec<_> = secrets.iter().map(|(seal, secret)| (seal.as_str(), secret.as_ref())).collect();
                hsm.rotate_root(&root, &secrets).map_err(|error| Refusal::unsupported(format!("{error}.")))
            })
            .await?;
        Ok(Effect::change((), vec![write_root(&rotated, stored.version)?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
    }
}
