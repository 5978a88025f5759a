//! Project Wycheproof's vectors for the primitives that are used here, in the sizes that are used here. Those for key pairs are in
//! `key_pair/wycheproof_tests.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use claviger_domain::key::MacAlgorithm;
use wycheproof::TestResult;

use crate::mac;

#[test]
fn aes_256_gcm() {
    let mut ran = 0;
    for group in wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap().test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &test.key).unwrap());
            let nonce = || Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
            let mut opened = vec![0; test.ct.len()];
            let result = key.open_separate_gather(nonce(), Aad::from(&*test.aad), &test.ct, &test.tag, &mut opened);
            assert_eq!(result.is_ok(), !test.result.must_fail(), "{} {}", test.tc_id, test.comment);
            if !test.result.must_fail() {
                assert_eq!(opened, *test.pt, "{}", test.tc_id);
                let (mut sealed, mut tag) = (vec![0; test.pt.len()], vec![0; 16]);
                key.seal_out_of_place_scatter(nonce(), Aad::from(&*test.aad), &test.pt, &mut sealed, &[], &mut tag).unwrap();
                assert_eq!((sealed, tag), (test.ct.to_vec(), test.tag.to_vec()), "{}", test.tc_id);
            }
            ran += 1;
        }
    }
    assert!(ran > 50, "{ran}");
}

#[test]
fn aes_256_cmac() {
    let mut ran = 0;
    for group in wycheproof::mac::TestSet::load(wycheproof::mac::TestName::AesCmac).unwrap().test_groups {
        if (group.key_size, group.tag_size) != (256, 128) {
            continue;
        }
        for test in group.tests {
            let key = cmac::Key::new(cmac::AES_256, &test.key).unwrap();
            let right = *cmac::sign(&key, &test.msg).unwrap().as_ref() == *test.tag;
            assert_eq!(right, test.result == TestResult::Valid, "{} {}", test.tc_id, test.comment);
            ran += 1;
        }
    }
    assert!(ran > 50, "{ran}");
}

#[test]
fn hmac() {
    use wycheproof::mac::TestName as T;
    let sets = [
        (T::HmacSha224, MacAlgorithm::HmacSha224, 224),
        (T::HmacSha256, MacAlgorithm::HmacSha256, 256),
        (T::HmacSha384, MacAlgorithm::HmacSha384, 384),
        (T::HmacSha512, MacAlgorithm::HmacSha512, 512),
    ];
    for (name, algorithm, bits) in sets {
        let mut ran = 0;
        // Codes are always whole.
        for group in wycheproof::mac::TestSet::load(name).unwrap().test_groups.into_iter().filter(|group| group.tag_size == bits)
        {
            for test in group.tests {
                let right = mac::verify(algorithm, &test.key, &test.msg, &test.tag).is_ok();
                assert_eq!(right, test.result == TestResult::Valid, "{name:?} {} {}", test.tc_id, test.comment);
                assert_eq!(right, mac::sign(algorithm, &test.key, &test.msg) == *test.tag, "{name:?} {}", test.tc_id);
                ran += 1;
            }
        }
        assert!(ran > 50, "{name:?} {ran}");
    }
}

#[test]
fn ed25519() {
    let mut ran = 0;
    for group in wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = UnparsedPublicKey::new(&ED25519, &*group.key.pk);
        for test in group.tests {
            let right = key.verify(&test.msg, &test.sig).is_ok();
            assert_eq!(right, test.result == TestResult::Valid, "{} {}", test.tc_id, test.comment);
            ran += 1;
        }
    }
    assert!(ran > 100, "{ran}");
}
