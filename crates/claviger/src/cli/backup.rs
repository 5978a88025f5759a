//! `claviger backup`: a consistent, encrypted copy of the store, beside a running server or not.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;

use clap::Args;
use claviger_domain::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::files_of_deployment::Place;
use super::output;
use super::seal::Brought;
use crate::backup::{self, Head};
use crate::deployment::{Scratch, off_the_runtime};
use crate::file_encryption::NewFile;
use crate::notices;
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file to be made
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    brought: Brought,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    let found = arguments.place.find()?;
    let store = found.data.read_store().await?;
    let locked = found.locked(store.as_ref()).await?;
    let hsm = locked.open(arguments.brought.secrets()?, found.configured()?).await?;
    let target = arguments.file.clone();
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    // Beside the backup, where there has to be room for it anyway. The copy is as the store is: sealed, and for its owner only.
    let scratch = Scratch::beside(directory)?;
    let copy = scratch.path().join("store.sqlite");
    found.data.store().copy_to(&copy).await?;
    let head = Head {
        backup: Uuid::new_v4(),
        deployment: locked.deployment,
        made: Timestamp(jiff::Timestamp::now().as_millisecond()),
        root: locked.root,
    };
    let id = head.backup;
    // Before there is one, so that there is none that the log does not tell of.
    notices::leave(
        &found.data,
        &json!({
            "backup": id.to_string(),
            "madeMs": head.made.0,
            "file": std::path::absolute(&target).unwrap_or_else(|_| target.clone()).display().to_string(),
            "user": rustix::process::geteuid().as_raw(),
        }),
    )?;
    off_the_runtime(move || {
        let failed = |error: &dyn std::fmt::Display| Problem::new(format!("cannot write {}: {error}", target.display()));
        let mut from = BufReader::new(File::open(&copy).map_err(|error| failed(&error))?);
        let mut out = BufWriter::with_capacity(1 << 20, NewFile::create(&target, false).map_err(|error| failed(&error))?);
        backup::write(&hsm, &head, &mut from, &mut out).map_err(|error| failed(&error))?;
        let file = out.into_inner().map_err(|error| failed(&error))?;
        file.finish().map_err(|error| failed(&error))
    })
    .await?;
    drop(scratch);
    output::line(format_args!("backup {id} is in {}", arguments.file.display()))?;
    output::note(
        "It opens with any seal that the deployment has now, and with nothing else: who loses all of them loses the backup too.",
    );
    output::note("The audit log tells of it once the server runs that writes it (CreateBackup).");
    output::note(format_args!("Try it: claviger restore --drill {}", arguments.file.display()));
    Ok(())
}
