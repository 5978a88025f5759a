//! `[store]`: the database that holds the store, where it is not SQLite in the data directory.

use std::path::PathBuf;

use serde::Deserialize;

use super::PassphraseSource;

/// The database of a deployment of several nodes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Where it is: `postgres://user@host1,host2/database?target_session_attrs=read-write`. Without a password.
    pub url: String,
    /// The certificate authorities that its certificates go back to, PEM. Without it, those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// Where the user's password comes from, if it has one.
    pub password: Option<PassphraseSource>,
    /// How many connections read; one more writes.
    #[serde(default = "connections")]
    pub connections: u16,
    /// The schema that holds the tables.
    #[serde(default = "schema")]
    pub schema: String,
}

fn connections() -> u16 {
    8
}

fn schema() -> String {
    "claviger".to_owned()
}

impl Database {
    /// The files that it names.
    pub(super) fn anchor(&mut self, anchor: impl Fn(&mut PathBuf)) {
        self.ca.iter_mut().for_each(&anchor);
        self.password.iter_mut().for_each(|password| password.anchor(&anchor));
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        claviger_store::PostgresOptions::parse(&self.url).map_err(|error| error.to_string())?;
        if self.connections == 0 {
            return Err("store.connections is 0, and somebody has to read".to_owned());
        }
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=40).contains(&self.schema.len()) || !self.schema.bytes().all(fits) {
            return Err("store.schema has 1 to 40 of a-z, 0-9 and _".to_owned());
        }
        Ok(())
    }
}
