//! The use of key pairs and of HMAC keys. As in `usage.rs`, each function takes the permit that authorisation made.

use claviger_domain::Permit;
use claviger_domain::key::{EncryptionAlgorithm, MacAlgorithm, MessageType, SigningAlgorithm};
use zeroize::Zeroizing;

use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::key_pair::{Encapsulated, Input};
use crate::mac;
use crate::material::Material;

impl Hsm {
    /// Signs (`kms:Sign`). How long a message may be is the caller's business.
    ///
    /// # Errors
    /// [`HsmError::WrongMessageType`] where the algorithm does not take such messages, [`HsmError::WrongDigestLength`] for a digest of another
    /// length than the algorithm's.
    pub fn sign(
        &self,
        permit: &Permit,
        material: &Material,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        self.demand(permit, "kms:Sign", material)?;
        material.pair()?.sign(algorithm, Input::new(algorithm, message_type, message)?)
    }

    /// Verifies a signature (`kms:Verify`).
    ///
    /// # Errors
    /// [`HsmError::InvalidSignature`], and those of [`Self::sign`].
    pub fn verify(
        &self,
        permit: &Permit,
        material: &Material,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), HsmError> {
        self.demand(permit, "kms:Verify", material)?;
        material.pair()?.verify(algorithm, Input::new(algorithm, message_type, message)?, signature)
    }

    /// The code of a message (`kms:GenerateMac`).
    pub fn generate_mac(
        &self,
        permit: &Permit,
        material: &Material,
        algorithm: MacAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        self.demand(permit, "kms:GenerateMac", material)?;
        let secret = mac_key(material, algorithm)?;
        Ok(secret.expose(|key| mac::sign(algorithm, key, message)))
    }

    /// Verifies a code in constant time (`kms:VerifyMac`). [`HsmError::InvalidMac`] for any other than the right one, its beginnings included.
    pub fn verify_mac(
        &self,
        permit: &Permit,
        material: &Material,
        algorithm: MacAlgorithm,
        message: &[u8],
        code: &[u8],
    ) -> Result<(), HsmError> {
        self.demand(permit, "kms:VerifyMac", material)?;
        let secret = mac_key(material, algorithm)?;
        secret.expose(|key| mac::verify(algorithm, key, message, code))
    }

    /// The secret shared with the holder of another key pair on the same curve: the x coordinate of the shared point, as long as the field
    /// (`kms:DeriveSharedSecret`).
    ///
    /// # Errors
    /// [`HsmError::InvalidPublicKey`] unless the peer's public key is a valid SubjectPublicKeyInfo in DER on that curve.
    pub fn derive_shared_secret(
        &self,
        permit: &Permit,
        material: &Material,
        peer_spki: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.demand(permit, "kms:DeriveSharedSecret", material)?;
        material.pair()?.agree(peer_spki)
    }

    /// A new secret for the holder of the private key (`kms:Encapsulate`).
    pub fn encapsulate(&self, permit: &Permit, material: &Material) -> Result<Encapsulated, HsmError> {
        self.demand(permit, "kms:Encapsulate", material)?;
        material.pair()?.encapsulate()
    }

    /// The secret in a ciphertext of [`Self::encapsulate`] (`kms:Decapsulate`). A ciphertext that was not made for this key gives another secret,
    /// as FIPS 203 has it.
    ///
    /// # Errors
    /// [`HsmError::InvalidCiphertext`] for one of another length.
    pub fn decapsulate(&self, permit: &Permit, material: &Material, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.demand(permit, "kms:Decapsulate", material)?;
        material.pair()?.decapsulate(ciphertext)
    }

    /// Encrypts under the public half of a key pair (`kms:Encrypt`).
    ///
    /// # Errors
    /// [`HsmError::PlaintextTooLong`] for more than the algorithm takes under such a key.
    pub fn encrypt_to(
        &self,
        permit: &Permit,
        material: &Material,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        self.demand(permit, "kms:Encrypt", material)?;
        material.pair()?.encrypt(algorithm, plaintext)
    }

    /// Decrypts with the private half of a key pair (`kms:Decrypt`). Any failure is [`HsmError::InvalidCiphertext`].
    pub fn decrypt_from(
        &self,
        permit: &Permit,
        material: &Material,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.demand(permit, "kms:Decrypt", material)?;
        material.pair()?.decrypt(algorithm, ciphertext)
    }
}

/// The material, if it is for this algorithm.
fn mac_key(material: &Material, algorithm: MacAlgorithm) -> Result<&crate::memory::LongSecret, HsmError> {
    if material.spec().mac_algorithm() != Some(algorithm) {
        return Err(HsmError::WrongKey(format!("material of key spec {} was used with {algorithm}", material.spec())));
    }
    material.mac()
}

#[cfg(test)]
mod tests;
