//! The HTTP server over real sockets: limits, time-outs, both protocols, graceful stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use claviger::config::Limits;
use claviger::server::{Handler, Peer, Server, Stop, bind};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

struct Running {
    address: SocketAddr,
    stop: Stop,
    task: JoinHandle<()>,
}

async fn start(limits: Limits, handler: impl Handler) -> Running {
    let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    let stop = Stop::new();
    let task = tokio::spawn(Server::new(handler, limits).serve(listeners, stop.clone()));
    Running { address, stop, task }
}

/// Answers with what was sent; `/slow` takes a second, `/never` does not answer, `/panic` does what it says.
async fn echo(request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
    assert!(!peer.tls && peer.address.ip().is_loopback());
    match request.uri().path() {
        "/slow" => tokio::time::sleep(Duration::from_secs(1)).await,
        "/never" => std::future::pending().await,
        "/panic" => panic!("a handler panics in this test"),
        _ => {}
    }
    Response::new(request.into_body())
}

fn short() -> Limits {
    let second = Duration::from_secs(1);
    Limits { header_read: second, request: 2 * second, idle: 3 * second, stop: 2 * second, ..Limits::default() }
}

async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_ref()).await.unwrap();
    read_to_end(&mut stream).await
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("it ends").unwrap();
    String::from_utf8(answer).unwrap()
}

