//! ListAliases: the account's aliases in the Region, or those of one key. Source: AWS KMS API Reference, "ListAliases".

use claviger_domain::key::Alias;
use claviger_domain::{Caller, KeyReference, Refusal};
use claviger_store::{List, RecordKind};

use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::records::alias_record_id;
use crate::resolve::{KeyTarget, must_be_own};
use crate::service::Service;

/// The request.
pub struct ListAliases {
    /// Only the aliases of this key; not by alias.
    pub key: Option<KeyReference>,
    /// How many aliases at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

impl Operation for ListAliases {
    const EVENT: Event = Event::kms_read("ListAliases");
    type Target = Option<KeyTarget>;
    type Output = Page<Alias>;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<Option<KeyTarget>, Refusal> {
        match &self.key {
            Some(key) => {
                must_be_own(key, caller, "kms:ListAliases")?;
                service.resolve_key(caller, key, "kms:ListAliases").await.map(Some)
            }
            None => Ok(None),
        }
    }

    /// The permission is the account's in both forms. Source: AWS KMS Developer Guide, "AWS KMS permissions": ListAliases takes `*`.
    fn demands<'a>(&'a self, caller: &'a Caller, _target: &'a Option<KeyTarget>) -> Vec<Ask<'a>> {
        vec![Ask::anything("kms:ListAliases", caller)]
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &Option<KeyTarget>,
        _: Allowed<Self>,
    ) -> Result<Effect<Page<Alias>>, Refusal> {
        let (account, region) = (caller.identity.account, &caller.request.region);
        let of = target.as_ref().map(|target| &target.snapshot);
        let list = format!("aliases/{account}/{region}/{}", of.map_or("", |snapshot| &snapshot.arn));
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let aliases = match of {
            Some(snapshot) => {
                let mut aliases = Vec::new();
                for name in &snapshot.key.aliases {
                    let behind = after.as_ref().is_none_or(|after| alias_record_id(region, name) > *after);
                    if behind
                        && aliases.len() <= self.limit
                        && let Some(alias) = service.alias(account, region, name).await?
                    {
                        aliases.push(alias.as_ref().clone());
                    }
                }
                aliases
            }
            None => {
                let page = List {
                    account,
                    kind: RecordKind::Alias,
                    scope: Some(region.as_str()),
                    owner: None,
                    after: after.as_deref(),
                    limit: self.limit + 1,
                };
                service.records.list::<Alias>(page).await?.into_iter().map(|alias| alias.value).collect()
            }
        };
        let id = |alias: &Alias| alias_record_id(&alias.region, &alias.name);
        Ok(Effect::answer(Page::cut(aliases, self.limit, service.hsm(), &list, id)?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: self.key.as_ref().map(ToString::to_string), limit: Some(self.limit), ..Parameters::default() }
    }
}
