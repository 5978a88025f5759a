//! Where a deployment's files are: said by `--config`, or by `--data` for one of `claviger dev`.

use std::path::PathBuf;

use clap::Args;
use claviger_store::Store;

use super::output;
use crate::config::{Config, Seals};
use crate::deployment::{DataDirectory, Deployment, Locked};
use crate::problem::Problem;
use crate::seals::Unopened;

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Source {
    /// The configuration file of the server [default: CLAVIGER_CONFIG]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory, in place of a configuration file
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Which deployment on this machine's disk.
#[derive(Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    source: Source,
    /// The node whose log is meant, where it is not the configured one
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

/// A deployment that was found.
pub(super) struct Found {
    pub(super) data: DataDirectory,
    pub(super) node: String,
    /// Whether the node was named on the command line, and no other is meant.
    pub(super) one_node: bool,
    configured_seals: Option<Seals>,
}

impl Place {
    /// Finds out what the arguments mean.
    pub(super) fn find(&self) -> Result<Found, Problem> {
        // An argument on the command line wins over CLAVIGER_CONFIG in the environment.
        let from_environment = || std::env::var_os("CLAVIGER_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
        let (data, configured_node, configured_seals) = match &self.source.data {
            Some(data) => (DataDirectory::new(data), None, None),
            None => {
                let file = self.source.config.clone().or_else(from_environment).ok_or_else(|| {
                    Problem::usage("neither --config nor --data was given, and CLAVIGER_CONFIG is not set").remedy(
                        "name the server's configuration file with --config, or the directory of `claviger dev` with --data",
                    )
                })?;
                let config = Config::load(&file)?;
                let seals = config.seal.clone();
                (DataDirectory::of(&config)?, Some(config.node.as_str().to_owned()), Some(seals))
            }
        };
        let node = self.node.clone().or(configured_node).unwrap_or_else(|| "dev".to_owned());
        Ok(Found { data, node, one_node: self.node.is_some(), configured_seals })
    }
}

impl Found {
    /// What opens this deployment.
    pub(super) async fn locked(&self, store: &dyn Store) -> Result<Locked, Problem> {
        Locked::of(store).await
    }

    /// The seals that may open it; none where no configuration says any.
    pub(super) fn configured(&self) -> Result<Option<Seals>, Problem> {
        self.seals().map(Some)
    }

    /// Opens the deployment for reading, with the first seal that opens. Seals that do not are told of.
    pub(super) async fn open_read_only(&self) -> Result<Deployment, Problem> {
        let deployment = self.data.open_read_only(&self.node, &self.seals()?).await?;
        for Unopened { name, problem, .. } in &deployment.unopened {
            output::note(format_args!("warning: the seal {name} does not open: {problem}"));
        }
        Ok(deployment)
    }

    /// The seals that may open the deployment: the configured ones, or the development seal that lies beside the store.
    fn seals(&self) -> Result<Seals, Problem> {
        if let Some(seals) = &self.configured_seals {
            return Ok(seals.clone());
        }
        let beside = self.data.path().join("seal.key");
        if beside.exists() {
            return Ok(Seals::development_file(beside));
        }
        Err(Problem::usage(format!("{} has no development seal", self.data.path().display()))
            .remedy("name the server's configuration with --config, so that its seals are known"))
    }
}
