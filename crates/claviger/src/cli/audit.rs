//! `claviger audit`: the audit log, read beside a running server.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use claviger_audit::source::SourceError;
use claviger_audit::verify::{Checks, OldCheckpoint, verify};
use claviger_audit::{Bundle, BundleSource, StoredBundle, VerifierKey};
use claviger_store::{SqliteStore, Store as _};
use serde_json::Value;
use tokio::runtime::Handle;

use super::files_of_deployment::{Found, Place};
use super::output;
use crate::deployment::store_problem;
use crate::problem::Problem;

/// Bundles that are read at a time. One is usually some tens of kilobytes.
const PAGE: usize = 64;
/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Verify the whole log, and that it has grown from checkpoints that were kept
    Verify {
        #[command(flatten)]
        place: Place,
        /// The verifier key that `claviger init` printed, or a file that holds it; by default the copy in the data directory
        #[arg(long, value_name = "KEY|FILE")]
        vkey: Option<String>,
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
        /// The verifier key, as for verify
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
            verify_log(&found, vkey.as_deref(), &checkpoint, every_signature).await
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

async fn verify_log(
    found: &Found,
    vkey: Option<&str>,
    checkpoints: &[PathBuf],
    every_signature: bool,
) -> Result<ExitCode, Problem> {
    let key = verifier_key(found, vkey)?;
    let store = Arc::new(found.data.read_store().await?);
    let mut old_checkpoints = Vec::new();
    for path in checkpoints {
        let text = read_text(path, "the checkpoint")?;
        old_checkpoints.push(OldCheckpoint { name: path.display().to_string(), text });
    }
    // The head shows when bundles were cut off behind it.
    if let Some(head) = store.log_head(&found.node).await.map_err(|error| store_problem(&error))? {
        old_checkpoints.push(OldCheckpoint { name: "the head in the store".to_owned(), text: head.checkpoint });
    }
    let mut log = StoredLog::new(store, &found.node);
    let checks = Checks { every_signature, old_checkpoints };
    let report = on_a_thread(move || verify(&mut log, &key, &checks)).await?.map_err(|error| unreadable(&error))?;
    output::line(&report)?;
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn export_log(found: &Found, vkey: Option<&str>, directory: PathBuf) -> Result<(), Problem> {
    let key = verifier_key(found, vkey)?;
    let store = Arc::new(found.data.read_store().await?);
    let mut log = StoredLog::new(store, &found.node);
    let target = directory.clone();
    let head = on_a_thread(move || claviger_audit::export::export(&mut log, &key, &target))
        .await?
        .map_err(|error| Problem::new(format!("the log was not exported: {error}")))?;
    output::line(format_args!("{} entries were exported to {}", head.size, directory.display()))
}

async fn tail(found: &Found, lines: u64, follow: bool, json: bool) -> Result<(), Problem> {
    let store = found.data.read_store().await?;
    let head = store.log_head(&found.node).await.map_err(|error| store_problem(&error))?;
    let size = head.map_or(0, |head| head.size);
    let mut next = size.saturating_sub(lines);
    loop {
        let bundles = store.bundles(&found.node, next, PAGE).await.map_err(|error| store_problem(&error))?;
        let behind = bundles.len() == PAGE;
        for bundle in bundles {
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

/// One entry on one line: when, what, who, on what, and what came of it.
fn summary(index: u64, entry: &[u8]) -> String {
    let Ok(event) = serde_json::from_slice::<Value>(entry) else { return format!("{index} (not JSON)") };
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    let who = [text("/userIdentity/arn"), text("/userIdentity/accessKeyId"), text("/userIdentity/type")];
    let who = who.into_iter().find(|name| *name != "-").unwrap_or("-");
    let outcome = if event.get("errorCode").is_some() { text("/errorCode") } else { "ok" };
    let resource = text("/resources/0/ARN");
    format!("{index} {} {} {who} {resource} {outcome}", text("/eventTime"), text("/eventName"))
}

fn verifier_key(found: &Found, given: Option<&str>) -> Result<VerifierKey, Problem> {
    let (text, from) = match given {
        // A key has a + in it, and base64; a file that is named like that would have to be given as ./NAME.
        Some(text) if text.parse::<VerifierKey>().is_ok() => (text.to_owned(), "the command line".to_owned()),
        Some(path) => (read_text(Path::new(path), "the verifier key")?, path.to_owned()),
        None => {
            let path = found.data.verifier_key(&found.node);
            output::note(format_args!(
                "note: the verifier key is the copy in {}; compare it with the one that was printed when the log began, or give that with --vkey",
                path.display()
            ));
            (read_text(&path, "the verifier key")?, path.display().to_string())
        }
    };
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
    store: Arc<SqliteStore>,
    node: String,
    runtime: Handle,
    page: VecDeque<StoredBundle>,
}

impl StoredLog {
    fn new(store: Arc<SqliteStore>, node: &str) -> Self {
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
