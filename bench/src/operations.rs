//! Operation by operation: what a request costs in Claviger and in the bare server, at some numbers of connections.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::ValueEnum;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::failure::{Context as _, Failure};
use crate::load::{Generator, Tally, Until};
use crate::report::{Report, Table};
use crate::requests::{Api, Client};
use crate::server::{Binaries, Deployment, Server, Started};
use crate::usage::ByThread;
use crate::{Plan, WARM_UP};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    #[value(name = "encrypt-32")]
    Encrypt32,
    #[value(name = "encrypt-4096")]
    Encrypt4096,
    Decrypt,
    GenerateDataKey,
    DescribeKey,
    CreateKey,
}

/// Different requests of one operation, so that nothing is measured that only a repetition allows.
const POOL: usize = 64;
/// The turns that the two servers take at each figure.
const TURNS: u32 = 3;
/// The bare server's figures settle sooner, so that it gets a part of the time only.
const BARE_SHARE: u32 = 2;
/// The number of connections that the bars speak of.
pub(crate) const BAR_CONNECTIONS: usize = 64;

impl Operation {
    pub(crate) const ALL: [Self; 6] =
        [Self::Encrypt32, Self::Encrypt4096, Self::Decrypt, Self::GenerateDataKey, Self::DescribeKey, Self::CreateKey];

    fn title(self) -> &'static str {
        match self {
            Self::Encrypt32 => "Encrypt 32 B",
            Self::Encrypt4096 => "Encrypt 4 KiB",
            Self::Decrypt => "Decrypt 32 B",
            Self::GenerateDataKey => "GenerateDataKey AES_256",
            Self::DescribeKey => "DescribeKey",
            Self::CreateKey => "CreateKey",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Encrypt32 | Self::Encrypt4096 => "Encrypt",
            Self::Decrypt => "Decrypt",
            Self::GenerateDataKey => "GenerateDataKey",
            Self::DescribeKey => "DescribeKey",
            Self::CreateKey => "CreateKey",
        }
    }

    /// The bodies of its requests about this key.
    async fn bodies(self, client: &Client, server: &Server, key: &str) -> Result<Vec<Value>, Failure> {
        Ok(match self {
            Self::Encrypt32 => (0..POOL).map(|number| encrypt(key, 32, number)).collect(),
            Self::Encrypt4096 => (0..POOL).map(|number| encrypt(key, 4096, number)).collect(),
            Self::Decrypt => {
                let mut connection = Connection::open(server.address).await?;
                let mut bodies = Vec::with_capacity(POOL);
                for number in 0..POOL {
                    let encrypted = call(client, &mut connection, "Encrypt", &encrypt(key, 32, number)).await?;
                    bodies.push(json!({ "CiphertextBlob": encrypted.get("CiphertextBlob") }));
                }
                bodies
            }
            Self::GenerateDataKey => vec![json!({ "KeyId": key, "KeySpec": "AES_256" })],
            Self::DescribeKey => vec![json!({ "KeyId": key })],
            Self::CreateKey => vec![json!({})],
        })
    }
}

/// The body of an Encrypt of so many bytes, which differ from number to number.
pub(crate) fn encrypt(key: &str, bytes: usize, number: usize) -> Value {
    let mut plaintext = number.to_le_bytes().to_vec();
    plaintext.resize(bytes, 0xa5);
    json!({ "KeyId": key, "Plaintext": STANDARD.encode(plaintext) })
}

/// Calls an operation outside of what is measured.
pub(crate) async fn call(client: &Client, connection: &mut Connection, operation: &str, body: &Value) -> Result<Value, Failure> {
    call_api(Api::Kms, client, connection, operation, body).await
}

/// The same for any of the server's interfaces.
pub(crate) async fn call_api(
    api: Api,
    client: &Client,
    connection: &mut Connection,
    operation: &str,
    body: &Value,
) -> Result<Value, Failure> {
    serde_json::from_slice(&answer_to(api, client, connection, operation, body).await?)
        .context(format!("the answer to {operation} is not JSON"))
}

/// Makes a key outside of what is measured, and tells its id.
pub(crate) async fn create_key(client: &Client, connection: &mut Connection) -> Result<String, Failure> {
    key_of(&answer_to(Api::Kms, client, connection, "CreateKey", &json!({})).await?)
}

/// The id of the key that CreateKey's answer tells of.
pub(crate) fn key_of(answer: &[u8]) -> Result<String, Failure> {
    key_of_value(&serde_json::from_slice(answer).context("the answer to CreateKey is not JSON")?)
}

