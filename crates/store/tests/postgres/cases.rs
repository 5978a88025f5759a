//! What the contract does not ask of an engine, since only a network has it: broken connections, other nodes, others' tables.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use claviger_domain::AccountId;
use claviger_store::contract::log::{TestLog, read_verified};
use claviger_store::copy::{compare, copy};
use claviger_store::{
    Change, Commit, Committed, Entry, Epochs, Expect, OpenMode, PostgresOptions, PostgresStore, Record, RecordKey, RecordKind,
    Shard, SqliteStore, Store, StoreError,
};

use crate::proxy::{Mode, Proxy};
use crate::{InSchema, in_schema, in_schema_through, server};

fn record(id: &str, version: u64) -> Record {
    let account = AccountId::from_number(7).unwrap();
    Record {
        key: RecordKey { account, kind: RecordKind::Key, id: id.into() },
        version,
        account_key_version: 1,
        scope: "r".into(),
        owner: String::new(),
        due: None,
        sealed: Bytes::from(format!("{id} {version}")),
    }
}

fn put(id: &str, version: u64) -> Change {
    let expect = if version == 1 { Expect::Absent } else { Expect::Version(version - 1) };
    Change::Put { record: record(id, version), expect }
}

fn entry(text: &str) -> Entry {
    let mut leaf = [0; 32];
    text.bytes().zip(leaf.iter_mut()).for_each(|(byte, place)| *place = byte);
    Entry { bytes: Bytes::copy_from_slice(text.as_bytes()), leaf }
}

async fn commit(store: &dyn Store, changes: Vec<Change>, texts: &[&str]) -> Result<Committed, StoreError> {
    store.commit(Commit::new(changes, texts.iter().map(|text| entry(text)).collect())).await
}

async fn node(fixture: &InSchema, name: &str) -> PostgresStore {
    let store = fixture.open_store().await;
    let (log, _) = TestLog::resume(&store, name).await;
    store.attach_log(log);
    store
}

/// A store behind a proxy, with a log that has begun.
async fn behind_proxy(name: &str) -> (Proxy, PostgresStore) {
    let (proxy, _, store) = behind_proxy_in_schema(name).await;
    (proxy, store)
}

