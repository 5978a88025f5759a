//! Key material: one version of a key's secret.
//!
//! What is sealed, by key spec: SYMMETRIC_DEFAULT, 32 bytes; HMAC, as many bytes as the code has; key pairs, PKCS#8 in DER as
//! [`KeyPair::pkcs8`] writes it. The spec is part of the associated data, so that material is never opened as something else.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use claviger_domain::key::KeySpec;
use claviger_domain::{KeyId, MaterialId};
use zeroize::Zeroizing;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::{AccountKey, Hsm};
use crate::import::ImportSecret;
use crate::key_pair::{self, KeyPair};
use crate::mac;
use crate::memory::{LongSecret, SECRET_BYTES, Secret};

/// One version of a key's material, ready for use. A handle; the secret stays in locked memory, or in the cryptographic library's parsed form.
#[derive(Clone)]
pub struct Material(Arc<MaterialInner>);

struct MaterialInner {
    key: KeyId,
    id: MaterialId,
    spec: KeySpec,
    form: Form,
}

/// Material as it was made: what has to be stored of it.
pub struct NewMaterial {
    /// Its id (AWS's `KeyMaterialId`).
    pub id: MaterialId,
    /// The material, sealed under the account's key.
    pub sealed: Vec<u8>,
    /// The public half of a key pair: SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER. Empty for other material.
    pub public_key: Vec<u8>,
}

/// Material by what is done with it.
enum Form {
    Symmetric(Secret),
    Mac(LongSecret),
    Pair(Box<dyn KeyPair>),
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

    /// What kind of material it is.
    pub fn spec(&self) -> KeySpec {
        self.0.spec
    }

    /// The key for KC-XAES-256-GCM.
    pub(crate) fn symmetric(&self) -> Result<&[u8; 32], HsmError> {
        match &self.0.form {
            Form::Symmetric(secret) => Ok(secret.expose()),
            _ => Err(self.unfit("symmetric encryption")),
        }
    }

    /// The key for HMAC.
    pub(crate) fn mac(&self) -> Result<&LongSecret, HsmError> {
        match &self.0.form {
            Form::Mac(secret) => Ok(secret),
            _ => Err(self.unfit("message authentication codes")),
        }
    }

    /// The key pair.
    pub(crate) fn pair(&self) -> Result<&dyn KeyPair, HsmError> {
        match &self.0.form {
            Form::Pair(pair) => Ok(&**pair),
            _ => Err(self.unfit("key pairs")),
        }
    }

    /// The public half of a key pair whose private half is elsewhere.
    pub(crate) fn public_half(key: KeyId, spec: KeySpec, id: MaterialId, spki: &[u8]) -> Result<Self, HsmError> {
        let form = Form::Pair(key_pair::parse_public(spec, spki)?);
        Ok(Self(Arc::new(MaterialInner { key, id, spec, form })))
    }

    fn unfit(&self, what: &str) -> HsmError {
        HsmError::WrongKey(format!("material of key spec {} was used for {what}", self.0.spec))
    }

    #[cfg(test)]
    pub(crate) fn for_vectors(key: KeyId, bytes: [u8; 32]) -> Self {
        let form = Form::parse(KeySpec::SymmetricDefault, &bytes).unwrap();
        let id = form.id(key).unwrap();
        Self(Arc::new(MaterialInner { key, id, spec: KeySpec::SymmetricDefault, form }))
    }
}

impl Hsm {
    /// New random material for a key. For RSA this takes up to seconds.
    pub fn generate_material(&self, key: &AccountKey, id: KeyId, spec: KeySpec) -> Result<NewMaterial, HsmError> {
        self.state.check()?;
        let form = match (spec, mac::material_bytes(spec)) {
            (KeySpec::SymmetricDefault, _) => Form::Symmetric(Secret::generate()?),
            (_, Some(length)) => Form::Mac(LongSecret::generate(length)?),
            _ => Form::Pair(self.generate_pair(spec)?),
        };
        let material = form.id(id)?;
        form.seal(key, material, self.material_identity(key, id, spec, material))
    }

    /// Material that somebody brought: 32 bytes for SYMMETRIC_DEFAULT, the bytes of an HMAC key of its spec's length, or PKCS#8 in DER for key
    /// pairs. [`HsmError::InvalidKeyMaterial`] says what it lacks. Its id is made with the key's import secret.
    pub(crate) fn new_material(
        &self,
        key: &AccountKey,
        secret: &ImportSecret,
        spec: KeySpec,
        plaintext: &[u8],
    ) -> Result<NewMaterial, HsmError> {
        self.state.check()?;
        let form = Form::parse(spec, plaintext)?;
        if let Form::Pair(pair) = &form
            && !key_pair::is_consistent(spec, &**pair)
        {
            return Err(HsmError::InvalidKeyMaterial("the private and the public half of the key pair do not belong together"));
        }
        let material = form.imported_id(secret)?;
        form.seal(key, material, self.imported_identity(key, secret.key(), spec, material))
    }

