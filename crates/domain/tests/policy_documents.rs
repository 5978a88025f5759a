//! What is a policy and what is not: AWS's complaints, the principals that are named, and that no text at all makes the parser panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use claviger_domain::policy::{MalformedPolicy, Policy, PrincipalName, default_key_policy};
use proptest::prelude::*;

const INVALID_PRINCIPALS: &str = "Policy contains a statement with one or more invalid principals.";

fn complaint(parsed: Result<Policy, MalformedPolicy>, text: &str) -> String {
    match parsed {
        Ok(_) => panic!("this was taken for a policy: {text}"),
        Err(malformed) => malformed.detail,
    }
}

#[test]
fn documents_that_are_policies() {
    let statement = r#"{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}"#;
    for text in [
        format!(r#"{{"Statement": {statement}}}"#),
        format!(r#"{{"Version": "2012-10-17", "Id": "x y", "Statement": [{statement}]}}"#),
        format!(r#"{{"Version": "2008-10-17", "Statement": [{statement}, {statement}]}}"#),
        r#"{"Statement": {"Sid": "", "Effect": "Deny", "NotAction": ["iam:*"], "NotResource": "arn:aws:s3:::b/${x", "Condition": {}}}"#.into(),
        r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {
            "StringLike": {"aws:PrincipalTag/a b": [], "kms:EncryptionContext:any, thing:${at}": ["x", 1, 1.5, true]}}}}"#
            .into(),
    ] {
        assert!(Policy::parse_identity_policy(&text).is_ok(), "{text}");
    }
}

#[test]
fn documents_that_are_not_are_refused_with_awss_words() {
    let in_document = [
        ("", "This policy contains invalid Json"),
        ("{", "This policy contains invalid Json"),
        (r#"{"Statement": [], "Statement": []}"#, r#"duplicate key "Statement" at line 1"#),
        (r#"{"Statement": {"Effect": "Allow", "Effect": "Deny"}}"#, r#"duplicate key "Effect""#),
        (r#"{"Statement": {"\u0045ffect": "Allow", "Effect": "Deny"}}"#, r#"duplicate key "Effect""#),
        ("[]", "The policy must be an object."),
        ("{}", "The policy has no Statement."),
        (r#"{"Statement": []}"#, "The policy has no Statement."),
        (r#"{"Statement": "x"}"#, "A statement must be an object. (statement 1)"),
        (r#"{"Statement": [], "statement": []}"#, r#"Unknown element "statement""#),
        (r#"{"Version": "2012-10-18", "Statement": []}"#, r#"Unknown Version "2012-10-18""#),
        (r#"{"Version": 2012, "Statement": []}"#, "Version must be a text."),
        (r#"{"Id": {}, "Statement": []}"#, "Id must be a text."),
    ];
    let in_statement = [
        (r#""Action": "*", "Resource": "*""#, "A statement must have an Effect."),
        (r#""Effect": "allow", "Action": "*", "Resource": "*""#, r#"Invalid effect "allow""#),
        (r#""Effect": ["Allow"], "Action": "*", "Resource": "*""#, "Effect must be a text."),
        (r#""Effect": "Allow", "Resource": "*""#, "Policy statement must contain actions."),
        (r#""Effect": "Allow", "Action": [], "Resource": "*""#, "Policy statement must contain actions."),
        (r#""Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*""#, "A statement has either Action or NotAction."),
        (
            r#""Effect": "Allow", "Action": "Encrypt", "Resource": "*""#,
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (r#""Effect": "Allow", "Action": "kms:", "Resource": "*""#, "Actions/Conditions must be prefaced by a vendor"),
        (r#""Effect": "Allow", "Action": "kms:En crypt", "Resource": "*""#, r#"Invalid action "kms:En crypt""#),
        (r#""Effect": "Allow", "Action": {"a": 1}, "Resource": "*""#, "Action must be a text."),
        (r#""Effect": "Allow", "Action": "*""#, "Policy statement must contain resources."),
        (r#""Effect": "Allow", "Action": "*", "Resource": "key/x""#, r#"Resource key/x must be in ARN format or "*"."#),
        (r#""Effect": "Allow", "Action": "*", "Resource": "arn:aws:kms""#, r#"must be in ARN format or "*"."#),
        (r#""Effect": "Allow", "Action": "*", "Resource": "arn:aws:kms:${aws:x}:1:key/*""#, "before the fifth colon"),
        (r#""Effect": "Allow", "Action": "*", "Resource": "arn:aws:kms:r:1:key/${aws:x""#, "Invalid policy variable"),
        (r#""Effect": "Allow", "Action": "*", "Resource": "arn:aws:kms:r:1:key/${aws:x, none}""#, "Invalid policy variable"),
        (r#""Effect": "Allow", "Action": "*", "Resource": "*", "Extra": 1"#, r#"Unknown element "Extra""#),
        (r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": []"#, "Condition must be an object."),
        (r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": "x"}"#, "must be an object"),
        (
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"stringequals": {}}"#,
            "Invalid Condition type : stringequals.",
        ),
        (r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"NullIfExists": {}}"#, "Invalid Condition type"),
        (
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"ForSome:StringEquals": {}}"#,
            "Invalid Condition type",
        ),
        (
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"username": "x"}}"#,
            "must be prefaced by a vendor",
        ),
        (r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:x": null}}"#, "must be texts"),
        (
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:x": [["y"]]}}"#,
            "must be texts",
        ),
        (
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"NumericEquals": {"aws:x": "NaN"}}"#,
            r#""NaN" must be a number"#,
        ),
        (
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"DateEquals": {"aws:x": "today"}}"#,
            r#""today" must be a date"#,
        ),
        (
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:x": "yes"}}"#,
            r#""yes" must be true or false"#,
        ),
        (
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Null": {"aws:x": "${aws:y}"}}"#,
            "must be true or false",
        ),
        (
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"IpAddress": {"aws:x": "192.0.2.0/33"}}"#,
            "must be an IP address or range",
        ),
        (r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"BinaryEquals": {"aws:x": "%"}}"#, "must be base64"),
        (
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"ArnLike": {"aws:x": "arn:aws:iam:*"}}"#,
            "Invalid ARN",
        ),
        (r#""Sid": "a b", "Effect": "Allow", "Action": "*", "Resource": "*""#, "Statement IDs (SID) must be alpha-numeric."),
        (
            r#""Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*""#,
            "Policy document should not specify a principal.",
        ),
        (
            r#""Effect": "Allow", "NotPrincipal": "*", "Action": "*", "Resource": "*""#,
            "Policy document should not specify a principal.",
        ),
    ];
    for (text, expected) in in_document {
        let detail = complaint(Policy::parse_identity_policy(text), text);
        assert!(detail.contains(expected), "{text}: {detail}");
    }
    let good = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
    for (elements, expected) in in_statement {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{good}, {{{elements}}}]}}"#);
        let detail = complaint(Policy::parse_identity_policy(&text), &text);
        assert!(detail.contains(expected) && detail.ends_with("(statement 2)"), "{text}: {detail}");
    }
    let twins = r#"{"Statement": [{"Sid": "a", "Effect": "Allow", "Action": "*", "Resource": "*"}, {"Sid": "a", "Effect": "Deny", "Action": "*", "Resource": "*"}]}"#;
    assert!(complaint(Policy::parse_identity_policy(twins), twins).contains("must be unique"));
}

fn with_principal(elements: &str) -> Result<Policy, MalformedPolicy> {
    Policy::parse_key_policy(&format!(r#"{{"Statement": {{"Effect": "Deny", {elements}, "Action": "kms:*", "Resource": "*"}}}}"#))
}

#[test]
fn key_policies_name_their_principals() {
    let account = "111111111111".parse().unwrap();
    let policy = with_principal(
        r#""Principal": {"AWS": ["*", "111111111111", "arn:aws:iam::111111111111:root", "arn:aws:iam::111111111111:user/alice",
            "arn:aws:iam::111111111111:user/a/b/alice", "arn:aws:iam::111111111111:role/service-role/r",
            "arn:aws:sts::111111111111:assumed-role/r/session", "arn:aws:sts::111111111111:federated-user/f", "AROAEXAMPLE000000000"],
            "CanonicalUser": "79a59df900b949e55d96a1e698fba", "Federated": "cognito-identity.amazonaws.com",
            "Service": ["logs.us-east-1.amazonaws.com"]}"#,
    )
    .unwrap();
    let names: Vec<PrincipalName> = policy.named_principals().cloned().collect();
    let expected = [
        PrincipalName::Everyone,
        PrincipalName::Account(account),
        PrincipalName::Account(account),
        PrincipalName::User(account, "alice".parse().unwrap()),
        PrincipalName::UserWithPath(account, "arn:aws:iam::111111111111:user/a/b/alice".into()),
        PrincipalName::Role(account, "service-role/r".into()),
        PrincipalName::AssumedRole(account, "r/session".into()),
        PrincipalName::FederatedUser(account, "f".into()),
        PrincipalName::UniqueId("AROAEXAMPLE000000000".into()),
        PrincipalName::CanonicalUser("79a59df900b949e55d96a1e698fba".into()),
        PrincipalName::Federated("cognito-identity.amazonaws.com".into()),
        PrincipalName::Service("logs.us-east-1.amazonaws.com".into()),
    ];
    assert_eq!(names, expected);
    let except = with_principal(r#""NotPrincipal": {"AWS": "111111111111"}"#).unwrap();
    assert_eq!(except.named_principals().collect::<Vec<_>>(), [&PrincipalName::Account(account)]);
    assert_eq!(Policy::parse_key_policy(&default_key_policy(account)).unwrap().named_principals().count(), 1);
}

#[test]
fn principals_that_cannot_be_are_refused() {
    for principal in [
        "{}",
        "[]",
        "null",
        r#""arn:aws:iam::111111111111:root""#,
        r#"{"AWS": []}"#,
        r#"{"AWS": ""}"#,
        r#"{"AWS": 111111111111}"#,
        r#"{"AWS": "11111111111"}"#,
        r#"{"AWS": "arn:aws:iam::111111111111:user/*"}"#,
        r#"{"AWS": "arn:aws:iam::111111111111:user/"}"#,
        r#"{"AWS": "arn:aws:iam::111111111111:user//a"}"#,
        r#"{"AWS": "arn:aws:iam::*:root"}"#,
        r#"{"AWS": "arn:aws:iam:us-east-1:111111111111:root"}"#,
        r#"{"AWS": "arn:aws-cn:iam::111111111111:root"}"#,
        r#"{"AWS": "arn:aws:iam::111111111111:group/g"}"#,
        r#"{"AWS": "arn:aws:sts::111111111111:assumed-role/r"}"#,
        r#"{"AWS": "AIDAshort"}"#,
        r#"{"AWS": "arn:aws:iam::111111111111:user/a b"}"#,
        r#"{"Service": "*"}"#,
        r#"{"Service": ""}"#,
        r#"{"aws": "*"}"#,
        r#"{"AWS": "*", "Group": "x"}"#,
    ] {
        let detail = complaint(with_principal(&format!(r#""Principal": {principal}"#)), principal);
        assert!(detail.starts_with(INVALID_PRINCIPALS), "{principal}: {detail}");
    }
    assert_eq!(MalformedPolicy::invalid_principals().detail, INVALID_PRINCIPALS);
}

#[test]
fn key_policies_need_principal_and_resource() {
    let statement = |elements: &str| Policy::parse_key_policy(&format!(r#"{{"Statement": {{"Action": "kms:*", {elements}}}}}"#));
    assert!(statement(r#""Sid": "With spaces, too", "Effect": "Allow", "Principal": "*", "Resource": "*""#).is_ok());
    for (elements, expected) in [
        (r#""Effect": "Allow", "Resource": "*""#, "Missing required field Principal"),
        (r#""Effect": "Allow", "Principal": "*""#, "Policy statement must contain resources."),
        (r#""Effect": "Allow", "NotPrincipal": "*", "Resource": "*""#, "NotPrincipal must be used with the Effect Deny."),
        (r#""Effect": "Deny", "Principal": "*", "NotPrincipal": "*", "Resource": "*""#, "either Principal or NotPrincipal"),
    ] {
        let detail = complaint(statement(elements), elements);
        assert!(detail.contains(expected), "{elements}: {detail}");
    }
}

#[test]
fn documents_are_bounded() {
    let padded = |spaces: usize| {
        format!(r#"{{"Statement": {{"Effect": "Allow", "Action": "*", "Resource": "*"}}}}{}"#, " ".repeat(spaces))
    };
    let room = Policy::TEXT_BYTES_MAX - padded(0).len();
    assert!(Policy::parse_identity_policy(&padded(room)).is_ok());
    assert!(complaint(Policy::parse_identity_policy(&padded(room + 1)), "").contains("longer than 32768 bytes"));
    let deep = format!(r#"{{"Statement": {}{}}}"#, "[".repeat(16_000), "]".repeat(16_000));
    assert!(complaint(Policy::parse_key_policy(&deep), "deep").contains("recursion limit"));
}

/// Policies that use every part of the language, for mutation.
fn seeds() -> Vec<String> {
    vec![
        default_key_policy("111111111111".parse().unwrap()),
        r#"{"Version":"2012-10-17","Id":"i","Statement":[{"Sid":"a","Effect":"Deny","NotPrincipal":{"AWS":["arn:aws:iam::111111111111:user/p/a","*"],
            "Service":"s.amazonaws.com"},"NotAction":["kms:*","*"],"NotResource":"arn:aws:kms:r:1:key/${aws:x, 'd'}*","Condition":{
            "ForAllValues:StringLikeIfExists":{"kms:EncryptionContext:é":["${*}${$}?","b"]},"DateLessThan":{"aws:t":"2026-11-22T10:53:33.5+01:00"},
            "NumericEquals":{"aws:n":-1.5},"Bool":{"aws:b":true},"IpAddress":{"aws:i":["::ffff:1.2.3.4/100","1.2.3.4"]},
            "ArnLike":{"aws:a":"arn:*:b:${aws:y}:c:d:e"},"BinaryEquals":{"aws:c":"YQ=="},"Null":{"aws:d":"true"}}}]}"#
            .to_owned(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Policy::parse_key_policy(&text);
        let _ = Policy::parse_identity_policy(&text);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Policy::parse_key_policy(&String::from_utf8_lossy(&bytes));
    }

    /// Parts of policies cut, doubled and replaced.
    #[test]
    fn no_mutation_makes_the_parser_panic(
        seed in 0..2_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize, "[\\[\\]{}:,\"'$*?/0-9Ta-zé.+-]{0,3}"), 1..6),
    ) {
        let mut text: Vec<char> = seeds().swap_remove(seed).chars().collect();
        for (place, cut, inserted) in edits {
            let at = place.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, inserted.chars());
        }
        let text: String = text.into_iter().collect();
        for malformed in [Policy::parse_key_policy(&text), Policy::parse_identity_policy(&text)].into_iter().filter_map(Result::err) {
            prop_assert!(!malformed.detail.is_empty());
        }
    }

    /// Texts inside strings, where the document's structure stays whole.
    #[test]
    fn no_value_makes_the_parser_panic(value in "[\\PC$*?{}:/]{0,24}", operator in prop::sample::select(&[
        "StringEquals", "StringLike", "NumericEquals", "DateEquals", "Bool", "BinaryEquals", "IpAddress", "ArnLike", "Null",
    ][..])) {
        let value = serde_json::Value::from(value);
        let text = format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Principal": {{"AWS": "*"}}, "Action": "*", "Resource": "*",
                "Condition": {{"{operator}": {{"aws:x": {value}}}}}}}}}"#
        );
        let _ = Policy::parse_key_policy(&text);
        let _ = Policy::parse_key_policy(&format!(r#"{{"Statement": {{"Effect": "Allow", "Principal": {{"AWS": {value}}}, "Action": {value}, "Resource": {value}}}}}"#));
    }
}

#[test]
fn the_seeds_are_policies_before_they_are_mutated() {
    for seed in seeds() {
        assert!(Policy::parse_key_policy(&seed).is_ok(), "{seed}: {:?}", Policy::parse_key_policy(&seed).err());
    }
}
