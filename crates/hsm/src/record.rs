//! Stored records: sealed under the account's key and bound to everything that the store shows in clear.

use claviger_domain::{AccountId, Timestamp};
use zeroize::Zeroizing;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::{AccountKey, Hsm};

/// Which record it is. All of it is authenticated with the content, so that a row that was moved, swapped, edited or replayed under another
/// id does not open. The clear columns of the store are part of it; the rest of the content is not repeated in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordIdentity<'a> {
    /// Whose it is.
    pub account: AccountId,
    /// What kind of record: `key`, `alias`.
    pub kind: &'a str,
    /// Its id among the records of its kind.
    pub id: &'a str,
    /// Counts the changes of this record.
    pub version: u64,
    /// Which version of the account's key seals it.
    pub account_key_version: u32,
    /// What listings are narrowed by: a Region.
    pub scope: &'a str,
    /// What the record belongs to within its account: an alias's key, an access key's user.
    pub owner: &'a str,
    /// When background work has to look at it.
    pub due: Option<Timestamp>,
}

impl RecordIdentity<'_> {
    fn name(&self) -> String {
        format!("record {} {}, version {}, of account {}", self.kind, self.id, self.version, self.account)
    }
}

impl Hsm {
    /// Seals a record's content.
    pub fn seal_record(&self, key: &AccountKey, identity: &RecordIdentity<'_>, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        self.state.check()?;
        right_key(key, identity)?;
        key.seal(self.record_identity(identity), plaintext)
    }

    /// Opens a record's content. [`HsmError::Tampered`] names the record if it, or any part of its identity, is not what was sealed.
    pub fn open_record(
        &self,
        key: &AccountKey,
        identity: &RecordIdentity<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.state.check()?;
        right_key(key, identity)?;
        key.open(sealed, || identity.name(), |blob, secret| blob.open(secret, self.record_identity(identity)))
    }

    fn record_identity(&self, identity: &RecordIdentity<'_>) -> AssociatedData {
        AssociatedData::new("record", self.deployment)
            .number(identity.account.number())
            .text(identity.kind)
            .text(identity.id)
            .number(identity.version)
            .number(identity.account_key_version.into())
            .text(identity.scope)
            .text(identity.owner)
            .optional(identity.due.map(|due| due.0))
    }
}

fn right_key(key: &AccountKey, identity: &RecordIdentity<'_>) -> Result<(), HsmError> {
    if key.account() == identity.account && key.version() == identity.account_key_version {
        return Ok(());
    }
    Err(HsmError::WrongKey(format!(
        "{} does not go with version {} of account {}'s key",
        identity.name(),
        key.version(),
        key.account()
    )))
}
