//! From a ciphertext to the key that made it.

use std::sync::Arc;

use claviger_domain::key::{EncryptionAlgorithm, Key};
use claviger_domain::{Caller, KeyId, KeyReference, Refusal};
use claviger_hsm::{Envelope, OuterEnvelope};
use uuid::Uuid;

use crate::records::key_record_id;
use crate::resolve::{KeyTarget, Named, hidden_by_ciphertext};
use crate::service::Service;
use crate::snapshot::KeySnapshot;

impl Service {
    /// The key that a request to open `ciphertext` is about: the one that it names, else the one that the ciphertext names.
    pub(crate) async fn resolve_ciphertext_key(
        &self,
        caller: &Caller,
        named: Option<&KeyReference>,
        ciphertext: &[u8],
        algorithm: EncryptionAlgorithm,
        action: &'static str,
    ) -> Result<KeyTarget, Refusal> {
        if let Some(reference) = named {
            return self.resolve_key(caller, reference, action).await;
        }
        if algorithm != EncryptionAlgorithm::SymmetricDefault {
            // What a public key encrypted says nothing of it.
            return Err(Refusal::invalid("KeyId must not be null"));
        }
        let sealed = Sealed::parse(ciphertext).ok_or_else(Refusal::invalid_ciphertext)?;
        let snapshot = self.key_of_ciphertext(caller, sealed.key()).await?;
        snapshot.map(|snapshot| KeyTarget { snapshot, named: Named::Ciphertext }).ok_or_else(hidden_by_ciphertext)
    }

    /// The key with this UUID in the request's Region. A ciphertext says neither whether its key is a multi-Region one, nor whose it is.
    async fn key_of_ciphertext(&self, caller: &Caller, uuid: Uuid) -> Result<Option<Arc<KeySnapshot>>, Refusal> {
        let (account, region) = (caller.identity.account, &caller.request.region);
        let ids = [KeyId::single_region(uuid), KeyId::multi_region(uuid)];
        // Both in memory before either in the store: a miss is not remembered, and would cost a read each time.
        if let Some(snapshot) = ids.iter().find_map(|id| self.cached_key(account, region, *id)) {
            return Ok(Some(snapshot));
        }
        for id in ids {
            if let Some(snapshot) = self.key(account, region, id).await? {
                return Ok(Some(snapshot));
            }
        }
        for id in ids {
            if let Some(found) = self.records.find::<Key>(&key_record_id(region, id)).await? {
                return self.key(found.value.account, region, id).await;
            }
        }
        Ok(None)
    }
}

/// A ciphertext of a symmetric key.
pub(crate) enum Sealed<'a> {
    /// Of material that is here.
    Here(Envelope<'a>),
    /// Of material that is in a custom key store.
    Elsewhere(OuterEnvelope<'a>),
}

impl<'a> Sealed<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        Envelope::parse(bytes).map(Self::Here).or_else(|| OuterEnvelope::parse(bytes).map(Self::Elsewhere))
    }

    /// The UUID of the key that made it, as claimed.
    fn key(&self) -> Uuid {
        match self {
            Self::Here(envelope) => envelope.key(),
            Self::Elsewhere(envelope) => envelope.key(),
        }
    }
}

/// Reads a ciphertext that must have been made under the target key.
///
/// # Errors
/// `InvalidCiphertext` for what is none, or none that a key with its material there could have made; `IncorrectKey` for that of another key.
pub(crate) fn sealed_by<'a>(ciphertext: &'a [u8], target: &KeyTarget) -> Result<Sealed<'a>, Refusal> {
    let sealed = Sealed::parse(ciphertext).ok_or_else(Refusal::invalid_ciphertext)?;
    if sealed.key() != target.snapshot.id().uuid() {
        return Err(Refusal::incorrect_key("The key ID in the request does not identify a CMK that can perform this operation."));
    }
    if matches!(sealed, Sealed::Elsewhere(_)) == target.snapshot.key.home.is_some() {
        Ok(sealed)
    } else {
        Err(Refusal::invalid_ciphertext())
    }
}
