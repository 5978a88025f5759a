//! Whether what a deployment's keys depend on is out of other users' reach: the data directory, the store, the files of passphrases, PINs and passwords.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::deployment::DataDirectory;
use crate::problem::Problem;

/// Refuses to start on files that another user owns, or that everybody may write to: whoever that is can exchange them. What others may only
/// read, or a group may write, is said as a warning; so are files of others when the server runs as root. `secrets` are the files in which secrets of
/// the configuration are: passphrases, PINs, passwords.
///
/// # Errors
/// Such a file.
pub fn check<'a>(data: &DataDirectory, secrets: impl Iterator<Item = &'a Path>) -> Result<(), Problem> {
    let user = rustix::process::geteuid().as_raw();
    let store = data.store().file().map(Path::to_owned);
    for path in std::iter::once(data.path().to_owned()).chain(store).chain(secrets.map(Path::to_owned)) {
        if let Some(warning) = look_at(&path, user)? {
            tracing::warn!("{warning}");
        }
    }
    Ok(())
}

/// What is not there yet is made with the right mode, and what cannot be looked at is refused where it is opened.
fn look_at(path: &Path, user: u32) -> Result<Option<String>, Problem> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(None) };
    judge(path, metadata.uid(), metadata.mode(), user)
}

fn judge(path: &Path, owner: u32, mode: u32, user: u32) -> Result<Option<String>, Problem> {
    let name = path.display();
    if owner != user && owner != 0 && user == 0 {
        // A volume that was given to a container, perhaps.
        return Ok(Some(format!("{name} BELONGS TO USER {owner}, who can exchange it at any time; chown root {name}")));
    }
    if owner != user && owner != 0 {
        return Err(Problem::new(format!(
            "{name} belongs to user {owner}, who can exchange it at any time; this is user {user}"
        ))
        .remedy(format!("give it to the user that runs Claviger: chown {user} {name}")));
    }
    if mode & 0o002 != 0 {
        return Err(Problem::new(format!("everybody may write to {name} (mode {:04o})", mode & 0o7777))
            .remedy(format!("take that away: chmod o-w {name}")));
    }
    Ok((mode & 0o077 != 0).then(|| {
        format!(
            "OTHERS CAN USE {name} (mode {:04o}): the keys are as safe as these users are; chmod go-rwx {name}",
            mode & 0o7777
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_own_or_everybody_writes_is_refused() {
        let judge = |owner, mode| judge(Path::new("/data"), owner, mode, 1000);
        for (owner, mode) in [(1000, 0o100_600), (1000, 0o040_700), (0, 0o100_400)] {
            assert!(judge(owner, mode).unwrap().is_none(), "{owner} {mode:o}");
        }
        for (owner, mode) in [(1000, 0o100_644), (1000, 0o040_770), (0, 0o100_440)] {
            assert!(judge(owner, mode).unwrap().unwrap().contains("chmod go-rwx /data"), "{owner} {mode:o}");
        }
        let as_root = super::judge(Path::new("/data"), 1001, 0o040_700, 0);
        assert!(as_root.unwrap().unwrap().contains("BELONGS TO USER 1001"));
        for (owner, mode, what) in [
            (1001, 0o100_600, "belongs to user 1001"),
            (1000, 0o040_777, "everybody may write"),
            (1000, 0o041_777, "everybody may write"),
            (0, 0o100_606, "everybody may write"),
        ] {
            assert!(judge(owner, mode).unwrap_err().happened().contains(what), "{owner} {mode:o}");
        }
    }
}
