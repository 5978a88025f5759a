//! DeleteCustomKeyStore: nothing of what stands behind the store is touched. Source: AWS KMS API Reference, "DeleteCustomKeyStore".

use claviger_domain::{Caller, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_the_account;
use crate::service::Service;

/// The request.
pub struct DeleteCustomKeyStore {
    /// The store's id.
    pub store: String,
}

impl Operation for DeleteCustomKeyStore {
    const EVENT: Event = Event::kms("DeleteCustomKeyStore");
    type Output = ();
    about_the_account!("kms:DeleteCustomKeyStore");

    async fn execute(&self, service: &Service, caller: &Caller, (): &(), _: Allowed<Self>) -> Result<Effect<()>, Refusal> {
        let mut kept = service.key_stores(caller).await?;
        let (id, store) = kept.stores.get(&self.store)?;
        let keys = service.keys_in_store(caller.identity.account, id).await?;
        store.must_be_deletable(id, keys)?;
        let id = id.clone();
        kept.stores.stores.remove(&id);
        Ok(Effect::change((), vec![kept.change(service).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { custom_key_store_id: Some(&self.store), ..Parameters::default() }
    }
}
