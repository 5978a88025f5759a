//! Work that takes long, on threads of its own: a use of an RSA key takes a thousand times as long as one of a symmetric key, and making one
//! takes another thousand times as long. Never is more of it under way than the machine has processors, so that requests which take
//! microseconds do not wait behind it; what is more waits its turn, and is refused when that does not come.

use std::sync::Arc;
use std::time::Duration;

use claviger_domain::key::KeySpec;
use claviger_domain::{Kind, Refusal};
use claviger_hsm::Hsm;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

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

/// How much work may be under way.
pub(crate) struct Workplaces {
    uses: Arc<Semaphore>,
    generations: Arc<Semaphore>,
    wait_max: Duration,
}

impl Workplaces {
    /// As many uses at a time as there are processors, and half as many generations, which leaves the other half to everybody else.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with(processors, (processors / 2).max(1), WAIT_MAX)
    }

    fn with(uses: usize, generations: usize, wait_max: Duration) -> Self {
        Self { uses: Arc::new(Semaphore::new(uses)), generations: Arc::new(Semaphore::new(generations)), wait_max }
    }

    /// Waits for a place for work of this effort; none is needed for little.
    async fn place(&self, effort: Effort) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        let places = match effort {
            Effort::Little => return Ok(None),
            Effort::Much => &self.uses,
            Effort::Generation => &self.generations,
        };
        let place = timeout(self.wait_max, Arc::clone(places).acquire_owned()).await;
        place.ok().and_then(Result::ok).map(Some).ok_or_else(|| {
            let text = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";
            Refusal::new(Kind::Throttled, text)
        })
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
        let Some(place) = self.workplaces.place(effort).await? else { return work(self.hsm()) };
        let hsm = Arc::clone(&self.records.hsm);
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&hsm);
            // Held until the work is done, even if nobody waits for it any longer: a client that goes away must not make room for another.
            drop(place);
            result
        });
        done.await.unwrap_or_else(|_| Err(Refusal::internal("The work was interrupted. Try again.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_more_than_there_are_places_for_waits_and_is_refused() {
        let workplaces = Workplaces::with(2, 1, Duration::from_millis(20));
        let first = workplaces.place(Effort::Generation).await.unwrap();
        assert!(first.is_some());
        let waits = async |effort| match workplaces.place(effort).await {
            Ok(_) => false,
            Err(refusal) => {
                assert_eq!(refusal.kind, Kind::Throttled);
                true
            }
        };
        assert!(waits(Effort::Generation).await);
        assert!(!waits(Effort::Much).await, "uses have places of their own");
        let uses = (workplaces.place(Effort::Much).await.unwrap(), workplaces.place(Effort::Much).await.unwrap());
        assert!(waits(Effort::Much).await);
        assert!(workplaces.place(Effort::Little).await.unwrap().is_none());
        drop((first, uses));
        assert!(!waits(Effort::Generation).await && !waits(Effort::Much).await);
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
