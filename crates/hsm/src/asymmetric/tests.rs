use aws_lc_rs::digest;
use claviger_domain::EncryptionContext;
use claviger_domain::key::{DataKeyPairSpec, KeySpec, KeyUsage};

use super::*;
use crate::hierarchy::AccountKey;
use crate::self_test::vectors;
use crate::testing::{account, account_key, brought, hsm, key_id, material_of, other_key_id, permit, refusal, specs};
use crate::{Destination, Envelope, Source};

const MU: &str = "afa04cdb02d33ccc73d6fcb81d21892e3ee0512fa14288fbce72f4c5c6a28c9d2320ceeb65d12bae38814b382c5f624a208671c3d4e1c115ff9b86e92526a6db";
const SM2_DIGEST: &str = "19153bb95a20cbad7e7169142a8f6d71d1820177afe328f68bdc91a93ba4a71c";

fn setting() -> (Hsm, AccountKey) {
    let hsm = hsm();
    let key = account_key(&hsm, account());
    (hsm, key)
}

/// RSA keys of these tests are all the same one, because making one takes long.
fn rsa_2048(hsm: &Hsm, key: &AccountKey) -> Material {
    brought(hsm, key, KeySpec::Rsa2048, vectors::RSA_2048)
}

fn material(hsm: &Hsm, key: &AccountKey, spec: KeySpec) -> Material {
    if spec == KeySpec::Rsa2048 { rsa_2048(hsm, key) } else { material_of(hsm, key, key_id(), spec) }
}

/// Specs that sign.
fn signing_specs() -> impl Iterator<Item = KeySpec> {
    specs().filter(|spec| !spec.signing_algorithms().is_empty())
}

fn digest_of(algorithm: SigningAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
    use SigningAlgorithm as S;
    let hash = match algorithm {
        S::RsassaPssSha256 | S::RsassaPkcs1V15Sha256 | S::EcdsaSha256 => &digest::SHA256,
        S::RsassaPssSha384 | S::RsassaPkcs1V15Sha384 | S::EcdsaSha384 => &digest::SHA384,
        S::RsassaPssSha512 | S::RsassaPkcs1V15Sha512 | S::EcdsaSha512 => &digest::SHA512,
        S::Sm2dsa | S::MlDsaShake256 | S::Ed25519Sha512 | S::Ed25519PhSha512 => return None,
    };
    Some(digest::digest(hash, message).as_ref().to_vec())
}

#[test]
fn what_was_signed_is_verified_and_nothing_else() {
    let (hsm, key) = setting();
    let (sign, verify) = (permit("kms:Sign", key_id()), permit("kms:Verify", key_id()));
    for spec in signing_specs() {
        let pair = material(&hsm, &key, spec);
        for &algorithm in spec.signing_algorithms() {
            let raw = Input::new(algorithm, MessageType::Raw, b"").is_ok();
            let (message_type, message) =
                if raw { (MessageType::Raw, &b"hello"[..]) } else { (MessageType::Digest, &[7; 64][..]) };
            let check =
                |message: &[u8], signature: &[u8]| hsm.verify(&verify, &pair, algorithm, message_type, message, signature);
            let mut signature = hsm.sign(&sign, &pair, algorithm, message_type, message).unwrap();
            assert_eq!(check(message, &signature), Ok(()), "{spec} {algorithm}");
            let other = if raw { &b"hallo"[..] } else { &[8; 64] };
            assert_eq!(check(other, &signature), Err(HsmError::InvalidSignature), "{spec} {algorithm}");
            assert_eq!(check(message, &[]), Err(HsmError::InvalidSignature), "{spec} {algorithm}");
            assert_eq!(check(message, &[0; 5000]), Err(HsmError::InvalidSignature), "{spec} {algorithm}");
            if spec != KeySpec::Rsa2048 {
                let another = material(&hsm, &key, spec);
                let wrong = hsm.verify(&verify, &another, algorithm, message_type, message, &signature);
                assert_eq!(wrong, Err(HsmError::InvalidSignature), "{spec} {algorithm}");
            }
            *signature.last_mut().unwrap() ^= 1;
            assert_eq!(check(message, &signature), Err(HsmError::InvalidSignature), "{spec} {algorithm}");
        }
    }
}

