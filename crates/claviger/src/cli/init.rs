//! `claviger init`: a new deployment.

use std::path::PathBuf;

use clap::Args;

use super::output;
use crate::config::{Config, Seal};
use crate::deployment::{DataDirectory, new_seal_secrets};
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
    config: PathBuf,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    for problem in claviger_hsm::harden_process() {
        output::note(format_args!("warning: {problem}"));
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
    data.make_deployment(config.node.as_str(), seals, None, |made| {
        output::note("# The administrator's credentials and the audit log's verifier key are shown this once.");
        output::note("# Keep the first two secret, and the third with whoever checks the log.");
        output::line(format_args!("CLAVIGER_ADMIN_ACCESS_KEY_ID={}", made.administrator.access_key))?;
        output::line(format_args!("CLAVIGER_ADMIN_SECRET_ACCESS_KEY={}", made.administrator.secret.as_str()))?;
        output::line(format_args!("CLAVIGER_AUDIT_VKEY={}", made.verifier_key))
    })
    .await?;
    output::note(format_args!("# Next: claviger serve --config {}", arguments.config.display()));
    Ok(())
}
