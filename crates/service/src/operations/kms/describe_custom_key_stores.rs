//! DescribeCustomKeyStores: the stores of the account in the Region, or one of them. Source: AWS KMS API Reference, "DescribeCustomKeyStores".

use std::ops::Bound;

use claviger_domain::key_store::{KeyStore, KeyStoreId};
use claviger_domain::{Caller, Refusal};

use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_the_account;
use crate::service::Service;

/// The request.
pub struct DescribeCustomKeyStores {
    /// Which ones.
    pub which: WhichKeyStores,
    /// How many at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

/// Which stores a request is about.
pub enum WhichKeyStores {
    /// All of the account in the Region.
    All,
    /// The one with this id.
    Id(String),
    /// The one with this name.
    Name(String),
}

impl Operation for DescribeCustomKeyStores {
    const EVENT: Event = Event::kms_read("DescribeCustomKeyStores");
    type Output = Page<(KeyStoreId, KeyStore)>;
    about_the_account!("kms:DescribeCustomKeyStores");

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<Page<(KeyStoreId, KeyStore)>>, Refusal> {
        let stores = service.key_stores(caller).await?.stores;
        let one = match &self.which {
            WhichKeyStores::All => None,
            WhichKeyStores::Id(id) => Some(stores.get(id)?),
            WhichKeyStores::Name(name) => Some(stores.named(name)?),
        };
        if let Some((id, store)) = one {
            return Ok(Effect::answer(Page { items: vec![(id.clone(), store.clone())], next: None }));
        }
        let list = format!("custom-key-stores/{}/{}", stores.account, stores.region);
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let after = after.and_then(|id| id.parse::<KeyStoreId>().ok()).map_or(Bound::Unbounded, Bound::Excluded);
        let items = stores.stores.range((after, Bound::Unbounded)).take(self.limit + 1);
        let items = items.map(|(id, store)| (id.clone(), store.clone())).collect();
        Ok(Effect::answer(Page::cut(items, self.limit, service.hsm(), &list, |(id, _): &(KeyStoreId, KeyStore)| id.to_string())?))
    }

    fn parameters(&self) -> Parameters<'_> {
        let mut parameters = Parameters { limit: Some(self.limit), ..Parameters::default() };
        match &self.which {
            WhichKeyStores::All => {}
            WhichKeyStores::Id(id) => parameters.custom_key_store_id = Some(id),
            WhichKeyStores::Name(name) => parameters.custom_key_store_name = Some(name),
        }
        parameters
    }
}
