//! `RecipientInfo`, and what is answered to it. Source: AWS KMS API Reference, "RecipientInfo", and `CiphertextForRecipient` of Decrypt.

use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

use crate::json::{Blob, BlobOut, SecretOut};
use crate::validation::{Validator, present};

/// A request for an answer that only an enclave can read. Once it is there it is never ignored, whatever is missing in it: the plaintext must not
/// be the fallback.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Recipient {
    key_encryption_algorithm: Option<String>,
    attestation_document: Option<Blob>,
}

/// The one way to encrypt for a recipient.
const ALGORITHM: &str = "RSAES_OAEP_SHA_256";
const DOCUMENT_BYTES_MAX: usize = 262_144;

impl Recipient {
    /// Checks a recipient against the model, which lets both members be absent: then there is nobody whom the answer could be for.
    pub(crate) fn check(recipient: Option<&Self>, check: &mut Validator) {
        let Some(recipient) = recipient else { return };
        let (algorithm, document) = (recipient.key_encryption_algorithm.as_ref(), recipient.attestation_document.as_ref());
        check.required("recipient.keyEncryptionAlgorithm", algorithm);
        check.one_of("recipient.keyEncryptionAlgorithm", algorithm, &[ALGORITHM]);
        check.required("recipient.attestationDocument", document);
        check.blob("recipient.attestationDocument", document.map(|blob| blob.0.as_slice()), DOCUMENT_BYTES_MAX);
    }

    /// The recipient of the operation, once it has been checked.
    pub(crate) fn read(recipient: Option<Self>) -> Result<Option<op::Recipient>, Refusal> {
        let Some(recipient) = recipient else { return Ok(None) };
        let mut document = present(recipient.attestation_document)?;
        Ok(Some(op::Recipient { document: std::mem::take(&mut *document.0) }))
    }
}

/// The members `Plaintext` (or what the operation calls it) and `CiphertextForRecipient`, of which an answer has one.
pub(crate) fn released(output: op::Released) -> (Option<SecretOut>, Option<BlobOut<Vec<u8>>>) {
    match output {
        op::Released::Plaintext(plaintext) => (Some(SecretOut(plaintext)), None),
        op::Released::ForRecipient(answer) => (None, Some(BlobOut(answer))),
    }
}
