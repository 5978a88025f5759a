//! Keys in clusters, used for AWS KMS through the XKS door.
//!
//! A cluster answers an encryption with bytes of its own form: first something that it needs again, then an initialization vector of 12 bytes, the ciphertext,
//! and a tag of 16. AWS KMS wants the last three by themselves and keeps 20 bytes of metadata beside them: the length of what comes first, it, and zeros.

use claviger_domain::key::Origin;
use claviger_domain::{Permit, Refusal};
use claviger_hsm::{XksCiphertext, XksMessage};
use zeroize::Zeroizing;

use crate::elsewhere::{Elsewhere, must_permit};
use crate::key_stores::KeyUse;
use crate::service::Service;

const METADATA_BYTES: usize = 20;
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// What the key is used for here has nothing to do with what the KMS door encrypts: there the associated data begins with the number of a format.
const LABEL: &[u8] = b"claviger xks elsewhere 1";

impl Service {
    /// Encrypts; and where the cloud wants to be sure, opens it again.
    pub(crate) async fn xks_encrypt_elsewhere(
        &self,
        permit: &Permit,
        key: &Elsewhere,
        additional_data: &[u8],
        plaintext: &[u8],
        integrity: bool,
    ) -> Result<XksCiphertext, Refusal> {
        must_permit(permit, &["xks:Encrypt"], key)?;
        must_be_in_a_cluster(key)?;
        let associated_data = associated_data(additional_data);
        let encrypt = KeyUse::Encrypt { plaintext, associated_data: &associated_data };
        let sealed = self.perform_elsewhere(key, encrypt).await?;
        let mut made = split(&sealed, plaintext.len()).ok_or_else(|| {
            Refusal::unsupported("What this key's cluster makes of an encryption does not fit into what AWS KMS keeps.")
        })?;
        if integrity {
            // In this order: what is corrupted after this line does not fit the value, and what was corrupted before does not open.
            made.add_integrity_value(additional_data);
            let decrypt = KeyUse::Decrypt { ciphertext: &sealed, associated_data: &associated_data };
            if *self.perform_elsewhere(key, decrypt).await? != plaintext {
                return Err(Refusal::internal("The trial decryption of a new ciphertext failed."));
            }
        }
        Ok(made)
    }

    /// Decrypts what was encrypted so.
    pub(crate) async fn xks_decrypt_elsewhere(
        &self,
        permit: &Permit,
        key: &Elsewhere,
        message: XksMessage<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        must_permit(permit, &["xks:Decrypt"], key)?;
        must_be_in_a_cluster(key)?;
        let sealed = join(message).ok_or_else(Refusal::invalid_ciphertext)?;
        let associated_data = associated_data(message.additional_data);
        self.perform_elsewhere(key, KeyUse::Decrypt { ciphertext: &sealed, associated_data: &associated_data }).await
    }
}

/// A key behind somebody else's proxy does not stand behind ours.
fn must_be_in_a_cluster(key: &Elsewhere) -> Result<(), Refusal> {
    match key.origin() {
        Origin::CloudHsm => Ok(()),
        _ => Err(Refusal::invalid_key_usage("A key of an external key store cannot stand behind a hold-your-own-key store.")),
    }
}

fn associated_data(additional_data: &[u8]) -> Vec<u8> {
    [LABEL, additional_data].concat()
}

fn split(sealed: &[u8], plaintext_bytes: usize) -> Option<XksCiphertext> {
    let first_bytes = sealed.len().checked_sub(plaintext_bytes + IV_BYTES + TAG_BYTES)?;
    let (first, rest) = sealed.split_at_checked(first_bytes)?;
    let (initialization_vector, rest) = rest.split_first_chunk::<IV_BYTES>()?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut metadata = [0; METADATA_BYTES];
    let (length, kept) = metadata.split_first_mut()?;
    *length = u8::try_from(first.len()).ok()?;
    kept.get_mut(..first.len())?.copy_from_slice(first);
    Some(XksCiphertext {
        ciphertext: ciphertext.to_vec(),
        initialization_vector: *initialization_vector,
        tag: *tag,
        metadata,
        integrity_value: None,
    })
}

/// There is one way only to write the metadata: all of it is authenticated with what it stands for, and the zeros are looked at.
fn join(message: XksMessage<'_>) -> Option<Vec<u8>> {
    let metadata: &[u8; METADATA_BYTES] = message.metadata.try_into().ok()?;
    let (length, kept) = metadata.split_first()?;
    let (first, zeros) = kept.split_at_checked(usize::from(*length))?;
    let fits =
        message.initialization_vector.len() == IV_BYTES && message.tag.len() == TAG_BYTES && zeros.iter().all(|byte| *byte == 0);
    fits.then(|| [first, message.initialization_vector, message.ciphertext, message.tag].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_message(made: &XksCiphertext) -> XksMessage<'_> {
        XksMessage {
            ciphertext: &made.ciphertext,
            initialization_vector: &made.initialization_vector,
            tag: &made.tag,
            metadata: &made.metadata,
            additional_data: b"",
        }
    }

    #[test]
    fn what_a_cluster_answers_is_taken_apart_and_put_together() {
        for first in [0, 1, 17, 19] {
            let sealed: Vec<u8> = (0..u8::try_from(first + 12 + 5 + 16).unwrap()).collect();
            let made = split(&sealed, 5).unwrap();
            assert_eq!(made.ciphertext, sealed[first + 12..first + 17]);
            assert_eq!(join(as_message(&made)).unwrap(), sealed);
        }
        assert!(split(&[7; 20 + 12 + 5 + 16], 5).is_none(), "more than AWS KMS keeps");
        assert!(split(&[7; 12 + 5 + 15], 5).is_none(), "less than there has to be");
    }

    #[test]
    fn metadata_of_another_form_is_none() {
        let made = split(&[7; 17 + 12 + 5 + 16], 5).unwrap();
        let with = |metadata: &[u8]| join(XksMessage { metadata, ..as_message(&made) });
        assert!(with(&made.metadata).is_some());
        assert!(with(&made.metadata[..19]).is_none());
        let mut other = made.metadata;
        other[19] = 1;
        assert!(with(&other).is_none(), "nothing hides behind it");
        other = made.metadata;
        other[0] = 20;
        assert!(with(&other).is_none());
    }
}
