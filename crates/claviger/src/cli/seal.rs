//! `claviger seal`: what wraps the root key, asked of and changed in a running server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use claviger_hsm::{NewSeal, SealSecret, Share};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::connection::Administration;
use super::token_key::TokenKey;
use super::unseal::{read_share, type_share};
use super::{output, shares};
use crate::config::{Config, PassphraseSource, Seal, Sharing};
use crate::deployment::{DataDirectory, SharesOfSeal, make_development_seal, off_the_runtime, refusal_problem};
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
        token_key: Box<TokenKey>,
        /// How many of the shares open the seal
        #[arg(long, value_name = "K", requires = "shares")]
        threshold: Option<u8>,
        /// Write each share into a file of its own in this directory, instead of printing it
        #[arg(long, value_name = "DIR", requires = "shares")]
        share_directory: Option<PathBuf>,
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
    /// Tell whether a share is whole, without the others; with the configuration, also whether it is the one that was made
    VerifyShare {
        /// The file with the share; - for standard input [default: it is typed, line by line, and not shown]
        file: Option<PathBuf>,
        /// The configuration file of the server, on its machine
        #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
        config: Option<PathBuf>,
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
    /// So many new shares, each for another person: with --threshold
    #[arg(long, value_name = "N", requires = "threshold")]
    shares: Option<u8>,
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
    /// A share of a seal is in a file; again for each of its shares
    #[arg(long, value_name = "SEAL=FILE")]
    share: Vec<FileOfSeal>,
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
        Command::Add { name, token_key, administration, .. } if token_key.seal()?.is_some() => {
            add_token(name, &token_key, &administration).await?;
        }
        Command::Add { name, secret, threshold, share_directory, administration, .. } => match (secret.shares, threshold) {
            (Some(count), Some(threshold)) => {
                add_shares(name, Sharing { threshold, count }, share_directory.as_deref(), &administration).await?;
            }
            _ => add(name, &secret, &administration).await?,
        },
        Command::VerifyShare { file, config } => verify_share(file.as_deref(), config.as_deref()).await?,
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

async fn add_shares(
    name: String,
    sharing: Sharing,
    directory: Option<&Path>,
    administration: &Administration,
) -> Result<(), Problem> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        shares: Vec<String>,
    }
    shares::check_destination(directory)?;
    let Sharing { threshold, count } = sharing;
    let answer = administration.ask("AddSeal", json!({ "Name": name, "Threshold": threshold, "ShareCount": count })).await?;
    let answer: Answer = serde_json::from_value(answer).map_err(|_| {
        Problem::new("the server's answer has no shares").remedy(format!("remove the seal again: claviger seal remove {name}"))
    })?;
    let made = answer.shares.into_iter().map(Zeroizing::new).collect();
    let remedy = format!("shares that nobody knows open nothing: remove the seal again (claviger seal remove {name})");
    shares::tell(&SharesOfSeal { seal: name, threshold, shares: made }, directory, &mut Vec::new())
        .map_err(|problem| problem.remedy(remedy))
}

/// The token encrypts the new seal's secret here: the server needs the token at its next start, and not now.
async fn add_token(name: String, token_key: &TokenKey, administration: &Administration) -> Result<(), Problem> {
    let (seal, generate) = (token_key.seal()?, token_key.generate);
    let new = off_the_runtime(move || match seal {
        Some(seal) => seal.wrap_new(generate),
        None => Err(Problem::usage("which key of which token is not said")),
    });
    let NewSeal::Token { wrapped, secret } = new.await? else { return Err(Problem::new("the token made another kind of seal")) };
    let input = json!({
        "Name": name,
        "Token": { "Name": wrapped.token, "Key": STANDARD.encode(wrapped.key), "Secret": STANDARD.encode(wrapped.secret) },
        "TokenSecret": STANDARD.encode(&*secret),
    });
    administration.ask("AddSeal", input).await?;
    output::note(format_args!("The seal {name} opens the deployment from now on, with the key in the token {}.", wrapped.token));
    output::note(
        "For the server to use it at its next start, name it in its configuration: [seal.pkcs11] with library, token, key and pin.",
    );
    Ok(())
}

