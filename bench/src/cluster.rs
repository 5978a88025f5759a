//! `make bench-cluster`: one, two and three nodes on a database beside one node on SQLite; and what a million keys cost in either.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::database::Database;
use crate::failure::{Context as _, Failure};
use crate::load::{Generator, Tally, Until, quantile};
use crate::many_keys::{Pages, Shelf, resident_mb, shuffle};
use crate::operations::{BAR_CONNECTIONS, Side, create_key, encrypt, key_of};
use crate::report::Table;
use crate::requests::Client;
use crate::server::{Binaries, Server, free_address};
use crate::tokens::account;

/// What to measure of several nodes, and for how long.
#[derive(Debug, Args)]
pub(crate) struct ClusterArguments {
    /// The server's program; by default the one beside this program
    #[arg(long, value_name = "FILE")]
    pub(crate) server: Option<PathBuf>,
    /// Where to put the stores of the run (removed afterwards); by default beside this program. Its disk is what is measured
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// How long each operation is measured at each number of nodes
    #[arg(long, default_value_t = 6.0)]
    pub(crate) seconds: f64,
    /// The largest number of nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=9))]
    pub(crate) nodes: u8,
    /// How many keys the large stores get; 0 leaves that part out
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) keys: usize,
}

/// More keys than any of these deployments gets: AWS's quota is 100,000.
const KEYS_MAX: usize = 100_000_000;
/// The turns of one measurement.
const TURNS: u32 = 3;
/// Different requests of one operation.
const POOL: usize = 64;
/// So many keys are made before their answers are looked through.
const MADE_TOGETHER: usize = 20_000;
/// The pages of ListKeys that are timed.
const PAGES: usize = 200;
/// The keys that are used for the first time by somebody who is alone, and by all connections.
const COLD_ALONE: usize = 2_000;
const COLD_TOGETHER: usize = 20_000;

/// A deployment of some nodes and its first account.
struct Deployment<'a> {
    binaries: &'a Binaries,
    directory: PathBuf,
    /// The lines of the configuration that say where the store is; empty for SQLite.
    store: String,
    access_key: String,
    secret: String,
}

/// A node that answers.
struct Node {
    server: Server,
    client: Client,
    /// From the start of its process to its first successful answer.
    took: Duration,
}

/// Measures all of it.
pub(crate) async fn measure(arguments: &ClusterArguments, binaries: &Binaries, scratch: &Path) -> Result<(), Failure> {
    let place = scratch.join("database");
    let database = Database::start(&place).await?;
    println!("Database: {}, on this machine, synchronous_commit = on, one instance.\n", database.version);
    if arguments.nodes > 0 {
        compare_nodes(arguments, binaries, scratch, &database).await?;
    }
    if arguments.keys > 0 {
        println!("\n## {} keys\n", arguments.keys);
        let sqlite = Deployment::make(binaries, scratch.join("many-sqlite"), String::new()).await?;
        many_keys("SQLite", &sqlite, arguments.keys).await?;
        let size = fs::metadata(sqlite.directory.join("n1").join("store.sqlite")).context("cannot see the store")?.len();
        println!("SQLite: {:.0} MB on disk.\n", size as f64 / 1e6);
        drop(sqlite);
        let store = database.create(&place, "many")?;
        let postgres = Deployment::make(binaries, scratch.join("many-postgres"), store).await?;
        many_keys("PostgreSQL", &postgres, arguments.keys).await?;
        println!("PostgreSQL: {:.0} MB on disk.\n", database.size_mb(&place, "many")?);
    }
    Ok(())
}

/// The same load on one node with SQLite, and on one and more with the database.
async fn compare_nodes(
    arguments: &ClusterArguments,
    binaries: &Binaries,
    scratch: &Path,
    database: &Database,
) -> Result<(), Failure> {
    println!("## Nodes\n\n{BAR_CONNECTIONS} connections, spread over the nodes.\n");
    let columns =
        ["operation", "store", "nodes", "requests/s", "p50 ms", "p99 ms", "nodes' CPU µs", "database's CPU µs", "together"];
    let mut table = Table::new(&columns);
    table.fit(&[String::new(), "PostgreSQL".to_owned()]);
    println!("{}", table.head());
    for nodes in 0..=usize::from(arguments.nodes) {
        let (name, store) = match nodes {
            0 => ("SQLite", String::new()),
            _ => ("PostgreSQL", database.create(&scratch.join("database"), &format!("nodes_{nodes}"))?),
        };
        let deployment = Deployment::make(binaries, scratch.join(format!("nodes-{nodes}")), store).await?;
        let mut serving = Vec::new();
        for number in 1..=nodes.max(1) {
            serving.push(deployment.serve(number).await?);
        }
        for operation in ["Encrypt", "DescribeKey", "CreateKey"] {
            let row = one_row(operation, &serving, database, arguments.seconds).await?;
            let (row, stored) = (row, name.to_owned());
            println!("{}", table.row(&[vec![operation.to_owned(), stored, serving.len().to_string()], row].concat()));
        }
    }
    Ok(())
}

