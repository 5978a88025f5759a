//! Verify: whether a signature is that of a key over a message. Source: AWS KMS API Reference, "Verify".

use std::sync::Arc;

use claviger_domain::key::{MessageType, SigningAlgorithm};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};
use zeroize::Zeroizing;

use super::signing::{check_signing, signing_condition};
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::quotas::{RateClass, RateClasses};
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::work::Effort;

/// The request.
pub struct Verify {
    /// The key.
    pub key: KeyReference,
    /// What was signed, 1 to 4,096 bytes: a secret, as far as anybody here knows.
    pub message: Zeroizing<Vec<u8>>,
    /// What the message is.
    pub message_type: MessageType,
    /// The signature.
    pub signature: Vec<u8>,
    /// How it was signed.
    pub algorithm: SigningAlgorithm,
    /// Whether to stop once everything has been checked, the signature included.
    pub dry_run: bool,
}

/// The answer: the signature is valid. One that is not is refused.
pub struct Verified {
    /// The key's ARN.
    pub key_arn: String,
    /// How it was signed.
    pub algorithm: SigningAlgorithm,
}

impl Operation for Verify {
    const EVENT: Event = Event::kms_read("Verify");
    const USES_KEYS: bool = true;
    type Output = Verified;
    about_one_key!("kms:Verify");

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
    ) -> Result<Effect<Verified>, Refusal> {
        let snapshot = Arc::clone(&target.snapshot);
        check_signing(&snapshot, "Verify", self.algorithm, self.message_type, &self.message)?;
        // The public half is here in any case; but a key is in use or it is not.
        service.elsewhere(&snapshot, caller, Self::EVENT).await?;
        let (permit, message, signature) = (allowed.into_first()?, self.message.clone(), self.signature.clone());
        let (algorithm, message_type) = (self.algorithm, self.message_type);
        let effort = Effort::with_public(snapshot.key.spec);
        let used = service
            .work(effort, move |hsm| {
                let material = snapshot.current_material(hsm)?;
                hsm.verify(&permit, material, algorithm, message_type, &message, &signature)?;
                Ok(material.id())
            })
            .await?;
        stop_if_dry(self.dry_run)?;
        let output = Verified { key_arn: target.snapshot.arn.clone(), algorithm };
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
