//! TLS with a certificate that can be exchanged while the server runs.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::pem::{Error, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::client_certificate::{Clients, ShownCertificate};
use super::stop::Stop;
use crate::config::Tls;
use crate::problem::Problem;

/// The current TLS configuration, and where it came from.
#[derive(Debug)]
pub struct ReloadingTls {
    files: Tls,
    /// Whose certificates are asked for; none for nobody's.
    clients: Option<Clients>,
    current: ArcSwap<ServerConfig>,
}

/// What tells that a file has changed.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint([Option<(SystemTime, u64)>; 2]);

impl ReloadingTls {
    /// Reads the certificate and key.
    ///
    /// # Errors
    /// One of the files cannot be read, is not PEM, or the key does not belong to the certificate.
    pub fn load(files: &Tls) -> Result<Arc<Self>, Problem> {
        Self::load_for(files, None)
    }

    /// The same, asking clients for certificates.
    ///
    /// # Errors
    /// As for [`ReloadingTls::load`]; or the clients' authorities cannot be read.
    pub fn load_for(files: &Tls, clients: Option<Clients>) -> Result<Arc<Self>, Problem> {
        let current = ArcSwap::from_pointee(server_config(files, clients.as_ref())?);
        Ok(Arc::new(Self { files: files.clone(), clients, current }))
    }

    /// Does the handshake of one connection, with the configuration of now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// The certificate that the client of this connection has shown, if one was asked for.
    pub(super) fn shown_by(&self, session: &ServerConnection) -> Option<Arc<ShownCertificate>> {
        self.clients.as_ref().and_then(|clients| clients.shown_by(session)).map(Arc::new)
    }

    /// Reads the files again. Connections that are open keep what they have.
    ///
    /// # Errors
    /// As for [`ReloadingTls::load`]; what was in use stays in use.
    pub fn reload(&self) -> Result<(), Problem> {
        match server_config(&self.files, self.clients.as_ref()) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                metrics::counter!("claviger_tls_reloads_total", "outcome" => "ok").increment(1);
                tracing::info!(certificate = %self.files.certificate.display(), "the TLS certificate was exchanged");
                Ok(())
            }
            Err(problem) => {
                metrics::counter!("claviger_tls_reloads_total", "outcome" => "failed").increment(1);
                Err(problem)
            }
        }
    }

    /// Reloads whenever a file changes, until `stop`. A broken pair is said loudly, once for each change, and tried again at every
    /// look: the two files of a renewal are often written one after the other.
    pub async fn reload_on_change(self: Arc<Self>, every: Duration, stop: Stop) {
        let mut in_use = Fingerprint::of(&self.files);
        let mut complained_about = None;
        loop {
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(every) => {}
            }
            let now = Fingerprint::of(&self.files);
            if now == in_use {
                continue;
            }
            match self.reload() {
                Ok(()) => in_use = now,
                Err(_) if complained_about.as_ref() == Some(&now) => {}
                Err(problem) => {
                    tracing::error!(%problem, "the new TLS certificate cannot be used: the old one stays in use");
                    complained_about = Some(now);
                }
            }
        }
    }
}

impl Fingerprint {
    fn of(files: &Tls) -> Self {
        let look = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        Self([look(&files.certificate), look(&files.key)])
    }
}

/// The certificate chain in a PEM file.
///
/// # Errors
/// The file cannot be read, is not PEM, or holds no certificate.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let unreadable = |error: Error| pem_problem("certificate", path, &error);
    let chain: Vec<_> = CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
    if chain.is_empty() {
        return Err(Problem::new(format!("{} holds no certificate", path.display()))
            .remedy("it should hold the server's certificate and its chain in PEM form (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(chain)
}

fn server_config(files: &Tls, clients: Option<&Clients>) -> Result<ServerConfig, Problem> {
    let chain = read_certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| pem_problem("private key", &files.key, &error))?;
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let unusable = |error: rustls::Error| unusable_problem(&files.certificate, &files.key, &error);
    let verifier = match clients {
        Some(clients) => clients.verifier(Arc::clone(&provider))?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer =
        aws_lc_rs::Ticketer::new().map_err(|error| Problem::new(format!("cannot make keys for TLS session tickets: {error}")))?;
    Ok(config)
}

const PEM: &str = "it has to be in PEM form, as openssl writes it (-----BEGIN ...)";

fn pem_problem(what: &str, path: &Path, error: &Error) -> Problem {
    let (why, remedy) = match error {
        Error::Io(error) if error.kind() == ErrorKind::NotFound => (error.to_string(), "correct the path, or put the file there"),
        Error::Io(error) => (error.to_string(), "it has to be readable for this user"),
        Error::NoItemsFound => ("there is none in it".to_owned(), PEM),
        Error::MissingSectionEnd { .. } => ("what begins in it has no -----END line".to_owned(), PEM),
        Error::IllegalSectionStart { .. } => ("it has a -----BEGIN line that is none".to_owned(), PEM),
        Error::Base64Decode(_) => ("what stands between -----BEGIN and -----END is not base64".to_owned(), PEM),
        _ => ("it is not in PEM form".to_owned(), PEM),
    };
    Problem::new(format!("cannot read the {what} from {}: {why}", path.display())).remedy(remedy)
}

fn unusable_problem(certificate: &Path, key: &Path, error: &rustls::Error) -> Problem {
    Problem::new(format!("the certificate {} and the key {} cannot be used: {error}", certificate.display(), key.display()))
        .remedy("the key has to belong to the first certificate in the file")
}
