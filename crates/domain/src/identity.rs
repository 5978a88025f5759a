//! Who asks: the account root, a user, a session of a role, or a service, with the policies that are attached to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::availability::Availability;
use crate::hyok::HyokStore;
use crate::ids::{AccessKeyId, AccountId, HyokStoreName, RoleName, ServiceName, SessionName, UserName};
use crate::key::base64_bytes;
use crate::policy::{NamedPolicy, Policy};
use crate::timestamp::Timestamp;

/// Who asks, within an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// The account itself.
    Root,
    /// A user of the account.
    User(UserName),
    /// A session of a role of the account.
    AssumedRole {
        /// The role.
        role: RoleName,
        /// The session.
        session: SessionName,
    },
    /// A user that is marked as a service, and asks for itself.
    Service(ServiceName),
    /// A hold-your-own-key store of the account, whose credential somebody else's cloud has. It reaches the keys behind it, and nothing else.
    Store(HyokStoreName),
}

/// Who a long-lived credential belongs to, within its account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "is", content = "name")]
pub enum Owner {
    /// The account itself.
    Root,
    /// A user of the account.
    User(UserName),
}

/// A principal as policies see it: its account, its ARN, and what its identity policies allow.
#[derive(Debug)]
pub struct Identity {
    /// The account it belongs to.
    pub account: AccountId,
    /// Who it is there.
    pub principal: Principal,
    /// `arn:aws:iam::ACCOUNT:root`, `arn:aws:iam::ACCOUNT:user/NAME` or `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    pub arn: String,
    /// The stable id that outlives names: the account id for root, `AIDA...` for a user, `AROA...:SESSION` for a session.
    pub unique_id: String,
    /// The identity policies of the user or role, parsed. Empty for root, which every identity-side check allows, and for services, which
    /// have none.
    pub policies: Vec<NamedPolicy>,
    /// The tags of the user or role, and over them those of the session.
    pub tags: BTreeMap<String, String>,
    /// The session of a role.
    pub session: Option<Arc<Session>>,
    /// The policy that limits the session, parsed.
    pub session_policy: Option<Arc<Policy>>,
}

impl Identity {
    /// The account's root.
    pub fn root(account: AccountId) -> Self {
        Self::bare(account, Principal::Root, root_arn(account), account.to_string())
    }

    /// A user with its identity policies; the service, where the user is marked as one.
    pub fn user(user: &User, policies: Vec<NamedPolicy>) -> Self {
        match &user.service {
            Some(service) => Self::bare(user.account, Principal::Service(service.clone()), user.arn(), user.unique_id.clone()),
            None => Self {
                policies,
                tags: user.tags.clone(),
                ..Self::bare(user.account, Principal::User(user.name.clone()), user.arn(), user.unique_id.clone())
            },
        }
    }

    /// A session of a role with the role's identity policies and the session's own.
    pub fn assumed_role(
        role: &Role,
        policies: Vec<NamedPolicy>,
        session: Arc<Session>,
        session_policy: Option<Arc<Policy>>,
    ) -> Self {
        let principal = Principal::AssumedRole { role: role.name.clone(), session: session.name.clone() };
        let mut tags = role.tags.clone();
        // Keys of tags are compared without regard to case.
        tags.retain(|key, _| !session.tags.keys().any(|other| other.eq_ignore_ascii_case(key)));
        tags.extend(session.tags.clone());
        let (arn, unique_id) = (session.arn(), session.unique_id());
        Self { policies, tags, session: Some(session), session_policy, ..Self::bare(role.account, principal, arn, unique_id) }
    }

    /// A hold-your-own-key store. Its id outlives no store: one of the same name that is made later has another.
    pub fn store(store: &HyokStore) -> Self {
        let arn = store.arn();
        let unique_id = format!("{arn}#{}", store.created.0);
        Self::bare(store.account, Principal::Store(store.name.clone()), arn, unique_id)
    }

