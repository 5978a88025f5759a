//! A deployment on this machine's disk: where its files are, and how it is made and opened.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_domain::{AccountId, Refusal, Timestamp};
use claviger_hsm::{Hsm, HsmError, NewSeal, PrintedShares, SealSecret, SealedRoot, generate_file_seal_secret};
use claviger_service::{Initialized, Service, Settings, SystemClock};
use claviger_store::{PostgresStore, Store, StoreError};
use rustix::io::Errno;
use uuid::Uuid;

use crate::config::{Config, NamedSeal, Seal, Seals, Sharing};
use crate::file_encryption::NewFile;
use crate::problem::Problem;
use crate::seals::{self, Opened, Unopened, none_opens};
use crate::store_place::StorePlace;
use crate::unseal::{ByPeople, Unsealing};

/// How the directory of a deployment in the making is called, before an id.
const UNFINISHED: &str = ".new-";

/// The files of a deployment in its data directory, and its store, which is one of them or in a database.
#[derive(Clone)]
pub struct DataDirectory {
    path: PathBuf,
    store: StorePlace,
}

/// What there is at a server's start.
pub enum Start {
    /// A deployment that a seal opened.
    Open(Deployment),
    /// One that waits for people, or for a seal that does not answer yet.
    Sealed(Box<SealedDeployment>),
}

/// A deployment that is not open yet.
pub struct SealedDeployment {
    store: Arc<dyn Store>,
    settings: Settings,
    /// What it waits for.
    pub unsealing: Arc<Unsealing>,
}

impl SealedDeployment {
    /// Begins to be open. How that came about is written into the audit log.
    ///
    /// # Errors
    /// The store was changed from outside, or cannot be written.
    pub async fn open(self, opened: ByPeople) -> Result<Deployment, Problem> {
        let ByPeople { hsm, seal, details } = opened;
        // Another node may have removed the seal while its shares were being brought here.
        let (_, root) = sealed(self.store.as_ref()).await?;
        if !root.seals().any(|(name, _)| name == seal) {
            return Err(Problem::new(format!(
                "the seal {seal}, which was opened here, has been removed from the deployment meanwhile"
            ))
            .remedy("start the server again, and open it with one of the seals that are left"));
        }
        let deployment = begin_writing(self.store, self.settings, Opened { hsm, by: seal, unopened: Vec::new() }).await?;
        deployment.service.record_unsealing(details).await.map_err(|refusal| refusal_problem(&refusal))?;
        Ok(deployment)
    }

    /// Lets go of the store without having opened it.
    ///
    /// # Errors
    /// As for [`close_store`].
    pub async fn close(self) -> Result<(), Problem> {
        close_store(self.store).await
    }
}

/// A deployment that is open, and serves nobody yet.
pub struct Deployment {
    /// The core.
    pub service: Arc<Service>,
    /// The store, to be closed at the end.
    pub store: Arc<dyn Store>,
    /// The cryptographic boundary.
    pub hsm: Arc<Hsm>,
    /// The name of the seal that opened it.
    pub opened_by: String,
    /// The seals that were tried before and did not open. To be told, loudly.
    pub unopened: Vec<Unopened>,
}

