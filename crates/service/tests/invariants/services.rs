//! Users that are marked as services: what they may do for themselves, and on behalf of others.

use claviger_domain::{AccountId, Caller, GrantOperation, KeyArn, Kind};
use claviger_service::operations::{admin, kms};
use claviger_service::{Assertions, InitialCredential};
use serde_json::{Value, json};

use crate::common::{
    Deployment, Node, account, alias, create_grant, create_key, create_user, deployed, generate_random, identity_policy,
    key_policy, kind_of, root_arn, trust_policy,
};

const S3: &str = "s3.amazonaws.com";

struct Scene {
    deployment: Deployment,
    node: Node,
    root: Caller,
    /// S3 for everybody.
    service: InitialCredential,
}

async fn create_service(node: &Node, administrator: &Caller, account: AccountId, name: &str) -> InitialCredential {
    let account = Some(account);
    let operation = admin::CreateUser { account, service: Some(S3.parse().unwrap()), ..create_user(name) };
    node.service.perform(&node.again(administrator), &operation).await.unwrap();
    let operation = admin::CreateAccessKey { account, user: Some(name.parse().unwrap()) };
    node.service.perform(&node.again(administrator), &operation).await.unwrap().credential
}

impl Scene {
    async fn new() -> Self {
        let (deployment, node) = deployed().await;
        let service = create_service(&node, &deployment.administrator(), AccountId::DEPLOYMENT, "s3").await;
        let root = deployment.root();
        Self { deployment, node, root, service }
    }

    async fn create_key(&self, principal: Value, condition: Value) -> KeyArn {
        let statement =
            json!({"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*", "Condition": condition});
        let policy = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
        let operation = kms::CreateKey { bypass_lockout_check: true, ..create_key(Some(policy)) };
        self.node.service.perform(&self.node.again(&self.root), &operation).await.unwrap().arn()
    }

    async fn asks(&self, assertions: Assertions<'_>) -> Caller {
        self.node.sign_in_asserting(&self.service, assertions).await.unwrap()
    }
}

#[tokio::test]
async fn a_service_is_whom_key_policies_name_as_one() {
    let scene = Scene::new().await;
    let node = &scene.node;
    let service = scene.asks(Assertions::default()).await;
    let about =
        Assertions { source_arn: Some("arn:aws:s3:::bucket"), source_account: Some("123456789012"), ..Assertions::default() };
    let working = scene.asks(about).await;
    let user = node.create_user(&scene.root, "user", &[&identity_policy("Allow", &["kms:*"])]).await;
    let named = json!({"Service": S3});
    // A principal and a condition, and what they mean for the service, the service at work for a bucket, and a user.
    let cases: [(Value, Value, [bool; 3]); 9] = [
        (named.clone(), json!({}), [true, true, false]),
        (json!({"Service": "logs.amazonaws.com"}), json!({}), [false, false, false]),
        (json!({"AWS": root_arn(account())}), json!({}), [false, false, true]),
        (json!({"AWS": root_arn(AccountId::DEPLOYMENT)}), json!({}), [false, false, false]),
        (json!("*"), json!({}), [true, true, true]),
        (json!("*"), json!({"Bool": {"aws:PrincipalIsAWSService": "true"}}), [true, true, false]),
        (json!("*"), json!({"StringEquals": {"aws:PrincipalServiceName": S3}}), [true, true, false]),
        (named.clone(), json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}}), [false, true, false]),
        (named.clone(), json!({"StringEquals": {"aws:SourceAccount": "123456789012"}}), [false, true, false]),
    ];
    for (principal, condition, may) in cases {
        let key = scene.create_key(principal.clone(), condition.clone()).await;
        for (caller, may) in [&service, &working, &user].iter().zip(may) {
            let result = node.encrypt(caller, &key).await;
            assert_eq!(result.is_ok(), may, "{} with {principal} {condition}", caller.identity);
        }
    }
    // A service has no identity policies, and nothing that needs them.
    assert_eq!(kind_of(node.service.perform(&node.again(&service), &generate_random(8)).await), Kind::AccessDenied);
    assert_eq!(kind_of(node.service.perform(&node.again(&service), &admin::GetStatus).await), Kind::AccessDenied);
    let put = admin::PutUserPolicy {
        account: Some(AccountId::DEPLOYMENT),
        user: "s3".parse().unwrap(),
        policy_name: "p".to_owned(),
        policy: identity_policy("Allow", &["*"]),
    };
    let administrator = scene.deployment.administrator();
    assert_eq!(kind_of(node.service.perform(&node.again(&administrator), &put).await), Kind::Unsupported);
    // Denials reach it by its name, and by everybody's.
    let denied = key_policy(&[("Allow", "*", "kms:*"), ("Deny", &root_arn(account()), "kms:Encrypt")]);
    let operation = kms::CreateKey { bypass_lockout_check: true, ..create_key(Some(denied)) };
    let key = node.service.perform(&node.again(&scene.root), &operation).await.unwrap().arn();
    node.encrypt(&service, &key).await.unwrap();
    assert_eq!(kind_of(node.encrypt(&user, &key).await), Kind::AccessDenied);
}

