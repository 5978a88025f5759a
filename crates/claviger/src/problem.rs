//! What the command line says when something did not work: what happened, and what to do about it.

use std::fmt;
use std::process::ExitCode;

/// A failure that ends a command, written for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What happened, in one sentence, with the file, address or name concerned.
    happened: String,
    /// What the person can do now.
    remedy: Option<String>,
    /// Whether the command was used wrongly, rather than refused or failed.
    usage: bool,
}

impl Problem {
    /// Something failed or was refused: exit code 1.
    pub fn new(happened: impl Into<String>) -> Self {
        Self { happened: happened.into(), remedy: None, usage: false }
    }

    /// The command line or configuration is wrong: exit code 2.
    pub fn usage(happened: impl Into<String>) -> Self {
        Self { usage: true, ..Self::new(happened) }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// What happened.
    pub fn happened(&self) -> &str {
        &self.happened
    }

    /// What to do, if anything is known to help.
    pub fn what_to_do(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// 2 for wrong use, 1 for everything else.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.usage { 2 } else { 1 })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.happened)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened_and_then_what_to_do() {
        let problem = Problem::new("cannot read x").remedy("make x readable");
        assert_eq!(problem.to_string(), "cannot read x\n  make x readable");
        assert_eq!(problem.exit_code(), ExitCode::from(1));
        assert_eq!(Problem::usage("no such flag").exit_code(), ExitCode::from(2));
    }
}
