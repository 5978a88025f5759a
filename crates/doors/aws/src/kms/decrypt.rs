//! Decrypt on the wire.

use super::dry_run::{DryRun, ciphertext_of};
use super::names::key_material_id;
use super::recipient::{Recipient, released};
use crate::json::{Blob, BlobOut, Pairs, SecretOut};
use crate::mapping::Mapping;
use crate::validation::{Validator, encryption_context, name_or};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_domain::key::EncryptionAlgorithm;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct Decrypt;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    ciphertext_blob: Option<Blob>,
    encryption_context: Option<Pairs>,
    grant_tokens: Option<Vec<String>>,
    key_id: Option<String>,
    encryption_algorithm: Option<String>,
    recipient: Option<Recipient>,
    dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<String>>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<SecretOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_for_recipient: Option<BlobOut<Vec<u8>>>,
    encryption_algorithm: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_id: Option<String>,
}

impl Mapping for Decrypt {
    type Request = Request;
    type Operation = op::Decrypt;
    type Response = Response;
    const SECRET: bool = true;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::Decrypt, Refusal> {
        let mut check = Validator::new();
        check.length("keyId", request.key_id.as_ref(), 1, 2048);
        check.blob("ciphertextBlob", request.ciphertext_blob.as_ref().map(|blob| blob.0.as_slice()), 6144);
        check.grant_tokens(request.grant_tokens.as_ref());
        check.encryption_algorithm("encryptionAlgorithm", request.encryption_algorithm.as_ref());
        check.dry_run_modifiers(request.dry_run_modifiers.as_ref());
        let dry_run = DryRun::read(request.dry_run, request.dry_run_modifiers.as_deref());
        Recipient::check(request.recipient.as_ref(), &mut check);
        if !dry_run.ignores_ciphertext() {
            check.required("ciphertextBlob", request.ciphertext_blob.as_ref());
        }
        check.finish()?;
        dry_run.check(request.key_id.as_ref())?;
        Ok(op::Decrypt {
            key: request.key_id.as_deref().map(KeyReference::parse).transpose()?,
            ciphertext: ciphertext_of(request.ciphertext_blob),
            context: encryption_context(request.encryption_context)?,
            algorithm: name_or(request.encryption_algorithm.as_ref(), EncryptionAlgorithm::SymmetricDefault),
            recipient: Recipient::read(request.recipient)?,
            dry_run: dry_run.requested,
            ignore_ciphertext: dry_run.ignores_ciphertext(),
        })
    }

    fn encode(output: <op::Decrypt as Operation>::Output) -> Response {
        let (plaintext, ciphertext_for_recipient) = released(output.plaintext);
        Response {
            key_id: output.key_arn,
            // Omitted in answers to a recipient, as the model says.
            key_material_id: key_material_id(output.algorithm, output.material).filter(|_| plaintext.is_some()),
            plaintext,
            ciphertext_for_recipient,
            encryption_algorithm: output.algorithm.as_str(),
        }
    }
}
