//! TagResource: adds tags to a key, or replaces their values. Source: AWS KMS API Reference, "TagResource".

use std::borrow::Cow;
use std::collections::BTreeMap;

use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};

use super::tags::{check_names, check_tags, request_tag};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct TagResource {
    /// The key; not by alias.
    pub key: KeyReference,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

impl Operation for TagResource {
    const EVENT: Event = Event::kms("TagResource");
    type Output = ();
    about_one_own_key!("kms:TagResource");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        match key {
            "aws:tagkeys" => Values::Many(self.tags.keys().map(|key| Cow::Borrowed(key.as_str())).collect()),
            _ => request_tag(&self.tags, key),
        }
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_not_be_pending_deletion()?;
        check_names(self.tags.keys())?;
        let mut key = snapshot.key.clone();
        key.tags.extend(self.tags.clone());
        check_tags(&key.tags)?;
        Ok(Effect::change((), vec![service.records.update(&key, snapshot.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), tags: Some(&self.tags), ..Parameters::default() }
    }
}
