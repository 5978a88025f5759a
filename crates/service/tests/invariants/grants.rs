//! Grants: what they allow and to whom, how they end, and that nothing of them is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use claviger_domain::ids::GrantId;
use claviger_domain::key::KeySpec;
use claviger_domain::policy::default_key_policy;
use claviger_domain::{
    Caller, EncryptionContext, Grant, GrantConstraints, GrantOperation as O, GrantPrincipal, KeyArn, Kind, Refusal,
};
use claviger_service::operations::kms;
use claviger_service::quotas::Quotas;
use claviger_service::{Service, Settings};
use claviger_store::{RecordKind, Store};
use serde_json::json;

use crate::common::stores::Shared;
use crate::common::{
    Deployment, NODE, Node, account, again, by_arn, create_grant, decrypt, deployed, encrypt, identity_policy, key_policy,
    kind_of, region, root_arn,
};

const OTHER: u64 = 210_987_654_321;

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    EncryptionContext::new(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>())
}

fn equals(pairs: &[(&str, &str)]) -> GrantConstraints {
    GrantConstraints { encryption_context_equals: Some(context(pairs)), ..GrantConstraints::default() }
}

fn subset(pairs: &[(&str, &str)]) -> GrantConstraints {
    GrantConstraints { encryption_context_subset: Some(context(pairs)), ..GrantConstraints::default() }
}

fn with(mut grant: kms::CreateGrant, constraints: GrantConstraints) -> kms::CreateGrant {
    grant.terms.constraints = constraints;
    grant
}

fn retired_by(mut grant: kms::CreateGrant, arn: &str) -> kms::CreateGrant {
    grant.terms.retiring = Some(GrantPrincipal::Principal(arn.to_owned()));
    grant
}

fn named(mut grant: kms::CreateGrant, name: &str) -> kms::CreateGrant {
    grant.name = Some(name.to_owned());
    grant
}

async fn encrypt_in(node: &Node, caller: &Caller, key: &KeyArn, pairs: &[(&str, &str)]) -> Result<(), Kind> {
    let operation = kms::Encrypt { context: context(pairs), ..encrypt(by_arn(key), b"x") };
    node.service.perform(&node.again(caller), &operation).await.map(drop).map_err(|refusal| refusal.kind)
}

async fn revoke(node: &Node, caller: &Caller, key: &KeyArn, grant: GrantId) -> Result<(), Refusal> {
    node.service.perform(&node.again(caller), &kms::RevokeGrant { key: by_arn(key), grant, dry_run: false }).await
}

async fn retire(node: &Node, caller: &Caller, key: &KeyArn, grant: GrantId) -> Result<(), Refusal> {
    let grant = kms::GrantReference::Id(by_arn(key), grant);
    node.service.perform(&node.again(caller), &kms::RetireGrant { grant, dry_run: false }).await
}

async fn list(node: &Node, caller: &Caller, key: &KeyArn) -> Vec<Grant> {
    let operation = kms::ListGrants { key: by_arn(key), grant: None, grantee: None, limit: 1000, marker: None };
    node.service.perform(&node.again(caller), &operation).await.unwrap().items
}

/// How many records of grants there are, of each kind.
async fn left(node: &Node) -> [u64; 3] {
    let count = async |kind| node.store.count(kind, None).await.unwrap();
    [count(RecordKind::Grant).await, count(RecordKind::GrantName).await, count(RecordKind::GrantRetirement).await]
}

#[tokio::test]
async fn a_grant_allows_what_it_says_to_whom_it_says_and_needs_no_policy() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), OTHER).await;
    let grantees =
        [node.create_user(&root, "own", &[]).await, node.create_user(&stranger, "foreign", &[]).await, stranger.clone()];
    let bystanders = [node.create_user(&root, "bystander", &[]).await, node.create_user(&stranger, "bystander", &[]).await];
    for grantee in &grantees {
        let (key, other) = (node.create_key(&root).await, node.create_key(&root).await);
        assert_eq!(kind_of(node.encrypt(grantee, &key).await), Kind::AccessDenied);
        let grant = create_grant(&key, &grantee.identity.arn, &[O::Encrypt, O::DescribeKey]);
        let grant = node.create_grant(&root, &grant).await.unwrap().id;
        let caller = node.again(grantee);
        node.service.perform(&caller, &encrypt(by_arn(&key), b"x")).await.unwrap();
        let decision = &node.entries_of(&caller).await[0].json["claviger"]["decision"];
        assert_eq!(*decision, json!({"basis": format!("grant {grant}"), "effect": "allow"}));
        node.describe(grantee, &key).await.unwrap();
        let ciphertext = node.encrypt(&root, &key).await.unwrap();
        assert_eq!(kind_of(node.decrypt(grantee, &ciphertext).await), Kind::AccessDenied, "not among its operations");
        assert_eq!(kind_of(node.encrypt(grantee, &other).await), Kind::AccessDenied, "not on that key");
        for bystander in &bystanders {
            assert_eq!(kind_of(node.encrypt(bystander, &key).await), Kind::AccessDenied, "{}", bystander.identity);
        }
        revoke(&node, &root, &key, grant).await.unwrap();
        assert_eq!(kind_of(node.encrypt(grantee, &key).await), Kind::AccessDenied, "revoked, and that bites at once");
    }
    assert_eq!(left(&node).await, [0; 3]);
    assert!(node.service.verify_store().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_grant_to_an_account_lets_its_identity_policies_decide() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), OTHER).await;
    let allowed = node.create_user(&stranger, "allowed", &[&identity_policy("Allow", &["kms:Encrypt"])]).await;
    let silent = node.create_user(&stranger, "silent", &[&identity_policy("Allow", &["kms:Decrypt"])]).await;
    let key = node.create_key(&root).await;
    assert_eq!(kind_of(node.encrypt(&allowed, &key).await), Kind::AccessDenied);
    node.create_grant(&root, &create_grant(&key, &stranger.identity.arn, &[O::Encrypt])).await.unwrap();
    node.encrypt(&allowed, &key).await.unwrap();
    node.encrypt(&stranger, &key).await.unwrap();
    assert_eq!(kind_of(node.encrypt(&silent, &key).await), Kind::AccessDenied);
}

