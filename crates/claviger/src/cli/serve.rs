//! `claviger serve`: the server.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use claviger_service::operations::admin::SealOutcome;
use claviger_service::{Service, Settings};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinHandle, JoinSet};

use crate::attestation;
use crate::config::{ClientCertificates, Config, Hyok, Limits, NodeName, Seal, Tls};
use crate::deployment::{DataDirectory, Deployment, Start, close_store, write_file};
use crate::doors;
use crate::key_stores;
use crate::notices;
use crate::observability::{self, Check, Metrics, Readiness, ReadinessProbe, start_logging};
use crate::problem::Problem;
use crate::seals::Unopened;
use crate::server::client_certificate::Clients;
use crate::server::{ReloadingTls, Server, Stop, bind};
use crate::tokens::{MessageCounts, OpenTokens, TokenClusters};
use crate::unseal::{Shared, Switch, Unsealing};

/// How often the certificate's files are looked at.
const TLS_LOOK: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
    config: PathBuf,
    /// This node's name, instead of the one in the file: so that nodes can share a file
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    let hygiene = claviger_hsm::harden_process();
    let mut config = Config::load(&arguments.config)?;
    if let Some(node) = arguments.node {
        config.node = node;
    }
    start_logging(&config.log)?;
    hygiene.iter().for_each(|problem| tracing::warn!(%problem, "this process is not as protected as it should be"));

    // Everything that can be wrong is found before the first request is taken.
    let tls = config.tls.as_ref().map(ReloadingTls::load).transpose()?;
    let listeners = bind(&config.listen).await?;
    let hyok = match &config.hyok {
        Some(hyok) => HyokListeners::Own(open_hyok(hyok, config.tls.as_ref()).await?),
        None => HyokListeners::None,
    };
    let observability = match &config.observability {
        Some(observability) => bind(&[observability.listen]).await?,
        None => Vec::new(),
    };
    if config.insecure_plain_http {
        tracing::warn!("insecure_plain_http: plaintexts and data keys travel in the clear between this server and the proxy");
    }
    for seal in config.seal.iter() {
        if let Seal::DevelopmentFile(path) = seal {
            tracing::warn!(file = %path.display(), "DEVELOPMENT SEAL: whoever can read this file can read every key");
        }
    }
    let roots = attestation::read_roots(&config.attestation)?;
    // Before anything that keeps a meter: one that is made without a recorder counts nothing.
    let metrics = Metrics::install()?;
    let tokens = OpenTokens::start(&config);
    let data = DataDirectory::of(&config)?;
    if data.store().file().is_none() {
        // A node that joins has nothing there yet.
        data.create()?;
    }
    crate::private_files::check(&data, config.secret_files())?;
    let clusters = TokenClusters::of(&config, &tokens, MessageCounts::new(data.token_message_counts()))?;
    let key_stores = key_stores::backends(&config.external_key_stores, clusters)?;
    let settings = Settings { attestation_roots: roots, key_stores, ..config.settings() };
    let start = data.start(settings, &config.seal).await?;
    let serving = Serving {
        start,
        data,
        node: config.node.as_str().to_owned(),
        tokens,
        listeners,
        tls,
        hyok,
        limits: config.limits.clone(),
        observability,
        metrics,
        log_requests: config.log.requests,
    };
    serving.until_stopped().await
}

/// Where clouds are served that use keys which they do not hold.
pub(super) enum HyokListeners {
    /// Nowhere.
    None,
    /// On the main listeners: for development.
    Main,
    /// On listeners of their own.
    Own(HyokServer),
}

/// Listeners for clouds.
pub(super) struct HyokServer {
    listeners: Vec<TcpListener>,
    tls: Option<Arc<ReloadingTls>>,
}

/// A server for clouds that runs.
struct Clouds {
    stop: Stop,
    task: JoinHandle<()>,
}

impl HyokServer {
    /// Serves clouds until it is stopped. It drops what is left of its own connections when its time to stop is over, and no other server's.
    fn serve(self, service: &Arc<Service>, limits: Limits, log_requests: bool) -> Clouds {
        let stop = Stop::new();
        tell_of_listeners(&self.listeners, self.tls.is_some());
        let server = Server::new(doors::hyok_handler(service), limits).tls(self.tls).log_requests(log_requests);
        Clouds { task: tokio::spawn(server.serve(self.listeners, stop.clone())), stop }
    }
}

async fn open_hyok(hyok: &Hyok, main_tls: Option<&Tls>) -> Result<HyokServer, Problem> {
    let clients = match hyok.client_certificates {
        ClientCertificates::ByStore => Some(Clients::Any),
        _ if hyok.client_ca.is_empty() => None,
        asked => Some(Clients::Of {
            authorities: hyok.client_ca.clone(),
            subjects: hyok.client_subjects.clone(),
            required: asked == ClientCertificates::Required,
        }),
    };
    let tls = hyok.tls.as_ref().or(main_tls).map(|files| ReloadingTls::load_for(files, clients)).transpose()?;
    Ok(HyokServer { listeners: bind(&hyok.listen).await?, tls })
}

