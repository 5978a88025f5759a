//! Keys of backups: each backup is encrypted under a key of its own, which is wrapped by the root key. So whatever opens the root key that the
//! backup carries (any of its seals) opens the backup, and nothing else does.
//!
//! Each piece is sealed with the backup's id, its place and whether it is the last one, so that pieces cannot be changed, left out, moved, taken from
//! another backup, or cut off at the end. The key is wrapped with the SHA-256 of the backup's head, which is readable without it.

use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::kdf;
use crate::memory::Secret;
use crate::sealed::{self, Blob};

const KEY_VERSION: u32 = 1;

/// The key of one backup. Opaque; wiped when dropped.
pub struct BackupKey {
    deployment: Uuid,
    backup: Uuid,
    secret: Secret,
}

impl Hsm {
    /// A new key for a backup with this id and this head, and the key as the backup carries it.
    pub fn create_backup_key(&self, backup: Uuid, head: &[u8]) -> Result<(BackupKey, Vec<u8>), HsmError> {
        self.state.check()?;
        let root = self.current_root()?;
        let wrap = kdf::expand(&root.key, &[b"claviger root backup 1"])?;
        let secret = Secret::generate()?;
        let sealed = sealed::seal(&wrap, root.version, self.backup_identity(backup, head), secret.expose())?;
        Ok((BackupKey { deployment: self.deployment, backup, secret }, sealed))
    }

    /// The key of a backup.
    ///
    /// # Errors
    /// [`HsmError::Tampered`] when the head was changed, or the key is another's.
    pub fn open_backup_key(&self, backup: Uuid, head: &[u8], sealed: &[u8]) -> Result<BackupKey, HsmError> {
        self.state.check()?;
        let secret = Blob::parse(sealed).and_then(|blob| {
            let root = self.root(blob.key_version)?;
            let wrap = kdf::expand(&root.key, &[b"claviger root backup 1"]).ok()?;
            blob.open_secret(&wrap, self.backup_identity(backup, head)).ok()
        });
        let secret = secret.ok_or_else(|| HsmError::Tampered(format!("head of the backup {backup}")))?;
        Ok(BackupKey { deployment: self.deployment, backup, secret })
    }

    fn backup_identity(&self, backup: Uuid, head: &[u8]) -> AssociatedData {
        AssociatedData::new("backup key", self.deployment).fixed(backup.as_bytes()).fixed(digest(&SHA256, head).as_ref())
    }
}

impl BackupKey {
    /// Seals one piece.
    pub fn seal_piece(&self, place: u64, last: bool, bytes: &[u8]) -> Result<Vec<u8>, HsmError> {
        sealed::seal(&self.secret, KEY_VERSION, self.identity(place, last), bytes)
    }

    /// Opens one piece.
    ///
    /// # Errors
    /// [`HsmError::Tampered`] when it is not the one that was sealed at this place.
    pub fn open_piece(&self, place: u64, last: bool, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let opened = Blob::parse(sealed)
            .filter(|blob| blob.key_version == KEY_VERSION)
            .and_then(|blob| blob.open(&self.secret, self.identity(place, last)).ok());
        opened.ok_or_else(|| HsmError::Tampered(format!("piece {place} of the backup {}", self.backup)))
    }

    fn identity(&self, place: u64, last: bool) -> AssociatedData {
        AssociatedData::new("backup piece", self.deployment).fixed(self.backup.as_bytes()).number(place).number(u64::from(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{flips, hsm, refusal, wrong_lengths};

    #[test]
    fn a_backup_opens_as_it_was_made_and_in_no_other_way() {
        let (hsm, id) = (hsm(), Uuid::from_u128(7));
        let (key, sealed) = hsm.create_backup_key(id, b"head").unwrap();
        let again = hsm.open_backup_key(id, b"head", &sealed).unwrap();
        let piece = key.seal_piece(3, false, b"content").unwrap();
        assert_eq!(*again.open_piece(3, false, &piece).unwrap(), b"content");
        let tampered = |result| matches!(refusal(result), HsmError::Tampered(_));
        assert!(tampered(again.open_piece(4, false, &piece)) && tampered(again.open_piece(3, true, &piece)));
        for forged in flips(&piece).chain(wrong_lengths(&piece)) {
            assert!(tampered(again.open_piece(3, false, &forged)));
        }
        assert!(matches!(refusal(hsm.open_backup_key(id, b"heat", &sealed)), HsmError::Tampered(_)));
        assert!(matches!(refusal(hsm.open_backup_key(Uuid::nil(), b"head", &sealed)), HsmError::Tampered(_)));
        assert!(matches!(refusal(crate::testing::hsm().open_backup_key(id, b"head", &sealed)), HsmError::Tampered(_)));
        let (other, _) = hsm.create_backup_key(Uuid::from_u128(8), b"head").unwrap();
        assert!(tampered(other.open_piece(3, false, &piece)));
    }
}
