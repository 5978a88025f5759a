//! Authorisation cannot be got around: every operation, tried by everybody.

use claviger_domain::policy::default_key_policy;
use claviger_domain::{Caller, Kind, Refusal};
use claviger_service::operations::kms;
use claviger_store::Store as _;

use crate::common::operations::{About, Subject, TRIALS, Trial, data_key, re_encrypt};
use crate::common::{Deployment, Node, account, alias, by_arn, deployed, identity_policy, key_policy, kind_of, root_arn};

/// Somebody who tries, the policy of the keys that they try it on, and whether they may.
struct Attempt {
    who: &'static str,
    caller: Caller,
    key_policy: String,
    may: fn(About) -> bool,
}

const OTHER: u64 = 210_987_654_321;

async fn attempts(deployment: &Deployment, node: &Node) -> Vec<Attempt> {
    let root = deployment.root();
    let everything = identity_policy("Allow", &["kms:*"]);
    let nothing = identity_policy("Deny", &["kms:*"]);
    let nobody = node.create_user(&root, "nobody", &[]).await;
    let allowed = node.create_user(&root, "allowed", &[&everything]).await;
    let named = node.create_user(&root, "named", &[]).await;
    let forbidden = node.create_user(&root, "forbidden", &[&everything, &nothing]).await;
    let shunned = node.create_user(&root, "shunned", &[&everything]).await;
    let stranger = node.create_account(&deployment.administrator(), OTHER).await;
    let strangers_user = node.create_user(&stranger, "allowed", &[&everything]).await;

    let default = default_key_policy(account());
    let ours = root_arn(account());
    let names = |caller: &Caller| key_policy(&[("Allow", &ours, "kms:*"), ("Allow", &caller.identity.arn, "kms:*")]);
    let shuns = key_policy(&[("Allow", &ours, "kms:*"), ("Deny", &shunned.identity.arn, "kms:*")]);
    let attempt = |who, caller: &Caller, key_policy: &str, may| Attempt {
        who,
        caller: caller.clone(),
        key_policy: key_policy.to_owned(),
        may,
    };
    vec![
        attempt("the account's root", &root, &default, |_| true),
        attempt("a user without policies", &nobody, &default, |_| false),
        attempt("a user whom an identity policy allows", &allowed, &default, |_| true),
        attempt("a user whom the key policy allows", &named, &names(&named), |about| about == About::Key),
        attempt("a user whom an identity policy denies", &forbidden, &names(&forbidden), |_| false),
        attempt("a user whom the key policy denies", &shunned, &shuns, |about| matches!(about, About::Account | About::KeyStore)),
        attempt("another account's root", &stranger, &default, |about| about == About::Account),
        attempt("another account's user of the same name", &strangers_user, &default, |about| about == About::Account),
        attempt(
            "another account's user, with the key policy's word alone",
            &stranger_without(&strangers_user),
            &names(&allowed),
            |_| false,
        ),
    ]
}

/// The same user as it would be without its identity policies.
fn stranger_without(user: &Caller) -> Caller {
    let identity = &user.identity;
    let bare = claviger_domain::Identity {
        account: identity.account,
        principal: identity.principal.clone(),
        arn: identity.arn.clone(),
        unique_id: identity.unique_id.clone(),
        policies: Vec::new(),
        tags: identity.tags.clone(),
        session: None,
        session_policy: None,
    };
    Caller { identity: bare.into(), ..user.clone() }
}

#[tokio::test]
async fn everybody_gets_what_policies_say_and_nothing_else() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for attempt in attempts(&deployment, &node).await {
        // Stores of another account are not seen at all: key_stores.rs.
        let own = attempt.caller.identity.account == account();
        for trial in TRIALS.iter().filter(|trial| own || trial.about != About::KeyStore) {
            let mut subject = Subject::on_trial(&node, &root, &attempt.key_policy, trial).await;
            subject.prepare(&node, &root, trial).await;
            let (before, size) = (node.store.epochs().await.unwrap(), node.log_size().await);
            let caller = node.again(&attempt.caller);
            let result = (trial.run)(&node.service, &caller, &subject).await;
            let what = format!("{} tries {}", attempt.who, trial.name);
            let entries = node.log_since(size).await;
            assert_eq!(entries.len(), 1, "{what}");
            let entry = &entries[0].json;
            if (attempt.may)(trial.about) {
                result.unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
                assert_eq!(entry["claviger"]["decision"]["effect"], "allow", "{what}");
                assert!(entry["claviger"]["decision"]["basis"].as_str().is_some_and(|basis| !basis.is_empty()), "{what}");
            } else {
                check_denied(&result, trial, &attempt, &what);
                assert_eq!(node.store.epochs().await.unwrap(), before, "{what}: something was changed");
                assert!(entry["errorCode"].is_string(), "{what}: {entry}");
                assert!(entry["claviger"]["changes"].is_null(), "{what}: {entry}");
                assert_ne!(entry["claviger"]["decision"]["effect"], "allow", "{what}");
            }
        }
    }
}

