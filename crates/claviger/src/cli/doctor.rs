//! `claviger doctor`: what is not as it should be on this machine, and what to do.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use claviger_audit::Bundle;
use claviger_hsm::Hsm;
use claviger_store::Store;
use claviger_token::Health;
use serde_json::Value;

use super::output;
use super::ready::{ask, reachable_from_here};
use crate::config::{Config, NamedSeal, PassphraseSource, Seal};
use crate::deployment::{DataDirectory, off_the_runtime};
use crate::problem::Problem;
use crate::seals::{TokenSeal, needs_people, secret_of};
use crate::server::ReloadingTls;
use crate::server::tls::read_certificates;
use crate::tokens::open_one;

mod certificate;
mod orphans;

use certificate::not_after;
use orphans::orphans;

/// Below this, the next writes may fail.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// When a certificate should long have been renewed.
const CERTIFICATE_DAYS_MIN: i64 = 14;
/// How long to wait for the server.
const SERVER_TIME_MAX: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
    config: PathBuf,
}

/// What was found about one thing.
enum Finding {
    /// It is as it should be.
    Fine(String),
    /// It works, but should not stay like this.
    Warning { what: String, remedy: String },
    /// It does not work, or is dangerous.
    Wrong { what: String, remedy: String },
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Problem> {
    let config = Config::load(&arguments.config)?;
    let mut findings = vec![Finding::Fine(format!("{} can be read", arguments.config.display()))];
    findings.extend(process());
    findings.extend(open_files(&config));
    findings.extend(data_directory(&config));
    findings.extend(seals(&config));
    findings.extend(tls(&config));
    findings.extend(store(&config).await);
    findings.extend(tried_seals(&config).await);
    findings.extend(tokens(&config).await);
    findings.extend(server(&config));

    let mut wrong = false;
    for finding in &findings {
        match finding {
            Finding::Fine(what) => output::line(format_args!("ok       {what}"))?,
            Finding::Warning { what, remedy } => output::line(format_args!("warning  {what}\n         {remedy}"))?,
            Finding::Wrong { what, remedy } => {
                wrong = true;
                output::line(format_args!("WRONG    {what}\n         {remedy}"))?;
            }
        }
    }
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn fine(what: impl Into<String>) -> Finding {
    Finding::Fine(what.into())
}

fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Warning { what: what.into(), remedy: remedy.into() }
}

fn wrong(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Wrong { what: what.into(), remedy: remedy.into() }
}

fn wrong_because(problem: &Problem) -> Finding {
    wrong(problem.happened(), problem.what_to_do().unwrap_or("correct it, and run this again"))
}

/// What the server would not be able to do for its own protection, tried by this process with this user's limits.
fn process() -> Vec<Finding> {
    let problems = claviger_hsm::harden_process();
    if problems.is_empty() {
        return vec![fine("memory for secrets is locked, and no core is dumped")];
    }
    problems.into_iter().map(|found| warning(found.problem, found.remedy)).collect()
}

fn open_files(config: &Config) -> Option<Finding> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    let allowed: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
    // The store, its readers and the log need some tens.
    let needed = u64::from(config.limits.connections) + 64;
    Some(if allowed >= needed {
        fine(format!("{allowed} open files are allowed, which is enough for limits.connections"))
    } else {
        warning(
            format!("{allowed} open files are allowed, and limits.connections needs {needed}"),
            format!("raise the limit (LimitNOFILE={needed} in the unit), or lower limits.connections"),
        )
    })
}

fn data_directory(config: &Config) -> Vec<Finding> {
    let data = DataDirectory::new(&config.data);
    let Ok(metadata) = fs::metadata(data.path()) else {
        let what = format!("the data directory {} is not there, or cannot be read", data.path().display());
        return vec![wrong(what, "run claviger init, or correct `data` in the configuration")];
    };
    let mut findings = vec![private(data.path(), &metadata, 0o700)];
    if config.store.is_none()
        && let Some(path) = data.store().file()
        && let Ok(metadata) = fs::metadata(path)
    {
        findings.push(private(path, &metadata, 0o600));
    }
    if let Ok(statistics) = rustix::fs::statvfs(data.path()) {
        let free = statistics.f_bavail.saturating_mul(statistics.f_frsize);
        let text = format!("{} MiB are free on the disk of {}", free >> 20, data.path().display());
        findings.push(if free >= FREE_BYTES_MIN {
            fine(text)
        } else {
            wrong(text, "make room: when the disk is full every request is refused, because the audit log cannot be written")
        });
    }
    findings
}

