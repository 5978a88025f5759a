//! What a refusal is called on the wire. The only place that knows. Source: AWS KMS External Keystore Proxy API Specification, "Error codes".

use bytes::Bytes;
use claviger_domain::{Kind, Refusal};
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use crate::body::response;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Error<'a> {
    error_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

/// Fewer characters than this may an error's text have.
const MESSAGE_CHARACTERS_LIMIT: usize = 512;

/// The answer to a refused request.
pub(crate) fn error(refusal: &Refusal, request: Uuid) -> http::Response<Bytes> {
    let (status, error_name) = name(refusal.kind);
    let text = message(&refusal.detail);
    let error = Error { error_name, error_message: Some(text.as_str()).filter(|text| !text.is_empty()) };
    response(status, request, serde_json::to_vec(&error).unwrap_or_default().into())
}

/// The refusal of a request that is not a POST, which has a status of its own.
pub(crate) fn wrong_method() -> Refusal {
    Refusal::new(Kind::UnknownOperation, "Requests to key stores are made with POST.")
}

fn name(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::Unparsable | Kind::Invalid => (StatusCode::BAD_REQUEST, "ValidationException"),
        Kind::Disabled | Kind::InvalidState | Kind::KeyStoreState => (StatusCode::BAD_REQUEST, "InvalidStateException"),
        Kind::InvalidCiphertext => (StatusCode::BAD_REQUEST, "InvalidCiphertextException"),
        Kind::InvalidKeyUsage => (StatusCode::BAD_REQUEST, "InvalidKeyUsageException"),
        Kind::MissingCredentials
        | Kind::IncompleteSignature
        | Kind::UnknownCredential
        | Kind::WrongSignature
        | Kind::ExpiredToken => (StatusCode::UNAUTHORIZED, "AuthenticationFailedException"),
        Kind::AccessDenied => (StatusCode::FORBIDDEN, "AccessDeniedException"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "KeyNotFoundException"),
        Kind::InvalidUriPath => (StatusCode::NOT_FOUND, "InvalidUriPathException"),
        Kind::UnknownOperation => (StatusCode::METHOD_NOT_ALLOWED, "UnsupportedOperationException"),
        Kind::Throttled => (StatusCode::TOO_MANY_REQUESTS, "ThrottlingException"),
        Kind::Unsupported => (StatusCode::NOT_IMPLEMENTED, "UnsupportedOperationException"),
        Kind::DependencyTimeout => (StatusCode::SERVICE_UNAVAILABLE, "DependencyTimeoutException"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "InternalException"),
    }
}

/// A text as the specification allows it: printable ASCII, and short.
fn message(detail: &str) -> String {
    let printable = |character: char| if matches!(character, ' '..='~') { character } else { '?' };
    detail.chars().take(MESSAGE_CHARACTERS_LIMIT - 1).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_names_and_statuses_of_the_specification() {
        for (kind, status, name) in [
            (Kind::Invalid, 400, "ValidationException"),
            (Kind::Unparsable, 400, "ValidationException"),
            (Kind::InvalidState, 400, "InvalidStateException"),
            (Kind::Disabled, 400, "InvalidStateException"),
            (Kind::InvalidCiphertext, 400, "InvalidCiphertextException"),
            (Kind::InvalidKeyUsage, 400, "InvalidKeyUsageException"),
            (Kind::WrongSignature, 401, "AuthenticationFailedException"),
            (Kind::UnknownCredential, 401, "AuthenticationFailedException"),
            (Kind::MissingCredentials, 401, "AuthenticationFailedException"),
            (Kind::IncompleteSignature, 401, "AuthenticationFailedException"),
            (Kind::AccessDenied, 403, "AccessDeniedException"),
            (Kind::NotFound, 404, "KeyNotFoundException"),
            (Kind::InvalidUriPath, 404, "InvalidUriPathException"),
            (Kind::Throttled, 429, "ThrottlingException"),
            (Kind::Internal, 500, "InternalException"),
            (Kind::KeyUnavailable, 500, "InternalException"),
            (Kind::Conflict, 500, "InternalException"),
            (Kind::Unsupported, 501, "UnsupportedOperationException"),
            (Kind::DependencyTimeout, 503, "DependencyTimeoutException"),
        ] {
            let answer = error(&Refusal::new(kind, "x"), Uuid::nil());
            assert_eq!(answer.status(), status, "{kind:?}");
            assert_eq!(answer.body(), format!("{{\"errorName\":\"{name}\",\"errorMessage\":\"x\"}}").as_bytes());
        }
        let silent = error(&Refusal::invalid_ciphertext(), Uuid::nil());
        assert_eq!(silent.body().as_ref(), b"{\"errorName\":\"InvalidCiphertextException\"}");
    }

    #[test]
    fn messages_are_short_and_printable() {
        let text = message(&format!("é\n\t\u{0}~ {}", "x".repeat(1000)));
        assert!(text.len() == 511 && text.starts_with("????~ x") && text.bytes().all(|b| (0x20..=0x7e).contains(&b)));
    }
}
