//! Attestation documents as the Nitro hypervisor makes them, under a root of the tests' own, and the reader of what is answered to them. Shared by
//! the tests of several crates; uses public interfaces only.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
    date_time_ymd,
};

/// 22 November 2026: within the validity of every certificate here.
pub const NOW_MS: i64 = 1_795_344_813_000;

/// A certificate with its key.
pub struct Certified {
    pub params: CertificateParams,
    pub key: KeyPair,
    pub der: Vec<u8>,
}

/// An authority's certificate, before anybody signs it.
pub fn authority(name: &str, path_length: u8) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// A signer's certificate, likewise.
pub fn signer(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
    params
}

/// A critical extension that nobody knows.
pub fn strange_extension() -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(true);
    extension
}

pub fn self_signed(params: CertificateParams) -> Certified {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    Certified { params, key, der }
}

impl Certified {
    pub fn signs(&self, params: CertificateParams) -> Certified {
        self.signs_for(params, KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap())
    }

    pub fn signs_for(&self, params: CertificateParams, key: KeyPair) -> Certified {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Certified { params, key, der }
    }

    /// Signs as COSE does: r ‖ s.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &self.key.serialize_der()).unwrap();
        key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

/// Root, one authority, and a signer: the Nitro attestation PKI with fewer floors.
pub struct Pki {
    pub root: Certified,
    pub middle: Certified,
    pub leaf: Certified,
}

impl Pki {
    pub fn new() -> Self {
        let root = self_signed(authority("tests.nitro-enclaves", 2));
        let middle = root.signs(authority("zone.tests.nitro-enclaves", 0));
        let leaf = middle.signs(signer("i-1234567890abcdef0.tests"));
        Self { root, middle, leaf }
    }

    /// The document of an enclave with this public key.
    pub fn enclave(&self, public_key: &[u8]) -> Document {
        Document {
            module_id: "i-1234567890abcdef0-enc1234567890abcdef".to_owned(),
            digest: "SHA384".to_owned(),
            timestamp: 1_795_344_800_000,
            platform: "pcrs",
            pcrs: vec![(0, vec![0xa0; 48]), (1, vec![0xa1; 48]), (3, vec![0xa3; 48]), (31, vec![0; 48])],
            certificate: self.leaf.der.clone(),
            cabundle: vec![self.root.der.clone(), self.middle.der.clone()],
            public_key: Some(public_key.to_vec()),
            user_data: None,
            nonce: None,
        }
    }

    /// Signed as it should be.
    pub fn attest(&self, document: &Document) -> Vec<u8> {
        sign(&document.payload(), &self.leaf)
    }
}

/// What a document says.
#[derive(Clone)]
pub struct Document {
    pub module_id: String,
    pub digest: String,
    pub timestamp: u64,
    /// The name of the registers' member.
    pub platform: &'static str,
    pub pcrs: Vec<(u64, Vec<u8>)>,
    pub certificate: Vec<u8>,
    pub cabundle: Vec<Vec<u8>>,
    pub public_key: Option<Vec<u8>>,
    pub user_data: Option<Vec<u8>>,
    pub nonce: Option<Vec<u8>>,
}

impl Document {
    /// The members in the order in which the hypervisor writes them, each encoded.
    pub fn members(&self) -> Vec<(&'static str, Vec<u8>)> {
        let pcrs = self.pcrs.iter().flat_map(|(index, value)| [head(0, *index), bytes(value)].concat());
        let cabundle = self.cabundle.iter().flat_map(|certificate| bytes(certificate));
        let optional = |value: &Option<Vec<u8>>| value.as_deref().map_or(vec![0xf6], bytes);
        vec![
            ("module_id", text(&self.module_id)),
            ("digest", text(&self.digest)),
            ("timestamp", head(0, self.timestamp)),
            (self.platform, head(5, self.pcrs.len() as u64).into_iter().chain(pcrs).collect()),
            ("certificate", bytes(&self.certificate)),
            ("cabundle", head(4, self.cabundle.len() as u64).into_iter().chain(cabundle).collect()),
            ("public_key", optional(&self.public_key)),
            ("user_data", optional(&self.user_data)),
            ("nonce", optional(&self.nonce)),
        ]
    }

