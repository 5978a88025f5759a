//! Where policies' conditions take their values from. Asked only for what a condition mentions. Sources: AWS IAM User Guide, "AWS global
//! condition context keys"; AWS KMS Developer Guide, "AWS KMS condition keys".

use std::borrow::Cow;

use claviger_domain::policy::{ConditionContext, Values};
use claviger_domain::{Caller, Principal};

use crate::operation::{Ask, Operation};
use crate::recipient;
use crate::snapshot::KeySnapshot;

const RESOURCE_TAG: &str = "aws:resourcetag/";

/// The circumstances of one demand of one request.
pub(crate) struct Conditions<'a, O: Operation> {
    pub(crate) caller: &'a Caller,
    pub(crate) operation: &'a O,
    pub(crate) target: &'a O::Target,
    pub(crate) ask: &'a Ask<'a>,
}

impl<O: Operation> ConditionContext for Conditions<'_, O> {
    fn values(&self, key: &str) -> Values<'_> {
        let name = key.to_ascii_lowercase();
        let value = if name.starts_with("aws:") { self.global(&name, key) } else { self.kms(&name) };
        match value {
            Values::Absent => self.operation.condition(self.ask, self.target, &name),
            found => found,
        }
    }
}

impl<O: Operation> Conditions<'_, O> {
    fn global(&self, name: &str, key: &str) -> Values<'_> {
        match name {
            "aws:resourceaccount" => owned(self.ask.owner.to_string()),
            "aws:requestedregion" => text(self.ask.region.unwrap_or(&self.caller.request.region).as_str()),
            _ if name.starts_with(RESOURCE_TAG) => self.resource_tag(key),
            _ => of_caller(self.caller, name),
        }
    }

    fn resource_tag(&self, key: &str) -> Values<'_> {
        let (Some(snapshot), Some((_, tag))) = (self.ask.key, key.split_once('/')) else { return Values::Absent };
        // Tag keys in condition keys are compared without regard to case, like the rest of the key's name.
        let found = snapshot.key.tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(tag));
        found.map_or(Values::Absent, |(_, value)| text(value))
    }

    fn kms(&self, name: &str) -> Values<'_> {
        match name {
            "kms:calleraccount" => of_caller(self.caller, name),
            "kms:requestalias" => self.ask.alias().map_or(Values::Absent, |alias| text(alias.as_str())),
            _ => match name.strip_prefix(recipient::CONDITION_PREFIX) {
                Some(name) => self.recipient(name),
                None => self.ask.key.map_or(Values::Absent, |snapshot| of_key(snapshot, name)),
            },
        }
    }

    fn recipient(&self, name: &str) -> Values<'_> {
        let attestation = self.operation.recipient(self.target);
        attestation.map_or(Values::Absent, |attestation| recipient::condition(attestation, name))
    }
}

fn of_key<'a>(snapshot: &'a KeySnapshot, name: &str) -> Values<'a> {
    let key = &snapshot.key;
    match name {
        "kms:keyspec" | "kms:customermasterkeyspec" => text(key.spec.as_str()),
        "kms:keyusage" | "kms:customermasterkeyusage" => text(key.usage.as_str()),
        "kms:keyorigin" => text(key.origin.as_str()),
        "kms:multiregion" => text(if key.id.is_multi_region() { "true" } else { "false" }),
        "kms:multiregionkeytype" => key.multi_region_type().map_or(Values::Absent, |kind| text(kind.as_str())),
        "kms:resourcealiases" => Values::Many(key.aliases.iter().map(|alias| Cow::Borrowed(alias.as_str())).collect()),
        _ => Values::Absent,
    }
}

/// The values that depend on the caller alone (the name in lower case).
pub(crate) fn of_caller<'a>(caller: &'a Caller, name: &str) -> Values<'a> {
    let (identity, request) = (&caller.identity, &caller.request);
    match name {
        "kms:calleraccount" | "aws:principalaccount" => owned(identity.account.to_string()),
        "aws:principalarn" => text(&identity.arn),
        "aws:principaltype" => text(if identity.is_root() { "Account" } else { "User" }),
        "aws:userid" => text(&identity.unique_id),
        "aws:username" => match &identity.principal {
            Principal::Root => Values::Absent,
            Principal::User(name) => text(name.as_str()),
        },
        "aws:sourceip" => owned(request.source_ip.to_string()),
        "aws:securetransport" => text(if request.secure_transport { "true" } else { "false" }),
        "aws:useragent" => text(&request.user_agent),
        "aws:currenttime" => owned(request.at.to_rfc3339()),
        "aws:epochtime" => owned((request.at.0 / 1000).to_string()),
        "aws:requestedregion" => text(request.region.as_str()),
        _ => Values::Absent,
    }
}

/// A single borrowed value.
pub(crate) fn text(value: &str) -> Values<'_> {
    Values::One(Cow::Borrowed(value))
}

/// A single value made for the occasion.
pub(crate) fn owned(value: String) -> Values<'static> {
    Values::One(Cow::Owned(value))
}