impl DataDirectory {
    /// The data directory at this path, which need not exist yet, with its store in it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { store: StorePlace::File(path.join("store.sqlite")), path }
    }

    /// What a configuration says.
    ///
    /// # Errors
    /// What it takes to reach the database cannot be read.
    pub fn of(config: &Config) -> Result<Self, Problem> {
        let in_directory = Self::new(&config.data);
        match &config.store {
            None => Ok(in_directory),
            Some(database) => Ok(Self { store: StorePlace::database(database)?, ..in_directory }),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the store is.
    pub fn store(&self) -> &StorePlace {
        &self.store
    }

    /// The verifier key of a node's audit log. A convenience: whoever can change the log can change this copy too.
    pub fn verifier_key(&self, node: &str) -> PathBuf {
        self.path.join(format!("audit-{node}.vkey"))
    }

    /// How much keys in tokens have encrypted that have to be counted: a directory.
    pub fn token_message_counts(&self) -> PathBuf {
        self.path.join("token-message-counts")
    }

    /// What commands have done beside the server, for its audit log: a directory.
    pub fn notices(&self) -> PathBuf {
        self.path.join("notices")
    }

    /// Whether there is a deployment.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn has_deployment(&self) -> Result<bool, Problem> {
        self.store.is_taken().await
    }

    /// Makes the directory, for the owner only, if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(&self) -> Result<(), Problem> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(|error| {
            Problem::new(format!("cannot make the data directory {}: {error}", self.path.display()))
                .remedy("make it yourself, writable for the user that runs Claviger")
        })
    }

    /// Makes a deployment here. `keep` gets what has to be told once and puts it where it is safe; only then does the store take its
    /// place, so that no deployment exists whose credentials nobody has.
    ///
    /// # Errors
    /// There is one already, a file cannot be made, or `keep` failed.
    pub async fn make_deployment(
        &self,
        node: &str,
        seals: Vec<(String, NewSeal)>,
        first_account: Option<(AccountId, &str)>,
        keep: impl FnOnce(&Initialized, &[SharesOfSeal]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let _alone = self.take_alone()?;
        if self.has_deployment().await? {
            return Err(self.store.occupied().await);
        }
        self.remove_unfinished();
        let nursery = Nursery::create(&self.path.join(format!("{UNFINISHED}{}", Uuid::new_v4().simple())))?;
        let unborn = match &self.store {
            StorePlace::File(_) => DataDirectory::new(&nursery.0).store,
            StorePlace::Database(_) => self.store.clone(),
        };
        let deployment = Uuid::new_v4();
        let (hsm, root, shares) =
            off_the_runtime(move || initialize(deployment, &seals).map_err(|error| Problem::new(error.to_string()))).await?;
        let store = unborn.create().await?;
        let now = Timestamp(jiff::Timestamp::now().as_millisecond());
        let made =
            claviger_service::initialize(Arc::clone(&store), Arc::new(hsm), deployment, &root, node, first_account, now).await;
        close_store(store).await?;
        let made = made.map_err(|refusal| refusal_problem(&refusal));
        let kept = made.and_then(|initialized| {
            keep(&initialized, &shares)?;
            write_file(&self.verifier_key(node), format!("{}\n", initialized.verifier_key).as_bytes(), true)
        });
        match (&self.store, unborn) {
            (StorePlace::File(path), StorePlace::File(unborn)) => {
                kept?;
                fs::rename(unborn, path)
                    .and_then(|()| sync_directory(&self.path))
                    .map_err(|error| Problem::new(format!("cannot put the store into {}: {error}", self.path.display())))
            }
            (StorePlace::Database(options), _) => match kept {
                Ok(()) => PostgresStore::publish(options).await.map_err(|error| store_problem(&error)),
                Err(problem) => {
                    // What cannot be removed is removed by the next attempt.
                    drop(PostgresStore::discard(options).await);
                    Err(problem)
                }
            },
            (StorePlace::File(_), StorePlace::Database(_)) => kept,
        }
    }

    /// Keeps others from making a deployment here at the same time.
    fn take_alone(&self) -> Result<fs::File, Problem> {
        let failed = |error: io::Error| Problem::new(format!("cannot use the data directory {}: {error}", self.path.display()));
        let directory = fs::File::open(&self.path).map_err(failed)?;
        match rustix::fs::flock(&directory, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                Err(Problem::new(format!("another process is just making a deployment in {}", self.path.display()))
                    .remedy("wait until it is done"))
            }
            Err(error) => Err(failed(error.into())),
            Ok(()) => Ok(directory),
        }
    }

    /// Removes what is left of deployments that were never finished, because their making was ended: nobody was told of them.
    fn remove_unfinished(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix(UNFINISHED));
            if id.is_some_and(|id| Uuid::try_parse(id).is_ok()) {
                drop(Nursery(entry.path()));
            }
        }
    }

    /// Opens the deployment that is here, for serving it. Attestation documents of recipients may go back to the roots.
    ///
    /// # Errors
    /// There is none, another process serves it, none of the seals opens or can be waited for, or it was changed from outside.
    pub async fn start(&self, settings: Settings, seals: &Seals) -> Result<Start, Problem> {
        let store = self.store.open().await?;
        let (deployment, root) = sealed(store.as_ref()).await?;
        match try_seals(deployment, &root, seals).await? {
            Ok(opened) => begin_writing(store, settings, opened).await.map(Start::Open),
            Err(unopened) if unopened.iter().any(|unopened| unopened.waits.is_some()) => {
                let unsealing = Arc::new(Unsealing::new(deployment, root, seals.clone(), unopened));
                Ok(Start::Sealed(Box::new(SealedDeployment { store, settings, unsealing })))
            }
            Err(unopened) => Err(none_opens(&unopened)),
        }
    }

    /// Opens the deployment that is here for a command that changes it while no server runs.
    ///
    /// # Errors
    /// As for [`DataDirectory::start`], except that nothing is waited for.
    pub async fn open(&self, settings: Settings, seals: &Seals) -> Result<Deployment, Problem> {
        let store = self.store.open().await?;
        let (deployment, root) = sealed(store.as_ref()).await?;
        let opened = try_seals(deployment, &root, seals).await?.map_err(|unopened| none_opens(&unopened))?;
        begin_writing(store, settings, opened).await
    }

    /// Opens the deployment that is here for looking at it, beside a server that may be running.
    ///
    /// # Errors
    /// As for [`DataDirectory::open`], except that it may be served.
    pub async fn open_read_only(&self, node: &str, seals: &Seals) -> Result<Deployment, Problem> {
        let store = self.read_store().await?;
        let (deployment, root) = sealed(store.as_ref()).await?;
        let opened = try_seals(deployment, &root, seals).await?.map_err(|unopened| none_opens(&unopened))?;
        begin(store, Settings::for_node(node), opened).await
    }

    /// Opens the deployment that is here for looking at it, with a module that is open already.
    ///
    /// # Errors
    /// It was changed from outside, or is none.
    pub async fn open_with(&self, hsm: Hsm) -> Result<Deployment, Problem> {
        let store = self.read_store().await?;
        let node = store.log_nodes().await.map_err(|error| store_problem(&error))?.into_iter().next();
        let node = node.ok_or_else(|| Problem::new("the store has no audit log: it is not a whole deployment"))?;
        begin(store, Settings::for_node(&node), Opened { hsm, by: "a seal".to_owned(), unopened: Vec::new() }).await
    }

    /// The store alone, for reading.
    ///
    /// # Errors
    /// There is none, or it is not one that this program understands.
    pub async fn read_store(&self) -> Result<Arc<dyn Store>, Problem> {
        self.store.read().await
    }
}

