//! UntagResource: takes tags off a key; a tag that is not there is fine. Source: AWS KMS API Reference, "UntagResource".

use std::borrow::Cow;

use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};

use super::tags::check_names;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct UntagResource {
    /// The key; not by alias.
    pub key: KeyReference,
    /// The names of the tags.
    pub tag_keys: Vec<String>,
}

impl Operation for UntagResource {
    const EVENT: Event = Event::kms("UntagResource");
    type Output = ();
    about_one_own_key!("kms:UntagResource");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        match key {
            "aws:tagkeys" => Values::Many(self.tag_keys.iter().map(|key| Cow::Borrowed(key.as_str())).collect()),
            _ => Values::Absent,
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
        check_names(self.tag_keys.iter())?;
        let mut key = snapshot.key.clone();
        key.tags.retain(|name, _| !self.tag_keys.contains(name));
        Ok(Effect::change((), vec![service.records.update(&key, snapshot.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), tag_keys: Some(&self.tag_keys), ..Parameters::default() }
    }
}
