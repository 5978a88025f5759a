//! GetKeyMetadata: what a key behind a store is, and whether it can be used.

use std::collections::BTreeSet;

use claviger_domain::hyok::ExternalKeyUsage;
use claviger_domain::{Caller, ExternalKeyId, Refusal};

use super::{RequestMetadata, about_an_external_key};
use crate::hyok::ExternalTarget;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct GetKeyMetadata {
    /// The key, as the cloud calls it.
    pub key: ExternalKeyId,
    /// What AWS KMS tells of its own request.
    pub metadata: RequestMetadata,
}

/// The answer. Keys behind stores are AES-256.
pub struct KeyMetadata {
    /// What it may be used for.
    pub usage: BTreeSet<ExternalKeyUsage>,
    /// Whether it can be used now.
    pub enabled: bool,
}

impl Operation for GetKeyMetadata {
    const EVENT: Event = Event::xks("GetKeyMetadata");
    type Output = KeyMetadata;
    about_an_external_key!("xks:GetKeyMetadata");

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &ExternalTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<KeyMetadata>, Refusal> {
        let store = &target.store.store;
        store.must_not_be_cut_off()?;
        let enabled = store.must_offer(&self.key).is_ok()
            && target.key.must_be_enabled().is_ok()
            // A key in a token can be used while its custom key store is connected.
            && service.elsewhere(&target.key, caller, Self::EVENT).await.is_ok();
        Ok(Effect::answer(KeyMetadata { usage: store.key(&self.key)?.usage.clone(), enabled }))
    }
}
