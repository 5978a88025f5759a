//! DisconnectCustomKeyStore: the keys of the store cannot be used until it is connected again. Source: AWS KMS API Reference, "DisconnectCustomKeyStore".

use claviger_domain::{Caller, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_the_account;
use crate::service::Service;

/// The request.
pub struct DisconnectCustomKeyStore {
    /// The store's id.
    pub store: String,
}

impl Operation for DisconnectCustomKeyStore {
    const EVENT: Event = Event::kms("DisconnectCustomKeyStore");
    type Output = ();
    about_the_account!("kms:DisconnectCustomKeyStore");

    async fn execute(&self, service: &Service, caller: &Caller, (): &(), _: Allowed<Self>) -> Result<Effect<()>, Refusal> {
        let mut kept = service.key_stores(caller).await?;
        let (id, store) = kept.stores.get_mut(&self.store)?;
        let id = id.clone();
        store.disconnect(&id)?;
        Ok(Effect::change((), vec![kept.change(service).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { custom_key_store_id: Some(&self.store), ..Parameters::default() }
    }
}
