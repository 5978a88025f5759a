//! `claviger init`: a new deployment.

use std::path::PathBuf;

use clap::Args;

use super::administrator::Destination;
use super::output;
use crate::config::{Config, Seal};
use crate::deployment::{DataDirectory, new_seal_secrets};
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
    config: PathBuf,
    #[command(flatten)]
    destination: Destination,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    for problem in claviger_hsm::harden_process() {
        output::note(format_args!("warning: {problem}"));
    }
    arguments.destination.check()?;
    let config = Config::load(&arguments.config)?;
    if config.seal.iter().any(|seal| matches!(seal, Seal::DevelopmentFile(_))) {
        output::note(
            "warning: DEVELOPMENT SEAL: whoever can read its file can read every key. Use [seal.passphrase] for real keys.",
        );
    }
    let data = DataDirectory::new(&config.data);
    data.create()?;
    let seals = new_seal_secrets(&config)?;
    let mut told = false;
    let made = data.make_deployment(config.node.as_str(), seals, None, |made| {
        arguments.destination.tell(&made.administrator, &made.verifier_key)?;
        told = true;
        Ok(())
    });
    let made = made.await;
    if made.is_err() && told {
        arguments.destination.withdraw();
    }
    made?;
    output::note(format_args!("# Next: claviger serve --config {}", arguments.config.display()));
    Ok(())
}
