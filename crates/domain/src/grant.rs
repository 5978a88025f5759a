//! Grants: permission for one principal to use one key in some ways, beside all policies. Source: AWS KMS Developer Guide, "Grants in AWS
//! KMS"; AWS KMS service model, `CreateGrant` and `GrantListEntry`.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::encryption_context::EncryptionContext;
use crate::ids::{AccountId, GrantId, KeyId, Region};
use crate::key::{KeySpec, KeyUsage};
use crate::names::names;
use crate::policy::{ConditionContext, Values};
use crate::timestamp::Timestamp;

names! {
    /// What a grant may allow.
    GrantOperation, "a grant operation" {
        /// `kms:Decrypt`.
        Decrypt = "Decrypt",
        /// `kms:Encrypt`.
        Encrypt = "Encrypt",
        /// `kms:GenerateDataKey`.
        GenerateDataKey = "GenerateDataKey",
        /// `kms:GenerateDataKeyWithoutPlaintext`.
        GenerateDataKeyWithoutPlaintext = "GenerateDataKeyWithoutPlaintext",
        /// `kms:ReEncryptFrom`.
        ReEncryptFrom = "ReEncryptFrom",
        /// `kms:ReEncryptTo`.
        ReEncryptTo = "ReEncryptTo",
        /// `kms:Sign`.
        Sign = "Sign",
        /// `kms:Verify`.
        Verify = "Verify",
        /// `kms:GetPublicKey`.
        GetPublicKey = "GetPublicKey",
        /// `kms:CreateGrant`, for grants that allow no more than this one.
        CreateGrant = "CreateGrant",
        /// `kms:RetireGrant` of this very grant.
        RetireGrant = "RetireGrant",
        /// `kms:DescribeKey`.
        DescribeKey = "DescribeKey",
        /// `kms:GenerateDataKeyPair`.
        GenerateDataKeyPair = "GenerateDataKeyPair",
        /// `kms:GenerateDataKeyPairWithoutPlaintext`.
        GenerateDataKeyPairWithoutPlaintext = "GenerateDataKeyPairWithoutPlaintext",
        /// `kms:GenerateMac`.
        GenerateMac = "GenerateMac",
        /// `kms:VerifyMac`.
        VerifyMac = "VerifyMac",
        /// `kms:DeriveSharedSecret`.
        DeriveSharedSecret = "DeriveSharedSecret",
        /// `kms:Encapsulate`.
        Encapsulate = "Encapsulate",
        /// `kms:Decapsulate`.
        Decapsulate = "Decapsulate",
    }
}

impl GrantOperation {
    /// The operation that an action (`kms:Encrypt`) is; none for actions that no grant can allow.
    pub fn of_action(action: &str) -> Option<Self> {
        action.strip_prefix("kms:")?.parse().ok()
    }

    /// Whether a key of this spec and usage can do it.
    pub fn fits(self, spec: KeySpec, usage: KeyUsage) -> bool {
        match self {
            Self::CreateGrant | Self::RetireGrant | Self::DescribeKey => true,
            Self::Decrypt | Self::Encrypt | Self::ReEncryptFrom | Self::ReEncryptTo => usage == KeyUsage::EncryptDecrypt,
            Self::GenerateDataKey
            | Self::GenerateDataKeyWithoutPlaintext
            | Self::GenerateDataKeyPair
            | Self::GenerateDataKeyPairWithoutPlaintext => spec == KeySpec::SymmetricDefault,
            Self::GetPublicKey => spec.is_asymmetric(),
            Self::Sign | Self::Verify => usage == KeyUsage::SignVerify,
            Self::GenerateMac | Self::VerifyMac => usage == KeyUsage::GenerateVerifyMac,
            Self::DeriveSharedSecret => usage == KeyUsage::KeyAgreement,
            Self::Encapsulate | Self::Decapsulate => usage == KeyUsage::EncapsulateDecapsulate,
        }
    }

    /// Whether it is an operation with an encryption context, which a constraint can then speak about.
    fn has_encryption_context(self) -> bool {
        matches!(
            self,
            Self::Decrypt
                | Self::Encrypt
                | Self::GenerateDataKey
                | Self::GenerateDataKeyWithoutPlaintext
                | Self::GenerateDataKeyPair
                | Self::GenerateDataKeyPairWithoutPlaintext
                | Self::ReEncryptFrom
                | Self::ReEncryptTo
        )
    }
}

/// Whom a grant names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", content = "name")]
pub enum GrantPrincipal {
    /// A principal, by its ARN.
    Principal(String),
    /// A service: `logs.us-east-1.amazonaws.com`.
    Service(String),
}

impl GrantPrincipal {
    /// The ARN, or the service's name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Principal(name) | Self::Service(name) => name,
        }
    }
}

