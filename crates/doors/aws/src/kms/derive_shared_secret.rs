//! DeriveSharedSecret on the wire.

use super::recipient::{Recipient, released};
use crate::json::{Blob, BlobOut, SecretOut};
use crate::mapping::Mapping;
use crate::validation::{Validator, bytes, name, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_domain::key::KeyAgreementAlgorithm;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct DeriveSharedSecret;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    key_agreement_algorithm: Option<String>,
    public_key: Option<Blob>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
    recipient: Option<Recipient>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_secret: Option<SecretOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_for_recipient: Option<BlobOut<Vec<u8>>>,
    key_agreement_algorithm: &'static str,
    key_origin: &'static str,
}

impl Mapping for DeriveSharedSecret {
    type Request = Request;
    type Operation = op::DeriveSharedSecret;
    type Response = Response;
    const SECRET: bool = true;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::DeriveSharedSecret, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required_name::<KeyAgreementAlgorithm>("keyAgreementAlgorithm", request.key_agreement_algorithm.as_ref());
        check.required_blob("publicKey", request.public_key.as_ref(), 8192);
        check.grant_tokens(request.grant_tokens.as_ref());
        Recipient::check(request.recipient.as_ref(), &mut check);
        check.finish()?;
        Ok(op::DeriveSharedSecret {
            key: KeyReference::parse(&present(request.key_id)?)?,
            algorithm: name(request.key_agreement_algorithm.as_ref())?,
            public_key: bytes(request.public_key)?,
            recipient: Recipient::read(request.recipient)?,
            dry_run: request.dry_run.unwrap_or(false),
        })
    }

    fn encode(output: <op::DeriveSharedSecret as Operation>::Output) -> Response {
        let (shared_secret, ciphertext_for_recipient) = released(output.secret);
        Response {
            key_id: output.key_arn,
            shared_secret,
            ciphertext_for_recipient,
            key_agreement_algorithm: output.algorithm.as_str(),
            key_origin: output.origin.as_str(),
        }
    }
}
