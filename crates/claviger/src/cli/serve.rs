//! `claviger serve`: the server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use claviger_service::operations::admin::SealOutcome;
use claviger_service::{Service, Settings};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::attestation;
use crate::config::{Config, Limits, Seal};
use crate::deployment::{DataDirectory, Deployment, close_store, write_file};
use crate::doors;
use crate::key_stores;
use crate::observability::{self, Check, Metrics, Readiness, ReadinessProbe, start_logging};
use crate::problem::Problem;
use crate::seals::Unopened;
use crate::server::{ReloadingTls, Server, Stop, bind};
use crate::tokens::{MessageCounts, OpenTokens, TokenClusters};

/// How often the certificate's files are looked at.
const TLS_LOOK: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CLAVIGER_CONFIG")]
    config: PathBuf,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    let hygiene = claviger_hsm::harden_process();
    let config = Config::load(&arguments.config)?;
    start_logging(&config.log)?;
    hygiene.iter().for_each(|problem| tracing::warn!(%problem, "this process is not as protected as it should be"));

    // Everything that can be wrong is found before the first request is taken.
    let tls = config.tls.as_ref().map(ReloadingTls::load).transpose()?;
    let listeners = bind(&config.listen).await?;
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
    let data = DataDirectory::new(&config.data);
    let clusters = TokenClusters::of(&config, &tokens, MessageCounts::new(data.token_message_counts()))?;
    let key_stores = key_stores::backends(&config.external_key_stores, clusters)?;
    let settings = Settings { attestation_roots: roots, key_stores, ..config.settings() };
    let deployment = data.open(settings, &config.seal).await?;
    tell_of_seals(&deployment);
    keep_verifier_key(&data, config.node.as_str(), &deployment)?;
    let serving = Serving {
        deployment,
        tokens,
        listeners,
        tls,
        limits: config.limits.clone(),
        observability,
        metrics,
        log_requests: config.log.requests,
    };
    serving.until_stopped().await
}

/// A server with everything that it needs.
pub(super) struct Serving {
    pub(super) deployment: Deployment,
    /// The tokens that are kept open.
    pub(super) tokens: OpenTokens,
    pub(super) listeners: Vec<TcpListener>,
    pub(super) tls: Option<Arc<ReloadingTls>>,
    pub(super) limits: Limits,
    /// Where health and metrics are served; may be empty.
    pub(super) observability: Vec<TcpListener>,
    pub(super) metrics: Metrics,
    pub(super) log_requests: bool,
}

impl Serving {
    /// Serves until SIGTERM or SIGINT, lets requests under way finish, and closes the store.
    pub(super) async fn until_stopped(self) -> Result<(), Problem> {
        let Self {
            deployment: Deployment { service, store, .. },
            tokens,
            listeners,
            tls,
            limits,
            observability,
            metrics,
            log_requests,
        } = self;
        let stop = Stop::new();
        let mut signals = Signals::new()?;
        let mut helpers = JoinSet::new();
        helpers.spawn(metrics.clone().keep_up(stop.clone()));
        helpers.spawn(Arc::clone(&service).run_background());
        helpers.spawn(try_all_seals(Arc::clone(&service)));
        if let Some(tls) = &tls {
            helpers.spawn(Arc::clone(tls).reload_on_change(TLS_LOOK, stop.clone()));
        }
        if !observability.is_empty() {
            let handler = observability::handler(metrics, readiness_probe(&service, &tokens, &stop));
            // A scraper and a load balancer need few connections, and this listener must not take the doors' memory.
            let limits = Limits { connections: 64, body_bytes: 1024, ..limits.clone() };
            // It goes on until the doors are closed: a server that is stopping says that it is not ready.
            helpers.spawn(Server::new(handler, limits).serve(observability, Stop::new()));
        }
        for listener in &listeners {
            if let Ok(address) = listener.local_addr() {
                tracing::info!(%address, tls = tls.is_some(), "serving");
            }
        }
        let server = Server::new(doors::handler(&service), limits).tls(tls.clone()).log_requests(log_requests);
        let serving = tokio::spawn(server.serve(listeners, stop.clone()));

        signals.wait_for_stop(tls.as_deref()).await;
        tracing::info!("stopping: requests under way are finished");
        stop.request();
        if let Err(error) = serving.await {
            tracing::error!(%error, "the server ended by itself");
        }
        helpers.shutdown().await;
        if let Err(refusal) = service.shut_down().await {
            tracing::warn!(%refusal, "not everything was written out; the next start reads it from the audit log");
        }
        drop(service);
        close_store(store).await?;
        tracing::info!("stopped");
        Ok(())
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

    /// Waits for SIGTERM or SIGINT. On SIGHUP, reads the certificate again.
    async fn wait_for_stop(&mut self, tls: Option<&ReloadingTls>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    if let Some(Err(problem)) = tls.map(ReloadingTls::reload) {
                        tracing::error!(%problem, "SIGHUP: the TLS certificate cannot be used: the old one stays in use");
                    }
                }
            }
        }
    }
}

/// Says which seal opened the deployment, and loudly which did not.
fn tell_of_seals(deployment: &Deployment) {
    for Unopened { name, problem } in &deployment.unopened {
        tracing::error!(seal = name, %problem, "A CONFIGURED SEAL DOES NOT OPEN: repair it before the others are lost too");
    }
    tracing::info!(seal = deployment.opened_by, "the deployment was opened by a seal");
}

/// Tries the other seals too: a seal is worth nothing when it is found to be broken on the day on which it is needed.
async fn try_all_seals(service: Arc<Service>) {
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
pub(super) fn keep_verifier_key(data: &DataDirectory, node: &str, deployment: &Deployment) -> Result<(), Problem> {
    let path = data.verifier_key(node);
    let text = format!("{}\n", deployment.service.verifier_key());
    if std::fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    write_file(&path, text.as_bytes(), true)
}

fn readiness_probe(service: &Arc<Service>, tokens: &OpenTokens, stop: &Stop) -> ReadinessProbe {
    let (service, tokens, stop) = (Arc::clone(service), tokens.clone(), stop.clone());
    Arc::new(move || {
        let (service, degraded, stopping) = (Arc::clone(&service), tokens.degraded(), stop.is_requested());
        Box::pin(async move {
            let found = service.readiness().await;
            let check = |name, ok: bool, problem: &str| Check { name, problem: (!ok).then(|| problem.to_owned()) };
            Readiness {
                checks: vec![
                    check("serving", !stopping, "the server is stopping"),
                    check("store", found.store, "the store does not answer"),
                    check("hsm", found.hsm, "a self-test failed: every operation is refused until a restart"),
                    check("lease", found.lease, "this node cannot confirm that what it knows is fresh"),
                ],
                degraded,
            }
        })
    })
}
