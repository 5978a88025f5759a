//! The command line: one file for each command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::problem::Problem;

mod access_key;
mod account;
mod administrator;
mod audit;
mod backup;
mod cluster;
mod connection;
mod decrypt;
mod dev;
mod doctor;
mod encrypt;
mod files;
mod files_of_deployment;
mod hsm_host;
mod import_key;
mod init;
mod key;
mod migrate;
mod output;
mod policy;
mod ready;
mod recover_administrator;
mod restore;
mod role;
mod root;
mod seal;
mod serve;
mod shares;
mod status;
mod store;
mod tags;
mod token;
mod token_key;
mod unseal;
mod user;
mod xks;

/// Claviger keeps cryptographic keys and answers the AWS KMS API.
#[derive(Debug, Parser)]
#[command(name = "claviger", version, max_term_width = 100, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a deployment of your own on this machine, for development: one command, nothing to configure
    Dev(dev::Arguments),
    /// Make a new deployment as the configuration says, and print its administrator's credentials once
    Init(init::Arguments),
    /// Serve the deployment that the configuration names
    Serve(serve::Arguments),
    /// Bring a share, or type a passphrase, to a server that is sealed
    Unseal(unseal::Arguments),
    /// Ask a running server how it is
    Status(status::Arguments),
    /// Ask whether the server on this machine may be sent requests, without credentials: for health checks
    Ready(ready::Arguments),
    /// Look for what is not as it should be on this machine, and say what to do
    Doctor(doctor::Arguments),
    /// Accounts: the tenants of the deployment
    #[command(subcommand)]
    Account(account::Command),
    /// Keys: what AWS's own tools cannot say of them
    #[command(subcommand)]
    Key(key::Command),
    /// Users of an account
    #[command(subcommand)]
    User(user::Command),
    /// Access keys of users and account roots
    #[command(subcommand)]
    AccessKey(access_key::Command),
    /// Roles of an account
    #[command(subcommand)]
    Role(role::Command),
    /// Identity policies of users and roles
    #[command(subcommand)]
    Policy(policy::Command),
    /// The audit log: verify it, export it, follow it
    #[command(subcommand)]
    Audit(audit::Command),
    /// Encrypt a file of any size under a key
    Encrypt(encrypt::Arguments),
    /// Decrypt a file that `claviger encrypt` made
    Decrypt(decrypt::Arguments),
    /// Bring your own key: import material from a file into a key, new or not
    ImportKey(import_key::Arguments),
    /// Make an encrypted backup of the store, beside a running server or not. Any seal opens it
    Backup(backup::Arguments),
    /// Restore a deployment out of a backup, or try whether that could be done
    Restore(restore::Arguments),
    /// Copy a whole deployment from SQLite into PostgreSQL, or back, and compare every record. No node may serve it meanwhile
    Migrate(migrate::Arguments),
    /// The root key: rotate it, and see how far that is
    #[command(subcommand)]
    Root(root::Command),
    /// Seals: what wraps the root key at rest, and opens the deployment
    #[command(subcommand)]
    Seal(seal::Command),
    /// Make a new access key for the administrator, who lost the old ones. Needs the store and its seal, while no server runs
    RecoverAdministrator(recover_administrator::Arguments),
    /// Hold your own key: stores by which AWS KMS uses keys that it does not hold (XKS)
    #[command(subcommand)]
    Xks(xks::Command),
    /// The nodes that serve the deployment
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// The store itself
    #[command(subcommand)]
    Store(store::Command),
    /// PKCS#11 tokens: whether they open, what they can do, what is in them
    #[command(subcommand)]
    Token(token::Command),
    /// Hold a token's library for a server. Started by the server, never by people
    #[command(hide = true)]
    HsmHost(hsm_host::Arguments),
}

/// Does what the command line says. The only thing that `main` calls.
pub fn run() -> ExitCode {
    // Exits by itself: 0 after --help and --version, 2 for wrong use.
    let command_line = CommandLine::parse();
    match dispatch(command_line.command) {
        Ok(code) => code,
        Err(problem) => {
            output::complain(&problem);
            problem.exit_code()
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Problem> {
    // Blocking from one end to the other: a vendor's library and an async runtime have no business in one process.
    if let Command::HsmHost(arguments) = &command {
        return hsm_host::run(arguments).map(|()| ExitCode::SUCCESS);
    }
    let server = matches!(command, Command::Serve(_) | Command::Dev(_));
    let mut builder =
        if server { tokio::runtime::Builder::new_multi_thread() } else { tokio::runtime::Builder::new_current_thread() };
    let runtime = builder.enable_all().build().map_err(|error| Problem::new(format!("cannot start: {error}")))?;
    let done = runtime.block_on(async {
        match command {
            Command::Dev(arguments) => dev::run(arguments).await,
            Command::Init(arguments) => init::run(arguments).await,
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Unseal(arguments) => unseal::run(arguments).await,
            Command::Status(arguments) => status::run(arguments).await,
            Command::Ready(arguments) => ready::run(&arguments),
            Command::Doctor(arguments) => return doctor::run(arguments).await,
            Command::Account(command) => account::run(command).await,
            Command::Key(command) => key::run(command).await,
            Command::User(command) => user::run(command).await,
            Command::AccessKey(command) => access_key::run(command).await,
            Command::Role(command) => role::run(command).await,
            Command::Policy(command) => policy::run(command).await,
            Command::Audit(command) => return audit::run(command).await,
            Command::Encrypt(arguments) => encrypt::run(arguments).await,
            Command::Decrypt(arguments) => decrypt::run(arguments).await,
            Command::ImportKey(arguments) => import_key::run(arguments).await,
            Command::Backup(arguments) => backup::run(arguments).await,
            Command::Restore(arguments) => return restore::run(arguments).await,
            Command::Migrate(arguments) => migrate::run(arguments).await,
            Command::Root(command) => root::run(command).await,
            Command::Seal(command) => return seal::run(command).await,
            Command::RecoverAdministrator(arguments) => recover_administrator::run(arguments).await,
            Command::Xks(command) => xks::run(command).await,
            Command::Cluster(command) => cluster::run(command).await,
            Command::Store(command) => return store::run(command).await,
            Command::Token(command) => return token::run(command).await,
            Command::HsmHost(arguments) => hsm_host::run(&arguments),
        }
        .map(|()| ExitCode::SUCCESS)
    });
    // A blocking read of a pipe that never ends must not keep a command from ending.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests;
