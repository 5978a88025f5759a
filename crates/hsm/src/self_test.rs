//! Power-on self-tests: a known-answer test of each algorithm that is used, before anything is done with it. They find a miscompiled or damaged
//! build and a processor that computes wrongly. Source of the practice: FIPS 140-3 (ISO/IEC 19790 section 7.10).

mod asymmetric;
pub(crate) mod vectors;

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use aws_lc_rs::{cmac, digest, hmac};
use claviger_domain::key::MacAlgorithm;

use crate::error::HsmError;
use crate::kdf;
use crate::mac;
use crate::xaes::{self, Message};

/// A known-answer test of each algorithm. [`HsmError::SelfTestFailed`] names the first that gives a wrong answer. Takes a few milliseconds.
pub fn self_test() -> Result<(), HsmError> {
    for (name, test) in TESTS.iter().chain(asymmetric::TESTS) {
        if test() != Some(()) {
            return Err(HsmError::SelfTestFailed((*name).to_owned()));
        }
    }
    Ok(())
}

/// Answers `Some` if the algorithm gave the right answer.
type Test = fn() -> Option<()>;

const TESTS: &[(&str, Test)] = &[
    ("SHA-256", sha_256),
    ("HMAC-SHA256", hmac_sha_256),
    ("HMAC-SHA224, -SHA384, -SHA512", hmac_others),
    ("HKDF-SHA256", hkdf_sha_256),
    ("AES-256-CMAC", aes_cmac),
    ("AES-256-GCM", aes_gcm),
    ("AES-256 key wrap with padding", aes_key_wrap),
    ("KC-XAES-256-GCM", kc_xaes),
    ("Ed25519", ed25519),
    ("argon2id", argon2id),
    ("the random generator", random),
];

