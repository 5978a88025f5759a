//! The administrator's credentials, which are told once: into a new file, or on standard output.

use std::path::PathBuf;

use clap::Args;
use claviger_service::deployment::InitialCredential;
use zeroize::Zeroizing;

use super::output;
use crate::deployment::write_file;
use crate::problem::Problem;

/// Where the credentials go.
#[derive(Debug, Args)]
pub(super) struct Destination {
    /// Put the administrator's credentials into this new file, for its owner only, instead of printing them
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

impl Destination {
    /// Refuses to begin where the credentials would be lost, or would replace others.
    pub(super) fn check(&self) -> Result<(), Problem> {
        match &self.credentials {
            Some(file) if file.symlink_metadata().is_ok() => {
                Err(Problem::usage(format!("{} exists already; nothing was done", file.display()))
                    .remedy("it may hold the credentials of another deployment: name another file with --credentials"))
            }
            Some(_) => Ok(()),
            None => output::demand_reader_of_secrets(),
        }
    }

    /// Tells them.
    pub(super) fn tell(&self, administrator: &InitialCredential, verifier_key: &str) -> Result<(), Problem> {
        let lines = [
            Zeroizing::new(format!("CLAVIGER_ADMIN_ACCESS_KEY_ID={}", administrator.access_key)),
            Zeroizing::new(format!("CLAVIGER_ADMIN_SECRET_ACCESS_KEY={}", administrator.secret.as_str())),
            Zeroizing::new(format!("CLAVIGER_AUDIT_VKEY={verifier_key}")),
        ];
        let lines: Vec<&str> = lines.iter().map(|line| line.as_str()).collect();
        let Some(file) = &self.credentials else {
            output::note("# The administrator's credentials and the audit log's verifier key are shown this once.");
            output::note("# Keep the first two secret, and the third with whoever checks the log.");
            return output::secrets(&lines);
        };
        let text = Zeroizing::new(lines.iter().flat_map(|line| [*line, "\n"]).collect::<String>());
        write_file(file, text.as_bytes(), false)?;
        output::note(format_args!("# The administrator's credentials are in {}: keep that file secret.", file.display()));
        output::note("# This is the audit log's verifier key. Give it to whoever checks the log:");
        output::line(verifier_key)
    }

    /// Takes back what was told into a file, because it did not come to be: it would only stand in the way of the next attempt.
    pub(super) fn withdraw(&self) {
        if let Some(file) = &self.credentials
            && let Err(error) = std::fs::remove_file(file)
        {
            output::note(format_args!(
                "warning: {} holds credentials of nothing, and cannot be removed: {error}",
                file.display()
            ));
        }
    }
}
