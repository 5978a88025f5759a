//! Reads an attestation document and verifies it, down to the last certificate and the signature.

use claviger_domain::Timestamp;
use claviger_hsm::{Attestation, AttestationError, AttestationRoot, Platform};

/// 22 November 2026: when the documents among the seeds are valid.
const NOW: Timestamp = Timestamp(1_795_344_813_000);

/// Whether the document is genuine for somebody who trusts its own root. The input is the length of a root certificate (2 bytes, big-endian), that
/// certificate, and the document.
pub fn run(data: &[u8]) -> bool {
    let Some((root, document)) = split(data) else { return false };
    let trusted = AttestationRoot::from_der(root);
    // Without a root nobody is believed, whatever else is true.
    let unbelieved = Attestation::verify(document, &[], NOW).err();
    assert!(matches!(unbelieved, Some(AttestationError::Malformed(_) | AttestationError::UnknownRoot)));
    let Ok(trusted) = trusted else { return false };
    let Ok(attestation) = Attestation::verify(document, &[trusted], NOW) else { return false };
    assert!((1..=256).contains(&attestation.module_id().len()));
    assert!((1..=32).contains(&attestation.pcrs().len()) && attestation.pcrs().keys().all(|index| *index < 32));
    assert!(matches!(attestation.platform(), Platform::NitroEnclave | Platform::NitroTpm));
    assert!(document.len() < 20_000);
    true
}

fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
