//! What the policy tests share: callers, and a request's condition keys.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_domain::identity::{Role, Session, User};
use claviger_domain::policy::{ConditionContext, NamedPolicy, Policy, Values};
use claviger_domain::{AccountId, Identity, ServiceName, Timestamp};

/// The account that owns the key of these tests.
pub(crate) const OWNER: &str = "111111111111";
/// Another account.
pub(crate) const OTHER: &str = "222222222222";
/// The key's id.
pub(crate) const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
/// The key's ARN.
pub(crate) const KEY_ARN: &str = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// The condition keys of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(pub(crate) Vec<(String, Held)>);

/// What a condition key holds.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    One(String),
    Many(Vec<String>),
}

impl Keys {
    /// Single-valued keys.
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(key, value)| ((*key).to_owned(), Held::One((*value).to_owned()))).collect())
    }

    /// The same with a multivalued key.
    pub(crate) fn with_many(mut self, key: &str, values: &[&str]) -> Self {
        self.0.push((key.to_owned(), Held::Many(values.iter().map(|value| (*value).to_owned()).collect())));
        self
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Held> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, held)| held)
    }
}

impl ConditionContext for Keys {
    fn values(&self, key: &str) -> Values<'_> {
        match self.get(key) {
            None => Values::Absent,
            Some(Held::One(value)) => Values::One(Cow::Borrowed(value)),
            Some(Held::Many(values)) => Values::Many(values.iter().map(|value| Cow::Borrowed(value.as_str())).collect()),
        }
    }
}

pub(crate) fn account(text: &str) -> AccountId {
    text.parse().unwrap()
}

/// A user whose identity policies are these.
pub(crate) fn user(account_id: &str, name: &str, policies: &[&str]) -> Identity {
    Identity::user(&user_record(account_id, name, None), parsed(policies))
}

/// A user that is marked as a service.
pub(crate) fn service(account_id: &str, service: &str) -> Identity {
    Identity::user(&user_record(account_id, "service", Some(service.parse().unwrap())), Vec::new())
}

/// A session of a role whose identity policies are these, limited by a policy of its own.
pub(crate) fn session(account_id: &str, role: &str, name: &str, policies: &[&str], limit: Option<&str>) -> Identity {
    let role = Role {
        account: account(account_id),
        name: role.parse().unwrap(),
        unique_id: format!("AROA{}00000000", role.to_ascii_uppercase()),
        created: Timestamp(0),
        description: String::new(),
        trust_policy: String::new(),
        policies: BTreeMap::new(),
        tags: BTreeMap::new(),
        max_session_seconds: 3600,
    };
    let session = Session {
        account: role.account,
        role: role.name.clone(),
        role_id: role.unique_id.clone(),
        name: name.parse().unwrap(),
        issued: Timestamp(0),
        expires: Timestamp(3_600_000),
        policy: limit.map(str::to_owned),
        tags: BTreeMap::new(),
        transitive: Default::default(),
    };
    let limit = limit.map(|text| Arc::new(Policy::parse_identity_policy(text).expect(text)));
    Identity::assumed_role(&role, parsed(policies), Arc::new(session), limit)
}

fn user_record(account_id: &str, name: &str, service: Option<ServiceName>) -> User {
    User {
        account: account(account_id),
        name: name.parse().unwrap(),
        unique_id: format!("AIDA{}00000000", name.to_ascii_uppercase()),
        created: Timestamp(0),
        policies: BTreeMap::new(),
        tags: BTreeMap::new(),
        service,
    }
}

/// Called p1, p2 and on.
fn parsed(policies: &[&str]) -> Vec<NamedPolicy> {
    let named = |(number, text): (usize, &&str)| NamedPolicy {
        name: format!("p{number}").into(),
        policy: Arc::new(Policy::parse_identity_policy(text).expect(text)),
    };
    (1..).zip(policies).map(named).collect()
}

pub(crate) fn root(account_id: &str) -> Identity {
    Identity::root(account(account_id))
}
