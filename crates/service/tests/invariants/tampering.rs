//! Invariant 5: storage is untrusted. What somebody changes in the store's file behind the server's back is refused when it is read, or
//! found and named by `verify_store` and by the verification of the audit log. What cannot be found is tested to be so, too: at the end.

use std::sync::Arc;

use claviger_audit::verify::{Checks, Head, OldCheckpoint, Problem, Report, verify};
use claviger_audit::{StoredBundle, VerifierKey};
use claviger_domain::{Caller, GrantOperation, GrantPrincipal, KeyArn, Kind};
use claviger_service::Settings;
use claviger_service::operations::{admin, kms};
use claviger_store::{RecordKind, Store};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::common::stores::Shared;
use crate::common::{Deployment, NODE, Node, account, alias, by_arn, create_grant, deployed, identity_policy, kind_of, region};

/// A deployment with some of everything, that is not being served.
struct Scene {
    deployment: Deployment,
    key: KeyArn,
    other_key: KeyArn,
    user: Caller,
    stranger: Caller,
    ciphertext: Vec<u8>,
}

impl Scene {
    async fn new() -> Self {
        let (deployment, node) = deployed().await;
        let root = deployment.root();
        let (key, other_key) = (node.create_key(&root).await, node.create_key(&root).await);
        node.create_alias(&root, &key, &alias("payroll")).await;
        let user = node.create_user(&root, "user", &[&identity_policy("Allow", &["kms:*"])]).await;
        let mut grant = create_grant(&key, &user.identity.arn, &[GrantOperation::Decrypt]);
        grant.name = Some("backup".to_owned());
        grant.terms.retiring = Some(GrantPrincipal::Principal(user.identity.arn.clone()));
        node.create_grant(&root, &grant).await.unwrap();
        let stranger = node.create_account(&deployment.administrator(), 42).await;
        let ciphertext = node.encrypt(&root, &key).await.unwrap();
        node.shut_down().await;
        Self { deployment, key, other_key, user, stranger, ciphertext }
    }

    /// Changes the file.
    fn edit<T>(&self, change: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
        change(&Connection::open(self.deployment.path()).unwrap()).unwrap()
    }

    async fn serve(&self) -> Node {
        self.deployment.serve().await
    }

    fn root(&self) -> Caller {
        self.deployment.root()
    }

    fn id_of(key: &KeyArn) -> String {
        format!("{}/{}", region(), key.key)
    }

    /// What `verify_store` finds.
    async fn findings(&self) -> Vec<String> {
        let node = self.serve().await;
        let report = node.service.verify_store().await.unwrap();
        node.store.close();
        assert_eq!(report.is_clean(), report.findings.is_empty());
        report.findings
    }
}

/// A row of the store, whatever is in it.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    kind: String,
    id: String,
    account: i64,
    version: i64,
    account_key_version: i64,
    scope: String,
    owner: String,
    due: Option<i64>,
    sealed: Vec<u8>,
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(
        "SELECT kind, id, account, version, account_key_version, scope, owner, due, sealed FROM records ORDER BY kind, id, account",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Row {
            kind: row.get(0)?,
            id: row.get(1)?,
            account: row.get(2)?,
            version: row.get(3)?,
            account_key_version: row.get(4)?,
            scope: row.get(5)?,
            owner: row.get(6)?,
            due: row.get(7)?,
            sealed: row.get(8)?,
        })
    })?;
    rows.collect()
}

fn row_of(connection: &Connection, kind: &str, id: &str) -> rusqlite::Result<Option<Row>> {
    Ok(rows(connection)?.into_iter().find(|row| row.kind == kind && row.id == id))
}

fn put(connection: &Connection, row: &Row) -> rusqlite::Result<usize> {
    connection.execute(
        "INSERT OR REPLACE INTO records (kind, id, account, version, account_key_version, scope, owner, due, sealed)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![row.kind, row.id, row.account, row.version, row.account_key_version, row.scope, row.owner, row.due, row.sealed],
    )
}

fn remove(connection: &Connection, row: &Row) -> rusqlite::Result<usize> {
    let key = params![row.kind, row.id, row.account];
    connection.execute("DELETE FROM records WHERE kind = ? AND id = ? AND account = ?", key)
}

impl Row {
    fn name(&self) -> String {
        format!("{} {} of account {:012}", self.kind, self.id, self.account)
    }
}

