//! Data key pairs: made here, used elsewhere.

use claviger_domain::key::DataKeyPairSpec;
use claviger_domain::{EncryptionContext, Permit};
use zeroize::Zeroizing;

use crate::envelope;
use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::material::Material;

/// A key pair for use outside, its private half in plaintext and encrypted.
pub struct DataKeyPair {
    /// The private half: PKCS#8 (RFC 5958) in DER.
    pub private_key: Zeroizing<Vec<u8>>,
    /// The public half: SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
    pub public_key: Vec<u8>,
    /// The private half in a ciphertext envelope.
    pub sealed_private_key: Vec<u8>,
}

/// A key pair for use outside, its private half encrypted only.
pub struct SealedDataKeyPair {
    /// The public half: SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
    pub public_key: Vec<u8>,
    /// The private half (PKCS#8 in DER) in a ciphertext envelope.
    pub sealed_private_key: Vec<u8>,
}

impl DataKeyPair {
    /// The private half in plaintext, and the rest.
    pub fn into_parts(self) -> (Zeroizing<Vec<u8>>, SealedDataKeyPair) {
        let Self { private_key, public_key, sealed_private_key } = self;
        (private_key, SealedDataKeyPair { public_key, sealed_private_key })
    }
}

impl Hsm {
    /// A new key pair, its private half in plaintext and encrypted under symmetric material (`kms:GenerateDataKeyPair`). For RSA this takes up
    /// to seconds.
    pub fn generate_data_key_pair(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        spec: DataKeyPairSpec,
    ) -> Result<DataKeyPair, HsmError> {
        self.demand(permit, "kms:GenerateDataKeyPair", material)?;
        self.data_key_pair(material, context, spec)
    }

    /// A new key pair, its private half encrypted only (`kms:GenerateDataKeyPairWithoutPlaintext`).
    pub fn generate_data_key_pair_without_plaintext(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        spec: DataKeyPairSpec,
    ) -> Result<SealedDataKeyPair, HsmError> {
        self.demand(permit, "kms:GenerateDataKeyPairWithoutPlaintext", material)?;
        Ok(self.data_key_pair(material, context, spec)?.into_parts().1)
    }

    fn data_key_pair(
        &self,
        material: &Material,
        context: &EncryptionContext,
        spec: DataKeyPairSpec,
    ) -> Result<DataKeyPair, HsmError> {
        // Before the work of making a pair: whether the material can encrypt it.
        material.symmetric()?;
        let pair = self.generate_pair(spec.key_spec())?;
        let (private_key, public_key) = (pair.pkcs8()?, pair.spki()?);
        let sealed_private_key = envelope::seal(material, context, &private_key)?;
        Ok(DataKeyPair { private_key, public_key, sealed_private_key })
    }
}
