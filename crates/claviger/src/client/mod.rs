//! Talks to a running server as its clients do: one signed AWS-JSON-1.1 call, one answer.
//!
//! It is what the administrative commands and `claviger encrypt` are made on. It does not retry and keeps no connection: a command
//! makes one or two calls and ends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use claviger_domain::Timestamp;
use claviger_sigv4::Signer;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::problem::Problem;
use crate::server::tls::read_certificates;

mod endpoint;

pub use endpoint::Endpoint;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// Longer than any answer that a server gives: a page of a thousand users with long names is about 200 KiB.
const ANSWER_BYTES_MAX: usize = 8 << 20;
const AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// An access key. The secret is wiped when dropped.
#[derive(Clone)]
pub struct Credentials {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret: Zeroizing<String>,
    /// The session token of a temporary credential.
    pub session_token: Option<Zeroizing<String>>,
}

/// A server, and who to be there.
pub struct Client {
    endpoint: Endpoint,
    credentials: Credentials,
    region: String,
    tls: Option<Arc<ClientConfig>>,
}

/// An operation as the protocol names it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The service in the signature's scope: `kms`.
    pub service: &'static str,
    /// The prefix of `X-Amz-Target`: `TrentService`.
    pub prefix: &'static str,
    /// The operation: `GenerateDataKey`.
    pub operation: &'static str,
}

/// Why a call gave no answer.
#[derive(Debug)]
pub enum CallError {
    /// The server refused, with its code and message.
    Refused {
        /// The exception's name: `AccessDeniedException`.
        code: String,
        /// What the server says about it; may be empty.
        message: String,
        /// The id under which the server's log has it.
        request_id: Option<String>,
    },
    /// There was no answer that could be understood.
    Failed(Problem),
}

impl Client {
    /// A client of this server. `certificate_authority` is a PEM file with the certificates to trust instead of the system's.
    ///
    /// # Errors
    /// TLS is needed, and there are no certificates to trust.
    pub fn new(
        endpoint: Endpoint,
        credentials: Credentials,
        region: String,
        certificate_authority: Option<&Path>,
    ) -> Result<Self, Problem> {
        let tls = if endpoint.tls() { Some(Arc::new(tls_config(certificate_authority)?)) } else { None };
        Ok(Self { endpoint, credentials, region, tls })
    }

