//! Dry runs of the operations that take a ciphertext. Source: AWS KMS API Reference, "DryRunModifiers" of Decrypt.

use claviger_domain::Refusal;

use crate::json::Blob;
use crate::validation::IGNORE_CIPHERTEXT;

/// What a request says about a dry run.
pub(crate) struct DryRun {
    /// Whether it is one.
    pub(crate) requested: bool,
    ignore_ciphertext: bool,
}

impl DryRun {
    pub(crate) fn read(requested: Option<bool>, modifiers: Option<&[String]>) -> Self {
        let ignore_ciphertext = modifiers.is_some_and(|modifiers| modifiers.iter().any(|modifier| modifier == IGNORE_CIPHERTEXT));
        Self { requested: requested.unwrap_or(false), ignore_ciphertext }
    }

    /// Whether only the authorization is checked.
    pub(crate) fn ignores_ciphertext(&self) -> bool {
        self.requested && self.ignore_ciphertext
    }

    /// The modifiers make sense only in a dry run, and without a ciphertext the key must be named.
    pub(crate) fn check(&self, key: Option<&String>) -> Result<(), Refusal> {
        if self.ignore_ciphertext && !self.requested {
            return Err(Refusal::invalid("DryRunModifiers can be specified only when DryRun is true."));
        }
        if self.ignores_ciphertext() && key.is_none() {
            return Err(Refusal::invalid("A key ID is required when DryRunModifiers contains IGNORE_CIPHERTEXT."));
        }
        Ok(())
    }
}

/// The ciphertext, or nothing in a dry run that ignores it.
pub(crate) fn ciphertext_of(blob: Option<Blob>) -> Vec<u8> {
    blob.map(|mut blob| std::mem::take(&mut *blob.0)).unwrap_or_default()
}
