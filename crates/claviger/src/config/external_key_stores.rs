//! `[external_key_stores]`: how the proxies of custom key stores of type EXTERNAL_KEY_STORE are reached.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// How proxies are reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExternalKeyStores {
    /// The certificate authorities that proxies' certificates go back to, PEM. Without it, those that this machine trusts.
    pub certificate_authority: Option<PathBuf>,
    /// The certificate that is shown to proxies that ask for one, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Where hosts are that are not where their names say, or not at port 443.
    pub addresses: BTreeMap<String, SocketAddr>,
    /// Patterns of the hosts that tenants may name as proxies, `*.proxies.example.com`; without any, every host but this machine. Those in
    /// `addresses` always may.
    pub hosts: Vec<String>,
    /// How long a proxy may take for one answer, connection included; whole milliseconds in the file.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
}

impl Default for ExternalKeyStores {
    fn default() -> Self {
        Self {
            certificate_authority: None,
            certificate: None,
            key: None,
            addresses: BTreeMap::new(),
            hosts: Vec::new(),
            timeout: claviger_backend_xks::XksSettings::TIMEOUT,
        }
    }
}

impl ExternalKeyStores {
    /// The files that it names.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.certificate_authority, &mut self.certificate, &mut self.key].into_iter().flatten()
    }
}

/// Less than a few milliseconds is no time to connect in; a request may wait twice this long.
fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let milliseconds = u32::deserialize(deserializer)?;
    if (10..=10_000).contains(&milliseconds) {
        Ok(Duration::from_millis(milliseconds.into()))
    } else {
        Err(de::Error::custom(format!("{milliseconds} milliseconds: it has to be 10 to 10000")))
    }
}
