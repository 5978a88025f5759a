//! CreateAlias: needs permission on the alias and on the key. Source: AWS KMS API Reference, "CreateAlias".

use claviger_domain::key::{Alias, Key};
use claviger_domain::{AliasArn, AliasName, Caller, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::quotas::check_room;
use crate::resolve::{KeyTarget, must_be_own};
use crate::service::Service;

/// The request.
pub struct CreateAlias {
    /// The new alias.
    pub alias: AliasName,
    /// The key it shall stand for; not by alias.
    pub key: KeyReference,
}

impl Operation for CreateAlias {
    const EVENT: Event = Event::kms("CreateAlias");
    type Target = KeyTarget;
    type Output = ();

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<KeyTarget, Refusal> {
        check_not_reserved(&self.alias)?;
        must_be_own(&self.key, caller, "kms:CreateAlias")?;
        service.resolve_key(caller, &self.key, "kms:CreateAlias").await
    }

    fn demands<'a>(&'a self, caller: &'a Caller, target: &'a KeyTarget) -> Vec<Ask<'a>> {
        vec![ask_alias("kms:CreateAlias", &alias_arn(caller, &self.alias)), Ask::key("kms:CreateAlias", target)]
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let arn = alias_arn(caller, &self.alias);
        if service.stored_alias(&arn).await?.is_some() {
            return Err(Refusal::already_exists(format!("An alias with the name {arn} already exists")));
        }
        let snapshot = &target.snapshot;
        snapshot.must_not_be_pending_deletion()?;
        let mut key = snapshot.key.clone();
        check_room_for_alias(service, &key)?;
        key.aliases.insert(self.alias.clone());
        let now = caller.request.at;
        let alias = Alias {
            name: self.alias.clone(),
            region: key.region.clone(),
            account: key.account,
            target: key.id,
            created: now,
            updated: now,
        };
        let changes = vec![service.records.create(&alias).await?, service.records.update(&key, snapshot.version).await?];
        Ok(Effect::change((), changes))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            alias_name: Some(self.alias.as_str().into()),
            target_key_id: Some(self.key.to_string()),
            ..Parameters::default()
        }
    }
}

/// An alias of the caller's account and Region.
pub(crate) fn alias_arn(caller: &Caller, alias: &AliasName) -> AliasArn {
    AliasArn { region: caller.request.region.clone(), account: caller.identity.account, alias: alias.clone() }
}

/// The demand for an action on an alias itself.
pub(crate) fn ask_alias<'a>(action: &'static str, arn: &AliasArn) -> Ask<'a> {
    Ask::resource(action, arn.to_string(), arn.account)
}

/// Names that begin with `alias/aws/` are the service's own.
pub(crate) fn check_not_reserved(alias: &AliasName) -> Result<(), Refusal> {
    if alias.is_reserved() { Err(Refusal::reserved("")) } else { Ok(()) }
}

/// A key must have room for another alias.
pub(crate) fn check_room_for_alias(service: &Service, key: &Key) -> Result<(), Refusal> {
    let quota = service.quotas.of(key.account).resources.aliases_per_key;
    check_room("Aliases per key", quota, key.aliases.len() as u64)
}
