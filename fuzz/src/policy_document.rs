//! Reads a policy document in every way, and evaluates what is accepted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_domain::identity::User;
use claviger_domain::policy::{
    ConditionContext, Demand, Granted, MalformedPolicy, NamedPolicy, Policy, Values, authorize, default_key_policy,
};
use claviger_domain::{AccountId, Identity, KeyId, Timestamp};

const KEY_ARN: &str = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Whether the input is a policy of any kind.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let key_policy = Policy::parse_key_policy(text);
    let identity_policy = Policy::parse_identity_policy(text);
    let accepted = key_policy.is_ok() || identity_policy.is_ok() || Policy::parse_trust_policy(text).is_ok();
    if accepted {
        assert!(text.len() <= Policy::TEXT_BYTES_MAX, "a policy of {} bytes was accepted", text.len());
    }
    match key_policy {
        Ok(policy) => evaluate(&policy, Vec::new()),
        Err(complaint) => check_complaint(&complaint, text),
    }
    match identity_policy {
        Ok(policy) => {
            let delegating = Policy::parse_key_policy(&default_key_policy(account()));
            evaluate(
                &delegating.expect("the default key policy is one"),
                vec![NamedPolicy { name: "p".into(), policy: Arc::new(policy) }],
            );
        }
        Err(complaint) => check_complaint(&complaint, text),
    }
    accepted
}

/// Two callers, two actions: the same question has the same answer, and every answer has its reason.
fn evaluate(key_policy: &Policy, identity_policies: Vec<NamedPolicy>) {
    let user = User {
        account: account(),
        name: "alice".parse().expect("a user name"),
        unique_id: "AIDAEXAMPLEEXAMPLE12".into(),
        created: Timestamp(0),
        policies: BTreeMap::new(),
        tags: BTreeMap::new(),
        service: None,
    };
    let user = Identity::user(&user, identity_policies);
    let key: KeyId = "1234abcd-12ab-34cd-56ef-1234567890ab".parse().expect("a key id");
    for identity in [&user, &Identity::root(account())] {
        for action in ["kms:Decrypt", "kms:PutKeyPolicy"] {
            let demand =
                Demand { action, resource: KEY_ARN, owner: account(), key: Some((key, key_policy)), granted: Granted::Nothing };
            match (authorize(identity, &demand, &Circumstances), authorize(identity, &demand, &Circumstances)) {
                (Ok(_), Ok(_)) => {}
                (Err(first), Err(second)) => {
                    assert_eq!(first, second);
                    assert!(!first.message.is_empty() && !first.reason.is_empty());
                }
                _ => panic!("the same question has two answers"),
            }
        }
    }
}

fn check_complaint(complaint: &MalformedPolicy, text: &str) {
    assert!(!complaint.detail.is_empty());
    assert!(complaint.detail.len() <= text.len() + 1000, "{}", complaint.detail);
}

fn account() -> AccountId {
    AccountId::from_number(123_456_789_012).expect("twelve digits")
}

/// A request that has some condition keys and lacks others, depending on nothing but their names.
struct Circumstances;

impl ConditionContext for Circumstances {
    fn values(&self, key: &str) -> Values<'_> {
        match key.to_ascii_lowercase().as_str() {
            "aws:sourceip" => Values::One(Cow::Borrowed("192.0.2.7")),
            "aws:currenttime" => Values::One(Cow::Borrowed("2026-11-22T10:53:33Z")),
            "aws:securetransport" => Values::One(Cow::Borrowed("true")),
            "kms:encryptioncontextkeys" => Values::Many(vec![Cow::Borrowed("tenant"), Cow::Borrowed("purpose")]),
            "kms:resourcealiases" => Values::Many(Vec::new()),
            "aws:multifactorauthage" => Values::One(Cow::Borrowed("-1.5e3")),
            other if other.len() % 2 == 0 => Values::One(Cow::Borrowed("value")),
            _ => Values::Absent,
        }
    }
}
