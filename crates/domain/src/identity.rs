//! Who asks: the account root or a user, with the policies that are attached to them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{AccessKeyId, AccountId, UserName};
use crate::key::base64_bytes;
use crate::policy::Policy;
use crate::timestamp::Timestamp;

/// Who a credential belongs to, within its account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "is", content = "name")]
pub enum Principal {
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
    /// Root or a user.
    pub principal: Principal,
    /// `arn:aws:iam::ACCOUNT:root` or `arn:aws:iam::ACCOUNT:user/NAME`.
    pub arn: String,
    /// The stable id that outlives names: the account id for root, `AIDA...` for a user.
    pub unique_id: String,
    /// The user's identity policies, parsed. Empty for root, which every identity-side check allows.
    pub policies: Vec<Arc<Policy>>,
}

impl Identity {
    /// The account's root.
    pub fn root(account: AccountId) -> Self {
        Self { account, principal: Principal::Root, arn: root_arn(account), unique_id: account.to_string(), policies: Vec::new() }
    }

    /// A user with its identity policies.
    pub fn user(user: &User, policies: Vec<Arc<Policy>>) -> Self {
        Self {
            account: user.account,
            principal: Principal::User(user.name.clone()),
            arn: user.arn(),
            unique_id: user.unique_id.clone(),
            policies,
        }
    }

    /// Whether this is the account's root.
    pub fn is_root(&self) -> bool {
        self.principal == Principal::Root
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

/// A tenant's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// A name for people.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
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
}

impl User {
    /// `arn:aws:iam::ACCOUNT:user/NAME`.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:user/{}", self.account, self.name)
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
    pub owner: Principal,
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
