//! Project Wycheproof's vectors for what key pairs do, through the code that the product runs, with the parameters that the product offers.
//! What is "acceptable" may go either way, but a right answer stays the right one.

use aws_lc_rs::digest;
use wycheproof::{HashFunction, Mgf, TestResult};

use super::*;

/// The algorithm of each hash that the product offers with a padding; none for other hashes.
fn by_hash(hash: HashFunction, algorithms: [SigningAlgorithm; 3]) -> Option<SigningAlgorithm> {
    match hash {
        HashFunction::Sha2_256 => Some(algorithms[0]),
        HashFunction::Sha2_384 => Some(algorithms[1]),
        HashFunction::Sha2_512 => Some(algorithms[2]),
        _ => None,
    }
}

/// The moduli that the product offers.
fn is_offered(bits: usize) -> bool {
    matches!(bits, 2048 | 3072 | 4096)
}

fn agrees(result: TestResult, accepted: bool) -> bool {
    match result {
        TestResult::Valid => accepted,
        TestResult::Invalid => !accepted,
        TestResult::Acceptable => true,
    }
}

#[test]
fn rsa_pkcs1() {
    use SigningAlgorithm as S;
    let mut ran = 0;
    for name in wycheproof::rsa_pkcs1_verify::TestName::all() {
        for group in wycheproof::rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let algorithms = [S::RsassaPkcs1V15Sha256, S::RsassaPkcs1V15Sha384, S::RsassaPkcs1V15Sha512];
            let Some(algorithm) = by_hash(group.hash, algorithms).filter(|_| is_offered(group.key_size)) else { continue };
            for test in group.tests {
                let right = rsa::verify(algorithm, Input::Message(&test.msg), &group.der, &test.sig).is_ok();
                assert!(agrees(test.result, right), "{name:?} {} {}", test.tc_id, test.comment);
                ran += 1;
            }
        }
    }
    assert!(ran > 2000, "{ran}");
}

#[test]
fn rsa_pss() {
    use SigningAlgorithm as S;
    let mut ran = 0;
    for name in wycheproof::rsa_pss_verify::TestName::all() {
        let set = wycheproof::rsa_pss_verify::TestSet::load(name).unwrap();
        for group in set.test_groups {
            let algorithms = [S::RsassaPssSha256, S::RsassaPssSha384, S::RsassaPssSha512];
            let Some(algorithm) = by_hash(group.hash, algorithms).filter(|_| is_offered(group.key_size)) else { continue };
            // The mask is made with the same hash, and the salt is as long as the digest: everything else is for others. Keys whose encoding
            // restricts them to PSS (id-RSASSA-PSS) are not made here.
            let same_hash = matches!(group.mgf, Mgf::Mgf1) && group.mgf_hash == Some(group.hash);
            if !same_hash || group.salt_size != digest_bytes(algorithm) || format!("{name:?}").ends_with("WithParams") {
                continue;
            }
            for test in group.tests {
                let right = rsa::verify(algorithm, Input::Message(&test.msg), &group.der, &test.sig).is_ok();
                assert!(agrees(test.result, right), "{name:?} {} {}", test.tc_id, test.comment);
                ran += 1;
            }
        }
    }
    assert!(ran > 400, "{ran}");
}

#[test]
fn rsa_oaep() {
    let mut ran = 0;
    for name in wycheproof::rsa_oaep::TestName::all() {
        for group in wycheproof::rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let algorithm = match group.hash {
                HashFunction::Sha1 => EncryptionAlgorithm::RsaesOaepSha1,
                HashFunction::Sha2_256 => EncryptionAlgorithm::RsaesOaepSha256,
                _ => continue,
            };
            let spec = match group.key_size {
                2048 => KeySpec::Rsa2048,
                3072 => KeySpec::Rsa3072,
                4096 => KeySpec::Rsa4096,
                _ => continue,
            };
            // The mask is made with the same hash.
            if group.mgf_hash != group.hash {
                continue;
            }
            let pair = parse(spec, &group.pkcs8).unwrap();
            // Labels are always empty.
            for test in group.tests.into_iter().filter(|test| test.label.is_empty()) {
                let opened = pair.decrypt(algorithm, &test.ct);
                assert!(agrees(test.result, opened.is_ok()), "{name:?} {} {}", test.tc_id, test.comment);
                assert!(opened.map_or(true, |opened| *opened == *test.pt), "{name:?} {}", test.tc_id);
                ran += 1;
            }
        }
    }
    assert!(ran > 100, "{ran}");
}

