//! Sign: a signature over a message or its digest. Source: AWS KMS API Reference, "Sign".

use std::sync::Arc;

use claviger_domain::key::{MessageType, SigningAlgorithm};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};
use zeroize::Zeroizing;

use super::signing::{check_signing, signing_condition};
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::key_stores::KeyUse;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::quotas::{RateClass, RateClasses};
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::work::Effort;

/// The request.
pub struct Sign {
    /// The key.
    pub key: KeyReference,
    /// What to sign, 1 to 4,096 bytes: a secret, as far as anybody here knows.
    pub message: Zeroizing<Vec<u8>>,
    /// What the message is.
    pub message_type: MessageType,
    /// How to sign.
    pub algorithm: SigningAlgorithm,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
}

/// The answer.
pub struct Signed {
    /// The signature: as RFC 8017 writes it (RSA), ECDSA-Sig-Value in DER (RFC 3279, section 2.2.3; also for SM2), or as RFC 8032 and FIPS 204 do.
    pub signature: Vec<u8>,
    /// The key's ARN.
    pub key_arn: String,
    /// How it was signed.
    pub algorithm: SigningAlgorithm,
}

impl Operation for Sign {
    const EVENT: Event = Event::kms_read("Sign");
    const USES_KEYS: bool = true;
    type Output = Signed;
    about_one_key!("kms:Sign");

    fn rate_classes(&self) -> RateClasses {
        [Some(RateClass::of_signing(self.algorithm)), None]
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        signing_condition(key, self.algorithm, self.message_type)
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<Signed>, Refusal> {
        let snapshot = Arc::clone(&target.snapshot);
        check_signing(&snapshot, "Sign", self.algorithm, self.message_type, &self.message)?;
        let elsewhere = service.elsewhere(&snapshot, caller, Self::EVENT).await?;
        stop_if_dry(self.dry_run)?;
        let (algorithm, message_type) = (self.algorithm, self.message_type);
        if let Some(key) = elsewhere {
            let use_of_key = KeyUse::Sign { algorithm, message_type, message: &self.message };
            let signature = service.use_elsewhere(allowed.first()?, "kms:Sign", &key, use_of_key).await?.to_vec();
            let output = Signed { signature, key_arn: snapshot.arn.clone(), algorithm };
            return Ok(Effect::answer(output).with_material(key.material()?));
        }
        let (permit, message) = (allowed.into_first()?, self.message.clone());
        let effort = Effort::with_secret(snapshot.key.spec);
        let (signature, used) = service
            .work(effort, move |hsm| {
                let material = snapshot.current_material(hsm)?;
                Ok((hsm.sign(&permit, material, algorithm, message_type, &message)?, material.id()))
            })
            .await?;
        let output = Signed { signature, key_arn: target.snapshot.arn.clone(), algorithm };
        Ok(Effect::answer(output).with_material(used))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            message_type: Some(self.message_type.as_str()),
            signing_algorithm: Some(self.algorithm.as_str()),
            dry_run: self.dry_run,
            ..Parameters::default()
        }
    }
}
