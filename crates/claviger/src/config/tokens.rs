//! Tokens, and clusters of them: `[tokens.NAME]` and `[clusters.ID]`. `docs/tokens.md` explains them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use claviger_domain::AccountId;
use claviger_token::TokenName;
use serde::{Deserialize, Deserializer, de};

use super::PassphraseSource;

/// Tokens by their names.
pub type Tokens = BTreeMap<String, TokenConfig>;
/// Clusters by their ids.
pub type Clusters = BTreeMap<ClusterId, ClusterConfig>;

/// A PKCS#11 token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawToken")]
pub struct TokenConfig {
    /// The vendor's library.
    pub library: PathBuf,
    /// Which of the library's tokens.
    pub token: TokenName,
    /// Where the PIN is. It is read whenever the token is opened.
    pub pin: PassphraseSource,
    /// Sessions that are kept open.
    pub sessions: u16,
    /// How long a request may take.
    pub timeout: Duration,
    /// What the library finds in its environment, beside the server's own.
    pub environment: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    library: PathBuf,
    label: Option<String>,
    serial: Option<String>,
    pin: PassphraseSource,
    #[serde(default = "sessions")]
    sessions: u16,
    #[serde(default = "timeout_ms")]
    timeout_ms: u32,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

fn sessions() -> u16 {
    8
}

fn timeout_ms() -> u32 {
    2000
}

/// An id as CreateCustomKeyStore takes it: `cluster-` and 11 to 16 letters and digits from 2 to 7. Source: AWS KMS API Reference, "CreateCustomKeyStore".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterId(String);

/// Tokens that stand for an AWS CloudHSM cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// Their names.
    pub tokens: Vec<String>,
    /// The password of `kmsuser`: who gives it to CreateCustomKeyStore may use the cluster. It is not the PIN.
    pub password: PassphraseSource,
    /// On how many tokens a key has to be, to be created.
    #[serde(default = "one")]
    pub copies_min: usize,
    /// The label of the AES key, the same in all tokens, under which keys go from one token to the others.
    pub wrapping_key: Option<String>,
    /// The accounts that may use the cluster; all of them where there is no such list.
    pub accounts: Option<BTreeSet<AccountId>>,
    /// The certificate (PEM) that CreateCustomKeyStore has to give as the trust anchor. Any, where there is none.
    pub trust_anchor: Option<PathBuf>,
}

fn one() -> usize {
    1
}

impl TryFrom<RawToken> for TokenConfig {
    type Error = String;

    fn try_from(raw: RawToken) -> Result<Self, String> {
        let RawToken { library, label, serial, pin, sessions, timeout_ms, environment } = raw;
        let token = match (label, serial) {
            (Some(label), None) => TokenName::Label { label },
            (None, Some(serial)) => TokenName::Serial { serial },
            _ => return Err("a token is named by exactly one of `label` and `serial`".to_owned()),
        };
        if pin == PassphraseSource::Prompt {
            return Err("a PIN cannot be typed: it is needed whenever the token has to be opened again".to_owned());
        }
        if !(1..=128).contains(&sessions) {
            return Err(format!("sessions is {sessions}, but may be 1 to 128"));
        }
        if !(50..=60_000).contains(&timeout_ms) {
            return Err(format!("timeout_ms is {timeout_ms}, but may be 50 to 60000"));
        }
        Ok(Self { library, token, pin, sessions, timeout: Duration::from_millis(timeout_ms.into()), environment })
    }
}

impl ClusterId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for ClusterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rest = text.strip_prefix("cluster-").unwrap_or_default();
        let fits = (11..=16).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphabetic() || (b'2'..=b'7').contains(&b));
        if fits {
            Ok(Self(text))
        } else {
            Err(de::Error::custom(format!("{text:?} is no cluster's id: `cluster-` and 11 to 16 letters and digits from 2 to 7")))
        }
    }
}

