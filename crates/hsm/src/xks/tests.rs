use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_domain::policy::{ConditionContext, Demand, Granted, Policy, Values, authorize_through_store, default_store_policy};
use claviger_domain::{Identity, KeyId};

use super::*;
use crate::testing::{
    account, account_key, flips, hsm, key_id, material, other_key_id, permit as kms_permit, refusal, wrong_lengths,
};

struct NoContext;

impl ConditionContext for NoContext {
    fn values(&self, _key: &str) -> Values<'_> {
        Values::Absent
    }
}

/// A permit as a store gets it from the default policy.
fn permit(action: &'static str, key: KeyId) -> Permit {
    let policy = Policy::parse_store_policy(default_store_policy()).unwrap();
    let demand = Demand { action, resource: "arn:x", owner: account(), key: Some((key, &policy)), granted: Granted::Nothing };
    authorize_through_store(&Identity::root(account()), &demand, &policy, &NoContext).unwrap()
}

fn setting() -> (Hsm, Material) {
    let hsm = hsm();
    let key = account_key(&hsm, account());
    let material = material(&hsm, &key, key_id());
    (hsm, material)
}

/// Computed with HKDFExpand, CMAC and AESGCM of Python's `cryptography`.
#[test]
fn vectors() {
    let material = Material::for_vectors(key_id(), [1; 32]);
    let key = key_for_xks(&material).unwrap();
    assert_eq!(hex::encode(*key), "f4aa4efb3a9da88c927bc470afccc12b25dc08a3678456b0fe81085c4ae2d227");
    let hint = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77];
    let made = |additional_data: &[u8], plaintext: &[u8], ciphertext, tag, value| {
        let made = encrypt_with_nonce(&key, hint, b"ABCDEFGHIJKLMNOPQRSTUVWX", additional_data, plaintext).unwrap();
        assert_eq!(hex::encode(&made.ciphertext), ciphertext);
        assert_eq!(hex::encode(made.tag), tag);
        assert_eq!(&made.initialization_vector, b"MNOPQRSTUVWX");
        assert_eq!(hex::encode(made.metadata), "01112233445566774142434445464748494a4b4c");
        assert_eq!(hex::encode(integrity_value(additional_data, &made)), value);
        assert_eq!(*decrypt(&key, made.as_message(additional_data)).unwrap(), plaintext);
    };
    made(
        b"project=nile,department=marketing",
        b"Hello World!",
        "daf527684e338b96484d30c9",
        "30079dbae7ab8b875a5816bf0e5ad044",
        "869a2c0bbb3bb675250af065a7fa73b2f1923d80936cd117ab7b734ade90969d",
    );
    made(b"", b"x", "ea", "2a90c54c2fbeb8da602d8783f7142b93", "a6341fbaf3869805154be9b64147132b825d6a223a4fc233c7d2cab8bb661f24");
}

/// The example of the specification's appendix C.
#[test]
fn the_integrity_value_is_that_of_the_specification() {
    let decode = |text| STANDARD.decode(text).unwrap();
    let value = digest(&[
        &decode("cHJvamVjdD1uaWxlLGRlcGFydG1lbnQ9bWFya2V0aW5n"),
        &decode("a2V5X3ZlcnNpb249MQ=="),
        &decode("HMrlRw85cAJUd5Ax"),
        &decode("ghxkK1txeDNn3q8Y"),
        &decode("vBxN2ncH1oEkR8WVXpmyYQ=="),
    ]);
    assert_eq!(STANDARD.encode(value), "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc=");
}

#[test]
fn what_was_encrypted_is_decrypted_and_nothing_else() {
    let (hsm, material) = setting();
    let (encrypt, decrypt) = (permit("xks:Encrypt", key_id()), permit("xks:Decrypt", key_id()));
    let made = hsm.xks_encrypt(&encrypt, &material, b"context", b"a secret", true).unwrap();
    assert_eq!(made.ciphertext.len(), 8);
    let open = |message: XksMessage<'_>| hsm.xks_decrypt(&decrypt, &material, message);
    let whole = made.as_message(b"context");
    assert!(whole.names(&material.id()));
    assert_eq!(*open(whole).unwrap(), b"a secret");
    let forgeries = |bytes: &[u8]| flips(bytes).chain(wrong_lengths(bytes)).collect::<Vec<_>>();
    for forged in forgeries(&made.ciphertext) {
        assert_eq!(open(XksMessage { ciphertext: &forged, ..whole }), Err(HsmError::InvalidCiphertext));
    }
    for forged in forgeries(&made.initialization_vector) {
        assert_eq!(open(XksMessage { initialization_vector: &forged, ..whole }), Err(HsmError::InvalidCiphertext));
    }
    for forged in forgeries(&made.tag) {
        assert_eq!(open(XksMessage { tag: &forged, ..whole }), Err(HsmError::InvalidCiphertext));
    }
    for forged in forgeries(&made.metadata) {
        assert_eq!(open(XksMessage { metadata: &forged, ..whole }), Err(HsmError::InvalidCiphertext));
    }
    for forged in forgeries(b"context") {
        assert_eq!(open(XksMessage { additional_data: &forged, ..whole }), Err(HsmError::InvalidCiphertext));
    }
    let swapped = XksMessage { additional_data: &made.metadata, metadata: b"", ..whole };
    assert_eq!(open(swapped), Err(HsmError::InvalidCiphertext), "metadata is no additional data");
}