#[test]
fn a_digest_signs_like_its_message() {
    let (hsm, key) = setting();
    let (sign, verify) = (permit("kms:Sign", key_id()), permit("kms:Verify", key_id()));
    for spec in signing_specs() {
        let pair = material(&hsm, &key, spec);
        for &algorithm in spec.signing_algorithms() {
            let Some(hash) = digest_of(algorithm, b"hello") else { continue };
            let by_digest = hsm.sign(&sign, &pair, algorithm, MessageType::Digest, &hash).unwrap();
            assert_eq!(
                hsm.verify(&verify, &pair, algorithm, MessageType::Raw, b"hello", &by_digest),
                Ok(()),
                "{spec} {algorithm}"
            );
            let by_message = hsm.sign(&sign, &pair, algorithm, MessageType::Raw, b"hello").unwrap();
            assert_eq!(
                hsm.verify(&verify, &pair, algorithm, MessageType::Digest, &hash, &by_message),
                Ok(()),
                "{spec} {algorithm}"
            );
        }
    }
}

#[test]
fn messages_are_of_the_type_and_length_that_the_algorithm_takes() {
    use SigningAlgorithm as S;
    let new = |algorithm, message_type, length| Input::new(algorithm, message_type, &[0; 100][..length]).err();
    for algorithm in S::ALL.iter().copied() {
        let raw = new(algorithm, MessageType::Raw, 5);
        assert_eq!(raw, (algorithm == S::Ed25519PhSha512).then_some(HsmError::WrongMessageType), "{algorithm}");
        let length = match algorithm.as_str() {
            name if name.ends_with("SHA_256") || name == "SM2DSA" => 32,
            name if name.ends_with("SHA_384") => 48,
            _ => 64,
        };
        let takes_digests = !matches!(algorithm, S::Ed25519Sha512 | S::MlDsaShake256);
        for given in [0, 20, 28, 31, 32, 33, 47, 48, 49, 63, 64, 65] {
            let expected = match (takes_digests, given == length) {
                (false, _) => Some(HsmError::WrongMessageType),
                (true, false) => Some(HsmError::WrongDigestLength),
                (true, true) => None,
            };
            assert_eq!(new(algorithm, MessageType::Digest, given), expected, "{algorithm} {given}");
            let expected = match (algorithm == S::MlDsaShake256, given == 64) {
                (false, _) => Some(HsmError::WrongMessageType),
                (true, false) => Some(HsmError::WrongDigestLength),
                (true, true) => None,
            };
            assert_eq!(new(algorithm, MessageType::ExternalMu, given), expected, "{algorithm} {given}");
        }
    }
}

#[test]
fn codes_are_verified_whole() {
    let (hsm, key) = setting();
    let (generate, verify) = (permit("kms:GenerateMac", key_id()), permit("kms:VerifyMac", key_id()));
    for (spec, length) in [(KeySpec::Hmac224, 28), (KeySpec::Hmac256, 32), (KeySpec::Hmac384, 48), (KeySpec::Hmac512, 64)] {
        let material = material(&hsm, &key, spec);
        let algorithm = spec.mac_algorithm().unwrap();
        let code = hsm.generate_mac(&generate, &material, algorithm, b"hello").unwrap();
        assert_eq!(code.len(), length);
        let check = |message: &[u8], code: &[u8]| hsm.verify_mac(&verify, &material, algorithm, message, code);
        assert_eq!(check(b"hello", &code), Ok(()));
        assert_eq!(check(b"hallo", &code), Err(HsmError::InvalidMac));
        for wrong in crate::testing::flips(&code).chain(crate::testing::wrong_lengths(&code)) {
            assert_eq!(check(b"hello", &wrong), Err(HsmError::InvalidMac));
        }
        for &other in MacAlgorithm::ALL.iter().filter(|other| **other != algorithm) {
            assert!(matches!(refusal(hsm.generate_mac(&generate, &material, other, b"hello")), HsmError::WrongKey(_)));
            assert!(matches!(refusal(hsm.verify_mac(&verify, &material, other, b"hello", &code)), HsmError::WrongKey(_)));
        }
    }
}

