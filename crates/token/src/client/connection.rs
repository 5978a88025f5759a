//! One socket to one host: requests out, answers in, matched by their ids.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::wire::codec::Wire as _;
use crate::wire::{HEAD_BYTES, Outcome, Request, Secret, TokenFacts, head, request_frame};

/// Requests that may be under way.
const PENDING_MAX: usize = 4096;
/// While something slow is being done, silence says nothing for so long.
const SLOW_SILENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The host is gone.
    Lost,
    /// The deadline has passed.
    Late,
    /// Too many are waiting, or the request is longer than a frame.
    TooLong,
}

pub(super) struct Connection {
    pub(super) facts: Arc<TokenFacts>,
    outgoing: mpsc::Sender<Secret>,
    pending: Mutex<HashMap<u64, oneshot::Sender<Outcome>>>,
    next: AtomicU64,
    began: Instant,
    /// When something was heard last, in milliseconds after `began`.
    heard_ms: AtomicU64,
    slow: AtomicU32,
    open: AtomicBool,
    ended: Notify,
}

impl Connection {
    /// Takes over a socket on which the greetings were exchanged.
    pub(super) fn over(stream: UnixStream, facts: TokenFacts) -> Arc<Self> {
        let (incoming, outgoing) = stream.into_split();
        let (sender, frames) = mpsc::channel(256);
        let connection = Arc::new(Self {
            facts: Arc::new(facts),
            outgoing: sender,
            pending: Mutex::new(HashMap::new()),
            next: AtomicU64::new(1),
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
            slow: AtomicU32::new(0),
            open: AtomicBool::new(true),
            ended: Notify::new(),
        });
        tokio::spawn(send(frames, outgoing));
        tokio::spawn(receive(Arc::clone(&connection), incoming));
        connection
    }

    /// Asks, and waits until the deadline.
    pub(super) async fn ask(&self, request: &Request, deadline: Instant, slow: bool) -> Result<Outcome, Unanswered> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let patience = deadline.saturating_duration_since(Instant::now()).as_millis();
        let frame = request_frame(id, u32::try_from(patience).unwrap_or(u32::MAX), request).ok_or(Unanswered::TooLong)?;
        let (sender, answer) = oneshot::channel();
        {
            let mut pending = self.pending.lock();
            if !self.is_open() {
                return Err(Unanswered::Lost);
            }
            if pending.len() >= PENDING_MAX {
                return Err(Unanswered::TooLong);
            }
            pending.insert(id, sender);
        }
        let _gone = Pending { connection: self, id, slow: slow.then(|| self.slow.fetch_add(1, Ordering::Relaxed)).is_some() };
        let asked = async {
            self.outgoing.send(frame).await.map_err(|_| Unanswered::Lost)?;
            answer.await.map_err(|_| Unanswered::Lost)
        };
        timeout_at(deadline, asked).await.unwrap_or(Err(Unanswered::Late))
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether nothing at all was heard for so long, although something was asked.
    pub(super) fn is_stalled(&self, patience: Duration) -> bool {
        let patience = if self.slow.load(Ordering::Relaxed) > 0 { patience.max(SLOW_SILENCE) } else { patience };
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(heard) >= patience
    }

    /// Says that this host is no good any more. What waits for it is lost.
    pub(super) fn condemn(&self) {
        self.open.store(false, Ordering::Release);
        // Dropping the senders tells those who wait.
        self.pending.lock().clear();
        self.ended.notify_one();
    }

    /// Waits until the host is gone, or condemned.
    pub(super) async fn ended(&self) {
        while self.is_open() {
            self.ended.notified().await;
        }
    }

    fn heard(&self) {
        let elapsed_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(elapsed_ms, Ordering::Relaxed);
    }
}

/// A request that is waited for. Whoever stops waiting takes it out.
struct Pending<'a> {
    connection: &'a Connection,
    id: u64,
    slow: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.connection.pending.lock().remove(&self.id);
        if self.slow {
            self.connection.slow.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Writes frames whole: a caller that gives up must not leave half a frame on the socket.
async fn send(mut frames: mpsc::Receiver<Secret>, mut outgoing: OwnedWriteHalf) {
    while let Some(frame) = frames.recv().await {
        if outgoing.write_all(&frame).await.is_err() {
            // The reader notices as well, and it is the one that says so.
            return;
        }
    }
}

async fn receive(connection: Arc<Connection>, mut incoming: OwnedReadHalf) {
    while connection.is_open() {
        let Ok((id, body)) = read_frame(&mut incoming).await else { break };
        connection.heard();
        let Some(waiting) = connection.pending.lock().remove(&id) else { continue };
        let Ok(outcome) = Outcome::parse(&body) else { break };
        // Nobody waits any more: fine.
        let _ = waiting.send(outcome);
    }
    connection.condemn();
}

/// The next frame, from the async side.
pub(super) async fn read_frame(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<(u64, Secret)> {
    let mut bytes = [0; HEAD_BYTES];
    stream.read_exact(&mut bytes).await?;
    let (length, id) = head(bytes)?;
    let mut body = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut body).await?;
    Ok((id, body))
}
