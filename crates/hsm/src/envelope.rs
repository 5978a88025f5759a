//! The ciphertext envelope: what clients get from Encrypt and give to Decrypt. Version 1, big-endian:
//!
//! | field | bytes | |
//! |---|---|---|
//! | format | 1 | `0x01` |
//! | key id | 16 | the key's UUID |
//! | material id | 16 | the first 16 bytes of the material's id |
//! | nonce | 24 | random |
//! | commitment | 32 | |
//! | ciphertext | n | KC-XAES-256-GCM |
//! | tag | 16 | |
//!
//! Associated data = format ‖ key id ‖ material id ‖ the canonical encryption context.

use claviger_domain::{EncryptionContext, KeyId, MaterialId};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::HsmError;
use crate::material::Material;
use crate::xaes::{self, Message};

const FORMAT: u8 = 1;

/// What envelopes of every format begin with: format, key id, material id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head([u8; Head::BYTES]);

impl Head {
    pub(crate) const BYTES: usize = 1 + 16 + 16;

    pub(crate) fn new(format: u8, key: KeyId, material: MaterialId) -> Self {
        let mut bytes = [format; Self::BYTES];
        let (uuid, id) = bytes.split_at_mut(1).1.split_at_mut(16);
        uuid.copy_from_slice(key.uuid().as_bytes());
        id.copy_from_slice(&material.short());
        Self(bytes)
    }

    /// The head of an envelope of this format, and what follows it.
    pub(crate) fn split(format: u8, bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = bytes.split_first_chunk::<{ Self::BYTES }>()?;
        (head.first() == Some(&format)).then_some((Self(*head), rest))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The UUID of the key, as claimed.
    pub(crate) fn key(&self) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(self.0.split_at(1).1.split_at(16).0);
        Uuid::from_bytes(bytes)
    }

    /// The first 16 bytes of the id of the material, as claimed.
    pub(crate) fn material(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(self.0.split_at(17).1);
        bytes
    }
}

/// A ciphertext's parts. What it says of key and material is a claim until it is opened.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    head: Head,
    message: Message<'a>,
}

impl<'a> Envelope<'a> {
    /// What a ciphertext is longer than its plaintext, in bytes.
    pub const OVERHEAD: usize = Head::BYTES + xaes::OVERHEAD;

    /// The parts of these bytes; none if they are no envelope of a version known here.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = Head::split(FORMAT, bytes)?;
        Some(Self { head, message: Message::parse(rest)? })
    }

    /// The UUID of the key that made it, as claimed.
    pub fn key(&self) -> Uuid {
        self.head.key()
    }

    /// The first 16 bytes of the id of the material that made it, as claimed.
    pub fn material(&self) -> [u8; 16] {
        self.head.material()
    }

    /// Bytes in the plaintext.
    pub fn plaintext_bytes(&self) -> usize {
        self.message.plaintext_bytes()
    }
}

/// Encrypts into a new envelope.
pub(crate) fn seal(material: &Material, context: &EncryptionContext, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
    let (head, key) = (head(material), material.symmetric()?);
    let mut out = Vec::with_capacity(Envelope::OVERHEAD + plaintext.len());
    out.extend_from_slice(head.as_bytes());
    with_associated_data(head.as_bytes(), context, |data| xaes::seal(key, data, plaintext, &mut out))?;
    Ok(out)
}

/// Decrypts. Whatever does not fit is [`HsmError::InvalidCiphertext`]; the head is compared only after everything else was computed, because
/// the associated data is made of what the material says of itself.
pub(crate) fn open(
    material: &Material,
    context: &EncryptionContext,
    envelope: &Envelope<'_>,
) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let (head, key) = (head(material), material.symmetric()?);
    let mut plaintext = Zeroizing::new(vec![0; envelope.plaintext_bytes()]);
    let opened = with_associated_data(head.as_bytes(), context, |data| xaes::open(key, data, envelope.message, &mut plaintext));
    if opened.is_err() || envelope.head != head {
        return Err(HsmError::InvalidCiphertext);
    }
    Ok(plaintext)
}

