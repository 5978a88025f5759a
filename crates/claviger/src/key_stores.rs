//! What stands behind custom key stores: the backends that the configuration describes.

use std::path::Path;
use std::sync::Arc;

use claviger_backend_xks::{XksBackend, XksSettings};
use claviger_service::key_stores::KeyStoreBackends;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::client::{client_tls, trusted};
use crate::config::ExternalKeyStores;
use crate::problem::Problem;
use crate::server::tls::read_certificates;
use crate::tokens::TokenClusters;

/// The backends of a deployment with this configuration.
///
/// # Errors
/// A certificate or key cannot be used.
pub fn backends(external: &ExternalKeyStores, clusters: TokenClusters) -> Result<KeyStoreBackends, Problem> {
    let proxies = Arc::new(proxies(external)?);
    if clusters.is_empty() {
        return Ok(KeyStoreBackends { proxies, ..KeyStoreBackends::default() });
    }
    Ok(KeyStoreBackends { proxies, clusters: Arc::new(clusters) })
}

fn proxies(external: &ExternalKeyStores) -> Result<XksBackend, Problem> {
    let roots = trusted(external.certificate_authority.as_deref())?;
    let identity = match (&external.certificate, &external.key) {
        (Some(certificate), Some(key)) => Some((read_certificates(certificate)?, read_key(key)?)),
        (None, None) => None,
        _ => {
            return Err(Problem::usage(
                "external_key_stores names a certificate without its key, or a key without its certificate",
            )
            .remedy("give both, or neither"));
        }
    };
    let settings = XksSettings {
        tls: Arc::new(client_tls(roots, identity)?),
        addresses: external.addresses.clone(),
        hosts: external.hosts.clone(),
        timeout: external.timeout,
    };
    Ok(XksBackend::new(settings))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Problem> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        Problem::new(format!("cannot read the private key in {}: {error}", path.display()))
            .remedy("external_key_stores.key has to be a PEM file that this user can read")
    })
}
