//! ConnectCustomKeyStore: the answer says that it has begun; how it ended is in the state of the store. Source: AWS KMS API Reference, "ConnectCustomKeyStore".

use claviger_domain::{Caller, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_the_account;
use crate::service::Service;

/// The request.
pub struct ConnectCustomKeyStore {
    /// The store's id.
    pub store: String,
}

impl Operation for ConnectCustomKeyStore {
    const EVENT: Event = Event::kms("ConnectCustomKeyStore");
    type Output = ();
    about_the_account!("kms:ConnectCustomKeyStore");

    async fn execute(&self, service: &Service, caller: &Caller, (): &(), _: Allowed<Self>) -> Result<Effect<()>, Refusal> {
        let mut kept = service.key_stores(caller).await?;
        let (id, store) = kept.stores.get_mut(&self.store)?;
        let id = id.clone();
        store.begin_connecting(&id, caller.request.at)?;
        Ok(Effect::change((), vec![kept.change(service).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { custom_key_store_id: Some(&self.store), ..Parameters::default() }
    }
}