#[tokio::test]
async fn an_explicit_denial_anywhere_wins() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), OTHER).await;
    let deny = identity_policy("Deny", &["kms:Encrypt"]);
    let by_identity = node.create_user(&root, "by-identity", &[&deny]).await;
    let abroad = node.create_user(&stranger, "abroad", &[&deny]).await;
    let by_key = node.create_user(&root, "by-key", &[]).await;
    let policy = key_policy(&[("Allow", &root.identity.arn, "kms:*"), ("Deny", &by_key.identity.arn, "kms:Encrypt")]);
    let key = node.create_key_with(&root, Some(policy)).await;
    for denied in [&by_identity, &abroad, &by_key] {
        let grant = create_grant(&key, &denied.identity.arn, &[O::Encrypt, O::DescribeKey]);
        node.create_grant(&root, &grant).await.unwrap();
        node.describe(denied, &key).await.unwrap();
        assert_eq!(kind_of(node.encrypt(denied, &key).await), Kind::AccessDenied, "{}", denied.identity);
    }
}

#[tokio::test]
async fn constraints_bind_the_encryption_context() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let (ab, abc) = ([("a", "1"), ("b", "2")], [("a", "1"), ("b", "2"), ("c", "3")]);
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    type Case<'a> = (&'a str, GrantConstraints, &'a [Pairs<'a>], &'a [Pairs<'a>]);
    let cases: [Case<'_>; 3] = [
        (
            "equals",
            equals(&ab),
            &[&ab, &[("A", "1"), ("b", "2")]],
            &[&[], &[("a", "1")], &abc, &[("a", "1"), ("b", "x")], &[("a", "1"), ("A", "1")]],
        ),
        ("subset", subset(&ab), &[&ab, &abc, &[("B", "2"), ("a", "1")]], &[&[], &[("a", "1")], &[("a", "2"), ("b", "2")]]),
        ("none-at-all", equals(&[]), &[&[]], &[&[("a", "1")]]),
    ];
    for (name, constraints, allowed, refused) in cases {
        let user = node.create_user(&root, name, &[]).await;
        let key = node.create_key(&root).await;
        let operations = [O::Encrypt, O::Decrypt, O::DescribeKey, O::RetireGrant, O::GenerateDataKey, O::ReEncryptFrom];
        let grant = with(create_grant(&key, &user.identity.arn, &operations), constraints);
        let grant = node.create_grant(&root, &grant).await.unwrap().id;
        for pairs in allowed {
            encrypt_in(&node, &user, &key, pairs).await.unwrap_or_else(|kind| panic!("{name} {pairs:?}: {kind:?}"));
        }
        for pairs in refused {
            assert_eq!(encrypt_in(&node, &user, &key, pairs).await, Err(Kind::AccessDenied), "{name} {pairs:?}");
            let operation = kms::Encrypt { context: context(pairs), ..encrypt(by_arn(&key), b"x") };
            let ciphertext = node.service.perform(&node.again(&root), &operation).await.unwrap().ciphertext;
            let operation = kms::Decrypt { context: context(pairs), ..decrypt(&ciphertext) };
            assert_eq!(kind_of(node.service.perform(&node.again(&user), &operation).await), Kind::AccessDenied);
        }
        node.describe(&user, &key).await.expect("it has no encryption context");
        retire(&node, &user, &key, grant).await.expect("nor has this");
    }
}

