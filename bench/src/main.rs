//! `make bench`: what a request costs, measured on this machine, beside a bare server of the same stack.
//!
//! One run starts the real `claviger` binary and a bare hyper server as child processes, and drives both in turns with the same
//! signed requests over the same kind of connections, so that whatever else the machine does falls on both. What is compared is
//! the CPU time that the kernel accounts to the child process for one request: requests per second depend on who else wants the
//! CPU (the generator does, too), CPU per request hardly.
//!
//! A figure that misses its bar is reported and does not fail the run: benchmarks report, tests assert. An answer other than 200
//! does fail it, because then nothing was measured.
//!
//! Start reading at [`operations`] for the table of operations and at [`many_keys`] for the large store; `load` is the generator,
//! `bare` the server that is compared with.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program: its table goes to stdout, its progress to stderr"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use http::{HeaderName, HeaderValue};

use crate::failure::{Context as _, Failure};
use crate::operations::Operation;
use crate::report::{Bar, Report};

mod algorithms;
mod bare;
mod cluster;
mod connection;
mod database;
mod disk;
mod failure;
mod load;
mod machine;
mod many_keys;
mod operations;
mod primitives;
mod report;
mod requests;
mod server;
mod tls;
mod tokens;
mod usage;
mod xks;

/// Measures Claviger beside a bare HTTP server.
#[derive(Debug, Parser)]
#[command(name = "claviger-bench", max_term_width = 100, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The bare server, which the benchmark starts itself
    #[command(hide = true)]
    Bare(BareArguments),
    /// Measure several nodes on PostgreSQL beside one on SQLite, and a million keys in both
    Cluster(cluster::ClusterArguments),
    /// A token's library alone, which the benchmark starts itself
    #[command(hide = true)]
    TokenAlone(TokenAloneArguments),
}

#[derive(Debug, Args)]
struct TokenAloneArguments {
    /// The library
    #[arg(long)]
    library: PathBuf,
}

#[derive(Debug, Args)]
struct BareArguments {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// The length of each answer's body
    #[arg(long)]
    body_bytes: usize,
    /// The certificate and the key, to serve TLS with
    #[arg(long, num_args = 2, value_names = ["CERTIFICATE", "KEY"])]
    tls: Option<Vec<PathBuf>>,
    /// A header of each answer, as NAME:VALUE
    #[arg(long, value_parser = parse_header)]
    header: Vec<(HeaderName, HeaderValue)>,
}

/// What to measure, and for how long.
#[derive(Debug, Args)]
struct Plan {
    /// The server's program; by default the one beside this program
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Where to put the stores of the run (removed afterwards); by default beside this program. Its disk is what is measured
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How long each operation is measured at each number of connections
    #[arg(long, default_value_t = 3.0, value_parser = parse_seconds)]
    seconds: f64,
    /// How many connections to use at a time
    #[arg(long, value_delimiter = ',', default_value = "1,8,64")]
    connections: Vec<usize>,
    /// Which operations to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Operation::ALL)]
    operations: Vec<Operation>,
    /// How many keys the large store gets; 0 leaves that part out
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// How long AWS KMS asks an external key store 1,800 times a second; 0 leaves that part out
    #[arg(long, default_value_t = 10.0, value_parser = parse_seconds_or_none)]
    xks_seconds: f64,
    /// Measure the external key store alone
    #[arg(long)]
    xks_only: bool,
    /// Leave out the signatures, codes and grants beside their primitives
    #[arg(long)]
    without_algorithms: bool,
    /// Leave out the key in a token
    #[arg(long)]
    without_tokens: bool,
    /// A short run, to see that everything works: a third of the time, 10,000 keys
    #[arg(long)]
    quick: bool,
}

impl Plan {
    fn duration(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { self.seconds / 3.0 } else { self.seconds })
    }

    fn key_count(&self) -> usize {
        if self.quick { self.keys.min(10_000) } else { self.keys }
    }
}

/// How long a server is driven before its figures count.
const WARM_UP: Duration = Duration::from_millis(500);

