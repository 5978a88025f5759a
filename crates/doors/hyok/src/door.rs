//! From a whole HTTP request to a whole answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use claviger_domain::caller::Request;
use claviger_domain::{Caller, Refusal, Region};
use claviger_service::hyok::ClientCertificate;
use claviger_service::operation::Event;
use claviger_service::{Assertions, FoundStore, Meters, Service, SignatureClaim};
use claviger_sigv4::parse_claim;
use http::header::{ALLOW, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use uuid::Uuid;

use crate::decrypt::Decrypt;
use crate::encrypt::Encrypt;
use crate::errors::{error, wrong_method};
use crate::get_health_status::GetHealthStatus;
use crate::get_key_metadata::GetKeyMetadata;
use crate::mapping::{external_key, run};
use crate::path::{Path, What};

/// The door to one service.
pub struct Door {
    pub(crate) service: Arc<Service>,
    pub(crate) meters: Meters,
}

/// Who is at the other end of the connection.
#[derive(Clone)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub secure: bool,
    /// The certificate that it has shown, if it has.
    pub client: Option<Arc<dyn ClientCertificate>>,
}

/// The service in the scope of signatures. Source: AWS KMS External Keystore Proxy API Specification, appendix A.
const SERVICE: &str = "kms-xks-proxy";
/// This door's name in audit entries and metrics.
const NAME: &str = "aws-xks";
/// The operations that are metered.
const OPERATIONS: [&str; 4] = ["GetKeyMetadata", "Encrypt", "Decrypt", "GetHealthStatus"];

impl Door {
    /// The door to this service.
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, meters: Meters::new(NAME, OPERATIONS) }
    }

    /// Answers one request. Never fails: what goes wrong is an answer too, and in the audit log. Load balancers are told that this process answers,
    /// and leave no entry.
    pub async fn handle(&self, request: http::Request<Bytes>, peer: Peer) -> http::Response<Bytes> {
        let (parts, body) = request.into_parts();
        let path = Path::parse(parts.uri.path());
        if path == Path::Ping && (parts.method == Method::GET || parts.method == Method::HEAD) {
            return pong();
        }
        let began = Instant::now();
        let mut request = Request {
            id: Uuid::new_v4(),
            door: NAME,
            region: Region::unknown(),
            at: self.service.now(),
            source_ip: peer.address,
            user_agent: user_agent(&parts),
            secure_transport: peer.secure,
        };
        let Path::Store { store, what } = path else {
            let refusal = Refusal::new(claviger_domain::Kind::InvalidUriPath, "No key store has anything at this path.");
            return self.refuse(&request, None, Event::xks("Unknown"), refusal).await;
        };
        let event = Event::xks(what.operation());
        if parts.method != Method::POST {
            let mut answer = self.refuse(&request, None, event, wrong_method()).await;
            if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            }
            return answer;
        }
        let store = match self.service.find_store(store).await {
            Ok(store) => store,
            Err(refusal) => return Box::pin(self.refuse(&request, None, event, refusal)).await,
        };
        match self.identify(&parts, &body, &store, &peer, &mut request) {
            Ok(caller) => self.dispatch(what, &caller, &body, began).await,
            Err((access_key, refusal)) => Box::pin(self.refuse(&request, access_key, event, refusal)).await,
        }
    }

    /// Finds out whether the request is the cloud's: with whose access key it says it was signed, where it is not.
    fn identify<'r>(
        &self,
        parts: &'r Parts,
        body: &[u8],
        store: &FoundStore,
        peer: &Peer,
        request: &mut Request,
    ) -> Result<Caller, (Option<&'r str>, Refusal)> {
        let claim = parse_claim(parts, body, request.at).map_err(|failure| (None, failure.into()))?;
        let named = Some(claim.access_key);
        request.region = Region::or_unknown(claim.region);
        // Any Region of AWS may call; keys behind stores have Regions of their own.
        let is_region = |region: &str| region.parse::<Region>().is_ok();
        claim.require_scope(&[SERVICE], is_region).map_err(|failure| (named, failure.into()))?;
        let signed = SignatureClaim {
            access_key: claim.access_key,
            session_token: claim.session_token,
            date: claim.date,
            region: claim.region,
            service: claim.service,
            string_to_sign: claim.string_to_sign.as_bytes(),
            signature: &claim.signature,
            assertions: Assertions::default(),
        };
        self.service
            .authenticate_store(store, &signed, peer.client.as_deref(), request.clone())
            .map_err(|refusal| (named, refusal))
    }

    async fn dispatch(&self, what: What<'_>, caller: &Caller, body: &Bytes, began: Instant) -> http::Response<Bytes> {
        // Boxed, so that the future of every connection is not as large as that of the largest operation: it is moved for each request.
        match what {
            What::Metadata(key) => Box::pin(run::<GetKeyMetadata>(self, external_key(key), caller, body, began)).await,
            What::Encrypt(key) => Box::pin(run::<Encrypt>(self, external_key(key), caller, body, began)).await,
            What::Decrypt(key) => Box::pin(run::<Decrypt>(self, external_key(key), caller, body, began)).await,
            What::Health => Box::pin(run::<GetHealthStatus>(self, Ok(None), caller, body, began)).await,
        }
    }

    /// Puts a refusal into the audit log, and answers it; or that it could not be written.
    async fn refuse(&self, request: &Request, access_key: Option<&str>, event: Event, refusal: Refusal) -> http::Response<Bytes> {
        let refusal = match self.service.record_refusal(request, None, access_key, event, &refusal).await {
            Ok(()) => refusal,
            Err(unwritten) => unwritten,
        };
        self.meters.refused_before_operation(&refusal);
        error(&refusal, request.id)
    }
}

impl What<'_> {
    /// The operation's name in the audit log.
    fn operation(self) -> &'static str {
        match self {
            Self::Metadata(_) => "GetKeyMetadata",
            Self::Encrypt(_) => "Encrypt",
            Self::Decrypt(_) => "Decrypt",
            Self::Health => "GetHealthStatus",
        }
    }
}

fn pong() -> http::Response<Bytes> {
    let mut answer = http::Response::new(Bytes::from_static(b"pong\n"));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

fn user_agent(parts: &Parts) -> String {
    let text = parts.headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    Request::cut_user_agent(&text)
}
