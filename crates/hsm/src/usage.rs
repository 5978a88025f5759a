//! The use of symmetric keys, and what symmetric and asymmetric keys do together. Each function takes the permit that authorisation made, and refuses one that is for another key or another action.

use claviger_domain::key::EncryptionAlgorithm;
use claviger_domain::{EncryptionContext, Permit};
use zeroize::Zeroizing;

use crate::envelope::{self, Envelope};
use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::material::Material;

/// What ReEncrypt decrypts, and how.
pub enum Source<'a> {
    /// A ciphertext envelope, under symmetric material.
    Symmetric {
        /// The material that made it.
        material: &'a Material,
        /// What it is bound to.
        context: &'a EncryptionContext,
        /// The ciphertext.
        envelope: &'a Envelope<'a>,
    },
    /// A ciphertext for the holder of a private key.
    Asymmetric {
        /// The key pair.
        material: &'a Material,
        /// How it was encrypted.
        algorithm: EncryptionAlgorithm,
        /// The ciphertext.
        ciphertext: &'a [u8],
    },
}

impl<'a> Source<'a> {
    fn material(&self) -> &'a Material {
        match self {
            Self::Symmetric { material, .. } | Self::Asymmetric { material, .. } => material,
        }
    }
}

/// How ReEncrypt encrypts.
pub enum Destination<'a> {
    /// Into a ciphertext envelope, under symmetric material.
    Symmetric {
        /// The material.
        material: &'a Material,
        /// What the new ciphertext will be bound to.
        context: &'a EncryptionContext,
    },
    /// For the holder of a private key.
    Asymmetric {
        /// The key pair.
        material: &'a Material,
        /// How to encrypt.
        algorithm: EncryptionAlgorithm,
    },
}

impl<'a> Destination<'a> {
    fn material(&self) -> &'a Material {
        match self {
            Self::Symmetric { material, .. } | Self::Asymmetric { material, .. } => material,
        }
    }
}

impl Hsm {
    /// Encrypts under symmetric material (`kms:Encrypt`). How long a plaintext may be is the caller's business.
    pub fn encrypt(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        self.demand(permit, "kms:Encrypt", material)?;
        envelope::seal(material, context, plaintext)
    }

    /// Decrypts under symmetric material (`kms:Decrypt`). Any failure is [`HsmError::InvalidCiphertext`] and takes as long as any other.
    pub fn decrypt(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        envelope: &Envelope<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.demand(permit, "kms:Decrypt", material)?;
        envelope::open(material, context, envelope)
    }

    /// Decrypts under one key (`kms:ReEncryptFrom`) and encrypts under another, or the same (`kms:ReEncryptTo`). The plaintext stays inside.
    ///
    /// # Errors
    /// [`HsmError::InvalidCiphertext`], and [`HsmError::PlaintextTooLong`] where the destination is a key pair.
    pub fn re_encrypt(
        &self,
        from: &Permit,
        source: &Source<'_>,
        to: &Permit,
        destination: &Destination<'_>,
    ) -> Result<Vec<u8>, HsmError> {
        self.demand(to, "kms:ReEncryptTo", destination.material())?;
        self.re_encrypt_to(to, destination, &self.re_encrypt_from(from, source)?)
    }

    /// The first half of [`Self::re_encrypt`], where the other key's material is in a custom key store: then the plaintext has to come out.
    ///
    /// # Errors
    /// [`HsmError::InvalidCiphertext`].
    pub fn re_encrypt_from(&self, from: &Permit, source: &Source<'_>) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.demand(from, "kms:ReEncryptFrom", source.material())?;
        match source {
            Source::Symmetric { material, context, envelope } => envelope::open(material, context, envelope),
            Source::Asymmetric { material, algorithm, ciphertext } => material.pair()?.decrypt(*algorithm, ciphertext),
        }
    }

    /// The second half of [`Self::re_encrypt`].
    ///
    /// # Errors
    /// [`HsmError::PlaintextTooLong`] where the destination is a key pair.
    pub fn re_encrypt_to(&self, to: &Permit, destination: &Destination<'_>, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        self.demand(to, "kms:ReEncryptTo", destination.material())?;
        match destination {
            Destination::Symmetric { material, context } => envelope::seal(material, context, plaintext),
            Destination::Asymmetric { material, algorithm } => material.pair()?.encrypt(*algorithm, plaintext),
        }
    }

