//! DeleteAlias: never touches the key itself. Needs permission on the alias and on the key. Source: AWS KMS API Reference, "DeleteAlias".

use claviger_domain::key::Alias;
use claviger_domain::{AliasName, Caller, KeyReference, Refusal};

use super::create_alias::{alias_arn, ask_alias, check_not_reserved};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::records::Versioned;
use crate::resolve::{KeyTarget, alias_not_found};
use crate::service::Service;

/// The request.
pub struct DeleteAlias {
    /// The alias.
    pub alias: AliasName,
}

/// The alias and the key that it stands for.
pub struct AliasAndKey {
    alias: Versioned<Alias>,
    key: KeyTarget,
}

impl Operation for DeleteAlias {
    const EVENT: Event = Event::kms("DeleteAlias");
    type Target = AliasAndKey;
    type Output = ();

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<AliasAndKey, Refusal> {
        check_not_reserved(&self.alias)?;
        let arn = alias_arn(caller, &self.alias);
        let alias = service.stored_alias(&arn).await?.ok_or_else(|| alias_not_found(&arn))?;
        let key = service.resolve_key(caller, &KeyReference::Id(alias.value.target), "kms:DeleteAlias").await?;
        Ok(AliasAndKey { alias, key })
    }

    fn demands<'a>(&'a self, caller: &'a Caller, target: &'a AliasAndKey) -> Vec<Ask<'a>> {
        vec![ask_alias("kms:DeleteAlias", &alias_arn(caller, &self.alias)), Ask::key("kms:DeleteAlias", &target.key)]
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &AliasAndKey,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let snapshot = &target.key.snapshot;
        let mut key = snapshot.key.clone();
        key.aliases.remove(&self.alias);
        let changes = vec![
            service.records.delete(&target.alias.value, target.alias.version),
            service.records.update(&key, snapshot.version).await?,
        ];
        Ok(Effect::change((), changes))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { alias_name: Some(self.alias.as_str().into()), ..Parameters::default() }
    }
}
