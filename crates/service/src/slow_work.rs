//! Work of the hsm that takes long: making RSA keys takes seconds. It is done beside the threads that serve requests, and little of it at a time, so
//! that nobody can stop a node by asking for it.

use std::sync::Arc;
use std::time::Duration;

use claviger_domain::{Kind, Refusal};
use claviger_hsm::{Hsm, HsmError};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::service::Service;

/// How long a request waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The places for slow work.
pub(crate) struct SlowWork(Arc<Semaphore>);

impl SlowWork {
    /// A place for every second processor, and at least one.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Arc::new(Semaphore::new(processors.div_ceil(2))))
    }
}

impl Service {
    /// Does slow work once there is a place for it.
    ///
    /// # Errors
    /// What the work refuses; `Throttled` when too many others wait for a place.
    pub(crate) async fn do_slow_work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Hsm) -> Result<T, HsmError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let throttled = || {
            Refusal::new(
                Kind::Throttled,
                "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
            )
        };
        let waiting = timeout(WAIT_MAX, Arc::clone(&self.slow_work.0).acquire_owned());
        let place = waiting.await.ok().and_then(Result::ok).ok_or_else(throttled)?;
        let hsm = Arc::clone(&self.records.hsm);
        // The place is given up when the work ends, not when the client goes away.
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&hsm);
            drop(place);
            result
        });
        Ok(done.await.map_err(|_| Refusal::internal("The work was interrupted. Try again."))??)
    }
}
