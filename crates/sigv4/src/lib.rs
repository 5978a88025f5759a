//! Who signed a request: AWS Signature Version 4 in its header form.
//!
//! Doors share it, because a signature is no protocol of its own: the AWS door reads requests of AWS's clients with it, the door `hyok` those of
//! AWS KMS itself, and our own command line and the tests sign with it
//! (docs/decisions/015-signatures-are-a-crate-and-every-external-message-has-a-key.md).
//!
//! A door only reads the claim: [`parse_claim`] says which access key is said to have signed which text ([`Claim`]). Whether that is true
//! is for the hsm crate to say, which alone knows the secret. [`SigningKey`] and [`Signer`] are the client's side; both sides share the
//! canonical form. What this crate is not: it knows no service, no store and no secret of others, and decides nothing.
//!
//! Start reading at [`parse_claim`], then `canonical.rs`.
//!
//! Source: AWS IAM User Guide, "AWS Signature Version 4 for API requests" and its troubleshooting page.

mod canonical;
mod failure;
mod header;
mod sign;
mod time;

use std::borrow::Cow;
use std::fmt;

use claviger_domain::Timestamp;
use http::header::{AUTHORIZATION, DATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::failure::Failure;
pub use self::sign::{Signer, SigningKey};

use self::canonical::{HexHash, Signable, SignedHeaders};
use self::header::{Authorization, Credential};

/// How far the client's clock may be off, in minutes, either way.
pub const SKEW_MINUTES_MAX: i64 = 5;

/// Characters of the request's own text that an error repeats, at most.
const EXCERPT_CHARACTERS_MAX: usize = 200;

/// What a request claims about who signed it. Nothing in it is to be trusted before the signature has been verified.
#[derive(Clone)]
pub struct Claim<'r> {
    /// The access key id, as sent: it may be anything that is not a slash, comma or white space.
    pub access_key: &'r str,
    /// The day of the signing key, `20261122`: that of `signed_at`.
    pub date: &'r str,
    /// The Region of the signing key, as sent.
    pub region: &'r str,
    /// The service of the signing key, as sent.
    pub service: &'r str,
    /// When the client says that it signed: within five minutes of now.
    pub signed_at: Timestamp,
    /// What the client must have signed for this request and this body.
    pub string_to_sign: String,
    /// The signature: the HMAC-SHA-256 of the string to sign under the signing key.
    pub signature: [u8; 32],
    /// The session token of a temporary credential, as sent.
    pub session_token: Option<&'r str>,
}

impl Claim<'_> {
    /// Checks that the signing key is for one of these services and for a Region that is served here.
    ///
    /// # Errors
    /// `WrongScope` with AWS's sentences.
    pub fn require_scope(&self, services: &[&str], region_is_served: impl FnOnce(&str) -> bool) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        if !region_is_served(self.region) {
            wrong.push(format!("Credential should be scoped to a valid region, not '{}'.", excerpt(self.region)));
        }
        if !services.contains(&self.service) {
            wrong.push(format!("Credential should be scoped to correct service: '{}'.", services.join("' or '")));
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::WrongScope(wrong.join(" "))) }
    }
}

impl fmt::Debug for Claim<'_> {
    /// Without signature and session token: logs are read by more people than may use them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("access_key", &self.access_key)
            .field("region", &self.region)
            .field("service", &self.service)
            .field("signed_at", &self.signed_at)
            .finish_non_exhaustive()
    }
}

