use super::*;
use crate::material::Material;
use crate::testing::{account, account_key, flips, hsm, key_id, other_account, other_key_id, permit, refusal};

const VALID_TO: Timestamp = Timestamp(1_795_344_813_000);

/// A key that waits for its material.
struct Setting {
    hsm: Hsm,
    account_key: AccountKey,
    secret: ImportSecret,
}

fn setting() -> Setting {
    let hsm = hsm();
    let account_key = account_key(&hsm, account());
    let sealed = hsm.create_import_secret(&account_key, key_id()).unwrap();
    let secret = hsm.open_import_secret(&account_key, key_id(), &sealed).unwrap();
    Setting { hsm, account_key, secret }
}

fn region() -> Region {
    "us-east-1".parse().unwrap()
}

impl Setting {
    fn begin(&self, algorithm: WrappingAlgorithm, spec: WrappingKeySpec) -> ImportParameters {
        let permit = permit("kms:GetParametersForImport", key_id());
        self.hsm.begin_import(&permit, &self.account_key, key_id(), &region(), algorithm, spec, VALID_TO).unwrap()
    }

    fn open(&self, token: &[u8]) -> Result<ImportToken, HsmError> {
        let permit = permit("kms:ImportKeyMaterial", key_id());
        self.hsm.open_import_token(&permit, &self.account_key, key_id(), &region(), token)
    }

    fn import(&self, token: &ImportToken, wrapped: &[u8]) -> Result<NewMaterial, HsmError> {
        self.hsm.import_material(token, &self.account_key, &self.secret, KeySpec::SymmetricDefault, wrapped)
    }
}

fn oaep(public_key: &[u8], algorithm: &'static OaepAlgorithm, plaintext: &[u8]) -> Vec<u8> {
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(public_key).unwrap()).unwrap();
    let mut wrapped = vec![0; key.ciphertext_size()];
    key.encrypt(algorithm, plaintext, &mut wrapped, None).unwrap().to_vec()
}

#[test]
fn wrapped_material_comes_in_and_loads_again() {
    let setting = setting();
    for (algorithm, hash) in
        [(WrappingAlgorithm::RsaesOaepSha1, &OAEP_SHA1_MGF1SHA1), (WrappingAlgorithm::RsaesOaepSha256, &OAEP_SHA256_MGF1SHA256)]
    {
        let parameters = setting.begin(algorithm, WrappingKeySpec::Rsa2048);
        let token = setting.open(&parameters.token).unwrap();
        assert_eq!(token.valid_to(), VALID_TO);
        let wrapped = oaep(&parameters.public_key, hash, &[7; 32]);
        let made = setting.import(&token, &wrapped).unwrap();
        let loaded = setting
            .hsm
            .load_imported_material(&setting.account_key, key_id(), KeySpec::SymmetricDefault, made.id, &made.sealed)
            .unwrap();
        assert_eq!((loaded.key_id(), loaded.id(), loaded.symmetric().unwrap()), (key_id(), made.id, &[7; 32]));
        // The other hash, another length of material, a cut and an empty one.
        let other = if algorithm == WrappingAlgorithm::RsaesOaepSha1 { &OAEP_SHA256_MGF1SHA256 } else { &OAEP_SHA1_MGF1SHA1 };
        for wrong in [oaep(&parameters.public_key, other, &[7; 32]), wrapped[1..].to_vec(), Vec::new()] {
            assert_eq!(refusal(setting.import(&token, &wrong)), HsmError::InvalidCiphertext);
        }
        for length in [0, 16, 31, 33] {
            let wrapped = oaep(&parameters.public_key, hash, &vec![7; length]);
            assert!(matches!(refusal(setting.import(&token, &wrapped)), HsmError::InvalidKeyMaterial(_)), "{length}");
        }
    }
}