/// A server with everything that it needs.
pub(super) struct Serving {
    pub(super) start: Start,
    pub(super) data: DataDirectory,
    pub(super) node: String,
    /// The tokens that are kept open.
    pub(super) tokens: OpenTokens,
    pub(super) listeners: Vec<TcpListener>,
    pub(super) tls: Option<Arc<ReloadingTls>>,
    pub(super) hyok: HyokListeners,
    pub(super) limits: Limits,
    /// Where health and metrics are served; may be empty.
    pub(super) observability: Vec<TcpListener>,
    pub(super) metrics: Metrics,
    pub(super) log_requests: bool,
}

impl Serving {
    /// Serves until SIGTERM or SIGINT, lets requests under way finish, and closes the store. A deployment that is sealed is waited for meanwhile.
    pub(super) async fn until_stopped(self) -> Result<(), Problem> {
        let Self { start, data, node, tokens, listeners, tls, hyok, limits, observability, metrics, log_requests } = self;
        let stop = Stop::new();
        let mut signals = Signals::new()?;
        let mut helpers = JoinSet::new();
        let unsealing = match &start {
            Start::Open(_) => None,
            Start::Sealed(sealed) => Some(Arc::clone(&sealed.unsealing)),
        };
        let (switch, health) = (Switch::closed(unsealing.clone()), Health::new(unsealing, &tokens, &stop));
        helpers.spawn(metrics.clone().keep_up(stop.clone()));
        let (with_hyok, hyok) = match hyok {
            HyokListeners::Own(server) => (false, Some(server)),
            HyokListeners::Main => (true, None),
            HyokListeners::None => (false, None),
        };
        let of_hyok = hyok.as_ref().and_then(|hyok| hyok.tls.as_ref());
        let certificates: Vec<Arc<ReloadingTls>> = tls.iter().chain(of_hyok).cloned().collect();
        for tls in &certificates {
            helpers.spawn(Arc::clone(tls).reload_on_change(TLS_LOOK, stop.clone()));
        }
        if !observability.is_empty() {
            let handler = observability::handler(metrics, health.probe());
            // A scraper and a load balancer need few connections, and this listener must not take the doors' memory.
            let limits = Limits { connections: 64, body_bytes: 1024, ..limits.clone() };
            // It goes on until the doors are closed: a server that is stopping says that it is not ready.
            helpers.spawn(Server::new(handler, limits).serve(observability, Stop::new()));
        }
        if let Start::Open(deployment) = &start {
            // What is open already is served from the first connection on.
            switch.open(|| doors::handler(&deployment.service, with_hyok));
        }
        tell_of_listeners(&listeners, tls.is_some());
        let server = Server::new(Shared(Arc::clone(&switch)), limits.clone()).tls(tls).log_requests(log_requests);
        let serving = tokio::spawn(server.serve(listeners, stop.clone()));

        let deployment = opened(start, &mut signals, &certificates).await?;
        let mut clouds = None;
        if let Some(deployment) = &deployment {
            keep_verifier_key(&data, &node, deployment)?;
            helpers.spawn(Arc::clone(&deployment.service).run_background());
            helpers.spawn(try_all_seals(Arc::clone(&deployment.service)));
            helpers.spawn(notices::take_in(Arc::clone(&deployment.service), data.clone()));
            health.open(&deployment.service);
            switch.open(|| doors::handler(&deployment.service, with_hyok));
            clouds = hyok.map(|hyok| hyok.serve(&deployment.service, limits, log_requests));
            signals.wait_for_stop(&certificates).await;
        }
        tracing::info!("stopping: requests under way are finished");
        stop.request();
        clouds.iter().for_each(|clouds| clouds.stop.request());
        for server in std::iter::once(serving).chain(clouds.map(|clouds| clouds.task)) {
            if let Err(error) = server.await {
                tracing::error!(%error, "the server ended by itself");
            }
        }
        helpers.shutdown().await;
        if let Some(deployment) = deployment {
            close(deployment).await?;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// The deployment, once it is open; none when the server is to stop before.
async fn opened(start: Start, signals: &mut Signals, certificates: &[Arc<ReloadingTls>]) -> Result<Option<Deployment>, Problem> {
    let sealed = match start {
        Start::Open(deployment) => {
            tell_of_seals(&deployment);
            return Ok(Some(deployment));
        }
        Start::Sealed(sealed) => sealed,
    };
    let unsealing = Arc::clone(&sealed.unsealing);
    tracing::warn!("THE SERVER IS SEALED and refuses every request: {}", unsealing.waits_for_and_why());
    let by_people = tokio::select! {
        by_people = unsealing.wait() => by_people,
        () = signals.wait_for_stop(certificates) => {
            sealed.close().await?;
            return Ok(None);
        }
    };
    let deployment = sealed.open(by_people).await?;
    tell_of_seals(&deployment);
    Ok(Some(deployment))
}

async fn close(deployment: Deployment) -> Result<(), Problem> {
    let Deployment { service, store, .. } = deployment;
    if let Err(refusal) = service.shut_down().await {
        tracing::warn!(%refusal, "not everything was written out; the next start reads it from the audit log");
    }
    drop(service);
    close_store(store).await
}

fn tell_of_listeners(listeners: &[TcpListener], tls: bool) {
    for listener in listeners {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, tls, "serving");
        }
    }
}

/// The signals that a server listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self, Problem> {
        let listen = |kind| signal(kind).map_err(|error| Problem::new(format!("cannot listen to signals: {error}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT. On SIGHUP, reads the certificates again.
    async fn wait_for_stop(&mut self, certificates: &[Arc<ReloadingTls>]) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    for problem in certificates.iter().filter_map(|tls| tls.reload().err()) {
                        tracing::error!(%problem, "SIGHUP: the TLS certificate cannot be used: the old one stays in use");
                    }
                }
            }
        }
    }
}

