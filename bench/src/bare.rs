//! The server that is compared with: the same stack and the same socket options as Claviger's, and nothing behind them.
//!
//! It reads each request to its end and answers with headers and a body of the length that the real answer has. What a request costs
//! here is what HTTP costs; what it costs more in Claviger is Claviger's.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::failure::{Context as _, Failure};
use crate::tls::ServerFiles;

/// Serves until the process is killed.
pub(crate) fn run(
    address: SocketAddr,
    headers: Vec<(HeaderName, HeaderValue)>,
    body_bytes: usize,
    tls: Option<&ServerFiles>,
) -> Result<(), Failure> {
    let tls = tls.map(ServerFiles::acceptor).transpose()?;
    let answer = Answer { headers: headers.into_iter().collect(), body: vec![b'.'; body_bytes].into() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the bare server")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.context(format!("cannot listen on {address}"))?;
        loop {
            let (stream, _) = listener.accept().await.context("cannot accept a connection")?;
            stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
            let answer = answer.clone();
            match tls.clone() {
                None => drop(tokio::spawn(serve(stream, answer))),
                Some(tls) => drop(tokio::spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, answer).await;
                    }
                })),
            }
        }
    })
}

#[derive(Clone)]
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, answer: Answer) {
    let service = service_fn(move |request| respond(request, answer.clone()));
    // A client that goes away ends its connection: nothing to tell anybody.
    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(request: Request<Incoming>, answer: Answer) -> Result<Response<Full<Bytes>>, Infallible> {
    // The generator sends whole bodies; one that breaks off ends with its connection.
    let _body = request.into_body().collect().await;
    let mut response = Response::new(Full::new(answer.body));
    *response.headers_mut() = answer.headers;
    Ok(response)
}