#[test]
fn an_external_representative_signs_like_its_message() {
    // µ = SHAKE256(SHAKE256(public key, 64) ‖ 00 00 ‖ "sample", 64), computed by Python, for the key of the self-tests.
    let mu = hex::decode(MU).unwrap();
    let (hsm, key) = setting();
    let (sign, verify) = (permit("kms:Sign", key_id()), permit("kms:Verify", key_id()));
    let pair = brought(&hsm, &key, KeySpec::MlDsa44, vectors::ML_DSA_44);
    let algorithm = SigningAlgorithm::MlDsaShake256;
    let types = [(MessageType::Raw, &b"sample"[..]), (MessageType::ExternalMu, &mu)];
    for (signed_as, signed) in types {
        let signature = hsm.sign(&sign, &pair, algorithm, signed_as, signed).unwrap();
        for (verified_as, verified) in types {
            assert_eq!(hsm.verify(&verify, &pair, algorithm, verified_as, verified, &signature), Ok(()));
        }
        let other = [0; 64];
        let wrong = hsm.verify(&verify, &pair, algorithm, MessageType::ExternalMu, &other, &signature);
        assert_eq!(wrong, Err(HsmError::InvalidSignature));
    }
}

#[test]
fn an_sm2_digest_signs_like_its_message() {
    // SM3(Z ‖ "sample") with the default id, computed by OpenSSL, for the key of the self-tests.
    let digest = hex::decode(SM2_DIGEST).unwrap();
    let (hsm, key) = setting();
    let (sign, verify) = (permit("kms:Sign", key_id()), permit("kms:Verify", key_id()));
    let pair = brought(&hsm, &key, KeySpec::Sm2, vectors::SM2);
    let algorithm = SigningAlgorithm::Sm2dsa;
    let types = [(MessageType::Raw, &b"sample"[..]), (MessageType::Digest, &digest)];
    for (signed_as, signed) in types {
        let signature = hsm.sign(&sign, &pair, algorithm, signed_as, signed).unwrap();
        for (verified_as, verified) in types {
            assert_eq!(hsm.verify(&verify, &pair, algorithm, verified_as, verified, &signature), Ok(()));
        }
    }
}

#[test]
fn a_secret_comes_back_from_its_capsule() {
    let (hsm, key) = setting();
    let (encapsulate, decapsulate) = (permit("kms:Encapsulate", key_id()), permit("kms:Decapsulate", key_id()));
    for (spec, bytes) in [(KeySpec::MlKem512, 768), (KeySpec::MlKem768, 1088), (KeySpec::MlKem1024, 1568)] {
        let pair = material(&hsm, &key, spec);
        let made = hsm.encapsulate(&encapsulate, &pair).unwrap();
        assert_eq!((made.ciphertext.len(), made.secret.len()), (bytes, 32));
        assert_eq!(hsm.decapsulate(&decapsulate, &pair, &made.ciphertext).unwrap(), made.secret);
        assert_ne!(hsm.encapsulate(&encapsulate, &pair).unwrap().secret, made.secret);
        // Implicit rejection: what was not made for this key gives a secret that nobody else has, and always the same.
        let another = material(&hsm, &key, spec);
        let rejected = hsm.decapsulate(&decapsulate, &another, &made.ciphertext).unwrap();
        assert!(rejected.len() == 32 && rejected != made.secret);
        assert_eq!(rejected, hsm.decapsulate(&decapsulate, &another, &made.ciphertext).unwrap());
        for wrong in [&[][..], &made.ciphertext[1..], &[&made.ciphertext[..], &[0]].concat()] {
            assert_eq!(hsm.decapsulate(&decapsulate, &pair, wrong), Err(HsmError::InvalidCiphertext));
        }
    }
}

#[test]
fn sm2_encrypts_up_to_its_limit() {
    let (hsm, key) = setting();
    let material = material(&hsm, &key, KeySpec::Sm2);
    let (encrypt, decrypt, algorithm) =
        (permit("kms:Encrypt", key_id()), permit("kms:Decrypt", key_id()), EncryptionAlgorithm::Sm2pke);
    for length in [1, 31, 32, 33, 1024] {
        let plaintext = vec![7; length];
        let ciphertext = hsm.encrypt_to(&encrypt, &material, algorithm, &plaintext).unwrap();
        assert_eq!(*hsm.decrypt_from(&decrypt, &material, algorithm, &ciphertext).unwrap(), plaintext);
        for position in [0, 1, 10, 50, ciphertext.len() - 1] {
            let mut forged = ciphertext.clone();
            forged[position] ^= 1;
            let opened = hsm.decrypt_from(&decrypt, &material, algorithm, &forged);
            assert_eq!(opened, Err(HsmError::InvalidCiphertext), "{length} {position}");
        }
    }
    let refused = hsm.encrypt_to(&encrypt, &material, algorithm, &[7; 1025]);
    assert_eq!(refused, Err(HsmError::PlaintextTooLong { max: 1024 }));
}

