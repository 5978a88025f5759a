//! Encapsulate: a fresh secret in clear, and for whoever has the key. Source: AWS KMS API Reference, "Encapsulate".

use claviger_domain::key::{EncapsulationAlgorithm, KeyUsage};
use claviger_domain::{Caller, KeyReference, Refusal};
use zeroize::Zeroizing;

use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct Encapsulate {
    /// The key.
    pub key: KeyReference,
    /// How to encapsulate.
    pub algorithm: EncapsulationAlgorithm,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
}

/// The answer.
pub struct EncapsulatedSecret {
    /// The secret, 32 bytes.
    pub secret: Zeroizing<Vec<u8>>,
    /// The secret, encapsulated: Decapsulate recovers it.
    pub ciphertext: Vec<u8>,
    /// The key's ARN.
    pub key_arn: String,
    /// How it was encapsulated.
    pub algorithm: EncapsulationAlgorithm,
}

impl Operation for Encapsulate {
    const EVENT: Event = Event::kms_read("Encapsulate");
    const USES_KEYS: bool = true;
    type Output = EncapsulatedSecret;
    about_one_key!("kms:Encapsulate");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<EncapsulatedSecret>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_be_enabled()?;
        snapshot.must_be_for(KeyUsage::EncapsulateDecapsulate, "Encapsulate")?;
        stop_if_dry(self.dry_run)?;
        let material = snapshot.current_material(service.hsm())?;
        let made = service.hsm().encapsulate(allowed.first()?, material)?;
        let output = EncapsulatedSecret {
            secret: made.secret,
            ciphertext: made.ciphertext,
            key_arn: snapshot.arn.clone(),
            algorithm: self.algorithm,
        };
        Ok(Effect::answer(output).with_material(material.id()))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            encapsulation_algorithm: Some(self.algorithm.as_str()),
            dry_run: self.dry_run,
            ..Parameters::default()
        }
    }
}