    /// The server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Makes one call.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<A: DeserializeOwned>(&self, target: Target, input: &impl Serialize) -> Result<A, CallError> {
        let body = serde_json::to_vec(input).map_err(|error| failed(format!("cannot write the request: {error}")))?;
        let request = self.signed_request(target, body)?;
        let (status, request_id, answer) = self.exchange(request).await?;
        if status == StatusCode::OK {
            // Operations without output members answer with nothing at all.
            let answer = if answer.is_empty() { Bytes::from_static(b"{}") } else { answer };
            return serde_json::from_slice(&answer).map_err(|error| {
                failed(format!("{} gave an answer to {} that cannot be understood: {error}", self.endpoint, target.operation))
            });
        }
        Err(self.refusal(status, request_id, &answer))
    }

    /// Asks without a signature: a GET, or a POST with this body. What is refused comes back as what happened, in the server's words.
    ///
    /// # Errors
    /// The server refused, or gave no answer that could be understood.
    pub async fn ask_openly(&self, path: &'static str, body: Option<&serde_json::Value>) -> Result<serde_json::Value, Problem> {
        let unusable = |_| Problem::usage("the server's name has characters that HTTP does not allow");
        let mut request = Request::new(Full::new(Bytes::from(body.map(ToString::to_string).unwrap_or_default())));
        *request.method_mut() = if body.is_some() { Method::POST } else { Method::GET };
        *request.uri_mut() = Uri::from_static(path);
        request.headers_mut().insert(HOST, HeaderValue::from_str(&self.endpoint.authority()).map_err(unusable)?);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (status, _, answer) = self.exchange(request).await.map_err(Problem::from)?;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let why = answer.get("message").or_else(|| answer.get("Message")).and_then(serde_json::Value::as_str);
        Err(Problem::new(format!("{} answered {status}: {}", self.endpoint, why.unwrap_or("nothing more"))))
    }

    fn signed_request(&self, target: Target, body: Vec<u8>) -> Result<Request<Full<Bytes>>, CallError> {
        let unusable = |_| failed("the server's name or the credentials have characters that HTTP does not allow".to_owned());
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(&self.endpoint.authority()).map_err(unusable)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        let operation = format!("{}.{}", target.prefix, target.operation);
        headers.insert(AMZ_TARGET, HeaderValue::from_str(&operation).map_err(unusable)?);
        let signer = Signer {
            access_key: &self.credentials.access_key,
            secret: &self.credentials.secret,
            session_token: self.credentials.session_token.as_ref().map(|token| token.as_str()),
            region: &self.region,
            service: target.service,
        };
        let uri = Uri::from_static("/");
        let added = signer
            .sign(&Method::POST, &uri, &headers, &body, now())
            .map_err(|error| failed(format!("cannot sign the request: {error:?}")))?;
        headers.extend(added);
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Option<String>, Bytes), CallError> {
        let address = (self.endpoint.host(), self.endpoint.port());
        let stream = match tokio::time::timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await {
            Ok(connected) => connected.map_err(|error| self.unreachable(&error.to_string()))?,
            Err(_) => return Err(self.unreachable("it does not answer")),
        };
        let exchanged = async {
            match &self.tls {
                None => self.exchange_on(stream, request).await,
                Some(config) => {
                    let name = ServerName::try_from(self.endpoint.host().to_owned())
                        .map_err(|_| failed(format!("{} is no name that a certificate can have", self.endpoint.host())))?;
                    let stream = TlsConnector::from(Arc::clone(config))
                        .connect(name, stream)
                        .await
                        .map_err(|error| self.untrusted(&error))?;
                    self.exchange_on(stream, request).await
                }
            }
        };
        tokio::time::timeout(ANSWER_TIME_MAX, exchanged)
            .await
            .unwrap_or_else(|_| Err(failed(format!("{} took longer than a minute to answer", self.endpoint))))
    }

    async fn exchange_on<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Option<String>, Bytes), CallError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |error: hyper::Error| {
            CallError::Failed(
                Problem::new(format!("the connection to {} broke: {error}", self.endpoint))
                    .remedy("is the scheme right (http or https), and is it a Claviger server?"),
            )
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let connection = tokio::spawn(connection);
        let answered = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let request_id = response.headers().get("x-amzn-requestid").and_then(|id| id.to_str().ok()).map(str::to_owned);
            let body = read_answer(response.into_body()).await.map_err(broken)?;
            let body =
                body.ok_or_else(|| failed(format!("the answer of {} is too long to be one of Claviger's", self.endpoint)))?;
            Ok((status, request_id, body))
        }
        .await;
        connection.abort();
        answered
    }

    fn refusal(&self, status: StatusCode, request_id: Option<String>, answer: &[u8]) -> CallError {
        let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
        let member = |names: &[&str]| names.iter().find_map(|name| answer.get(name)?.as_str());
        // AWS writes the code with or without a namespace: `com.amazonaws.kms#NotFoundException`.
        let code = member(&["__type", "code"]).map(|code| code.rsplit('#').next().unwrap_or(code));
        let message = member(&["message", "Message"]).unwrap_or_default();
        match code {
            Some(code) => CallError::Refused { code: code.to_owned(), message: message.to_owned(), request_id },
            None => failed(format!("{} answered {status} {message}", self.endpoint)),
        }
    }

    fn unreachable(&self, why: &str) -> CallError {
        CallError::Failed(
            Problem::new(format!("cannot reach the server at {}: {why}", self.endpoint))
                .remedy("start it (claviger serve, or claviger dev), or name the right one with --endpoint or CLAVIGER_ENDPOINT"),
        )
    }

    fn untrusted(&self, error: &std::io::Error) -> CallError {
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let remedy = match cause {
            Some(rustls::Error::InvalidMessage(_)) => format!(
                "what answers there does not speak TLS: is it http://{} instead? Is it a Claviger server?",
                self.endpoint.authority()
            ),
            Some(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })) => {
                "name the server as its certificate does, with --endpoint or CLAVIGER_ENDPOINT".to_owned()
            }
            Some(rustls::Error::InvalidCertificate(
                CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. },
            )) => "renew the server's certificate; or, if it is not out of date, set this machine's clock".to_owned(),
            _ => "name the certificate authority of the server with --ca or AWS_CA_BUNDLE".to_owned(),
        };
        CallError::Failed(Problem::new(format!("no TLS connection to {}: {error}", self.endpoint)).remedy(remedy))
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Failed(problem) => problem,
            CallError::Refused { code, message, request_id } => {
                let id = request_id.map(|id| format!(" (request {id})")).unwrap_or_default();
                let colon = if message.is_empty() { "" } else { ": " };
                let problem = Self::new(format!("the server refused: {code}{colon}{message}{id}"));
                match remedy_for(&code, &message) {
                    Some(remedy) => problem.remedy(remedy),
                    None => problem,
                }
            }
        }
    }
}