/// The same, with the way around the proxy.
async fn behind_proxy_in_schema(name: &str) -> (Proxy, InSchema, PostgresStore) {
    let proxy = Proxy::before(server::port()).await;
    let through = in_schema_through(proxy.port);
    let store = node(&through, name).await;
    let mut around = in_schema();
    around.0.schema.clone_from(&through.0.schema);
    commit(&store, vec![put("first", 1)], &["first"]).await.unwrap();
    (proxy, around, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_whose_answer_is_lost_is_in_the_log_once() {
    for mode in [Mode::CutBehindCommit, Mode::CutBeforeCommit] {
        let (proxy, store) = behind_proxy("test log of a node").await;
        proxy.set(mode);
        let committed = commit(&store, vec![], &["second"]).await.unwrap();
        assert!(proxy.has_cut(), "{mode:?}");
        assert_eq!(committed.first_index, Some(1), "{mode:?}");
        assert_eq!(read_verified(&store, "test log of a node").await, ["first", "second"], "{mode:?}");
        commit(&store, vec![], &["third"]).await.unwrap();
        assert_eq!(read_verified(&store, "test log of a node").await, ["first", "second", "third"], "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_is_lost_is_made_once() {
    for mode in [Mode::CutBehindCommit, Mode::CutBeforeCommit] {
        let (proxy, store) = behind_proxy("n").await;
        let counted = |epochs: Epochs| epochs.map(|epoch| epoch % (1 << 40));
        let before = counted(store.epochs().await.unwrap());
        proxy.set(mode);
        let committed = commit(&store, vec![put("second", 1), put("first", 2)], &["second"]).await.unwrap();
        assert!(proxy.has_cut(), "{mode:?}");
        assert_eq!(committed.first_index, Some(1), "{mode:?}");
        assert_eq!(store.get(&record("second", 1).key).await.unwrap(), Some(record("second", 1)));
        assert_eq!(store.get(&record("first", 1).key).await.unwrap(), Some(record("first", 2)));
        assert_eq!(read_verified(&store, "n").await, ["first", "second"], "{mode:?}");
        let after = counted(store.epochs().await.unwrap());
        let changed: BTreeSet<usize> = committed.epochs.iter().map(|(shard, _)| shard.number()).collect();
        assert!(!changed.is_empty());
        for shard in 0..Shard::COUNT {
            assert_eq!(after[shard] - before[shard], u64::from(changed.contains(&shard)), "each shard moved once: {mode:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_entries_whose_answer_is_lost_is_made_once() {
    for mode in [Mode::CutBehindCommit, Mode::CutBeforeCommit] {
        let (proxy, store) = behind_proxy("n").await;
        proxy.set(mode);
        commit(&store, vec![put("second", 1), Change::Delete { key: record("first", 1).key, version: 1 }], &[]).await.unwrap();
        assert!(proxy.has_cut(), "{mode:?}");
        assert_eq!(store.get(&record("second", 1).key).await.unwrap(), Some(record("second", 1)));
        assert_eq!(store.get(&record("first", 1).key).await.unwrap(), None);
        proxy.set(mode);
        store.set_fact("name", "value").await.unwrap();
        assert!(proxy.has_cut(), "{mode:?}");
        assert_eq!(store.fact("name").await.unwrap().as_deref(), Some("value"));
    }
}

/// A commit that was interrupted while it waited for its standby can be seen, and is lost with the primary: it is not acknowledged before the standby
/// has it.
#[tokio::test(flavor = "multi_thread")]
async fn what_its_standby_has_not_seen_is_not_acknowledged() {
    let port = server::another();
    let store = Arc::new(node(&in_schema_through(port), "n").await);
    commit(&*store, vec![], &["first"]).await.unwrap();
    let administrator = client(port).await;
    let say = async |sql: &str| administrator.batch_execute(sql).await.unwrap();
    for (text, changes) in [("second", vec![]), ("third", vec![put("k", 1)])] {
        say("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
        say("SELECT pg_reload_conf()").await;
        // The server's processes hear of it one after the other, and say nowhere when all have.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let waiting = tokio::spawn({
            let store = Arc::clone(&store);
            async move { commit(&*store, changes, &[text]).await }
        });
        // Whoever waits for the standby is interrupted: what it committed is there from then on.
        let mut interrupted = 0;
        while interrupted < 3 {
            assert!(!waiting.is_finished(), "{text} was acknowledged, and no standby has it");
            let wait = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            interrupted += administrator.query(wait, &[]).await.unwrap().len();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(read_verified(&*store, "n").await.contains(&text.to_owned()), "it can be seen");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished(), "{text} was acknowledged, and no standby has it");
        say("ALTER SYSTEM RESET synchronous_standby_names").await;
        say("SELECT pg_reload_conf()").await;
        waiting.await.unwrap().unwrap();
    }
    assert_eq!(read_verified(&*store, "n").await, ["first", "second", "third"]);
}

/// A statement that nobody waits for any more is carried out when nobody expects it: what it wrote is answered for all the same, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_late_is_in_the_log_once() {
    let (proxy, store) = behind_proxy("test log of a node").await;
    proxy.set(Mode::Late);
    let committed = commit(&store, vec![], &["second"]).await.unwrap();
    assert!(proxy.has_cut());
    assert_eq!(committed.first_index, Some(1));
    commit(&store, vec![], &["third"]).await.unwrap();
    assert_eq!(read_verified(&store, "test log of a node").await, ["first", "second", "third"]);
}

/// A server that was left behind by a failover and goes on as if it were the primary is not read from.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_left_behind_is_not_read_from() {
    // Both are primaries, as after a promotion of which the first has not heard. What is in them was the same once, and the second has gone on.
    let (left, promoted) = (server::another(), server::another());
    let (before_left, before_promoted) = (Proxy::before(left).await, Proxy::before(promoted).await);
    let schema = in_schema().0.schema;
    let at = |ports: &[u16]| {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut options = PostgresOptions::parse(&format!("postgres://claviger@{}/postgres", hosts.join(","))).unwrap();
        options.schema.clone_from(&schema);
        InSchema(options)
    };
    for port in [left, promoted] {
        commit(&node(&at(&[port]), "n").await, vec![put("k", 1)], &["first"]).await.unwrap();
    }
    for _ in 0..9 {
        drop(node(&at(&[promoted]), "n").await);
    }
    let store = Arc::new(node(&at(&[before_left.port, before_promoted.port]), "n").await);
    let epochs = store.epochs().await.unwrap();
    assert_eq!((store.get(&record("k", 1).key).await.unwrap(), store.era()), (Some(record("k", 1)), 0));

    // The writer's connection breaks, those of the readers live.
    before_left.set(Mode::RefuseNew);
    end_connections(left, "%INSERT INTO shards%").await;
    commit(&*store, vec![put("k", 2)], &["second"]).await.unwrap();
    assert_eq!(store.era(), 1);
    assert_eq!(store.get(&record("k", 2).key).await.unwrap(), Some(record("k", 2)), "what is where the writer is");
    let later = store.epochs().await.unwrap();
    assert!(epochs.iter().zip(&later).all(|(before, after)| before <= after) && epochs != later);

    // The readers can only connect to the one that was left behind: then they say nothing at all.
    before_promoted.set(Mode::RefuseNew);
    before_left.set(Mode::Pass);
    end_connections(promoted, "%FROM records%").await;
    let reading = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.get(&record("k", 2).key).await }
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!reading.is_finished());
    before_promoted.set(Mode::Pass);
    assert_eq!(reading.await.unwrap().unwrap(), Some(record("k", 2)));
}

/// Two who make a deployment at the same time do not build up one thing, and the slower one hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn two_attempts_are_two_stores() {
    let first = in_schema().0;
    let url = format!("postgres://claviger@127.0.0.1:{}/postgres", server::port());
    let mut second = PostgresOptions::parse(&url).unwrap();
    second.schema.clone_from(&first.schema);
    let (of_first, of_second) = (
        PostgresStore::open(&first, OpenMode::CreateNew).await.unwrap(),
        PostgresStore::open(&second, OpenMode::CreateNew).await,
    );
    let of_second = of_second.unwrap();
    of_first.set_fact("whose", "the first's").await.unwrap();
    of_second.set_fact("whose", "the second's").await.unwrap();
    assert_eq!(of_first.fact("whose").await.unwrap().as_deref(), Some("the first's"));
    of_first.close().await.unwrap();
    of_second.close().await.unwrap();
    PostgresStore::publish(&first).await.unwrap();
    assert!(matches!(PostgresStore::publish(&second).await, Err(StoreError::Exists(_))));
    PostgresStore::discard(&second).await.unwrap();
    let store = PostgresStore::open(&second, OpenMode::Existing).await.unwrap();
    assert_eq!(store.fact("whose").await.unwrap().as_deref(), Some("the first's"));
}

async fn client(port: u16) -> tokio_postgres::Client {
    let url = format!("host=127.0.0.1 port={port} user=claviger dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Ends the connections whose last statement was like this.
async fn end_connections(port: u16, statement: &str) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE $1 AND pid <> pg_backend_pid()";
    assert!(!client(port).await.query(end, &[&statement]).await.unwrap().is_empty());
}

/// What a commit only checks stays as it is until the commit is done, also where it writes nothing but an entry.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_checked_stays_until_the_entry_is_written() {
    let (proxy, around, store) = behind_proxy_in_schema("test log of a node").await;
    let (store, other) = (Arc::new(store), node(&around, "other").await);
    proxy.set(Mode::Hold);
    let checking = tokio::spawn({
        let store = Arc::clone(&store);
        async move { commit(&*store, vec![Change::Check { key: record("first", 1).key, version: 1 }], &["checked"]).await }
    });
    while !proxy.has_cut() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    commit(&other, vec![put("first", 2)], &["changed"]).await.unwrap();
    assert_eq!(read_verified(&other, "test log of a node").await, ["first", "checked"], "before it was changed");
    checking.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_back_is_waited_for() {
    let (proxy, store) = behind_proxy("n").await;
    proxy.set(Mode::Refuse);
    let store = Arc::new(store);
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { commit(&*store, vec![put("second", 1)], &["second"]).await }
    });
    let reading = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.get(&record("first", 1).key).await }
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    proxy.set(Mode::Pass);
    writing.await.unwrap().unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), Some(record("first", 1)));
    assert_eq!(read_verified(&*store, "n").await, ["first", "second"]);
}