/// What AWS has these grants for: a volume's key is used long after whoever made the volume has gone.
#[tokio::test]
async fn a_service_grants_the_use_of_a_key_that_the_service_manages() {
    let scene = Scene::new().await;
    let node = &scene.node;
    let nobody = node.create_user(&scene.root, "nobody", &[]).await;
    let by_alias = kms::DescribeKey { key: claviger_domain::KeyReference::Alias(alias("aws/ebs")) };
    let key = node.service.perform(&node.again(&scene.root), &by_alias).await.unwrap().arn();
    let grant = create_grant(&key, &nobody.identity.arn, &[GrantOperation::Decrypt]);
    assert_eq!(kind_of(node.create_grant(&nobody, &grant).await), Kind::AccessDenied);
    let via = scene.asks(Assertions { on_behalf_of: Some(&nobody.identity.arn), ..Assertions::default() }).await;
    node.create_grant(&via, &grant).await.unwrap();
}

#[tokio::test]
async fn only_the_administrator_makes_services() {
    let scene = Scene::new().await;
    let node = &scene.node;
    let helper = node.create_user(&scene.root, "helper", &[&identity_policy("Allow", &["*"])]).await;
    let operation = admin::CreateUser { service: Some(S3.parse().unwrap()), ..create_user("false") };
    for caller in [&scene.root, &helper] {
        assert_eq!(kind_of(node.service.perform(&node.again(caller), &operation).await), Kind::AccessDenied);
    }
    let operation = admin::CreateUser { account: Some(account()), ..operation };
    node.service.perform(&node.again(&scene.deployment.administrator()), &operation).await.unwrap();
}

