//! ListHyokKeys: the keys behind a store, with the state in which they are.

use claviger_domain::hyok::ExternalKey;
use claviger_domain::key::KeyState;
use claviger_domain::{AccountId, Caller, ExternalKeyId, HyokStoreName, KeyArn, Refusal};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct ListHyokKeys {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store.
    pub store: HyokStoreName,
    /// How many keys at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

/// A key behind the store.
pub struct ListedExternalKey {
    /// What the cloud calls it.
    pub id: ExternalKeyId,
    /// What is kept of it.
    pub external: ExternalKey,
    /// Its ARN.
    pub arn: KeyArn,
    /// Its state; none when it was deleted.
    pub state: Option<KeyState>,
}

impl Operation for ListHyokKeys {
    const EVENT: Event = Event::admin("ListHyokKeys", true);
    type Output = Page<ListedExternalKey>;
    about_an_account!("claviger:ListHyokKeys");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Page<ListedExternalKey>>, Refusal> {
        let list = format!("hyok-keys/{account}/{}", self.store);
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let store = service.existing_hyok_store(*account, &self.store).await?.value;
        let mut listed = Vec::new();
        let rest = store.keys.into_iter().filter(|(id, _)| after.as_deref().is_none_or(|after| id.as_str() > after));
        for (id, external) in rest.take(self.limit + 1) {
            let state = service.key(*account, &external.region, external.key).await?.map(|snapshot| snapshot.key.state);
            let arn = KeyArn { region: external.region.clone(), account: *account, key: external.key };
            listed.push(ListedExternalKey { id, external, arn, state });
        }
        Ok(Effect::answer(Page::cut(listed, self.limit, service.hsm(), &list, |key: &ListedExternalKey| key.id.to_string())?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            limit: Some(self.limit),
            store_name: Some(self.store.as_str()),
            ..Parameters::default()
        }
    }
}
