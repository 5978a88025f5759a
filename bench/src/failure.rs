//! Why a run ended without figures.

use std::fmt;

/// What happened, for the person who started the run.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(happened: impl Into<String>) -> Self {
        Self(happened.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says in whose course an error happened.
pub(crate) trait Context<T> {
    fn context(self, doing: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, doing: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure(format!("{}: {error}", doing.into())))
    }
}
