//! How the shares of a new seal are told: once, on the terminal, or each in a file of its own.

use std::path::{Path, PathBuf};

use super::output;
use crate::deployment::{SharesOfSeal, write_file};
use crate::problem::Problem;

/// Tells the shares of a new seal: into a directory, or on standard output. `written` gets the files that were made.
pub(super) fn tell(seal: &SharesOfSeal, directory: Option<&Path>, written: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let count = seal.shares.len();
    for (number, share) in (1..).zip(&seal.shares) {
        let text = zeroize::Zeroizing::new(format!(
            "# Claviger: share {number} of {count} of the seal {}. Any {} of them open the deployment.\n\
             # Keep it secret, and away from the others. 'claviger seal verify-share FILE' tells whether it is whole.\n{}",
            seal.seal,
            seal.threshold,
            share.as_str()
        ));
        match directory {
            Some(directory) => {
                let file = directory.join(format!("{}-share-{number}.txt", seal.seal));
                write_file(&file, text.as_bytes(), false)?;
                written.push(file);
            }
            None => output::secrets(&[text.as_str()])?,
        }
    }
    if let Some(directory) = directory {
        output::note(format_args!("# {count} shares of the seal {} are in {}.", seal.seal, directory.display()));
    }
    output::note(format_args!(
        "# Give each of the {count} shares to another person. They are shown this once. With fewer than {} of them left, the seal is lost.",
        seal.threshold
    ));
    Ok(())
}

/// Looks at where the shares shall go before anything is made: shares that cannot be told would be lost.
pub(super) fn check_destination(directory: Option<&Path>) -> Result<(), Problem> {
    match directory {
        Some(directory) if !directory.is_dir() => Err(Problem::usage(format!("{} is not a directory", directory.display()))
            .remedy("make it, readable for nobody else: mkdir -m 0700")),
        Some(_) => Ok(()),
        None => output::demand_reader_of_secrets(),
    }
}