#[test]
fn key_wrapping_is_that_of_rfc_5649() {
    // RFC 5649, section 6, has vectors for a KEK of 192 bits only; this one was made with OpenSSL, through Python's cryptography.
    let kek = [1; 32];
    let wrapped = hex::decode("1b6a035a1e741d5703c34511651907fdf33dbef45294444920aeadba8cb2102a").unwrap();
    assert_eq!(*unwrap_with_padding(&kek, &wrapped).unwrap(), b"seventeen bytes!!");
    for forged in flips(&wrapped) {
        assert_eq!(unwrap_with_padding(&kek, &forged).unwrap_err(), HsmError::InvalidCiphertext);
    }
    for kek in [&[1; 16][..], &[1; 31], &[]] {
        assert_eq!(unwrap_with_padding(kek, &wrapped).unwrap_err(), HsmError::InvalidCiphertext);
    }
    for length in [0, 1, 8, 15, 17] {
        assert_eq!(unwrap_with_padding(&kek, &wrapped[..length]).unwrap_err(), HsmError::InvalidCiphertext);
    }
}

#[test]
fn a_token_is_good_for_its_key_account_and_region_only() {
    let setting = setting();
    let parameters = setting.begin(WrappingAlgorithm::RsaesOaepSha256, WrappingKeySpec::Rsa2048);
    let right = permit("kms:ImportKeyMaterial", key_id());
    let other = permit("kms:ImportKeyMaterial", other_key_id());
    let (hsm, token) = (&setting.hsm, &parameters.token);
    let open = |permit, account_key: &AccountKey, key, region: &Region, token: &[u8]| {
        refusal(hsm.open_import_token(permit, account_key, key, region, token))
    };
    assert_eq!(open(&other, &setting.account_key, other_key_id(), &region(), token), HsmError::InvalidImportToken);
    let elsewhere = account_key(hsm, other_account());
    assert_eq!(open(&right, &elsewhere, key_id(), &region(), token), HsmError::InvalidImportToken);
    let far: Region = "eu-west-1".parse().unwrap();
    assert_eq!(open(&right, &setting.account_key, key_id(), &far, token), HsmError::InvalidImportToken);
    assert_eq!(open(&other, &setting.account_key, key_id(), &region(), token), HsmError::PermitMismatch);
    let encrypt = permit("kms:Encrypt", key_id());
    assert_eq!(open(&encrypt, &setting.account_key, key_id(), &region(), token), HsmError::PermitMismatch);
    // Every byte, one bit of it.
    for index in 0..token.len() {
        let mut forged = token.clone();
        forged[index] ^= 1 << (index % 8);
        assert_eq!(open(&right, &setting.account_key, key_id(), &region(), &forged), HsmError::InvalidImportToken, "{index}");
    }
    for length in [0, 1, 5, 77, token.len() - 1] {
        assert_eq!(open(&right, &setting.account_key, key_id(), &region(), &token[..length]), HsmError::InvalidImportToken);
    }
    // What is sealed for another purpose is no token, though the same key opens it.
    let secret = hsm.create_import_secret(&setting.account_key, key_id()).unwrap();
    assert_eq!(open(&right, &setting.account_key, key_id(), &region(), &secret), HsmError::InvalidImportToken);
}

#[test]
fn a_token_opens_what_its_own_public_key_wrapped_and_does_not_hold_the_private_one_in_clear() {
    let setting = setting();
    let (one, other) = (
        setting.begin(WrappingAlgorithm::RsaesOaepSha256, WrappingKeySpec::Rsa2048),
        setting.begin(WrappingAlgorithm::RsaesOaepSha256, WrappingKeySpec::Rsa2048),
    );
    let wrapped = oaep(&one.public_key, &OAEP_SHA256_MGF1SHA256, &[7; 32]);
    let (one_token, other_token) = (setting.open(&one.token).unwrap(), setting.open(&other.token).unwrap());
    assert!(setting.import(&one_token, &wrapped).is_ok(), "a newer token does not invalidate an older one");
    assert_eq!(refusal(setting.import(&other_token, &wrapped)), HsmError::InvalidCiphertext);
    // The modulus, which both halves hold, is not to be seen in the token.
    let modulus = &one.public_key[40..72];
    assert!(!one.token.windows(modulus.len()).any(|window| window == modulus));
    assert!(one.token.len() <= 6144);
}

