//! `claviger user`: users of an account.

use clap::{Args, Subcommand};
use claviger_domain::{AccountId, UserName};
use serde_json::json;

use super::connection::Administration;
use crate::problem::Problem;

/// In which account.
#[derive(Debug, Args)]
pub(super) struct InAccount {
    /// The account, 12 digits; by default the one of the credentials
    #[arg(long, value_name = "ID")]
    pub(super) account: Option<AccountId>,
    #[command(flatten)]
    pub(super) administration: Administration,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a user. It may do nothing until it has a policy or a key policy names it
    Create {
        /// The user's name
        name: UserName,
        #[command(flatten)]
        at: InAccount,
    },
    /// List the users of an account
    List {
        #[command(flatten)]
        at: InAccount,
    },
    /// Delete a user and its policies. Its access keys have to be deleted first
    Delete {
        /// The user's name
        name: UserName,
        #[command(flatten)]
        at: InAccount,
    },
}

pub(super) async fn run(command: Command) -> Result<(), Problem> {
    match command {
        Command::Create { name, at } => {
            at.administration.perform("CreateUser", json!({ "AccountId": at.account, "UserName": name })).await
        }
        Command::List { at } => at.administration.perform_list("ListUsers", "Users", json!({ "AccountId": at.account })).await,
        Command::Delete { name, at } => {
            at.administration.perform("DeleteUser", json!({ "AccountId": at.account, "UserName": name })).await
        }
    }
}
