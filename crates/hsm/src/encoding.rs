//! The unambiguous byte form of identities: what is authenticated with everything that is sealed.

use uuid::Uuid;

/// Builds associated data: a label that says what is sealed, then fields of fixed size or with their length before them, so that two
/// different identities never have the same bytes. All numbers are big-endian.
pub(crate) struct AssociatedData(Vec<u8>);

impl AssociatedData {
    /// Begins with a label, which is different for each kind of thing.
    pub(crate) fn new(label: &'static str, deployment: Uuid) -> Self {
        let mut bytes = Vec::with_capacity(192);
        bytes.extend_from_slice(b"claviger");
        Self(bytes).text(label).fixed(deployment.as_bytes())
    }

    /// A text, with its length before it.
    pub(crate) fn text(self, text: &str) -> Self {
        self.number(text.len() as u64).fixed(text.as_bytes())
    }

    /// A number of 64 bits.
    pub(crate) fn number(self, number: u64) -> Self {
        self.fixed(&number.to_be_bytes())
    }

    /// A number that may be absent, which is not the same as zero.
    pub(crate) fn optional(self, number: Option<i64>) -> Self {
        match number {
            None => self.fixed(&[0]),
            Some(number) => self.fixed(&[1]).fixed(&number.to_be_bytes()),
        }
    }

    /// Bytes whose count follows from the label.
    pub(crate) fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes as standard base64 in serialized records.
pub(crate) mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)
    }
}
