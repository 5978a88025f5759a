//! The one binary of Claviger: its server and its command line.
//!
//! It is the only crate that knows all the others, and it adds no rule of its own to what they do: it reads the configuration,
//! opens store and HSM, puts the doors behind an HTTP server, and talks to such a server from the command line.
//!
//! Start reading at [`cli::run`], which is all that `main` calls. [`server`] is the HTTP server, [`config`] the file it is
//! configured with, [`deployment`] what is on disk, [`seals`] what opens it, [`unseal`] how people open it, [`observability`] its second listener, [`client`] what the administrative commands talk to it with, and
//! [`file_encryption`] the format of `claviger encrypt`, [`key_material`] what `claviger import-key` wraps, [`key_stores`] what
//! stands behind custom key stores.

pub mod attestation;
pub mod backup;
pub mod cli;
pub mod client;
pub mod config;
pub mod deployment;
pub mod doors;
pub mod file_encryption;
pub mod key_material;
pub mod key_stores;
pub mod notices;
pub mod observability;
pub mod private_files;
pub mod problem;
pub mod seals;
pub mod server;
pub mod store_place;
pub mod tokens;
pub mod unseal;