    /// Opens imported material. What it is sealed with vouches for its id.
    pub fn load_imported_material(
        &self,
        key: &AccountKey,
        id: KeyId,
        spec: KeySpec,
        material: MaterialId,
        sealed: &[u8],
    ) -> Result<Material, HsmError> {
        self.state.check()?;
        let name = || format!("imported material {material} of key {id}, account {}", key.account());
        let form = Form::open(key, name, spec, self.imported_identity(key, id, spec, material), sealed)?;
        Ok(Material(Arc::new(MaterialInner { key: id, id: material, spec, form })))
    }

    /// Opens a key's material. The id is computed again from what was opened.
    pub fn load_material(
        &self,
        key: &AccountKey,
        id: KeyId,
        spec: KeySpec,
        material: MaterialId,
        sealed: &[u8],
    ) -> Result<Material, HsmError> {
        self.state.check()?;
        let name = || format!("material {material} of key {id}, account {}", key.account());
        let form = Form::open(key, name, spec, self.material_identity(key, id, spec, material), sealed)?;
        if verify_slices_are_equal(form.id(id)?.as_bytes(), material.as_bytes()).is_err() {
            return Err(HsmError::Tampered(name()));
        }
        Ok(Material(Arc::new(MaterialInner { key: id, id: material, spec, form })))
    }

    /// Seals a key's material anew, perhaps under another version of the account's key: for a copy of the key that stays in this
    /// deployment. It is opened first, so that a copy of what was tampered with is never made.
    pub fn reseal_material(
        &self,
        from: &AccountKey,
        to: &AccountKey,
        id: KeyId,
        spec: KeySpec,
        material: MaterialId,
        sealed: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        if from.account() != to.account() {
            return Err(HsmError::WrongKey(format!("material of key {id} was to be sealed for another account")));
        }
        let opened = self.load_material(from, id, spec, material, sealed)?;
        Ok(opened.0.form.seal(to, material, self.material_identity(to, id, spec, material))?.sealed)
    }

    /// A new key pair, whose halves were seen to belong together. If they do not, something is wrong with this machine or build.
    pub(crate) fn generate_pair(&self, spec: KeySpec) -> Result<Box<dyn KeyPair>, HsmError> {
        let pair = key_pair::generate(spec)?;
        if key_pair::is_consistent(spec, &*pair) {
            Ok(pair)
        } else {
            Err(self.state.fail(&format!("pairwise consistency of a new key pair ({spec})")))
        }
    }

    fn material_identity(&self, key: &AccountKey, id: KeyId, spec: KeySpec, material: MaterialId) -> AssociatedData {
        AssociatedData::new("material", self.deployment)
            .number(key.account().number())
            .text(spec.as_str())
            .text(&id.to_string())
            .fixed(material.as_bytes())
    }

    fn imported_identity(&self, key: &AccountKey, id: KeyId, spec: KeySpec, material: MaterialId) -> AssociatedData {
        AssociatedData::new("imported material", self.deployment)
            .number(key.account().number())
            .text(spec.as_str())
            .text(&id.to_string())
            .fixed(material.as_bytes())
    }
}

impl Form {
    /// Material of this spec from its bytes; [`HsmError::InvalidKeyMaterial`] if they are not that.
    fn parse(spec: KeySpec, bytes: &[u8]) -> Result<Self, HsmError> {
        if spec == KeySpec::SymmetricDefault {
            let given: Zeroizing<[u8; SECRET_BYTES]> = Zeroizing::new(
                bytes.try_into().map_err(|_| HsmError::InvalidKeyMaterial("a symmetric key has 32 bytes (256 bits)"))?,
            );
            let secret = Secret::from_fill(|out| {
                *out = *given;
                Ok(())
            });
            return Ok(Self::Symmetric(secret?));
        }
        let Some(length) = mac::material_bytes(spec) else { return Ok(Self::Pair(key_pair::parse(spec, bytes)?)) };
        if bytes.len() != length {
            return Err(HsmError::InvalidKeyMaterial("an HMAC key has exactly the length that its key spec says"));
        }
        Ok(Self::Mac(LongSecret::from_bytes(bytes)?))
    }

    /// Material of this spec from what was sealed; it was tampered with if it is not that.
    fn open(
        key: &AccountKey,
        name: impl Fn() -> String,
        spec: KeySpec,
        identity: AssociatedData,
        sealed: &[u8],
    ) -> Result<Self, HsmError> {
        if spec == KeySpec::SymmetricDefault {
            return Ok(Self::Symmetric(key.open(sealed, name, |blob, secret| blob.open_secret(secret, identity))?));
        }
        let plaintext = key.open(sealed, &name, |blob, secret| blob.open(secret, identity))?;
        Self::parse(spec, &plaintext).map_err(|error| match error {
            HsmError::InvalidKeyMaterial(_) => HsmError::Tampered(name()),
            other => other,
        })
    }

