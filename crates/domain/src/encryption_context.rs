//! The encryption context: pairs of texts that a ciphertext is bound to, and that policies and the audit log see in clear.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Pairs sorted by the bytes of their keys. An absent context and an empty one are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncryptionContext(BTreeMap<String, String>);

impl EncryptionContext {
    /// The most bytes that a context may have in its canonical form. Source: AWS KMS limits keys and values together to 8,192 bytes.
    pub const CANONICAL_BYTES_MAX: usize = 8192;

    /// The context with these pairs.
    pub fn new(pairs: BTreeMap<String, String>) -> Self {
        Self(pairs)
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The pairs in canonical order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value for a key, ignoring the key's case as IAM does for the names of condition keys.
    pub fn get_ignoring_case(&self, key: &str) -> Option<&str> {
        self.pairs().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    /// Whether two of its keys differ in case alone, so that conditions, which ignore the case, could not tell them apart.
    pub fn has_twins(&self) -> bool {
        let mut keys = std::collections::BTreeSet::new();
        !self.pairs().all(|(key, _)| keys.insert(key.to_ascii_lowercase()))
    }

    /// Appends the unambiguous form that is authenticated with a ciphertext (design/crypto.md): a big-endian u16 count of pairs, then
    /// for each pair, sorted by key bytes, key and value as a big-endian u32 length and the UTF-8 bytes. An empty context appends
    /// a count of zero. The count saturates; contexts of more than 65,535 pairs exceed [`Self::CANONICAL_BYTES_MAX`] anyway.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        let count = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for text in self.0.iter().flat_map(|(key, value)| [key, value]) {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        EncryptionContext::new(pairs).write_canonical(&mut out);
        out
    }

    #[test]
    fn canonical_form_is_golden() {
        assert_eq!(canonical(&[]), [0, 0]);
        assert_eq!(
            canonical(&[("b", "2"), ("a", "é")]),
            [0, 2, 0, 0, 0, 1, b'a', 0, 0, 0, 2, 0xc3, 0xa9, 0, 0, 0, 1, b'b', 0, 0, 0, 1, b'2']
        );
    }

    proptest! {
        #[test]
        fn different_contexts_have_different_forms(
            one in proptest::collection::btree_map(".{0,3}", ".{0,3}", 0..4),
            other in proptest::collection::btree_map(".{0,3}", ".{0,3}", 0..4),
        ) {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            EncryptionContext::new(one.clone()).write_canonical(&mut a);
            EncryptionContext::new(other.clone()).write_canonical(&mut b);
            prop_assert_eq!(one == other, a == b);
        }
    }
}
