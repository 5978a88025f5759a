//! A plaintext for an attested recipient: encrypted with the public key of its attestation document, so that nobody on the way can read it.
//!
//! The form is CMS EnvelopedData (RFC 5652, section 6) with one recipient: RSAES-OAEP with SHA-256 and MGF1 with SHA-256 (RFC 4055, section 4.1;
//! RFC 3560) transports a random key, AES-256-CBC (RFC 3565) encrypts the content. The outer structures have indefinite lengths, as in AWS KMS's
//! own answers: the AWS Nitro Enclaves SDK reads nothing else.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

use super::AttestationError;
use crate::error::HsmError;

/// The least that may still be encrypted for. Source: NIST SP 800-131A Rev. 2, section 6.
const RSA_BITS_MIN: usize = 2048;
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The public key of a recipient.
pub(super) struct RecipientKey {
    key: OaepPublicEncryptingKey,
    /// SHA-1 of the key's bits, by which certificates and CMS name keys. Source: RFC 5280, section 4.2.1.2, method (1).
    identifier: [u8; 20],
}

impl RecipientKey {
    /// Reads a SubjectPublicKeyInfo in DER. The key has to be RSA of at least 2,048 bits.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, AttestationError> {
        let unsuitable = || AttestationError::UnsuitablePublicKey;
        let info = SubjectPublicKeyInfoRef::from_der(bytes).map_err(|_| unsuitable())?;
        let bits = info.subject_public_key.as_bytes().ok_or_else(unsuitable)?;
        if info.algorithm.oid != RSA_ENCRYPTION {
            return Err(unsuitable());
        }
        let key = PublicEncryptingKey::from_der(bytes).map_err(|_| unsuitable())?;
        if key.key_size_bits() < RSA_BITS_MIN {
            return Err(unsuitable());
        }
        let key = OaepPublicEncryptingKey::new(key).map_err(|_| unsuitable())?;
        let identifier = digest(&SHA1_FOR_LEGACY_USE_ONLY, bits).as_ref().try_into().map_err(|_| unsuitable())?;
        Ok(Self { key, identifier })
    }

    /// Encrypts for the recipient.
    pub(super) fn envelop(&self, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        let mut content_key = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(content_key.as_mut_slice()).map_err(|_| HsmError::Primitive("the random generator"))?;
        let (iv, ciphertext) = encrypt(&content_key, plaintext)?;
        let mut room = vec![0; self.key.ciphertext_size()];
        let encrypted_key = self
            .key
            .encrypt(&OAEP_SHA256_MGF1SHA256, content_key.as_slice(), &mut room, None)
            .map_err(|_| HsmError::Primitive("RSA-OAEP"))?;
        Ok(enveloped_data(&self.identifier, encrypted_key, &iv, &ciphertext))
    }
}

/// AES-256-CBC with a random initialization vector, padded. Source: RFC 5652, section 6.3.
fn encrypt(key: &[u8; 32], plaintext: &[u8]) -> Result<([u8; 16], Vec<u8>), HsmError> {
    let failed = |_| HsmError::Primitive("AES-256-CBC");
    let key = UnboundCipherKey::new(&AES_256, key).and_then(PaddedBlockEncryptingKey::cbc_pkcs7).map_err(failed)?;
    // With room for the padding: a buffer that grew would leave the plaintext behind.
    let mut content = Zeroizing::new(Vec::with_capacity(plaintext.len() + 16));
    content.extend_from_slice(plaintext);
    let context = key.encrypt(&mut *content).map_err(failed)?;
    let DecryptionContext::Iv128(iv) = context else { return Err(HsmError::Primitive("AES-256-CBC")) };
    let iv: &[u8; 16] = iv.as_ref();
    Ok((*iv, std::mem::take(&mut *content)))
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, constructed and not.
const ZERO: u8 = 0xa0;
const ZERO_PRIMITIVE: u8 = 0x80;

/// `1.2.840.113549.1.7.3`.
const ID_ENVELOPED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
/// `1.2.840.113549.1.7.1`.
const ID_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// `2.16.840.1.101.3.4.1.42`.
const ID_AES256_CBC: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
/// `id-RSAES-OAEP` (1.2.840.113549.1.1.7) with `hashFunc [0]` SHA-256 and `maskGenFunc [1]` MGF1 (1.2.840.113549.1.1.8) with SHA-256, each with
/// NULL parameters; the label is the empty one by default.
const RSAES_OAEP_SHA256: &[u8] = &[
    0x30, 0x3c, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07, 0x30, 0x2f, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09,
    0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
    0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
];

/// `ContentInfo` with `EnvelopedData`. Source: RFC 5652, sections 3 and 6.1; the version is 2 because the recipient is named by its key.
fn enveloped_data(identifier: &[u8; 20], encrypted_key: &[u8], iv: &[u8; 16], ciphertext: &[u8]) -> Vec<u8> {
    let version = definite(INTEGER, &[&[2]]);
    let recipient = definite(
        SEQUENCE,
        &[&version, &definite(ZERO_PRIMITIVE, &[identifier]), RSAES_OAEP_SHA256, &definite(OCTET_STRING, &[encrypted_key])],
    );
    let algorithm = definite(SEQUENCE, &[ID_AES256_CBC, &definite(OCTET_STRING, &[iv])]);
    let content = indefinite(ZERO, &[&definite(OCTET_STRING, &[ciphertext])]);
    let content = indefinite(SEQUENCE, &[ID_DATA, &algorithm, &content]);
    let enveloped = indefinite(SEQUENCE, &[&version, &definite(SET, &[&recipient]), &content]);
    indefinite(SEQUENCE, &[ID_ENVELOPED_DATA, &indefinite(ZERO, &[&enveloped])])
}

/// An element with its length before it. Source: X.690, section 8.1.3.
fn definite(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    let digits = length.to_be_bytes();
    let digits = digits.iter().skip_while(|digit| **digit == 0);
    match length {
        0..=127 => out.extend(length.to_be_bytes().last()),
        _ => {
            out.extend((0x80 | digits.clone().count()).to_be_bytes().last());
            out.extend(digits);
        }
    }
    out.extend(parts.iter().flat_map(|part| part.iter()));
    out
}

/// An element that ends where two zero bytes say so. Source: X.690, section 8.1.3.6.
fn indefinite(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![tag, 0x80];
    out.extend(parts.iter().flat_map(|part| part.iter()));
    out.extend([0, 0]);
    out
}