#[test]
fn ecdsa() {
    use wycheproof::ecdsa::TestName as T;
    let sets = [
        (T::EcdsaSecp256r1Sha256, KeySpec::EccNistP256, &digest::SHA256),
        (T::EcdsaSecp384r1Sha384, KeySpec::EccNistP384, &digest::SHA384),
        (T::EcdsaSecp521r1Sha512, KeySpec::EccNistP521, &digest::SHA512),
        (T::EcdsaSecp256k1Sha256, KeySpec::EccSecgP256k1, &digest::SHA256),
    ];
    for (name, spec, hash) in sets {
        let mut ran = 0;
        for group in wycheproof::ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = ec::Curve::of(spec).unwrap().public_key(&group.der).unwrap();
            for test in group.tests {
                let digest = Input::Message(&test.msg).digest(hash).unwrap();
                assert!(agrees(test.result, key.verify(&digest, &test.sig).is_ok()), "{name:?} {} {}", test.tc_id, test.comment);
                ran += 1;
            }
        }
        assert!(ran > 400, "{name:?} {ran}");
    }
}

#[test]
fn ecdh() {
    use wycheproof::ecdh::TestName as T;
    // The object identifiers of the curves, and the bytes of a scalar.
    let sets: [(_, _, &[u8], usize); 3] = [
        (T::EcdhSecp256r1, KeySpec::EccNistP256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], 32),
        (T::EcdhSecp384r1, KeySpec::EccNistP384, &[0x2b, 0x81, 0x04, 0x00, 0x22], 48),
        (T::EcdhSecp521r1, KeySpec::EccNistP521, &[0x2b, 0x81, 0x04, 0x00, 0x23], 66),
    ];
    for (name, spec, curve, bytes) in sets {
        let mut ran = 0;
        for group in wycheproof::ecdh::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let scalar = test.private_key.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
                let scalar = [vec![0; bytes - scalar.len()], scalar].concat();
                let pair = parse(spec, &ec_pkcs8(curve, &scalar)).unwrap();
                let agreed = pair.agree(&test.public_key);
                assert!(agrees(test.result, agreed.is_ok()), "{name:?} {} {}", test.tc_id, test.comment);
                match agreed {
                    Ok(secret) => assert_eq!(*secret, *test.shared_secret, "{name:?} {}", test.tc_id),
                    Err(error) => assert_eq!(error, HsmError::InvalidPublicKey, "{name:?} {}", test.tc_id),
                }
                ran += 1;
            }
        }
        assert!(ran > 300, "{name:?} {ran}");
    }
}

/// PKCS#8 of a scalar, without the public key.
fn ec_pkcs8(curve: &[u8], scalar: &[u8]) -> Vec<u8> {
    let der = |tag: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        [&[tag, u8::try_from(content.len()).unwrap()][..], &content].concat()
    };
    let algorithm = der(0x30, &[&der(0x06, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]]), &der(0x06, &[curve])]);
    let key = der(0x30, &[&[0x02, 0x01, 0x01], &der(0x04, &[scalar])]);
    der(0x30, &[&[0x02, 0x01, 0x00], &algorithm, &der(0x04, &[&key])])
}

#[test]
fn ml_dsa_verification() {
    use wycheproof::mldsa_verify::TestName as T;
    let sets = [(T::MlDsa44Verify, KeySpec::MlDsa44), (T::MlDsa65Verify, KeySpec::MlDsa65), (T::MlDsa87Verify, KeySpec::MlDsa87)];
    for (name, spec) in sets {
        let (set, mut ran) = (ml_dsa::Set::of(spec).unwrap(), 0);
        for group in wycheproof::mldsa_verify::TestSet::load(name).unwrap().test_groups {
            // The context is always empty.
            for test in group.tests.into_iter().filter(|test| test.ctx.as_ref().is_none_or(|context| context.is_empty())) {
                let right = ml_dsa::verify(set, &group.pubkey, &test.msg, &test.sig);
                assert!(agrees(test.result, right), "{name:?} {} {}", test.tc_id, test.comment);
                ran += 1;
            }
        }
        assert!(ran > 100, "{name:?} {ran}");
    }
}