/// A store whose first host is the proxy, and whose second is the server itself.
async fn before_two_hosts() -> (Proxy, PostgresStore) {
    let proxy = Proxy::before(server::port()).await;
    let mut fixture = in_schema();
    let url = format!(
        "postgres://claviger@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        proxy.port,
        server::port()
    );
    let mut both = claviger_store::PostgresOptions::parse(&url).unwrap();
    both.schema.clone_from(&fixture.0.schema);
    both.connections = 2;
    fixture.0 = both;
    let store = node(&fixture, "n").await;
    commit(&store, vec![put("first", 1)], &["first"]).await.unwrap();
    (proxy, store)
}

/// The first host is there and says nothing any more, as a machine does that is stopped; the second has become the one to write to.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_keeps_nobody_from_the_next() {
    let (proxy, store) = before_two_hosts().await;
    proxy.set(Mode::Hang);
    let (written, read) = tokio::join!(commit(&store, vec![put("second", 1)], &["second"]), store.get(&record("first", 1).key));
    written.unwrap();
    assert_eq!(read.unwrap(), Some(record("first", 1)));
    assert_eq!(read_verified(&store, "n").await, ["first", "second"]);
}

/// Whoever has little time, as the lease has, learns all the same which host is the one, and leaves no connection behind that hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_is_left_by_those_who_do_not_wait() {
    let (proxy, store) = before_two_hosts().await;
    proxy.set(Mode::Hang);
    let mut answered = false;
    for _ in 0..40 {
        answered = tokio::time::timeout(Duration::from_millis(500), store.epochs()).await.is_ok_and(|epochs| epochs.is_ok());
        if answered {
            break;
        }
    }
    assert!(answered);
}