async fn read_some(stream: &mut TcpStream, until: &str) -> String {
    let mut answer = String::new();
    while !answer.contains(until) {
        let mut buffer = [0; 1024];
        let n = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.expect("it answers").unwrap();
        assert!(n > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    answer
}

#[tokio::test]
async fn one_connection_carries_many_requests_pipelined_too() {
    let server = start(Limits::default(), echo).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for body in ["one", "two"] {
        stream.write_all(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n{body}").as_bytes()).await.unwrap();
        assert!(read_some(&mut stream, body).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    let two = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\naPOST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nconnection: close\r\n\r\nb";
    stream.write_all(two.as_bytes()).await.unwrap();
    let answers = read_to_end(&mut stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert!(answers.contains("\r\n\r\naHTTP/1.1") && answers.ends_with("\r\n\r\nb"), "{answers}");
}

#[tokio::test]
async fn bodies_of_any_framing_arrive_whole() {
    let server = start(Limits::default(), echo).await;
    let body = "x".repeat(300_000);
    let request = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    assert!(exchange(server.address, request).await.ends_with(&format!("\r\n\r\n{body}")));
    let chunked =
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert!(exchange(server.address, chunked).await.ends_with("\r\n\r\nabcde"));
    let none = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(exchange(server.address, none).await.starts_with("HTTP/1.1 200 OK"));
    let expecting = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(expecting.as_bytes()).await.unwrap();
    assert!(read_some(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 100 Continue"));
    stream.write_all(b"ok").await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with("\r\n\r\nok"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_answered_413_even_while_it_is_being_sent() {
    let server = start(Limits { body_bytes: 64 * 1024, ..Limits::default() }, echo).await;
    let exact = "x".repeat(64 * 1024);
    let request = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{exact}", exact.len());
    assert!(exchange(server.address, request).await.starts_with("HTTP/1.1 200 OK"));

    let long = "x".repeat(2 << 20);
    let announced = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{long}", long.len());
    let answer = exchange(server.address, announced).await;
    assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
    assert!(answer.contains("connection: close") && answer.contains("{\"message\":\""), "{answer}");

    let chunked =
        format!("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    assert!(exchange(server.address, chunked).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_answered_431() {
    let server = start(Limits { header_bytes: 8192, ..Limits::default() }, echo).await;
    let head = |n: usize| format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: {}\r\n\r\n", "x".repeat(n));
    assert!(exchange(server.address, head(7000)).await.starts_with("HTTP/1.1 200 "));
    assert!(exchange(server.address, head(9000)).await.starts_with("HTTP/1.1 431 "));
    let unfinished = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(100_000));
    assert!(exchange(server.address, unfinished).await.starts_with("HTTP/1.1 431 "));
    // A long body does not count as head.
    let body = "x".repeat(100_000);
    let request = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    assert!(exchange(server.address, request).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_head_or_body_that_does_not_arrive_is_answered_408() {
    let server = start(short(), echo).await;
    for unfinished in ["P", "POST / HT", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab"] {
        let answer = exchange(server.address, unfinished).await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{unfinished}: {answer}");
    }
    // Also for the second head on a connection, and when it comes drop by drop.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\none").await.unwrap();
    read_some(&mut stream, "one").await;
    for drop in ["P", "O", "S"] {
        stream.write_all(drop.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let server = start(short(), echo).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut used = TcpStream::connect(server.address).await.unwrap();
    used.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\none").await.unwrap();
    read_some(&mut used, "one").await;
    assert_eq!(read_to_end(&mut silent).await, "");
    assert_eq!(read_to_end(&mut used).await, "");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_503_and_a_panic_500() {
    let server = start(short(), echo).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let answer = exchange(server.address, get("/never")).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("outcome is unknown"), "{answer}");
    assert!(exchange(server.address, get("/panic")).await.starts_with("HTTP/1.1 500 "));
    assert!(
        exchange(server.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn nonsense_is_answered_400() {
    let server = start(short(), echo).await;
    assert!(exchange(server.address, "hello there\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    assert!(
        exchange(server.address, [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0, b'\r', b'\n', b'\r', b'\n'])
            .await
            .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test]
async fn beyond_the_connection_limit_new_connections_wait_their_turn() {
    let server = start(Limits { connections: 1, ..short() }, echo).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\none").await.unwrap();
    read_some(&mut first, "one").await;
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\ntwo").await.unwrap();
    let mut byte = [0; 1];
    assert!(tokio::time::timeout(Duration::from_millis(300), second.read(&mut byte)).await.is_err(), "it has to wait");
    drop(first);
    read_some(&mut second, "two").await;
}

#[tokio::test]
async fn http2_serves_requests_side_by_side_with_the_same_limits() {
    let server = start(Limits { body_bytes: 64 * 1024, ..short() }, echo).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let send = |path: &str, body: Vec<u8>| {
        let request = Request::post(format!("http://x{path}")).body(Full::new(Bytes::from(body))).unwrap();
        let mut sender = sender.clone();
        async move {
            let response = sender.send_request(request).await.unwrap();
            let status = response.status();
            (status, response.into_body().collect().await.unwrap().to_bytes())
        }
    };
    let (slow, quick, long, never, panic) = tokio::join!(
        send("/slow", b"a".to_vec()),
        send("/", b"b".to_vec()),
        send("/", vec![b'x'; 65_537]),
        send("/never", vec![]),
        send("/panic", vec![])
    );
    assert_eq!(slow, (StatusCode::OK, Bytes::from_static(b"a")));
    assert_eq!(quick, (StatusCode::OK, Bytes::from_static(b"b")));
    assert_eq!(long.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(never.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(panic.0, StatusCode::INTERNAL_SERVER_ERROR);
}

/// Whoever sends large bodies and does not end them keeps others from sending large ones, but not from being served.
#[tokio::test]
async fn all_bodies_together_are_bounded_and_small_ones_have_room() {
    let limits = Limits { buffered_bytes: 100_000, request: Duration::from_secs(20), ..Limits::default() };
    let server = start(limits, echo).await;
    let large = |sent: usize| {
        let mut request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 90000\r\nconnection: close\r\n\r\n".to_vec();
        request.extend(vec![b'a'; sent]);
        request
    };
    assert!(exchange(server.address, large(90_000)).await.starts_with("HTTP/1.1 200 OK"));
    let mut held = TcpStream::connect(server.address).await.unwrap();
    held.write_all(&large(80_000)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = exchange(server.address, large(90_000)).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("limits.buffered_bytes"), "{refused}");
    let small = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nconnection: close\r\n\r\nsmall";
    assert!(exchange(server.address, small).await.ends_with("small"));
    // What is let go is there for others: by its end, or by its sender's.
    held.write_all(&[b'a'; 10_000]).await.unwrap();
    assert!(read_some(&mut held, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK"));
    drop(held);
    assert!(exchange(server.address, large(90_000)).await.starts_with("HTTP/1.1 200 OK"));
}

/// What lies in the windows of HTTP/2 is in our memory, and no limit on bodies knows of it.
#[tokio::test]
async fn an_http2_connection_may_send_little_that_was_not_read() {
    let server = start(Limits::default(), echo).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    let (mut streams, mut stream_window, mut connection_window) = (u32::MAX, 65_535, 65_535);
    // The server's settings, and perhaps a WINDOW_UPDATE of the connection, come before it acknowledges ours.
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        stream.read_exact(&mut payload).await.unwrap();
        match (head[3], head[4]) {
            (4, 1) => break,
            (4, _) => {
                for setting in payload.chunks(6) {
                    let value = u32::from_be_bytes(setting[2..].try_into().unwrap());
                    match u16::from_be_bytes([setting[0], setting[1]]) {
                        3 => streams = value,
                        4 => stream_window = value,
                        _ => {}
                    }
                }
            }
            (8, _) => connection_window += u32::from_be_bytes(payload.try_into().unwrap()),
            _ => {}
        }
    }
    assert!(streams <= 64, "{streams}");
    assert!(stream_window <= 64 * 1024, "{stream_window}");
    assert!(connection_window <= 128 * 1024, "{connection_window}");
}

/// Nobody who waits: neither a client that goes away, nor one whose time is over, keeps what was begun from its end.
#[tokio::test]
async fn what_was_begun_is_brought_to_its_end() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ended);
    let slow = move |request: Request<Bytes>, _| {
        let counter = Arc::clone(&counter);
        async move {
            tokio::time::sleep(Duration::from_secs(if request.uri().path() == "/long" { 2 } else { 1 })).await;
            counter.fetch_add(1, Ordering::SeqCst);
            Response::new(Bytes::new())
        }
    };
    let server = start(Limits { request: Duration::from_millis(1500), ..short() }, slow).await;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na").await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(stream);
    }
    let late =
        exchange(server.address, "POST /long HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nconnection: close\r\n\r\na").await;
    assert!(late.starts_with("HTTP/1.1 503"), "{late}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ended.load(Ordering::SeqCst), 4);
    // A stop waits for them, as for connections.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.request();
    server.task.await.unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_accepts_no_more() {
    let server = start(short(), echo).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\none").await.unwrap();
    read_some(&mut idle, "one").await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
    let silent = TcpStream::connect(server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;

    server.stop.request();
    assert_eq!(read_to_end(&mut idle).await, "", "an idle connection ends at once");
    assert!(read_to_end(&mut busy).await.ends_with("done"), "a request under way is answered");
    tokio::time::timeout(Duration::from_secs(1), server.task).await.expect("then the server ends").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    drop(silent);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_and_drops_what_is_left() {
    let dropped = Arc::new(AtomicUsize::new(0));
    struct CountDrop(Arc<AtomicUsize>);
    impl Drop for CountDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let count = Arc::clone(&dropped);
    let handler = move |_: Request<Bytes>, _: Peer| {
        let guard = CountDrop(Arc::clone(&count));
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            Response::new(Bytes::new())
        }
    };
    let server =
        start(Limits { request: Duration::from_secs(600), stop: Duration::from_millis(300), ..Limits::default() }, handler).await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.request();
    tokio::time::timeout(Duration::from_secs(5), server.task).await.expect("the wait is bounded").unwrap();
    assert_eq!(read_to_end(&mut busy).await, "");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let server = start(Limits::default(), echo).await;
    let problem = bind(&[server.address]).await.unwrap_err().to_string();
    assert!(problem.contains(&server.address.to_string()) && problem.contains("another program listens there"), "{problem}");
}
