//! The listener for clouds that use keys which they do not hold: `[hyok]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::Tls;

/// The listener for AWS KMS and its like: it serves nothing but hold-your-own-key stores.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hyok {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Its certificate; that of the main listeners when absent.
    pub tls: Option<Tls>,
    /// PEM files with the certificate authorities that client certificates may go back to. Without any, no client certificate is asked for.
    #[serde(default)]
    pub client_ca: Vec<PathBuf>,
    /// Patterns of common names, one of which a client certificate must have; without any, that of the authorities is enough.
    #[serde(default)]
    pub client_subjects: Vec<String>,
    /// Whether a client without a certificate is served.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
}

/// Whether a client without a certificate is served, where client certificates are asked for at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// The handshake ends.
    #[default]
    Required,
    /// It is; stores that ask for a subject refuse its requests.
    Optional,
    /// It is, and so is a client with a certificate of whoever: each store says which authorities it believes.
    #[serde(rename = "by-store")]
    ByStore,
}

impl Hyok {
    /// What contradicts itself, and what to do.
    pub(super) fn check(&self, main_tls: Option<&Tls>, plain: bool) -> Result<(), (String, &'static str)> {
        if self.listen.is_empty() {
            return Err(("`hyok.listen` is empty".to_owned(), "name at least one address: listen = [\"0.0.0.0:9443\"]"));
        }
        let tls = self.tls.as_ref().or(main_tls);
        let beyond_loopback = self.listen.iter().find(|address| !address.ip().is_loopback());
        if let (Some(address), None, false) = (beyond_loopback, tls, plain) {
            return Err((
                format!("`hyok.listen` has {address}, which is beyond this machine, and there is no [hyok.tls] and no [tls]"),
                "add [hyok.tls] with a certificate and key: AWS KMS speaks TLS only",
            ));
        }
        if self.client_certificates == ClientCertificates::ByStore && !self.client_ca.is_empty() {
            return Err((
                "`hyok.client_certificates` is \"by-store\", and `hyok.client_ca` is set".to_owned(),
                "remove one of them: either the listener says whose certificates it takes, or each store does",
            ));
        }
        if tls.is_none() && !self.client_ca.is_empty() {
            return Err((
                "`hyok.client_ca` is set, and there is no [hyok.tls] and no [tls]".to_owned(),
                "client certificates need TLS",
            ));
        }
        if self.client_certificates == ClientCertificates::ByStore && tls.is_none() {
            return Err((
                "`hyok.client_certificates` is \"by-store\", and there is no [hyok.tls] and no [tls]".to_owned(),
                "client certificates need TLS",
            ));
        }
        if self.client_ca.is_empty() && !self.client_subjects.is_empty() {
            return Err((
                "`hyok.client_subjects` is set, and `hyok.client_ca` is not".to_owned(),
                "name the authorities that the certificates go back to: a subject alone proves nothing",
            ));
        }
        Ok(())
    }
}
