//! `claviger ready`: whether the server on this machine may be sent requests. For health checks where nothing else can ask: the container
//! image has no shell and no curl.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::output;
use crate::config::Config;
use crate::problem::Problem;

/// How long to wait for the server.
const SERVER_TIME_MAX: Duration = Duration::from_secs(3);
/// Longer than any answer of the listener to what is asked here.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file that the server runs with
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
    config: PathBuf,
    /// Only ask whether the process lives: it may be sealed, or without its store
    #[arg(long)]
    alive: bool,
}

/// What the listener for health said.
pub(super) struct Answer {
    /// Whether the status is 200.
    pub(super) good: bool,
    /// The answer without its head.
    pub(super) body: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Problem> {
    let config = Config::load(&arguments.config)?;
    let Some(observability) = &config.observability else {
        return Err(Problem::usage(format!(
            "{} has no [observability], so that the server tells nobody",
            arguments.config.display()
        ))
        .remedy("add [observability] with `listen`, and start the server again"));
    };
    let (path, state) = if arguments.alive { ("/healthz", "alive") } else { ("/readyz", "ready") };
    let address = reachable_from_here(observability.listen);
    let answer = ask(address, path).map_err(|error| {
        Problem::new(format!("no answer from http://{address}{path}: {error}")).remedy("start the server, or look at its log")
    })?;
    if answer.good {
        return output::line(state);
    }
    Err(Problem::new(format!("the server is not {state}: {}", what_is_wrong(&answer.body))).remedy("look at its log"))
}

/// A server that listens on every address is asked on loopback.
pub(super) fn reachable_from_here(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    }
}

/// Asks the listener for health.
///
/// # Errors
/// It does not answer, or not in HTTP.
pub(super) fn ask(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, SERVER_TIME_MAX)?;
    stream.set_read_timeout(Some(SERVER_TIME_MAX))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let not_http = || io::Error::new(io::ErrorKind::InvalidData, "what listens there does not speak HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(not_http)?;
    Ok(Answer { good: head.starts_with("HTTP/1.1 200"), body: body.to_owned() })
}

/// The problems that `/readyz` tells of; its whole answer where it tells of none in the known form.
fn what_is_wrong(body: &str) -> String {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    let checks = answer.get("checks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let problems: Vec<&str> = checks.iter().filter_map(|check| check.get("problem")?.as_str()).collect();
    if problems.is_empty() { output::printable(body.trim()) } else { output::printable(&problems.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_in_the_servers_words() {
        let body = r#"{"ready":false,"checks":[{"name":"seal"},{"name":"store","problem":"the store does not answer"},{"name":"lease","problem":"stale"}]}"#;
        assert_eq!(what_is_wrong(body), "the store does not answer; stale");
        assert_eq!(what_is_wrong("not today\n"), "not today");
    }

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_loopback() {
        for (listens, asked) in
            [("0.0.0.0:9912", "127.0.0.1:9912"), ("[::]:9912", "[::1]:9912"), ("10.0.0.7:9912", "10.0.0.7:9912")]
        {
            assert_eq!(reachable_from_here(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