fn seals(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seal in config.seal.iter() {
        let file = match seal {
            Seal::DevelopmentFile(path) => {
                findings.push(warning(
                    "the development seal is in use: whoever reads its file reads every key",
                    "for real keys make a deployment with [seal.passphrase]",
                ));
                path
            }
            Seal::Passphrase(PassphraseSource::File(path)) => path,
            Seal::Pkcs11(TokenSeal { token, .. }) => match &token.pin {
                PassphraseSource::File(path) => path,
                _ => continue,
            },
            Seal::Shares(_) => {
                findings.push(fine(
                    "people keep the shares of a seal: a server that no other seal opens waits for them at its start",
                ));
                continue;
            }
            Seal::Passphrase(PassphraseSource::Prompt) => {
                findings.push(fine("the passphrase is typed at start"));
                continue;
            }
            Seal::Passphrase(source @ (PassphraseSource::Environment(_) | PassphraseSource::SystemdCredential(_))) => {
                findings.push(match source.read(false) {
                    Ok(_) => fine("the passphrase can be read"),
                    Err(problem) => warning(
                        format!("{} (here, which need not be so where the server runs)", problem.happened()),
                        problem.what_to_do().unwrap_or("look at [seal.passphrase]"),
                    ),
                });
                continue;
            }
        };
        findings.push(match fs::metadata(file) {
            Ok(metadata) => private(file, &metadata, 0o600),
            Err(error) => wrong(
                format!("the seal's file {} cannot be read: {error}", file.display()),
                "restore it: without it the store stays closed",
            ),
        });
    }
    findings
}

/// Whether each configured token opens. A server that runs has it open too, which tokens allow.
async fn tokens(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let data = DataDirectory::of(config).ok();
    for (name, configured) in &config.tokens {
        let (token, health) = open_one(config, name, configured).await;
        if let (Health::Up(_), Some(data)) = (&health, &data) {
            findings.extend(orphans(name, &token, data).await);
        }
        findings.push(match health {
            Health::Up(facts) => fine(format!("the token {name} opens: {} {}", facts.manufacturer, facts.model)),
            Health::Down(fault) => {
                wrong(fault.detail, format!("correct [tokens.{name}], or repair the token; docs/tokens.md has the reasons"))
            }
            Health::Starting => {
                wrong(format!("the token {name} does not open in time"), "look at the device, its network and its library")
            }
        });
    }
    findings
}

/// Whether each configured seal opens the deployment that is in the store.
async fn tried_seals(config: &Config) -> Vec<Finding> {
    let Ok(store) = read_store(config).await else { return Vec::new() };
    let (Ok(deployment), Ok(root)) = (
        claviger_service::deployment::deployment_id(store.as_ref()).await,
        claviger_service::deployment::sealed_root(store.as_ref()).await,
    ) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for NamedSeal { name, seal } in config.seal.named() {
        if needs_people(seal) {
            findings.push(fine(format!("the seal {name} was not tried: 'claviger seal verify --ask {name}' does")));
            continue;
        }
        let (of, with) = (NamedSeal { name: name.clone(), seal: seal.clone() }, root.clone());
        let opened = off_the_runtime(move || {
            let secret = secret_of(&of, &with)?;
            Hsm::open(deployment, &with, Some(&of.name), &secret).map_err(|error| Problem::new(error.to_string()))
        });
        let opened = opened.await;
        findings.push(match opened {
            Ok(_) => fine(format!("the seal {name} opens the deployment")),
            // What cannot be read here was told of above, with what to do.
            Err(problem) => wrong(
                format!("the seal {name} DOES NOT OPEN the deployment: {}", problem.happened()),
                "repair it before the other seals are lost too; who loses all of them loses every key",
            ),
        });
    }
    for (name, kind) in root.seals().filter(|(name, _)| config.seal.named().iter().all(|seal| seal.name != *name)) {
        findings.push(fine(format!("the seal {name} ({kind}) is kept elsewhere: try it with 'claviger seal verify {name}'")));
    }
    findings
}

fn tls(config: &Config) -> Vec<Finding> {
    let Some(files) = &config.tls else {
        return match config.insecure_plain_http {
            true => vec![warning(
                "insecure_plain_http is set: plaintexts and data keys travel in the clear",
                "use [tls], or make sure that the way to the proxy is as trusted as this machine",
            )],
            false => vec![fine("there is no TLS, and the doors listen on loopback only")],
        };
    };
    let mut findings = Vec::new();
    if let Ok(metadata) = fs::metadata(&files.key) {
        findings.push(private(&files.key, &metadata, 0o600));
    }
    match ReloadingTls::load(files) {
        Ok(_) => findings.push(fine("the TLS certificate and its key belong together")),
        Err(problem) => findings.push(wrong_because(&problem)),
    }
    if let Ok(chain) = read_certificates(&files.certificate)
        && let Some(certificate) = chain.first()
    {
        findings.push(expiry(not_after(certificate), jiff::Timestamp::now()));
    }
    findings
}

