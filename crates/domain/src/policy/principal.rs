//! Whom a key policy names, and whether that means the caller. Source: AWS IAM User Guide, "AWS JSON policy elements: Principal" and
//! "NotPrincipal".

use std::fmt;

use super::MalformedPolicy;
use super::json::Json;
use crate::grant::GrantPrincipal;
use crate::identity::{Identity, Principal, role_arn, root_arn};
use crate::ids::{AccountId, UserName};

/// Somebody whom a key policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalName {
    /// `"*"` or `{"AWS": "*"}`: every principal of every account.
    Everyone,
    /// An account, by its id or by the ARN of its root. Allowing it lets its identity policies decide; denying it denies all its users.
    Account(AccountId),
    /// `arn:aws:iam::ACCOUNT:user/NAME`.
    User(AccountId, UserName),
    /// `arn:aws:iam::ACCOUNT:user/PATH/NAME`: the ARN. Users of this deployment have no paths, so it names nobody.
    UserWithPath(AccountId, Box<str>),
    /// `arn:aws:iam::ACCOUNT:role/[PATH/]NAME`: what follows `role/`.
    Role(AccountId, Box<str>),
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`: what follows `assumed-role/`.
    AssumedRole(AccountId, Box<str>),
    /// `arn:aws:sts::ACCOUNT:federated-user/NAME`: what follows `federated-user/`.
    FederatedUser(AccountId, Box<str>),
    /// A unique id such as `AIDA...` or `AROA...`, which AWS writes in place of the ARN of a principal that was deleted.
    UniqueId(Box<str>),
    /// A service: `logs.us-east-1.amazonaws.com`.
    Service(Box<str>),
    /// An identity provider.
    Federated(Box<str>),
    /// A canonical user id, as S3 knows accounts.
    CanonicalUser(Box<str>),
}

impl PrincipalName {
    /// Reads the ARN of a principal that a grant may name: an account's root, a user, a role, a session of a role, a federated user.
    pub fn parse_arn(text: &str) -> Option<Self> {
        if text.starts_with("arn:") { parse_aws(text) } else { None }
    }

    /// The account that whoever is named belongs to, where the name tells.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Account(account)
            | Self::User(account, _)
            | Self::UserWithPath(account, _)
            | Self::Role(account, _)
            | Self::AssumedRole(account, _)
            | Self::FederatedUser(account, _) => Some(*account),
            Self::Everyone | Self::UniqueId(_) | Self::Service(_) | Self::Federated(_) | Self::CanonicalUser(_) => None,
        }
    }

    /// Under which member of `Principal` policies write this name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Service(_) => "Service",
            Self::Federated(_) => "Federated",
            Self::CanonicalUser(_) => "CanonicalUser",
            _ => "AWS",
        }
    }

    /// How this name reaches a caller.
    fn reach(&self, identity: &Identity) -> Reach {
        match (self, &identity.principal) {
            // Somebody else's cloud is not everyone: no policy but its store's own speaks about it.
            (_, Principal::Store(_)) => Reach::Nobody,
            (Self::Everyone, _) => Reach::Caller,
            (Self::Service(name), Principal::Service(caller)) if **name == *caller.as_str() => Reach::Caller,
            // A service belongs to no account, as far as policies can see.
            (_, Principal::Service(_)) => Reach::Nobody,
            (Self::Account(account), principal) if *account == identity.account => {
                if *principal == Principal::Root {
                    Reach::Caller
                } else {
                    Reach::Account
                }
            }
            (Self::User(account, name), Principal::User(caller)) if *account == identity.account && name == caller => {
                Reach::Caller
            }
            (Self::UniqueId(id), Principal::User(_)) if **id == *identity.unique_id => Reach::Caller,
            (Self::Role(account, name), Principal::AssumedRole { role, .. })
                if *account == identity.account && **name == *role.as_str() =>
            {
                Reach::Caller
            }
            (Self::UniqueId(id), Principal::AssumedRole { .. })
                if identity.session.as_ref().is_some_and(|session| **id == *session.role_id) =>
            {
                Reach::Caller
            }
            (Self::AssumedRole(account, name), Principal::AssumedRole { role, session })
                if *account == identity.account && name.split_once('/') == Some((role.as_str(), session.as_str())) =>
            {
                Reach::Session
            }
            _ => Reach::Nobody,
        }
    }
}

/// As policies write it; accounts by the ARN of their root.
impl fmt::Display for PrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("*"),
            Self::Account(account) => f.write_str(&root_arn(*account)),
            Self::User(account, user) => write!(f, "arn:aws:iam::{account}:user/{user}"),
            Self::Role(account, role) => write!(f, "arn:aws:iam::{account}:role/{role}"),
            Self::AssumedRole(account, session) => write!(f, "arn:aws:sts::{account}:assumed-role/{session}"),
            Self::FederatedUser(account, name) => write!(f, "arn:aws:sts::{account}:federated-user/{name}"),
            Self::UserWithPath(_, name)
            | Self::UniqueId(name)
            | Self::Service(name)
            | Self::Federated(name)
            | Self::CanonicalUser(name) => f.write_str(name),
        }
    }
}

/// The names under which grants know a caller, each with how far it reaches towards it. Grants are looked up by these names, so whoever
/// adds a kind of caller adds its names here. Keep in step with [`PrincipalName::reach`].
pub(super) fn reaching_names(identity: &Identity) -> Vec<(GrantPrincipal, Reach)> {
    let account = GrantPrincipal::Principal(root_arn(identity.account));
    match &identity.principal {
        Principal::Root => vec![(account, Reach::Caller)],
        Principal::User(_) => vec![(GrantPrincipal::Principal(identity.arn.clone()), Reach::Caller), (account, Reach::Account)],
        Principal::AssumedRole { role, .. } => vec![
            (GrantPrincipal::Principal(identity.arn.clone()), Reach::Session),
            (GrantPrincipal::Principal(role_arn(identity.account, role)), Reach::Caller),
            (account, Reach::Account),
        ],
        Principal::Service(name) => vec![(GrantPrincipal::Service(name.to_string()), Reach::Caller)],
        Principal::Store(_) => Vec::new(),
    }
}

/// The names of grantee and retiring principals that mean this caller or its account.
pub fn names_in_grants(identity: &Identity) -> Vec<GrantPrincipal> {
    reaching_names(identity).into_iter().map(|(name, _)| name).collect()
}

/// How far a statement's principals reach towards a caller, from not at all to by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// The caller is not meant.
    Nobody,
    /// The caller's account is meant.
    Account,
    /// The caller itself is meant: by name, by its role's name, or because everyone is.
    Caller,
    /// This one session of a role is meant by name. A session policy does not limit what is given to it.
    Session,
}

/// The `Principal` or `NotPrincipal` of a statement.
#[derive(Debug)]
pub(super) enum Principals {
    /// An identity policy's statement: whoever it is attached to.
    Holder,
    /// `Principal`.
    Only(Box<[PrincipalName]>),
    /// `NotPrincipal`, which goes with `Deny` alone.
    Except(Box<[PrincipalName]>),
}

impl Principals {
    /// Everybody who is named.
    pub(super) fn names(&self) -> &[PrincipalName] {
        match self {
            Self::Holder => &[],
            Self::Only(names) | Self::Except(names) => names,
        }
    }

    /// How far an allowing statement reaches.
    pub(super) fn reach(&self, identity: &Identity) -> Reach {
        match self {
            Self::Holder => Reach::Caller,
            Self::Only(names) => names.iter().map(|name| name.reach(identity)).max().unwrap_or(Reach::Nobody),
            Self::Except(_) => Reach::Nobody,
        }
    }

    /// Whether a denying statement hits the caller. A denied account denies all its users. Only those are spared by `NotPrincipal` who
    /// are named together with their account: AWS checks the account first, then the user or role, then the session, and any of them
    /// not being named is a denial. A service has no account.
    pub(super) fn hit(&self, identity: &Identity) -> bool {
        match self {
            Self::Except(names) => {
                let everyone = names.contains(&PrincipalName::Everyone);
                let named = |reach| everyone || names.iter().any(|name| name.reach(identity) == reach);
                let account = everyone || names.contains(&PrincipalName::Account(identity.account));
                let spared = match identity.principal {
                    Principal::Root | Principal::User(_) => account && named(Reach::Caller),
                    Principal::AssumedRole { .. } => account && named(Reach::Caller) && named(Reach::Session),
                    Principal::Service(_) => named(Reach::Caller),
                    Principal::Store(_) => false,
                };
                !spared
            }
            named => named.reach(identity) != Reach::Nobody,
        }
    }
}

/// Reads the value of `Principal` or `NotPrincipal`.
///
/// # Errors
/// AWS's text for invalid principals, followed by which one it is.
pub(super) fn parse(value: Json) -> Result<Box<[PrincipalName]>, MalformedPolicy> {
    let kinds = match value {
        Json::Text(text) if text == "*" => return Ok(Box::new([PrincipalName::Everyone])),
        Json::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return Err(invalid("use \"*\" or an object such as {\"AWS\": \"arn:aws:iam::111122223333:root\"}")),
    };
    let mut names = Vec::new();
    for (kind, value) in kinds {
        let parse_one: fn(&str) -> Option<PrincipalName> = match kind.as_str() {
            "AWS" => parse_aws,
            "Service" => |text| is_plain(text).then(|| PrincipalName::Service(text.into())),
            "Federated" => |text| is_plain(text).then(|| PrincipalName::Federated(text.into())),
            "CanonicalUser" => |text| is_plain(text).then(|| PrincipalName::CanonicalUser(text.into())),
            _ => return Err(invalid(&format!("unknown kind {kind:?}; there are AWS, Service, Federated and CanonicalUser"))),
        };
        let before = names.len();
        for text in texts(value)? {
            names.push(parse_one(&text).ok_or_else(|| invalid(&format!("{text:?} is not a principal of kind {kind}")))?);
        }
        if names.len() == before {
            return Err(invalid(&format!("{kind} names nobody")));
        }
    }
    Ok(names.into())
}

fn invalid(what: &str) -> MalformedPolicy {
    MalformedPolicy::new(format!("{} {what}", MalformedPolicy::invalid_principals().detail))
}

fn texts(value: Json) -> Result<Vec<String>, MalformedPolicy> {
    let items = match value {
        Json::List(items) => items,
        single => vec![single],
    };
    items
        .into_iter()
        .map(|item| match item {
            Json::Text(text) => Ok(text),
            _ => Err(invalid("a principal is a text")),
        })
        .collect()
}

/// Names of services and providers: something visible without wildcards, which AWS does not allow inside a principal.
fn is_plain(text: &str) -> bool {
    (1..=2048).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'*' && b != b'?')
}

fn parse_aws(text: &str) -> Option<PrincipalName> {
    if text == "*" {
        return Some(PrincipalName::Everyone);
    }
    if let Ok(account) = text.parse() {
        return Some(PrincipalName::Account(account));
    }
    if !is_plain(text) {
        return None;
    }
    if let Some(rest) = text.strip_prefix("arn:aws:iam::") {
        return parse_iam(text, rest);
    }
    if let Some(rest) = text.strip_prefix("arn:aws:sts::") {
        let (account, resource) = split_account(rest)?;
        if let Some(session) = resource.strip_prefix("assumed-role/") {
            let (role, name) = session.split_once('/')?;
            let whole = !role.is_empty() && !name.is_empty() && !name.contains('/');
            return whole.then(|| PrincipalName::AssumedRole(account, session.into()));
        }
        let name = resource.strip_prefix("federated-user/")?;
        return is_path_and_name(name).then(|| PrincipalName::FederatedUser(account, name.into()));
    }
    let is_id = (16..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    (is_id && (text.starts_with("AIDA") || text.starts_with("AROA"))).then(|| PrincipalName::UniqueId(text.into()))
}

fn parse_iam(arn: &str, rest: &str) -> Option<PrincipalName> {
    let (account, resource) = split_account(rest)?;
    if resource == "root" {
        return Some(PrincipalName::Account(account));
    }
    if let Some(name) = resource.strip_prefix("user/") {
        if name.contains('/') {
            return is_path_and_name(name).then(|| PrincipalName::UserWithPath(account, arn.into()));
        }
        return name.parse().ok().map(|name| PrincipalName::User(account, name));
    }
    let role = resource.strip_prefix("role/")?;
    is_path_and_name(role).then(|| PrincipalName::Role(account, role.into()))
}

fn split_account(text: &str) -> Option<(AccountId, &str)> {
    let (account, resource) = text.split_once(':')?;
    Some((account.parse().ok()?, resource))
}

/// `[path/...]name`, no part of which is empty.
fn is_path_and_name(text: &str) -> bool {
    text.split('/').all(|part| !part.is_empty())
}
