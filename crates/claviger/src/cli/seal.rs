//! `claviger seal`: what wraps the root key, asked of and changed in a running server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use claviger_hsm::SealSecret;
use serde_json::{Value, json};

use super::connection::Administration;
use super::output;
use crate::config::{PassphraseSource, Seal};
use crate::deployment::make_development_seal;
use crate::problem::Problem;
use crate::seals::read_secret;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the seals. Any one of them opens the deployment; who loses all of them loses every key
    List {
        #[command(flatten)]
        administration: Administration,
    },
    /// Wrap the root key with one more seal. By default a passphrase, asked for twice
    Add {
        /// The new seal's name: the one that the configuration gives it, or else will be known by
        name: String,
        #[command(flatten)]
        secret: NewSecret,
        #[command(flatten)]
        administration: Administration,
    },
    /// Forget what a seal wrapped: it opens the deployment no more. The last seal is never removed
    Remove {
        /// The seal's name
        name: String,
        #[command(flatten)]
        administration: Administration,
    },
    /// Prove of each seal that it still opens, without restarting anything. Fails unless each one that was asked about is proven
    Verify {
        /// Only these seals [default: all]
        names: Vec<String>,
        #[command(flatten)]
        brought: Brought,
        #[command(flatten)]
        administration: Administration,
    },
}

/// Where the secret of a new seal comes from. It is never an argument, which others on the machine could read.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct NewSecret {
    /// The passphrase is in this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The passphrase is in this environment variable
    #[arg(long, value_name = "VARIABLE")]
    passphrase_environment: Option<String>,
    /// A key file for development, which is made if it is not there: whoever reads it reads every key
    #[arg(long, value_name = "FILE")]
    development_file: Option<PathBuf>,
}

/// Secrets of seals whose secrets the server's configuration does not have.
#[derive(Debug, Args)]
pub(super) struct Brought {
    /// Ask for the passphrase of this seal
    #[arg(long, value_name = "SEAL")]
    ask: Vec<String>,
    /// The passphrase of a seal is in a file
    #[arg(long, value_name = "SEAL=FILE")]
    passphrase_file: Vec<FileOfSeal>,
    /// The key of a seal is in a file
    #[arg(long, value_name = "SEAL=FILE")]
    key_file: Vec<FileOfSeal>,
}

/// `SEAL=FILE`.
#[derive(Debug, Clone)]
struct FileOfSeal {
    seal: String,
    file: PathBuf,
}

impl FromStr for FileOfSeal {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (seal, file) =
            text.split_once('=').filter(|(seal, file)| !seal.is_empty() && !file.is_empty()).ok_or("write SEAL=FILE")?;
        Ok(Self { seal: seal.to_owned(), file: file.into() })
    }
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Problem> {
    match command {
        Command::List { administration } => list(&administration).await?,
        Command::Add { name, secret, administration } => add(name, &secret, &administration).await?,
        Command::Remove { name, administration } => remove(name, &administration).await?,
        Command::Verify { names, brought, administration } => return verify(names, &brought, &administration).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(administration: &Administration) -> Result<(), Problem> {
    let answer = administration.ask("ListSeals", json!({})).await?;
    output::answer(&answer, administration.json)?;
    if seals(&answer).filter(|seal| seal.get("InUse") == Some(&json!(true))).count() == 1 {
        output::note("There is one seal only. Whoever loses it loses every key: add another one, and keep it elsewhere.");
    }
    Ok(())
}

async fn add(name: String, secret: &NewSecret, administration: &Administration) -> Result<(), Problem> {
    let seal = secret.seal();
    if let Seal::DevelopmentFile(path) = &seal {
        make_development_seal(path)?;
    }
    administration.ask("AddSeal", as_input(&name, &read_secret(&seal, true)?)).await?;
    output::note(format_args!("The seal {name} opens the deployment from now on. Keep its secret where the others are not."));
    output::note("If the server shall use it at its start, name it under [seal] in the configuration.");
    Ok(())
}

async fn remove(name: String, administration: &Administration) -> Result<(), Problem> {
    administration.ask("RemoveSeal", json!({ "Name": name })).await?;
    output::note(format_args!("The seal {name} opens the deployment no more. Take it out of the configuration."));
    output::note("It still opens copies of the store from before.");
    Ok(())
}

async fn verify(names: Vec<String>, brought: &Brought, administration: &Administration) -> Result<ExitCode, Problem> {
    let answer = administration.ask("VerifySeals", json!({ "Names": names, "Secrets": brought.read()? })).await?;
    output::answer(&answer, administration.json)?;
    let proven = seals(&answer).all(|seal| seal.get("Outcome") == Some(&json!("opens")));
    Ok(if proven { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl NewSecret {
    fn seal(&self) -> Seal {
        match (&self.passphrase_file, &self.passphrase_environment, &self.development_file) {
            (Some(file), _, _) => Seal::Passphrase(PassphraseSource::File(file.clone())),
            (_, Some(variable), _) => Seal::Passphrase(PassphraseSource::Environment(variable.clone())),
            (_, _, Some(file)) => Seal::DevelopmentFile(file.clone()),
            (None, None, None) => Seal::Passphrase(PassphraseSource::Prompt),
        }
    }
}

impl Brought {
    /// The secrets, as requests name them.
    fn read(&self) -> Result<Vec<Value>, Problem> {
        let asked = self.ask.iter().map(|seal| (seal, Seal::Passphrase(PassphraseSource::Prompt)));
        let passphrases =
            self.passphrase_file.iter().map(|given| (&given.seal, Seal::Passphrase(PassphraseSource::File(given.file.clone()))));
        let keys = self.key_file.iter().map(|given| (&given.seal, Seal::DevelopmentFile(given.file.clone())));
        let read = |(name, seal): (&String, Seal)| {
            if matches!(seal, Seal::Passphrase(PassphraseSource::Prompt)) {
                output::note(format_args!("Seal {name}:"));
            }
            Ok(as_input(name, &read_secret(&seal, false)?))
        };
        asked.chain(passphrases).chain(keys).map(read).collect()
    }
}

/// A seal and its secret, as requests name them.
fn as_input(name: &str, secret: &SealSecret) -> Value {
    match secret {
        SealSecret::Passphrase(text) => json!({ "Name": name, "Passphrase": text.as_str() }),
        SealSecret::File(bytes) => json!({ "Name": name, "KeyFile": STANDARD.encode(bytes) }),
    }
}

/// The seals of an answer.
fn seals(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.get("Seals").and_then(Value::as_array).into_iter().flatten()
}
