//! Whether a request may still be answered: what allowed it was true when it began, and time has passed since.
//!
//! A process can be stopped anywhere (SIGSTOP, a hypervisor, swapping), and go on with what it knew before. So a request is measured by the moment at
//! which the knowledge was confirmed that it began with. While that is within the lease there is nothing to do, which costs a look at the clock.
//! Where it is not, or the store has connected anew meanwhile (perhaps to another database), everything that allowed the request is looked at again.

use std::sync::Arc;
use std::time::Instant;

use claviger_domain::identity::Owner;
use claviger_domain::{Caller, Identity, Principal, Refusal};

use crate::audit_trail::Ground;
use crate::authenticate::unknown_credential;
use crate::clock::Moment;
use crate::operation::{Ask, Operation};
use crate::service::Service;

/// What a request is, and what it was allowed by.
pub(crate) struct Approved<'r, O: Operation> {
    pub(crate) caller: &'r Caller,
    pub(crate) operation: &'r O,
    pub(crate) target: &'r O::Target,
    pub(crate) asks: &'r [Ask<'r>],
    /// Since when what allowed it is known.
    pub(crate) since: Moment,
    /// The era of the store in which it was begun.
    pub(crate) era: u64,
    /// Whether that can be confirmed.
    pub(crate) ground: Ground,
    /// When it was begun.
    pub(crate) begun: Instant,
}

impl Service {
    /// Since when what allowed a request is known, for a caller who was made known to the service before.
    pub(crate) fn known_since(&self, caller: &Caller, confirmed: Moment) -> Moment {
        caller.known_at_ms.map_or(confirmed, |ms| Moment::from_ms(ms).min(confirmed))
    }

    /// The caller as it is now, where what is said of it is older than the lease.
    pub(crate) async fn renewed(&self, caller: &Caller) -> Result<Option<Caller>, Refusal> {
        match caller.known_at_ms {
            Some(ms) if Moment::from_ms(ms).elapsed() >= self.freshness.lease() => self.caller_now(caller).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Confirms that a request may still be answered.
    ///
    /// # Errors
    /// What forbids it now; `KeyUnavailable` when that cannot be known, or a key that it used has changed meanwhile.
    pub(crate) async fn must_still_stand<O: Operation>(&self, approved: &Approved<'_, O>) -> Result<(), Refusal> {
        if let Ground::Grace(since) = approved.ground {
            return self.must_be_in_grace(approved.asks, since);
        }
        if approved.since.elapsed() < self.freshness.lease() && approved.era == self.records.store.era() {
            return Ok(());
        }
        let Approved { operation, asks, .. } = approved;
        self.confirm_freshness().await?;
        let caller = self.caller_now(approved.caller).await?;
        let target = operation.resolve(self, &caller).await?;
        let asks_now = operation.demands(&caller, &target);
        self.authorize(&caller, *operation, &target, &asks_now).await?;
        operation.must_still_be_usable(&target)?;
        // Its state, and everything else that a use looks at, is in the key's record.
        let versions = |asks: &[Ask<'_>]| -> Vec<_> {
            asks.iter().filter_map(|ask| ask.key).map(|key| (key.record_key(), key.version)).collect()
        };
        if versions(asks) == versions(&asks_now) {
            return Ok(());
        }
        Err(Refusal::key_unavailable("A key was changed while this request was under way, which took long. Try again."))
    }

    /// Who asks, as the service knows now. The credential was checked before; whether it still is one is asked again.
    async fn caller_now(&self, caller: &Caller) -> Result<Caller, Refusal> {
        let known = self.freshness.confirmed();
        let identity = match &caller.identity.principal {
            Principal::Store(_) => {
                let store = self.asking_store(caller).await?;
                if !store.knows(&caller.access_key) {
                    return Err(unknown_credential());
                }
                store.identity()
            }
            _ if caller.identity.session.is_some() && caller.forwarding.is_none() => self.session_now(caller).await?,
            _ => {
                let signer = self.signer_now(caller).await?;
                match (&caller.forwarding, caller.via()) {
                    (Some(forwarding), _) if signer.principal != Principal::Service(forwarding.service.clone()) => {
                        return Err(unknown_credential());
                    }
                    (Some(_), Some(_)) => self.principal_now(caller).await?,
                    _ => signer,
                }
            }
        };
        if identity.unique_id != caller.identity.unique_id {
            // Another one of the same name.
            return Err(unknown_credential());
        }
        Ok(Caller { identity, known_at_ms: Some(known.ms()), ..caller.clone() })
    }

    /// Whose long-lived credential signed the request.
    async fn signer_now(&self, caller: &Caller) -> Result<Arc<Identity>, Refusal> {
        let credential = self.credential(caller.access_key.as_str()).await?.filter(|credential| credential.access_key.active);
        let credential = credential.ok_or_else(unknown_credential)?;
        let access_key = &credential.access_key;
        self.identity(access_key.account, &access_key.owner).await?.ok_or_else(unknown_credential)
    }

    /// The principal in whose name a service asks.
    async fn principal_now(&self, caller: &Caller) -> Result<Arc<Identity>, Refusal> {
        let owner = match &caller.identity.principal {
            Principal::Root => Owner::Root,
            Principal::User(name) => Owner::User(name.clone()),
            Principal::AssumedRole { .. } => return self.session_now(caller).await,
            Principal::Service(_) | Principal::Store(_) => return Err(unknown_credential()),
        };
        self.identity(caller.identity.account, &owner).await?.ok_or_else(unknown_credential)
    }

    /// The session of a role, with the role as it is now.
    async fn session_now(&self, caller: &Caller) -> Result<Arc<Identity>, Refusal> {
        let Some(session) = &caller.identity.session else { return Err(unknown_credential()) };
        let role = self.role(session.account, &session.role).await?;
        let role = role.filter(|role| role.role.unique_id == session.role_id).ok_or_else(unknown_credential)?;
        let policy = caller.identity.session_policy.clone();
        Ok(Arc::new(Identity::assumed_role(&role.role, role.policies.clone(), Arc::clone(session), policy)))
    }
}
