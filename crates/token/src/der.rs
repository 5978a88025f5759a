//! The little DER (ITU-T X.690) that stands between PKCS#11's attributes and everybody else: public keys and ECDSA signatures.

use crate::wire::Curve;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// rsaEncryption with its NULL parameters (RFC 8017, appendix A.1), as a whole AlgorithmIdentifier.
const RSA_ENCRYPTION: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// id-ecPublicKey (RFC 5480, section 2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

impl Curve {
    /// The curve's name as an object identifier in DER, which is what `CKA_EC_PARAMS` holds (RFC 5480, section 2.1.1.1).
    pub fn parameters(self) -> &'static [u8] {
        match self {
            Self::P256 => &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Self::P384 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
            Self::P521 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23],
        }
    }

    /// The curve that these parameters name.
    pub fn of_parameters(parameters: &[u8]) -> Option<Self> {
        [Self::P256, Self::P384, Self::P521].into_iter().find(|curve| curve.parameters() == parameters)
    }

    /// Bytes of a coordinate.
    pub fn field_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// SubjectPublicKeyInfo of an RSA key (RFC 8017, appendix A.1.1).
pub fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = element(SEQUENCE, &[integer(modulus), integer(exponent)].concat());
    element(SEQUENCE, &[RSA_ENCRYPTION.to_vec(), bit_string(&key)].concat())
}

/// SubjectPublicKeyInfo of a point (RFC 5480, section 2).
pub fn ec_spki(curve: Curve, point: &[u8]) -> Vec<u8> {
    let algorithm = element(SEQUENCE, &[EC_PUBLIC_KEY, curve.parameters()].concat());
    element(SEQUENCE, &[algorithm, bit_string(point)].concat())
}

/// The curve and the point of a SubjectPublicKeyInfo. None when it is not one of an uncompressed point on one of our curves.
pub fn ec_point_of_spki(spki: &[u8]) -> Option<(Curve, &[u8])> {
    [Curve::P256, Curve::P384, Curve::P521].into_iter().find_map(|curve| {
        let point_bytes = 1 + 2 * curve.field_bytes();
        let point = spki.get(spki.len().checked_sub(point_bytes)?..)?;
        (ec_spki(curve, point) == spki && point.first() == Some(&4)).then_some((curve, point))
    })
}

/// Takes `CKA_EC_POINT` apart: an OCTET STRING around the point (PKCS#11 3.1, section 6.3.3), or the point alone as some tokens have it.
pub fn ec_point_of_attribute(curve: Curve, value: &[u8]) -> Option<&[u8]> {
    let point_bytes = 1 + 2 * curve.field_bytes();
    let point = value.get(value.len().checked_sub(point_bytes)?..)?;
    let wrapped = octet_string(point);
    (point.first() == Some(&4) && (value == point || value == wrapped)).then_some(point)
}

/// An ECDSA signature as PKCS#11 has it (r and s, one behind the other) in the form of everybody else (RFC 3279, section 2.2.3). None when
/// its length is odd, or zero.
pub fn ecdsa_signature(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(raw.len() / 2)?;
    (r.len() == s.len() && !r.is_empty()).then(|| element(SEQUENCE, &[integer(r), integer(s)].concat()))
}

/// Bytes as an OCTET STRING.
pub fn octet_string(bytes: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, bytes)
}

/// A number that is not negative, without leading zeros but for the one that keeps it so.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = bytes.get(start..).unwrap_or_default();
    let needs_zero = digits.first().is_none_or(|byte| byte & 0x80 != 0);
    let mut content = if needs_zero { vec![0] } else { Vec::new() };
    content.extend_from_slice(digits);
    element(INTEGER, &content)
}

fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let start = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
    let digits = length.get(start..).unwrap_or_default();
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(u8::MAX));
    }
    out.extend_from_slice(digits);
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    use super::*;

    #[test]
    fn public_keys_are_written_as_aws_lc_writes_them() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let spki = ec_spki(Curve::P384, pair.public_key().as_ref());
        let theirs: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        assert_eq!(spki, theirs.as_ref());
        assert_eq!(ec_point_of_spki(&spki), Some((Curve::P384, pair.public_key().as_ref())));
        assert_eq!(ec_point_of_spki(&spki[1..]), None);

        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        // RSAPublicKey in DER: behind nine bytes the modulus, and 65537 at the end.
        let spki = rsa_spki(&public.as_ref()[9..265], &[1, 0, 1]);
        let theirs: aws_lc_rs::encoding::PublicKeyX509Der<'_> = public.as_der().unwrap();
        assert_eq!(spki, theirs.as_ref());
    }

    #[test]
    fn points_are_taken_with_and_without_their_wrapping() {
        let mut point = vec![4; 65];
        assert_eq!(ec_point_of_attribute(Curve::P256, &point), Some(point.as_slice()));
        let wrapped = element(OCTET_STRING, &point);
        assert_eq!(ec_point_of_attribute(Curve::P256, &wrapped), Some(point.as_slice()));
        assert_eq!(ec_point_of_attribute(Curve::P384, &wrapped), None);
        point[0] = 2;
        assert_eq!(ec_point_of_attribute(Curve::P256, &point), None, "compressed");
    }

    #[test]
    fn signatures_become_sequences_of_two_numbers() {
        assert_eq!(ecdsa_signature(&[0, 1, 0x80, 2]).unwrap(), [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 2]);
        assert_eq!(ecdsa_signature(&[0, 0]).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
        assert_eq!(ecdsa_signature(&[]), None);
        assert_eq!(ecdsa_signature(&[1, 2, 3]), None);
    }
}