/// FIPS 180-4, example "abc".
fn sha_256() -> Option<()> {
    let hash = digest::digest(&digest::SHA256, b"abc");
    equal(hash.as_ref(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
}

/// RFC 4231, test case 2.
fn hmac_sha_256() -> Option<()> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
    let tag = hmac::sign(&key, b"what do ya want for nothing?");
    equal(tag.as_ref(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
}

/// RFC 4231, test case 2.
fn hmac_others() -> Option<()> {
    let code = |algorithm| mac::sign(algorithm, b"Jefe", b"what do ya want for nothing?");
    equal(&code(MacAlgorithm::HmacSha224), "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44")?;
    equal(
        &code(MacAlgorithm::HmacSha384),
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
    )?;
    equal(
        &code(MacAlgorithm::HmacSha512),
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    )
}

/// RFC 5869, test case 1, the first 32 bytes.
fn hkdf_sha_256() -> Option<()> {
    let mut key = [0; 32];
    let (salt, info) = (hex::decode("000102030405060708090a0b0c").ok()?, hex::decode("f0f1f2f3f4f5f6f7f8f9").ok()?);
    kdf::extract_and_expand(&[0x0b; 22], &salt, &[&info], &mut key).ok()?;
    equal(&key, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf")
}

/// NIST SP 800-38B, appendix D.3, examples 10 and 11.
fn aes_cmac() -> Option<()> {
    let key = hex::decode("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").ok()?;
    let key = cmac::Key::new(cmac::AES_256, &key).ok()?;
    let message = hex::decode("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411").ok()?;
    equal(cmac::sign(&key, message.get(..16)?).ok()?.as_ref(), "28a7023f452e8f82bd4bf28d8c37c35c")?;
    equal(cmac::sign(&key, &message).ok()?.as_ref(), "aaf3d8f1de5640c232f5b169b9c911e6")
}

/// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16; and a wrong tag.
fn aes_gcm() -> Option<()> {
    let key = hex::decode("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308").ok()?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?);
    let nonce = || Some(Nonce::assume_unique_for_key(hex::decode("cafebabefacedbaddecaf888").ok()?.try_into().ok()?));
    let associated_data = hex::decode("feedfacedeadbeeffeedfacedeadbeefabaddad2").ok()?;
    let plaintext = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525\
                     b16aedf5aa0de657ba637b39";
    let mut message = hex::decode(plaintext).ok()?;
    key.seal_in_place_append_tag(nonce()?, Aad::from(&associated_data), &mut message).ok()?;
    equal(
        &message,
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838\
         c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
    )?;
    let mut forged = message.clone();
    *forged.last_mut()? ^= 1;
    if key.open_in_place(nonce()?, Aad::from(&associated_data), &mut forged).is_ok() {
        return None;
    }
    equal(key.open_in_place(nonce()?, Aad::from(&associated_data), &mut message).ok()?, plaintext)
}

/// RFC 5649. Its own vectors have a key of 192 bits; this one was made with OpenSSL, through Python's `cryptography`.
fn aes_key_wrap() -> Option<()> {
    let mut wrapped = hex::decode("1b6a035a1e741d5703c34511651907fdf33dbef45294444920aeadba8cb2102a").ok()?;
    let opens = |wrapped: &[u8]| {
        crate::import::unwrap_with_padding(&[1; 32], wrapped).is_ok_and(|opened| *opened == b"seventeen bytes!!")
    };
    let opened = opens(&wrapped);
    *wrapped.last_mut()? ^= 1;
    (opened && !opens(&wrapped)).then_some(())
}

/// design/crypto.md, the second vector; and a wrong commitment.
fn kc_xaes() -> Option<()> {
    let associated_data = b"c2sp.org/XAES-256-GCM";
    let mut sealed = Vec::new();
    xaes::seal_with_nonce(&[3; 32], b"ABCDEFGHIJKLMNOPQRSTUVWX", associated_data, b"XAES-256-GCM", &mut sealed).ok()?;
    let mut opened = [0; 12];
    xaes::open(&[3; 32], associated_data, Message::parse(&sealed)?, &mut opened).ok()?;
    equal(&opened, &hex::encode("XAES-256-GCM"))?;
    equal(
        sealed.get(24..)?,
        "5553cd21d1592b422e3129632a3187eee8a658cdca5c5b32ce86308dcc18e9d1986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
    )?;
    *sealed.get_mut(24)? ^= 1;
    xaes::open(&[3; 32], associated_data, Message::parse(&sealed)?, &mut opened).err().map(|_| ())
}

/// RFC 8032, section 7.1, test 2; and a wrong message.
fn ed25519() -> Option<()> {
    let seed = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").ok()?;
    let public = hex::decode("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c").ok()?;
    let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public).ok()?;
    let signature = pair.try_sign(&[0x72]).ok()?;
    equal(
        signature.as_ref(),
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    )?;
    let verifier = UnparsedPublicKey::new(&ED25519, &public);
    verifier.verify(&[0x72], signature.as_ref()).ok()?;
    verifier.verify(&[0x73], signature.as_ref()).err().map(|_| ())
}

/// RFC 9106, section 5.3.
fn argon2id() -> Option<()> {
    let params = ParamsBuilder::new().m_cost(32).t_cost(3).p_cost(4).data(AssociatedData::new(&[4; 12]).ok()?).build().ok()?;
    let hasher = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).ok()?;
    let mut hash = [0; 32];
    hasher.hash_password_into(&[1; 32], &[2; 16], &mut hash).ok()?;
    equal(&hash, "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659")
}

/// Two draws differ and are not empty: a generator that is stuck or absent fails. Its quality is AWS-LC's own business.
fn random() -> Option<()> {
    let (mut one, mut other) = ([0; 32], [0; 32]);
    aws_lc_rs::rand::fill(&mut one).ok()?;
    aws_lc_rs::rand::fill(&mut other).ok()?;
    (one != other && one != [0; 32] && other != [0; 32]).then_some(())
}

fn equal(answer: &[u8], expected: &str) -> Option<()> {
    (hex::encode(answer) == expected).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_gives_the_known_answer() {
        for (name, test) in TESTS.iter().chain(asymmetric::TESTS) {
            assert_eq!(test(), Some(()), "{name}");
        }
        assert_eq!(self_test(), Ok(()));
    }
}