/// What opens a deployment, or a backup of one: its id, and its root key as its seals have wrapped it.
pub struct Locked {
    /// The id.
    pub deployment: Uuid,
    /// The wrapped root key.
    pub root: SealedRoot,
}

impl Locked {
    /// That of a store.
    ///
    /// # Errors
    /// It holds no deployment.
    pub async fn of(store: &dyn Store) -> Result<Self, Problem> {
        let (deployment, root) = sealed(store).await?;
        Ok(Self { deployment, root })
    }

    /// Opens it with the secrets that were brought, else with the first of the configured seals that opens.
    ///
    /// # Errors
    /// Nothing opens it; what was brought and is wrong is named.
    pub async fn open(&self, brought: Vec<(String, SealSecret)>, seals: Option<Seals>) -> Result<Hsm, Problem> {
        let (deployment, root) = (self.deployment, self.root.clone());
        off_the_runtime(move || {
            if let Some((name, secret)) = brought.first() {
                return Hsm::open(deployment, &root, Some(name), secret).map_err(|error| Problem::new(error.to_string()));
            }
            let seals = seals.ok_or_else(|| {
                let there: Vec<String> = root.seals().map(|(name, kind)| format!("{name} ({kind})")).collect();
                Problem::usage(format!("no seal was given to open it with; there are: {}", there.join(", "))).remedy(
                    "name a configuration with --config, or bring a secret: --ask, --passphrase-file, --key-file or --share",
                )
            })?;
            seals::open_with_any(deployment, &root, &seals).map(|opened| opened.hsm).map_err(|unopened| none_opens(&unopened))
        })
        .await
    }
}

/// The deployment's id, and its root key as its seals have wrapped it.
async fn sealed(store: &dyn Store) -> Result<(Uuid, SealedRoot), Problem> {
    let deployment = claviger_service::deployment::deployment_id(store).await.map_err(|r| refusal_problem(&r))?;
    let root = claviger_service::deployment::sealed_root(store).await.map_err(|r| refusal_problem(&r))?;
    Ok((deployment, root))
}

async fn try_seals(deployment: Uuid, root: &SealedRoot, seals: &Seals) -> Result<Result<Opened, Vec<Unopened>>, Problem> {
    let (root, seals) = (root.clone(), seals.clone());
    off_the_runtime(move || Ok(seals::open_with_any(deployment, &root, &seals))).await
}

/// Begins with a store that may be written to.
async fn begin_writing(store: Arc<dyn Store>, settings: Settings, opened: Opened) -> Result<Deployment, Problem> {
    let deployment = begin(store, settings, opened).await?;
    deployment.service.confirm_end_of_log().await.map_err(|refusal| refusal_problem(&refusal))?;
    Ok(deployment)
}

async fn begin(store: Arc<dyn Store>, settings: Settings, opened: Opened) -> Result<Deployment, Problem> {
    let Opened { hsm, by, unopened } = opened;
    let (hsm, port) = (Arc::new(hsm), Arc::clone(&store));
    let service =
        Service::open(port, Arc::clone(&hsm), Arc::new(SystemClock), settings).await.map_err(|r| refusal_problem(&r))?;
    Ok(Deployment { service, store, hsm, opened_by: by, unopened })
}

