//! The condition keys of operations about grants. Source: AWS KMS Developer Guide, "AWS KMS condition keys".

use std::borrow::Cow;

use claviger_domain::policy::Values;
use claviger_domain::{GrantConstraints, GrantOperation, GrantTerms};

use crate::conditions::text;

/// The value of `name` (in lower case) for a request to make a grant that says this.
pub(crate) fn grant_condition<'a>(name: &str, terms: &'a GrantTerms) -> Values<'a> {
    match name {
        "kms:granteeprincipal" => text(terms.grantee.as_str()),
        "kms:retiringprincipal" => terms.retiring.as_ref().map_or(Values::Absent, |retiring| text(retiring.as_str())),
        "kms:grantoperations" => {
            Values::Many(terms.operations.iter().copied().map(GrantOperation::as_str).map(Cow::Borrowed).collect())
        }
        _ => match on_behalf_of_a_service(name) {
            Values::Absent => constraint_condition(name, &terms.constraints),
            found => found,
        },
    }
}

/// Whether a service asks on somebody's behalf. Source: AWS KMS Developer Guide, "kms:GrantIsForAWSResource".
pub(crate) fn on_behalf_of_a_service(name: &str) -> Values<'static> {
    if name == "kms:grantisforawsresource" { text("false") } else { Values::Absent }
}

/// The value of `name` for a request about a grant with these constraints.
pub(crate) fn constraint_condition<'a>(name: &str, constraints: &'a GrantConstraints) -> Values<'a> {
    match name {
        "kms:grantconstrainttype" => types_of(constraints),
        "kms:encryptioncontextkeys" => Values::Many(constraints.pairs().map(|(key, _)| Cow::Borrowed(key)).collect()),
        _ => match name.strip_prefix("kms:encryptioncontext:") {
            Some(wanted) => {
                let found = constraints.pairs().find(|(key, _)| key.eq_ignore_ascii_case(wanted));
                found.map_or(Values::Absent, |(_, value)| text(value))
            }
            None => Values::Absent,
        },
    }
}

fn types_of(constraints: &GrantConstraints) -> Values<'static> {
    let equals = constraints.encryption_context_equals.as_ref().map(|_| "EncryptionContextEquals");
    let subset = constraints.encryption_context_subset.as_ref().map(|_| "EncryptionContextSubset");
    let source = constraints.source_arn.as_ref().map(|_| "SourceArn");
    Values::Many([equals, subset, source].into_iter().flatten().map(Cow::Borrowed).collect())
}
