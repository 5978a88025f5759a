//! Roles and their sessions: who may assume whom, what a session may do, and when it ends.

use std::collections::{BTreeMap, BTreeSet};

use claviger_domain::{Caller, Kind, Refusal};
use claviger_service::operations::{admin, kms, sts};
use claviger_service::{Assertions, Clock as _, SessionCredential, Settings};
use serde_json::{Value, json};

use crate::common::{
    Deployment, Node, account, again, by_arn, create_key, create_role, deployed, encrypt, generate_random, identity_policy,
    key_policy, kind_of, root_arn, trust_policy,
};

const BOTH: &[&str] = &["sts:AssumeRole", "sts:TagSession"];

fn assume(role: &str) -> sts::AssumeRole {
    let role_arn = format!("arn:aws:iam::{}:role/{role}", account());
    assume_arn(&role_arn)
}

fn assume_arn(role_arn: &str) -> sts::AssumeRole {
    let (account, role) = sts::AssumeRole::parse_role_arn(role_arn).unwrap();
    sts::AssumeRole {
        role_arn: role_arn.to_owned(),
        account,
        role,
        session_name: "session".parse().unwrap(),
        duration_seconds: None,
        policy: None,
        tags: BTreeMap::new(),
        transitive: BTreeSet::new(),
        external_id: None,
    }
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn session_arn(role: &str) -> String {
    format!("arn:aws:sts::{}:assumed-role/{role}/session", account())
}

fn put_role_policy(role: &str, policy: &str) -> admin::PutRolePolicy {
    admin::PutRolePolicy { account: None, role: role.parse().unwrap(), policy_name: "p".to_owned(), policy: policy.to_owned() }
}

/// Somebody who may assume whatever trusts them, and a role that does, with these identity policies.
struct Scene {
    deployment: Deployment,
    node: Node,
    root: Caller,
    user: Caller,
}

impl Scene {
    async fn new() -> Self {
        let (deployment, node) = deployed().await;
        let root = deployment.root();
        let user = node.create_user(&root, "user", &[]).await;
        Self { deployment, node, root, user }
    }

    async fn create_role(&self, name: &str, trust: &str, policies: &[&str]) {
        let operation = admin::CreateRole { max_session_seconds: 43_200, ..create_role(name, trust) };
        self.node.service.perform(&self.node.again(&self.root), &operation).await.unwrap();
        for policy in policies {
            self.node.service.perform(&self.node.again(&self.root), &put_role_policy(name, policy)).await.unwrap();
        }
    }

    /// A role that trusts the user, and may do everything with keys.
    async fn create_trusting_role(&self, name: &str) {
        let trust = trust_policy(&self.user.identity.arn, BOTH);
        self.create_role(name, &trust, &[&identity_policy("Allow", &["kms:*"])]).await;
    }

    async fn try_to(&self, caller: &Caller, operation: &sts::AssumeRole) -> Result<SessionCredential, Refusal> {
        self.node.service.perform(&self.node.again(caller), operation).await.map(|assumed| assumed.credential)
    }

    async fn session(&self, operation: &sts::AssumeRole) -> Caller {
        let credential = self.try_to(&self.user, operation).await.unwrap();
        self.node.sign_in_to(&credential).await.unwrap()
    }

    async fn create_key(&self, statements: &[(&str, &str, &str)]) -> claviger_domain::KeyArn {
        let operation = kms::CreateKey { bypass_lockout_check: true, ..create_key(Some(key_policy(statements))) };
        self.node.service.perform(&self.node.again(&self.root), &operation).await.unwrap().arn()
    }
}

/// AWS IAM User Guide, "Methods to assume a role" and "Cross-account policy evaluation logic".
#[tokio::test]
async fn the_trust_policy_decides_who_assumes_a_role() {
    let scene = Scene::new().await;
    let node = &scene.node;
    let allowed = node.create_user(&scene.root, "allowed", &[&identity_policy("Allow", &["sts:*"])]).await;
    let denied = node.create_user(&scene.root, "denied", &[&identity_policy("Deny", &["sts:AssumeRole"])]).await;
    let stranger = node.create_account(&scene.deployment.administrator(), 42).await;
    let foreign = node.create_user(&stranger, "foreign", &[]).await;
    let foreign_allowed = node.create_user(&stranger, "allowed", &[&identity_policy("Allow", &["sts:*"])]).await;
    let everybody = [&scene.user, &allowed, &denied, &foreign, &foreign_allowed];
    let (own_root, foreign_root) = (root_arn(account()), root_arn(stranger.identity.account));
    let cases: [(&str, [bool; 5]); 8] = [
        (&scene.user.identity.arn, [true, false, false, false, false]),
        (&allowed.identity.arn, [false, true, false, false, false]),
        (&denied.identity.arn, [false, false, false, false, false]),
        (&own_root, [false, true, false, false, false]),
        (&foreign.identity.arn, [false, false, false, false, false]),
        (&foreign_allowed.identity.arn, [false, false, false, false, true]),
        (&foreign_root, [false, false, false, false, true]),
        ("*", [true, true, false, false, true]),
    ];
    for (number, (trusted, may)) in cases.iter().enumerate() {
        let name = format!("role-{number}");
        scene.create_role(&name, &trust_policy(trusted, BOTH), &[]).await;
        for (caller, may) in everybody.iter().zip(may) {
            let result = scene.try_to(caller, &assume(&name)).await;
            assert_eq!(result.is_ok(), *may, "{} assumes a role that trusts {trusted}", caller.identity);
            if let Err(refusal) = result {
                assert_eq!(refusal.kind, Kind::AccessDenied);
                // Nobody learns whether there is such a role.
                let missing = scene.try_to(caller, &assume("nobody")).await.err().unwrap();
                assert_eq!(missing.detail.replace("nobody", &name), refusal.detail);
            }
        }
        let root = scene.try_to(&scene.root, &assume(&name)).await.err().unwrap();
        assert_eq!((root.kind, root.detail.as_str()), (Kind::AccessDenied, "Roles may not be assumed by root accounts."));
    }
}

#[tokio::test]
async fn trust_policies_see_what_the_session_shall_be() {
    let scene = Scene::new().await;
    let conditional = |condition: Value, actions: &[&str]| {
        let statement =
            json!({"Effect": "Allow", "Principal": {"AWS": scene.user.identity.arn}, "Action": actions, "Condition": condition});
        json!({"Version": "2012-10-17", "Statement": statement}).to_string()
    };
    let external = |id: &str| sts::AssumeRole { external_id: Some(id.to_owned()), ..assume("external") };
    scene.create_role("external", &conditional(json!({"StringEquals": {"sts:ExternalId": "word"}}), BOTH), &[]).await;
    assert!(scene.try_to(&scene.user, &external("word")).await.is_ok());
    assert_eq!(kind_of(scene.try_to(&scene.user, &external("other")).await), Kind::AccessDenied);
    assert_eq!(kind_of(scene.try_to(&scene.user, &assume("external")).await), Kind::AccessDenied);

    let named = conditional(json!({"StringLike": {"sts:RoleSessionName": "${aws:username}-*"}}), BOTH);
    scene.create_role("named", &named, &[]).await;
    let name = |name: &str| sts::AssumeRole { session_name: name.parse().unwrap(), ..assume("named") };
    assert!(scene.try_to(&scene.user, &name("user-1")).await.is_ok());
    assert_eq!(kind_of(scene.try_to(&scene.user, &name("other-1")).await), Kind::AccessDenied);

    let tagged = conditional(
        json!({"StringEquals": {"aws:RequestTag/team": "red"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"], "sts:TransitiveTagKeys": ["team"]}}),
        BOTH,
    );
    scene.create_role("tagged", &tagged, &[]).await;
    let tag = |pairs: &[(&str, &str)]| sts::AssumeRole { tags: tags(pairs), ..assume("tagged") };
    assert!(scene.try_to(&scene.user, &tag(&[("team", "red")])).await.is_ok());
    for wrong in [&[("team", "blue")][..], &[("team", "red"), ("more", "")], &[]] {
        assert_eq!(kind_of(scene.try_to(&scene.user, &tag(wrong)).await), Kind::AccessDenied, "{wrong:?}");
    }
    // To tag a session is another permission than to begin it.
    scene.create_role("untagged", &conditional(json!({}), &["sts:AssumeRole"]), &[]).await;
    let untagged = |pairs: &[(&str, &str)]| sts::AssumeRole { tags: tags(pairs), ..assume("untagged") };
    assert!(scene.try_to(&scene.user, &untagged(&[])).await.is_ok());
    let refusal = scene.try_to(&scene.user, &untagged(&[("team", "red")])).await.err().unwrap();
    assert!(refusal.detail.contains("is not authorized to perform: sts:TagSession on resource: arn:aws:iam::"), "{refusal}");
}

#[tokio::test]
async fn a_session_ends_at_its_time_and_not_before() {
    let scene = Scene::new().await;
    let node = &scene.node;
    scene.create_trusting_role("role").await;
    for (seconds, asked) in [(3600, None), (900, Some(900)), (43_200, Some(43_200))] {
        let operation = sts::AssumeRole { duration_seconds: asked, ..assume("role") };
        let credential = scene.try_to(&scene.user, &operation).await.unwrap();
        let began = node.clock.now();
        assert_eq!(credential.expires, began.plus_ms(seconds * 1000));
        node.clock.advance_ms(seconds * 1000 - 1);
        let session = node.sign_in_to(&credential).await.unwrap();
        assert_eq!(session.identity.arn, session_arn("role"));
        node.clock.advance_ms(1);
        let refusal = node.sign_in_to(&credential).await.err().unwrap();
        assert_eq!(
            (refusal.kind, refusal.detail.as_str()),
            (Kind::ExpiredToken, "The security token included in the request is expired")
        );
    }
    let short = admin::CreateRole { max_session_seconds: 3600, ..create_role("short", &trust_policy("*", BOTH)) };
    node.service.perform(&node.again(&scene.root), &short).await.unwrap();
    let long = sts::AssumeRole { duration_seconds: Some(3601), ..assume("short") };
    let refusal = scene.try_to(&scene.user, &long).await.err().unwrap();
    assert_eq!(refusal.detail, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.");
}

#[tokio::test]
async fn a_session_needs_its_own_token_and_its_own_secret() {
    let scene = Scene::new().await;
    let node = &scene.node;
    scene.create_trusting_role("role").await;
    let one = scene.try_to(&scene.user, &assume("role")).await.unwrap();
    let other = scene.try_to(&scene.user, &assume("role")).await.unwrap();
    let sign_in = async |access_key: &str, secret: &str, token: Option<&str>| {
        node.authenticate(access_key, secret, token, Assertions::default()).await.map(drop).map_err(|refusal| refusal.kind)
    };
    // Twice, since the second time it is known already.
    for _ in 0..2 {
        assert_eq!(sign_in(one.access_key.as_str(), &one.secret, Some(&one.token)).await, Ok(()));
        assert_eq!(sign_in(one.access_key.as_str(), &other.secret, Some(&one.token)).await, Err(Kind::WrongSignature));
        let user_key = scene.user.access_key.as_str();
        for (access_key, token) in [
            (one.access_key.as_str(), None),
            (one.access_key.as_str(), Some(other.token.as_str())),
            (one.access_key.as_str(), Some("")),
            (one.access_key.as_str(), Some("AAAA")),
            (one.access_key.as_str(), Some("no token at all")),
            (user_key, Some(one.token.as_str())),
            ("ASIAAAAAAAAAAAAAAAAA", Some(one.token.as_str())),
        ] {
            assert_eq!(sign_in(access_key, &one.secret, token).await, Err(Kind::UnknownCredential), "{access_key} {token:?}");
        }
    }
    for place in (0..one.token.len()).step_by(7) {
        let mut changed = one.token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(sign_in(one.access_key.as_str(), &one.secret, Some(&changed)).await, Err(Kind::UnknownCredential));
    }
    let elsewhere = Scene::new().await;
    elsewhere.create_trusting_role("role").await;
    assert_eq!(kind_of(elsewhere.node.sign_in_to(&one).await), Kind::UnknownCredential);
}

#[tokio::test]
async fn any_node_accepts_a_session_and_so_does_the_next_process() {
    let scene = Scene::new().await;
    scene.create_trusting_role("role").await;
    let credential = scene.try_to(&scene.user, &assume("role")).await.unwrap();
    let key = scene.node.create_key(&scene.root).await;
    scene.node.shut_down().await;
    let store = scene.deployment.store();
    let port = std::sync::Arc::clone(&store) as std::sync::Arc<dyn claviger_store::Store>;
    let second = scene.deployment.serve_through(store, port, Settings::for_node("node-2")).await.unwrap();
    let session = second.sign_in_to(&credential).await.unwrap();
    second.encrypt(&session, &key).await.unwrap();
}

#[tokio::test]
async fn what_happens_to_a_role_happens_to_its_sessions() {
    let scene = Scene::new().await;
    let node = &scene.node;
    scene.create_trusting_role("role").await;
    let credential = scene.try_to(&scene.user, &assume("role")).await.unwrap();
    let key = node.create_key(&scene.root).await;
    let tries = async || {
        let session = node.sign_in_to(&credential).await?;
        node.encrypt(&session, &key).await.map(drop)
    };
    tries().await.unwrap();
    let put = |policy: String| put_role_policy("role", &policy);
    node.service.perform(&node.again(&scene.root), &put(identity_policy("Deny", &["kms:Encrypt"]))).await.unwrap();
    assert_eq!(kind_of(tries().await), Kind::AccessDenied);
    node.service.perform(&node.again(&scene.root), &put(identity_policy("Allow", &["kms:Encrypt"]))).await.unwrap();
    tries().await.unwrap();
    // Whom the role trusts matters when a session begins.
    let nobody = trust_policy(&scene.root.identity.arn, &["sts:AssumeRole"]);
    let distrust = admin::UpdateAssumeRolePolicy { account: None, role: "role".parse().unwrap(), trust_policy: nobody };
    node.service.perform(&node.again(&scene.root), &distrust).await.unwrap();
    tries().await.unwrap();
    assert_eq!(kind_of(scene.try_to(&scene.user, &assume("role")).await), Kind::AccessDenied);
    let delete = admin::DeleteRole { account: None, name: "role".parse().unwrap() };
    node.service.perform(&node.again(&scene.root), &delete).await.unwrap();
    assert_eq!(kind_of(tries().await), Kind::UnknownCredential);
    // Another role of that name is another role.
    scene.create_trusting_role("role").await;
    assert_eq!(kind_of(tries().await), Kind::UnknownCredential);
}

/// AWS IAM User Guide, "Session policies": what is given to the role is limited by the session policy, what is given to the session is not.
#[tokio::test]
async fn a_session_policy_limits_what_the_role_may() {
    let scene = Scene::new().await;
    let node = &scene.node;
    scene.create_trusting_role("role").await;
    let role = format!("arn:aws:iam::{}:role/role", account());
    let (own_root, session_name) = (root_arn(account()), session_arn("role"));
    let delegating = scene.create_key(&[("Allow", &own_root, "kms:*")]).await;
    let to_role = scene.create_key(&[("Allow", &role, "kms:*")]).await;
    let to_session = scene.create_key(&[("Allow", &session_name, "kms:*")]).await;
    let to_everyone = scene.create_key(&[("Allow", "*", "kms:*")]).await;
    let not_to_role = scene.create_key(&[("Allow", &session_name, "kms:*"), ("Deny", &role, "kms:Encrypt")]).await;
    let keys = [&delegating, &to_role, &to_session, &to_everyone, &not_to_role];
    let cases: [(Option<String>, [bool; 5]); 4] = [
        (None, [true, true, true, true, false]),
        (Some(identity_policy("Allow", &["kms:Encrypt"])), [true, true, true, true, false]),
        (Some(identity_policy("Allow", &["kms:Decrypt"])), [false, false, true, false, false]),
        (Some(identity_policy("Deny", &["kms:Encrypt"])), [false; 5]),
    ];
    for (policy, may) in cases {
        let session = scene.session(&sts::AssumeRole { policy: policy.clone(), ..assume("role") }).await;
        for (number, (key, may)) in keys.iter().zip(may).enumerate() {
            let result = node.encrypt(&session, key).await;
            assert_eq!(result.is_ok(), may, "key {number} with session policy {policy:?}");
        }
        // Actions without a key.
        let random = generate_random(16);
        assert_eq!(node.service.perform(&node.again(&session), &random).await.is_ok(), policy.is_none());
    }
    let limited = sts::AssumeRole { policy: Some(identity_policy("Allow", &["kms:Decrypt"])), ..assume("role") };
    let refusal = node.encrypt(&scene.session(&limited).await, &delegating).await.err().unwrap();
    assert_eq!(
        refusal.detail,
        format!(
            "User: {session_name} is not authorized to perform: kms:Encrypt on resource: {delegating} because no session policy allows \
             the kms:Encrypt action"
        )
    );
    let wrong = sts::AssumeRole { policy: Some("{".to_owned()), ..assume("role") };
    assert_eq!(kind_of(scene.try_to(&scene.user, &wrong).await), Kind::MalformedPolicy);
    let long = format!("{}{}", identity_policy("Allow", &["kms:*"]), " ".repeat(2048));
    let long = sts::AssumeRole { policy: Some(long), ..assume("role") };
    assert_eq!(kind_of(scene.try_to(&scene.user, &long).await), Kind::PackedPolicyTooLarge);
    let many: BTreeMap<String, String> = (0..50).map(|number| (format!("key-{number}"), "v".repeat(100))).collect();
    let many = sts::AssumeRole { tags: many, ..assume("role") };
    assert_eq!(kind_of(scene.try_to(&scene.user, &many).await), Kind::PackedPolicyTooLarge);
}

#[tokio::test]
async fn conditions_see_the_session_and_its_tags() {
    let scene = Scene::new().await;
    let node = &scene.node;
    scene.create_trusting_role("role").await;
    let tag_role =
        admin::TagRole { account: None, role: "role".parse().unwrap(), tags: tags(&[("team", "red"), ("floor", "3")]) };
    node.service.perform(&node.again(&scene.root), &tag_role).await.unwrap();
    let tag_user = admin::TagUser { account: None, user: "user".parse().unwrap(), tags: tags(&[("team", "red")]) };
    node.service.perform(&node.again(&scene.root), &tag_user).await.unwrap();
    let user = {
        let operation = admin::CreateAccessKey { account: None, user: Some("user".parse().unwrap()) };
        let created = node.service.perform(&node.again(&scene.root), &operation).await.unwrap();
        node.sign_in(&created.credential).await.unwrap()
    };
    let plain = scene.session(&assume("role")).await;
    let blue = scene.session(&sts::AssumeRole { tags: tags(&[("Team", "blue")]), ..assume("role") }).await;
    let id = &plain.identity.session.as_ref().unwrap().role_id;
    let unique_id = format!("{id}:session");
    assert!(id.starts_with("AROA") && plain.identity.unique_id == unique_id);
    let issued = plain.identity.session.as_ref().unwrap().issued.to_rfc3339();
    // A condition, and whether the user, the session, and the session with a tag meet it.
    let cases: [(Value, [bool; 3]); 11] = [
        (json!({"StringEquals": {"aws:PrincipalTag/team": "red"}}), [true, true, false]),
        (json!({"StringEquals": {"aws:PrincipalTag/TEAM": "blue"}}), [false, false, true]),
        (json!({"StringEquals": {"aws:PrincipalTag/floor": "3"}}), [false, true, true]),
        (json!({"ArnEquals": {"aws:PrincipalArn": format!("arn:aws:iam::{}:role/role", account())}}), [false, true, true]),
        (json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}), [true, false, false]),
        (json!({"StringEquals": {"aws:PrincipalType": "AssumedRole"}}), [false, true, true]),
        (json!({"StringEquals": {"aws:userid": unique_id}}), [false, true, true]),
        (json!({"StringLike": {"aws:userid": "*:session"}}), [false, true, true]),
        (json!({"DateEquals": {"aws:TokenIssueTime": issued}}), [false, true, true]),
        (json!({"Null": {"aws:username": "true"}}), [false, true, true]),
        (json!({"Bool": {"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false"}}), [true, true, true]),
    ];
    for (condition, may) in cases {
        let statement = json!({"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": condition});
        let policy = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
        let operation = kms::CreateKey { bypass_lockout_check: true, ..create_key(Some(policy)) };
        let key = node.service.perform(&node.again(&scene.root), &operation).await.unwrap().arn();
        for (caller, may) in [&user, &plain, &blue].iter().zip(may) {
            assert_eq!(node.encrypt(caller, &key).await.is_ok(), may, "{} under {condition}", caller.identity);
        }
    }
}

/// AWS IAM User Guide, "Chaining roles with session tags".
#[tokio::test]
async fn sessions_assume_roles_for_an_hour_and_hand_on_their_transitive_tags() {
    let scene = Scene::new().await;
    scene.create_trusting_role("first").await;
    let first_arn = format!("arn:aws:iam::{}:role/first", account());
    let chained = admin::CreateRole { max_session_seconds: 43_200, ..create_role("second", &trust_policy(&first_arn, BOTH)) };
    scene.node.service.perform(&scene.node.again(&scene.root), &chained).await.unwrap();
    assert_eq!(kind_of(scene.try_to(&scene.user, &assume("second")).await), Kind::AccessDenied);
    let first = sts::AssumeRole {
        tags: tags(&[("team", "red"), ("floor", "3")]),
        transitive: BTreeSet::from(["team".to_owned()]),
        ..assume("first")
    };
    let first = scene.session(&first).await;
    let credential = scene.try_to(&first, &assume("second")).await.unwrap();
    let second = scene.node.sign_in_to(&credential).await.unwrap();
    assert_eq!(second.identity.tags, tags(&[("team", "red")]));
    for seconds in [3600, 3601] {
        let operation = sts::AssumeRole { duration_seconds: Some(seconds), ..assume("second") };
        let result = scene.try_to(&first, &operation).await.map(drop).map_err(|refusal| refusal.kind);
        assert_eq!(result, if seconds == 3600 { Ok(()) } else { Err(Kind::Invalid) });
    }
    let overriding = sts::AssumeRole { tags: tags(&[("TEAM", "blue")]), ..assume("second") };
    assert_eq!(kind_of(scene.try_to(&first, &overriding).await), Kind::Invalid);
    let adding = sts::AssumeRole { tags: tags(&[("more", "x")]), ..assume("second") };
    let credential = scene.try_to(&first, &adding).await.unwrap();
    let added = scene.node.sign_in_to(&credential).await.unwrap();
    assert_eq!(added.identity.tags, tags(&[("more", "x"), ("team", "red")]));
    // What is wrong with a request is said whether or not there is such a role: nobody finds out which roles there are.
    for role in ["first", "no-such-role"] {
        let missing = sts::AssumeRole { transitive: BTreeSet::from(["absent".to_owned()]), ..assume(role) };
        assert_eq!(kind_of(scene.try_to(&scene.user, &missing).await), Kind::Invalid, "{role}");
    }
    let missing = sts::AssumeRole { transitive: BTreeSet::from(["absent".to_owned()]), ..assume("first") };
    assert_eq!(kind_of(scene.try_to(&scene.user, &missing).await), Kind::Invalid);
}

#[tokio::test]
async fn policies_name_roles_that_exist() {
    let scene = Scene::new().await;
    scene.create_trusting_role("role").await;
    for (principal, exists) in [
        (format!("arn:aws:iam::{}:role/role", account()), true),
        (session_arn("role"), true),
        (format!("arn:aws:iam::{}:role/other", account()), false),
        (format!("arn:aws:iam::{}:role/path/role", account()), false),
        (session_arn("other"), false),
    ] {
        let policy = key_policy(&[("Allow", &root_arn(account()), "kms:*"), ("Allow", &principal, "kms:Encrypt")]);
        let created = scene.node.service.perform(&scene.node.again(&scene.root), &create_key(Some(policy))).await;
        assert_eq!(created.is_ok(), exists, "{principal}");
        if let Err(refusal) = created {
            assert_eq!(refusal.kind, Kind::MalformedPolicy);
            assert!(refusal.detail.ends_with(&format!("There is no {principal} in this deployment.")), "{refusal}");
        }
        let trusting = create_role("new", &trust_policy(&principal, &["sts:AssumeRole"]));
        let created = scene.node.service.perform(&scene.node.again(&scene.root), &trusting).await;
        assert_eq!(created.is_ok(), exists, "{principal}");
        if let Err(refusal) = &created {
            assert_eq!(refusal.detail, format!("Invalid principal in policy: \"AWS\":\"{principal}\""));
        }
        if exists {
            let delete = admin::DeleteRole { account: None, name: "new".parse().unwrap() };
            scene.node.service.perform(&scene.node.again(&scene.root), &delete).await.unwrap();
        }
    }
    for wrong in [
        r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole"}}"#,
    ] {
        let created = scene.node.service.perform(&scene.node.again(&scene.root), &create_role("wrong", wrong)).await;
        assert_eq!(kind_of(created), Kind::MalformedPolicy, "{wrong}");
    }
}

#[tokio::test]
async fn the_log_tells_of_sessions_and_holds_no_token() {
    let scene = Scene::new().await;
    let node = &scene.node;
    scene.create_trusting_role("role").await;
    let asking = node.again(&scene.user);
    let assumed = node.service.perform(&asking, &assume("role")).await.unwrap();
    let [entry] = &node.entries_of(&asking).await[..] else { panic!("one entry") };
    assert_eq!(entry.json["eventSource"], "sts.amazonaws.com");
    assert_eq!(entry.json["responseElements"]["assumedRoleUser"]["arn"], session_arn("role").as_str());
    assert_eq!(entry.json["resources"][0]["type"], "AWS::IAM::Role");
    let text = String::from_utf8(entry.bytes.clone()).unwrap();
    assert!(!text.contains(assumed.credential.secret.as_str()) && !text.contains(&assumed.credential.token));

    let session = node.sign_in_to(&assumed.credential).await.unwrap();
    let key = node.create_key(&scene.root).await;
    let using = again(&session, node.clock.now());
    node.service.perform(&using, &encrypt(by_arn(&key), b"x")).await.unwrap();
    let [entry] = &node.entries_of(&using).await[..] else { panic!("one entry") };
    let identity = &entry.json["userIdentity"];
    let role_id = &session.identity.session.as_ref().unwrap().role_id;
    assert_eq!(
        *identity,
        json!({
            "accessKeyId": assumed.credential.access_key.as_str(),
            "accountId": account().to_string(),
            "arn": session_arn("role"),
            "principalId": format!("{role_id}:session"),
            "sessionContext": {
                "attributes": {"creationDate": using.request.at.to_rfc3339(), "mfaAuthenticated": "false"},
                "sessionIssuer": {
                    "accountId": account().to_string(),
                    "arn": format!("arn:aws:iam::{}:role/role", account()),
                    "principalId": role_id,
                    "type": "Role",
                    "userName": "role",
                },
            },
            "type": "AssumedRole",
        })
    );
    let basis = entry.json["claviger"]["decision"]["basis"].as_str().unwrap();
    assert!(basis.contains("and identity policy \"p\" statement 1"), "{basis}");
}