#[tokio::test]
async fn what_nobody_touched_is_clean() {
    let scene = Scene::new().await;
    let node = scene.serve().await;
    let report = node.service.verify_store().await.unwrap();
    assert!(report.is_clean(), "{report}");
    let kinds: std::collections::BTreeSet<String> = scene.edit(rows).into_iter().map(|row| row.kind).collect();
    let expected = [
        "access-key",
        "account",
        "account-key",
        "alias",
        "grant",
        "grant-name",
        "grant-retirement",
        "key",
        "last-use",
        "node",
        "sealed-root",
        "setting",
        "user",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected, "the scene has a record of each kind that there is");
    assert_eq!(report.records, scene.edit(rows).len() as u64);
    assert_eq!(report.entries, node.log_size().await);
    assert!(audit_report(&scene, &node, &[]).await.is_sound());
}

#[tokio::test]
async fn a_flipped_bit_in_any_record_is_named() {
    let scene = Scene::new().await;
    for row in scene.edit(rows) {
        for place in [0, row.sealed.len() / 2, row.sealed.len() - 1] {
            let mut changed = row.clone();
            changed.sealed[place] ^= 0x10;
            scene.edit(|connection| put(connection, &changed));
            found(&scene, &row, &format!("byte {place} of {}", row.name())).await;
            scene.edit(|connection| put(connection, &row));
        }
    }
    assert_eq!(scene.findings().await, Vec::<String>::new(), "put back as it was");
}

/// The record is named by `verify_store`, or by the refusal to serve at all where nothing can be served without it.
async fn found(scene: &Scene, row: &Row, what: &str) {
    let store = scene.deployment.store();
    let port = Arc::clone(&store) as Arc<dyn Store>;
    match scene.deployment.serve_through(store, port, Settings::for_node(NODE)).await {
        Ok(node) => {
            let report = node.service.verify_store().await.unwrap();
            node.store.close();
            assert!(report.findings.iter().any(|finding| finding.starts_with(&row.name())), "{what}: {report}");
        }
        Err(refusal) => {
            assert!(matches!(row.kind.as_str(), "node" | "account-key"), "{what}: nothing is served: {refusal}");
            assert_eq!(refusal.kind, Kind::Internal, "{what}: {refusal}");
            let told = format!("{} {}", refusal.detail, refusal.reason.unwrap_or_default());
            assert!(
                told.contains(&row.name()) || told.contains(&format!("account key of account {:012}", row.account)),
                "{what}: {told}"
            );
        }
    }
}

type Edit = fn(&mut Row);

#[tokio::test]
async fn every_clear_column_is_bound_to_its_record() {
    let scene = Scene::new().await;
    // An account's key is what seals the others: its row has no scope, owner or due date that anybody would read (see the end).
    for row in scene.edit(rows).into_iter().filter(|row| row.kind != "account-key") {
        let edits: [(&str, Edit); 7] = [
            ("a version ahead", |row| row.version += 1),
            ("a version behind", |row| row.version -= 1),
            ("another account key", |row| row.account_key_version += 1),
            ("another scope", |row| row.scope.push('x')),
            ("another owner", |row| row.owner.push('x')),
            ("due", |row| row.due = Some(row.due.map_or(1, |due| due + 1))),
            ("never due", |row| row.due = row.due.map_or(Some(0), |_| None)),
        ];
        for (what, edit) in edits {
            let mut changed = row.clone();
            edit(&mut changed);
            scene.edit(|connection| put(connection, &changed));
            found(&scene, &row, &format!("{what}: {}", row.name())).await;
            scene.edit(|connection| put(connection, &row));
        }
    }
}

#[tokio::test]
async fn a_changed_record_is_refused_when_it_is_read() {
    let scene = Scene::new().await;
    let (id, other_id) = (Scene::id_of(&scene.key), Scene::id_of(&scene.other_key));
    let (mut one, mut other) =
        scene.edit(|connection| Ok((row_of(connection, "key", &id)?.unwrap(), row_of(connection, "key", &other_id)?.unwrap())));
    std::mem::swap(&mut one.sealed, &mut other.sealed);
    std::mem::swap(&mut one.version, &mut other.version);
    scene.edit(|connection| put(connection, &one).and_then(|_| put(connection, &other)));
    let node = scene.serve().await;
    for key in [&scene.key, &scene.other_key] {
        let caller = node.again(&scene.root());
        let refusal = node.service.perform(&caller, &kms::DescribeKey { key: by_arn(key) }).await.unwrap_err();
        assert_eq!(refusal.kind, Kind::Internal);
        assert!(
            refusal.detail.contains(&format!("key {} of account {}", Scene::id_of(key), account())),
            "it is named: {refusal}"
        );
        assert_eq!(node.entries_of(&caller).await[0].json["errorCode"], "KMSInternalException", "and that is in the log");
    }
    assert_eq!(kind_of(node.decrypt(&scene.root(), &scene.ciphertext).await), Kind::Internal);
    let listed = node.service.perform(&node.again(&scene.root()), &kms::ListKeys { limit: 10, marker: None }).await;
    assert_eq!(kind_of(listed), Kind::Internal, "a list does not leave out what does not open");
    let disable = kms::DisableKey { key: by_arn(&scene.key) };
    assert_eq!(
        kind_of(node.service.perform(&node.again(&scene.root()), &disable).await),
        Kind::Internal,
        "nor is it written over"
    );
    let report = node.service.verify_store().await.unwrap();
    for id in [&id, &other_id] {
        assert!(report.findings.iter().any(|finding| finding.contains(id.as_str())), "{report}");
    }
}

