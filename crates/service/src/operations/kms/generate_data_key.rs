//! GenerateDataKey: a fresh key in clear and under a key. Source: AWS KMS API Reference, "GenerateDataKey".

use claviger_domain::key::EncryptionAlgorithm;
use claviger_domain::policy::Values;
use claviger_domain::{Caller, EncryptionContext, KeyReference, MaterialId, Refusal};

use super::encryption_conditions::encryption_condition;
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_key_for_a_recipient;
use crate::recipient::{Attested, Recipient, Released};
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct GenerateDataKey {
    /// The key that seals the data key.
    pub key: KeyReference,
    /// The data key's length in bytes, 1 to 1,024.
    pub length: usize,
    /// The length as a name, where the request had one: `AES_256`.
    pub spec: Option<&'static str>,
    /// What the sealed data key is bound to.
    pub context: EncryptionContext,
    /// Who alone may read the plaintext, if not the caller. Means nothing where none is answered.
    pub recipient: Option<Recipient>,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
}

/// The answer.
pub struct DataKey {
    /// The data key.
    pub plaintext: Released,
    /// The data key, sealed: Decrypt opens it.
    pub ciphertext: Vec<u8>,
    /// The ARN of the key that sealed it.
    pub key_arn: String,
    /// The material that sealed it.
    pub material: MaterialId,
}

impl Operation for GenerateDataKey {
    const EVENT: Event = Event::kms_read("GenerateDataKey");
    const USES_KEYS: bool = true;
    type Output = DataKey;
    about_one_key_for_a_recipient!("kms:GenerateDataKey");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a Attested<KeyTarget>, key: &str) -> Values<'a> {
        encryption_condition(key, &self.context, EncryptionAlgorithm::SymmetricDefault)
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &Attested<KeyTarget>,
        allowed: Allowed<Self>,
    ) -> Result<Effect<DataKey>, Refusal> {
        let snapshot = &target.subject.snapshot;
        snapshot.must_be_enabled()?;
        let elsewhere = service.elsewhere(snapshot, caller, Self::EVENT).await?;
        snapshot.must_seal_data_keys("GenerateDataKey")?;
        stop_if_dry(self.dry_run)?;
        let (hsm, permit, context, length) = (service.hsm(), allowed.first()?, &self.context, self.length);
        if let Some(key) = elsewhere {
            let (plaintext, ciphertext) = service.new_data_key_elsewhere(permit, &key, context, length).await?;
            let plaintext = service.release(plaintext, target.recipient.as_deref())?;
            let material = key.material()?;
            let output = DataKey { plaintext, ciphertext, key_arn: snapshot.arn.clone(), material };
            return Ok(Effect::answer(output).with_material(material));
        }
        let material = snapshot.current_material(hsm)?;
        let (plaintext, ciphertext) = match &target.recipient {
            None => {
                let (plaintext, ciphertext) = hsm.generate_data_key(permit, material, context, length)?;
                (Released::Plaintext(plaintext), ciphertext)
            }
            Some(recipient) => {
                let (answer, ciphertext) = hsm.generate_data_key_for_recipient(permit, material, context, length, recipient)?;
                (Released::ForRecipient(answer), ciphertext)
            }
        };
        let output = DataKey { plaintext, ciphertext, key_arn: snapshot.arn.clone(), material: material.id() };
        Ok(Effect::answer(output).with_material(material.id()))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            key_spec: self.spec,
            number_of_bytes: self.spec.is_none().then_some(self.length),
            encryption_context: Some(&self.context),
            dry_run: self.dry_run,
            ..Parameters::default()
        }
    }
}
