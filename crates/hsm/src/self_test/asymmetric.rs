//! Known-answer tests of what key pairs do. Nothing is generated here, so that they are quick; a signature that is not deterministic is tested by
//! one that others made, and by verifying one of our own.

use aws_lc_rs::digest;
use claviger_domain::key::{EncryptionAlgorithm, KeySpec, SigningAlgorithm};

use super::{Test, equal, vectors};
use crate::aws_lc_gap;
use crate::key_pair::{self, Input, KeyPair};
use crate::memory::Secret;

pub(super) const TESTS: &[(&str, Test)] = &[
    ("RSA", rsa),
    ("ECDSA and ECDH on P-256", p_256),
    ("ECDSA and ECDH on P-384", p_384),
    ("ECDSA and ECDH on P-521", p_521),
    ("ECDSA on secp256k1", p_256_k1),
    ("Ed25519ph", ed25519ph),
    ("ML-DSA", ml_dsa),
    ("ML-KEM", ml_kem),
    ("SM2", sm2),
];

const MESSAGE: &[u8] = b"sample";

fn rsa() -> Option<()> {
    let pair = parse(KeySpec::Rsa2048, vectors::RSA_2048)?;
    let pkcs1 = pair.sign(SigningAlgorithm::RsassaPkcs1V15Sha256, Input::Message(MESSAGE)).ok()?;
    equal(&pkcs1, vectors::RSA_PKCS1_SHA256)?;
    verifies(&*pair, SigningAlgorithm::RsassaPkcs1V15Sha256, vectors::RSA_PKCS1_SHA256)?;
    verifies(&*pair, SigningAlgorithm::RsassaPssSha256, vectors::RSA_PSS_SHA256)?;
    decrypts(&*pair, EncryptionAlgorithm::RsaesOaepSha1, vectors::RSA_OAEP_SHA1)?;
    decrypts(&*pair, EncryptionAlgorithm::RsaesOaepSha256, vectors::RSA_OAEP_SHA256)
}

fn p_256() -> Option<()> {
    let pair = ecdsa(KeySpec::EccNistP256, vectors::EC_P256, vectors::ECDSA_P256)?;
    agrees(&*pair, vectors::PEER_P256, vectors::ECDH_P256)
}

fn p_384() -> Option<()> {
    let pair = ecdsa(KeySpec::EccNistP384, vectors::EC_P384, vectors::ECDSA_P384)?;
    agrees(&*pair, vectors::PEER_P384, vectors::ECDH_P384)
}

fn p_521() -> Option<()> {
    let pair = ecdsa(KeySpec::EccNistP521, vectors::EC_P521, vectors::ECDSA_P521)?;
    agrees(&*pair, vectors::PEER_P521, vectors::ECDH_P521)
}

fn p_256_k1() -> Option<()> {
    ecdsa(KeySpec::EccSecgP256k1, vectors::EC_P256K1, vectors::ECDSA_P256K1).map(|_| ())
}

/// RFC 8032, section 7.3; and another message.
fn ed25519ph() -> Option<()> {
    let seed: [u8; 32] = hex::decode("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42").ok()?.try_into().ok()?;
    let public: [u8; 32] =
        hex::decode("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf").ok()?.try_into().ok()?;
    let seed = Secret::from_fill(|out| {
        *out = seed;
        Ok(())
    });
    let signature = aws_lc_gap::ed25519ph_sign(&seed.ok()?, b"abc")?;
    equal(
        &signature,
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
    )?;
    let verifies = |message: &[u8]| aws_lc_gap::ed25519ph_verify(&public, message, &signature);
    (verifies(b"abc") && !verifies(b"abd")).then_some(())
}

