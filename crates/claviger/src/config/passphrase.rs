//! Where a passphrase comes from.

use std::io::{ErrorKind, IsTerminal, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::problem::Problem;

/// Longer than any passphrase, shorter than a file named by mistake.
const BYTES_MAX: usize = 4096;

/// Where a passphrase comes from: exactly one place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawSource")]
pub enum PassphraseSource {
    /// A file; a line end at its end does not count.
    File(PathBuf),
    /// An environment variable, by name.
    Environment(String),
    /// A credential that systemd hands over (`LoadCredential=` or `LoadCredentialEncrypted=`), by name.
    /// Source: systemd.exec(5), `$CREDENTIALS_DIRECTORY`.
    SystemdCredential(String),
    /// The person at the terminal.
    Prompt,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    pub(super) file: Option<PathBuf>,
    pub(super) environment: Option<String>,
    pub(super) systemd_credential: Option<String>,
    pub(super) prompt: Option<bool>,
}

impl TryFrom<RawSource> for PassphraseSource {
    type Error = &'static str;

    fn try_from(raw: RawSource) -> Result<Self, Self::Error> {
        let RawSource { file, environment, systemd_credential, prompt } = raw;
        match (file, environment, systemd_credential, prompt) {
            (Some(file), None, None, None) => Ok(Self::File(file)),
            (None, Some(name), None, None) => Ok(Self::Environment(name)),
            (None, None, Some(name), None) => Ok(Self::SystemdCredential(name)),
            (None, None, None, Some(true)) => Ok(Self::Prompt),
            _ => Err("a passphrase comes from exactly one of `file`, `environment`, `systemd_credential` and `prompt = true`"),
        }
    }
}

impl PassphraseSource {
    /// Changes the path of a file, where it is one.
    pub(super) fn anchor(&mut self, anchor: impl Fn(&mut PathBuf)) {
        if let Self::File(path) = self {
            anchor(path);
        }
    }

    /// The environment variable that it is in, if it is in one. Other programs have no business with it.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Environment(name) => Some(name),
            _ => None,
        }
    }

    /// The file that it is in, if it is in one of the configuration's.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }

    /// Reads a secret that is no passphrase of a seal: a PIN, a password. `what` names it for people, `setting` says where it is configured.
    ///
    /// # Errors
    /// As for [`PassphraseSource::read`]; or it would have to be typed.
    pub fn read_secret(&self, what: &str, setting: &str) -> Result<Zeroizing<String>, Problem> {
        let secret = match self {
            Self::File(path) => read_file(path, &format!("{what} in {}", path.display()))?,
            Self::Environment(name) => Zeroizing::new(std::env::var(name).map_err(|_| {
                Problem::new(format!("the environment variable {name}, which should hold {what}, is not set"))
                    .remedy(format!("set {name}, or change {setting} in the configuration"))
            })?),
            Self::SystemdCredential(name) => read_credential(name)?,
            Self::Prompt => return Err(Problem::new(format!("{what} cannot be typed")).remedy(format!("change {setting}"))),
        };
        if secret.is_empty() {
            return Err(Problem::new(format!("{what} is empty")).remedy(format!("look at {setting} in the configuration")));
        }
        Ok(secret)
    }

    /// Reads the passphrase. `confirm` asks twice at a prompt, for one that is being chosen.
    ///
    /// # Errors
    /// The place cannot be read, is empty, or holds more than a passphrase.
    pub fn read(&self, confirm: bool) -> Result<Zeroizing<String>, Problem> {
        let passphrase = match self {
            Self::File(path) => read_file(path, &format!("the passphrase file {}", path.display()))?,
            Self::Environment(name) => Zeroizing::new(std::env::var(name).map_err(|_| {
                Problem::new(format!("the environment variable {name}, which should hold the passphrase, is not set"))
                    .remedy(format!("set {name}, or change [seal.passphrase] in the configuration"))
            })?),
            Self::SystemdCredential(name) => read_credential(name)?,
            Self::Prompt => prompt(confirm)?,
        };
        if passphrase.is_empty() {
            return Err(Problem::new("the passphrase is empty").remedy("choose a long one, such as ten random words"));
        }
        Ok(passphrase)
    }
}

fn read_credential(name: &str) -> Result<Zeroizing<String>, Problem> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        Problem::new(format!("systemd handed over no credentials, so `{name}` cannot be read"))
            .remedy(format!("start the server as a systemd unit with LoadCredentialEncrypted={name}:..."))
    })?;
    if name.contains('/') {
        return Err(Problem::usage(format!("`{name}` is not the name of a systemd credential")).remedy("give a name without /"));
    }
    read_file(&PathBuf::from(directory).join(name), &format!("the systemd credential {name}"))
}

fn read_file(path: &std::path::Path, what: &str) -> Result<Zeroizing<String>, Problem> {
    let failed = |error: std::io::Error| {
        let remedy = match error.kind() {
            ErrorKind::NotFound => "put it there, or correct [seal] in the configuration: without it the store stays closed",
            ErrorKind::PermissionDenied => "make it readable for the user that runs the server",
            ErrorKind::InvalidData => "a passphrase is text in UTF-8: write it as such",
            _ => "correct [seal] in the configuration: it has to name a file with the passphrase only",
        };
        Problem::new(format!("cannot read {what}: {error}")).remedy(remedy)
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    // The capacity is reserved up front, because a growing string would leave unwiped copies behind.
    let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX + 1));
    file.take(BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() > BYTES_MAX {
        return Err(
            Problem::new(format!("{what} holds more than {BYTES_MAX} bytes")).remedy("it should hold this one secret only")
        );
    }
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(text)
}

fn prompt(confirm: bool) -> Result<Zeroizing<String>, Problem> {
    if !std::io::stdin().is_terminal() {
        return Err(Problem::new("the passphrase should be typed, but there is no terminal")
            .remedy("start from a terminal, or let [seal.passphrase] name a file, environment variable or systemd credential"));
    }
    let ask = |text: &str| {
        rpassword::prompt_password(text)
            .map(Zeroizing::new)
            .map_err(|error| Problem::new(format!("cannot read the passphrase from the terminal: {error}")))
    };
    let first = ask("Passphrase: ")?;
    if confirm && *ask("The same again: ")? != *first {
        return Err(Problem::new("the two passphrases differ").remedy("try again"));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_loses_its_line_end_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        std::fs::write(&path, " correct horse \r\n\n").unwrap();
        assert_eq!(*PassphraseSource::File(path.clone()).read(false).unwrap(), " correct horse ");
        std::fs::write(&path, "\n").unwrap();
        assert!(PassphraseSource::File(path.clone()).read(false).unwrap_err().happened().contains("empty"));
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(PassphraseSource::File(path.clone()).read(false).unwrap_err().happened().contains("more than"));
        std::fs::remove_file(&path).unwrap();
        assert!(PassphraseSource::File(path).read(false).unwrap_err().happened().contains("cannot read"));
    }

    #[test]
    fn a_missing_variable_is_named() {
        let problem = PassphraseSource::Environment("CLAVIGER_NOT_SET_ANYWHERE".into()).read(false).unwrap_err();
        assert!(problem.to_string().contains("CLAVIGER_NOT_SET_ANYWHERE"));
    }
}
