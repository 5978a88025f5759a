//! `claviger audit`: the audit log, read beside a running server.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use claviger_audit::source::SourceError;
use claviger_audit::{Bundle, BundleSource, Origin, StoredBundle, VerifierKey};
use claviger_store::Store;
use serde_json::Value;
use tokio::runtime::Handle;

use super::files_of_deployment::{Found, Place};
use super::output;
use crate::deployment::store_problem;
use crate::problem::Problem;

mod verify;

/// Bundles that are read at a time. One is usually some tens of kilobytes.
const PAGE: usize = 64;
/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Verify the log of every node in the store, and that they have grown from checkpoints that were kept
    Verify {
        #[command(flatten)]
        place: Place,
        /// The verifier key that `claviger init` printed, or a file that holds it; once for each node. By default the copies in the data
        /// directory; once one is given, they are not used
        #[arg(long, value_name = "KEY|FILE")]
        vkey: Vec<String>,
        /// A checkpoint that was kept elsewhere; may be given more than once
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
        /// Verify the signature of every stored checkpoint, not only of the last
        #[arg(long)]
        every_signature: bool,
    },
    /// Write the log as plain C2SP tlog-tiles files, which other software can verify
    Export {
        /// A directory that is new or empty
        directory: PathBuf,
        #[command(flatten)]
        place: Place,
        /// The verifier key of the node's log, as for verify
        #[arg(long, value_name = "KEY|FILE")]
        vkey: Option<String>,
    },
    /// Print the newest entries
    Tail {
        #[command(flatten)]
        place: Place,
        /// How many entries
        #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20)]
        lines: u64,
        /// Go on with new entries as they come
        #[arg(long, short)]
        follow: bool,
        /// Print whole entries, a JSON object a line
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Problem> {
    match command {
        Command::Verify { place, vkey, checkpoint, every_signature } => {
            let found = place.find()?;
            verify::run(&found, &vkey, &checkpoint, every_signature).await
        }
        Command::Export { directory, place, vkey } => {
            let found = place.find()?;
            export_log(&found, vkey.as_deref(), directory).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Tail { place, lines, follow, json } => {
            tail(&place.find()?, lines, follow, json).await.map(|()| ExitCode::SUCCESS)
        }
    }
}

async fn export_log(found: &Found, vkey: Option<&str>, directory: PathBuf) -> Result<(), Problem> {
    let key = verifier_key(found, vkey)?;
    let store = found.data.read_store().await?;
    must_be_of(store.as_ref(), &key).await?;
    must_have_log(store.as_ref(), &found.node).await?;
    let mut log = StoredLog::new(store, &found.node);
    let target = directory.clone();
    let head = on_a_thread(move || claviger_audit::export::export(&mut log, &key, &target))
        .await?
        .map_err(|error| Problem::new(format!("the log was not exported: {error}")))?;
    let entries = if head.size == 1 { "1 entry was".to_owned() } else { format!("{} entries were", head.size) };
    output::line(format_args!("{entries} exported to {}", directory.display()))
}

async fn tail(found: &Found, lines: u64, follow: bool, json: bool) -> Result<(), Problem> {
    let store = found.data.read_store().await?;
    must_have_log(store.as_ref(), &found.node).await?;
    let head = store.log_head(&found.node).await.map_err(|error| store_problem(&error))?;
    let size = head.map_or(0, |head| head.size);
    let mut next = size.saturating_sub(lines);
    loop {
        let bundles = store.bundles(&found.node, next, PAGE).await.map_err(|error| store_problem(&error))?;
        let behind = bundles.len() == PAGE;
        for bundle in bundles {
            if bundle.first > next {
                let (from, to) = (next, bundle.first - 1);
                output::note(format_args!(
                    "warning: the entries {from} to {to} are missing from the log: run claviger audit verify"
                ));
                next = bundle.first;
            }
            let parsed = Bundle::parse(&bundle.data).map_err(|_| {
                Problem::new(format!("the log is damaged at entry {}", bundle.first)).remedy("run claviger audit verify")
            })?;
            for (index, entry) in (bundle.first..).zip(parsed.entries()) {
                if index >= next {
                    let text = if json { String::from_utf8_lossy(entry.bytes).into_owned() } else { summary(index, entry.bytes) };
                    if !output::line_while_read(text)? {
                        return Ok(());
                    }
                    next = index + 1;
                }
            }
        }
        if !behind {
            if !follow {
                if next < size {
                    let (from, to) = (next, size - 1);
                    output::note(format_args!(
                        "warning: the entries {from} to {to} are missing from the log: run claviger audit verify"
                    ));
                }
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
            // It may be long until there is something to write, which would tell.
            if output::reader_has_gone() {
                return Ok(());
            }
        }
    }
}

/// Refuses a name that no log of this store has.
async fn must_have_log(store: &dyn Store, node: &str) -> Result<(), Problem> {
    let nodes = store.log_nodes().await.map_err(|error| store_problem(&error))?;
    if nodes.iter().any(|found| found == node) {
        return Ok(());
    }
    let there = if nodes.is_empty() { "none at all".to_owned() } else { nodes.join(", ") };
    Err(Problem::usage(format!("there is no log of node {node}; there are: {}", output::printable(&there)))
        .remedy("name one of them with --node"))
}

/// Refuses a verifier key of another deployment before anything looks like tampering.
async fn must_be_of(store: &dyn Store, key: &VerifierKey) -> Result<(), Problem> {
    let Ok(deployment) = claviger_service::deployment::deployment_id(store).await else { return Ok(()) };
    if Origin::new(deployment, key.origin().node()).is_ok_and(|ours| ours == *key.origin()) {
        return Ok(());
    }
    let what = format!("this verifier key belongs to another log, {}: the store is of deployment {deployment}", key.origin());
    Err(Problem::usage(what)
        .remedy("give the key that was printed when this deployment was made; if it is that key, this is another store"))
}

/// One entry on one line: when, what, who, on what, and what came of it.
fn summary(index: u64, entry: &[u8]) -> String {
    let Ok(event) = serde_json::from_slice::<Value>(entry) else { return format!("{index} (not JSON)") };
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    let who = [text("/userIdentity/arn"), text("/userIdentity/accessKeyId"), text("/userIdentity/type")];
    let who = who.into_iter().find(|name| *name != "-").unwrap_or("-");
    let outcome = if event.get("errorCode").is_some() { text("/errorCode") } else { "ok" };
    let resource = text("/resources/0/ARN");
    output::printable(&format!("{index} {} {} {who} {resource} {outcome}", text("/eventTime"), text("/eventName")))
}

fn verifier_key(found: &Found, given: Option<&str>) -> Result<VerifierKey, Problem> {
    if let Some(given) = given {
        return given_key(given);
    }
    let path = found.data.verifier_key(&found.node);
    note_copies(found.data.path());
    let copy = read_text(&path, "the verifier key").map_err(|problem| {
        Problem::new(problem.happened()).remedy("give the key of this node's log, or a file that holds it, with --vkey")
    })?;
    parse_key(&copy, &path.display().to_string())
}

fn note_copies(directory: &Path) {
    output::note(format_args!(
        "note: verifier keys are the copies in {}; compare them with those that were printed when the logs began, or give those with --vkey",
        directory.display()
    ));
}

/// A verifier key from the command line: itself, or the name of a file that holds it.
fn given_key(given: &str) -> Result<VerifierKey, Problem> {
    // A key has a + in it, and base64; a file that is named like that would have to be given as ./NAME.
    match given.parse() {
        Ok(key) => Ok(key),
        Err(_) => parse_key(&read_text(Path::new(given), "the verifier key")?, given),
    }
}

fn parse_key(text: &str, from: &str) -> Result<VerifierKey, Problem> {
    text.trim().parse().map_err(|_| Problem::new(format!("{from} holds no verifier key")).remedy("it looks like NAME+HEX+BASE64"))
}

fn read_text(path: &Path, what: &str) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| Problem::new(format!("cannot read {what} from {}: {error}", path.display())))
}

/// Verifying reads synchronously, and takes long: it gets a thread on which it may.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::new(format!("a defect of Claviger, please report it: {error}")))
}

