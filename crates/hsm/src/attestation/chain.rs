//! From an attestation document's certificates to the key that signed it. Source: RFC 5280, section 6.1, narrowed to what the Nitro attestation
//! PKI uses (AWS Nitro Enclaves User Guide, "Verifying the root of trust"): P-384 and ECDSA with SHA-384 throughout, no revocation lists.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use claviger_domain::Timestamp;
use x509_cert::der::asn1::{BitStringRef, ObjectIdentifier};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoOwned};
use x509_cert::{TbsCertificate, certificate::Version};

use super::AttestationError;

const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
/// SEC 1, section 2.3.3, without compression: `04` ‖ x ‖ y.
const P384_POINT_BYTES: usize = 97;

/// A certificate whose form, algorithms and critical extensions are ones that we understand.
pub(super) struct Certificate<'a> {
    /// As signed.
    signed: &'a [u8],
    signature: &'a [u8],
    content: TbsCertificate,
    key: PublicKey,
    constraints: Option<BasicConstraints>,
    usage: Option<KeyUsage>,
}

/// A P-384 public key.
pub(super) struct PublicKey([u8; P384_POINT_BYTES]);

impl PublicKey {
    /// Whether it made this signature of a certificate (ASN.1).
    fn verifies_certificate(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &self.0).verify(message, signature).is_ok()
    }

    /// Whether it made this signature of a COSE message (r ‖ s).
    pub(super) fn verifies_message(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &self.0).verify(message, signature).is_ok()
    }
}

/// The key that signed the document: that of the last certificate of a path which begins with a trusted one.
///
/// `path` goes from the root to the signer; `trusted` says whether a root is one of ours.
pub(super) fn signer_of(path: &[&[u8]], trusted: impl Fn(&[u8]) -> bool, now: Timestamp) -> Result<PublicKey, AttestationError> {
    let (root, below) = path.split_first().ok_or(AttestationError::UnknownRoot)?;
    if !trusted(root) {
        return Err(AttestationError::UnknownRoot);
    }
    let mut issuer = Certificate::parse(root)?;
    issuer.must_be_valid_at(now)?;
    for (position, bytes) in below.iter().enumerate() {
        // How many authorities stand between this one and the signer.
        issuer.must_be_authority_over(below.len() - 1 - position)?;
        let certificate = Certificate::parse(bytes)?;
        certificate.must_be_valid_at(now)?;
        certificate.must_be_issued_by(&issuer)?;
        issuer = certificate;
    }
    // The last one has signed no certificate.
    issuer.must_be_signer()?;
    Ok(issuer.key)
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, AttestationError> {
        let (signed, algorithm, signature) = split(bytes).ok_or(wrong("a certificate is not one in DER"))?;
        let content = TbsCertificate::from_der(signed).map_err(|_| wrong("a certificate is not one in DER"))?;
        let inner = content.signature();
        let is_expected = |oid, has_parameters: bool| oid == ECDSA_WITH_SHA384 && !has_parameters;
        if !is_expected(algorithm.oid, algorithm.parameters.is_some()) || !is_expected(inner.oid, inner.parameters.is_some()) {
            return Err(wrong("a certificate is not signed with ECDSA and SHA-384"));
        }
        if content.version() != Version::V3 {
            return Err(wrong("a certificate is not of version 3"));
        }
        let key = public_key(content.subject_public_key_info()).ok_or(wrong("a certificate's key is not on P-384"))?;
        let (mut constraints, mut usage) = (None, None);
        for extension in content.extensions().into_iter().flatten() {
            let value = extension.extn_value.as_bytes();
            match extension.extn_id {
                BASIC_CONSTRAINTS if constraints.is_none() => constraints = Some(decode(value)?),
                KEY_USAGE if usage.is_none() => usage = Some(decode(value)?),
                BASIC_CONSTRAINTS | KEY_USAGE => return Err(wrong("a certificate has an extension twice")),
                _ if extension.critical => return Err(wrong("a certificate has a critical extension that is not known here")),
                _ => {}
            }
        }
        Ok(Self { signed, signature, content, key, constraints, usage })
    }

    fn must_be_valid_at(&self, now: Timestamp) -> Result<(), AttestationError> {
        let validity = self.content.validity();
        let seconds = u64::try_from(now.0.div_euclid(1000)).unwrap_or(0);
        if seconds < validity.not_before.to_unix_duration().as_secs() {
            return Err(AttestationError::NotYetValid);
        }
        if seconds > validity.not_after.to_unix_duration().as_secs() {
            return Err(AttestationError::Expired);
        }
        Ok(())
    }

    fn must_be_issued_by(&self, issuer: &Certificate<'_>) -> Result<(), AttestationError> {
        if self.content.issuer() != issuer.content.subject() {
            return Err(wrong("the certificates do not follow one another"));
        }
        if !issuer.key.verifies_certificate(self.signed, self.signature) {
            return Err(wrong("the signature of a certificate is wrong"));
        }
        Ok(())
    }

    /// It may issue certificates, with this many authorities between itself and the signer.
    pub(super) fn must_be_authority_over(&self, between: usize) -> Result<(), AttestationError> {
        let constraints = self.constraints.as_ref().filter(|constraints| constraints.ca);
        let constraints = constraints.ok_or(wrong("a certificate was issued by one that is no authority"))?;
        if constraints.path_len_constraint.is_some_and(|most| between > usize::from(most)) {
            return Err(wrong("there are more authorities than a certificate allows"));
        }
        if !self.usage.as_ref().is_some_and(KeyUsage::key_cert_sign) {
            return Err(wrong("a certificate was issued by one whose key may not sign certificates"));
        }
        Ok(())
    }

    /// It may sign documents, and is no authority.
    fn must_be_signer(&self) -> Result<(), AttestationError> {
        if self.constraints.as_ref().is_some_and(|constraints| constraints.ca || constraints.path_len_constraint.is_some()) {
            return Err(wrong("the signer's certificate is that of an authority"));
        }
        if !self.usage.as_ref().is_some_and(KeyUsage::digital_signature) {
            return Err(wrong("the signer's key may not sign documents"));
        }
        Ok(())
    }
}

/// What was signed, how, and the signature: of the bytes as they are, since encoding them again might give others.
fn split(bytes: &[u8]) -> Option<(&[u8], AlgorithmIdentifierRef<'_>, &[u8])> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let parts = reader.sequence(|reader| -> x509_cert::der::Result<_> {
        let signed = reader.tlv_bytes()?;
        let algorithm = AlgorithmIdentifierRef::decode(reader)?;
        Ok((signed, algorithm, BitStringRef::decode(reader)?))
    });
    let (signed, algorithm, signature) = parts.ok()?;
    reader.finish().ok()?;
    Some((signed, algorithm, signature.as_bytes()?))
}

fn public_key(info: &SubjectPublicKeyInfoOwned) -> Option<PublicKey> {
    let curve = info.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok()?;
    let point: [u8; P384_POINT_BYTES] = info.subject_public_key.as_bytes()?.try_into().ok()?;
    let fits = info.algorithm.oid == EC_PUBLIC_KEY && curve == P384 && point.first() == Some(&4);
    fits.then_some(PublicKey(point))
}

fn decode<'a, T: x509_cert::der::Decode<'a>>(value: &'a [u8]) -> Result<T, AttestationError> {
    T::from_der(value).map_err(|_| wrong("an extension of a certificate cannot be read"))
}

fn wrong(what: &'static str) -> AttestationError {
    AttestationError::Certificate(what)
}
