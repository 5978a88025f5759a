//! What roles, and the tags of users and roles, have to pass before they are stored. Source: AWS IAM API Reference, "CreateRole",
//! "UpdateAssumeRolePolicy", "TagRole".

use std::collections::BTreeMap;

use claviger_domain::Refusal;
use claviger_domain::policy::{MalformedPolicy, Policy};

use crate::operations::kms::policy_check::exists;
use crate::operations::kms::tags::check_tags;
use crate::service::Service;

/// Checks a trust policy: syntax, and principals that exist.
pub(crate) async fn check_trust_policy(service: &Service, text: &str) -> Result<(), Refusal> {
    let malformed = |policy: MalformedPolicy| Refusal::malformed_policy(policy.detail);
    let policy = Policy::parse_trust_policy(text).map_err(malformed)?;
    policy.must_be_light().map_err(malformed)?;
    for name in policy.named_principals() {
        if !exists(service, name).await? {
            return Err(malformed(MalformedPolicy::unknown_principal_in_trust(name)));
        }
    }
    Ok(())
}

/// Checks the tags of a principal as they will be: by the same rules as a key's.
pub(crate) fn check_principal_tags(tags: &BTreeMap<String, String>) -> Result<(), Refusal> {
    check_tags(tags)
}
