//! TLS between the generator and the servers: one certificate, made for the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::failure::{Context as _, Failure};

/// A server's certificate and key, in files.
#[derive(Debug, Clone)]
pub(crate) struct ServerFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl ServerFiles {
    /// The two files of the command line.
    pub(crate) fn of(files: &[PathBuf]) -> Option<Self> {
        let [certificate, key] = files else { return None };
        Some(Self { certificate: certificate.clone(), key: key.clone() })
    }

    /// Makes a certificate for `localhost`, and what trusts it.
    pub(crate) fn make(directory: &Path) -> Result<(Self, TlsConnector), Failure> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).context("cannot make a certificate")?;
        let files = Self { certificate: directory.join("certificate.pem"), key: directory.join("key.pem") };
        std::fs::write(&files.certificate, made.cert.pem()).context("cannot write a certificate")?;
        std::fs::write(&files.key, made.signing_key.serialize_pem()).context("cannot write a key")?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).context("cannot trust the certificate")?;
        let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS cannot be used")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok((files, TlsConnector::from(Arc::new(client))))
    }

    /// The server's side, set up as Claviger's.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, Failure> {
        let chain = CertificateDer::pem_file_iter(&self.certificate).context("cannot read the certificate")?;
        let chain = chain.collect::<Result<Vec<_>, _>>().context("cannot read the certificate")?;
        let key = PrivateKeyDer::from_pem_file(&self.key).context("cannot read the key")?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS cannot be used")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("the certificate cannot be used")?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