#[tokio::test]
async fn a_record_cannot_be_given_to_somebody_else() {
    let scene = Scene::new().await;
    let stranger = i64::try_from(scene.stranger.identity.account.number()).unwrap();
    let user_key = scene.user.access_key.to_string();
    let (key, credential, user) = scene.edit(|connection| {
        Ok((
            row_of(connection, "key", &Scene::id_of(&scene.key))?.unwrap(),
            row_of(connection, "access-key", &user_key)?.unwrap(),
            row_of(connection, "user", "user")?.unwrap(),
        ))
    });
    let moved = Row { account: stranger, ..key.clone() };
    let renamed = Row { id: "other".to_owned(), ..user };
    let promoted = Row { owner: String::new(), ..credential.clone() };
    scene.edit(|connection| {
        put(connection, &moved)?;
        put(connection, &renamed)?;
        put(connection, &promoted)
    });
    let node = scene.serve().await;
    let mut theirs = scene.key.clone();
    theirs.account = scene.stranger.identity.account;
    assert_eq!(kind_of(node.encrypt(&scene.stranger, &theirs).await), Kind::Internal);
    let read = admin::ListUserPolicies { account: None, user: "other".parse().unwrap() };
    assert_eq!(kind_of(node.service.perform(&node.again(&scene.root()), &read).await), Kind::Internal);
    let listed = admin::ListAccessKeys { account: None, user: None };
    assert_eq!(kind_of(node.service.perform(&node.again(&scene.root()), &listed).await), Kind::Internal);
    let report = node.service.verify_store().await.unwrap();
    for row in [&moved, &renamed, &promoted] {
        assert!(report.findings.iter().any(|finding| finding.starts_with(&row.name())), "{}: {report}", row.name());
    }
    node.store.close();

    // The same credential in two accounts is not a choice between them.
    scene.edit(|connection| {
        remove(connection, &moved)?;
        put(connection, &credential)?;
        put(connection, &Row { account: stranger, ..credential.clone() })
    });
    let node = scene.serve().await;
    let claim = claviger_service::SignatureClaim {
        access_key: &user_key,
        session_token: None,
        date: "20261122",
        region: "us-east-1",
        service: "kms",
        string_to_sign: b"",
        signature: b"",
        assertions: claviger_service::Assertions::default(),
    };
    let refused =
        node.service.authenticate(&claim, crate::common::request(claviger_service::Clock::now(node.clock.as_ref()))).await;
    assert_eq!(kind_of(refused), Kind::Internal);
}

#[tokio::test]
async fn a_record_put_back_to_an_older_version_is_found() {
    let scene = Scene::new().await;
    let id = Scene::id_of(&scene.key);
    let old = scene.edit(|connection| row_of(connection, "key", &id)).unwrap();
    let node = scene.serve().await;
    node.service.perform(&node.again(&scene.root()), &kms::DisableKey { key: by_arn(&scene.key) }).await.unwrap();
    node.shut_down().await;
    scene.edit(|connection| put(connection, &old));
    let expected = format!("{} is at version {}; the log has it at version {}", old.name(), old.version, old.version + 1);
    assert_eq!(scene.findings().await, [expected]);
}

/// A name that another node made again begins at version 1, as what it named before did.
#[tokio::test]
async fn a_record_of_before_it_was_deleted_and_made_again_elsewhere_is_found() {
    let scene = Scene::new().await;
    let old = scene.edit(rows).into_iter().find(|row| row.kind == "alias").unwrap();
    let store = scene.deployment.store();
    let [way] = Shared::between(&store);
    let other = scene.deployment.serve_through(store, way, Settings::for_node("node-2")).await.unwrap();
    other.service.perform(&other.again(&scene.root()), &kms::DeleteAlias { alias: alias("payroll") }).await.unwrap();
    other.create_alias(&scene.root(), &scene.other_key, &alias("payroll")).await;
    other.shut_down().await;
    assert_eq!(scene.findings().await, Vec::<String>::new());
    scene.edit(|connection| put(connection, &old));
    let expected = format!("{} was replaced: its content is not what the log tells of version {}", old.name(), old.version);
    assert_eq!(scene.findings().await, [expected]);
}

