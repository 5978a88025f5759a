//! The configured seals at work: getting at their secrets, and opening the deployment with the first that opens.

use claviger_hsm::{Hsm, SealSecret, SealedRoot};
use claviger_service::seals::{KeptSecret, SealKeeper, SealSecrets};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::config::{NamedSeal, PassphraseSource, Seal, Seals};
use crate::problem::Problem;

mod token;

pub use token::TokenSeal;

/// A configured seal that does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unopened {
    /// Its name.
    pub name: String,
    /// Why, and what to do.
    pub problem: Problem,
    /// Where it may open later without a change of the configuration: whose turn it is. Whoever asks the server is told.
    pub waits: Option<String>,
}

impl Unopened {
    /// A seal that waits for somebody.
    pub fn waiting(name: &str, turn: &str) -> Self {
        Self { name: name.to_owned(), problem: Problem::new(format!("it waits: {turn}")), waits: Some(turn.to_owned()) }
    }

    /// A seal whose token does not answer now.
    pub fn away(name: &str, problem: Problem) -> Self {
        Self { name: name.to_owned(), problem, waits: Some(TOKEN_AWAY.to_owned()) }
    }

    /// Why a token does not answer. It names libraries and devices, and is for the operator.
    pub fn why_token_is_away(&self) -> Option<&str> {
        self.waits.as_deref().filter(|waits| *waits == TOKEN_AWAY).map(|_| self.problem.happened())
    }
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
/// None of them opens: each with its reason.
pub fn open_with_any(deployment: Uuid, root: &SealedRoot, seals: &Seals) -> Result<Opened, Vec<Unopened>> {
    try_seals(deployment, root, seals, true)
}

/// The same without asking anybody.
///
/// # Errors
/// As for [`open_with_any`].
pub fn open_without_people(deployment: Uuid, root: &SealedRoot, seals: &Seals) -> Result<Opened, Vec<Unopened>> {
    try_seals(deployment, root, seals, false)
}

fn try_seals(deployment: Uuid, root: &SealedRoot, seals: &Seals, may_ask: bool) -> Result<Opened, Vec<Unopened>> {
    let mut unopened = Vec::new();
    for seal in seals.named() {
        match open_with(deployment, root, seal, may_ask) {
            Ok(hsm) => return Ok(Opened { hsm, by: seal.name.clone(), unopened }),
            Err(failed) => unopened.push(failed),
        }
    }
    Err(unopened)
}

fn open_with(deployment: Uuid, root: &SealedRoot, seal: &NamedSeal, may_ask: bool) -> Result<Hsm, Unopened> {
    let name = &seal.name;
    if root.seals().any(|(known, _)| known == name)
        && let Some(turn) = waits_for_people(seal, may_ask)
    {
        return Err(Unopened::waiting(name, &turn));
    }
    let secret = match (&seal.seal, root.token_wrapped(name)) {
        (Seal::Pkcs11(token), Some(wrapped)) => token.unwrap(wrapped).map_err(|(problem, may_come_back)| {
            if may_come_back { Unopened::away(name, problem) } else { Unopened { name: name.clone(), problem, waits: None } }
        })?,
        _ => read_secret(&seal.seal, false).map_err(|problem| Unopened { name: name.clone(), problem, waits: None })?,
    };
    let opened = Hsm::open(deployment, root, Some(name), &secret).map_err(|error| {
        Problem::new(error.to_string()).remedy("check [seal] in the configuration; `claviger doctor` looks at it too")
    });
    opened.map_err(|problem| Unopened { name: name.clone(), problem, waits: None })
}

/// What a seal waits for whose token does not answer. Why it does not is the operator's business.
const TOKEN_AWAY: &str = "the token has to answer again";

/// Whose turn it is, where a seal opens with what people bring to the server.
fn waits_for_people(seal: &NamedSeal, may_ask: bool) -> Option<String> {
    let terminal = may_ask && std::io::IsTerminal::is_terminal(&std::io::stdin());
    match &seal.seal {
        Seal::Shares(_) => Some("the holders of its shares bring them, one after another, with 'claviger unseal'".to_owned()),
        Seal::Passphrase(PassphraseSource::Prompt) if !terminal => {
            Some(format!("whoever knows its passphrase types it: 'claviger unseal --passphrase --seal {}'", seal.name))
        }
        Seal::Passphrase(_) | Seal::DevelopmentFile(_) | Seal::Pkcs11(_) => None,
    }
}

/// One problem of all that were found.
pub fn none_opens(unopened: &[Unopened]) -> Problem {
    if let [one] = unopened {
        return one.problem.clone();
    }
    let mut text = "none of the configured seals opens the deployment".to_owned();
    for Unopened { name, problem, .. } in unopened {
        text.push_str("\n  seal ");
        text.push_str(name);
        text.push_str(": ");
        text.push_str(&on_one_line(problem));
    }
    Problem::new(text).remedy("correct one of them; `claviger doctor` looks at each")
}

fn on_one_line(problem: &Problem) -> String {
    problem.to_string().replace("\n  ", "; ")
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
        Seal::Pkcs11(_) => Err(Problem::new("the deployment has no seal of this name that a token opens")
            .remedy("add it to the running server: claviger seal add NAME --library PATH --token LABEL --key LABEL")),
        Seal::Shares(_) => {
            Err(Problem::new("the shares are kept by people")
                .remedy("their holders bring them to the server with 'claviger unseal'"))
        }
    }
}

/// The secret of a configured seal of this deployment. Blocks; on a thread for blocking work within a runtime, where a token is asked.
///
/// # Errors
/// It cannot be had.
pub fn secret_of(seal: &NamedSeal, root: &SealedRoot) -> Result<SealSecret, Problem> {
    match (&seal.seal, root.token_wrapped(&seal.name)) {
        (Seal::Pkcs11(token), Some(wrapped)) => token.unwrap(wrapped).map_err(|(problem, _)| problem),
        _ => read_secret(&seal.seal, false),
    }
}

/// Whether people have to give the secret.
pub fn needs_people(seal: &Seal) -> bool {
    matches!(seal, Seal::Passphrase(PassphraseSource::Prompt) | Seal::Shares(_))
}

/// The seals of the configuration, for a service that wants to try them again.
#[derive(Debug, Clone)]
pub struct ConfiguredSeals(pub Seals);

impl SealKeeper for ConfiguredSeals {
    fn secrets<'a>(&'a self, root: &'a SealedRoot) -> SealSecrets<'a> {
        let (seals, root) = (self.0.clone(), root.clone());
        Box::pin(async move {
            let read = move || seals.named().iter().map(|seal| kept_secret(seal, &root)).collect::<Vec<_>>();
            tokio::task::spawn_blocking(read).await.unwrap_or_default()
        })
    }
}

fn kept_secret(seal: &NamedSeal, root: &SealedRoot) -> KeptSecret {
    let secret = if needs_people(&seal.seal) {
        Err("people keep its secret: bring it to try it".to_owned())
    } else {
        secret_of(seal, root).map_err(|problem| on_one_line(&problem))
    };
    KeptSecret { seal: seal.name.clone(), secret }
}