#[test]
fn both_sides_derive_the_same_secret() {
    let (hsm, key) = setting();
    let derive = permit("kms:DeriveSharedSecret", key_id());
    for (spec, bytes) in [(KeySpec::EccNistP256, 32), (KeySpec::EccNistP384, 48), (KeySpec::EccNistP521, 66), (KeySpec::Sm2, 32)]
    {
        let (ours, theirs) = (material(&hsm, &key, spec), material(&hsm, &key, spec));
        let public = |material: &Material| material.pair().unwrap().spki().unwrap();
        let one = hsm.derive_shared_secret(&derive, &ours, &public(&theirs)).unwrap();
        assert_eq!(one, hsm.derive_shared_secret(&derive, &theirs, &public(&ours)).unwrap());
        assert_eq!(one.len(), bytes);
        assert_ne!(one, hsm.derive_shared_secret(&derive, &ours, &public(&ours)).unwrap());

        let other_curve = if spec == KeySpec::EccNistP256 { KeySpec::EccNistP384 } else { KeySpec::EccNistP256 };
        let whole = public(&theirs);
        let point = whole[whole.len() - (2 * bytes + 1)..].to_vec();
        let mut off_curve = whole.clone();
        *off_curve.last_mut().unwrap() ^= 1;
        let wrong = [
            public(&material(&hsm, &key, other_curve)),
            public(&material(&hsm, &key, KeySpec::EccNistEdwards25519)),
            point,
            off_curve,
            [&whole[..], &[0]].concat(),
            whole[..whole.len() - 1].to_vec(),
            Vec::new(),
            b"nonsense".to_vec(),
        ];
        for peer in wrong {
            let refused = refusal(hsm.derive_shared_secret(&derive, &ours, &peer));
            assert_eq!(refused, HsmError::InvalidPublicKey, "{spec} {}", hex::encode(peer));
        }
    }
}

#[test]
fn rsa_encrypts_up_to_its_limit() {
    let (hsm, key) = setting();
    let material = rsa_2048(&hsm, &key);
    let (encrypt, decrypt) = (permit("kms:Encrypt", key_id()), permit("kms:Decrypt", key_id()));
    for (algorithm, max) in [(EncryptionAlgorithm::RsaesOaepSha1, 214), (EncryptionAlgorithm::RsaesOaepSha256, 190)] {
        for length in [0, 1, 32, max] {
            let plaintext = vec![7; length];
            let ciphertext = hsm.encrypt_to(&encrypt, &material, algorithm, &plaintext).unwrap();
            assert_eq!(ciphertext.len(), 256);
            assert_eq!(*hsm.decrypt_from(&decrypt, &material, algorithm, &ciphertext).unwrap(), plaintext);
            for other in [EncryptionAlgorithm::RsaesOaepSha1, EncryptionAlgorithm::RsaesOaepSha256] {
                let opened = hsm.decrypt_from(&decrypt, &material, other, &ciphertext).map(|_| ());
                assert_eq!(opened, if other == algorithm { Ok(()) } else { Err(HsmError::InvalidCiphertext) });
            }
            let mut forged = ciphertext.clone();
            forged[100] ^= 1;
            for wrong in [&forged[..], &ciphertext[1..], &[], &[0; 256], &[0xff; 256], &[0; 257]] {
                let opened = hsm.decrypt_from(&decrypt, &material, algorithm, wrong);
                assert_eq!(opened, Err(HsmError::InvalidCiphertext));
            }
        }
        let refused = hsm.encrypt_to(&encrypt, &material, algorithm, &vec![7; max + 1]);
        assert_eq!(refused, Err(HsmError::PlaintextTooLong { max }));
    }
}