#[tokio::test]
async fn an_older_content_with_the_newest_version_does_not_open() {
    let scene = Scene::new().await;
    let id = Scene::id_of(&scene.key);
    let old = scene.edit(|connection| row_of(connection, "key", &id)).unwrap();
    let node = scene.serve().await;
    node.service.perform(&node.again(&scene.root()), &kms::DisableKey { key: by_arn(&scene.key) }).await.unwrap();
    node.shut_down().await;
    scene.edit(|connection| put(connection, &Row { version: old.version + 1, owner: "Disabled".to_owned(), ..old.clone() }));
    let node = scene.serve().await;
    assert_eq!(kind_of(node.encrypt(&scene.root(), &scene.key).await), Kind::Internal);
    let findings = node.service.verify_store().await.unwrap().findings;
    assert!(findings.iter().any(|finding| finding.starts_with(&format!("{} was replaced", old.name()))), "{findings:?}");
    assert!(findings.iter().any(|finding| finding.starts_with(&format!("{} does not open", old.name()))), "{findings:?}");
}

#[tokio::test]
async fn a_deleted_record_is_missed_and_one_that_is_back_is_found() {
    let scene = Scene::new().await;
    for row in scene.edit(rows).into_iter().filter(|row| !matches!(row.kind.as_str(), "last-use" | "node")) {
        // Without its account key a deployment is not served at all.
        if row.kind == "account-key" && row.account == 0 {
            continue;
        }
        scene.edit(|connection| remove(connection, &row));
        let findings = scene.findings().await;
        assert!(findings.iter().any(|finding| finding.starts_with(&format!("{} is missing", row.name()))), "{findings:?}");
        scene.edit(|connection| put(connection, &row));
    }
    let id = scene.user.access_key.to_string();
    let credential = scene.edit(|connection| row_of(connection, "access-key", &id)).unwrap();
    let node = scene.serve().await;
    let delete = admin::DeleteAccessKey { account: None, id: scene.user.access_key.clone() };
    node.service.perform(&node.again(&scene.root()), &delete).await.unwrap();
    node.shut_down().await;
    scene.edit(|connection| put(connection, &credential));
    let findings = scene.findings().await;
    assert_eq!(findings, [format!("{} was deleted (version 1), but is in the store again", credential.name())]);
}

#[tokio::test]
async fn a_record_that_no_log_tells_of_is_found() {
    let scene = Scene::new().await;
    let key = scene.edit(|connection| row_of(connection, "key", &Scene::id_of(&scene.key))).unwrap();
    let invented = Row { id: format!("{}/{}", region(), uuid::Uuid::new_v4()), ..key };
    scene.edit(|connection| put(connection, &invented));
    let findings = scene.findings().await;
    assert!(
        findings.iter().any(|finding| finding.starts_with(&format!("{} is in the store, but no log", invented.name()))),
        "{findings:?}"
    );
}

#[tokio::test]
async fn account_keys_cannot_be_exchanged() {
    let scene = Scene::new().await;
    let keys: Vec<Row> = scene.edit(rows).into_iter().filter(|row| row.kind == "account-key" && row.account != 0).collect();
    let [one, other] = keys.as_slice() else { panic!("{keys:?}") };
    scene.edit(|connection| {
        put(connection, &Row { sealed: other.sealed.clone(), ..one.clone() })?;
        put(connection, &Row { sealed: one.sealed.clone(), ..other.clone() })
    });
    let node = scene.serve().await;
    for caller in [&scene.root(), &scene.stranger] {
        let refusal = node.service.perform(&node.again(caller), &crate::common::create_key(None)).await.err().unwrap();
        assert_eq!(refusal.kind, Kind::Internal, "{refusal}");
        let log = node.log().await;
        let entry = &log.last().unwrap().json;
        let told = entry["additionalEventData"]["reason"].as_str().unwrap();
        assert!(told.contains(&format!("account key of account {}", caller.identity.account)), "the log names it: {entry}");
    }
    let findings = node.service.verify_store().await.unwrap().findings;
    for row in [one, other] {
        assert!(findings.iter().any(|finding| finding.starts_with(&row.name())), "{findings:?}");
    }
}