/// Keys from their seeds; a signature by others, one of our own, and one over an external µ.
fn ml_dsa() -> Option<()> {
    let pair = seeded(KeySpec::MlDsa44, vectors::ML_DSA_44, vectors::ML_DSA_44_PUBLIC)?;
    seeded(KeySpec::MlDsa65, vectors::ML_DSA_65, vectors::ML_DSA_65_PUBLIC)?;
    seeded(KeySpec::MlDsa87, vectors::ML_DSA_87, vectors::ML_DSA_87_PUBLIC)?;
    verifies(&*pair, SigningAlgorithm::MlDsaShake256, vectors::ML_DSA_44_SIGNATURE)?;
    let (algorithm, mu) = (SigningAlgorithm::MlDsaShake256, Input::Mu(&[7; 64]));
    let signature = pair.sign(algorithm, mu).ok()?;
    pair.verify(algorithm, mu, &signature).ok()?;
    pair.verify(algorithm, Input::Mu(&[8; 64]), &signature).err()?;
    key_pair::is_consistent(KeySpec::MlDsa44, &*pair).then_some(())
}

/// Keys from their seeds; a ciphertext by others, and one of our own.
fn ml_kem() -> Option<()> {
    let pair = seeded(KeySpec::MlKem768, vectors::ML_KEM_768, vectors::ML_KEM_768_PUBLIC)?;
    seeded(KeySpec::MlKem1024, vectors::ML_KEM_1024, vectors::ML_KEM_1024_PUBLIC)?;
    equal(&pair.decapsulate(&hex::decode(vectors::ML_KEM_768_CIPHERTEXT).ok()?).ok()?, vectors::ML_KEM_768_SECRET)?;
    key_pair::is_consistent(KeySpec::MlKem768, &*pair).then_some(())
}

fn sm2() -> Option<()> {
    let pair = parse(KeySpec::Sm2, vectors::SM2)?;
    verifies(&*pair, SigningAlgorithm::Sm2dsa, vectors::SM2_SIGNATURE)?;
    decrypts(&*pair, EncryptionAlgorithm::Sm2pke, vectors::SM2_CIPHERTEXT)?;
    agrees(&*pair, vectors::PEER_SM2, vectors::ECDH_SM2)?;
    key_pair::is_consistent(KeySpec::Sm2, &*pair).then_some(())
}

fn seeded(spec: KeySpec, private: &str, public_hash: &str) -> Option<Box<dyn KeyPair>> {
    let pair = parse(spec, private)?;
    equal(digest::digest(&digest::SHA256, &pair.spki().ok()?).as_ref(), public_hash)?;
    Some(pair)
}

fn ecdsa(spec: KeySpec, private: &str, signature: &str) -> Option<Box<dyn KeyPair>> {
    let pair = parse(spec, private)?;
    verifies(&*pair, *spec.signing_algorithms().first()?, signature)?;
    key_pair::is_consistent(spec, &*pair).then_some(pair)
}

fn parse(spec: KeySpec, private: &str) -> Option<Box<dyn KeyPair>> {
    key_pair::parse(spec, &hex::decode(private).ok()?).ok()
}

/// The signature is right, and no longer once a bit of it was changed.
fn verifies(pair: &dyn KeyPair, algorithm: SigningAlgorithm, signature: &str) -> Option<()> {
    let mut signature = hex::decode(signature).ok()?;
    pair.verify(algorithm, Input::Message(MESSAGE), &signature).ok()?;
    *signature.last_mut()? ^= 1;
    pair.verify(algorithm, Input::Message(MESSAGE), &signature).err().map(|_| ())
}

/// The ciphertext opens, and no longer once a bit of it was changed; and so does one of our own.
fn decrypts(pair: &dyn KeyPair, algorithm: EncryptionAlgorithm, ciphertext: &str) -> Option<()> {
    let mut ciphertext = hex::decode(ciphertext).ok()?;
    let opens = |ciphertext: &[u8]| pair.decrypt(algorithm, ciphertext).is_ok_and(|opened| *opened == MESSAGE);
    let others_open = opens(&ciphertext);
    *ciphertext.last_mut()? ^= 1;
    (others_open && !opens(&ciphertext) && opens(&pair.encrypt(algorithm, MESSAGE).ok()?)).then_some(())
}

fn agrees(pair: &dyn KeyPair, peer: &str, secret: &str) -> Option<()> {
    equal(&pair.agree(&hex::decode(peer).ok()?).ok()?, secret)
}
