//! Keys in tokens that were made for KMS keys which do not exist: what a failed commit left behind, or a deletion could not reach.

use std::collections::BTreeSet;

use claviger_domain::KeyId;
use claviger_store::{RecordKind, Store, StoreError};
use claviger_token::{ObjectFacts, Token};

use super::{Finding, warning};
use crate::deployment::DataDirectory;

/// Records that one read takes.
const PAGE: usize = 1000;

/// What is in this token without a KMS key that stands for it.
pub(super) async fn orphans(name: &str, token: &Token, data: &DataDirectory) -> Vec<Finding> {
    let Ok(objects) = token.list().await else { return Vec::new() };
    let ours: BTreeSet<KeyId> = objects.iter().filter_map(made_for).collect();
    if ours.is_empty() {
        return Vec::new();
    }
    let Ok(store) = data.read_store().await else { return Vec::new() };
    let Ok(known) = keys_in_key_stores(store.as_ref()).await else { return Vec::new() };
    let lost = ours.into_iter().filter(|key| !known.contains(&key.to_string()));
    lost.map(|key| {
        let id = key.uuid().simple();
        warning(
            format!("the token {name} holds the key \"claviger {key}\", and this deployment has no such KMS key"),
            format!(
                "unless it is being created now, or belongs to another deployment or to what a backup has, remove it with the vendor's \
                 tools (pkcs11-tool --delete-object --id {id})"
            ),
        )
    })
    .collect()
}

/// The KMS key that an object was made for: its id stands in both id and label.
fn made_for(object: &ObjectFacts) -> Option<KeyId> {
    let key: KeyId = object.label.strip_prefix("claviger ")?.parse().ok()?;
    (object.id == key.uuid().as_bytes()).then_some(key)
}

/// The names of all keys in custom key stores.
async fn keys_in_key_stores(store: &dyn Store) -> Result<BTreeSet<String>, StoreError> {
    let mut names = BTreeSet::new();
    if store.count(RecordKind::KeyStoreKey, None).await? == 0 {
        return Ok(names);
    }
    let mut after = None;
    loop {
        let records = store.scan(after.as_ref(), PAGE).await?;
        let found = records.iter().filter(|record| record.key.kind == RecordKind::KeyStoreKey);
        names.extend(found.filter_map(|record| record.key.id.rsplit('/').next().map(str::to_owned)));
        match records.last() {
            Some(last) if records.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_for_a_key_is_ours() {
        let key: KeyId = "1234abcd-12ab-34cd-56ef-1234567890ab".parse().unwrap();
        let object = |label: &str, id: &[u8]| ObjectFacts {
            label: label.to_owned(),
            id: id.to_vec(),
            kind: "AES-256".to_owned(),
            always_sensitive: true,
            never_extractable: true,
            local: true,
        };
        let (label, id) = (format!("claviger {key}"), *key.uuid().as_bytes());
        assert_eq!(made_for(&object(&label, &id)), Some(key));
        for (label, id) in
            [("our old key", &id[..]), (&label, &id[..15]), ("claviger token check", &id[..]), ("claviger", &id[..])]
        {
            assert_eq!(made_for(&object(label, id)), None, "{label}");
        }
    }
}