#[tokio::test]
async fn the_request_for_a_grant_must_make_sense() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let arn = root.identity.arn.clone();
    let key = node.create_key(&root).await;
    let refused = async |grant: kms::CreateGrant| {
        let refusal = node.create_grant(&root, &grant).await.err().expect("refused");
        (refusal.kind, refusal.detail)
    };
    let of = |operations: &[O]| create_grant(&key, &arn, operations);
    let detail = "Grants must not contain only the CreateGrant operation.";
    assert_eq!(refused(of(&[O::CreateGrant])).await, (Kind::Invalid, detail.to_owned()));
    for operation in [O::Sign, O::GenerateMac, O::GetPublicKey, O::DeriveSharedSecret, O::Encapsulate] {
        let (kind, detail) = refused(of(&[O::Encrypt, operation])).await;
        assert!(kind == Kind::Invalid && detail.contains(&format!("[{operation}]")), "{detail}");
        assert!(detail.contains(KeySpec::SymmetricDefault.as_str()), "{detail}");
    }
    let many: Vec<(String, String)> = (0..9).map(|number| (format!("k{number}"), "v".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(refused(with(of(&[O::Encrypt]), subset(&many))).await.0, Kind::Invalid);
    node.create_grant(&root, &with(of(&[O::Encrypt]), subset(&many[..8]))).await.unwrap();
    let long = "x".repeat(384);
    assert_eq!(refused(with(of(&[O::Encrypt]), equals(&[("k", &long)]))).await.0, Kind::Invalid);
    node.create_grant(&root, &with(of(&[O::Encrypt]), equals(&[("k", &long[1..])]))).await.unwrap();
    for nobody in [
        "arn:aws:iam::123456789012:user/nobody",
        "arn:aws:iam::999999999999:root",
        "arn:aws:iam::123456789012:group/people",
        "123456789012",
        "*",
    ] {
        let expected = (Kind::InvalidArn, format!("ARN does not refer to a valid principal: {nobody}"));
        assert_eq!(refused(create_grant(&key, nobody, &[O::Encrypt])).await, expected);
        assert_eq!(refused(retired_by(of(&[O::Encrypt]), nobody)).await, expected);
    }
    // A service needs a source and somebody who retires its grant.
    let mut service = of(&[O::Encrypt]);
    service.terms.grantee = GrantPrincipal::Service("logs.amazonaws.com".to_owned());
    assert_eq!(refused(retired_by(service, &arn)).await.0, Kind::Invalid);
    let mut service = of(&[O::Encrypt]);
    service.terms.grantee = GrantPrincipal::Service("logs.amazonaws.com".to_owned());
    service.terms.constraints.source_arn = Some("arn:aws:logs:us-east-1:123456789012:group".to_owned());
    let complete = kms::CreateGrant { key: by_arn(&key), terms: service.terms.clone(), name: None, dry_run: false };
    assert_eq!(refused(service).await.0, Kind::Invalid);
    node.create_grant(&root, &retired_by(complete, &arn)).await.unwrap();
    let before = list(&node, &root, &key).await.len();
    node.service.perform(&node.again(&root), &kms::DisableKey { key: by_arn(&key) }).await.unwrap();
    assert_eq!(refused(of(&[O::Encrypt])).await.0, Kind::Disabled);
    assert_eq!(list(&node, &root, &key).await.len(), before);
}

#[tokio::test]
async fn who_may_create_grants_through_a_grant_passes_on_no_more_than_that() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let agent = node.create_user(&root, "agent", &[]).await;
    let end = node.create_user(&root, "end", &[]).await;
    let key = node.create_key(&root).await;
    let a = [("a", "1")];
    let parent = [O::CreateGrant, O::Encrypt, O::Decrypt];
    let parent = with(create_grant(&key, &agent.identity.arn, &parent), subset(&a));
    node.create_grant(&root, &parent).await.unwrap();
    let child = |operations: &[O], constraints| with(create_grant(&key, &end.identity.arn, operations), constraints);
    let ab = [("a", "1"), ("b", "2")];
    for refused in [
        child(&[O::Encrypt], GrantConstraints::default()),
        child(&[O::Encrypt], subset(&[("b", "2")])),
        child(&[O::Encrypt], equals(&[("a", "2")])),
        child(&[O::Encrypt, O::DescribeKey], subset(&a)),
        child(&[O::RetireGrant, O::Encrypt], subset(&a)),
    ] {
        assert_eq!(kind_of(node.create_grant(&agent, &refused).await), Kind::AccessDenied, "{:?}", refused.terms);
    }
    assert_eq!(kind_of(node.encrypt(&end, &key).await), Kind::AccessDenied);
    for passed in
        [child(&[O::Encrypt], subset(&a)), child(&[O::Decrypt], equals(&a)), child(&[O::Encrypt, O::CreateGrant], subset(&ab))]
    {
        node.create_grant(&agent, &passed).await.unwrap();
    }
    encrypt_in(&node, &end, &key, &a).await.unwrap();
    assert_eq!(encrypt_in(&node, &end, &key, &[]).await, Err(Kind::AccessDenied));
    // A chain does not grow wider.
    let third = node.create_user(&root, "third", &[]).await;
    let next = |constraints| with(create_grant(&key, &third.identity.arn, &[O::Encrypt]), constraints);
    assert_eq!(kind_of(node.create_grant(&end, &next(subset(&a))).await), Kind::AccessDenied);
    node.create_grant(&end, &next(subset(&ab))).await.unwrap();
    assert_eq!(encrypt_in(&node, &third, &key, &a).await, Err(Kind::AccessDenied));
    encrypt_in(&node, &third, &key, &ab).await.unwrap();
    // The agent itself may do what its grant says, and not list or revoke.
    encrypt_in(&node, &agent, &key, &a).await.unwrap();
    let listed = kms::ListGrants { key: by_arn(&key), grant: None, grantee: None, limit: 10, marker: None };
    assert_eq!(kind_of(node.service.perform(&node.again(&agent), &listed).await), Kind::AccessDenied);
    let mine = list(&node, &root, &key).await[0].id;
    assert_eq!(kind_of(revoke(&node, &agent, &key, mine).await), Kind::AccessDenied);
}