/// Signatures made here have fresh randomness and are never those of the vectors: so ours are verified under the vectors' keys, and theirs
/// under ours.
#[test]
fn ml_dsa_signatures() {
    use wycheproof::mldsa_sign::TestName as T;
    let sets =
        [(T::MlDsa44SignSeed, KeySpec::MlDsa44), (T::MlDsa65SignSeed, KeySpec::MlDsa65), (T::MlDsa87SignSeed, KeySpec::MlDsa87)];
    let algorithm = SigningAlgorithm::MlDsaShake256;
    for (name, spec) in sets {
        let (set, mut ran) = (ml_dsa::Set::of(spec).unwrap(), 0);
        for group in wycheproof::mldsa_sign::TestSet::load(name).unwrap().test_groups {
            let Some(pkcs8) = group.privkey_pkcs8 else { continue };
            let Ok(pair) = parse(spec, &pkcs8) else {
                assert!(group.tests.iter().all(|test| test.result.must_fail()), "{name:?}");
                continue;
            };
            let public = group.pubkey.unwrap();
            assert!(pair.spki().unwrap().ends_with(&public), "{name:?}");
            // The context is always empty.
            for test in group.tests.iter().filter(|test| test.ctx.as_ref().is_none_or(|context| context.is_empty())) {
                if test.result.must_fail() {
                    continue;
                }
                if let Some(message) = &test.msg {
                    assert_eq!(pair.verify(algorithm, Input::Message(message), &test.sig), Ok(()), "{name:?} {}", test.tc_id);
                    let ours = pair.sign(algorithm, Input::Message(message)).unwrap();
                    assert!(ml_dsa::verify(set, &public, message, &ours), "{name:?} {}", test.tc_id);
                }
                if let Some(mu) = test.mu.as_ref().and_then(|mu| <&[u8; 64]>::try_from(mu.as_slice()).ok()) {
                    assert_eq!(pair.verify(algorithm, Input::Mu(mu), &test.sig), Ok(()), "{name:?} {}", test.tc_id);
                    let ours = pair.sign(algorithm, Input::Mu(mu)).unwrap();
                    assert_eq!(pair.verify(algorithm, Input::Mu(mu), &ours), Ok(()), "{name:?} {}", test.tc_id);
                    if let Some(message) = &test.msg {
                        assert!(ml_dsa::verify(set, &public, message, &ours), "{name:?} {}", test.tc_id);
                    }
                }
                ran += 1;
            }
        }
        assert!(ran > 50, "{name:?} {ran}");
    }
}

/// Key generation and decapsulation. Encapsulation has randomness of its own, and keys without their seed are not taken: the vectors for
/// these two have nothing to test here.
#[test]
fn ml_kem() {
    use wycheproof::mlkem::TestName as T;
    let sets = [
        (KeySpec::MlKem512, [T::MlKem512, T::MlKem512KeyGenSeed]),
        (KeySpec::MlKem768, [T::MlKem768, T::MlKem768KeyGenSeed]),
        (KeySpec::MlKem1024, [T::MlKem1024, T::MlKem1024KeyGenSeed]),
    ];
    for (spec, names) in sets {
        let (set, mut keys, mut ciphertexts) = (ml_kem::Set::of(spec).unwrap(), 0, 0);
        for name in names {
            for test in wycheproof::mlkem::TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
                let Some(seed) = &test.seed else { continue };
                let Ok(pair) = parse(spec, &[&ml_kem::pkcs8_prefix(set)[..], seed].concat()) else {
                    assert!(test.result.must_fail(), "{name:?} {}", test.tc_id);
                    continue;
                };
                if let Some(public) = &test.encaps_key {
                    assert!(pair.spki().unwrap().ends_with(public), "{name:?} {}", test.tc_id);
                    keys += 1;
                }
                if let Some(ciphertext) = &test.ct {
                    let secret = pair.decapsulate(ciphertext);
                    assert!(agrees(test.result, secret.is_ok()), "{name:?} {} {}", test.tc_id, test.comment);
                    let expected = test.shared_secret.as_ref().map(|secret| secret.to_vec()).unwrap_or_default();
                    assert!(secret.map_or(true, |secret| *secret == expected), "{name:?} {}", test.tc_id);
                    ciphertexts += 1;
                }
            }
        }
        assert!(keys > 100 && ciphertexts > 100, "{spec} {keys} {ciphertexts}");
    }
}
