//! What is accepted as an attestation document, and above all what is not.

use std::sync::LazyLock;

use claviger_domain::key::{DataKeyPairSpec, EncryptionAlgorithm, KeySpec};
use claviger_domain::{EncryptionContext, Kind, Permit, Refusal, Timestamp};
use rcgen::{KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd};

use super::{Attestation, AttestationError, AttestationRoot, Platform};
use crate::Envelope;
use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::material::Material;
use crate::self_test::vectors;
use crate::testing::{
    account, account_key, brought, flips, hsm, key_id, material, material_of, other_key_id, permit, permit_without_key,
};

#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub, missing_docs, reason = "tests may panic")]
#[path = "../../tests/support/attestation_documents.rs"]
mod documents;

use documents::{
    Certified, Document, EnclaveKey, NOW_MS, Pki, authority, bytes, head, map, self_signed, sign, signer, strange_extension, text,
};

static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);
static ENCLAVE: LazyLock<EnclaveKey> = LazyLock::new(EnclaveKey::new);

const NOW: Timestamp = Timestamp(NOW_MS);

/// RSA of 1,024 bits, made with OpenSSL.
const RSA_1024: &str = "30819f300d06092a864886f70d010101050003818d0030818902818100c2a5f0cdd6fe8693a34467249213d754fb2a53135c6ea7f9f0d8a878f18ae6\
                        331717dbade03d84db26976afef5b77f7ecfae2dbc15496d68ec7d944f0d52e37155de1427f2311bb65ef88cae73808f5eda2fb9a1b3b96d80fb1415\
                        ecb1e95ec11fa3d93bfcd2c7b0554f91557088d3b70eff559d5c9c791e62d2d1f58e17905d0203010001";
/// A key on P-256, likewise.
const P256: &str = "3059301306072a8648ce3d020106082a8648ce3d03010703420004c43ef3676bd71da74eadcbf22046e9e919bba2dc84c5c40dca17da4fba8d58b40e4e1f\
                    5be5957d529f6bf7d1e22b7675d913602af15f2fa40347d2d9213e5350";

fn roots(root: &Certified) -> Vec<AttestationRoot> {
    vec![AttestationRoot::from_der(&root.der).unwrap()]
}

fn enclave() -> Document {
    PKI.enclave(&ENCLAVE.public())
}

fn verify(document: &[u8]) -> Result<Attestation, AttestationError> {
    Attestation::verify(document, &roots(&PKI.root), NOW)
}

fn error(document: &[u8]) -> AttestationError {
    verify(document).err().unwrap()
}

/// What is wrong with a document of these members.
fn error_with(members: &[(&str, Vec<u8>)]) -> AttestationError {
    error(&sign(&map(members), &PKI.leaf))
}

#[test]
fn a_genuine_document_tells_what_it_says() {
    let untagged = PKI.attest(&enclave());
    let tagged = [&[0xd2][..], &untagged].concat();
    for document in [untagged, tagged] {
        let attestation = verify(&document).unwrap();
        assert_eq!(attestation.module_id(), "i-1234567890abcdef0-enc1234567890abcdef");
        assert_eq!(attestation.platform(), Platform::NitroEnclave);
        assert_eq!(attestation.pcrs().keys().copied().collect::<Vec<_>>(), [0, 1, 3, 31]);
        assert_eq!(attestation.pcrs()[&3], [0xa3; 48]);
    }
    let tpm = Document { platform: "nitrotpm_pcrs", user_data: Some(vec![]), nonce: Some(vec![1; 1024]), ..enclave() };
    assert_eq!(verify(&PKI.attest(&tpm)).unwrap().platform(), Platform::NitroTpm);
    let mut members = enclave().members();
    members.truncate(7);
    verify(&sign(&map(&members), &PKI.leaf)).unwrap();
}

