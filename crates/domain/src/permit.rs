//! The proof that somebody was allowed to.

use crate::ids::KeyId;
use crate::policy::Basis;

/// Proof that authorisation said yes to one action. Only [`crate::policy::authorize`] can make one, and the hsm crate does nothing with
/// a key without one, so that a forgotten check does not compile.
///
/// It is neither `Clone` nor `Default`, and has no public constructor:
///
/// ```compile_fail
/// let forged = claviger_domain::Permit { action: "kms:Decrypt", key: None, basis: Default::default() };
/// ```
#[derive(Debug)]
pub struct Permit {
    action: &'static str,
    key: Option<KeyId>,
    basis: Basis,
}

impl Permit {
    /// The actions that encrypt under a key.
    pub const ENCRYPTING: [&'static str; 4] =
        ["kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptTo"];
    /// The actions that decrypt under a key.
    pub const DECRYPTING: [&'static str; 2] = ["kms:Decrypt", "kms:ReEncryptFrom"];

    pub(crate) fn new(action: &'static str, key: Option<KeyId>, basis: Basis) -> Self {
        Self { action, key, basis }
    }

    /// The action that was allowed: `kms:Encrypt`.
    pub fn action(&self) -> &'static str {
        self.action
    }

    /// Whether the permit is about this key. The hsm crate asks before it touches material.
    pub fn covers(&self, key: KeyId) -> bool {
        self.key == Some(key)
    }

    /// Whether it is about this key, and one of these actions.
    pub fn allows_one_of(&self, actions: &[&str], key: KeyId) -> bool {
        actions.contains(&self.action) && self.covers(key)
    }

    /// Which policy and statement allowed it, for the audit entry, which writes it with `Display`.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }
}