/// Drives all nodes at the same time, and says what that cost.
async fn one_row(operation: &str, nodes: &[Node], database: &Database, seconds: f64) -> Result<Vec<String>, Failure> {
    let Some(first) = nodes.first() else { return Ok(Vec::new()) };
    let key = create_key(&first.client, &mut Connection::open(first.server.address).await?).await?;
    let bodies: Vec<Value> = match operation {
        "Encrypt" => (0..POOL).map(|number| encrypt(&key, 32, number)).collect(),
        "DescribeKey" => vec![json!({ "KeyId": key })],
        _ => vec![json!({})],
    };
    let mut sides = Vec::new();
    for node in nodes {
        let requests = node.client.requests(operation, &bodies)?;
        sides.push(Side::new(&node.server, requests, (BAR_CONNECTIONS / nodes.len()).max(1)).await?);
    }
    for side in &mut sides {
        side.warm_up().await?;
    }
    let before = database.cpu_ns()?;
    for _ in 0..TURNS {
        drive(&mut sides, Until::Elapsed(Duration::from_secs_f64(seconds / f64::from(TURNS)))).await?;
    }
    let requests: usize = sides.iter().map(|side| side.tally.count()).sum();
    let database_us = (database.cpu_ns()? - before) as f64 / 1e3 / requests.max(1) as f64;
    let nodes_us: f64 = sides.iter().map(|side| side.cpu_us() * side.tally.count() as f64).sum::<f64>() / requests.max(1) as f64;
    let rate: f64 = sides.iter().map(|side| side.tally.per_second()).sum();
    let times: Vec<u64> = sides.iter().flat_map(|side| side.tally.latencies_ns.iter().copied()).collect();
    Ok(vec![
        format!("{rate:.0}"),
        format!("{:.2}", quantile(&times, 0.5) / 1e6),
        format!("{:.2}", quantile(&times, 0.99) / 1e6),
        format!("{nodes_us:.1}"),
        format!("{database_us:.1}"),
        format!("{:.1}", nodes_us + database_us),
    ])
}

