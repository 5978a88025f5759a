//! What a connection is doing, so that it can be ended when it takes too long: kept without a timer per request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::config::Limits;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing, or writing an answer that the client does not take.
    Idle = 0,
    /// Some bytes of a head have come, but not all.
    Head = 1,
    /// At least one request is being served; its own deadline bounds it.
    Serving = 2,
}

/// Shared by a connection's stream, its service and the task that watches both.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    phase: AtomicU8,
    /// When the phase began, in milliseconds after `start`.
    since_ms: AtomicU64,
    serving: AtomicU32,
    refused_body: AtomicBool,
    counts_heads: bool,
    /// Whether `since_ms` is when the head that is coming began.
    head_timed: AtomicBool,
}

impl Activity {
    /// An idle connection. `counts_heads` for HTTP/1: in HTTP/2, bytes do not mean that a head has begun.
    pub(super) fn new(counts_heads: bool) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            phase: AtomicU8::new(Phase::Idle as u8),
            since_ms: AtomicU64::new(0),
            serving: AtomicU32::new(0),
            refused_body: AtomicBool::new(false),
            counts_heads,
            head_timed: AtomicBool::new(false),
        })
    }

    /// Bytes have come. The clock is read later, and only if they are not a whole head: see [`Activity::overdue_head`].
    fn received(&self) {
        if self.counts_heads && self.phase.load(Ordering::Relaxed) == Phase::Idle as u8 {
            self.head_timed.store(false, Ordering::Relaxed);
            self.phase.store(Phase::Head as u8, Ordering::Relaxed);
        }
    }

    /// A request is being served until the value is dropped.
    pub(super) fn serve(self: &Arc<Self>) -> Serving {
        self.serving.fetch_add(1, Ordering::Relaxed);
        self.phase.store(Phase::Serving as u8, Ordering::Relaxed);
        Serving(Arc::clone(self))
    }

    /// A body was refused unread, so the client may still be sending it.
    pub(super) fn refuse_body(&self) {
        self.refused_body.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_refused_body(&self) -> bool {
        self.refused_body.load(Ordering::Relaxed)
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Serving,
        }
    }

    /// When a head that has begun to come has to be complete. None when nothing of one has come.
    pub(super) fn overdue_head(&self, limits: &Limits) -> Option<Instant> {
        if self.phase() != Phase::Head {
            return None;
        }
        if !self.head_timed.swap(true, Ordering::Relaxed) {
            self.enter(Phase::Head);
        }
        Some(self.since() + limits.header_read)
    }

    /// When the connection has to be ended unless something happens. While it serves, a time to look again.
    pub(super) fn deadline(&self, limits: &Limits) -> Instant {
        match self.phase() {
            Phase::Idle => self.since() + limits.idle,
            Phase::Head => self.since() + limits.header_read,
            Phase::Serving => Instant::now() + limits.idle,
        }
    }

    fn since(&self) -> Instant {
        self.start + Duration::from_millis(self.since_ms.load(Ordering::Relaxed))
    }

    fn enter(&self, phase: Phase) {
        let since_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(since_ms, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

/// A request that is being served.
pub(super) struct Serving(Arc<Activity>);

impl Drop for Serving {
    fn drop(&mut self) {
        if self.0.serving.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.enter(Phase::Idle);
        }
    }
}

/// A stream that tells its connection's activity when bytes come, and that begins with the bytes that were read to find out which
/// protocol it is.
pub(super) struct Watched<S> {
    stream: S,
    first: BytesMut,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, first: BytesMut, activity: Arc<Activity>) -> Self {
        Self { stream, first, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.first.is_empty() {
            let take = this.first.len().min(buffer.remaining());
            buffer.put_slice(this.first.get(..take).unwrap_or_default());
            this.first.advance(take);
            this.activity.received();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.activity.received();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