#[tokio::test]
async fn a_service_asks_on_behalf_of_whom_it_names() {
    let scene = Scene::new().await;
    let node = &scene.node;
    let user = node.create_user(&scene.root, "user", &[&identity_policy("Allow", &["kms:*"])]).await;
    let nobody = node.create_user(&scene.root, "nobody", &[]).await;
    let via = scene
        .create_key(
            json!({"AWS": root_arn(account())}),
            json!({"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}),
        )
        .await;
    let called = scene
        .create_key(
            json!({"AWS": root_arn(account())}),
            json!({"ForAnyValue:StringEquals": {"aws:CalledVia": S3}, "Bool": {"aws:ViaAWSService": "true"}}),
        )
        .await;
    let directly = scene.create_key(json!({"AWS": root_arn(account())}), json!({"Null": {"kms:ViaService": "true"}})).await;
    let for_services = scene.create_key(json!({"Service": S3}), json!({})).await;
    for whom in [user.identity.arn.as_str(), user.access_key.as_str()] {
        let for_user = scene.asks(Assertions { on_behalf_of: Some(whom), ..Assertions::default() }).await;
        assert_eq!(for_user.identity.arn, user.identity.arn);
        for (key, may) in [(&via, true), (&called, true), (&directly, false), (&for_services, false)] {
            assert_eq!(node.encrypt(&for_user, key).await.is_ok(), may, "{key}");
        }
        // Sources belong to what a service does for itself.
        let sourced = Assertions { on_behalf_of: Some(whom), source_arn: Some("arn:aws:s3:::b"), ..Assertions::default() };
        let sourced = scene.asks(sourced).await;
        let key = scene.create_key(json!({"AWS": root_arn(account())}), json!({"Null": {"aws:SourceArn": "false"}})).await;
        assert_eq!(kind_of(node.encrypt(&sourced, &key).await), Kind::AccessDenied);
    }
    for key in [&via, &called] {
        assert_eq!(
            kind_of(node.encrypt(&user, key).await),
            Kind::AccessDenied,
            "the user itself does not come by way of a service"
        );
        let for_nobody = scene.asks(Assertions { on_behalf_of: Some(&nobody.identity.arn), ..Assertions::default() }).await;
        assert_eq!(kind_of(node.encrypt(&for_nobody, key).await), Kind::AccessDenied, "a service adds no permissions");
    }
    let for_user = scene.asks(Assertions { on_behalf_of: Some(&user.identity.arn), ..Assertions::default() }).await;
    let asking = node.again(&for_user);
    node.service.perform(&asking, &crate::common::encrypt(crate::common::by_arn(&via), b"x")).await.unwrap();
    let [entry] = &node.entries_of(&asking).await[..] else { panic!("one entry") };
    let identity = &entry.json["userIdentity"];
    assert_eq!((&identity["arn"], &identity["invokedBy"]), (&json!(user.identity.arn), &json!(S3)));
}

#[tokio::test]
async fn a_service_asks_on_behalf_of_a_session_with_its_token() {
    let scene = Scene::new().await;
    let node = &scene.node;
    let user = node.create_user(&scene.root, "user", &[]).await;
    let role = crate::common::create_role("role", &trust_policy(&user.identity.arn, &["sts:AssumeRole"]));
    node.service.perform(&node.again(&scene.root), &role).await.unwrap();
    let assume = claviger_service::operations::sts::AssumeRole {
        role_arn: format!("arn:aws:iam::{}:role/role", account()),
        account: account(),
        role: Some("role".parse().unwrap()),
        session_name: "session".parse().unwrap(),
        duration_seconds: None,
        policy: None,
        tags: Default::default(),
        transitive: Default::default(),
        external_id: None,
    };
    let session = node.service.perform(&node.again(&user), &assume).await.unwrap().credential;
    let behalf = |token| Assertions {
        on_behalf_of: Some(session.access_key.as_str()),
        on_behalf_of_token: token,
        ..Assertions::default()
    };
    let caller = scene.asks(behalf(Some(&session.token))).await;
    assert_eq!(caller.identity.arn, format!("arn:aws:sts::{}:assumed-role/role/session", account()));
    assert_eq!(kind_of(node.sign_in_asserting(&scene.service, behalf(None)).await), Kind::AccessDenied);
    assert_eq!(kind_of(node.sign_in_asserting(&scene.service, behalf(Some("AAAA"))).await), Kind::AccessDenied);
    node.clock.advance_ms(3_600_000);
    assert_eq!(kind_of(node.sign_in_asserting(&scene.service, behalf(Some(&session.token))).await), Kind::ExpiredToken);
}

#[tokio::test]
async fn nobody_else_asks_on_anybodys_behalf() {
    let scene = Scene::new().await;
    let node = &scene.node;
    let stranger = node.create_account(&scene.deployment.administrator(), 42).await;
    let foreign = node.create_user(&stranger, "foreign", &[]).await;
    let user = node.create_user(&scene.root, "user", &[]).await;
    let of = |whom| Assertions { on_behalf_of: Some(whom), ..Assertions::default() };
    assert_eq!(kind_of(node.sign_in_asserting(&scene.deployment.tenant, of(&user.identity.arn)).await), Kind::AccessDenied);
    // Those whom it may name exist, and are no services.
    for nobody in [
        "arn:aws:iam::123456789012:user/absent",
        "arn:aws:iam::999999999999:root",
        "arn:aws:iam::999999999999:user/user",
        "arn:aws:iam::000000000000:user/s3",
        "arn:aws:iam::123456789012:role/user",
        "user",
        "",
    ] {
        assert_eq!(kind_of(node.sign_in_asserting(&scene.service, of(nobody)).await), Kind::AccessDenied, "{nobody}");
    }
    // A tenant's service works for the tenant.
    let local = create_service(node, &scene.deployment.administrator(), account(), "local").await;
    node.sign_in_asserting(&local, of(&user.identity.arn)).await.unwrap();
    assert_eq!(kind_of(node.sign_in_asserting(&local, of(&foreign.identity.arn)).await), Kind::AccessDenied);
    let open = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": S3}, "Action": "kms:*", "Resource": "*"}});
    let operation = kms::CreateKey { bypass_lockout_check: true, ..create_key(Some(open.to_string())) };
    let own = node.service.perform(&node.again(&scene.root), &operation).await.unwrap().arn();
    let other = node.service.perform(&node.again(&stranger), &operation).await.unwrap().arn();
    let (local, everywhere) = (node.sign_in(&local).await.unwrap(), node.sign_in(&scene.service).await.unwrap());
    node.encrypt(&local, &own).await.unwrap();
    assert_eq!(kind_of(node.encrypt(&local, &other).await), Kind::AccessDenied);
    for key in [&own, &other] {
        node.encrypt(&everywhere, key).await.unwrap();
    }
    // What others assert of their sources is not seen.
    let sourced = Assertions { source_arn: Some("arn:aws:s3:::bucket"), ..Assertions::default() };
    let root = node.sign_in_asserting(&scene.deployment.tenant, sourced).await.unwrap();
    let key = scene.create_key(json!("*"), json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}})).await;
    assert_eq!(kind_of(node.encrypt(&root, &key).await), Kind::AccessDenied);
}
