//! A store with many keys beside a store with a hundred: nothing may get slower because there is more of it.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::failure::{Context as _, Failure};
use crate::load::{Generator, Until, quantile};
use crate::operations::{BAR_CONNECTIONS, Side, call, create_key, encrypt, key_of};
use crate::report::{Report, Table};
use crate::requests::Client;
use crate::server::{Binaries, Deployment, Server, Started};
use crate::usage::memory_mb;

/// The keys of the store that is compared with.
const FEW: usize = 100;
/// The turns that the two stores take.
const TURNS: usize = 5;
/// How many pages of ListKeys are timed.
const PAGES: usize = 100;
const HOT_KEY_TIME: Duration = Duration::from_millis(400);
/// What "as fast as with 100 keys" means.
const SLOWER_MAX: f64 = 1.2;

/// A store, its server, and the keys in it.
pub(crate) struct Shelf {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) keys: Vec<String>,
}

/// Makes a store of so many keys, restarts its server, and compares it with a small one.
pub(crate) async fn measure(count: usize, binaries: &Binaries, scratch: &Path, report: &mut Report) -> Result<(), Failure> {
    println!("\n## {count} keys\n");
    let deployment = Deployment::new(binaries, scratch.join("many"))?;
    let keys = fill(&deployment, count, report).await?;
    let Started { server, client, took } = deployment.start().await?;
    let seconds = took.as_secs_f64();
    report.bar(format!("Start-up with {count} keys"), "< 2 s", format!("{seconds:.2} s"), seconds < 2.0);
    println!("Start-up to the first answer, after an orderly stop: {seconds:.2} s; VmRSS {:.0} MB.", resident_mb(&server)?);
    let many = Shelf { server, client, keys };

    let small = Deployment::new(binaries, scratch.join("few"))?;
    let few = shelve_few(&small).await?;
    // In this order, because a server writes out last uses of keys for a while after many were used.
    compare_list_keys(&many, &few, report).await?;
    compare_encrypt(&many, &few, report).await?;

    drop(many);
    let Started { server, took, .. } = deployment.start().await?;
    println!("Start-up to the first answer, after kill -9: {:.2} s; VmRSS {:.0} MB.", took.as_secs_f64(), resident_mb(&server)?);
    Ok(())
}

/// Creates the keys and stops the server.
async fn fill(deployment: &Deployment<'_>, count: usize, report: &mut Report) -> Result<Vec<String>, Failure> {
    let Started { server, client, took: _ } = deployment.start().await?;
    let connections = Connection::open_many(server.address, BAR_CONNECTIONS).await?;
    let generator = Generator::new(connections, vec![client.request("CreateKey", &json!({}))?]).keeping_answers();
    let mut side = Side::with(&server, generator);
    side.take_turn(Until::Count(count)).await?;
    let rate = side.tally.per_second();
    let what = format!("CreateKey, {BAR_CONNECTIONS} connections, durable, {count} in a row");
    report.bar(what, "≥ 2,000/s", format!("{rate:.0}/s"), rate >= 2000.0);
    println!(
        "CreateKey, {count} in a row at {BAR_CONNECTIONS} connections: {rate:.0}/s, p99 {:.2} ms, {:.1} µs of CPU each; VmRSS {:.0} MB.",
        side.tally.quantile_ms(0.99),
        side.cpu_us(),
        resident_mb(&server)?
    );
    let keys = side.tally.answers.iter().map(|answer| key_of(answer)).collect::<Result<_, _>>()?;
    drop(side);
    server.stop().await?;
    Ok(keys)
}

/// A small store, whose server has been restarted, too.
async fn shelve_few(deployment: &Deployment<'_>) -> Result<Shelf, Failure> {
    let Started { server, client, took: _ } = deployment.start().await?;
    let mut connection = Connection::open(server.address).await?;
    let mut keys = Vec::with_capacity(FEW);
    for _ in 0..FEW {
        keys.push(create_key(&client, &mut connection).await?);
    }
    drop(connection);
    server.stop().await?;
    let Started { server, client, took } = deployment.start().await?;
    println!("Start-up with {FEW} keys: {:.2} s; VmRSS {:.0} MB.", took.as_secs_f64(), resident_mb(&server)?);
    Ok(Shelf { server, client, keys })
}

