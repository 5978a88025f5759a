//! Certificates that are kept for others, and not believed here.

use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::BasicConstraints;

/// Whether these bytes are an X.509 certificate in DER (RFC 5280, section 4.1), whoever made it.
pub fn is_certificate(der: &[u8]) -> bool {
    Certificate::from_der(der).is_ok()
}

/// Whether these bytes are the certificate of an authority: one that may sign others (RFC 5280, section 4.2.1.9).
pub fn is_authority(der: &[u8]) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else { return false };
    let constraints = certificate.tbs_certificate().get_extension::<BasicConstraints>();
    matches!(constraints, Ok(Some((_, BasicConstraints { ca: true, .. }))))
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
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        assert!(is_authority(parameters.self_signed(&key).unwrap().der()));
        parameters.is_ca = rcgen::IsCa::ExplicitNoCa;
        assert!(
            !is_authority(parameters.self_signed(&key).unwrap().der()) && !is_authority(&der) && !is_authority(b"no certificate")
        );
    }
}
