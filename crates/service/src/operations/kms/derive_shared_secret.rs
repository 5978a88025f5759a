//! DeriveSharedSecret: the secret that a key pair shares with somebody else's. Source: AWS KMS API Reference, "DeriveSharedSecret".

use std::sync::Arc;

use claviger_domain::key::{KeyAgreementAlgorithm, KeyUsage, Origin};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, MaterialId, Refusal};
use claviger_hsm::HsmError;

use super::state::stop_if_dry;
use crate::conditions::text;
use crate::event_parameters::Parameters;
use crate::key_stores::KeyUse;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_key_for_a_recipient;
use crate::recipient::{Attested, Recipient, Released};
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::snapshot::KeySnapshot;
use crate::work::Effort;

/// The request.
pub struct DeriveSharedSecret {
    /// The key.
    pub key: KeyReference,
    /// How to derive the secret.
    pub algorithm: KeyAgreementAlgorithm,
    /// The other side's public key: SubjectPublicKeyInfo in DER, on the same curve.
    pub public_key: Vec<u8>,
    /// Who alone may read the secret, if not the caller.
    pub recipient: Option<Recipient>,
    /// Whether to stop once everything has been checked, the public key included.
    pub dry_run: bool,
}

/// The answer.
pub struct SharedSecret {
    /// The secret: the x-coordinate of the shared point (NIST SP 800-56A, section 5.7.1.2).
    pub secret: Released,
    /// The key's ARN.
    pub key_arn: String,
    /// How it was derived.
    pub algorithm: KeyAgreementAlgorithm,
    /// Where the key's material came from.
    pub origin: Origin,
}

impl Operation for DeriveSharedSecret {
    const EVENT: Event = Event::kms_read("DeriveSharedSecret");
    const USES_KEYS: bool = true;
    type Output = SharedSecret;
    about_one_key_for_a_recipient!("kms:DeriveSharedSecret");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a Attested<KeyTarget>, key: &str) -> Values<'a> {
        match key {
            "kms:keyagreementalgorithm" => text(self.algorithm.as_str()),
            _ => Values::Absent,
        }
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &Attested<KeyTarget>,
        allowed: Allowed<Self>,
    ) -> Result<Effect<SharedSecret>, Refusal> {
        let snapshot = Arc::clone(&target.subject.snapshot);
        snapshot.must_be_enabled()?;
        snapshot.must_be_for(KeyUsage::KeyAgreement, "DeriveSharedSecret")?;
        if let Some(key) = service.elsewhere(&snapshot, caller, Self::EVENT).await? {
            let use_of_key = KeyUse::Agree { peer: &self.public_key };
            let secret = service.use_elsewhere(allowed.first()?, "kms:DeriveSharedSecret", &key, use_of_key).await?;
            stop_if_dry(self.dry_run)?;
            let secret = service.release(secret, target.recipient.as_deref())?;
            return Ok(self.answer(&snapshot, secret, key.material()?));
        }
        let (spec, permit) = (snapshot.key.spec, allowed.into_first()?);
        let (public_key, recipient) = (self.public_key.clone(), target.recipient.clone());
        let (secret, used) = service
            .work(Effort::with_secret(spec), move |hsm| {
                let material = snapshot.current_material(hsm)?;
                let secret = match recipient {
                    None => hsm.derive_shared_secret(&permit, material, &public_key).map(Released::Plaintext),
                    Some(recipient) => hsm
                        .derive_shared_secret_for_recipient(&permit, material, &public_key, &recipient)
                        .map(Released::ForRecipient),
                };
                let secret = secret.map_err(|error| match error {
                    HsmError::InvalidPublicKey => Refusal::invalid(format!(
                        "PublicKey is not a DER-encoded X.509 public key (SubjectPublicKeyInfo) that is valid for key spec {spec}."
                    )),
                    other => other.into(),
                })?;
                Ok((secret, material.id()))
            })
            .await?;
        stop_if_dry(self.dry_run)?;
        Ok(self.answer(&target.subject.snapshot, secret, used))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            key_agreement_algorithm: Some(self.algorithm.as_str()),
            dry_run: self.dry_run,
            ..Parameters::default()
        }
    }
}

impl DeriveSharedSecret {
    fn answer(&self, snapshot: &KeySnapshot, secret: Released, used: MaterialId) -> Effect<SharedSecret> {
        let output =
            SharedSecret { secret, key_arn: snapshot.arn.clone(), algorithm: self.algorithm, origin: snapshot.key.origin };
        Effect::answer(output).with_material(used)
    }
}
