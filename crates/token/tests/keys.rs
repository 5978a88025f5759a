//! Keys of every kind in a token: made, used, looked at with somebody else's program, adopted, swapped, destroyed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use aws_lc_rs::agreement::{ECDH_P384, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::{digest, signature};
use claviger_token::{Curve, FaultKind, Hash, KeyKind, Purpose, Reference, Scheme, Selector, der};

mod common;
use common::SoftHsm;

#[test]
#[ignore = "the host process of the tests below"]
fn the_host_process() {
    claviger_token::host::run().unwrap();
}

#[tokio::test]
async fn an_aes_key_encrypts_and_never_leaves() {
    let hsm = SoftHsm::new().with("one");
    let token = hsm.open("one").await;
    let made = token.generate(KeyKind::Aes256, Purpose::Encrypt, &[1; 16], "first", false).await.unwrap();
    let again = token.generate(KeyKind::Aes256, Purpose::Encrypt, &[1; 16], "first", false).await.unwrap();
    assert_eq!(Reference::parse(&made.reference).unwrap().id, Reference::parse(&again.reference).unwrap().id);
    for plaintext in [&b""[..], b"x", &[7; 4096]] {
        for aad in [&b""[..], b"context", &[3; 8192]] {
            let ciphertext = token.encrypt(&made.reference, plaintext, aad).await.unwrap();
            // Both references are of the same key.
            assert_eq!(*token.decrypt(&again.reference, &ciphertext, aad).await.unwrap(), plaintext);
            let wrong = token.decrypt(&made.reference, &ciphertext, b"another").await.unwrap_err();
            assert_eq!(wrong.kind, FaultKind::InvalidCiphertext, "{wrong}");
            let mut flipped = ciphertext.clone();
            *flipped.last_mut().unwrap() ^= 1;
            assert_eq!(token.decrypt(&made.reference, &flipped, aad).await.unwrap_err().kind, FaultKind::InvalidCiphertext);
            for length in [0, 1, 16, 17, 30, ciphertext.len() - 1] {
                let cut = token.decrypt(&made.reference, &ciphertext[..length], aad).await.unwrap_err();
                assert_eq!(cut.kind, FaultKind::InvalidCiphertext, "{length} bytes: {cut}");
            }
        }
    }
    let [one, two] =
        [token.encrypt(&made.reference, b"x", b"").await.unwrap(), token.encrypt(&made.reference, b"x", b"").await.unwrap()];
    assert_ne!(one, two);

    let facts = token.inspect(&made.reference).await.unwrap();
    assert_eq!((facts.label.as_str(), facts.kind.as_str()), ("first", "AES-256"));
    assert!(facts.always_sensitive && facts.never_extractable && facts.local);
    let listed = hsm.pkcs11_tool("one", &["--list-objects", "--type", "secrkey"]);
    assert_eq!(listed.matches("label:      first").count(), 1, "no message key stays behind, and no second key: {listed}");
    assert!(listed.contains("sensitive, always sensitive, never extractable, local"), "{listed}");
}

#[tokio::test]
async fn rsa_and_elliptic_curves_sign_what_others_verify() {
    let hsm = SoftHsm::new().with("one");
    let token = hsm.open("one").await;
    let rsa = token.generate(KeyKind::Rsa { bits: 2048 }, Purpose::Sign, &[2; 16], "rsa", false).await.unwrap();
    for (hash, algorithm, verification) in [
        (Hash::Sha256, &digest::SHA256, [&signature::RSA_PKCS1_2048_8192_SHA256, &signature::RSA_PSS_2048_8192_SHA256]),
        (Hash::Sha384, &digest::SHA384, [&signature::RSA_PKCS1_2048_8192_SHA384, &signature::RSA_PSS_2048_8192_SHA384]),
        (Hash::Sha512, &digest::SHA512, [&signature::RSA_PKCS1_2048_8192_SHA512, &signature::RSA_PSS_2048_8192_SHA512]),
    ] {
        let digested = digest::digest(algorithm, b"message");
        for (scheme, verification) in [Scheme::RsaPkcs1 { hash }, Scheme::RsaPss { hash }].into_iter().zip(verification) {
            let made = token.sign(&rsa.reference, scheme, digested.as_ref()).await.unwrap();
            signature::UnparsedPublicKey::new(verification, &rsa.public_key).verify(b"message", &made).unwrap();
        }
    }
    for (curve, algorithm, verification) in [
        (Curve::P256, &digest::SHA256, &signature::ECDSA_P256_SHA256_ASN1),
        (Curve::P384, &digest::SHA384, &signature::ECDSA_P384_SHA384_ASN1),
        (Curve::P521, &digest::SHA512, &signature::ECDSA_P521_SHA512_ASN1),
    ] {
        let id = curve.parameters().to_vec();
        let key = token.generate(KeyKind::Ec { curve }, Purpose::Sign, &id, "ec", false).await.unwrap();
        let (found, point) = der::ec_point_of_spki(&key.public_key).unwrap();
        assert_eq!(found, curve);
        for round in 0..8u8 {
            let made = token.sign(&key.reference, Scheme::Ecdsa, digest::digest(algorithm, &[round]).as_ref()).await.unwrap();
            signature::UnparsedPublicKey::new(verification, point).verify(&[round], &made).unwrap();
        }
    }
    let objects = hsm.pkcs11_tool("one", &["--list-objects", "--type", "privkey"]);
    assert_eq!(objects.matches("sensitive, always sensitive, never extractable, local").count(), 4, "{objects}");
    let wrong = token.encrypt(&rsa.reference, b"x", b"").await.unwrap_err();
    assert_eq!(wrong.kind, FaultKind::Refused, "a key serves its purpose only: {wrong}");
}

