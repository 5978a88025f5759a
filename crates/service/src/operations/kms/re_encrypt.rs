//! ReEncrypt: from one key to another, or to a key's newest material, without the plaintext leaving the hsm. Source: AWS KMS API
//! Reference, "ReEncrypt".

use std::sync::Arc;

use claviger_domain::key::{EncryptionAlgorithm, KeyUsage};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, EncryptionContext, KeyReference, MaterialId, Permit, Refusal};
use claviger_hsm::{Destination, Envelope, Hsm, HsmError, Source};

use super::asymmetric_encryption::{check_no_context, too_long};
use super::ciphertext::envelope_of;
use super::encryption_conditions::encryption_condition;
use super::state::stop_if_dry;
use crate::conditions::text;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::quotas::{RateClass, RateClasses};
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::snapshot::KeySnapshot;
use crate::work::Effort;

/// The request.
pub struct ReEncrypt {
    /// The key that made the ciphertext; may be left out for a symmetric one, since the ciphertext names it.
    pub source: Option<KeyReference>,
    /// The ciphertext. Empty only in a dry run that ignores it.
    pub ciphertext: Vec<u8>,
    /// What the ciphertext is bound to.
    pub source_context: EncryptionContext,
    /// How it was encrypted.
    pub source_algorithm: EncryptionAlgorithm,
    /// The key that encrypts.
    pub destination: KeyReference,
    /// What the new ciphertext will be bound to.
    pub destination_context: EncryptionContext,
    /// How to encrypt.
    pub destination_algorithm: EncryptionAlgorithm,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
    /// Whether a dry run checks the authorization only, and not the ciphertext. The source key must then be named.
    pub ignore_ciphertext: bool,
}

/// The answer.
pub struct ReEncrypted {
    /// The new ciphertext envelope.
    pub ciphertext: Vec<u8>,
    /// The ARN of the key that decrypted.
    pub source_arn: String,
    /// The ARN of the key that encrypted.
    pub destination_arn: String,
    /// The material that decrypted.
    pub source_material: MaterialId,
    /// The material that encrypted.
    pub destination_material: MaterialId,
    /// How the old ciphertext was encrypted.
    pub source_algorithm: EncryptionAlgorithm,
    /// How the new one was.
    pub destination_algorithm: EncryptionAlgorithm,
}

/// Both keys.
pub struct SourceAndDestination {
    source: KeyTarget,
    destination: KeyTarget,
}

impl Operation for ReEncrypt {
    const EVENT: Event = Event::kms_read("ReEncrypt");
    const USES_KEYS: bool = true;
    type Target = SourceAndDestination;
    type Output = ReEncrypted;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<SourceAndDestination, Refusal> {
        let (named, algorithm) = (self.source.as_ref(), self.source_algorithm);
        let source = service.resolve_ciphertext_key(caller, named, &self.ciphertext, algorithm, "kms:ReEncryptFrom").await?;
        let destination = service.resolve_key(caller, &self.destination, "kms:ReEncryptTo").await?;
        Ok(SourceAndDestination { source, destination })
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, target: &'a SourceAndDestination) -> Vec<Ask<'a>> {
        vec![Ask::key("kms:ReEncryptFrom", &target.source), Ask::key("kms:ReEncryptTo", &target.destination)]
    }

    /// Both keys' classes, once where they are the same.
    fn rate_classes(&self) -> RateClasses {
        let (from, to) = (RateClass::of_encryption(self.source_algorithm), RateClass::of_encryption(self.destination_algorithm));
        [Some(from), Some(to).filter(|to| *to != from)]
    }

    fn condition<'a>(&'a self, ask: &Ask<'_>, target: &'a SourceAndDestination, key: &str) -> Values<'a> {
        if key == "kms:reencryptonsamekey" {
            return text(if target.source.snapshot.arn == target.destination.snapshot.arn { "true" } else { "false" });
        }
        match ask.action {
            "kms:ReEncryptFrom" => encryption_condition(key, &self.source_context, self.source_algorithm),
            _ => encryption_condition(key, &self.destination_context, self.destination_algorithm),
        }
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &SourceAndDestination,
        allowed: Allowed<Self>,
    ) -> Result<Effect<ReEncrypted>, Refusal> {
        let (source, destination) = (&target.source.snapshot, &target.destination.snapshot);
        source.must_be_enabled()?;
        destination.must_be_enabled()?;
        source.must_be_for(KeyUsage::EncryptDecrypt, "ReEncryptFrom")?;
        destination.must_be_for(KeyUsage::EncryptDecrypt, "ReEncryptTo")?;
        if self.source_algorithm == EncryptionAlgorithm::SymmetricDefault && !(self.dry_run && self.ignore_ciphertext) {
            envelope_of(&self.ciphertext, &target.source)?;
        }
        source.must_offer(self.source_algorithm)?;
        destination.must_offer(self.destination_algorithm)?;
        check_no_context(self.source_algorithm, &self.source_context)?;
        check_no_context(self.destination_algorithm, &self.destination_context)?;
        stop_if_dry(self.dry_run && self.ignore_ciphertext)?;
        let effort = Effort::with_secret(source.key.spec).max(Effort::with_public(destination.key.spec));
        let task = Task::new(self, target, allowed.into_both()?);
        let (ciphertext, old, new) = service.work(effort, move |hsm| task.run(hsm)).await?;
        stop_if_dry(self.dry_run)?;
        Ok(Effect::answer(ReEncrypted {
            ciphertext,
            source_arn: source.arn.clone(),
            destination_arn: destination.arn.clone(),
            source_material: old,
            destination_material: new,
            source_algorithm: self.source_algorithm,
            destination_algorithm: self.destination_algorithm,
        })
        .with_materials(old, new))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            source_encryption_algorithm: Some(self.source_algorithm.as_str()),
            source_key_id: self.source.as_ref().map(ToString::to_string),
            source_encryption_context: Some(&self.source_context),
            destination_encryption_algorithm: Some(self.destination_algorithm.as_str()),
            destination_key_id: Some(self.destination.to_string()),
            destination_encryption_context: Some(&self.destination_context),
            dry_run: self.dry_run,
            ..Parameters::default()
        }
    }
}

