//! The configuration file of `claviger serve`: TOML, every unknown field refused, every error with its file and line.
//!
//! `packaging/claviger.example.toml` explains each setting; a test keeps it and this file in step.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use claviger_domain::Region;
use claviger_service::Settings;
use claviger_service::quotas::Quotas;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::problem::Problem;
use crate::seals::ConfiguredSeals;

mod cluster;
mod external_key_stores;
mod hyok;
mod passphrase;
mod quotas;
mod seals;
mod store;
mod tokens;

pub use cluster::Cluster;
pub use external_key_stores::ExternalKeyStores;
pub use hyok::{ClientCertificates, Hyok};
pub use passphrase::PassphraseSource;
pub use seals::{NamedSeal, Seal, Seals, Sharing};
pub use store::Database;
pub use tokens::{ClusterConfig, ClusterId, Clusters, TokenConfig, Tokens};

/// Everything that a node needs to know before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This node's name: it is part of the audit log's origin, so it must not change.
    pub node: NodeName,
    /// The directory that holds the store, and what else belongs to this node only.
    pub data: PathBuf,
    /// The database that holds the store instead, for several nodes.
    pub store: Option<Database>,
    /// Where the doors listen.
    #[serde(deserialize_with = "addresses")]
    pub listen: Vec<SocketAddr>,
    /// Which Regions are served.
    pub regions: Regions,
    /// Whether keys of the spec SM2 may be made, which AWS offers in China only.
    #[serde(default)]
    pub china_algorithms: bool,
    /// The certificate. Without it, the doors listen on loopback only.
    pub tls: Option<Tls>,
    /// Serve plain HTTP beyond loopback, because something in front ends TLS on the same trusted host or network.
    #[serde(default)]
    pub insecure_plain_http: bool,
    /// What wraps the root key at rest. Any of them opens the store; they are tried in the order of the file.
    pub seal: Seals,
    /// PKCS#11 tokens, by the names that they have here.
    #[serde(default)]
    pub tokens: Tokens,
    /// How nodes that share a store keep in step.
    #[serde(default)]
    pub cluster: Cluster,
    /// Which tokens stand for which AWS CloudHSM cluster.
    #[serde(default)]
    pub clusters: Clusters,
    /// Whose word is believed about what an enclave runs.
    #[serde(default)]
    pub attestation: Attestation,
    /// How the proxies of custom key stores of type EXTERNAL_KEY_STORE are reached.
    #[serde(default)]
    pub external_key_stores: ExternalKeyStores,
    /// Bounds on what a client may use.
    #[serde(default)]
    pub limits: Limits,
    /// What accounts may have, and how often they may ask.
    #[serde(default, deserialize_with = "quotas::read")]
    pub quotas: Quotas,
    /// The listener for health and metrics.
    pub observability: Option<Observability>,
    /// The listener for clouds that use keys which they do not hold.
    pub hyok: Option<Hyok>,
    /// Where and how to log.
    #[serde(default)]
    pub log: Log,
}

/// A node's name: 1 to 63 lower-case letters, digits and dashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName(String);

/// The Regions that are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// Whatever Region a request is signed for.
    Any,
    /// These only.
    Only(Vec<Region>),
}

/// Where the certificate and its key are. Both are read again when they change, and on SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// Where the root certificates are that attestation documents (`Recipient` in requests) may go back to. Without any, every attestation is
/// refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attestation {
    /// PEM files, each with one certificate or several. Read at the start.
    pub roots: Vec<PathBuf>,
}

/// Bounds on what clients may use. Times are whole seconds in the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections open at the same time. Beyond it, new ones wait to be accepted.
    pub connections: u32,
    /// Bytes of a request's head.
    pub header_bytes: u32,
    /// Bytes of a request's body. KMS requests are small: the largest hold a 32 KiB policy or 6 KiB of ciphertext.
    pub body_bytes: u32,
    /// Bytes of bodies that are kept at the same time, over all connections. Small bodies that come in one piece are not counted.
    pub buffered_bytes: u32,
    /// From the first byte of a request's head to its last, and for the TLS handshake.
    #[serde(rename = "header_read_seconds", deserialize_with = "seconds")]
    pub header_read: Duration,
    /// From the end of the head to the answer: reading the body, and doing what it asks.
    #[serde(rename = "request_seconds", deserialize_with = "seconds")]
    pub request: Duration,
    /// How long a connection may stay open without a request.
    #[serde(rename = "idle_seconds", deserialize_with = "seconds")]
    pub idle: Duration,
    /// How long a stopping server waits for requests under way.
    #[serde(rename = "stop_seconds", deserialize_with = "seconds")]
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            header_bytes: 32 * 1024,
            body_bytes: 512 * 1024,
            buffered_bytes: 256 << 20,
            header_read: Duration::from_secs(10),
            request: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            stop: Duration::from_secs(20),
        }
    }
}