/// That of the `claviger` binary, because the bare server has to be of the same stack.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let outcome = match command_line.command {
        Some(Command::Bare(arguments)) => {
            let tls = arguments.tls.as_deref().and_then(tls::ServerFiles::of);
            bare::run(arguments.listen, arguments.header, arguments.body_bytes, tls.as_ref())
        }
        Some(Command::TokenAlone(arguments)) => tokens::alone(&arguments.library),
        Some(Command::Cluster(arguments)) => {
            on_machine(arguments.server.as_deref(), arguments.data.as_deref(), async |binaries, scratch| {
                cluster::measure(&arguments, binaries, scratch).await
            })
        }
        None => measure(&command_line.plan),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nTHE BENCHMARK FAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Says what machine this is, and measures something on it: with the programs, and in a directory that is removed afterwards.
fn on_machine(
    server: Option<&Path>,
    data: Option<&Path>,
    measure: impl AsyncFnOnce(&server::Binaries, &Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let here = std::env::current_exe().context("cannot find this program's own path")?;
    let here = here.parent().unwrap_or(Path::new("."));
    let binaries = server::Binaries {
        claviger: server.map_or_else(|| here.join("claviger"), Path::to_path_buf),
        bench: std::env::current_exe().context("cannot find this program's own path")?,
    };
    let directory = data.unwrap_or(here);
    std::fs::create_dir_all(directory).context(format!("cannot make {}", directory.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(directory)
        .context(format!("cannot make a directory in {}", directory.display()))?;

    // One thread drives everything, so that the servers have the rest of the machine to themselves.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the generator")?;
    runtime.block_on(async {
        machine::describe().iter().for_each(|line| println!("{line}"));
        println!("{}\n", disk::measure(scratch.path())?);
        measure(&binaries, scratch.path()).await
    })
}

fn measure(plan: &Plan) -> Result<(), Failure> {
    let mut report = Report::default();
    on_machine(plan.server.as_deref(), plan.data.as_deref(), async |binaries, scratch| {
        if plan.xks_seconds > 0.0 {
            xks::measure(plan, binaries, scratch, &mut report).await?;
        }
        if plan.xks_only {
            print_bars(&report);
            return Ok(());
        }
        operations::measure(plan, binaries, scratch, &mut report).await?;
        if !plan.without_algorithms {
            algorithms::measure(plan, binaries, scratch, &mut report).await?;
        }
        if !plan.without_tokens {
            tokens::measure(plan, binaries, scratch, &mut report).await?;
        }
        if plan.key_count() > 0 {
            many_keys::measure(plan.key_count(), binaries, scratch, &mut report).await?;
        }
        print_bars(&report);
        Ok(())
    })
}

fn print_bars(report: &Report) {
    println!("\n## Bars\n\n{}", report.bars_table());
    match report.missed() {
        0 => println!("All bars are met."),
        1 => println!("ONE BAR IS MISSED."),
        missed => println!("{missed} BARS ARE MISSED."),
    }
    if report.bars.iter().any(|Bar { noisy, .. }| *noisy) {
        println!("The machine was busy with other work (see the load average): repeat the run when it is idle.");
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.1 to 600".to_owned()),
    }
}

fn parse_seconds_or_none(text: &str) -> Result<f64, String> {
    if text == "0" { Ok(0.0) } else { parse_seconds(text) }
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("NAME:VALUE")?;
    Ok((name.parse().map_err(|_| "a header's name")?, value.parse().map_err(|_| "a header's value")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_says_what_it_leaves_out() {
        use clap::CommandFactory as _;
        CommandLine::command().debug_assert();
        let quick = CommandLine::try_parse_from(["claviger-bench", "--quick"]).unwrap().plan;
        assert_eq!(quick.key_count(), 10_000);
        assert_eq!(quick.duration(), Duration::from_secs(1));
        assert_eq!(quick.connections, [1, 8, 64]);
        assert_eq!(quick.operations.len(), Operation::ALL.len());
    }
}
