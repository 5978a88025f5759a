//! Properties of signing and reading: no input crashes the reader, what was signed verifies, and nothing else does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use claviger_domain::Timestamp;
use claviger_sigv4::{Signer, SigningKey, parse_claim};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use proptest::prelude::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const MOMENT: Timestamp = Timestamp(1_795_344_813_000);

#[derive(Clone, Debug)]
struct Sent {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Sent {
    fn signed(mut self) -> Self {
        let parts = self.parts();
        let signer = Signer { access_key: "AKIAEXAMPLE", secret: SECRET, session_token: None, region: "local", service: "kms" };
        let added = signer.sign(&parts.method, &parts.uri, &parts.headers, &self.body, MOMENT).unwrap();
        for (name, value) in added {
            self.headers.push((name.to_string(), value.to_str().unwrap().to_owned()));
        }
        self
    }

    fn parts(&self) -> Parts {
        let mut request = Request::builder().method(self.method.as_str()).uri(self.target.as_str());
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    fn verifies(&self) -> bool {
        let parts = self.parts();
        let Ok(claim) = parse_claim(&parts, &self.body, MOMENT) else { return false };
        SigningKey::derive(SECRET, claim.date, claim.region, claim.service).verify(&claim.string_to_sign, &claim.signature)
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let target = ("/[a-z/.%]{0,8}", proptest::option::of("[a-c=&+]{0,12}"))
        .prop_map(|(path, query)| query.map_or(path.clone(), |query| format!("{path}?{query}")));
    let extra = proptest::collection::vec(("(x-amz-meta|zulu|accept)", "[ -~é鍵]{0,12}"), 0..4);
    ("(GET|POST|PUT)", target, extra, proptest::collection::vec(any::<u8>(), 0..64)).prop_map(|(method, target, extra, body)| {
        let mut headers = vec![("host".to_owned(), "localhost:8080".to_owned())];
        headers.extend(extra);
        Sent { method, target, headers, body }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_signed_verifies(sent in sent()) {
        prop_assert!(sent.signed().verifies());
    }

    #[test]
    fn another_body_breaks_the_signature(sent in sent(), other in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assume!(sent.body != other);
        let mut sent = sent.signed();
        sent.body = other;
        prop_assert!(!sent.verifies());
    }

    #[test]
    fn another_method_breaks_the_signature(sent in sent()) {
        let mut sent = sent.signed();
        sent.method = "PATCH".into();
        prop_assert!(!sent.verifies());
    }

    #[test]
    fn a_longer_path_or_query_breaks_the_signature(sent in sent()) {
        let sent = sent.signed();
        let (path, query) = sent.target.split_once('?').map_or((sent.target.as_str(), None), |(path, query)| (path, Some(query)));
        let longer_query = Sent { target: format!("{path}?{}&new=1", query.unwrap_or_default()), ..sent.clone() };
        prop_assert!(!longer_query.verifies());
        let longer_path = Sent { target: format!("{path}/new?{}", query.unwrap_or_default()), ..sent.clone() };
        prop_assert!(!longer_path.verifies());
    }

    #[test]
    fn a_changed_added_or_removed_signed_header_breaks_the_signature(sent in sent(), at in any::<prop::sample::Index>()) {
        let sent = sent.signed();
        let at = at.index(sent.headers.len());

        let mut changed = sent.clone();
        changed.headers[at].1.push('!');
        prop_assert!(!changed.verifies(), "{:?}", changed.headers[at]);

        let mut removed = sent.clone();
        removed.headers.remove(at);
        prop_assert!(!removed.verifies(), "{:?}", sent.headers[at]);

        let mut repeated = sent;
        let header = repeated.headers[at].clone();
        let is_authorization = header.0 == "authorization";
        repeated.headers.push(header);
        // The first Authorization header counts, as with AWS; it is the same one.
        prop_assert_eq!(repeated.verifies(), is_authorization);
    }

    #[test]
    fn a_flipped_bit_of_the_signature_breaks_it(sent in sent(), byte in 0..32usize, bit in 0..8u8) {
        let sent = sent.signed();
        let parts = sent.parts();
        let mut claim = parse_claim(&parts, &sent.body, MOMENT).unwrap();
        claim.signature[byte] ^= 1 << bit;
        let key = SigningKey::derive(SECRET, claim.date, claim.region, claim.service);
        prop_assert!(!key.verify(&claim.string_to_sign, &claim.signature));
    }

    #[test]
    fn no_authorization_header_crashes_the_reader(value in proptest::collection::vec(any::<u8>(), 0..200), date in "\\PC{0,20}") {
        let mut parts = Request::new(()).into_parts().0;
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            parts.headers.insert("authorization", value);
        }
        if let Ok(value) = HeaderValue::from_str(&date) {
            parts.headers.insert("x-amz-date", value);
        }
        prop_assert!(parse_claim(&parts, b"", MOMENT).is_err());
    }

    #[test]
    fn no_request_crashes_the_reader(
        credential in "[a-z0-9/é]{0,30}",
        signed in "[a-z;-]{0,30}",
        signature in "[0-9a-fz]{60,66}",
        target in "/[ -~é]{0,30}",
        headers in proptest::collection::vec(("[a-z-]{1,12}", proptest::collection::vec(any::<u8>(), 0..20)), 0..8),
    ) {
        let mut parts = Request::new(()).into_parts().0;
        if let Ok(uri) = target.parse::<Uri>() {
            parts.uri = uri;
        }
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={credential}/20261122/local/kms/aws4_request, SignedHeaders=host;{signed}, \
             Signature={signature}"
        );
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value)) {
                map.append(name, value);
            }
        }
        map.insert("authorization", HeaderValue::from_str(&authorization).unwrap());
        map.insert("x-amz-date", HeaderValue::from_static("20261122T105333Z"));
        parts.headers = map;
        parts.method = Method::POST;
        let _ = parse_claim(&parts, b"body", MOMENT);
    }
}
