//! Encrypt: up to 4,096 bytes under a key. Source: AWS KMS API Reference, "Encrypt".

use std::sync::Arc;

use claviger_domain::key::{EncryptionAlgorithm, KeyUsage};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, EncryptionContext, KeyReference, MaterialId, Permit, Refusal};
use zeroize::Zeroizing;

use super::asymmetric_encryption::{check_no_context, check_plaintext};
use super::encryption_conditions::encryption_condition;
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::quotas::{RateClass, RateClasses};
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::snapshot::KeySnapshot;
use crate::work::Effort;

/// The request.
pub struct Encrypt {
    /// The key.
    pub key: KeyReference,
    /// What to encrypt, 1 to 4,096 bytes.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// What the ciphertext is bound to.
    pub context: EncryptionContext,
    /// How to encrypt.
    pub algorithm: EncryptionAlgorithm,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
}

/// The answer.
pub struct Encrypted {
    /// The ciphertext envelope.
    pub ciphertext: Vec<u8>,
    /// The key's ARN.
    pub key_arn: String,
    /// How it was encrypted.
    pub algorithm: EncryptionAlgorithm,
}

impl Operation for Encrypt {
    const EVENT: Event = Event::kms_read("Encrypt");
    const USES_KEYS: bool = true;
    type Output = Encrypted;
    about_one_key!("kms:Encrypt");

    fn rate_classes(&self) -> RateClasses {
        [Some(RateClass::of_encryption(self.algorithm)), None]
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        encryption_condition(key, &self.context, self.algorithm)
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<Encrypted>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_be_enabled()?;
        let elsewhere = service.elsewhere(snapshot, caller, Self::EVENT).await?;
        snapshot.must_be_for(KeyUsage::EncryptDecrypt, "Encrypt")?;
        snapshot.must_offer(self.algorithm)?;
        check_no_context(self.algorithm, &self.context)?;
        check_plaintext(snapshot.key.spec, self.algorithm, &self.plaintext)?;
        stop_if_dry(self.dry_run)?;
        let (ciphertext, used) = match (self.algorithm, elsewhere) {
            (EncryptionAlgorithm::SymmetricDefault, Some(key)) => {
                let ciphertext = service.encrypt_elsewhere(allowed.first()?, &key, &self.context, &self.plaintext).await?;
                (ciphertext, key.material()?)
            }
            (EncryptionAlgorithm::SymmetricDefault, None) => {
                let material = snapshot.current_material(service.hsm())?;
                let ciphertext = service.hsm().encrypt(allowed.first()?, material, &self.context, &self.plaintext)?;
                (ciphertext, material.id())
            }
            // The public half of a key pair is here in any case.
            (algorithm, _) => self.encrypt_to(service, snapshot, allowed.into_first()?, algorithm).await?,
        };
        let output = Encrypted { ciphertext, key_arn: snapshot.arn.clone(), algorithm: self.algorithm };
        Ok(Effect::answer(output).with_material(used))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            encryption_algorithm: Some(self.algorithm.as_str()),
            encryption_context: Some(&self.context),
            dry_run: self.dry_run,
            ..Parameters::default()
        }
    }
}

impl Encrypt {
    /// Encrypts to the public half of a key pair.
    async fn encrypt_to(
        &self,
        service: &Service,
        snapshot: &Arc<KeySnapshot>,
        permit: Permit,
        algorithm: EncryptionAlgorithm,
    ) -> Result<(Vec<u8>, MaterialId), Refusal> {
        let effort = Effort::with_public(snapshot.key.spec);
        let (snapshot, plaintext) = (Arc::clone(snapshot), self.plaintext.clone());
        let work = move |hsm: &claviger_hsm::Hsm| {
            let material = snapshot.current_material(hsm)?;
            Ok((hsm.encrypt_to(&permit, material, algorithm, &plaintext)?, material.id()))
        };
        service.work(effort, work).await
    }
}
