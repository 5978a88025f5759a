//! Where the database is, and how it is spoken to.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

use crate::StoreError;

/// How long one host may take to be connected to.
const CONNECT: Duration = Duration::from_secs(3);
/// How long sent bytes may stay unacknowledged before the connection is given up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// Where the database is and how it is spoken to. Source: PostgreSQL 15 documentation, 34.1.1.2 "Connection URIs".
#[derive(Clone)]
pub struct PostgresOptions {
    config: Config,
    encrypted: bool,
    /// Whether the URL says that there is to be none.
    disabled: bool,
    tls: Option<Arc<ClientConfig>>,
    /// The host that could be written to last, by its place in the URL. Shared by all connections of a store.
    preferred: Arc<AtomicUsize>,
    /// Tells a new store that is being made through these options from those of others.
    pub(super) attempt: u32,
    /// How many connections read; one more asks how things stand, and one writes.
    pub connections: usize,
    /// The schema that holds the tables.
    pub schema: String,
}

impl PostgresOptions {
    /// Reads a URL: `postgres://user@host1,host2/database?sslmode=verify-full&target_session_attrs=read-write`. What it says of `sslmode` has to be
    /// `verify-full`, or `disable` where every host is this machine; without it, it is the one or the other.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] in words for who wrote the configuration.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let (url, mode) = take_ssl_mode(url)?;
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            invalid(&format!("it cannot be read: {why}"))
        })?;
        if config.get_password().is_some() {
            return Err(invalid(
                "it contains a password: put that into a file for the server's user, and name the file as `password`",
            ));
        }
        if config.get_user().is_none() || config.get_dbname().is_none() || config.get_hosts().is_empty() {
            return Err(invalid("it has to name a user, a host and a database: postgres://claviger@db.example/claviger"));
        }
        if names(&url, "target_session_attrs") && config.get_target_session_attrs() != TargetSessionAttrs::ReadWrite {
            return Err(invalid(
                "it says target_session_attrs other than read-write: what is read has to be the database that is written to, for a copy may not know yet what was revoked",
            ));
        }
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if !config.get_hostaddrs().is_empty() {
            return Err(invalid("it names addresses beside hosts (hostaddr): give each host by its name or its address alone"));
        }
        let here = config.get_hosts().iter().all(is_this_machine);
        let encrypted = match mode.as_deref() {
            Some("verify-full") => true,
            Some("disable") if here => false,
            None => !here,
            Some("disable") => {
                return Err(invalid(
                    "it says sslmode=disable for a host that is not this machine: anybody between the two could read and change what is said; say verify-full",
                ));
            }
            Some(mode) => {
                return Err(invalid(&format!(
                    "it says sslmode={mode}, which leaves open with whom one speaks: say verify-full (or disable, where every host is this machine)"
                )));
            }
        };
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        config.application_name(concat!("claviger ", env!("CARGO_PKG_VERSION")));
        config.connect_timeout(CONNECT);
        config.tcp_user_timeout(UNACKNOWLEDGED);
        config.keepalives_idle(UNACKNOWLEDGED);
        config.keepalives_interval(Duration::from_secs(1));
        config.keepalives_retries(3);
        Ok(Self {
            config,
            encrypted,
            disabled: mode.as_deref() == Some("disable"),
            tls: None,
            preferred: Arc::default(),
            attempt: attempt(),
            connections: 8,
            schema: "claviger".to_owned(),
        })
    }

    /// Speaks TLS to this machine too, as whoever names certificate authorities wants it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where the URL says `sslmode=disable`.
    pub fn demand_tls(&mut self) -> Result<(), StoreError> {
        if self.disabled {
            return Err(invalid(
                "it says sslmode=disable, and certificate authorities are named (`ca`): leave out the one or the other",
            ));
        }
        self.encrypted = true;
        self.config.ssl_mode(SslMode::Require);
        Ok(())
    }

    /// Whether connections are in TLS, so that [`Self::set_tls`] is needed.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whose certificates are believed.
    pub fn set_tls(&mut self, tls: Arc<ClientConfig>) {
        self.tls = Some(tls);
    }

    /// What the database asks the user for.
    pub fn set_password(&mut self, password: &Zeroizing<Vec<u8>>) {
        self.config.password(password.as_slice());
    }

    /// The hosts and the database, for messages: without what is secret.
    pub fn place(&self) -> String {
        let host = |host: &Host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().map(host).collect();
        format!("{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The next host is tried first from now on: this one takes connections, and nothing else.
    pub(super) fn leave_host(&self, place: usize) {
        let next = (place + 1) % self.config.get_hosts().len().max(1);
        // Unless somebody else has left it already.
        let _ = self.preferred.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn preferred(&self) -> &Arc<AtomicUsize> {
        &self.preferred
    }

    pub(super) fn tls(&self) -> Result<Option<Arc<ClientConfig>>, StoreError> {
        match (self.encrypted, &self.tls) {
            (false, _) => Ok(None),
            (true, Some(tls)) => Ok(Some(Arc::clone(tls))),
            (true, None) => Err(invalid("it asks for TLS, and nobody said whose certificates are believed")),
        }
    }
}

/// A number that nobody else has at the same time, as far as chance goes.
fn attempt() -> u32 {
    let random = RandomState::new().hash_one(std::process::id());
    u32::try_from(random >> 32).unwrap_or_default()
}

fn invalid(what: &str) -> StoreError {
    StoreError::Invalid(format!("the URL of the store: {what}"))
}

/// The URL without its `sslmode`, which is ours to look after, and the mode. PostgreSQL's own default would go on without TLS where there is none.
fn take_ssl_mode(url: &str) -> Result<(String, Option<String>), StoreError> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(invalid("it has to begin with postgres://"));
    }
    let Some((base, query)) = url.split_once('?') else { return Ok((url.to_owned(), None)) };
    let mut mode = None;
    let mut others = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", _)) => return Err(invalid("it names certificates (sslrootcert): name them as `ca` instead")),
            _ => others.push(pair),
        }
    }
    let url = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
    Ok((url, mode))
}

