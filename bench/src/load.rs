//! The closed loop: each connection sends its next request when it has the answer to the one before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::failure::{Context as _, Failure};

/// When to stop.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many requests, by all connections together.
    Count(usize),
}

/// What happened, added up over the turns of one server.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) elapsed: Duration,
    /// Of each request, in nanoseconds.
    pub(crate) latencies_ns: Vec<u64>,
    /// The bodies of the answers, if they were asked for.
    pub(crate) answers: Vec<Bytes>,
}

/// A pool of requests that are sent in turn, over connections that stay open between turns.
pub(crate) struct Generator {
    connections: Vec<Connection>,
    requests: Arc<[Bytes]>,
    next: Arc<AtomicUsize>,
    keeps_answers: bool,
}

impl Generator {
    pub(crate) fn new(connections: Vec<Connection>, requests: Vec<Bytes>) -> Self {
        Self { connections, requests: requests.into(), next: Arc::default(), keeps_answers: false }
    }

    /// Keeps the answers' bodies, which costs the generator more.
    pub(crate) fn keeping_answers(mut self) -> Self {
        self.keeps_answers = true;
        self
    }

    /// Drives all connections, and adds what happened to `tally`.
    ///
    /// An answer other than 200 is a failure: what is then measured is not what was asked for.
    pub(crate) async fn drive(&mut self, until: Until, tally: &mut Tally) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        let end = match until {
            Until::Elapsed(_) => None,
            Until::Count(count) => Some(self.next.load(Ordering::Relaxed) + count),
        };
        let deadline = match until {
            Until::Elapsed(duration) => Some(begun + duration),
            Until::Count(_) => None,
        };
        for connection in self.connections.drain(..) {
            let turn = Turn {
                connection,
                requests: Arc::clone(&self.requests),
                next: Arc::clone(&self.next),
                end,
                deadline,
                keeps_answers: self.keeps_answers,
            };
            tasks.spawn(turn.run());
        }
        while let Some(ended) = tasks.join_next().await {
            let (connection, of_one) = ended.context("the generator broke")??;
            self.connections.push(connection);
            tally.latencies_ns.extend(of_one.latencies_ns);
            tally.answers.extend(of_one.answers);
        }
        if let Some(end) = end {
            // Each connection drew one number too many to learn that it was over.
            self.next.store(end, Ordering::Relaxed);
        }
        tally.elapsed += begun.elapsed();
        Ok(())
    }
}

/// One connection's part in a turn.
struct Turn {
    connection: Connection,
    requests: Arc<[Bytes]>,
    next: Arc<AtomicUsize>,
    end: Option<usize>,
    deadline: Option<Instant>,
    keeps_answers: bool,
}

impl Turn {
    async fn run(mut self) -> Result<(Connection, Tally), Failure> {
        let mut tally = Tally::default();
        let mut now = Instant::now();
        while self.deadline.is_none_or(|deadline| now < deadline) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if self.end.is_some_and(|end| number >= end) {
                break;
            }
            let Some(request) = self.requests.get(number % self.requests.len().max(1)) else { break };
            let answer = self.connection.call(request).await?;
            if answer.status != 200 {
                let body = String::from_utf8_lossy(answer.body);
                return Err(Failure::new(format!("a request was answered with {}: {body}", answer.status)));
            }
            if self.keeps_answers {
                tally.answers.push(Bytes::copy_from_slice(answer.body));
            }
            let answered = Instant::now();
            tally.latencies_ns.push(u64::try_from((answered - now).as_nanos()).unwrap_or(u64::MAX));
            now = answered;
        }
        Ok((self.connection, tally))
    }
}

impl Tally {
    /// Adds the time that a request took.
    pub(crate) fn add(&mut self, took: Duration) {
        self.latencies_ns.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn count(&self) -> usize {
        self.latencies_ns.len()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The latency, in milliseconds, that this share of all requests did not exceed.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        quantile(&self.latencies_ns, share) / 1e6
    }
}

/// The smallest value that at least this share of the values do not exceed; zero when there are none.
pub(crate) fn quantile(values: &[u64], share: f64) -> f64 {
    let mut values = values.to_vec();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is a length")]
    let rank = (values.len() as f64 * share).ceil().max(1.0) as usize - 1;
    if rank >= values.len() {
        return 0.0;
    }
    *values.select_nth_unstable(rank).1 as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(quantile(&values, 0.5), 50.0);
        assert_eq!(quantile(&values, 0.99), 99.0);
        assert_eq!(quantile(&values, 1.0), 100.0);
        assert_eq!(quantile(&[7], 0.99), 7.0);
        assert_eq!(quantile(&[], 0.99), 0.0);
    }
}
