//! `claviger user`: users of an account.

use clap::{Args, Subcommand};
use claviger_domain::{AccountId, ServiceName, UserName};
use serde_json::json;

use super::connection::Administration;
use super::tags::{Tag, as_json};
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
        /// The user is this service, such as s3.amazonaws.com: key policies name it as {"Service": ...}, and it may ask on behalf of
        /// others. Only for the deployment's administrator
        #[arg(long, value_name = "NAME")]
        service: Option<ServiceName>,
        /// A tag; once for each
        #[arg(long = "tag", value_name = "KEY=VALUE")]
        tags: Vec<Tag>,
        #[command(flatten)]
        at: InAccount,
    },
    /// Tell of a user, with its tags
    Get {
        /// The user's name
        name: UserName,
        #[command(flatten)]
        at: InAccount,
    },
    /// Add tags to a user, or replace their values
    Tag {
        /// The user's name
        name: UserName,
        /// The tags
        #[arg(required = true, value_name = "KEY=VALUE")]
        tags: Vec<Tag>,
        #[command(flatten)]
        at: InAccount,
    },
    /// Take tags away from a user
    Untag {
        /// The user's name
        name: UserName,
        /// The keys of the tags
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
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
        Command::Create { name, service, tags, at } => {
            let input = json!({ "AccountId": at.account, "UserName": name, "Service": service, "Tags": as_json(&tags) });
            at.administration.perform("CreateUser", input).await
        }
        Command::Get { name, at } => {
            at.administration.perform("GetUser", json!({ "AccountId": at.account, "UserName": name })).await
        }
        Command::Tag { name, tags, at } => {
            let input = json!({ "AccountId": at.account, "UserName": name, "Tags": as_json(&tags) });
            at.administration.perform("TagUser", input).await
        }
        Command::Untag { name, keys, at } => {
            let input = json!({ "AccountId": at.account, "UserName": name, "TagKeys": keys });
            at.administration.perform("UntagUser", input).await
        }
        Command::List { at } => at.administration.perform_list("ListUsers", "Users", json!({ "AccountId": at.account })).await,
        Command::Delete { name, at } => {
            at.administration.perform("DeleteUser", json!({ "AccountId": at.account, "UserName": name })).await
        }
    }
}
