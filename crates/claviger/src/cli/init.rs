//! `claviger init`: a new deployment.

use std::path::{Path, PathBuf};

use clap::Args;
use claviger_service::Initialized;
use zeroize::Zeroizing;

use super::output;
use crate::config::{Config, Seal};
use crate::deployment::{DataDirectory, new_seal_secrets, write_file};
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
    config: PathBuf,
    /// Put the administrator's credentials into this new file, for its owner only, instead of printing them
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    for problem in claviger_hsm::harden_process() {
        output::note(format_args!("warning: {problem}"));
    }
    match &arguments.credentials {
        Some(file) if file.symlink_metadata().is_ok() => {
            return Err(Problem::usage(format!("{} exists already; nothing was done", file.display()))
                .remedy("it may hold the credentials of another deployment: name another file with --credentials"));
        }
        Some(_) => {}
        None => output::demand_reader_of_secrets()?,
    }
    let config = Config::load(&arguments.config)?;
    if config.seal.iter().any(|seal| matches!(seal, Seal::DevelopmentFile(_))) {
        output::note(
            "warning: DEVELOPMENT SEAL: whoever can read its file can read every key. Use [seal.passphrase] for real keys.",
        );
    }
    let data = DataDirectory::new(&config.data);
    data.create()?;
    let seals = new_seal_secrets(&config)?;
    let (file, mut told) = (arguments.credentials.as_deref(), false);
    let made = data.make_deployment(config.node.as_str(), seals, None, |made| {
        tell(made, file)?;
        told = true;
        Ok(())
    });
    let made = made.await;
    // Credentials of a deployment that did not come to be would only stand in the way of the next attempt.
    if let (Err(_), Some(file), true) = (&made, file, told)
        && let Err(error) = std::fs::remove_file(file)
    {
        output::note(format_args!("warning: {} holds credentials of nothing, and cannot be removed: {error}", file.display()));
    }
    made?;
    output::note(format_args!("# Next: claviger serve --config {}", arguments.config.display()));
    Ok(())
}

/// Tells what is told once: into the file, or on standard output.
fn tell(made: &Initialized, file: Option<&Path>) -> Result<(), Problem> {
    let lines = [
        Zeroizing::new(format!("CLAVIGER_ADMIN_ACCESS_KEY_ID={}", made.administrator.access_key)),
        Zeroizing::new(format!("CLAVIGER_ADMIN_SECRET_ACCESS_KEY={}", made.administrator.secret.as_str())),
        Zeroizing::new(format!("CLAVIGER_AUDIT_VKEY={}", made.verifier_key)),
    ];
    let lines: Vec<&str> = lines.iter().map(|line| line.as_str()).collect();
    let Some(file) = file else {
        output::note("# The administrator's credentials and the audit log's verifier key are shown this once.");
        output::note("# Keep the first two secret, and the third with whoever checks the log.");
        return output::secrets(&lines);
    };
    let text = Zeroizing::new(lines.iter().flat_map(|line| [*line, "\n"]).collect::<String>());
    write_file(file, text.as_bytes(), false)?;
    output::note(format_args!("# The administrator's credentials are in {}: keep that file secret.", file.display()));
    output::note("# This is the audit log's verifier key. Give it to whoever checks the log:");
    output::line(&made.verifier_key)
}
