//! Custom key stores: what keeps the material of an account's keys outside of this deployment. Source: AWS KMS Developer Guide, "Key stores";
//! AWS KMS API Reference, "CreateCustomKeyStore" and its kin.
//!
//! Here is what a store is, which state allows what, and what must be unique. What stands behind a store is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::{AccountId, InvalidId, Region};
use crate::key::base64_bytes;
use crate::names::names;
use crate::refusal::{Kind, Refusal};
use crate::timestamp::Timestamp;

names! {
    /// What stands behind a custom key store.
    KeyStoreType, "a custom key store type" {
        /// A cluster of hardware security modules.
        CloudHsm = "AWS_CLOUDHSM",
        /// An external key store proxy.
        External = "EXTERNAL_KEY_STORE",
    }
}

names! {
    /// How an external key store proxy is reached.
    Connectivity, "a connectivity" {
        /// At a public address.
        Public = "PUBLIC_ENDPOINT",
        /// Through a VPC endpoint service.
        Vpc = "VPC_ENDPOINT_SERVICE",
    }
}

names! {
    /// Why a store could not be connected. Source: AWS KMS API Reference, "CustomKeyStoresListEntry".
    #[expect(missing_docs, reason = "the names are AWS's, and their meaning is said there")]
    ConnectionError, "a connection error code" {
        InvalidCredentials = "INVALID_CREDENTIALS",
        ClusterNotFound = "CLUSTER_NOT_FOUND",
        NetworkErrors = "NETWORK_ERRORS",
        InternalError = "INTERNAL_ERROR",
        InsufficientHsms = "INSUFFICIENT_CLOUDHSM_HSMS",
        UserLockedOut = "USER_LOCKED_OUT",
        UserNotFound = "USER_NOT_FOUND",
        UserLoggedIn = "USER_LOGGED_IN",
        SubnetNotFound = "SUBNET_NOT_FOUND",
        InsufficientFreeAddresses = "INSUFFICIENT_FREE_ADDRESSES_IN_SUBNET",
        ProxyAccessDenied = "XKS_PROXY_ACCESS_DENIED",
        ProxyNotReachable = "XKS_PROXY_NOT_REACHABLE",
        VpcEndpointServiceNotFound = "XKS_VPC_ENDPOINT_SERVICE_NOT_FOUND",
        ProxyInvalidResponse = "XKS_PROXY_INVALID_RESPONSE",
        ProxyInvalidConfiguration = "XKS_PROXY_INVALID_CONFIGURATION",
        VpcEndpointServiceInvalidConfiguration = "XKS_VPC_ENDPOINT_SERVICE_INVALID_CONFIGURATION",
        ProxyTimedOut = "XKS_PROXY_TIMED_OUT",
        ProxyInvalidTlsConfiguration = "XKS_PROXY_INVALID_TLS_CONFIGURATION",
    }
}

/// A custom key store's id: `cks-` and 17 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyStoreId(Box<str>);

impl KeyStoreId {
    const DIGITS: usize = 17;

    /// The id made of these random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        let number = u128::from_be_bytes(bytes) >> (128 - 4 * Self::DIGITS);
        Self(format!("cks-{number:0width$x}", width = Self::DIGITS).into())
    }

    /// The id as AWS writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyStoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyStoreId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.strip_prefix("cks-").unwrap_or_default();
        let fits = digits.len() == Self::DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId { expected: "a custom key store id (cks- and 17 hexadecimal digits)" })
        }
    }
}

impl Serialize for KeyStoreId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyStoreId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A secret that a store is opened with, sealed: only the hsm crate can open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// The version of the account key that it is sealed under.
    pub account_key_version: u32,
    /// The secret, sealed.
    #[serde(with = "base64_bytes")]
    pub sealed: Vec<u8>,
}

/// A cluster of hardware security modules behind a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// `cluster-` and 11 to 16 characters.
    pub id: String,
    /// The certificate that the cluster's own goes back to, in PEM.
    pub trust_anchor: String,
    /// The password of the crypto user `kmsuser`.
    pub password: SealedSecret,
}