#[test]
fn whoever_changes_a_bit_is_refused() {
    let document = PKI.attest(&enclave());
    for (number, changed) in flips(&document).enumerate().filter(|(number, _)| number % 8 == number / 8 % 8) {
        assert!(verify(&changed).is_err(), "bit {} of byte {}", number % 8, number / 8);
    }
    let signature = document.len() - 96;
    let mut zeroes = document;
    zeroes[signature..].fill(0);
    assert_eq!(error(&zeroes), AttestationError::WrongSignature);
}

#[test]
fn a_document_is_whole_and_nothing_more() {
    let document = PKI.attest(&enclave());
    for length in 0..document.len() {
        assert!(matches!(error(&document[..length]), AttestationError::Malformed(_)), "{length} bytes");
    }
    assert_eq!(error(&[&document[..], &[0]].concat()), AttestationError::Malformed("it is not a COSE_Sign1 message"));
    let twice_tagged = [&[0xd2, 0xd2][..], &document].concat();
    assert_eq!(error(&twice_tagged), AttestationError::Malformed("it is not a COSE_Sign1 message"));
    assert_eq!(error(&vec![0x84; 262_145]), AttestationError::Malformed("it is too long"));
    let after_the_map = [enclave().payload(), vec![0xf6]].concat();
    let found = error(&sign(&after_the_map, &PKI.leaf));
    assert_eq!(found, AttestationError::Malformed("there is more after its payload's map"));
}

#[test]
fn headers_are_the_expected_ones() {
    let payload = enclave().payload();
    let signature = bytes(&[1; 96]);
    for (protected, unprotected) in [
        // ES256, two algorithms, none, an empty map; then something that is not signed.
        (&[0xa1, 0x01, 0x26][..], &[0xa0][..]),
        (&[0xa2, 0x01, 0x38, 0x22, 0x01, 0x26], &[0xa0]),
        (&[], &[0xa0]),
        (&[0xa0], &[0xa0]),
        (&[0xa1, 0x01, 0x38, 0x22], &[0xa1, 0x01, 0x38, 0x22]),
    ] {
        let message = [head(4, 4), bytes(protected), unprotected.to_vec(), bytes(&payload), signature.clone()].concat();
        assert_eq!(error(&message), AttestationError::Malformed("it is not a COSE_Sign1 message"));
    }
}

#[test]
fn members_are_all_there_once_and_have_their_form() {
    let members = enclave().members();
    for missing in ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"] {
        let rest: Vec<_> = members.iter().filter(|(name, _)| *name != missing).cloned().collect();
        let AttestationError::Malformed(what) = error_with(&rest) else { panic!("{missing}") };
        assert_eq!(what, format!("it has no {missing}"));
    }
    for (name, value) in &members {
        let twice: Vec<_> = members.iter().cloned().chain([(*name, value.clone())]).collect();
        assert_eq!(error_with(&twice), AttestationError::Malformed("its payload has a member twice"), "{name}");
    }
    let (_, pcrs) = &members[3];
    let both: Vec<_> = members.iter().cloned().chain([("nitrotpm_pcrs", pcrs.clone())]).collect();
    assert_eq!(error_with(&both), AttestationError::Malformed("its payload has a member twice"));
    let more: Vec<_> = members.iter().cloned().chain([("debug", vec![0xf5])]).collect();
    assert_eq!(error_with(&more), AttestationError::Malformed("its payload has a member that attestation documents do not have"));

    let register = |index: u64, length: usize| [head(5, 1), head(0, index), bytes(&vec![0; length])].concat();
    let same = [head(5, 2), head(0, 1), bytes(&[0; 48]), head(0, 1), bytes(&[0; 48])].concat();
    let certificates = [head(4, 11), bytes(&[1]).repeat(11)].concat();
    for (name, value) in [
        ("module_id", text("")),
        ("module_id", text(&"x".repeat(257))),
        ("module_id", bytes(b"i-1")),
        ("module_id", vec![0xf6]),
        ("digest", text("SHA256")),
        ("timestamp", head(0, 0)),
        ("timestamp", vec![0x20]),
        ("pcrs", head(5, 0)),
        ("pcrs", register(32, 48)),
        ("pcrs", register(0, 32)),
        ("pcrs", register(0, 64)),
        ("pcrs", same),
        ("certificate", bytes(&[])),
        ("certificate", bytes(&[0; 1025])),
        ("certificate", vec![0xf6]),
        ("cabundle", head(4, 0)),
        ("cabundle", certificates),
        ("public_key", bytes(&[0; 1025])),
        ("user_data", bytes(&[0; 1025])),
        ("nonce", text("nonce")),
    ] {
        let changed: Vec<_> = members.iter().map(|(n, v)| (*n, if *n == name { value.clone() } else { v.clone() })).collect();
        assert!(matches!(error_with(&changed), AttestationError::Malformed(_)), "{name} {}", hex::encode(&value));
    }
    let large = Document { user_data: Some(vec![0; 1024]), cabundle: vec![vec![1; 1024]; 10], ..enclave() };
    let padded = Document { certificate: vec![1; 1024], pcrs: (0..32).map(|i| (i, vec![0; 48])).collect(), ..large };
    assert!(padded.payload().len() < 16_384, "what may stand in a document fits into one");
}