impl fmt::Display for GrantPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a request has to be like for a grant to allow it. All that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantConstraints {
    /// The encryption context is exactly this one. In constraints the case of keys does not matter; that of values does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_context_equals: Option<EncryptionContext>,
    /// The encryption context has at least these pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_context_subset: Option<EncryptionContext>,
    /// The request is made on behalf of this resource (`aws:SourceArn`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_arn: Option<String>,
}

impl GrantConstraints {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether one of them is about the encryption context.
    pub fn bind_encryption_context(&self) -> bool {
        self.encryption_context_equals.is_some() || self.encryption_context_subset.is_some()
    }

    /// All pairs that they name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.encryption_context_equals.iter().chain(&self.encryption_context_subset).flat_map(EncryptionContext::pairs)
    }

    /// Whether a request for an operation meets them. Those about the encryption context are for operations that have one.
    pub fn hold(&self, operation: GrantOperation, request: &dyn ConditionContext) -> bool {
        self.source_holds(request) && (!operation.has_encryption_context() || self.context_holds(request))
    }

    fn source_holds(&self, request: &dyn ConditionContext) -> bool {
        self.source_arn.as_deref().is_none_or(|wanted| is_one(&request.values("aws:SourceArn"), wanted))
    }

    fn context_holds(&self, request: &dyn ConditionContext) -> bool {
        let has = |wanted: &EncryptionContext| {
            // Two keys that differ in case alone would both be found in one of the request's.
            !wanted.has_twins()
                && wanted.pairs().all(|(key, value)| is_one(&request.values(&format!("kms:EncryptionContext:{key}")), value))
        };
        let count = || match request.values("kms:EncryptionContextKeys") {
            Values::Absent | Values::Ambiguous => 0,
            Values::One(_) => 1,
            Values::Many(keys) => keys.len(),
        };
        let subset = self.encryption_context_subset.as_ref().is_none_or(has);
        let equals = self.encryption_context_equals.as_ref().is_none_or(|wanted| wanted.len() == count() && has(wanted));
        subset && equals
    }

    /// Whether every request that meets these meets the others, too: what a grant that was made through another grant must fulfil.
    pub fn are_as_strict_as(&self, others: &Self) -> bool {
        let equals = others.encryption_context_equals.as_ref().is_none_or(|wanted| {
            self.encryption_context_equals.as_ref().is_some_and(|own| own.len() == wanted.len() && includes(own, wanted))
        });
        let subset = others.encryption_context_subset.as_ref().is_none_or(|wanted| {
            let own = [&self.encryption_context_equals, &self.encryption_context_subset];
            own.into_iter().flatten().any(|own| includes(own, wanted))
        });
        equals && subset && (others.source_arn.is_none() || self.source_arn == others.source_arn)
    }
}

/// Whether a context has all pairs of another one.
fn includes(context: &EncryptionContext, pairs: &EncryptionContext) -> bool {
    pairs.pairs().all(|(key, value)| context.get_ignoring_case(key) == Some(value))
}

fn is_one(values: &Values<'_>, wanted: &str) -> bool {
    matches!(values, Values::One(value) if value == wanted)
}

/// What a grant says, apart from the key that it is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTerms {
    /// Who gets the permission.
    pub grantee: GrantPrincipal,
    /// Who else may retire it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<GrantPrincipal>,
    /// What it allows.
    pub operations: BTreeSet<GrantOperation>,
    /// What requests have to be like.
    #[serde(default, skip_serializing_if = "GrantConstraints::is_empty")]
    pub constraints: GrantConstraints,
}

impl GrantTerms {
    /// Whether somebody who has a grant with the other terms may pass these on: no further operation, and constraints that are equal or
    /// stricter. Source: AWS KMS Developer Guide, "Granting CreateGrant permission".
    pub fn are_within(&self, others: &Self) -> bool {
        self.operations.is_subset(&others.operations) && self.constraints.are_as_strict_as(&others.constraints)
    }
}

