//! What the operations on hold-your-own-key stores share.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_domain::hyok::HyokStore;
use claviger_domain::policy::Policy;
use claviger_domain::{AccountId, Refusal};

/// How many stores an account may have.
pub(super) const STORES_PER_ACCOUNT: u64 = 100;
/// The highest rate that a store may have.
const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;

/// The deployment's own account has no keys to put behind a store.
pub(super) fn must_have_keys(account: AccountId) -> Result<(), Refusal> {
    if account == AccountId::DEPLOYMENT {
        return Err(Refusal::unsupported("The deployment's own account holds no keys. Name the account whose keys are meant."));
    }
    Ok(())
}

/// The policy of a store has to be one.
pub(super) fn check_policy(text: &str) -> Result<(), Refusal> {
    Policy::parse_store_policy(text).map(drop).map_err(|malformed| Refusal::malformed_policy(malformed.detail))
}

/// A rate is none, or a whole number.
pub(super) fn check_rate(requests_per_second: Option<u32>) -> Result<(), Refusal> {
    match requests_per_second {
        Some(rate) if !(1..=REQUESTS_PER_SECOND_MAX).contains(&rate) => {
            Err(Refusal::invalid(format!("A rate is 1 to {REQUESTS_PER_SECOND_MAX} requests per second, or none.")))
        }
        _ => Ok(()),
    }
}

/// The patterns of client certificates' subjects: few, short, and of the characters of names.
pub(super) fn check_client_subjects(patterns: Option<&[String]>) -> Result<(), Refusal> {
    let Some(patterns) = patterns else { return Ok(()) };
    let fits = |pattern: &String| {
        (1..=253).contains(&pattern.len())
            && pattern.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
            && pattern.split('.').all(|label| label.matches('*').count() <= 1)
    };
    if (1..=HyokStore::CLIENT_SUBJECTS_MAX).contains(&patterns.len()) && patterns.iter().all(fits) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "Client subjects are 1 to {} patterns of common names, such as cks.kms.*.amazonaws.com, with one * at most between two dots.",
        HyokStore::CLIENT_SUBJECTS_MAX
    )))
}

/// The authorities of client certificates: few, each a certificate of an authority in PEM.
pub(super) fn check_client_authorities(pem: Option<&str>) -> Result<(), Refusal> {
    let Some(pem) = pem else { return Ok(()) };
    let wrong = |why: &str| {
        Err(Refusal::invalid(format!(
            "Client authorities are 1 to {} certificates of certificate authorities in PEM form (-----BEGIN CERTIFICATE-----), of {} \
             bytes at most: {why}.",
            HyokStore::CLIENT_AUTHORITIES_MAX,
            HyokStore::CLIENT_AUTHORITIES_BYTES_MAX
        )))
    };
    if pem.len() > HyokStore::CLIENT_AUTHORITIES_BYTES_MAX {
        return wrong("these are longer");
    }
    match certificates(pem) {
        None => wrong("something here is not one"),
        Some(found) if !(1..=HyokStore::CLIENT_AUTHORITIES_MAX).contains(&found.len()) => wrong("there are more, or none"),
        Some(found) if !found.iter().all(|der| claviger_hsm::is_authority(der)) => {
            wrong("one here is not an authority's (basicConstraints, CA)")
        }
        Some(_) => Ok(()),
    }
}

/// The certificates in a PEM text, in DER; none where there is anything else between a beginning and an end. Source: RFC 7468, section 5.
fn certificates(pem: &str) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    // What stands before, between and after them explains them to people.
    for piece in pem.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let (body, _) = piece.split_once("-----END CERTIFICATE-----")?;
        let digits: String = body.split_ascii_whitespace().collect();
        found.push(STANDARD.decode(digits).ok()?);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(authority: bool) -> String {
        let mut parameters = rcgen::CertificateParams::default();
        if authority {
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn authorities_are_certificates_of_authorities() {
        let (one, two) = (made(true), made(true));
        for right in [one.clone(), format!("# ours\n{one}\n# theirs\n{two}")] {
            check_client_authorities(Some(&right)).unwrap();
        }
        let broken = one.replacen("MII", "M!I", 1);
        let cut = one.replace("-----END CERTIFICATE-----", "");
        for wrong in
            [String::new(), "authority".to_owned(), made(false), format!("{one}{}", made(false)), broken, cut, one.repeat(11)]
        {
            assert!(check_client_authorities(Some(&wrong)).is_err(), "{wrong}");
        }
        check_client_authorities(None).unwrap();
    }
}
