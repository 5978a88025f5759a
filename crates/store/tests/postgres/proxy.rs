//! Between the store and PostgreSQL: a proxy that can swallow what the one says to the other, and cut connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Passes everything on.
    Pass,
    /// Passes on what the client says, until it says COMMIT; then cuts the connection before an answer.
    CutBehindCommit,
    /// Cuts the connection before a COMMIT reaches the server.
    CutBeforeCommit,
    /// Takes no connection and cuts those that are there.
    Refuse,
    /// Keeps what ends a transaction for a while, once, before it passes it on.
    Hold,
    /// Takes connections, and says nothing on any.
    Hang,
    /// Takes no connection, and leaves those that are there.
    RefuseNew,
    /// Cuts the connection when a COMMIT comes, and keeps that until another one comes, which it is then passed on just before.
    Late,
    /// The same, when the first has come.
    Later,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    mode: Arc<AtomicU8>,
    cut: Arc<Notify>,
}

impl Proxy {
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, cut) = (Arc::new(AtomicU8::new(Mode::Pass as u8)), Arc::new(Notify::new()));
        let (shared, told) = (Arc::clone(&mode), Arc::clone(&cut));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if [Mode::Refuse as u8, Mode::RefuseNew as u8].contains(&shared.load(Ordering::SeqCst)) {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(connection(client, server, Arc::clone(&shared), Arc::clone(&told)));
            }
        });
        Self { port, mode, cut }
    }

    /// Sets what is done from now on. The modes that cut do it once.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
        if mode == Mode::Refuse {
            self.cut.notify_waiters();
        }
    }

    /// Whether what was set has been done.
    pub(crate) fn has_cut(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == Mode::Pass as u8
    }
}

/// What ends a transaction, as the two statements that do so are named on the wire: a simple query `COMMIT`, and the execution of the statement
/// that extends the log, which is the only one with a checkpoint among its parameters.
fn commits(said: &[u8]) -> bool {
    let contains = |text: &[u8]| said.windows(text.len()).any(|window| window == text);
    contains(b"COMMIT\0") || contains(b"test log of ")
}

async fn connection(client: TcpStream, server: TcpStream, mode: Arc<AtomicU8>, cut: Arc<Notify>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = tokio::select! {
            read = from_client.read(&mut buffer) => read,
            () = cut.notified() => break,
        };
        let Ok(length @ 1..) = read else { break };
        let now = mode.load(Ordering::SeqCst);
        if now == Mode::Hang as u8 {
            continue;
        }
        let commits = commits(&buffer[..length]);
        if commits && now == Mode::Hold as u8 {
            mode.store(Mode::Pass as u8, Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        }
        if commits && now == Mode::CutBeforeCommit as u8 {
            mode.store(Mode::Pass as u8, Ordering::SeqCst);
            break;
        }
        if commits && now == Mode::CutBehindCommit as u8 {
            mode.store(Mode::Pass as u8, Ordering::SeqCst);
            answers.abort();
            to_server.write_all(&buffer[..length]).await.unwrap();
            // The server has to have read it before it sees that nobody is there.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            break;
        }
        // The one with an entry, and not the look at the log.
        let extends = commits && buffer[..length].windows(6).any(|window| window == b"second");
        if extends && now == Mode::Late as u8 {
            mode.store(Mode::Later as u8, Ordering::SeqCst);
            answers.abort();
            drop(from_client);
            while mode.load(Ordering::SeqCst) == Mode::Later as u8 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            to_server.write_all(&buffer[..length]).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            break;
        }
        if extends && now == Mode::Later as u8 {
            mode.store(Mode::Pass as u8, Ordering::SeqCst);
            // The server has to have done the other one.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        if to_server.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    answers.abort();
}