/// The same of an answer that was read.
pub(crate) fn key_of_value(answer: &Value) -> Result<String, Failure> {
    let id = answer.pointer("/KeyMetadata/KeyId").and_then(Value::as_str);
    id.map(str::to_owned).ok_or_else(|| Failure::new("CreateKey's answer names no key"))
}

async fn answer_to(
    api: Api,
    client: &Client,
    connection: &mut Connection,
    operation: &str,
    body: &Value,
) -> Result<Bytes, Failure> {
    let request = client.requests_to(api, operation, std::slice::from_ref(body))?.pop().unwrap_or_default();
    let answer = connection.call(&request).await?;
    if answer.status != 200 {
        let body = String::from_utf8_lossy(answer.body);
        return Err(Failure::new(format!("{operation} was answered with {}: {body}", answer.status)));
    }
    Ok(Bytes::copy_from_slice(answer.body))
}

/// Measures the plan's operations and puts their bars into the report.
pub(crate) async fn measure(plan: &Plan, binaries: &Binaries, scratch: &Path, report: &mut Report) -> Result<(), Failure> {
    let deployment = Deployment::new(binaries, scratch.join("operations"))?;
    let Started { server, client, took: _ } = deployment.start().await?;
    let key = create_key(&client, &mut Connection::open(server.address).await?).await?;

    let table = Table::new(&[
        "operation",
        "connections",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU µs",
        "bare requests/s",
        "bare p99 ms",
        "bare CPU µs",
        "CPU ratio",
        "entries/commit",
        "commit ms",
    ]);
    println!("## Operations\n\n{}", table.head());
    let mut threads = Vec::new();
    for &operation in &plan.operations {
        let bodies = operation.bodies(&client, &server, &key).await?;
        let bare = bare_like(binaries, scratch, &server, &client.requests(operation.name(), &bodies)?).await?;
        for &connections in &plan.connections {
            // Signed anew each time: a signature is good for five minutes.
            let requests = client.requests(operation.name(), &bodies)?;
            let figures = compare(&server, &bare, &requests, connections, plan.duration()).await?;
            println!("{}", table.row(&figures.cells(operation, connections)));
            figures.report(operation, connections, report);
            if plan.connections.iter().all(|&other| other <= connections) {
                threads.push(format!("- {}, {connections} connections: {}", operation.title(), figures.claviger.by_thread()));
            }
        }
    }
    println!("\nServer CPU µs per request by thread:\n\n{}", threads.join("\n"));
    Ok(())
}

/// A bare server that answers as the server does to the first of these requests.
async fn bare_like(binaries: &Binaries, scratch: &Path, server: &Server, requests: &[Bytes]) -> Result<Server, Failure> {
    let mut connection = Connection::open(server.address).await?;
    let request = requests.first().ok_or_else(|| Failure::new("there is nothing to ask"))?;
    let answer = connection.call(request).await?;
    let headers: Vec<(HeaderName, HeaderValue)> = answer
        .head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
        // Those that hyper writes itself.
        .filter(|(name, _)| *name != CONTENT_LENGTH && *name != DATE)
        .collect();
    Server::bare(binaries, scratch.join("bare.log"), &headers, answer.body.len()).await
}

/// One server's figures.
pub(crate) struct Side<'a> {
    server: &'a Server,
    generator: Generator,
    pub(crate) tally: Tally,
    cpu_ns: ByThread,
}

impl<'a> Side<'a> {
    pub(crate) async fn new(server: &'a Server, requests: Vec<Bytes>, connections: usize) -> Result<Self, Failure> {
        let connections = Connection::open_many(server.address, connections).await?;
        Ok(Self::with(server, Generator::new(connections, requests)))
    }

    pub(crate) fn with(server: &'a Server, generator: Generator) -> Self {
        Self { server, generator, tally: Tally::default(), cpu_ns: ByThread::new() }
    }

    /// Drives the server without counting what happens.
    pub(crate) async fn warm_up(&mut self) -> Result<(), Failure> {
        self.generator.drive(Until::Elapsed(WARM_UP), &mut Tally::default()).await
    }

    pub(crate) async fn take_turn(&mut self, until: Until) -> Result<(), Failure> {
        let before = self.server.cpu_time()?;
        self.generator.drive(until, &mut self.tally).await?;
        for (thread, used) in self.server.cpu_time()?.since(&before) {
            *self.cpu_ns.entry(thread).or_default() += used;
        }
        Ok(())
    }

