//! From what the service does with keys to what tokens do.

use aws_lc_rs::{constant_time, digest};
use claviger_domain::key::{EncryptionAlgorithm, KeySpec, KeyUsage, MacAlgorithm, MessageType, SigningAlgorithm};
use claviger_domain::{Kind, Refusal};
use claviger_service::key_stores::KeyUse;
use claviger_token::{Curve, Fault, Hash, KeyKind, Purpose, Scheme, Token, der};
use zeroize::Zeroizing;

/// What a token has to make for a key.
pub(super) fn kind_of(spec: KeySpec, usage: KeyUsage) -> Result<(KeyKind, Purpose), Refusal> {
    let kind = match spec {
        KeySpec::SymmetricDefault => KeyKind::Aes256,
        KeySpec::Rsa2048 => KeyKind::Rsa { bits: 2048 },
        KeySpec::Rsa3072 => KeyKind::Rsa { bits: 3072 },
        KeySpec::Rsa4096 => KeyKind::Rsa { bits: 4096 },
        KeySpec::EccNistP256 => KeyKind::Ec { curve: Curve::P256 },
        KeySpec::EccNistP384 => KeyKind::Ec { curve: Curve::P384 },
        KeySpec::EccNistP521 => KeyKind::Ec { curve: Curve::P521 },
        KeySpec::Hmac224 => KeyKind::Secret { bytes: 28 },
        KeySpec::Hmac256 => KeyKind::Secret { bytes: 32 },
        KeySpec::Hmac384 => KeyKind::Secret { bytes: 48 },
        KeySpec::Hmac512 => KeyKind::Secret { bytes: 64 },
        other => return Err(Refusal::unsupported(format!("Keys of the spec {other} are not made in clusters."))),
    };
    let purpose = match usage {
        KeyUsage::EncryptDecrypt => Purpose::Encrypt,
        KeyUsage::SignVerify => Purpose::Sign,
        KeyUsage::GenerateVerifyMac => Purpose::Mac,
        KeyUsage::KeyAgreement => Purpose::Agree,
        KeyUsage::EncapsulateDecapsulate => return Err(Refusal::unsupported("Keys for encapsulation are not made in clusters.")),
    };
    Ok((kind, purpose))
}

/// Uses a key in one token. The outer error is the request's own: no other token would do better.
pub(super) async fn perform(
    token: &Token,
    key: &[u8],
    use_of_key: KeyUse<'_>,
) -> Result<Result<Zeroizing<Vec<u8>>, Fault>, Refusal> {
    let public = |answer: Result<Vec<u8>, Fault>| answer.map(Zeroizing::new);
    Ok(match use_of_key {
        KeyUse::Encrypt { plaintext, associated_data } => public(token.encrypt(key, plaintext, associated_data).await),
        KeyUse::Decrypt { ciphertext, associated_data } => token.decrypt(key, ciphertext, associated_data).await,
        KeyUse::DecryptWithPrivate { algorithm, ciphertext } => {
            let hash = match algorithm {
                EncryptionAlgorithm::RsaesOaepSha1 => Hash::Sha1,
                EncryptionAlgorithm::RsaesOaepSha256 => Hash::Sha256,
                other => return Err(Refusal::unsupported(format!("Clusters do not decrypt with {other}."))),
            };
            token.oaep_decrypt(key, hash, ciphertext).await
        }
        KeyUse::Sign { algorithm, message_type, message } => {
            let (scheme, hash) = scheme(algorithm)?;
            let digest = match message_type {
                MessageType::Digest => message.to_vec(),
                MessageType::Raw => digest::digest(hash, message).as_ref().to_vec(),
                MessageType::ExternalMu => return Err(Refusal::unsupported("Clusters do not sign with ML-DSA.")),
            };
            public(token.sign(key, scheme, &digest).await)
        }
        KeyUse::GenerateMac { algorithm, message } => public(token.mac(key, mac_hash(algorithm), message).await),
        KeyUse::VerifyMac { algorithm, message, code } => match token.mac(key, mac_hash(algorithm), message).await {
            Ok(made) if constant_time::verify_slices_are_equal(&made, code).is_ok() => Ok(Zeroizing::default()),
            Ok(_) => return Err(Refusal::new(Kind::InvalidMac, "")),
            Err(fault) => Err(fault),
        },
        KeyUse::Agree { peer } => {
            let wrong = || Refusal::invalid("The public key is not an uncompressed point on the curve of this key.");
            let (curve, point) = der::ec_point_of_spki(peer).ok_or_else(wrong)?;
            let reference = claviger_token::Reference::parse(key).map_err(|_| super::pool::unreadable())?;
            if reference.kind != (KeyKind::Ec { curve }) {
                return Err(wrong());
            }
            // The token looks at it too; not every one does so well.
            if !is_on_curve(curve, point) {
                return Err(wrong());
            }
            token.agree(key, point).await
        }
    })
}

fn scheme(algorithm: SigningAlgorithm) -> Result<(Scheme, &'static digest::Algorithm), Refusal> {
    Ok(match algorithm {
        SigningAlgorithm::RsassaPssSha256 => (Scheme::RsaPss { hash: Hash::Sha256 }, &digest::SHA256),
        SigningAlgorithm::RsassaPssSha384 => (Scheme::RsaPss { hash: Hash::Sha384 }, &digest::SHA384),
        SigningAlgorithm::RsassaPssSha512 => (Scheme::RsaPss { hash: Hash::Sha512 }, &digest::SHA512),
        SigningAlgorithm::RsassaPkcs1V15Sha256 => (Scheme::RsaPkcs1 { hash: Hash::Sha256 }, &digest::SHA256),
        SigningAlgorithm::RsassaPkcs1V15Sha384 => (Scheme::RsaPkcs1 { hash: Hash::Sha384 }, &digest::SHA384),
        SigningAlgorithm::RsassaPkcs1V15Sha512 => (Scheme::RsaPkcs1 { hash: Hash::Sha512 }, &digest::SHA512),
        SigningAlgorithm::EcdsaSha256 => (Scheme::Ecdsa, &digest::SHA256),
        SigningAlgorithm::EcdsaSha384 => (Scheme::Ecdsa, &digest::SHA384),
        SigningAlgorithm::EcdsaSha512 => (Scheme::Ecdsa, &digest::SHA512),
        other => return Err(Refusal::unsupported(format!("Clusters do not sign with {other}."))),
    })
}

fn mac_hash(algorithm: MacAlgorithm) -> Hash {
    match algorithm {
        MacAlgorithm::HmacSha224 => Hash::Sha224,
        MacAlgorithm::HmacSha256 => Hash::Sha256,
        MacAlgorithm::HmacSha384 => Hash::Sha384,
        MacAlgorithm::HmacSha512 => Hash::Sha512,
    }
}

/// Whether AWS-LC takes the point for a public key of the curve (NIST SP 800-56A, section 5.6.2.3.3).
fn is_on_curve(curve: Curve, point: &[u8]) -> bool {
    use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384, ECDH_P521, ParsedPublicKey, UnparsedPublicKey};
    let algorithm = match curve {
        Curve::P256 => &ECDH_P256,
        Curve::P384 => &ECDH_P384,
        Curve::P521 => &ECDH_P521,
    };
    ParsedPublicKey::try_from(&UnparsedPublicKey::new(algorithm, point)).is_ok()
}