async fn verify_share(file: Option<&Path>, config: Option<&Path>) -> Result<(), Problem> {
    let text = match file {
        Some(file) => read_share(file)?,
        None => type_share()?,
    };
    let share =
        Share::parse(&text).map_err(|error| Problem::new(error.to_string()).remedy("compare it with what was printed"))?;
    let whole =
        format!("share {} of set {} is whole; {} shares of its set open the seal", share.index(), share.set(), share.threshold());
    let Some(config) = config else { return output::line(whole) };
    let store = DataDirectory::of(&Config::load(config)?)?.read_store().await?;
    let deployment = claviger_service::deployment::deployment_id(store.as_ref()).await.map_err(|r| refusal_problem(&r))?;
    let root = claviger_service::deployment::sealed_root(store.as_ref()).await.map_err(|r| refusal_problem(&r))?;
    let seal = root.verify_share(deployment, &share).map_err(|error| Problem::new(error.to_string()))?;
    output::line(format_args!("{whole}, which is the seal {} of this deployment", seal.name))
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
    /// The secrets, to be used here.
    pub(super) fn secrets(&self) -> Result<Vec<(String, SealSecret)>, Problem> {
        let mut secrets = Vec::new();
        for (name, seal) in self.sources() {
            secrets.push((name.clone(), read_secret(&seal, false)?));
        }
        for name in self.shared() {
            let files = self.share.iter().filter(|given| given.seal == *name);
            let read = |given: &FileOfSeal| {
                let text = read_share(&given.file)?;
                Share::parse(&text).map_err(|error| Problem::new(format!("{}: {error}", given.file.display())))
            };
            secrets.push((name.clone(), SealSecret::Shares(files.map(read).collect::<Result<_, Problem>>()?)));
        }
        Ok(secrets)
    }

    /// The seals whose secret is a passphrase or a key file, each with where it is.
    fn sources(&self) -> impl Iterator<Item = (&String, Seal)> {
        let asked = self.ask.iter().map(|seal| (seal, Seal::Passphrase(PassphraseSource::Prompt)));
        let passphrases =
            self.passphrase_file.iter().map(|given| (&given.seal, Seal::Passphrase(PassphraseSource::File(given.file.clone()))));
        let keys = self.key_file.iter().map(|given| (&given.seal, Seal::DevelopmentFile(given.file.clone())));
        asked.chain(passphrases).chain(keys)
    }

    /// The seals of which there are shares.
    fn shared(&self) -> Vec<&String> {
        let mut names: Vec<&String> = self.share.iter().map(|given| &given.seal).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The secrets, as requests name them.
    pub(super) fn read(&self) -> Result<Vec<Value>, Problem> {
        let read = |(name, seal): (&String, Seal)| {
            if matches!(seal, Seal::Passphrase(PassphraseSource::Prompt)) {
                output::note(format_args!("Seal {name}:"));
            }
            Ok(as_input(name, &read_secret(&seal, false)?))
        };
        let mut secrets: Vec<Value> = self.sources().map(read).collect::<Result<_, Problem>>()?;
        for name in self.shared() {
            let files = self.share.iter().filter(|given| given.seal == *name);
            let shares: Vec<String> =
                files.map(|given| read_share(&given.file).map(|text| text.to_string())).collect::<Result<_, Problem>>()?;
            secrets.push(json!({ "Name": name, "Shares": shares }));
        }
        Ok(secrets)
    }
}

/// A seal and its secret, as requests name them.
fn as_input(name: &str, secret: &SealSecret) -> Value {
    match secret {
        SealSecret::Passphrase(text) => json!({ "Name": name, "Passphrase": text.as_str() }),
        SealSecret::File(bytes) => json!({ "Name": name, "KeyFile": STANDARD.encode(bytes) }),
        // Read from files of their own, and never from a configuration.
        SealSecret::Shares(_) | SealSecret::Token(_) => json!({ "Name": name }),
    }
}

/// The seals of an answer.
fn seals(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.get("Seals").and_then(Value::as_array).into_iter().flatten()
}
