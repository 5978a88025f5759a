//! What a command did beside the server and the audit log has to tell of: only a node writes its own log, so that the command leaves a notice in the data
//! directory, and the server takes it into the log, at once or at its next start.
//!
//! Who can write there has the store, and needs no command to copy it: a notice tells of those who do nothing bad.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use claviger_service::Service;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::deployment::{DataDirectory, off_the_runtime, write_file};
use crate::problem::Problem;

/// How often the server looks for notices.
const LOOK: Duration = Duration::from_secs(2);
/// The longest notice.
const BYTES_MAX: u64 = 16 * 1024;
/// Notices that are taken at once.
const COUNT_MAX: usize = 100;

/// Leaves a notice of a backup that is about to be made.
///
/// # Errors
/// It cannot be written: then there is to be no backup either.
pub fn leave(data: &DataDirectory, details: &Value) -> Result<(), Problem> {
    let directory = data.notices();
    let make = || {
        fs::create_dir_all(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))
    };
    make().map_err(|error| {
        Problem::new(format!("cannot leave the audit log a notice in {}: {error}", directory.display()))
            .remedy("run this as the user of the server, or as root: a backup that the log does not tell of is not made")
    })?;
    let path = directory.join(format!("{}.json", Uuid::new_v4()));
    write_file(&path, details.to_string().as_bytes(), false)?;
    // Where an administrator runs this for a server of another user, it is that user's.
    if let Ok(owner) = fs::metadata(data.path()) {
        for path in [&directory, &path] {
            let _ = chown(path, Some(owner.uid()), Some(owner.gid()));
        }
    }
    Ok(())
}

/// Takes notices into the audit log, until the task is dropped.
pub async fn take_in(service: Arc<Service>, data: DataDirectory) {
    let mut complained = false;
    loop {
        match take_all(&service, &data).await {
            Ok(()) => complained = false,
            Err(problem) if !complained => {
                complained = true;
                tracing::error!(%problem, "a notice for the audit log could not be taken in; it will be tried again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn take_all(service: &Service, data: &DataDirectory) -> Result<(), Problem> {
    let directory = data.notices();
    let found = off_the_runtime(move || Ok(waiting(&directory))).await?;
    let mut failed = Ok(());
    for path in found {
        // One that cannot be taken in keeps no other from it.
        failed = take(service, path).await.and(failed);
    }
    failed
}

async fn take(service: &Service, path: PathBuf) -> Result<(), Problem> {
    let read = path.clone();
    let details = off_the_runtime(move || read_notice(&read)).await?;
    service.record_backup(details).await.map_err(|refusal| Problem::new(refusal.to_string()))?;
    let remove =
        move || fs::remove_file(&path).map_err(|error| Problem::new(format!("cannot remove {}: {error}", path.display())));
    off_the_runtime(remove).await
}

fn waiting(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_notice(path)).take(COUNT_MAX).collect();
    found.sort();
    found
}

fn is_notice(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
        && path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}

/// What a notice says, and which one it is: one that is told of twice, because the server ended in between, is known by that.
fn read_notice(path: &Path) -> Result<Value, Problem> {
    let mut text = String::new();
    let file = fs::File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
    file.map_err(|error| Problem::new(format!("cannot read the notice {}: {error}", path.display())))?;
    let mut details: Map<String, Value> =
        serde_json::from_str(&text).map_err(|_| Problem::new(format!("{} is no notice", path.display())).remedy("remove it"))?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    details.insert("notice".to_owned(), Value::String(name));
    Ok(Value::Object(details))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_notice_is_read_as_it_was_left_and_nothing_else_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDirectory::new(directory.path());
        leave(&data, &json!({ "backup": "b" })).unwrap();
        fs::write(data.notices().join("else.txt"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", data.notices().join("link.json")).unwrap();
        let found = waiting(&data.notices());
        assert_eq!(found.len(), 1);
        let details = read_notice(&found[0]).unwrap();
        assert_eq!((&details["backup"], details["notice"].as_str().map(str::len)), (&json!("b"), Some(36)));
        assert_eq!(fs::metadata(&found[0]).unwrap().mode() & 0o777, 0o600);
        for wrong in ["", "[]", "{", &"x".repeat(20_000)] {
            let path = data.notices().join("wrong.json");
            fs::write(&path, wrong).unwrap();
            assert!(read_notice(&path).is_err());
        }
    }
}