    /// CPU time of one request, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_ns.values().sum::<u64>() as f64 / 1e3 / self.tally.count().max(1) as f64
    }

    fn by_thread(&self) -> String {
        let requests = self.tally.count().max(1) as f64;
        let mut threads: Vec<_> = self.cpu_ns.iter().map(|(name, used)| (name, *used as f64 / 1e3 / requests)).collect();
        threads.sort_by(|a, b| b.1.total_cmp(&a.1));
        threads.retain(|(_, used)| *used >= 0.05);
        threads.iter().map(|(name, used)| format!("{name} {used:.1}")).collect::<Vec<_>>().join(", ")
    }
}

/// What the two servers came to.
struct Figures<'a> {
    claviger: Side<'a>,
    bare: Side<'a>,
    entries_per_commit: f64,
    commit_ms: f64,
}

async fn compare<'a>(
    server: &'a Server,
    bare: &'a Server,
    requests: &[Bytes],
    connections: usize,
    duration: Duration,
) -> Result<Figures<'a>, Failure> {
    let mut claviger = Side::new(server, requests.to_vec(), connections).await?;
    let mut bare = Side::new(bare, requests.to_vec(), connections).await?;
    claviger.warm_up().await?;
    bare.warm_up().await?;
    let before = sums(&server.metrics().await?);
    for _ in 0..TURNS {
        claviger.take_turn(Until::Elapsed(duration / TURNS)).await?;
        bare.take_turn(Until::Elapsed(duration / TURNS / BARE_SHARE)).await?;
    }
    let after = sums(&server.metrics().await?);
    let grown = |name: &str| after.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
    Ok(Figures {
        claviger,
        bare,
        entries_per_commit: grown("claviger_store_group_entries_sum") / grown("claviger_store_group_entries_count"),
        commit_ms: grown("claviger_store_commit_seconds_sum") / grown("claviger_store_commit_seconds_count") * 1e3,
    })
}

impl Figures<'_> {
    fn ratio(&self) -> f64 {
        self.claviger.cpu_us() / self.bare.cpu_us()
    }

    fn cells(&self, operation: Operation, connections: usize) -> Vec<String> {
        let Self { claviger, bare, .. } = self;
        vec![
            operation.title().to_owned(),
            connections.to_string(),
            format!("{:.0}", claviger.tally.per_second()),
            format!("{:.2}", claviger.tally.quantile_ms(0.5)),
            format!("{:.2}", claviger.tally.quantile_ms(0.99)),
            format!("{:.1}", claviger.cpu_us()),
            format!("{:.0}", bare.tally.per_second()),
            format!("{:.2}", bare.tally.quantile_ms(0.99)),
            format!("{:.1}", bare.cpu_us()),
            format!("{:.2}", self.ratio()),
            format!("{:.1}", self.entries_per_commit),
            format!("{:.2}", self.commit_ms),
        ]
    }

    fn report(&self, operation: Operation, connections: usize, report: &mut Report) {
        if connections != BAR_CONNECTIONS {
            return;
        }
        if operation == Operation::Encrypt32 {
            let ratio = self.ratio();
            let got = format!("{ratio:.2}x ({:.1} µs against {:.1} µs)", self.claviger.cpu_us(), self.bare.cpu_us());
            report.bar("Encrypt 32 B, 64 connections, durable audit: CPU per request", "≤ 2x the bare server", got, ratio <= 2.0);
        }
        let p99 = self.claviger.tally.quantile_ms(0.99);
        let what = format!("{}, 64 connections: p99", operation.title());
        report.bar(what, "< 10 ms", format!("{p99:.2} ms"), p99 < 10.0);
        if operation == Operation::CreateKey {
            let rate = self.claviger.tally.per_second();
            report.bar("CreateKey, 64 connections, durable", "≥ 2,000/s", format!("{rate:.0}/s"), rate >= 2000.0);
        }
    }
}

/// The sums and counts in a page of metrics, by name. Source: Prometheus, "Exposition formats", text version 0.0.4.
fn sums(page: &str) -> BTreeMap<String, f64> {
    page.lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| name.ends_with("_sum") || name.ends_with("_count"))
        .filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_metrics_gives_its_sums() {
        let page = "# TYPE a histogram\na_bucket{le=\"1\"} 3\na_sum 1.5\na_count 3\nb_total 9\n";
        assert_eq!(sums(page), BTreeMap::from([("a_sum".to_owned(), 1.5), ("a_count".to_owned(), 3.0)]));
    }

    #[test]
    fn plaintexts_have_their_length_and_differ() {
        let plaintext =
            |number| STANDARD.decode(encrypt("key", 32, number).get("Plaintext").and_then(Value::as_str).unwrap_or_default());
        assert_eq!(plaintext(1).map(|bytes| bytes.len()), Ok(32));
        assert_ne!(plaintext(1), plaintext(2));
    }
}
