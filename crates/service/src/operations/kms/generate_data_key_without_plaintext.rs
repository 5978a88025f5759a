//! GenerateDataKeyWithoutPlaintext: a fresh key that nobody sees until it is decrypted. Source: AWS KMS API Reference.

use claviger_domain::key::EncryptionAlgorithm;
use claviger_domain::policy::Values;
use claviger_domain::{Caller, MaterialId, Refusal};

use super::GenerateDataKey;
use super::encryption_conditions::encryption_condition;
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request: that of GenerateDataKey.
pub struct GenerateDataKeyWithoutPlaintext(pub GenerateDataKey);

/// The answer.
pub struct SealedDataKey {
    /// The data key, sealed: Decrypt opens it.
    pub ciphertext: Vec<u8>,
    /// The ARN of the key that sealed it.
    pub key_arn: String,
    /// The material that sealed it.
    pub material: MaterialId,
}

impl Operation for GenerateDataKeyWithoutPlaintext {
    const EVENT: Event = Event::kms_read("GenerateDataKeyWithoutPlaintext");
    const USES_KEYS: bool = true;
    type Target = KeyTarget;
    type Output = SealedDataKey;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<KeyTarget, Refusal> {
        service.resolve_key(caller, &self.0.key, "kms:GenerateDataKeyWithoutPlaintext").await
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, target: &'a KeyTarget) -> Vec<Ask<'a>> {
        vec![Ask::key("kms:GenerateDataKeyWithoutPlaintext", target)]
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        encryption_condition(key, &self.0.context, EncryptionAlgorithm::SymmetricDefault)
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<SealedDataKey>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_be_enabled()?;
        let elsewhere = service.elsewhere(snapshot, caller, Self::EVENT).await?;
        snapshot.must_seal_data_keys("GenerateDataKeyWithoutPlaintext")?;
        stop_if_dry(self.0.dry_run)?;
        let (permit, context, length) = (allowed.first()?, &self.0.context, self.0.length);
        let (ciphertext, material) = match elsewhere {
            Some(key) => (service.new_data_key_elsewhere(permit, &key, context, length).await?.1, key.material()?),
            None => {
                let material = snapshot.current_material(service.hsm())?;
                (service.hsm().generate_data_key_without_plaintext(permit, material, context, length)?, material.id())
            }
        };
        let output = SealedDataKey { ciphertext, key_arn: snapshot.arn.clone(), material };
        Ok(Effect::answer(output).with_material(material))
    }

    fn parameters(&self) -> Parameters<'_> {
        self.0.parameters()
    }
}
