//! What the hsm does for keys whose material is elsewhere, in a custom key store: it makes and reads the outer envelope, holds their public halves, and
//! makes the inner layer of those that are encrypted twice. The outer envelope, version 2, big-endian:
//!
//! | field | bytes | |
//! |---|---|---|
//! | format | 1 | `0x02` |
//! | key id | 16 | the key's UUID |
//! | material id | 16 | the first 16 bytes of the material's id |
//! | body | n | what the key store made, which only it can open |
//!
//! The key store binds the body to associated data = format ‖ key id ‖ material id ‖ the canonical encryption context.

use aws_lc_rs::digest::{Context, SHA256};
use claviger_domain::key::KeySpec;
use claviger_domain::{EncryptionContext, KeyId, MaterialId, Permit};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::envelope::{self, Envelope, Head};
use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::material::Material;

const FORMAT: u8 = 2;

/// A ciphertext of a key whose material is elsewhere. What it says of key and material is a claim until the key store has opened it.
#[derive(Clone, Copy)]
pub struct OuterEnvelope<'a> {
    head: Head,
    body: &'a [u8],
}

impl<'a> OuterEnvelope<'a> {
    /// What a ciphertext is longer than its body, in bytes.
    pub const OVERHEAD: usize = Head::BYTES;

    /// The parts of these bytes; none if they are no envelope of this version.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, body) = Head::split(FORMAT, bytes)?;
        (!body.is_empty()).then_some(Self { head, body })
    }

    /// A ciphertext with this body.
    pub fn build(key: KeyId, material: MaterialId, body: &[u8]) -> Vec<u8> {
        [Head::new(FORMAT, key, material).as_bytes().as_slice(), body].concat()
    }

    /// What the key store has to bind a body to.
    pub fn associated_data(key: KeyId, material: MaterialId, context: &EncryptionContext) -> Vec<u8> {
        let mut data = Vec::with_capacity(Head::BYTES + 256);
        data.extend_from_slice(Head::new(FORMAT, key, material).as_bytes());
        context.write_canonical(&mut data);
        data
    }

    /// The UUID of the key that made it, as claimed.
    pub fn key(&self) -> Uuid {
        self.head.key()
    }

    /// The first 16 bytes of the id of the material that made it, as claimed.
    pub fn material(&self) -> [u8; 16] {
        self.head.material()
    }

    /// What the key store made.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

impl Hsm {
    /// The id of material that is elsewhere: SHA-256("claviger material elsewhere 1" ‖ the key's UUID ‖ what the key store knows it by).
    pub fn id_of_material_elsewhere(&self, key: KeyId, reference: &[u8]) -> MaterialId {
        let mut context = Context::new(&SHA256);
        context.update(b"claviger material elsewhere 1");
        context.update(key.uuid().as_bytes());
        context.update(reference);
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        MaterialId::new(id)
    }

    /// The public half of a key pair whose private half is elsewhere: SubjectPublicKeyInfo in DER. It verifies and encrypts.
    ///
    /// # Errors
    /// [`HsmError::InvalidPublicKey`] when it is not one of this spec.
    pub fn load_public_half(&self, key: KeyId, spec: KeySpec, material: MaterialId, spki: &[u8]) -> Result<Material, HsmError> {
        self.state.check()?;
        Material::public_half(key, spec, material, spki)
    }

    /// The inner layer of a ciphertext of a key that is encrypted twice, before the key store makes the outer one.
    pub fn encrypt_inner(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        self.demand_one_of(permit, &Permit::ENCRYPTING, material.key_id())?;
        envelope::seal(material, context, plaintext)
    }

    /// Opens the inner layer, after the key store has opened the outer one.
    ///
    /// # Errors
    /// [`HsmError::InvalidCiphertext`] for whatever does not open.
    pub fn decrypt_inner(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        inner: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.demand_one_of(permit, &Permit::DECRYPTING, material.key_id())?;
        envelope::open(material, context, &Envelope::parse(inner).ok_or(HsmError::InvalidCiphertext)?)
    }

    /// A random data key for a key whose material is elsewhere, to be encrypted there.
    pub fn new_data_key(&self, permit: &Permit, key: KeyId, length: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.demand_one_of(permit, &["kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext"], key)?;
        crate::usage::random(length)
    }

