//! Which key of which token a new seal is, said on the command line. The PIN never is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use claviger_token::TokenName;

use crate::config::PassphraseSource;
use crate::problem::Problem;
use crate::seals::TokenSeal;

#[derive(Debug, Args)]
pub(super) struct TokenKey {
    /// The vendor's PKCS#11 library, for a seal in a token
    #[arg(long, value_name = "PATH", requires_all = ["token", "key"])]
    library: Option<PathBuf>,
    /// The token's label
    #[arg(long, value_name = "LABEL", requires = "library")]
    token: Option<String>,
    /// The label of the AES or RSA key in the token
    #[arg(long, value_name = "LABEL", requires = "library")]
    key: Option<String>,
    /// The PIN is in this file [default: it is asked for]
    #[arg(long, value_name = "FILE", requires = "library")]
    pin_file: Option<PathBuf>,
    /// The PIN is in this environment variable
    #[arg(long, value_name = "VARIABLE", requires = "library", conflicts_with = "pin_file")]
    pin_environment: Option<String>,
    /// The PIN is in this systemd credential
    #[arg(long, value_name = "NAME", requires = "library", conflicts_with_all = ["pin_file", "pin_environment"])]
    pin_credential: Option<String>,
    /// Make the key in the token if it is not there: AES-256, never to be read or taken out
    #[arg(long)]
    pub(super) generate: bool,
}

impl TokenKey {
    /// The seal that is meant, if one is.
    pub(super) fn seal(&self) -> Result<Option<TokenSeal>, Problem> {
        let (Some(library), Some(label), Some(key)) = (&self.library, &self.token, &self.key) else { return Ok(None) };
        let pin = match (&self.pin_file, &self.pin_environment, &self.pin_credential) {
            (Some(file), _, _) => PassphraseSource::File(file.clone()),
            (_, Some(variable), _) => PassphraseSource::Environment(variable.clone()),
            (_, _, Some(credential)) => PassphraseSource::SystemdCredential(credential.clone()),
            (None, None, None) => PassphraseSource::Prompt,
        };
        let token = TokenName::Label { label: label.clone() };
        Ok(Some(TokenSeal::new(library.clone(), token, key.clone(), pin, BTreeMap::new())))
    }
}