/// A grant on a key. What a store keeps of it is this, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The account that owns the key.
    pub account: AccountId,
    /// The key's Region.
    pub region: Region,
    /// The key.
    pub key: KeyId,
    /// The name that makes its creation repeatable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// The account of whoever made it.
    pub issuing_account: AccountId,
    /// What it says.
    pub terms: GrantTerms,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        EncryptionContext::new(
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>(),
        )
    }

    fn equals(pairs: &[(&str, &str)]) -> GrantConstraints {
        GrantConstraints { encryption_context_equals: Some(context(pairs)), ..GrantConstraints::default() }
    }

    fn subset(pairs: &[(&str, &str)]) -> GrantConstraints {
        GrantConstraints { encryption_context_subset: Some(context(pairs)), ..GrantConstraints::default() }
    }

    /// The encryption context of a request, as conditions see it.
    struct Asked(EncryptionContext);

    impl ConditionContext for Asked {
        fn values(&self, key: &str) -> Values<'_> {
            match key.strip_prefix("kms:EncryptionContext:") {
                Some(name) => Values::named(name, self.0.pairs()),
                None => Values::Many(self.0.pairs().map(|(key, _)| key.into()).collect()),
            }
        }
    }

    /// Keys that differ in case alone are one key to constraints, and two to encryption contexts.
    #[test]
    fn twins_in_a_context_fit_no_constraint() {
        let holds = |constraints: &GrantConstraints, pairs: &[(&str, &str)]| {
            constraints.hold(GrantOperation::Decrypt, &Asked(context(pairs)))
        };
        assert!(holds(&equals(&[("a", "1")]), &[("A", "1")]));
        assert!(!holds(&equals(&[("a", "1")]), &[("A", "1"), ("a", "1")]));
        assert!(!holds(&subset(&[("a", "1")]), &[("A", "1"), ("a", "2")]));
        assert!(!holds(&subset(&[("a", "1")]), &[("A", "1"), ("a", "1")]));
        // Both would be found in the request's one, and the count would be right.
        let twins = [("A", "1"), ("a", "1")];
        for pairs in [&twins[..], &[("a", "1"), ("b", "2")], &[("a", "1")]] {
            assert!(!holds(&equals(&twins), pairs), "{pairs:?}");
            assert!(!holds(&subset(&twins), pairs), "{pairs:?}");
        }
    }

    /// AWS KMS service model, `GrantConstraints`: "equally strict or stricter".
    #[test]
    fn strictness_is_as_documented() {
        let none = GrantConstraints::default();
        let (a, ab) = (&[("a", "1")][..], &[("a", "1"), ("b", "2")][..]);
        let source = GrantConstraints { source_arn: Some("arn:aws:s3:us-east-1:111122223333:x".to_owned()), ..equals(a) };
        for (own, others, expected) in [
            (&none, &none, true),
            (&subset(a), &none, true),
            (&none, &subset(a), false),
            (&subset(ab), &subset(a), true),
            (&subset(a), &subset(ab), false),
            (&equals(ab), &subset(a), true),
            (&equals(a), &subset(a), true),
            (&subset(a), &equals(a), false),
            (&equals(ab), &equals(a), false),
            (&equals(a), &equals(ab), false),
            (&equals(&[("A", "1")]), &equals(a), true),
            (&subset(&[("a", "x")]), &subset(&[("a", "X")]), false),
            (&source, &equals(a), true),
            (&equals(a), &source, false),
            (&source, &source, true),
        ] {
            assert_eq!(own.are_as_strict_as(others), expected, "{own:?} {others:?}");
        }
    }

    /// AWS KMS Developer Guide, "Grant operations".
    #[test]
    fn operations_fit_the_keys_that_can_do_them() {
        use GrantOperation as O;
        let of = |spec, usage| O::ALL.iter().copied().filter(|operation| operation.fits(spec, usage)).collect::<Vec<_>>();
        let always = [O::CreateGrant, O::RetireGrant, O::DescribeKey];
        let check = |spec, usage, own: &[O]| {
            let expected: BTreeSet<O> = own.iter().chain(&always).copied().collect();
            assert_eq!(of(spec, usage).into_iter().collect::<BTreeSet<_>>(), expected, "{spec} {usage}");
        };
        let encrypt = [O::Decrypt, O::Encrypt, O::ReEncryptFrom, O::ReEncryptTo];
        let data = [
            O::GenerateDataKey,
            O::GenerateDataKeyWithoutPlaintext,
            O::GenerateDataKeyPair,
            O::GenerateDataKeyPairWithoutPlaintext,
        ];
        check(KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt, &[encrypt, data].concat());
        check(KeySpec::Rsa2048, KeyUsage::EncryptDecrypt, &[&encrypt[..], &[O::GetPublicKey]].concat());
        check(KeySpec::Rsa2048, KeyUsage::SignVerify, &[O::Sign, O::Verify, O::GetPublicKey]);
        check(KeySpec::Hmac256, KeyUsage::GenerateVerifyMac, &[O::GenerateMac, O::VerifyMac]);
        check(KeySpec::EccNistP256, KeyUsage::KeyAgreement, &[O::DeriveSharedSecret, O::GetPublicKey]);
        check(KeySpec::MlKem768, KeyUsage::EncapsulateDecapsulate, &[O::Encapsulate, O::Decapsulate, O::GetPublicKey]);
    }
}