/// Reads who is said to have signed this request, and works out what they must have signed.
///
/// `body` is the whole body as it arrived; `now` is when it arrived.
///
/// A request is checked in AWS's order, and the first failure is the answer:
/// 1. no signature at all (`MissingAuthenticationToken`), a presigned request, or both forms at once;
/// 2. the algorithm, the form of the Authorization header, and that no part of it and no date is missing (`IncompleteSignature`);
/// 3. `host` and every `x-amz-*` header of the request are signed (`InvalidSignature`);
/// 4. the date is one (`IncompleteSignature`), and not more than five minutes off (`InvalidSignature`);
/// 5. the credential has five elements (`IncompleteSignature`), and is of that day (`InvalidSignature`);
/// 6. the body is the one that X-Amz-Content-Sha256 promises, if it is sent, and the signed headers are all there;
/// 7. the Region and the service of the scope ([`Claim::require_scope`]);
/// 8. after this crate: the access key exists (`UnrecognizedClient`), and the signature is right (`InvalidSignature`).
///
/// Where AWS would tell of several faults of the scope (5 and 7) in one text, ours tells of the first.
///
/// # Errors
/// The first [`Failure`] in that order.
pub fn parse_claim<'r>(parts: &'r Parts, body: &[u8], now: Timestamp) -> Result<Claim<'r>, Failure> {
    let headers = &parts.headers;
    let presigned = parts.uri.query().is_some_and(is_presigned);
    let authorization = match (headers.get(AUTHORIZATION), presigned) {
        (Some(value), false) => value.as_bytes(),
        (Some(_), true) => return Err(Failure::SignedTwice),
        (None, true) => return Err(Failure::Presigned),
        (None, false) => return Err(Failure::MissingToken),
    };
    let date = headers.get(AMZ_DATE).or_else(|| headers.get(DATE));
    let authorization = Authorization::parse(authorization, date.is_some())?;
    let signed_headers = SignedHeaders::parse(authorization.signed_headers)?;
    check_coverage(headers, &signed_headers)?;
    let (signed_at, signed_at_basic) = date.and_then(read_date).ok_or_else(|| malformed_date(date))?;
    check_clock(signed_at, now)?;
    let credential = Credential::parse(authorization.credential, &signed_at_basic)?;
    let payload = HexHash::of(body);
    check_payload_header(headers, &payload)?;
    let signable =
        Signable { method: &parts.method, uri: &parts.uri, headers, signed_headers: &signed_headers, payload: &payload };
    let string_to_sign = signable.string_to_sign(&signed_at_basic, credential.scope)?;
    Ok(Claim {
        access_key: credential.access_key,
        date: credential.date,
        region: credential.region,
        service: credential.service,
        signed_at,
        string_to_sign,
        signature: authorization.signature()?,
        session_token: session_token(headers)?,
    })
}

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

fn is_presigned(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        name.eq_ignore_ascii_case("X-Amz-Algorithm") || name.eq_ignore_ascii_case("X-Amz-Signature")
    })
}

/// Host and all of Amazon's own headers must be signed; X-Amz-Target among them names the operation.
fn check_coverage(headers: &HeaderMap, signed_headers: &SignedHeaders<'_>) -> Result<(), Failure> {
    if !signed_headers.contains("host") {
        return Err(Failure::HostNotSigned);
    }
    for name in headers.keys().map(HeaderName::as_str) {
        if name.starts_with("x-amz-") && !signed_headers.contains(name) {
            return Err(Failure::NotSigned(excerpt(name)));
        }
    }
    Ok(())
}

/// The time of a date header, and the same in ISO 8601's basic format, which is what is signed.
fn read_date(value: &HeaderValue) -> Option<(Timestamp, Cow<'_, str>)> {
    let text = value.to_str().ok()?.trim_ascii();
    if let Some(signed_at) = time::parse_basic(text) {
        return Some((signed_at, Cow::Borrowed(text)));
    }
    let signed_at = time::parse_http(text)?;
    Some((signed_at, Cow::Owned(time::basic(signed_at))))
}

fn malformed_date(value: Option<&HeaderValue>) -> Failure {
    Failure::MalformedDate(excerpt(&value.map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default()))
}

fn check_clock(signed_at: Timestamp, now: Timestamp) -> Result<(), Failure> {
    // Signatures are dated in whole seconds, so that a fraction of now must not count.
    let now = Timestamp(now.0.div_euclid(1000).saturating_mul(1000));
    if signed_at < now.plus_ms(-SKEW_MINUTES_MAX * 60_000) {
        return Err(Failure::SignatureExpired { signed_at, now });
    }
    if signed_at > now.plus_ms(SKEW_MINUTES_MAX * 60_000) {
        return Err(Failure::SignatureNotYetCurrent { signed_at, now });
    }
    Ok(())
}

fn check_payload_header(headers: &HeaderMap, payload: &HexHash) -> Result<(), Failure> {
    for value in headers.get_all(AMZ_CONTENT_SHA256) {
        let value = value.as_bytes().trim_ascii();
        if value.starts_with(b"UNSIGNED-PAYLOAD") || value.starts_with(b"STREAMING-") {
            return Err(Failure::UnsignedPayload);
        }
        if value != payload.as_bytes() {
            return Err(Failure::WrongPayloadHash);
        }
    }
    Ok(())
}

fn session_token(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let Some(value) = headers.get(AMZ_SECURITY_TOKEN) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| Failure::Unreadable("The session token (X-Amz-Security-Token) is not ASCII text."))
}

/// As much of a text as an error may repeat, on one line.
fn excerpt(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(EXCERPT_CHARACTERS_MAX).collect()
}
