//! Decapsulate: the secret that was encapsulated for a key. Source: AWS KMS API Reference, "Decapsulate".

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
pub struct Decapsulate {
    /// The key.
    pub key: KeyReference,
    /// The encapsulated secret.
    pub ciphertext: Vec<u8>,
    /// How it was encapsulated.
    pub algorithm: EncapsulationAlgorithm,
    /// Whether to stop once everything has been checked, the ciphertext's length included.
    pub dry_run: bool,
}

/// The answer.
pub struct DecapsulatedSecret {
    /// The secret, 32 bytes. For a ciphertext of the right length that is not of this key it is another one, as random: FIPS 203 rejects implicitly.
    pub secret: Zeroizing<Vec<u8>>,
    /// The key's ARN.
    pub key_arn: String,
    /// How it was encapsulated.
    pub algorithm: EncapsulationAlgorithm,
}

impl Operation for Decapsulate {
    const EVENT: Event = Event::kms_read("Decapsulate");
    const USES_KEYS: bool = true;
    type Output = DecapsulatedSecret;
    about_one_key!("kms:Decapsulate");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<DecapsulatedSecret>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_be_enabled()?;
        snapshot.must_be_for(KeyUsage::EncapsulateDecapsulate, "Decapsulate")?;
        let material = snapshot.current_material(service.hsm())?;
        let secret = service.hsm().decapsulate(allowed.first()?, material, &self.ciphertext)?;
        stop_if_dry(self.dry_run)?;
        let output = DecapsulatedSecret { secret, key_arn: snapshot.arn.clone(), algorithm: self.algorithm };
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
