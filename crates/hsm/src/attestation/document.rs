//! The form of an attestation document: a COSE_Sign1 message around a CBOR map. Source: AWS Nitro Enclaves User Guide, "Verifying the root of
//! trust"; Amazon EC2 User Guide, "Validate a NitroTPM Attestation Document"; RFC 9052, sections 4.2 and 4.4.
//!
//! Nothing here is believed yet: `mod.rs` says who may have written it.

use std::collections::BTreeMap;

use super::cbor::{Reader, write_array, write_bytes, write_text};
use super::{AttestationError, Platform};

/// The longest document that a request may carry. Source: AWS KMS service model, `AttestationDocumentType`.
pub(super) const DOCUMENT_BYTES_MAX: usize = 262_144;
/// Of the signed map. Source: as above, "COSE and CBOR": `bstr .size (1..16384)`.
const PAYLOAD_BYTES_MAX: usize = 16_384;
const CERTIFICATE_BYTES_MAX: usize = 1024;
/// Four are usual. Each costs the verification of a signature.
const CERTIFICATES_MAX: u64 = 10;
/// Of public key, user data and nonce.
const OPTIONAL_BYTES_MAX: usize = 1024;
const MODULE_ID_BYTES_MAX: usize = 256;
const PCRS_MAX: u64 = 32;
/// SHA-384.
const PCR_BYTES: usize = 48;
/// r ‖ s of P-384.
const SIGNATURE_BYTES: usize = 96;

/// The protected header `{1: -35}`: the algorithm ES384 and nothing else.
const ES384: &[u8] = &[0xa1, 0x01, 0x38, 0x22];
const COSE_SIGN1_TAG: u8 = 18;

/// An attestation document that has the right form. Who signed it is not known yet.
pub(super) struct Document<'a> {
    payload: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) module_id: &'a str,
    /// Milliseconds since 1970.
    pub(super) timestamp_ms: u64,
    pub(super) platform: Platform,
    pub(super) pcrs: BTreeMap<u8, [u8; PCR_BYTES]>,
    /// The signer's certificate.
    pub(super) certificate: &'a [u8],
    /// From the root to the certificate's issuer.
    pub(super) cabundle: Vec<&'a [u8]>,
    pub(super) public_key: Option<&'a [u8]>,
}

impl<'a> Document<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, AttestationError> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let (payload, signature) = read_envelope(bytes).ok_or(malformed("it is not a COSE_Sign1 message"))?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(malformed("its payload is too long"));
        }
        let mut members = Members::default();
        let mut reader = Reader::new(payload);
        let count = reader.map().ok_or(malformed("its payload is not a map"))?;
        for _ in 0..count {
            let name = reader.text().ok_or(malformed("its payload has a member without a name"))?;
            members.read(name, &mut reader)?;
        }
        reader.end().ok_or(malformed("there is more after its payload's map"))?;
        members.into_document(payload, signature)
    }

    /// The bytes that were signed. Source: RFC 9052, section 4.4, `Sig_structure`.
    pub(super) fn signed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 32);
        write_array(&mut out, 4);
        write_text(&mut out, "Signature1");
        write_bytes(&mut out, ES384);
        write_bytes(&mut out, &[]);
        write_bytes(&mut out, self.payload);
        out
    }
}

/// The payload and the signature.
fn read_envelope(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(bytes);
    reader.skip_tag(COSE_SIGN1_TAG);
    let is_sign1 = reader.array()? == 4 && reader.bytes()? == ES384 && reader.map()? == 0;
    let (payload, signature) = (reader.bytes()?, reader.bytes()?);
    reader.end()?;
    (is_sign1 && !payload.is_empty() && signature.len() == SIGNATURE_BYTES).then_some((payload, signature))
}

/// The payload's members as far as they have been read.
#[derive(Default)]
struct Members<'a> {
    module_id: Option<&'a str>,
    digest: Option<&'a str>,
    timestamp: Option<u64>,
    pcrs: Option<(Platform, BTreeMap<u8, [u8; PCR_BYTES]>)>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<&'a [u8]>>,
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
}

