//! Whom a plaintext is for: the caller, or an enclave that proves with an attestation document what it runs. Source: AWS KMS Developer Guide,
//! "Cryptographic attestation support in AWS KMS", "Condition keys for Nitro Enclaves", "Condition keys for NitroTPM", "Monitoring attested
//! requests".

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_domain::policy::Values;
use claviger_domain::{Caller, Refusal};
use claviger_hsm::{Attestation, Platform};
use zeroize::Zeroizing;

use crate::conditions::owned;
use crate::service::Service;

/// A request for an answer that only an enclave can read.
pub struct Recipient {
    /// Its attestation document, at most 262,144 bytes.
    pub document: Vec<u8>,
}

/// What an operation answers where it answers a plaintext.
pub enum Released {
    /// The plaintext, for the caller.
    Plaintext(Zeroizing<Vec<u8>>),
    /// CMS EnvelopedData, which only the recipient can open.
    ForRecipient(Vec<u8>),
}

impl Released {
    /// The plaintext, where it is for the caller.
    pub fn plaintext(&self) -> Option<&[u8]> {
        match self {
            Self::Plaintext(plaintext) => Some(plaintext),
            Self::ForRecipient(_) => None,
        }
    }
}

/// What an operation is about, and the recipient of its plaintext.
pub struct Attested<T> {
    pub(crate) subject: T,
    /// None when the plaintext is for the caller.
    pub(crate) recipient: Option<Arc<Attestation>>,
}

impl Service {
    /// The recipient that a request names; none when it names none. A document that is not believed ends the request: the plaintext never
    /// goes to the caller instead.
    pub(crate) fn attest(&self, recipient: Option<&Recipient>, caller: &Caller) -> Result<Option<Arc<Attestation>>, Refusal> {
        let Some(recipient) = recipient else { return Ok(None) };
        if self.attestation_roots.is_empty() {
            return Err(Refusal::unsupported(
                "Recipient (attestation documents) is not offered by this deployment: its operator has configured no root certificate \
                 that documents could go back to.",
            ));
        }
        let attestation = Attestation::verify(&recipient.document, &self.attestation_roots, caller.request.at)?;
        Ok(Some(Arc::new(attestation)))
    }
}

/// The condition keys of attested requests. Their values are hexadecimal digits in lower case.
pub(crate) const CONDITION_PREFIX: &str = "kms:recipientattestation:";

/// The value of the condition key whose name (in lower case) has this after its prefix.
pub(crate) fn condition(attestation: &Attestation, name: &str) -> Values<'static> {
    let digits = match attestation.platform() {
        Platform::NitroEnclave if name == "imagesha384" => Some("0"),
        Platform::NitroEnclave => name.strip_prefix("pcr"),
        Platform::NitroTpm => name.strip_prefix("nitrotpmpcr"),
    };
    let found = attestation.pcrs().iter().find(|(index, _)| digits == Some(index.to_string().as_str()));
    found.map_or(Values::Absent, |(_, value)| owned(hex::encode(value)))
}

/// What the audit entry tells of a recipient: the members that CloudTrail has.
pub(crate) fn evidence(attestation: &Attestation) -> BTreeMap<String, String> {
    let (registers, prefix): (&[u8], _) = match attestation.platform() {
        Platform::NitroEnclave => (&[0, 1, 2, 3, 4, 8], "attestationDocumentEnclave"),
        Platform::NitroTpm => (&[4, 7, 8, 9, 16, 23], "attestationDocumentNitroTPM"),
    };
    let mut members = BTreeMap::from([("attestationDocumentModuleId".to_owned(), attestation.module_id().to_owned())]);
    for (index, value) in attestation.pcrs().iter().filter(|(index, _)| registers.contains(index)) {
        let name = match (attestation.platform(), index) {
            (Platform::NitroEnclave, 0) => format!("{prefix}ImageDigest"),
            _ => format!("{prefix}PCR{index}"),
        };
        members.insert(name, hex::encode(value));
    }
    members
}