/// Whether the query of the URL says something of this name.
fn names(url: &str, name: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| pair.split_once('=').is_some_and(|(found, _)| found == name))
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        PostgresOptions::parse(url).err().expect("refused").to_string()
    }

    #[test]
    fn who_one_speaks_with_is_never_left_open() {
        assert!(PostgresOptions::parse("postgres://c@db.example/claviger").unwrap().is_encrypted());
        assert!(
            PostgresOptions::parse("postgres://c@db1,db2/claviger?sslmode=verify-full&target_session_attrs=read-write")
                .unwrap()
                .is_encrypted()
        );
        assert!(!PostgresOptions::parse("postgres://c@127.0.0.1:5433,[::1]/claviger").unwrap().is_encrypted());
        assert!(!PostgresOptions::parse("postgres://c@%2Frun%2Fpostgresql/claviger?sslmode=disable").unwrap().is_encrypted());
        assert!(PostgresOptions::parse("postgres://c@localhost,db.example/claviger").unwrap().is_encrypted());
        assert!(refused("postgres://c@db.example/claviger?sslmode=disable").contains("anybody between"));
        assert!(refused("postgres://c@localhost,db.example/claviger?sslmode=disable").contains("anybody between"));
        for mode in ["prefer", "require", "allow", "verify-ca", ""] {
            assert!(refused(&format!("postgres://c@db.example/claviger?sslmode={mode}")).contains("verify-full"), "{mode}");
        }
        assert!(PostgresOptions::parse("postgres://c@db.example/claviger").unwrap().tls().is_err(), "TLS without certificates");
    }

    #[test]
    fn only_what_can_be_written_to_is_read() {
        let read_write = |url: &str| PostgresOptions::parse(url).unwrap().config.get_target_session_attrs();
        assert_eq!(read_write("postgres://c@db1,db2/claviger"), TargetSessionAttrs::ReadWrite);
        assert_eq!(read_write("postgres://c@db1/claviger?target_session_attrs=read-write"), TargetSessionAttrs::ReadWrite);
        for other in ["any", "read-only"] {
            assert!(
                refused(&format!("postgres://c@db1/claviger?target_session_attrs={other}")).contains("read-write"),
                "{other}"
            );
        }
        assert!(refused("postgres://c@localhost/claviger?hostaddr=192.0.2.1").contains("hostaddr"));
    }

    #[test]
    fn who_names_authorities_speaks_tls_to_this_machine_too() {
        let mut options = PostgresOptions::parse("postgres://c@localhost/claviger").unwrap();
        assert!(!options.is_encrypted());
        options.demand_tls().unwrap();
        assert!(options.is_encrypted() && options.config.get_ssl_mode() == SslMode::Require);
        let mut without = PostgresOptions::parse("postgres://c@localhost/claviger?sslmode=disable").unwrap();
        assert!(without.demand_tls().unwrap_err().to_string().contains("sslmode=disable"));
    }

    #[test]
    fn secrets_and_what_is_missing_are_refused() {
        assert!(refused("postgres://c:hunter2@localhost/claviger").contains("password"));
        assert!(!refused("postgres://c:hunter2@localhost/claviger").contains("hunter2"));
        assert!(refused("postgres://localhost/claviger").contains("user"));
        assert!(refused("postgres://c@localhost").contains("database"));
        assert!(refused("mysql://c@localhost/claviger").contains("postgres://"));
        assert!(refused("postgres://c@localhost/claviger?sslrootcert=x").contains("`ca`"));
        assert!(refused("postgres://c@localhost/claviger?colour=red").contains("colour"));
    }

    #[test]
    fn several_hosts_are_one_place() {
        let options = PostgresOptions::parse("postgres://c@db1.example:5432,db2.example:5433/claviger").unwrap();
        assert_eq!(options.place(), "db1.example,db2.example/claviger");
    }
}