async fn compare_encrypt(many: &Shelf, few: &Shelf, report: &mut Report) -> Result<(), Failure> {
    let count = many.keys.len();
    println!("\nEncrypt 32 B at {BAR_CONNECTIONS} connections, the two stores in turns where both have figures:\n");
    let mut table = Table::new(&[
        "keys drawn",
        "of",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU µs",
        "of 100: requests/s",
        "p50 ms",
        "p99 ms",
        "CPU µs",
    ]);
    let row = |drawn: &str, large: &Side<'_>, small: Option<&Side<'_>>| {
        let small = small.map_or_else(|| vec!["-".to_owned(); 4], cells);
        [vec![drawn.to_owned(), format!("{count} keys")], cells(large), small].concat()
    };
    table.fit(&[String::new(), format!("{count} keys")]);
    println!("{}", table.head());

    let (large, small) = always_the_same(many, few).await?;
    println!("{}", table.row(&row("always the same", &large, Some(&small))));
    println!("{}", table.row(&row("each key's first use", &each_once(many).await?, None)));
    let (large, small) = at_random(many, few).await?;
    println!("{}\n", table.row(&row("at random, warm", &large, Some(&small))));

    let slower = small.tally.per_second() / large.tally.per_second();
    let got = format!("{slower:.2}x the time, {:.2}x the CPU", large.cpu_us() / small.cpu_us());
    report.bar(format!("Encrypt over {count} keys beside {FEW}"), "≤ 1.2x the time", got, slower <= SLOWER_MAX);
    let resident = resident_mb(&many.server)?;
    println!(
        "Memory after every key was used: VmRSS {resident:.0} MB, at most {:.0} MB; with {FEW} keys {:.0} MB.",
        memory_mb(many.server.process_id(), "VmHWM")?,
        resident_mb(&few.server)?
    );
    report.bar(format!("Resident memory, {count} keys in use"), "≤ 300 MB", format!("{resident:.0} MB"), resident <= 300.0);
    Ok(())
}

async fn always_the_same<'a>(many: &'a Shelf, few: &'a Shelf) -> Result<(Side<'a>, Side<'a>), Failure> {
    let mut large = Side::new(&many.server, many.encrypt_first()?, BAR_CONNECTIONS).await?;
    let mut small = Side::new(&few.server, few.encrypt_first()?, BAR_CONNECTIONS).await?;
    large.warm_up().await?;
    small.warm_up().await?;
    for _ in 0..TURNS {
        large.take_turn(Until::Elapsed(HOT_KEY_TIME)).await?;
        small.take_turn(Until::Elapsed(HOT_KEY_TIME)).await?;
    }
    Ok((large, small))
}

/// The first use of each key but one: the server reads and opens it.
async fn each_once(many: &Shelf) -> Result<Side<'_>, Failure> {
    let count = many.keys.len();
    let mut side = Side::new(&many.server, many.encrypt_each(count, 1)?, BAR_CONNECTIONS).await?;
    side.take_turn(Until::Count(count)).await?;
    Ok(side)
}

async fn at_random<'a>(many: &'a Shelf, few: &'a Shelf) -> Result<(Side<'a>, Side<'a>), Failure> {
    let count = many.keys.len();
    // As many different requests for the small store, so that the generator has the same work with both.
    let mut large = Side::new(&many.server, many.encrypt_each(count, 2)?, BAR_CONNECTIONS).await?;
    let mut small = Side::new(&few.server, few.encrypt_each(count, 3)?, BAR_CONNECTIONS).await?;
    small.warm_up().await?;
    for _ in 0..TURNS {
        large.take_turn(Until::Count(count.div_ceil(TURNS))).await?;
        small.take_turn(Until::Count(count.div_ceil(TURNS))).await?;
    }
    Ok((large, small))
}

fn cells(side: &Side<'_>) -> Vec<String> {
    vec![
        format!("{:.0}", side.tally.per_second()),
        format!("{:.2}", side.tally.quantile_ms(0.5)),
        format!("{:.2}", side.tally.quantile_ms(0.99)),
        format!("{:.1}", side.cpu_us()),
    ]
}

async fn compare_list_keys(many: &Shelf, few: &Shelf, report: &mut Report) -> Result<(), Failure> {
    let (mut large, mut small) = (Pages::of(many).await?, Pages::of(few).await?);
    for _ in 0..PAGES {
        large.turn(100).await?;
        small.turn(100).await?;
    }
    let slower = large.median_ms() / small.median_ms();
    println!(
        "ListKeys, 1 connection, pages of 100: p50 {:.2} ms, {:.0} µs of CPU; with {FEW} keys {:.2} ms, {:.0} µs.",
        large.median_ms(),
        large.cpu_us(),
        small.median_ms(),
        small.cpu_us()
    );
    let got = format!("{slower:.2}x ({:.2} ms against {:.2} ms)", large.median_ms(), small.median_ms());
    report.bar(
        format!("ListKeys of 100 with {} keys beside {FEW}", many.keys.len()),
        "≤ 1.2x the time",
        got,
        slower <= SLOWER_MAX,
    );

    let mut whole = Pages::of(many).await?;
    while whole.turn(1000).await? {}
    println!(
        "ListKeys, 1 connection, pages of 1000: p50 {:.2} ms, {:.0} µs of CPU; {} pages to the end.",
        whole.median_ms(),
        whole.cpu_us(),
        whole.times_ns.len()
    );
    if whole.listed < many.keys.len() {
        return Err(Failure::new(format!("ListKeys told {} keys of {}", whole.listed, many.keys.len())));
    }
    Ok(())
}