    fn seal(&self, key: &AccountKey, material: MaterialId, identity: AssociatedData) -> Result<NewMaterial, HsmError> {
        let (sealed, public_key) = match self {
            Self::Symmetric(secret) => (key.seal(identity, secret.expose())?, Vec::new()),
            Self::Mac(secret) => (secret.expose(|bytes| key.seal(identity, bytes))?, Vec::new()),
            Self::Pair(pair) => (key.seal(identity, &pair.pkcs8()?)?, pair.spki()?),
        };
        Ok(NewMaterial { id: material, sealed, public_key })
    }

    /// The id of imported material; as in [`Self::id`], the public half says which key pair it is.
    fn imported_id(&self, secret: &ImportSecret) -> Result<MaterialId, HsmError> {
        Ok(match self {
            Self::Symmetric(material) => secret.id_of(material.expose()),
            Self::Mac(material) => material.expose(|bytes| secret.id_of(bytes)),
            Self::Pair(pair) => secret.id_of(&pair.spki()?),
        })
    }

    fn id(&self, key: KeyId) -> Result<MaterialId, HsmError> {
        Ok(match self {
            Self::Symmetric(secret) => material_id(key, secret.expose()),
            Self::Mac(secret) => secret.expose(|bytes| material_id(key, bytes)),
            Self::Pair(pair) => material_id(key, &pair.spki()?),
        })
    }
}

