//! The error state: once a self-test or a consistency check fails, nothing is done any more. Source: FIPS 140-3 (ISO/IEC 19790 section 7.10),
//! "the module shall enter an error state ... shall not perform any cryptographic operations".

use std::sync::OnceLock;

use crate::error::HsmError;

/// Shared by the hsm and by every handle that can do something on its own. There is no way back out of the error state but a restart.
#[derive(Default)]
pub(crate) struct State {
    failure: OnceLock<String>,
}

impl State {
    /// Refuses when the error state was entered. Costs one atomic load.
    pub(crate) fn check(&self) -> Result<(), HsmError> {
        match self.failure.get() {
            None => Ok(()),
            Some(what) => Err(HsmError::SelfTestFailed(what.clone())),
        }
    }

    /// Enters the error state. The first reason stays.
    pub(crate) fn fail(&self, what: &str) -> HsmError {
        HsmError::SelfTestFailed(self.failure.get_or_init(|| what.to_owned()).clone())
    }

    /// What failed, if anything did.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}
