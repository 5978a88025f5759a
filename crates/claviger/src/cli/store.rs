//! `claviger store`: the store itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use claviger_service::verify_store::StoreReport;
use claviger_store::PostgresStore;

use super::files_of_deployment::{Found, Place};
use super::output;
use crate::config::Config;
use crate::deployment::{DataDirectory, Deployment, refusal_problem, store_problem};
use crate::problem::Problem;
use crate::store_place::StorePlace;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check that every record opens, and is what the audit log tells of last: finds rows that were edited, swapped, rolled back or
    /// deleted. Works beside a running server
    Verify {
        #[command(flatten)]
        place: Place,
    },
    /// Bring the tables of a database up to date, once every node runs this program or a later one. Works beside running servers
    Upgrade {
        /// The configuration file
        #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
        config: PathBuf,
    },
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Problem> {
    match command {
        Command::Verify { place } => verify_all(&place.find()?).await,
        Command::Upgrade { config } => upgrade(&config).await,
    }
}

async fn upgrade(config: &Path) -> Result<ExitCode, Problem> {
    let StorePlace::Database(options) = DataDirectory::of(&Config::load(config)?)?.store().clone() else {
        return Err(Problem::new("the store is SQLite, which a server brings up to date at its start").remedy("start the server"));
    };
    let (from, to) = PostgresStore::upgrade(&options).await.map_err(|error| store_problem(&error))?;
    output::line(match from == to {
        true => format!("the tables have version {to} already: nothing was changed"),
        false => format!("the tables were brought from version {from} to {to}"),
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn verify_all(place: &Found) -> Result<ExitCode, Problem> {
    let deployment = place.open_read_only().await?;
    let damaged = deployment.store.check_storage().await.map_err(|error| store_problem(&error))?;
    for line in &damaged {
        output::line(format_args!("the file itself: {line}"))?;
    }
    let report = verify(&deployment).await?;
    output::line(&report)?;
    Ok(if report.is_clean() && damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Logs and records are read one after the other, so that a record which a running server changed in between seems not to fit. What was
/// really tampered with is found in the same words by a second look.
async fn verify(deployment: &Deployment) -> Result<StoreReport, Problem> {
    let sizes = async || -> Result<Vec<Option<u64>>, Problem> {
        let store = &deployment.store;
        let mut sizes = Vec::new();
        for node in store.log_nodes().await.map_err(|error| store_problem(&error))? {
            let head = store.log_head(&node).await.map_err(|error| store_problem(&error))?;
            sizes.push(head.map(|head| head.size));
        }
        Ok(sizes)
    };
    let look = async || deployment.service.verify_store().await.map_err(|refusal| refusal_problem(&refusal));
    let before = sizes().await?;
    let report = look().await?;
    if report.is_clean() || sizes().await? == before {
        return Ok(report);
    }
    let mut second = look().await?;
    second.findings.retain(|finding| report.findings.contains(finding));
    Ok(second)
}
