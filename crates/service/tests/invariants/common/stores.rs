//! Stores that stand before the real one: one that fails when told to, one that lets two nodes share it, one whose writer can be held,
//! one that keeps its answers to itself, one that keeps commits back as a stopped process does.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use claviger_domain::{AccountId, Timestamp};
use claviger_store::{
    Bundle, Commit, Committed, Entry, Epochs, List, LogHead, Record, RecordKey, RecordKind, Sequencer, SqliteStore, Store,
    StoreError, StoreFuture, StoreHealth,
};

/// The methods that these stores leave as they are.
macro_rules! pass_through {
    () => {
        fn get(&self, key: &RecordKey) -> StoreFuture<'_, Option<Record>> {
            self.inner.get(key)
        }

        fn find(&self, kind: RecordKind, id: &str) -> StoreFuture<'_, Option<Record>> {
            self.inner.find(kind, id)
        }

        fn list(&self, list: List<'_>) -> StoreFuture<'_, Vec<Record>> {
            self.inner.list(list)
        }

        fn scan(&self, after: Option<&RecordKey>, limit: usize) -> StoreFuture<'_, Vec<Record>> {
            self.inner.scan(after, limit)
        }

        fn due(&self, kind: RecordKind, until: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
            self.inner.due(kind, until, limit)
        }

        fn count(&self, kind: RecordKind, account: Option<AccountId>) -> StoreFuture<'_, u64> {
            self.inner.count(kind, account)
        }

        fn count_in_scope(&self, kind: RecordKind, account: AccountId, scope: &str) -> StoreFuture<'_, u64> {
            self.inner.count_in_scope(kind, account, scope)
        }

        fn count_by_owner(&self, kind: RecordKind) -> StoreFuture<'_, Vec<(String, u64)>> {
            self.inner.count_by_owner(kind)
        }

        fn health(&self) -> StoreFuture<'_, StoreHealth> {
            self.inner.health()
        }

        fn fact(&self, name: &str) -> StoreFuture<'_, Option<String>> {
            self.inner.fact(name)
        }

        fn set_fact(&self, name: &str, value: &str) -> StoreFuture<'_, ()> {
            self.inner.set_fact(name, value)
        }

        fn log_head(&self, node: &str) -> StoreFuture<'_, Option<LogHead>> {
            self.inner.log_head(node)
        }

        fn log_nodes(&self) -> StoreFuture<'_, Vec<String>> {
            self.inner.log_nodes()
        }

        fn bundles(&self, node: &str, from: u64, limit: usize) -> StoreFuture<'_, Vec<Bundle>> {
            self.inner.bundles(node, from, limit)
        }

        fn close(&self) -> StoreFuture<'_, ()> {
            Store::close(self.inner.as_ref())
        }
    };
}

/// A store that fails when it is told to.
pub(crate) struct Unreliable {
    inner: Arc<SqliteStore>,
    plan: Mutex<Plan>,
    /// How many commits were asked for.
    commits: AtomicUsize,
}

/// What it does wrong.
#[derive(Default, Clone, Copy)]
pub(crate) struct Plan {
    /// Refuses so many commits.
    pub(crate) fail_commits: usize,
    /// Says of so many commits with changes that somebody else was faster.
    pub(crate) conflicts: usize,
    /// Does not say what its epochs are.
    pub(crate) fail_epochs: bool,
}

impl Unreliable {
    pub(crate) fn before(inner: &Arc<SqliteStore>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), plan: Mutex::default(), commits: AtomicUsize::new(0) })
    }

    pub(crate) fn plan(&self, plan: Plan) {
        *self.plan.lock().unwrap() = plan;
    }

    pub(crate) fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }
}

impl Store for Unreliable {
    pass_through!();

    fn is_shared(&self) -> bool {
        false
    }

    fn time(&self) -> StoreFuture<'_, Timestamp> {
        self.inner.time()
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let mut plan = self.plan.lock().unwrap();
        if plan.fail_commits > 0 {
            plan.fail_commits -= 1;
            return Box::pin(async { Err(StoreError::Unavailable("the disk is full".into())) });
        }
        if let (Some(change), true) = (commit.changes.first(), plan.conflicts > 0) {
            plan.conflicts -= 1;
            let key = change.key().clone();
            return Box::pin(async { Err(StoreError::Conflict(key)) });
        }
        self.inner.commit(commit)
    }

    fn epochs(&self) -> StoreFuture<'_, Epochs> {
        if self.plan.lock().unwrap().fail_epochs {
            return Box::pin(async { Err(StoreError::Unavailable("nobody answers".into())) });
        }
        self.inner.epochs()
    }

    fn attach_log(&self, sequencer: Box<dyn Sequencer>) {
        self.inner.attach_log(sequencer);
    }
}

/// One node's way to a store that several nodes of one process share. Each keeps its own log.
pub(crate) struct Shared {
    inner: Arc<SqliteStore>,
    /// One node writes at a time, so that each transaction has one node's log.
    turn: Arc<tokio::sync::Mutex<()>>,
    log: Arc<Mutex<Option<Box<dyn Sequencer>>>>,
    /// What the store takes for the time. The tests' clock goes by itself, so that this is ahead of it unless a test says otherwise.
    time_ms: Arc<AtomicI64>,
}

