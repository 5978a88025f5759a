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
        Command::List { administration } => administration.perform_list("ListAccounts", "Accounts", json!({})).await,
    }
}