/// The listener for `/healthz`, `/readyz` and `/metrics`: plain HTTP, never on the public address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observability {
    /// Its address.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
}

/// Logs go to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Lines for people, or a JSON object a line.
    pub format: LogFormat,
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// Whether each request is logged. The audit log has every request in any case.
    pub requests: bool,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Where clients have the secrets of their credentials.
pub const CREDENTIAL_VARIABLES: [&str; 3] = ["CLAVIGER_ADMIN_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

impl Config {
    /// Reads and checks the file. Relative paths in it are meant from the directory that it is in.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has a field that does not exist or lacks one, or its settings contradict each other.
    pub fn load(file: &Path) -> Result<Self, Problem> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Problem::usage(format!("cannot read the configuration file {}: {error}", file.display()))
                .remedy("name an existing file with --config; packaging/claviger.example.toml is one to start from")
        })?;
        Self::parse(&text, file)
    }

    /// Reads and checks the text of the file.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, Problem> {
        let mut config: Self = toml::from_str(text).map_err(|error| syntax_problem(text, file, &error))?;
        config.anchor_paths(file.parent().unwrap_or(Path::new("")));
        let hidden = config.secret_variables();
        config.seal.hide(&hidden);
        config.check(file)?;
        Ok(config)
    }

    /// What of it the service has to know.
    pub fn settings(&self) -> Settings {
        let regions = match &self.regions {
            Regions::Any => None,
            Regions::Only(list) => Some(list.clone()),
        };
        Settings {
            regions,
            quotas: self.quotas.clone(),
            china_algorithms: self.china_algorithms,
            lease: self.cluster.lease,
            effective: self.cluster.effective,
            addresses: self.listen.iter().map(ToString::to_string).collect(),
            grace_spool: Some(self.data.join(format!("grace-spool-{}", self.node.as_str()))),
            seal_keeper: Arc::new(ConfiguredSeals(self.seal.clone())),
            ..Settings::for_node(self.node.as_str())
        }
    }

    /// The environment variables that hold secrets of it, and those of clients' credentials: nothing that a vendor's library has any business with.
    pub fn secret_variables(&self) -> Vec<String> {
        let pins = self.tokens.values().filter_map(|token| token.pin.variable());
        let passwords = self.clusters.values().filter_map(|cluster| cluster.password.variable());
        let database = self.store.iter().filter_map(|store| store.password.as_ref()?.variable());
        pins.chain(passwords)
            .chain(database)
            .chain(self.seal.variables())
            .chain(CREDENTIAL_VARIABLES)
            .map(str::to_owned)
            .collect()
    }

    /// The files that hold secrets of it.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        let pins = self.tokens.values().filter_map(|token| token.pin.file());
        let passwords = self.clusters.values().filter_map(|cluster| cluster.password.file());
        let database = self.store.iter().filter_map(|store| store.password.as_ref()?.file());
        self.seal.secret_files().chain(pins).chain(passwords).chain(database)
    }

    fn anchor_paths(&mut self, directory: &Path) {
        let anchor = |path: &mut PathBuf| *path = directory.join(&*path);
        anchor(&mut self.data);
        self.store.iter_mut().for_each(|store| store.anchor(anchor));
        if let Some(tls) = &mut self.tls {
            anchor(&mut tls.certificate);
            anchor(&mut tls.key);
        }
        self.attestation.roots.iter_mut().for_each(anchor);
        self.external_key_stores.paths().for_each(anchor);
        if let Some(hyok) = &mut self.hyok {
            hyok.client_ca.iter_mut().for_each(anchor);
            if let Some(tls) = &mut hyok.tls {
                anchor(&mut tls.certificate);
                anchor(&mut tls.key);
            }
        }
        for token in self.tokens.values_mut() {
            // A bare name is looked for where the loader looks.
            if token.library.components().count() > 1 {
                anchor(&mut token.library);
            }
            token.pin.anchor(anchor);
        }
        for cluster in self.clusters.values_mut() {
            cluster.password.anchor(anchor);
            cluster.trust_anchor.iter_mut().for_each(anchor);
        }
        self.seal.paths().for_each(anchor);
    }

    fn check(&self, file: &Path) -> Result<(), Problem> {
        let wrong = |happened: &str| Problem::usage(format!("{}: {happened}", file.display()));
        if self.listen.is_empty() {
            return Err(wrong("`listen` is empty").remedy("name at least one address: listen = [\"127.0.0.1:9911\"]"));
        }
        let beyond_loopback = self.listen.iter().find(|address| !address.ip().is_loopback());
        if let (Some(address), None, false) = (beyond_loopback, &self.tls, self.insecure_plain_http) {
            return Err(wrong(&format!("`listen` has {address}, which is beyond this machine, and there is no [tls]")).remedy(
                "add [tls] with a certificate and key; or, when a proxy beside this server ends TLS, set insecure_plain_http = true",
            ));
        }
        if self.tls.is_some() && self.insecure_plain_http {
            return Err(wrong("both [tls] and insecure_plain_http are set").remedy("remove one of them"));
        }
        if self.observability.as_ref().is_some_and(|o| self.listen.contains(&o.listen)) {
            return Err(wrong("observability.listen is also in `listen`").remedy("give it a port of its own"));
        }
        if let Some(hyok) = &self.hyok {
            let checked = hyok.check(self.tls.as_ref(), self.insecure_plain_http);
            checked.map_err(|(happened, remedy)| wrong(&happened).remedy(remedy))?;
            let elsewhere = self.listen.iter().chain(self.observability.as_ref().map(|o| &o.listen));
            if let Some(taken) = elsewhere.into_iter().find(|address| hyok.listen.contains(address)) {
                return Err(wrong(&format!("hyok.listen has {taken}, where something else listens"))
                    .remedy("give it a port of its own: it serves clouds, and nothing else"));
            }
        }
        if let Some(store) = &self.store {
            store.check().map_err(|happened| wrong(&happened).remedy("correct [store]; docs/cluster.md explains it"))?;
        }
        tokens::check(&self.tokens, &self.clusters)
            .map_err(|happened| wrong(&happened).remedy("correct it; docs/tokens.md explains tokens and clusters"))?;
        self.limits
            .check()
            .map_err(|happened| wrong(&happened).remedy("correct it; packaging/claviger.example.toml has the defaults"))
    }
}

