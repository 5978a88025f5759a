//! Accounts, users and credentials: who administers whom, and that what is taken away is gone at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_domain::{AccountId, Caller, Kind, Refusal, UserName};
use claviger_service::InitialCredential;
use claviger_service::operations::{admin, kms};
use claviger_store::Store as _;

use crate::common::{
    Node, account, by_arn, create_key, create_role, create_user, deployed, identity_policy, kind_of, trust_policy,
};

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

async fn create_access_key(node: &Node, caller: &Caller, of: Option<&str>) -> Result<InitialCredential, Refusal> {
    let operation = admin::CreateAccessKey { account: None, user: of.map(user) };
    node.service.perform(&node.again(caller), &operation).await.map(|created| created.credential)
}

#[tokio::test]
async fn what_create_access_key_gives_signs_in_and_nothing_else_does() {
    let (deployment, node) = deployed().await;
    let root = node.sign_in(&deployment.tenant).await.unwrap();
    assert_eq!((root.identity.account, root.identity.is_root()), (account(), true));
    let administrator = node.sign_in(&deployment.administrator).await.unwrap();
    assert_eq!(administrator.identity.account, AccountId::DEPLOYMENT);
    let mut wrong = deployment.tenant.clone();
    wrong.secret = deployment.administrator.secret.clone();
    assert_eq!(kind_of(node.sign_in(&wrong).await), Kind::WrongSignature);
    wrong.access_key = "AKIAQQQQQQQQQQQQQQQQ".parse().unwrap();
    assert_eq!(kind_of(node.sign_in(&wrong).await), Kind::UnknownCredential);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_has_more_than_two_access_keys_however_many_ask_at_once() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    node.service.perform(&node.again(&root), &create_user("user")).await.unwrap();
    // The account's root has one from the beginning.
    for (owner, free) in [(Some("user"), 2), (None, 1)] {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (service, caller) = (Arc::clone(&node.service), node.again(&root));
            let operation = admin::CreateAccessKey { account: None, user: owner.map(user) };
            tasks.spawn(async move { service.perform(&caller, &operation).await.map(drop).map_err(|refusal| refusal.kind) });
        }
        let results = tasks.join_all().await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), free, "{owner:?}: {results:?}");
        assert!(results.iter().all(|result| result.is_ok() || *result == Err(Kind::LimitExceeded)), "{results:?}");
        let listed = admin::ListAccessKeys { account: None, user: owner.map(user) };
        assert_eq!(node.service.perform(&node.again(&root), &listed).await.unwrap().len(), 2);
        assert_eq!(kind_of(create_access_key(&node, &root, owner).await), Kind::LimitExceeded);
    }
}

