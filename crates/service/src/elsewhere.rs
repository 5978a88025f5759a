//! The use of keys whose material is elsewhere: in a custom key store. Each function takes the permit that authorisation made, and refuses one that
//! is for another key or another action, as the hsm does for its own.

use std::sync::Arc;

use claviger_domain::key::Origin;
use claviger_domain::{Caller, EncryptionContext, MaterialId, Permit, Refusal};
use claviger_hsm::{Attestation, HsmError, OuterEnvelope};
use zeroize::Zeroizing;

use crate::key_stores::{Asked, KeyUse, OpenKeyStore};
use crate::operation::Event;
use crate::recipient::Released;
use crate::service::Service;
use crate::snapshot::KeySnapshot;

/// A key and the connected store that it lives in.
pub(crate) struct Elsewhere {
    snapshot: Arc<KeySnapshot>,
    store: Arc<OpenKeyStore>,
    asked: Asked,
}

impl Elsewhere {
    /// Where its material is.
    pub(crate) fn origin(&self) -> Origin {
        self.snapshot.key.origin
    }

    /// The id of its one material.
    pub(crate) fn material(&self) -> Result<MaterialId, Refusal> {
        self.snapshot.key.current_material().map(|material| material.id).ok_or_else(|| self.snapshot.no_material())
    }
}

impl Service {
    /// The key in its store, to be used for this operation; none for a key whose material is here.
    ///
    /// # Errors
    /// `InvalidState` when its store is not connected.
    pub(crate) async fn elsewhere(
        &self,
        snapshot: &Arc<KeySnapshot>,
        caller: &Caller,
        event: Event,
    ) -> Result<Option<Elsewhere>, Refusal> {
        if snapshot.key.home.is_none() {
            return Ok(None);
        }
        let store = self.home_of(snapshot).await?;
        let asked = || Asked::by(caller, event.name, Some(&snapshot.arn));
        Ok(store.map(|store| Elsewhere { snapshot: Arc::clone(snapshot), store, asked: asked() }))
    }

    /// Encrypts under a symmetric key that is elsewhere. Keys behind a proxy encrypt what this deployment has encrypted already, so that neither side
    /// alone can read it.
    pub(crate) async fn encrypt_elsewhere(
        &self,
        permit: &Permit,
        key: &Elsewhere,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        must_permit(permit, &Permit::ENCRYPTING, key)?;
        let (id, material) = (key.snapshot.id(), key.material()?);
        let inner = match key.snapshot.key.origin {
            Origin::ExternalKeyStore => {
                Some(self.hsm().encrypt_inner(permit, key.snapshot.current_material(self.hsm())?, context, plaintext)?)
            }
            _ => None,
        };
        let associated_data = OuterEnvelope::associated_data(id, material, context);
        let plaintext = inner.as_deref().unwrap_or(plaintext);
        let body = self.perform_elsewhere(key, KeyUse::Encrypt { plaintext, associated_data: &associated_data }).await?;
        Ok(OuterEnvelope::build(id, material, &body))
    }

    /// Decrypts what [`Service::encrypt_elsewhere`] made.
    pub(crate) async fn decrypt_elsewhere(
        &self,
        permit: &Permit,
        key: &Elsewhere,
        context: &EncryptionContext,
        envelope: &OuterEnvelope<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        must_permit(permit, &Permit::DECRYPTING, key)?;
        let (id, material) = (key.snapshot.id(), key.material()?);
        if envelope.key() != id.uuid() || envelope.material() != material.short() {
            return Err(Refusal::invalid_ciphertext());
        }
        let associated_data = OuterEnvelope::associated_data(id, material, context);
        let decrypt = KeyUse::Decrypt { ciphertext: envelope.body(), associated_data: &associated_data };
        let opened = self.perform_elsewhere(key, decrypt).await?;
        Ok(match key.snapshot.key.origin {
            Origin::ExternalKeyStore => {
                let material = key.snapshot.current_material(self.hsm())?;
                self.hsm().decrypt_inner(permit, material, context, &opened).map_err(|error| match error {
                    HsmError::InvalidCiphertext => Refusal::invalid_state(SPOILT_BY_PROXY),
                    other => other.into(),
                })?
            }
            _ => opened,
        })
    }

    /// A random data key, in plaintext and encrypted elsewhere.
    pub(crate) async fn new_data_key_elsewhere(
        &self,
        permit: &Permit,
        key: &Elsewhere,
        context: &EncryptionContext,
        length: usize,
    ) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), Refusal> {
        let plaintext = self.hsm().new_data_key(permit, key.snapshot.id(), length)?;
        let ciphertext = self.encrypt_elsewhere(permit, key, context, &plaintext).await?;
        Ok((plaintext, ciphertext))
    }

    /// Does with a key elsewhere what this one action permits.
    pub(crate) async fn use_elsewhere(
        &self,
        permit: &Permit,
        action: &'static str,
        key: &Elsewhere,
        use_of_key: KeyUse<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        must_permit(permit, &[action], key)?;
        self.perform_elsewhere(key, use_of_key).await
    }

    /// A plaintext for the caller, or for the recipient alone.
    pub(crate) fn release(&self, plaintext: Zeroizing<Vec<u8>>, recipient: Option<&Attestation>) -> Result<Released, Refusal> {
        Ok(match recipient {
            None => Released::Plaintext(plaintext),
            Some(recipient) => Released::ForRecipient(self.hsm().envelop(recipient, &plaintext)?),
        })
    }

    pub(crate) async fn perform_elsewhere(&self, key: &Elsewhere, use_of_key: KeyUse<'_>) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let backend = self.key_store_backends.of(&key.store.store);
        let home = key.snapshot.key.home.as_ref().ok_or_else(|| key.snapshot.no_material())?;
        backend.perform(&key.store, &home.reference, key.snapshot.key.spec, use_of_key, &key.asked).await
    }
}

/// The text is prescribed: XKS Proxy API Specification, "Error codes", "Proxy returns an invalid ciphertext".
const SPOILT_BY_PROXY: &str = "The ciphertext that the external key store proxy submitted for decryption, or the encryption context, is corrupted, missing, or \
                               otherwise invalid.";

pub(crate) fn must_permit(permit: &Permit, actions: &[&str], key: &Elsewhere) -> Result<(), Refusal> {
    if permit.allows_one_of(actions, key.snapshot.id()) {
        return Ok(());
    }
    Err(Refusal::internal("A permit was for another key or another action: a defect of Claviger, please report it."))
}
