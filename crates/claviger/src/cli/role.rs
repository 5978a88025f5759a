//! `claviger role`: roles of an account, which those assume whom they trust.

use std::path::PathBuf;

use clap::Subcommand;
use claviger_domain::RoleName;
use serde_json::{Value, json};

use super::output;
use super::policy::read_document;
use super::tags::{Tag, as_json};
use super::user::InAccount;
use crate::problem::Problem;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a role. Its sessions may do nothing until it has a policy or a key policy names it
    Create {
        /// The role's name
        name: RoleName,
        /// The JSON document that says who may assume it; - for standard input
        #[arg(long, value_name = "FILE")]
        trust: PathBuf,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// The longest session that may be asked for: 3600 to 43200 seconds
        #[arg(long, value_name = "SECONDS")]
        max_session_duration: Option<u32>,
        /// A tag; once for each
        #[arg(long = "tag", value_name = "KEY=VALUE")]
        tags: Vec<Tag>,
        #[command(flatten)]
        at: InAccount,
    },
    /// List the roles of an account
    List {
        #[command(flatten)]
        at: InAccount,
    },
    /// Tell of a role, with its trust policy and its tags
    Get {
        /// The role's name
        name: RoleName,
        #[command(flatten)]
        at: InAccount,
    },
    /// Replace the document that says who may assume a role
    Trust {
        /// The role's name
        name: RoleName,
        /// The JSON document; - for standard input
        document: PathBuf,
        #[command(flatten)]
        at: InAccount,
    },
    /// Add tags to a role, or replace their values
    Tag {
        /// The role's name
        name: RoleName,
        /// The tags
        #[arg(required = true, value_name = "KEY=VALUE")]
        tags: Vec<Tag>,
        #[command(flatten)]
        at: InAccount,
    },
    /// Take tags away from a role
    Untag {
        /// The role's name
        name: RoleName,
        /// The keys of the tags
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        at: InAccount,
    },
    /// Delete a role and its policies. Its sessions end with it
    Delete {
        /// The role's name
        name: RoleName,
        #[command(flatten)]
        at: InAccount,
    },
}

pub(super) async fn run(command: Command) -> Result<(), Problem> {
    let named = |at: &InAccount, name: &RoleName| json!({ "AccountId": at.account, "RoleName": name });
    match command {
        Command::Create { name, trust, description, max_session_duration, tags, at } => {
            let input = json!({
                "AccountId": at.account,
                "RoleName": name,
                "AssumeRolePolicyDocument": read_document(&trust)?,
                "Description": description,
                "MaxSessionDuration": max_session_duration,
                "Tags": as_json(&tags),
            });
            at.administration.perform("CreateRole", input).await
        }
        Command::List { at } => at.administration.perform_list("ListRoles", "Roles", json!({ "AccountId": at.account })).await,
        Command::Get { name, at } => {
            let mut answer = at.administration.ask("GetRole", named(&at, &name)).await?;
            let document = answer.as_object_mut().filter(|_| !at.administration.json);
            let document = document.and_then(|members| members.remove("AssumeRolePolicyDocument"));
            output::answer(&answer, at.administration.json)?;
            document.as_ref().and_then(Value::as_str).map_or(Ok(()), |text| output::line(text.trim_end()))
        }
        Command::Trust { name, document, at } => {
            let input = json!({ "AccountId": at.account, "RoleName": name, "PolicyDocument": read_document(&document)? });
            at.administration.perform("UpdateAssumeRolePolicy", input).await
        }
        Command::Tag { name, tags, at } => {
            let input = json!({ "AccountId": at.account, "RoleName": name, "Tags": as_json(&tags) });
            at.administration.perform("TagRole", input).await
        }
        Command::Untag { name, keys, at } => {
            let input = json!({ "AccountId": at.account, "RoleName": name, "TagKeys": keys });
            at.administration.perform("UntagRole", input).await
        }
        Command::Delete { name, at } => at.administration.perform("DeleteRole", named(&at, &name)).await,
    }
}
