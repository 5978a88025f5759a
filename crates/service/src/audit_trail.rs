//! From a request and its outcome to its audit entry.

use std::collections::BTreeMap;

use claviger_audit::Event as AuditEvent;
use claviger_audit::entry::{
    ChangeDigest, Decision as Verdict, Effect as VerdictEffect, EventError, EventIdentity, EventType, Json, KeyMaterial,
    ReEncryptMaterial, Resource,
};
use claviger_domain::caller::Request;
use claviger_domain::{AccountId, Caller, Kind, Permit, Refusal, Region, Timestamp};
use claviger_store::{Change, Entry};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Moment;
use crate::operation::{Ask, Event, Operation, Used};
use crate::recipient::evidence;

/// What authorisation said, for the entry.
#[derive(Clone, Copy)]
pub(crate) enum Decision<'a> {
    /// It was never asked, or nobody has to allow the operation.
    None,
    /// Allowed, by these policies and statements.
    Allowed(&'a str),
    /// Denied, for this reason.
    Denied(&'a str),
}

/// On what ground something was allowed; owned, since the permits go to the operation.
pub(crate) struct Basis(Option<String>);

impl Decision<'_> {
    /// The decision that these permits came from.
    pub(crate) fn of(permits: &[Permit]) -> Basis {
        let mut bases = permits.iter().map(|permit| permit.basis().to_string());
        let Some(first) = bases.next() else { return Basis(None) };
        let mut text = first;
        for basis in bases {
            text.push_str("; ");
            text.push_str(&basis);
        }
        Basis(Some(text))
    }
}

impl Basis {
    pub(crate) fn as_decision(&self) -> Decision<'_> {
        self.0.as_deref().map_or(Decision::None, Decision::Allowed)
    }
}

impl<'a> From<Decision<'a>> for Verdict<'a> {
    fn from(decision: Decision<'a>) -> Self {
        match decision {
            Decision::None => Self { effect: VerdictEffect::None, basis: None },
            Decision::Allowed(basis) => Self { effect: VerdictEffect::Allow, basis: Some(basis) },
            Decision::Denied(reason) => Self { effect: VerdictEffect::Deny, basis: Some(reason) },
        }
    }
}

/// What a request rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Knowledge that is within the lease.
    Fresh,
    /// Knowledge that was confirmed then, and cannot be confirmed now: the keys that are used have a grace.
    Grace(Moment),
}

