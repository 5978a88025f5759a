//! AssumeRole: a session of a role, for those whom the role's trust policy allows. Source: AWS STS API Reference, "AssumeRole"; AWS IAM
//! User Guide, "Pass session tags in AWS STS".

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use claviger_domain::identity::{Session, role_arn};
use claviger_domain::policy::{Denial, Policy, Values};
use claviger_domain::{AccountId, Caller, Kind, Refusal, RoleName, SessionName};
use serde_json::json;

use crate::conditions::{tagged, text};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::kms::tags::request_tag;
use crate::service::Service;
use crate::sessions::SessionCredential;
use crate::snapshot::RoleSnapshot;

/// The request.
pub struct AssumeRole {
    /// The role's ARN as it was named.
    pub role_arn: String,
    /// The role's account.
    pub account: AccountId,
    /// The role; none when the ARN is of a role that no deployment has, such as one with a path.
    pub role: Option<RoleName>,
    /// What the session shall be called.
    pub session_name: SessionName,
    /// How long it shall last, 900 to 43,200 seconds; an hour when absent.
    pub duration_seconds: Option<u32>,
    /// What limits the role's permissions in this session.
    pub policy: Option<String>,
    /// Session tags.
    pub tags: BTreeMap<String, String>,
    /// The keys of those tags that further sessions shall inherit.
    pub transitive: BTreeSet<String>,
    /// A word that the role's owner may have asked for.
    pub external_id: Option<String>,
}

/// The answer.
pub struct AssumedRole {
    /// The session's credential.
    pub credential: SessionCredential,
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    pub arn: String,
    /// `AROA...:SESSION`.
    pub id: String,
    /// How much of what policy and tags may take they take, in percent; none where there are none.
    pub packed_policy_size: Option<usize>,
}

/// What the request is about: the role, and what its session will carry.
pub struct Assumption {
    role: Arc<RoleSnapshot>,
    tags: BTreeMap<String, String>,
    transitive: BTreeSet<String>,
}

/// The length of a session that nobody asked to be longer or shorter, and the longest of one that comes from another session.
const HOUR_SECONDS: u32 = 3600;
/// Characters of a session policy, at most. Source: AWS IAM and STS quotas.
const POLICY_CHARACTERS_MAX: usize = 2048;
/// Session tags, at most. Source: AWS IAM and STS quotas.
const TAGS_MAX: usize = 50;
/// Bytes of session policy, tag keys and tag values together, so that a token fits into a header. AWS's limit is in a form that it does
/// not tell.
const PACKED_BYTES_MAX: usize = 4096;

impl Operation for AssumeRole {
    const EVENT: Event = Event::sts("AssumeRole");
    type Target = Assumption;
    type Output = AssumedRole;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<Assumption, Refusal> {
        if caller.identity.is_root() {
            return Err(Refusal::new(Kind::AccessDenied, "Roles may not be assumed by root accounts."));
        }
        // Before the role is looked for, so that what is wrong with the request is told whether or not there is such a role.
        let (tags, transitive) = self.session_tags(caller)?;
        let role = match &self.role {
            Some(name) => service.role(self.account, name).await?,
            None => None,
        };
        let Some(role) = role else {
            let denial = Denial::of_assumption(&caller.identity, "sts:AssumeRole", &self.role_arn);
            return Err(Refusal::new(Kind::AccessDenied, denial.message).with_reason(denial.reason));
        };
        Ok(Assumption { role, tags, transitive })
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, target: &'a Assumption) -> Vec<Ask<'a>> {
        let mut demands = vec![Ask::role("sts:AssumeRole", &target.role)];
        if !target.tags.is_empty() {
            demands.push(Ask::role("sts:TagSession", &target.role));
        }
        demands
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, target: &'a Assumption, key: &str) -> Values<'a> {
        let keys = |keys: Vec<&'a String>| match keys.is_empty() {
            true => Values::Absent,
            false => Values::Many(keys.into_iter().map(|key| Cow::Borrowed(key.as_str())).collect()),
        };
        match key {
            "sts:externalid" => self.external_id.as_deref().map_or(Values::Absent, text),
            "sts:rolesessionname" => text(self.session_name.as_str()),
            "sts:transitivetagkeys" => keys(target.transitive.iter().collect()),
            "aws:tagkeys" => keys(target.tags.keys().collect()),
            // The role's own tags are those of the resource.
            _ => match key.strip_prefix("aws:resourcetag/").or_else(|| key.strip_prefix("iam:resourcetag/")) {
                Some(tag) => tagged(tag, &target.role.role.tags),
                None => request_tag(&target.tags, key),
            },
        }
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &Assumption,
        _: Allowed<Self>,
    ) -> Result<Effect<AssumedRole>, Refusal> {
        let role = &target.role.role;
        let seconds = self.duration(caller, role.max_session_seconds)?;
        if let Some(policy) = &self.policy {
            if policy.chars().count() > POLICY_CHARACTERS_MAX {
                return Err(too_large(policy.len() + packed_bytes(&target.tags)));
            }
            Policy::parse_identity_policy(policy).map_err(|malformed| Refusal::malformed_policy(malformed.detail))?;
        }
        let packed = self.policy.as_ref().map_or(0, String::len) + packed_bytes(&target.tags);
        if packed > PACKED_BYTES_MAX {
            return Err(too_large(packed));
        }
        let issued = caller.request.at;
        let session = Session {
            account: role.account,
            role: role.name.clone(),
            role_id: role.unique_id.clone(),
            name: self.session_name.clone(),
            issued,
            expires: issued.plus_ms(i64::from(seconds) * 1000),
            policy: self.policy.clone(),
            tags: target.tags.clone(),
            transitive: target.transitive.clone(),
        };
        Ok(Effect::answer(AssumedRole {
            credential: service.begin_session(&session)?,
            arn: session.arn(),
            id: session.unique_id(),
            packed_policy_size: (packed > 0).then(|| percent(packed)),
        }))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            duration_seconds: self.duration_seconds,
            external_id: self.external_id.as_deref(),
            policy: self.policy.as_deref(),
            role_arn: Some(&self.role_arn),
            role_session_name: Some(self.session_name.as_str()),
            tags: (!self.tags.is_empty()).then_some(&self.tags),
            transitive_tag_keys: (!self.transitive.is_empty()).then(|| self.transitive.iter().map(String::as_str).collect()),
            ..Parameters::default()
        }
    }

