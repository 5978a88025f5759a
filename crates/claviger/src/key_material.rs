//! Key material that a person brings: found out in which form it was written, and wrapped for its way into a server. Source: AWS KMS Developer
//! Guide, "Importing key material"; RFC 8017, section 7.1; RFC 5649.

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_domain::key::{KeySpec, WrappingAlgorithm};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::problem::Problem;

/// More than any key has in any form.
pub const MATERIAL_BYTES_MAX: usize = 64 * 1024;

const KEK_BYTES: usize = 32;

/// How material of this kind travels: key pairs are too long for RSA alone.
pub fn wrapping_algorithm(spec: KeySpec) -> WrappingAlgorithm {
    if spec.is_asymmetric() { WrappingAlgorithm::RsaAesKeyWrapSha256 } else { WrappingAlgorithm::RsaesOaepSha256 }
}

/// The material in a file: the bytes themselves, or the same in hexadecimal or base64; for key pairs PKCS#8 in DER or PEM.
///
/// # Errors
/// When it is none for a key of this kind, with what to do about it. Nothing of the material is ever shown.
pub fn read(spec: KeySpec, written: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
    match material_bytes(spec) {
        Some(length) => read_bytes(spec, length, written),
        None => read_key_pair(written),
    }
}

/// Wraps material with the public key that a server gave for it.
///
/// # Errors
/// When the public key is no RSA key, or too short for the material.
pub fn wrap(algorithm: WrappingAlgorithm, public_key: &[u8], material: &[u8]) -> Result<Vec<u8>, Problem> {
    let broken = || Problem::new("the server's answer holds no RSA public key that can be used");
    let key = PublicEncryptingKey::from_der(public_key).map_err(|_| broken())?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| broken())?;
    let encrypt = |plaintext: &[u8]| {
        let mut wrapped = vec![0; key.ciphertext_size()];
        let length = key.encrypt(&OAEP_SHA256_MGF1SHA256, plaintext, &mut wrapped, None).map(|wrapped| wrapped.len());
        let length = length.map_err(|_| Problem::new("the material is too long for the server's wrapping key"))?;
        wrapped.truncate(length);
        Ok(wrapped)
    };
    if algorithm == WrappingAlgorithm::RsaesOaepSha256 {
        return encrypt(material);
    }
    let failed = || Problem::new("the material cannot be wrapped: no memory or no randomness");
    let mut kek = Zeroizing::new([0; KEK_BYTES]);
    aws_lc_rs::rand::fill(kek.as_mut_slice()).map_err(|_| failed())?;
    let mut wrapped = encrypt(kek.as_slice())?;
    let mut rest = vec![0; material.len() + 15];
    let cipher = AesKek::new(&AES_256, kek.as_slice()).map_err(|_| failed())?;
    wrapped.extend_from_slice(cipher.wrap_with_padding(material, &mut rest).map_err(|_| failed())?);
    Ok(wrapped)
}

/// How many bytes the material of a key has; none for key pairs.
fn material_bytes(spec: KeySpec) -> Option<usize> {
    match spec {
        KeySpec::SymmetricDefault | KeySpec::Hmac256 => Some(32),
        KeySpec::Hmac224 => Some(28),
        KeySpec::Hmac384 => Some(48),
        KeySpec::Hmac512 => Some(64),
        _ => None,
    }
}

fn read_bytes(spec: KeySpec, length: usize, written: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
    if written.len() == length {
        return Ok(Zeroizing::new(written.to_vec()));
    }
    let text: Zeroizing<Vec<u8>> = Zeroizing::new(written.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
    let decoded = from_hex(&text).or_else(|| STANDARD.decode(text.as_slice()).ok().map(Zeroizing::new));
    decoded.filter(|decoded| decoded.len() == length).ok_or_else(|| {
        Problem::new(format!("this is no material for a key of spec {spec}, which has {length} bytes")).remedy(format!(
            "give exactly {length} bytes as they are, or the same in hexadecimal or base64 (openssl rand {length} makes new ones)"
        ))
    })
}

fn from_hex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

fn read_key_pair(written: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
    // A DER document begins with a SEQUENCE.
    if written.first() == Some(&0x30) {
        return Ok(Zeroizing::new(written.to_vec()));
    }
    if let Ok(key) = PrivatePkcs8KeyDer::from_pem_slice(written) {
        return Ok(Zeroizing::new(key.secret_pkcs8_der().to_vec()));
    }
    let shows = |label: &[u8]| written.windows(label.len()).any(|window| window == label);
    let remedy = if shows(b"BEGIN ENCRYPTED PRIVATE KEY") {
        "decrypt it on its way: openssl pkcs8 -in FILE -outform DER | claviger import-key - ..."
    } else {
        "turn it into PKCS#8: openssl pkcs8 -topk8 -nocrypt -in FILE -outform DER | claviger import-key - ..."
    };
    Err(Problem::new("this is no private key in PKCS#8, neither in DER nor in PEM").remedy(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_may_be_written_in_three_ways() {
        let bytes: Vec<u8> = (100..132).collect();
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let base64 = STANDARD.encode(&bytes);
        for written in [bytes.clone(), hex.clone().into_bytes(), format!("{}\n", hex.to_uppercase()).into_bytes()] {
            assert_eq!(*read(KeySpec::SymmetricDefault, &written).unwrap(), bytes);
        }
        for written in [base64.clone(), format!("{base64}\n")] {
            assert_eq!(*read(KeySpec::Hmac256, written.as_bytes()).unwrap(), bytes);
        }
        // Whatever has the right length is taken as it is, even if it looks like text.
        assert_eq!(*read(KeySpec::Hmac512, hex.as_bytes()).unwrap(), hex.as_bytes());
    }

    #[test]
    fn what_is_no_material_is_not_shown() {
        for written in [&b""[..], b"secret!", &[7; 33], &[0xff; 31]] {
            let problem = read(KeySpec::SymmetricDefault, written).unwrap_err().to_string();
            assert!(problem.contains("32 bytes") && !problem.contains("secret!"), "{problem}");
        }
        let problem = read(KeySpec::Rsa2048, b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n");
        assert!(problem.unwrap_err().to_string().contains("openssl pkcs8 -topk8"));
        let problem =
            read(KeySpec::EccNistP256, b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
        assert!(problem.unwrap_err().to_string().contains("decrypt it"));
    }

    #[test]
    fn key_pairs_come_in_der_or_pem() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let der = pair.serialize_der();
        assert_eq!(*read(KeySpec::EccNistP256, &der).unwrap(), der);
        assert_eq!(*read(KeySpec::EccNistP256, pair.serialize_pem().as_bytes()).unwrap(), der);
    }
}
