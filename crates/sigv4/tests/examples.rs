//! AWS's published examples, and its texts for what is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use claviger_domain::{Kind, Refusal, Timestamp};
use claviger_sigv4::{Failure, Signer, SigningKey, parse_claim};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z, the moment of all of AWS's examples.
const MOMENT: Timestamp = Timestamp(1_440_938_160_000);
const DATE: (&str, &str) = ("X-Amz-Date", "20150830T123600Z");
const HOST: (&str, &str) = ("Host", "example.amazonaws.com");

fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

fn authorization(service: &str, signed_headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20150830/us-east-1/{service}/aws4_request, SignedHeaders={signed_headers}, \
         Signature={signature}"
    )
}

/// The cases of AWS's "aws-sig-v4-test-suite" that can be sent with HTTP/1.1 today: folded headers and raw spaces in the request
/// line cannot (the path with a space is tested beside the canonical form).
#[test]
fn the_published_test_suite_verifies() {
    let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let my = |value| ("My-Header1", value);
    let token = (
        "X-Amz-Security-Token",
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI\
         /qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xV\
         qr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
    );
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let post_vanilla = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
    let post_query = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11";
    type Case<'a> = (&'a str, String, Vec<(&'a str, &'a str)>, &'a str, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("GET", "/".into(), vec![], "", vanilla),
        ("GET", "//".into(), vec![], "", vanilla),
        ("GET", "/./".into(), vec![], "", vanilla),
        ("GET", "/example/..".into(), vec![], "", vanilla),
        ("GET", "/example1/example2/../..".into(), vec![], "", vanilla),
        ("GET", "/./example".into(), vec![], "", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
        ("GET", "//example//".into(), vec![], "", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        ("GET", format!("/{unreserved}"), vec![], "", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        ("GET", "/ሴ".into(), vec![], "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        ("GET", "/?Param1=value1".into(), vec![], "", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        (
            "GET",
            "/?Param2=value2&Param1=value1".into(),
            vec![],
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "GET",
            "/?Param1=value2&Param1=Value1".into(),
            vec![],
            "",
            "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
        ),
        (
            "GET",
            "/?Param1=value2&Param1=value1".into(),
            vec![],
            "",
            "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
        ),
        (
            "GET",
            format!("/?{unreserved}={unreserved}"),
            vec![],
            "",
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        ),
        ("GET", "/?ሴ=bar".into(), vec![], "", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        (
            "GET",
            "/".into(),
            vec![my("value2"), my("value2"), my("value1")],
            "",
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
        (
            "GET",
            "/".into(),
            vec![my("value4"), my("value1"), my("value3"), my("value2")],
            "",
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        ),
        (
            "GET",
            "/".into(),
            vec![my(" value1"), ("My-Header2", " \"a   b   c\"")],
            "",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        ("POST", "/".into(), vec![], "", post_vanilla),
        ("POST", "/?Param1=value1".into(), vec![], "", post_query),
        ("POST", "/".into(), vec![my("value1")], "", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
        ("POST", "/".into(), vec![my("VALUE1")], "", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
        ("POST", "/".into(), vec![token], "", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
        (
            "POST",
            "/".into(),
            vec![("Content-Type", "application/x-www-form-urlencoded")],
            "Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "POST",
            "/".into(),
            vec![("Content-Type", "application/x-www-form-urlencoded; charset=utf8")],
            "Param1=value1",
            "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
        ),
    ];
    let mut verified = 0;
    for (method, target, extra, body, signature) in cases {
        let mut headers = vec![HOST, DATE];
        headers.extend(extra);
        let mut names: Vec<String> = headers.iter().map(|(name, _)| name.to_lowercase()).collect();
        names.sort();
        names.dedup();
        let authorization = authorization("service", &names.join(";"), signature);
        headers.push(("Authorization", &authorization));
        let parts = parts(method, &target, &headers);
        let claim = parse_claim(&parts, body.as_bytes(), MOMENT).unwrap();
        let key = SigningKey::derive(SECRET, claim.date, claim.region, claim.service);
        assert_eq!(key.sign(&claim.string_to_sign), signature, "{method} {target} {headers:?}");
        assert!(key.verify(&claim.string_to_sign, &claim.signature));
        verified += 1;
    }
    assert_eq!(verified, 25);
}

/// AWS IAM User Guide, "Create a signed AWS API request": ListUsers of IAM.
#[test]
fn the_documented_example_verifies_step_by_step() {
    let signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    let authorization = authorization("iam", "content-type;host;x-amz-date", signature);
    let parts = parts(
        "GET",
        "/?Action=ListUsers&Version=2010-05-08",
        &[
            ("Host", "iam.amazonaws.com"),
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            DATE,
            ("Authorization", &authorization),
        ],
    );
    let claim = parse_claim(&parts, b"", MOMENT).unwrap();
    assert_eq!((claim.access_key, claim.date, claim.region, claim.service), (ACCESS_KEY, "20150830", "us-east-1", "iam"));
    assert_eq!((claim.signed_at, claim.session_token), (MOMENT, None));
    assert_eq!(
        claim.string_to_sign,
        "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
         f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    );
    assert_eq!(hex::encode(claim.signature), signature);
    assert_eq!(SigningKey::derive(SECRET, "20150830", "us-east-1", "iam").sign(&claim.string_to_sign), signature);
}

/// A request that is in order: each test breaks one thing in it.
struct Sent {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: &'static [u8],
    now: Timestamp,
}

impl Sent {
    /// A signed call of KMS.
    fn good() -> Self {
        let body: &[u8] = b"{}";
        let uri = Uri::from_static("/");
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost:8080"));
        headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert("x-amz-target", HeaderValue::from_static("TrentService.ListKeys"));
        headers.extend(signer().sign(&Method::POST, &uri, &headers, body, MOMENT).unwrap());
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        Self { method: "POST", target: "/".into(), headers, body, now: MOMENT }
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn set(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    fn edit(mut self, from: &str, to: &str) -> Self {
        for (_, value) in self.headers.iter_mut().filter(|(name, _)| name == "authorization") {
            assert!(value.contains(from), "{value} has no {from}");
            *value = value.replace(from, to);
        }
        self
    }

    fn to(mut self, target: &str) -> Self {
        self.target = target.into();
        self
    }

    fn later_by(mut self, ms: i64) -> Self {
        self.now = self.now.plus_ms(ms);
        self
    }

    fn failure(&self) -> Failure {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        match parse_claim(&parts(self.method, &self.target, &headers), self.body, self.now) {
            Ok(_) => panic!("{headers:?} was accepted"),
            Err(failure) => failure,
        }
    }

    fn refusal(&self) -> (Kind, String) {
        let refusal = Refusal::from(self.failure());
        (refusal.kind, refusal.detail)
    }
}

fn signer() -> Signer<'static> {
    Signer { access_key: ACCESS_KEY, secret: SECRET, session_token: None, region: "us-east-1", service: "kms" }
}

#[test]
fn no_signature_at_all() {
    let expected = (Kind::MissingCredentials, "Missing Authentication Token".to_owned());
    assert_eq!(Sent::good().without("authorization").refusal(), expected);
    for scheme in ["", "Basic dXNlcjpwYXNz", "Bearer eyJhbGciOiJIUzI1NiJ9", "aws4-hmac-sha256 Credential=a"] {
        assert_eq!(Sent::good().set("authorization", scheme).refusal(), expected, "{scheme}");
    }
}

#[test]
fn presigned_requests() {
    let target = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00";
    let (kind, text) = Sent::good().without("authorization").to(target).refusal();
    assert_eq!(kind, Kind::IncompleteSignature);
    assert!(text.contains("presigned"), "{text}");
    assert_eq!(
        Sent::good().to(target).refusal(),
        (
            Kind::WrongSignature,
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.".to_owned()
        )
    );
}

#[test]
fn other_algorithms() {
    let text = "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25' (only AWS4-HMAC-SHA256 for now). ".to_owned();
    assert_eq!(Sent::good().edit("SHA256", "SHA25").refusal(), (Kind::IncompleteSignature, text));
    assert!(matches!(
        Sent::good().edit("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256").failure(),
        Failure::UnsupportedAlgorithm(algorithm) if algorithm == "AWS4-ECDSA-P256-SHA256"
    ));
}

#[test]
fn missing_parts_are_all_named() {
    // The hash is that of the header's value, in base64: `printf %s AWS4-HMAC-SHA256 | openssl dgst -sha256 -binary | base64`.
    assert_eq!(
        Sent::good().set("authorization", "AWS4-HMAC-SHA256").without("x-amz-date").refusal(),
        (
            Kind::IncompleteSignature,
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. \
             Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a \
             'X-Amz-Date' or a 'Date' header. (Hashed with SHA-256 and encoded with Base64) \
             Authorization=YI2YWea8FSxnksZL2ETHbs5elHm9HQufxTLK0W0ffV0="
                .to_owned()
        )
    );
    for (from, sentence) in [
        ("Credential=", "Authorization header requires 'Credential' parameter. ("),
        ("Signature=", "Authorization header requires 'Signature' parameter. ("),
        ("SignedHeaders=", "Authorization header requires 'SignedHeaders' parameter. ("),
    ] {
        let (kind, text) = Sent::good().edit(from, "Other=").refusal();
        assert_eq!(kind, Kind::IncompleteSignature);
        assert!(text.starts_with(sentence), "{text}");
        let (_, text) = Sent::good().edit(from, &format!("{from},Other=")).refusal();
        assert!(text.starts_with(sentence), "{text}");
    }
    let (_, text) = Sent::good().without("x-amz-date").refusal();
    assert!(text.starts_with("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ("), "{text}");
}

#[test]
fn parts_without_equal_sign() {
    assert_eq!(
        Sent::good().set("authorization", "AWS4-HMAC-SHA256 Credential").refusal(),
        (
            Kind::IncompleteSignature,
            "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): \
             'KfSoC26UaBDGXxo5AUFS45c1cmAbyLKDOxOTKcZYWt4='."
                .to_owned()
        )
    );
}

#[test]
fn host_and_amazons_own_headers_must_be_signed() {
    assert_eq!(
        Sent::good().edit(";host;", ";").refusal(),
        (Kind::WrongSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned())
    );
    assert_eq!(
        Sent::good().edit(";x-amz-target", "").refusal(),
        (Kind::WrongSignature, "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.".to_owned())
    );
    assert_eq!(Sent::good().with("x-amz-later", "").failure(), Failure::NotSigned("x-amz-later".into()));
}

#[test]
fn signed_headers_must_be_there_and_listed_in_their_one_form() {
    assert_eq!(Sent::good().without("content-type").failure(), Failure::SignedHeaderMissing("content-type".into()));
    assert_eq!(Sent::good().without("host").failure(), Failure::SignedHeaderMissing("host".into()));
    for list in ["SignedHeaders=host;content-type", "SignedHeaders=content-type;content-type", "SignedHeaders=;content-type"] {
        assert_eq!(Sent::good().edit("SignedHeaders=content-type", list).failure(), Failure::MalformedSignedHeaders, "{list}");
    }
}

#[test]
fn dates_that_are_none() {
    assert_eq!(
        Sent::good().set("x-amz-date", "201").refusal(),
        (
            Kind::IncompleteSignature,
            "Date must be in ISO-8601 'basic format'. Got '201'. See http://en.wikipedia.org/wiki/ISO_8601".to_owned()
        )
    );
}

#[test]
fn clocks_may_differ_by_five_minutes_and_not_more() {
    const FIVE_MINUTES_MS: i64 = 300_000;
    assert_eq!(
        Sent::good().later_by(FIVE_MINUTES_MS + 1000).refusal(),
        (
            Kind::WrongSignature,
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)".to_owned()
        )
    );
    assert_eq!(
        Sent::good().later_by(-FIVE_MINUTES_MS - 1).refusal(),
        (
            Kind::WrongSignature,
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
                .to_owned()
        )
    );
    for ms in [-FIVE_MINUTES_MS, 0, FIVE_MINUTES_MS + 999] {
        let sent = Sent::good().later_by(ms);
        let headers: Vec<(&str, &str)> = sent.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert!(parse_claim(&parts("POST", "/", &headers), sent.body, sent.now).is_ok(), "{ms}");
    }
}

#[test]
fn credentials_of_another_form_or_scope() {
    for credential in ["a/b/c/d", "a", "a/b/c/d/e/f"] {
        assert_eq!(
            Sent::good().edit("AKIDEXAMPLE/20150830/us-east-1/kms/aws4_request", credential).refusal(),
            (
                Kind::IncompleteSignature,
                format!(
                    "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
                )
            )
        );
    }
    assert_eq!(
        Sent::good().edit("20150830/us-east-1/kms/aws4_request", "20150829/us-east-1/kms/aws5_request").refusal(),
        (
            Kind::WrongSignature,
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. Date in Credential scope \
             does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20150829' != '20150830', from '20150830T123600Z'."
                .to_owned()
        )
    );
}

#[test]
fn the_scope_must_be_one_that_is_served() {
    let sent = Sent::good();
    let headers: Vec<(&str, &str)> = sent.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let parts = parts(sent.method, &sent.target, &headers);
    let claim = parse_claim(&parts, sent.body, sent.now).unwrap();
    assert_eq!(claim.require_scope(&["sts", "kms"], |region| region == "us-east-1"), Ok(()));
    assert_eq!(
        Refusal::from(claim.require_scope(&["sts"], |_| false).unwrap_err()).detail,
        "Credential should be scoped to a valid region, not 'us-east-1'. Credential should be scoped to correct service: 'sts'."
    );
}

#[test]
fn the_promised_payload_must_be_the_one_that_came() {
    let signed = |value: &str| {
        Sent::good()
            .edit("SignedHeaders=content-type;host;", "SignedHeaders=content-type;host;x-amz-content-sha256;")
            .with("x-amz-content-sha256", value)
    };
    assert_eq!(
        signed(&"0".repeat(64)).refusal(),
        (Kind::WrongSignature, "The provided 'x-amz-content-sha256' header does not match what was computed.".to_owned())
    );
    for unsigned in ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"] {
        assert_eq!(signed(unsigned).failure(), Failure::UnsignedPayload);
    }
}

#[test]
fn signatures_that_are_none() {
    for wrong in ["00", "", &"0".repeat(63), &"0".repeat(66), &"g".repeat(64), &"A".repeat(64)] {
        let sent = Sent::good();
        let (_, value) = sent.headers.iter().find(|(name, _)| name == "authorization").unwrap();
        let signature = value.rsplit_once("Signature=").unwrap().1.to_owned();
        let kind = if wrong.is_empty() { Kind::IncompleteSignature } else { Kind::WrongSignature };
        assert_eq!(sent.edit(&signature, wrong).refusal().0, kind, "{wrong}");
    }
}

#[test]
fn the_first_failure_in_the_documented_order_is_the_answer() {
    // Everything is wrong at once; repairing one thing after another shows the order.
    let broken = |repaired: usize| {
        let steps: [(&str, &str); 7] = [
            ("AWS4-HMAC-SHA256", "AWS4-X"),
            ("Credential=", "Credential"),
            ("content-type;host;x-amz-date", "content-type;x-amz-date"),
            ("x-amz-date;x-amz-target", "x-amz-date"),
            ("us-east-1/kms/aws4_request", "us-east-1/kms"),
            ("content-type;", "content-type;expect;"),
            ("Signature=", "Signature=z"),
        ];
        let mut sent = Sent::good();
        for (from, to) in steps.into_iter().skip(repaired) {
            let applied = sent.headers.iter().any(|(name, value)| name == "authorization" && value.contains(from));
            assert!(applied, "{from}");
            sent = sent.edit(from, to);
        }
        sent
    };
    assert!(matches!(broken(0).failure(), Failure::UnsupportedAlgorithm(_)));
    assert!(matches!(broken(1).failure(), Failure::NotKeyValue { .. }));
    assert!(matches!(broken(2).failure(), Failure::HostNotSigned));
    assert!(matches!(broken(3).failure(), Failure::NotSigned(_)));
    assert!(matches!(broken(4).later_by(3_600_000).failure(), Failure::SignatureExpired { .. }));
    assert!(matches!(broken(4).failure(), Failure::MalformedCredential(_)));
    assert!(matches!(broken(5).failure(), Failure::SignedHeaderMissing(_)));
    assert!(matches!(broken(6).failure(), Failure::MalformedSignature));
}

#[test]
fn the_date_header_serves_where_x_amz_date_is_not_sent() {
    for date in ["Sun, 30 Aug 2015 12:36:00 GMT", "Sun, 30 Aug 2015 12:36:00 -0000", "20150830T123600Z"] {
        let authorization = authorization("kms", "host", &"0".repeat(64));
        let parts = parts("GET", "/", &[HOST, ("Date", date), ("Authorization", &authorization)]);
        let claim = parse_claim(&parts, b"", MOMENT).unwrap();
        assert_eq!(claim.signed_at, MOMENT);
        assert!(claim.string_to_sign.starts_with("AWS4-HMAC-SHA256\n20150830T123600Z\n"));
    }
}

#[test]
fn http2_names_the_host_in_the_request_line() {
    let uri: Uri = "https://kms.example.test:8443/".parse().unwrap();
    let added = signer().sign(&Method::POST, &uri, &HeaderMap::new(), b"x", MOMENT).unwrap();
    let mut request = Request::builder().method("POST").uri(uri).version(Version::HTTP_2);
    for (name, value) in &added {
        request = request.header(name, value);
    }
    let (over_http2, ()) = request.body(()).unwrap().into_parts();
    let key = SigningKey::derive(SECRET, "20150830", "us-east-1", "kms");
    let claim = parse_claim(&over_http2, b"x", MOMENT).unwrap();
    assert!(key.verify(&claim.string_to_sign, &claim.signature));

    // The same request over HTTP/1.1, where the host is a header.
    let mut over_http1 = over_http2.clone();
    over_http1.uri = Uri::from_static("/");
    over_http1.headers.insert("host", HeaderValue::from_static("kms.example.test:8443"));
    assert_eq!(parse_claim(&over_http1, b"x", MOMENT).unwrap().string_to_sign, claim.string_to_sign);
}

#[test]
fn oversized_and_unreadable_input_is_refused() {
    let unreadable = |sent: Sent| assert!(matches!(sent.failure(), Failure::Unreadable(_)), "{:?}", sent.failure());
    unreadable(Sent::good().set("authorization", &format!("AWS4-HMAC-SHA256 {}", "a".repeat(9000))));
    unreadable(Sent::good().set("content-type", &"a".repeat(200_000)));
    unreadable(Sent::good().to(&format!("/?{}", "a&".repeat(300))));
    unreadable(Sent::good().to("/?a=%"));

    let mut parts = parts("POST", "/", &[]);
    for (name, value) in &Sent::good().headers {
        parts.headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    parts.headers.insert("content-type", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    assert!(matches!(parse_claim(&parts, b"{}", MOMENT), Err(Failure::Unreadable(_))));
    parts.headers.insert("authorization", HeaderValue::from_bytes(b"AWS4-HMAC-SHA256 \xff").unwrap());
    assert!(matches!(parse_claim(&parts, b"{}", MOMENT), Err(Failure::Unreadable(_))));
}

#[test]
fn what_is_logged_of_a_claim_has_no_signature_and_no_token() {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost"));
    let signer = Signer { session_token: Some("token-that-nobody-may-see"), ..signer() };
    let added = signer.sign(&Method::POST, &Uri::from_static("/"), &headers, b"", MOMENT).unwrap();
    headers.extend(added);
    let mut parts = parts("POST", "/", &[]);
    parts.headers = headers;
    let claim = parse_claim(&parts, b"", MOMENT).unwrap();
    assert_eq!(claim.session_token, Some("token-that-nobody-may-see"));
    let text = format!("{claim:?}");
    assert!(text.contains(ACCESS_KEY));
    assert!(!text.contains("token-that-nobody-may-see") && !text.contains(&hex::encode(claim.signature)), "{text}");
}
