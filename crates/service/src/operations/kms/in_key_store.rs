//! Keys whose material is to be in a custom key store. Source: AWS KMS API Reference, "CreateKey", `CustomKeyStoreId`.

use claviger_domain::key_store::KeyStoreType;
use claviger_domain::{Caller, Refusal};

use crate::key_stores::no_backend;
use crate::service::Service;

/// Where the material of a new key is to be.
pub struct InKeyStore {
    /// The store's id.
    pub store: String,
    /// The store's type, which the key's origin says.
    pub kind: KeyStoreType,
    /// The external key that is to be the material, in an external store.
    pub xks_key: Option<String>,
}

impl InKeyStore {
    /// Why no key can be made there: the store is not there, of another type, not connected, or there is nothing to use it with.
    pub(crate) async fn refusal(&self, service: &Service, caller: &Caller) -> Result<Refusal, Refusal> {
        let kept = service.key_stores(caller).await?;
        let (id, store) = kept.stores.get(&self.store)?;
        if store.kind() != self.kind {
            let (found, asked) = (store.kind(), self.kind);
            return Ok(Refusal::invalid(format!(
                "The custom key store {id} is of type {found}, and cannot hold keys of origin {asked}."
            )));
        }
        store.must_be_connected(id)?;
        Ok(no_backend())
    }
}