#[tokio::test]
async fn one_changed_record_does_not_keep_other_keys_from_their_time() {
    let scene = Scene::new().await;
    let node = scene.serve().await;
    for key in [&scene.key, &scene.other_key] {
        let schedule = kms::ScheduleKeyDeletion { key: by_arn(key), window_days: 7 };
        node.service.perform(&node.again(&scene.root()), &schedule).await.unwrap();
    }
    node.shut_down().await;
    let id = Scene::id_of(&scene.key);
    let mut row = scene.edit(|connection| row_of(connection, "key", &id)).unwrap();
    row.sealed[40] ^= 1;
    // The first that the worker meets.
    row.due = Some(0);
    scene.edit(|connection| put(connection, &row));
    scene.deployment.clock.advance_days(7);
    let node = scene.serve().await;
    assert_eq!(node.service.run_due_work().await.unwrap(), 1);
    assert_eq!(kind_of(node.describe(&scene.root(), &scene.other_key).await), Kind::NotFound);
    assert_eq!(node.store.count(RecordKind::Key, None).await.unwrap(), 1, "what does not open is not deleted either");
}

async fn bundles(node: &Node) -> Vec<StoredBundle> {
    let mut found = Vec::new();
    let mut next = 0;
    loop {
        let page = node.store.bundles(&node.name, next, 100).await.unwrap();
        let Some(last) = page.last() else { return found };
        next = last.first + u64::from(last.count);
        found.extend(page.into_iter().map(|bundle| StoredBundle {
            first: bundle.first,
            count: bundle.count.into(),
            data: bundle.data.to_vec(),
            checkpoint: bundle.checkpoint,
        }));
    }
}

/// What the verification of the audit log says, given checkpoints that were kept elsewhere and the head that the store keeps.
async fn audit_report(scene: &Scene, node: &Node, kept: &[String]) -> Report {
    let key: VerifierKey = scene.deployment.verifier_key.parse().unwrap();
    let head = node.store.log_head(NODE).await.unwrap().map_or(Head::Missing, |head| Head::Stored(head.checkpoint));
    let old_checkpoints = kept.iter().cloned().map(|text| OldCheckpoint { name: "kept".to_owned(), text }).collect();
    let stored = bundles(node).await;
    verify(&mut stored.as_slice(), &key, &Checks { every_signature: true, old_checkpoints, head }).unwrap()
}

async fn checkpoint(scene: &Scene) -> String {
    let node = scene.serve().await;
    let head = node.store.log_head(NODE).await.unwrap().unwrap();
    node.store.close();
    head.checkpoint
}

#[tokio::test]
async fn to_hide_a_change_the_log_must_be_changed_and_that_shows() {
    let scene = Scene::new().await;
    let id = Scene::id_of(&scene.key);
    let old = scene.edit(|connection| row_of(connection, "key", &id)).unwrap();
    let node = scene.serve().await;
    node.service.perform(&node.again(&scene.root()), &kms::DisableKey { key: by_arn(&scene.key) }).await.unwrap();
    node.shut_down().await;
    scene.edit(|connection| put(connection, &old));
    // The entry that tells of the newer version is made to tell of nothing.
    let altered = scene.edit(|connection| {
        let last: i64 = connection.query_row("SELECT MAX(first) FROM audit_bundles", [], |row| row.get(0))?;
        let data: Vec<u8> = connection.query_row("SELECT data FROM audit_bundles WHERE first = ?", [last], |row| row.get(0))?;
        let (needle, other) = (&b"\"changes\""[..], &b"\"changez\""[..]);
        let place = data.windows(needle.len()).position(|window| window == needle).unwrap();
        let changed = [&data[..place], other, &data[place + needle.len()..]].concat();
        connection.execute("UPDATE audit_bundles SET data = ? WHERE first = ?", params![changed, last])?;
        Ok(u64::try_from(last).unwrap())
    });
    let node = scene.serve().await;
    let stored = node.service.verify_store().await.unwrap();
    let [finding] = stored.findings.as_slice() else { panic!("{stored}") };
    assert!(finding.starts_with(&format!("the log of node {NODE} is not sound, entry {altered}: altered")), "{stored}");
    let report = audit_report(&scene, &node, &[]).await;
    assert!(
        report.findings.iter().any(|finding| finding.problem == Problem::Altered && finding.entries == Some((altered, altered))),
        "{report}"
    );
}

