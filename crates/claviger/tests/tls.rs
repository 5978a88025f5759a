//! TLS: what is negotiated, and the exchange of the certificate while the server runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use claviger::config::{Limits, Tls};
use claviger::server::{Peer, ReloadingTls, Server, Stop, bind};
use http::{Request, Response};
use rustls::{ClientConfig, NamedGroup, ProtocolVersion, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

struct Pair {
    certificate: String,
    key: String,
}

fn make_pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Pair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn write(files: &Tls, pair: &Pair) {
    std::fs::write(&files.certificate, &pair.certificate).unwrap();
    std::fs::write(&files.key, &pair.key).unwrap();
}

fn files_in(directory: &Path) -> Tls {
    Tls { certificate: directory.join("certificate.pem"), key: directory.join("key.pem") }
}

async fn start(files: &Tls) -> (SocketAddr, Arc<ReloadingTls>, Stop) {
    let tls = ReloadingTls::load(files).unwrap();
    let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    let stop = Stop::new();
    let handler = async |_: Request<Bytes>, peer: Peer| {
        assert!(peer.tls);
        Response::new(Bytes::from_static(b"hello"))
    };
    let limits = Limits { header_read: Duration::from_secs(1), ..Limits::default() };
    tokio::spawn(Server::new(handler, limits).tls(Some(Arc::clone(&tls))).serve(listeners, stop.clone()));
    (address, tls, stop)
}

async fn connect(address: SocketAddr, trusted: &Pair, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.certificate.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
}

async fn get(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    let n = stream.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..n]).into_owned()
}

#[tokio::test]
async fn negotiates_tls_1_3_with_the_post_quantum_exchange_and_both_protocols() {
    let directory = tempfile::tempdir().unwrap();
    let (files, pair) = (files_in(directory.path()), make_pair());
    write(&files, &pair);
    let (address, ..) = start(&files).await;

    let mut stream = connect(address, &pair, &[b"http/1.1"]).await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(session.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    assert!(get(&mut stream).await.ends_with("hello"));

    let stream = connect(address, &pair, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn a_new_certificate_is_used_at_once_and_a_broken_one_never() {
    let directory = tempfile::tempdir().unwrap();
    let (files, old, new) = (files_in(directory.path()), make_pair(), make_pair());
    write(&files, &old);
    let (address, tls, stop) = start(&files).await;
    let watching = tokio::spawn(Arc::clone(&tls).reload_on_change(Duration::from_millis(50), stop.clone()));
    let mut open = connect(address, &old, &[]).await.unwrap();

    // The key of another certificate, then nonsense: both refused by name, the old pair stays in use.
    std::fs::write(&files.certificate, &new.certificate).unwrap();
    let problem = tls.reload().unwrap_err().to_string();
    assert!(problem.contains("key.pem") && problem.contains("has to belong to"), "{problem}");
    assert!(get(&mut connect(address, &old, &[]).await.unwrap()).await.ends_with("hello"));
    std::fs::write(&files.certificate, "nonsense").unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("holds no certificate"));
    std::fs::remove_file(&files.certificate).unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("certificate.pem"));
    assert!(connect(address, &old, &[]).await.is_ok());

    // The watcher finds the good pair by itself.
    write(&files, &new);
    let mut tries = 0;
    while connect(address, &new, &[]).await.is_err() {
        tries += 1;
        assert!(tries < 100, "the new certificate was never used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(connect(address, &old, &[]).await.is_err(), "the old certificate is gone");
    assert!(get(&mut open).await.ends_with("hello"), "open connections live on");
    stop.request();
    watching.await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (files, pair) = (files_in(directory.path()), make_pair());
    write(&files, &pair);
    let (address, ..) = start(&files).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut buffer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut buffer)).await.expect("closed").unwrap();
    assert!(buffer.is_empty());
}

#[test]
fn unusable_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (files, pair) = (files_in(directory.path()), make_pair());
    assert!(ReloadingTls::load(&files).unwrap_err().to_string().contains("certificate.pem"));
    std::fs::write(&files.certificate, &pair.certificate).unwrap();
    assert!(ReloadingTls::load(&files).unwrap_err().to_string().contains("key.pem"));
    std::fs::write(&files.key, &pair.certificate).unwrap();
    assert!(ReloadingTls::load(&files).unwrap_err().to_string().contains("key.pem"));
}
