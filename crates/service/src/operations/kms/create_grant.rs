//! CreateGrant. Source: AWS KMS API Reference, "CreateGrant".

use std::collections::BTreeSet;

use claviger_domain::ids::GrantId;
use claviger_domain::key::{Key, KeySpec};
use claviger_domain::policy::{PrincipalName, Values};
use claviger_domain::{
    Caller, EncryptionContext, Grant, GrantConstraints, GrantOperation, GrantPrincipal, GrantTerms, KeyReference, Refusal,
};
use serde_json::json;

use super::grant_conditions::grant_condition;
use super::policy_check::exists;
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::grants::seal_token;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct CreateGrant {
    /// The key; not by alias.
    pub key: KeyReference,
    /// A name makes the request repeatable: the same one makes no second grant.
    pub name: Option<String>,
    /// What the grant shall say.
    pub terms: GrantTerms,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
}

/// The answer.
pub struct CreatedGrant {
    /// The grant.
    pub id: GrantId,
    /// A token that names it; another one for each request.
    pub token: String,
    /// The key's ARN.
    pub key_arn: String,
}

impl Operation for CreateGrant {
    const EVENT: Event = Event::kms("CreateGrant");
    type Target = KeyTarget;
    type Output = CreatedGrant;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<KeyTarget, Refusal> {
        check_form(&self.terms)?;
        service.resolve_key(caller, &self.key, "kms:CreateGrant").await
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, target: &'a KeyTarget) -> Vec<Ask<'a>> {
        vec![Ask::key("kms:CreateGrant", target).proposing(&self.terms)]
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        grant_condition(key, &self.terms)
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<CreatedGrant>, Refusal> {
        let (snapshot, key) = (&target.snapshot, &target.snapshot.key);
        snapshot.must_be_enabled()?;
        check_fits(&self.terms, key)?;
        for principal in [Some(&self.terms.grantee), self.terms.retiring.as_ref()].into_iter().flatten() {
            check_exists(service, principal).await?;
        }
        let mut id = [0; 32];
        service.hsm().fill_public(&mut id)?;
        let grant = Grant {
            id: GrantId::new(id),
            account: key.account,
            region: key.region.clone(),
            key: key.id,
            name: self.name.clone(),
            created: caller.request.at,
            issuing_account: caller.identity.account,
            terms: self.terms.clone(),
        };
        let answer = |id: GrantId| -> Result<CreatedGrant, Refusal> {
            Ok(CreatedGrant { id, token: seal_token(service.hsm(), &key.arn(), id)?, key_arn: snapshot.arn.clone() })
        };
        if let Some(same) = service.same_grant(key, &grant).await? {
            stop_if_dry(self.dry_run)?;
            return Ok(Effect::answer(answer(same)?));
        }
        service.must_have_room_for_a_grant(key).await?;
        stop_if_dry(self.dry_run)?;
        let output = answer(grant.id)?;
        Ok(Effect::change(output, service.add_grant(grant, snapshot.version).await?))
    }

    fn parameters(&self) -> Parameters<'_> {
        let named = |principal: &GrantPrincipal| matches!(principal, GrantPrincipal::Principal(_));
        let GrantTerms { grantee, retiring, operations, constraints } = &self.terms;
        let (by_arn, by_service) = (Some(grantee).filter(|it| named(it)), Some(grantee).filter(|it| !named(it)));
        let retiring = retiring.as_ref();
        Parameters {
            constraints: (!constraints.is_empty()).then_some(constraints),
            dry_run: self.dry_run,
            grantee_principal: by_arn.map(GrantPrincipal::as_str),
            grantee_service_principal: by_service.map(GrantPrincipal::as_str),
            key_id: Some(self.key.to_string()),
            name: self.name.as_deref(),
            operations: Some(operations),
            retiring_principal: retiring.filter(|it| named(it)).map(GrantPrincipal::as_str),
            retiring_service_principal: retiring.filter(|it| !named(it)).map(GrantPrincipal::as_str),
            ..Parameters::default()
        }
    }

    fn response_elements(output: &CreatedGrant) -> Option<serde_json::Value> {
        Some(json!({"grantId": output.id.to_string(), "keyId": output.key_arn}))
    }
}

/// How many pairs a constraint may have. Source: AWS KMS service model, `CreateGrant`.
const PAIRS_MAX: usize = 8;
/// How many characters these pairs may have together. Source: as above.
const PAIR_CHARACTERS_MAX: usize = 384;

/// What can be said of a grant without its key.
fn check_form(terms: &GrantTerms) -> Result<(), Refusal> {
    if terms.operations == BTreeSet::from([GrantOperation::CreateGrant]) {
        return Err(Refusal::invalid("Grants must not contain only the CreateGrant operation."));
    }
    if matches!(terms.grantee, GrantPrincipal::Service(_)) {
        if terms.constraints.source_arn.is_none() {
            return Err(Refusal::invalid("A grant with a GranteeServicePrincipal must have a SourceArn constraint."));
        }
        if terms.retiring.is_none() {
            return Err(Refusal::invalid(
                "A grant with a GranteeServicePrincipal must have a RetiringPrincipal or a RetiringServicePrincipal.",
            ));
        }
    }
    let GrantConstraints { encryption_context_equals, encryption_context_subset, .. } = &terms.constraints;
    check_constraint("EncryptionContextEquals", encryption_context_equals.as_ref())?;
    check_constraint("EncryptionContextSubset", encryption_context_subset.as_ref())
}

fn check_constraint(name: &str, context: Option<&EncryptionContext>) -> Result<(), Refusal> {
    let Some(context) = context else { return Ok(()) };
    if context.has_twins() {
        return Err(Refusal::invalid(format!(
            "The grant constraint {name} has keys that differ in case alone, which does not matter in constraints."
        )));
    }
    if context.len() > PAIRS_MAX {
        return Err(Refusal::invalid(format!("The grant constraint {name} has more than {PAIRS_MAX} pairs.")));
    }
    let characters: usize = context.pairs().map(|(key, value)| key.chars().count() + value.chars().count()).sum();
    if characters > PAIR_CHARACTERS_MAX {
        let detail = format!("The grant constraint {name} is longer than {PAIR_CHARACTERS_MAX} characters.");
        return Err(Refusal::invalid(detail));
    }
    Ok(())
}

/// Whether the key can do what the grant is about. Source: AWS KMS service model, `CreateGrant`, `Operations` and `Constraints`.
fn check_fits(terms: &GrantTerms, key: &Key) -> Result<(), Refusal> {
    let misfits: Vec<&str> =
        terms.operations.iter().filter(|it| !it.fits(key.spec, key.usage)).map(|operation| operation.as_str()).collect();
    if !misfits.is_empty() {
        return Err(Refusal::invalid(format!(
            "The operations [{}] are not supported by keys with key spec {} and key usage {}.",
            misfits.join(", "),
            key.spec,
            key.usage
        )));
    }
    if terms.constraints.bind_encryption_context() && key.spec != KeySpec::SymmetricDefault {
        return Err(Refusal::invalid(format!(
            "Encryption context constraints are not supported by keys with key spec {}: their operations have no encryption context.",
            key.spec
        )));
    }
    Ok(())
}

/// Principals must exist, as in key policies; services are a closed world of names.
async fn check_exists(service: &Service, principal: &GrantPrincipal) -> Result<(), Refusal> {
    let GrantPrincipal::Principal(arn) = principal else { return Ok(()) };
    let there = match PrincipalName::parse_arn(arn) {
        Some(name) => exists(service, &name).await?,
        None => false,
    };
    if there { Ok(()) } else { Err(Refusal::invalid_arn(format!("ARN does not refer to a valid principal: {arn}"))) }
}
