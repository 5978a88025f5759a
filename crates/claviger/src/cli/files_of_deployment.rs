//! Where a deployment's files are: said by `--config`, or by `--data` for one of `claviger dev`.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, Seal};
use crate::deployment::DataDirectory;
use crate::problem::Problem;

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// The configuration file of the server
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
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
    configured_seal: Option<Seal>,
}

impl Place {
    /// Finds out what the arguments mean.
    pub(super) fn find(&self) -> Result<Found, Problem> {
        // An argument on the command line wins over CLAVIGER_CONFIG in the environment.
        let (data, configured_node, configured_seal) = match (&self.source.data, &self.source.config) {
            (Some(data), _) => (data.clone(), None, None),
            (None, Some(file)) => {
                let config = Config::load(file)?;
                let seal = config.seal.iter().next().cloned();
                (config.data, Some(config.node.as_str().to_owned()), seal)
            }
            (None, None) => return Err(Problem::usage("neither --config nor --data was given")),
        };
        let node = self.node.clone().or(configured_node).unwrap_or_else(|| "dev".to_owned());
        Ok(Found { data: DataDirectory::new(data), node, configured_seal })
    }
}

impl Found {
    /// The seal that opens the deployment: the configured one, or the development seal that lies beside the store.
    pub(super) fn seal(&self) -> Result<Seal, Problem> {
        if let Some(seal) = &self.configured_seal {
            return Ok(seal.clone());
        }
        let beside = self.data.path().join("seal.key");
        if beside.exists() {
            return Ok(Seal::DevelopmentFile(beside));
        }
        Err(Problem::usage(format!("{} has no development seal", self.data.path().display()))
            .remedy("name the server's configuration with --config, so that its seal is known"))
    }
}
