//! Encrypt on the wire.

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
pub(crate) struct Encrypt;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    plaintext: Option<Blob>,
    encryption_context: Option<Pairs>,
    grant_tokens: Option<Vec<String>>,
    encryption_algorithm: Option<String>,
    dry_run: Option<bool>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    ciphertext_blob: BlobOut<Vec<u8>>,
    key_id: String,
    encryption_algorithm: &'static str,
}

impl Mapping for Encrypt {
    type Request = Request;
    type Operation = op::Encrypt;
    type Response = Response;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::Encrypt, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required("plaintext", request.plaintext.as_ref());
        check.blob("plaintext", request.plaintext.as_ref().map(|blob| blob.0.as_slice()), 4096);
        check.grant_tokens(request.grant_tokens.as_ref());
        check.encryption_algorithm("encryptionAlgorithm", request.encryption_algorithm.as_ref());
        check.finish()?;
        Ok(op::Encrypt {
            key: KeyReference::parse(&present(request.key_id)?)?,
            plaintext: present(request.plaintext)?.0,
            context: encryption_context(request.encryption_context)?,
            algorithm: name_or(request.encryption_algorithm.as_ref(), EncryptionAlgorithm::SymmetricDefault),
            dry_run: request.dry_run.unwrap_or(false),
        })
    }

    fn encode(output: <op::Encrypt as Operation>::Output) -> Response {
        Response {
            ciphertext_blob: BlobOut(output.ciphertext),
            key_id: output.key_arn,
            encryption_algorithm: output.algorithm.as_str(),
        }
    }
}
