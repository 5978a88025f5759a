//! `claviger restore`: a deployment out of a backup, on this machine or another; or a drill that proves that it could be.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use claviger_hsm::Hsm;

use super::output;
use super::seal::Brought;
use crate::backup::{self, Head};
use crate::config::{Config, Seals};
use crate::deployment::{DataDirectory, Locked, Scratch, off_the_runtime, refusal_problem, store_problem};
use crate::file_encryption::NewFile;
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The backup
    file: PathBuf,
    /// The data directory of the restored deployment; by default the configuration's
    #[arg(long, value_name = "DIR", conflicts_with = "drill")]
    data: Option<PathBuf>,
    /// Restore into a scratch directory, decrypt the canary of every account, compare everything with the audit log, and remove it again
    #[arg(long)]
    drill: bool,
    /// The configuration whose seals may open the backup [default: CLAVIGER_CONFIG]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    brought: Brought,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Problem> {
    let from_environment = || std::env::var_os("CLAVIGER_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
    let config = arguments.config.clone().or_else(from_environment).map(|file| Config::load(&file)).transpose()?;
    let seals = config.as_ref().map(|config| config.seal.clone());
    if arguments.drill {
        return drill(&arguments, seals).await;
    }
    let data = arguments.data.clone().or_else(|| config.map(|config| config.data)).ok_or_else(|| {
        Problem::usage("where the deployment shall be restored is not said")
            .remedy("name a directory with --data, or a configuration")
    })?;
    let data = DataDirectory::new(data);
    if data.has_deployment().await? {
        return Err(Problem::new(format!("{} holds a deployment already; nothing was changed", data.path().display()))
            .remedy("choose another data directory"));
    }
    data.create()?;
    let (head, _) = unpack(&arguments, seals, &data.path().join("store.sqlite")).await?;
    output::line(format_args!("deployment {} is restored in {}", head.deployment, data.path().display()))?;
    output::note(
        "Before it is served: give the node a NEW NAME in the configuration. Its old log ends where the backup was made; if it went on under",
    );
    output::note("the old name, there would be two histories with one signature. docs/backup.md says what else to do.");
    Ok(ExitCode::SUCCESS)
}

/// Writes the backup's store to this path, whole or not at all.
async fn unpack(arguments: &Arguments, seals: Option<Seals>, to: &Path) -> Result<(Head, Hsm), Problem> {
    let (file, to) = (arguments.file.clone(), to.to_owned());
    let name = file.display().to_string();
    let damaged = move |error: &dyn std::fmt::Display| {
        Problem::new(format!("the backup {name} cannot be restored: {error}"))
            .remedy("nothing was restored: take another copy of it")
    };
    let opened = backup::read(BufReader::with_capacity(1 << 20, File::open(&file).map_err(|error| damaged(&error))?));
    let opened = opened.map_err(|error| damaged(&error))?;
    let head = opened.head.clone();
    let locked = Locked { deployment: head.deployment, root: head.root.clone() };
    let hsm = locked.open(arguments.brought.secrets()?, seals).await?;
    off_the_runtime(move || {
        let unlocked = opened.unlock(&hsm).map_err(|error| damaged(&error))?;
        let mut out = BufWriter::with_capacity(1 << 20, NewFile::create(&to, false).map_err(|error| damaged(&error))?);
        unlocked.restore(&mut out).map_err(|error| damaged(&error))?;
        let file = out.into_inner().map_err(|error| damaged(&error))?;
        file.finish().map_err(|error| damaged(&error))?;
        Ok((head, hsm))
    })
    .await
}

async fn drill(arguments: &Arguments, seals: Option<Seals>) -> Result<ExitCode, Problem> {
    let scratch = Scratch::beside(&std::env::temp_dir())?;
    let data = DataDirectory::new(scratch.path());
    let (head, hsm) = unpack(arguments, seals, &data.path().join("store.sqlite")).await?;
    let deployment = data.open_with(hsm).await?;
    let mut whole = true;
    let damaged = deployment.store.check_storage().await.map_err(|error| store_problem(&error))?;
    for line in &damaged {
        whole = false;
        output::line(format_args!("WRONG    the file itself: {line}"))?;
    }
    for (account, found) in deployment.service.try_canaries().await.map_err(|refusal| refusal_problem(&refusal))? {
        match found {
            Ok(()) => output::line(format_args!("ok       account {account}: its canary was decrypted"))?,
            Err(why) => {
                whole = false;
                output::line(format_args!("WRONG    account {account}: {why}"))?;
            }
        }
    }
    let report = deployment.service.verify_store().await.map_err(|refusal| refusal_problem(&refusal))?;
    output::line(&report)?;
    whole &= report.is_clean();
    deployment.store.close().await.map_err(|error| store_problem(&error))?;
    let made = jiff::Timestamp::from_millisecond(head.made.0).map(|made| format!("{made:.0}")).unwrap_or_default();
    output::note(format_args!("backup {} of deployment {}, made {made}", head.backup, head.deployment));
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