#[test]
fn only_what_goes_back_to_a_trusted_root_is_believed() {
    let document = PKI.attest(&enclave());
    assert_eq!(Attestation::verify(&document, &[], NOW).err(), Some(AttestationError::UnknownRoot));
    let other = Pki::new();
    assert_eq!(Attestation::verify(&document, &roots(&other.root), NOW).err(), Some(AttestationError::UnknownRoot));
    let either = [roots(&other.root), roots(&PKI.root)].concat();
    assert!(Attestation::verify(&document, &either, NOW).is_ok());
    // Somebody else's certificates behind the trusted root, and the trusted root behind somebody else's.
    let theirs = other.enclave(&ENCLAVE.public());
    for cabundle in [
        vec![PKI.root.der.clone(), other.middle.der.clone()],
        vec![PKI.root.der.clone(), other.root.der.clone(), other.middle.der.clone()],
        vec![other.root.der.clone(), PKI.root.der.clone(), other.middle.der.clone()],
        vec![other.middle.der.clone(), PKI.root.der.clone()],
        vec![PKI.root.der.clone()],
    ] {
        let document = Document { cabundle, ..theirs.clone() };
        assert!(verify(&other.attest(&document)).is_err());
    }
    // A genuine chain, but the document is signed by somebody else.
    assert_eq!(error(&sign(&enclave().payload(), &other.leaf)), AttestationError::WrongSignature);
    // The root itself as the signer.
    let document = Document { certificate: PKI.root.der.clone(), cabundle: vec![PKI.root.der.clone()], ..enclave() };
    assert!(matches!(error(&sign(&document.payload(), &PKI.root)), AttestationError::Certificate(_)));
}

/// The same root, another authority and signer.
fn through(middle: &Certified, leaf: &Certified) -> Vec<u8> {
    let document =
        Document { certificate: leaf.der.clone(), cabundle: vec![PKI.root.der.clone(), middle.der.clone()], ..enclave() };
    sign(&document.payload(), leaf)
}

#[test]
fn certificates_have_to_be_valid_now() {
    let document = PKI.attest(&enclave());
    let at = |now| Attestation::verify(&document, &roots(&PKI.root), Timestamp(now)).err();
    let (begin, end) = (date_time_ymd(2026, 1, 1).unix_timestamp() * 1000, date_time_ymd(2027, 1, 1).unix_timestamp() * 1000);
    assert_eq!(at(end), None);
    assert_eq!(at(end + 1000), Some(AttestationError::Expired));
    assert_eq!(at(begin - 1), Some(AttestationError::NotYetValid));
    assert_eq!(at(i64::MIN), Some(AttestationError::NotYetValid));
    assert_eq!(at(i64::MAX), Some(AttestationError::Expired));
    // The document's own time, five minutes of which may be the clocks'.
    let made = 1_795_344_800_000;
    assert_eq!(at(made - 300_000), None);
    assert_eq!(at(made - 300_001), Some(AttestationError::NotYetValid));
    let never = Document { timestamp: u64::MAX, ..enclave() };
    assert_eq!(error(&PKI.attest(&never)), AttestationError::NotYetValid);

    let mut expired = signer("expired");
    expired.not_after = date_time_ymd(2026, 11, 21);
    let middle = PKI.root.signs(authority("zone", 0));
    let leaf = middle.signs(expired);
    assert_eq!(error(&through(&middle, &leaf)), AttestationError::Expired);
    let mut future = authority("zone", 0);
    future.not_before = date_time_ymd(2026, 11, 24);
    let middle = PKI.root.signs(future);
    let leaf = middle.signs(signer("leaf"));
    assert_eq!(error(&through(&middle, &leaf)), AttestationError::NotYetValid);
}

