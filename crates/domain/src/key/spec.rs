//! What kinds of material there are, and what each can be used for. Source: AWS KMS service model (`KeySpec`, `KeyUsageType`,
//! `EncryptionAlgorithmSpec` and their kin); AWS KMS Developer Guide, "Key spec reference".

use crate::names::names;

names! {
    /// What kind of material a key has.
    KeySpec, "a key spec" {
        /// An RSA key pair with a modulus of 2048 bits.
        Rsa2048 = "RSA_2048",
        /// An RSA key pair with a modulus of 3072 bits.
        Rsa3072 = "RSA_3072",
        /// An RSA key pair with a modulus of 4096 bits.
        Rsa4096 = "RSA_4096",
        /// A key pair on NIST's curve P-256 (secp256r1).
        EccNistP256 = "ECC_NIST_P256",
        /// A key pair on NIST's curve P-384 (secp384r1).
        EccNistP384 = "ECC_NIST_P384",
        /// A key pair on NIST's curve P-521 (secp521r1).
        EccNistP521 = "ECC_NIST_P521",
        /// A key pair on the curve secp256k1.
        EccSecgP256k1 = "ECC_SECG_P256K1",
        /// A 256-bit key for KC-XAES-256-GCM (design/crypto.md).
        SymmetricDefault = "SYMMETRIC_DEFAULT",
        /// 28 bytes for HMAC-SHA-224.
        Hmac224 = "HMAC_224",
        /// 32 bytes for HMAC-SHA-256.
        Hmac256 = "HMAC_256",
        /// 48 bytes for HMAC-SHA-384.
        Hmac384 = "HMAC_384",
        /// 64 bytes for HMAC-SHA-512.
        Hmac512 = "HMAC_512",
        /// A key pair on the curve of SM2 (GB/T 32918).
        Sm2 = "SM2",
        /// A key pair for ML-DSA-44 (FIPS 204).
        MlDsa44 = "ML_DSA_44",
        /// A key pair for ML-DSA-65 (FIPS 204).
        MlDsa65 = "ML_DSA_65",
        /// A key pair for ML-DSA-87 (FIPS 204).
        MlDsa87 = "ML_DSA_87",
        /// A key pair for Ed25519 (RFC 8032).
        EccNistEdwards25519 = "ECC_NIST_EDWARDS25519",
        /// A key pair for ML-KEM-512 (FIPS 203).
        MlKem512 = "ML_KEM_512",
        /// A key pair for ML-KEM-768 (FIPS 203).
        MlKem768 = "ML_KEM_768",
        /// A key pair for ML-KEM-1024 (FIPS 203).
        MlKem1024 = "ML_KEM_1024",
    }
}

names! {
    /// What a key may be used for.
    KeyUsage, "a key usage" {
        /// Sign and Verify.
        SignVerify = "SIGN_VERIFY",
        /// Encrypt, Decrypt, ReEncrypt; with symmetric keys also data keys.
        EncryptDecrypt = "ENCRYPT_DECRYPT",
        /// GenerateMac and VerifyMac.
        GenerateVerifyMac = "GENERATE_VERIFY_MAC",
        /// DeriveSharedSecret.
        KeyAgreement = "KEY_AGREEMENT",
        /// Encapsulate and Decapsulate.
        EncapsulateDecapsulate = "ENCAPSULATE_DECAPSULATE",
    }
}

names! {
    /// How a key encrypts.
    EncryptionAlgorithm, "an encryption algorithm" {
        /// KC-XAES-256-GCM under a symmetric key (design/crypto.md).
        SymmetricDefault = "SYMMETRIC_DEFAULT",
        /// RSAES-OAEP with SHA-1 (RFC 8017, section 7.1).
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        /// RSAES-OAEP with SHA-256 (RFC 8017, section 7.1).
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
        /// SM2 public key encryption (GB/T 32918.4).
        Sm2pke = "SM2PKE",
    }
}

