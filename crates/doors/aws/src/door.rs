//! From a whole HTTP request to a whole answer.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use claviger_domain::caller::Request;
use claviger_domain::{Caller, Kind, Refusal, Region};
use claviger_service::operation::Event;
use claviger_service::{Assertions, Meters, Service, SignatureClaim};
use claviger_sigv4::{Claim, parse_claim};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use uuid::Uuid;

use crate::errors::{json_error, xml_error};
use crate::{admin, kms, sts};

/// The AWS door of one service.
pub struct Door {
    pub(crate) service: Arc<Service>,
    pub(crate) meters: Meters,
}

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub secure: bool,
}

/// The protocols that are spoken here, and the operation that a request names in them.
enum Protocol<'a> {
    /// `X-Amz-Target: TrentService.Encrypt`.
    Kms(&'a str),
    /// `X-Amz-Target: ClavigerAdmin.CreateUser`.
    Admin(&'a str),
    /// `Action=GetCallerIdentity` in a form, or in the query string.
    Sts,
    /// None of them.
    Unknown,
}

/// Bytes of what a service may say in one header: a session token is the longest of it.
const ASSERTION_BYTES_MAX: usize = 8 * 1024;
/// This door's name in audit entries and metrics.
const NAME: &str = "aws-kms";

impl Door {
    /// The door to this service.
    pub fn new(service: Arc<Service>) -> Self {
        let operations = kms::OFFERED.iter().chain(admin::OFFERED).chain(sts::OFFERED).copied();
        Self { service, meters: Meters::new(NAME, operations) }
    }

    /// Answers one request. Never fails: what goes wrong is an answer too, and in the audit log.
    pub async fn handle(&self, request: http::Request<Bytes>, peer: Peer) -> http::Response<Bytes> {
        let (parts, body) = request.into_parts();
        let mut request = Request {
            id: Uuid::new_v4(),
            door: NAME,
            region: Region::unknown(),
            at: self.service.now(),
            source_ip: peer.address,
            user_agent: user_agent(&parts),
            secure_transport: peer.secure,
        };
        let protocol = protocol_of(&parts);
        let caller = match self.identify(&parts, &body, &protocol, &mut request).await {
            Ok(caller) => caller,
            Err(refusal) => return self.refuse(&protocol, &request, &refusal),
        };
        match protocol {
            Protocol::Kms(name) => kms::dispatch(self, name, caller, &body).await,
            Protocol::Admin(name) => admin::dispatch(self, name, caller, &body).await,
            Protocol::Sts => sts::dispatch(self, caller, &parts, &body).await,
            Protocol::Unknown => {
                let refusal = unknown_operation();
                let refusal = self.record(&request, Some(&caller), None, event_of(&protocol, &parts, &body), refusal).await;
                self.refuse(&protocol, &request, &refusal)
            }
        }
    }

    /// Finds out who signed the request. A refusal that comes back is in the audit log already.
    async fn identify(
        &self,
        parts: &Parts,
        body: &Bytes,
        protocol: &Protocol<'_>,
        request: &mut Request,
    ) -> Result<Caller, Refusal> {
        let (access_key, refusal) = match self.read_claim(parts, body, protocol, request) {
            Ok(claim) => match self.verify(&claim, parts, request).await {
                Ok(caller) => return Ok(caller),
                Err(refusal) => (Some(claim.access_key), refusal),
            },
            Err(refusal) => (None, refusal),
        };
        Err(Box::pin(self.record(request, None, access_key, event_of(protocol, parts, body), refusal)).await)
    }

    fn read_claim<'r>(
        &self,
        parts: &'r Parts,
        body: &[u8],
        protocol: &Protocol<'_>,
        request: &mut Request,
    ) -> Result<Claim<'r>, Refusal> {
        let claim = parse_claim(parts, body, request.at)?;
        request.region = Region::or_unknown(claim.region);
        let services = match protocol {
            Protocol::Kms(_) | Protocol::Unknown => ["kms"],
            Protocol::Admin(_) => ["claviger"],
            Protocol::Sts => ["sts"],
        };
        // The administration is not about any Region.
        let anywhere = matches!(protocol, Protocol::Admin(_));
        let served = |region: &str| region.parse().is_ok_and(|region| anywhere || self.service.serves(&region));
        claim.require_scope(&services, served)?;
        Ok(claim)
    }

    async fn verify(&self, claim: &Claim<'_>, parts: &Parts, request: &Request) -> Result<Caller, Refusal> {
        let signed = SignatureClaim {
            access_key: claim.access_key,
            session_token: claim.session_token,
            date: claim.date,
            region: claim.region,
            service: claim.service,
            string_to_sign: claim.string_to_sign.as_bytes(),
            signature: &claim.signature,
            assertions: assertions(&parts.headers)?,
        };
        self.service.authenticate(&signed, request.clone()).await
    }

    /// Puts a refusal into the audit log. What comes back is what the client is told: the refusal, or that it asks too often, or that it could
    /// not be written.
    pub(crate) async fn record(
        &self,
        request: &Request,
        caller: Option<&Caller>,
        access_key: Option<&str>,
        event: Event,
        refusal: Refusal,
    ) -> Refusal {
        let refusal = match caller {
            Some(caller) => self.service.admit_unread(caller, event).err().unwrap_or(refusal),
            None => refusal,
        };
        match self.service.record_refusal(request, caller, access_key, event, &refusal).await {
            Ok(()) => refusal,
            Err(unwritten) => unwritten,
        }
    }

    fn refuse(&self, protocol: &Protocol<'_>, request: &Request, refusal: &Refusal) -> http::Response<Bytes> {
        self.meters.refused_before_operation(refusal);
        match protocol {
            Protocol::Sts => xml_error(refusal, request.id),
            Protocol::Kms(_) | Protocol::Admin(_) | Protocol::Unknown => json_error(refusal, request.id),
        }
    }
}

