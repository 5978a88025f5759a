//! `claviger audit verify`: every log of the store, each with the key of its node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use claviger_audit::VerifierKey;
use claviger_audit::verify::{Checks, Head, OldCheckpoint, verify};
use claviger_store::Store;

use super::super::files_of_deployment::Found;
use super::super::output;
use super::{StoredLog, given_key, must_be_of, note_copies, on_a_thread, parse_key, read_text, unreadable};
use crate::deployment::store_problem;
use crate::problem::Problem;

/// A log that nobody vouches for is as bad as one that is not sound: who can write to the store can put one in.
pub(super) async fn run(
    found: &Found,
    vkeys: &[String],
    checkpoints: &[PathBuf],
    every_signature: bool,
) -> Result<ExitCode, Problem> {
    let store = found.data.read_store().await?;
    let stored: BTreeSet<String> = store.log_nodes().await.map_err(|error| store_problem(&error))?.into_iter().collect();
    let (mut nodes, unmeant) = match found.one_node {
        true => (BTreeSet::new(), stored),
        false => (stored, BTreeSet::new()),
    };
    nodes.insert(found.node.clone());
    let keys = keys_of(found, vkeys, &mut nodes)?;
    for key in keys.values() {
        must_be_of(store.as_ref(), key).await?;
        if found.one_node && key.origin().node() != found.node {
            return Err(Problem::usage(format!(
                "the verifier key is of node {}, and --node names {}",
                key.origin().node(),
                found.node
            ))
            .remedy("give the key of that node, or leave --node out to verify every log"));
        }
    }
    let mut kept = sort_by_log(checkpoints, &keys, &found.node)?;
    let mut sound = true;
    for node in &nodes {
        match keys.get(node) {
            Some(key) => {
                let old_checkpoints = kept.remove(node).unwrap_or_default();
                sound &= verify_log(&store, node, key.clone(), old_checkpoints, every_signature).await?;
            }
            None => {
                sound = false;
                output::line(format_args!("log      {node:?}\nNOT SOUND\n  {}", unknown(vkeys.is_empty())))?;
            }
        }
    }
    for node in unmeant.difference(&nodes) {
        output::note(format_args!("note: the store holds a log of {node:?} too, which was not verified, because of --node"));
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unknown(copies: bool) -> &'static str {
    if copies {
        "the data directory holds no verifier key of such a node: give it with --vkey, or, if there never was such a node, somebody has put \
         this log into the store"
    } else {
        "no verifier key of such a node was given: give it with one more --vkey, or, if there never was such a node, somebody has put this \
         log into the store"
    }
}

/// The verifier key of each node that has one. A node whose key was given is to be verified, whether or not the store has a log of it.
fn keys_of(found: &Found, vkeys: &[String], nodes: &mut BTreeSet<String>) -> Result<BTreeMap<String, VerifierKey>, Problem> {
    let mut keys = BTreeMap::new();
    for given in vkeys {
        let key = given_key(given)?;
        let node = key.origin().node().to_owned();
        nodes.insert(node.clone());
        if keys.insert(node.clone(), key).is_some() {
            return Err(Problem::usage(format!("two verifier keys were given for node {node}")));
        }
    }
    if !vkeys.is_empty() {
        return Ok(keys);
    }
    note_copies(found.data.path());
    for node in nodes.iter().filter(|node| is_a_name(node)) {
        let path = found.data.verifier_key(node);
        // The configured node always has a copy; that of another may never have been here.
        if *node != found.node && !path.exists() {
            continue;
        }
        let key = parse_key(&read_text(&path, "the verifier key")?, &path.display().to_string())?;
        if key.origin().node() == node {
            keys.insert(node.clone(), key);
        }
    }
    Ok(keys)
}

/// Whether a node can have this name. In the store there may stand anything, such as the way to another directory.
fn is_a_name(node: &str) -> bool {
    claviger_audit::Origin::new(uuid::Uuid::nil(), node).is_ok()
}

/// Reads the checkpoints, and finds for each the log that it is about: the first line of a checkpoint is the log's name. A file that is no
/// checkpoint is given to the node's own, whose report refuses it.
fn sort_by_log(
    paths: &[PathBuf],
    keys: &BTreeMap<String, VerifierKey>,
    own: &str,
) -> Result<BTreeMap<String, Vec<OldCheckpoint>>, Problem> {
    let mut sorted: BTreeMap<String, Vec<OldCheckpoint>> = BTreeMap::new();
    for path in paths {
        let text = read_text(path, "the checkpoint")?;
        let log = text.lines().next().unwrap_or_default();
        let of = keys.iter().find(|(_, key)| key.origin().as_str() == log);
        if of.is_none() && log.starts_with("claviger.") && log.parse::<claviger_audit::Origin>().is_ok() {
            let here: Vec<&str> = keys.values().map(|key| key.origin().as_str()).collect();
            return Err(Problem::usage(format!("{} is a checkpoint of another log, {log}", path.display()))
                .remedy(format!("give checkpoints of these: {}", here.join(", "))));
        }
        let node = of.map_or(own, |(node, _)| node);
        let checkpoint = OldCheckpoint { name: path.display().to_string(), text: text.clone() };
        sorted.entry(node.to_owned()).or_default().push(checkpoint);
    }
    Ok(sorted)
}

async fn verify_log(
    store: &Arc<dyn Store>,
    node: &str,
    key: VerifierKey,
    old_checkpoints: Vec<OldCheckpoint>,
    every_signature: bool,
) -> Result<bool, Problem> {
    // Read before the log, which may be growing: it shows when bundles were cut off behind it.
    let head = store.log_head(node).await.map_err(|error| store_problem(&error))?;
    let head = head.map_or(Head::Missing, |head| Head::Stored(head.checkpoint));
    let mut log = StoredLog::new(Arc::clone(store), node);
    let checks = Checks { every_signature, old_checkpoints, head };
    let report = on_a_thread(move || verify(&mut log, &key, &checks)).await?.map_err(|error| unreadable(&error))?;
    output::line(&report)?;
    Ok(report.is_sound())
}
