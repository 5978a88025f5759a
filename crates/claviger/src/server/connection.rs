//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::body::{Unreadable, collect};
use super::watch::{Activity, Phase, Watched};
use super::{Handler, Peer, Shared};

/// What an HTTP/2 client sends first. Source: RFC 9113 section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Requests that one HTTP/2 connection may have under way.
const HTTP2_STREAMS_MAX: u32 = 64;
/// What an HTTP/2 client may send of one body, and of all together, before we have read it: what is in these windows is in our memory, and no
/// limit on bodies knows of it. A request to KMS fits into either.
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 128 * 1024;
/// What a client may still send of a body that was refused, so that it gets to read the refusal: closing a socket with unread bytes
/// resets the connection.
const LINGER_BYTES_MAX: usize = 8 << 20;
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// Serves the connection until either side has had enough.
pub(super) async fn run<H: Handler>(stream: TcpStream, address: SocketAddr, shared: Arc<Shared<H>>) {
    metrics::gauge!("claviger_connections_open").increment(1.0);
    match &shared.tls {
        None => {
            if let Some((stream, first)) = read_preface(stream, &shared).await {
                let peer = Peer { address, tls: false, client: None };
                let http2 = first.starts_with(HTTP2_PREFACE);
                serve(stream, first, http2, peer, &shared).await;
            }
        }
        Some(tls) => {
            let handshake = tls.acceptor().accept(stream).into_fallible();
            match timeout(shared.limits.header_read, handshake).await {
                Ok(Ok(stream)) => {
                    let session = stream.get_ref().1;
                    let peer = Peer { address, tls: true, client: tls.shown_by(session) };
                    let http2 = session.alpn_protocol() == Some(b"h2");
                    serve(stream, BytesMut::new(), http2, peer, &shared).await;
                }
                Ok(Err((error, mut stream))) => {
                    metrics::counter!("claviger_tls_handshake_failures_total").increment(1);
                    tracing::debug!(%error, peer = %address, "TLS handshake failed");
                    // In TLS 1.3 the client may have sent its request already, and has to get to read the alert.
                    let _ = stream.shutdown().await;
                    linger(stream).await;
                }
                Err(_) => tracing::debug!(peer = %address, "TLS handshake took too long"),
            }
        }
    }
    metrics::gauge!("claviger_connections_open").decrement(1.0);
}

/// Reads as much as it takes to tell HTTP/2 from HTTP/1. None when the client goes away or says nothing.
async fn read_preface<H>(mut stream: TcpStream, shared: &Shared<H>) -> Option<(TcpStream, BytesMut)> {
    let mut first = BytesMut::with_capacity(1024);
    let mut patience = shared.limits.idle;
    loop {
        let read = tokio::select! {
            read = timeout(patience, stream.read_buf(&mut first)) => read,
            () = shared.stop.requested() => return None,
        };
        match read {
            Ok(Ok(n)) if n > 0 => {}
            Err(_) if !first.is_empty() => {
                answer_bare(&mut stream, StatusCode::REQUEST_TIMEOUT).await;
                return None;
            }
            _ => return None,
        }
        if !HTTP2_PREFACE.starts_with(&first) || first.len() >= HTTP2_PREFACE.len() {
            return Some((stream, first));
        }
        patience = shared.limits.header_read;
    }
}

async fn serve<S, H>(stream: S, first: BytesMut, http2: bool, peer: Peer, shared: &Arc<Shared<H>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    if http2 { serve_http2(stream, first, peer, shared).await } else { serve_http1(stream, first, peer, shared).await }
}

