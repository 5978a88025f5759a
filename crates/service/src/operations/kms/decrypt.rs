//! Decrypt: what Encrypt, ReEncrypt or GenerateDataKey made, or what others encrypted with a public key. Source: AWS KMS API Reference,
//! "Decrypt".

use std::sync::Arc;

use claviger_domain::key::{EncryptionAlgorithm, KeyUsage};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, EncryptionContext, KeyReference, MaterialId, Permit, Refusal};
use claviger_hsm::{Attestation, Hsm};

use super::asymmetric_encryption::check_no_context;
use super::ciphertext::{Sealed, sealed_by};
use super::encryption_conditions::encryption_condition;
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::key_stores::KeyUse;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::quotas::{RateClass, RateClasses};
use crate::recipient::{Attested, Recipient, Released};
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::work::Effort;

/// The request.
pub struct Decrypt {
    /// The key; may be left out for a symmetric one, since the ciphertext names it.
    pub key: Option<KeyReference>,
    /// The ciphertext. Empty only in a dry run that ignores it.
    pub ciphertext: Vec<u8>,
    /// What the ciphertext is bound to.
    pub context: EncryptionContext,
    /// How it was encrypted.
    pub algorithm: EncryptionAlgorithm,
    /// Who alone may read the plaintext, if not the caller.
    pub recipient: Option<Recipient>,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
    /// Whether a dry run checks the authorization only, and not the ciphertext. The key must then be named.
    pub ignore_ciphertext: bool,
}

/// The answer.
pub struct Decrypted {
    /// What was encrypted.
    pub plaintext: Released,
    /// The key's ARN.
    pub key_arn: String,
    /// How it was encrypted.
    pub algorithm: EncryptionAlgorithm,
    /// The material that it was encrypted with.
    pub material: MaterialId,
}

impl Operation for Decrypt {
    const EVENT: Event = Event::kms_read("Decrypt");
    const USES_KEYS: bool = true;
    type Target = Attested<KeyTarget>;
    type Output = Decrypted;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<Attested<KeyTarget>, Refusal> {
        let (named, algorithm) = (self.key.as_ref(), self.algorithm);
        let subject = service.resolve_ciphertext_key(caller, named, &self.ciphertext, algorithm, "kms:Decrypt").await?;
        let recipient = service.attest(self.recipient.as_ref(), caller)?;
        Ok(Attested { subject, recipient })
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, target: &'a Attested<KeyTarget>) -> Vec<Ask<'a>> {
        vec![Ask::key("kms:Decrypt", &target.subject)]
    }

    fn rate_classes(&self) -> RateClasses {
        [Some(RateClass::of_encryption(self.algorithm)), None]
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a Attested<KeyTarget>, key: &str) -> Values<'a> {
        encryption_condition(key, &self.context, self.algorithm)
    }

    fn recipient<'a>(&self, target: &'a Attested<KeyTarget>) -> Option<&'a Attestation> {
        target.recipient.as_deref()
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &Attested<KeyTarget>,
        allowed: Allowed<Self>,
    ) -> Result<Effect<Decrypted>, Refusal> {
        let snapshot = &target.subject.snapshot;
        snapshot.must_be_enabled()?;
        let elsewhere = service.elsewhere(snapshot, caller, Self::EVENT).await?;
        snapshot.must_be_for(KeyUsage::EncryptDecrypt, "Decrypt")?;
        // As in AWS, what is no symmetric ciphertext of this key is told before that its key is no symmetric one.
        let sealed = self.sealed(&target.subject)?;
        snapshot.must_offer(self.algorithm)?;
        check_no_context(self.algorithm, &self.context)?;
        stop_if_dry(self.dry_run && self.ignore_ciphertext)?;
        let (plaintext, material) = match (sealed, elsewhere) {
            (Some(Sealed::Elsewhere(envelope)), Some(key)) => {
                let plaintext = service.decrypt_elsewhere(allowed.first()?, &key, &self.context, &envelope).await?;
                (service.release(plaintext, target.recipient.as_deref())?, key.material()?)
            }
            (None, Some(key)) => {
                let use_of_key = KeyUse::DecryptWithPrivate { algorithm: self.algorithm, ciphertext: &self.ciphertext };
                let plaintext = service.use_elsewhere(allowed.first()?, "kms:Decrypt", &key, use_of_key).await?;
                (service.release(plaintext, target.recipient.as_deref())?, key.material()?)
            }
            (Some(_), Some(_)) | (Some(Sealed::Elsewhere(_)), None) => return Err(Refusal::invalid_ciphertext()),
            (Some(Sealed::Here(envelope)), None) => {
                let (hsm, context) = (service.hsm(), &self.context);
                let material = snapshot.material(&envelope.material(), hsm)?.ok_or_else(Refusal::invalid_ciphertext)?;
                let permit = allowed.first()?;
                let plaintext = match &target.recipient {
                    None => Released::Plaintext(hsm.decrypt(permit, material, context, &envelope)?),
                    Some(recipient) => {
                        Released::ForRecipient(hsm.decrypt_for_recipient(permit, material, context, &envelope, recipient)?)
                    }
                };
                (plaintext, material.id())
            }
            (None, None) => self.decrypt_from(service, target, allowed.into_first()?).await?,
        };
        stop_if_dry(self.dry_run)?;
        let output = Decrypted { plaintext, key_arn: snapshot.arn.clone(), algorithm: self.algorithm, material };
        Ok(Effect::answer(output).with_material(material))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: self.key.as_ref().map(ToString::to_string),
            encryption_algorithm: Some(self.algorithm.as_str()),
            encryption_context: Some(&self.context),
            dry_run: self.dry_run,
            ..Parameters::default()
        }
    }
}

impl Decrypt {
    /// The parts of a symmetric ciphertext; none where it is not symmetric, or is ignored.
    fn sealed(&self, target: &KeyTarget) -> Result<Option<Sealed<'_>>, Refusal> {
        let looked_at = self.algorithm == EncryptionAlgorithm::SymmetricDefault && !(self.dry_run && self.ignore_ciphertext);
        looked_at.then(|| sealed_by(&self.ciphertext, target)).transpose()
    }

    /// Decrypts with the private half of a key pair.
    async fn decrypt_from(
        &self,
        service: &Service,
        target: &Attested<KeyTarget>,
        permit: Permit,
    ) -> Result<(Released, MaterialId), Refusal> {
        let (snapshot, recipient) = (Arc::clone(&target.subject.snapshot), target.recipient.clone());
        let (effort, algorithm) = (Effort::with_secret(snapshot.key.spec), self.algorithm);
        let ciphertext = self.ciphertext.clone();
        let work = move |hsm: &Hsm| {
            let material = snapshot.current_material(hsm)?;
            let plaintext = match recipient {
                None => Released::Plaintext(hsm.decrypt_from(&permit, material, algorithm, &ciphertext)?),
                Some(recipient) => Released::ForRecipient(hsm.decrypt_from_for_recipient(
                    &permit,
                    material,
                    algorithm,
                    &ciphertext,
                    &recipient,
                )?),
            };
            Ok((plaintext, material.id()))
        };
        service.work(effort, work).await
    }
}
