//! Known-answer tests of what key pairs do. Nothing is generated here, so that they are quick; a signature that is not deterministic is tested by
//! one that others made, and by verifying one of our own.

use claviger_domain::key::{EncryptionAlgorithm, KeySpec, SigningAlgorithm};

use super::{Test, equal, vectors};
use crate::key_pair::{self, Input, KeyPair};

pub(super) const TESTS: &[(&str, Test)] = &[
    ("RSA", rsa),
    ("ECDSA and ECDH on P-256", p_256),
    ("ECDSA and ECDH on P-384", p_384),
    ("ECDSA and ECDH on P-521", p_521),
    ("ECDSA on secp256k1", p_256_k1),
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