names! {
    /// How a key signs.
    SigningAlgorithm, "a signing algorithm" {
        /// RSASSA-PSS with SHA-256, the salt as long as the digest (RFC 8017, section 8.1).
        RsassaPssSha256 = "RSASSA_PSS_SHA_256",
        /// RSASSA-PSS with SHA-384.
        RsassaPssSha384 = "RSASSA_PSS_SHA_384",
        /// RSASSA-PSS with SHA-512.
        RsassaPssSha512 = "RSASSA_PSS_SHA_512",
        /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2).
        RsassaPkcs1V15Sha256 = "RSASSA_PKCS1_V1_5_SHA_256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        RsassaPkcs1V15Sha384 = "RSASSA_PKCS1_V1_5_SHA_384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        RsassaPkcs1V15Sha512 = "RSASSA_PKCS1_V1_5_SHA_512",
        /// ECDSA with SHA-256, on P-256 and secp256k1 (FIPS 186-5, section 6).
        EcdsaSha256 = "ECDSA_SHA_256",
        /// ECDSA with SHA-384, on P-384.
        EcdsaSha384 = "ECDSA_SHA_384",
        /// ECDSA with SHA-512, on P-521.
        EcdsaSha512 = "ECDSA_SHA_512",
        /// SM2 signatures with SM3 (GB/T 32918.2).
        Sm2dsa = "SM2DSA",
        /// ML-DSA (FIPS 204).
        MlDsaShake256 = "ML_DSA_SHAKE_256",
        /// Ed25519 over the message itself (RFC 8032, section 5.1).
        Ed25519Sha512 = "ED25519_SHA_512",
        /// Ed25519ph: Ed25519 over the message's SHA-512 digest (RFC 8032, section 5.1).
        Ed25519PhSha512 = "ED25519_PH_SHA_512",
    }
}

names! {
    /// How a key makes codes.
    MacAlgorithm, "a MAC algorithm" {
        /// HMAC with SHA-224 (FIPS 198-1).
        HmacSha224 = "HMAC_SHA_224",
        /// HMAC with SHA-256.
        HmacSha256 = "HMAC_SHA_256",
        /// HMAC with SHA-384.
        HmacSha384 = "HMAC_SHA_384",
        /// HMAC with SHA-512.
        HmacSha512 = "HMAC_SHA_512",
    }
}

names! {
    /// How a key agrees on a secret.
    KeyAgreementAlgorithm, "a key agreement algorithm" {
        /// Elliptic curve cofactor Diffie-Hellman (NIST SP 800-56A, section 5.7.1.2).
        Ecdh = "ECDH",
    }
}

names! {
    /// How a key encapsulates a secret.
    EncapsulationAlgorithm, "an encapsulation algorithm" {
        /// ML-KEM (FIPS 203).
        MlKem = "ML_KEM",
    }
}

names! {
    /// What the message of Sign and Verify is.
    MessageType, "a message type" {
        /// The message itself.
        Raw = "RAW",
        /// The message's digest.
        Digest = "DIGEST",
        /// The message representative µ of ML-DSA, 64 bytes (FIPS 204, section 6.2).
        ExternalMu = "EXTERNAL_MU",
    }
}

names! {
    /// What GenerateDataKeyPair makes.
    DataKeyPairSpec, "a data key pair spec" {
        /// As [`KeySpec::Rsa2048`].
        Rsa2048 = "RSA_2048",
        /// As [`KeySpec::Rsa3072`].
        Rsa3072 = "RSA_3072",
        /// As [`KeySpec::Rsa4096`].
        Rsa4096 = "RSA_4096",
        /// As [`KeySpec::EccNistP256`].
        EccNistP256 = "ECC_NIST_P256",
        /// As [`KeySpec::EccNistP384`].
        EccNistP384 = "ECC_NIST_P384",
        /// As [`KeySpec::EccNistP521`].
        EccNistP521 = "ECC_NIST_P521",
        /// As [`KeySpec::EccSecgP256k1`].
        EccSecgP256k1 = "ECC_SECG_P256K1",
        /// As [`KeySpec::Sm2`].
        Sm2 = "SM2",
        /// As [`KeySpec::EccNistEdwards25519`].
        EccNistEdwards25519 = "ECC_NIST_EDWARDS25519",
        /// As [`KeySpec::MlKem512`].
        MlKem512 = "ML_KEM_512",
        /// As [`KeySpec::MlKem768`].
        MlKem768 = "ML_KEM_768",
        /// As [`KeySpec::MlKem1024`].
        MlKem1024 = "ML_KEM_1024",
    }
}

