//! ListSeals: what wraps the root key.

use claviger_domain::{Caller, Refusal};

use super::about_the_deployment;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct ListSeals;

/// One seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSeal {
    /// Its name.
    pub name: String,
    /// Its kind: `passphrase`, `file`.
    pub kind: &'static str,
    /// Whether this node's configuration names it.
    pub configured: bool,
    /// Whether the root key is wrapped by it. Not so for a seal that is only configured.
    pub in_use: bool,
}

impl Operation for ListSeals {
    const EVENT: Event = Event::admin("ListSeals", true);
    type Output = Vec<ListedSeal>;
    about_the_deployment!("claviger:ListSeals");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<Vec<ListedSeal>>, Refusal> {
        let root = service.stored_root().await?.root;
        let configured: Vec<String> = service.configured_seals(&root).await.into_iter().map(|kept| kept.seal).collect();
        let mut listed: Vec<ListedSeal> = root
            .seals()
            .map(|(name, kind)| ListedSeal {
                name: name.to_owned(),
                kind,
                configured: configured.iter().any(|configured| configured == name),
                in_use: true,
            })
            .collect();
        let missing: Vec<ListedSeal> = configured
            .into_iter()
            .filter(|name| listed.iter().all(|seal| seal.name != *name))
            .map(|name| ListedSeal { name, kind: "none", configured: true, in_use: false })
            .collect();
        listed.extend(missing);
        Ok(Effect::answer(listed))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
    }
}
