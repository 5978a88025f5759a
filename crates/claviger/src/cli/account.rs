//! `claviger account`: the tenants.

use clap::Subcommand;
use claviger_domain::AccountId;
use serde_json::json;

use super::connection::Administration;
use crate::problem::Problem;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an account, and print its root's credentials once
    Create {
        /// A name for people
        name: String,
        /// The account id, 12 digits; by default one that is free
        #[arg(long, value_name = "ID")]
        id: Option<AccountId>,
        #[command(flatten)]
        administration: Administration,
    },
    /// Whether nodes that cannot reach the store may go on using the account's keys, and for how long
    SetAvailability {
        /// "strict", or "grace" and a time, such as "grace 10m"
        availability: String,
        /// The account; by default that of the credentials
        #[arg(long, value_name = "ID")]
        account: Option<AccountId>,
        #[command(flatten)]
        administration: Administration,
    },
    /// List the accounts
    List {
        #[command(flatten)]
        administration: Administration,
    },
}

pub(super) async fn run(command: Command) -> Result<(), Problem> {
    match command {
        Command::Create { name, id, administration } => {
            administration.perform_once("CreateAccount", json!({ "Name": name, "AccountId": id })).await
        }
        Command::SetAvailability { availability, account, administration } => {
            let input = json!({ "AccountId": account, "Availability": availability });
            administration.perform("SetAccountAvailability", input).await
        }
        Command::List { administration } => administration.perform_list("ListAccounts", "Accounts", json!({})).await,
    }
}
