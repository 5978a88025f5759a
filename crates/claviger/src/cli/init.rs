//! `claviger init`: a new deployment.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::administrator::Destination;
use super::token_key::TokenKey;
use super::{output, shares};
use crate::config::{Config, NamedSeal, Seal, Seals, Sharing};
use crate::deployment::{DataDirectory, new_seals, off_the_runtime};
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
    config: PathBuf,
    #[command(flatten)]
    destination: Destination,
    /// Make this seal too, or say of a configured one what it needs to be made
    #[arg(long, value_name = "KIND", value_enum)]
    seal: Option<SealKind>,
    /// How many shares open the seal
    #[arg(long, value_name = "K", requires = "shares")]
    threshold: Option<u8>,
    /// How many shares there are, each for another person
    #[arg(long, value_name = "N", requires = "threshold")]
    shares: Option<u8>,
    /// Write each share into a file of its own in this directory, instead of printing it
    #[arg(long, value_name = "DIR")]
    share_directory: Option<PathBuf>,
    #[command(flatten)]
    token_key: TokenKey,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SealKind {
    /// Shares that people keep, some of which open the deployment together
    Shares,
    /// A key in a PKCS#11 token: an HSM
    Pkcs11,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    for problem in claviger_hsm::harden_process() {
        output::note(format_args!("warning: {problem}"));
    }
    arguments.destination.check()?;
    let config = Config::load(&arguments.config)?;
    let seals = arguments.seals(config.seal.clone())?;
    let directory = arguments.share_directory.as_deref();
    if seals.iter().any(|seal| matches!(seal, Seal::Shares(_))) {
        shares::check_destination(directory)?;
    }
    if seals.iter().any(|seal| matches!(seal, Seal::DevelopmentFile(_))) {
        output::note(
            "warning: DEVELOPMENT SEAL: whoever can read its file can read every key. Use [seal.passphrase] for real keys.",
        );
    }
    let data = DataDirectory::of(&config)?;
    data.create()?;
    let (mut told, mut written) = (false, Vec::new());
    let (of, generate) = (seals.clone(), arguments.token_key.generate);
    let new = off_the_runtime(move || new_seals(&of, generate)).await?;
    let made = data.make_deployment(config.node.as_str(), new, None, |made, new| {
        new.iter().try_for_each(|seal| shares::tell(seal, directory, &mut written))?;
        arguments.destination.tell(&made.administrator, &made.verifier_key)?;
        told = true;
        Ok(())
    });
    let made = made.await;
    if made.is_err() && told {
        arguments.destination.withdraw();
    }
    if made.is_err() {
        written.iter().for_each(|file| remove(file));
    }
    made?;
    if seals.named().len() == 1 {
        output::note(
            "# There is one seal. Whoever loses it loses every key: add another one, and keep it elsewhere (claviger seal add).",
        );
    }
    output::note(format_args!("# Next: claviger serve --config {}", arguments.config.display()));
    Ok(())
}

/// Takes back a share of a deployment that did not come to be.
fn remove(file: &Path) {
    if let Err(error) = std::fs::remove_file(file) {
        output::note(format_args!("warning: {} holds a share of nothing, and cannot be removed: {error}", file.display()));
    }
}

impl Arguments {
    /// The configured seals, with what the command line says of them.
    fn seals(&self, configured: Seals) -> Result<Seals, Problem> {
        let sharing = self.threshold.zip(self.shares).map(|(threshold, count)| Sharing { threshold, count });
        match (self.seal, sharing) {
            (Some(SealKind::Shares), sharing) => {
                let known = configured.named().iter().find(|seal| matches!(seal.seal, Seal::Shares(_)));
                let name = known.map_or("shares", |seal| seal.name.as_str()).to_owned();
                let said = known.and_then(|seal| match seal.seal {
                    Seal::Shares(said) => said,
                    _ => None,
                });
                Ok(configured.and(NamedSeal { name, seal: Seal::Shares(sharing.or(said)) }))
            }
            (Some(SealKind::Pkcs11), None) => {
                let known = configured.named().iter().find(|seal| matches!(seal.seal, Seal::Pkcs11(_))).cloned();
                match (self.token_key.seal()?, known) {
                    (Some(token), known) => {
                        let name = known.map_or_else(|| "pkcs11".to_owned(), |seal| seal.name);
                        Ok(configured.and(NamedSeal { name, seal: Seal::Pkcs11(token) }))
                    }
                    (None, Some(_)) => Ok(configured),
                    (None, None) => Err(Problem::usage("which key of which token is not said")
                        .remedy("add --library, --token and --key, or [seal.pkcs11] in the configuration")),
                }
            }
            (Some(SealKind::Pkcs11), Some(_)) | (None, Some(_)) => {
                Err(Problem::usage("--threshold and --shares go with --seal shares"))
            }
            (None, None) => Ok(configured),
        }
    }
}