#[test]
fn ids_are_those_of_the_material_and_nobody_can_guess_them() {
    let setting = setting();
    let id = |byte| setting.secret.id_of(&[byte; 32]);
    assert_eq!(id(7), id(7));
    assert_ne!(id(7), id(8));
    // Another key has another secret; and without the secret, the material alone does not give the id.
    let sealed = setting.hsm.create_import_secret(&setting.account_key, key_id()).unwrap();
    let other = setting.hsm.open_import_secret(&setting.account_key, key_id(), &sealed).unwrap();
    assert_ne!(other.id_of(&[7; 32]), id(7));
    assert_ne!(Material::for_vectors(key_id(), [7; 32]).id(), id(7));
    for forged in flips(&sealed) {
        assert!(matches!(
            refusal(setting.hsm.open_import_secret(&setting.account_key, key_id(), &forged)),
            HsmError::Tampered(_)
        ));
    }
    assert!(setting.hsm.open_import_secret(&setting.account_key, other_key_id(), &sealed).is_err());
}

#[test]
fn imported_material_loads_as_what_it_is_only() {
    let setting = setting();
    let parameters = setting.begin(WrappingAlgorithm::RsaesOaepSha256, WrappingKeySpec::Rsa2048);
    let token = setting.open(&parameters.token).unwrap();
    let made = setting.import(&token, &oaep(&parameters.public_key, &OAEP_SHA256_MGF1SHA256, &[7; 32])).unwrap();
    let (hsm, account_key) = (&setting.hsm, &setting.account_key);
    let load = |key, spec, id, sealed: &[u8]| refusal(hsm.load_imported_material(account_key, key, spec, id, sealed));
    let symmetric = KeySpec::SymmetricDefault;
    let tampered = |error| matches!(error, HsmError::Tampered(_));
    assert!(tampered(load(other_key_id(), symmetric, made.id, &made.sealed)));
    assert!(tampered(load(key_id(), KeySpec::Hmac256, made.id, &made.sealed)));
    assert!(tampered(load(key_id(), symmetric, MaterialId::new([1; 32]), &made.sealed)));
    assert!(
        tampered(refusal(hsm.load_material(account_key, key_id(), symmetric, made.id, &made.sealed))),
        "it was not made here"
    );
    for forged in flips(&made.sealed) {
        assert!(tampered(load(key_id(), symmetric, made.id, &forged)));
    }
}

#[test]
fn nothing_is_imported_in_the_error_state() {
    let setting = setting();
    let parameters = setting.begin(WrappingAlgorithm::RsaesOaepSha256, WrappingKeySpec::Rsa2048);
    let token = setting.open(&parameters.token).unwrap();
    let wrapped = oaep(&parameters.public_key, &OAEP_SHA256_MGF1SHA256, &[7; 32]);
    let sealed = setting.hsm.create_import_secret(&setting.account_key, key_id()).unwrap();
    setting.hsm.state.fail("AES-256-GCM");
    let failed = HsmError::SelfTestFailed("AES-256-GCM".to_owned());
    assert_eq!(refusal(setting.open(&parameters.token)), failed);
    assert_eq!(refusal(setting.import(&token, &wrapped)), failed);
    assert_eq!(refusal(setting.hsm.create_import_secret(&setting.account_key, key_id())), failed);
    assert_eq!(refusal(setting.hsm.open_import_secret(&setting.account_key, key_id(), &sealed)), failed);
    let permit = permit("kms:GetParametersForImport", key_id());
    let begun = setting.hsm.begin_import(
        &permit,
        &setting.account_key,
        key_id(),
        &region(),
        WrappingAlgorithm::RsaesOaepSha256,
        WrappingKeySpec::Rsa2048,
        VALID_TO,
    );
    assert_eq!(refusal(begun), failed);
}