#[tokio::test]
async fn conditions_tell_of_the_grant_that_is_asked_for() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let user = node.create_user(&root, "user", &[]).await;
    let may = async |condition: serde_json::Value, grant: fn(&KeyArn, &str) -> kms::CreateGrant| {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": root.identity.arn}, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Allow", "Principal": {"AWS": user.identity.arn}, "Action": "kms:CreateGrant", "Resource": "*", "Condition": condition},
        ]});
        let key = node.create_key_with(&root, Some(policy.to_string())).await;
        match node.create_grant(&user, &grant(&key, &user.identity.arn)).await {
            Ok(_) => true,
            Err(refusal) if refusal.kind == Kind::AccessDenied => false,
            Err(refusal) => panic!("{refusal}"),
        }
    };
    let plain = |key: &KeyArn, arn: &str| create_grant(key, arn, &[O::Encrypt, O::Decrypt]);
    let bound = |key: &KeyArn, arn: &str| {
        retired_by(with(create_grant(key, arn, &[O::Encrypt]), equals(&[("Team", "red")])), &root_arn(account()))
    };
    let arn = &user.identity.arn;
    for (condition, of_plain, of_bound) in [
        (json!({"Bool": {"kms:GrantIsForAWSResource": "true"}}), false, false),
        (json!({"Bool": {"kms:GrantIsForAWSResource": "false"}}), true, true),
        (json!({"StringEquals": {"kms:GrantConstraintType": "EncryptionContextEquals"}}), false, true),
        (json!({"StringEquals": {"kms:GrantConstraintType": "EncryptionContextSubset"}}), false, false),
        (json!({"ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt"]}}), false, true),
        (json!({"ForAnyValue:StringEquals": {"kms:GrantOperations": ["Decrypt"]}}), true, false),
        (json!({"StringEquals": {"kms:GranteePrincipal": arn}}), true, true),
        (json!({"StringEquals": {"kms:GranteePrincipal": root.identity.arn}}), false, false),
        (json!({"StringEquals": {"kms:RetiringPrincipal": root.identity.arn}}), false, true),
        (json!({"StringEquals": {"kms:EncryptionContext:team": "red"}}), false, true),
        (json!({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "Team"}}), false, true),
    ] {
        assert_eq!(
            (may(condition.clone(), plain).await, may(condition.clone(), bound).await),
            (of_plain, of_bound),
            "{condition}"
        );
    }
}

#[tokio::test]
async fn a_grant_is_retired_by_those_whom_it_names_and_by_the_account() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), OTHER).await;
    let (yes, no) = (identity_policy("Allow", &["kms:RetireGrant"]), identity_policy("Deny", &["kms:RetireGrant"]));
    let retiring = node.create_user(&stranger, "retiring", &[]).await;
    let (grantee, nobody) = (node.create_user(&root, "grantee", &[]).await, node.create_user(&root, "nobody", &[]).await);
    let (delegate, denied) =
        (node.create_user(&root, "delegate", &[&yes]).await, node.create_user(&root, "denied", &[&no]).await);
    let theirs = node.create_user(&stranger, "delegate", &[&yes]).await;
    let by_key = node.create_user(&root, "by-key", &[]).await;
    let policy = key_policy(&[("Allow", &root.identity.arn, "kms:*"), ("Allow", &by_key.identity.arn, "kms:*")]);
    let key = node.create_key_with(&root, Some(policy)).await;
    let to = |grantee: &Caller, operations: &[O]| create_grant(&key, &grantee.identity.arn, operations);
    let plain = || to(&grantee, &[O::Encrypt]);
    let retirable = || to(&grantee, &[O::Encrypt, O::RetireGrant]);
    let cases = [
        ("its retiring principal", &retiring, retired_by(plain(), &retiring.identity.arn), true),
        ("the grantee whom it lets", &grantee, retirable(), true),
        ("the grantee otherwise", &grantee, plain(), false),
        ("the grantee as its retiring principal", &grantee, retired_by(plain(), &grantee.identity.arn), true),
        ("the account's root", &root, plain(), true),
        ("whom the account lets", &delegate, plain(), true),
        ("somebody else of the account", &nobody, retirable(), false),
        ("whom the key policy lets", &by_key, plain(), false),
        ("a retiring principal who is denied it", &denied, retired_by(plain(), &denied.identity.arn), false),
        ("another account", &stranger, plain(), false),
        ("whom another account lets", &theirs, retirable(), false),
        ("the account that is its retiring principal", &stranger, retired_by(plain(), &stranger.identity.arn), true),
        ("whom that account lets", &theirs, retired_by(plain(), &stranger.identity.arn), true),
        ("somebody else of that account", &retiring, retired_by(plain(), &stranger.identity.arn), false),
    ];
    for (who, caller, grant, may) in cases {
        for by_token in [false, true] {
            let made = node.create_grant(&root, &grant).await.unwrap();
            let reference = || match by_token {
                true => kms::GrantReference::Token(made.token.clone()),
                false => kms::GrantReference::Id(by_arn(&key), made.id),
            };
            let dry = kms::RetireGrant { grant: reference(), dry_run: true };
            let expected = if may { Kind::DryRun } else { Kind::AccessDenied };
            assert_eq!(kind_of(node.service.perform(&node.again(caller), &dry).await), expected, "{who}, dry");
            let result =
                node.service.perform(&node.again(caller), &kms::RetireGrant { grant: reference(), dry_run: false }).await;
            assert_eq!(result.is_ok(), may, "{who}: {result:?}");
            assert_eq!(list(&node, &root, &key).await.len(), usize::from(!may), "{who}");
            if !may {
                // Revoking is for whom the key's policies let, whatever the grant says.
                assert_eq!(kind_of(revoke(&node, &nobody, &key, made.id).await), Kind::AccessDenied);
                revoke(&node, &by_key, &key, made.id).await.unwrap();
            }
            assert_eq!(kind_of(retire(&node, &root, &key, made.id).await), Kind::NotFound);
            assert_eq!(kind_of(revoke(&node, &root, &key, made.id).await), Kind::NotFound);
        }
    }
    assert_eq!(left(&node).await, [0; 3]);
    assert!(node.service.verify_store().await.unwrap().is_clean());
}

