//! Nobody has more, or asks more often, than the quotas say; and whoever is refused is in the log.

use std::collections::HashMap;
use std::sync::Arc;

use claviger_domain::caller::Request;
use claviger_domain::key::EncryptionAlgorithm;
use claviger_domain::{AccountId, Caller, KeyArn, Kind, Refusal};
use claviger_service::Settings;
use claviger_service::operation::Event;
use claviger_service::operations::{admin, kms};
use claviger_service::quotas::{AccountQuotas, Quotas, Rate, RateClass, Rates, ResourceQuotas};
use claviger_store::Store;

use crate::common::operations::{Subject, TRIALS, re_encrypt};
use crate::common::{
    Deployment, NODE, Node, account, alias, by_arn, create_key, create_role, create_user, generate_random, key_policy, kind_of,
    root_arn, trust_policy,
};

const THROTTLED: &str = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";

fn rates(of: &[(&str, f64)]) -> AccountQuotas {
    let mut rates = Rates::unlimited();
    for (name, rate) in of {
        rates.set(RateClass::parse(name).unwrap(), Rate::per_second(*rate));
    }
    AccountQuotas { rates: Arc::new(rates), ..AccountQuotas::default() }
}

async fn serve(deployment: &Deployment, every: AccountQuotas) -> Node {
    let store = deployment.store();
    let port = Arc::clone(&store) as Arc<dyn Store>;
    let settings = Settings { quotas: Quotas { every, accounts: HashMap::new() }, ..Settings::for_node(NODE) };
    deployment.serve_through(store, port, settings).await.unwrap()
}

async fn describe(node: &Node, caller: &Caller, key: &KeyArn) -> Result<(), Refusal> {
    node.describe(caller, key).await.map(drop)
}

#[tokio::test]
async fn too_many_requests_are_refused_until_time_has_passed() {
    let deployment = Deployment::new().await;
    let node = serve(&deployment, rates(&[("DescribeKey", 3.0), ("CreateKey", 1.0)])).await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    for _ in 0..3 {
        describe(&node, &root, &key).await.unwrap();
    }
    let refusal = describe(&node, &root, &key).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.detail.as_str()), (Kind::Throttled, THROTTLED));
    // Other operations have a rate of their own, or none.
    node.encrypt(&root, &key).await.unwrap();
    node.clock.advance_ms(333);
    assert_eq!(describe(&node, &root, &key).await.unwrap_err().kind, Kind::Throttled);
    node.clock.advance_ms(1);
    describe(&node, &root, &key).await.unwrap();
    assert_eq!(describe(&node, &root, &key).await.unwrap_err().kind, Kind::Throttled);
    node.clock.advance_ms(60_000);
    for _ in 0..3 {
        describe(&node, &root, &key).await.unwrap();
    }
    assert_eq!(describe(&node, &root, &key).await.unwrap_err().kind, Kind::Throttled);
}

#[tokio::test]
async fn a_throttled_request_does_nothing_but_leave_its_entry() {
    let deployment = Deployment::new().await;
    let node = serve(&deployment, rates(&[("CreateKey", 1.0)])).await;
    let root = deployment.root();
    node.create_key(&root).await;
    let before = node.records().await;
    let caller = node.again(&root);
    assert_eq!(kind_of(node.service.perform(&caller, &create_key(None)).await), Kind::Throttled);
    assert_eq!(node.records().await, before);
    let entries = node.entries_of(&caller).await;
    let [entry] = entries.as_slice() else { panic!("one entry, not {}", entries.len()) };
    assert_eq!(entry.json["eventName"], "CreateKey");
    assert_eq!(entry.json["errorCode"], "ThrottlingException");
    assert_eq!(entry.json["errorMessage"], THROTTLED);
    assert_eq!(entry.json["userIdentity"]["accountId"], account().to_string());
    assert_eq!(entry.json["claviger"]["decision"]["basis"], "the request quota CreateKey is used up");
    // What was asked is left out: nobody looked at it, and the log shall not grow by what a client repeats.
    assert!(entry.json.get("requestParameters").is_none() && entry.json.get("resources").is_none());
}

#[tokio::test]
async fn the_account_that_asks_is_counted_not_the_one_that_owns_the_key() {
    let deployment = Deployment::new().await;
    let node = serve(&deployment, rates(&[("cryptographic_symmetric", 2.0)])).await;
    let root = deployment.root();
    let stranger = node.create_account(&deployment.administrator(), 42).await;
    let policy =
        key_policy(&[("Allow", &root_arn(account()), "kms:*"), ("Allow", &root_arn(stranger.identity.account), "kms:*")]);
    let key = node.create_key_with(&root, Some(policy)).await;
    for _ in 0..2 {
        node.encrypt(&stranger, &key).await.unwrap();
    }
    assert_eq!(kind_of(node.encrypt(&stranger, &key).await), Kind::Throttled);
    for _ in 0..2 {
        node.encrypt(&root, &key).await.unwrap();
    }
    assert_eq!(kind_of(node.encrypt(&root, &key).await), Kind::Throttled);
    let mut elsewhere = node.again(&root);
    elsewhere.request.region = "eu-central-1".parse().unwrap();
    node.service.perform(&elsewhere, &generate_random(1)).await.unwrap();
}

