//! The service itself: what it holds, how it starts, what it tells of its health.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use claviger_audit::VerifierKey;
use claviger_domain::hyok::HyokPath;
use claviger_domain::identity::Account;
use claviger_domain::key::{Alias, KeySpec};
use claviger_domain::{AccountId, Identity, Refusal, Region, Timestamp};
use claviger_hsm::{AttestationRoot, Hsm};
use claviger_store::{RecordKey, RecordKind, Shard, Store};
use metrics::{Histogram, histogram};
use parking_lot::RwLock;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use uuid::Uuid;

use crate::cache::Cache;
use crate::clock::{Clock, Moment};
use crate::complaints::Complaints;
use crate::confirm::Polling;
use crate::effective::Effective;
use crate::freshness::Freshness;
use crate::grace::Graces;
use crate::grants::KeyGrants;
use crate::heartbeat::Heartbeats;
use crate::hyok::HyokSnapshot;
use crate::hyok_health::CachedHealth;
use crate::key_stores::{KeyStoreBackends, OpenKeyStores};
use crate::last_use::LastUses;
use crate::leader::Leadership;
use crate::quotas::Quotas;
use crate::records::{Records, store_refusal};
use crate::room::Room;
use crate::root_watch::RootWatch;
use crate::seals::{NoSecrets, SealKeeper};
use crate::sessions::Sessions;
use crate::snapshot::{Credential, KeySnapshot, Policies, RoleSnapshot};
use crate::store_meters::StoreMeters;
use crate::throttle::Throttle;
use crate::work::Workplaces;

/// How many at a time look for what only its user says that it is there.
const STRANGERS_MAX: usize = 2;

/// What the configuration says of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node's name: it names the node's audit log.
    pub node: String,
    /// The Regions that are served; none when any is.
    pub regions: Option<Vec<Region>>,
    /// For how long knowledge of other nodes' changes may be used.
    pub lease: Duration,
    /// How many key snapshots are kept in memory. One takes about 1.5 KiB.
    pub cached_keys: usize,
    /// What accounts may have, and how often they may ask.
    pub quotas: Quotas,
    /// The certificates that attestation documents of recipients may go back to. Without any, no document is accepted.
    pub attestation_roots: Vec<AttestationRoot>,
    /// Whether keys and data key pairs of the spec SM2 may be made, which AWS offers in China only.
    pub china_algorithms: bool,
    /// What reaches what stands behind custom key stores.
    pub key_stores: KeyStoreBackends,
    /// What has the secrets of the seals that the configuration names.
    pub seal_keeper: Arc<dyn SealKeeper>,
    /// When changes are told to whoever made them.
    pub effective: Effective,
    /// How long whoever does the background work has to be silent before another node takes over.
    pub background_lease: Duration,
    /// Where this node listens, for those who look at the cluster.
    pub addresses: Vec<String>,
    /// Where audit entries wait while the store cannot be reached; none where nothing is used then.
    pub grace_spool: Option<PathBuf>,
}

impl Settings {
    /// The defaults for a node of this name: any Region, a lease of one second, 100,000 snapshots, AWS's quotas on
    /// what there may be, no limit on rates, no roots of attestation, and no SM2.
    pub fn for_node(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            regions: None,
            lease: Duration::from_secs(1),
            cached_keys: 131_072,
            quotas: Quotas::default(),
            attestation_roots: Vec::new(),
            china_algorithms: false,
            key_stores: KeyStoreBackends::default(),
            seal_keeper: Arc::new(NoSecrets),
            effective: Effective::Immediately,
            background_lease: Duration::from_secs(15),
            addresses: Vec::new(),
            grace_spool: None,
        }
    }
}

/// The core. Doors share one.
pub struct Service {
    pub(crate) node: String,
    pub(crate) deployment: Uuid,
    pub(crate) records: Records,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) polling: Polling,
    pub(crate) root_watch: RootWatch,
    pub(crate) effective: Effective,
    pub(crate) leadership: Leadership,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) graces: Graces,
    pub(crate) caches: Arc<Caches>,
    pub(crate) policies: Policies,
    pub(crate) sessions: Sessions,
    pub(crate) last_uses: LastUses,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) throttle: Throttle,
    /// How often hold-your-own-key stores ask.
    pub(crate) store_meters: StoreMeters,
    pub(crate) hyok_health: CachedHealth,
    /// The line of those who name themselves or their store in a way that is not known here yet. Anybody can do that, as often as they like, so that
    /// they may not take more of the store than this.
    pub(crate) strangers: Semaphore,
    /// Whether the store has refused the last audit entries for good: the log there is not where this node's is.
    pub(crate) log_refused: AtomicBool,
    /// Where this node's log ends, as far as entries were acknowledged.
    pub(crate) logged: AtomicU64,
    pub(crate) room_for_keys: Room<(AccountId, Region)>,
    /// By the record id of the key.
    pub(crate) room_for_grants: Room<(AccountId, String)>,
    pub(crate) complaints: Complaints,
    pub(crate) started: Timestamp,
    regions: Option<Vec<Region>>,
    pub(crate) attestation_roots: Vec<AttestationRoot>,
    china_algorithms: bool,
    pub(crate) workplaces: Workplaces,
    pub(crate) key_store_backends: KeyStoreBackends,
    pub(crate) seal_keeper: Arc<dyn SealKeeper>,
    verifier_key: VerifierKey,
    /// How long requests waited until their audit entry was durable.
    pub(crate) audit_lag: Histogram,
    /// Where requests wait in line that met others at the same record.
    turns: Vec<Arc<Mutex<()>>>,
}

