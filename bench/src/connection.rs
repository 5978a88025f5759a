//! A client connection as cheap as it gets: it writes bytes that are ready, and reads no more of the answer than it must.

use std::net::SocketAddr;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::failure::{Context as _, Failure};

/// What a connection is made of, plain or in TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

/// An answer, until the next one is read.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a str,
    pub(crate) body: &'a [u8],
}

/// Where the parts of an answer end, and what its first line says.
#[derive(Debug, PartialEq, Eq)]
struct Extent {
    status: u16,
    head_bytes: usize,
    body_bytes: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.context(format!("cannot connect to {address}"))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        Ok(Self { stream: Box::new(stream), buffer: BytesMut::with_capacity(16 << 10) })
    }

    /// The same in TLS, to `localhost`.
    pub(crate) async fn open_in_tls(address: SocketAddr, tls: &TlsConnector) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.context(format!("cannot connect to {address}"))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        let name = ServerName::try_from("localhost").context("a name that is none")?;
        let stream = tls.connect(name, stream).await.context("the TLS handshake failed")?;
        Ok(Self { stream: Box::new(stream), buffer: BytesMut::with_capacity(16 << 10) })
    }

    pub(crate) async fn open_many(address: SocketAddr, count: usize) -> Result<Vec<Self>, Failure> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Self::open(address).await?);
        }
        Ok(connections)
    }

    /// Sends one request and reads its answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<Answer<'_>, Failure> {
        let Extent { status, head_bytes, body_bytes } = self.exchange(request).await?;
        let answer = self.buffer.get(..head_bytes + body_bytes).unwrap_or_default();
        let (head, body) = answer.split_at(head_bytes);
        Ok(Answer { status, head: std::str::from_utf8(head).unwrap_or_default(), body })
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Extent, Failure> {
        self.buffer.clear();
        self.stream.write_all(request).await.context("cannot send a request")?;
        self.stream.flush().await.context("cannot send a request")?;
        let mut extent = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.context("cannot read an answer")?;
            if read == 0 {
                return Err(Failure::new("the server closed a connection in the middle of an answer"));
            }
            if extent.is_none() {
                extent = Extent::parse(&self.buffer)?;
            }
            if let Some(known) = extent.take_if(|extent| self.buffer.remaining() >= extent.head_bytes + extent.body_bytes) {
                return Ok(known);
            }
        }
    }
}

impl Extent {
    /// None while the head is not complete.
    fn parse(answer: &[u8]) -> Result<Option<Self>, Failure> {
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let unusual = |what: &str| Failure::new(format!("an answer {what}: {:?}", String::from_utf8_lossy(answer)));
        let head = answer.get(..end).unwrap_or_default();
        let mut lines = head.split(|&byte| byte == b'\n');
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix(b"HTTP/1.1 "))
            .and_then(|rest| number(rest.get(..3)?))
            .ok_or_else(|| unusual("has no status"))?;
        let body_bytes = lines
            .find_map(|line| line.get(..15)?.eq_ignore_ascii_case(b"content-length:").then(|| line.get(15..)).flatten())
            .and_then(number)
            .ok_or_else(|| unusual("has no length"))?;
        Ok(Some(Self { status: u16::try_from(status).unwrap_or(u16::MAX), head_bytes: end + 4, body_bytes }))
    }
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_its_status_and_length() {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: x\r\nContent-Length: 12\r\ndate: y\r\n\r\n";
        let answer = format!("{head}{{\"a\":\"b\"}}...");
        let extent = Extent { status: 200, head_bytes: head.len(), body_bytes: 12 };
        assert_eq!(Extent::parse(answer.as_bytes()).unwrap(), Some(extent));
        assert_eq!(Extent::parse(head.trim_end().as_bytes()).unwrap(), None);
    }

    #[test]
    fn what_is_not_an_answer_of_known_length_is_a_failure() {
        assert!(Extent::parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(Extent::parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }
}