    /// A random data key, in plaintext and encrypted (`kms:GenerateDataKey`).
    pub fn generate_data_key(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        length: usize,
    ) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), HsmError> {
        self.demand(permit, "kms:GenerateDataKey", material)?;
        let plaintext = random(length)?;
        let ciphertext = envelope::seal(material, context, &plaintext)?;
        Ok((plaintext, ciphertext))
    }

    /// A random data key, encrypted only (`kms:GenerateDataKeyWithoutPlaintext`).
    pub fn generate_data_key_without_plaintext(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        length: usize,
    ) -> Result<Vec<u8>, HsmError> {
        self.demand(permit, "kms:GenerateDataKeyWithoutPlaintext", material)?;
        envelope::seal(material, context, &random(length)?)
    }

    /// Random bytes (`kms:GenerateRandom`).
    pub fn generate_random(&self, permit: &Permit, length: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.state.check()?;
        if permit.action() != "kms:GenerateRandom" {
            return Err(HsmError::PermitMismatch);
        }
        random(length)
    }

    /// Fills with random bytes that may be public: for ids. The same generator as for keys.
    pub fn fill_public(&self, out: &mut [u8]) -> Result<(), HsmError> {
        self.state.check()?;
        fill(out)
    }

    pub(crate) fn demand(&self, permit: &Permit, action: &str, material: &Material) -> Result<(), HsmError> {
        self.state.check()?;
        if permit.action() == action && permit.covers(material.key_id()) { Ok(()) } else { Err(HsmError::PermitMismatch) }
    }
}

