//! `claviger access-key`: the credentials of users and account roots.

use clap::{Args, Subcommand};
use claviger_domain::{AccessKeyId, UserName};
use serde_json::json;

use super::user::InAccount;
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Owner {
    /// The user; by default the account's root
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    #[command(flatten)]
    at: InAccount,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The access key id
    id: AccessKeyId,
    #[command(flatten)]
    at: InAccount,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an access key, and print its secret once. Each owner has two at most
    Create(Owner),
    /// List the access keys of an owner, with their last use
    List(Owner),
    /// Stop an access key from being used, until it is activated again
    Deactivate(Named),
    /// Let an access key be used again
    Activate(Named),
    /// Delete an access key for good
    Delete(Named),
}

pub(super) async fn run(command: Command) -> Result<(), Problem> {
    let owner = |owner: &Owner| json!({ "AccountId": owner.at.account, "UserName": owner.user });
    let status = |key: &Named, status: &str| json!({ "AccountId": key.at.account, "AccessKeyId": key.id, "Status": status });
    match command {
        Command::Create(of) => of.at.administration.perform_once("CreateAccessKey", owner(&of)).await,
        Command::List(of) => of.at.administration.perform_list("ListAccessKeys", "AccessKeys", owner(&of)).await,
        Command::Deactivate(key) => key.at.administration.perform("UpdateAccessKey", status(&key, "Inactive")).await,
        Command::Activate(key) => key.at.administration.perform("UpdateAccessKey", status(&key, "Active")).await,
        Command::Delete(key) => {
            let input = json!({ "AccountId": key.at.account, "AccessKeyId": key.id });
            key.at.administration.perform("DeleteAccessKey", input).await
        }
    }
}