async fn serve_http1<S, H>(stream: S, first: BytesMut, peer: Peer, shared: &Arc<Shared<H>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let activity = Activity::new(true);
    let io = TokioIo::new(Watched::new(stream, first, Arc::clone(&activity)));
    let service = {
        let (shared, activity, peer) = (Arc::clone(shared), Arc::clone(&activity), peer.clone());
        service_fn(move |request| answer(request, peer.clone(), Arc::clone(&shared), Arc::clone(&activity)))
    };
    let header_bytes = shared.limits.header_bytes as usize;
    let mut connection = http1::Builder::new()
        .max_header_size(header_bytes)
        .max_buf_size(header_bytes.max(64 * 1024))
        .header_read_timeout(None) // ours costs nothing per request, and answers
        .serve_connection(io, service);
    match until_ended(Pin::new(&mut connection), http1::Connection::graceful_shutdown, &activity, shared).await {
        Ended::Itself(Ok(())) if !activity.has_refused_body() => {}
        Ended::Itself(Ok(())) => linger(connection.into_parts().io.into_inner()).await,
        Ended::Itself(Err(error)) => tracing::debug!(%error, peer = %peer.address, "connection ended"),
        Ended::Overdue(Phase::Head) => {
            answer_bare(&mut connection.into_parts().io.into_inner(), StatusCode::REQUEST_TIMEOUT).await;
        }
        Ended::Overdue(_) => close(&mut connection.into_parts().io.into_inner()).await,
        Ended::Abandoned => {}
    }
}

async fn serve_http2<S, H>(stream: S, first: BytesMut, peer: Peer, shared: &Arc<Shared<H>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let activity = Activity::new(false);
    let io = TokioIo::new(Watched::new(stream, first, Arc::clone(&activity)));
    let service = {
        let (shared, activity, peer) = (Arc::clone(shared), Arc::clone(&activity), peer.clone());
        service_fn(move |request| answer(request, peer.clone(), Arc::clone(&shared), Arc::clone(&activity)))
    };
    let connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_header_list_size(shared.limits.header_bytes)
            .serve_connection(io, service)
    );
    if let Ended::Itself(Err(error)) = until_ended(connection, http2::Connection::graceful_shutdown, &activity, shared).await {
        tracing::debug!(%error, peer = %peer.address, "connection ended");
    }
}

/// How a connection's life ended.
enum Ended {
    /// By either side, or by an error of the protocol.
    Itself(hyper::Result<()>),
    /// It stayed in this phase for too long.
    Overdue(Phase),
    /// The server does not wait any longer.
    Abandoned,
}