/// What all configured seals are made of, for a deployment that is being made. A development seal's file is made if it is not there, and the key in a
/// token as well, if it may. Blocks: on a thread for blocking work within a runtime.
///
/// # Errors
/// A secret cannot be had, or it is not said how many shares there shall be.
pub fn new_seals(seals: &Seals, generate: bool) -> Result<Vec<(String, NewSeal)>, Problem> {
    let new = |NamedSeal { name, seal }: &NamedSeal| {
        let new = match seal {
            Seal::Shares(Some(Sharing { threshold, count })) => NewSeal::Shares { threshold: *threshold, count: *count },
            Seal::Shares(None) => {
                return Err(Problem::usage(format!("how many shares the seal {name} shall have is not said"))
                    .remedy("add --threshold and --shares, or `threshold` and `shares` in the configuration"));
            }
            Seal::DevelopmentFile(path) => {
                make_development_seal(path)?;
                NewSeal::Secret(seals::read_secret(seal, true)?)
            }
            Seal::Passphrase(_) => NewSeal::Secret(seals::read_secret(seal, true)?),
            Seal::Pkcs11(token) => token.wrap_new(generate)?,
        };
        Ok((name.clone(), new))
    };
    seals.named().iter().map(new).collect()
}

/// Makes the key file of a development seal, for the owner only, if it is not there.
///
/// # Errors
/// It cannot be made.
pub fn make_development_seal(path: &Path) -> Result<(), Problem> {
    if path.exists() {
        return Ok(());
    }
    let secret = generate_file_seal_secret().map_err(|error| Problem::new(error.to_string()))?;
    write_file(path, &secret, false)
}

/// Writes a file for the owner only, whole or not at all.
///
/// # Errors
/// It exists and may not be replaced, or cannot be written.
pub fn write_file(path: &Path, content: &[u8], replace: bool) -> Result<(), Problem> {
    let write = || {
        let mut file = NewFile::create(path, replace)?;
        file.write_all(content)?;
        file.finish()
    };
    write().map_err(|error: io::Error| {
        let problem = Problem::new(format!("cannot write {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::AlreadyExists => problem.remedy("it is there already, and is not replaced: move it away"),
            _ => problem.remedy("its directory has to be there, writable, and not full"),
        }
    })
}

/// Closes a store: what is waiting is written, and the lock is let go.
///
/// # Errors
/// It could not be closed.
pub async fn close_store(store: Arc<dyn Store>) -> Result<(), Problem> {
    store.close().await.map_err(|error| store_problem(&error))
}

/// A refusal of the core in the words of the command line.
pub fn refusal_problem(refusal: &Refusal) -> Problem {
    let text = if refusal.detail.is_empty() { refusal.to_string() } else { refusal.detail.clone() };
    match &refusal.reason {
        Some(reason) if *reason != text => Problem::new(format!("{text} ({reason})")),
        _ => Problem::new(text),
    }
}

/// An error of the store in the words of the command line. It says itself what to do.
pub fn store_problem(error: &StoreError) -> Problem {
    Problem::new(error.to_string())
}

/// The shares of a new seal, to be told once.
pub struct SharesOfSeal {
    /// The seal's name.
    pub seal: String,
    /// How many open it.
    pub threshold: u8,
    /// The shares, in the order of their numbers.
    pub shares: PrintedShares,
}

fn initialize(deployment: Uuid, seals: &[(String, NewSeal)]) -> Result<(Hsm, SealedRoot, Vec<SharesOfSeal>), HsmError> {
    let (hsm, root, printed) = Hsm::initialize_with(deployment, seals)?;
    let shares = seals.iter().zip(printed).filter_map(|((seal, new), shares)| match new {
        NewSeal::Shares { threshold, .. } => Some(SharesOfSeal { seal: seal.clone(), threshold: *threshold, shares }),
        NewSeal::Secret(_) | NewSeal::Token { .. } => None,
    });
    Ok((hsm, root, shares.collect()))
}

/// Runs what blocks (disk, argon2id) where it does not hold up requests.
///
/// # Errors
/// What the work fails with.
pub async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Problem::new(format!("a defect of Claviger, please report it: {error}"))))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// A directory of our own for a while, for its owner only, removed with everything in it.
pub struct Scratch(Nursery);

impl Scratch {
    /// One in this directory.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn beside(directory: &Path) -> Result<Self, Problem> {
        Nursery::create(&directory.join(format!(".claviger-{}", Uuid::new_v4().simple()))).map(Self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.0
    }
}

/// A directory for what is not finished, removed with everything in it.
struct Nursery(PathBuf);

impl Nursery {
    fn create(path: &Path) -> Result<Self, Problem> {
        fs::DirBuilder::new().mode(0o700).create(path).map_err(|error| {
            Problem::new(format!("cannot make {}: {error}", path.display())).remedy("the data directory has to be writable")
        })?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "cannot remove a temporary directory: please remove it");
        }
    }
}