/// The answer of a server that cannot serve anything yet: 503, in the form of the protocol that the request speaks, so that every SDK tries again.
pub fn unavailable(parts: &Parts, detail: &str) -> http::Response<Bytes> {
    let (refusal, request) = (Refusal::internal(detail), Uuid::new_v4());
    let mut response = match protocol_of(parts) {
        Protocol::Sts => xml_error(&Refusal { kind: Kind::DependencyTimeout, ..refusal }, request),
        Protocol::Kms(_) | Protocol::Admin(_) | Protocol::Unknown => json_error(&refusal, request),
    };
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// An operation that AWS does not have.
pub(crate) fn unknown_operation() -> Refusal {
    Refusal::new(Kind::UnknownOperation, "")
}

/// Every operation is `POST /`; AWS STS also answers `GET /?Action=...`.
fn protocol_of(parts: &Parts) -> Protocol<'_> {
    let (is_post, is_get) = (parts.method == Method::POST, parts.method == Method::GET);
    if parts.uri.path() != "/" || !(is_post || is_get) {
        return Protocol::Unknown;
    }
    let Some(target) = parts.headers.get("x-amz-target") else {
        let form = parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        let in_query = parts.uri.query().is_some_and(|query| query.contains("Action="));
        return if form || in_query { Protocol::Sts } else { Protocol::Unknown };
    };
    match target.to_str().ok().and_then(|target| target.split_once('.')).filter(|_| is_post) {
        Some(("TrentService", name)) => Protocol::Kms(name),
        Some(("ClavigerAdmin", name)) => Protocol::Admin(name),
        _ => Protocol::Unknown,
    }
}

/// What a request is called in the log before it has become an operation.
fn event_of(protocol: &Protocol<'_>, parts: &Parts, body: &[u8]) -> Event {
    match protocol {
        Protocol::Kms(name) => kms::event_named(name),
        Protocol::Admin(name) => admin::event_named(name),
        Protocol::Sts => sts::event_of(parts, body),
        Protocol::Unknown => Event::kms_read("Unknown"),
    }
}

/// What a service says of its request. All of these headers are signed: `claviger_sigv4` sees to it for whatever begins with `x-amz-`.
fn assertions(headers: &HeaderMap) -> Result<Assertions<'_>, Refusal> {
    let text = |name: &str| match headers.get(name) {
        None => Ok(None),
        Some(value) => match value.to_str() {
            Ok(text) if text.len() <= ASSERTION_BYTES_MAX => Ok(Some(text)),
            _ => Err(Refusal::invalid(format!("The header {name} is not ASCII text of at most {ASSERTION_BYTES_MAX} bytes."))),
        },
    };
    Ok(Assertions {
        on_behalf_of: text("x-amz-claviger-on-behalf-of")?,
        on_behalf_of_token: text("x-amz-claviger-on-behalf-of-token")?,
        source_arn: text("x-amz-source-arn")?,
        source_account: text("x-amz-source-account")?,
    })
}

fn user_agent(parts: &Parts) -> String {
    let text = parts.headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    Request::cut_user_agent(&text)
}
