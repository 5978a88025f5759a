//! What can be wrong with a request's claim of who signed it, in AWS's words.
//!
//! The texts are AWS's own wherever AWS has one, because client libraries match on some of them (a clock that is off is
//! recognised by "Signature expired" and "Signature not yet current"). The rest are ours and say what to do.

use std::fmt;

use claviger_domain::{Kind, Refusal, Timestamp};

use super::SKEW_MINUTES_MAX;
use super::time::basic;

/// Why a request cannot be attributed to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Neither an Authorization header of a scheme that AWS has, nor a signature in the query string.
    MissingToken,
    /// A signature in the query string and an Authorization header.
    SignedTwice,
    /// A signature in the query string, a form that this door does not take.
    Presigned,
    /// An algorithm other than AWS4-HMAC-SHA256.
    UnsupportedAlgorithm(String),
    /// An Authorization header with a part that is no `key=value`.
    NotKeyValue {
        /// The base64 of the SHA-256 of the Authorization header, by which its sender can recognise it.
        authorization_hash: String,
    },
    /// Parts of the Authorization header or the date are missing.
    Incomplete {
        /// AWS's sentence for each part that is missing.
        missing: String,
        /// The base64 of the SHA-256 of the Authorization header, by which its sender can recognise it.
        authorization_hash: String,
    },
    /// The list of signed headers is not in lower case, sorted and free of duplicates, or has too many names.
    MalformedSignedHeaders,
    /// The Host header is not among the signed headers.
    HostNotSigned,
    /// A header that has to be signed is not.
    NotSigned(String),
    /// A header was signed that the request does not have.
    SignedHeaderMissing(String),
    /// X-Amz-Date or Date cannot be read.
    MalformedDate(String),
    /// Signed too long ago.
    SignatureExpired {
        /// When it was signed.
        signed_at: Timestamp,
        /// When it arrived.
        now: Timestamp,
    },
    /// Signed in the future.
    SignatureNotYetCurrent {
        /// When it was signed.
        signed_at: Timestamp,
        /// When it arrived.
        now: Timestamp,
    },
    /// The credential is not `keyid/date/region/service/aws4_request`.
    MalformedCredential(String),
    /// The credential is for another day, Region, service or protocol. One sentence for each.
    WrongScope(String),
    /// X-Amz-Content-Sha256 is not the hash of the body that arrived.
    WrongPayloadHash,
    /// X-Amz-Content-Sha256 says that the body is not signed.
    UnsignedPayload,
    /// The signature is not 64 lower-case hexadecimal digits, so that it cannot be right.
    MalformedSignature,
    /// Something in the request that is signed cannot be read: which, and what to do.
    Unreadable(&'static str),
}

impl Failure {
    /// What kind of refusal this is; the door's table of errors says what that is called on the wire.
    pub fn kind(&self) -> Kind {
        match self {
            Self::MissingToken => Kind::MissingCredentials,
            Self::Presigned
            | Self::UnsupportedAlgorithm(_)
            | Self::NotKeyValue { .. }
            | Self::Incomplete { .. }
            | Self::MalformedDate(_)
            | Self::MalformedCredential(_)
            | Self::Unreadable(_) => Kind::IncompleteSignature,
            Self::SignedTwice
            | Self::MalformedSignedHeaders
            | Self::HostNotSigned
            | Self::NotSigned(_)
            | Self::SignedHeaderMissing(_)
            | Self::SignatureExpired { .. }
            | Self::SignatureNotYetCurrent { .. }
            | Self::WrongScope(_)
            | Self::WrongPayloadHash
            | Self::UnsignedPayload
            | Self::MalformedSignature => Kind::WrongSignature,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingToken => f.write_str("Missing Authentication Token"),
            Self::SignedTwice => {
                f.write_str("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")
            }
            Self::Presigned => f.write_str(
                "Signatures in the query string (presigned requests) are not accepted here. Sign with an Authorization header.",
            ),
            Self::UnsupportedAlgorithm(algorithm) => {
                write!(f, "Unsupported AWS 'algorithm': '{algorithm}' (only AWS4-HMAC-SHA256 for now). ")
            }
            Self::NotKeyValue { authorization_hash } => write!(
                f,
                "Invalid key=value pair (missing equal-sign) in Authorization header \
                 (hashed with SHA-256 and encoded with Base64): '{authorization_hash}'."
            ),
            Self::Incomplete { missing, authorization_hash } => {
                write!(f, "{missing} (Hashed with SHA-256 and encoded with Base64) Authorization={authorization_hash}")
            }
            Self::MalformedSignedHeaders => f.write_str(
                "SignedHeaders must be a list of at most 64 header names in lower case, sorted, each once, separated by ';'.",
            ),
            Self::HostNotSigned => f.write_str("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."),
            Self::NotSigned(name) => write!(f, "'{name}' must be a 'SignedHeader' in the AWS Authorization."),
            Self::SignedHeaderMissing(name) => write!(
                f,
                "'{name}' is in SignedHeaders, but the request that arrived has no such header. \
                 Look for a proxy between the client and this server that removes it."
            ),
            Self::MalformedDate(text) => {
                write!(f, "Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601")
            }
            Self::SignatureExpired { signed_at, now } => {
                let limit = now.plus_ms(-SKEW_MINUTES_MAX * 60_000);
                let [signed_at, limit, now] = [*signed_at, limit, *now].map(basic);
                write!(f, "Signature expired: {signed_at} is now earlier than {limit} ({now} - {SKEW_MINUTES_MAX} min.)")
            }
            Self::SignatureNotYetCurrent { signed_at, now } => {
                let limit = now.plus_ms(SKEW_MINUTES_MAX * 60_000);
                let [signed_at, limit, now] = [*signed_at, limit, *now].map(basic);
                write!(f, "Signature not yet current: {signed_at} is still later than {limit} ({now} + {SKEW_MINUTES_MAX} min.)")
            }
            Self::MalformedCredential(credential) => write!(
                f,
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            ),
            Self::WrongScope(sentences) => f.write_str(sentences),
            Self::WrongPayloadHash => f.write_str("The provided 'x-amz-content-sha256' header does not match what was computed."),
            Self::UnsignedPayload => f.write_str(
                "The body must be signed: 'x-amz-content-sha256' must be the SHA-256 of the body in hexadecimal, or absent.",
            ),
            Self::MalformedSignature => f.write_str(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
                 Key and signing method. Consult the service documentation for details.",
            ),
            Self::Unreadable(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind(), failure.to_string())
    }
}
