//! The condition keys of operations that encrypt and decrypt. Source: AWS KMS Developer Guide, "AWS KMS condition keys".

use std::borrow::Cow;

use claviger_domain::EncryptionContext;
use claviger_domain::key::EncryptionAlgorithm;
use claviger_domain::policy::Values;

use crate::conditions::text;

/// The value of `name` (in lower case) for a request with this context and algorithm.
pub(crate) fn encryption_condition<'a>(name: &str, context: &'a EncryptionContext, algorithm: EncryptionAlgorithm) -> Values<'a> {
    match name {
        "kms:encryptionalgorithm" => text(algorithm.as_str()),
        "kms:encryptioncontextkeys" if context.is_empty() => Values::Absent,
        "kms:encryptioncontextkeys" => Values::Many(context.pairs().map(|(key, _)| Cow::Borrowed(key)).collect()),
        _ => match name.strip_prefix("kms:encryptioncontext:") {
            Some(key) => Values::named(key, context.pairs()),
            None => Values::Absent,
        },
    }
}
