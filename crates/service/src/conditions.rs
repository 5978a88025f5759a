//! Where policies' conditions take their values from. Asked only for what a condition mentions. Sources: AWS IAM User Guide, "AWS global
//! condition context keys"; AWS KMS Developer Guide, "AWS KMS condition keys".

use std::borrow::Cow;
use std::collections::BTreeMap;

use claviger_domain::caller::Forwarding;
use claviger_domain::identity::role_arn;
use claviger_domain::policy::{ConditionContext, Values};
use claviger_domain::{Caller, Principal};

use crate::operation::{Ask, Operation};
use crate::recipient;
use crate::snapshot::KeySnapshot;

const PRINCIPAL_TAG: &str = "aws:principaltag/";
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
            Values::Absent => match self.operation.condition(self.ask, self.target, &name) {
                // Operations about grants know that they have this key, but not who asks.
                Values::One(_) if name == "kms:grantisforawsresource" && self.caller.via().is_some() => text("true"),
                found => found,
            },
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
        tagged(tag, &snapshot.key.tags)
    }

    fn kms(&self, name: &str) -> Values<'_> {
        match name {
            "kms:calleraccount" | "kms:viaservice" => of_caller(self.caller, name),
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
    match of_identity(caller, name) {
        Values::Absent => of_request(caller, name),
        found => found,
    }
}

fn of_identity<'a>(caller: &'a Caller, name: &str) -> Values<'a> {
    let identity = &caller.identity;
    // A service that asks for itself is a principal of no account.
    if let Principal::Service(service) = &identity.principal {
        return match name {
            "aws:principalisawsservice" => text("true"),
            "aws:principalservicename" => text(service.as_str()),
            "aws:principalservicenameslist" => Values::Many(vec![Cow::Borrowed(service.as_str())]),
            "aws:principaltype" => text("Service"),
            _ => Values::Absent,
        };
    }
    match name {
        "kms:calleraccount" | "aws:principalaccount" => owned(identity.account.to_string()),
        "aws:principalarn" => match &identity.principal {
            Principal::AssumedRole { role, .. } => owned(role_arn(identity.account, role)),
            _ => text(&identity.arn),
        },
        "aws:principalisawsservice" => text("false"),
        "aws:principaltype" => text(match identity.principal {
            Principal::Root => "Account",
            Principal::AssumedRole { .. } => "AssumedRole",
            Principal::Store(_) => "Store",
            _ => "User",
        }),
        "aws:userid" => text(&identity.unique_id),
        "aws:username" => match &identity.principal {
            Principal::User(name) => text(name.as_str()),
            _ => Values::Absent,
        },
        "aws:tokenissuetime" => identity.session.as_ref().map_or(Values::Absent, |session| owned(session.issued.to_rfc3339())),
        "aws:multifactorauthpresent" => identity.session.as_ref().map_or(Values::Absent, |_| text("false")),
        _ => principal_tag(caller, name),
    }
}

/// The value of a tag. Tag keys in condition keys are compared without regard to case, like the rest of the key's name.
pub(crate) fn tagged<'a>(tag: &str, tags: &'a BTreeMap<String, String>) -> Values<'a> {
    Values::named(tag, tags.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

fn principal_tag<'a>(caller: &'a Caller, name: &str) -> Values<'a> {
    let Some(tag) = name.strip_prefix(PRINCIPAL_TAG) else { return Values::Absent };
    tagged(tag, &caller.identity.tags)
}

fn of_request<'a>(caller: &'a Caller, name: &str) -> Values<'a> {
    let request = &caller.request;
    match name {
        "aws:sourceip" => owned(request.source_ip.to_string()),
        "aws:securetransport" => text(if request.secure_transport { "true" } else { "false" }),
        "aws:useragent" => text(&request.user_agent),
        "aws:currenttime" => owned(request.at.to_rfc3339()),
        "aws:epochtime" => owned((request.at.0 / 1000).to_string()),
        "aws:requestedregion" => text(request.region.as_str()),
        _ => of_forwarding(caller, name),
    }
}

/// What a service says of its request. Source: AWS IAM User Guide, "AWS global condition context keys"; AWS KMS Developer Guide,
/// "kms:ViaService".
fn of_forwarding<'a>(caller: &'a Caller, name: &str) -> Values<'a> {
    let via = caller.via();
    match name {
        "aws:viaawsservice" => text(if via.is_some() { "true" } else { "false" }),
        "kms:viaservice" => via.map_or(Values::Absent, |service| owned(service.in_region(&caller.request.region))),
        "aws:calledvia" => via.map_or(Values::Absent, |service| Values::Many(vec![Cow::Borrowed(service.as_str())])),
        "aws:calledviafirst" | "aws:calledvialast" => via.map_or(Values::Absent, |service| text(service.as_str())),
        "aws:sourcearn" => of_source(caller, |forwarding| forwarding.source_arn.as_deref()),
        "aws:sourceaccount" => of_source(caller, |forwarding| forwarding.source_account.as_deref()),
        _ => Values::Absent,
    }
}

/// What a service works for, which it tells where it asks for itself.
fn of_source<'a>(caller: &'a Caller, value: impl FnOnce(&'a Forwarding) -> Option<&'a str>) -> Values<'a> {
    let forwarding = caller.forwarding.as_deref().filter(|forwarding| !forwarding.on_behalf);
    forwarding.and_then(value).map_or(Values::Absent, text)
}

/// A single borrowed value.
pub(crate) fn text(value: &str) -> Values<'_> {
    Values::One(Cow::Borrowed(value))
}

/// A single value made for the occasion.
pub(crate) fn owned(value: String) -> Values<'static> {
    Values::One(Cow::Owned(value))
}
