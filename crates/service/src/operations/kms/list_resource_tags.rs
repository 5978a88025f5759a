//! ListResourceTags. Source: AWS KMS API Reference, "ListResourceTags".

use claviger_domain::{Caller, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct ListResourceTags {
    /// The key; not by alias.
    pub key: KeyReference,
    /// How many tags at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

impl Operation for ListResourceTags {
    const EVENT: Event = Event::kms_read("ListResourceTags");
    type Output = Page<(String, String)>;
    about_one_own_key!("kms:ListResourceTags");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<Self::Output>, Refusal> {
        let list = format!("tags/{}", target.snapshot.arn);
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let tags = target.snapshot.key.tags.iter().filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
        let tags = tags.take(self.limit + 1).map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(Effect::answer(Page::cut(tags, self.limit, service.hsm(), &list, |(name, _): &(String, String)| name.clone())?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), limit: Some(self.limit), ..Parameters::default() }
    }
}
