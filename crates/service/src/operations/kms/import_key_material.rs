//! ImportKeyMaterial: the first material of a key, the same material again, or new material that waits for a rotation. Source: AWS KMS API
//! Reference, "ImportKeyMaterial".

use claviger_domain::key::{Arrival, ExpirationModel, ImportType, KeySpec};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Kind, MaterialId, Permit, Refusal, Timestamp};
use claviger_hsm::{AccountKey, HsmError, NewMaterial};
use serde_json::json;

use crate::conditions::{owned, text};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::snapshot::KeySnapshot;
use crate::work::Effort;

/// The request.
pub struct ImportKeyMaterial {
    /// The key; not by alias.
    pub key: KeyReference,
    /// The token that came with the wrapping key.
    pub token: Vec<u8>,
    /// The material, wrapped.
    pub wrapped: Vec<u8>,
    /// Whether the material expires. AWS's default is that it does.
    pub expiration_model: ExpirationModel,
    /// When it expires.
    pub valid_to: Option<Timestamp>,
    /// Whether the key had this material before; none to expect what the key needs.
    pub import_type: Option<ImportType>,
    /// What its owner says of it; none to keep what was said before.
    pub description: Option<String>,
    /// The id that its owner expects.
    pub material: Option<MaterialId>,
}

/// The answer.
pub struct ImportedKeyMaterial {
    /// The key's ARN.
    pub key_arn: String,
    /// The material's id; none for asymmetric and HMAC keys, as AWS tells it for symmetric encryption keys only.
    pub material: Option<MaterialId>,
}

/// How far off an expiry may be. Source: AWS KMS API Reference, "ImportKeyMaterial".
const VALID_DAYS_MAX: u32 = 365;

impl Operation for ImportKeyMaterial {
    const EVENT: Event = Event::kms("ImportKeyMaterial");
    type Output = ImportedKeyMaterial;
    about_one_own_key!("kms:ImportKeyMaterial");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        match (key, self.valid_to) {
            ("kms:expirationmodel", _) => text(self.expiration_model.as_str()),
            ("kms:validto", Some(valid_to)) => owned(valid_to.to_rfc3339()),
            _ => Values::Absent,
        }
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<ImportedKeyMaterial>, Refusal> {
        let (snapshot, now) = (&target.snapshot, caller.request.at);
        snapshot.must_be_for_imports()?;
        snapshot.must_take_imports()?;
        self.must_fit(snapshot)?;
        self.must_expire_in_time(now)?;
        let versions = service.records.existing_account(snapshot.key.account).await?;
        let account_key = versions.current()?.clone();
        let account_key_version = account_key.version();
        let made = self.unwrap(service, snapshot, account_key, allowed.into_first()?, now).await?;
        let mut key = snapshot.key.clone();
        key.take_import(Arrival {
            id: made.id,
            account_key_version,
            sealed: made.sealed,
            public_key: made.public_key,
            at: now,
            valid_to: self.valid_to,
            description: self.description.clone(),
            kind: self.import_type,
            expected: self.material,
        })?;
        let material = (key.spec == KeySpec::SymmetricDefault).then_some(made.id);
        let output = ImportedKeyMaterial { key_arn: snapshot.arn.clone(), material };
        Ok(service.update_with_relatives(snapshot, &key).await?.effect(output))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            expiration_model: Some(self.expiration_model.as_str()),
            import_type: self.import_type.map(ImportType::as_str),
            key_id: Some(self.key.to_string()),
            key_material_description: self.description.as_deref(),
            key_material_id: self.material.map(|id| id.to_string()),
            valid_to: self.valid_to.map(Timestamp::to_rfc3339),
            ..Parameters::default()
        }
    }

    fn response_elements(output: &ImportedKeyMaterial) -> Option<serde_json::Value> {
        Some(match output.material {
            Some(id) => json!({"keyId": output.key_arn, "keyMaterialId": id.to_string()}),
            None => json!({"keyId": output.key_arn}),
        })
    }
}

impl ImportKeyMaterial {
    async fn unwrap(
        &self,
        service: &Service,
        snapshot: &KeySnapshot,
        account_key: AccountKey,
        permit: Permit,
        now: Timestamp,
    ) -> Result<NewMaterial, Refusal> {
        let key = &snapshot.key;
        let secret = service.import_secret(key).await?;
        let opens_token = service.sealing_key(key, &self.token).await?.ok_or(HsmError::InvalidImportToken)?;
        let token = service.hsm().open_import_token(&permit, &opens_token, key.id, &key.region, &self.token)?;
        if token.valid_to() <= now {
            let detail =
                format!("The import token expired at {}. Get a new one, and wrap the key material again.", token.valid_to());
            return Err(Refusal::new(Kind::ExpiredImportToken, detail));
        }
        let (wrapped, spec) = (self.wrapped.clone(), key.spec);
        service.work(Effort::Much, move |hsm| Ok(hsm.import_material(&token, &account_key, &secret, spec, &wrapped)?)).await
    }

    /// What only symmetric encryption keys can have: several versions of their material.
    fn must_fit(&self, snapshot: &KeySnapshot) -> Result<(), Refusal> {
        if self.material.is_some() && self.import_type == Some(ImportType::New) {
            return Err(Refusal::invalid("You cannot specify KeyMaterialId with ImportType NEW_KEY_MATERIAL."));
        }
        let spec = snapshot.key.spec;
        let of_symmetric_keys = self.import_type.is_some() || self.material.is_some() || self.description.is_some();
        if spec != KeySpec::SymmetricDefault && of_symmetric_keys {
            return Err(Refusal::invalid(format!(
                "ImportType, KeyMaterialId and KeyMaterialDescription can be used with symmetric encryption keys only, and not with key spec \
                 {spec}."
            )));
        }
        Ok(())
    }

    fn must_expire_in_time(&self, now: Timestamp) -> Result<(), Refusal> {
        let problem = match (self.expiration_model, self.valid_to) {
            (ExpirationModel::DoesNotExpire, None) => return Ok(()),
            (ExpirationModel::Expires, Some(at)) if at > now && at <= now.plus_days(VALID_DAYS_MAX) => return Ok(()),
            (ExpirationModel::Expires, None) => "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES",
            (ExpirationModel::DoesNotExpire, Some(_)) => {
                "A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE"
            }
            (ExpirationModel::Expires, Some(at)) if at <= now => "The validTo date must be in the future",
            (ExpirationModel::Expires, Some(_)) => "The validTo date must not be more than 365 days from now",
        };
        Err(Refusal::invalid(problem))
    }
}