async fn drive(sides: &mut [Side<'_>], until: Until) -> Result<(), Failure> {
    let Some((first, others)) = sides.split_first_mut() else { return Ok(()) };
    tokio::try_join!(first.take_turn(until), Box::pin(drive(others, until))).map(drop)
}

/// Fills a store, and looks what is slower, or larger, because of it.
async fn many_keys(name: &str, deployment: &Deployment<'_>, count: usize) -> Result<(), Failure> {
    let node = deployment.serve(1).await?;
    let (keys, made) = fill(&node, count).await?;
    println!(
        "{name}: {count} keys made at {BAR_CONNECTIONS} connections: {:.0}/s, p99 {:.2} ms; VmRSS {:.0} MB.",
        made.per_second(),
        made.quantile_ms(0.99),
        resident_mb(&node.server)?
    );
    node.server.stop().await?;
    let Node { server, client, took } = deployment.serve(1).await?;
    println!("{name}: start to the first answer {:.2} s; VmRSS {:.0} MB.", took.as_secs_f64(), resident_mb(&server)?);
    let shelf = Shelf { server, client, keys };

    let mut pages = Pages::of(&shelf).await?;
    for _ in 0..PAGES {
        pages.turn(100).await?;
    }
    println!(
        "{name}: ListKeys, pages of 100, 1 connection: p50 {:.2} ms, p99 {:.2} ms, {:.0} µs of the node's CPU.",
        pages.median_ms(),
        pages.p99_ms(),
        pages.cpu_us()
    );
    let mut order: Vec<usize> = (0..shelf.keys.len()).collect();
    shuffle(&mut order, 11);
    let mut drawn = order.into_iter();
    for (connections, uses) in [(1, COLD_ALONE.min(count / 4)), (BAR_CONNECTIONS, COLD_TOGETHER.min(count / 2))] {
        let bodies: Vec<Value> =
            drawn.by_ref().take(uses).filter_map(|number| Some(encrypt(shelf.keys.get(number)?, 32, number))).collect();
        let requests: Vec<Bytes> = shelf.client.requests("Encrypt", &bodies)?;
        let mut side = Side::new(&shelf.server, requests, connections).await?;
        side.take_turn(Until::Count(uses)).await?;
        println!(
            "{name}: Encrypt 32 B, the first use of {uses} keys, {connections} connections: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {:.1} µs of the node's CPU.",
            side.tally.per_second(),
            side.tally.quantile_ms(0.5),
            side.tally.quantile_ms(0.99),
            side.cpu_us()
        );
    }
    println!("{name}: VmRSS afterwards {:.0} MB.", resident_mb(&shelf.server)?);
    shelf.server.stop().await
}

/// Makes the keys. Requests are signed anew for each part of them: a signature is good for five minutes.
async fn fill(node: &Node, count: usize) -> Result<(Vec<String>, Tally), Failure> {
    let (mut keys, mut all) = (Vec::with_capacity(count), Tally::default());
    while keys.len() < count {
        let connections = Connection::open_many(node.server.address, BAR_CONNECTIONS).await?;
        let mut generator = Generator::new(connections, vec![node.client.request("CreateKey", &json!({}))?]).keeping_answers();
        let mut part = Tally::default();
        generator.drive(Until::Count(MADE_TOGETHER.min(count - keys.len())), &mut part).await?;
        for answer in &part.answers {
            keys.push(key_of(answer)?);
        }
        all.elapsed += part.elapsed;
        all.latencies_ns.append(&mut part.latencies_ns);
    }
    Ok((keys, all))
}

impl<'a> Deployment<'a> {
    /// Makes a deployment, and an account in it.
    async fn make(binaries: &'a Binaries, directory: PathBuf, store: String) -> Result<Self, Failure> {
        fs::create_dir_all(&directory).context("cannot make a directory for a deployment")?;
        let mut deployment = Self { binaries, directory, store, access_key: String::new(), secret: String::new() };
        let (file, _) = deployment.configure(1)?;
        let made = Command::new(&binaries.claviger).arg("init").arg("--config").arg(&file).output();
        let made = made.context("cannot start claviger init")?;
        let printed = String::from_utf8_lossy(&made.stdout);
        let value = |name: &str| {
            let found = printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| Failure::new(format!("claviger init: {}", String::from_utf8_lossy(&made.stderr))))
        };
        deployment.access_key = value("CLAVIGER_ADMIN_ACCESS_KEY_ID")?.to_owned();
        deployment.secret = value("CLAVIGER_ADMIN_SECRET_ACCESS_KEY")?.to_owned();
        let (server, address) = deployment.start(1).await?;
        let administrator = Client::of(&deployment.access_key, &deployment.secret, "us-east-1", address)?;
        let root = account(&administrator, &mut Connection::open(address).await?).await?;
        (deployment.access_key, deployment.secret) = root.into_credentials();
        server.stop().await?;
        Ok(deployment)
    }

    /// Serves the node of this number, until it answers.
    async fn serve(&self, number: usize) -> Result<Node, Failure> {
        let begun = Instant::now();
        let (mut server, address) = self.start(number).await?;
        let client = Client::of(&self.access_key, &self.secret, "us-east-1", address)?;
        server.until_it_serves(begun, &client.request("ListKeys", &json!({ "Limit": 1 }))?).await?;
        Ok(Node { server, client, took: begun.elapsed() })
    }

    async fn start(&self, number: usize) -> Result<(Server, SocketAddr), Failure> {
        let (file, address) = self.configure(number)?;
        // The first node's is there; whoever joins brings his own.
        fs::create_dir_all(self.directory.join(format!("n{number}"))).context("cannot make a node's directory")?;
        let mut command = Command::new(&self.binaries.claviger);
        command.arg("serve").arg("--config").arg(&file);
        let server = Server::accepting(command, self.directory.join(format!("n{number}.log")), address).await?;
        Ok((server, address))
    }

    /// The configuration of the node of this number, at an address of its own.
    fn configure(&self, number: usize) -> Result<(PathBuf, SocketAddr), Failure> {
        let address = free_address()?;
        let file = self.directory.join(format!("n{number}.toml"));
        let text = format!(
            "node = \"n{number}\"\ndata = \"n{number}\"\nlisten = [\"{address}\"]\nregions = \"any\"\n\
             [seal.development_file]\npath = \"seal.key\"\n[quotas]\nkeys = {KEYS_MAX}\n{}",
            self.store
        );
        fs::write(&file, text).context("cannot write a configuration")?;
        Ok((file, address))
    }
}
