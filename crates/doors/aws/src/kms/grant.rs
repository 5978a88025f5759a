//! Grants on the wire. Source: AWS KMS service model, `GrantConstraints` and `GrantListEntry`.

use std::collections::BTreeMap;

use claviger_domain::identity::root_arn;
use claviger_domain::ids::GrantId;
use claviger_domain::{EncryptionContext, Grant, GrantConstraints, GrantPrincipal, KeyArn, Kind, Refusal};
use claviger_service::operations::kms::Page;
use serde::{Deserialize, Serialize};

use crate::json::Seconds;
use crate::validation::Validator;

/// Constraints in a request.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Constraints {
    encryption_context_subset: Option<BTreeMap<String, String>>,
    encryption_context_equals: Option<BTreeMap<String, String>>,
    source_arn: Option<String>,
}

const SOURCE_ARN: &str = "^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$";

impl Constraints {
    /// Checks them against the model.
    pub(crate) fn check(&self, check: &mut Validator) {
        check.length("constraints.sourceArn", self.source_arn.as_ref(), 20, 512);
        check.pattern("constraints.sourceArn", self.source_arn.as_ref(), SOURCE_ARN, is_source_arn);
    }

    /// The constraints; a subset of no pairs is none.
    pub(crate) fn read(self) -> GrantConstraints {
        let subset = self.encryption_context_subset.map(EncryptionContext::new);
        GrantConstraints {
            encryption_context_equals: self.encryption_context_equals.map(EncryptionContext::new),
            encryption_context_subset: subset.filter(|pairs| !pairs.is_empty()),
            source_arn: self.source_arn,
        }
    }
}

fn is_source_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts.as_slice() else { return false };
    let lower = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    *arn == "arn"
        && partition.strip_prefix("aws").is_some_and(lower)
        && !service.is_empty()
        && lower(service)
        && lower(region)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && !resource.is_empty()
}

/// Checks a member of the shape `PrincipalIdType`.
pub(crate) fn check_principal(check: &mut Validator, field: &str, value: Option<&String>) {
    check.length(field, value, 1, 256);
    check.pattern(field, value, "^[\\w+=,.@:/-]+$", |text| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte))
    });
}

/// Checks a member of the shape `ServicePrincipalType`.
pub(crate) fn check_service(check: &mut Validator, field: &str, value: Option<&String>) {
    check.length(field, value, 1, 128);
    check.pattern(field, value, "^([A-Za-z0-9\\-]+)\\.([A-Za-z0-9\\-]+)(\\.[A-Za-z0-9\\-]+)+$", |text| {
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        text.split('.').count() >= 3 && text.split('.').all(is_part)
    });
}

/// One of two members that exclude each other: a principal's ARN or a service's name.
pub(crate) fn principal_or_service(
    names: [&str; 2],
    principal: Option<String>,
    service: Option<String>,
) -> Result<Option<GrantPrincipal>, Refusal> {
    match (principal, service) {
        (Some(_), Some(_)) => {
            let [principal, service] = names;
            Err(Refusal::invalid(format!("You can specify either {principal} or {service}, but not both.")))
        }
        (principal, service) => Ok(principal.map(GrantPrincipal::Principal).or(service.map(GrantPrincipal::Service))),
    }
}

/// Reads a grant id.
///
/// # Errors
/// `InvalidGrantId` for what cannot be one.
pub(crate) fn read_grant_id(text: &str) -> Result<GrantId, Refusal> {
    text.parse().map_err(|_| Refusal::new(Kind::InvalidGrantId, "The grant ID is not valid."))
}

/// A list of grants in an answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Grants {
    grants: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

impl Grants {
    pub(crate) fn of(page: Page<Grant>) -> Self {
        let grants = page.items.into_iter().map(Listed::of).collect();
        Self { grants, truncated: page.next.is_some(), next_marker: page.next }
    }
}

/// One grant.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key_id: String,
    grant_id: String,
    /// Empty where it has none, as recorded from AWS KMS.
    name: String,
    creation_date: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    grantee_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grantee_service_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retiring_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retiring_service_principal: Option<String>,
    issuing_account: String,
    operations: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    constraints: Option<ListedConstraints>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListedConstraints {
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_context_subset: Option<EncryptionContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_context_equals: Option<EncryptionContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_arn: Option<String>,
}

impl Listed {
    fn of(grant: Grant) -> Self {
        let key = KeyArn { region: grant.region, account: grant.account, key: grant.key };
        let (grantee_principal, grantee_service_principal) = split(Some(grant.terms.grantee));
        let (retiring_principal, retiring_service_principal) = split(grant.terms.retiring);
        let constraints = grant.terms.constraints;
        Self {
            key_id: key.to_string(),
            grant_id: grant.id.to_string(),
            name: grant.name.unwrap_or_default(),
            creation_date: Seconds(grant.created),
            grantee_principal,
            grantee_service_principal,
            retiring_principal,
            retiring_service_principal,
            issuing_account: root_arn(grant.issuing_account),
            operations: grant.terms.operations.iter().map(|operation| operation.as_str()).collect(),
            constraints: (!constraints.is_empty()).then_some(ListedConstraints {
                encryption_context_subset: constraints.encryption_context_subset,
                encryption_context_equals: constraints.encryption_context_equals,
                source_arn: constraints.source_arn,
            }),
        }
    }
}

fn split(principal: Option<GrantPrincipal>) -> (Option<String>, Option<String>) {
    match principal {
        Some(GrantPrincipal::Principal(arn)) => (Some(arn), None),
        Some(GrantPrincipal::Service(name)) => (None, Some(name)),
        None => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_the_model() {
        for (text, fits) in [
            ("arn:aws:s3:us-east-1:111122223333:bucket", true),
            ("arn:aws-cn:s3::111122223333:x:y", true),
            ("arn:aws:s3:us-east-1:11112222333:bucket", false),
            ("arn:aws:S3:us-east-1:111122223333:bucket", false),
            ("arn:aws:s3:us-east-1:111122223333:", false),
            ("urn:aws:s3:us-east-1:111122223333:bucket", false),
            ("arn:aws:s3:us-east-1", false),
        ] {
            assert_eq!(is_source_arn(text), fits, "{text}");
        }
        for (text, fits) in
            [("logs.amazonaws.com", true), ("a.b", false), ("a..b.c", false), ("a.b.c_", false), ("a.b.c.", false)]
        {
            let mut check = Validator::new();
            check_service(&mut check, "service", Some(&text.to_owned()));
            assert_eq!(check.finish().is_ok(), fits, "{text}");
        }
    }
}