/// The log of a node that never was tells whatever its inventor likes, at whatever time. It is not believed, and that it is there is found.
#[tokio::test]
async fn an_invented_log_hides_nothing() {
    let scene = Scene::new().await;
    let id = Scene::id_of(&scene.key);
    let old = scene.edit(|connection| row_of(connection, "key", &id)).unwrap();
    let node = scene.serve().await;
    node.service.perform(&node.again(&scene.root()), &kms::DisableKey { key: by_arn(&scene.key) }).await.unwrap();
    node.shut_down().await;
    scene.edit(|connection| put(connection, &old));
    let rolled_back = format!("{} is at version {}; the log has it at version {}", old.name(), old.version, old.version + 1);
    assert_eq!(scene.findings().await, std::slice::from_ref(&rolled_back));

    let told = serde_json::json!({"claviger": {"timeMs": 9_000_000_000_000_000_i64, "changes": [{
        "account": account(), "id": id, "kind": "key", "version": old.version,
        "sha256": hex::encode(claviger_audit::entry::ChangeDigest::of_sealed(&old.sealed)),
    }]}});
    let entry = claviger_audit::Entry::from_parts(told.to_string().into_bytes().into(), claviger_audit::Hash([0; 32]));
    let data = claviger_audit::bundle::encode(&[entry]).unwrap();
    let head = checkpoint(&scene).await;
    for name in ["aa", "zz"] {
        let no_such = format!(
            "there is a log of \"{name}\", but this deployment has no such node: it was put in from outside, and is not believed"
        );
        // With a head that nobody signed, with one that is another log's, and with none.
        for head in [Some(""), Some(head.as_str()), None] {
            scene.edit(|connection| {
                connection.execute("INSERT INTO audit_bundles VALUES (?, 0, 1, '', ?)", params![name, data])?;
                match head {
                    Some(head) => connection.execute("INSERT INTO audit_heads VALUES (?, 1, ?, x'')", params![name, head]),
                    None => Ok(0),
                }
            });
            let mut expected = vec![rolled_back.clone(), no_such.clone()];
            expected.sort();
            assert_eq!(scene.findings().await, expected, "{name}, {head:?}");
            scene.edit(|connection| {
                connection.execute("DELETE FROM audit_bundles WHERE node = ?", [name])?;
                connection.execute("DELETE FROM audit_heads WHERE node = ?", [name])
            });
        }
    }
    // Put at the end of a log that there is, it does not lead to a root that was signed.
    let size = scene.edit(|connection| {
        let size: i64 = connection.query_row("SELECT size FROM audit_heads", [], |row| row.get(0))?;
        connection.execute("INSERT INTO audit_bundles VALUES (?, ?, 1, '', ?)", params![NODE, size, data])?;
        Ok(size)
    });
    let findings = scene.findings().await;
    assert!(
        findings.iter().all(|finding| finding.contains(&format!("log of node {NODE} is not sound, entry {size}:"))),
        "{findings:?}"
    );
    assert!(
        findings.iter().any(|finding| finding.ends_with("the content does not fit the leaf hash that was stored for it")),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_log_that_was_taken_away_or_cut_is_found() {
    let scene = Scene::new().await;
    let before = checkpoint(&scene).await;
    let node = scene.serve().await;
    node.service.confirm_end_of_log().await.expect("nothing was cut off yet");
    node.store.close();
    // The newest entries cut off, and the head left: the head speaks of more than there is.
    scene.edit(|connection| {
        connection.execute("DELETE FROM audit_bundles WHERE first = (SELECT MAX(first) FROM audit_bundles)", [])
    });
    let node = scene.serve().await;
    let refusal = node.service.confirm_end_of_log().await.expect_err("a server does not go on behind a gap");
    assert!(refusal.detail.contains("were taken away"), "{refusal}");
    let report = audit_report(&scene, &node, &[]).await;
    assert!(report.findings.iter().any(|finding| matches!(finding.problem, Problem::Shorter { .. })), "{report}");
    let report = audit_report(&scene, &node, &[before]).await;
    assert!(!report.is_sound());
    let findings = node.service.verify_store().await.unwrap().findings;
    assert!(
        findings.iter().any(|finding| finding.contains("is not sound: the old checkpoint the head in the store speaks of")),
        "{findings:?}"
    );
    // Taken away altogether beside a node that runs.
    scene.edit(|connection| connection.execute_batch("DELETE FROM audit_bundles; DELETE FROM audit_heads"));
    let findings = node.service.verify_store().await.unwrap().findings;
    for what in ["the store keeps no head for it", "it has no entries"] {
        assert!(
            findings.iter().any(|finding| finding.starts_with("the log of node node-1 ") && finding.contains(what)),
            "{findings:?}"
        );
    }
    node.store.close();

    // All of it gone, head included: nothing is served.
    scene.edit(|connection| connection.execute_batch("DELETE FROM audit_bundles; DELETE FROM audit_heads"));
    let store = scene.deployment.store();
    let port = Arc::clone(&store) as Arc<dyn Store>;
    let refused = scene.deployment.serve_through(store, port, Settings::for_node(NODE)).await;
    let refusal = refused.err().expect("a node without its log does not serve");
    assert!(refusal.detail.contains("log of node node-1 is missing"), "{refusal}");
}

#[tokio::test]
async fn a_rewound_head_cannot_fork_the_log() {
    let scene = Scene::new().await;
    let head = |connection: &Connection| {
        connection.query_row("SELECT size, checkpoint, frontier FROM audit_heads", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
        })
    };
    let (size, note, frontier) = scene.edit(head);
    let node = scene.serve().await;
    node.encrypt(&scene.root(), &scene.key).await.unwrap();
    node.shut_down().await;
    scene.edit(|connection| {
        connection.execute("UPDATE audit_heads SET size = ?, checkpoint = ?, frontier = ?", params![size, note, frontier])
    });
    let node = scene.serve().await;
    let refused = node.encrypt(&scene.root(), &scene.key).await;
    assert_eq!(kind_of(refused), Kind::Internal, "there is a bundle where the next one would have to go");
    node.store.close();
    // A head that was made up is not even believed.
    scene.edit(|connection| connection.execute("UPDATE audit_heads SET size = size + 1", []));
    let store = scene.deployment.store();
    let port = Arc::clone(&store) as Arc<dyn Store>;
    let refused = scene.deployment.serve_through(store, port, Settings::for_node(NODE)).await;
    assert_eq!(kind_of(refused.map(drop)), Kind::Internal);
}

#[tokio::test]
async fn a_store_with_another_identity_is_not_served() {
    let scene = Scene::new().await;
    let changed = uuid::Uuid::new_v4().to_string();
    scene.edit(|connection| connection.execute("UPDATE facts SET value = ? WHERE name = 'deployment'", [changed]));
    let store = scene.deployment.store();
    let port = Arc::clone(&store) as Arc<dyn Store>;
    let refused = scene.deployment.serve_through(store, port, Settings::for_node(NODE)).await;
    assert_eq!(kind_of(refused.map(drop)), Kind::Internal, "its log is that of another deployment");
}

/// The one thing that no look at the store can show: that all of it is an old copy. A checkpoint that was kept elsewhere shows it.
#[tokio::test]
async fn only_an_old_checkpoint_shows_that_the_whole_store_was_put_back() {
    let scene = Scene::new().await;
    let copy = std::fs::read(scene.deployment.path()).unwrap();
    let node = scene.serve().await;
    node.service.perform(&node.again(&scene.root()), &kms::DisableKey { key: by_arn(&scene.key) }).await.unwrap();
    node.shut_down().await;
    let kept = checkpoint(&scene).await;
    for leftover in ["-wal", "-shm"] {
        let path = scene.deployment.path().with_file_name(format!("store.sqlite{leftover}"));
        assert!(!path.exists() || std::fs::remove_file(&path).is_ok());
    }
    std::fs::write(scene.deployment.path(), copy).unwrap();

    let node = scene.serve().await;
    assert!(node.service.verify_store().await.unwrap().is_clean(), "accepted risk: nothing in the store tells");
    assert!(audit_report(&scene, &node, &[]).await.is_sound(), "accepted risk: nor does its log alone");
    let report = audit_report(&scene, &node, std::slice::from_ref(&kept)).await;
    assert!(report.findings.iter().any(|finding| matches!(finding.problem, Problem::Shorter { .. })), "{report}");
    // Grown past that size again, it is another history.
    node.encrypt(&scene.root(), &scene.key).await.unwrap();
    node.encrypt(&scene.root(), &scene.key).await.unwrap();
    let report = audit_report(&scene, &node, &[kept]).await;
    assert!(report.findings.iter().any(|finding| matches!(finding.problem, Problem::NotAPrefix { .. })), "{report}");
}

/// Whoever has kept an old head can cut the log back to it, and nothing in the store tells. A checkpoint that was kept elsewhere does.
#[tokio::test]
async fn accepted_risk_the_newest_entries_can_be_cut_off_with_their_head() {
    let scene = Scene::new().await;
    let head = |connection: &Connection| {
        connection.query_row("SELECT size, checkpoint, frontier FROM audit_heads", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
        })
    };
    let (size, note, frontier) = scene.edit(head);
    let node = scene.serve().await;
    node.decrypt(&scene.root(), &scene.ciphertext).await.unwrap();
    node.crash();
    let kept = checkpoint(&scene).await;
    scene.edit(|connection| {
        connection.execute("DELETE FROM audit_bundles WHERE first >= ?", [size])?;
        connection.execute("UPDATE audit_heads SET size = ?, checkpoint = ?, frontier = ?", params![size, note, frontier])
    });
    let node = scene.serve().await;
    assert!(node.service.verify_store().await.unwrap().is_clean(), "accepted risk: the use has never been");
    assert!(audit_report(&scene, &node, &[]).await.is_sound(), "accepted risk: nor does the log alone tell");
    let report = audit_report(&scene, &node, &[kept]).await;
    assert!(report.findings.iter().any(|finding| matches!(finding.problem, Problem::Shorter { .. })), "{report}");
}

