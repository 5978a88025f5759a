//! GenerateMac: an HMAC over a message. Source: AWS KMS API Reference, "GenerateMac".

use claviger_domain::key::{KeyUsage, MacAlgorithm};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};
use zeroize::Zeroizing;

use super::state::{incompatible, stop_if_dry};
use crate::conditions::text;
use crate::event_parameters::Parameters;
use crate::key_stores::KeyUse;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::snapshot::KeySnapshot;

/// The request.
pub struct GenerateMac {
    /// The key.
    pub key: KeyReference,
    /// What the code is made over, 1 to 4,096 bytes: a secret, as far as anybody here knows.
    pub message: Zeroizing<Vec<u8>>,
    /// How to make it.
    pub algorithm: MacAlgorithm,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
}

/// The answer.
pub struct MadeMac {
    /// The code, as long as the digest.
    pub mac: Vec<u8>,
    /// The key's ARN.
    pub key_arn: String,
    /// How it was made.
    pub algorithm: MacAlgorithm,
}

impl Operation for GenerateMac {
    const EVENT: Event = Event::kms_read("GenerateMac");
    const USES_KEYS: bool = true;
    type Output = MadeMac;
    about_one_key!("kms:GenerateMac");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        mac_condition(key, self.algorithm)
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<MadeMac>, Refusal> {
        let snapshot = &target.snapshot;
        check_mac(snapshot, "GenerateMac", self.algorithm)?;
        let elsewhere = service.elsewhere(snapshot, caller, Self::EVENT).await?;
        stop_if_dry(self.dry_run)?;
        let (permit, algorithm) = (allowed.first()?, self.algorithm);
        let (mac, material) = match elsewhere {
            Some(key) => {
                let use_of_key = KeyUse::GenerateMac { algorithm, message: &self.message };
                (service.use_elsewhere(permit, "kms:GenerateMac", &key, use_of_key).await?.to_vec(), key.material()?)
            }
            None => {
                let material = snapshot.current_material(service.hsm())?;
                (service.hsm().generate_mac(permit, material, algorithm, &self.message)?, material.id())
            }
        };
        let output = MadeMac { mac, key_arn: snapshot.arn.clone(), algorithm };
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

/// The key must be in use, for codes of this algorithm.
pub(crate) fn check_mac(snapshot: &KeySnapshot, operation: &str, algorithm: MacAlgorithm) -> Result<(), Refusal> {
    snapshot.must_be_enabled()?;
    snapshot.must_be_for(KeyUsage::GenerateVerifyMac, operation)?;
    let spec = snapshot.key.spec;
    if spec.mac_algorithm() == Some(algorithm) { Ok(()) } else { Err(incompatible(algorithm.as_str(), spec)) }
}

/// The value of `name` (in lower case) for a request with this algorithm.
pub(crate) fn mac_condition(name: &str, algorithm: MacAlgorithm) -> Values<'static> {
    match name {
        "kms:macalgorithm" => text(algorithm.as_str()),
        _ => Values::Absent,
    }
}
