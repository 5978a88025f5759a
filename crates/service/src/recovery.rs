//! The way back for an operator who lost the administrator's credentials. It needs what the server needs, the store and its seal, so it gives
//! nobody more than they could take; and it is in the audit log.

use claviger_domain::identity::{AccessKey, Owner};
use claviger_domain::{AccountId, Refusal};
use claviger_store::{Change, List, RecordKind};
use serde_json::json;

use crate::deployment::{InitialCredential, create_access_key};
use crate::node_log;
use crate::quotas::ACCESS_KEYS_PER_PRINCIPAL;
use crate::service::Service;

/// A new access key of the administrator that is not stored yet, so that it can be told first.
pub struct Recovery {
    administrator: InitialCredential,
    replaced: Vec<String>,
    changes: Vec<Change>,
}

impl Recovery {
    /// The new credential.
    pub fn administrator(&self) -> &InitialCredential {
        &self.administrator
    }

    /// The ids of the access keys that it takes the place of.
    pub fn replaced(&self) -> &[String] {
        &self.replaced
    }
}

impl Service {
    /// Makes a new access key for the administrator, in place of all that it has: whoever says that they are lost has no use for them, and
    /// if somebody found them, neither shall they.
    ///
    /// # Errors
    /// When the store cannot be read, or a record was changed from outside.
    pub async fn prepare_recovery(&self) -> Result<Recovery, Refusal> {
        let (records, account) = (&self.records, AccountId::DEPLOYMENT);
        let of_root = List {
            account,
            kind: RecordKind::AccessKey,
            scope: None,
            owner: Some(""),
            after: None,
            limit: ACCESS_KEYS_PER_PRINCIPAL,
        };
        let (mut changes, mut replaced) = (Vec::new(), Vec::new());
        for found in records.list::<AccessKey>(of_root).await? {
            changes.push(records.delete(&found.value, found.version));
            changes.extend(self.delete_last_use(account, found.value.id.as_str()).await?);
            replaced.push(found.value.id.to_string());
        }
        let versions = records.existing_account(account).await?;
        let (administrator, change) = create_access_key(records, versions.current()?, account, Owner::Root, self.now())?;
        changes.push(change);
        Ok(Recovery { administrator, replaced, changes })
    }

    /// Stores what was prepared, with its audit entry. To be called while the deployment is not served: what a running server has cached is
    /// not thrown out.
    ///
    /// # Errors
    /// When the store cannot be written: nothing was changed.
    pub async fn recover_administrator(&self, recovery: Recovery) -> Result<(), Refusal> {
        let details = json!({
            "accessKeyId": recovery.administrator.access_key.as_str(),
            "deletedAccessKeyIds": recovery.replaced,
        });
        let event = "RecoverAdministrator";
        node_log::write_service_event(&self.records, &self.node, self.now(), event, details, &[], recovery.changes).await
    }
}
