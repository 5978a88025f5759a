//! Entries: their shape, their canonical form, and their limit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic, and each test file uses its part of the common helpers"
)]

mod common;

use std::collections::BTreeMap;

use claviger_audit::Event;
use claviger_audit::entry::{
    ChangeDigest, Decision, ENTRY_LENGTH_MAX, Effect, EventError, EventIdentity, EventType, KeyMaterial, ReEncryptMaterial,
    Resource, TlsDetails, is_canonical,
};
use claviger_audit::merkle::leaf_hash;
use claviger_domain::identity::User;
use claviger_domain::{AccountId, Identity, MaterialId, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

fn account() -> AccountId {
    AccountId::from_number(common::ACCOUNT).unwrap()
}

#[test]
fn an_allowed_request_reads_as_cloudtrail_writes_it() {
    let arn = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let resources = [Resource::key(arn, account())];
    let material = MaterialId::new([0xab; 32]);
    let context = BTreeMap::from([("Department", "Engineering"), ("Project", "Alpha")]);
    let parameters = BTreeMap::from([("encryptionContext", json!(context)), ("keyId", json!(arn))]);
    let changes = [
        ChangeDigest {
            kind: "key",
            account: account(),
            id: "1234abcd",
            version: 7,
            sha256: Some(ChangeDigest::of_sealed(b"abc")),
        },
        ChangeDigest { kind: "alias", account: account(), id: "alias/x", version: 2, sha256: None },
    ];
    let entry = Event {
        error: None,
        request_parameters: Some(&parameters),
        additional: Some(&KeyMaterial { id: &material }),
        changes: &changes,
        tls: Some(TlsDetails { version: "TLSv1.3", cipher_suite: "TLS_AES_256_GCM_SHA384", host: "kms.example" }),
        secure_transport: true,
        ..common::event(5, &resources)
    }
    .encode()
    .unwrap();
    let expected = concat!(
        r#"{"additionalEventData":{"keyMaterialId":"abababababababababababababababababababababababababababababababab"},"#,
        r#""awsRegion":"eu-central-1","#,
        r#""claviger":{"changes":[{"account":"111122223333","id":"1234abcd","kind":"key","sha256":"ba7816bf8f01cfea414140de5dae2223","version":7},"#,
        r#"{"account":"111122223333","id":"alias/x","kind":"alias","version":2}],"#,
        r#""decision":{"basis":"no statement allows it","effect":"deny"},"door":"aws-kms","node":"node-1","timeMs":1795344813123,"transport":"tls"},"#,
        r#""eventCategory":"Management","eventID":"00000000-0000-0000-0000-000000000005","eventName":"Encrypt","#,
        r#""eventSource":"kms.amazonaws.com","eventTime":"2026-11-22T10:53:33Z","eventType":"AwsApiCall","eventVersion":"1.11","#,
        r#""managementEvent":true,"readOnly":true,"recipientAccountId":"111122223333","requestID":"00000000-0000-0001-0000-000000000005","#,
        r#""requestParameters":{"encryptionContext":{"Department":"Engineering","Project":"Alpha"},"keyId":"arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"},"#,
        r#""resources":[{"ARN":"arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab","accountId":"111122223333","type":"AWS::KMS::Key"}],"#,
        r#""sourceIPAddress":"192.0.2.17","tlsDetails":{"cipherSuite":"TLS_AES_256_GCM_SHA384","clientProvidedHostHeader":"kms.example","tlsVersion":"TLSv1.3"},"#,
        r#""userAgent":"aws-cli/2.31 \"quoted\" é","userIdentity":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","accountId":"111122223333","#,
        r#""arn":"arn:aws:iam::111122223333:user/Alice","principalId":"AIDAEXAMPLE","type":"IAMUser","userName":"Alice"}}"#,
    );
    assert_eq!(std::str::from_utf8(entry.bytes()).unwrap(), expected);
    assert_eq!(entry.leaf(), leaf_hash(expected.as_bytes()));
    assert!(is_canonical(entry.bytes()));
}

#[test]
fn a_refusal_carries_its_error() {
    let value: Value = serde_json::from_slice(common::entry(1).bytes()).unwrap();
    assert_eq!(value["errorCode"], "AccessDeniedException");
    assert_eq!(value["errorMessage"], "no");
    assert_eq!(value["claviger"]["decision"]["effect"], "deny");
    assert_eq!(value["claviger"]["transport"], "plain");
    for absent in
        ["responseElements", "requestParameters", "additionalEventData", "resources", "tlsDetails", "serviceEventDetails"]
    {
        assert!(value.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn what_the_service_does_by_itself_has_no_caller() {
    let previous = MaterialId::new([1; 32]);
    let entry = Event {
        request_id: None,
        event_type: EventType::ServiceEvent,
        source_ip: None,
        user_agent: None,
        error: None,
        identity: EventIdentity::service(account()),
        service_event_details: Some(&ReEncryptMaterial { destination: &previous, source: &previous }),
        ..common::event(1, &[])
    }
    .encode()
    .unwrap();
    let value: Value = serde_json::from_slice(entry.bytes()).unwrap();
    assert_eq!(value["eventType"], "AwsServiceEvent");
    assert_eq!(value["userIdentity"], json!({"accountId": "111122223333", "invokedBy": "claviger"}));
    assert!(value["serviceEventDetails"]["sourceKeyMaterialId"].is_string());
    for absent in ["requestID", "sourceIPAddress", "userAgent", "errorCode"] {
        assert!(value.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn identities_are_told_as_cloudtrail_tells_them() {
    let access_key = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
    let written = |identity| {
        let entry = Event { identity, ..common::event(1, &[]) }.encode().unwrap();
        serde_json::from_slice::<Value>(entry.bytes()).unwrap()["userIdentity"].clone()
    };
    let root = Identity::root(account());
    assert_eq!(
        written(EventIdentity::of(&root, &access_key)),
        json!({
            "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "accountId": "111122223333", "arn": "arn:aws:iam::111122223333:root",
            "principalId": "111122223333", "type": "Root",
        })
    );
    let user: User = serde_json::from_value(json!({
        "account": "111122223333", "name": "Bob", "unique_id": "AIDABOB", "created": 0, "policies": {},
    }))
    .unwrap();
    let user = Identity::user(&user, Vec::new());
    let value = written(EventIdentity::of(&user, &access_key));
    assert_eq!(
        (&value["type"], &value["userName"], &value["principalId"]),
        (&json!("IAMUser"), &json!("Bob"), &json!("AIDABOB"))
    );
    assert_eq!(written(EventIdentity::unknown(Some("AKIA\"x"))), json!({"accessKeyId": "AKIA\"x", "type": "Unknown"}));
}

#[test]
fn parameters_that_do_not_fit_are_replaced_by_their_digest() {
    let parameters = BTreeMap::from([("policy", "x".repeat(ENTRY_LENGTH_MAX))]);
    let small = BTreeMap::from([("keyId", "abc")]);
    let entry = Event { request_parameters: Some(&parameters), response_elements: Some(&small), ..common::event(1, &[]) };
    let value: Value = serde_json::from_slice(entry.encode().unwrap().bytes()).unwrap();
    let original = serde_json::to_vec(&parameters).unwrap();
    let omitted = &value["requestParameters"];
    assert_eq!(omitted["omitted"], true);
    assert_eq!(omitted["originalSize"], original.len());
    assert_eq!(omitted["sha256"], hex::encode(claviger_audit::merkle::sha256(&original).0));
    assert_eq!(value["responseElements"], json!({"keyId": "abc"}), "what is small stays");
    assert_eq!(value["userAgent"], "aws-cli/2.31 \"quoted\" é", "what is not a parameter stays");
}

#[test]
fn an_entry_of_exactly_the_limit_is_kept_whole() {
    let with_message = |length: usize| {
        let message = "m".repeat(length);
        let event = Event { error: Some(EventError { code: "X", message: Some(&message) }), ..common::event(1, &[]) };
        event.encode().unwrap().bytes().len()
    };
    let overhead = with_message(1) - 1;
    assert_eq!(with_message(ENTRY_LENGTH_MAX - overhead), ENTRY_LENGTH_MAX);
    assert!(with_message(ENTRY_LENGTH_MAX - overhead + 1) < 4096, "one byte more, and the text is cut");
}

#[test]
fn a_parameter_without_json_form_fails_the_request() {
    let impossible = BTreeMap::from([(vec![1_u8], 1)]);
    let event = Event { request_parameters: Some(&impossible), ..common::event(1, &[]) };
    assert!(event.encode().unwrap_err().to_string().contains("could not be written"));
}

#[test]
fn even_the_worst_event_has_an_entry() {
    let worst = "\u{1}".repeat(70_000);
    let parameters = BTreeMap::from([("x", &worst)]);
    let resources = [Resource::key(&worst, account())];
    let changes = [ChangeDigest { kind: &worst, account: account(), id: &worst, version: 1, sha256: None }];
    let w = Some(worst.as_str());
    let session = common::session();
    let entry = Event {
        source: &worst,
        name: &worst,
        region: &worst,
        user_agent: w,
        tls: Some(TlsDetails { version: &worst, cipher_suite: &worst, host: &worst }),
        identity: EventIdentity {
            kind: w,
            principal_id: w,
            arn: w,
            account: Some(account()),
            access_key: w,
            user_name: w,
            invoked_by: w,
            session: Some(&session),
        },
        request_parameters: Some(&parameters),
        response_elements: Some(&parameters),
        additional: Some(&parameters),
        service_event_details: Some(&parameters),
        error: Some(EventError { code: &worst, message: w }),
        door: &worst,
        node: &worst,
        decision: Decision { effect: Effect::None, basis: w },
        changes: &changes,
        ..common::event(1, &resources)
    }
    .encode()
    .unwrap();
    assert!(entry.bytes().len() <= ENTRY_LENGTH_MAX);
    assert!(is_canonical(entry.bytes()));
    let value: Value = serde_json::from_slice(entry.bytes()).unwrap();
    assert_eq!(value["claviger"]["changes"]["omitted"], true);
    assert!(value["userAgent"].as_str().unwrap().ends_with('…'));
    assert_eq!(value["eventID"], "00000000-0000-0000-0000-000000000001");
}

/// Texts up to far beyond the limit, of characters that need no, short and long escapes.
fn text() -> impl Strategy<Value = String> {
    (prop_oneof!["[a-z]{1,3}", "[\u{1}\"\\\\é漢😀]{1,3}"], prop_oneof![4 => 0_usize..40, 1 => 0_usize..20_000])
        .prop_map(|(piece, times)| piece.repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_is_canonical_and_within_the_limit(
        texts in proptest::collection::vec(text(), 17),
        at in any::<i32>(),
        copies in prop_oneof![4 => 0_usize..10, 1 => 0_usize..1000],
    ) {
        let t = |position: usize| Some(texts[position].as_str());
        let s = |position: usize| texts[position].as_str();
        let parameters = BTreeMap::from([(s(0), s(1))]);
        let session = common::session();
        let resources = vec![Resource::key(s(2), account()); copies.min(40)];
        let changes = vec![ChangeDigest { kind: "key", account: account(), id: "abc", version: 1, sha256: Some([1; 16]) }; copies];
        let entry = Event {
            at: Timestamp(i64::from(at) * 1000),
            source: s(3), name: s(4), region: s(5), user_agent: t(6),
            tls: Some(TlsDetails { version: s(7), cipher_suite: s(8), host: s(9) }),
            identity: EventIdentity {
                kind: t(10), principal_id: t(11), arn: t(12), access_key: t(13), user_name: t(14), invoked_by: t(15), account: None,
                session: (copies % 2 == 1).then_some(&session),
            },
            request_parameters: Some(&parameters), response_elements: Some(&parameters),
            additional: Some(&parameters), service_event_details: Some(&parameters),
            error: Some(EventError { code: s(16), message: t(0) }),
            door: s(1), node: s(2),
            changes: &changes,
            ..common::event(1, &resources)
        }.encode().unwrap();
        prop_assert!(entry.bytes().len() <= ENTRY_LENGTH_MAX);
        prop_assert!(is_canonical(entry.bytes()));
        prop_assert_eq!(entry.leaf(), leaf_hash(entry.bytes()));
    }
}
