//! What an operation declares, so that the pipeline can run it.

use std::borrow::Cow;
use std::future::Future;
use std::marker::PhantomData;

use claviger_domain::policy::{Demand, Granted, Policy, Values};
use claviger_domain::{AccountId, AliasName, Caller, Grant, GrantTerms, MaterialId, Permit, Refusal, Region};
use claviger_hsm::Attestation;
use claviger_store::Change;

use crate::event_parameters::Parameters;
use crate::hyok::ExternalTarget;
use crate::key_stores::MadeElsewhere;
use crate::quotas::{RateClass, RateClasses};
use crate::resolve::{KeyTarget, Named};
use crate::service::Service;
use crate::snapshot::{KeySnapshot, RoleSnapshot};

/// How an operation appears in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The service that CloudTrail would name: `kms.amazonaws.com`.
    pub source: &'static str,
    /// The operation's name: `Encrypt`.
    pub name: &'static str,
    /// Whether it changes nothing that the store keeps.
    pub read_only: bool,
}

impl Event {
    /// An operation of AWS KMS that changes records.
    pub const fn kms(name: &'static str) -> Self {
        Self { source: "kms.amazonaws.com", name, read_only: false }
    }

    /// An operation of AWS KMS that changes no record.
    pub const fn kms_read(name: &'static str) -> Self {
        Self { source: "kms.amazonaws.com", name, read_only: true }
    }

    /// An operation of AWS STS.
    pub const fn sts(name: &'static str) -> Self {
        Self { source: "sts.amazonaws.com", name, read_only: true }
    }

    /// A request of AWS KMS to the keys behind a hold-your-own-key store.
    pub const fn xks(name: &'static str) -> Self {
        Self { source: "kms-xks-proxy", name, read_only: true }
    }

    /// An operation of Claviger's own administration.
    pub const fn admin(name: &'static str, read_only: bool) -> Self {
        Self { source: "claviger", name, read_only }
    }
}

/// One thing that a principal can ask for.
pub trait Operation: Send + Sync + Sized {
    /// Its name in the audit log.
    const EVENT: Event;

    /// Whether it uses keys for cryptography, which `GetKeyLastUsage` reports.
    const USES_KEYS: bool = false;

    /// The class of its requests that do not say more.
    const RATE_CLASS: Option<RateClass> = RateClass::of_operation(Self::EVENT.name);

    /// What it is about, once resolved.
    type Target: Send + Sync;

    /// What it answers.
    type Output: Send;

    /// The request quotas that this request counts against: those of its kind of key, where the request tells.
    fn rate_classes(&self) -> RateClasses {
        [Self::RATE_CLASS, None]
    }

    /// Finds what the request is about. Nothing is authorised yet: a resolver only reads.
    fn resolve(&self, service: &Service, caller: &Caller) -> impl Future<Output = Result<Self::Target, Refusal>> + Send;

    /// What has to be allowed before it is executed: every one of these. Empty only for operations that everybody may call.
    fn demands<'a>(&'a self, caller: &'a Caller, target: &'a Self::Target) -> Vec<Ask<'a>>;

    /// The values of condition keys that only this operation has, their names in lower case. General ones are answered by the pipeline.
    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a Self::Target, _key: &str) -> Values<'a> {
        Values::Absent
    }

    /// The attested recipient of the plaintext that it answers; none when the plaintext is for the caller, or there is none.
    fn recipient<'a>(&self, _target: &'a Self::Target) -> Option<&'a Attestation> {
        None
    }

    /// Does it. The permits are in the order of the demands.
    fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &Self::Target,
        allowed: Allowed<Self>,
    ) -> impl Future<Output = Result<Effect<Self::Output>, Refusal>> + Send;

    /// Looks again, after a while, at what it looked at of its target beyond the keys themselves before it used them.
    ///
    /// # Errors
    /// What forbids the use now.
    fn must_still_be_usable(&self, _target: &Self::Target) -> Result<(), Refusal> {
        Ok(())
    }

    /// The request's parameters for the audit entry. Never a secret, a plaintext or a ciphertext.
    fn parameters(&self) -> Parameters<'_>;

    /// The answer's elements for the audit entry, where CloudTrail has them.
    fn response_elements(_output: &Self::Output) -> Option<serde_json::Value> {
        None
    }
}

/// One action on one resource that has to be allowed.
pub struct Ask<'a> {
    pub(crate) action: &'static str,
    pub(crate) resource: Cow<'a, str>,
    pub(crate) owner: AccountId,
    pub(crate) key: Option<&'a KeySnapshot>,
    /// The trust policy of the role that it is about, when it is about one.
    pub(crate) trust: Option<&'a Policy>,
    /// The policy of the hold-your-own-key store through which the key is used; none when it is not used through one.
    pub(crate) through: Option<&'a Policy>,
    /// How the request named the key; none when it is not about one.
    pub(crate) named: Option<&'a Named>,
    /// What the grant says that is to be created.
    pub(crate) proposes: Option<&'a GrantTerms>,
    /// The grant that is to be retired.
    pub(crate) retires: Option<&'a Grant>,
    /// The Region that it is about, where that is not the request's.
    pub(crate) region: Option<&'a Region>,
}

impl<'a> Ask<'a> {
    /// An action on a key.
    pub(crate) fn key(action: &'static str, target: &'a KeyTarget) -> Self {
        let snapshot = target.snapshot.as_ref();
        Self {
            action,
            resource: Cow::Borrowed(&snapshot.arn),
            owner: snapshot.key.account,
            key: Some(snapshot),
            trust: None,
            through: None,
            named: Some(&target.named),
            proposes: None,
            retires: None,
            region: None,
        }
    }