#[tokio::test]
async fn rsa_decrypts_curves_agree_and_secrets_authenticate() {
    let hsm = SoftHsm::new().with("one");
    let token = hsm.open("one").await;
    let rsa = token.generate(KeyKind::Rsa { bits: 2048 }, Purpose::Encrypt, &[3; 16], "rsa", false).await.unwrap();
    let public = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&rsa.public_key).unwrap()).unwrap();
    let mut ciphertext = vec![0; 256];
    public.encrypt(&OAEP_SHA1_MGF1SHA1, b"a secret", &mut ciphertext, None).unwrap();
    assert_eq!(**token.oaep_decrypt(&rsa.reference, Hash::Sha1, &ciphertext).await.unwrap(), *b"a secret");
    ciphertext[9] ^= 1;
    let wrong = token.oaep_decrypt(&rsa.reference, Hash::Sha1, &ciphertext).await.unwrap_err();
    assert_eq!(wrong.kind, FaultKind::InvalidCiphertext, "{wrong}");

    let curve = Curve::P384;
    let key = token.generate(KeyKind::Ec { curve }, Purpose::Agree, &[4; 16], "agree", false).await.unwrap();
    let ours = PrivateKey::generate(&ECDH_P384).unwrap();
    let secret = token.agree(&key.reference, ours.compute_public_key().unwrap().as_ref()).await.unwrap();
    let (_, point) = der::ec_point_of_spki(&key.public_key).unwrap();
    agree(&ours, UnparsedPublicKey::new(&ECDH_P384, point), (), |same| if same == &**secret { Ok(()) } else { Err(()) }).unwrap();
    let off_the_curve = token.agree(&key.reference, &[4; 97]).await.unwrap_err();
    assert!(matches!(off_the_curve.kind, FaultKind::Refused | FaultKind::Unsupported), "{off_the_curve:?}");

    let mac = token.generate(KeyKind::Secret { bytes: 64 }, Purpose::Mac, &[5; 16], "mac", false).await.unwrap();
    let lengths = [(Hash::Sha224, 28), (Hash::Sha256, 32), (Hash::Sha384, 48), (Hash::Sha512, 64)];
    for (hash, length) in lengths {
        let made = token.mac(&mac.reference, hash, b"message").await.unwrap();
        assert_eq!(made.len(), length);
        assert_eq!(made, token.mac(&mac.reference, hash, b"message").await.unwrap());
        assert_ne!(made, token.mac(&mac.reference, hash, b"messagf").await.unwrap());
    }
}

