//! The tokens of a configuration, kept open by this process, and the clusters that they form.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claviger_token::{Health, Launcher, PinSource, Settings, Token};

use crate::config::{Config, TokenConfig};
use crate::observability::Degraded;

mod cluster;
mod key_uses;
mod message_counts;
mod pool;
mod pool_reference;

pub use cluster::TokenClusters;
pub use message_counts::MessageCounts;

/// How long a command waits for tokens to open.
const OPENING: Duration = Duration::from_secs(35);

/// Tokens by their names, each with a host process of its own.
#[derive(Debug, Clone, Default)]
pub struct OpenTokens(BTreeMap<String, Arc<Token>>);

impl OpenTokens {
    /// Starts to open all tokens of a configuration. They come up by themselves, and a server does not wait for them.
    pub fn start(config: &Config) -> Self {
        let start = |(name, token): (&String, &TokenConfig)| (name.clone(), Arc::new(start(config, name, token)));
        Self(config.tokens.iter().map(start).collect())
    }

    /// The token of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Token>> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.0.values()
    }

    /// The tokens that do not work now, with the reason. For people.
    pub fn degraded(&self) -> Vec<Degraded> {
        let problem = |token: &Arc<Token>| match token.health() {
            Health::Up(_) => None,
            Health::Starting => Some("it is being opened".to_owned()),
            Health::Down(fault) => Some(fault.detail),
        };
        let degraded = |token| problem(token).map(|problem| Degraded { what: format!("token {}", token.name()), problem });
        self.iter().filter_map(degraded).collect()
    }
}

/// Opens one token of a configuration, and waits until it is open or cannot be opened.
pub async fn open_one(config: &Config, name: &str, token: &TokenConfig) -> (Token, Health) {
    let token = start(config, name, token);
    let health = token.settled(OPENING).await;
    (token, health)
}

fn start(config: &Config, name: &str, token: &TokenConfig) -> Token {
    let settings = Settings {
        name: name.to_owned(),
        library: token.library.clone(),
        token: token.token.clone(),
        sessions: token.sessions,
        environment: token.environment.clone(),
        timeout: token.timeout,
    };
    let (pin, what, setting) = (token.pin.clone(), format!("the PIN of token {name}"), format!("[tokens.{name}] pin"));
    let pin: PinSource = Arc::new(move || {
        let pin = pin.read_secret(&what, &setting).map_err(|problem| problem.happened().to_owned())?;
        Ok(pin.as_bytes().to_vec().into())
    });
    Token::start(settings, launcher(config, name), pin)
}

/// How a host for a token of this name is started: it is this very program, whatever has become of its file since, and sees no secret of the configuration.
pub fn launcher(config: &Config, name: &str) -> Launcher {
    Launcher {
        program: PathBuf::from("/proc/self/exe"),
        arguments: ["hsm-host", "--token", name].into_iter().map(OsString::from).collect(),
        hidden: config.secret_variables(),
    }
}
