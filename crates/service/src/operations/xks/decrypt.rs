//! Decrypt: what Encrypt made for AWS KMS with a key behind a store.

use claviger_domain::hyok::ExternalKeyUsage;
use claviger_domain::{Caller, ExternalKeyId, MaterialId, Permit, Refusal};
use claviger_hsm::{HsmError, XksMessage};
use zeroize::Zeroizing;

use super::{RequestMetadata, about_an_external_key};
use crate::hyok::ExternalTarget;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct Decrypt {
    /// The key, as the cloud calls it.
    pub key: ExternalKeyId,
    /// The ciphertext.
    pub ciphertext: Vec<u8>,
    /// Its initialization vector.
    pub initialization_vector: Vec<u8>,
    /// Its tag.
    pub tag: Vec<u8>,
    /// What came with it when it was made.
    pub ciphertext_metadata: Vec<u8>,
    /// What it is bound to.
    pub additional_data: Vec<u8>,
    /// What AWS KMS tells of its own request.
    pub metadata: RequestMetadata,
}

impl Operation for Decrypt {
    const EVENT: Event = Event::xks("Decrypt");
    const USES_KEYS: bool = true;
    type Output = Zeroizing<Vec<u8>>;
    about_an_external_key!("xks:Decrypt");

    fn must_still_be_usable(&self, target: &ExternalTarget) -> Result<(), Refusal> {
        target.must_be_usable(&self.key, ExternalKeyUsage::Decrypt)
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &ExternalTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<Zeroizing<Vec<u8>>>, Refusal> {
        target.must_be_usable(&self.key, ExternalKeyUsage::Decrypt)?;
        let (plaintext, material) = match service.elsewhere(&target.key, caller, Self::EVENT).await? {
            Some(key) => (service.xks_decrypt_elsewhere(allowed.first()?, &key, self.message()).await?, key.material()?),
            None => self.open(service, target, allowed.first()?)?,
        };
        service.store_meters.note(&target.store.store, &self.key, caller.request.at);
        Ok(Effect::answer(plaintext).with_material(material))
    }
}

impl Decrypt {
    fn message(&self) -> XksMessage<'_> {
        XksMessage {
            ciphertext: &self.ciphertext,
            initialization_vector: &self.initialization_vector,
            tag: &self.tag,
            metadata: &self.ciphertext_metadata,
            additional_data: &self.additional_data,
        }
    }

    /// Opens with the version of the material that made it. Two versions may have the same hint: what opens is the right one.
    fn open(
        &self,
        service: &Service,
        target: &ExternalTarget,
        permit: &Permit,
    ) -> Result<(Zeroizing<Vec<u8>>, MaterialId), Refusal> {
        let hsm = service.hsm();
        let message = self.message();
        for version in &target.key.key.materials {
            if !message.names(&version.id) {
                continue;
            }
            let Some(material) = target.key.material(&version.id.short(), hsm)? else { continue };
            match hsm.xks_decrypt(permit, material, message) {
                Ok(plaintext) => return Ok((plaintext, material.id())),
                Err(HsmError::InvalidCiphertext) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Refusal::invalid_ciphertext())
    }
}
