//! SimulatePolicy: what would be decided, by which statement, and why. Nothing is done. The evaluation is the one that requests get.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use claviger_domain::identity::{Owner, Session};
use claviger_domain::ids::SessionName;
use claviger_domain::policy::{ConditionContext, Values};
use claviger_domain::{AccountId, Caller, EncryptionContext, Identity, KeyReference, Refusal, RoleName, UserName};

use super::about_an_account;
use crate::conditions::{Conditions, text};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::kms::ACTIONS;
use crate::resolve::{KeyTarget, must_be_own};
use crate::service::Service;

/// The request.
pub struct SimulatePolicy {
    /// The account of the principal; the caller's when absent.
    pub account: Option<AccountId>,
    /// Who would ask.
    pub principal: SimulatedPrincipal,
    /// For what: `kms:Encrypt`.
    pub action: String,
    /// On which key; none for actions that are not about one.
    pub key: Option<KeyReference>,
    /// The encryption context of the request.
    pub context: EncryptionContext,
    /// Values of condition keys, by their names in any case. The rest is as in this very request: the time, the address, the Region.
    pub conditions: BTreeMap<String, Vec<String>>,
}

/// Who would ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimulatedPrincipal {
    /// The account's root.
    Root,
    /// A user.
    User(UserName),
    /// A session of a role, without a policy or tags of its own.
    Session(RoleName, SessionName),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// The principal's ARN.
    pub principal_arn: String,
    /// The ARN of the key; `*` where there is none.
    pub resource: String,
    /// What would be decided.
    pub verdict: Verdict,
    /// The statements, or the grant, that decide; or what is missing.
    pub reason: String,
}

/// What would be decided, in the words of AWS's policy simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Something allows and nothing denies.
    Allowed,
    /// A statement denies.
    ExplicitDeny,
    /// Nothing allows.
    ImplicitDeny,
}

impl Verdict {
    /// The name. Source: AWS IAM API Reference, "EvaluationResult", `EvalDecision`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ExplicitDeny => "explicitDeny",
            Self::ImplicitDeny => "implicitDeny",
        }
    }
}

impl Operation for SimulatePolicy {
    const EVENT: Event = Event::admin("SimulatePolicy", true);
    type Output = Simulated;
    about_an_account!("claviger:SimulatePolicy", |it| match &it.principal {
        SimulatedPrincipal::Root => "root".to_owned(),
        SimulatedPrincipal::User(name) => format!("user/{name}"),
        SimulatedPrincipal::Session(role, _) => format!("role/{role}"),
    });

    /// What the simulated request would say of itself, as operations that encrypt do.
    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a AccountId, key: &str) -> Values<'a> {
        match key {
            "kms:encryptioncontextkeys" if self.context.is_empty() => Values::Absent,
            "kms:encryptioncontextkeys" => Values::Many(self.context.pairs().map(|(key, _)| Cow::Borrowed(key)).collect()),
            _ => match key.strip_prefix("kms:encryptioncontext:") {
                Some(key) => Values::named(key, self.context.pairs()),
                None => Values::Absent,
            },
        }
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Simulated>, Refusal> {
        let action = ACTIONS.iter().copied().find(|action| *action == self.action).ok_or_else(|| self.no_such_action())?;
        let identity = self.identity(service, caller, *account).await?;
        // Not the one who asks, but the one who would.
        let simulated = Caller { identity, forwarding: None, grant_tokens: Vec::new(), ..caller.clone() };
        let target = self.target(service, caller, &simulated, action).await?;
        let ask = match &target {
            Some(target) => Ask::key(action, target),
            None => Ask::anything(action, &simulated),
        };
        let inner = Conditions { caller: &simulated, operation: self, target: account, ask: &ask };
        let decided = service.decide(&simulated, &ask, &Given { values: &self.conditions, inner }).await?;
        let (verdict, reason) = match decided {
            Ok(permit) => (Verdict::Allowed, permit.basis().to_string()),
            Err(denial) if denial.explicit => (Verdict::ExplicitDeny, denial.reason),
            Err(denial) => (Verdict::ImplicitDeny, denial.reason),
        };
        let (principal_arn, resource) = (simulated.identity.arn.clone(), ask.resource.to_string());
        Ok(Effect::answer(Simulated { principal_arn, resource, verdict, reason }))
    }

    fn parameters(&self) -> Parameters<'_> {
        let user_name = match &self.principal {
            SimulatedPrincipal::User(name) => Some(name.as_str().into()),
            _ => None,
        };
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            encryption_context: Some(&self.context),
            key_id: self.key.as_ref().map(ToString::to_string),
            name: Some(&self.action),
            user_name,
            ..Parameters::default()
        }
    }
}

impl SimulatePolicy {
    async fn identity(&self, service: &Service, caller: &Caller, account: AccountId) -> Result<Arc<Identity>, Refusal> {
        let owner = match &self.principal {
            SimulatedPrincipal::Root => Owner::Root,
            SimulatedPrincipal::User(name) => Owner::User(name.clone()),
            SimulatedPrincipal::Session(role, session) => {
                let no_role = || Refusal::not_found(format!("Account {account} has no role named {role}."));
                let found = service.role(account, role).await?.ok_or_else(no_role)?;
                let now = caller.request.at;
                let session = Session {
                    account,
                    role: role.clone(),
                    role_id: found.role.unique_id.clone(),
                    name: session.clone(),
                    issued: now,
                    expires: now,
                    policy: None,
                    tags: BTreeMap::new(),
                    transitive: BTreeSet::new(),
                };
                return Ok(Arc::new(Identity::assumed_role(&found.role, found.policies.clone(), Arc::new(session), None)));
            }
        };
        let nobody = || Refusal::not_found(format!("Account {account} has no such user."));
        service.identity(account, &owner).await?.ok_or_else(nobody)
    }

    /// The key. Whoever may simulate learns what its policy says, so it has to be of an account that the caller administers.
    async fn target(
        &self,
        service: &Service,
        caller: &Caller,
        simulated: &Caller,
        action: &'static str,
    ) -> Result<Option<KeyTarget>, Refusal> {
        let Some(key) = &self.key else { return Ok(None) };
        if caller.identity.account != AccountId::DEPLOYMENT {
            must_be_own(key, caller, action)?;
        }
        service.resolve_key(simulated, key, action).await.map(Some)
    }

    fn no_such_action(&self) -> Refusal {
        Refusal::invalid(format!(
            "{} is not an action of AWS KMS. They are called like kms:Encrypt; ReEncrypt needs kms:ReEncryptFrom and kms:ReEncryptTo.",
            self.action
        ))
    }
}

/// Values that were given come before those of the circumstances.
struct Given<'a> {
    values: &'a BTreeMap<String, Vec<String>>,
    inner: Conditions<'a, SimulatePolicy>,
}

impl ConditionContext for Given<'_> {
    fn values(&self, key: &str) -> Values<'_> {
        let given = self.values.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, values)| values);
        match given.map(Vec::as_slice) {
            Some([]) => Values::Absent,
            Some([single]) => text(single),
            Some(many) => Values::Many(many.iter().map(|value| Cow::Borrowed(value.as_str())).collect()),
            None => self.inner.values(key),
        }
    }
}
