//! ReEncrypt: from one key to another, or to a key's newest material, without the plaintext leaving the hsm. Source: AWS KMS API
//! Reference, "ReEncrypt".

use claviger_domain::key::{EncryptionAlgorithm, KeyUsage};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, EncryptionContext, KeyReference, MaterialId, Refusal};
use claviger_hsm::{Destination, Source};

use super::ciphertext::envelope_of;
use super::encryption_conditions::encryption_condition;
use super::state::stop_if_dry;
use crate::conditions::text;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::quotas::{RateClass, RateClasses};
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct ReEncrypt {
    /// The key that made the ciphertext; may be left out, since the ciphertext names it.
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
        let source = service.resolve_ciphertext_key(caller, self.source.as_ref(), &self.ciphertext, "kms:ReEncryptFrom").await?;
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
        source.must_offer(self.source_algorithm)?;
        destination.must_offer(self.destination_algorithm)?;
        stop_if_dry(self.dry_run && self.ignore_ciphertext)?;
        let envelope = envelope_of(&self.ciphertext, &target.source)?;
        let old = source.material(&envelope.material(), service.hsm())?.ok_or_else(Refusal::invalid_ciphertext)?;
        let new = destination.current_material(service.hsm())?;
        let (from, to) = (allowed.first()?, allowed.second()?);
        let decrypting = Source::Symmetric { material: old, context: &self.source_context, envelope: &envelope };
        let encrypting = Destination::Symmetric { material: new, context: &self.destination_context };
        let ciphertext = service.hsm().re_encrypt(from, &decrypting, to, &encrypting)?;
        stop_if_dry(self.dry_run)?;
        Ok(Effect::answer(ReEncrypted {
            ciphertext,
            source_arn: source.arn.clone(),
            destination_arn: destination.arn.clone(),
            source_material: old.id(),
            destination_material: new.id(),
            source_algorithm: self.source_algorithm,
            destination_algorithm: self.destination_algorithm,
        })
        .with_materials(old.id(), new.id()))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            source_key_id: self.source.as_ref().map(ToString::to_string),
            source_encryption_context: Some(&self.source_context),
            destination_key_id: Some(self.destination.to_string()),
            destination_encryption_context: Some(&self.destination_context),
            dry_run: self.dry_run,
            ..Parameters::default()
        }
    }
}