    /// The same, to create a grant that says this.
    pub(crate) fn proposing(self, terms: &'a GrantTerms) -> Self {
        Self { proposes: Some(terms), ..self }
    }

    /// The same, to retire this grant.
    pub(crate) fn retiring(self, grant: &'a Grant) -> Self {
        Self { retires: Some(grant), ..self }
    }

    /// The same in another Region than the request's.
    pub(crate) fn in_region(self, region: &'a Region) -> Self {
        Self { region: Some(region), ..self }
    }

    /// The alias that the request called the key by.
    pub(crate) fn alias(&self) -> Option<&'a AliasName> {
        match self.named {
            Some(Named::Alias(arn)) => Some(&arn.alias),
            _ => None,
        }
    }

    /// What policies and grants are asked.
    pub(crate) fn demand<'d>(&'d self, granted: Granted<'d>) -> Demand<'d> {
        Demand {
            action: self.action,
            resource: &self.resource,
            owner: self.owner,
            key: self.key.map(|snapshot| (snapshot.id(), snapshot.policy.as_ref())),
            granted,
        }
    }

    /// An action on something of an account that is not a key: identity policies decide.
    pub(crate) fn resource(action: &'static str, resource: String, owner: AccountId) -> Self {
        Self {
            action,
            resource: Cow::Owned(resource),
            owner,
            key: None,
            trust: None,
            through: None,
            named: None,
            proposes: None,
            retires: None,
            region: None,
        }
    }

    /// An action on a key that stands behind the hold-your-own-key store that asks: the store's policy decides.
    pub(crate) fn external(action: &'static str, target: &'a ExternalTarget) -> Self {
        let owner = target.key.key.account;
        Self {
            key: Some(&target.key),
            through: Some(&target.store.policy),
            resource: Cow::Borrowed(&target.arn),
            ..Self::resource(action, String::new(), owner)
        }
    }

    /// An action on a role that somebody wants to assume: its trust policy decides with the identity policies.
    pub(crate) fn role(action: &'static str, snapshot: &'a RoleSnapshot) -> Self {
        let role = &snapshot.role;
        Self { trust: Some(&snapshot.trust), ..Self::resource(action, role.arn(), role.account) }
    }

    /// An action without a resource, in the caller's account.
    pub(crate) fn anything(action: &'static str, caller: &Caller) -> Self {
        Self::resource(action, "*".to_owned(), caller.identity.account)
    }
}

/// Proof that the pipeline authorised everything that operation `O` asked for. Only the pipeline can make one, so that an operation cannot
/// be executed around it.
pub struct Allowed<O> {
    permits: Vec<Permit>,
    operation: PhantomData<fn() -> O>,
}

impl<O> Allowed<O> {
    pub(crate) fn new(permits: Vec<Permit>) -> Self {
        Self { permits, operation: PhantomData }
    }

    /// The permit for the first demand.
    pub(crate) fn first(&self) -> Result<&Permit, Refusal> {
        self.permits.first().ok_or_else(unasked)
    }

    /// The permit for the first demand, to take to where the work is done.
    pub(crate) fn into_first(self) -> Result<Permit, Refusal> {
        self.permits.into_iter().next().ok_or_else(unasked)
    }

    /// The permits for both demands, to take to where the work is done.
    pub(crate) fn into_both(self) -> Result<(Permit, Permit), Refusal> {
        let mut permits = self.permits.into_iter();
        permits.next().zip(permits.next()).ok_or_else(unasked)
    }

    pub(crate) fn permits(&self) -> &[Permit] {
        &self.permits
    }
}

fn unasked() -> Refusal {
    Refusal::internal("An operation used a permit that it had not asked for.")
}

/// What executing an operation came to: its answer, and the changes that make it true.
pub struct Effect<T> {
    pub(crate) output: T,
    pub(crate) changes: Vec<Change>,
    pub(crate) used: Option<Used>,
    /// The ARNs of keys of the caller's account that were touched beside those that were asked about.
    pub(crate) related: Vec<String>,
    /// What was made in a custom key store, to be taken away again if the changes are not committed.
    pub(crate) made: Option<MadeElsewhere>,
}

/// The material that an operation used, for its audit entry.
#[derive(Clone, Copy)]
pub(crate) enum Used {
    /// One version of one key's material.
    One(MaterialId),
    /// What ReEncrypt decrypted and what it encrypted with.
    FromTo(MaterialId, MaterialId),
}

impl<T> Effect<T> {
    /// An answer that changes nothing.
    pub(crate) fn answer(output: T) -> Self {
        Self { output, changes: Vec::new(), used: None, related: Vec::new(), made: None }
    }

    /// An answer that is true once these changes are durable.
    pub(crate) fn change(output: T, changes: Vec<Change>) -> Self {
        Self { output, changes, used: None, related: Vec::new(), made: None }
    }

    /// The same, with what was made for it in a custom key store.
    pub(crate) fn with_made_elsewhere(mut self, made: Option<MadeElsewhere>) -> Self {
        self.made = made;
        self
    }

    /// The same, naming in the audit entry other keys that were touched.
    pub(crate) fn with_related(mut self, arns: Vec<String>) -> Self {
        self.related = arns;
        self
    }

    /// The same, naming in the audit entry the material that was used.
    pub(crate) fn with_material(mut self, material: MaterialId) -> Self {
        self.used = Some(Used::One(material));
        self
    }

    /// The same, for material that decrypted and material that encrypted.
    pub(crate) fn with_materials(mut self, from: MaterialId, to: MaterialId) -> Self {
        self.used = Some(Used::FromTo(from, to));
        self
    }
}