impl KeySpec {
    /// What a key of this spec may be used for: one of these, chosen when it is made.
    pub fn usages(self) -> &'static [KeyUsage] {
        use KeyUsage as U;
        match self {
            Self::SymmetricDefault => &[U::EncryptDecrypt],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[U::EncryptDecrypt, U::SignVerify],
            Self::EccNistP256 | Self::EccNistP384 | Self::EccNistP521 => &[U::SignVerify, U::KeyAgreement],
            Self::EccSecgP256k1 | Self::EccNistEdwards25519 | Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => &[U::SignVerify],
            Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512 => &[U::GenerateVerifyMac],
            Self::Sm2 => &[U::EncryptDecrypt, U::SignVerify, U::KeyAgreement],
            Self::MlKem512 | Self::MlKem768 | Self::MlKem1024 => &[U::EncapsulateDecapsulate],
        }
    }

    /// Whether the material is a key pair, with a public half that anybody may have.
    pub fn is_asymmetric(self) -> bool {
        self != Self::SymmetricDefault && !self.is_hmac()
    }

    /// Whether the material is for HMAC.
    pub fn is_hmac(self) -> bool {
        matches!(self, Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512)
    }

    /// How a key of this spec encrypts; empty where it does not.
    pub fn encryption_algorithms(self) -> &'static [EncryptionAlgorithm] {
        match self {
            Self::SymmetricDefault => &[EncryptionAlgorithm::SymmetricDefault],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => {
                &[EncryptionAlgorithm::RsaesOaepSha1, EncryptionAlgorithm::RsaesOaepSha256]
            }
            Self::Sm2 => &[EncryptionAlgorithm::Sm2pke],
            _ => &[],
        }
    }

    /// How a key of this spec signs; empty where it does not.
    pub fn signing_algorithms(self) -> &'static [SigningAlgorithm] {
        use SigningAlgorithm as S;
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                S::RsassaPkcs1V15Sha256,
                S::RsassaPkcs1V15Sha384,
                S::RsassaPkcs1V15Sha512,
                S::RsassaPssSha256,
                S::RsassaPssSha384,
                S::RsassaPssSha512,
            ],
            Self::EccNistP256 | Self::EccSecgP256k1 => &[S::EcdsaSha256],
            Self::EccNistP384 => &[S::EcdsaSha384],
            Self::EccNistP521 => &[S::EcdsaSha512],
            Self::EccNistEdwards25519 => &[S::Ed25519Sha512, S::Ed25519PhSha512],
            Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => &[S::MlDsaShake256],
            Self::Sm2 => &[S::Sm2dsa],
            _ => &[],
        }
    }

    /// The code that a key of this spec makes.
    pub fn mac_algorithm(self) -> Option<MacAlgorithm> {
        match self {
            Self::Hmac224 => Some(MacAlgorithm::HmacSha224),
            Self::Hmac256 => Some(MacAlgorithm::HmacSha256),
            Self::Hmac384 => Some(MacAlgorithm::HmacSha384),
            Self::Hmac512 => Some(MacAlgorithm::HmacSha512),
            _ => None,
        }
    }
}

impl DataKeyPairSpec {
    /// The spec of a key with such material.
    pub fn key_spec(self) -> KeySpec {
        match self {
            Self::Rsa2048 => KeySpec::Rsa2048,
            Self::Rsa3072 => KeySpec::Rsa3072,
            Self::Rsa4096 => KeySpec::Rsa4096,
            Self::EccNistP256 => KeySpec::EccNistP256,
            Self::EccNistP384 => KeySpec::EccNistP384,
            Self::EccNistP521 => KeySpec::EccNistP521,
            Self::EccSecgP256k1 => KeySpec::EccSecgP256k1,
            Self::Sm2 => KeySpec::Sm2,
            Self::EccNistEdwards25519 => KeySpec::EccNistEdwards25519,
            Self::MlKem512 => KeySpec::MlKem512,
            Self::MlKem768 => KeySpec::MlKem768,
            Self::MlKem1024 => KeySpec::MlKem1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usage_of_a_spec_has_an_algorithm() {
        for spec in KeySpec::ALL {
            assert!(!spec.usages().is_empty());
            for usage in spec.usages() {
                let served = match usage {
                    KeyUsage::EncryptDecrypt => !spec.encryption_algorithms().is_empty(),
                    KeyUsage::SignVerify => !spec.signing_algorithms().is_empty(),
                    KeyUsage::GenerateVerifyMac => spec.mac_algorithm().is_some(),
                    // One algorithm each, whatever the spec.
                    KeyUsage::KeyAgreement | KeyUsage::EncapsulateDecapsulate => spec.is_asymmetric(),
                };
                assert!(served, "{spec} {usage}");
            }
        }
    }

    #[test]
    fn data_key_pairs_are_named_like_the_keys_of_their_kind() {
        for spec in DataKeyPairSpec::ALL {
            assert_eq!(spec.as_str(), spec.key_spec().as_str());
        }
    }
}
