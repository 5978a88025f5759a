//! Work that takes long, on threads of its own: a use of an RSA key takes a thousand times as long as one of a symmetric key, and making one
//! takes another thousand times as long. Never is more of it under way than the machine has processors, so that requests which take
//! microseconds do not wait behind it; what is more waits its turn, and is refused when that does not come.

use std::sync::Arc;
use std::time::Duration;

use claviger_domain::key::KeySpec;
use claviger_domain::{Kind, Refusal};
use claviger_hsm::Hsm;

use crate::crew::{Crew, Undone};
use crate::service::Service;

/// How long a request waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// How long something takes, which decides where it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    /// At most a tenth of a millisecond: done where the request is.
    Little,
    /// Up to some milliseconds: done elsewhere, beside other requests.
    Much,
    /// Up to some seconds: done elsewhere, few at a time.
    Generation,
}

impl Effort {
    /// Of a use of the secret half of a key: to sign, decrypt, or agree on a secret.
    pub(crate) fn with_secret(spec: KeySpec) -> Self {
        match spec {
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => Self::Much,
            other => Self::with_public(other),
        }
    }

    /// Of a use of the public half of a key: to verify or encrypt.
    pub(crate) fn with_public(spec: KeySpec) -> Self {
        match spec {
            KeySpec::EccNistP384
            | KeySpec::EccNistP521
            | KeySpec::EccSecgP256k1
            | KeySpec::Sm2
            | KeySpec::MlDsa44
            | KeySpec::MlDsa65
            | KeySpec::MlDsa87 => Self::Much,
            KeySpec::SymmetricDefault
            | KeySpec::Rsa2048
            | KeySpec::Rsa3072
            | KeySpec::Rsa4096
            | KeySpec::EccNistP256
            | KeySpec::EccNistEdwards25519
            | KeySpec::Hmac224
            | KeySpec::Hmac256
            | KeySpec::Hmac384
            | KeySpec::Hmac512
            | KeySpec::MlKem512
            | KeySpec::MlKem768
            | KeySpec::MlKem1024 => Self::Little,
        }
    }

    /// Of making a key, its pairwise test included.
    pub(crate) fn to_generate(spec: KeySpec) -> Self {
        match spec {
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => Self::Generation,
            KeySpec::SymmetricDefault | KeySpec::Hmac224 | KeySpec::Hmac256 | KeySpec::Hmac384 | KeySpec::Hmac512 => Self::Little,
            _ => Self::Much,
        }
    }
}

/// Who does the work.
pub(crate) struct Workplaces {
    uses: Crew,
    generations: Crew,
}

impl Workplaces {
    /// As many uses at a time as there are processors, and half as many generations, which leaves the other half to everybody else.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { uses: Crew::new("key-use", processors), generations: Crew::new("key-generation", (processors / 2).max(1)) }
    }

    /// Who does work of this effort; none for little.
    fn crew(&self, effort: Effort) -> Option<&Crew> {
        match effort {
            Effort::Little => None,
            Effort::Much => Some(&self.uses),
            Effort::Generation => Some(&self.generations),
        }
    }
}

impl Service {
    /// Does work with the hsm: here if it takes little, else elsewhere when there is a place for it.
    ///
    /// # Errors
    /// What the work refuses; `Throttled` when too many others wait for a place.
    pub(crate) async fn work<T, W>(&self, effort: Effort, work: W) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnOnce(&Hsm) -> Result<T, Refusal> + Send + 'static,
    {
        let Some(crew) = self.workplaces.crew(effort) else { return work(self.hsm()) };
        let hsm = Arc::clone(&self.records.hsm);
        crew.run(WAIT_MAX, move || work(&hsm)).await.unwrap_or_else(|undone| {
            Err(match undone {
                Undone::Late => {
                    let text = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";
                    Refusal::new(Kind::Throttled, text)
                }
                Undone::Broken => Refusal::internal("The work was interrupted. Try again."),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_and_generations_do_not_wait_for_each_other() {
        let workplaces = Workplaces::new();
        let crews = [Effort::Little, Effort::Much, Effort::Generation].map(|effort| workplaces.crew(effort));
        assert!(crews[0].is_none());
        assert!(!std::ptr::eq(crews[1].unwrap(), crews[2].unwrap()));
    }

    #[test]
    fn what_takes_long_is_done_elsewhere() {
        for spec in KeySpec::ALL {
            let efforts = [Effort::with_secret(*spec), Effort::with_public(*spec), Effort::to_generate(*spec)];
            if *spec == KeySpec::SymmetricDefault || spec.is_hmac() {
                assert_eq!(efforts, [Effort::Little; 3], "{spec}");
            }
            if spec.as_str().starts_with("RSA") {
                assert_eq!(efforts, [Effort::Much, Effort::Little, Effort::Generation], "{spec}");
            }
        }
    }
}
