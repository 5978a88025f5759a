//! `claviger policy`: the identity policies of users, in the form of AWS IAM.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use claviger_domain::UserName;
use serde_json::{Value, json};

use super::output;
use super::user::InAccount;
use crate::problem::Problem;

/// More than the server takes; a file named by mistake is not sent.
const DOCUMENT_BYTES_MAX: u64 = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The user
    #[arg(long, value_name = "NAME")]
    user: UserName,
    /// The policy's name
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    at: InAccount,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Attach a policy to a user, or replace the one of that name
    Put {
        /// The JSON document; - for standard input
        document: PathBuf,
        #[command(flatten)]
        policy: Named,
    },
    /// Print a policy's document
    Get(Named),
    /// List the names of a user's policies
    List {
        /// The user
        #[arg(long, value_name = "NAME")]
        user: UserName,
        #[command(flatten)]
        at: InAccount,
    },
    /// Take a policy away from a user
    Delete(Named),
}

pub(super) async fn run(command: Command) -> Result<(), Problem> {
    let named = |policy: &Named| json!({ "AccountId": policy.at.account, "UserName": policy.user, "PolicyName": policy.name });
    match command {
        Command::Put { document, policy } => {
            let mut input = named(&policy);
            if let Value::Object(members) = &mut input {
                members.insert("PolicyDocument".to_owned(), Value::String(read_document(&document)?));
            }
            policy.at.administration.perform("PutUserPolicy", input).await
        }
        Command::Get(policy) => {
            let answer = policy.at.administration.ask("GetUserPolicy", named(&policy)).await?;
            match answer.get("PolicyDocument").and_then(Value::as_str) {
                Some(document) if !policy.at.administration.json => output::line(document.trim_end()),
                _ => output::answer(&answer, true),
            }
        }
        Command::List { user, at } => {
            at.administration
                .perform_list("ListUserPolicies", "PolicyNames", json!({ "AccountId": at.account, "UserName": user }))
                .await
        }
        Command::Delete(policy) => policy.at.administration.perform("DeleteUserPolicy", named(&policy)).await,
    }
}

fn read_document(path: &Path) -> Result<String, Problem> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(DOCUMENT_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(DOCUMENT_BYTES_MAX + 1).read_to_string(&mut text))
    };
    read.map_err(|error| Problem::new(format!("cannot read the policy document {}: {error}", path.display())))?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(Problem::new(format!("{} is too long to be a policy document", path.display())));
    }
    Ok(text)
}
