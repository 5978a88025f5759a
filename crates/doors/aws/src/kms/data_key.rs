//! The request that GenerateDataKey and GenerateDataKeyWithoutPlaintext share.

use claviger_domain::{KeyReference, Refusal};
use claviger_service::operations::kms::GenerateDataKey;
use serde::Deserialize;

use super::recipient::Recipient;
use crate::json::Pairs;
use crate::validation::{Validator, encryption_context, present};

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DataKeyRequest {
    key_id: Option<String>,
    encryption_context: Option<Pairs>,
    number_of_bytes: Option<i64>,
    key_spec: Option<String>,
    pub(crate) grant_tokens: Option<Vec<String>>,
    recipient: Option<Recipient>,
    dry_run: Option<bool>,
}

/// The named lengths, in bytes.
const SPECS: &[(&str, usize)] = &[("AES_256", 32), ("AES_128", 16)];

impl DataKeyRequest {
    /// Checks the request and makes the operation of it.
    pub(crate) fn decode(self) -> Result<GenerateDataKey, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", self.key_id.as_ref());
        check.range("numberOfBytes", self.number_of_bytes, 1, 1024);
        check.one_of("keySpec", self.key_spec.as_ref(), &SPECS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        check.grant_tokens(self.grant_tokens.as_ref());
        Recipient::check(self.recipient.as_ref(), &mut check);
        check.finish()?;
        let spec = self.key_spec.as_deref().and_then(|name| SPECS.iter().find(|(spec, _)| *spec == name));
        let bytes = self.number_of_bytes.and_then(|number| usize::try_from(number).ok());
        let (spec, length) = match (spec, bytes) {
            (Some((name, length)), None) => (Some(*name), *length),
            (None, Some(length)) => (None, length),
            _ => return Err(Refusal::invalid("Please specify either number of bytes or key spec.")),
        };
        Ok(GenerateDataKey {
            key: KeyReference::parse(&present(self.key_id)?)?,
            length,
            spec,
            context: encryption_context(self.encryption_context)?,
            recipient: Recipient::read(self.recipient)?,
            dry_run: self.dry_run.unwrap_or(false),
        })
    }
}
