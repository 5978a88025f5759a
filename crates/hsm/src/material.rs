//! Key material: one version of a key's secret.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use claviger_domain::key::KeySpec;
use claviger_domain::{KeyId, MaterialId};

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::{AccountKey, Hsm};
use crate::memory::Secret;

/// One version of a key's material, ready for use. A handle; the secret stays in locked memory.
#[derive(Clone)]
pub struct Material(Arc<MaterialInner>);

struct MaterialInner {
    key: KeyId,
    id: MaterialId,
    secret: Secret,
}

impl Material {
    /// The key that it is a version of.
    pub fn key_id(&self) -> KeyId {
        self.0.key
    }

    /// Which version.
    pub fn id(&self) -> MaterialId {
        self.0.id
    }

    /// Material that was imported: its id was made with the key's import secret, and what it is sealed under vouches for it.
    pub(crate) fn imported(key: KeyId, id: MaterialId, secret: Secret) -> Self {
        Self(Arc::new(MaterialInner { key, id, secret }))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.secret.expose()
    }

    #[cfg(test)]
    pub(crate) fn for_vectors(key: KeyId, bytes: [u8; 32]) -> Self {
        let secret = Secret::from_fill(|out| {
            out.copy_from_slice(&bytes);
            Ok(())
        });
        let secret = secret.unwrap();
        let id = material_id(key, &secret);
        Self(Arc::new(MaterialInner { key, id, secret }))
    }
}

impl Hsm {
    /// New random material for a key: its id, and the material sealed under the account's key.
    pub fn generate_material(&self, key: &AccountKey, id: KeyId) -> Result<(MaterialId, Vec<u8>), HsmError> {
        self.state.check()?;
        let secret = Secret::generate()?;
        let material = material_id(id, &secret);
        let sealed = key.seal(self.material_identity(key, id, material), secret.expose())?;
        Ok((material, sealed))
    }

    /// Opens a key's material. The id is computed again from what was opened.
    pub fn load_material(&self, key: &AccountKey, id: KeyId, material: MaterialId, sealed: &[u8]) -> Result<Material, HsmError> {
        self.state.check()?;
        let name = || format!("material {material} of key {id}, account {}", key.account());
        let secret =
            key.open(sealed, name, |blob, secret| blob.open_secret(secret, self.material_identity(key, id, material)))?;
        if verify_slices_are_equal(material_id(id, &secret).as_bytes(), material.as_bytes()).is_err() {
            return Err(HsmError::Tampered(name()));
        }
        Ok(Material(Arc::new(MaterialInner { key: id, id: material, secret })))
    }

    fn material_identity(&self, key: &AccountKey, id: KeyId, material: MaterialId) -> AssociatedData {
        AssociatedData::new("material", self.deployment)
            .number(key.account().number())
            .text(KeySpec::SymmetricDefault.as_str())
            .text(&id.to_string())
            .fixed(material.as_bytes())
    }
}

/// KeyMaterialId = HMAC-SHA256(material, "claviger material id 1" ‖ the key's UUID).
///
/// The id is public, so it must not help to find the material. The material is the HMAC's key, as a pseudorandom function is meant to be used;
/// the UUID makes a table of guesses worthless for any other key, and equal material under two keys has unrelated ids. What it cannot prevent is a
/// search for the material of one key at one HMAC for each guess: hopeless for 256 random bits, which is all that is made here. Whoever lets
/// people import material of their own choice has to insist on its entropy, or to put a secret of the deployment into this function.
fn material_id(key: KeyId, material: &Secret) -> MaterialId {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, material.expose()));
    context.update(b"claviger material id 1");
    context.update(key.uuid().as_bytes());
    let mut id = [0; 32];
    id.copy_from_slice(context.sign().as_ref());
    MaterialId::new(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{account, account_key, flips, hsm, key_id, other_account, other_key_id, refusal, wrong_lengths};

    #[test]
    fn material_loads_as_what_it_is_only() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let (id, sealed) = hsm.generate_material(&key, key_id()).unwrap();
        let loaded = hsm.load_material(&key, key_id(), id, &sealed).unwrap();
        assert_eq!((loaded.key_id(), loaded.id()), (key_id(), id));
        assert_eq!(crate::account_key_version(&sealed), Some(1));

        let (other_id, _) = hsm.generate_material(&key, key_id()).unwrap();
        let tampered =
            |result| matches!(refusal(result), HsmError::Tampered(name) if name.contains("material") && name.contains("key"));
        assert!(tampered(hsm.load_material(&key, other_key_id(), id, &sealed)), "another key");
        assert!(tampered(hsm.load_material(&key, KeyId::multi_region(key_id().uuid()), id, &sealed)), "a replica of that name");
        assert!(tampered(hsm.load_material(&key, key_id(), other_id, &sealed)), "another version");
        assert!(tampered(hsm.load_material(&account_key(&hsm, other_account()), key_id(), id, &sealed)), "another account");
        for forged in flips(&sealed).chain(wrong_lengths(&sealed)) {
            assert!(tampered(hsm.load_material(&key, key_id(), id, &forged)), "{}", hex::encode(&forged));
        }
    }

    #[test]
    fn ids_depend_on_material_and_key() {
        let id = |key, byte| Material::for_vectors(key, [byte; 32]).id();
        assert_eq!(id(key_id(), 1), id(key_id(), 1));
        assert_ne!(id(key_id(), 1), id(key_id(), 2));
        assert_ne!(id(key_id(), 1), id(other_key_id(), 1));
        // A multi-Region key keeps its material and its id in every Region.
        assert_eq!(id(key_id(), 1), id(KeyId::multi_region(key_id().uuid()), 1));
    }

    #[test]
    fn sealed_material_is_not_the_material() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let (id, sealed) = hsm.generate_material(&key, key_id()).unwrap();
        let material = hsm.load_material(&key, key_id(), id, &sealed).unwrap();
        assert!(!sealed.windows(4).any(|window| material.expose().windows(4).any(|secret| secret == window)));
    }
}