#[tokio::test]
async fn requests_are_counted_before_anybody_asks_whether_they_are_allowed() {
    let deployment = Deployment::new().await;
    let node = serve(&deployment, rates(&[("DescribeKey", 1.0)])).await;
    let root = deployment.root();
    let key = node.create_key(&root).await;
    let nobody = node.create_user(&root, "nobody", &[]).await;
    assert_eq!(describe(&node, &nobody, &key).await.unwrap_err().kind, Kind::AccessDenied);
    assert_eq!(describe(&node, &nobody, &key).await.unwrap_err().kind, Kind::Throttled);
    assert_eq!(describe(&node, &root, &key).await.unwrap_err().kind, Kind::Throttled, "the account is counted, not its users");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_counts_too() {
    let deployment = Deployment::new().await;
    let node = serve(&deployment, rates(&[("DescribeKey", 1.0)])).await;
    let root = deployment.root();
    let event = Event::kms_read("DescribeKey");
    node.service.admit_unread(&node.again(&root), event).unwrap();
    assert_eq!(kind_of(node.service.admit_unread(&node.again(&root), event)), Kind::Throttled);
    node.service.admit_unread(&node.again(&root), Event::kms_read("Unknown")).unwrap();
}

#[tokio::test]
async fn the_kind_of_key_that_a_request_names_decides_what_it_counts_against() {
    let deployment = Deployment::new().await;
    let node = serve(&deployment, rates(&[("cryptographic_rsa", 1.0), ("cryptographic_symmetric", 4.0)])).await;
    let root = deployment.root();
    let subject = Subject::new(&node, &root, &claviger_domain::policy::default_key_policy(account())).await;
    let rsa = kms::Encrypt {
        algorithm: EncryptionAlgorithm::RsaesOaepSha256,
        ..crate::common::encrypt(by_arn(&subject.key), b"attack at dawn")
    };
    // The key is not an RSA key, but the request says that it was.
    assert_ne!(kind_of(node.service.perform(&node.again(&root), &rsa).await), Kind::Throttled);
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &rsa).await), Kind::Throttled);
    // One of four was used when the subject was made.
    node.service.perform(&node.again(&root), &re_encrypt(&subject)).await.unwrap();
    let both = kms::ReEncrypt { destination_algorithm: EncryptionAlgorithm::RsaesOaepSha1, ..re_encrypt(&subject) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &both).await), Kind::Throttled, "by the RSA quota");
    node.encrypt(&root, &subject.key).await.unwrap();
    assert_eq!(kind_of(node.encrypt(&root, &subject.key).await), Kind::Throttled);
}

/// Every operation of AWS KMS has a rate in AWS, and administration has none here: whoever set one too low has to get in.
#[tokio::test]
async fn with_awss_rates_every_operation_is_limited() {
    let deployment = Deployment::new().await;
    let node = serve(&deployment, AccountQuotas::default()).await;
    let policy = claviger_domain::policy::default_key_policy(account());
    let subject = Subject::new(&node, &deployment.root(), &policy).await;
    node.shut_down().await;
    let mut slow = Rates::aws();
    RateClass::all().for_each(|class| slow.set(class, Rate::per_second(0.001)));
    let node = serve(&deployment, AccountQuotas { rates: Arc::new(slow), ..AccountQuotas::default() }).await;
    for (number, trial) in TRIALS.iter().enumerate() {
        let caller = |region: &str| {
            let again = node.again(&deployment.root());
            Caller { request: Request { region: region.parse().unwrap(), ..again.request.clone() }, ..again }
        };
        // A Region for each, so that shared quotas are not used up by the others. The first request may fail, the second is not looked at.
        let region = format!("x-trial-{number}");
        let first = (trial.run)(&node.service, &caller(&region), &subject).await;
        assert!(first.is_ok() || kind_of(first) != Kind::Throttled, "{}", trial.name);
        assert_eq!(kind_of((trial.run)(&node.service, &caller(&region), &subject).await), Kind::Throttled, "{}", trial.name);
    }
    for _ in 0..5 {
        let list = admin::ListUsers { account: None, limit: 10, marker: None };
        node.service.perform(&node.again(&deployment.root()), &list).await.unwrap();
    }
}

