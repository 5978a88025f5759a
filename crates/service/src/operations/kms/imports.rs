//! What the operations about imported material share.

use claviger_domain::Refusal;
use claviger_domain::key::{Key, KeyState};
use claviger_hsm::{AccountKey, ImportSecret, account_key_version};

use crate::service::Service;

impl Service {
    /// Makes a new key wait for its owner's material.
    pub(crate) async fn await_import(&self, key: &mut Key) -> Result<(), Refusal> {
        let versions = self.records.existing_account(key.account).await?;
        key.import_secret = self.hsm().create_import_secret(versions.current()?, key.id)?;
        key.state = KeyState::PendingImport;
        Ok(())
    }

    /// The version of the account's key that a blob of the account says it is sealed under; none when there is no such version.
    pub(crate) async fn sealing_key(&self, key: &Key, sealed: &[u8]) -> Result<Option<AccountKey>, Refusal> {
        let versions = self.records.existing_account(key.account).await?;
        Ok(account_key_version(sealed).and_then(|version| versions.version(version)).cloned())
    }

    /// What the ids of the key's imported material are made with.
    pub(crate) async fn import_secret(&self, key: &Key) -> Result<ImportSecret, Refusal> {
        let missing = || {
            Refusal::internal(format!(
                "The import secret of key {} cannot be opened. Ask the operator to run 'claviger store verify'.",
                key.arn()
            ))
        };
        let account_key = self.sealing_key(key, &key.import_secret).await?.ok_or_else(missing)?;
        Ok(self.hsm().open_import_secret(&account_key, key.id, &key.import_secret)?)
    }
}