#[test]
fn re_encryption_goes_between_symmetric_and_asymmetric_keys() {
    let (hsm, key) = setting();
    let (rsa, symmetric) = (rsa_2048(&hsm, &key), material(&hsm, &key, KeySpec::SymmetricDefault));
    let none = EncryptionContext::default();
    let (from, to) = (permit("kms:ReEncryptFrom", key_id()), permit("kms:ReEncryptTo", key_id()));
    let (encrypt, decrypt) = (permit("kms:Encrypt", key_id()), permit("kms:Decrypt", key_id()));
    let (sha_1, sha_256) = (EncryptionAlgorithm::RsaesOaepSha1, EncryptionAlgorithm::RsaesOaepSha256);

    let sealed = hsm.encrypt(&encrypt, &symmetric, &none, b"hello").unwrap();
    let envelope = Envelope::parse(&sealed).unwrap();
    let source = Source::Symmetric { material: &symmetric, context: &none, envelope: &envelope };
    let to_rsa = Destination::Asymmetric { material: &rsa, algorithm: sha_1 };
    let ciphertext = hsm.re_encrypt(&from, &source, &to, &to_rsa).unwrap();
    assert_eq!(*hsm.decrypt_from(&decrypt, &rsa, sha_1, &ciphertext).unwrap(), b"hello");

    let source = Source::Asymmetric { material: &rsa, algorithm: sha_1, ciphertext: &ciphertext };
    let ciphertext =
        hsm.re_encrypt(&from, &source, &to, &Destination::Asymmetric { material: &rsa, algorithm: sha_256 }).unwrap();
    assert_eq!(*hsm.decrypt_from(&decrypt, &rsa, sha_256, &ciphertext).unwrap(), b"hello");

    let wrong = Source::Asymmetric { material: &rsa, algorithm: sha_1, ciphertext: &ciphertext };
    let to_symmetric = Destination::Symmetric { material: &symmetric, context: &none };
    assert_eq!(hsm.re_encrypt(&from, &wrong, &to, &to_symmetric), Err(HsmError::InvalidCiphertext));
    let source = Source::Asymmetric { material: &rsa, algorithm: sha_256, ciphertext: &ciphertext };
    let sealed = hsm.re_encrypt(&from, &source, &to, &to_symmetric).unwrap();
    assert_eq!(*hsm.decrypt(&decrypt, &symmetric, &none, &Envelope::parse(&sealed).unwrap()).unwrap(), b"hello");

    let long = hsm.encrypt(&encrypt, &symmetric, &none, &[7; 300]).unwrap();
    let envelope = Envelope::parse(&long).unwrap();
    let source = Source::Symmetric { material: &symmetric, context: &none, envelope: &envelope };
    assert_eq!(hsm.re_encrypt(&from, &source, &to, &to_rsa), Err(HsmError::PlaintextTooLong { max: 214 }));
}

#[test]
fn data_key_pairs_are_what_their_ciphertext_holds() {
    let (hsm, key) = setting();
    let symmetric = material(&hsm, &key, KeySpec::SymmetricDefault);
    let none = EncryptionContext::default();
    let (with, without) =
        (permit("kms:GenerateDataKeyPair", key_id()), permit("kms:GenerateDataKeyPairWithoutPlaintext", key_id()));
    let decrypt = permit("kms:Decrypt", key_id());
    let open = |sealed: &[u8]| hsm.decrypt(&decrypt, &symmetric, &none, &Envelope::parse(sealed).unwrap()).unwrap();
    for spec in DataKeyPairSpec::ALL.iter().copied().filter(|spec| specs().any(|quick| quick == spec.key_spec())) {
        let made = hsm.generate_data_key_pair(&with, &symmetric, &none, spec).unwrap();
        let pair = crate::key_pair::parse(spec.key_spec(), &made.private_key).unwrap();
        assert_eq!(pair.spki().unwrap(), made.public_key, "{spec}");
        assert_eq!(open(&made.sealed_private_key), made.private_key, "{spec}");
        let sealed = hsm.generate_data_key_pair_without_plaintext(&without, &symmetric, &none, spec).unwrap();
        let pair = crate::key_pair::parse(spec.key_spec(), &open(&sealed.sealed_private_key)).unwrap();
        assert_eq!(pair.spki().unwrap(), sealed.public_key, "{spec}");
        assert_ne!(sealed.public_key, made.public_key, "{spec}");
    }
    let hmac = material(&hsm, &key, KeySpec::Hmac256);
    let refused = refusal(hsm.generate_data_key_pair(&with, &hmac, &none, DataKeyPairSpec::EccNistP256));
    assert!(matches!(refused, HsmError::WrongKey(_)));
}