    /// Without the token, which CloudTrail writes down: together with the secret it is the credential.
    fn response_elements(assumed: &AssumedRole) -> Option<serde_json::Value> {
        Some(json!({
            "assumedRoleUser": {"arn": assumed.arn, "assumedRoleId": assumed.id},
            "credentials": {
                "accessKeyId": assumed.credential.access_key.as_str(),
                "expiration": assumed.credential.expires.to_rfc3339(),
            },
        }))
    }
}

impl AssumeRole {
    /// The tags of the session: those of the request, and those that the caller's own session hands on.
    fn session_tags(&self, caller: &Caller) -> Result<(BTreeMap<String, String>, BTreeSet<String>), Refusal> {
        let (mut tags, mut transitive) = (self.tags.clone(), self.transitive.clone());
        if let Some(missing) = transitive.iter().find(|key| !tags.keys().any(|tag| tag.eq_ignore_ascii_case(key))) {
            return Err(Refusal::invalid(format!(
                "The specified transitive tag key must be included in the requested tags: {missing}."
            )));
        }
        if let Some(session) = &caller.identity.session {
            for key in &session.transitive {
                if tags.keys().any(|tag| tag.eq_ignore_ascii_case(key)) {
                    return Err(Refusal::invalid(format!(
                        "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the \
                         calling session: {key}."
                    )));
                }
                if let Some((key, value)) = session.tags.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(key)) {
                    tags.insert(key.clone(), value.clone());
                    transitive.insert(key.clone());
                }
            }
        }
        if tags.len() > TAGS_MAX {
            return Err(Refusal::invalid(format!("A session has at most {TAGS_MAX} tags, inherited ones included.")));
        }
        Ok((tags, transitive))
    }

    fn duration(&self, caller: &Caller, max_session_seconds: u32) -> Result<u32, Refusal> {
        let seconds = self.duration_seconds.unwrap_or(HOUR_SECONDS);
        if seconds > max_session_seconds {
            return Err(Refusal::invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
        }
        if caller.identity.session.is_some() && seconds > HOUR_SECONDS {
            return Err(Refusal::invalid(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
            ));
        }
        Ok(seconds)
    }

    /// `arn:aws:iam::ACCOUNT:role/NAME`, taken apart; the name is none where no role can have it. None for what is no ARN of a role.
    pub fn parse_role_arn(arn: &str) -> Option<(AccountId, Option<RoleName>)> {
        let (account, resource) = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?;
        let (account, name) = (account.parse().ok()?, resource.strip_prefix("role/").filter(|name| !name.is_empty())?);
        let role = name.parse().ok();
        debug_assert!(role.as_ref().is_none_or(|role| role_arn(account, role) == arn), "{arn}");
        Some((account, role))
    }
}

fn packed_bytes(tags: &BTreeMap<String, String>) -> usize {
    tags.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn percent(bytes: usize) -> usize {
    (bytes * 100).div_ceil(PACKED_BYTES_MAX)
}

fn too_large(bytes: usize) -> Refusal {
    let detail = format!("Packed policy consumes {}% of allotted space, please use smaller policy.", percent(bytes));
    Refusal::new(Kind::PackedPolicyTooLarge, detail)
}