#[tokio::test]
async fn nobody_learns_which_grants_another_account_has() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), OTHER).await;
    let key = node.create_key(&root).await;
    let there = node.create_grant(&root, &create_grant(&key, &root.identity.arn, &[O::Encrypt])).await.unwrap().id;
    let mut answers = Vec::new();
    for grant in [there, GrantId::new([7; 32])] {
        let retired = retire(&node, &stranger, &key, grant).await.unwrap_err();
        let revoked = revoke(&node, &stranger, &key, grant).await.unwrap_err();
        answers.push([(retired.kind, retired.detail), (revoked.kind, revoked.detail)]);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][0].0, Kind::AccessDenied);
    // Nor does a service's name open a list over all accounts.
    let operation =
        kms::ListRetirableGrants { retiring: GrantPrincipal::Service("logs.amazonaws.com".to_owned()), limit: 10, marker: None };
    assert_eq!(kind_of(node.service.perform(&node.again(&stranger), &operation).await), Kind::AccessDenied);
    let operation =
        kms::ListRetirableGrants { retiring: GrantPrincipal::Principal(root_arn(account())), limit: 10, marker: None };
    assert_eq!(kind_of(node.service.perform(&node.again(&stranger), &operation).await), Kind::AccessDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_makes_a_request_repeatable() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let user = node.create_user(&root, "user", &[]).await;
    let key = node.create_key(&root).await;
    let grant = || named(create_grant(&key, &user.identity.arn, &[O::Encrypt]), "backup");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (service, caller, grant): (Arc<Service>, _, _) = (Arc::clone(&node.service), node.again(&root), grant());
        tasks.spawn(async move { service.perform(&caller, &grant).await.unwrap() });
    }
    let made = tasks.join_all().await;
    let ids: BTreeSet<_> = made.iter().map(|made| made.id).collect();
    let tokens: BTreeSet<_> = made.iter().map(|made| made.token.clone()).collect();
    assert_eq!((ids.len(), tokens.len()), (1, 8), "one grant, and a token for each request");
    assert_eq!(left(&node).await, [1, 1, 0]);
    // Anything else of the request makes another one; so does a request without a name, each time.
    let others = [
        named(create_grant(&key, &user.identity.arn, &[O::Decrypt]), "backup"),
        named(create_grant(&key, &user.identity.arn, &[O::Encrypt]), "other"),
        retired_by(grant(), &root.identity.arn),
        with(grant(), subset(&[("a", "1")])),
        kms::CreateGrant { name: None, ..grant() },
        kms::CreateGrant { name: None, ..grant() },
    ];
    let mut all = ids.clone();
    for other in &others {
        all.insert(node.create_grant(&root, other).await.unwrap().id);
    }
    assert_eq!(all.len(), 7);
    let dry = kms::CreateGrant { dry_run: true, ..grant() };
    assert_eq!(kind_of(node.create_grant(&root, &dry).await), Kind::DryRun);
    let dry = kms::CreateGrant { dry_run: true, name: None, ..grant() };
    assert_eq!(kind_of(node.create_grant(&root, &dry).await), Kind::DryRun);
    assert_eq!(list(&node, &root, &key).await.iter().map(|grant| grant.id).collect::<BTreeSet<_>>(), all);
    // Retired by any of the tokens, the name is free for a new grant.
    let retired = kms::RetireGrant { grant: kms::GrantReference::Token(made[5].token.clone()), dry_run: false };
    node.service.perform(&node.again(&root), &retired).await.unwrap();
    assert!(!all.contains(&node.create_grant(&root, &grant()).await.unwrap().id));
    assert!(node.service.verify_store().await.unwrap().is_clean());
}