fn check_denied(result: &Result<(), Refusal>, trial: &Trial, attempt: &Attempt, what: &str) {
    let Err(refusal) = result else { panic!("{what}, and may") };
    // An alias is looked for in the caller's own account, where it is not.
    let elsewhere = attempt.caller.identity.account != account() && matches!(trial.name, "DeleteAlias" | "UpdateAlias");
    let expected = if elsewhere { Kind::NotFound } else { Kind::AccessDenied };
    assert_eq!(refusal.kind, expected, "{what}: {refusal}");
}

#[tokio::test]
async fn each_operation_needs_its_own_action_and_no_other_one_will_do() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let default = default_key_policy(account());
    for trial in TRIALS {
        let only = node.create_user(&root, &format!("only-{}", trial.name), &[&identity_policy("Allow", trial.actions)]).await;
        let others: Vec<&str> =
            TRIALS.iter().flat_map(|other| other.actions).copied().filter(|a| !trial.actions.contains(a)).collect();
        let all_but = node.create_user(&root, &format!("all-but-{}", trial.name), &[&identity_policy("Allow", &others)]).await;
        let mut subject = Subject::on_trial(&node, &root, &default, trial).await;
        subject.prepare(&node, &root, trial).await;
        let denied = (trial.run)(&node.service, &node.again(&all_but), &subject).await;
        assert_eq!(kind_of(denied), Kind::AccessDenied, "{} without its action", trial.name);
        (trial.run)(&node.service, &node.again(&only), &subject)
            .await
            .unwrap_or_else(|refusal| panic!("{}: {refusal}", trial.name));
    }
}

#[tokio::test]
async fn two_keys_need_two_permissions() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let from = node.create_user(&root, "from", &[&identity_policy("Allow", &["kms:ReEncryptFrom"])]).await;
    let to = node.create_user(&root, "to", &[&identity_policy("Allow", &["kms:ReEncryptTo"])]).await;
    let subject = Subject::new(&node, &root, &default_key_policy(account())).await;
    for caller in [&from, &to] {
        let result = node.service.perform(&node.again(caller), &re_encrypt(&subject)).await;
        assert_eq!(kind_of(result), Kind::AccessDenied, "{}", caller.identity);
    }
    // An alias cannot be taken from a key, nor given to one, by somebody who may not touch that key.
    let user = node.create_user(&root, "aliases", &[&identity_policy("Allow", &["kms:UpdateAlias"])]).await;
    let closed = key_policy(&[("Allow", &root.identity.arn, "kms:*"), ("Deny", &user.identity.arn, "kms:*")]);
    let forbidden = node.create_key_with(&root, Some(closed)).await;
    let given = kms::UpdateAlias { alias: subject.alias.clone(), key: by_arn(&forbidden) };
    assert_eq!(kind_of(node.service.perform(&node.again(&user), &given).await), Kind::AccessDenied);
    let theirs = alias("theirs");
    node.create_alias(&root, &forbidden, &theirs).await;
    let taken = kms::UpdateAlias { alias: theirs, key: by_arn(&subject.key) };
    assert_eq!(kind_of(node.service.perform(&node.again(&user), &taken).await), Kind::AccessDenied);
}

#[tokio::test]
async fn a_dry_run_tells_only_those_who_may() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let nobody = node.create_user(&root, "nobody", &[]).await;
    let key = node.create_key(&root).await;
    for (caller, expected) in [(&root, Kind::DryRun), (&nobody, Kind::AccessDenied)] {
        let operation = kms::GenerateDataKey { dry_run: true, ..data_key(&key) };
        assert_eq!(kind_of(node.service.perform(&node.again(caller), &operation).await), expected);
    }
}

/// AWS's service model says which operations take a key of another account ("Cross-account use: Yes").
const ACROSS_ACCOUNTS: &[&str] = &[
    "CreateGrant",
    "Decapsulate",
    "Decrypt",
    "DeriveSharedSecret",
    "DescribeKey",
    "Encapsulate",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GetKeyRotationStatus",
    "GetPublicKey",
    "ListGrants",
    "ReEncrypt",
    "RevokeGrant",
    "Sign",
    "Verify",
    "VerifyMac",
];