pub(crate) fn random(length: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(out: &mut [u8]) -> Result<(), HsmError> {
    aws_lc_rs::rand::fill(out).map_err(|_| HsmError::Primitive("the random generator"))
}

#[cfg(test)]
mod tests {
    use claviger_domain::key::KeySpec;

    use super::*;
    use crate::hierarchy::AccountKey;
    use crate::testing::{account, account_key, hsm, key_id, material, other_key_id, permit, permit_without_key, refusal};

    fn setting() -> (Hsm, AccountKey, Material, Material) {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let (one, other) = (material(&hsm, &key, key_id()), material(&hsm, &key, other_key_id()));
        (hsm, key, one, other)
    }

    #[test]
    fn what_was_encrypted_is_decrypted() {
        let (hsm, _, material, _) = setting();
        let none = EncryptionContext::default();
        let sealed = hsm.encrypt(&permit("kms:Encrypt", key_id()), &material, &none, b"hello").unwrap();
        let envelope = Envelope::parse(&sealed).unwrap();
        assert_eq!(*hsm.decrypt(&permit("kms:Decrypt", key_id()), &material, &none, &envelope).unwrap(), b"hello");
    }

    #[test]
    fn data_keys_are_what_their_ciphertext_holds() {
        let (hsm, _, material, _) = setting();
        let none = EncryptionContext::default();
        let decrypt = permit("kms:Decrypt", key_id());
        let permit_to_generate = permit("kms:GenerateDataKey", key_id());
        for length in [1, 16, 32, 1024] {
            let (plaintext, sealed) = hsm.generate_data_key(&permit_to_generate, &material, &none, length).unwrap();
            assert_eq!(plaintext.len(), length);
            assert_eq!(hsm.decrypt(&decrypt, &material, &none, &Envelope::parse(&sealed).unwrap()).unwrap(), plaintext);
        }
        let without = permit("kms:GenerateDataKeyWithoutPlaintext", key_id());
        let sealed = hsm.generate_data_key_without_plaintext(&without, &material, &none, 32).unwrap();
        let opened = hsm.decrypt(&decrypt, &material, &none, &Envelope::parse(&sealed).unwrap()).unwrap();
        assert_eq!(opened.len(), 32);
        assert_ne!(*opened, [0; 32]);
    }

    #[test]
    fn re_encryption_moves_a_plaintext_to_another_key_and_context() {
        let (hsm, _, source, destination) = setting();
        let none = EncryptionContext::default();
        let some = EncryptionContext::new([("a".to_owned(), "b".to_owned())].into());
        let (from, to) = (permit("kms:ReEncryptFrom", key_id()), permit("kms:ReEncryptTo", other_key_id()));
        let sealed = hsm.encrypt(&permit("kms:Encrypt", key_id()), &source, &none, b"hello").unwrap();
        let envelope = Envelope::parse(&sealed).unwrap();
        let old = |context| Source::Symmetric { material: &source, context, envelope: &envelope };
        let new = Destination::Symmetric { material: &destination, context: &some };
        let moved = hsm.re_encrypt(&from, &old(&none), &to, &new).unwrap();
        let moved = Envelope::parse(&moved).unwrap();
        let decrypt = permit("kms:Decrypt", other_key_id());
        assert_eq!(*hsm.decrypt(&decrypt, &destination, &some, &moved).unwrap(), b"hello");
        assert_eq!(hsm.decrypt(&decrypt, &destination, &none, &moved), Err(HsmError::InvalidCiphertext));
        // From the wrong context, and with the two permits exchanged.
        let wrong = hsm.re_encrypt(&from, &old(&some), &to, &new);
        assert_eq!(wrong, Err(HsmError::InvalidCiphertext));
        let exchanged = hsm.re_encrypt(&to, &old(&none), &from, &new);
        assert_eq!(exchanged, Err(HsmError::PermitMismatch));
    }

    #[test]
    fn a_permit_serves_its_own_action_on_its_own_key_only() {
        let (hsm, _, material, _) = setting();
        let none = EncryptionContext::default();
        let sealed = hsm.encrypt(&permit("kms:Encrypt", key_id()), &material, &none, b"hello").unwrap();
        let envelope = Envelope::parse(&sealed).unwrap();
        let actions = [
            "kms:Encrypt",
            "kms:Decrypt",
            "kms:GenerateDataKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
            "kms:DescribeKey",
        ];
        let (from, to) = (permit("kms:ReEncryptFrom", key_id()), permit("kms:ReEncryptTo", key_id()));
        let source = Source::Symmetric { material: &material, context: &none, envelope: &envelope };
        let destination = Destination::Symmetric { material: &material, context: &none };
        for action in actions {
            for key in [key_id(), other_key_id()] {
                let given = permit(action, key);
                let expected =
                    |served: &str| if action == served && key == key_id() { None } else { Some(HsmError::PermitMismatch) };
                assert_eq!(hsm.encrypt(&given, &material, &none, b"x").err(), expected("kms:Encrypt"));
                assert_eq!(hsm.decrypt(&given, &material, &none, &envelope).err(), expected("kms:Decrypt"));
                assert_eq!(hsm.generate_data_key(&given, &material, &none, 1).err(), expected("kms:GenerateDataKey"));
                assert_eq!(
                    hsm.generate_data_key_without_plaintext(&given, &material, &none, 1).err(),
                    expected("kms:GenerateDataKeyWithoutPlaintext")
                );
                assert_eq!(hsm.re_encrypt(&given, &source, &to, &destination).err(), expected("kms:ReEncryptFrom"));
                assert_eq!(hsm.re_encrypt(&from, &source, &given, &destination).err(), expected("kms:ReEncryptTo"));
                assert_eq!(hsm.generate_random(&given, 1).err(), Some(HsmError::PermitMismatch));
            }
        }
        // A permit for no key is a permit for no key.
        assert_eq!(hsm.encrypt(&permit_without_key("kms:Encrypt"), &material, &none, b"x"), Err(HsmError::PermitMismatch));
    }

    #[test]
    fn random_bytes_are_as_many_as_asked_for() {
        let (hsm, ..) = setting();
        let given = permit_without_key("kms:GenerateRandom");
        for length in [0, 1, 1024] {
            assert_eq!(hsm.generate_random(&given, length).unwrap().len(), length);
        }
        assert_ne!(hsm.generate_random(&given, 32).unwrap(), hsm.generate_random(&given, 32).unwrap());
        let mut id = [0; 16];
        hsm.fill_public(&mut id).unwrap();
        assert_ne!(id, [0; 16]);
    }

    #[test]
    fn nothing_is_done_in_the_error_state() {
        let (hsm, key, material, _) = setting();
        let none = EncryptionContext::default();
        let sealed = hsm.encrypt(&permit("kms:Encrypt", key_id()), &material, &none, b"hello").unwrap();
        let envelope = Envelope::parse(&sealed).unwrap();
        let access_key = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
        let (_, sealed_secret) = hsm.create_access_secret(&key, &access_key).unwrap();
        let secret = hsm.open_access_secret(&key, &access_key, &sealed_secret).unwrap();
        let signing = secret.signing_key("20261122", "us-east-1", "kms").unwrap();
        let signature = signing.sign(b"x").unwrap();
        let (sealed_signer, _) = hsm.create_log_signer(&key, "node").unwrap();
        let signer = hsm.open_log_signer(&key, "node", &sealed_signer).unwrap();
        let token = hsm.seal_token("marker", b"x").unwrap();
        let record = crate::RecordIdentity {
            account: account(),
            kind: "key",
            id: "1",
            version: 1,
            account_key_version: 1,
            scope: "",
            owner: "",
            due: None,
        };
        let sealed_record = hsm.seal_record(&key, &record, b"x").unwrap();
        let sealed_account_key = hsm.create_account_key(account(), 1).unwrap();
        let made = hsm.generate_material(&key, key_id(), KeySpec::SymmetricDefault).unwrap();
        assert!(hsm.failure().is_none() && hsm.check().is_ok() && signing.verify(b"x", &signature));

        let import_secret = crate::testing::import_secret(&hsm, &key);
        hsm.state.fail("AES-256-GCM");
        hsm.state.fail("something later");

        assert_eq!(hsm.failure(), Some("AES-256-GCM"));
        let failed = HsmError::SelfTestFailed("AES-256-GCM".to_owned());
        let (from, to) = (permit("kms:ReEncryptFrom", key_id()), permit("kms:ReEncryptTo", key_id()));
        let source = Source::Symmetric { material: &material, context: &none, envelope: &envelope };
        let destination = Destination::Symmetric { material: &material, context: &none };
        let errors = [
            refusal(hsm.check()),
            refusal(hsm.encrypt(&permit("kms:Encrypt", key_id()), &material, &none, b"x")),
            refusal(hsm.decrypt(&permit("kms:Decrypt", key_id()), &material, &none, &envelope)),
            refusal(hsm.re_encrypt(&from, &source, &to, &destination)),
            refusal(hsm.generate_data_key(&permit("kms:GenerateDataKey", key_id()), &material, &none, 1)),
            refusal(hsm.generate_data_key_without_plaintext(
                &permit("kms:GenerateDataKeyWithoutPlaintext", key_id()),
                &material,
                &none,
                1,
            )),
            refusal(hsm.generate_random(&permit_without_key("kms:GenerateRandom"), 1)),
            refusal(hsm.fill_public(&mut [0])),
            refusal(hsm.seal_token("marker", b"x")),
            refusal(hsm.open_token("marker", &token)),
            refusal(hsm.seal_record(&key, &record, b"x")),
            refusal(hsm.open_record(&key, &record, &sealed_record)),
            refusal(hsm.create_account_key(account(), 1)),
            refusal(hsm.open_account_key(account(), 1, &sealed_account_key)),
            refusal(hsm.generate_material(&key, key_id(), KeySpec::SymmetricDefault)),
            refusal(hsm.new_material(&key, &import_secret, KeySpec::SymmetricDefault, &[1; 32])),
            refusal(hsm.load_material(&key, key_id(), KeySpec::SymmetricDefault, made.id, &made.sealed)),
            refusal(hsm.create_access_secret(&key, &access_key)),
            refusal(hsm.open_access_secret(&key, &access_key, &sealed_secret)),
            refusal(secret.signing_key("20261122", "us-east-1", "kms")),
            refusal(signing.sign(b"x")),
            refusal(hsm.create_log_signer(&key, "node")),
            refusal(hsm.open_log_signer(&key, "node", &sealed_signer)),
            refusal(signer.sign(b"x")),
            refusal(hsm.add_seal(&crate::testing::deployment().1, "more", &crate::testing::file(3))),
        ];
        for error in errors {
            assert_eq!(error, failed);
        }
        assert!(!signing.verify(b"x", &signature));
    }
}
