//! `claviger store`: the store itself.

use std::process::ExitCode;

use clap::Subcommand;

use super::files_of_deployment::Place;
use super::output;
use crate::deployment::refusal_problem;
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
    let seal = place.seal()?;
    let deployment = place.data.open_read_only(&place.node, &seal).await?;
    let damaged = deployment.store.check_file().await.map_err(|error| crate::deployment::store_problem(&error))?;
    for line in &damaged {
        output::line(format_args!("the file itself: {line}"))?;
    }
    let report = deployment.service.verify_store().await.map_err(|refusal| refusal_problem(&refusal))?;
    output::line(&report)?;
    Ok(if report.is_clean() && damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
