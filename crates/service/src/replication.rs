//! What related multi-Region keys share, and how it gets from the primary key to its replicas. Source: AWS KMS Developer Guide,
//! "Multi-Region keys in AWS KMS".
//!
//! Each of them has a record of its own. What they share (who they are, the material, automatic rotation) stands in all of these records,
//! and changes in all of them in one commit, each with the version that was read. So two changes that meet cannot leave them in two minds.

use claviger_domain::key::{Key, KeyState, MaterialVersion, Origin, RotationType};
use claviger_domain::{Refusal, Region, Timestamp};
use claviger_store::Change;

use crate::operation::Effect;
use crate::records::{Versioned, key_record_id};
use crate::service::Service;
use crate::snapshot::KeySnapshot;

/// What has to be committed together, and which keys it touches beside the one that was asked about.
pub(crate) struct Related {
    pub(crate) changes: Vec<Change>,
    /// The ARNs of the other keys.
    pub(crate) arns: Vec<String>,
}

impl Related {
    /// The effect of an operation that answers this.
    pub(crate) fn effect<T>(self, output: T) -> Effect<T> {
        Effect::change(output, self.changes).with_related(self.arns)
    }
}

/// Material on its way from one related key to another: sealed for its destination, and opened only there.
///
/// The one way for material to leave a key's record. Today every destination is another record of this deployment. For a replica in another
/// deployment it will hold the material wrapped to that deployment's public key (docs/decisions/010-how-material-will-travel.md).
struct Parcel(Vec<MaterialVersion>);

impl Service {
    /// The changes that store `after`, which was `before`, and what it shares with its kin.
    pub(crate) async fn update_with_relatives(&self, before: &KeySnapshot, after: &Key) -> Result<Related, Refusal> {
        self.update_stored_with_relatives(&before.key, before.version, after).await
    }

    /// The same for a key that was read from the store.
    pub(crate) async fn update_stored_with_relatives(&self, before: &Key, version: u64, after: &Key) -> Result<Related, Refusal> {
        let mut relatives = self.relatives(before, version).await?;
        for Versioned { value, .. } in &mut relatives {
            self.share(after, value).await?;
        }
        let mut after = Versioned { value: after.clone(), version };
        agree_on_pending_material(std::iter::once(&mut after).chain(&mut relatives));
        self.update_all(after, relatives).await
    }

    /// Makes the imported material current that waits for it, in a key and all its kin; none when there is none that all of them have.
    pub(crate) async fn rotate_imported_with_relatives(
        &self,
        before: &KeySnapshot,
        rotation: RotationType,
        now: Timestamp,
    ) -> Result<Option<Related>, Refusal> {
        let mut relatives = self.relatives(&before.key, before.version).await?;
        let mut key = Versioned { value: before.key.clone(), version: before.version };
        let mut all = std::iter::once(&mut key).chain(&mut relatives);
        if !all.all(|key| key.value.rotate_to_pending(rotation, now)) {
            return Ok(None);
        }
        self.update_all(key, relatives).await.map(Some)
    }

    async fn update_all(&self, key: Versioned<Key>, relatives: Vec<Versioned<Key>>) -> Result<Related, Refusal> {
        let mut related = Related { changes: vec![self.records.update(&key.value, key.version).await?], arns: Vec::new() };
        for Versioned { value, version } in relatives {
            related.arns.push(value.arn().to_string());
            related.changes.push(self.records.update(&value, version).await?);
        }
        Ok(related)
    }

    /// The changes by which the kin of a key that is about to go learn of that. The last replica to go sets the clock of a primary key that
    /// has waited for it.
    pub(crate) async fn part_from_relatives(&self, gone: &Key, version: u64, now: Timestamp) -> Result<Related, Refusal> {
        let mut related = Related { changes: Vec::new(), arns: Vec::new() };
        let mut relatives = self.relatives(gone, version).await?;
        for Versioned { value, .. } in &mut relatives {
            if let Some(kin) = &mut value.multi_region {
                kin.replicas.remove(&gone.region);
            }
            if let (KeyState::PendingReplicaDeletion { window_days }, false) = (value.state, value.has_replicas()) {
                value.state = KeyState::PendingDeletion { at: now.plus_days(window_days) };
            }
        }
        // Perhaps it was the last one that had not the material which all wait for.
        agree_on_pending_material(relatives.iter_mut());
        for Versioned { value, version } in relatives {
            related.arns.push(value.arn().to_string());
            related.changes.push(self.records.update(&value, version).await?);
        }
        Ok(related)
    }