/// An external key store proxy behind a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// How it is reached.
    pub connectivity: Connectivity,
    /// `https://` and a host.
    pub endpoint: String,
    /// A path that ends with `/kms/xks/v1`.
    pub path: String,
    /// The VPC endpoint service, where it is reached through one.
    pub vpc_service: Option<VpcService>,
    /// The public half of the credential that requests are signed with.
    pub access_key: String,
    /// Its secret half.
    pub secret: SealedSecret,
}

/// A VPC endpoint service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcService {
    /// Its name: `com.amazonaws.vpce.us-east-1.vpce-svc-...`.
    pub name: String,
    /// The account that owns it.
    pub owner: String,
}

/// What stands behind a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is")]
pub enum Backing {
    /// A cluster of hardware security modules.
    CloudHsm(Cluster),
    /// An external key store proxy.
    External(Proxy),
}

/// Whether a store can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is")]
pub enum ConnectionState {
    /// It was never connected, or was disconnected.
    Disconnected,
    /// Somebody asked for a connection, which is being made.
    Connecting {
        /// Since when.
        since: Timestamp,
    },
    /// Its keys can be used.
    Connected,
    /// The connection could not be made.
    Failed {
        /// Why not.
        error: ConnectionError,
    },
}

impl ConnectionState {
    /// The name as protocols write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "DISCONNECTED",
            Self::Connecting { .. } => "CONNECTING",
            Self::Connected => "CONNECTED",
            Self::Failed { .. } => "FAILED",
        }
    }
}

/// A custom key store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStore {
    /// Its name, unique in account and Region.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it can be used.
    pub state: ConnectionState,
    /// What stands behind it.
    pub backing: Backing,
}

impl KeyStore {
    /// What kind of thing stands behind it.
    pub fn kind(&self) -> KeyStoreType {
        match self.backing {
            Backing::CloudHsm(_) => KeyStoreType::CloudHsm,
            Backing::External(_) => KeyStoreType::External,
        }
    }

    /// Begins to connect it. Nothing is to be done where it is connected, or on its way.
    ///
    /// # Errors
    /// What has failed must be disconnected first.
    pub fn begin_connecting(&mut self, id: &KeyStoreId, now: Timestamp) -> Result<(), Refusal> {
        match self.state {
            ConnectionState::Disconnected => {
                self.state = ConnectionState::Connecting { since: now };
                Ok(())
            }
            ConnectionState::Connecting { .. } | ConnectionState::Connected => Ok(()),
            ConnectionState::Failed { .. } => {
                Err(self.is_in_the_wrong_state(id, "It must be DISCONNECTED before it is connected again."))
            }
        }
    }

    /// Disconnects it.
    ///
    /// # Errors
    /// It is not connected.
    pub fn disconnect(&mut self, id: &KeyStoreId) -> Result<(), Refusal> {
        if self.state == ConnectionState::Disconnected {
            return Err(self.is_in_the_wrong_state(id, "There is nothing to disconnect."));
        }
        self.state = ConnectionState::Disconnected;
        Ok(())
    }

    /// It may be deleted. It holds so many keys.
    ///
    /// # Errors
    /// It is not disconnected, or holds any.
    pub fn must_be_deletable(&self, id: &KeyStoreId, keys: u64) -> Result<(), Refusal> {
        if self.state != ConnectionState::Disconnected {
            return Err(self.is_in_the_wrong_state(id, "It must be DISCONNECTED before it is deleted."));
        }
        if keys > 0 {
            let detail =
                format!("The custom key store {id} contains KMS keys. Delete them first; scheduled deletions have to be over.");
            return Err(Refusal::new(Kind::KeyStoreHasKeys, detail));
        }
        Ok(())
    }

    /// Its keys can be made and used.
    ///
    /// # Errors
    /// It is not connected.
    pub fn must_be_connected(&self, id: &KeyStoreId) -> Result<(), Refusal> {
        if self.state == ConnectionState::Connected {
            return Ok(());
        }
        Err(self.is_in_the_wrong_state(id, "It must be CONNECTED."))
    }