fn expiry(not_after: Option<jiff::Timestamp>, now: jiff::Timestamp) -> Finding {
    let Some(end) = not_after else {
        return warning("the TLS certificate's end of validity cannot be read", "look at it with openssl x509 -text");
    };
    let days = (end.as_second() - now.as_second()).div_euclid(86_400);
    let text = format!("the TLS certificate is valid until {end:.0}");
    match days {
        ..0 => wrong(format!("the TLS certificate expired at {end:.0}"), "renew it; the server takes it up by itself"),
        0..CERTIFICATE_DAYS_MIN => warning(format!("{text}, {days} days from now"), "renew it; the server takes it up by itself"),
        _ => fine(text),
    }
}

async fn read_store(config: &Config) -> Result<Arc<dyn Store>, Problem> {
    DataDirectory::of(config)?.read_store().await
}

async fn store(config: &Config) -> Vec<Finding> {
    let store = match read_store(config).await {
        Ok(store) => store,
        Err(problem) => return vec![wrong_because(&problem)],
    };
    let mut findings = vec![match claviger_service::deployment::deployment_id(store.as_ref()).await {
        Ok(id) => fine(format!("the store holds deployment {id}, in a form that this version knows")),
        Err(refusal) => wrong(refusal.detail, "run claviger init"),
    }];
    findings.push(match store.log_head(config.node.as_str()).await {
        Ok(Some(head)) => match last_entry_time(store.as_ref(), config.node.as_str(), head.size).await {
            Some(last) => clock(last, jiff::Timestamp::now()),
            None => wrong(
                format!("the last entry of the audit log ({}) cannot be read", head.size.saturating_sub(1)),
                "run claviger audit verify",
            ),
        },
        Ok(None) => warning(
            format!("node {} has no audit log yet", config.node.as_str()),
            "it begins one at its first start; if it should have one, `node` in the configuration was changed: change it back",
        ),
        Err(error) => wrong(error.to_string(), "look at the disk, or the database"),
    });
    findings
}

/// A clock that goes back makes signatures, deletion dates and the log's times wrong.
fn clock(last_entry: jiff::Timestamp, now: jiff::Timestamp) -> Finding {
    // Another process may have written in this very second.
    if last_entry.as_second() > now.as_second() + 2 {
        wrong(
            format!("the clock says {now:.0}, but the audit log has an entry from {last_entry:.0}"),
            "set the clock, and keep it right with NTP: clients' signatures are refused when it is 5 minutes off",
        )
    } else {
        fine(format!("the clock ({now:.0}) is not behind the audit log's last entry"))
    }
}

async fn last_entry_time(store: &dyn Store, node: &str, size: u64) -> Option<jiff::Timestamp> {
    let bundle = store.bundles(node, size.checked_sub(1)?, 1).await.ok()?.pop()?;
    let parsed = Bundle::parse(&bundle.data).ok()?;
    let event: Value = serde_json::from_slice(parsed.entries().last()?.bytes).ok()?;
    jiff::Timestamp::from_millisecond(event.pointer("/claviger/timeMs")?.as_i64()?).ok()
}

/// Asks a server that should be running.
fn server(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(address) = config.listen.first().copied().map(reachable_from_here) {
        findings.push(match TcpStream::connect_timeout(&address, SERVER_TIME_MAX) {
            Ok(_) => fine(format!("a server listens on {address}")),
            Err(error) => warning(format!("no server answers on {address}: {error}"), "start it: claviger serve"),
        });
    }
    if let Some(observability) = &config.observability {
        let address = reachable_from_here(observability.listen);
        findings.push(match ask(address, "/readyz") {
            Ok(answer) if answer.good => fine("the server is ready"),
            Ok(answer) => wrong(
                format!("the server is not ready: {}", answer.body.trim()),
                "look at its log; restart it if a self-test failed",
            ),
            Err(error) => warning(format!("no answer from http://{address}/readyz: {error}"), "start the server: claviger serve"),
        });
    }
    findings
}

/// Whether only its owner can get at a file, and the owner is this user.
fn private(path: &Path, metadata: &fs::Metadata, mode: u32) -> Finding {
    let name = path.display();
    let user = rustix::process::geteuid().as_raw();
    if metadata.mode() & 0o077 != 0 {
        let what = format!("{name} can be used by others than its owner (mode {:04o})", metadata.mode() & 0o7777);
        return wrong(what, format!("chmod {mode:04o} {name}"));
    }
    if metadata.uid() != user && user != 0 {
        return warning(
            format!("{name} belongs to user {}, and this is user {user}", metadata.uid()),
            "run this as the server's user",
        );
    }
    fine(format!("{name} is its owner's only"))
}

#[cfg(test)]
mod tests;
