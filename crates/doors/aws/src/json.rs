//! Values as the JSON 1.1 protocol writes them. Source: Smithy, "AWS JSON 1.1 protocol".

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use claviger_domain::{Refusal, Timestamp};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

/// The content type of both requests and answers.
pub(crate) const JSON: &str = "application/x-amz-json-1.1";

/// A blob in a request: standard base64. Wiped when dropped, since it may be a plaintext.
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

/// The pairs of a map in a request. A name that is there twice has no meaning, and is refused as a member that is there twice.
pub(crate) struct Pairs(BTreeMap<String, String>);

impl From<Pairs> for BTreeMap<String, String> {
    fn from(pairs: Pairs) -> Self {
        pairs.0
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;

        impl<'de> Visitor<'de> for Unique {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if pairs.insert(name, value).is_some() {
                        return Err(de::Error::custom("a name is there twice"));
                    }
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Unique)
    }
}

/// A blob in an answer.
pub(crate) struct BlobOut<T>(pub(crate) T);

impl<T: AsRef<[u8]>> Serialize for BlobOut<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0.as_ref(), &STANDARD))
    }
}

/// A plaintext in an answer: wiped when dropped.
pub(crate) struct SecretOut(pub(crate) Zeroizing<Vec<u8>>);

impl Serialize for SecretOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BlobOut(self.0.as_slice()).serialize(serializer)
    }
}

/// A time in an answer: seconds since the epoch, the milliseconds as the fraction.
#[derive(Default)]
pub(crate) struct Seconds(pub(crate) Timestamp);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.epoch_seconds())
    }
}

/// A time in a request: seconds since the epoch, perhaps with a fraction, which is cut to milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if !(-MOMENT_SECONDS_MAX..=MOMENT_SECONDS_MAX).contains(&seconds) {
            return Err(de::Error::custom("no time within a thousand years"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "within the range that was just checked")]
        let ms = (seconds * 1000.0) as i64;
        Ok(Self(Timestamp(ms)))
    }
}

/// About a thousand years, in seconds.
const MOMENT_SECONDS_MAX: f64 = 3.2e10;

/// Reads a request's body. An empty one is an empty object.
///
/// # Errors
/// `Unparsable` with the place of the fault, but nothing of the body: it may hold a plaintext, and errors are logged.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "a member has a value of the wrong type, or is there twice",
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
    let mut body = Vec::with_capacity(BODY_BYTES_USUAL);
    serde_json::to_writer(&mut body, value).map_err(|_| unwritable())?;
    Ok(body.into())
}

/// The body of an answer with a secret in it: wiped when the connection has taken it.
pub(crate) fn write_secret<T: Serialize>(value: &T) -> Result<Bytes, Refusal> {
    SCRATCH.with_borrow_mut(|scratch| {
        let written = serde_json::to_writer(&mut *scratch, value).map_err(|_| unwritable());
        let body = Zeroizing::new(scratch.clone());
        scratch.as_mut_slice().zeroize();
        scratch.clear();
        written.map(|()| wiped(body))
    })
}

/// Enough for most answers.
const BODY_BYTES_USUAL: usize = 512;
/// Enough for every answer with a secret: the largest is an RSA-4096 key pair, three times in base64, and what stands around it. A buffer that
/// grew would leave parts of the secret behind.
const SECRET_BODY_BYTES_MAX: usize = 16384;

thread_local! {
    /// Where bodies with secrets are written before their length is known. Wiped after each use, as far as it was used.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(SECRET_BODY_BYTES_MAX));
}

fn unwritable() -> Refusal {
    Refusal::internal("The answer could not be written.")
}

/// A body that is wiped when the connection has taken it.
pub(crate) fn wiped<T: AsRef<[u8]> + Zeroize + Send + 'static>(body: Zeroizing<T>) -> Bytes {
    Bytes::from_owner(Wiped(body))
}

struct Wiped<T: Zeroize>(Zeroizing<T>);

impl<T: AsRef<[u8]> + Zeroize> AsRef<[u8]> for Wiped<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// An HTTP answer with the headers that every answer has.
pub(crate) fn response(status: StatusCode, content_type: &'static str, request: Uuid, body: Bytes) -> http::Response<Bytes> {
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    if let Ok(id) = HeaderValue::from_str(request.hyphenated().encode_lower(&mut text)) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}