/// What the hsm needs for it, to take to where the work is done.
struct Task {
    from: Permit,
    source: Arc<KeySnapshot>,
    source_algorithm: EncryptionAlgorithm,
    source_context: EncryptionContext,
    ciphertext: Vec<u8>,
    to: Permit,
    destination: Arc<KeySnapshot>,
    destination_algorithm: EncryptionAlgorithm,
    destination_context: EncryptionContext,
}

impl Task {
    fn new(request: &ReEncrypt, keys: &SourceAndDestination, (from, to): (Permit, Permit)) -> Self {
        Self {
            from,
            source: Arc::clone(&keys.source.snapshot),
            source_algorithm: request.source_algorithm,
            source_context: request.source_context.clone(),
            ciphertext: request.ciphertext.clone(),
            to,
            destination: Arc::clone(&keys.destination.snapshot),
            destination_algorithm: request.destination_algorithm,
            destination_context: request.destination_context.clone(),
        }
    }

    /// The new ciphertext, the material that decrypted, and the material that encrypted.
    fn run(&self, hsm: &Hsm) -> Result<(Vec<u8>, MaterialId, MaterialId), Refusal> {
        let new = self.destination.current_material(hsm)?;
        let encrypting = match self.destination_algorithm {
            EncryptionAlgorithm::SymmetricDefault => Destination::Symmetric { material: new, context: &self.destination_context },
            algorithm => Destination::Asymmetric { material: new, algorithm },
        };
        let envelope = Envelope::parse(&self.ciphertext);
        let (decrypting, old) = match (self.source_algorithm, &envelope) {
            (EncryptionAlgorithm::SymmetricDefault, Some(envelope)) => {
                let material = self.source.material(&envelope.material(), hsm)?.ok_or_else(Refusal::invalid_ciphertext)?;
                (Source::Symmetric { material, context: &self.source_context, envelope }, material)
            }
            (EncryptionAlgorithm::SymmetricDefault, None) => return Err(Refusal::invalid_ciphertext()),
            (algorithm, _) => {
                let material = self.source.current_material(hsm)?;
                (Source::Asymmetric { material, algorithm, ciphertext: &self.ciphertext }, material)
            }
        };
        let ciphertext = hsm.re_encrypt(&self.from, &decrypting, &self.to, &encrypting).map_err(|error| match error {
            HsmError::PlaintextTooLong { .. } => too_long(self.destination.key.spec, self.destination_algorithm),
            other => other.into(),
        })?;
        Ok((ciphertext, old.id(), new.id()))
    }
}
