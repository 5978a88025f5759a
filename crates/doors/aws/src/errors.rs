//! What a refusal is called on the wire. The only place that knows. Source: AWS KMS API Reference, "Common Errors" and each operation's
//! errors; AWS STS API Reference; spellings recorded from AWS KMS.

use bytes::Bytes;
use claviger_domain::{Kind, Refusal};
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use crate::json::{JSON, response};

/// An error of the JSON protocol.
#[derive(Serialize)]
struct JsonError<'a> {
    #[serde(rename = "__type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    /// Some errors spell it so.
    #[serde(rename = "Message", skip_serializing_if = "Option::is_none")]
    capital_message: Option<&'a str>,
}

/// The answer to a refused request of a JSON protocol.
pub(crate) fn json_error(refusal: &Refusal, request: Uuid) -> http::Response<Bytes> {
    let text = (!refusal.detail.is_empty()).then_some(refusal.detail.as_str());
    let capital = refusal.kind == Kind::AccessDenied;
    let error =
        JsonError { kind: refusal.kind.name(), message: text.filter(|_| !capital), capital_message: text.filter(|_| capital) };
    let body = serde_json::to_vec(&error).unwrap_or_default();
    response(json_status(refusal.kind), JSON, request, body.into())
}

fn json_status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Internal | Kind::KeyUnavailable => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::DependencyTimeout => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The answer to a refused request of the query protocol.
pub(crate) fn xml_error(refusal: &Refusal, request: Uuid) -> http::Response<Bytes> {
    let (status, side, code) = match refusal.kind {
        Kind::MissingCredentials => (StatusCode::FORBIDDEN, "Sender", "MissingAuthenticationToken"),
        Kind::IncompleteSignature => (StatusCode::BAD_REQUEST, "Sender", "IncompleteSignature"),
        Kind::UnknownCredential => (StatusCode::FORBIDDEN, "Sender", "InvalidClientTokenId"),
        Kind::WrongSignature => (StatusCode::FORBIDDEN, "Sender", "SignatureDoesNotMatch"),
        Kind::ExpiredToken => (StatusCode::FORBIDDEN, "Sender", "ExpiredToken"),
        Kind::AccessDenied => (StatusCode::FORBIDDEN, "Sender", "AccessDenied"),
        Kind::MalformedPolicy => (StatusCode::BAD_REQUEST, "Sender", "MalformedPolicyDocument"),
        Kind::PackedPolicyTooLarge => (StatusCode::BAD_REQUEST, "Sender", "PackedPolicyTooLarge"),
        Kind::UnknownOperation => (StatusCode::BAD_REQUEST, "Sender", "InvalidAction"),
        Kind::Internal | Kind::KeyUnavailable => (StatusCode::INTERNAL_SERVER_ERROR, "Receiver", "InternalFailure"),
        Kind::DependencyTimeout => (StatusCode::SERVICE_UNAVAILABLE, "Receiver", "ServiceUnavailable"),
        _ => (StatusCode::BAD_REQUEST, "Sender", "ValidationError"),
    };
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{side}</Type><Code>{code}</Code><Message>{}\
         </Message></Error><RequestId>{request}</RequestId></ErrorResponse>",
        escape_xml(&refusal.detail)
    );
    response(status, XML, request, body.into_bytes().into())
}

/// The content type of the query protocol's answers.
pub(crate) const XML: &str = "text/xml";

/// Text as XML character data.
pub(crate) fn escape_xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape_xml_into(&mut escaped, text);
    escaped
}

/// Appends text as XML character data.
pub(crate) fn escape_xml_into(escaped: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            // Other control characters have no place in XML 1.0.
            control if control.is_control() => escaped.push('\u{fffd}'),
            plain => escaped.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(refusal: &Refusal) -> String {
        String::from_utf8(json_error(refusal, Uuid::nil()).into_body().to_vec()).unwrap()
    }

    #[test]
    fn errors_are_spelled_as_aws_spells_them() {
        assert_eq!(body(&Refusal::not_found("x")), r#"{"__type":"NotFoundException","message":"x"}"#);
        assert_eq!(body(&Refusal::invalid_ciphertext()), r#"{"__type":"InvalidCiphertextException"}"#);
        assert_eq!(body(&Refusal::new(Kind::AccessDenied, "x")), r#"{"__type":"AccessDeniedException","Message":"x"}"#);
        assert_eq!(json_error(&Refusal::internal("x"), Uuid::nil()).status(), 500);
        assert_eq!(json_error(&Refusal::new(Kind::DependencyTimeout, "x"), Uuid::nil()).status(), 503);
    }

    #[test]
    fn xml_text_cannot_break_out() {
        assert_eq!(escape_xml("a<b>&\"\u{0}é"), "a&lt;b&gt;&amp;&quot;\u{fffd}é");
    }
}
