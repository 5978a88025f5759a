//! Logs: lines for people or JSON for programs, to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};
use crate::problem::Problem;

/// Starts logging, for the life of the process. `CLAVIGER_LOG` overrides the level, in the directive form of `tracing`
/// (`info,claviger_store=debug`).
///
/// # Errors
/// `CLAVIGER_LOG` cannot be read, or logging was started before.
pub fn start_logging(log: &Log) -> Result<(), Problem> {
    let directives = std::env::var("CLAVIGER_LOG").unwrap_or_else(|_| log.level.as_str().to_owned());
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        Problem::usage(format!("CLAVIGER_LOG is `{directives}`, which cannot be read: {error}"))
            .remedy("set it to a level (error, warn, info, debug, trace) or to target=level pairs")
    })?;
    // Colours are for eyes: in a file or a journal they are litter. Source: no-color.org.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let started = match log.format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Problem::new(format!("cannot start logging: {error}")))
}
