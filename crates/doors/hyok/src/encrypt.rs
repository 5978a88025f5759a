//! Encrypt on the wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use claviger_domain::{ExternalKeyId, Refusal};
use claviger_service::operations::xks as op;
use serde::{Deserialize, Serialize};

use crate::body::{Blob, present, write};
use crate::mapping::Mapping;
use crate::request_metadata::{RequestMetadata, Required};

/// The mapping.
pub(crate) struct Encrypt;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    request_metadata: Option<RequestMetadata>,
    plaintext: Option<Blob>,
    encryption_algorithm: Option<Algorithm>,
    additional_authenticated_data: Option<Blob>,
    ciphertext_data_integrity_value_algorithm: Option<Digest>,
}

/// `encryptionAlgorithm`.
#[derive(Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "AES_GCM")]
    AesGcm,
}

/// `ciphertextDataIntegrityValueAlgorithm`.
#[derive(Deserialize)]
pub(crate) enum Digest {
    #[serde(rename = "SHA_256")]
    Sha256,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    authentication_tag: String,
    ciphertext: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_data_integrity_value: Option<String>,
    ciphertext_metadata: String,
    initialization_vector: String,
}

/// Bytes of a plaintext or ciphertext, at most. The specification asks for 4,300.
pub(crate) const TEXT_BYTES_MAX: usize = 65_536;
/// Bytes of additional authenticated data, at most: their length has two bytes. The specification asks for 8,192.
pub(crate) const ADDITIONAL_BYTES_MAX: usize = 65_535;

impl Mapping for Encrypt {
    type Request = Request;
    type Operation = op::Encrypt;

    fn decode(key: Option<ExternalKeyId>, request: Request) -> Result<op::Encrypt, Refusal> {
        let metadata = RequestMetadata::check(request.request_metadata, Required::Use)?;
        let Algorithm::AesGcm = present("encryptionAlgorithm", request.encryption_algorithm)?;
        let plaintext = present("plaintext", request.plaintext)?.at_most("plaintext", TEXT_BYTES_MAX)?;
        if plaintext.is_empty() {
            return Err(Refusal::invalid("plaintext is empty."));
        }
        Ok(op::Encrypt {
            key: present("externalKeyId", key)?,
            plaintext,
            additional_data: additional_data(request.additional_authenticated_data)?,
            integrity: matches!(request.ciphertext_data_integrity_value_algorithm, Some(Digest::Sha256)),
            metadata,
        })
    }

    fn encode(output: op::Encrypted) -> Result<Bytes, Refusal> {
        write(&Response {
            authentication_tag: STANDARD.encode(output.tag),
            ciphertext: STANDARD.encode(output.ciphertext),
            ciphertext_data_integrity_value: output.integrity_value.map(|value| STANDARD.encode(value)),
            ciphertext_metadata: STANDARD.encode(output.metadata),
            initialization_vector: STANDARD.encode(output.initialization_vector),
        })
    }
}

/// `additionalAuthenticatedData`; nothing when absent, which is the same as empty.
pub(crate) fn additional_data(blob: Option<Blob>) -> Result<Vec<u8>, Refusal> {
    match blob {
        Some(blob) => Ok(blob.at_most("additionalAuthenticatedData", ADDITIONAL_BYTES_MAX)?.to_vec()),
        None => Ok(Vec::new()),
    }
}