#[test]
fn no_initialization_vector_and_no_message_key_comes_twice() {
    let (hsm, material) = setting();
    let encrypt = permit("xks:Encrypt", key_id());
    let mut seen = std::collections::HashSet::new();
    for _ in 0..2000 {
        let made = hsm.xks_encrypt(&encrypt, &material, b"", b"the same", false).unwrap();
        assert!(seen.insert(made.initialization_vector) && made.integrity_value.is_none());
        assert!(seen.insert(made.metadata[8..].try_into().unwrap()));
    }
}

#[test]
fn the_bounds_are_those_of_the_specification() {
    let (hsm, material) = setting();
    let (encrypt, decrypt) = (permit("xks:Encrypt", key_id()), permit("xks:Decrypt", key_id()));
    for (plaintext, additional_data) in [(4300, 8192), (1, 0), (0, XKS_ADDITIONAL_DATA_BYTES_MAX)] {
        let (plaintext, additional_data) = (vec![7; plaintext], vec![8; additional_data]);
        let made = hsm.xks_encrypt(&encrypt, &material, &additional_data, &plaintext, true).unwrap();
        assert_eq!(made.metadata.len(), 20);
        assert_eq!(*hsm.xks_decrypt(&decrypt, &material, made.as_message(&additional_data)).unwrap(), plaintext);
    }
    let too_much = vec![0; XKS_ADDITIONAL_DATA_BYTES_MAX + 1];
    let refused = refusal(hsm.xks_encrypt(&encrypt, &material, &too_much, b"x", false));
    assert!(matches!(refused, HsmError::PlaintextTooLong { .. }));
    let made = hsm.xks_encrypt(&encrypt, &material, b"", b"x", false).unwrap();
    assert_eq!(refusal(hsm.xks_decrypt(&decrypt, &material, made.as_message(&too_much))), HsmError::InvalidCiphertext);
}

#[test]
fn a_permit_serves_its_own_action_on_its_own_key_only() {
    let (hsm, material) = setting();
    let made = hsm.xks_encrypt(&permit("xks:Encrypt", key_id()), &material, b"", b"x", false).unwrap();
    let wrong = [
        permit("xks:Encrypt", other_key_id()),
        permit("xks:Decrypt", other_key_id()),
        permit("xks:GetKeyMetadata", key_id()),
        kms_permit("kms:Encrypt", key_id()),
        kms_permit("kms:Decrypt", key_id()),
    ];
    for permit in wrong {
        assert_eq!(hsm.xks_encrypt(&permit, &material, b"", b"x", false), Err(HsmError::PermitMismatch));
        assert_eq!(hsm.xks_decrypt(&permit, &material, made.as_message(b"")), Err(HsmError::PermitMismatch));
    }
    let decrypt = permit("xks:Decrypt", key_id());
    assert_eq!(hsm.xks_encrypt(&decrypt, &material, b"", b"x", false), Err(HsmError::PermitMismatch));
    let encrypt = permit("xks:Encrypt", key_id());
    assert_eq!(hsm.xks_decrypt(&encrypt, &material, made.as_message(b"")), Err(HsmError::PermitMismatch));
}

#[test]
fn nothing_is_done_in_the_error_state() {
    let (hsm, material) = setting();
    let made = hsm.xks_encrypt(&permit("xks:Encrypt", key_id()), &material, b"", b"x", false).unwrap();
    hsm.xks_probe().unwrap();
    hsm.state.fail("AES-256-GCM");
    let failed = HsmError::SelfTestFailed("AES-256-GCM".to_owned());
    assert_eq!(refusal(hsm.xks_encrypt(&permit("xks:Encrypt", key_id()), &material, b"", b"x", false)), failed);
    assert_eq!(refusal(hsm.xks_decrypt(&permit("xks:Decrypt", key_id()), &material, made.as_message(b""))), failed);
    assert_eq!(refusal(hsm.xks_probe()), failed);
}