#[tokio::test]
async fn a_credential_that_is_switched_off_or_deleted_stops_at_once() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    node.create_user(&root, "user", &[]).await;
    let credential = create_access_key(&node, &root, Some("user")).await.unwrap();
    let id = credential.access_key.clone();
    let set_active = async |active| {
        let operation = admin::UpdateAccessKey { account: None, id: id.clone(), active };
        node.service.perform(&node.again(&root), &operation).await.unwrap();
    };
    for _ in 0..3 {
        node.sign_in(&credential).await.unwrap();
        set_active(false).await;
        assert_eq!(kind_of(node.sign_in(&credential).await), Kind::UnknownCredential);
        set_active(true).await;
    }
    node.sign_in(&credential).await.unwrap();
    node.service.perform(&node.again(&root), &admin::DeleteAccessKey { account: None, id: id.clone() }).await.unwrap();
    assert_eq!(kind_of(node.sign_in(&credential).await), Kind::UnknownCredential);
    let gone = admin::UpdateAccessKey { account: None, id, active: true };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &gone).await), Kind::NotFound);
    // Nobody cuts the branch that they sit on by a slip.
    let own = admin::DeleteAccessKey { account: None, id: root.access_key.clone() };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &own).await), Kind::Conflict);
    let own = |active| admin::UpdateAccessKey { account: None, id: root.access_key.clone(), active };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &own(false)).await), Kind::Conflict);
    node.service.perform(&node.again(&root), &own(true)).await.unwrap();
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_another_of_that_name_inherits_nothing() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    let first = node.create_user(&root, "user", &[&identity_policy("Allow", &["kms:*"])]).await;
    let delete = admin::DeleteUser { account: None, name: user("user") };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &delete).await), Kind::Conflict, "it still has a credential");
    let credential = create_access_key(&node, &root, Some("user")).await.unwrap();
    for id in [&first.access_key, &credential.access_key] {
        let operation = admin::DeleteAccessKey { account: None, id: id.clone() };
        node.service.perform(&node.again(&root), &operation).await.unwrap();
    }
    node.service.perform(&node.again(&root), &delete).await.unwrap();
    assert_eq!(kind_of(node.sign_in(&credential).await), Kind::UnknownCredential);
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &delete).await), Kind::NotFound);
    let second = node.create_user(&root, "user", &[]).await;
    assert_ne!(second.identity.unique_id, first.identity.unique_id);
    assert_eq!(kind_of(node.service.perform(&node.again(&second), &create_key(None)).await), Kind::AccessDenied);
    assert_eq!(kind_of(node.sign_in(&credential).await), Kind::UnknownCredential);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_credential_outlives_its_user_when_both_requests_meet() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for _ in 0..10 {
        node.service.perform(&node.again(&root), &create_user("user")).await.unwrap();
        let (service, caller) = (Arc::clone(&node.service), node.again(&root));
        let creating = tokio::spawn(async move {
            let operation = admin::CreateAccessKey { account: None, user: Some(user("user")) };
            service.perform(&caller, &operation).await
        });
        let delete = admin::DeleteUser { account: None, name: user("user") };
        let deleted = node.service.perform(&node.again(&root), &delete).await;
        let created = creating.await.unwrap();
        assert!(deleted.is_ok() != created.is_ok(), "one of them comes too late");
        if let Ok(created) = created {
            let id = created.credential.access_key;
            node.service.perform(&node.again(&root), &admin::DeleteAccessKey { account: None, id }).await.unwrap();
            node.service.perform(&node.again(&root), &delete).await.unwrap();
        }
    }
}

#[tokio::test]
async fn policies_count_from_the_next_request_on() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    node.create_user(&root, "user", &[]).await;
    let credential = create_access_key(&node, &root, Some("user")).await.unwrap();
    let key = node.create_key(&root).await;
    let allow = identity_policy("Allow", &["kms:Encrypt"]);
    let put = |policy: &str| admin::PutUserPolicy {
        account: None,
        user: user("user"),
        policy_name: "p".to_owned(),
        policy: policy.to_owned(),
    };
    let tries = async || {
        let caller = node.sign_in(&credential).await.unwrap();
        node.encrypt(&caller, &key).await.map(drop).map_err(|refusal| refusal.kind)
    };
    assert_eq!(tries().await, Err(Kind::AccessDenied));
    node.service.perform(&node.again(&root), &put(&allow)).await.unwrap();
    assert_eq!(tries().await, Ok(()));
    node.service.perform(&node.again(&root), &put(&identity_policy("Deny", &["kms:Encrypt"]))).await.unwrap();
    assert_eq!(tries().await, Err(Kind::AccessDenied));
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &put("{")).await), Kind::MalformedPolicy);
    let with_principal =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &put(with_principal)).await), Kind::MalformedPolicy);
    for number in 0..20 {
        let more = admin::PutUserPolicy { policy_name: format!("p{number}"), ..put(&allow) };
        let result = node.service.perform(&node.again(&root), &more).await.map_err(|refusal| refusal.kind);
        assert_eq!(result, if number < 19 { Ok(()) } else { Err(Kind::LimitExceeded) }, "{number}");
    }
}

/// Which of these is about the access keys of the account's root.
const OF_ROOT: usize = 12;

