//! Bodies: JSON with base64 in it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use claviger_domain::Refusal;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Bytes in a request: standard base64. Wiped when dropped, since it may be a plaintext.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;

        impl Visitor<'_> for Base64 {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Blob, E> {
                STANDARD.decode(text).map(|bytes| Blob(Zeroizing::new(bytes))).map_err(|_| E::custom("not base64"))
            }
        }

        deserializer.deserialize_str(Base64)
    }
}

impl Blob {
    /// The bytes, of which a request may have so many.
    pub(crate) fn at_most(self, member: &str, max: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        if self.0.len() <= max {
            return Ok(self.0);
        }
        Err(Refusal::unsupported(format!("{member} has {} bytes; at most {max} are supported.", self.0.len())))
    }
}

/// A member that has to be there.
pub(crate) fn present<T>(member: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::invalid(format!("{member} is missing.")))
}

/// Reads a request's body.
///
/// # Errors
/// `Unparsable` with the place of the fault, but nothing of the body: it may hold a plaintext, and errors are logged.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "a member has a value of the wrong type or form, or is there twice",
            _ => "it is not JSON",
        };
        Refusal::unparsable(format!(
            "The request body cannot be read: {what}, at line {} column {}.",
            error.line(),
            error.column()
        ))
    })
}

/// An answer's body.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<Bytes, Refusal> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|_| Refusal::internal("The answer could not be written."))
}

/// The body of an answer whose one member is a plaintext. Wiped when the connection has taken it.
pub(crate) fn write_plaintext(plaintext: &[u8]) -> Bytes {
    const BEFORE: &str = "{\"plaintext\":\"";
    const AFTER: &str = "\"}";
    // Never grows, which would leave a part of it behind.
    let length = plaintext.len().div_ceil(3) * 4;
    let mut body = Zeroizing::new(String::with_capacity(BEFORE.len() + length + AFTER.len()));
    body.push_str(BEFORE);
    STANDARD.encode_string(plaintext, &mut body);
    body.push_str(AFTER);
    Bytes::from_owner(Wiped(body))
}

struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// An HTTP answer with the headers that every answer has.
pub(crate) fn response(status: StatusCode, request: Uuid, body: Bytes) -> http::Response<Bytes> {
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    if let Ok(id) = HeaderValue::from_str(request.hyphenated().encode_lower(&mut text)) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plaintext_is_written_into_a_buffer_of_its_size() {
        for length in [0, 1, 2, 3, 4, 4300, 65_536] {
            let plaintext = vec![7; length];
            let body = write_plaintext(&plaintext);
            let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(STANDARD.decode(read["plaintext"].as_str().unwrap()).unwrap(), plaintext);
        }
    }

    #[test]
    fn blobs_are_standard_base64_and_bounded() {
        let read = |text: &str| read::<Blob>(format!("\"{text}\"").as_bytes());
        assert_eq!(**read("SGVsbG8=").unwrap().0, *b"Hello");
        for wrong in ["SGVsbG8", "SGVsbG8==", "SGVs bG8=", "SGVsbG9-", "=", "SGVsbG9="] {
            let refusal = read(wrong).unwrap_err();
            assert!(!refusal.detail.contains("SGV"), "{refusal}");
        }
        assert!(read("SGVsbG8=").unwrap().at_most("plaintext", 5).is_ok());
        assert!(read("SGVsbG8=").unwrap().at_most("plaintext", 4).is_err());
    }
}