impl Ground {
    fn grace_age_ms(self) -> Option<u64> {
        match self {
            Self::Fresh => None,
            Self::Grace(since) => Some(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// A request as far as it has come.
pub(crate) struct Heard<'r, O: Operation> {
    pub(crate) caller: &'r Caller,
    pub(crate) operation: &'r O,
    /// What it is about, where that was found out.
    pub(crate) target: Option<&'r O::Target>,
    /// What had to be allowed.
    pub(crate) asks: &'r [Ask<'r>],
    pub(crate) ground: Ground,
}

/// How an operation ended.
pub(crate) enum Outcome<'a> {
    /// It was done.
    Success {
        /// The changes that are committed with the entry.
        changes: &'a [Change],
        /// The material that was used.
        used: Option<Used>,
        /// What was answered.
        elements: Option<Value>,
        /// The ARNs of the keys of the caller's account that were touched beside those that were asked about.
        related: &'a [String],
    },
    /// It was not.
    Refusal(&'a Refusal),
}

/// The entry of an operation that went through the pipeline, and the event's id.
pub(crate) fn event_of<O: Operation>(
    node: &str,
    heard: &Heard<'_, O>,
    decision: Decision<'_>,
    outcome: &Outcome<'_>,
) -> Result<(Uuid, Entry), Refusal> {
    let Heard { caller, operation, target, asks, ground } = *heard;
    let id = Uuid::new_v4();
    let parameters = operation.parameters();
    let mut resources: Vec<Resource<'_>> = asks.iter().filter_map(resource_of).collect();
    if let Outcome::Success { related, .. } = outcome {
        resources.extend(related.iter().map(|arn| Resource::key(arn, caller.identity.account)));
    }
    let mut event = blank(node, &caller.request, O::EVENT, caller.identity.account);
    event.id = id;
    event.identity = identity_of(caller);
    event.resources = &resources;
    event.request_parameters = Some(&parameters);
    event.decision = decision.into();
    event.grace_age_ms = ground.grace_age_ms();
    let recipient = target.and_then(|target| operation.recipient(target)).map(evidence);
    let (digests, material, reason, attested);
    match outcome {
        Outcome::Success { changes, used, elements, .. } => {
            digests = digests_of(changes);
            material = used.as_ref().map(Material::of);
            event.changes = &digests;
            event.additional = material.as_ref().map(Material::as_json);
            event.response_elements = elements.as_ref().map(|elements| elements as &dyn Json);
        }
        Outcome::Refusal(refusal) => {
            event.error = Some(error_of(refusal));
            event.decision = reasoned(event.decision, refusal);
            // What stopped a request that was allowed is no part of the decision.
            let stopped = event.decision.effect == VerdictEffect::Allow;
            reason = refusal.reason.as_ref().filter(|_| stopped).map(|reason| json!({"reason": reason}));
            event.additional = reason.as_ref().map(|reason| reason as &dyn Json);
        }
    }
    if let Some(recipient) = recipient {
        attested = Attested::of(outcome, event.decision.effect, recipient);
        event.additional = Some(&attested);
    }
    Ok((id, encode(&event)?))
}

/// The member `additionalEventData`.
enum Material<'a> {
    One(KeyMaterial<'a>),
    FromTo(ReEncryptMaterial<'a>),
}

impl<'a> Material<'a> {
    fn of(used: &'a Used) -> Self {
        match used {
            Used::One(id) => Self::One(KeyMaterial { id }),
            Used::FromTo(source, destination) => Self::FromTo(ReEncryptMaterial { destination, source }),
        }
    }

    fn as_json(&self) -> &dyn Json {
        match self {
            Self::One(material) => material,
            Self::FromTo(material) => material,
        }
    }
}

/// The member `additionalEventData` of an attested request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attested<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    recipient: BTreeMap<String, String>,
}

impl<'a> Attested<'a> {
    fn of(outcome: &Outcome<'a>, effect: VerdictEffect, recipient: BTreeMap<String, String>) -> Self {
        let (material, reason) = match outcome {
            Outcome::Success { used: Some(Used::One(material)), .. } => (Some(material.to_string()), None),
            Outcome::Success { .. } => (None, None),
            Outcome::Refusal(refusal) => (None, refusal.reason.as_deref().filter(|_| effect == VerdictEffect::Allow)),
        };
        Self { key_material_id: material, reason, recipient }
    }
}

/// The entry of a request that never became an operation.
pub(crate) fn refusal_event(
    node: &str,
    request: &Request,
    caller: Option<&Caller>,
    claimed_access_key: Option<&str>,
    event: Event,
    refusal: &Refusal,
) -> Result<Entry, Refusal> {
    let account = caller.map_or(AccountId::DEPLOYMENT, |caller| caller.identity.account);
    let mut entry = blank(node, request, event, account);
    entry.identity = match caller {
        Some(caller) => identity_of(caller),
        None => EventIdentity::unknown(claimed_access_key.map(recognizable)),
    };
    entry.error = Some(error_of(refusal));
    entry.decision = reasoned(entry.decision, refusal);
    encode(&entry)
}

/// The access key id that somebody claimed who did not prove it, if it looks like one. Anything else is no id, and might be anything: such as
/// a secret that was typed in its place.
fn recognizable(claimed: &str) -> &str {
    let looks = (16..=32).contains(&claimed.len()) && claimed.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if looks { claimed } else { "(not an access key id)" }
}

/// What the service did by itself.
pub(crate) struct ServiceAct<'a> {
    pub(crate) name: &'static str,
    pub(crate) account: AccountId,
    pub(crate) region: &'a Region,
    /// The ARN of the key that it is about; empty where it is about none.
    pub(crate) resource: &'a str,
    /// The ARNs of other keys of the account that were changed with it.
    pub(crate) related: &'a [String],
    pub(crate) at: Timestamp,
    pub(crate) details: Value,
    pub(crate) changes: &'a [Change],
    /// The request in whose course it was done, if there was one.
    pub(crate) request_id: Option<Uuid>,
}

/// The entry of an act of the service itself: a rotation, a deletion at its time.
pub(crate) fn service_event(node: &str, act: &ServiceAct<'_>) -> Result<Entry, Refusal> {
    let digests = digests_of(act.changes);
    let all = std::iter::once(act.resource).chain(act.related.iter().map(String::as_str));
    let all = all.filter(|arn| !arn.is_empty());
    let resources: Vec<Resource<'_>> = all.map(|arn| Resource::key(arn, act.account)).collect();
    encode(&AuditEvent {
        id: Uuid::new_v4(),
        request_id: act.request_id,
        at: act.at,
        source: "kms.amazonaws.com",
        name: act.name,
        event_type: EventType::ServiceEvent,
        read_only: false,
        region: act.region.as_str(),
        source_ip: None,
        user_agent: None,
        tls: None,
        identity: EventIdentity::service(act.account),
        recipient_account: act.account,
        resources: &resources,
        request_parameters: None,
        response_elements: None,
        additional: None,
        service_event_details: Some(&act.details),
        error: None,
        door: "none",
        node,
        decision: Decision::None.into(),
        changes: &digests,
        grace_age_ms: None,
        secure_transport: false,
    })
}

fn blank<'a>(node: &'a str, request: &'a Request, event: Event, account: AccountId) -> AuditEvent<'a> {
    AuditEvent {
        id: Uuid::new_v4(),
        request_id: Some(request.id),
        at: request.at,
        source: event.source,
        name: event.name,
        event_type: EventType::ApiCall,
        read_only: event.read_only,
        region: request.region.as_str(),
        source_ip: Some(request.source_ip),
        user_agent: Some(&request.user_agent),
        tls: None,
        identity: EventIdentity::default(),
        recipient_account: account,
        resources: &[],
        request_parameters: None,
        response_elements: None,
        additional: None,
        service_event_details: None,
        error: None,
        door: request.door,
        node,
        decision: Decision::None.into(),
        changes: &[],
        grace_age_ms: None,
        secure_transport: request.secure_transport,
    }
}

fn encode(event: &AuditEvent<'_>) -> Result<Entry, Refusal> {
    let entry = event.encode().map_err(|error| {
        tracing::error!(%error, "an audit entry could not be made");
        Refusal::internal("The audit entry could not be made, so the request was not done.")
    })?;
    Ok(Entry { bytes: entry.bytes().clone(), leaf: entry.leaf().0 })
}

/// Who asked, and by which service on the way.
fn identity_of(caller: &Caller) -> EventIdentity<'_> {
    let identity = EventIdentity::of(&caller.identity, &caller.access_key);
    EventIdentity { invoked_by: caller.via().map_or(identity.invoked_by, |service| Some(service.as_str())), ..identity }
}