#[tokio::test]
async fn keys_of_others_are_adopted_by_label_or_id() {
    let hsm = SoftHsm::new().with("one");
    let made = hsm.pkcs11_tool("one", &["--keygen", "--key-type", "AES:32", "--label", "theirs", "--id", "a1b2", "--sensitive"]);
    assert!(made.contains("theirs"), "{made}");
    hsm.pkcs11_tool("one", &["--keypairgen", "--key-type", "EC:prime256v1", "--label", "pair", "--id", "c3", "--usage-sign"]);
    hsm.pkcs11_tool("one", &["--keygen", "--key-type", "AES:16", "--label", "short", "--id", "d4"]);
    let token = hsm.open("one").await;
    let aes = token.adopt(Selector::Label { label: "theirs".into() }).await.unwrap();
    assert_eq!((aes.kind, aes.purpose), (KeyKind::Aes256, Purpose::Encrypt));
    let ciphertext = token.encrypt(&aes.reference, b"x", b"y").await.unwrap();
    let by_id = token.adopt(Selector::Id { id: vec![0xa1, 0xb2] }).await.unwrap();
    assert_eq!(**token.decrypt(&by_id.reference, &ciphertext, b"y").await.unwrap(), *b"x");
    let pair = token.adopt(Selector::Id { id: vec![0xc3] }).await.unwrap();
    assert_eq!((pair.kind, pair.purpose), (KeyKind::Ec { curve: Curve::P256 }, Purpose::Sign));
    let short = token.adopt(Selector::Label { label: "short".into() }).await.unwrap_err();
    assert_eq!(short.kind, FaultKind::Unsupported, "{short}");
    let none = token.adopt(Selector::Label { label: "nobody".into() }).await.unwrap_err();
    assert_eq!(none.kind, FaultKind::NotFound);
    hsm.pkcs11_tool("one", &["--keygen", "--key-type", "AES:32", "--label", "theirs", "--id", "e5"]);
    let two = token.adopt(Selector::Label { label: "theirs".into() }).await.unwrap_err();
    assert_eq!(two.kind, FaultKind::Ambiguous);
    assert_eq!(token.list().await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_swapped_key_is_found_out_and_a_destroyed_one_is_gone() {
    let hsm = SoftHsm::new().with("one");
    let token = hsm.open("one").await;
    let kinds = [
        (KeyKind::Aes256, Purpose::Encrypt),
        (KeyKind::Secret { bytes: 32 }, Purpose::Mac),
        (KeyKind::Ec { curve: Curve::P256 }, Purpose::Sign),
        (KeyKind::Ec { curve: Curve::P256 }, Purpose::Agree),
        (KeyKind::Rsa { bits: 2048 }, Purpose::Encrypt),
        (KeyKind::Rsa { bits: 2048 }, Purpose::Sign),
    ];
    for (kind, purpose) in kinds {
        let made = token.generate(kind, purpose, &[9; 16], "k", false).await.unwrap();
        token.inspect(&made.reference).await.unwrap();
        token.destroy(&made.reference).await.unwrap();
        token.destroy(&made.reference).await.unwrap();
        let gone = token.inspect(&made.reference).await.unwrap_err();
        assert_eq!(gone.kind, FaultKind::NotFound, "{kind}: {gone}");
        let impostor = token.generate(kind, purpose, &[9; 16], "k", false).await.unwrap();
        let swapped = token.inspect(&made.reference).await.unwrap_err();
        assert_eq!(swapped.kind, FaultKind::Swapped, "{kind}: {swapped}");
        assert_eq!(token.destroy(&made.reference).await.unwrap_err().kind, FaultKind::Swapped, "not ours to destroy");
        token.destroy(&impostor.reference).await.unwrap();
    }
    assert!(token.list().await.unwrap().is_empty());
    let objects = hsm.pkcs11_tool("one", &["--list-objects"]);
    assert!(!objects.contains("Object"), "public halves are gone too: {objects}");
}

#[tokio::test]
async fn a_key_is_wrapped_from_one_token_to_the_next() {
    let hsm = SoftHsm::new().with("one").with("two");
    // The same wrapping key in both tokens, as operators put it there.
    let value = hsm.directory.path().join("wrapping.key");
    std::fs::write(&value, [0x5a; 32]).unwrap();
    for label in ["one", "two"] {
        let usage = ["--usage-wrap", "--sensitive"];
        let mut arguments = vec!["--write-object", value.to_str().unwrap(), "--type", "secrkey", "--key-type", "AES:32"];
        arguments.extend(["--label", "wrapping", "--id", "77"]);
        arguments.extend(usage);
        let written = hsm.pkcs11_tool(label, &arguments);
        assert!(written.contains("Secret Key Object"), "{written}");
    }
    let (one, two) = (hsm.open("one").await, hsm.open("two").await);
    let under = || Selector::Label { label: "wrapping".into() };
    let kinds = [
        (KeyKind::Aes256, Purpose::Encrypt),
        (KeyKind::Secret { bytes: 64 }, Purpose::Mac),
        (KeyKind::Rsa { bits: 2048 }, Purpose::Sign),
    ];
    for (number, (kind, purpose)) in (0..).zip(kinds) {
        let made = one.generate(kind, purpose, &[number; 16], "shared", true).await.unwrap();
        let wrapped = one.wrap(under(), &made.reference).await.unwrap();
        assert_eq!(two.inspect(&made.reference).await.unwrap_err().kind, FaultKind::NotFound);
        two.unwrap(under(), &made.reference, &wrapped).await.unwrap();
        two.unwrap(under(), &made.reference, &wrapped).await.unwrap();
        two.inspect(&made.reference).await.unwrap();
        if kind == KeyKind::Aes256 {
            let ciphertext = one.encrypt(&made.reference, b"x", b"y").await.unwrap();
            assert_eq!(**two.decrypt(&made.reference, &ciphertext, b"y").await.unwrap(), *b"x");
        }
    }
    let kept_in = one.generate(KeyKind::Aes256, Purpose::Encrypt, &[9; 16], "kept in", false).await.unwrap();
    let refused = one.wrap(under(), &kept_in.reference).await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::Refused, "{refused}");
}