/// Memory that snapshots of keys may take, about: their policies, which people write, are most of it.
const KEYS_BYTES_MAX: usize = 512 << 20;

/// Snapshots of records.
pub(crate) struct Caches {
    pub(crate) keys: Cache<KeySnapshot>,
    pub(crate) accounts: Cache<Account>,
    pub(crate) aliases: Cache<Alias>,
    /// By the record id of the key that they are on.
    pub(crate) grants: Cache<KeyGrants>,
    pub(crate) identities: Cache<Identity>,
    pub(crate) roles: Cache<RoleSnapshot>,
    pub(crate) credentials: Cache<Credential>,
    /// By Region.
    pub(crate) key_stores: Cache<OpenKeyStores>,
    pub(crate) hyok_stores: Cache<HyokSnapshot>,
    pub(crate) hyok_paths: Cache<HyokPath>,
    /// Which account an access key belongs to. It never changes.
    pub(crate) access_key_accounts: RwLock<HashMap<Box<str>, AccountId>>,
}

impl Caches {
    fn new(keys: usize) -> Self {
        Self {
            keys: Cache::weighed(keys, KeySnapshot::weight, KEYS_BYTES_MAX),
            accounts: Cache::new(keys / 8),
            aliases: Cache::new(keys),
            grants: Cache::new(keys / 8),
            identities: Cache::new(keys / 8),
            roles: Cache::new(keys / 8),
            credentials: Cache::new(keys / 8),
            key_stores: Cache::new(keys / 64),
            hyok_stores: Cache::new(keys / 8),
            hyok_paths: Cache::new(keys / 8),
            access_key_accounts: RwLock::new(HashMap::new()),
        }
    }

    /// Forgets the snapshot of a record.
    pub(crate) fn evict(&self, shard: Shard, kind: RecordKind, id: &str) {
        match kind {
            RecordKind::Key => self.keys.evict(shard, id),
            RecordKind::Account => self.accounts.evict(shard, id),
            RecordKind::Alias => self.aliases.evict(shard, id),
            RecordKind::Grant => self.grants.evict(shard, id.rsplit_once('/').map_or(id, |(key, _)| key)),
            RecordKind::User => self.identities.evict(shard, id),
            RecordKind::Role => self.roles.evict(shard, id),
            RecordKind::AccessKey => self.credentials.evict(shard, id),
            RecordKind::CustomKeyStores => self.key_stores.evict(shard, id),
            RecordKind::HyokStore => self.hyok_stores.evict(shard, id),
            RecordKind::HyokPath => self.hyok_paths.evict(shard, id),
            RecordKind::AccountKey
            | RecordKind::GrantName
            | RecordKind::GrantRetirement
            | RecordKind::LastUse
            | RecordKind::Node
            | RecordKind::Heartbeat
            | RecordKind::Lease
            | RecordKind::GraceSpool
            | RecordKind::KeyStoreKey
            | RecordKind::Setting
            | RecordKind::SealedRoot => {}
        }
    }
}

/// Whether the service can do its work, part by part.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Readiness {
    /// Whether the store answers.
    pub store: bool,
    /// Whether the hsm passed its self-tests and has not failed since.
    pub hsm: bool,
    /// Whether what is cached is known to be fresh.
    pub lease: bool,
    /// Whether audit entries can be written, as far as is known. Without that nothing is answered.
    pub log: bool,
}

impl Readiness {
    /// Whether requests can be served.
    pub fn is_ready(&self) -> bool {
        self.store && self.hsm && self.lease && self.log
    }
}