#[tokio::test]
async fn lists_of_grants_have_pages_and_filters() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), OTHER).await;
    let (user, other) = (node.create_user(&root, "user", &[]).await, node.create_user(&root, "other", &[]).await);
    let (key, elsewhere) = (node.create_key(&root).await, node.create_key(&root).await);
    let mut theirs_region = node.again(&root);
    theirs_region.request.region = "eu-central-1".parse().unwrap();
    let abroad = node.service.perform(&theirs_region, &crate::common::create_key(None)).await.unwrap().arn();
    let (mut of_user, mut of_other, mut retirable) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..7 {
        let grant = retired_by(create_grant(&key, &user.identity.arn, &[O::Encrypt]), &stranger.identity.arn);
        let id = node.create_grant(&root, &grant).await.unwrap().id;
        of_user.insert(id);
        retirable.insert(id);
        of_other.insert(node.create_grant(&root, &create_grant(&key, &other.identity.arn, &[O::Encrypt])).await.unwrap().id);
        let grant = retired_by(create_grant(&elsewhere, &user.identity.arn, &[O::Encrypt]), &stranger.identity.arn);
        retirable.insert(node.create_grant(&root, &grant).await.unwrap().id);
        let grant = retired_by(create_grant(&abroad, &user.identity.arn, &[O::Encrypt]), &stranger.identity.arn);
        node.service.perform(&theirs_region, &grant).await.unwrap();
    }
    let pages = async |caller: &Caller, next: &dyn Fn(Option<String>) -> Request| {
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let page = match next(marker) {
                Request::Grants(operation) => node.service.perform(&node.again(caller), &operation).await.unwrap(),
                Request::Retirable(operation) => node.service.perform(&node.again(caller), &operation).await.unwrap(),
            };
            assert!(page.items.len() <= 3);
            found.extend(page.items.iter().map(|grant| grant.id));
            marker = page.next;
            if marker.is_none() {
                let once: BTreeSet<_> = found.iter().copied().collect();
                assert_eq!(once.len(), found.len(), "none is there twice");
                return once;
            }
        }
    };
    let of_grantee = |grantee: Option<&str>| {
        let grantee = grantee.map(|arn| GrantPrincipal::Principal(arn.to_owned()));
        let key = key.clone();
        move |marker| {
            Request::Grants(kms::ListGrants { key: by_arn(&key), grant: None, grantee: grantee.clone(), limit: 3, marker })
        }
    };
    assert_eq!(pages(&root, &of_grantee(None)).await, &of_user | &of_other);
    assert_eq!(pages(&root, &of_grantee(Some(&user.identity.arn))).await, of_user);
    assert_eq!(pages(&root, &of_grantee(Some(&other.identity.arn))).await, of_other);
    assert_eq!(pages(&root, &of_grantee(Some("arn:aws:iam::123456789012:user/use"))).await, BTreeSet::new());
    let retiring = GrantPrincipal::Principal(stranger.identity.arn.clone());
    let by_retiring = |marker| Request::Retirable(kms::ListRetirableGrants { retiring: retiring.clone(), limit: 3, marker });
    assert_eq!(pages(&stranger, &by_retiring).await, retirable, "on keys of all accounts, in one Region");
    let one = *of_user.first().unwrap();
    for (grantee, expected) in [(None, 1), (Some(&user), 1), (Some(&other), 0)] {
        let grantee = grantee.map(|caller| GrantPrincipal::Principal(caller.identity.arn.clone()));
        let operation = kms::ListGrants { key: by_arn(&key), grant: Some(one), grantee, limit: 3, marker: None };
        assert_eq!(node.service.perform(&node.again(&root), &operation).await.unwrap().items.len(), expected);
    }
    let operation = kms::ListGrants { key: by_arn(&elsewhere), grant: Some(one), grantee: None, limit: 3, marker: None };
    assert!(node.service.perform(&node.again(&root), &operation).await.unwrap().items.is_empty(), "another key's grant");
    // A marker continues its own list only.
    let first = kms::ListGrants { key: by_arn(&key), grant: None, grantee: None, limit: 3, marker: None };
    let marker = node.service.perform(&node.again(&root), &first).await.unwrap().next;
    let grantee = Some(GrantPrincipal::Principal(user.identity.arn.clone()));
    for operation in [
        kms::ListGrants { key: by_arn(&elsewhere), grant: None, grantee: None, limit: 3, marker: marker.clone() },
        kms::ListGrants { key: by_arn(&key), grant: None, grantee, limit: 3, marker: marker.clone() },
    ] {
        assert_eq!(kind_of(node.service.perform(&node.again(&root), &operation).await), Kind::InvalidMarker);
    }
}

enum Request {
    Grants(kms::ListGrants),
    Retirable(kms::ListRetirableGrants),
}

#[tokio::test]
async fn a_token_is_one_of_ours_or_the_request_is_refused() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let user = node.create_user(&root, "user", &[]).await;
    let (key, other) = (node.create_key(&root).await, node.create_key(&root).await);
    let made = node.create_grant(&root, &create_grant(&key, &user.identity.arn, &[O::Encrypt])).await.unwrap();
    let (elsewhere, other_node) = deployed().await;
    let foreign_key = other_node.create_key(&elsewhere.root()).await;
    let foreign = create_grant(&foreign_key, &elsewhere.root().identity.arn, &[O::Encrypt]);
    let foreign = other_node.create_grant(&elsewhere.root(), &foreign).await.unwrap().token;
    let marker = kms::ListKeys { limit: 1, marker: None };
    let marker = node.service.perform(&node.again(&root), &marker).await.unwrap().next.unwrap();
    let bearing = |caller: &Caller, tokens: &[&str]| Caller {
        grant_tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
        ..node.again(caller)
    };
    let mut changed = made.token.clone().into_bytes();
    changed[20] = if changed[20] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for bad in ["", "x", &foreign, &marker, &changed] {
        for caller in [&root, &user] {
            let caller = bearing(caller, &[&made.token, bad]);
            let result = node.service.perform(&caller, &encrypt(by_arn(&key), b"x")).await;
            assert_eq!(kind_of(result), Kind::InvalidGrantToken, "{bad}");
            let entry = &node.entries_of(&caller).await[0].json;
            assert_eq!(entry["errorCode"], "InvalidGrantTokenException");
        }
        let retired = kms::RetireGrant { grant: kms::GrantReference::Token(bad.to_owned()), dry_run: false };
        assert_eq!(kind_of(node.service.perform(&node.again(&root), &retired).await), Kind::InvalidGrantToken, "{bad}");
    }
    // It allows nothing by itself: neither on another key, nor to somebody else, nor when the grant is gone.
    node.service.perform(&bearing(&user, &[&made.token]), &encrypt(by_arn(&key), b"x")).await.unwrap();
    let nobody = node.create_user(&root, "nobody", &[]).await;
    for (caller, key) in [(&user, &other), (&nobody, &key)] {
        let result = node.service.perform(&bearing(caller, &[&made.token]), &encrypt(by_arn(key), b"x")).await;
        assert_eq!(kind_of(result), Kind::AccessDenied);
    }
    revoke(&node, &root, &key, made.id).await.unwrap();
    let result = node.service.perform(&bearing(&user, &[&made.token]), &encrypt(by_arn(&key), b"x")).await;
    assert_eq!(kind_of(result), Kind::AccessDenied);
    for entry in node.log().await {
        assert!(!entry.json.to_string().contains(&made.token), "{}", entry.json);
    }
}