#[test]
fn certificates_may_do_only_what_they_were_issued_for() {
    type Change = fn(&mut rcgen::CertificateParams);
    let unchanged: Change = |_| {};
    let accepted = |on_middle: Change, on_leaf: Change| {
        let (mut middle, mut leaf) = (authority("zone", 0), signer("leaf"));
        on_middle(&mut middle);
        on_leaf(&mut leaf);
        let middle = PKI.root.signs(middle);
        let leaf = middle.signs(leaf);
        match verify(&through(&middle, &leaf)) {
            Ok(_) => true,
            Err(AttestationError::Certificate(_)) => false,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(accepted(unchanged, unchanged));
    assert!(accepted(unchanged, |leaf| leaf.is_ca = rcgen::IsCa::NoCa), "an absent constraint is none");
    // The authority.
    assert!(!accepted(|middle| middle.is_ca = rcgen::IsCa::ExplicitNoCa, unchanged));
    assert!(!accepted(|middle| middle.is_ca = rcgen::IsCa::NoCa, unchanged));
    assert!(!accepted(|middle| middle.key_usages = vec![KeyUsagePurpose::CrlSign], unchanged));
    assert!(!accepted(|middle| middle.key_usages = vec![], unchanged));
    assert!(!accepted(|middle| middle.custom_extensions.push(strange_extension()), unchanged));
    // The signer.
    assert!(!accepted(unchanged, |leaf| leaf.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)));
    assert!(!accepted(unchanged, |leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyCertSign]));
    assert!(!accepted(unchanged, |leaf| leaf.key_usages = vec![]));
    assert!(!accepted(unchanged, |leaf| leaf.custom_extensions.push(strange_extension())));
    assert!(accepted(unchanged, |leaf| {
        let mut known = strange_extension();
        known.set_criticality(false);
        leaf.custom_extensions.push(known);
    }));
}

#[test]
fn a_path_is_no_longer_than_its_authorities_allow() {
    let attest = |first: u8, second: u8| {
        let root = self_signed(authority("root", first));
        let one = root.signs(authority("one", second));
        let two = one.signs(authority("two", 0));
        let leaf = two.signs(signer("leaf"));
        let cabundle = vec![root.der.clone(), one.der, two.der];
        let document = Document { certificate: leaf.der.clone(), cabundle, ..enclave() };
        Attestation::verify(&sign(&document.payload(), &leaf), &roots(&root), NOW).err()
    };
    let too_long = Some(AttestationError::Certificate("there are more authorities than a certificate allows"));
    assert_eq!(attest(2, 1), None);
    assert_eq!(attest(1, 1), too_long);
    assert_eq!(attest(2, 0), too_long);
}

