//! Keys whose material is to be in a custom key store. Source: AWS KMS API Reference, "CreateKey", `CustomKeyStoreId`.

use claviger_domain::key::{Home, Key, MaterialVersion, Origin};
use claviger_domain::key_store::{Backing, KeyStoreType};
use claviger_domain::{Caller, Kind, Refusal};
use claviger_store::Change;

use crate::key_stores::{Asked, KeyStoreKey, MadeElsewhere, NewRemoteKey, OpenKeyStore, RemoteKey};
use crate::service::Service;

/// Where the material of a new key is to be.
pub struct InKeyStore {
    /// The store's id.
    pub store: String,
    /// The store's type, which the key's origin says.
    pub kind: KeyStoreType,
    /// The key that is there already and is to be used: the id of an external key, in an external store.
    pub existing: Option<String>,
}

impl InKeyStore {
    /// The store, which must be there, of the type that the request says, and connected.
    pub(crate) async fn open(&self, service: &Service, caller: &Caller) -> Result<Place, Refusal> {
        let kept = service.key_stores(caller).await?;
        let (id, store) = kept.stores.get(&self.store)?;
        if store.kind() != self.kind {
            let (found, asked) = (store.kind(), self.kind);
            return Err(Refusal::invalid(format!(
                "The custom key store {id} is of type {found}, and cannot hold keys of origin {asked}."
            )));
        }
        store.must_be_connected(id)?;
        let opened = service.open_key_store(caller.identity.account, &caller.request.region, id, store).await?;
        let place = Place { opened, unchanged: kept.unchanged() };
        if let Some(name) = &self.existing {
            place.must_be_free(service, name).await?;
        }
        Ok(place)
    }

    /// The origin of keys there.
    pub(crate) fn origin(&self) -> Origin {
        match self.kind {
            KeyStoreType::CloudHsm => Origin::CloudHsm,
            KeyStoreType::External => Origin::ExternalKeyStore,
        }
    }
}

/// A connected custom key store in which a key is being made.
pub(crate) struct Place {
    opened: OpenKeyStore,
    /// What makes the commit fail when the store was disconnected or deleted meanwhile.
    unchanged: Option<Change>,
}

impl Place {
    /// Gives the key its home: makes the material there, or finds it. The changes that have to be committed with the key, and what has to be taken away if
    /// they are not.
    pub(crate) async fn settle(
        self,
        service: &Service,
        key: &mut Key,
        existing: Option<&str>,
        caller: &Caller,
    ) -> Result<(Vec<Change>, MadeElsewhere), Refusal> {
        let store = &self.opened;
        let wanted = NewRemoteKey { key: key.id, spec: key.spec, usage: key.usage, existing };
        let found =
            service.key_store_backends.of(&store.store).create(store, wanted, &Asked::by(caller, "CreateKey", None)).await?;
        let reference = found.reference.clone();
        let moved_in = self.move_in(service, key, existing, found, caller).await;
        let made = MadeElsewhere { key: key.id, store: self.opened, reference };
        match moved_in {
            Ok(entry) => Ok((self.unchanged.into_iter().chain([entry]).collect(), made)),
            Err(refusal) => {
                service.take_away(made).await;
                Err(refusal)
            }
        }
    }

    /// Lets the key live there; the entry in the list of what is in the store.
    async fn move_in(
        &self,
        service: &Service,
        key: &mut Key,
        existing: Option<&str>,
        found: RemoteKey,
        caller: &Caller,
    ) -> Result<Change, Refusal> {
        let (store, now) = (&self.opened, caller.request.at);
        let (cluster, xks_key) = match &store.store.backing {
            Backing::CloudHsm(cluster) => (Some(cluster.id.clone()), None),
            Backing::External(_) => (None, existing.map(str::to_owned)),
        };
        let home = Home { store: store.id.clone(), reference: found.reference, cluster, xks_key };
        match key.origin {
            // What it encrypts is encrypted here first.
            Origin::ExternalKeyStore => service.add_material(key, None, now).await?,
            _ => key.materials.push(MaterialVersion {
                id: service.hsm().id_of_material_elsewhere(key.id, &home.reference),
                created: now,
                rotation: None,
                account_key_version: service.records.existing_account(key.account).await?.current()?.version(),
                sealed: Vec::new(),
                public_key: found.public_key,
                imported: None,
            }),
        }
        let entry = service.records.create(&KeyStoreKey::of(key, &home)).await?;
        key.home = Some(Box::new(home));
        Ok(entry)
    }

    /// An external key stands behind one key of a store.
    async fn must_be_free(&self, service: &Service, name: &str) -> Result<(), Refusal> {
        let store = &self.opened;
        if store.store.kind() != KeyStoreType::External {
            return Ok(());
        }
        let id = format!("{}/{}/{name}", store.region, store.id);
        if service.records.get::<KeyStoreKey>(store.account, &id).await?.is_none() {
            return Ok(());
        }
        let detail =
            format!("The external key {name} is already associated with a KMS key in the custom key store {}.", store.id);
        Err(Refusal::new(Kind::XksKeyAlreadyInUse, detail))
    }
}
