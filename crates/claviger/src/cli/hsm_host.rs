//! `claviger hsm-host`: the process that loads the PKCS#11 library of one token.

use std::io::IsTerminal as _;

use clap::Args;

use crate::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What the token is called in the configuration, for people who look at the list of processes
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
}

pub(super) fn run(_: &Arguments) -> Result<(), Problem> {
    if std::io::stdin().is_terminal() {
        return Err(Problem::usage("hsm-host is started by a server, which talks with it over a socket")
            .remedy("use `claviger token check` to find out whether a token works"));
    }
    // PINs and plaintexts pass through here: no core dumps, no debugger.
    claviger_hsm::harden_process();
    claviger_token::host::run().map_err(|error| Problem::new(format!("hsm-host cannot go on: {error}")))
}