    fn demand_one_of(&self, permit: &Permit, actions: &[&str], key: KeyId) -> Result<(), HsmError> {
        self.state.check()?;
        if permit.allows_one_of(actions, key) { Ok(()) } else { Err(HsmError::PermitMismatch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{account, account_key, flips, hsm, key_id, material, other_key_id, permit, refusal};

    #[test]
    fn an_outer_envelope_says_what_it_was_made_of() {
        let id = hsm().id_of_material_elsewhere(key_id(), b"reference");
        let bytes = OuterEnvelope::build(key_id(), id, b"body");
        let envelope = OuterEnvelope::parse(&bytes).unwrap();
        assert_eq!((envelope.key(), envelope.material(), envelope.body()), (key_id().uuid(), id.short(), b"body".as_slice()));
        assert_eq!(bytes.len(), OuterEnvelope::OVERHEAD + 4);
        assert!(Envelope::parse(&bytes).is_none(), "nobody takes one for an envelope of the hsm's own");
        for length in 0..=OuterEnvelope::OVERHEAD {
            assert!(OuterEnvelope::parse(&bytes[..length]).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn ids_depend_on_key_and_reference() {
        let hsm = hsm();
        let id = hsm.id_of_material_elsewhere(key_id(), b"one");
        assert_eq!(id, hsm.id_of_material_elsewhere(key_id(), b"one"));
        assert_ne!(id, hsm.id_of_material_elsewhere(key_id(), b"other"));
        assert_ne!(id, hsm.id_of_material_elsewhere(other_key_id(), b"one"));
    }

    #[test]
    fn associated_data_depends_on_key_material_and_context() {
        let hsm = hsm();
        let id = hsm.id_of_material_elsewhere(key_id(), b"one");
        let none = EncryptionContext::default();
        let some = EncryptionContext::new([("a".to_owned(), "b".to_owned())].into_iter().collect());
        let data = OuterEnvelope::associated_data(key_id(), id, &none);
        assert_ne!(data, OuterEnvelope::associated_data(key_id(), id, &some));
        assert_ne!(data, OuterEnvelope::associated_data(other_key_id(), id, &none));
        assert_ne!(data, OuterEnvelope::associated_data(key_id(), hsm.id_of_material_elsewhere(key_id(), b"two"), &none));
    }

    #[test]
    fn the_inner_layer_opens_with_its_key_context_and_permit_only() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let (one, other) = (material(&hsm, &key, key_id()), material(&hsm, &key, other_key_id()));
        let none = EncryptionContext::default();
        for action in Permit::ENCRYPTING {
            let inner = hsm.encrypt_inner(&permit(action, key_id()), &one, &none, b"hello").unwrap();
            for action in Permit::DECRYPTING {
                assert_eq!(*hsm.decrypt_inner(&permit(action, key_id()), &one, &none, &inner).unwrap(), b"hello");
            }
            let decrypt = permit("kms:Decrypt", key_id());
            assert_eq!(refusal(hsm.decrypt_inner(&decrypt, &other, &none, &inner)), HsmError::PermitMismatch);
            assert_eq!(refusal(hsm.decrypt_inner(&permit(action, key_id()), &one, &none, &inner)), HsmError::PermitMismatch);
            let elsewhere = permit("kms:Decrypt", other_key_id());
            assert_eq!(refusal(hsm.decrypt_inner(&elsewhere, &other, &none, &inner)), HsmError::InvalidCiphertext);
            for forged in flips(&inner) {
                assert_eq!(refusal(hsm.decrypt_inner(&decrypt, &one, &none, &forged)), HsmError::InvalidCiphertext);
            }
        }
        let decrypt = permit("kms:Decrypt", key_id());
        assert_eq!(refusal(hsm.encrypt_inner(&decrypt, &one, &none, b"hello")), HsmError::PermitMismatch);
    }

    #[test]
    fn a_public_half_does_what_is_public_only() {
        use claviger_domain::key::{EncryptionAlgorithm, MessageType, SigningAlgorithm};
        let hsm = hsm();
        let key = account_key(&hsm, account());
        for (spec, algorithm) in [
            (KeySpec::Rsa2048, SigningAlgorithm::RsassaPssSha256),
            (KeySpec::EccNistP256, SigningAlgorithm::EcdsaSha256),
            (KeySpec::EccNistP384, SigningAlgorithm::EcdsaSha384),
            (KeySpec::EccNistP521, SigningAlgorithm::EcdsaSha512),
        ] {
            let made = hsm.generate_material(&key, key_id(), spec).unwrap();
            let pair = hsm.load_material(&key, key_id(), spec, made.id, &made.sealed).unwrap();
            let public = hsm.load_public_half(key_id(), spec, made.id, &made.public_key).unwrap();
            let (sign, verify) = (permit("kms:Sign", key_id()), permit("kms:Verify", key_id()));
            let signature = hsm.sign(&sign, &pair, algorithm, MessageType::Raw, b"hello").unwrap();
            hsm.verify(&verify, &public, algorithm, MessageType::Raw, b"hello", &signature).unwrap();
            let other = hsm.verify(&verify, &public, algorithm, MessageType::Raw, b"hallo", &signature);
            assert_eq!(refusal(other), HsmError::InvalidSignature);
            let signed = hsm.sign(&sign, &public, algorithm, MessageType::Raw, b"hello");
            assert!(matches!(refusal(signed), HsmError::WrongKey(_)), "{spec}");
            if spec == KeySpec::Rsa2048 {
                let algorithm = EncryptionAlgorithm::RsaesOaepSha256;
                let ciphertext = hsm.encrypt_to(&permit("kms:Encrypt", key_id()), &public, algorithm, b"hello").unwrap();
                let opened = hsm.decrypt_from(&permit("kms:Decrypt", key_id()), &pair, algorithm, &ciphertext).unwrap();
                assert_eq!(*opened, b"hello");
            }
            let cut = &made.public_key[..made.public_key.len() - 1];
            assert_eq!(refusal(hsm.load_public_half(key_id(), spec, made.id, cut)), HsmError::InvalidPublicKey);
        }
        let made = hsm.generate_material(&key, key_id(), KeySpec::EccNistP256).unwrap();
        let wrong = hsm.load_public_half(key_id(), KeySpec::EccNistP384, made.id, &made.public_key);
        assert_eq!(refusal(wrong), HsmError::InvalidPublicKey);
        let symmetric = hsm.load_public_half(key_id(), KeySpec::SymmetricDefault, made.id, &made.public_key);
        assert_eq!(refusal(symmetric), HsmError::InvalidPublicKey);
    }
}