    /// It may be changed in this way. Source: AWS KMS API Reference, "UpdateCustomKeyStore".
    ///
    /// # Errors
    /// Its state forbids it: names, and a proxy's path and credential, change while connected; everything else only while disconnected.
    pub fn must_allow(&self, id: &KeyStoreId, change: Change) -> Result<(), Refusal> {
        match (self.state, change) {
            (ConnectionState::Disconnected, _) | (ConnectionState::Connected, Change::Light) => Ok(()),
            (_, Change::Light) => Err(self.is_in_the_wrong_state(id, "It must be CONNECTED or DISCONNECTED to be changed.")),
            (_, Change::Heavy) => Err(self.is_in_the_wrong_state(id, "It must be DISCONNECTED for this change.")),
        }
    }

    fn is_in_the_wrong_state(&self, id: &KeyStoreId, what: &str) -> Refusal {
        let detail = format!("The custom key store {id} is {}. {what}", self.state.as_str());
        Refusal::new(Kind::KeyStoreState, detail)
    }
}

/// What a change of a store's properties asks of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It can be made while the store is in use.
    Light,
    /// The store must be disconnected.
    Heavy,
}

/// All custom key stores of an account in a Region. They are one record, so that what must be unique among them is, whoever is quickest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStores {
    /// Their account.
    pub account: AccountId,
    /// Their Region.
    pub region: Region,
    /// The stores.
    pub stores: BTreeMap<KeyStoreId, KeyStore>,
}

impl KeyStores {
    /// None yet.
    pub fn none(account: AccountId, region: Region) -> Self {
        Self { account, region, stores: BTreeMap::new() }
    }

    /// When background work has to look at them: since the longest that one waits for its connection.
    pub fn due(&self) -> Option<Timestamp> {
        let waiting = self.stores.values().filter_map(|store| match store.state {
            ConnectionState::Connecting { since } => Some(since),
            _ => None,
        });
        waiting.min()
    }

