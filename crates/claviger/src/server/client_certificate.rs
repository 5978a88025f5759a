//! Client certificates: which are accepted, and what their subjects are called.

use std::path::PathBuf;
use std::sync::Arc;

use claviger_domain::hyok::subject_matches;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConnection, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::{Decode as _, Tag, Tagged as _};

use super::tls::read_certificates;
use crate::problem::Problem;

/// Whose certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// PEM files with the authorities that they go back to.
    pub authorities: Vec<PathBuf>,
    /// Patterns of common names, one of which they must have; without any, all do.
    pub subjects: Vec<String>,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}

/// The common name of a subject. Source: RFC 5280, appendix A.1 (`id-at-commonName`).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

impl Clients {
    /// What checks them in handshakes.
    ///
    /// # Errors
    /// A file cannot be read, or holds what is no authority's certificate.
    pub(super) fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Problem> {
        let mut roots = RootCertStore::empty();
        for path in &self.authorities {
            for certificate in read_certificates(path)? {
                roots.add(certificate).map_err(|error| {
                    Problem::new(format!("{} holds a certificate that no client can go back to: {error}", path.display()))
                })?;
            }
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if !self.required {
            builder = builder.allow_unauthenticated();
        }
        let chains = builder.build().map_err(|error| Problem::new(format!("client certificates cannot be checked: {error}")))?;
        Ok(Arc::new(SubjectVerifier { chains, subjects: self.subjects.clone() }))
    }
}

/// Checks chain and subject. Whatever is wrong, the client is told that the handshake failed, and nothing of why: the log has that.
#[derive(Debug)]
struct SubjectVerifier {
    chains: Arc<dyn ClientCertVerifier>,
    subjects: Vec<String>,
}

impl ClientCertVerifier for SubjectVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chains.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chains.verify_client_cert(end_entity, intermediates, now);
        let verified = verified.map_err(|error| Error::General(format!("the client's certificate is refused: {error}")))?;
        let names = common_names(end_entity);
        let fits = |name: &str| self.subjects.iter().any(|pattern| subject_matches(pattern, name));
        if self.subjects.is_empty() || names.iter().any(|name| fits(name)) {
            return Ok(verified);
        }
        Err(Error::General(format!("the client's certificate has the subject {names:?}, which is none that is accepted")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// The common names of the certificate that the client of this connection has shown, if it has. The handshake has verified it.
pub(super) fn subjects_of(connection: &ServerConnection) -> Option<Arc<[Box<str>]>> {
    connection.peer_certificates().and_then(<[_]>::first).map(|certificate| common_names(certificate).into())
}

/// The common names of a certificate's subject; none where it cannot be read.
fn common_names(certificate: &[u8]) -> Vec<Box<str>> {
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let names = certificate.tbs_certificate().subject().iter().filter(|attribute| attribute.oid == COMMON_NAME);
    names
        .filter_map(|attribute| {
            let value = &attribute.value;
            match value.tag() {
                Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok().map(|text| text.as_str().into()),
                Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().ok().map(|text| text.as_str().into()),
                Tag::TeletexString => value.decode_as::<TeletexStringRef<'_>>().ok().map(|text| text.as_str().into()),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(names: &[&str]) -> Vec<u8> {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::OrganizationName, "example");
        for name in names {
            parameters.distinguished_name.push(DnType::CommonName, *name);
        }
        let key = KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn common_names_are_read_and_nothing_else_is() {
        assert_eq!(common_names(&certificate(&["cks.kms.eu-west-1.amazonaws.com"])), ["cks.kms.eu-west-1.amazonaws.com".into()]);
        assert!(common_names(&certificate(&[])).is_empty());
        assert!(common_names(b"no certificate").is_empty());
    }
}