/// The year 2200.
const FAR_AHEAD_MS: i64 = 7_258_118_400_000;

impl Shared {
    pub(crate) fn set_time(&self, time: Timestamp) {
        self.time_ms.store(time.0, Ordering::SeqCst);
    }

    /// So many ways to one store.
    pub(crate) fn between<const NODES: usize>(inner: &Arc<SqliteStore>) -> [Arc<Self>; NODES] {
        let (turn, time_ms) = (Arc::default(), Arc::new(AtomicI64::new(FAR_AHEAD_MS)));
        std::array::from_fn(|_| {
            let (turn, time_ms) = (Arc::clone(&turn), Arc::clone(&time_ms));
            Arc::new(Self { inner: Arc::clone(inner), turn, log: Arc::default(), time_ms })
        })
    }
}

impl Store for Shared {
    pass_through!();

    fn is_shared(&self) -> bool {
        true
    }

    fn time(&self) -> StoreFuture<'_, Timestamp> {
        Box::pin(std::future::ready(Ok(Timestamp(self.time_ms.load(Ordering::SeqCst)))))
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            if self.log.lock().unwrap().is_some() {
                self.inner.attach_log(Box::new(Lent(Arc::clone(&self.log))));
            }
            self.inner.commit(commit).await
        })
    }

    fn epochs(&self) -> StoreFuture<'_, Epochs> {
        self.inner.epochs()
    }

    fn attach_log(&self, sequencer: Box<dyn Sequencer>) {
        *self.log.lock().unwrap() = Some(sequencer);
    }
}

/// A sequencer that is lent to the store for one commit.
struct Lent(Arc<Mutex<Option<Box<dyn Sequencer>>>>);

impl Sequencer for Lent {
    fn sequence(&mut self, entries: &[Entry]) -> Result<Bundle, String> {
        self.0.lock().unwrap().as_mut().unwrap().sequence(entries)
    }

    fn accept(&mut self) {
        self.0.lock().unwrap().as_mut().unwrap().accept();
    }

    fn discard(&mut self) {
        self.0.lock().unwrap().as_mut().unwrap().discard();
    }
}

/// A store whose writer can be held before a transaction becomes durable, so that what comes meanwhile makes one group.
pub(crate) struct Held {
    inner: Arc<SqliteStore>,
    gate: Arc<Gate>,
    /// How many commits were handed to the writer.
    handed: AtomicUsize,
}

#[derive(Default)]
pub(crate) struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
    /// How many transactions have come to the gate.
    arrived: AtomicUsize,
}

impl Gate {
    pub(crate) fn set_closed(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.opened.notify_all();
    }

    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    fn pass(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let mut closed = self.closed.lock().unwrap();
        while *closed {
            closed = self.opened.wait(closed).unwrap();
        }
    }
}

impl Held {
    pub(crate) fn before(inner: &Arc<SqliteStore>) -> (Arc<Self>, Arc<Gate>) {
        let gate = Arc::new(Gate::default());
        let held = Self { inner: Arc::clone(inner), gate: Arc::clone(&gate), handed: AtomicUsize::new(0) };
        (Arc::new(held), gate)
    }

    pub(crate) fn handed(&self) -> usize {
        self.handed.load(Ordering::SeqCst)
    }
}

impl Store for Held {
    pass_through!();

    fn is_shared(&self) -> bool {
        false
    }

    fn time(&self) -> StoreFuture<'_, Timestamp> {
        self.inner.time()
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        Box::pin(async move {
            let mut committed = self.inner.commit(commit);
            // The first poll puts the commit into the writer's queue.
            let first = std::future::poll_fn(|context| std::task::Poll::Ready(committed.as_mut().poll(context))).await;
            self.handed.fetch_add(1, Ordering::SeqCst);
            match first {
                std::task::Poll::Ready(result) => result,
                std::task::Poll::Pending => committed.await,
            }
        })
    }

    fn epochs(&self) -> StoreFuture<'_, Epochs> {
        self.inner.epochs()
    }

    fn attach_log(&self, sequencer: Box<dyn Sequencer>) {
        self.inner.attach_log(Box::new(Gated { inner: sequencer, gate: Arc::clone(&self.gate) }));
    }
}

struct Gated {
    inner: Box<dyn Sequencer>,
    gate: Arc<Gate>,
}

impl Sequencer for Gated {
    fn sequence(&mut self, entries: &[Entry]) -> Result<Bundle, String> {
        self.gate.pass();
        self.inner.sequence(entries)
    }

    fn accept(&mut self) {
        self.inner.accept();
    }

    fn discard(&mut self) {
        self.inner.discard();
    }
}

/// A store that does what it is asked, and can be told not to say so.
pub(crate) struct Late {
    inner: Arc<SqliteStore>,
    holds: AtomicBool,
}