    pub fn payload(&self) -> Vec<u8> {
        map(&self.members())
    }
}

/// A COSE_Sign1 message without its tag.
pub fn sign(payload: &[u8], signer: &Certified) -> Vec<u8> {
    const ES384: &[u8] = &[0xa1, 0x01, 0x38, 0x22];
    let signed = [head(4, 4), text("Signature1"), bytes(ES384), bytes(&[]), bytes(payload)].concat();
    [head(4, 4), bytes(ES384), head(5, 0), bytes(payload), bytes(&signer.sign(&signed))].concat()
}

/// A map of texts to what is encoded already.
pub fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs = members.iter().flat_map(|(name, value)| [text(name), value.clone()].concat());
    head(5, members.len() as u64).into_iter().chain(pairs).collect()
}

pub fn text(text: &str) -> Vec<u8> {
    [head(3, text.len() as u64), text.as_bytes().to_vec()].concat()
}

pub fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len() as u64), bytes.to_vec()].concat()
}

pub fn head(major: u8, argument: u64) -> Vec<u8> {
    let digits = argument.to_be_bytes();
    let (info, length) = match argument {
        0..=23 => return vec![major << 5 | digits[7]],
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    [&[major << 5 | info], &digits[8 - length..]].concat()
}

/// The key pair of an enclave.
pub struct EnclaveKey(PrivateDecryptingKey);

impl EnclaveKey {
    pub fn new() -> Self {
        Self(PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap())
    }

    /// SubjectPublicKeyInfo.
    pub fn public(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'static> = self.0.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    /// Opens an answer, walking through it as the AWS Nitro Enclaves SDK does, which insists on this very shape.
    pub fn open(&self, cms: &[u8]) -> Vec<u8> {
        let mut rest = cms;
        for tag in [0x30, 0x06, 0xa0, 0x30, 0x02] {
            enter_or_skip(&mut rest, tag);
        }
        let mut recipients = element(&mut rest, 0x31);
        let mut recipient = element(&mut recipients, 0x30);
        assert!(recipients.is_empty());
        assert_eq!(element(&mut recipient, 0x02), [2]);
        assert_eq!(element(&mut recipient, 0x80).len(), 20);
        element(&mut recipient, 0x30);
        let encrypted_key = element(&mut recipient, 0x04);
        assert!(recipient.is_empty());
        for tag in [0x30, 0x06] {
            enter_or_skip(&mut rest, tag);
        }
        let mut algorithm = element(&mut rest, 0x30);
        element(&mut algorithm, 0x06);
        let iv = element(&mut algorithm, 0x04);
        enter_or_skip(&mut rest, 0xa0);
        let mut ciphertext = element(&mut rest, 0x04).to_vec();
        assert_eq!(rest, [0; 10], "five elements end");

        let private = OaepPrivateDecryptingKey::new(self.0.clone()).unwrap();
        let mut room = vec![0; private.min_output_size()];
        let key = private.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted_key, &mut room, None).unwrap();
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, key).unwrap()).unwrap();
        let iv = DecryptionContext::Iv128(FixedLength::<16>::try_from(iv).unwrap());
        key.decrypt(&mut ciphertext, iv).unwrap().to_vec()
    }
}

/// Goes into an element of indefinite length, or over one of definite length.
fn enter_or_skip(rest: &mut &[u8], tag: u8) {
    if rest[1] == 0x80 {
        assert_eq!(rest[0], tag);
        *rest = &rest[2..];
    } else {
        element(rest, tag);
    }
}

/// The content of an element of definite length.
fn element<'a>(rest: &mut &'a [u8], tag: u8) -> &'a [u8] {
    assert_eq!(rest[0], tag, "in {}", hex::encode(&rest[..rest.len().min(16)]));
    let (length, from) = match rest[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(rest[2]), 3),
        0x82 => (usize::from(rest[2]) << 8 | usize::from(rest[3]), 4),
        other => panic!("a length of {other:#x}"),
    };
    let (content, after) = rest[from..].split_at(length);
    *rest = after;
    content
}
