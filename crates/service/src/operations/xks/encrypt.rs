//! Encrypt: with a key behind a store, for AWS KMS.

use claviger_domain::hyok::ExternalKeyUsage;
use claviger_domain::{Caller, ExternalKeyId, Refusal};
use claviger_hsm::XksCiphertext;
use zeroize::Zeroizing;

use super::{RequestMetadata, about_an_external_key};
use crate::hyok::ExternalTarget;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct Encrypt {
    /// The key, as the cloud calls it.
    pub key: ExternalKeyId,
    /// What to encrypt.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// What the ciphertext is bound to.
    pub additional_data: Vec<u8>,
    /// Whether the answer needs an integrity value, by which AWS KMS knows that the ciphertext was opened again before it was answered.
    pub integrity: bool,
    /// What AWS KMS tells of its own request.
    pub metadata: RequestMetadata,
}

/// The answer.
pub type Encrypted = XksCiphertext;

impl Operation for Encrypt {
    const EVENT: Event = Event::xks("Encrypt");
    const USES_KEYS: bool = true;
    type Output = Encrypted;
    about_an_external_key!("xks:Encrypt");

    fn must_still_be_usable(&self, target: &ExternalTarget) -> Result<(), Refusal> {
        target.must_be_usable(&self.key, ExternalKeyUsage::Encrypt)
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &ExternalTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<Encrypted>, Refusal> {
        target.must_be_usable(&self.key, ExternalKeyUsage::Encrypt)?;
        if let Some(key) = service.elsewhere(&target.key, caller, Self::EVENT).await? {
            let (permit, material) = (allowed.first()?, key.material()?);
            let made =
                service.xks_encrypt_elsewhere(permit, &key, &self.additional_data, &self.plaintext, self.integrity).await?;
            service.store_meters.note(&target.store.store, &self.key, caller.request.at);
            return Ok(Effect::answer(made).with_material(material));
        }
        let hsm = service.hsm();
        let material = target.key.current_material(hsm)?;
        let made = hsm.xks_encrypt(allowed.first()?, material, &self.additional_data, &self.plaintext, self.integrity)?;
        service.store_meters.note(&target.store.store, &self.key, caller.request.at);
        Ok(Effect::answer(made).with_material(material.id()))
    }
}
