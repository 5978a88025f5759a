//! AWS's documented rules, one by one: who may do what under which policies. Each table names the page it is taken from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod policy_support;

use claviger_domain::policy::{Demand, Denial, Granted, Policy, authorize, default_key_policy, service_managed_key_policy};
use claviger_domain::{Identity, KeyArn, KeyReference, Permit};
use policy_support::{KEY, KEY_ARN, Keys, OTHER, OWNER, account, root, user};

fn ask(caller: &Identity, action: &'static str, key_policy: &str, keys: &Keys) -> Result<Permit, Denial> {
    let policy = Policy::parse_key_policy(key_policy).expect(key_policy);
    let demand = Demand {
        action,
        resource: KEY_ARN,
        owner: account(OWNER),
        key: Some((KEY.parse().unwrap(), &policy)),
        granted: Granted::Nothing,
    };
    authorize(caller, &demand, keys)
}

fn ask_without_key(caller: &Identity, action: &'static str, resource: &str) -> Result<Permit, Denial> {
    authorize(caller, &Demand { action, resource, owner: account(OWNER), key: None, granted: Granted::Nothing }, &Keys::default())
}

fn key_policy(statements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

fn allow(principal: &str) -> String {
    format!(r#"{{"Sid": "Use", "Effect": "Allow", "Principal": {principal}, "Action": "kms:*", "Resource": "*"}}"#)
}

fn deny(principal: &str) -> String {
    format!(r#"{{"Sid": "Stop", "Effect": "Deny", "Principal": {principal}, "Action": "kms:*", "Resource": "*"}}"#)
}

const ALLOW_ALL: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}}"#;
const DENY_ALL: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Sid": "No", "Effect": "Deny", "Action": "kms:*", "Resource": "*"}}"#;
const OWNER_ROOT: &str = r#"{"AWS": "arn:aws:iam::111111111111:root"}"#;
const OTHER_ID: &str = r#"{"AWS": "222222222222"}"#;
const ALICE: &str = r#"{"AWS": "arn:aws:iam::111111111111:user/alice"}"#;
const BOB: &str = r#"{"AWS": "arn:aws:iam::222222222222:user/bob"}"#;
const EVERYONE: &str = r#"{"AWS": "*"}"#;

const YES: &str = "";
const NO_IDENTITY: &str = "because no identity-based policy allows the kms:Encrypt action";
const NO_RESOURCE: &str = "because no resource-based policy allows the kms:Encrypt action";
const IDENTITY_DENY: &str = "with an explicit deny in an identity-based policy";
const RESOURCE_DENY: &str = "with an explicit deny in a resource-based policy";
const HIDDEN: &str = "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based \
                      policy explicitly denies access";

/// AWS KMS Developer Guide, "Key policies in AWS KMS"; IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation".
#[test]
fn both_sides_are_weighed() {
    let alice = || user(OWNER, "alice", &[]);
    let alice_allowed = || user(OWNER, "alice", &[ALLOW_ALL]);
    let alice_denied = || user(OWNER, "alice", &[ALLOW_ALL, DENY_ALL]);
    let bob = || user(OTHER, "bob", &[]);
    let bob_allowed = || user(OTHER, "bob", &[ALLOW_ALL]);
    let bob_denied = || user(OTHER, "bob", &[DENY_ALL, ALLOW_ALL]);
    let both = |one: String, other: String| format!("{one}, {other}");

    let table: Vec<(&str, Identity, String, &str)> = vec![
        // The key's own account.
        ("the key policy alone is enough for whom it names", alice(), allow(ALICE), YES),
        ("the account's delegation is not enough alone", alice(), allow(OWNER_ROOT), NO_IDENTITY),
        ("delegation and an identity policy are", alice_allowed(), allow(OWNER_ROOT), YES),
        ("an identity policy alone is not", alice_allowed(), allow(BOB), NO_RESOURCE),
        ("not even root is allowed without the key policy", root(OWNER), allow(ALICE), NO_RESOURCE),
        ("root needs no identity policy", root(OWNER), allow(OWNER_ROOT), YES),
        ("everyone is everyone", alice(), allow(EVERYONE), YES),
        ("everyone in short", alice(), allow(r#""*""#), YES),
        ("everyone includes root", root(OWNER), allow(EVERYONE), YES),
        ("an identity policy's denial beats the key policy", alice_denied(), allow(ALICE), IDENTITY_DENY),
        ("a key policy's denial beats all", alice_allowed(), both(allow(ALICE), deny(ALICE)), RESOURCE_DENY),
        ("a denial's place does not matter", alice_allowed(), both(deny(ALICE), allow(ALICE)), RESOURCE_DENY),
        ("a denied account denies its users", alice_allowed(), both(allow(ALICE), deny(OWNER_ROOT)), RESOURCE_DENY),
        ("a denied account denies its root", root(OWNER), both(allow(OWNER_ROOT), deny(OWNER_ROOT)), RESOURCE_DENY),
        ("denying a user spares the root", root(OWNER), both(allow(OWNER_ROOT), deny(ALICE)), YES),
        ("denying another account spares this one", alice(), both(allow(ALICE), deny(OTHER_ID)), YES),
        ("a service is nobody here", alice_allowed(), allow(r#"{"Service": "logs.amazonaws.com"}"#), NO_RESOURCE),
        ("a user's namesake is somebody else", bob_allowed(), allow(r#"{"AWS": "arn:aws:iam::111111111111:user/bob"}"#), HIDDEN),
        ("the unique id names the user", alice(), allow(r#"{"AWS": "AIDAALICE00000000"}"#), YES),
        // Another account's key: both sides.
        ("a foreign key policy alone is not enough", bob(), allow(BOB), NO_IDENTITY),
        ("nor by account", bob(), allow(OTHER_ID), NO_IDENTITY),
        ("nor for everyone", bob(), allow(EVERYONE), NO_IDENTITY),
        ("an identity policy alone is not enough either", bob_allowed(), allow(OWNER_ROOT), HIDDEN),
        ("both are, by name", bob_allowed(), allow(BOB), YES),
        ("both are, by account", bob_allowed(), allow(OTHER_ID), YES),
        ("both are, by everyone", bob_allowed(), allow(EVERYONE), YES),
        ("a foreign root needs the key policy", root(OTHER), allow(OWNER_ROOT), HIDDEN),
        ("and nothing more", root(OTHER), allow(OTHER_ID), YES),
        ("a foreign denial is not told from absence", bob_allowed(), both(allow(BOB), deny(BOB)), HIDDEN),
        ("nor may an identity's own denial tell that the key exists", bob_denied(), allow(OWNER_ROOT), HIDDEN),
        ("an identity's own denial is told to whom the key is open", bob_denied(), allow(BOB), IDENTITY_DENY),
    ];
    for (rule, caller, statements, expected) in table {
        let verdict = ask(&caller, "kms:Encrypt", &key_policy(&statements), &Keys::default());
        match verdict {
            Ok(_) => assert_eq!(expected, YES, "{rule}"),
            Err(denial) => {
                let message =
                    format!("User: {} is not authorized to perform: kms:Encrypt on resource: {KEY_ARN} {expected}", caller.arn);
                assert_eq!(denial.message, message, "{rule}");
            }
        }
    }
}

/// IAM User Guide, "AWS JSON policy elements: NotPrincipal": name the account beside the principal, or the principal is denied with it.
#[test]
fn not_principal_spares_whom_it_names_with_the_account() {
    let verdict = |caller: &Identity, spared: &str| {
        let statements = format!(
            r#"{}, {{"Effect": "Deny", "NotPrincipal": {{"AWS": {spared}}}, "Action": "*", "Resource": "*"}}"#,
            allow(EVERYONE)
        );
        ask(caller, "kms:Encrypt", &key_policy(&statements), &Keys::default()).is_ok()
    };
    let (alice, carol) = (user(OWNER, "alice", &[]), user(OWNER, "carol", &[]));
    let both = r#"["arn:aws:iam::111111111111:user/alice", "111111111111"]"#;
    let alice_only = r#""arn:aws:iam::111111111111:user/alice""#;
    let account_only = r#""arn:aws:iam::111111111111:root""#;
    assert!(verdict(&alice, both));
    assert!(!verdict(&carol, both));
    assert!(verdict(&root(OWNER), both));
    assert!(!verdict(&alice, alice_only));
    assert!(!verdict(&root(OWNER), alice_only));
    assert!(!verdict(&alice, account_only));
    assert!(verdict(&root(OWNER), account_only));
    assert!(verdict(&alice, r#""*""#));
}

#[test]
fn actions_without_a_key_are_for_identity_policies() {
    let list = "kms:ListKeys";
    assert!(ask_without_key(&root(OWNER), list, "*").is_ok());
    assert!(ask_without_key(&user(OWNER, "alice", &[ALLOW_ALL]), list, "*").is_ok());
    let ends = |caller: &Identity, action, resource, end: &str| {
        let message = ask_without_key(caller, action, resource).unwrap_err().message;
        assert!(message.ends_with(end), "{message}");
    };
    ends(&user(OWNER, "alice", &[]), list, "*", "on resource: * because no identity-based policy allows the kms:ListKeys action");
    ends(&user(OWNER, "alice", &[ALLOW_ALL, DENY_ALL]), list, "*", IDENTITY_DENY);
    // An action without a resource is only allowed by `*`; AWS says so of each such action.
    let only_keys = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:kms:*"}}"#;
    ends(&user(OWNER, "alice", &[only_keys]), list, "*", "because no identity-based policy allows the kms:ListKeys action");
    let alias = "arn:aws:kms:us-east-1:111111111111:alias/x";
    assert!(ask_without_key(&user(OWNER, "alice", &[only_keys]), "kms:CreateAlias", alias).is_ok());
    // Nobody acts in another account without a key policy that lets it in.
    ends(&root(OTHER), "kms:CreateAlias", alias, HIDDEN);
    ends(&user(OTHER, "bob", &[ALLOW_ALL]), list, "*", HIDDEN);
}

#[test]
fn a_permit_is_for_one_key_and_says_why() {
    let caller = user(OWNER, "alice", &[DENY_NOTHING, ALLOW_ALL]);
    let permit = ask(&caller, "kms:Encrypt", &key_policy(&allow(OWNER_ROOT)), &Keys::default()).unwrap();
    assert_eq!(permit.action(), "kms:Encrypt");
    assert!(permit.covers(KEY.parse().unwrap()));
    assert!(!permit.covers("1234abcd-12ab-34cd-56ef-1234567890ac".parse().unwrap()));
    assert_eq!(permit.basis().to_string(), r#"key policy statement "Use" and identity policy "p2" statement 1"#);

    let basis = |caller: &Identity, statements: &str| {
        ask(caller, "kms:Encrypt", &key_policy(statements), &Keys::default()).unwrap().basis().to_string()
    };
    assert_eq!(basis(&root(OTHER), &allow(OTHER_ID)), r#"key policy statement "Use" and account root"#);
    assert_eq!(basis(&caller, &allow(ALICE)), r#"key policy statement "Use""#);
    // The statement that names the caller is given, not an earlier one that names the account.
    let unnamed = r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}"#;
    assert_eq!(basis(&caller, &format!("{}, {unnamed}", allow(OWNER_ROOT))), "key policy statement 2");
    let permit = ask_without_key(&root(OWNER), "kms:ListKeys", "*").unwrap();
    assert_eq!(permit.basis().to_string(), "account root");
    assert!(!permit.covers(KEY.parse().unwrap()));

    let reason = |caller: &Identity, statements: &str| {
        ask(caller, "kms:Encrypt", &key_policy(statements), &Keys::default()).unwrap_err().reason
    };
    assert_eq!(reason(&caller, &format!("{}, {}", allow(ALICE), deny(ALICE))), r#"key policy statement "Stop" denies"#);
    assert_eq!(reason(&root(OTHER), &deny(OTHER_ID)), r#"key policy statement "Stop" denies"#);
    assert_eq!(
        reason(&user(OWNER, "alice", &[ALLOW_ALL, DENY_ALL]), &allow(ALICE)),
        r#"identity policy "p2" statement "No" denies"#
    );
    assert_eq!(reason(&root(OWNER), &allow(ALICE)), "no statement of the key policy allows");
    assert_eq!(reason(&user(OWNER, "alice", &[]), &allow(OWNER_ROOT)), "no statement of an identity policy allows");
}

const DENY_NOTHING: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}}"#;

#[test]
fn an_unknown_foreign_key_is_denied_in_the_words_of_a_closed_one() {
    let bob = user(OTHER, "bob", &[ALLOW_ALL]);
    let closed = ask(&bob, "kms:Encrypt", &key_policy(&allow(OWNER_ROOT)), &Keys::default()).unwrap_err();
    assert_eq!(Denial::of_unknown_key(&bob, "kms:Encrypt", KEY_ARN).message, closed.message);
}

/// Whether a key policy's only statement, which has this condition, takes effect.
fn holds(condition: &str, keys: &Keys) -> bool {
    let statement =
        format!(r#"{{"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*", "Condition": {condition}}}"#);
    ask(&user(OWNER, "alice", &[]), "kms:Encrypt", &key_policy(&statement), keys).is_ok()
}

/// IAM User Guide, "IAM JSON policy elements: Condition operators", the rules for absent keys included.
#[test]
fn operators_compare_as_documented() {
    let keys = Keys::of(&[
        ("kms:EncryptionContext:AppName", "ExampleApp"),
        ("aws:SourceIp", "203.0.113.7"),
        ("aws:CurrentTime", "2026-11-22T10:53:33Z"),
        ("aws:EpochTime", "1795344813"),
        ("aws:SecureTransport", "true"),
        ("kms:RotationPeriodInDays", "365"),
        ("aws:PrincipalArn", "arn:aws:iam::111111111111:user/alice"),
        ("kms:Blob", "QmluYXJ5VmFsdWVJbkJhc2U2NA=="),
        ("aws:username", "alice"),
        ("aws:PrincipalTag/star", "a*"),
        ("aws:PrincipalTag/empty", ""),
        ("aws:v6", "2001:db8:1234:5678::9"),
        ("aws:mapped", "::ffff:203.0.113.7"),
    ]);
    let table = [
        (r#"{}"#, true),
        (r#"{"StringEquals": {"kms:EncryptionContext:AppName": "ExampleApp"}}"#, true),
        (r#"{"StringEquals": {"KMS:encryptioncontext:appname": "ExampleApp"}}"#, true),
        (r#"{"StringEquals": {"kms:EncryptionContext:AppName": "exampleapp"}}"#, false),
        (r#"{"StringEquals": {"kms:EncryptionContext:AppName": "Example*"}}"#, false),
        (r#"{"StringEquals": {"kms:EncryptionContext:AppName": ["x", "ExampleApp"]}}"#, true),
        (r#"{"StringNotEquals": {"kms:EncryptionContext:AppName": ["x", "ExampleApp"]}}"#, false),
        (r#"{"StringNotEquals": {"kms:EncryptionContext:AppName": ["x", "y"]}}"#, true),
        (r#"{"StringEqualsIgnoreCase": {"kms:EncryptionContext:AppName": "exampleAPP"}}"#, true),
        (r#"{"StringNotEqualsIgnoreCase": {"kms:EncryptionContext:AppName": "exampleAPP"}}"#, false),
        (r#"{"StringLike": {"kms:EncryptionContext:AppName": "Ex?mple*"}}"#, true),
        (r#"{"StringNotLike": {"kms:EncryptionContext:AppName": "Ex?mple*"}}"#, false),
        // All operators and all keys have to agree.
        (
            r#"{"StringEquals": {"aws:username": "alice", "kms:EncryptionContext:AppName": "ExampleApp"}, "Bool": {"aws:SecureTransport": true}}"#,
            true,
        ),
        (r#"{"StringEquals": {"aws:username": "alice", "kms:EncryptionContext:AppName": "other"}}"#, false),
        (r#"{"StringEquals": {"aws:username": "alice"}, "Bool": {"aws:SecureTransport": "false"}}"#, false),
        // Absent keys.
        (r#"{"StringEquals": {"kms:ViaService": "s3"}}"#, false),
        (r#"{"StringNotEquals": {"kms:ViaService": "s3"}}"#, true),
        (r#"{"StringNotLike": {"kms:ViaService": "*"}}"#, true),
        (r#"{"StringEqualsIfExists": {"kms:ViaService": "s3"}}"#, true),
        (r#"{"StringNotEqualsIfExists": {"kms:ViaService": "s3"}}"#, true),
        (r#"{"StringEqualsIfExists": {"aws:username": "bob"}}"#, false),
        (r#"{"NumericLessThan": {"kms:ViaService": "1"}}"#, false),
        (r#"{"NumericNotEquals": {"kms:ViaService": "1"}}"#, true),
        (r#"{"NotIpAddress": {"kms:ViaService": "203.0.113.0/24"}}"#, true),
        (r#"{"ArnNotLike": {"kms:ViaService": "arn:aws:iam::*:user/*"}}"#, true),
        (r#"{"Bool": {"kms:ViaService": "false"}}"#, false),
        (r#"{"BoolIfExists": {"kms:ViaService": "false"}}"#, true),
        (r#"{"Null": {"kms:ViaService": "true"}}"#, true),
        (r#"{"Null": {"kms:ViaService": false}}"#, false),
        (r#"{"Null": {"aws:username": "true"}}"#, false),
        (r#"{"Null": {"aws:username": "False"}}"#, true),
        (r#"{"ForAllValues:Null": {"kms:ViaService": "false"}}"#, true),
        (r#"{"ForAnyValue:Null": {"kms:ViaService": "true"}}"#, false),
        // Numbers, by value.
        (r#"{"NumericEquals": {"kms:RotationPeriodInDays": "365.0"}}"#, true),
        (r#"{"NumericEquals": {"kms:RotationPeriodInDays": 365}}"#, true),
        (r#"{"NumericLessThan": {"kms:RotationPeriodInDays": "1000"}}"#, true),
        (r#"{"NumericLessThanEquals": {"kms:RotationPeriodInDays": "365"}}"#, true),
        (r#"{"NumericGreaterThan": {"kms:RotationPeriodInDays": "365"}}"#, false),
        (r#"{"NumericGreaterThanEquals": {"kms:RotationPeriodInDays": ["400", "365"]}}"#, true),
        (r#"{"NumericEquals": {"aws:username": "1"}}"#, false),
        // Dates, in either notation.
        (
            r#"{"DateGreaterThan": {"aws:CurrentTime": "2026-11-22T10:53:32Z"}, "DateLessThan": {"aws:CurrentTime": "2026-11-23"}}"#,
            true,
        ),
        (r#"{"DateEquals": {"aws:CurrentTime": "1795344813"}}"#, true),
        (r#"{"DateEquals": {"aws:EpochTime": "2026-11-22T11:53:33+01:00"}}"#, true),
        (r#"{"DateLessThanEquals": {"aws:EpochTime": "1795344812"}}"#, false),
        (r#"{"DateNotEquals": {"aws:EpochTime": "1795344813"}}"#, false),
        // Truth, bytes, addresses.
        (r#"{"Bool": {"aws:SecureTransport": "TRUE"}}"#, true),
        (r#"{"BinaryEquals": {"kms:Blob": "QmluYXJ5VmFsdWVJbkJhc2U2NA=="}}"#, true),
        (r#"{"BinaryEquals": {"kms:Blob": "QmluYXJ5"}}"#, false),
        (r#"{"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#, true),
        (r#"{"IpAddress": {"aws:SourceIp": "203.0.113.7"}}"#, true),
        (r#"{"IpAddress": {"aws:SourceIp": ["203.0.113.8", "2001:DB8::/32"]}}"#, false),
        (r#"{"NotIpAddress": {"aws:SourceIp": ["203.0.113.8", "203.0.113.0/24"]}}"#, false),
        (r#"{"IpAddress": {"aws:v6": "2001:DB8:1234:5678::/64"}}"#, true),
        (r#"{"IpAddress": {"aws:mapped": "203.0.113.0/24"}}"#, true),
        (r#"{"IpAddress": {"aws:SourceIp": "::ffff:203.0.113.0/120"}}"#, true),
        // ARNs, part by part.
        (r#"{"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:user/alice"}}"#, true),
        (r#"{"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/a*"}}"#, true),
        (r#"{"ArnLike": {"aws:PrincipalArn": "arn:*:user/alice:*:*:*"}}"#, false),
        (r#"{"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/a*"}}"#, false),
        (r#"{"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:user/bob"}}"#, true),
        (r#"{"ArnLike": {"aws:username": "*"}}"#, false),
        // Variables.
        (r#"{"StringEquals": {"kms:EncryptionContext:AppName": "${AWS:Username}"}}"#, false),
        (r#"{"StringLike": {"aws:PrincipalArn": "*/${aws:username}"}}"#, true),
        (r#"{"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:user/${aws:username}"}}"#, true),
        (r#"{"StringEquals": {"aws:username": "${aws:PrincipalTag/name, 'alice'}"}}"#, true),
        (r#"{"StringEquals": {"aws:PrincipalTag/star": "a${*}"}}"#, true),
        (r#"{"StringLike": {"aws:username": "${aws:PrincipalTag/star}"}}"#, false),
        // A variable without a value equals nothing: "Policy variables with no value".
        (r#"{"StringEquals": {"aws:username": "${aws:PrincipalTag/name}"}}"#, false),
        (r#"{"StringNotEquals": {"aws:username": "${aws:PrincipalTag/name}"}}"#, true),
        (r#"{"StringEquals": {"aws:username": "alice${aws:PrincipalTag/empty}"}}"#, false),
        (r#"{"StringEquals": {"aws:username": "${aws:PrincipalTag/empty, 'alice'}"}}"#, true),
    ];
    for (condition, expected) in table {
        assert_eq!(holds(condition, &keys), expected, "{condition}");
    }
}

/// IAM User Guide, "ARN condition operators": its example of where StringLike matches and ArnLike does not.
#[test]
fn string_wildcards_cross_colons_and_arn_wildcards_do_not() {
    let keys =
        Keys::of(&[("aws:SourceArn", "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt")]);
    let pattern = "arn:aws:someservice:*:111122223333:finance/*";
    assert!(holds(&format!(r#"{{"StringLike": {{"aws:SourceArn": "{pattern}"}}}}"#), &keys));
    assert!(!holds(&format!(r#"{{"ArnLike": {{"aws:SourceArn": "{pattern}"}}}}"#), &keys));
}

/// IAM User Guide, "Set operators for multivalued context keys"; AWS KMS Developer Guide, "kms:EncryptionContextKeys".
#[test]
fn set_operators_count_as_documented() {
    let table: &[(&str, &[&str], bool)] = &[
        (r#"{"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}"#, &["a", "b"], true),
        (r#"{"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}"#, &["a", "c"], false),
        (r#"{"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}"#, &[], true),
        (r#"{"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}"#, &[""], true),
        (r#"{"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}"#, &["a", "c"], true),
        (r#"{"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}"#, &["c"], false),
        (r#"{"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}"#, &[], false),
        (r#"{"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["", "b"]}}"#, &[""], false),
        (r#"{"ForAllValues:StringNotLike": {"kms:EncryptionContextKeys": "key1*"}}"#, &["key1:hr", "key1:personnel"], false),
        (r#"{"ForAllValues:StringNotLike": {"kms:EncryptionContextKeys": "key1*"}}"#, &["key2:audit"], true),
        (r#"{"ForAllValues:StringNotLike": {"kms:EncryptionContextKeys": "key1*"}}"#, &["key1:hr", "key2:audit"], false),
        (r#"{"ForAllValues:StringNotLike": {"kms:EncryptionContextKeys": "key1*"}}"#, &[], true),
        (r#"{"ForAnyValue:StringNotEquals": {"kms:EncryptionContextKeys": ["a"]}}"#, &["a", "b"], true),
        (r#"{"ForAnyValue:StringNotEquals": {"kms:EncryptionContextKeys": ["a"]}}"#, &["a"], false),
        (r#"{"ForAnyValue:StringNotEquals": {"kms:EncryptionContextKeys": ["a"]}}"#, &[], false),
        (r#"{"ForAnyValue:StringEqualsIfExists": {"kms:EncryptionContextKeys": ["a"]}}"#, &[], true),
        (
            r#"{"Null": {"kms:EncryptionContextKeys": "false"}, "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "a"}}"#,
            &[],
            false,
        ),
        // Without a set operator, which AWS advises against: any value counts, and the negation is the opposite.
        (r#"{"StringEquals": {"kms:EncryptionContextKeys": "a"}}"#, &["b", "a"], true),
        (r#"{"StringNotEquals": {"kms:EncryptionContextKeys": "a"}}"#, &["b", "a"], false),
        // Multivalued keys are no variables.
        (r#"{"StringEquals": {"aws:username": "${kms:EncryptionContextKeys}"}}"#, &["alice"], false),
    ];
    for (condition, values, expected) in table {
        let keys = Keys::of(&[("aws:username", "alice")]).with_many("kms:EncryptionContextKeys", values);
        assert_eq!(holds(condition, &keys), *expected, "{condition} {values:?}");
    }
}

#[test]
fn the_old_version_of_the_language_has_no_variables() {
    let verdict = |version: &str, username: &str| {
        let policy = format!(
            r#"{{{version} "Statement": {{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*",
                "Condition": {{"StringEquals": {{"aws:username": "${{aws:username}}"}}}}}}}}"#
        );
        ask(&user(OWNER, "alice", &[]), "kms:Encrypt", &policy, &Keys::of(&[("aws:username", username)])).is_ok()
    };
    assert!(verdict(r#""Version": "2012-10-17","#, "alice"));
    assert!(!verdict(r#""Version": "2008-10-17","#, "alice"));
    assert!(!verdict("", "alice"));
    assert!(verdict(r#""Version": "2008-10-17","#, "${aws:username}"));
}

/// IAM User Guide, "IAM JSON policy elements: Action", "NotAction", "Resource", "NotResource".
#[test]
fn actions_and_resources_match_as_documented() {
    let table = [
        (r#""Action": "kms:encrypt", "Resource": "*""#, true),
        (r#""Action": "KMS:Enc*", "Resource": "*""#, true),
        (r#""Action": "kms:Encryp", "Resource": "*""#, false),
        (r#""Action": ["kms:Decrypt", "kms:?ncrypt"], "Resource": "*""#, true),
        (r#""Action": "*", "Resource": "*""#, true),
        (r#""Action": "s3:*", "Resource": "*""#, false),
        (r#""NotAction": "kms:Decrypt", "Resource": "*""#, true),
        (r#""NotAction": ["kms:Decrypt", "kms:E*"], "Resource": "*""#, false),
        (r#""Action": "*", "Resource": "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab""#, true),
        (r#""Action": "*", "Resource": "arn:aws:kms:us-east-1:111111111111:key/*""#, true),
        (r#""Action": "*", "Resource": "arn:aws:kms:*""#, true),
        (r#""Action": "*", "Resource": "arn:aws:kms:*:111111111111:alias/*""#, false),
        (r#""Action": "*", "Resource": "arn:aws:kms:us-east-1:111111111111:KEY/*""#, false),
        (r#""Action": "*", "Resource": "arn:aws:kms:us-east-1:111111111111:key/1234abcd-*-1234567890a?""#, true),
        (r#""Action": "*", "NotResource": "arn:aws:kms:us-east-1:111111111111:key/*""#, false),
        (r#""Action": "*", "NotResource": ["arn:aws:s3:::bucket", "arn:aws:kms:us-east-1:222222222222:key/*"]"#, true),
        (r#""Action": "*", "Resource": "arn:aws:kms:us-east-1:111111111111:key/${aws:PrincipalTag/key}*""#, true),
        // A variable without a value matches no resource.
        (r#""Action": "*", "Resource": "arn:aws:kms:us-east-1:111111111111:key/${aws:PrincipalTag/none}*""#, false),
        (r#""Action": "*", "NotResource": "arn:aws:kms:us-east-1:111111111111:key/${aws:PrincipalTag/none}*""#, true),
    ];
    let keys = Keys::of(&[("aws:PrincipalTag/key", "1234abcd")]);
    for (elements, expected) in table {
        let identity_policy = format!(r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", {elements}}}}}"#);
        let verdict = ask(&user(OWNER, "alice", &[&identity_policy]), "kms:Encrypt", &key_policy(&allow(OWNER_ROOT)), &keys);
        assert_eq!(verdict.is_ok(), expected, "{elements}");
    }
}

#[test]
fn a_key_policy_must_let_its_author_change_it() {
    let KeyReference::Arn(arn): KeyReference = KeyReference::parse(KEY_ARN).unwrap() else { panic!("not a key ARN") };
    let arn: KeyArn = arn;
    let safe = |caller: &Identity, statements: &str, keys: &Keys| {
        Policy::parse_key_policy(&key_policy(statements)).unwrap().allows_policy_update_by(caller, &arn, keys)
    };
    let none = Keys::default();
    let (alice, alice_allowed) = (user(OWNER, "alice", &[]), user(OWNER, "alice", &[ALLOW_ALL]));
    let default = Policy::parse_key_policy(&default_key_policy(account(OWNER))).unwrap();
    assert!(default.allows_policy_update_by(&root(OWNER), &arn, &none));
    assert!(default.allows_policy_update_by(&alice_allowed, &arn, &none));
    assert!(!default.allows_policy_update_by(&alice, &arn, &none));
    assert!(safe(&alice, &allow(ALICE), &none));
    assert!(!safe(&alice_allowed, &allow(BOB), &none));
    assert!(!safe(&root(OWNER), &allow(ALICE), &none));
    let encrypt_only = r#"{"Effect": "Allow", "Principal": "*", "Action": ["kms:Encrypt", "kms:GetKeyPolicy"], "Resource": "*"}"#;
    assert!(!safe(&alice_allowed, encrypt_only, &none));
    let denied = r#"{"Effect": "Deny", "Principal": "*", "Action": "kms:PutKeyPolicy", "Resource": "*"}"#;
    assert!(!safe(&alice, &format!("{}, {denied}", allow(ALICE)), &none));
    let conditional = r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}"#;
    assert!(safe(&alice, conditional, &Keys::of(&[("aws:SourceIp", "192.0.2.1")])));
    assert!(!safe(&alice, conditional, &Keys::of(&[("aws:SourceIp", "198.51.100.1")])));
}

#[test]
fn the_default_key_policy_is_spelled_as_aws_returns_it() {
    let expected = r#"{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::111111111111:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}"#;
    assert_eq!(default_key_policy(account(OWNER)), expected);
    assert!(ask(&user(OWNER, "alice", &[ALLOW_ALL]), "kms:Encrypt", expected, &Keys::default()).is_ok());
    assert!(ask(&root(OTHER), "kms:Encrypt", expected, &Keys::default()).is_err());
}

#[test]
fn keys_of_the_service_can_be_used_but_not_changed() {
    let policy = service_managed_key_policy(account(OWNER), "s3");
    let may = |caller: &Identity, action: &'static str| {
        let keys = Keys::of(&[("kms:CallerAccount", &caller.account.to_string())]);
        ask(caller, action, &policy, &keys).is_ok()
    };
    let (alice, administrator) = (user(OWNER, "alice", &[]), user(OWNER, "admin", &[ALLOW_ALL]));
    for action in ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
    {
        assert!(may(&alice, action), "{action}");
        assert!(may(&root(OWNER), action), "{action}");
        assert!(!may(&root(OTHER), action), "{action}");
        assert!(!may(&user(OTHER, "bob", &[ALLOW_ALL]), action), "{action}");
    }
    // A grant would carry the use of the key out of the account: services alone create them, for principals of the account.
    for caller in [&alice, &administrator, &root(OWNER), &root(OTHER), &user(OTHER, "bob", &[ALLOW_ALL])] {
        let own = caller.account == account(OWNER);
        for (for_a_service, expected) in [(None, false), (Some("false"), false), (Some("true"), own)] {
            let number = caller.account.to_string();
            let values =
                [("kms:CallerAccount", number.as_str()), ("kms:GrantIsForAWSResource", for_a_service.unwrap_or_default())];
            let keys = Keys::of(&values[..if for_a_service.is_some() { 2 } else { 1 }]);
            assert_eq!(ask(caller, "kms:CreateGrant", &policy, &keys).is_ok(), expected, "{} {for_a_service:?}", caller.arn);
        }
    }
    for action in ["kms:GetKeyPolicy", "kms:ListAliases", "kms:RevokeGrant", "kms:GetKeyRotationStatus"] {
        assert!(may(&root(OWNER), action), "{action}");
        assert!(may(&administrator, action), "{action}");
        assert!(!may(&alice, action), "{action}");
    }
    for action in [
        "kms:PutKeyPolicy",
        "kms:ScheduleKeyDeletion",
        "kms:DisableKey",
        "kms:TagResource",
        "kms:UpdateAlias",
        "kms:DisableKeyRotation",
    ] {
        assert!(!may(&root(OWNER), action), "{action}");
        assert!(!may(&administrator, action), "{action}");
    }
}
