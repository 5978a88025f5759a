//! What the tests of this crate share.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use claviger_domain::key::KeySpec;
use claviger_domain::policy::{ConditionContext, Demand, Granted, Policy, Values, authorize, default_key_policy};
use claviger_domain::{AccountId, Identity, KeyId, Permit};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::hierarchy::{AccountKey, Hsm};
use crate::material::Material;
use crate::seal::{PassphraseCost, SealSecret, SealedRoot};

/// Argon2id at the least that it can do, so that tests are quick.
pub(crate) const CHEAP: PassphraseCost = PassphraseCost { memory_kib: 8, passes: 1, lanes: 1 };

pub(crate) const DEPLOYMENT: Uuid = Uuid::from_bytes([0xd0; 16]);

pub(crate) fn account() -> AccountId {
    AccountId::from_number(123_456_789_012).unwrap()
}

pub(crate) fn other_account() -> AccountId {
    AccountId::from_number(210_987_654_321).unwrap()
}

pub(crate) fn key_id() -> KeyId {
    "1234abcd-12ab-34cd-56ef-1234567890ab".parse().unwrap()
}

pub(crate) fn other_key_id() -> KeyId {
    "1234abcd-12ab-34cd-56ef-1234567890ac".parse().unwrap()
}

pub(crate) fn file(byte: u8) -> SealSecret {
    SealSecret::File(Zeroizing::new(vec![byte; 32]))
}

pub(crate) fn passphrase(text: &str) -> SealSecret {
    SealSecret::Passphrase(Zeroizing::new(text.to_owned()))
}

/// A deployment with one seal of each kind: `disk` (32 × 1) and `people` ("correct horse").
pub(crate) fn deployment() -> (Hsm, SealedRoot) {
    Hsm::initialize_with_cost(DEPLOYMENT, &[("disk", file(1)), ("people", passphrase("correct horse"))], CHEAP).unwrap()
}

pub(crate) fn hsm() -> Hsm {
    deployment().0
}

pub(crate) fn account_key(hsm: &Hsm, account: AccountId) -> AccountKey {
    hsm.open_account_key(account, 1, &hsm.create_account_key(account, 1).unwrap()).unwrap()
}

pub(crate) fn material(hsm: &Hsm, key: &AccountKey, id: KeyId) -> Material {
    material_of(hsm, key, id, KeySpec::SymmetricDefault)
}

pub(crate) fn material_of(hsm: &Hsm, key: &AccountKey, id: KeyId, spec: KeySpec) -> Material {
    let made = hsm.generate_material(key, id, spec).unwrap();
    hsm.load_material(key, id, spec, made.id, &made.sealed).unwrap()
}

/// The specs of keys that tests make: all of them, those left out that take long to make and are in nothing different.
pub(crate) fn specs() -> impl Iterator<Item = KeySpec> {
    KeySpec::ALL.iter().copied().filter(|spec| !matches!(spec, KeySpec::Rsa3072 | KeySpec::Rsa4096))
}

/// A new secret for the ids of what is imported into [`key_id`].
pub(crate) fn import_secret(hsm: &Hsm, key: &AccountKey) -> crate::ImportSecret {
    hsm.open_import_secret(key, key_id(), &hsm.create_import_secret(key, key_id()).unwrap()).unwrap()
}

/// Material of a known key pair, for [`key_id`].
pub(crate) fn brought(hsm: &Hsm, key: &AccountKey, spec: KeySpec, pkcs8: &str) -> Material {
    let made = hsm.new_material(key, &import_secret(hsm, key), spec, &hex::decode(pkcs8).unwrap()).unwrap();
    hsm.load_imported_material(key, key_id(), spec, made.id, &made.sealed).unwrap()
}

struct NoContext;

impl ConditionContext for NoContext {
    fn values(&self, _key: &str) -> Values<'_> {
        Values::Absent
    }
}

/// A permit as the account's root gets it from the default key policy.
pub(crate) fn permit(action: &'static str, key: KeyId) -> Permit {
    let policy = Policy::parse_key_policy(&default_key_policy(account())).unwrap();
    let resource = format!("arn:aws:kms:us-east-1:{}:key/{key}", account());
    let demand = Demand { action, resource: &resource, owner: account(), key: Some((key, &policy)), granted: Granted::Nothing };
    authorize(&Identity::root(account()), &demand, &NoContext).unwrap()
}

/// A permit for an action that is about no key.
pub(crate) fn permit_without_key(action: &'static str) -> Permit {
    let demand = Demand { action, resource: "*", owner: account(), key: None, granted: Granted::Nothing };
    authorize(&Identity::root(account()), &demand, &NoContext).unwrap()
}

/// The message of an error whose success type cannot be printed, because it holds a secret.
pub(crate) fn refusal<T>(result: Result<T, crate::HsmError>) -> crate::HsmError {
    result.err().unwrap()
}

/// Each way to change one bit of these bytes.
pub(crate) fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        *changed.get_mut(bit / 8).unwrap() ^= 1 << (bit % 8);
        changed
    })
}

/// Each proper beginning of these bytes, and the whole with a byte more.
pub(crate) fn wrong_lengths(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let longer = [bytes, &[0]].concat();
    (0..bytes.len()).map(|length| bytes.split_at(length).0.to_vec()).chain([longer])
}

/// Does not compile when the type implements the trait: the call would then fit two implementations.
macro_rules! never {
    ($forbidden:path: $($type:ty),*) => {
        const _: () = {
            trait Ambiguous<Marker> {
                fn fits() {}
            }
            struct Forbidden;
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $forbidden> Ambiguous<Forbidden> for T {}
            $(const _: fn() = <$type as Ambiguous<_>>::fits;)*
        };
    };
}

never!(Clone: crate::memory::Secret, Hsm, SealSecret);
never!(std::fmt::Debug: crate::memory::Secret, Hsm, SealSecret, AccountKey, Material);
never!(std::fmt::Debug: crate::AccessSecret, crate::SigningKey, crate::LogSigner);
never!(std::fmt::Debug: crate::ImportSecret, crate::ImportToken);
never!(Clone: crate::ImportSecret, crate::ImportToken);
never!(serde::Serialize: crate::memory::Secret, Hsm, SealSecret, AccountKey, Material);
never!(serde::Serialize: crate::AccessSecret, crate::SigningKey, crate::LogSigner);
never!(serde::Serialize: crate::ImportSecret, crate::ImportToken);