/// Eight tasks write while connections break again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_is_done_twice_while_connections_break() {
    const ROUNDS: u64 = 40;
    let (proxy, store) = behind_proxy("test log of a node").await;
    let store = Arc::new(store);
    let mut tasks = Vec::new();
    let acknowledged = Arc::new(AtomicU64::new(0));
    for task in 0..8 {
        let (store, acknowledged) = (Arc::clone(&store), Arc::clone(&acknowledged));
        tasks.push(tokio::spawn(async move {
            for round in 1..=ROUNDS {
                let (changing, using) = (format!("change {task} {round}"), format!("use {task} {round}"));
                commit(&*store, vec![put(&format!("k{task}"), round)], &[&changing]).await.unwrap();
                commit(&*store, vec![], &[&using]).await.unwrap();
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    let breaking = tokio::spawn(async move {
        for mode in [Mode::CutBehindCommit, Mode::CutBeforeCommit].into_iter().cycle() {
            proxy.set(mode);
            while !proxy.has_cut() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // Something has to go well in between.
            let before = acknowledged.load(Ordering::SeqCst);
            while acknowledged.load(Ordering::SeqCst) < before + 6 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    for task in tasks {
        task.await.unwrap();
    }
    breaking.abort();
    for task in 0..8 {
        let id = format!("k{task}");
        assert_eq!(store.get(&record(&id, 1).key).await.unwrap(), Some(record(&id, ROUNDS)));
    }
    let log = read_verified(&*store, "test log of a node").await;
    assert_eq!(log.len() as u64, 1 + 8 * 2 * ROUNDS, "each acknowledged commit has one entry");
    let distinct: std::collections::HashSet<_> = log.iter().collect();
    assert_eq!(distinct.len(), log.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_records_and_have_logs_of_their_own() {
    let fixture = in_schema();
    let (one, two) = (node(&fixture, "one").await, node(&fixture, "two").await);
    commit(&one, vec![put("k", 1)], &["made"]).await.unwrap();
    assert_eq!(two.get(&record("k", 1).key).await.unwrap(), Some(record("k", 1)));
    commit(&two, vec![put("k", 2)], &["changed"]).await.unwrap();
    assert_eq!(commit(&one, vec![put("k", 2)], &["late"]).await, Err(StoreError::Conflict(record("k", 1).key)));
    assert_eq!(one.epochs().await, two.epochs().await);
    assert_eq!(read_verified(&one, "one").await, ["made"]);
    assert_eq!(read_verified(&one, "two").await, ["changed"]);
    assert_eq!(two.log_nodes().await.unwrap(), ["one", "two"]);
}

/// Each of many commits of two nodes that all count one record up is done once, and moves the epoch once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost_between_nodes() {
    let fixture = in_schema();
    let mut tasks = Vec::new();
    for name in ["one", "two"] {
        let store = Arc::new(node(&fixture, name).await);
        for task in 0..4 {
            let store = Arc::clone(&store);
            tasks.push(tokio::spawn(async move {
                let mut done = 0;
                while done < 10 {
                    let version = store.get(&record("k", 1).key).await.unwrap().map_or(0, |found| found.version);
                    match commit(&*store, vec![put("k", version + 1)], &[&format!("{task} {done}")]).await {
                        Ok(_) => done += 1,
                        Err(StoreError::Conflict(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let store = fixture.open_store().await;
    assert_eq!(store.get(&record("k", 1).key).await.unwrap().unwrap().version, 80);
    assert_eq!(store.epochs().await.unwrap().iter().sum::<u64>(), 80);
    assert_eq!(read_verified(&store, "one").await.len() + read_verified(&store, "two").await.len(), 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_of_one_name_cannot_both_write_its_log() {
    let fixture = in_schema();
    let first = node(&fixture, "n").await;
    commit(&first, vec![], &["a"]).await.unwrap();
    let second = node(&fixture, "n").await;
    commit(&second, vec![], &["b"]).await.unwrap();
    for change in [vec![], vec![put("k", 1)]] {
        let refused = commit(&first, change, &["c"]).await.unwrap_err();
        assert!(refused.to_string().contains("does not end at 1"), "{refused}");
    }
    assert_eq!(first.get(&record("k", 1).key).await.unwrap(), None, "nothing is done without its entry");
    commit(&second, vec![], &["d"]).await.unwrap();
    assert_eq!(read_verified(&second, "n").await, ["a", "b", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_made_whole_or_not_at_all() {
    let fixture = in_schema();
    let options = &fixture.0;
    assert!(matches!(PostgresStore::open(options, OpenMode::Existing).await, Err(StoreError::Missing(_))));
    // Given up half-way, and begun again.
    PostgresStore::open(options, OpenMode::CreateNew).await.unwrap().set_fact("old", "x").await.unwrap();
    assert!(!PostgresStore::is_there(options).await.unwrap());
    let new = PostgresStore::open(options, OpenMode::CreateNew).await.unwrap();
    assert_eq!(new.fact("old").await.unwrap(), None);
    new.set_fact("new", "y").await.unwrap();
    new.close().await.unwrap();
    assert!(matches!(new.fact("new").await, Err(StoreError::Unavailable(_))), "a closed store answers nothing");
    PostgresStore::publish(options).await.unwrap();
    assert!(matches!(PostgresStore::open(options, OpenMode::CreateNew).await, Err(StoreError::Exists(_))));
    let store = PostgresStore::open(options, OpenMode::Existing).await.unwrap();
    assert_eq!(store.fact("new").await.unwrap().as_deref(), Some("y"));
    let reader = PostgresStore::open_read_only(options).await.unwrap();
    assert_eq!(reader.fact("new").await.unwrap().as_deref(), Some("y"));
    let refused = reader.set_fact("new", "z").await.unwrap_err();
    assert!(refused.to_string().contains("reading only"), "{refused}");
}

async fn run(fixture: &InSchema, sql: &str) {
    client(server::port()).await.batch_execute(&format!("SET search_path TO {}; {sql}", fixture.0.schema)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_not_ours_are_refused() {
    let cases = [
        ("ALTER TABLE records ADD COLUMN extra TEXT", "column `records.extra"),
        ("ALTER TABLE facts DROP COLUMN value", "lacks the column `facts.value"),
        ("ALTER TABLE records ALTER COLUMN version TYPE integer", "records.version integer"),
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
             CREATE TRIGGER t BEFORE INSERT ON audit_bundles FOR EACH ROW EXECUTE FUNCTION f()",
            "triggers",
        ),
        ("CREATE RULE r AS ON DELETE TO records DO INSTEAD NOTHING", "rules"),
        ("ALTER TABLE shards ENABLE ROW LEVEL SECURITY", "policies"),
    ];
    for (change, said) in cases {
        let fixture = in_schema();
        drop(fixture.open_store().await);
        run(&fixture, change).await;
        let refused = PostgresStore::open(&fixture.0, OpenMode::Existing).await.err().expect("refused");
        assert!(matches!(refused, StoreError::Corrupt(_)) && refused.to_string().contains(said), "{refused}");
    }
    let fixture = in_schema();
    drop(fixture.open_store().await);
    run(&fixture, "UPDATE schema SET version = 1000").await;
    let refused = PostgresStore::open(&fixture.0, OpenMode::Existing).await.err().expect("refused");
    assert!(matches!(refused, StoreError::NewerSchema { found: 1000, .. }), "{refused}");
}

/// A row that this program would not have written is an error that names it, never something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_not_ours_is_named() {
    let fixture = in_schema();
    let store = node(&fixture, "n").await;
    commit(&store, vec![put("k", 1)], &["a"]).await.unwrap();
    run(&fixture, "UPDATE records SET version = -1").await;
    for refused in [store.get(&record("k", 1).key).await.unwrap_err(), commit(&store, vec![put("k", 2)], &[]).await.unwrap_err()]
    {
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
    }
    run(&fixture, "UPDATE records SET version = 1, kind = 'chair'").await;
    assert!(matches!(store.scan(None, 9).await, Err(StoreError::Corrupt(said)) if said.contains("chair")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_tells_how_it_is() {
    let store = node(&in_schema(), "n").await;
    let health = store.health().await.unwrap();
    assert!(health.engine.starts_with("PostgreSQL "), "{health:?}");
    assert_eq!(health.synchronous, Some(false), "it has no copies");
    assert_eq!(health.replicas, []);
    let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let there = u128::try_from(store.time().await.unwrap().0).unwrap();
    assert!(here.abs_diff(there) < 60_000, "both clocks are of this machine");
    assert!(store.is_shared());
}

/// A store with records of several versions and logs of two nodes.
async fn filled(fixture: &InSchema) -> PostgresStore {
    let (one, two) = (node(fixture, "one").await, node(fixture, "two").await);
    for number in 0..40 {
        commit(&one, vec![put(&format!("k{number}"), 1)], &[&format!("made {number}"), "and more"]).await.unwrap();
        if number % 3 == 0 {
            commit(&two, vec![put(&format!("k{number}"), 2)], &[&format!("changed {number}")]).await.unwrap();
        }
    }
    one.set_fact("deployment", "d").await.unwrap();
    one
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_the_same_and_goes_on_where_it_was() {
    let fixture = in_schema();
    let from = filled(&fixture).await;
    let directory = tempfile::tempdir().unwrap();
    let to = SqliteStore::open(&directory.path().join("copy.sqlite"), OpenMode::CreateNew).unwrap();
    let mut told = Vec::new();
    copy(&from, &to, &["deployment".to_owned()], &mut |progress| told.push(progress)).await.unwrap();
    let compared = compare(&from, &to, &["deployment".to_owned()], &mut |_| {}).await.unwrap();
    assert_eq!((compared.records, compared.entries), (40, 94));
    assert_eq!(told.last(), Some(&compared));
    assert_eq!(read_verified(&to, "one").await, read_verified(&from, "one").await);
    // The source goes on, and so does the copy: what was added, changed and removed.
    let log = node(&fixture, "three").await;
    let gone = Change::Delete { key: record("k1", 1).key, version: 1 };
    commit(&log, vec![put("k3", 3), put("new", 1), gone], &["late"]).await.unwrap();
    assert!(compare(&from, &to, &["deployment".to_owned()], &mut |_| {}).await.is_err());
    copy(&from, &to, &["deployment".to_owned()], &mut |_| {}).await.unwrap();
    compare(&from, &to, &["deployment".to_owned()], &mut |_| {}).await.unwrap();
    // And back, into a database: its log can be continued there.
    let back = in_schema().0;
    let resumed = PostgresStore::resume(&back, "d").await.unwrap();
    copy(&to, &resumed, &["deployment".to_owned()], &mut |_| {}).await.unwrap();
    resumed.close().await.unwrap();
    let resumed = PostgresStore::resume(&back, "d").await.unwrap();
    compare(&from, &resumed, &["deployment".to_owned()], &mut |_| {}).await.unwrap();
    resumed.close().await.unwrap();
    PostgresStore::publish(&back).await.unwrap();
    let store = node(&InSchema(back), "one").await;
    commit(&store, vec![], &["and on"]).await.unwrap();
    assert_eq!(read_verified(&store, "one").await.last().unwrap(), "and on");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_of_a_copy_is_found() {
    let changes = [
        "UPDATE records SET sealed = 'x' WHERE id = 'k7'",
        "UPDATE records SET due = 1 WHERE id = 'k7'",
        "DELETE FROM records WHERE id = 'k7'",
        "INSERT INTO records SELECT kind, id || 'x', account, version, account_key_version, scope, owner, due, sealed FROM records WHERE id = 'k7'",
        "UPDATE audit_bundles SET data = 'x' WHERE first = 4",
        "UPDATE audit_bundles SET checkpoint = 'x' WHERE first = 4",
        "DELETE FROM audit_bundles WHERE first = 4",
        "UPDATE audit_heads SET frontier = 'x' WHERE node = 'two'",
        "UPDATE facts SET value = 'x'",
    ];
    let directory = tempfile::tempdir().unwrap();
    let fixture = in_schema();
    let from = filled(&fixture).await;
    let to = SqliteStore::open(&directory.path().join("copy.sqlite"), OpenMode::CreateNew).unwrap();
    copy(&from, &to, &["deployment".to_owned()], &mut |_| {}).await.unwrap();
    compare(&from, &to, &["deployment".to_owned()], &mut |_| {}).await.unwrap();
    for change in changes {
        run(&fixture, &format!("CREATE TEMPORARY TABLE r AS TABLE records; CREATE TEMPORARY TABLE b AS TABLE audit_bundles; \
            CREATE TEMPORARY TABLE h AS TABLE audit_heads; CREATE TEMPORARY TABLE f AS TABLE facts; {change}; \
            CREATE TABLE saved_r AS TABLE r; CREATE TABLE saved_b AS TABLE b; CREATE TABLE saved_h AS TABLE h; CREATE TABLE saved_f AS TABLE f"))
            .await;
        let found = compare(&from, &to, &["deployment".to_owned()], &mut |_| {}).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{change}: {found:?}");
        for (table, saved) in
            [("records", "saved_r"), ("audit_bundles", "saved_b"), ("audit_heads", "saved_h"), ("facts", "saved_f")]
        {
            run(&fixture, &format!("DELETE FROM {table}; INSERT INTO {table} TABLE {saved}; DROP TABLE {saved}")).await;
        }
    }
    compare(&from, &to, &["deployment".to_owned()], &mut |_| {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_a_gap_is_not_copied() {
    let fixture = in_schema();
    let from = filled(&fixture).await;
    run(&fixture, "DELETE FROM audit_bundles WHERE first = 4").await;
    let to = in_schema().open_store().await;
    let refused = copy(&from, &to, &[], &mut |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("gap at entry 4"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_does_not_move() {
    let fixture = in_schema();
    let store = node(&fixture, "n").await;
    commit(&store, vec![put("k", 1)], &["a"]).await.unwrap();
    let snapshot = PostgresStore::open_snapshot(&fixture.0).await.unwrap();
    assert_eq!(snapshot.get(&record("k", 1).key).await.unwrap(), Some(record("k", 1)));
    commit(&store, vec![put("k", 2), put("l", 1)], &["b"]).await.unwrap();
    assert_eq!(snapshot.get(&record("k", 1).key).await.unwrap(), Some(record("k", 1)));
    assert_eq!(snapshot.get(&record("l", 1).key).await.unwrap(), None);
    assert_eq!(snapshot.log_head("n").await.unwrap().unwrap().size, 1);
    run(&fixture, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%audit_heads%' AND state = 'idle in transaction'").await;
    let refused = snapshot.get(&record("k", 1).key).await.unwrap_err();
    assert!(refused.to_string().contains("begin again"), "{refused}");
}