impl Late {
    pub(crate) fn before(inner: &Arc<SqliteStore>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), holds: AtomicBool::new(false) })
    }

    /// From now on those who commit audit entries wait for ever.
    pub(crate) fn hold_answers(&self, holds: bool) {
        self.holds.store(holds, Ordering::SeqCst);
    }
}

impl Store for Late {
    pass_through!();

    fn is_shared(&self) -> bool {
        false
    }

    fn time(&self) -> StoreFuture<'_, Timestamp> {
        self.inner.time()
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        let holds = self.holds.load(Ordering::SeqCst) && !commit.entries.is_empty();
        Box::pin(async move {
            let committed = self.inner.commit(commit).await;
            if holds {
                std::future::pending::<()>().await;
            }
            committed
        })
    }

    fn epochs(&self) -> StoreFuture<'_, Epochs> {
        self.inner.epochs()
    }

    fn attach_log(&self, sequencer: Box<dyn Sequencer>) {
        self.inner.attach_log(sequencer);
    }
}

/// One of several nodes' way to a store, on which commits can be kept back before they are carried out: what a process that is stopped does with those
/// that it has under way. And one that can be cut, or made to hang.
pub(crate) struct Stoppable {
    inner: Arc<dyn Store>,
    stopped: tokio::sync::watch::Sender<bool>,
    waiting: AtomicUsize,
    way: Mutex<Way>,
    /// How many questions for epochs were asked.
    asked: AtomicUsize,
}

/// What becomes of what is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Way {
    /// It is answered.
    #[default]
    Open,
    /// Nobody is there.
    Cut,
    /// There is no answer.
    Hangs,
}

impl Stoppable {
    pub(crate) fn before(inner: Arc<dyn Store>) -> Arc<Self> {
        let (stopped, waiting, way) = (tokio::sync::watch::Sender::new(false), AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { inner, stopped, waiting, way, asked: AtomicUsize::new(0) })
    }

    /// Keeps back the commits that come from now on, or lets go of those that are kept.
    pub(crate) fn stop(&self, stopped: bool) {
        self.stopped.send_replace(stopped);
    }

    /// How many commits have been kept back.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn set_way(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn ask<'a, T: Send + 'a>(&self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        match *self.way.lock().unwrap() {
            Way::Open => answer,
            Way::Cut => Box::pin(async { Err(StoreError::Unavailable("nobody is there".into())) }),
            Way::Hangs => Box::pin(std::future::pending()),
        }
    }
}

impl Store for Stoppable {
    fn get(&self, key: &RecordKey) -> StoreFuture<'_, Option<Record>> {
        self.ask(self.inner.get(key))
    }

    fn find(&self, kind: RecordKind, id: &str) -> StoreFuture<'_, Option<Record>> {
        self.ask(self.inner.find(kind, id))
    }

    fn list(&self, list: List<'_>) -> StoreFuture<'_, Vec<Record>> {
        self.ask(self.inner.list(list))
    }

    fn scan(&self, after: Option<&RecordKey>, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        self.ask(self.inner.scan(after, limit))
    }

    fn due(&self, kind: RecordKind, until: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        self.ask(self.inner.due(kind, until, limit))
    }

    fn count(&self, kind: RecordKind, account: Option<AccountId>) -> StoreFuture<'_, u64> {
        self.ask(self.inner.count(kind, account))
    }

    fn count_in_scope(&self, kind: RecordKind, account: AccountId, scope: &str) -> StoreFuture<'_, u64> {
        self.ask(self.inner.count_in_scope(kind, account, scope))
    }

    fn count_by_owner(&self, kind: RecordKind) -> StoreFuture<'_, Vec<(String, u64)>> {
        self.ask(self.inner.count_by_owner(kind))
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Store::close(self.inner.as_ref())
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        let mut stopped = self.stopped.subscribe();
        Box::pin(async move {
            if *stopped.borrow() {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                stopped.wait_for(|stopped| !stopped).await.unwrap();
            }
            self.ask(self.inner.commit(commit)).await
        })
    }

    fn epochs(&self) -> StoreFuture<'_, Epochs> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.ask(self.inner.epochs())
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn time(&self) -> StoreFuture<'_, Timestamp> {
        self.ask(self.inner.time())
    }

    fn health(&self) -> StoreFuture<'_, StoreHealth> {
        self.ask(self.inner.health())
    }

    fn fact(&self, name: &str) -> StoreFuture<'_, Option<String>> {
        self.ask(self.inner.fact(name))
    }

    fn set_fact(&self, name: &str, value: &str) -> StoreFuture<'_, ()> {
        self.ask(self.inner.set_fact(name, value))
    }

    fn log_head(&self, node: &str) -> StoreFuture<'_, Option<LogHead>> {
        self.ask(self.inner.log_head(node))
    }

    fn log_nodes(&self) -> StoreFuture<'_, Vec<String>> {
        self.ask(self.inner.log_nodes())
    }

    fn bundles(&self, node: &str, from: u64, limit: usize) -> StoreFuture<'_, Vec<Bundle>> {
        self.ask(self.inner.bundles(node, from, limit))
    }

    fn attach_log(&self, sequencer: Box<dyn Sequencer>) {
        self.inner.attach_log(sequencer);
    }
}
