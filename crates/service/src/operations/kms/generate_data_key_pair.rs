//! GenerateDataKeyPair: a fresh key pair, its private key in clear and under a key. Source: AWS KMS API Reference, "GenerateDataKeyPair".

use std::sync::Arc;

use claviger_domain::key::{DataKeyPairSpec, EncryptionAlgorithm};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, EncryptionContext, KeyReference, MaterialId, Refusal};
use claviger_hsm::Attestation;

use super::encryption_conditions::encryption_condition;
use super::state::stop_if_dry;
use crate::conditions::text;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::quotas::{RateClass, RateClasses};
use crate::recipient::{Attested, Recipient, Released};
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::work::Effort;

/// The request.
pub struct GenerateDataKeyPair {
    /// The key that seals the private key.
    pub key: KeyReference,
    /// What kind of pair.
    pub spec: DataKeyPairSpec,
    /// What the sealed private key is bound to.
    pub context: EncryptionContext,
    /// Who alone may read the private key, if not the caller. Means nothing where none is answered.
    pub recipient: Option<Recipient>,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
}

/// The answer.
pub struct DataKeyPair {
    /// The private key: PrivateKeyInfo (RFC 5958) in DER.
    pub private_key: Released,
    /// The private key, sealed: Decrypt opens it.
    pub sealed_private_key: Vec<u8>,
    /// The public key: SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
    pub public_key: Vec<u8>,
    /// The ARN of the key that sealed it.
    pub key_arn: String,
    /// What kind of pair.
    pub spec: DataKeyPairSpec,
    /// The material that sealed it.
    pub material: MaterialId,
}

impl Operation for GenerateDataKeyPair {
    const EVENT: Event = Event::kms_read("GenerateDataKeyPair");
    const USES_KEYS: bool = true;
    type Target = Attested<KeyTarget>;
    type Output = DataKeyPair;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<Attested<KeyTarget>, Refusal> {
        service.must_offer_spec(self.spec.key_spec(), "Data key pairs")?;
        let subject = service.resolve_key(caller, &self.key, "kms:GenerateDataKeyPair").await?;
        Ok(Attested { subject, recipient: service.attest(self.recipient.as_ref(), caller)? })
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, target: &'a Attested<KeyTarget>) -> Vec<Ask<'a>> {
        vec![Ask::key("kms:GenerateDataKeyPair", &target.subject)]
    }

    fn rate_classes(&self) -> RateClasses {
        [Some(RateClass::of_key_pair(self.spec)), None]
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a Attested<KeyTarget>, key: &str) -> Values<'a> {
        self.condition_of_request(key)
    }

    fn recipient<'a>(&self, target: &'a Attested<KeyTarget>) -> Option<&'a Attestation> {
        target.recipient.as_deref()
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &Attested<KeyTarget>,
        allowed: Allowed<Self>,
    ) -> Result<Effect<DataKeyPair>, Refusal> {
        let snapshot = Arc::clone(&target.subject.snapshot);
        snapshot.must_be_enabled()?;
        snapshot.must_seal_data_keys("GenerateDataKeyPair")?;
        snapshot.must_not_be_elsewhere()?;
        stop_if_dry(self.dry_run)?;
        let (permit, context, spec) = (allowed.into_first()?, self.context.clone(), self.spec);
        let recipient = target.recipient.clone();
        let (private_key, made, material) = service
            .work(Effort::to_generate(spec.key_spec()), move |hsm| {
                let material = snapshot.current_material(hsm)?;
                let (private_key, made) = match recipient {
                    None => {
                        let (private_key, made) = hsm.generate_data_key_pair(&permit, material, &context, spec)?.into_parts();
                        (Released::Plaintext(private_key), made)
                    }
                    Some(recipient) => {
                        let (answer, made) =
                            hsm.generate_data_key_pair_for_recipient(&permit, material, &context, spec, &recipient)?;
                        (Released::ForRecipient(answer), made)
                    }
                };
                Ok((private_key, made, material.id()))
            })
            .await?;
        let output = DataKeyPair {
            private_key,
            sealed_private_key: made.sealed_private_key,
            public_key: made.public_key,
            key_arn: target.subject.snapshot.arn.clone(),
            spec,
            material,
        };
        Ok(Effect::answer(output).with_material(material))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            key_pair_spec: Some(self.spec.as_str()),
            encryption_context: Some(&self.context),
            dry_run: self.dry_run,
            ..Parameters::default()
        }
    }
}

impl GenerateDataKeyPair {
    /// The value of the condition key (its name in lower case) that depends on the request alone.
    pub(super) fn condition_of_request(&self, key: &str) -> Values<'_> {
        match key {
            "kms:datakeypairspec" => text(self.spec.as_str()),
            _ => encryption_condition(key, &self.context, EncryptionAlgorithm::SymmetricDefault),
        }
    }
}