#[test]
fn other_keys_than_those_on_p384_are_refused() {
    let p256 = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let middle = PKI.root.signs(authority("zone", 0));
    let leaf = middle.signs_for(signer("leaf"), p256());
    let document = Document { certificate: leaf.der, cabundle: vec![PKI.root.der.clone(), middle.der], ..enclave() };
    // Signed by whomever: it does not come to that.
    let found = error(&sign(&document.payload(), &PKI.leaf));
    assert_eq!(found, AttestationError::Certificate("a certificate's key is not on P-384"));
    let weak = PKI.root.signs_for(authority("zone", 0), p256());
    let leaf = weak.signs(signer("leaf"));
    assert!(matches!(error(&through(&weak, &leaf)), AttestationError::Certificate(_)));
    let key = p256();
    let root = authority("root", 2).self_signed(&key).unwrap();
    assert!(AttestationRoot::from_der(root.der()).is_err());
    assert!(AttestationRoot::from_der(&PKI.leaf.der).is_err(), "not an authority");
    assert!(AttestationRoot::from_der(b"-----BEGIN CERTIFICATE-----").is_err());
    assert!(AttestationRoot::from_der(&[&PKI.root.der[..], &[0]].concat()).is_err());
}

#[test]
fn an_answer_needs_a_public_key_that_protects_it() {
    let with = |key: Option<Vec<u8>>| verify(&PKI.attest(&Document { public_key: key, ..enclave() })).err();
    assert_eq!(with(None), Some(AttestationError::NoPublicKey));
    let members: Vec<_> = enclave().members().into_iter().filter(|(name, _)| *name != "public_key").collect();
    assert_eq!(error_with(&members), AttestationError::NoPublicKey);
    let good = ENCLAVE.public();
    assert_eq!(with(Some(good.clone())), None);
    let unsuitable = Some(AttestationError::UnsuitablePublicKey);
    for bad in [
        hex::decode(RSA_1024).unwrap(),
        hex::decode(P256).unwrap(),
        [&good[..], &[0]].concat(),
        good[..good.len() - 1].to_vec(),
        // The key without its algorithm (PKCS #1).
        good[24..].to_vec(),
        vec![],
        vec![0; 300],
    ] {
        assert_eq!(with(Some(bad.clone())), unsuitable, "{}", hex::encode(bad));
    }
}

#[test]
fn the_recipient_alone_reads_the_answer() {
    let attestation = verify(&PKI.attest(&enclave())).unwrap();
    for length in [0, 1, 15, 16, 17, 32, 1024, 4096] {
        let plaintext: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let one = attestation.recipient.envelop(&plaintext).unwrap();
        assert_eq!(ENCLAVE.open(&one), plaintext);
        let other = attestation.recipient.envelop(&plaintext).unwrap();
        assert_ne!(one, other, "each answer has a key of its own");
        assert!(one.len() <= 6144, "{} bytes are more than AWS's model allows", one.len());
        assert!(length < 8 || !one.windows(8).any(|window| plaintext.windows(8).any(|part| part == window)));
    }
    // What stands around the encrypted parts, byte for byte.
    let answer = hex::encode(attestation.recipient.envelop(b"x").unwrap());
    assert!(answer.starts_with("308006092a864886f70d010703a0803080020102318201"), "{answer}");
    assert!(answer.contains("303c06092a864886f70d010107302fa00f300d06096086480165030402010500"), "{answer}");
    assert!(answer.contains("308006092a864886f70d010701301d060960864801650304012a0410"), "{answer}");
}

