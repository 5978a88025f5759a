//! Certificates that are kept for others, and not believed here.

use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// Whether these bytes are an X.509 certificate in DER (RFC 5280, section 4.1), whoever made it.
pub fn is_certificate(der: &[u8]) -> bool {
    Certificate::from_der(der).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_told_from_other_bytes() {
        let key = rcgen::KeyPair::generate().unwrap();
        let der = rcgen::CertificateParams::default().self_signed(&key).unwrap().der().to_vec();
        assert!(is_certificate(&der));
        assert!(!is_certificate(&der[..der.len() - 1]) && !is_certificate(&[&der[..], &[0]].concat()) && !is_certificate(&[]));
        assert!(!is_certificate(&key.serialize_der()));
    }
}
