//! GenerateDataKeyPairWithoutPlaintext: a fresh key pair whose private key nobody sees until it is decrypted. Source: AWS KMS API Reference.

use std::sync::Arc;

use claviger_domain::key::DataKeyPairSpec;
use claviger_domain::policy::Values;
use claviger_domain::{Caller, MaterialId, Refusal};

use super::GenerateDataKeyPair;
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::quotas::{RateClass, RateClasses};
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::work::Effort;

/// The request: that of GenerateDataKeyPair.
pub struct GenerateDataKeyPairWithoutPlaintext(pub GenerateDataKeyPair);

/// The answer.
pub struct SealedDataKeyPair {
    /// The private key, sealed: Decrypt opens it.
    pub sealed_private_key: Vec<u8>,
    /// The public key: SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
    pub public_key: Vec<u8>,
    /// The ARN of the key that sealed it.
    pub key_arn: String,
    /// What kind of pair.
    pub spec: DataKeyPairSpec,
    /// The material that sealed it.
    pub material: MaterialId,
}

impl Operation for GenerateDataKeyPairWithoutPlaintext {
    const EVENT: Event = Event::kms_read("GenerateDataKeyPairWithoutPlaintext");
    const USES_KEYS: bool = true;
    type Target = KeyTarget;
    type Output = SealedDataKeyPair;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<KeyTarget, Refusal> {
        service.must_offer_spec(self.0.spec.key_spec(), "Data key pairs")?;
        service.resolve_key(caller, &self.0.key, "kms:GenerateDataKeyPairWithoutPlaintext").await
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, target: &'a KeyTarget) -> Vec<Ask<'a>> {
        vec![Ask::key("kms:GenerateDataKeyPairWithoutPlaintext", target)]
    }

    fn rate_classes(&self) -> RateClasses {
        [Some(RateClass::of_key_pair(self.0.spec)), None]
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        self.0.condition_of_request(key)
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<SealedDataKeyPair>, Refusal> {
        let snapshot = Arc::clone(&target.snapshot);
        snapshot.must_be_enabled()?;
        snapshot.must_seal_data_keys("GenerateDataKeyPairWithoutPlaintext")?;
        snapshot.must_not_be_elsewhere()?;
        stop_if_dry(self.0.dry_run)?;
        let (permit, context, spec) = (allowed.into_first()?, self.0.context.clone(), self.0.spec);
        let (made, material) = service
            .work(Effort::to_generate(spec.key_spec()), move |hsm| {
                let material = snapshot.current_material(hsm)?;
                Ok((hsm.generate_data_key_pair_without_plaintext(&permit, material, &context, spec)?, material.id()))
            })
            .await?;
        let output = SealedDataKeyPair {
            sealed_private_key: made.sealed_private_key,
            public_key: made.public_key,
            key_arn: target.snapshot.arn.clone(),
            spec,
            material,
        };
        Ok(Effect::answer(output).with_material(material))
    }

    fn parameters(&self) -> Parameters<'_> {
        self.0.parameters()
    }
}
