//! Decrypt on the wire.

use bytes::Bytes;
use claviger_domain::{ExternalKeyId, Refusal};
use claviger_service::operations::xks as op;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::body::{Blob, present, write_plaintext};
use crate::encrypt::{Algorithm, TEXT_BYTES_MAX, additional_data};
use crate::mapping::Mapping;
use crate::request_metadata::{RequestMetadata, Required};

/// The mapping.
pub(crate) struct Decrypt;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    request_metadata: Option<RequestMetadata>,
    ciphertext: Option<Blob>,
    encryption_algorithm: Option<Algorithm>,
    initialization_vector: Option<Blob>,
    authentication_tag: Option<Blob>,
    ciphertext_metadata: Option<Blob>,
    additional_authenticated_data: Option<Blob>,
}

impl Mapping for Decrypt {
    type Request = Request;
    type Operation = op::Decrypt;

    /// Vectors, tags and metadata of another length than any that was answered are those of no ciphertext: the hsm says so.
    fn decode(key: Option<ExternalKeyId>, request: Request) -> Result<op::Decrypt, Refusal> {
        let metadata = RequestMetadata::check(request.request_metadata, Required::Use)?;
        let Algorithm::AesGcm = present("encryptionAlgorithm", request.encryption_algorithm)?;
        let small = |member, blob: Blob| blob.at_most(member, TEXT_BYTES_MAX).map(|bytes| bytes.to_vec());
        let (vector, tag) = (request.initialization_vector, request.authentication_tag);
        Ok(op::Decrypt {
            key: present("externalKeyId", key)?,
            ciphertext: small("ciphertext", present("ciphertext", request.ciphertext)?)?,
            initialization_vector: small("initializationVector", present("initializationVector", vector)?)?,
            tag: small("authenticationTag", present("authenticationTag", tag)?)?,
            ciphertext_metadata: match request.ciphertext_metadata {
                Some(blob) => small("ciphertextMetadata", blob)?,
                None => Vec::new(),
            },
            additional_data: additional_data(request.additional_authenticated_data)?,
            metadata,
        })
    }

    fn encode(output: Zeroizing<Vec<u8>>) -> Result<Bytes, Refusal> {
        Ok(write_plaintext(&output))
    }
}
