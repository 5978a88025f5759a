//! `claviger root`: the key under which all others lie.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::connection::Administration;
use super::output;
use super::seal::Brought;
use crate::problem::Problem;

/// How often a rotation is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Which versions of the root key are in use, and how far a rotation is
    Status {
        #[command(flatten)]
        administration: Administration,
    },
    /// Make a new root key, wrap it with every seal, and re-wrap all account keys under it. Needs the secret of every seal; the server goes on
    Rotate {
        #[command(flatten)]
        brought: Brought,
        /// Do not wait until all account keys are re-wrapped
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        administration: Administration,
    },
}

pub(super) async fn run(command: Command) -> Result<(), Problem> {
    match command {
        Command::Status { administration } => administration.perform("GetRootStatus", json!({})).await,
        Command::Rotate { brought, no_wait, administration } => {
            let secrets = brought.read()?;
            administration.ask("RotateRoot", json!({ "Secrets": secrets })).await.map_err(|problem| {
                let remedy = "the secrets of seals that the server's configuration does not have are brought with --ask, \
                              --passphrase-file or --share; a seal whose secret cannot be had has to be removed first";
                if problem.what_to_do().is_some() { problem } else { problem.remedy(remedy) }
            })?;
            if no_wait {
                return administration.perform("GetRootStatus", json!({})).await;
            }
            wait(&administration).await
        }
    }
}

async fn wait(administration: &Administration) -> Result<(), Problem> {
    let mut told = None;
    loop {
        let status = administration.ask("GetRootStatus", json!({})).await?;
        let number = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (keys, left) = (number("AccountKeys"), number("AccountKeysLeft"));
        let finished = status.get("OldVersions").and_then(Value::as_array).is_some_and(Vec::is_empty);
        if told.replace(left) != Some(left) {
            output::note(format_args!("{} of {keys} account keys are under the new root key", keys - left.min(keys)));
        }
        if finished {
            output::answer(&status, administration.json)?;
            output::note("The old root key is gone. Copies of the store from before still have theirs.");
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}
