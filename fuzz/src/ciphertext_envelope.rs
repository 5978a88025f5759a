//! Reads a ciphertext's envelope.

use claviger_hsm::Envelope;

/// Whether the input has the form of an envelope.
pub fn run(data: &[u8]) -> bool {
    let Some(envelope) = Envelope::parse(data) else {
        assert!(data.len() < Envelope::OVERHEAD || data.first() != Some(&1), "an envelope was refused");
        return false;
    };
    assert_eq!(data.len(), Envelope::OVERHEAD + envelope.plaintext_bytes());
    assert_eq!(data.first(), Some(&1));
    assert_eq!(data.get(1..17), Some(envelope.key().as_bytes().as_slice()));
    assert_eq!(data.get(17..33), Some(envelope.material().as_slice()));
    // What is cut off within the fixed fields is no envelope.
    assert!(data.get(..Envelope::OVERHEAD - 1).is_none_or(|cut| Envelope::parse(cut).is_none()));
    true
}