/// Looks for what fits together in no way. The text says what is wrong.
pub(super) fn check(tokens: &Tokens, clusters: &Clusters) -> Result<(), String> {
    for name in tokens.keys() {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(format!("the token's name {name:?} has something else than letters, digits, - and _"));
        }
    }
    for (id, cluster) in clusters {
        let id = id.as_str();
        if let Some(unknown) = cluster.tokens.iter().find(|name| !tokens.contains_key(*name)) {
            return Err(format!("clusters.{id} has the token {unknown:?}, and there is no [tokens.{unknown}]"));
        }
        let different = cluster.tokens.iter().collect::<BTreeSet<_>>().len();
        if different != cluster.tokens.len() {
            return Err(format!("clusters.{id} names a token twice"));
        }
        if !(1..=different).contains(&cluster.copies_min) {
            return Err(format!("clusters.{id}.copies_min is {}, and there are {different} tokens", cluster.copies_min));
        }
        if cluster.copies_min > 1 && cluster.wrapping_key.is_none() {
            return Err(format!(
                "clusters.{id} wants keys on {} tokens, and has no wrapping_key to bring them there",
                cluster.copies_min
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Result<TokenConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_has_a_library_a_name_and_a_pin() {
        let found = token("library = \"l.so\"\nlabel = \"one\"\npin.file = \"pin\"\n").unwrap();
        assert_eq!(found.token, TokenName::Label { label: "one".into() });
        assert_eq!((found.sessions, found.timeout), (8, Duration::from_secs(2)));
        for (wrong, expected) in [
            ("library = \"l.so\"\npin.file = \"pin\"", "exactly one of `label` and `serial`"),
            ("library = \"l.so\"\nlabel = \"a\"\nserial = \"b\"\npin.file = \"pin\"", "exactly one of `label` and `serial`"),
            ("library = \"l.so\"\nlabel = \"a\"\npin.prompt = true", "cannot be typed"),
            ("library = \"l.so\"\nlabel = \"a\"\npin = \"1234\"", "invalid type"),
            ("library = \"l.so\"\nlabel = \"a\"\npin.file = \"p\"\nsessions = 0", "1 to 128"),
            ("library = \"l.so\"\nlabel = \"a\"\npin.file = \"p\"\ntimeout_ms = 1", "50 to 60000"),
        ] {
            let problem = token(wrong).unwrap_err();
            assert!(problem.contains(expected), "{wrong}: {problem}");
        }
    }

    #[test]
    fn a_cluster_has_tokens_that_there_are_and_a_way_between_them() {
        let one = token("library = \"l.so\"\nlabel = \"one\"\npin.file = \"pin\"\n").unwrap();
        let tokens = Tokens::from([("one".to_owned(), one.clone()), ("two".to_owned(), one)]);
        let cluster = |text: &str| -> Clusters {
            toml::from_str(&format!("[cluster-a2b3c4d5e6f]\npassword.file = \"p\"\n{text}")).unwrap()
        };
        assert_eq!(check(&tokens, &cluster("tokens = [\"one\"]")), Ok(()));
        assert_eq!(check(&tokens, &cluster("tokens = [\"one\", \"two\"]\ncopies_min = 2\nwrapping_key = \"w\"")), Ok(()));
        for (wrong, expected) in [
            ("tokens = [\"three\"]", "no [tokens.three]"),
            ("tokens = [\"one\", \"one\"]", "twice"),
            ("tokens = [\"one\"]\ncopies_min = 2", "there are 1 tokens"),
            ("tokens = []", "there are 0 tokens"),
            ("tokens = [\"one\", \"two\"]\ncopies_min = 2", "no wrapping_key"),
        ] {
            let problem = check(&tokens, &cluster(wrong)).unwrap_err();
            assert!(problem.contains(expected), "{wrong}: {problem}");
        }
        assert!(toml::from_str::<Clusters>("[cluster-SHORT]\npassword.file = \"p\"\ntokens = []").is_err());
    }
}
