//! `claviger key`: what AWS's own tools cannot say of a key.

use clap::Subcommand;
use serde_json::json;

use super::connection::Administration;
use super::output;
use crate::problem::Problem;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Whether nodes that cannot reach the store may go on using a key, and for how long. Run it as the key's account
    SetAvailability {
        /// The key's id, ARN, alias or alias ARN
        key: String,
        /// "strict", "grace" and a time, such as "grace 10m", or "account" for what the account says
        availability: String,
        #[command(flatten)]
        administration: Administration,
    },
}

pub(super) async fn run(command: Command) -> Result<(), Problem> {
    match command {
        Command::SetAvailability { key, availability, administration } => {
            let input = json!({ "KeyId": key, "Availability": availability });
            let answer = administration.ask_as(&["AWS"], "SetKeyAvailability", input).await?;
            output::answer(&answer, administration.json)
        }
    }
}
