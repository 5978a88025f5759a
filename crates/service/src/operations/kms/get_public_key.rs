//! GetPublicKey: the public half of a key pair. Source: AWS KMS API Reference, "GetPublicKey".

use claviger_domain::key::{KeySpec, KeyUsage};
use claviger_domain::{Caller, KeyReference, Refusal};

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request.
pub struct GetPublicKey {
    /// The key.
    pub key: KeyReference,
}

/// The answer.
pub struct PublicKey {
    /// The public key: SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
    pub public_key: Vec<u8>,
    /// The key's ARN.
    pub key_arn: String,
    /// What kind of key it is.
    pub spec: KeySpec,
    /// What it may be used for.
    pub usage: KeyUsage,
}

impl Operation for GetPublicKey {
    const EVENT: Event = Event::kms_read("GetPublicKey");
    type Output = PublicKey;
    about_one_key!("kms:GetPublicKey");

    async fn execute(
        &self,
        _service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<PublicKey>, Refusal> {
        let snapshot = &target.snapshot;
        let key = &snapshot.key;
        if !key.spec.is_asymmetric() {
            return Err(Refusal::unsupported(""));
        }
        snapshot.must_be_enabled()?;
        let material = key.current_material().ok_or_else(|| snapshot.no_material())?;
        Ok(Effect::answer(PublicKey {
            public_key: material.public_key.clone(),
            key_arn: snapshot.arn.clone(),
            spec: key.spec,
            usage: key.usage,
        }))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { key_id: Some(self.key.to_string()), ..Parameters::default() }
    }
}
