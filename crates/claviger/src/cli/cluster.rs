//! `claviger cluster`: the nodes that serve one deployment.

use clap::Subcommand;
use serde_json::json;

use super::connection::Administration;
use crate::problem::Problem;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The nodes as the one that is asked has heard of them, who does the background work, and how the database and its copies are
    Status {
        #[command(flatten)]
        administration: Administration,
    },
}

pub(super) async fn run(command: Command) -> Result<(), Problem> {
    match command {
        Command::Status { administration } => administration.perform("GetClusterStatus", json!({})).await,
    }
}