    /// Gives a replica what it shares with its primary.
    pub(crate) async fn share(&self, primary: &Key, replica: &mut Key) -> Result<(), Refusal> {
        replica.multi_region.clone_from(&primary.multi_region);
        replica.rotation = primary.rotation;
        match primary.origin {
            Origin::Internal => import_material(self.export_material(primary, replica).await?, primary, replica),
            // Imported material comes to each Region from its owner (AWS KMS Developer Guide, "Multi-Region keys with imported key material").
            // A new replica knows which it has to be.
            Origin::External if replica.materials.is_empty() => {
                replica.materials = primary.materials.iter().map(MaterialVersion::to_be_imported).collect();
            }
            // Keys in custom key stores have no kin.
            Origin::External | Origin::CloudHsm | Origin::ExternalKeyStore => {}
        }
        Ok(())
    }

    /// The versions of the material that the replica does not have yet, sealed for where it lives.
    async fn export_material(&self, primary: &Key, replica: &Key) -> Result<Parcel, Refusal> {
        let versions = self.records.existing_account(primary.account).await?;
        let destination = versions.current()?;
        let mut parcel = Vec::new();
        for material in primary.materials.iter().filter(|material| position(replica, material).is_none()) {
            let source = versions.version(material.account_key_version).ok_or_else(|| unopened(primary))?;
            let sealed =
                self.hsm().reseal_material(source, destination, primary.id, primary.spec, material.id, &material.sealed)?;
            parcel.push(MaterialVersion { account_key_version: destination.version(), sealed, ..material.clone() });
        }
        Ok(Parcel(parcel))
    }

    /// The records of a key's kin as they are in the store, without its own. The key is as it was at this version of its record.
    async fn relatives(&self, key: &Key, version: u64) -> Result<Vec<Versioned<Key>>, Refusal> {
        let mut found = Vec::new();
        let regions = key.multi_region.iter().flat_map(|kin| kin.regions()).filter(|region| **region != key.region);
        for region in regions {
            match self.records.get::<Key>(key.account, &key_record_id(region, key.id)).await? {
                Some(relative) => found.push(relative),
                None => self.must_be_outdated(key, version, region).await?,
            }
        }
        Ok(found)
    }

    /// A relative that is not there has gone since the key was read, together with a change of the key's own record. Then the commit of what
    /// is being done will be refused as well, and it starts over.
    async fn must_be_outdated(&self, key: &Key, version: u64, missing: &Region) -> Result<(), Refusal> {
        let stored = self.records.get::<Key>(key.account, &key_record_id(&key.region, key.id)).await?;
        if stored.is_none_or(|stored| stored.version != version) {
            return Ok(());
        }
        tracing::error!(key = %key.arn(), region = %missing, "a related multi-Region key is missing in the store");
        Err(Refusal::internal(format!(
            "The key {}, which {} names as related, is missing. Ask the operator to run 'claviger store verify'.",
            key.arn_in(missing),
            key.arn()
        )))
    }
}

fn agree_on_pending_material<'k>(keys: impl Iterator<Item = &'k mut Versioned<Key>>) {
    let mut keys: Vec<&mut Key> = keys.map(|key| &mut key.value).collect();
    Key::agree_on_pending_material(&mut keys);
}

/// Makes a replica's material that of its primary, in the same order.
fn import_material(parcel: Parcel, primary: &Key, replica: &mut Key) {
    let mut own = std::mem::take(&mut replica.materials);
    own.extend(parcel.0);
    let of = |material: &MaterialVersion| own.iter().find(|other| other.id == material.id).cloned();
    replica.materials = primary.materials.iter().filter_map(of).collect();
}

fn position(key: &Key, material: &MaterialVersion) -> Option<usize> {
    key.materials.iter().position(|other| other.id == material.id)
}

fn unopened(key: &Key) -> Refusal {
    Refusal::internal(format!(
        "The material of key {} cannot be opened. Ask the operator to run 'claviger store verify'.",
        key.arn()
    ))
}
