//! The request that GenerateDataKeyPair and GenerateDataKeyPairWithoutPlaintext share.

use claviger_domain::key::DataKeyPairSpec;
use claviger_domain::{KeyReference, Refusal};
use claviger_service::operations::kms::GenerateDataKeyPair;
use serde::Deserialize;

use super::recipient::Recipient;
use crate::json::Pairs;
use crate::validation::{Validator, encryption_context, name, present};

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DataKeyPairRequest {
    encryption_context: Option<Pairs>,
    key_id: Option<String>,
    key_pair_spec: Option<String>,
    grant_tokens: Option<Vec<String>>,
    recipient: Option<Recipient>,
    dry_run: Option<bool>,
}

impl DataKeyPairRequest {
    /// The grant tokens in it.
    pub(crate) fn grant_tokens(&self) -> Option<&Vec<String>> {
        self.grant_tokens.as_ref()
    }

    /// Checks the request and makes the operation of it.
    pub(crate) fn decode(self) -> Result<GenerateDataKeyPair, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", self.key_id.as_ref());
        check.required_name::<DataKeyPairSpec>("keyPairSpec", self.key_pair_spec.as_ref());
        check.grant_tokens(self.grant_tokens.as_ref());
        Recipient::check(self.recipient.as_ref(), &mut check);
        check.finish()?;
        Ok(GenerateDataKeyPair {
            key: KeyReference::parse(&present(self.key_id)?)?,
            spec: name(self.key_pair_spec.as_ref())?,
            context: encryption_context(self.encryption_context)?,
            recipient: Recipient::read(self.recipient)?,
            dry_run: self.dry_run.unwrap_or(false),
        })
    }
}
