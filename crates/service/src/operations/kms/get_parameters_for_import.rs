//! GetParametersForImport: a wrapping key and an import token, which belong together. Source: AWS KMS API Reference, "GetParametersForImport".

use claviger_domain::key::{KeySpec, WrappingAlgorithm, WrappingKeySpec};
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal, Timestamp};

use crate::conditions::text;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_own_key;
use crate::resolve::KeyTarget;
use crate::service::Service;
use crate::snapshot::KeySnapshot;
use crate::work::Effort;

/// The request.
pub struct GetParametersForImport {
    /// The key; not by alias.
    pub key: KeyReference,
    /// How the material will be wrapped.
    pub algorithm: WrappingAlgorithm,
    /// What kind of key will wrap it.
    pub wrapping_key_spec: WrappingKeySpec,
}

/// The answer.
pub struct ParametersForImport {
    /// The key's ARN.
    pub key_arn: String,
    /// To be brought back with the material.
    pub token: Vec<u8>,
    /// The public half of the wrapping key, as SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// Until when both are valid.
    pub valid_to: Timestamp,
}

/// For how long a token is valid. Source: AWS KMS API Reference, "GetParametersForImport".
const VALID_DAYS: u32 = 1;

impl Operation for GetParametersForImport {
    const EVENT: Event = Event::kms_read("GetParametersForImport");
    type Output = ParametersForImport;
    about_one_own_key!("kms:GetParametersForImport");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        match key {
            "kms:wrappingalgorithm" => text(self.algorithm.as_str()),
            "kms:wrappingkeyspec" => text(self.wrapping_key_spec.as_str()),
            _ => Values::Absent,
        }
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &KeyTarget,
        allowed: Allowed<Self>,
    ) -> Result<Effect<ParametersForImport>, Refusal> {
        let snapshot = &target.snapshot;
        snapshot.must_be_for_imports()?;
        snapshot.must_take_imports()?;
        self.must_fit(service, snapshot)?;
        let valid_to = caller.request.at.plus_days(VALID_DAYS);
        let versions = service.records.existing_account(snapshot.key.account).await?;
        let (account_key, permit) = (versions.current()?.clone(), allowed.into_first()?);
        let (id, region) = (snapshot.key.id, snapshot.key.region.clone());
        let (algorithm, spec) = (self.algorithm, self.wrapping_key_spec);
        let made = service.work(Effort::Generation, move |hsm| {
            Ok(hsm.begin_import(&permit, &account_key, id, &region, algorithm, spec, valid_to)?)
        });
        let made = made.await?;
        Ok(Effect::answer(ParametersForImport {
            key_arn: snapshot.arn.clone(),
            token: made.token,
            public_key: made.public_key,
            valid_to,
        }))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            key_id: Some(self.key.to_string()),
            wrapping_algorithm: Some(self.algorithm.as_str()),
            wrapping_key_spec: Some(self.wrapping_key_spec.as_str()),
            ..Parameters::default()
        }
    }
}

impl GetParametersForImport {
    fn must_fit(&self, service: &Service, snapshot: &KeySnapshot) -> Result<(), Refusal> {
        let (algorithm, wrapping, spec) = (self.algorithm, self.wrapping_key_spec, snapshot.key.spec);
        if (algorithm, wrapping) == (WrappingAlgorithm::Sm2pke, WrappingKeySpec::Sm2) {
            service.must_offer_spec(KeySpec::Sm2, "Wrapping keys")?;
        }
        match algorithm {
            WrappingAlgorithm::RsaesPkcs1V15 => {
                Err(Refusal::unsupported(format!("The wrapping algorithm {algorithm} is not supported any more.")))
            }
            WrappingAlgorithm::Sm2pke if wrapping != WrappingKeySpec::Sm2 => {
                Err(Refusal::unsupported(format!("The wrapping algorithm {algorithm} needs a wrapping key of spec SM2.")))
            }
            _ if wrapping == WrappingKeySpec::Sm2 && algorithm != WrappingAlgorithm::Sm2pke => {
                Err(Refusal::unsupported(format!("The wrapping algorithm {algorithm} needs an RSA wrapping key.")))
            }
            _ if !algorithm.may_carry(spec, wrapping) => Err(Refusal::unsupported(format!(
                "The wrapping algorithm {algorithm} with a wrapping key of spec {wrapping} cannot be used for key material of spec {spec}."
            ))),
            _ => Ok(()),
        }
    }
}
