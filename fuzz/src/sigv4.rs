//! Reads an HTTP/1.1-like text as a request and asks who signed it.

use claviger_domain::{Refusal, Timestamp};
use claviger_sigv4::{Claim, parse_claim};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};

/// When the request arrives, whatever it says: 2026-11-22T10:53:33Z.
const NOW: Timestamp = Timestamp(1_795_344_813_000);

/// Characters in an error's text, at most: what is repeated of the request is cut.
const ERROR_CHARACTERS_MAX: usize = 1500;

/// Whether the request makes a claim that can be verified. The input is a request line (method and target), header lines, an empty
/// line and the body; what cannot be a line of a request is left out, as the HTTP library would.
pub fn run(data: &[u8]) -> bool {
    let (head, body) = split_once(data, b"\n\n").unwrap_or((data, b""));
    let parts = read_head(head);
    match parse_claim(&parts, body, NOW) {
        Ok(claim) => {
            check_claim(&claim);
            // The same request gives the same claim.
            let again = parse_claim(&parts, body, NOW).map(|again| again.string_to_sign).ok();
            assert_eq!(again.as_deref(), Some(claim.string_to_sign.as_str()));
            // What was signed depends on every byte of the body.
            let longer = parse_claim(&parts, &[body, b"!"].concat(), NOW).map(|other| other.string_to_sign).ok();
            assert_ne!(longer.as_deref(), Some(claim.string_to_sign.as_str()));
            true
        }
        Err(failure) => {
            let refusal = Refusal::from(failure);
            assert!(!refusal.detail.is_empty());
            assert!(refusal.detail.chars().count() <= ERROR_CHARACTERS_MAX, "{}", refusal.detail);
            assert!(!refusal.detail.chars().any(char::is_control), "{:?}", refusal.detail);
            false
        }
    }
}

fn check_claim(claim: &Claim<'_>) {
    let lines: Vec<&str> = claim.string_to_sign.split('\n').collect();
    let [algorithm, signed_at, scope, hash] = lines.as_slice() else { panic!("{:?}", claim.string_to_sign) };
    assert_eq!(*algorithm, "AWS4-HMAC-SHA256");
    assert_eq!(*signed_at, claim.signed_at.to_rfc3339().replace(['-', ':'], ""));
    assert_eq!(*scope, format!("{}/{}/{}/aws4_request", claim.date, claim.region, claim.service));
    assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(claim.date, claim.signed_at.basic_date());
    assert!((claim.signed_at.0 - NOW.0).abs() <= 300_000);
    // The text of a refusal is bounded, whatever Region and service are claimed.
    let refused = claim.require_scope(&[], |_| false).map_err(Refusal::from);
    assert!(refused.is_err_and(|refusal| refusal.detail.chars().count() <= ERROR_CHARACTERS_MAX));
}

fn read_head(head: &[u8]) -> Parts {
    let mut lines = head.split(|&byte| byte == b'\n');
    let mut parts = Request::new(()).into_parts().0;
    let (method, target) = lines.next().and_then(|line| split_once(line, b" ")).unwrap_or_default();
    if let (Ok(method), Ok(target)) = (method.try_into(), target.try_into()) {
        (parts.method, parts.uri) = (method, target);
    }
    for (name, value) in lines.filter_map(|line| split_once(line, b":")) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii())) {
            // As many as the HTTP library lets through.
            if parts.headers.len() < 100 {
                parts.headers.append(name, value);
            }
        }
    }
    parts
}

fn split_once<'a>(data: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = data.windows(separator.len()).position(|window| window == separator)?;
    let (before, rest) = data.split_at_checked(at)?;
    Some((before, rest.get(separator.len()..)?))
}
