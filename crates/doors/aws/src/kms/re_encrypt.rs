//! ReEncrypt on the wire.

use super::dry_run::{DryRun, ciphertext_of};
use super::names::key_material_id;
use crate::json::{Blob, BlobOut, Pairs};
use crate::mapping::Mapping;
use crate::validation::{Validator, encryption_context, name_or, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_domain::key::EncryptionAlgorithm;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct ReEncrypt;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    ciphertext_blob: Option<Blob>,
    source_encryption_context: Option<Pairs>,
    source_key_id: Option<String>,
    destination_key_id: Option<String>,
    destination_encryption_context: Option<Pairs>,
    source_encryption_algorithm: Option<String>,
    destination_encryption_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<String>>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    ciphertext_blob: BlobOut<Vec<u8>>,
    source_key_id: String,
    key_id: String,
    source_encryption_algorithm: &'static str,
    destination_encryption_algorithm: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_key_material_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_key_material_id: Option<String>,
}

impl Mapping for ReEncrypt {
    type Request = Request;
    type Operation = op::ReEncrypt;
    type Response = Response;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::ReEncrypt, Refusal> {
        let mut check = Validator::new();
        check.blob("ciphertextBlob", request.ciphertext_blob.as_ref().map(|blob| blob.0.as_slice()), 6144);
        check.length("sourceKeyId", request.source_key_id.as_ref(), 1, 2048);
        check.key_id("destinationKeyId", request.destination_key_id.as_ref());
        check.grant_tokens(request.grant_tokens.as_ref());
        check.encryption_algorithm("sourceEncryptionAlgorithm", request.source_encryption_algorithm.as_ref());
        check.encryption_algorithm("destinationEncryptionAlgorithm", request.destination_encryption_algorithm.as_ref());
        check.dry_run_modifiers(request.dry_run_modifiers.as_ref());
        let dry_run = DryRun::read(request.dry_run, request.dry_run_modifiers.as_deref());
        if !dry_run.ignores_ciphertext() {
            check.required("ciphertextBlob", request.ciphertext_blob.as_ref());
        }
        check.finish()?;
        dry_run.check(request.source_key_id.as_ref())?;
        let symmetric = EncryptionAlgorithm::SymmetricDefault;
        Ok(op::ReEncrypt {
            source: request.source_key_id.as_deref().map(KeyReference::parse).transpose()?,
            ciphertext: ciphertext_of(request.ciphertext_blob),
            source_context: encryption_context(request.source_encryption_context)?,
            source_algorithm: name_or(request.source_encryption_algorithm.as_ref(), symmetric),
            destination: KeyReference::parse(&present(request.destination_key_id)?)?,
            destination_context: encryption_context(request.destination_encryption_context)?,
            destination_algorithm: name_or(request.destination_encryption_algorithm.as_ref(), symmetric),
            dry_run: dry_run.requested,
            ignore_ciphertext: dry_run.ignores_ciphertext(),
        })
    }

    fn encode(output: <op::ReEncrypt as Operation>::Output) -> Response {
        Response {
            ciphertext_blob: BlobOut(output.ciphertext),
            source_key_id: output.source_arn,
            key_id: output.destination_arn,
            source_encryption_algorithm: output.source_algorithm.as_str(),
            destination_encryption_algorithm: output.destination_algorithm.as_str(),
            source_key_material_id: key_material_id(output.source_algorithm, output.source_material),
            destination_key_material_id: key_material_id(output.destination_algorithm, output.destination_material),
        }
    }
}
