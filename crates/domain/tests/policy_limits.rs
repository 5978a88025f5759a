//! What a decision may cost, and what it does when it cannot tell.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod policy_support;

use std::borrow::Cow;

use claviger_domain::policy::{ConditionContext, Demand, Denial, Granted, Policy, Values, authorize};
use claviger_domain::{Identity, Permit};
use policy_support::{KEY, KEY_ARN, Keys, OWNER, account, root, user};

fn ask(caller: &Identity, key_policy: &str, context: &dyn ConditionContext) -> Result<Permit, Denial> {
    let policy = Policy::parse_key_policy(key_policy).expect(key_policy);
    let key = Some((KEY.parse().unwrap(), &policy));
    let demand = Demand { action: "kms:Encrypt", resource: KEY_ARN, owner: account(OWNER), key, granted: Granted::Nothing };
    authorize(caller, &demand, context)
}

fn statement(effect: &str, condition: &str) -> String {
    format!(r#"{{"Effect": "{effect}", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {condition}}}"#)
}

fn key_policy(statements: &[String]) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(", "))
}

const ANYBODY: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}"#;

/// Patterns that have each of many values compared with each of them, in policies of the size that AWS allows.
#[test]
fn what_takes_too_much_work_is_denied() {
    let patterns: Vec<String> = (0..2500).map(|number| format!(r#""*a*{number:05}""#)).collect();
    let condition = format!(r#"{{"ForAnyValue:StringLike": {{"kms:EncryptionContextKeys": [{}]}}}}"#, patterns.join(","));
    let policy = key_policy(&[ANYBODY.to_owned(), statement("Deny", &condition)]);
    let names: Vec<String> = (0..2700).map(|number| format!("{number:x}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = Keys::default().with_many("kms:EncryptionContextKeys", &names);
    let denial = ask(&root(OWNER), &policy, &many).unwrap_err();
    assert!(
        denial.message.ends_with("because it takes too much work to weigh the policies against this request"),
        "{}",
        denial.message
    );
    assert_eq!(denial.reason, "it takes too much work to weigh the policies against this request");
    assert!(!denial.explicit && !denial.silent, "no grant helps");
    // With a request as people make them, the same policy is no trouble.
    let few = Keys::default().with_many("kms:EncryptionContextKeys", &names[..40]);
    assert!(ask(&root(OWNER), &policy, &few).is_ok());
    // Nor with variables, each of which has to be looked up.
    let variables: Vec<String> = (0..1200).map(|number| format!(r#""${{aws:username}}{number}""#)).collect();
    let condition = format!(r#"{{"ForAnyValue:StringEquals": {{"kms:EncryptionContextKeys": [{}]}}}}"#, variables.join(","));
    let policy = key_policy(&[ANYBODY.to_owned(), statement("Deny", &condition)]);
    assert!(ask(&root(OWNER), &policy, &many).unwrap_err().reason.contains("too much work"));
}

/// The tag that is asked for is there twice, under names that differ in case.
struct Twins;

impl ConditionContext for Twins {
    fn values(&self, key: &str) -> Values<'_> {
        match key {
            "aws:ResourceTag/team" => Values::Ambiguous,
            "kms:ViaService" => Values::One(Cow::Borrowed("s3")),
            _ => Values::Absent,
        }
    }
}

#[test]
fn what_cannot_be_told_fits_every_denial_and_no_permission() {
    let alice = user(OWNER, "alice", &[]);
    for condition in [
        r#"{"StringEquals": {"aws:ResourceTag/team": "red"}}"#,
        r#"{"StringNotEquals": {"aws:ResourceTag/team": "red"}}"#,
        r#"{"StringEqualsIfExists": {"aws:ResourceTag/team": "red"}}"#,
        r#"{"ForAllValues:StringEquals": {"aws:ResourceTag/team": "red"}}"#,
        r#"{"Null": {"aws:ResourceTag/team": "true"}}"#,
        r#"{"Null": {"aws:ResourceTag/team": "false"}}"#,
        r#"{"StringEquals": {"kms:ViaService": "${aws:ResourceTag/team}"}}"#,
        r#"{"StringNotEquals": {"kms:ViaService": "${aws:ResourceTag/team, 'x'}"}}"#,
        r#"{"StringEquals": {"aws:ResourceTag/team": "red", "kms:ViaService": "s3"}}"#,
    ] {
        assert!(ask(&alice, &key_policy(&[statement("Allow", condition)]), &Twins).is_err(), "allows: {condition}");
        let denies = key_policy(&[ANYBODY.to_owned(), statement("Deny", condition)]);
        assert!(ask(&alice, &denies, &Twins).is_err(), "does not deny: {condition}");
    }
    // What else the statement asks still counts, and what others say.
    let other = r#"{"StringEquals": {"aws:ResourceTag/team": "red", "kms:ViaService": "ebs"}}"#;
    assert!(ask(&alice, &key_policy(&[ANYBODY.to_owned(), statement("Deny", other)]), &Twins).is_ok());
    let resource = format!(
        r#"{{"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "arn:aws:kms:us-east-1:{OWNER}:${{aws:ResourceTag/team}}"}}"#
    );
    assert!(ask(&alice, &key_policy(&[ANYBODY.to_owned(), resource]), &Twins).is_err());
}

#[test]
fn one_name_in_two_spellings_is_two_values() {
    let pairs = [("team", "red"), ("Team", "blue"), ("other", "x")];
    assert_eq!(Values::named("TEAM", pairs.into_iter()), Values::Ambiguous);
    assert_eq!(Values::named("Other", pairs.into_iter()), Values::One(Cow::Borrowed("x")));
    assert_eq!(Values::named("none", pairs.into_iter()), Values::Absent);
}

/// A text of 31 KB that takes nearly a megabyte when it is parsed is not put; one as people write them weighs little.
#[test]
fn a_policy_that_takes_too_much_memory_is_heavy() {
    let many = vec![r#""*?""#; 6200].join(",");
    let heavy = key_policy(&[ANYBODY.to_owned(), statement("Deny", &format!(r#"{{"StringLike": {{"a:b": [{many}]}}}}"#))]);
    assert!(heavy.len() < Policy::TEXT_BYTES_MAX);
    let policy = Policy::parse_key_policy(&heavy).expect("it stays readable where it is stored");
    assert!(policy.weight() > Policy::WEIGHT_MAX, "{}", policy.weight());
    assert!(policy.must_be_light().unwrap_err().detail.contains("too many values and wildcards"));
    let arns: Vec<String> =
        (0..450).map(|number| format!(r#""arn:aws:s3:::a-bucket-with-a-name-of-usual-length-{number:04}/*""#)).collect();
    let usual = key_policy(&[
        ANYBODY.to_owned(),
        statement("Deny", &format!(r#"{{"ArnLike": {{"aws:SourceArn": [{}]}}}}"#, arns.join(","))),
    ]);
    let policy = Policy::parse_key_policy(&usual).unwrap();
    assert!(policy.must_be_light().is_ok(), "{}", policy.weight());
}