/// KeyMaterialId = HMAC-SHA256(material, "claviger material id 1" ‖ the key's UUID). For a key pair, its public half in SubjectPublicKeyInfo form
/// takes the place of the material: it says as well which pair it is, and it is the same however the private half was written.
///
/// The id is public, so it must not help to find the material. The material is the HMAC's key, as a pseudorandom function is meant to be used;
/// the UUID makes a table of guesses worthless for any other key, and equal material under two keys has unrelated ids. What it cannot prevent is a
/// search for the material of one key at one HMAC for each guess: hopeless for 256 random bits, which is all that is made here. Material of people's
/// own choice may be guessable: its ids are made with a secret instead ([`ImportSecret::id_of`]).
fn material_id(key: KeyId, material: &[u8]) -> MaterialId {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, material));
    context.update(b"claviger material id 1");
    context.update(key.uuid().as_bytes());
    let mut id = [0; 32];
    id.copy_from_slice(context.sign().as_ref());
    MaterialId::new(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        account, account_key, flips, hsm, import_secret, key_id, other_account, other_key_id, refusal, specs, wrong_lengths,
    };

    /// One of each kind that is quick to make.
    const QUICK: [KeySpec; 9] = [
        KeySpec::SymmetricDefault,
        KeySpec::Hmac224,
        KeySpec::Hmac512,
        KeySpec::EccNistP256,
        KeySpec::EccSecgP256k1,
        KeySpec::EccNistEdwards25519,
        KeySpec::MlDsa44,
        KeySpec::MlKem512,
        KeySpec::Sm2,
    ];

    #[test]
    fn material_loads_as_what_it_is_only() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        for spec in QUICK {
            let made = hsm.generate_material(&key, key_id(), spec).unwrap();
            let load = |key: &AccountKey, id, spec, material, sealed: &[u8]| hsm.load_material(key, id, spec, material, sealed);
            let loaded = load(&key, key_id(), spec, made.id, &made.sealed).unwrap();
            assert_eq!((loaded.key_id(), loaded.id(), loaded.spec()), (key_id(), made.id, spec));
            assert_eq!(crate::account_key_version(&made.sealed), Some(1));
            assert_eq!(made.public_key.is_empty(), !spec.is_asymmetric(), "{spec}");

            let other = hsm.generate_material(&key, key_id(), spec).unwrap();
            let tampered =
                |result| matches!(refusal(result), HsmError::Tampered(name) if name.contains("material") && name.contains("key"));
            assert!(tampered(load(&key, other_key_id(), spec, made.id, &made.sealed)), "another key");
            let replica = KeyId::multi_region(key_id().uuid());
            assert!(tampered(load(&key, replica, spec, made.id, &made.sealed)), "a replica of that name");
            assert!(tampered(load(&key, key_id(), spec, other.id, &made.sealed)), "another version");
            let elsewhere = account_key(&hsm, other_account());
            assert!(tampered(load(&elsewhere, key_id(), spec, made.id, &made.sealed)), "another account");
            for other in KeySpec::ALL.iter().copied().filter(|other| *other != spec) {
                assert!(tampered(load(&key, key_id(), other, made.id, &made.sealed)), "{spec} as {other}");
            }
            for forged in flips(&made.sealed).chain(wrong_lengths(&made.sealed)) {
                assert!(tampered(load(&key, key_id(), spec, made.id, &forged)), "{}", hex::encode(&forged));
            }
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
        for spec in QUICK {
            let made = hsm.generate_material(&key, key_id(), spec).unwrap();
            let material = hsm.load_material(&key, key_id(), spec, made.id, &made.sealed).unwrap();
            let secret = match &material.0.form {
                Form::Symmetric(secret) => secret.expose().to_vec(),
                Form::Mac(secret) => secret.expose(<[u8]>::to_vec),
                Form::Pair(pair) => pair.pkcs8().unwrap().to_vec(),
            };
            assert!(!made.sealed.windows(8).any(|window| secret.windows(8).any(|part| part == window)), "{spec}");
        }
    }

    #[test]
    fn material_that_was_brought_is_what_it_was() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let secret = import_secret(&hsm, &key);
        let bring = |spec, bytes: &[u8]| hsm.new_material(&key, &secret, spec, bytes);
        for (spec, length) in [(KeySpec::SymmetricDefault, 32), (KeySpec::Hmac224, 28), (KeySpec::Hmac384, 48)] {
            let bytes: Vec<u8> = (0..length).collect();
            let (one, again) = (bring(spec, &bytes).unwrap(), bring(spec, &bytes).unwrap());
            assert_eq!(one.id, again.id, "the same material has the same id");
            hsm.load_imported_material(&key, key_id(), spec, one.id, &one.sealed).unwrap();
            for wrong in [&bytes[1..], &[&bytes[..], &[0]].concat(), &[]] {
                assert!(matches!(refusal(bring(spec, wrong)), HsmError::InvalidKeyMaterial(_)), "{spec}");
            }
        }
        for spec in [KeySpec::EccNistP256, KeySpec::EccSecgP256k1, KeySpec::EccNistEdwards25519] {
            let pair = key_pair::generate(spec).unwrap();
            let (pkcs8, spki) = (pair.pkcs8().unwrap(), pair.spki().unwrap());
            let one = bring(spec, &pkcs8).unwrap();
            assert_eq!(one.public_key, spki);
            assert_eq!(one.id, bring(spec, &pkcs8).unwrap().id);
            for other in specs().filter(|other| *other != spec && other.is_asymmetric()) {
                assert!(matches!(refusal(bring(other, &pkcs8)), HsmError::InvalidKeyMaterial(_)), "{spec} as {other}");
            }
            for wrong in wrong_lengths(&pkcs8) {
                assert!(matches!(refusal(bring(spec, &wrong)), HsmError::InvalidKeyMaterial(_)), "{spec}");
            }
        }
    }

    #[test]
    fn material_that_is_sealed_anew_is_the_same_material() {
        let hsm = hsm();
        let (old, new) = (account_key(&hsm, account()), account_key(&hsm, account()));
        let replica = KeyId::multi_region(key_id().uuid());
        let tampered = |result| matches!(refusal(result), HsmError::Tampered(_));
        for spec in QUICK {
            let made = hsm.generate_material(&old, replica, spec).unwrap();
            let reseal = |from, to, id, sealed: &[u8]| hsm.reseal_material(from, to, id, spec, made.id, sealed);
            let again = reseal(&old, &new, replica, &made.sealed).unwrap();
            assert_ne!(again, made.sealed, "{spec}");
            // The id is computed from what was opened.
            hsm.load_material(&new, replica, spec, made.id, &again).unwrap();
            let under_the_other_key = hsm.load_material(&old, replica, spec, made.id, &again);
            assert!(matches!(refusal(under_the_other_key), HsmError::Tampered(_)), "{spec}");
            assert!(tampered(reseal(&old, &new, key_id(), &made.sealed)), "the single-Region key of that name");
            for forged in wrong_lengths(&made.sealed) {
                assert!(tampered(reseal(&old, &new, replica, &forged)), "{}", hex::encode(&forged));
            }
            // Material never changes hands.
            let other = account_key(&hsm, other_account());
            assert!(matches!(refusal(reseal(&old, &other, replica, &made.sealed)), HsmError::WrongKey(_)));
        }
        let spec = KeySpec::SymmetricDefault;
        let made = hsm.generate_material(&old, replica, spec).unwrap();
        for forged in flips(&made.sealed) {
            assert!(tampered(hsm.reseal_material(&old, &new, replica, spec, made.id, &forged)), "{}", hex::encode(&forged));
        }
        hsm.state.fail("AES-256-GCM");
        let failed = HsmError::SelfTestFailed("AES-256-GCM".to_owned());
        assert_eq!(refusal(hsm.reseal_material(&old, &new, replica, spec, made.id, &made.sealed)), failed);
    }
}