/// Drives the connection. The time-outs share one timer, which is set anew only when it rings or when a head comes in pieces, so
/// that a quick request never touches it.
async fn until_ended<C, H>(mut connection: Pin<&mut C>, finish: fn(Pin<&mut C>), activity: &Activity, shared: &Shared<H>) -> Ended
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut alarm = pin!(tokio::time::sleep_until(activity.deadline(&shared.limits)));
    let mut registration = None;
    let mut finishing = false;
    poll_fn(move |context| {
        // Registered before the first look at the stop, so that none is missed.
        registration.get_or_insert_with(|| shared.stop.register(context.waker()));
        if shared.stop.is_requested() {
            if shared.stop.is_abandoned() {
                return Poll::Ready(Ended::Abandoned);
            }
            if !finishing {
                finishing = true;
                finish(connection.as_mut());
            }
        }
        if let Poll::Ready(result) = connection.as_mut().poll(context) {
            return Poll::Ready(Ended::Itself(result));
        }
        if let Some(deadline) = activity.overdue_head(&shared.limits)
            && deadline < alarm.deadline()
        {
            alarm.as_mut().reset(deadline);
        }
        while alarm.as_mut().poll(context).is_ready() {
            let deadline = activity.deadline(&shared.limits);
            if deadline <= Instant::now() {
                return Poll::Ready(Ended::Overdue(activity.phase()));
            }
            alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

/// Answers one request: the handler's answer, or ours when the body or the time is too long.
async fn answer<H: Handler>(
    request: Request<Incoming>,
    peer: Peer,
    shared: Arc<Shared<H>>,
    activity: Arc<Activity>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let _serving = activity.serve();
    let start = Instant::now();
    let (head, body) = request.into_parts();
    let version = head.version;
    let logged = shared.log_requests.then(|| (head.method.clone(), head.uri.clone()));
    let mut has_body = false;
    // One deadline for both, because setting one costs more than most bodies.
    let answered = timeout_at(start + shared.limits.request, async {
        let (body, room) = collect(body, shared.limits.body_bytes as usize, &shared.room).await?;
        has_body = true;
        let (handled, asking) = (Arc::clone(&shared), peer.clone());
        let handle = async move {
            let answer = contain_panics(handled.handler.answer(Request::from_parts(head, body), asking)).await;
            drop(room);
            answer
        };
        Ok(shared.leftovers.to_its_end(handle, &shared.stop).await)
    })
    .await;
    if !has_body {
        activity.refuse_body();
    }
    let response = match answered {
        Ok(Ok(Some(response))) => response.map(Full::new),
        Ok(Ok(None)) => last_answer(StatusCode::INTERNAL_SERVER_ERROR, "The server failed to process the request.", version),
        Ok(Err(Unreadable::TooLarge)) => {
            last_answer(StatusCode::PAYLOAD_TOO_LARGE, "The request is larger than this server allows.", version)
        }
        Ok(Err(Unreadable::NoRoom)) => {
            metrics::counter!("claviger_bodies_refused_total").increment(1);
            last_answer(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server keeps as many large requests as it may (limits.buffered_bytes). Nothing was done. Try again.",
                version,
            )
        }
        Ok(Err(Unreadable::Broken(error))) => {
            tracing::debug!(%error, peer = %peer.address, "a body broke off");
            last_answer(StatusCode::BAD_REQUEST, "The request's body could not be read.", version)
        }
        Err(_) if !has_body => last_answer(StatusCode::REQUEST_TIMEOUT, "The request's body did not arrive in time.", version),
        Err(_) => {
            metrics::counter!("claviger_requests_timed_out_total").increment(1);
            last_answer(StatusCode::SERVICE_UNAVAILABLE, "The request took too long. Its outcome is unknown.", version)
        }
    };
    if let Some((method, uri)) = logged {
        log_request(&method, &uri, &peer, &response, start);
    }
    Ok(response)
}

/// Awaits the answer; None when making it panicked. One request's defect must not end the others on the same connection.
async fn contain_panics<F: Future>(answer: F) -> Option<F::Output> {
    let mut answer = pin!(answer);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_) => {
            metrics::counter!("claviger_panics_total").increment(1);
            tracing::error!("a request's handler panicked: this is a defect of Claviger, please report it with the lines above");
            Poll::Ready(None)
        }
    })
    .await
}

fn log_request(method: &http::Method, uri: &http::Uri, peer: &Peer, response: &Response<Full<Bytes>>, start: Instant) {
    let request_id = response.headers().get("x-amzn-requestid").and_then(|id| id.to_str().ok()).unwrap_or("-");
    tracing::info!(
        target: "claviger::request",
        request_id,
        peer = %peer.address,
        %method,
        path = uri.path(),
        status = response.status().as_u16(),
        duration_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
    );
}

/// The last answer on a connection, as JSON because every client here reads JSON.
fn last_answer(status: StatusCode, message: &str, version: Version) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{{\"message\":\"{message}\"}}"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Answers a client that has not managed to send a whole head, and closes.
async fn answer_bare<S: AsyncWrite + Unpin>(stream: &mut S, status: StatusCode) {
    let reason = status.canonical_reason().unwrap_or_default();
    let answer = format!("HTTP/1.1 {} {reason}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", status.as_u16());
    if let Ok(Ok(())) = timeout(LINGER_TIME_MAX, stream.write_all(answer.as_bytes())).await {
        close(stream).await;
    }
}

/// Says goodbye, as TLS wants it; a client that does not take it is not waited for.
async fn close<S: AsyncWrite + Unpin>(stream: &mut S) {
    if let Ok(Err(error)) = timeout(LINGER_TIME_MAX, stream.shutdown()).await {
        tracing::trace!(%error, "the peer was gone already");
    }
}

/// Reads and forgets what the client still sends, for a while, so that it gets to read our last answer.
async fn linger<S: AsyncRead + Unpin>(mut stream: S) {
    let discard = async {
        let mut rest = LINGER_BYTES_MAX;
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(n) = stream.read(&mut buffer).await {
            if n == 0 || n >= rest {
                return;
            }
            rest -= n;
        }
    };
    // Either way the connection is closed now: there is nothing left to tell the client.
    let _ = timeout(LINGER_TIME_MAX, discard).await;
}