/// Says which seal opened the deployment, and loudly which did not.
fn tell_of_seals(deployment: &Deployment) {
    for Unopened { name, problem, .. } in &deployment.unopened {
        tracing::error!(seal = name, %problem, "A CONFIGURED SEAL DOES NOT OPEN: repair it before the others are lost too");
    }
    tracing::info!(seal = deployment.opened_by, "the deployment was opened by a seal");
}

/// Tries the other seals too: a seal is worth nothing when it is found to be broken on the day on which it is needed.
async fn try_all_seals(service: Arc<Service>) {
    if let Err(refusal) = service.ensure_canaries().await {
        tracing::error!(%refusal, "not every account has a canary: drills of a restore will tell of it");
    }
    match service.verify_seals(&[], &[]).await {
        Ok(seals) => {
            for seal in seals {
                match &seal.outcome {
                    SealOutcome::Fails(why) => {
                        tracing::error!(seal = seal.name, why, "A SEAL DOES NOT OPEN: repair it before the others are lost too");
                    }
                    SealOutcome::NotTried(why) => tracing::debug!(seal = seal.name, why, "a seal was not tried"),
                    SealOutcome::Opens => tracing::debug!(seal = seal.name, "a seal opens"),
                }
            }
        }
        Err(refusal) => tracing::error!(%refusal, "the seals could not be tried"),
    }
}

/// Keeps a copy of the verifier key beside the store, for `claviger audit` to find.
fn keep_verifier_key(data: &DataDirectory, node: &str, deployment: &Deployment) -> Result<(), Problem> {
    let path = data.verifier_key(node);
    let text = format!("{}\n", deployment.service.verifier_key());
    if std::fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    tracing::info!(
        node,
        verifier_key = deployment.service.verifier_key(),
        "keep this node's verifier key away from this machine: `claviger audit verify --vkey` proves with it that nobody changed its audit log"
    );
    write_file(&path, text.as_bytes(), true)
}

/// What the readiness of this server hangs on, which changes when the deployment is opened.
struct Health {
    unsealing: Option<Arc<Unsealing>>,
    tokens: OpenTokens,
    service: Arc<OnceLock<Arc<Service>>>,
    stop: Stop,
}

impl Health {
    fn new(unsealing: Option<Arc<Unsealing>>, tokens: &OpenTokens, stop: &Stop) -> Self {
        Self { unsealing, tokens: tokens.clone(), service: Arc::default(), stop: stop.clone() }
    }

    fn open(&self, service: &Arc<Service>) {
        // Set once, where the doors are opened.
        let _ = self.service.set(Arc::clone(service));
    }

    fn probe(&self) -> ReadinessProbe {
        let (unsealing, service, stop) = (self.unsealing.clone(), Arc::clone(&self.service), self.stop.clone());
        let tokens = self.tokens.clone();
        Arc::new(move || {
            let degraded = tokens.degraded();
            let stopping = stop.is_requested();
            let sealed = match service.get() {
                Some(_) => None,
                None => {
                    let starting = || "the server is starting".to_owned();
                    Some(unsealing.as_ref().map_or_else(starting, |waiting| waiting.waits_for_and_why()))
                }
            };
            let service = service.get().cloned();
            Box::pin(async move {
                let check = |name, ok: bool, problem: &str| Check { name, problem: (!ok).then(|| problem.to_owned()) };
                let mut checks = vec![
                    check("serving", !stopping, "the server is stopping"),
                    check("seal", sealed.is_none(), sealed.as_deref().unwrap_or_default()),
                ];
                if let Some(service) = service {
                    let found = service.readiness().await;
                    checks.extend([
                        check("store", found.store, "the store does not answer"),
                        check("hsm", found.hsm, "a self-test failed: every operation is refused until a restart"),
                        check("lease", found.lease, "this node cannot confirm that what it knows is fresh"),
                        check("log", found.log, "another process serves under this node's name, or the store does not take its audit entries: see its log"),
                    ]);
                }
                Readiness { checks, degraded }
            })
        })
    }
}