fn head(material: &Material) -> Head {
    Head::new(FORMAT, material.key_id(), material.id())
}

/// Calls with format ‖ key id ‖ material id ‖ canonical context, which needs no heap while the context is empty, as it mostly is.
fn with_associated_data<T>(head: &[u8; Head::BYTES], context: &EncryptionContext, call: impl FnOnce(&[u8]) -> T) -> T {
    if context.is_empty() {
        // The canonical form of no pairs is a count of zero.
        let mut data = [0; Head::BYTES + 2];
        data.split_at_mut(Head::BYTES).0.copy_from_slice(head);
        return call(&data);
    }
    let mut data = Vec::with_capacity(Head::BYTES + 256);
    data.extend_from_slice(head);
    context.write_canonical(&mut data);
    call(&data)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{account, account_key, flips, hsm, key_id, material, other_account, other_key_id, wrong_lengths};

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        EncryptionContext::new(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    /// Material 00 01 .. 1f of key 1234abcd-12ab-34cd-56ef-1234567890ab.
    fn golden_material() -> Material {
        Material::for_vectors(key_id(), std::array::from_fn(|index| u8::try_from(index).unwrap()))
    }

    /// Context, plaintext, envelope in hex.
    type Golden = (&'static [(&'static str, &'static str)], &'static str, &'static str);

    /// Envelopes of format 1, computed by an independent program. They must open for ever.
    const GOLDEN: [Golden; 3] = [
        (
            &[],
            "golden",
            "011234abcd12ab34cd56ef1234567890abb712a56d162da8da90eb860bef78290b4142434445464748494a4b4c4d4e4f5051525354555657587af51f84fbb7df3d\
             9926357a77d05afc5c5c7f1dc7bcc5da7c89e65460c0568fedd207eac498ec52dc3b6675acf57eb4c212c4970f9a",
        ),
        (
            &[("b", "2"), ("a", "é")],
            "golden with a context",
            "011234abcd12ab34cd56ef1234567890abb712a56d162da8da90eb860bef78290b4142434445464748494a4b4c4d4e4f5051525354555657587af51f84fbb7df3d\
             9926357a77d05afc5c5c7f1dc7bcc5da7c89e65460c0568fedd207eac498ed09b1d3f61ee4bd6fff68d8527ba2fbedc91dc05c7025330bfda895eed944",
        ),
        (
            &[],
            "",
            "011234abcd12ab34cd56ef1234567890abb712a56d162da8da90eb860bef78290b4142434445464748494a4b4c4d4e4f5051525354555657587af51f84fbb7df3d\
             9926357a77d05afc5c5c7f1dc7bcc5da7c89e65460c0568f18dffb290e0b01ea54915b4fb428ac62",
        ),
    ];

    #[test]
    fn golden_envelopes_open_and_are_made() {
        let material = golden_material();
        assert_eq!(material.id().to_string(), "b712a56d162da8da90eb860bef78290be819f520504fa186f3990f057297a0c7");
        for (pairs, plaintext, envelope) in GOLDEN {
            let (context, bytes) = (context(pairs), hex::decode(envelope).unwrap());
            let parsed = Envelope::parse(&bytes).unwrap();
            assert_eq!((parsed.key(), parsed.material()), (key_id().uuid(), material.id().short()));
            assert_eq!(bytes.len(), Envelope::OVERHEAD + parsed.plaintext_bytes());
            assert_eq!(*open(&material, &context, &parsed).unwrap(), plaintext.as_bytes());

            let head = head(&material);
            let mut made = head.as_bytes().to_vec();
            with_associated_data(head.as_bytes(), &context, |data| {
                xaes::seal_with_nonce(
                    material.symmetric().unwrap(),
                    b"ABCDEFGHIJKLMNOPQRSTUVWX",
                    data,
                    plaintext.as_bytes(),
                    &mut made,
                )
            })
            .unwrap();
            assert_eq!(hex::encode(made), envelope);
        }
    }

    #[test]
    fn what_was_changed_cut_or_extended_does_not_open() {
        let material = golden_material();
        let context = context(&[("tenant", "a")]);
        let sealed = seal(&material, &context, b"plaintext").unwrap();
        for forged in flips(&sealed).chain(wrong_lengths(&sealed)) {
            // Only the format and the length are looked at before the key is; everything else fails in the same place.
            let Some(envelope) = Envelope::parse(&forged) else {
                assert!(forged.len() < Envelope::OVERHEAD || forged[0] != FORMAT, "{}", hex::encode(&forged));
                continue;
            };
            assert_eq!(open(&material, &context, &envelope), Err(HsmError::InvalidCiphertext), "{}", hex::encode(&forged));
        }
    }

    #[test]
    fn only_its_own_material_opens_it() {
        let hsm = hsm();
        let (ours, theirs) = (account_key(&hsm, account()), account_key(&hsm, other_account()));
        let material_of = |key, id| material(&hsm, key, id);
        let original = material_of(&ours, key_id());
        let none = EncryptionContext::default();
        let sealed = seal(&original, &none, b"plaintext").unwrap();
        let envelope = Envelope::parse(&sealed).unwrap();
        assert_eq!(*open(&original, &none, &envelope).unwrap(), b"plaintext");
        for other in [material_of(&ours, key_id()), material_of(&ours, other_key_id()), material_of(&theirs, key_id())] {
            assert_eq!(open(&other, &none, &envelope), Err(HsmError::InvalidCiphertext));
        }
        // The same secret under another key's name is another key.
        let bytes = *golden_material().symmetric().unwrap();
        let (one, other) = (Material::for_vectors(key_id(), bytes), Material::for_vectors(other_key_id(), bytes));
        let sealed = seal(&one, &none, b"plaintext").unwrap();
        assert_eq!(open(&other, &none, &Envelope::parse(&sealed).unwrap()), Err(HsmError::InvalidCiphertext));
    }

    #[test]
    fn no_two_ciphertexts_are_alike() {
        let material = golden_material();
        let none = EncryptionContext::default();
        let (one, other) = (seal(&material, &none, b"same").unwrap(), seal(&material, &none, b"same").unwrap());
        assert_ne!(one[Head::BYTES..Head::BYTES + 24], other[Head::BYTES..Head::BYTES + 24]);
        assert_ne!(one[Head::BYTES + 24..], other[Head::BYTES + 24..]);
    }

    proptest! {
        #[test]
        fn a_ciphertext_opens_under_its_own_context_only(
            plaintext in proptest::collection::vec(any::<u8>(), 0..5000),
            one in proptest::collection::btree_map(".{0,3}", ".{0,3}", 0..4),
            other in proptest::collection::btree_map(".{0,3}", ".{0,3}", 0..4),
        ) {
            let material = golden_material();
            let sealed = seal(&material, &EncryptionContext::new(one.clone()), &plaintext).unwrap();
            prop_assert_eq!(sealed.len(), plaintext.len() + Envelope::OVERHEAD);
            let envelope = Envelope::parse(&sealed).unwrap();
            let open_under = |pairs: &BTreeMap<String, String>| open(&material, &EncryptionContext::new(pairs.clone()), &envelope);
            prop_assert_eq!(&*open_under(&one).unwrap(), &plaintext);
            prop_assert_eq!(open_under(&other).is_ok(), one == other);
        }

        #[test]
        fn no_bytes_crash_it(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(envelope) = Envelope::parse(&bytes) {
                prop_assert_eq!(
                    open(&golden_material(), &EncryptionContext::default(), &envelope),
                    Err(HsmError::InvalidCiphertext)
                );
            }
        }
    }
}
