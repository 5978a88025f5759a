//! `claviger xks`: hold-your-own-key stores, by which AWS KMS uses keys that it does not hold; and the glass to break.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use claviger_domain::{AccountId, ExternalKeyId, HyokStoreName};
use serde_json::{Value, json};

use super::connection::Administration;
use super::output;
use super::policy::read_document;
use crate::deployment::write_file;
use crate::problem::Problem;

/// As whom, and for which account.
#[derive(Debug, Args)]
pub(super) struct At {
    /// The account, 12 digits; by default the one of the credentials
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Ask with the administrator's credentials (CLAVIGER_ADMIN_...), and not with the account's own (AWS_...)
    #[arg(long)]
    administrator: bool,
    #[command(flatten)]
    administration: Administration,
}

#[derive(Debug, Args)]
pub(super) struct Store {
    /// The store's name
    store: HyokStoreName,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a store without keys, and print the file with which AWS KMS is told of it
    CreateStore {
        /// The store's name
        store: HyokStoreName,
        /// What stands before /kms/xks/v1 in the path under which AWS KMS finds it: unique in the deployment [default: the store's name]
        #[arg(long, value_name = "PREFIX")]
        prefix: Option<String>,
        #[command(flatten)]
        bounds: Bounds,
        /// The JSON policy that says what its requests may do; - for standard input [default: everything]
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Write what AWS KMS is told into this file, for you alone, and not to standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },
    /// List the stores of an account
    ListStores {
        #[command(flatten)]
        at: At,
    },
    /// Tell of a store, with its policy
    GetStore(Store),
    /// Change the rate of a store, or which client certificates it accepts
    UpdateStore {
        /// The store's name
        store: HyokStoreName,
        #[command(flatten)]
        bounds: Bounds,
        #[command(flatten)]
        at: At,
    },
    /// Delete a store that has no keys
    DeleteStore(Store),
    /// Put a key behind a store. That lets the cloud use it, and needs kms:CreateGrant on the key
    AddKey {
        /// The store's name
        store: HyokStoreName,
        /// What AWS KMS will call the key: the external key id (XksKeyId)
        external_key: ExternalKeyId,
        /// The key: id, ARN, alias or alias ARN
        key: String,
        /// What it may be used for through the store [default: both]
        #[arg(long, value_delimiter = ',', value_parser = ["ENCRYPT", "DECRYPT"])]
        usage: Option<Vec<String>>,
        #[command(flatten)]
        at: At,
    },
    /// Take a key from behind a store
    RemoveKey {
        /// The store's name
        store: HyokStoreName,
        /// The external key id
        external_key: ExternalKeyId,
        #[command(flatten)]
        at: At,
    },
    /// List the keys behind a store
    ListKeys(Store),
    /// Make a second credential, and print the file with which AWS KMS is told of it; the first goes on until --finish
    RotateCredential {
        /// The store's name
        store: HyokStoreName,
        /// Delete the older credential, once AWS KMS uses the newer
        #[arg(long, conflicts_with = "out")]
        finish: bool,
        /// Write what AWS KMS is told into this file, for you alone, and not to standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },
    /// Print the file with which AWS KMS is told of a store's newest credential
    CredentialFile {
        /// The store's name
        store: HyokStoreName,
        /// Write it into this file, for you alone, and not to standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },
    /// Print a store's policy, or replace it
    Policy {
        /// The store's name
        store: HyokStoreName,
        /// The new JSON policy; - for standard input
        document: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },
    /// Stop the use of a key, a store, or every store of a cloud at once; reversibly
    BreakGlass {
        #[command(flatten)]
        scope: Scope,
        /// Allow it again
        #[arg(long)]
        restore: bool,
        /// Change nothing, and say what would fail
        #[arg(long)]
        dry_run: bool,
        /// Why, for those who look into it later
        #[arg(long, value_name = "TEXT", default_value = "not said")]
        reason: String,
        #[command(flatten)]
        at: At,
    },
}

/// What is limited.
#[derive(Debug, Args)]
pub(super) struct Bounds {
    /// How many requests a second are answered; 0 for any number
    #[arg(long, value_name = "NUMBER")]
    requests_per_second: Option<u32>,
    /// The common name that the client's certificate must have, such as cks.kms.eu-central-1.amazonaws.com; once for each. A * stands for
    /// anything between two dots. An empty one: no certificate is needed
    #[arg(long = "client-subject", value_name = "PATTERN")]
    client_subjects: Option<Vec<String>>,
    /// PEM file with the authorities, one of which the client's certificate must go back to; an empty file: those of the listener
    #[arg(long = "client-ca", value_name = "FILE")]
    client_authorities: Option<PathBuf>,
}

/// What is meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Scope {
    /// This store
    #[arg(long, value_name = "NAME")]
    store: Option<HyokStoreName>,
    /// Of the store, this key only: its external key id
    #[arg(long, value_name = "ID", requires = "store")]
    key: Option<ExternalKeyId>,
    /// Every store for this cloud; with --administrator and without --account, of every account
    #[arg(long, value_name = "CLOUD", value_parser = ["aws"], conflicts_with = "store")]
    cloud: Option<String>,
}

pub(super) async fn run(command: Command) -> Result<(), Problem> {
    match command {
        Command::CreateStore { store, prefix, bounds, policy, out, at } => {
            let prefix = prefix.unwrap_or_else(|| store.to_string());
            let policy = policy.as_deref().map(read_document).transpose()?;
            let input = json!({
                "AccountId": at.account,
                "StoreName": store,
                "PathPrefix": prefix,
                "RequestsPerSecond": bounds.requests_per_second.filter(|rate| *rate > 0),
                "ClientSubjects": bounds.subjects().filter(|subjects| !subjects.is_empty()),
                "ClientAuthorities": bounds.authorities()?,
                "Policy": policy,
            });
            at.hand_over("CreateHyokStore", input, out).await
        }
        Command::ListStores { at } => at.list("ListHyokStores", "Stores", json!({ "AccountId": at.account })).await,
        Command::GetStore(of) => {
            let answer = of.at.ask("GetHyokStore", of.named()).await?;
            output::answer(&answer, of.at.administration.json)
        }
        Command::UpdateStore { store, bounds, at } => {
            let input = json!({
                "AccountId": at.account,
                "StoreName": store,
                "RequestsPerSecond": bounds.requests_per_second,
                "ClientSubjects": bounds.subjects(),
                "ClientAuthorities": bounds.authorities()?,
            });
            at.perform("UpdateHyokStore", input).await
        }
        Command::DeleteStore(of) => of.at.perform("DeleteHyokStore", of.named()).await,
        Command::AddKey { store, external_key, key, usage, at } => {
            let input = json!({
                "AccountId": at.account,
                "StoreName": store,
                "ExternalKeyId": external_key,
                "KeyId": key,
                "Usage": usage,
            });
            at.perform("AddHyokKey", input).await
        }
        Command::RemoveKey { store, external_key, at } => {
            let input = json!({ "AccountId": at.account, "StoreName": store, "ExternalKeyId": external_key });
            at.perform("RemoveHyokKey", input).await
        }
        Command::ListKeys(of) => of.at.list("ListHyokKeys", "Keys", of.named()).await,
        Command::RotateCredential { store, finish: true, at, .. } => {
            at.perform("DeleteHyokCredential", json!({ "AccountId": at.account, "StoreName": store })).await
        }
        Command::RotateCredential { store, finish: false, out, at } => {
            at.hand_over("RotateHyokCredential", json!({ "AccountId": at.account, "StoreName": store }), out).await
        }
        Command::CredentialFile { store, out, at } => {
            at.hand_over("GetHyokCredential", json!({ "AccountId": at.account, "StoreName": store }), out).await
        }
        Command::Policy { store, document, at } => policy(&store, document, &at).await,
        Command::BreakGlass { scope, restore, dry_run, reason, at } => break_glass(&scope, restore, dry_run, &reason, &at).await,
    }
}

async fn break_glass(scope: &Scope, restore: bool, dry_run: bool, reason: &str, at: &At) -> Result<(), Problem> {
    let input = json!({
        "AccountId": at.account,
        "StoreName": scope.store,
        "ExternalKeyId": scope.key,
        "Cloud": scope.cloud,
        "Restore": restore,
        "DryRun": dry_run,
        "Reason": reason,
    });
    let answer = at.ask("BreakGlass", input).await?;
    if at.administration.json { output::answer(&answer, true) } else { report(&answer, restore, dry_run) }
}

async fn policy(store: &HyokStoreName, document: Option<PathBuf>, at: &At) -> Result<(), Problem> {
    let named = json!({ "AccountId": at.account, "StoreName": store });
    let Some(document) = document else {
        let answer = at.ask("GetHyokStore", named).await?;
        let text = answer.get("Policy").and_then(Value::as_str).unwrap_or_default();
        return output::line(text.trim_end());
    };
    let input = json!({ "AccountId": at.account, "StoreName": store, "Policy": read_document(&document)? });
    at.perform("PutHyokStorePolicy", input).await
}

/// What was cut off, or would be, for people.
fn report(answer: &Value, restore: bool, dry_run: bool) -> Result<(), Problem> {
    let stores = answer.get("Stores").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    for store in stores {
        let changes = store.get("Changes").and_then(Value::as_bool).unwrap_or(false);
        let what = match (changes, restore, dry_run) {
            (false, ..) => "unchanged",
            (true, false, false) => "cut off",
            (true, false, true) => "would be cut off",
            (true, true, false) => "restored",
            (true, true, true) => "would be restored",
        };
        output::line(format_args!("store {} of account {}: {what}", text(store, "StoreName"), text(store, "AccountId")))?;
        for key in store.get("Keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
            let last = key.get("LastUsedDate").and_then(Value::as_f64).map_or_else(|| "never used".to_owned(), moment);
            let uses = key.get("UsesInLastMinute").and_then(Value::as_u64).unwrap_or(0);
            let (id, arn) = (text(key, "ExternalKeyId"), text(key, "KeyArn"));
            output::line(format_args!("  key {id} ({arn}): {last}, {uses} uses in the last minute"))?;
        }
    }
    match stores {
        [] => output::note("no store is meant by this"),
        _ if dry_run => output::note("this was a rehearsal: nothing was changed"),
        _ => {}
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 fit by far")]
fn moment(seconds: f64) -> String {
    let time = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default();
    format!("last used {time}")
}

impl Bounds {
    /// The certificates of the authorities.
    fn authorities(&self) -> Result<Option<String>, Problem> {
        self.client_authorities.as_deref().map(read_document).transpose()
    }

    /// The patterns; none of them for "no certificate is needed".
    fn subjects(&self) -> Option<Vec<&str>> {
        let given = self.client_subjects.as_ref()?;
        Some(given.iter().map(String::as_str).filter(|subject| !subject.is_empty()).collect())
    }
}

impl Store {
    fn named(&self) -> Value {
        json!({ "AccountId": self.at.account, "StoreName": self.store })
    }
}

impl At {
    /// Stores are an account's own business, and so are the credentials that are tried first.
    async fn ask(&self, operation: &'static str, input: Value) -> Result<Value, Problem> {
        let credentials: &[&str] = if self.administrator { &["CLAVIGER_ADMIN"] } else { &["AWS", "CLAVIGER_ADMIN"] };
        self.administration.ask_as(credentials, operation, input).await
    }

    async fn perform(&self, operation: &'static str, input: Value) -> Result<(), Problem> {
        let answer = self.ask(operation, input).await?;
        match &answer {
            Value::Object(members) if members.is_empty() && !self.administration.json => {
                output::note("done");
                Ok(())
            }
            _ => output::answer(&answer, self.administration.json),
        }
    }

    /// All pages of a list, whose members have this name.
    async fn list(&self, operation: &'static str, name: &str, mut input: Value) -> Result<(), Problem> {
        let mut all = Vec::new();
        loop {
            let mut page = self.ask(operation, input.clone()).await?;
            if let Some(Value::Array(found)) = page.get_mut(name).map(Value::take) {
                all.extend(found);
            }
            let marker = page.get_mut("NextMarker").map(Value::take).unwrap_or_default();
            if marker.is_null() {
                return output::answer(&json!({ name: all }), self.administration.json);
            }
            if let Some(members) = input.as_object_mut() {
                members.insert("Marker".to_owned(), marker);
            }
        }
    }

    /// Asks for an operation whose answer has a credential, and prints or writes it in the form that AWS's console reads. It can be had
    /// again: `claviger xks credential-file`.
    async fn hand_over(&self, operation: &'static str, input: Value, out: Option<PathBuf>) -> Result<(), Problem> {
        match &out {
            None => output::demand_reader_of_secrets()?,
            // Before there is a credential that could not be handed over.
            Some(path) if path.symlink_metadata().is_ok() => {
                return Err(Problem::new(format!("{} is there already; nothing was done", path.display()))
                    .remedy("name a new file with --out, or move this one away"));
            }
            Some(_) => {}
        }
        let answer = self.ask(operation, input).await?;
        let file: serde_json::Map<String, Value> = ["XksProxyUriPath", "XksProxyAuthenticationCredential"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), answer.get(name)?.clone())))
            .collect();
        match out {
            Some(path) => {
                let text = serde_json::to_vec_pretty(&Value::Object(file)).map(zeroize::Zeroizing::new);
                let text = text.map_err(|error| Problem::new(format!("cannot write the credential: {error}")))?;
                write_file(&path, &text, false)?;
                output::note(format_args!("the credential is in {}", path.display()));
                Ok(())
            }
            None => output::secret_answer(&Value::Object(file), true),
        }
    }
}
