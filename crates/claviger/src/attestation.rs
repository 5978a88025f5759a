//! The root certificates of attestation, from the files that the configuration names.

use std::path::Path;

use claviger_hsm::AttestationRoot;

use crate::config::Attestation;
use crate::problem::Problem;
use crate::server::tls::read_certificates;

const REMEDY: &str = "attestation.roots names PEM files; docs/operations.md says where AWS's root certificate comes from";

/// Reads all of them.
///
/// # Errors
/// A file cannot be read, holds no certificate, or one that cannot be a root of attestation.
pub fn read_roots(attestation: &Attestation) -> Result<Vec<AttestationRoot>, Problem> {
    let mut roots = Vec::new();
    for path in &attestation.roots {
        for certificate in read_certificates(path).map_err(|problem| unreadable(&problem))? {
            roots.push(AttestationRoot::from_der(&certificate).map_err(|error| unusable(path, error))?);
        }
    }
    Ok(roots)
}

fn unreadable(problem: &Problem) -> Problem {
    Problem::usage(format!("attestation.roots: {}", problem.happened())).remedy(REMEDY)
}

fn unusable(path: &Path, error: claviger_hsm::AttestationError) -> Problem {
    Problem::usage(format!("{} cannot be a root of attestation: {error}", path.display())).remedy(REMEDY)
}
