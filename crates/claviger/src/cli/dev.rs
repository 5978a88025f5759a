//! `claviger dev`: a deployment for development, with nothing to configure.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use claviger_domain::AccountId;
use claviger_hsm::{NewSeal, SealSecret};
use claviger_service::{Initialized, Settings};
use zeroize::Zeroizing;

use super::output;
use super::serve::{HyokListeners, Serving};
use crate::config::{ExternalKeyStores, Limits, Log, LogLevel, Seals, read_address};
use crate::deployment::{DataDirectory, make_development_seal, write_file};
use crate::key_stores;
use crate::observability::{Metrics, start_logging};
use crate::problem::Problem;
use crate::server::bind;
use crate::tokens::{OpenTokens, TokenClusters};

const NODE: &str = "dev";
/// The account id that AWS's own examples use.
const ACCOUNT: u64 = 123_456_789_012;
const REGION: &str = "us-east-1";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The directory for the store, its seal and dev.env; made on first run
    #[arg(long, value_name = "DIR", default_value = ".dev")]
    data: PathBuf,
    /// Where to listen: on loopback only, because this is plain HTTP
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = read_address, default_value = "127.0.0.1:9911")]
    listen: SocketAddr,
    /// Serve /healthz, /readyz and /metrics there too: on loopback only
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = read_address)]
    observability: Option<SocketAddr>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    let hygiene = claviger_hsm::harden_process();
    start_logging(&Log { level: LogLevel::Warn, ..Log::default() })?;
    hygiene.iter().for_each(|problem| tracing::warn!(%problem, "this process is not as protected as it should be"));
    for address in [arguments.listen].iter().chain(&arguments.observability) {
        refuse_beyond_loopback(*address)?;
    }
    let listeners = bind(&[arguments.listen]).await.map_err(|problem| match problem.what_to_do() {
        Some(_) => Problem::new(problem.happened())
            .remedy("another server listens there: stop it, or choose another with --listen 127.0.0.1:PORT"),
        None => problem,
    })?;
    let observability = match arguments.observability {
        Some(address) => bind(&[address]).await?,
        None => Vec::new(),
    };
    let address = listeners.first().and_then(|listener| listener.local_addr().ok()).unwrap_or(arguments.listen);

    let data = DataDirectory::new(&arguments.data);
    let seal = data.path().join("seal.key");
    let environment = data.path().join("dev.env");
    if !data.has_deployment().await? {
        data.create()?;
        make_development_seal(&seal)?;
        make(&data, &seal, &environment, address).await?;
    }
    if !seal.exists() {
        return Err(Problem::new(format!(
            "a deployment is in {}, but its seal {} is not",
            data.path().display(),
            seal.display()
        ))
        .remedy("restore that file; or, if the keys do not matter, remove the whole directory and start again"));
    }
    let seals = Seals::development_file(seal);
    crate::private_files::check(&data, seals.secret_files())?;
    let metrics = Metrics::install()?;
    let key_stores = key_stores::backends(&ExternalKeyStores::default(), TokenClusters::default())?;
    let settings = Settings { key_stores, ..Settings::for_node(NODE) };
    let start = data.start(settings, &seals).await?;
    let credentials = Credentials::read(&environment)?;
    write_file(&environment, credentials.environment(address).as_bytes(), true)?;

    greet(&environment, address)?;
    let serving = Serving {
        start,
        data,
        node: NODE.to_owned(),
        tokens: OpenTokens::default(),
        listeners,
        tls: None,
        hyok: HyokListeners::Main,
        limits: Limits::default(),
        observability,
        metrics,
        log_requests: false,
    };
    serving.until_stopped().await
}

fn refuse_beyond_loopback(address: SocketAddr) -> Result<(), Problem> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Problem::usage(format!("`claviger dev` listens on this machine only, and {address} can be reached from others"))
        .remedy("listen on 127.0.0.1, or set up a real server: claviger init and claviger serve, with TLS"))
}

async fn make(data: &DataDirectory, seal: &Path, environment: &Path, address: SocketAddr) -> Result<(), Problem> {
    let account = AccountId::from_number(ACCOUNT).ok_or_else(|| Problem::new("the development account's id is wrong"))?;
    let secret = std::fs::read(seal).map(Zeroizing::new).map_err(|error| {
        Problem::new(format!("cannot read {}: {error}", seal.display())).remedy("remove the directory to start anew")
    })?;
    let seals = vec![("development-file".to_owned(), NewSeal::Secret(SealSecret::File(secret)))];
    data.make_deployment(NODE, seals, Some((account, "development")), |made, _| {
        let credentials = Credentials::of(made)?;
        write_file(environment, credentials.environment(address).as_bytes(), true)
    })
    .await
}