    /// The store with this id.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, id: &str) -> Result<(&KeyStoreId, &KeyStore), Refusal> {
        self.stores.iter().find(|(known, _)| known.as_str() == id).ok_or_else(|| not_found(id))
    }

    /// The same, to change it.
    ///
    /// # Errors
    /// There is none.
    pub fn get_mut(&mut self, id: &str) -> Result<(&KeyStoreId, &mut KeyStore), Refusal> {
        self.stores.iter_mut().find(|(known, _)| known.as_str() == id).ok_or_else(|| not_found(id))
    }

    /// The store with this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(&self, name: &str) -> Result<(&KeyStoreId, &KeyStore), Refusal> {
        self.stores.iter().find(|(_, store)| store.name == name).ok_or_else(|| not_found(name))
    }

    /// Adds a store.
    ///
    /// # Errors
    /// Another one has what must be its alone.
    pub fn add(&mut self, id: KeyStoreId, store: KeyStore) -> Result<(), Refusal> {
        self.must_be_unique(&id, &store)?;
        self.stores.insert(id, store);
        Ok(())
    }

    /// Nothing that must be a store's alone is another one's. Source: AWS KMS API Reference, "CreateCustomKeyStore", uniqueness requirements of
    /// its parameters.
    ///
    /// # Errors
    /// Names what is taken.
    pub fn must_be_unique(&self, id: &KeyStoreId, store: &KeyStore) -> Result<(), Refusal> {
        for (_, other) in self.stores.iter().filter(|(other, _)| *other != id) {
            if other.name == store.name {
                let detail = format!("There is already a custom key store named {:?} in this account and Region.", store.name);
                return Err(Refusal::new(Kind::KeyStoreNameInUse, detail));
            }
            match (&store.backing, &other.backing) {
                (Backing::CloudHsm(cluster), Backing::CloudHsm(taken)) if cluster.id == taken.id => {
                    let detail = format!("The cluster {} is already associated with a custom key store.", cluster.id);
                    return Err(Refusal::new(Kind::ClusterInUse, detail));
                }
                (Backing::External(proxy), Backing::External(taken)) => proxy.must_differ_from(taken)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Proxy {
    /// An address belongs to one store; an endpoint to stores of one connectivity, and through a VPC endpoint service to one store.
    fn must_differ_from(&self, taken: &Self) -> Result<(), Refusal> {
        if self.endpoint.eq_ignore_ascii_case(&taken.endpoint) {
            if self.path == taken.path {
                let detail = format!("{}{} is already associated with a custom key store.", self.endpoint, self.path);
                return Err(Refusal::new(Kind::ProxyUriInUse, detail));
            }
            if self.connectivity != taken.connectivity || self.connectivity == Connectivity::Vpc {
                let detail = format!("{} is already associated with a custom key store.", self.endpoint);
                return Err(Refusal::new(Kind::ProxyUriEndpointInUse, detail));
            }
        }
        match (&self.vpc_service, &taken.vpc_service) {
            (Some(service), Some(other)) if service.name == other.name => {
                let detail = format!("{} is already associated with a custom key store.", service.name);
                Err(Refusal::new(Kind::ProxyVpcServiceInUse, detail))
            }
            _ => Ok(()),
        }
    }
}

fn not_found(named: &str) -> Refusal {
    Refusal::new(Kind::KeyStoreNotFound, format!("The custom key store {named:?} does not exist in this account and Region."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_344_813_000);

    fn id(number: u8) -> KeyStoreId {
        KeyStoreId::from_random([number; 16])
    }

    fn secret() -> SealedSecret {
        SealedSecret { account_key_version: 1, sealed: vec![1] }
    }

    fn cluster(name: &str, cluster: &str) -> KeyStore {
        let backing = Backing::CloudHsm(Cluster { id: cluster.to_owned(), trust_anchor: "PEM".to_owned(), password: secret() });
        KeyStore { name: name.to_owned(), created: NOW, state: ConnectionState::Disconnected, backing }
    }

    fn proxy(name: &str, endpoint: &str, path: &str, vpc: Option<&str>) -> KeyStore {
        let vpc_service = vpc.map(|name| VpcService { name: name.to_owned(), owner: "123456789012".to_owned() });
        let backing = Backing::External(Proxy {
            connectivity: if vpc.is_some() { Connectivity::Vpc } else { Connectivity::Public },
            endpoint: endpoint.to_owned(),
            path: path.to_owned(),
            vpc_service,
            access_key: "ABCDEFGHIJKLMNOPQRST".to_owned(),
            secret: secret(),
        });
        KeyStore { backing, ..cluster(name, "") }
    }

    fn stores() -> KeyStores {
        KeyStores::none(AccountId::DEPLOYMENT, "us-east-1".parse().unwrap())
    }

    #[test]
    fn ids_are_written_as_aws_does() {
        let made = KeyStoreId::from_random([0xff; 16]);
        assert_eq!(made.as_str(), "cks-fffffffffffffffff");
        assert_eq!(KeyStoreId::from_random([0; 16]).as_str(), "cks-00000000000000000");
        assert_eq!("cks-1234567890abcdef0".parse::<KeyStoreId>().unwrap().to_string(), "cks-1234567890abcdef0");
        for bad in ["cks-", "cks-1234567890abcdef", "cks-1234567890ABCDEF0", "1234567890abcdef0", "cks-1234567890abcdef00"] {
            assert!(bad.parse::<KeyStoreId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_state_allows_what_aws_says() {
        let failed = ConnectionState::Failed { error: ConnectionError::InternalError };
        let connecting = ConnectionState::Connecting { since: NOW };
        for (state, connect, disconnect, delete, use_it, light, heavy) in [
            (ConnectionState::Disconnected, true, false, true, false, true, true),
            (connecting, true, true, false, false, false, false),
            (ConnectionState::Connected, true, true, false, true, true, false),
            (failed, false, true, false, false, false, false),
        ] {
            let store = KeyStore { state, ..cluster("one", "cluster-1") };
            let name = state.as_str();
            let refused = |result: Result<(), Refusal>| match result {
                Ok(()) => false,
                Err(refusal) => {
                    assert!(refusal.kind == Kind::KeyStoreState && refusal.detail.contains(name), "{refusal}");
                    true
                }
            };
            let mut changed = store.clone();
            assert_eq!(!refused(changed.begin_connecting(&id(1), NOW)), connect, "{name}");
            let expected = if state == ConnectionState::Disconnected { connecting } else { state };
            assert_eq!(changed.state, expected, "{name}");
            let mut changed = store.clone();
            assert_eq!(!refused(changed.disconnect(&id(1))), disconnect, "{name}");
            assert_eq!(changed.state, ConnectionState::Disconnected, "{name}");
            assert_eq!(!refused(store.must_be_deletable(&id(1), 0)), delete, "{name}");
            assert_eq!(!refused(store.must_be_connected(&id(1))), use_it, "{name}");
            assert_eq!(!refused(store.must_allow(&id(1), Change::Light)), light, "{name}");
            assert_eq!(!refused(store.must_allow(&id(1), Change::Heavy)), heavy, "{name}");
        }
        let full = cluster("one", "cluster-1");
        assert_eq!(full.must_be_deletable(&id(1), 1).unwrap_err().kind, Kind::KeyStoreHasKeys);
    }

    #[test]
    fn what_must_be_unique_is() {
        let mut all = stores();
        all.add(id(1), cluster("one", "cluster-1")).unwrap();
        all.add(id(2), proxy("two", "https://two.example", "/kms/xks/v1", None)).unwrap();
        all.add(id(3), proxy("three", "https://three.example", "/kms/xks/v1", Some("service-3"))).unwrap();
        for (store, expected) in [
            (cluster("one", "cluster-9"), Some(Kind::KeyStoreNameInUse)),
            (proxy("one", "https://nine.example", "/kms/xks/v1", None), Some(Kind::KeyStoreNameInUse)),
            (cluster("nine", "cluster-1"), Some(Kind::ClusterInUse)),
            (proxy("nine", "https://two.example", "/kms/xks/v1", None), Some(Kind::ProxyUriInUse)),
            (proxy("nine", "https://TWO.example", "/kms/xks/v1", None), Some(Kind::ProxyUriInUse)),
            (proxy("nine", "https://two.example", "/nine/kms/xks/v1", None), None),
            (proxy("nine", "https://two.example", "/nine/kms/xks/v1", Some("service-9")), Some(Kind::ProxyUriEndpointInUse)),
            (proxy("nine", "https://three.example", "/nine/kms/xks/v1", Some("service-9")), Some(Kind::ProxyUriEndpointInUse)),
            (proxy("nine", "https://nine.example", "/kms/xks/v1", Some("service-3")), Some(Kind::ProxyVpcServiceInUse)),
            (cluster("nine", "cluster-9"), None),
        ] {
            assert_eq!(all.must_be_unique(&id(9), &store).err().map(|refusal| refusal.kind), expected, "{store:?}");
        }
        // A store is not in its own way.
        let (one, store) = all.named("one").unwrap();
        all.must_be_unique(one, store).unwrap();
    }

    #[test]
    fn stores_are_found_by_id_and_name() {
        let mut all = stores();
        assert_eq!(all.due(), None);
        all.add(id(1), cluster("one", "cluster-1")).unwrap();
        assert_eq!(all.get(id(1).as_str()).unwrap().1.name, "one");
        assert_eq!(all.named("one").unwrap().0, &id(1));
        for missing in [all.get(id(2).as_str()).err(), all.named("two").err(), all.get("one").err()] {
            assert_eq!(missing.unwrap().kind, Kind::KeyStoreNotFound);
        }
        let (_, store) = all.get_mut(id(1).as_str()).unwrap();
        store.begin_connecting(&id(1), NOW).unwrap();
        assert_eq!(all.due(), Some(NOW));
    }

    #[test]
    fn what_is_stored_can_be_read_again() {
        let mut all = stores();
        all.add(id(1), KeyStore { state: ConnectionState::Connecting { since: NOW }, ..cluster("one", "cluster-1") }).unwrap();
        let failed = ConnectionState::Failed { error: ConnectionError::ProxyNotReachable };
        all.add(id(2), KeyStore { state: failed, ..proxy("two", "https://two.example", "/kms/xks/v1", Some("service-2")) })
            .unwrap();
        let text = serde_json::to_string(&all).unwrap();
        assert!(text.contains("XKS_PROXY_NOT_REACHABLE") && text.contains(id(1).as_str()), "{text}");
        assert_eq!(serde_json::from_str::<KeyStores>(&text).unwrap(), all);
    }
}