fn unreadable(error: &SourceError) -> Problem {
    Problem::new(format!("the log cannot be read: {error}"))
}

/// A node's log as the store has it, for the verifier.
struct StoredLog {
    store: Arc<dyn Store>,
    node: String,
    runtime: Handle,
    page: VecDeque<StoredBundle>,
}

impl StoredLog {
    fn new(store: Arc<dyn Store>, node: &str) -> Self {
        Self { store, node: node.to_owned(), runtime: Handle::current(), page: VecDeque::new() }
    }

    fn turn_page(&mut self, from: u64) -> Result<(), SourceError> {
        // The store begins with the bundle that contains `from`, which may have begun before it.
        let bundles = self.runtime.block_on(self.store.bundles(&self.node, from, PAGE))?;
        self.page = bundles
            .into_iter()
            .filter(|bundle| bundle.first >= from)
            .map(|bundle| StoredBundle {
                first: bundle.first,
                count: u64::from(bundle.count),
                data: bundle.data.to_vec(),
                checkpoint: bundle.checkpoint,
            })
            .collect();
        Ok(())
    }
}

impl BundleSource for StoredLog {
    fn read(&mut self, from: u64) -> Result<Option<StoredBundle>, SourceError> {
        while self.page.front().is_some_and(|bundle| bundle.first < from) {
            self.page.pop_front();
        }
        if self.page.is_empty() {
            self.turn_page(from)?;
        }
        Ok(self.page.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_nothing_that_a_client_could_paint_a_terminal_with() {
        let event = serde_json::json!({"eventName": "ListKeys", "eventTime": "2026-11-22T00:00:00Z", "errorCode": "Refused",
            "userIdentity": {"accessKeyId": "AKIA\u{9b}31mRED\u{85}\u{202e}"}});
        let line = summary(7, event.to_string().as_bytes());
        assert_eq!(line, "7 2026-11-22T00:00:00Z ListKeys AKIA\\u{9b}31mRED\\u{85}\\u{202e} - Refused");
    }
}
