//! UpdateAlias: points an alias at another key; needs permission on the alias and on both keys. Source: AWS KMS API Reference,
//! "UpdateAlias".

use claviger_domain::key::{Alias, KeySpec};
use claviger_domain::{AliasName, Caller, KeyReference, Refusal};

use super::create_alias::{alias_arn, ask_alias, check_not_reserved, check_room_for_alias};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::records::Versioned;
use crate::resolve::{KeyTarget, alias_not_found, must_be_own};
use crate::service::Service;

/// The request.
pub struct UpdateAlias {
    /// The alias.
    pub alias: AliasName,
    /// The key it shall stand for; not by alias.
    pub key: KeyReference,
}

/// The alias, the key that it stands for and the one that it shall stand for.
pub struct Move {
    alias: Versioned<Alias>,
    from: KeyTarget,
    to: KeyTarget,
}

/// What an alias may be moved within.
#[derive(PartialEq, Eq)]
enum Type {
    Symmetric,
    Asymmetric,
    Hmac,
}

impl Type {
    fn of(spec: KeySpec) -> Self {
        match spec {
            KeySpec::SymmetricDefault => Self::Symmetric,
            _ if spec.is_hmac() => Self::Hmac,
            _ => Self::Asymmetric,
        }
    }
}

impl Operation for UpdateAlias {
    const EVENT: Event = Event::kms("UpdateAlias");
    type Target = Move;
    type Output = ();

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<Move, Refusal> {
        check_not_reserved(&self.alias)?;
        let arn = alias_arn(caller, &self.alias);
        let alias = service.stored_alias(&arn).await?.ok_or_else(|| alias_not_found(&arn))?;
        must_be_own(&self.key, caller, "kms:UpdateAlias")?;
        let from = service.resolve_key(caller, &KeyReference::Id(alias.value.target), "kms:UpdateAlias").await?;
        let to = service.resolve_key(caller, &self.key, "kms:UpdateAlias").await?;
        Ok(Move { alias, from, to })
    }

    fn demands<'a>(&'a self, caller: &'a Caller, target: &'a Move) -> Vec<Ask<'a>> {
        vec![
            ask_alias("kms:UpdateAlias", &alias_arn(caller, &self.alias)),
            Ask::key("kms:UpdateAlias", &target.from),
            Ask::key("kms:UpdateAlias", &target.to),
        ]
    }

    async fn execute(&self, service: &Service, caller: &Caller, target: &Move, _: Allowed<Self>) -> Result<Effect<()>, Refusal> {
        let (from, to) = (&target.from.snapshot, &target.to.snapshot);
        to.must_not_be_pending_deletion()?;
        if (Type::of(from.key.spec), from.key.usage) != (Type::of(to.key.spec), to.key.usage) {
            return Err(Refusal::invalid(format!("Alias {} cannot be changed to a key of another type or usage.", self.alias)));
        }
        let mut alias = target.alias.value.clone();
        alias.target = to.key.id;
        alias.updated = caller.request.at;
        let mut changes = vec![service.records.update(&alias, target.alias.version).await?];
        if from.key.id != to.key.id {
            let (mut old, mut new) = (from.key.clone(), to.key.clone());
            check_room_for_alias(service, &new)?;
            old.aliases.remove(&self.alias);
            new.aliases.insert(self.alias.clone());
            changes.push(service.records.update(&old, from.version).await?);
            changes.push(service.records.update(&new, to.version).await?);
        }
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