#[test]
fn material_does_what_its_spec_offers_only() {
    let (hsm, key) = setting();
    let none = EncryptionContext::default();
    for spec in specs() {
        let material = material(&hsm, &key, spec);
        let served = |result: Result<(), HsmError>| match result {
            Ok(()) => true,
            Err(HsmError::WrongKey(_)) => false,
            Err(other) => panic!("{spec}: {other}"),
        };
        let permit = |action| permit(action, key_id());
        for &algorithm in SigningAlgorithm::ALL {
            let raw = Input::new(algorithm, MessageType::Raw, b"").is_ok();
            let (kind, message) = if raw { (MessageType::Raw, &b"x"[..]) } else { (MessageType::Digest, &[7; 64][..]) };
            let offered = spec.signing_algorithms().contains(&algorithm);
            let signed = hsm.sign(&permit("kms:Sign"), &material, algorithm, kind, message);
            assert_eq!(served(signed.map(drop)), offered, "{spec} {algorithm}");
            let verified = hsm.verify(&permit("kms:Verify"), &material, algorithm, kind, message, &[1; 64]);
            assert_eq!(verified == Err(HsmError::InvalidSignature), offered, "{spec} {algorithm}");
        }
        for &algorithm in EncryptionAlgorithm::ALL {
            let offered = spec.is_asymmetric() && spec.encryption_algorithms().contains(&algorithm);
            let encrypted = hsm.encrypt_to(&permit("kms:Encrypt"), &material, algorithm, b"x");
            assert_eq!(served(encrypted.map(drop)), offered, "{spec} {algorithm}");
            let opened = hsm.decrypt_from(&permit("kms:Decrypt"), &material, algorithm, b"x");
            assert_eq!(opened.map(drop) == Err(HsmError::InvalidCiphertext), offered, "{spec} {algorithm}");
        }
        let symmetric = served(hsm.encrypt(&permit("kms:Encrypt"), &material, &none, b"x").map(drop));
        assert_eq!(symmetric, spec == KeySpec::SymmetricDefault);
        let encapsulated = served(hsm.encapsulate(&permit("kms:Encapsulate"), &material).map(drop));
        assert_eq!(encapsulated, spec.as_str().starts_with("ML_KEM"), "{spec}");
        let agreed = match hsm.derive_shared_secret(&permit("kms:DeriveSharedSecret"), &material, b"x") {
            Err(HsmError::InvalidPublicKey) => true,
            other => served(other.map(drop)),
        };
        assert_eq!(agreed, spec.usages().contains(&KeyUsage::KeyAgreement), "{spec}");
        let coded = hsm.generate_mac(&permit("kms:GenerateMac"), &material, MacAlgorithm::HmacSha256, b"x");
        assert_eq!(served(coded.map(drop)), spec == KeySpec::Hmac256, "{spec}");
    }
}

/// A use of a key with a permit: what was refused, if it was.
type Use<'a> = Box<dyn Fn(&Permit) -> Option<HsmError> + 'a>;

/// One key of each kind, and what each use of them needs.
struct Keys {
    hsm: Hsm,
    rsa: Material,
    ec: Material,
    kem: Material,
    hmac: Material,
    symmetric: Material,
    none: EncryptionContext,
}

impl Keys {
    fn new() -> Self {
        let (hsm, key) = setting();
        let of = |spec| material(&hsm, &key, spec);
        let (rsa, ec, kem) = (of(KeySpec::Rsa2048), of(KeySpec::EccNistP256), of(KeySpec::MlKem512));
        let (hmac, symmetric) = (of(KeySpec::Hmac256), of(KeySpec::SymmetricDefault));
        Self { hsm, rsa, ec, kem, hmac, symmetric, none: EncryptionContext::default() }
    }