    fn bare(account: AccountId, principal: Principal, arn: String, unique_id: String) -> Self {
        Self {
            account,
            principal,
            arn,
            unique_id,
            policies: Vec::new(),
            tags: BTreeMap::new(),
            session: None,
            session_policy: None,
        }
    }

    /// Whether this is the account's root.
    pub fn is_root(&self) -> bool {
        self.principal == Principal::Root
    }

    /// Whether this is a service that asks for itself.
    pub fn is_service(&self) -> bool {
        matches!(self.principal, Principal::Service(_))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

/// `arn:aws:iam::ACCOUNT:root`.
pub fn root_arn(account: AccountId) -> String {
    format!("arn:aws:iam::{account}:root")
}

/// `arn:aws:iam::ACCOUNT:role/NAME`.
pub fn role_arn(account: AccountId, role: &RoleName) -> String {
    format!("arn:aws:iam::{account}:role/{role}")
}

/// A tenant's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// A name for people.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Whether nodes that cannot reach the store may use its keys, those aside that say something else themselves; none for the default, strict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
}

/// A user's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The account it belongs to.
    pub account: AccountId,
    /// Its name within the account.
    pub name: UserName,
    /// The stable id that outlives the name: `AIDA...`.
    pub unique_id: String,
    /// When it was made.
    pub created: Timestamp,
    /// Identity policies by name, as written.
    pub policies: BTreeMap<String, String>,
    /// Tags, which conditions see as `aws:PrincipalTag/KEY`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The service that this user is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
}

impl User {
    /// `arn:aws:iam::ACCOUNT:user/NAME`.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:user/{}", self.account, self.name)
    }
}

/// A role's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The account it belongs to.
    pub account: AccountId,
    /// Its name within the account.
    pub name: RoleName,
    /// The stable id that outlives the name: `AROA...`.
    pub unique_id: String,
    /// When it was made.
    pub created: Timestamp,
    /// Free text, at most 1,000 characters.
    pub description: String,
    /// Who may assume it, as written.
    pub trust_policy: String,
    /// Identity policies by name, as written.
    pub policies: BTreeMap<String, String>,
    /// Tags, which conditions see as `aws:PrincipalTag/KEY`.
    pub tags: BTreeMap<String, String>,
    /// The longest session that may be asked for, in seconds: 3,600 to 43,200.
    pub max_session_seconds: u32,
}

impl Role {
    /// `arn:aws:iam::ACCOUNT:role/NAME`.
    pub fn arn(&self) -> String {
        role_arn(self.account, &self.name)
    }
}

/// A session of a role. It is stored nowhere: its token carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The role's account.
    pub account: AccountId,
    /// The role.
    pub role: RoleName,
    /// The role's unique id: a role that was deleted and made anew is another one.
    pub role_id: String,
    /// The session's name.
    pub name: SessionName,
    /// When it began.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// What limits the role's permissions in this session, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Session tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The keys of those tags that sessions of roles assumed from this one inherit.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub transitive: BTreeSet<String>,
}

impl Session {
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    pub fn arn(&self) -> String {
        format!("arn:aws:sts::{}:assumed-role/{}/{}", self.account, self.role, self.name)
    }

    /// `AROA...:SESSION`.
    pub fn unique_id(&self) -> String {
        format!("{}:{}", self.role_id, self.name)
    }
}

/// An access key's record. The secret is sealed: only the hsm crate can open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// The public half: `AKIA...`.
    pub id: AccessKeyId,
    /// The account of its owner.
    pub account: AccountId,
    /// Its owner.
    pub owner: Owner,
    /// Whether it may be used.
    pub active: bool,
    /// When it was made.
    pub created: Timestamp,
    /// The version of the account key that the secret is sealed under.
    pub account_key_version: u32,
    /// The secret half, sealed under the account key.
    #[serde(with = "base64_bytes")]
    pub sealed_secret: Vec<u8>,
}