#[test]
fn plaintexts_for_a_recipient_need_the_same_permits() {
    let hsm = hsm();
    let material = material(&hsm, &account_key(&hsm, account()), key_id());
    let attestation = verify(&PKI.attest(&enclave())).unwrap();
    let none = EncryptionContext::default();
    let sealed = hsm.encrypt(&permit("kms:Encrypt", key_id()), &material, &none, b"hello").unwrap();
    let envelope = Envelope::parse(&sealed).unwrap();
    let (decrypt, generate) = (permit("kms:Decrypt", key_id()), permit("kms:GenerateDataKey", key_id()));
    let random = permit_without_key("kms:GenerateRandom");

    let answer = hsm.decrypt_for_recipient(&decrypt, &material, &none, &envelope, &attestation).unwrap();
    assert_eq!(ENCLAVE.open(&answer), b"hello");
    let (answer, sealed_key) = hsm.generate_data_key_for_recipient(&generate, &material, &none, 32, &attestation).unwrap();
    let data_key = hsm.decrypt(&decrypt, &material, &none, &Envelope::parse(&sealed_key).unwrap()).unwrap();
    assert_eq!(ENCLAVE.open(&answer), *data_key);
    assert_eq!(ENCLAVE.open(&hsm.generate_random_for_recipient(&random, 24, &attestation).unwrap()).len(), 24);

    let mismatch = Some(HsmError::PermitMismatch);
    assert_eq!(hsm.decrypt_for_recipient(&generate, &material, &none, &envelope, &attestation).err(), mismatch);
    assert_eq!(hsm.generate_data_key_for_recipient(&decrypt, &material, &none, 32, &attestation).err(), mismatch);
    assert_eq!(hsm.generate_random_for_recipient(&decrypt, 32, &attestation).err(), mismatch);
    let wrong = EncryptionContext::new([("a".to_owned(), "b".to_owned())].into());
    let refused = hsm.decrypt_for_recipient(&decrypt, &material, &wrong, &envelope, &attestation);
    assert_eq!(refused.err(), Some(HsmError::InvalidCiphertext));
}

/// A use of a key for a recipient: the answer to it.
type Use<'a> = Box<dyn Fn(&Permit) -> Result<Vec<u8>, HsmError> + 'a>;

/// Keys, and what each use of them for a recipient needs.
struct Keys {
    hsm: Hsm,
    attestation: Attestation,
    rsa: Material,
    sm2: Material,
    ec: Material,
    peer: Material,
    symmetric: Material,
    none: EncryptionContext,
}

impl Keys {
    fn new() -> Self {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let ec = |id| material_of(&hsm, &key, id, KeySpec::EccNistP256);
        let (ec, peer) = (ec(key_id()), ec(other_key_id()));
        let rsa = brought(&hsm, &key, KeySpec::Rsa2048, vectors::RSA_2048);
        let sm2 = brought(&hsm, &key, KeySpec::Sm2, vectors::SM2);
        let symmetric = material(&hsm, &key, key_id());
        let attestation = verify(&PKI.attest(&enclave())).unwrap();
        Self { hsm, attestation, rsa, sm2, ec, peer, symmetric, none: EncryptionContext::default() }
    }

    /// Each use of a key for a recipient, by the action that it needs. Each succeeds with a permit for that action.
    fn uses(&self) -> Vec<(&'static str, Use<'_>)> {
        let Self { hsm, attestation, rsa, sm2, ec, peer, symmetric, none } = self;
        let (oaep, sm2pke, p256) =
            (EncryptionAlgorithm::RsaesOaepSha256, EncryptionAlgorithm::Sm2pke, DataKeyPairSpec::EccNistP256);
        let encrypt = permit("kms:Encrypt", key_id());
        let sealed = hsm.encrypt(&encrypt, symmetric, none, b"hello").unwrap();
        let to_rsa = hsm.encrypt_to(&encrypt, rsa, oaep, b"hello").unwrap();
        let to_sm2 = hsm.encrypt_to(&encrypt, sm2, sm2pke, b"hello").unwrap();
        let peer = peer.pair().unwrap().spki().unwrap();
        vec![
            (
                "kms:Decrypt",
                Box::new(move |given| {
                    hsm.decrypt_for_recipient(given, symmetric, none, &Envelope::parse(&sealed).unwrap(), attestation)
                }),
            ),
            ("kms:Decrypt", Box::new(move |given| hsm.decrypt_from_for_recipient(given, rsa, oaep, &to_rsa, attestation))),
            ("kms:Decrypt", Box::new(move |given| hsm.decrypt_from_for_recipient(given, sm2, sm2pke, &to_sm2, attestation))),
            (
                "kms:DeriveSharedSecret",
                Box::new(move |given| hsm.derive_shared_secret_for_recipient(given, ec, &peer, attestation)),
            ),
            (
                "kms:GenerateDataKey",
                Box::new(move |given| {
                    hsm.generate_data_key_for_recipient(given, symmetric, none, 32, attestation).map(|(answer, _)| answer)
                }),
            ),
            (
                "kms:GenerateDataKeyPair",
                Box::new(move |given| {
                    hsm.generate_data_key_pair_for_recipient(given, symmetric, none, p256, attestation).map(|(answer, _)| answer)
                }),
            ),
        ]
    }
}