/// A walk through ListKeys, from the first page to the last and from the first again.
pub(crate) struct Pages<'a> {
    shelf: &'a Shelf,
    connection: Connection,
    marker: Option<String>,
    listed: usize,
    times_ns: Vec<u64>,
    cpu_ns: u64,
}

impl<'a> Pages<'a> {
    pub(crate) async fn of(shelf: &'a Shelf) -> Result<Self, Failure> {
        let mut connection = Connection::open(shelf.server.address).await?;
        // The first one pays for the connection.
        call(&shelf.client, &mut connection, "ListKeys", &json!({ "Limit": 1 })).await?;
        Ok(Self { shelf, connection, marker: None, listed: 0, times_ns: Vec::new(), cpu_ns: 0 })
    }

    /// Reads one page, and tells whether there is another.
    pub(crate) async fn turn(&mut self, limit: usize) -> Result<bool, Failure> {
        let mut body = json!({ "Limit": limit });
        if let (Some(marker), Some(body)) = (self.marker.take(), body.as_object_mut()) {
            body.insert("Marker".into(), marker.into());
        }
        let request = self.shelf.client.request("ListKeys", &body)?;
        let before = self.shelf.server.cpu_time()?;
        let begun = Instant::now();
        let answer = self.connection.call(&request).await?;
        self.times_ns.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
        self.cpu_ns += self.shelf.server.cpu_time()?.since(&before).values().sum::<u64>();
        let body = String::from_utf8_lossy(answer.body);
        if answer.status != 200 {
            return Err(Failure::new(format!("ListKeys was answered with {}: {body}", answer.status)));
        }
        let page: Value = serde_json::from_str(&body).context("the answer to ListKeys is not JSON")?;
        self.listed += page.get("Keys").and_then(Value::as_array).map_or(0, Vec::len);
        self.marker = page.get("NextMarker").and_then(Value::as_str).map(str::to_owned);
        Ok(self.marker.is_some())
    }

    pub(crate) fn median_ms(&self) -> f64 {
        quantile(&self.times_ns, 0.5) / 1e6
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        quantile(&self.times_ns, 0.99) / 1e6
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.times_ns.len().max(1) as f64
    }
}

impl Shelf {
    /// So many requests, each key as often as the others, in an order drawn from `seed`.
    fn encrypt_each(&self, count: usize, seed: u64) -> Result<Vec<Bytes>, Failure> {
        let mut order: Vec<usize> = (0..count).collect();
        shuffle(&mut order, seed);
        let bodies: Vec<Value> = order
            .iter()
            .filter_map(|&number| Some(encrypt(self.keys.get(number % self.keys.len().max(1))?, 32, number)))
            .collect();
        self.client.requests("Encrypt", &bodies)
    }

    fn encrypt_first(&self) -> Result<Vec<Bytes>, Failure> {
        let key = self.keys.first().ok_or_else(|| Failure::new("there is no key"))?;
        let bodies: Vec<Value> = (0..FEW).map(|number| encrypt(key, 32, number)).collect();
        self.client.requests("Encrypt", &bodies)
    }
}

/// Fisher and Yates' shuffle, with Vigna's splitmix64 for a source: the same order in each run.
pub(crate) fn shuffle(items: &mut [usize], seed: u64) {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^= drawn >> 31;
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is at most `last`")]
        items.swap(last, (drawn % (last as u64 + 1)) as usize);
    }
}

pub(crate) fn resident_mb(server: &Server) -> Result<f64, Failure> {
    memory_mb(server.process_id(), "VmRSS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_loses_nothing_and_moves_most() {
        let mut items: Vec<usize> = (0..1000).collect();
        shuffle(&mut items, 7);
        assert!(items.iter().enumerate().filter(|(place, item)| place == *item).count() < 20);
        items.sort_unstable();
        assert_eq!(items, (0..1000).collect::<Vec<_>>());
    }
}