impl Service {
    /// Opens a deployment that [`crate::initialize`] made: takes up this node's log, or begins one, and reads what has to be read.
    ///
    /// Call [`Service::run_background`] on a task of its own afterwards: without it the lease runs out.
    ///
    /// # Errors
    /// When the store cannot be read, the log does not fit its checkpoint, or a record was changed from outside.
    pub async fn open(
        store: Arc<dyn Store>,
        hsm: Arc<Hsm>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Arc<Self>, Refusal> {
        let deployment = crate::deployment::deployment_id(store.as_ref()).await?;
        let records = Records::new(Arc::clone(&store), hsm);
        let verifier_key = crate::node_log::attach(&records, deployment, &settings.node, clock.now()).await?;
        let (polled_at, era) = (Moment::now(), store.era());
        let epochs = store.epochs().await.map_err(store_refusal)?;
        let quotas = Arc::new(settings.quotas);
        let graces = Graces::open(settings.grace_spool, &settings.node, &records).await?;
        let service = Self {
            deployment,
            freshness: Arc::new(Freshness::new(&epochs, polled_at, era, settings.lease)),
            polling: Polling::default(),
            root_watch: RootWatch::new(),
            effective: settings.effective,
            leadership: Leadership::new(settings.background_lease),
            heartbeats: Heartbeats::new(settings.addresses),
            graces,
            caches: Arc::new(Caches::new(settings.cached_keys)),
            policies: Policies::new(),
            sessions: Sessions::new(),
            last_uses: LastUses::new(&settings.node),
            throttle: Throttle::new(Arc::clone(&quotas)),
            store_meters: StoreMeters::default(),
            hyok_health: CachedHealth::default(),
            quotas,
            strangers: Semaphore::new(STRANGERS_MAX),
            log_refused: AtomicBool::new(false),
            logged: AtomicU64::new(0),
            room_for_keys: Room::default(),
            room_for_grants: Room::default(),
            complaints: Complaints::default(),
            started: clock.now(),
            regions: settings.regions,
            attestation_roots: settings.attestation_roots,
            china_algorithms: settings.china_algorithms,
            workplaces: Workplaces::new(),
            key_store_backends: settings.key_stores,
            seal_keeper: settings.seal_keeper,
            verifier_key,
            audit_lag: histogram!("claviger_audit_lag_seconds"),
            turns: (0..Shard::COUNT).map(|_| Arc::new(Mutex::new(()))).collect(),
            node: settings.node,
            records,
            clock,
        };
        // What the root key was opened with may be older than what the store says now.
        service.follow_root(&epochs).await?;
        // What was used in grace is in the log before anything else is.
        if service.graces.is_waiting() {
            service.confirm_end_of_log().await?;
            service.replay_spool().await?;
        }
        service.recover_last_uses().await?;
        Ok(Arc::new(service))
    }

    /// Whether this deployment serves the Region.
    pub fn serves(&self, region: &Region) -> bool {
        self.regions.as_ref().is_none_or(|regions| regions.contains(region))
    }

    /// The names of the Regions that are served; none when any is.
    pub(crate) fn regions(&self) -> Option<Vec<String>> {
        self.regions.as_ref().map(|regions| regions.iter().map(Region::to_string).collect())
    }

    /// Refuses to make a key of this spec where this deployment does not offer it. Keys that are there already stay in use. `what` would be made.
    pub(crate) fn must_offer_spec(&self, spec: KeySpec, what: &str) -> Result<(), Refusal> {
        if spec != KeySpec::Sm2 || self.china_algorithms {
            return Ok(());
        }
        Err(Refusal::unsupported(format!("{what} of spec {spec} are not offered by this deployment.")))
    }

    pub(crate) fn hsm(&self) -> &Hsm {
        &self.records.hsm
    }

    /// What time it is for this deployment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The key that verifies this node's audit log, in the form of C2SP signed-note.
    pub fn verifier_key(&self) -> String {
        self.verifier_key.to_string()
    }

    /// Whether requests can be served, and if not, what is missing.
    pub async fn readiness(&self) -> Readiness {
        let superseded = self.must_be_the_only_one().is_err();
        Readiness {
            // A process whose name another one has taken asks the store for nothing any more.
            store: self.poll_epochs().await.is_ok() || superseded,
            hsm: self.records.hsm.failure().is_none(),
            lease: self.freshness.within_lease(),
            log: !superseded && !self.log_refused.load(Ordering::Acquire) && !self.heartbeats.is_mute(),
        }
    }

    /// Waits for this request's turn among those that met at a record.
    pub(crate) async fn turn(&self, record: &RecordKey) -> Option<OwnedMutexGuard<()>> {
        let turn = self.turns.get(Shard::of(record).number())?;
        Some(Arc::clone(turn).lock_owned().await)
    }
}
