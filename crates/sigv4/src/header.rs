//! The Authorization header: `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::canonical::{ALGORITHM, TERMINATOR};
use super::{Failure, excerpt};

/// Bytes of an Authorization header, at most.
const AUTHORIZATION_BYTES_MAX: usize = 8 * 1024;

/// The parts of the header, none of them looked into yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authorization<'r> {
    pub(super) credential: &'r str,
    pub(super) signed_headers: &'r str,
    pub(super) signature: &'r str,
}

impl<'r> Authorization<'r> {
    /// Reads the header's value. Its parts may be separated by commas, spaces or both; the last one of a name counts; parts that
    /// AWS does not know are ignored. `has_date` says whether the request tells when it was signed, because AWS tells of everything
    /// that is missing in one text.
    pub(super) fn parse(value: &'r [u8], has_date: bool) -> Result<Self, Failure> {
        if value.len() > AUTHORIZATION_BYTES_MAX {
            return Err(Failure::Unreadable("The Authorization header is too long: at most 8 KiB are accepted."));
        }
        let text = std::str::from_utf8(value)
            .map_err(|_| Failure::Unreadable("The Authorization header is not text (UTF-8)."))?
            .trim_ascii();
        // Other schemes (Basic, Bearer) are no signature at all, to AWS.
        if !text.starts_with("AWS4-") {
            return Err(Failure::MissingToken);
        }
        let (algorithm, parameters) = text.split_once(' ').unwrap_or((text, ""));
        if algorithm != ALGORITHM {
            return Err(Failure::UnsupportedAlgorithm(excerpt(algorithm)));
        }
        let (mut credential, mut signed_headers, mut signature) = ("", "", "");
        let parameters = parameters.split(',').flat_map(|part| part.split(' ')).map(str::trim_ascii);
        for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
            let Some((name, content)) = parameter.split_once('=') else {
                return Err(Failure::NotKeyValue { authorization_hash: hash(value) });
            };
            match name {
                "Credential" => credential = content,
                "SignedHeaders" => signed_headers = content,
                "Signature" => signature = content,
                _ => {}
            }
        }
        let sentences = [
            (credential.is_empty(), "Authorization header requires 'Credential' parameter."),
            (signature.is_empty(), "Authorization header requires 'Signature' parameter."),
            (signed_headers.is_empty(), "Authorization header requires 'SignedHeaders' parameter."),
            (!has_date, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."),
        ];
        if sentences.iter().any(|(missing, _)| *missing) {
            let missing: Vec<&str> = sentences.iter().filter(|(missing, _)| *missing).map(|(_, sentence)| *sentence).collect();
            return Err(Failure::Incomplete { missing: missing.join(" "), authorization_hash: hash(value) });
        }
        Ok(Self { credential, signed_headers, signature })
    }

    /// The signature's bytes.
    pub(super) fn signature(&self) -> Result<[u8; 32], Failure> {
        let mut bytes = [0; 32];
        // One signature, one spelling: AWS compares the texts.
        if self.signature.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Failure::MalformedSignature);
        }
        hex::decode_to_slice(self.signature, &mut bytes).map_err(|_| Failure::MalformedSignature)?;
        Ok(bytes)
    }
}

/// `keyid/date/region/service/aws4_request`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credential<'r> {
    pub(super) access_key: &'r str,
    pub(super) date: &'r str,
    pub(super) region: &'r str,
    pub(super) service: &'r str,
    /// Everything after the access key: `date/region/service/aws4_request`.
    pub(super) scope: &'r str,
}

impl<'r> Credential<'r> {
    /// Reads a credential that was made for the moment `signed_at` (ISO 8601 basic).
    pub(super) fn parse(text: &'r str, signed_at: &str) -> Result<Self, Failure> {
        let malformed = || Failure::MalformedCredential(excerpt(text));
        let (access_key, scope) = text.split_once('/').ok_or_else(malformed)?;
        let mut elements = scope.split('/');
        let (Some(date), Some(region), Some(service), Some(terminator), None) =
            (elements.next(), elements.next(), elements.next(), elements.next(), elements.next())
        else {
            return Err(malformed());
        };
        let mut wrong = Vec::new();
        if terminator != TERMINATOR {
            wrong.push(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'.",
                excerpt(terminator)
            ));
        }
        let expected = signed_at.split_at_checked(8).map_or(signed_at, |(day, _)| day);
        if date != expected {
            wrong.push(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{expected}', \
                 from '{signed_at}'.",
                excerpt(date)
            ));
        }
        if wrong.is_empty() {
            Ok(Self { access_key, date, region, service, scope })
        } else {
            Err(Failure::WrongScope(wrong.join(" ")))
        }
    }
}

/// How AWS shows an Authorization header to its sender without repeating what may be a secret.
fn hash(value: &[u8]) -> String {
    STANDARD.encode(digest(&SHA256, value))
}
