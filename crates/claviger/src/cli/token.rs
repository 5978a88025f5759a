//! `claviger token`: the PKCS#11 tokens of the configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use claviger_domain::AccountId;
use claviger_domain::key::{KeySpec, KeyUsage};
use claviger_token::{Health, KeyKind, Purpose, Token};
use serde_json::json;

use super::connection::Administration;
use super::output;
use crate::config::{Config, TokenConfig};
use crate::problem::Problem;
use crate::tokens::open_one;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Open each token, and say what it is and what it can do
    List(Configured),
    /// Try a token out: make a key in it, use it, and destroy it
    Check {
        #[command(flatten)]
        configured: Configured,
        /// The token; all of them without it
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Let a KMS key stand for a key that is in a cluster's tokens already, in the Region of the request. For the administrator
    AdoptKey {
        /// The key's label in the tokens
        #[arg(long, value_name = "LABEL", required_unless_present = "id", conflicts_with = "id")]
        label: Option<String>,
        /// The key's id in the tokens, in hexadecimal digits
        #[arg(long, value_name = "HEX")]
        id: Option<String>,
        /// A connected custom key store of the type AWS_CLOUDHSM
        #[arg(long, value_name = "ID")]
        store: String,
        /// The account that the store belongs to, and the key will
        #[arg(long, value_name = "ID")]
        account: AccountId,
        /// What the key is
        #[arg(long, value_name = "SPEC", default_value = "SYMMETRIC_DEFAULT")]
        spec: KeySpec,
        /// What the key is for; ENCRYPT_DECRYPT for a symmetric one
        #[arg(long, value_name = "USAGE")]
        usage: Option<KeyUsage>,
        /// What it is there for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        administration: Administration,
    },
    /// The secret and private keys in a token, as it shows them
    Keys {
        #[command(flatten)]
        configured: Configured,
        /// The token
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Configured {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
    config: PathBuf,
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Problem> {
    match command {
        Command::List(configured) => list(&configured.load()?).await,
        Command::Check { configured, name } => check(&configured.load()?, name.as_deref()).await,
        Command::AdoptKey { label, id, store, account, spec, usage, description, administration } => {
            let token_key = match (label, id) {
                (Some(label), _) => format!("label:{label}"),
                (None, id) => format!("id:{}", id.unwrap_or_default()),
            };
            let input = json!({
                "AccountId": account,
                "CustomKeyStoreId": store,
                "TokenKey": token_key,
                "KeySpec": spec,
                "KeyUsage": usage,
                "Description": description,
            });
            administration.perform("AdoptKey", input).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Keys { configured, name } => keys(&configured.load()?, &name).await,
    }
}

impl Configured {
    fn load(&self) -> Result<Config, Problem> {
        let config = Config::load(&self.config)?;
        if config.tokens.is_empty() {
            return Err(Problem::usage(format!("{} has no [tokens.NAME]", self.config.display()))
                .remedy("add one; docs/tokens.md explains how"));
        }
        Ok(config)
    }
}

async fn list(config: &Config) -> Result<ExitCode, Problem> {
    let mut wrong = false;
    for (name, configured) in &config.tokens {
        let (_token, health) = open_one(config, name, configured).await;
        match health {
            Health::Up(facts) => {
                output::line(format_args!("{name}: open"))?;
                output::line(format_args!("  token      {}, serial number {}", facts.label, facts.serial))?;
                output::line(format_args!("  made by    {} {}, firmware {}", facts.manufacturer, facts.model, facts.firmware))?;
                output::line(format_args!("  library    {} ({})", configured.library.display(), facts.library))?;
                output::line(format_args!("  abilities  {}", facts.abilities.join(", ")))?;
                if !facts.quirks.is_empty() {
                    output::line(format_args!("  quirks     {} (docs/tokens.md)", facts.quirks.join(", ")))?;
                }
            }
            other => {
                wrong = true;
                output::line(format_args!("{name}: DOWN\n  {}", why(&other)))?;
            }
        }
    }
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn check(config: &Config, only: Option<&str>) -> Result<ExitCode, Problem> {
    if let Some(name) = only {
        configured(config, name)?;
    }
    let mut wrong = false;
    for (name, token) in config.tokens.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        match try_out(config, name, token).await {
            Ok(form) => {
                output::line(format_args!("ok     {name}: a key was made, encrypted, decrypted and was destroyed; {form}"))?;
            }
            Err(problem) => {
                wrong = true;
                output::line(format_args!("WRONG  {name}: {problem}"))?;
            }
        }
    }
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Makes a key that nobody else knows of, uses it, and takes it away again.
async fn try_out(config: &Config, name: &str, configured: &TokenConfig) -> Result<&'static str, String> {
    let (token, health) = open_one(config, name, configured).await;
    let Health::Up(_) = health else { return Err(why(&health)) };
    let id = uuid::Uuid::new_v4();
    let label = "claviger token check";
    let made = token.generate(KeyKind::Aes256, Purpose::Encrypt, id.as_bytes(), label, false).await.map_err(|f| f.to_string())?;
    let used = use_once(&token, &made.reference).await;
    let destroyed = token.destroy(&made.reference).await.map_err(|fault| format!("the key {id} stays behind: {fault}"));
    used?;
    destroyed?;
    let derived = claviger_token::Reference::parse(&made.reference).is_ok_and(|key| key.form == claviger_token::Form::Derived);
    Ok(if derived { "it derives the keys of messages" } else { "it derives no keys, so that its IVs are counted" })
}

async fn use_once(token: &Token, reference: &[u8]) -> Result<(), String> {
    let plaintext = b"claviger token check";
    let ciphertext = token.encrypt(reference, plaintext, b"check").await.map_err(|fault| fault.to_string())?;
    let decrypted = token.decrypt(reference, &ciphertext, b"check").await.map_err(|fault| fault.to_string())?;
    let facts = token.inspect(reference).await.map_err(|fault| fault.to_string())?;
    if **decrypted != *plaintext {
        return Err("it decrypts to something else than was encrypted".to_owned());
    }
    if !facts.always_sensitive || !facts.never_extractable {
        return Err("it says of a key that was just made that it has not always been sensitive, or could be extracted".to_owned());
    }
    Ok(())
}

async fn keys(config: &Config, name: &str) -> Result<ExitCode, Problem> {
    let (token, health) = open_one(config, name, configured(config, name)?).await;
    let Health::Up(_) = health else { return Err(Problem::new(why(&health))) };
    let keys = token.list().await.map_err(|fault| Problem::new(fault.to_string()))?;
    for key in &keys {
        let id: String = key.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let kept = match (key.always_sensitive, key.never_extractable) {
            (true, true) => "never left the token",
            (true, false) => "may be wrapped",
            (false, _) => "may have been outside",
        };
        output::line(format_args!("{:10}  id {id:34}  label {:40}  {kept}", key.kind, key.label))?;
    }
    if keys.is_empty() {
        output::note("no keys");
    }
    Ok(ExitCode::SUCCESS)
}

fn configured<'a>(config: &'a Config, name: &str) -> Result<&'a TokenConfig, Problem> {
    config.tokens.get(name).ok_or_else(|| {
        let names: Vec<&str> = config.tokens.keys().map(String::as_str).collect();
        Problem::usage(format!("there is no [tokens.{name}]")).remedy(format!("there are: {}", names.join(", ")))
    })
}

fn why(health: &Health) -> String {
    match health {
        Health::Down(fault) => fault.detail.clone(),
        Health::Starting => "it did not open within 35 seconds".to_owned(),
        Health::Up(_) => "it is open".to_owned(),
    }
}