/// Each administrative request about an account's users, tried by `caller`.
async fn administer(
    node: &Node,
    caller: &Caller,
    account: AccountId,
    credential: &InitialCredential,
) -> Vec<Result<(), Refusal>> {
    let account = Some(account);
    let named = || user("user");
    let role = || "role".parse().unwrap();
    let allow = identity_policy("Allow", &["kms:*"]);
    let mut results = Vec::new();
    macro_rules! tries {
        ($($operation:expr),* $(,)?) => {$(
            results.push(node.service.perform(&node.again(caller), &$operation).await.map(drop));
        )*};
    }
    tries!(
        admin::CreateUser { account, ..create_user("new") },
        admin::ListUsers { account, limit: 10, marker: None },
        admin::PutUserPolicy { account, user: named(), policy_name: "p".to_owned(), policy: allow },
        admin::GetUserPolicy { account, user: named(), policy_name: "p".to_owned() },
        admin::ListUserPolicies { account, user: named() },
        admin::DeleteUserPolicy { account, user: named(), policy_name: "p".to_owned() },
        admin::CreateAccessKey { account, user: Some(named()) },
        admin::ListAccessKeys { account, user: Some(named()) },
        admin::ListAccessKeys { account, user: None },
        admin::UpdateAccessKey { account, id: credential.access_key.clone(), active: false },
        admin::DeleteAccessKey { account, id: credential.access_key.clone() },
        admin::DeleteUser { account, name: user("new") },
    );
    assert_eq!(results.len(), OF_ROOT);
    tries!(
        admin::CreateAccessKey { account, user: None },
        admin::GetUser { account, name: named() },
        admin::TagUser { account, user: named(), tags: BTreeMap::from([("team".to_owned(), "red".to_owned())]) },
        admin::UntagUser { account, user: named(), tag_keys: vec!["team".to_owned()] },
        admin::CreateRole { account, ..create_role("role", &trust_policy("*", &["sts:AssumeRole"])) },
        admin::ListRoles { account, limit: 10, marker: None },
        admin::GetRole { account, name: role() },
        admin::TagRole { account, role: role(), tags: BTreeMap::from([("team".to_owned(), "red".to_owned())]) },
        admin::UntagRole { account, role: role(), tag_keys: vec!["team".to_owned()] },
        admin::UpdateAssumeRolePolicy { account, role: role(), trust_policy: trust_policy("*", &["sts:TagSession"]) },
        admin::PutRolePolicy { account, role: role(), policy_name: "p".to_owned(), policy: identity_policy("Allow", &["kms:*"]) },
        admin::GetRolePolicy { account, role: role(), policy_name: "p".to_owned() },
        admin::ListRolePolicies { account, role: role() },
        admin::DeleteRolePolicy { account, role: role(), policy_name: "p".to_owned() },
        admin::DeleteRole { account, name: role() },
    );
    results
}

#[tokio::test]
async fn an_account_is_administered_by_its_root_and_by_the_administrator_alone() {
    let (deployment, node) = deployed().await;
    let (root, administrator) = (deployment.root(), deployment.administrator());
    let stranger = node.create_account(&administrator, 42).await;
    let nobody = node.create_user(&root, "nobody", &[]).await;
    let allowed = node.create_user(&root, "allowed", &[&identity_policy("Allow", &["claviger:*"])]).await;
    let assistant = node.create_user(&administrator, "assistant", &[&identity_policy("Allow", &["claviger:*"])]).await;
    let visitor = node.create_user(&administrator, "visitor", &[]).await;
    let who: [(&str, &Caller, bool); 7] = [
        ("another account's root", &stranger, false),
        ("a user without policies", &nobody, false),
        ("a user of the deployment's account without policies", &visitor, false),
        ("the account's root", &root, true),
        ("a user whom a policy allows", &allowed, true),
        ("the administrator", &administrator, true),
        ("a user of the deployment's account whom a policy allows", &assistant, true),
    ];
    for (name, caller, may) in who {
        // Each begins with one user that has one credential, and with one credential of the root.
        node.create_user(&root, "user", &[]).await;
        let credential = create_access_key(&node, &root, Some("user")).await.unwrap();
        let spare = admin::ListAccessKeys { account: None, user: Some(user("user")) };
        let spare = node.service.perform(&node.again(&root), &spare).await.unwrap();
        let spare = spare.into_iter().find(|listed| listed.key.id != credential.access_key).unwrap().key.id;
        node.service.perform(&node.again(&root), &admin::DeleteAccessKey { account: None, id: spare }).await.unwrap();
        let before = node.store.epochs().await.unwrap();
        for (number, result) in administer(&node, caller, account(), &credential).await.into_iter().enumerate() {
            // The access keys of a root are for roots only, whatever policies say.
            let may = may && (number != OF_ROOT || caller.identity.is_root());
            match result {
                Ok(()) => assert!(may, "{name} does number {number}"),
                Err(refusal) => assert!(!may && refusal.kind == Kind::AccessDenied, "{name}, number {number}: {refusal}"),
            }
        }
        assert!(may || node.store.epochs().await.unwrap() == before, "{name}: something was changed");
        clean_up(&node, &root).await;
    }
    // A deployment-wide request is the administrator's alone.
    for (name, caller, _) in who {
        let of_deployment =
            caller.identity.account == AccountId::DEPLOYMENT && name != "a user of the deployment's account without policies";
        let created = admin::CreateAccount { name: "x".to_owned(), id: None };
        assert_eq!(node.service.perform(&node.again(caller), &created).await.is_ok(), of_deployment, "{name}");
        let listed = admin::ListAccounts { limit: 10, marker: None };
        assert_eq!(node.service.perform(&node.again(caller), &listed).await.is_ok(), of_deployment, "{name}");
        assert_eq!(node.service.perform(&node.again(caller), &admin::GetStatus).await.is_ok(), of_deployment, "{name}");
    }
}