    /// Each use of asymmetric and HMAC keys, by the action that it needs. Each succeeds with a permit for that action.
    fn uses(&self) -> Vec<(&'static str, Use<'_>)> {
        let Self { hsm, rsa, ec, kem, hmac, symmetric, none } = self;
        let (ecdsa, raw, hmac_256) = (SigningAlgorithm::EcdsaSha256, MessageType::Raw, MacAlgorithm::HmacSha256);
        let oaep = EncryptionAlgorithm::RsaesOaepSha256;
        let signature = hsm.sign(&permit("kms:Sign", key_id()), ec, ecdsa, raw, b"x").unwrap();
        let code = hsm.generate_mac(&permit("kms:GenerateMac", key_id()), hmac, hmac_256, b"x").unwrap();
        let made = hsm.encapsulate(&permit("kms:Encapsulate", key_id()), kem).unwrap();
        let peer = ec.pair().unwrap().spki().unwrap();
        let ciphertext = hsm.encrypt_to(&permit("kms:Encrypt", key_id()), rsa, oaep, b"x").unwrap();
        let sealed = hsm.encrypt(&permit("kms:Encrypt", key_id()), symmetric, none, b"x").unwrap();
        let (from, to) = (permit("kms:ReEncryptFrom", key_id()), permit("kms:ReEncryptTo", key_id()));
        let (from_ciphertext, pair_spec) = (ciphertext.clone(), DataKeyPairSpec::EccNistP256);
        vec![
            ("kms:Sign", Box::new(move |given| hsm.sign(given, ec, ecdsa, raw, b"x").err())),
            ("kms:Verify", Box::new(move |given| hsm.verify(given, ec, ecdsa, raw, b"x", &signature).err())),
            ("kms:GenerateMac", Box::new(move |given| hsm.generate_mac(given, hmac, hmac_256, b"x").err())),
            ("kms:VerifyMac", Box::new(move |given| hsm.verify_mac(given, hmac, hmac_256, b"x", &code).err())),
            ("kms:DeriveSharedSecret", Box::new(move |given| hsm.derive_shared_secret(given, ec, &peer).err())),
            ("kms:Encapsulate", Box::new(move |given| hsm.encapsulate(given, kem).err())),
            ("kms:Decapsulate", Box::new(move |given| hsm.decapsulate(given, kem, &made.ciphertext).err())),
            ("kms:Encrypt", Box::new(move |given| hsm.encrypt_to(given, rsa, oaep, b"x").err())),
            ("kms:Decrypt", Box::new(move |given| hsm.decrypt_from(given, rsa, oaep, &ciphertext).err())),
            (
                "kms:ReEncryptFrom",
                Box::new(move |given| {
                    let source = Source::Asymmetric { material: rsa, algorithm: oaep, ciphertext: &from_ciphertext };
                    hsm.re_encrypt(given, &source, &to, &Destination::Symmetric { material: symmetric, context: none }).err()
                }),
            ),
            (
                "kms:ReEncryptTo",
                Box::new(move |given| {
                    let envelope = Envelope::parse(&sealed).unwrap();
                    let source = Source::Symmetric { material: symmetric, context: none, envelope: &envelope };
                    hsm.re_encrypt(&from, &source, given, &Destination::Asymmetric { material: rsa, algorithm: oaep }).err()
                }),
            ),
            (
                "kms:GenerateDataKeyPair",
                Box::new(move |given| hsm.generate_data_key_pair(given, symmetric, none, pair_spec).err()),
            ),
            (
                "kms:GenerateDataKeyPairWithoutPlaintext",
                Box::new(move |given| hsm.generate_data_key_pair_without_plaintext(given, symmetric, none, pair_spec).err()),
            ),
        ]
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
                assert_eq!(use_key(&permit(action, key)), expected, "{served} with {action} for {key}");
            }
        }
        assert_eq!(use_key(&crate::testing::permit_without_key(served)), Some(HsmError::PermitMismatch), "{served}");
    }
}

#[test]
fn nothing_is_done_in_the_error_state() {
    let keys = Keys::new();
    let uses = keys.uses();
    keys.hsm.state.fail("AES-256-GCM");
    for (action, use_key) in &uses {
        let refused = use_key(&permit(action, key_id()));
        assert_eq!(refused, Some(HsmError::SelfTestFailed("AES-256-GCM".to_owned())), "{action}");
    }
}
