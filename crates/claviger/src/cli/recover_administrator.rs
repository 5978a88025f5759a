//! `claviger recover-administrator`: for whoever holds store and seal, and has lost the administrator's credentials.

use std::path::PathBuf;

use clap::Args;

use super::administrator::Destination;
use super::output;
use crate::config::Config;
use crate::deployment::{DataDirectory, close_store, refusal_problem};
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
    config: PathBuf,
    #[command(flatten)]
    destination: Destination,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    for problem in claviger_hsm::harden_process() {
        output::note(format_args!("warning: {problem}"));
    }
    arguments.destination.check()?;
    let config = Config::load(&arguments.config)?;
    // It takes the store's lock, so no server can run beside it.
    let deployment = DataDirectory::of(&config)?.open(config.settings(), &config.seal).await?;
    for unopened in &deployment.unopened {
        output::note(format_args!("warning: the seal {} does not open: {}", unopened.name, unopened.problem));
    }
    let service = &deployment.service;
    let done = async {
        let recovery = service.prepare_recovery().await.map_err(|refusal| refusal_problem(&refusal))?;
        arguments.destination.tell(recovery.administrator(), &service.verifier_key())?;
        let replaced = recovery.replaced().join(", ");
        service.recover_administrator(recovery).await.map_err(|refusal| {
            arguments.destination.withdraw();
            refusal_problem(&refusal)
        })?;
        if !replaced.is_empty() {
            output::note(format_args!("# These access keys of the administrator were deleted: {replaced}"));
        }
        Ok::<(), Problem>(())
    }
    .await;
    close_store(deployment.store).await?;
    done?;
    output::note("# The audit log tells of it as RecoverAdministrator. Now start the server again.");
    Ok(())
}
