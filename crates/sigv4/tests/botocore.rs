//! Requests that botocore signed (`tests/blackbox/sigv4_oracle.py`): each must verify here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use claviger_domain::Timestamp;
use claviger_sigv4::{Claim, SigningKey, parse_claim};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    requests: Vec<Vector>,
}

#[derive(Deserialize, Clone)]
struct Vector {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    secret: String,
    signed_at: String,
}

impl Vector {
    fn parts(&self) -> Parts {
        let mut request = Request::builder().method(self.method.as_str()).uri(self.target.as_str());
        for (name, value) in &self.headers {
            request = request.header(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                // As a server's HTTP library does, without the white space around the value.
                HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes()).unwrap(),
            );
        }
        request.body(()).unwrap_or_else(|error| panic!("{}: {error}", self.target)).into_parts().0
    }

    fn now(&self) -> Timestamp {
        let text = &self.signed_at;
        let rfc3339 =
            format!("{}-{}-{}T{}:{}:{}Z", &text[..4], &text[4..6], &text[6..8], &text[9..11], &text[11..13], &text[13..15]);
        Timestamp(rfc3339.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn verifies(&self, claim: &Claim<'_>) -> bool {
        SigningKey::derive(&self.secret, claim.date, claim.region, claim.service).verify(&claim.string_to_sign, &claim.signature)
    }
}

fn vectors() -> Vec<Vector> {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/botocore.json")).unwrap();
    assert!(vectors.requests.len() >= 200, "the file has lost its vectors");
    vectors.requests
}

#[test]
fn what_botocore_signs_verifies() {
    for vector in vectors() {
        let parts = vector.parts();
        let claim = parse_claim(&parts, vector.body.as_bytes(), vector.now())
            .unwrap_or_else(|failure| panic!("{failure}: {} {:?}", vector.target, vector.headers));
        assert!(vector.verifies(&claim), "{} {} {:?}", vector.method, vector.target, vector.headers);
        assert_eq!(claim.signed_at, vector.now());
        let token = vector.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amz-security-token"));
        assert_eq!(claim.session_token, token.map(|(_, value)| value.as_str()));
    }
}

#[test]
fn another_body_does_not_verify() {
    for mut vector in vectors() {
        vector.body.push(' ');
        let parts = vector.parts();
        let verified = parse_claim(&parts, vector.body.as_bytes(), vector.now()).is_ok_and(|claim| vector.verifies(&claim));
        assert!(!verified, "{} {}", vector.method, vector.target);
    }
}

#[test]
fn the_authorization_header_may_be_spaced_as_one_likes() {
    for separator in [",", ", ", " ", " ,  ", ",\t"] {
        for mut vector in vectors().into_iter().take(20) {
            for (name, value) in &mut vector.headers {
                if name.as_str() == "Authorization" {
                    *value = value.replace(", ", separator);
                }
            }
            let parts = vector.parts();
            let claim = parse_claim(&parts, vector.body.as_bytes(), vector.now()).unwrap();
            assert!(vector.verifies(&claim), "{separator:?}");
        }
    }
}
