//! What the operations on hold-your-own-key stores share.

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
