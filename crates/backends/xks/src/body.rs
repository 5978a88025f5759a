//! The body of a ciphertext: everything that the proxy answered to encrypt, so that it can be given back to it. Version 1:
//!
//! | field | bytes | |
//! |---|---|---|
//! | version | 1 | `0x01` |
//! | length of the initialization vector | 1 | 12 or 16 |
//! | initialization vector | 12 or 16 | |
//! | authentication tag | 16 | |
//! | length of the metadata | 1 | 0 to 20 |
//! | metadata | 0 to 20 | the proxy's own |
//! | ciphertext | n | as long as the plaintext |

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::messages::Encrypted;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
const METADATA_BYTES_MAX: usize = 20;

/// What a proxy made of a plaintext.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) initialization_vector: Vec<u8>,
    pub(crate) authentication_tag: Vec<u8>,
    pub(crate) metadata: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

impl Body {
    /// What the proxy answered; none when it breaks the specification, or its integrity value is not that of the other fields: then nobody knows
    /// whether the ciphertext could ever be opened.
    pub(crate) fn of(answer: Encrypted, plaintext_bytes: usize, associated_data: &[u8]) -> Option<Self> {
        let decode = |text: &str| STANDARD.decode(text).ok();
        let body = Self {
            initialization_vector: decode(&answer.initialization_vector)?,
            authentication_tag: decode(&answer.authentication_tag)?,
            metadata: answer.ciphertext_metadata.as_deref().map_or(Some(Vec::new()), decode)?,
            ciphertext: decode(&answer.ciphertext)?,
        };
        let integrity = decode(&answer.ciphertext_data_integrity_value?)?;
        let matches = verify_slices_are_equal(&integrity, body.integrity_value(associated_data).as_ref()).is_ok();
        (matches && body.is_well_formed() && body.ciphertext.len() == plaintext_bytes).then_some(body)
    }

    fn is_well_formed(&self) -> bool {
        matches!(self.initialization_vector.len(), 12 | 16)
            && self.authentication_tag.len() == TAG_BYTES
            && self.metadata.len() <= METADATA_BYTES_MAX
            && !self.ciphertext.is_empty()
    }

    /// SHA-256 of associated data ‖ metadata ‖ initialization vector ‖ ciphertext ‖ tag. Source: the specification, appendix C.
    fn integrity_value(&self, associated_data: &[u8]) -> aws_lc_rs::digest::Digest {
        let mut context = Context::new(&SHA256);
        for part in [associated_data, &self.metadata, &self.initialization_vector, &self.ciphertext, &self.authentication_tag] {
            context.update(part);
        }
        context.finish()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        let mut encoded = Vec::with_capacity(64 + self.ciphertext.len());
        encoded.extend([VERSION, length(&self.initialization_vector)]);
        encoded.extend(&self.initialization_vector);
        encoded.extend(&self.authentication_tag);
        encoded.push(length(&self.metadata));
        encoded.extend(&self.metadata);
        encoded.extend(&self.ciphertext);
        encoded
    }

    /// The parts of a body; none if it is no body of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = bytes.split_first()? else { return None };
        let (&length, rest) = rest.split_first()?;
        let (initialization_vector, rest) = rest.split_at_checked(length.into())?;
        let (authentication_tag, rest) = rest.split_at_checked(TAG_BYTES)?;
        let (&length, rest) = rest.split_first()?;
        let (metadata, ciphertext) = rest.split_at_checked(length.into())?;
        let body = Self {
            initialization_vector: initialization_vector.to_vec(),
            authentication_tag: authentication_tag.to_vec(),
            metadata: metadata.to_vec(),
            ciphertext: ciphertext.to_vec(),
        };
        body.is_well_formed().then_some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, sections "Encrypt" and appendix C.
    fn example() -> Encrypted {
        Encrypted {
            authentication_tag: "vBxN2ncH1oEkR8WVXpmyYQ==".to_owned(),
            ciphertext: "ghxkK1txeDNn3q8Y".to_owned(),
            ciphertext_data_integrity_value: Some("qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc=".to_owned()),
            ciphertext_metadata: Some("a2V5X3ZlcnNpb249MQ==".to_owned()),
            initialization_vector: "HMrlRw85cAJUd5Ax".to_owned(),
        }
    }

    const DATA: &[u8] = b"project=nile,department=marketing";

    #[test]
    fn the_specifications_example_is_accepted_and_nothing_else() {
        let body = Body::of(example(), 12, DATA).unwrap();
        assert_eq!((body.metadata.as_slice(), body.ciphertext.len()), (b"key_version=1".as_slice(), 12));
        assert_eq!(Body::of(example(), 13, DATA), None, "another length");
        assert_eq!(Body::of(example(), 12, b"project=nile"), None, "other associated data");
        let broken: [fn(&mut Encrypted); 6] = [
            |answer| answer.ciphertext_data_integrity_value = None,
            |answer| answer.authentication_tag = "vBxN2ncH1oEkR8WVXpmyYg==".to_owned(),
            |answer| answer.ciphertext = "ghxkK1txeDNn3q8Z".to_owned(),
            |answer| answer.ciphertext_metadata = None,
            |answer| answer.initialization_vector = "HMrlRw85cAJUd5Ay".to_owned(),
            |answer| answer.initialization_vector = "not base64".to_owned(),
        ];
        for change in broken {
            let mut answer = example();
            change(&mut answer);
            assert_eq!(Body::of(answer, 12, DATA), None);
        }
    }

    #[test]
    fn what_was_encoded_is_decoded_and_nothing_else() {
        let body = Body::of(example(), 12, DATA).unwrap();
        let encoded = body.encode();
        assert_eq!(Body::decode(&encoded).as_ref(), Some(&body));
        for length in 0..encoded.len() - body.ciphertext.len() + 1 {
            assert_eq!(Body::decode(&encoded[..length]), None, "{length} bytes");
        }
        for (index, wrong) in [(0, 2), (1, 11), (1, 255), (30, 21)] {
            let mut forged = encoded.clone();
            forged[index] = wrong;
            assert_eq!(Body::decode(&forged), None, "byte {index}");
        }
    }
}
