//! From a ciphertext to the key that made it.

use claviger_domain::key::Key;
use claviger_domain::{Caller, KeyId, KeyReference, Refusal};
use claviger_hsm::Envelope;

use crate::records::key_record_id;
use crate::resolve::{KeyTarget, Named, hidden_by_ciphertext};
use crate::service::Service;

impl Service {
    /// The key that a request to open `ciphertext` is about: the one that it names, else the one that the ciphertext names.
    pub(crate) async fn resolve_ciphertext_key(
        &self,
        caller: &Caller,
        named: Option<&KeyReference>,
        ciphertext: &[u8],
        action: &'static str,
    ) -> Result<KeyTarget, Refusal> {
        if let Some(reference) = named {
            return self.resolve_key(caller, reference, action).await;
        }
        let envelope = Envelope::parse(ciphertext).ok_or_else(Refusal::invalid_ciphertext)?;
        let id = KeyId::single_region(envelope.key());
        let region = &caller.request.region;
        if let Some(snapshot) = self.key(caller.identity.account, region, id).await? {
            return Ok(KeyTarget { snapshot, named: Named::Ciphertext });
        }
        // A key of another account: the ciphertext does not say which.
        let owner = self.records.find::<Key>(&key_record_id(region, id)).await?.map(|found| found.value.account);
        let snapshot = match owner {
            Some(owner) => self.key(owner, region, id).await?,
            None => None,
        };
        snapshot.map(|snapshot| KeyTarget { snapshot, named: Named::Ciphertext }).ok_or_else(hidden_by_ciphertext)
    }
}

/// Reads a ciphertext that must have been made under the target key.
///
/// # Errors
/// `InvalidCiphertext` for what is none, `IncorrectKey` for that of another key.
pub(crate) fn envelope_of<'a>(ciphertext: &'a [u8], target: &KeyTarget) -> Result<Envelope<'a>, Refusal> {
    let envelope = Envelope::parse(ciphertext).ok_or_else(Refusal::invalid_ciphertext)?;
    if envelope.key() != target.snapshot.id().uuid() {
        return Err(Refusal::incorrect_key("The key ID in the request does not identify a CMK that can perform this operation."));
    }
    Ok(envelope)
}
