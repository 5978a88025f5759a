//! `claviger store`: the store itself.

use std::process::ExitCode;

use clap::Subcommand;
use claviger_service::verify_store::StoreReport;

use super::files_of_deployment::Place;
use super::output;
use crate::deployment::{Deployment, refusal_problem, store_problem};
use crate::problem::Problem;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check that every record opens, and is what the audit log tells of last: finds rows that were edited, swapped, rolled back or
    /// deleted. Works beside a running server
    Verify {
        #[command(flatten)]
        place: Place,
    },
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Problem> {
    let Command::Verify { place } = command;
    let place = place.find()?;
    let deployment = place.open_read_only().await?;
    let damaged = deployment.store.check_storage().await.map_err(|error| store_problem(&error))?;
    for line in &damaged {
        output::line(format_args!("the file itself: {line}"))?;
    }
    let report = verify(&deployment, &place.node).await?;
    output::line(&report)?;
    Ok(if report.is_clean() && damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Logs and records are read one after the other, so that a record which a running server changed in between seems not to fit. What was
/// really tampered with is found in the same words by a second look.
async fn verify(deployment: &Deployment, node: &str) -> Result<StoreReport, Problem> {
    let size =
        async || deployment.store.log_head(node).await.map_err(|error| store_problem(&error)).map(|head| head.map(|h| h.size));
    let look = async || deployment.service.verify_store().await.map_err(|refusal| refusal_problem(&refusal));
    let before = size().await?;
    let report = look().await?;
    if report.is_clean() || size().await? == before {
        return Ok(report);
    }
    let mut second = look().await?;
    second.findings.retain(|finding| report.findings.contains(finding));
    Ok(second)
}
