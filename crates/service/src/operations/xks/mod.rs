//! What AWS KMS asks of the keys behind a hold-your-own-key store. Source: AWS KMS External Keystore (XKS) Proxy API Specification, version 1.
//!
//! Who asks is the store whose credential signed the request. What it may do is said by the store's policy, whose conditions see what AWS KMS
//! tells of the request that it has itself.

mod decrypt;
mod encrypt;
mod get_health_status;
mod get_key_metadata;
mod request_metadata;

pub use crate::hyok_health::{Health, HealthStatus, ManagerHealth};
pub use decrypt::Decrypt;
pub use encrypt::{Encrypt, Encrypted};
pub use get_health_status::GetHealthStatus;
pub use get_key_metadata::{GetKeyMetadata, KeyMetadata};
pub use request_metadata::RequestMetadata;

use claviger_domain::hyok::ExternalKeyUsage;
use claviger_domain::key::KeySpec;
use claviger_domain::{ExternalKeyId, Refusal};

use crate::hyok::ExternalTarget;

/// Declares that an operation is about the key behind the asking store that its field `key` names, and needs one action on it, with conditions
/// on its field `metadata`. Its requests count against the store's own rate only.
macro_rules! about_an_external_key {
    ($action:literal) => {
        type Target = $crate::hyok::ExternalTarget;

        const RATE_CLASS: Option<$crate::quotas::RateClass> = None;

        async fn resolve(
            &self,
            service: &$crate::Service,
            caller: &claviger_domain::Caller,
        ) -> Result<Self::Target, claviger_domain::Refusal> {
            service.external_key(caller, &self.key).await
        }

        fn demands<'a>(
            &'a self,
            _caller: &'a claviger_domain::Caller,
            target: &'a Self::Target,
        ) -> Vec<$crate::operation::Ask<'a>> {
            vec![$crate::operation::Ask::external($action, target)]
        }

        fn condition<'a>(
            &'a self,
            _ask: &$crate::operation::Ask<'_>,
            _target: &'a Self::Target,
            key: &str,
        ) -> claviger_domain::policy::Values<'a> {
            self.metadata.condition(key)
        }

        fn parameters(&self) -> $crate::event_parameters::Parameters<'_> {
            $crate::event_parameters::Parameters {
                external_key_id: Some(self.key.as_str()),
                request_metadata: Some(&self.metadata),
                ..Default::default()
            }
        }
    };
}

pub(crate) use about_an_external_key;

impl ExternalTarget {
    /// The key can be used for this now: neither it nor its store is cut off, it stands behind the store for that, and it is enabled.
    pub(crate) fn must_be_usable(&self, id: &ExternalKeyId, usage: ExternalKeyUsage) -> Result<(), Refusal> {
        self.store.store.must_offer(id)?;
        if !self.store.store.key(id)?.usage.contains(&usage) || self.key.key.spec != KeySpec::SymmetricDefault {
            return Err(Refusal::invalid_key_usage(format!("The key {id} is not for {usage}.")));
        }
        self.key.must_be_enabled()
    }
}