/// What is derived, or decides nothing, is not protected against loss. SECURITY.md lists it.
#[tokio::test]
async fn accepted_risks_are_these() {
    let scene = Scene::new().await;
    let id = Scene::id_of(&scene.key);
    let used = scene.edit(|connection| row_of(connection, "last-use", &id)).expect("it has been used");
    // The last use of a key can be taken away or put back to an older one, once the log's reader is told to begin behind it.
    scene.edit(|connection| remove(connection, &used));
    scene.edit(|connection| connection.execute("UPDATE facts SET value = '1000000' WHERE name LIKE 'last-use-until:%'", []));
    // Clear columns of an account key, which nobody reads.
    scene.edit(|connection| {
        connection.execute(
            "UPDATE records SET scope = 'x', owner = 'y', due = 1, account_key_version = 9 WHERE kind = 'account-key'",
            [],
        )
    });
    // The epochs, which only say when to look again.
    scene.edit(|connection| connection.execute("UPDATE shards SET epoch = epoch + 7", []));
    assert_eq!(scene.findings().await, Vec::<String>::new());
    let node = scene.serve().await;
    let usage = kms::GetKeyLastUsage { key: by_arn(&scene.key) };
    assert!(node.service.perform(&node.again(&scene.root()), &usage).await.unwrap().last.is_none());
    node.decrypt(&scene.root(), &scene.ciphertext).await.unwrap();
    let left = scene.edit(|connection| {
        connection.query_row("SELECT 1 FROM records WHERE kind = 'last-use' LIMIT 1", [], |_| Ok(())).optional()
    });
    assert!(left.is_some(), "the others are still there");
}