const SHORT: Duration = Duration::from_millis(60);

#[tokio::test]
async fn another_nodes_grants_and_revocations_are_seen_within_the_lease() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let [one, other] = Shared::between(&store);
    let one = deployment.serve_through(Arc::clone(&store), one, Settings::for_node(NODE)).await.unwrap();
    let settings = |lease| Settings { lease, ..Settings::for_node("node-2") };
    let other = deployment.serve_through(store, other, settings(SHORT)).await.unwrap();
    let lease_runs_out = || tokio::time::sleep(SHORT + Duration::from_millis(10));
    let root = deployment.root();
    let user = one.create_user(&root, "user", &[]).await;
    let key = one.create_key(&root).await;
    for _ in 0..3 {
        lease_runs_out().await;
        assert_eq!(kind_of(other.encrypt(&user, &key).await), Kind::AccessDenied);
        let grant = one.create_grant(&root, &create_grant(&key, &user.identity.arn, &[O::Encrypt])).await.unwrap().id;
        one.encrypt(&user, &key).await.unwrap();
        lease_runs_out().await;
        other.encrypt(&user, &key).await.unwrap();
        revoke(&one, &root, &key, grant).await.unwrap();
        assert_eq!(kind_of(one.encrypt(&user, &key).await), Kind::AccessDenied, "at once where it was revoked");
        lease_runs_out().await;
        assert_eq!(kind_of(other.encrypt(&user, &key).await), Kind::AccessDenied, "within the lease elsewhere");
    }
    // What the second node does, it knows at once, too.
    let grant = other.create_grant(&root, &create_grant(&key, &user.identity.arn, &[O::Encrypt])).await.unwrap().id;
    other.encrypt(&user, &key).await.unwrap();
    revoke(&other, &root, &key, grant).await.unwrap();
    assert_eq!(kind_of(other.encrypt(&user, &key).await), Kind::AccessDenied);
}

/// Policies come first, and what was read of grants is kept: that there are none, too. The rows are changed behind the server's back, so
/// that it shows who still asks the store.
#[tokio::test]
async fn the_store_is_asked_for_grants_only_where_policies_are_silent_and_once() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let user = node.create_user(&root, "user", &[]).await;
    let key = node.create_key(&root).await;
    node.create_grant(&root, &create_grant(&key, &user.identity.arn, &[O::Encrypt])).await.unwrap();
    let other = node.create_user(&root, "other", &[]).await;
    assert_eq!(kind_of(node.encrypt(&other, &key).await), Kind::AccessDenied);
    node.encrypt(&user, &key).await.unwrap();
    let connection = rusqlite::Connection::open(deployment.path()).unwrap();
    connection.execute("UPDATE records SET sealed = x'00' WHERE kind = 'grant'", []).unwrap();
    node.encrypt(&root, &key).await.expect("its policies allow it");
    node.encrypt(&user, &key).await.expect("its grant is in memory");
    connection.execute("UPDATE records SET owner = replace(owner, 'user/user', 'user/other') WHERE kind = 'grant'", []).unwrap();
    assert_eq!(kind_of(node.encrypt(&other, &key).await), Kind::AccessDenied, "that it has none is in memory");
    // Asked again, the store is not believed.
    drop(connection);
    node.crash();
    let node = deployment.serve().await;
    assert_eq!(kind_of(node.encrypt(&other, &key).await), Kind::Internal);
    node.encrypt(&root, &key).await.unwrap();
}

