//! The use of keys. Each function takes the permit that authorisation made, and refuses one that is for another key or another action.

use claviger_domain::{EncryptionContext, Permit};
use zeroize::Zeroizing;

use crate::envelope::{self, Envelope};
use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::material::Material;

impl Hsm {
    /// Encrypts (`kms:Encrypt`). How long a plaintext may be is the caller's business.
    pub fn encrypt(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        self.demand(permit, "kms:Encrypt", material)?;
        envelope::seal(material, context, plaintext)
    }

    /// Decrypts (`kms:Decrypt`). Any failure is [`HsmError::InvalidCiphertext`] and takes as long as any other.
    pub fn decrypt(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        envelope: &Envelope<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.demand(permit, "kms:Decrypt", material)?;
        envelope::open(material, context, envelope)
    }

    /// Decrypts under one key (`kms:ReEncryptFrom`) and encrypts under another, or the same (`kms:ReEncryptTo`). The plaintext stays inside.
    #[expect(clippy::too_many_arguments, reason = "two keys, each with its permit and context")]
    pub fn re_encrypt(
        &self,
        from: &Permit,
        source: &Material,
        source_context: &EncryptionContext,
        envelope: &Envelope<'_>,
        to: &Permit,
        destination: &Material,
        destination_context: &EncryptionContext,
    ) -> Result<Vec<u8>, HsmError> {
        self.demand(from, "kms:ReEncryptFrom", source)?;
        self.demand(to, "kms:ReEncryptTo", destination)?;
        let plaintext = envelope::open(source, source_context, envelope)?;
        envelope::seal(destination, destination_context, &plaintext)
    }

    /// A random data key, in plaintext and encrypted (`kms:GenerateDataKey`).
    pub fn generate_data_key(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        length: usize,
    ) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), HsmError> {
        self.demand(permit, "kms:GenerateDataKey", material)?;
        let plaintext = random(length)?;
        let ciphertext = envelope::seal(material, context, &plaintext)?;
        Ok((plaintext, ciphertext))
    }

    /// A random data key, encrypted only (`kms:GenerateDataKeyWithoutPlaintext`).
    pub fn generate_data_key_without_plaintext(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        length: usize,
    ) -> Result<Vec<u8>, HsmError> {
        self.demand(permit, "kms:GenerateDataKeyWithoutPlaintext", material)?;
        envelope::seal(material, context, &random(length)?)
    }

    /// Random bytes (`kms:GenerateRandom`).
    pub fn generate_random(&self, permit: &Permit, length: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.state.check()?;
        if permit.action() != "kms:GenerateRandom" {
            return Err(HsmError::PermitMismatch);
        }
        random(length)
    }

    /// Fills with random bytes that may be public: for ids. The same generator as for keys.
    pub fn fill_public(&self, out: &mut [u8]) -> Result<(), HsmError> {
        self.state.check()?;
        fill(out)
    }

    fn demand(&self, permit: &Permit, action: &str, material: &Material) -> Result<(), HsmError> {
        self.state.check()?;
        if permit.action() == action && permit.covers(material.key_id()) { Ok(()) } else { Err(HsmError::PermitMismatch) }
    }
}

fn random(length: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(out: &mut [u8]) -> Result<(), HsmError> {
    aws_lc_rs::rand::fill(out).map_err(|_| HsmError::Primitive("the random generator"))
}