impl<'a> Members<'a> {
    fn read(&mut self, name: &str, reader: &mut Reader<'a>) -> Result<(), AttestationError> {
        match name {
            "module_id" => put(&mut self.module_id, read_module_id(reader), "its module_id is not a text of 1 to 256 bytes"),
            "digest" => put(&mut self.digest, reader.text().filter(|text| *text == "SHA384"), "its digest is not SHA384"),
            "timestamp" => put(&mut self.timestamp, reader.unsigned().filter(|at| *at > 0), "its timestamp is not a time"),
            "pcrs" => {
                let pcrs = read_pcrs(reader).map(|pcrs| (Platform::NitroEnclave, pcrs));
                put(&mut self.pcrs, pcrs, "its pcrs are not 1 to 32 registers of 48 bytes")
            }
            "nitrotpm_pcrs" => {
                let pcrs = read_pcrs(reader).map(|pcrs| (Platform::NitroTpm, pcrs));
                put(&mut self.pcrs, pcrs, "its nitrotpm_pcrs are not 1 to 32 registers of 48 bytes")
            }
            "certificate" => put(&mut self.certificate, read_certificate(reader), "its certificate is not 1 to 1024 bytes"),
            "cabundle" => put(&mut self.cabundle, read_cabundle(reader), "its cabundle is not 1 to 10 certificates"),
            "public_key" => put(&mut self.public_key, read_optional(reader), "its public_key is longer than 1024 bytes"),
            "user_data" => put(&mut self.user_data, read_optional(reader), "its user_data is longer than 1024 bytes"),
            "nonce" => put(&mut self.nonce, read_optional(reader), "its nonce is longer than 1024 bytes"),
            _ => Err(malformed("its payload has a member that attestation documents do not have")),
        }
    }

    fn into_document(self, payload: &'a [u8], signature: &'a [u8]) -> Result<Document<'a>, AttestationError> {
        self.digest.ok_or(malformed("it has no digest"))?;
        let (platform, pcrs) = self.pcrs.ok_or(malformed("it has no pcrs"))?;
        Ok(Document {
            payload,
            signature,
            module_id: self.module_id.ok_or(malformed("it has no module_id"))?,
            timestamp_ms: self.timestamp.ok_or(malformed("it has no timestamp"))?,
            platform,
            pcrs,
            certificate: self.certificate.ok_or(malformed("it has no certificate"))?,
            cabundle: self.cabundle.ok_or(malformed("it has no cabundle"))?,
            public_key: self.public_key.flatten(),
        })
    }
}

/// Keeps a member that could be read and was not there before.
fn put<T>(place: &mut Option<T>, value: Option<T>, problem: &'static str) -> Result<(), AttestationError> {
    let value = value.ok_or(malformed(problem))?;
    if place.replace(value).is_some() {
        return Err(malformed("its payload has a member twice"));
    }
    Ok(())
}

fn read_module_id<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    reader.text().filter(|id| (1..=MODULE_ID_BYTES_MAX).contains(&id.len()))
}

fn read_pcrs(reader: &mut Reader<'_>) -> Option<BTreeMap<u8, [u8; PCR_BYTES]>> {
    let count = reader.map().filter(|count| (1..=PCRS_MAX).contains(count))?;
    let mut pcrs = BTreeMap::new();
    for _ in 0..count {
        let index = u8::try_from(reader.unsigned()?).ok().filter(|index| u64::from(*index) < PCRS_MAX)?;
        let value = reader.bytes()?.try_into().ok()?;
        if pcrs.insert(index, value).is_some() {
            return None;
        }
    }
    Some(pcrs)
}

fn read_certificate<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    reader.bytes().filter(|bytes| (1..=CERTIFICATE_BYTES_MAX).contains(&bytes.len()))
}

fn read_cabundle<'a>(reader: &mut Reader<'a>) -> Option<Vec<&'a [u8]>> {
    let count = reader.array().filter(|count| (1..=CERTIFICATES_MAX).contains(count))?;
    (0..count).map(|_| read_certificate(reader)).collect()
}

/// Some absent member, which the Nitro hypervisor writes as null; the outer `Option` says whether it could be read.
fn read_optional<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    if reader.skip_null() {
        return Some(None);
    }
    reader.bytes().filter(|bytes| bytes.len() <= OPTIONAL_BYTES_MAX).map(Some)
}

fn malformed(what: &'static str) -> AttestationError {
    AttestationError::Malformed(what)
}
