//! VerifySeals: proves of each seal that it still opens, and that it opens the root key that is in use. Nothing is restarted.

use std::sync::Arc;

use claviger_domain::{Caller, Refusal};

use super::about_the_deployment;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::seals::BroughtSecret;
use crate::service::Service;

/// The request.
pub struct VerifySeals {
    /// Only these seals; every one when empty.
    pub names: Vec<String>,
    /// The secrets of seals that people keep, and of those whose secrets shall not come from this node's configuration.
    pub secrets: Vec<BroughtSecret>,
}

/// What was found about one seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSeal {
    /// Its name.
    pub name: String,
    /// Its kind; `none` for a seal that is only configured.
    pub kind: &'static str,
    /// What came of it.
    pub outcome: SealOutcome,
}

/// Whether a seal opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealOutcome {
    /// It opens.
    Opens,
    /// It does not, for this reason.
    Fails(String),
    /// It was not tried, because its secret was not at hand.
    NotTried(String),
}

impl SealOutcome {
    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Opens => "opens",
            Self::Fails(_) => "fails",
            Self::NotTried(_) => "not-tried",
        }
    }

    /// Why it is not proven to open.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Opens => None,
            Self::Fails(why) | Self::NotTried(why) => Some(why),
        }
    }
}

impl Operation for VerifySeals {
    const EVENT: Event = Event::admin("VerifySeals", true);
    type Output = Vec<VerifiedSeal>;
    about_the_deployment!("claviger:VerifySeals");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<Vec<VerifiedSeal>>, Refusal> {
        let verified = service.verify_seals(&self.names, &self.secrets).await?;
        if let Some(unknown) = self.names.iter().find(|name| verified.iter().all(|seal| seal.name != **name)) {
            return Err(Refusal::not_found(format!("There is no seal named {unknown}.")));
        }
        Ok(Effect::answer(verified))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { seals: (!self.names.is_empty()).then_some(&self.names), ..Parameters::default() }
    }

    fn response_elements(verified: &Vec<VerifiedSeal>) -> Option<serde_json::Value> {
        let seals: serde_json::Map<String, serde_json::Value> =
            verified.iter().map(|seal| (seal.name.clone(), seal.outcome.name().into())).collect();
        Some(serde_json::json!({ "seals": seals }))
    }
}

impl Service {
    /// Tries each seal: with the secret that was brought, else with the one that this node's configuration names.
    ///
    /// # Errors
    /// When the store cannot be read. A seal that does not open is part of the answer.
    pub async fn verify_seals(&self, names: &[String], brought: &[BroughtSecret]) -> Result<Vec<VerifiedSeal>, Refusal> {
        let root = Arc::new(self.stored_root().await?.root);
        let asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
        let mut kept = self.configured_seals(&root).await;
        let mut verified = Vec::new();
        for (name, kind) in root.seals().filter(|(name, _)| asked(name)) {
            let secret = match brought.iter().find(|brought| brought.seal == name) {
                Some(brought) => Ok(Arc::clone(&brought.secret)),
                None => match kept.iter().position(|kept| kept.seal == name) {
                    Some(at) => kept.swap_remove(at).secret.map(Arc::new),
                    None => Err("this node's configuration does not name it: bring its secret to try it".to_owned()),
                },
            };
            let outcome = match secret {
                Ok(secret) => match self.try_seal(&root, name, secret).await {
                    Ok(()) => SealOutcome::Opens,
                    Err(why) => SealOutcome::Fails(why),
                },
                Err(why) => SealOutcome::NotTried(why),
            };
            verified.push(VerifiedSeal { name: name.to_owned(), kind, outcome });
        }
        let not_in_use = kept.into_iter().map(|kept| kept.seal).filter(|name| asked(name));
        verified.extend(not_in_use.filter(|name| root.seals().all(|(known, _)| known != name)).map(|name| VerifiedSeal {
            outcome: SealOutcome::Fails(format!(
                "the configuration names it, but it does not wrap the root key: add it with 'claviger seal add {name}'"
            )),
            name,
            kind: "none",
        }));
        Ok(verified)
    }
}