fn remedy_for(code: &str, message: &str) -> Option<&'static str> {
    if message.contains("scoped to a valid region") {
        return Some("name a Region that the server serves with --region or AWS_REGION");
    }
    Some(match code.trim_end_matches("Exception") {
        "UnrecognizedClient" | "InvalidSignature" | "IncompleteSignature" | "MissingAuthenticationToken" => {
            "check the access key id and secret: they have to belong together, to this deployment, and be active"
        }
        "AccessDenied" => "use the credentials of somebody who may: the administrator's, or the account root's",
        "Throttling" => "wait a moment and try again",
        "KMSInternal" if message.contains("claviger store verify") => {
            "the store was changed from outside: run `claviger store verify` where the server runs, and keep the store as it is"
        }
        "KMSInternal" | "KeyUnavailable" | "DependencyTimeout" => {
            "look at the server's log, and run `claviger doctor` and `claviger store verify` where it runs"
        }
        _ => return None,
    })
}

async fn read_answer(mut body: Incoming) -> hyper::Result<Option<Bytes>> {
    let mut answer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            if answer.len() + piece.len() > ANSWER_BYTES_MAX {
                return Ok(None);
            }
            answer.extend_from_slice(&piece);
        }
    }
    Ok(Some(answer.freeze()))
}

fn tls_config(certificate_authority: Option<&Path>) -> Result<ClientConfig, Problem> {
    let roots = trusted(certificate_authority)?;
    if roots.is_empty() {
        return Err(Problem::new("this machine has no certificate authorities to trust")
            .remedy("name the server's certificate authority with --ca or AWS_CA_BUNDLE"));
    }
    client_tls(roots, None)
}

/// The certificate authorities in a PEM file, or those that this machine trusts, of which there may be none.
pub(crate) fn trusted(certificate_authority: Option<&Path>) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    match certificate_authority {
        Some(path) => {
            for certificate in read_certificates(path)? {
                roots.add(certificate).map_err(|_| {
                    Problem::new(format!("{} holds something that is no X.509 certificate", path.display())).remedy(
                        "--ca or AWS_CA_BUNDLE names a PEM file with the server's certificate authority, or its own certificate",
                    )
                })?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

/// The client's side of TLS, perhaps with a certificate of its own to show.
pub(crate) fn client_tls(
    roots: RootCertStore,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, Problem> {
    let unusable = |error: rustls::Error| Problem::new(format!("TLS cannot be used: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots);
    match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(unusable),
        None => Ok(builder.with_no_client_auth()),
    }
}

fn failed(happened: String) -> CallError {
    CallError::Failed(Problem::new(happened))
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