/// A node that has only used keys, or whose every change another node has overtaken, can be made to never have been.
#[tokio::test]
async fn accepted_risk_a_whole_node_can_be_taken_away() {
    let scene = Scene::new().await;
    let store = scene.deployment.store();
    let [one, other] = Shared::between(&store);
    let one = scene.deployment.serve_through(Arc::clone(&store), one, Settings::for_node(NODE)).await.unwrap();
    let other = scene.deployment.serve_through(store, other, Settings::for_node("node-2")).await.unwrap();
    other.encrypt(&scene.root(), &scene.key).await.unwrap();
    let report = one.service.verify_store().await.unwrap();
    assert!(report.is_clean(), "{report}");
    one.store.close();
    scene.edit(|connection| {
        connection.execute_batch(
            "DELETE FROM audit_bundles WHERE node = 'node-2';
             DELETE FROM audit_heads WHERE node = 'node-2';
             DELETE FROM records WHERE kind = 'node' AND id = 'node-2'",
        )
    });
    assert_eq!(scene.findings().await, Vec::<String>::new());
    // One that made a change is missed by the record that it changed.
    let store = scene.deployment.store();
    let [one, other] = Shared::between(&store);
    let one = scene.deployment.serve_through(Arc::clone(&store), one, Settings::for_node(NODE)).await.unwrap();
    let other = scene.deployment.serve_through(store, other, Settings::for_node("node-2")).await.unwrap();
    other.service.perform(&other.again(&scene.root()), &kms::DisableKey { key: by_arn(&scene.key) }).await.unwrap();
    one.store.close();
    scene.edit(|connection| {
        connection.execute_batch("DELETE FROM audit_bundles WHERE node = 'node-2'; DELETE FROM audit_heads WHERE node = 'node-2'")
    });
    let findings = scene.findings().await;
    let id = Scene::id_of(&scene.key);
    assert!(findings.iter().any(|finding| finding.starts_with(&format!("key {id} "))), "{findings:?}");
    assert!(findings.iter().any(|finding| finding.starts_with("node node-2 ")), "{findings:?}");
}
