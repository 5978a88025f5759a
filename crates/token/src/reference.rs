//! What finds a key of a token again, and tells it from another one that was put into its place.

use crate::wire::codec::{Malformed, Reader, Wire, Writer, enumerations};
use crate::wire::{Form, KeyKind, Purpose};

/// The version of the bytes of a reference. They are kept in records: an old version is read for ever.
const VERSION: u8 = 1;

/// A key in a token. Whoever keeps the reference keeps its bytes, and treats them as opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `CKA_ID`.
    pub id: Vec<u8>,
    /// `CKA_LABEL`, for people; a key is found by its id where it has one.
    pub label: String,
    /// What the key is.
    pub kind: KeyKind,
    /// What it is for.
    pub purpose: Purpose,
    /// How it encrypts; meaningless for keys that do not.
    pub form: Form,
    /// What only this key can do.
    pub check: Check,
}

enumerations! {
    /// What only the right key can do. Looked at whenever the key is looked up.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Check {
        /// Decrypts this ciphertext to the challenge.
        Ciphertext = 1 { ciphertext: Vec<u8> },
        /// Makes this MAC of the challenge.
        Mac = 2 { mac: Vec<u8> },
        /// Does what fits to this public key (SubjectPublicKeyInfo): a signature that it verifies, or the same shared secret.
        PublicKey = 3 { spki: Vec<u8> },
        /// A wrapping key: what it unwraps is checked instead.
        Wrapped = 4,
    }
}

impl Reference {
    /// The bytes to keep.
    pub fn to_bytes(&self) -> Vec<u8> {
        Wire::to_bytes(self).to_vec()
    }

    /// Reads what [`Reference::to_bytes`] wrote.
    ///
    /// # Errors
    /// These bytes are no reference, or one of a newer version.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        Wire::parse(bytes)
    }
}

impl Wire for Reference {
    fn write(&self, out: &mut Writer) {
        VERSION.write(out);
        self.id.write(out);
        self.label.write(out);
        self.kind.write(out);
        self.purpose.write(out);
        self.form.write(out);
        self.check.write(out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        if u8::read(input)? != VERSION {
            return Err(Malformed);
        }
        Ok(Self {
            id: Wire::read(input)?,
            label: Wire::read(input)?,
            kind: Wire::read(input)?,
            purpose: Wire::read(input)?,
            form: Wire::read(input)?,
            check: Wire::read(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_of_version_1_is_read_for_ever() {
        let reference = Reference {
            id: vec![0xab; 3],
            label: "k".into(),
            kind: KeyKind::Rsa { bits: 2048 },
            purpose: Purpose::Sign,
            form: Form::Direct,
            check: Check::PublicKey { spki: vec![0x30, 0] },
        };
        let kept: &[u8] = &[1, 0, 0, 0, 3, 0xab, 0xab, 0xab, 0, 0, 0, 1, b'k', 2, 0, 0, 8, 0, 2, 1, 3, 0, 0, 0, 2, 0x30, 0];
        assert_eq!(reference.to_bytes(), kept);
        assert_eq!(Reference::parse(kept), Ok(reference));
        let mut newer = kept.to_vec();
        newer[0] = 2;
        assert_eq!(Reference::parse(&newer), Err(Malformed));
    }
}
