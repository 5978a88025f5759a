//! The configured seals at work: getting at their secrets, and opening the deployment with the first that opens.

use claviger_hsm::{Hsm, SealSecret, SealedRoot};
use claviger_service::seals::{KeptSecret, SealKeeper, SealSecrets};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::config::{NamedSeal, PassphraseSource, Seal, Seals};
use crate::problem::Problem;

/// A configured seal that does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unopened {
    /// Its name.
    pub name: String,
    /// Why, and what to do.
    pub problem: Problem,
}

/// What came of trying the configured seals.
pub struct Opened {
    /// The module that the seal opened.
    pub hsm: Hsm,
    /// The name of the seal.
    pub by: String,
    /// The seals before it, which did not open. Never to be passed over in silence.
    pub unopened: Vec<Unopened>,
}

/// Tries the seals one after another, until one opens. Blocks; may ask at the terminal.
///
/// # Errors
/// None of them opens. Each is named with its reason.
pub fn open_with_any(deployment: Uuid, root: &SealedRoot, seals: &Seals) -> Result<Opened, Problem> {
    let mut unopened = Vec::new();
    for seal in seals.named() {
        match open_with(deployment, root, seal) {
            Ok(hsm) => return Ok(Opened { hsm, by: seal.name.clone(), unopened }),
            Err(problem) => unopened.push(Unopened { name: seal.name.clone(), problem }),
        }
    }
    Err(none_opens(&unopened))
}

fn open_with(deployment: Uuid, root: &SealedRoot, seal: &NamedSeal) -> Result<Hsm, Problem> {
    let secret = read_secret(&seal.seal, false)?;
    Hsm::open(deployment, root, Some(&seal.name), &secret).map_err(|error| {
        Problem::new(error.to_string()).remedy("check [seal] in the configuration; `claviger doctor` looks at it too")
    })
}

/// One problem of all that were found.
fn none_opens(unopened: &[Unopened]) -> Problem {
    if let [one] = unopened {
        return one.problem.clone();
    }
    let mut text = "none of the configured seals opens the deployment".to_owned();
    for Unopened { name, problem } in unopened {
        text.push_str(&format!("\n  seal {name}: {}", problem.to_string().replace("\n  ", "; ")));
    }
    Problem::new(text).remedy("correct one of them; `claviger doctor` looks at each")
}

/// The secret of a seal, wherever the configuration says that it is. `confirm` asks twice at a prompt.
///
/// # Errors
/// It cannot be had.
pub fn read_secret(seal: &Seal, confirm: bool) -> Result<SealSecret, Problem> {
    match seal {
        Seal::Passphrase(source) => source.read(confirm).map(SealSecret::Passphrase),
        Seal::DevelopmentFile(path) => {
            let failed = |error| {
                Problem::new(format!("cannot read the seal's key file {}: {error}", path.display()))
                    .remedy("without this file the store cannot be opened: restore it, or use another seal")
            };
            Ok(SealSecret::File(Zeroizing::new(std::fs::read(path).map_err(failed)?)))
        }
    }
}

/// Whether a person has to give the secret.
pub fn needs_people(seal: &Seal) -> bool {
    matches!(seal, Seal::Passphrase(PassphraseSource::Prompt))
}

/// The seals of the configuration, for a service that wants to try them again.
#[derive(Debug, Clone)]
pub struct ConfiguredSeals(pub Seals);

impl SealKeeper for ConfiguredSeals {
    fn secrets<'a>(&'a self, _root: &'a SealedRoot) -> SealSecrets<'a> {
        let seals = self.0.clone();
        Box::pin(async move {
            let read = move || seals.named().iter().map(kept_secret).collect::<Vec<_>>();
            tokio::task::spawn_blocking(read).await.unwrap_or_default()
        })
    }
}

fn kept_secret(seal: &NamedSeal) -> KeptSecret {
    let secret = if needs_people(&seal.seal) {
        Err("its passphrase is typed by a person: bring it to try it".to_owned())
    } else {
        read_secret(&seal.seal, false).map_err(|problem| problem.to_string().replace("\n  ", "; "))
    };
    KeptSecret { seal: seal.name.clone(), secret }
}