fn resource_of<'a>(ask: &'a Ask<'_>) -> Option<Resource<'a>> {
    match ask.key {
        Some(snapshot) => Some(Resource::key(&snapshot.arn, ask.owner)),
        None if ask.trust.is_some() => Some(Resource::role(&ask.resource, ask.owner)),
        None if ask.resource.contains(":alias/") => Some(Resource::alias(&ask.resource, ask.owner)),
        None => None,
    }
}

fn digests_of(changes: &[Change]) -> Vec<ChangeDigest<'_>> {
    changes.iter().filter_map(digest_of).collect()
}

fn digest_of(change: &Change) -> Option<ChangeDigest<'_>> {
    let (version, sha256) = match change {
        Change::Put { record, .. } => (record.version, Some(ChangeDigest::of_sealed(&record.sealed))),
        Change::Delete { version, .. } => (*version, None),
        Change::Check { .. } => return None,
    };
    let key = change.key();
    Some(ChangeDigest { kind: key.kind.as_str(), account: key.account, id: &key.id, version, sha256 })
}

/// The decision, with the reason that only the log may know where authorisation itself gave none.
fn reasoned<'a>(decision: Verdict<'a>, refusal: &'a Refusal) -> Verdict<'a> {
    Verdict { basis: decision.basis.or(refusal.reason.as_deref()), ..decision }
}

fn error_of(refusal: &Refusal) -> EventError<'_> {
    // CloudTrail writes this one without its ending.
    let code = if refusal.kind == Kind::AccessDenied { "AccessDenied" } else { refusal.kind.name() };
    EventError { code, message: (!refusal.detail.is_empty()).then_some(refusal.detail.as_str()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_look_like_an_access_key_id_is_not_written_down() {
        for id in ["AKIAIOSFODNN7EXAMPLE", "ASIA2345ABCDEFGHIJKL"] {
            assert_eq!(recognizable(id), id);
        }
        let long = "A".repeat(7600);
        for other in [
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "cBXZ61EDZgeHFZyxTFSpz0uxHtf5JNi0pL72HQiX",
            "AKIA",
            "",
            &long,
            "AKIA\u{9b}31mRED\u{202e}ABCDEF",
        ] {
            assert_eq!(recognizable(other), "(not an access key id)", "{other}");
        }
    }
}
