//! ListKeyPolicies: always the one name `default`. Source: AWS KMS API Reference, "ListKeyPolicies".

use claviger_domain::{Caller, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct ListKeyPolicies {
    /// The key; not by alias.
    pub key: KeyReference,
    /// How many names at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

/// The one name that a key policy has.
pub(crate) const DEFAULT: &str = "default";

impl Operation for ListKeyPolicies {
    const EVENT: Event = Event::kms_read("ListKeyPolicies");
    type Output = Page<&'static str>;
    about_one_own_key!("kms:ListKeyPolicies");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<Page<&'static str>>, Refusal> {
        let list = format!("policies/{}", target.snapshot.arn);
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let names = if after.is_some() { Vec::new() } else { vec![DEFAULT] };
        Ok(Effect::answer(Page::cut(names, self.limit, service.hsm(), &list, |name| (*name).to_owned())?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), limit: Some(self.limit), ..Parameters::default() }
    }
}
