//! How many messages the keys have encrypted that use AES-GCM with random IVs themselves, because their token derives no keys or because they were
//! somebody else's: less than 2^32 (NIST SP 800-38D, section 8.3).
//!
//! Counted in blocks: a file says up to which number messages may have been encrypted, and is on disk before the first message of a block is. A
//! crash loses the rest of a block. A key whose file is not there (it was adopted, or the store was restored elsewhere) is taken to have encrypted
//! half of all it may.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use claviger_domain::Refusal;
use tokio::sync::Mutex;

use crate::file_encryption::NewFile;

/// Messages that are claimed at once.
const BLOCK: u64 = 1 << 16;
/// All that a key may encrypt: 2^32, but for what is left to second tries of requests that were lost with a host, which nobody counts.
const MESSAGES_MAX: u64 = (1 << 32) - (1 << 24);
/// What a key has encrypted of which nobody knows.
const UNKNOWN: u64 = 1 << 31;

/// What comes of wanting to encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// One message more is fine.
    Granted,
    /// No more.
    UsedUp,
}

/// The counts of a deployment's keys, in a directory of their own.
pub struct MessageCounts {
    directory: PathBuf,
    counts: parking_lot::Mutex<HashMap<String, Arc<Mutex<Count>>>>,
}

/// Messages that were encrypted, and up to which number they may be without asking the disk. None before the file was read.
#[derive(Default)]
struct Count(Option<(u64, u64)>);

impl MessageCounts {
    /// Counts that are kept in this directory, which is made when it is needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), counts: parking_lot::Mutex::default() }
    }

    /// A key that has encrypted nothing.
    ///
    /// # Errors
    /// It cannot be written down.
    pub async fn begin(&self, key: &[u8]) -> Result<(), Refusal> {
        self.write(&name(key), 0).await
    }

    /// One message more.
    ///
    /// # Errors
    /// The count can neither be read nor written.
    pub async fn claim(&self, key: &[u8]) -> Result<Claim, Refusal> {
        let name = name(key);
        let count = Arc::clone(self.counts.lock().entry(name.clone()).or_default());
        let mut count = count.lock().await;
        let (used, claimed) = match count.0 {
            Some(known) => known,
            None => {
                let used = self.read(&name).await?;
                (used, used)
            }
        };
        if used >= MESSAGES_MAX {
            return Ok(Claim::UsedUp);
        }
        let claimed = if used < claimed {
            claimed
        } else {
            let more = (claimed + BLOCK).min(MESSAGES_MAX);
            self.write(&name, more).await?;
            more
        };
        count.0 = Some((used + 1, claimed));
        Ok(Claim::Granted)
    }

    /// A key that is gone.
    pub async fn end(&self, key: &[u8]) {
        let name = name(key);
        self.counts.lock().remove(&name);
        let path = self.directory.join(&name);
        // A file that stays behind counts for a key that nobody has.
        let _ = tokio::task::spawn_blocking(move || fs::remove_file(path)).await;
    }

    async fn read(&self, name: &str) -> Result<u64, Refusal> {
        let path = self.directory.join(name);
        let read = tokio::task::spawn_blocking(move || fs::read_to_string(path)).await.map_err(|_| broken())?;
        match read {
            Ok(text) => text.trim().parse().map_err(|_| broken()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(
                    key = name,
                    "nobody knows how much a token's key has encrypted: half of all it may is taken for used"
                );
                Ok(UNKNOWN)
            }
            Err(_) => Err(broken()),
        }
    }

    async fn write(&self, name: &str, count: u64) -> Result<(), Refusal> {
        let (directory, name) = (self.directory.clone(), name.to_owned());
        let written = tokio::task::spawn_blocking(move || write(&directory, &name, count)).await;
        written.map_err(|_| broken())?.map_err(|error| {
            tracing::error!(%error, "how much a token's key has encrypted cannot be written down");
            broken()
        })
    }
}

fn write(directory: &Path, name: &str, count: u64) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut file = NewFile::create(&directory.join(name), true)?;
    writeln!(file, "{count}")?;
    file.finish()
}

fn broken() -> Refusal {
    Refusal::internal(
        "How much this key has encrypted is not known, and it must not encrypt too much. Ask the operator to look at the data directory.",
    )
}

/// The name of a key's file.
fn name(key: &[u8]) -> String {
    digest::digest(&digest::SHA256, key).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blocks_are_on_disk_before_they_are_used_and_a_restart_loses_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("counts");
        let counts = MessageCounts::new(&at);
        counts.begin(b"key").await.unwrap();
        let file = at.join(name(b"key"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "0\n");
        for _ in 0..3 {
            assert_eq!(counts.claim(b"key").await.unwrap(), Claim::Granted);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{BLOCK}\n"));
        let again = MessageCounts::new(&at);
        assert_eq!(again.claim(b"key").await.unwrap(), Claim::Granted);
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", 2 * BLOCK));
        again.end(b"key").await;
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn the_last_message_is_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let counts = MessageCounts::new(directory.path());
        counts.write(&name(b"key"), MESSAGES_MAX - 2).await.unwrap();
        assert_eq!(counts.claim(b"key").await.unwrap(), Claim::Granted);
        assert_eq!(counts.claim(b"key").await.unwrap(), Claim::Granted);
        assert_eq!(counts.claim(b"key").await.unwrap(), Claim::UsedUp);
        let again = MessageCounts::new(directory.path());
        assert_eq!(again.claim(b"key").await.unwrap(), Claim::UsedUp, "also after a restart");
    }

    #[tokio::test]
    async fn a_key_that_nobody_counted_has_used_half_and_a_broken_count_is_no_count() {
        let directory = tempfile::tempdir().unwrap();
        let counts = MessageCounts::new(directory.path());
        assert_eq!(counts.claim(b"key").await.unwrap(), Claim::Granted);
        assert_eq!(fs::read_to_string(directory.path().join(name(b"key"))).unwrap(), format!("{}\n", UNKNOWN + BLOCK));
        fs::write(directory.path().join(name(b"other")), "many").unwrap();
        assert!(counts.claim(b"other").await.is_err());
    }
}