#[tokio::test]
async fn grants_end_with_their_key() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), OTHER).await;
    let (key, other) = (node.create_key(&root).await, node.create_key(&root).await);
    for (key, count) in [(&key, 130), (&other, 3)] {
        for number in 0..count {
            let grant = retired_by(create_grant(key, &stranger.identity.arn, &[O::Encrypt]), &stranger.identity.arn);
            node.create_grant(&root, &named(grant, &format!("grant-{number}"))).await.unwrap();
        }
    }
    let schedule = kms::ScheduleKeyDeletion { key: by_arn(&key), window_days: 7 };
    node.service.perform(&node.again(&root), &schedule).await.unwrap();
    // While it waits, its grants can be looked at and ended, and no new ones made.
    let grant = create_grant(&key, &stranger.identity.arn, &[O::Encrypt]);
    assert_eq!(kind_of(node.create_grant(&root, &grant).await), Kind::InvalidState);
    let some = list(&node, &root, &key).await;
    revoke(&node, &root, &key, some[0].id).await.unwrap();
    retire(&node, &stranger, &key, some[1].id).await.unwrap();
    assert_eq!(left(&node).await, [131; 3]);
    node.clock.advance_days(7);
    let cancel = kms::CancelKeyDeletion { key: by_arn(&key) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &cancel).await), Kind::InvalidState, "too late");
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(left(&node).await, [3; 3]);
    let retirable = kms::ListRetirableGrants {
        retiring: GrantPrincipal::Principal(stranger.identity.arn.clone()),
        limit: 1000,
        marker: None,
    };
    assert_eq!(node.service.perform(&node.again(&stranger), &retirable).await.unwrap().items.len(), 3);
    node.encrypt(&stranger, &other).await.unwrap();
    let report = node.service.verify_store().await.unwrap();
    assert!(report.is_clean(), "{report}");
    let log = node.log().await;
    let told: usize = log
        .iter()
        .filter(|entry| entry.json["eventType"] == "AwsServiceEvent" && entry.json["resources"][0]["ARN"] == key.to_string())
        .flat_map(|entry| entry.json["claviger"]["changes"].as_array().cloned().unwrap_or_default())
        .filter(|change| change["kind"] == "grant")
        .count();
    assert_eq!(told, 128, "the log tells of each");
}

#[tokio::test]
async fn a_key_has_no_more_grants_than_its_quota() {
    let deployment = Deployment::new().await;
    let store = deployment.store();
    let port = Arc::clone(&store) as Arc<dyn Store>;
    let mut quotas = Quotas::default();
    quotas.every.resources.grants_per_key = 3;
    let node = deployment.serve_through(store, port, Settings { quotas, ..Settings::for_node(NODE) }).await.unwrap();
    let root = deployment.root();
    let (key, other) = (node.create_key(&root).await, node.create_key(&root).await);
    let grant = |name: &str| named(create_grant(&key, &root.identity.arn, &[O::Encrypt]), name);
    for name in ["a", "b", "c"] {
        node.create_grant(&root, &grant(name)).await.unwrap();
    }
    assert_eq!(kind_of(node.create_grant(&root, &grant("d")).await), Kind::LimitExceeded);
    let dry = kms::CreateGrant { dry_run: true, ..grant("d") };
    assert_eq!(kind_of(node.create_grant(&root, &dry).await), Kind::LimitExceeded);
    let one = node.create_grant(&root, &grant("a")).await.expect("which it has already").id;
    node.create_grant(&root, &create_grant(&other, &root.identity.arn, &[O::Encrypt])).await.unwrap();
    revoke(&node, &root, &key, one).await.unwrap();
    node.create_grant(&root, &grant("d")).await.unwrap();
}

/// As many as is quick; a grant more or less does not matter to those that are not about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_grants_on_a_key_are_each_their_own() {
    many(1_000).await;
}

/// The quota. Takes minutes in a debug build: `cargo test -p claviger-service --test invariants fifty_thousand -- --ignored`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes minutes"]
async fn a_key_has_room_for_fifty_thousand_grants() {
    let (deployment, node, key) = many(50_000).await;
    let root = deployment.root();
    let grant = create_grant(&key, &root.identity.arn, &[O::Encrypt]);
    assert_eq!(kind_of(node.create_grant(&root, &grant).await), Kind::LimitExceeded);
    let one = list(&node, &root, &key).await[0].id;
    revoke(&node, &root, &key, one).await.unwrap();
    node.create_grant(&root, &grant).await.unwrap();
    assert_eq!(kind_of(node.create_grant(&root, &grant).await), Kind::LimitExceeded);
    let schedule = kms::ScheduleKeyDeletion { key: by_arn(&key), window_days: 7 };
    node.service.perform(&node.again(&root), &schedule).await.unwrap();
    node.clock.advance_days(7);
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(left(&node).await, [0; 3]);
}

async fn many(count: usize) -> (Deployment, Node, KeyArn) {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let users = [node.create_user(&root, "zero", &[]).await, node.create_user(&root, "one", &[]).await];
    let key = node.create_key_with(&root, Some(default_key_policy(account()))).await;
    let numbers: Vec<usize> = (0..count).collect();
    for some in numbers.chunks(500) {
        let mut tasks = tokio::task::JoinSet::new();
        for number in some {
            let (service, caller) = (Arc::clone(&node.service), again(&root, root.request.at));
            let to = &users[number % 2].identity.arn;
            let grant = with(create_grant(&key, to, &[O::Encrypt]), equals(&[("number", &number.to_string())]));
            tasks.spawn(async move { service.perform(&caller, &grant).await.map(drop) });
        }
        for made in tasks.join_all().await {
            made.unwrap();
        }
    }
    let scope = format!("{}/{}", region(), key.key);
    assert_eq!(node.store.count_in_scope(RecordKind::Grant, account(), &scope).await, Ok(count as u64));
    for number in [0, 1, count / 2, count - 1] {
        let pairs = [("number", number.to_string())];
        let pairs = [(pairs[0].0, pairs[0].1.as_str())];
        encrypt_in(&node, &users[number % 2], &key, &pairs).await.unwrap();
        assert_eq!(encrypt_in(&node, &users[(number + 1) % 2], &key, &pairs).await, Err(Kind::AccessDenied));
    }
    (deployment, node, key)
}
