//! ReEncrypt: from one key to another, or to a key's newest material, without the plaintext leaving the hsm. Source: AWS KMS API
//! Reference, "ReEncrypt".

use std::sync::Arc;

use claviger_domain::key::{EncryptionAlgorithm, KeyUsage};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, EncryptionContext, KeyReference, MaterialId, Permit, Refusal};
use claviger_hsm::{Destination, Envelope, Hsm, HsmError, Source};
use zeroize::Zeroizing;

use super::asymmetric_encryption::{check_no_context, too_long};
use super::ciphertext::{Sealed, sealed_by};
use super::encryption_conditions::encryption_condition;
use super::state::stop_if_dry;
use crate::conditions::text;
use crate::elsewhere::Elsewhere;
use crate::event_parameters::Parameters;
use crate::key_stores::KeyUse;
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
        caller: &Caller,
        target: &SourceAndDestination,
        allowed: Allowed<Self>,
    ) -> Result<Effect<ReEncrypted>, Refusal> {
        let (source, destination) = (&target.source.snapshot, &target.destination.snapshot);
        source.must_be_enabled()?;
        destination.must_be_enabled()?;
        let elsewhere =
            (service.elsewhere(source, caller, Self::EVENT).await?, service.elsewhere(destination, caller, Self::EVENT).await?);
        source.must_be_for(KeyUsage::EncryptDecrypt, "ReEncryptFrom")?;
        destination.must_be_for(KeyUsage::EncryptDecrypt, "ReEncryptTo")?;
        if self.source_algorithm == EncryptionAlgorithm::SymmetricDefault && !(self.dry_run && self.ignore_ciphertext) {
            sealed_by(&self.ciphertext, &target.source)?;
        }
        source.must_offer(self.source_algorithm)?;
        destination.must_offer(self.destination_algorithm)?;
        check_no_context(self.source_algorithm, &self.source_context)?;
        check_no_context(self.destination_algorithm, &self.destination_context)?;
        stop_if_dry(self.dry_run && self.ignore_ciphertext)?;
        let (ciphertext, old, new) = match elsewhere {
            (None, None) => {
                let effort = Effort::with_secret(source.key.spec).max(Effort::with_public(destination.key.spec));
                let task = Task::new(self, target, allowed.into_both()?);
                service.work(effort, move |hsm| task.run(hsm)).await?
            }
            (from, to) => self.by_way_of_a_key_store(service, target, (from, to), allowed.into_both()?).await?,
        };
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

impl ReEncrypt {
    /// Where one of the keys is elsewhere, the plaintext cannot stay inside the hsm: it passes through here, and is wiped.
    async fn by_way_of_a_key_store(
        &self,
        service: &Service,
        target: &SourceAndDestination,
        (from, to): (Option<Elsewhere>, Option<Elsewhere>),
        permits: (Permit, Permit),
    ) -> Result<(Vec<u8>, MaterialId, MaterialId), Refusal> {
        let task = Arc::new(Task::new(self, target, permits));
        let (plaintext, old) = match from {
            Some(key) => (self.decrypt_elsewhere(service, target, &key, &task.from).await?, key.material()?),
            None => {
                let (effort, task) = (Effort::with_secret(task.source.key.spec), Arc::clone(&task));
                service.work(effort, move |hsm| task.decrypt(hsm)).await?
            }
        };
        if let (Some(key), EncryptionAlgorithm::SymmetricDefault) = (to, self.destination_algorithm) {
            let ciphertext = service.encrypt_elsewhere(&task.to, &key, &self.destination_context, &plaintext).await?;
            return Ok((ciphertext, old, key.material()?));
        }
        // The public half of a key pair is here in any case.
        let effort = Effort::with_public(task.destination.key.spec);
        let (ciphertext, new) = service.work(effort, move |hsm| task.encrypt(hsm, &plaintext)).await?;
        Ok((ciphertext, old, new))
    }

    async fn decrypt_elsewhere(
        &self,
        service: &Service,
        target: &SourceAndDestination,
        key: &Elsewhere,
        permit: &Permit,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        if self.source_algorithm != EncryptionAlgorithm::SymmetricDefault {
            let use_of_key = KeyUse::DecryptWithPrivate { algorithm: self.source_algorithm, ciphertext: &self.ciphertext };
            return service.use_elsewhere(permit, "kms:ReEncryptFrom", key, use_of_key).await;
        }
        match sealed_by(&self.ciphertext, &target.source)? {
            Sealed::Elsewhere(envelope) => service.decrypt_elsewhere(permit, key, &self.source_context, &envelope).await,
            Sealed::Here(_) => Err(Refusal::invalid_ciphertext()),
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
        let (destination, new) = self.destination(hsm)?;
        let envelope = Envelope::parse(&self.ciphertext);
        let (source, old) = self.source(hsm, envelope.as_ref())?;
        let ciphertext = hsm.re_encrypt(&self.from, &source, &self.to, &destination).map_err(|error| self.refusal(error))?;
        Ok((ciphertext, old, new))
    }

    /// The plaintext, and the material that decrypted.
    fn decrypt(&self, hsm: &Hsm) -> Result<(Zeroizing<Vec<u8>>, MaterialId), Refusal> {
        let envelope = Envelope::parse(&self.ciphertext);
        let (source, old) = self.source(hsm, envelope.as_ref())?;
        Ok((hsm.re_encrypt_from(&self.from, &source)?, old))
    }

    /// The new ciphertext, and the material that encrypted.
    fn encrypt(&self, hsm: &Hsm, plaintext: &[u8]) -> Result<(Vec<u8>, MaterialId), Refusal> {
        let (destination, new) = self.destination(hsm)?;
        let ciphertext = hsm.re_encrypt_to(&self.to, &destination, plaintext).map_err(|error| self.refusal(error))?;
        Ok((ciphertext, new))
    }

    fn source<'a>(&'a self, hsm: &Hsm, envelope: Option<&'a Envelope<'a>>) -> Result<(Source<'a>, MaterialId), Refusal> {
        if self.source_algorithm != EncryptionAlgorithm::SymmetricDefault {
            let material = self.source.current_material(hsm)?;
            let source = Source::Asymmetric { material, algorithm: self.source_algorithm, ciphertext: &self.ciphertext };
            return Ok((source, material.id()));
        }
        let envelope = envelope.ok_or_else(Refusal::invalid_ciphertext)?;
        let material = self.source.material(&envelope.material(), hsm)?.ok_or_else(Refusal::invalid_ciphertext)?;
        Ok((Source::Symmetric { material, context: &self.source_context, envelope }, material.id()))
    }

    fn destination(&self, hsm: &Hsm) -> Result<(Destination<'_>, MaterialId), Refusal> {
        let material = self.destination.current_material(hsm)?;
        let destination = match self.destination_algorithm {
            EncryptionAlgorithm::SymmetricDefault => Destination::Symmetric { material, context: &self.destination_context },
            algorithm => Destination::Asymmetric { material, algorithm },
        };
        Ok((destination, material.id()))
    }

    fn refusal(&self, error: HsmError) -> Refusal {
        match error {
            HsmError::PlaintextTooLong { .. } => too_long(self.destination.key.spec, self.destination_algorithm),
            other => other.into(),
        }
    }
}
