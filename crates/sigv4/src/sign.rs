//! The client's side: signing requests, for our own command line client, the benchmark and the tests.

use aws_lc_rs::hmac;
use claviger_domain::Timestamp;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use zeroize::Zeroizing;

use super::canonical::{ALGORITHM, HexHash, Signable, SignedHeaders, TERMINATOR};
use super::{AMZ_DATE, AMZ_SECURITY_TOKEN, Failure, time};

/// Headers that proxies and HTTP libraries change or add after signing; no AWS client signs them.
const NEVER_SIGNED: [&str; 13] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

/// A key that signs for one day, Region and service. Deriving it costs four HMACs: keep it for as long as it is valid.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Derives the key from a secret access key. `date` is as in the scope: `20261122`.
    ///
    /// Source: AWS IAM User Guide, "Create a signed AWS API request", step 4.
    pub fn derive(secret: &str, date: &str, region: &str, service: &str) -> Self {
        let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret.as_bytes());
        let first = hmac::Key::new(hmac::HMAC_SHA256, &first);
        let last = [date, region, service, TERMINATOR]
            .iter()
            .fold(first, |key, element| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, element.as_bytes()).as_ref()));
        Self(last)
    }

    /// The signature in hexadecimal.
    pub fn sign(&self, string_to_sign: &str) -> String {
        hex::encode(hmac::sign(&self.0, string_to_sign.as_bytes()))
    }

    /// Whether a signature is right, in constant time.
    pub fn verify(&self, string_to_sign: &str, signature: &[u8; 32]) -> bool {
        hmac::verify(&self.0, string_to_sign.as_bytes(), signature).is_ok()
    }
}

/// A credential and what it signs for.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// The access key id.
    pub access_key: &'a str,
    /// The secret access key.
    pub secret: &'a str,
    /// The session token of a temporary credential.
    pub session_token: Option<&'a str>,
    /// The Region: `us-east-1`.
    pub region: &'a str,
    /// The service: `kms`, `sts`.
    pub service: &'a str,
}

impl Signer<'_> {
    /// The headers that make this a signed request: X-Amz-Date, Authorization, and X-Amz-Security-Token if there is one.
    ///
    /// `headers` are the ones that will be sent; all are signed but those that HTTP libraries change on the way. Host is taken
    /// from `uri` if it is not among them.
    ///
    /// # Errors
    /// `Unreadable` when a header or the query string cannot be signed, `MalformedSignedHeaders` when there are too many headers.
    pub fn sign(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        self.sign_with(
            &SigningKey::derive(self.secret, &now.basic_date(), self.region, self.service),
            method,
            uri,
            headers,
            body,
            now,
        )
    }

    /// The same with a signing key that was derived before, on the same day, for this signer.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_with(
        &self,
        key: &SigningKey,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        let signed_at = time::basic(now);
        let mut added = vec![(AMZ_DATE, header_value(&signed_at)?)];
        if let Some(token) = self.session_token {
            added.push((AMZ_SECURITY_TOKEN, header_value(token)?));
        }
        let mut headers = headers.clone();
        headers.extend(added.iter().cloned());
        let list = signed_headers(&headers);
        let signed_headers = SignedHeaders::parse(&list)?;
        let payload = HexHash::of(body);
        let signable = Signable { method, uri, headers: &headers, signed_headers: &signed_headers, payload: &payload };
        let scope = format!("{}/{}/{}/{TERMINATOR}", now.basic_date(), self.region, self.service);
        let signature = key.sign(&signable.string_to_sign(&signed_at, &scope)?);
        let authorization =
            format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={list}, Signature={signature}", self.access_key);
        added.push((AUTHORIZATION, header_value(&authorization)?));
        Ok(added)
    }
}

fn signed_headers(headers: &HeaderMap) -> String {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).filter(|name| !NEVER_SIGNED.contains(name)).collect();
    if !headers.contains_key(HOST) {
        names.push(HOST.as_str());
    }
    names.sort_unstable();
    names.join(";")
}

fn header_value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|_| {
        Failure::Unreadable("The access key, session token, Region or service has a character that no header can carry.")
    })
}