impl Limits {
    fn check(&self) -> Result<(), String> {
        let bounds = [
            ("connections", self.connections, 1, 1_000_000),
            // Hyper keeps buffers of at least 8 KiB; a signed head with a session token is about 2 KiB.
            ("header_bytes", self.header_bytes, 8192, 1 << 20),
            // The largest legal KMS body is a policy of 32 KiB, escaped.
            ("body_bytes", self.body_bytes, 64 * 1024, 64 << 20),
            ("buffered_bytes", self.buffered_bytes, 16 << 20, 2 << 30),
        ];
        match bounds.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
            Some((name, value, least, most)) => Err(format!("limits.{name} is {value}, but may be {least} to {most}")),
            None => Ok(()),
        }
    }
}

impl NodeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for NodeName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits { Ok(Self(text.to_owned())) } else { Err("a node name has 1 to 63 of a-z, 0-9 and -, and no - at its ends") }
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Regions {
    /// Whether requests for this Region are served.
    pub fn serves(&self, region: &Region) -> bool {
        match self {
            Self::Any => true,
            Self::Only(list) => list.contains(region),
        }
    }
}

impl<'de> Deserialize<'de> for Regions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyOrList;

        impl<'de> Visitor<'de> for AnyOrList {
            type Value = Regions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"any\", or a list of Regions such as [\"eu-central-1\"]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Regions, E> {
                if text == "any" { Ok(Regions::Any) } else { Err(E::invalid_value(de::Unexpected::Str(text), &self)) }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Regions, A::Error> {
                let mut regions = Vec::new();
                while let Some(region) = list.next_element()? {
                    regions.push(region);
                }
                if regions.is_empty() { Err(de::Error::invalid_length(0, &self)) } else { Ok(Regions::Only(regions)) }
            }
        }

        deserializer.deserialize_any(AnyOrList)
    }
}

impl LogLevel {
    /// The level's name, as log filters spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Reads an address with its port. Names are not looked up: what a server listens on must not depend on who answers for them.
///
/// # Errors
/// With what would be right.
pub fn read_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not an address with a port, such as 127.0.0.1:9911, 0.0.0.0:9911 or [::1]:9911"))
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    read_address(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| read_address(text).map_err(de::Error::custom)).collect()
}

/// Whole seconds, at least one: zero would mean "never" to some and "at once" to others.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = u32::deserialize(deserializer)?;
    if (1..=86_400).contains(&seconds) {
        Ok(Duration::from_secs(seconds.into()))
    } else {
        Err(de::Error::custom(format!("{seconds} seconds: it has to be 1 to 86400")))
    }
}

fn syntax_problem(text: &str, file: &Path, error: &toml::de::Error) -> Problem {
    let place = match error.span() {
        Some(span) => {
            let line = text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1;
            format!("{}, line {line}", file.display())
        }
        None => file.display().to_string(),
    };
    let message = error.message().trim_end();
    let correct = if message.starts_with("missing field") { "add it" } else { "correct that line" };
    Problem::usage(format!("{place}: {message}"))
        .remedy(format!("{correct}; packaging/claviger.example.toml explains every setting"))
}

#[cfg(test)]
mod tests;
