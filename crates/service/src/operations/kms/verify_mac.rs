//! VerifyMac: whether an HMAC is that of a key over a message. Source: AWS KMS API Reference, "VerifyMac".

use claviger_domain::key::MacAlgorithm;
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};
use zeroize::Zeroizing;

use super::generate_mac::{check_mac, mac_condition};
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::key_stores::KeyUse;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct VerifyMac {
    /// The key.
    pub key: KeyReference,
    /// What the code was made over, 1 to 4,096 bytes: a secret, as far as anybody here knows.
    pub message: Zeroizing<Vec<u8>>,
    /// The code.
    pub mac: Vec<u8>,
    /// How it was made.
    pub algorithm: MacAlgorithm,
    /// Whether to stop once everything has been checked, the code included.
    pub dry_run: bool,
}

/// The answer: the code is valid. One that is not is refused.
pub struct VerifiedMac {
    /// The key's ARN.
    pub key_arn: String,
    /// How it was made.
    pub algorithm: MacAlgorithm,
}

impl Operation for VerifyMac {
    const EVENT: Event = Event::kms_read("VerifyMac");
    const USES_KEYS: bool = true;
    type Output = VerifiedMac;
    about_one_key!("kms:VerifyMac");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        mac_condition(key, self.algorithm)
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<VerifiedMac>, Refusal> {
        let snapshot = &target.snapshot;
        check_mac(snapshot, "VerifyMac", self.algorithm)?;
        let (permit, algorithm) = (allowed.first()?, self.algorithm);
        let material = match service.elsewhere(snapshot, caller, Self::EVENT).await? {
            Some(key) => {
                let use_of_key = KeyUse::VerifyMac { algorithm, message: &self.message, code: &self.mac };
                service.use_elsewhere(permit, "kms:VerifyMac", &key, use_of_key).await?;
                key.material()?
            }
            None => {
                let material = snapshot.current_material(service.hsm())?;
                service.hsm().verify_mac(permit, material, algorithm, &self.message, &self.mac)?;
                material.id()
            }
        };
        stop_if_dry(self.dry_run)?;
        let output = VerifiedMac { key_arn: snapshot.arn.clone(), algorithm };
        Ok(Effect::answer(output).with_material(material))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            mac_algorithm: Some(self.algorithm.as_str()),
            dry_run: self.dry_run,
            ..Parameters::default()
        }
    }
}