#[tokio::test]
async fn an_account_has_no_more_keys_aliases_and_users_than_it_may() {
    let deployment = Deployment::new().await;
    let resources =
        ResourceQuotas { keys: 3, aliases_per_key: 2, on_demand_rotations_per_key: 1, users: 1, roles: 1, ..Default::default() };
    let node = serve(&deployment, AccountQuotas { resources, ..AccountQuotas::default() }).await;
    let root = deployment.root();
    let perform_create = async |caller: &Caller| node.service.perform(&node.again(caller), &create_key(None)).await;
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(perform_create(&root).await.unwrap().arn());
    }
    let refusal = perform_create(&root).await.unwrap_err();
    assert_eq!(refusal.kind, Kind::LimitExceeded);
    assert_eq!(refusal.detail, "Key quota for this account in this region is 3, current usage is 3.");
    // Keys that wait for their deletion count; other Regions and accounts do not.
    let deletion = kms::ScheduleKeyDeletion { key: by_arn(&keys[2]), window_days: 7 };
    node.service.perform(&node.again(&root), &deletion).await.unwrap();
    assert_eq!(kind_of(perform_create(&root).await), Kind::LimitExceeded);
    let mut elsewhere = node.again(&root);
    elsewhere.request.region = "eu-central-1".parse().unwrap();
    node.service.perform(&elsewhere, &create_key(None)).await.unwrap();
    let stranger = node.create_account(&deployment.administrator(), 42).await;
    perform_create(&stranger).await.unwrap();

    let create = |name: &str, key| kms::CreateAlias { alias: alias(name), key: by_arn(key) };
    for (name, key) in [("a", &keys[0]), ("b", &keys[0]), ("c", &keys[1])] {
        node.service.perform(&node.again(&root), &create(name, key)).await.unwrap();
    }
    let refusal = node.service.perform(&node.again(&root), &create("d", &keys[0])).await.unwrap_err();
    assert_eq!(refusal.detail, "Aliases per key quota for this account in this region is 2, current usage is 2.");
    let update = kms::UpdateAlias { alias: alias("c"), key: by_arn(&keys[0]) };
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &update).await), Kind::LimitExceeded);

    let rotate = kms::RotateKeyOnDemand { key: by_arn(&keys[0]) };
    node.service.perform(&node.again(&root), &rotate).await.unwrap();
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &rotate).await), Kind::LimitExceeded);

    node.service.perform(&node.again(&root), &create_user("one")).await.unwrap();
    let refusal = node.service.perform(&node.again(&root), &create_user("two")).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.detail.as_str()), (Kind::LimitExceeded, "Cannot exceed quota for UsersPerAccount: 1"));
    let role = |name: &str| create_role(name, &trust_policy("*", &["sts:AssumeRole"]));
    node.service.perform(&node.again(&root), &role("one")).await.unwrap();
    let refusal = node.service.perform(&node.again(&root), &role("two")).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.detail.as_str()), (Kind::LimitExceeded, "Cannot exceed quota for RolesPerAccount: 1"));
}

/// Keys are not counted for each new one; near the quota they are.
#[tokio::test]
async fn the_quota_of_keys_is_kept_to_the_last_one() {
    let deployment = Deployment::new().await;
    for quota in [0, 1, 2, 5, 40] {
        let resources = ResourceQuotas { keys: quota, ..ResourceQuotas::default() };
        let node = serve(&deployment, AccountQuotas { resources, ..AccountQuotas::default() }).await;
        let mut root = deployment.root();
        root.request.region = format!("x-quota-{quota}").parse().unwrap();
        let mut made = 0;
        while node.service.perform(&Caller { request: root.request.clone(), ..root.clone() }, &create_key(None)).await.is_ok() {
            made += 1;
        }
        assert_eq!(made, quota);
        node.shut_down().await;
    }
    let id = AccountId::from_number(account().number()).unwrap();
    let node = serve(&deployment, AccountQuotas::default()).await;
    let count = |quota: u64| {
        let store = Arc::clone(&node.store);
        async move { store.count_in_scope(claviger_store::RecordKind::Key, id, &format!("x-quota-{quota}")).await.unwrap() }
    };
    assert_eq!(count(40).await, 40);
}

/// AWS IAM and STS quotas: counted without white space, over all policies of a user or a role. What is there already is not taken away.
#[tokio::test]
async fn identity_policies_are_counted_together_without_white_space() {
    let (deployment, node) = crate::common::deployed().await;
    let root = deployment.root();
    node.service.perform(&node.again(&root), &crate::common::create_user("user")).await.unwrap();
    let policy = |characters: usize, white: usize| {
        let empty = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":["arn:aws:kms:*:*:key/"]}}"#;
        empty.replace("key/", &format!("key/{}", "a".repeat(characters - empty.len()))) + &" ".repeat(white)
    };
    let put = |name: &str, policy: String| claviger_service::operations::admin::PutUserPolicy {
        account: None,
        user: "user".parse().unwrap(),
        policy_name: name.to_owned(),
        policy,
    };
    node.service.perform(&node.again(&root), &put("one", policy(2000, 3000))).await.unwrap();
    let refusal = node.service.perform(&node.again(&root), &put("two", policy(130, 0))).await.unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.detail.as_str()),
        (Kind::LimitExceeded, "Maximum policy size of 2048 bytes exceeded for user user")
    );
    node.service.perform(&node.again(&root), &put("one", policy(1900, 0))).await.unwrap();
    node.service.perform(&node.again(&root), &put("two", policy(130, 0))).await.unwrap();
    assert_eq!(kind_of(node.service.perform(&node.again(&root), &put("two", policy(149, 0))).await), Kind::LimitExceeded);
}