#[tokio::test]
async fn another_account_may_use_a_key_that_is_shared_with_it_and_never_administer_it() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), OTHER).await;
    let user = node.create_user(&stranger, "user", &[&identity_policy("Allow", &["kms:*"])]).await;
    let powerless = node.create_user(&stranger, "powerless", &[]).await;
    let shared = key_policy(&[
        ("Allow", &root.identity.arn, "kms:*"),
        ("Allow", &stranger.identity.arn, "kms:*"),
        ("Allow", &user.identity.arn, "kms:*"),
        ("Allow", &powerless.identity.arn, "kms:*"),
    ]);
    for trial in TRIALS.iter().filter(|trial| matches!(trial.about, About::Key | About::KeyAndAccount)) {
        for (caller, agrees) in [(&stranger, true), (&user, true), (&powerless, false)] {
            let mut subject = Subject::on_trial(&node, &root, &shared, trial).await;
            subject.prepare(&node, &root, trial).await;
            let before = node.store.epochs().await.unwrap();
            let result = (trial.run)(&node.service, &node.again(caller), &subject).await;
            let what = format!("{} tries {}", caller.identity, trial.name);
            let usable = ACROSS_ACCOUNTS.contains(&trial.name);
            if agrees && usable {
                result.unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
            } else {
                assert_eq!(result.map_err(|refusal| refusal.kind), Err(Kind::AccessDenied), "{what}");
                assert_eq!(node.store.epochs().await.unwrap(), before, "{what}: something was changed");
            }
        }
    }
}

#[tokio::test]
async fn nobody_learns_what_another_account_has() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), OTHER).await;
    let real = Subject::new(&node, &root, &default_key_policy(account())).await;
    let mut unreal = real.clone();
    unreal.key.key = claviger_domain::KeyId::single_region(uuid::Uuid::new_v4());
    // What a request names must not come back in another form than it was named: only that part may differ.
    for trial in TRIALS.iter().filter(|trial| trial.about != About::Account && trial.name != "DeleteAlias") {
        let answer = |subject| async {
            let subject: Subject = subject;
            let refusal = (trial.run)(&node.service, &node.again(&stranger), &subject).await.unwrap_err();
            (refusal.kind, refusal.detail.replace(&subject.key.to_string(), "KEY"))
        };
        assert_eq!(answer(real.clone()).await, answer(unreal.clone()).await, "{}", trial.name);
    }
    let aliases = |name: &claviger_domain::AliasName| claviger_domain::AliasArn {
        region: crate::common::region(),
        account: account(),
        alias: name.clone(),
    };
    let mut told = Vec::new();
    for name in [&real.alias, &real.free_alias] {
        let arn = aliases(name);
        let operation = kms::DescribeKey { key: claviger_domain::KeyReference::AliasArn(arn.clone()) };
        let refusal = node.service.perform(&node.again(&stranger), &operation).await.unwrap_err();
        assert!(!refusal.detail.contains(&real.key.key.to_string()), "the key behind an alias is told: {refusal}");
        told.push((refusal.kind, refusal.detail.replace(&arn.to_string(), "ALIAS")));
    }
    assert_eq!(told[0], told[1]);
    // A ciphertext names its key without an account.
    let mut forged = real.made.clone();
    forged[1..17].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    let mut told = Vec::new();
    for ciphertext in [&real.made, &forged] {
        let refusal = node.decrypt(&stranger, ciphertext).await.err().unwrap();
        told.push((refusal.kind, refusal.detail));
    }
    assert_eq!(told[0], told[1]);
    assert!(!told[0].1.contains(&account().to_string()), "{}", told[0].1);
    let list = |key| kms::ListAliases { key: Some(by_arn(key)), limit: 10, marker: None };
    let (there, not_there) = (list(&real.key), list(&unreal.key));
    let there = node.service.perform(&node.again(&stranger), &there).await.err().unwrap();
    let not_there = node.service.perform(&node.again(&stranger), &not_there).await.err().unwrap();
    let anonymous =
        |refusal: Refusal, key: &claviger_domain::KeyArn| (refusal.kind, refusal.detail.replace(&key.to_string(), "KEY"));
    assert_eq!(anonymous(there, &real.key), anonymous(not_there, &unreal.key));
}