/// Says what there is, and the three lines to paste.
fn greet(environment: &Path, address: SocketAddr) -> Result<(), Problem> {
    output::note(format_args!("Claviger serves AWS KMS on http://{address} for account {ACCOUNT}, any Region."));
    output::note(format_args!("Its keys can stand behind http://{address}/PREFIX/kms/xks/v1 (XKS): see claviger xks."));
    output::note("DEVELOPMENT ONLY: the keys' seal is a plain file, and the wire is not encrypted.");
    output::note("Paste into another terminal:\n");
    let environment = std::path::absolute(environment).unwrap_or_else(|_| environment.to_owned());
    output::line(format_args!("source {}", shell_word(&environment)))?;
    output::line("key=$(aws kms create-key --query KeyMetadata.KeyId --output text)")?;
    output::line("aws kms encrypt --key-id $key --plaintext fileb://<(printf hello) --query CiphertextBlob --output text")?;
    output::note("\nStop with Ctrl-C.");
    Ok(())
}

/// A path as shells read it as one word.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%,=".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// What dev.env holds besides addresses.
struct Credentials {
    access_key: String,
    secret: Zeroizing<String>,
    administrator_access_key: String,
    administrator_secret: Zeroizing<String>,
}

impl Credentials {
    fn of(made: &Initialized) -> Result<Self, Problem> {
        let account = made.first_account.as_ref().ok_or_else(|| Problem::new("the deployment was made without an account"))?;
        Ok(Self {
            access_key: account.access_key.to_string(),
            secret: account.secret.clone(),
            administrator_access_key: made.administrator.access_key.to_string(),
            administrator_secret: made.administrator.secret.clone(),
        })
    }

    fn read(environment: &Path) -> Result<Self, Problem> {
        let lost = || {
            Problem::new(format!("the store is there, but not all of its credentials are in {}", environment.display()))
                .remedy("restore that file; or, if the keys do not matter, remove the whole directory and start again")
        };
        let text = std::fs::read_to_string(environment).map(Zeroizing::new).map_err(|_| lost())?;
        let value = |name: &str| {
            let prefix = format!("export {name}=");
            text.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).ok_or_else(lost)
        };
        Ok(Self {
            access_key: value("AWS_ACCESS_KEY_ID")?,
            secret: Zeroizing::new(value("AWS_SECRET_ACCESS_KEY")?),
            administrator_access_key: value("CLAVIGER_ADMIN_ACCESS_KEY_ID")?,
            administrator_secret: Zeroizing::new(value("CLAVIGER_ADMIN_SECRET_ACCESS_KEY")?),
        })
    }

    fn environment(&self, address: SocketAddr) -> Zeroizing<String> {
        let endpoint = format!("http://{address}");
        let lines = [
            ("AWS_ENDPOINT_URL_KMS", endpoint.as_str()),
            ("AWS_ENDPOINT_URL_STS", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", &self.access_key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
            ("AWS_REGION", REGION),
            // Older AWS programs know only this one.
            ("AWS_DEFAULT_REGION", REGION),
            ("CLAVIGER_ENDPOINT", endpoint.as_str()),
            ("CLAVIGER_ADMIN_ACCESS_KEY_ID", &self.administrator_access_key),
            ("CLAVIGER_ADMIN_SECRET_ACCESS_KEY", &self.administrator_secret),
        ];
        let mut text = Zeroizing::new(String::with_capacity(1024));
        text.push_str("# Written by `claviger dev`. For development only.\n");
        // What is left from other work would be sent along with these credentials, or win over them.
        text.push_str("unset AWS_SESSION_TOKEN AWS_PROFILE\n");
        for (name, value) in lines {
            text.push_str("export ");
            text.push_str(name);
            text.push('=');
            text.push_str(value);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_shells() {
        for (path, word) in
            [("/a/.dev/dev.env", "/a/.dev/dev.env"), ("/a b", "'/a b'"), ("/it's", r"'/it'\''s'"), ("/$x", "'/$x'")]
        {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
