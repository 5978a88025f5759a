//! The HTTP server: our own accept loop on hyper, because TLS with hot reload, limits, time-outs and a bounded graceful stop are
//! part of what a keeper of keys owes its clients.
//!
//! It speaks HTTP/1.1 and HTTP/2, plain or in TLS, and knows nothing of keys: a handler gets the whole request and the peer, and
//! gives the whole answer. What it answers itself: 408, 413, 431, 503 and 500.
//!
//! Start reading at [`serve`]; one connection's life is in `connection.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::client_certificate::ShownCertificate;
use self::leftovers::Leftovers;
use crate::config::Limits;
use crate::problem::Problem;

mod body;
pub mod client_certificate;
mod connection;
mod leftovers;
mod stop;
pub mod tls;
mod watch;

pub use stop::Stop;
pub use tls::ReloadingTls;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address, as the operating system reports it.
    pub address: SocketAddr,
    /// Whether the connection is in TLS.
    pub tls: bool,
    /// Its certificate, where one was asked for and shown.
    pub client: Option<Arc<ShownCertificate>>,
}

/// What answers requests: a function from the whole request to the whole answer.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. When the client goes away or the request takes too long, it goes on without anybody who waits for the answer.
    fn answer(&self, request: Request<Bytes>, peer: Peer) -> impl Future<Output = Response<Bytes>> + Send;
}

impl<F, A> Handler for F
where
    F: Fn(Request<Bytes>, Peer) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Bytes>> + Send,
{
    fn answer(&self, request: Request<Bytes>, peer: Peer) -> impl Future<Output = Response<Bytes>> + Send {
        self(request, peer)
    }
}

/// What the connections of one server share.
struct Shared<H> {
    handler: H,
    limits: Limits,
    /// What is left of the bytes that bodies may take together.
    room: Arc<Semaphore>,
    leftovers: Leftovers,
    stop: Stop,
    tls: Option<Arc<ReloadingTls>>,
    log_requests: bool,
}

/// A server that is not running yet.
#[derive(Debug)]
pub struct Server<H> {
    handler: H,
    limits: Limits,
    tls: Option<Arc<ReloadingTls>>,
    log_requests: bool,
}

impl<H: Handler> Server<H> {
    /// A plain HTTP server with this handler and these limits.
    pub fn new(handler: H, limits: Limits) -> Self {
        Self { handler, limits, tls: None, log_requests: false }
    }

    /// The same in TLS.
    #[must_use]
    pub fn tls(self, tls: Option<Arc<ReloadingTls>>) -> Self {
        Self { tls, ..self }
    }

    /// Whether each request is logged, at level info.
    #[must_use]
    pub fn log_requests(self, log_requests: bool) -> Self {
        Self { log_requests, ..self }
    }

    /// Serves until `stop` is requested, then stops accepting, lets requests under way finish for as long as the limits allow, and
    /// returns. What is still open then is dropped.
    pub async fn serve(self, listeners: Vec<TcpListener>, stop: Stop) {
        let Self { handler, limits, tls, log_requests } = self;
        let permits = limits.connections;
        let connections = Arc::new(Semaphore::new(permits as usize));
        let patience = limits.stop;
        let room = Arc::new(Semaphore::new(limits.buffered_bytes as usize));
        let leftovers = Leftovers::new(limits.connections, limits.request);
        let shared = Arc::new(Shared { handler, limits, room, leftovers, stop: stop.clone(), tls, log_requests });

        let mut loops = Vec::with_capacity(listeners.len());
        for listener in listeners {
            loops.push(tokio::spawn(accept_until_stopped(listener, Arc::clone(&shared), Arc::clone(&connections))));
        }
        for accept_loop in loops {
            if let Err(error) = accept_loop.await {
                tracing::error!(%error, "an accept loop ended by itself");
            }
        }
        // All permits back means that all connections have ended, and all that was begun on them.
        let ended = async { (connections.acquire_many(permits).await.is_ok(), shared.leftovers.ended().await) };
        if tokio::time::timeout(patience, ended).await.is_err() {
            let open = permits as usize - connections.available_permits();
            tracing::warn!(open, "the time to stop is over: dropping the connections that are still busy");
        }
        stop.abandon();
    }
}

/// Listens on each address.
///
/// # Errors
/// An address is taken or may not be used; the problem says which, and what to do.
pub async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Problem> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        listeners.push(TcpListener::bind(address).await.map_err(|error| bind_problem(*address, &error))?);
    }
    Ok(listeners)
}

fn bind_problem(address: SocketAddr, error: &std::io::Error) -> Problem {
    let problem = Problem::new(format!("cannot listen on {address}: {error}"));
    match error.kind() {
        std::io::ErrorKind::AddrInUse => problem.remedy("another program listens there: stop it, or choose another port"),
        std::io::ErrorKind::PermissionDenied => problem.remedy("choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE"),
        std::io::ErrorKind::AddrNotAvailable => problem.remedy("no interface of this machine has that address"),
        _ => problem,
    }
}

async fn accept_until_stopped<H: Handler>(listener: TcpListener, shared: Arc<Shared<H>>, connections: Arc<Semaphore>) {
    while !shared.stop.is_requested() {
        let Some(permit) = room_for_one_more(&shared.stop, &connections).await else { return };
        let accepted = tokio::select! {
            () = shared.stop.requested() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => start(stream, address, &shared, permit),
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Waits for room. Until there is some, new connections wait in the kernel's queue, which is how clients notice.
async fn room_for_one_more(stop: &Stop, connections: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(connections).try_acquire_owned() {
        return Some(permit);
    }
    metrics::counter!("claviger_connections_limit_reached_total").increment(1);
    tracing::warn!("all connections that limits.connections allows are open: new ones wait until one ends");
    tokio::select! {
        () = stop.requested() => None,
        permit = Arc::clone(connections).acquire_owned() => permit.ok(),
    }
}

fn start<H: Handler>(stream: TcpStream, address: SocketAddr, shared: &Arc<Shared<H>>, permit: OwnedSemaphorePermit) {
    // Without it, small answers wait for the acknowledgement of the ones before (Nagle's algorithm).
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, peer = %address, "cannot set TCP_NODELAY");
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        connection::run(stream, address, shared).await;
        drop(permit);
    });
}

/// Errors of `accept` either concern one connection that is gone already, or a lack of descriptors or memory that takes time to
/// pass; without a pause the latter would be a busy loop.
async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::error!(%error, "cannot accept a connection: trying again; is the limit of open files (ulimit -n) too low?");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
