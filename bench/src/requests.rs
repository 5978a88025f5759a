//! Requests as an AWS client sends them, signed ahead of time so that signing does not disturb what is measured.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use claviger_domain::Timestamp;
use claviger_sigv4::{Signer, SigningKey};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::Value;

use crate::failure::{Context as _, Failure};

/// Who signs, and for whom.
pub(crate) struct Client {
    access_key: String,
    secret: String,
    region: String,
    host: HeaderValue,
}

/// Which of the server's interfaces a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// AWS KMS.
    Kms,
    /// Claviger's own administration.
    Administration,
}

impl Api {
    /// The service in the signature's scope, and the prefix of `X-Amz-Target`.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Kms => ("kms", "TrentService"),
            Self::Administration => ("claviger", "ClavigerAdmin"),
        }
    }
}

impl Client {
    /// The same client as somebody else.
    pub(crate) fn with_credentials(&self, access_key: String, secret: String) -> Self {
        Self { access_key, secret, region: self.region.clone(), host: self.host.clone() }
    }

    /// Somebody with an access key.
    pub(crate) fn of(access_key: &str, secret: &str, region: &str, address: SocketAddr) -> Result<Self, Failure> {
        let host = HeaderValue::from_str(&address.to_string()).context("an address that is no host")?;
        Ok(Self { access_key: access_key.to_owned(), secret: secret.to_owned(), region: region.to_owned(), host })
    }

    /// The access key and its secret.
    pub(crate) fn into_credentials(self) -> (String, String) {
        (self.access_key, self.secret)
    }

    /// Takes the credentials from the file that `claviger dev` writes.
    pub(crate) fn from_environment(file: &Path, address: SocketAddr) -> Result<Self, Failure> {
        let text = fs::read_to_string(file).context(format!("cannot read {}", file.display()))?;
        let value =
            |name: &str| variable(&text, name).ok_or_else(|| Failure::new(format!("{} does not set {name}", file.display())));
        Ok(Self {
            access_key: value("AWS_ACCESS_KEY_ID")?,
            secret: value("AWS_SECRET_ACCESS_KEY")?,
            region: value("AWS_REGION")?,
            host: HeaderValue::from_str(&address.to_string()).context("an address that is no host")?,
        })
    }

    /// A signed request, as bytes for the wire. Good for five minutes: that is how far a client's clock may be off.
    pub(crate) fn request(&self, operation: &str, body: &Value) -> Result<Bytes, Failure> {
        self.requests(operation, std::slice::from_ref(body)).map(|mut requests| requests.pop().unwrap_or_default())
    }

    /// The same for many bodies, with one derivation of the signing key.
    pub(crate) fn requests(&self, operation: &str, bodies: &[Value]) -> Result<Vec<Bytes>, Failure> {
        self.requests_to(Api::Kms, operation, bodies)
    }

    /// The same for any of the server's interfaces.
    pub(crate) fn requests_to(&self, api: Api, operation: &str, bodies: &[Value]) -> Result<Vec<Bytes>, Failure> {
        let (service, prefix) = api.names();
        let now = now()?;
        let signer =
            Signer { access_key: &self.access_key, secret: &self.secret, session_token: None, region: &self.region, service };
        let key = SigningKey::derive(&self.secret, &now.basic_date(), &self.region, service);
        let target = HeaderValue::from_str(&format!("{prefix}.{operation}")).context("an operation that is no header")?;
        let headers: HeaderMap = [
            (HOST, self.host.clone()),
            (HeaderName::from_static("x-amz-target"), target),
            (CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1")),
        ]
        .into_iter()
        .collect();
        let root = Uri::from_static("/");
        let sign = |body: &Value| {
            let body = body.to_string();
            let added = signer
                .sign_with(&key, &Method::POST, &root, &headers, body.as_bytes(), now)
                .context("a request cannot be signed")?;
            Ok(on_the_wire(&headers, &added, &body))
        };
        bodies.iter().map(sign).collect()
    }
}

fn on_the_wire(headers: &HeaderMap, added: &[(HeaderName, HeaderValue)], body: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(600 + body.len());
    bytes.extend_from_slice(b"POST / HTTP/1.1\r\nUser-Agent: claviger-bench\r\nAccept-Encoding: identity\r\n");
    for (name, value) in headers.iter().chain(added.iter().map(|(name, value)| (name, value))) {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body.as_bytes());
    bytes.into()
}

fn now() -> Result<Timestamp, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Timestamp(i64::try_from(since.as_millis()).context("the clock is beyond all years")?))
}

/// The value of a line `export NAME=VALUE`.
fn variable(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| Some(line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('=')?.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use claviger_sigv4::parse_claim;

    use super::*;

    #[test]
    fn what_goes_onto_the_wire_is_what_was_signed() {
        let client = Client {
            access_key: "AKIAEXAMPLE".into(),
            secret: "secret".into(),
            region: "us-east-1".into(),
            host: HeaderValue::from_static("127.0.0.1:9911"),
        };
        let request = client.request("ListKeys", &serde_json::json!({ "Limit": 100 })).unwrap();
        let text = std::str::from_utf8(&request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut parsed = http::Request::builder().method("POST").uri("/");
        for line in head.lines().skip(1) {
            let (name, value) = line.split_once(": ").unwrap();
            parsed = parsed.header(name, value);
        }
        let (parts, ()) = parsed.body(()).unwrap().into_parts();
        assert_eq!(parts.headers.get("content-length").unwrap(), &body.len().to_string());
        let claim = parse_claim(&parts, body.as_bytes(), now().unwrap()).unwrap();
        let key = SigningKey::derive("secret", claim.date, "us-east-1", "kms");
        assert!(key.verify(&claim.string_to_sign, &claim.signature));
    }

    #[test]
    fn variables_are_found_by_their_whole_name() {
        let text = "# x\nexport AWS_REGION_OLD=a\nexport AWS_REGION=us-east-1\n";
        assert_eq!(variable(text, "AWS_REGION").as_deref(), Some("us-east-1"));
        assert_eq!(variable(text, "AWS"), None);
    }
}