async fn clean_up(node: &Node, root: &Caller) {
    for owner in [Some("user"), None] {
        let listed = admin::ListAccessKeys { account: None, user: owner.map(user) };
        for listed in node.service.perform(&node.again(root), &listed).await.unwrap() {
            if listed.key.id != root.access_key {
                let operation = admin::DeleteAccessKey { account: None, id: listed.key.id };
                node.service.perform(&node.again(root), &operation).await.unwrap();
            }
        }
    }
    node.service.perform(&node.again(root), &admin::DeleteUser { account: None, name: user("user") }).await.unwrap();
}

#[tokio::test]
async fn other_accounts_look_the_same_whether_they_exist_or_not() {
    let (deployment, node) = deployed().await;
    let stranger = node.create_account(&deployment.administrator(), 42).await;
    let there = administer(&node, &stranger, account(), &deployment.tenant).await;
    let not_there = administer(&node, &stranger, AccountId::from_number(77).unwrap(), &deployment.tenant).await;
    for (there, not_there) in there.into_iter().zip(not_there) {
        let (there, not_there) = (there.unwrap_err(), not_there.unwrap_err());
        assert_eq!(there.detail.replace(&account().to_string(), "ACCOUNT"), not_there.detail.replace("000000000077", "ACCOUNT"));
        assert_eq!(there.kind, not_there.kind);
    }
    // The administrator is told.
    let listed = admin::ListUsers { account: AccountId::from_number(77), limit: 10, marker: None };
    assert_eq!(kind_of(node.service.perform(&node.again(&deployment.administrator()), &listed).await), Kind::NotFound);
}

#[tokio::test]
async fn accounts_are_made_once_and_begin_empty() {
    let (deployment, node) = deployed().await;
    let administrator = deployment.administrator();
    let operation = admin::CreateAccount { name: "again".to_owned(), id: Some(account()) };
    assert_eq!(kind_of(node.service.perform(&node.again(&administrator), &operation).await), Kind::AlreadyExists);
    for id in [AccountId::DEPLOYMENT, account()] {
        let operation = admin::CreateAccount { name: "again".to_owned(), id: Some(id) };
        assert_eq!(kind_of(node.service.perform(&node.again(&administrator), &operation).await), Kind::AlreadyExists);
    }
    let stranger = node.create_account(&administrator, 42).await;
    let key = node.create_key(&deployment.root()).await;
    let listed = node.service.perform(&node.again(&stranger), &kms::ListKeys { limit: 10, marker: None }).await.unwrap();
    assert!(listed.items.is_empty());
    let own = node.create_key(&stranger).await;
    assert_eq!(kind_of(node.encrypt(&stranger, &key).await), Kind::AccessDenied);
    node.encrypt(&stranger, &own).await.unwrap();
    let random = admin::CreateAccount { name: "random".to_owned(), id: None };
    let made = node.service.perform(&node.again(&administrator), &random).await.unwrap();
    assert!(made.account.number() >= 100_000_000_000, "{}", made.account);
}

#[tokio::test]
async fn the_deployments_own_account_holds_no_keys() {
    let (deployment, node) = deployed().await;
    let administrator = deployment.administrator();
    let result = node.service.perform(&node.again(&administrator), &create_key(None)).await;
    assert_eq!(kind_of(result), Kind::Unsupported);
    let key = node.create_key(&deployment.root()).await;
    // The administrator administers accounts; what is encrypted there is none of its business.
    assert_eq!(kind_of(node.encrypt(&administrator, &key).await), Kind::AccessDenied);
    assert_eq!(
        kind_of(node.service.perform(&node.again(&administrator), &kms::DisableKey { key: by_arn(&key) }).await),
        Kind::AccessDenied
    );
}