#[test]
fn a_recipient_gets_what_the_caller_would_have_got() {
    let keys = Keys::new();
    let Keys { hsm, attestation, ec, peer, symmetric, none, .. } = &keys;
    let decrypt = permit("kms:Decrypt", key_id());
    for (_, use_key) in keys.uses().iter().filter(|(action, _)| *action == "kms:Decrypt") {
        assert_eq!(ENCLAVE.open(&use_key(&decrypt).unwrap()), b"hello");
    }
    let derive = |id| permit("kms:DeriveSharedSecret", id);
    let [ec_public, peer_public] = [ec, peer].map(|material| material.pair().unwrap().spki().unwrap());
    let answer = hsm.derive_shared_secret_for_recipient(&derive(key_id()), ec, &peer_public, attestation).unwrap();
    let on_the_other_side = hsm.derive_shared_secret(&derive(other_key_id()), peer, &ec_public).unwrap();
    assert_eq!(ENCLAVE.open(&answer), *on_the_other_side);
    let refused = hsm.derive_shared_secret_for_recipient(&derive(key_id()), ec, b"x", attestation);
    assert_eq!(refused.err(), Some(HsmError::InvalidPublicKey));

    let generate = permit("kms:GenerateDataKeyPair", key_id());
    for spec in [DataKeyPairSpec::EccNistP256, DataKeyPairSpec::Rsa2048] {
        let (answer, made) = hsm.generate_data_key_pair_for_recipient(&generate, symmetric, none, spec, attestation).unwrap();
        let envelope = Envelope::parse(&made.sealed_private_key).unwrap();
        let private_key = ENCLAVE.open(&answer);
        assert_eq!(private_key, *hsm.decrypt(&decrypt, symmetric, none, &envelope).unwrap(), "{spec}");
        let pair = crate::key_pair::parse(spec.key_spec(), &private_key).unwrap();
        assert_eq!(pair.spki().unwrap(), made.public_key, "{spec}");
    }
}

#[test]
fn a_permit_serves_its_own_action_on_its_own_key_only() {
    let keys = Keys::new();
    let uses = keys.uses();
    let actions: Vec<&'static str> = uses.iter().map(|(action, _)| *action).chain(["kms:DescribeKey"]).collect();
    for (served, use_key) in &uses {
        for action in &actions {
            for key in [key_id(), other_key_id()] {
                let expected = if action == served && key == key_id() { None } else { Some(HsmError::PermitMismatch) };
                assert_eq!(use_key(&permit(action, key)).err(), expected, "{served} with {action} for {key}");
            }
        }
        assert_eq!(use_key(&permit_without_key(served)).err(), Some(HsmError::PermitMismatch), "{served}");
    }
}

#[test]
fn nothing_is_done_in_the_error_state() {
    let keys = Keys::new();
    let uses = keys.uses();
    keys.hsm.state.fail("AES-256-GCM");
    let failed = Some(HsmError::SelfTestFailed("AES-256-GCM".to_owned()));
    for (action, use_key) in &uses {
        assert_eq!(use_key(&permit(action, key_id())).err(), failed, "{action}");
    }
    let random = permit_without_key("kms:GenerateRandom");
    assert_eq!(keys.hsm.generate_random_for_recipient(&random, 32, &keys.attestation).err(), failed);
}

#[test]
fn errors_say_what_is_wrong_to_the_caller() {
    let refusal = Refusal::from(AttestationError::Expired);
    assert_eq!(refusal.kind, Kind::Invalid);
    assert_eq!(
        refusal.detail,
        "The attestation document is not accepted: one of its certificates has expired; get a new document."
    );
}
