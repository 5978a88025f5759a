//! What a key can do, as DescribeKey and GetPublicKey list it.

use claviger_domain::key::{EncapsulationAlgorithm, KeyAgreementAlgorithm, KeySpec, KeyUsage};
use serde::Serialize;

/// The algorithms of a key: only the list that goes with its usage is there.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Algorithms {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    encryption_algorithms: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signing_algorithms: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_agreement_algorithms: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    encapsulation_algorithms: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mac_algorithms: Vec<&'static str>,
}

impl Algorithms {
    /// Those of a key of this spec for this usage.
    pub(crate) fn of(spec: KeySpec, usage: KeyUsage) -> Self {
        let mut lists = Self::default();
        match usage {
            KeyUsage::EncryptDecrypt => {
                lists.encryption_algorithms = spec.encryption_algorithms().iter().map(|name| name.as_str()).collect();
            }
            KeyUsage::SignVerify => {
                lists.signing_algorithms = spec.signing_algorithms().iter().map(|name| name.as_str()).collect();
            }
            KeyUsage::GenerateVerifyMac => lists.mac_algorithms = spec.mac_algorithm().iter().map(|name| name.as_str()).collect(),
            KeyUsage::KeyAgreement => lists.key_agreement_algorithms = vec![KeyAgreementAlgorithm::Ecdh.as_str()],
            KeyUsage::EncapsulateDecapsulate => lists.encapsulation_algorithms = vec![EncapsulationAlgorithm::MlKem.as_str()],
        }
        lists
    }
}
