//! One signed request to a proxy, and its answer. Source: XKS Proxy API Specification, "Authentication", appendix A; its timing: "KMS Considerations".

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use claviger_domain::key_store::Proxy;
use claviger_domain::{AccountId, Timestamp};
use claviger_service::key_stores::OpenKeyStore;
use claviger_sigv4::Signer;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::XksSettings;
use crate::failure::{Failure, Name};
use crate::messages::ProxyError;
use crate::places::Places;

/// The service in the scope of signatures.
const SERVICE: &str = "kms-xks-proxy";
/// Longer than any answer that the specification knows: 4,300 bytes in base64 and some fields.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Characters of what a proxy says that are repeated.
const SHOWN_CHARACTERS_MAX: usize = 200;
/// How many connections to one proxy are kept while nobody uses them.
const IDLE_MAX: usize = 128;

/// A proxy, and who to be there.
#[derive(Clone)]
pub(crate) struct Target<'a> {
    account: AccountId,
    host: &'a str,
    path: &'a str,
    region: &'a str,
    access_key: &'a str,
    secret: Zeroizing<String>,
}

impl<'a> Target<'a> {
    pub(crate) fn of(store: &'a OpenKeyStore, proxy: &'a Proxy) -> Self {
        Self {
            account: store.account,
            host: proxy.endpoint.strip_prefix("https://").unwrap_or(&proxy.endpoint),
            path: &proxy.path,
            region: store.region.as_str(),
            access_key: &proxy.access_key,
            secret: Zeroizing::new(String::from_utf8_lossy(&store.secret).into_owned()),
        }
    }
}

/// Makes calls; keeps connections.
pub(crate) struct Client {
    settings: XksSettings,
    places: Places,
    /// Connections that nobody uses, by host; the one used last is used next.
    idle: Mutex<HashMap<String, Vec<SendRequest<Full<Bytes>>>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(settings: XksSettings) -> Self {
        let places = Places::new(settings.addresses.clone(), settings.hosts.clone());
        Self { settings, places, idle: Mutex::default() }
    }

    /// Makes one call: within the time-out, and once more when it was late or the connection broke. All calls are such that doing them twice does no harm.
    pub(crate) async fn call<A: DeserializeOwned>(
        &self,
        target: &Target<'_>,
        resource: &str,
        request: &impl Serialize,
    ) -> Result<A, Failure> {
        let body = Bytes::from(serde_json::to_vec(request).map_err(|_| Failure::Malformed)?);
        let (status, answer) = match self.attempt(target, resource, &body).await {
            Err(failure) if failure.may_pass() => self.attempt(target, resource, &body).await?,
            other => other?,
        };
        if status == StatusCode::OK {
            return serde_json::from_slice(&answer).map_err(|_| Failure::Malformed);
        }
        let error: ProxyError = serde_json::from_slice(&answer).map_err(|_| Failure::Malformed)?;
        let message = shown(&error.error_message.unwrap_or_default());
        tracing::debug!(host = target.host, error = ?error.error_name, message, "an external key store proxy refused");
        Err(Name::parse(&error.error_name).map_or(Failure::Malformed, Failure::Refused))
    }

    async fn attempt(&self, target: &Target<'_>, resource: &str, body: &Bytes) -> Result<(StatusCode, Bytes), Failure> {
        let request = signed(target, resource, body)?;
        timeout(self.settings.timeout, self.exchange(target, request)).await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn exchange(&self, target: &Target<'_>, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        let mut sender = match self.idle_connection(target.host) {
            Some(sender) => sender,
            None => self.connect(target).await?,
        };
        let response = sender.send_request(request).await.map_err(|_| Failure::Unreachable)?;
        let status = response.status();
        let answer = read(response.into_body()).await?;
        if sender.ready().await.is_ok() {
            self.keep(target.host, sender);
        }
        Ok((status, answer))
    }

    fn idle_connection(&self, host: &str) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock();
        let connections = idle.get_mut(host)?;
        while let Some(sender) = connections.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, host: &str, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock();
        let connections = idle.entry(host.to_owned()).or_default();
        connections.retain(|sender| !sender.is_closed());
        if connections.len() < IDLE_MAX {
            connections.push(sender);
        }
    }

    async fn connect(&self, target: &Target<'_>) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let host = target.host;
        let places = self.places.of(target.account, host).await?;
        let stream = TcpStream::connect(places.as_slice()).await.map_err(|_| Failure::Unreachable)?;
        // Small messages that somebody waits for.
        stream.set_nodelay(true).map_err(|_| Failure::Unreachable)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Failure::Tls)?;
        let connector = TlsConnector::from(Arc::clone(&self.settings.tls));
        let stream = connector.connect(name, stream).await.map_err(|error| {
            tracing::debug!(host, %error, "no TLS connection to an external key store proxy");
            Failure::Tls
        })?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|_| Failure::Unreachable)?;
        // It ends when the sender is dropped, or the proxy closes it.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// The request; host and date are signed, as the specification has it, and the body by its hash.
fn signed(target: &Target<'_>, resource: &str, body: &Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let uri: Uri = format!("{}{resource}", target.path).parse().map_err(|_| Failure::Malformed)?;
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(target.host).map_err(|_| Failure::Malformed)?);
    let signer = Signer {
        access_key: target.access_key,
        secret: &target.secret,
        session_token: None,
        region: target.region,
        service: SERVICE,
    };
    let now = Timestamp(jiff::Timestamp::now().as_millisecond());
    let added = signer.sign(&Method::POST, &uri, &headers, body, now).map_err(|_| Failure::Malformed)?;
    headers.extend(added);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

async fn read(mut body: Incoming) -> Result<Bytes, Failure> {
    let mut answer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame.map_err(|_| Failure::Unreachable)?.into_data() {
            if answer.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Failure::Malformed);
            }
            answer.extend_from_slice(&piece);
        }
    }
    Ok(answer.freeze())
}

/// As much of what a proxy says as logs and errors repeat: it must not be able to write lines into them, nor pages.
pub(crate) fn shown(text: &str) -> String {
    let printable = |character: char| if character.is_ascii_graphic() || character == ' ' { character } else { '?' };
    text.chars().take(SHOWN_CHARACTERS_MAX).map(printable).collect()
}