/// Policies name whose user or role may be administered, and the account's root is nobody's but its own.
#[tokio::test]
async fn policies_name_what_may_be_administered() {
    let (deployment, node) = deployed().await;
    let root = deployment.root();
    for name in ["mine", "other"] {
        node.service.perform(&node.again(&root), &create_user(name)).await.unwrap();
    }
    let on = |resource: &str| {
        let resource = format!("arn:aws:iam::{}:{resource}", account());
        serde_json::json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "claviger:*", "Resource": resource}})
            .to_string()
    };
    let put = |who: &str| admin::PutUserPolicy {
        account: None,
        user: user(who),
        policy_name: "p".to_owned(),
        policy: identity_policy("Deny", &["kms:*"]),
    };
    // Who may on which resource, and whether that lets it administer "mine", "other", and the access keys of the root.
    let cases = [
        ("one", "user/mine", [true, false, false]),
        ("users", "user/*", [true, true, false]),
        ("roots", "root", [false, false, false]),
        ("account", "*", [true, true, false]),
    ];
    let of_root = deployment.tenant.access_key.clone();
    for (name, resource, may) in cases {
        let caller = node.create_user(&root, name, &[&on(resource)]).await;
        for (of, may) in [Some("mine"), Some("other"), None].into_iter().zip(may) {
            let what = format!("{name} on {of:?}");
            let created = create_access_key(&node, &caller, of).await;
            assert_eq!(
                created.as_ref().map(drop).map_err(|refusal| refusal.kind),
                if may { Ok(()) } else { Err(Kind::AccessDenied) },
                "{what}"
            );
            let Some(of) = of else { continue };
            let done = node.service.perform(&node.again(&caller), &put(of)).await;
            assert_eq!(done.map_err(|refusal| refusal.kind), if may { Ok(()) } else { Err(Kind::AccessDenied) }, "{what}");
            let made = create_access_key(&node, &root, Some(of)).await.or(created).unwrap();
            let delete = admin::DeleteAccessKey { account: None, id: made.access_key.clone() };
            let done = node.service.perform(&node.again(&caller), &delete).await;
            assert_eq!(done.map_err(|refusal| refusal.kind), if may { Ok(()) } else { Err(Kind::AccessDenied) }, "{what}");
            for key in node
                .service
                .perform(&node.again(&root), &admin::ListAccessKeys { account: None, user: Some(user(of)) })
                .await
                .unwrap()
            {
                let delete = admin::DeleteAccessKey { account: None, id: key.key.id };
                node.service.perform(&node.again(&root), &delete).await.unwrap();
            }
        }
        let off = admin::UpdateAccessKey { account: None, id: of_root.clone(), active: false };
        let gone = admin::DeleteAccessKey { account: None, id: of_root.clone() };
        assert_eq!(kind_of(node.service.perform(&node.again(&caller), &off).await), Kind::AccessDenied, "{name}");
        assert_eq!(kind_of(node.service.perform(&node.again(&caller), &gone).await), Kind::AccessDenied, "{name}");
        // Of an access key that is not there hears only who may administer all.
        let nothing = admin::DeleteAccessKey { account: None, id: "AKIAQQQQQQQQQQQQQQQQ".parse().unwrap() };
        let expected = if name == "account" { Kind::NotFound } else { Kind::AccessDenied };
        assert_eq!(kind_of(node.service.perform(&node.again(&caller), &nothing).await), expected, "{name}");
    }
    // The root itself does, and the administrator, with what entries that say so.
    create_access_key(&node, &root, None).await.unwrap();
    let administrator = deployment.administrator();
    let helper = node.create_user(&administrator, "helper", &[&identity_policy("Allow", &["*"])]).await;
    let theirs = admin::DeleteAccessKey { account: Some(account()), id: of_root.clone() };
    assert_eq!(
        kind_of(node.service.perform(&node.again(&helper), &theirs).await),
        Kind::AccessDenied,
        "a user of the deployment's account"
    );
    node.service.perform(&node.again(&administrator), &theirs).await.unwrap();
}
