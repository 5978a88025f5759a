//! `claviger policy`: the identity policies of users and roles, in the form of AWS IAM.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};
use claviger_domain::{RoleName, UserName};
use serde_json::{Value, json};

use super::output;
use super::user::InAccount;
use crate::problem::Problem;

/// More than the server takes; a file named by mistake is not sent.
const DOCUMENT_BYTES_MAX: u64 = 256 * 1024;

/// Whose policies.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Holder {
    /// The user
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    /// The role
    #[arg(long, value_name = "NAME")]
    role: Option<RoleName>,
}

impl Holder {
    /// One of two operations: on a user's policies, or on a role's.
    fn either(&self, of_user: &'static str, of_role: &'static str) -> &'static str {
        if self.role.is_some() { of_role } else { of_user }
    }
}

#[derive(Debug, Args)]
pub(super) struct Named {
    #[command(flatten)]
    holder: Holder,
    /// The policy's name
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    at: InAccount,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Attach a policy to a user or a role, or replace the one of that name
    Put {
        /// The JSON document; - for standard input
        document: PathBuf,
        #[command(flatten)]
        policy: Named,
    },
    /// Print a policy's document
    Get(Named),
    /// List the names of a user's or a role's policies
    List {
        #[command(flatten)]
        holder: Holder,
        #[command(flatten)]
        at: InAccount,
    },
    /// Take a policy away from a user or a role
    Delete(Named),
    /// Ask what would be decided, by which statement, and why. Nothing is done
    Simulate(Simulation),
}

/// Who would ask for what.
#[derive(Debug, Args)]
pub(super) struct Simulation {
    /// The action, such as kms:Encrypt
    action: String,
    /// The user who would ask; by default the account's root
    #[arg(long, value_name = "NAME", conflicts_with = "role")]
    user: Option<UserName>,
    /// The role of whose session the request would be
    #[arg(long, value_name = "NAME")]
    role: Option<RoleName>,
    /// The name of that session
    #[arg(long, value_name = "NAME", requires = "role")]
    session: Option<String>,
    /// The key: its id, its ARN or an alias
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The request's encryption context
    #[arg(long = "encryption-context", value_name = "NAME=VALUE")]
    context: Vec<Pair>,
    /// A condition key's value, such as aws:SourceIp=192.0.2.1; several times for several values
    #[arg(long = "condition", value_name = "KEY=VALUE")]
    conditions: Vec<Pair>,
    #[command(flatten)]
    at: InAccount,
}

/// `NAME=VALUE`.
#[derive(Debug, Clone)]
struct Pair(String, String);

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("this is not NAME=VALUE")?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

impl Simulation {
    async fn run(self) -> Result<(), Problem> {
        let context: BTreeMap<String, String> = self.context.into_iter().map(|Pair(name, value)| (name, value)).collect();
        let mut conditions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for Pair(name, value) in self.conditions {
            conditions.entry(name).or_default().push(value);
        }
        let input = json!({
            "AccountId": self.at.account,
            "UserName": self.user,
            "RoleName": self.role,
            "RoleSessionName": self.session,
            "Action": self.action,
            "KeyId": self.key,
            "EncryptionContext": context,
            "Conditions": conditions,
        });
        self.at.administration.perform("SimulatePolicy", input).await
    }
}

pub(super) async fn run(command: Command) -> Result<(), Problem> {
    let named = |policy: &Named| {
        let Holder { user, role } = &policy.holder;
        json!({ "AccountId": policy.at.account, "UserName": user, "RoleName": role, "PolicyName": policy.name })
    };
    match command {
        Command::Put { document, policy } => {
            let mut input = named(&policy);
            if let Value::Object(members) = &mut input {
                members.insert("PolicyDocument".to_owned(), Value::String(read_document(&document)?));
            }
            policy.at.administration.perform(policy.holder.either("PutUserPolicy", "PutRolePolicy"), input).await
        }
        Command::Get(policy) => {
            let answer =
                policy.at.administration.ask(policy.holder.either("GetUserPolicy", "GetRolePolicy"), named(&policy)).await?;
            match answer.get("PolicyDocument").and_then(Value::as_str) {
                Some(document) if !policy.at.administration.json => output::line(document.trim_end()),
                _ => output::answer(&answer, true),
            }
        }
        Command::List { holder, at } => {
            let input = json!({ "AccountId": at.account, "UserName": holder.user, "RoleName": holder.role });
            let operation = holder.either("ListUserPolicies", "ListRolePolicies");
            at.administration.perform_list(operation, "PolicyNames", input).await
        }
        Command::Delete(policy) => {
            policy.at.administration.perform(policy.holder.either("DeleteUserPolicy", "DeleteRolePolicy"), named(&policy)).await
        }
        Command::Simulate(simulation) => simulation.run().await,
    }
}

/// A document from a file or from standard input.
pub(super) fn read_document(path: &Path) -> Result<String, Problem> {
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
