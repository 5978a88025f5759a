//! Client certificates: which are accepted, and what their subjects are called.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_domain::hyok::subject_matches;
use claviger_service::hyok::ClientCertificate;
use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConnection, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::{Decode as _, Tag, Tagged as _};

use super::tls::read_certificates;
use crate::problem::Problem;

/// Whose certificates are accepted in a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    /// Those of certain authorities.
    Of {
        /// PEM files with the authorities that they go back to.
        authorities: Vec<PathBuf>,
        /// Patterns of common names, one of which they must have; without any, all do.
        subjects: Vec<String>,
        /// Whether a client without a certificate is refused.
        required: bool,
    },
    /// Anybody's, or none. They prove that the client has their private key, and nothing else: who has signed them is looked at later.
    Any,
}

/// The common name of a subject. Source: RFC 5280, appendix A.1 (`id-at-commonName`).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

impl Clients {
    /// What checks them in handshakes.
    ///
    /// # Errors
    /// A file cannot be read, or holds what is no authority's certificate.
    pub(super) fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Problem> {
        let Self::Of { authorities, subjects, required } = self else {
            return Ok(Arc::new(Possession(provider.signature_verification_algorithms)));
        };
        let mut roots = RootCertStore::empty();
        for path in authorities {
            for certificate in read_certificates(path)? {
                roots.add(certificate).map_err(|error| {
                    Problem::new(format!("{} holds a certificate that no client can go back to: {error}", path.display()))
                })?;
            }
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if !required {
            builder = builder.allow_unauthenticated();
        }
        let chains = builder.build().map_err(|error| Problem::new(format!("client certificates cannot be checked: {error}")))?;
        Ok(Arc::new(SubjectVerifier { chains, subjects: subjects.clone() }))
    }

    /// The certificate that the client of this connection has shown, if it has.
    pub(super) fn shown_by(&self, connection: &ServerConnection) -> Option<ShownCertificate> {
        let chain: Vec<_> = connection.peer_certificates()?.iter().map(|certificate| certificate.clone().into_owned()).collect();
        ShownCertificate::of(chain, matches!(self, Self::Of { .. }))
    }
}

/// A certificate that a client has shown, and whose private key it has.
#[derive(Debug)]
pub struct ShownCertificate {
    /// It, and what it goes back to, as the client sent it.
    chain: Vec<CertificateDer<'static>>,
    subjects: Vec<Box<str>>,
    of_listener: bool,
    /// The authorities that it was looked at for last, when, and what came of it. A connection is mostly one store's.
    judged: Mutex<Option<(Box<str>, Instant, bool)>>,
}

/// For how long a judgement holds: certificates expire while connections are open.
const JUDGED_FOR: Duration = Duration::from_secs(60);

impl ShownCertificate {
    fn of(chain: Vec<CertificateDer<'static>>, of_listener: bool) -> Option<Self> {
        let subjects = common_names(chain.first()?);
        Some(Self { chain, subjects, of_listener, judged: Mutex::new(None) })
    }

    fn verify(&self, authorities: &str) -> bool {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            if !certificate.is_ok_and(|certificate| roots.add(certificate).is_ok()) {
                return false;
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        match (verifier, self.chain.split_first()) {
            (Ok(verifier), Some((own, others))) => verifier.verify_client_cert(own, others, UnixTime::now()).is_ok(),
            _ => false,
        }
    }
}

impl ClientCertificate for ShownCertificate {
    fn subjects(&self) -> &[Box<str>] {
        &self.subjects
    }

    fn is_of_listener(&self) -> bool {
        self.of_listener
    }

    fn goes_back_to(&self, authorities: &str) -> bool {
        if let Some((of, at, judgement)) = &*self.judged.lock()
            && **of == *authorities
            && at.elapsed() < JUDGED_FOR
        {
            return *judgement;
        }
        let judgement = self.verify(authorities);
        *self.judged.lock() = Some((authorities.into(), Instant::now(), judgement));
        judgement
    }
}

/// Takes any certificate, or none: the client has its private key, and that is all that is known then.
#[derive(Debug)]
struct Possession(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for Possession {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
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
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
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

    /// An authority, and a client's certificate of it.
    fn authority_and_client() -> (String, CertificateDer<'static>) {
        let (key, own) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(parameters, key);
        let mut client = CertificateParams::new(Vec::new()).unwrap();
        client.distinguished_name.push(DnType::CommonName, "client");
        client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        (authority.pem(), client.signed_by(&own, &issuer).unwrap().der().clone())
    }

    #[test]
    fn a_certificate_goes_back_to_its_own_authority_only() {
        let ((ours, client), (theirs, _)) = (authority_and_client(), authority_and_client());
        let shown = ShownCertificate::of(vec![client], false).unwrap();
        assert!(!shown.is_of_listener() && shown.subjects().contains(&"client".into()));
        for _ in 0..2 {
            assert!(shown.goes_back_to(&ours));
            assert!(!shown.goes_back_to(&theirs));
            assert!(shown.goes_back_to(&format!("{theirs}{ours}")));
            assert!(!shown.goes_back_to("") && !shown.goes_back_to("no certificates"));
        }
    }

    #[test]
    fn common_names_are_read_and_nothing_else_is() {
        assert_eq!(common_names(&certificate(&["cks.kms.eu-west-1.amazonaws.com"])), ["cks.kms.eu-west-1.amazonaws.com".into()]);
        assert!(common_names(&certificate(&[])).is_empty());
        assert!(common_names(b"no certificate").is_empty());
    }
}
