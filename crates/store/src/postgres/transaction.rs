//! One transaction: the commits that waited together, one audit bundle for all of them.
//!
//! What changes records takes three round trips: the records are locked and looked at, everything is written, it is committed. What only adds to
//! the log, as each use of a key does, takes one.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use crate::group::{self, Part, check_bundle, no_log, shards_in, split_log};
use crate::postgres::connections::{ANSWER, silent, unconfirmed};
use crate::postgres::era;
use crate::postgres::errors::{Remedy, database_error, remedy};
use crate::postgres::plan::{Plan, Versions, looked_at};
use crate::postgres::rows::{account_column, cell, column, head, unsigned};
use crate::postgres::{statements, writer::Work};
use crate::{Bundle, Committed, Entry, Epochs, Record, RecordKey, RecordKind, Sequencer, Shard, StoreError, sql};

const DOING: &str = "writing to the store";

/// The statements of a connection, prepared.
pub(super) struct Statements {
    lock: Statement,
    insert: Statement,
    update: Statement,
    delete: Statement,
    bump: Statement,
    set_fact: Statement,
    move_head: Statement,
    first_head: Statement,
    add_bundle: Statement,
    extend_log: Statement,
    lock_head: Statement,
    lock_whole: Statement,
}

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            lock: client.prepare(statements::LOCK).await?,
            insert: client.prepare(statements::INSERT).await?,
            update: client.prepare(statements::UPDATE).await?,
            delete: client.prepare(statements::DELETE).await?,
            bump: client.prepare(statements::BUMP_EPOCHS).await?,
            set_fact: client.prepare(sql::SET_FACT).await?,
            move_head: client.prepare(sql::MOVE_HEAD).await?,
            first_head: client.prepare(sql::FIRST_HEAD).await?,
            add_bundle: client.prepare(sql::ADD_BUNDLE).await?,
            extend_log: client.prepare(statements::EXTEND_LOG).await?,
            lock_head: client.prepare(statements::LOCK_HEAD).await?,
            lock_whole: client.prepare(statements::LOCK_WHOLE).await?,
        })
    }
}

/// How a transaction failed.
pub(super) enum Failure {
    /// Nothing of it was done; it may go well on the same connection.
    Again(StoreError),
    /// Nothing of it was done; it may go well on another connection.
    Elsewhere(StoreError),
    /// Whether it was done is to be found out, on another connection.
    InDoubt(StoreError, Box<Doubt>),
    /// Nothing of it was done, and it would fail again.
    ForGood(StoreError),
    /// Nothing of it was done: the log in the store does not end where the sequencer believes.
    Split(StoreError),
}

impl Failure {
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Again(error) | Self::Elsewhere(error) | Self::InDoubt(error, _) | Self::ForGood(error) | Self::Split(error) => {
                error
            }
        }
    }
}

/// What a transaction makes of each record: its version and content, or that it is gone.
type Written = Vec<(RecordKey, Option<(u64, Vec<u8>)>)>;

/// A transaction of which nobody knows whether it was done: what it would have done, by which it can be recognised.
pub(super) struct Doubt {
    /// The bundle that it added to the log.
    bundle: Option<Bundle>,
    /// The entries of the bundle.
    entries: Vec<Entry>,
    written: Written,
    pub(super) done: Done,
}

/// A transaction that is durable.
pub(super) struct Done {
    parts: Vec<Result<Part, StoreError>>,
    epochs: Epochs,
    first_index: u64,
    /// How many audit entries it wrote.
    pub(super) entries: usize,
}

impl Done {
    /// The answer to each piece of work, in order, in this era.
    pub(super) fn into_answers(mut self, era: u64) -> impl Iterator<Item = Result<Committed, StoreError>> {
        for epoch in self.epochs.iter_mut().filter(|epoch| **epoch > 0) {
            // What cannot be told is as good as the newest that can.
            *epoch = era::told(era, *epoch).unwrap_or(u64::MAX);
        }
        group::answers(self.parts, self.epochs, self.first_index)
    }
}

/// Begins an era: counts it, and says how far. Durable before it is answered.
pub(super) async fn begin_era(client: &Client, statements: &Statements) -> Result<u64, StoreError> {
    let asked = timeout(ANSWER, client.query(&statements.bump, &[&[era::ROW].as_slice()])).await;
    let rows = asked.map_err(|_| unconfirmed(DOING, ANSWER))?.map_err(|error| database_error(DOING, &error))?;
    match rows.first() {
        Some(row) => unsigned(cell(row, 1)?, "the count of eras"),
        None => Err(StoreError::Corrupt("the eras could not be counted".into())),
    }
}

/// Does all of `work` in one transaction. Unless it is in doubt, the sequencer is where the log in the store is.
pub(super) async fn carry_out(
    client: &Client,
    statements: &Statements,
    sequencer: &mut Option<Box<dyn Sequencer>>,
    work: &[Work],
) -> Result<Done, Failure> {
    let mut transaction = Transaction { client, statements, begun: false };
    let result = transaction.run(sequencer, work).await;
    match &result {
        Ok(done) if done.entries > 0 => sequencer.iter_mut().for_each(|log| log.accept()),
        Ok(_) | Err(Failure::InDoubt(..)) => {}
        Err(failure) => {
            sequencer.iter_mut().for_each(|log| log.discard());
            if transaction.begun && !matches!(failure, Failure::Elsewhere(_)) {
                transaction.roll_back().await?;
            }
        }
    }
    result
}

struct Transaction<'a> {
    client: &'a Client,
    statements: &'a Statements,
    begun: bool,
}

impl Transaction<'_> {
    async fn run(&mut self, sequencer: &mut Option<Box<dyn Sequencer>>, work: &[Work]) -> Result<Done, Failure> {
        let looked_at = looked_at(work.iter().filter_map(Work::commit));
        let facts: BTreeMap<&str, &str> = work.iter().filter_map(Work::fact).collect();
        let found = if looked_at.is_empty() { Versions::new() } else { self.lock(&looked_at).await? };
        let empty = crate::Commit::default();
        let commits = work.iter().map(|work| work.commit().unwrap_or(&empty));
        let plan = Plan::of(commits, &found, sequencer.is_some());
        let bundle = match sequencer {
            _ if plan.entries.is_empty() => None,
            Some(log) => Some(check_bundle(log.sequence(&plan.entries), plan.entries.len()).map_err(Failure::ForGood)?),
            None => return Err(Failure::ForGood(no_log())),
        };
        match &bundle {
            // Nothing was looked at, so that nothing has to stay as it was. No log has its first entry more than once.
            Some(bundle) if !self.begun && facts.is_empty() && bundle.first > 0 => {
                return self.extend_log(bundle.clone(), plan).await;
            }
            None if !plan.writes() && facts.is_empty() => {
                if self.begun {
                    self.roll_back().await?;
                }
                return Ok(done(plan, [0; Shard::COUNT], None));
            }
            _ => {}
        }
        if !self.begun {
            self.begin().await?;
        }
        let epochs = self.write(&plan, &facts, bundle.as_ref()).await?;
        self.commit(plan, epochs, bundle).await
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        self.begun = true;
        answered(self.client.batch_execute("BEGIN")).await
    }

    async fn roll_back(&mut self) -> Result<(), Failure> {
        self.begun = false;
        match answered(self.client.batch_execute("ROLLBACK")).await {
            Ok(()) => Ok(()),
            // A connection on which this fails has no transaction that lives.
            Err(failure) => Err(Failure::Elsewhere(failure.into_error())),
        }
    }

    /// Begins, and takes the records for itself.
    async fn lock(&mut self, keys: &[RecordKey]) -> Result<Versions, Failure> {
        self.begun = true;
        let (kinds, ids, accounts) = columns(keys);
        let parameters: [&(dyn ToSql + Sync); 3] = [&kinds, &ids, &accounts];
        let (begun, rows) = tokio::join!(
            biased;
            answered(self.client.batch_execute("BEGIN")),
            answered(self.client.query(&self.statements.lock, &parameters)),
        );
        begun?;
        rows?.iter().map(version).collect::<Result<Versions, StoreError>>().map_err(Failure::ForGood)
    }

    /// Writes everything, in one round trip, and says where the epochs have gone.
    async fn write(&self, plan: &Plan, facts: &BTreeMap<&str, &str>, bundle: Option<&Bundle>) -> Result<Epochs, Failure> {
        let (inserted, updated, deleted, facts, log, epochs) = tokio::join!(
            biased;
            self.insert(&plan.inserts),
            self.update(&plan.updates),
            self.delete(&plan.deletes),
            self.set_facts(facts),
            self.add_bundle(bundle),
            self.bump(plan.shards),
        );
        // The first failure is the reason of those behind it.
        for done in [inserted, updated, deleted, facts, log] {
            done?;
        }
        epochs
    }

    async fn insert(&self, records: &[Record]) -> Result<(), Failure> {
        if records.is_empty() {
            return Ok(());
        }
        let rows = Rows::of(records.iter()).map_err(Failure::ForGood)?;
        self.execute(&self.statements.insert, &rows.parameters(), records.len(), "inserted").await
    }

    async fn update(&self, updates: &[(u64, Record)]) -> Result<(), Failure> {
        if updates.is_empty() {
            return Ok(());
        }
        let rows = Rows::of(updates.iter().map(|(_, record)| record)).map_err(Failure::ForGood)?;
        let before = versions(updates.iter().map(|(before, _)| *before)).map_err(Failure::ForGood)?;
        let mut parameters = rows.parameters();
        parameters.push(&before);
        self.execute(&self.statements.update, &parameters, updates.len(), "changed").await
    }

    async fn delete(&self, deletes: &[(u64, RecordKey)]) -> Result<(), Failure> {
        if deletes.is_empty() {
            return Ok(());
        }
        let keys: Vec<RecordKey> = deletes.iter().map(|(_, key)| key.clone()).collect();
        let (kinds, ids, accounts) = columns(&keys);
        let before = versions(deletes.iter().map(|(before, _)| *before)).map_err(Failure::ForGood)?;
        let parameters: [&(dyn ToSql + Sync); 4] = [&kinds, &ids, &accounts, &before];
        self.execute(&self.statements.delete, &parameters, deletes.len(), "deleted").await
    }

    async fn set_facts(&self, facts: &BTreeMap<&str, &str>) -> Result<(), Failure> {
        for (name, value) in facts {
            self.execute(&self.statements.set_fact, &[name, value], 1, "written").await?;
        }
        Ok(())
    }

    /// Writes a bundle and the log's new head, from where the log ends in the store.
    async fn add_bundle(&self, bundle: Option<&Bundle>) -> Result<(), Failure> {
        let Some(bundle) = bundle else { return Ok(()) };
        let place = Place::of(bundle).map_err(Failure::ForGood)?;
        let frontier = bundle.frontier.as_ref();
        let head: [&(dyn ToSql + Sync); 5] = [&place.end, &bundle.checkpoint, &frontier, &bundle.node, &place.first];
        let data = bundle.data.as_ref();
        let row: [&(dyn ToSql + Sync); 5] = [&bundle.node, &place.first, &place.count, &bundle.checkpoint, &data];
        let first_head: [&(dyn ToSql + Sync); 4] = [&bundle.node, &place.end, &bundle.checkpoint, &frontier];
        let head = async {
            match place.first {
                0 => answered(self.client.execute(&self.statements.first_head, &first_head)).await,
                _ => answered(self.client.execute(&self.statements.move_head, &head)).await,
            }
        };
        let (moved, added) = tokio::join!(biased; head, answered(self.client.execute(&self.statements.add_bundle, &row)));
        let split = || Failure::Split(split_log(&bundle.node, bundle.first));
        if moved? != 1 {
            return Err(split());
        }
        if added? == 1 { Ok(()) } else { Err(split()) }
    }

    async fn bump(&self, shards: u64) -> Result<Epochs, Failure> {
        let mut epochs = [0; Shard::COUNT];
        if shards == 0 {
            return Ok(epochs);
        }
        let numbers: Vec<i64> = shards_in(shards).map(|shard| shard.number() as i64).collect();
        let rows = answered(self.client.query(&self.statements.bump, &[&numbers])).await?;
        for row in &rows {
            let (shard, epoch) = epoch(row).map_err(Failure::ForGood)?;
            if let Some(known) = epochs.get_mut(shard) {
                *known = epoch;
            }
        }
        if rows.len() == numbers.len() {
            return Ok(epochs);
        }
        Err(Failure::ForGood(StoreError::Corrupt("the epochs of shards could not be moved".into())))
    }

    async fn execute(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
        rows: usize,
        what: &str,
    ) -> Result<(), Failure> {
        let written = answered(self.client.execute(statement, parameters)).await?;
        if usize::try_from(written) == Ok(rows) {
            return Ok(());
        }
        // They were looked at in this very transaction: what is then not there is not where its index says.
        Err(Failure::ForGood(StoreError::Corrupt(format!("of {rows} records that could be read only {written} could be {what}"))))
    }

    async fn commit(&mut self, plan: Plan, epochs: Epochs, bundle: Option<Bundle>) -> Result<Done, Failure> {
        let (written, entries) = (written(&plan), plan.entries.clone());
        let done = done(plan, epochs, bundle.as_ref());
        self.begun = false;
        let asked = timeout(ANSWER, self.client.batch_execute("COMMIT")).await;
        conclude(asked, Doubt { bundle, entries, written, done })
    }

    /// Adds a bundle to the log, in a transaction of its own.
    async fn extend_log(&self, bundle: Bundle, plan: Plan) -> Result<Done, Failure> {
        let place = Place::of(&bundle).map_err(Failure::ForGood)?;
        let (frontier, data) = (bundle.frontier.clone(), bundle.data.clone());
        let (frontier, data) = (frontier.as_ref(), data.as_ref());
        let (checkpoint, node) = (bundle.checkpoint.clone(), bundle.node.clone());
        let parameters: [&(dyn ToSql + Sync); 7] = [&place.end, &checkpoint, &frontier, &node, &place.first, &place.count, &data];
        let asked = timeout(ANSWER, self.client.execute(&self.statements.extend_log, &parameters)).await;
        let entries = plan.entries.clone();
        let done = done(plan, [0; Shard::COUNT], Some(&bundle));
        match asked {
            Ok(Ok(1)) => Ok(done),
            Ok(Ok(_)) => Err(Failure::Split(split_log(&bundle.node, bundle.first))),
            asked => {
                conclude(asked.map(|said| said.map(drop)), Doubt { bundle: Some(bundle), entries, written: Vec::new(), done })
            }
        }
    }
}

/// What came of a transaction that was told to commit.
fn conclude(
    asked: Result<Result<(), tokio_postgres::Error>, tokio::time::error::Elapsed>,
    doubt: Doubt,
) -> Result<Done, Failure> {
    let error = match asked {
        Ok(Ok(())) => return Ok(doubt.done),
        Err(_) => unconfirmed(DOING, ANSWER),
        Ok(Err(error)) => {
            let said = database_error(DOING, &error);
            match remedy(&error) {
                // The database has said itself that it did not commit.
                Remedy::Again => return Err(Failure::Again(said)),
                Remedy::None if error.as_db_error().is_some() => return Err(Failure::ForGood(said)),
                Remedy::None | Remedy::Elsewhere => said,
            }
        }
    };
    Err(Failure::InDoubt(error, Box::new(doubt)))
}

impl Doubt {
    /// Finds out whether the transaction was done. A transaction that is still under way somewhere is waited for. A statement that adds to the
    /// log by itself may not have been begun yet, and be done later: see [`Doubt::was_done_late`].
    ///
    /// What can be seen is not safe for that reason: a commit that was interrupted while it waited for its standby is seen by everybody,
    /// and lost with the primary. So what was done is answered for only after a write behind it, which waits for the standby as any other does.
    ///
    /// # Errors
    /// When the database cannot say now; or never, because somebody else has written this node's log.
    pub(super) async fn resolve(&self, client: &Client, statements: &Statements) -> Result<bool, Failure> {
        answered(client.batch_execute("BEGIN")).await?;
        let found = self.look(client, statements).await;
        answered(client.batch_execute("ROLLBACK")).await?;
        if let Ok(true) = found {
            begin_era(client, statements).await.map_err(Failure::Elsewhere)?;
        }
        found
    }

    /// Whether a transaction that was not there when one looked has been done since then: then the sequencer goes on behind it. Tells for each of its entries
    /// where it stands.
    pub(super) async fn was_done_late(
        &self,
        client: &Client,
        statements: &Statements,
        sequencer: &mut dyn Sequencer,
    ) -> Result<Option<HashMap<[u8; 32], u64>>, Failure> {
        let Some(bundle) = &self.bundle else { return Ok(None) };
        if !matches!(self.resolve(client, statements).await, Ok(true)) {
            return Ok(None);
        }
        let again = sequencer.sequence(&self.entries).map_err(|why| Failure::Split(StoreError::Unavailable(why)))?;
        if again.checkpoint != bundle.checkpoint {
            sequencer.discard();
            return Ok(None);
        }
        sequencer.accept();
        Ok(Some(self.entries.iter().map(|entry| entry.leaf).zip(bundle.first..).collect()))
    }

    async fn look(&self, client: &Client, statements: &Statements) -> Result<bool, Failure> {
        let Some(bundle) = &self.bundle else { return self.look_at_records(client, statements).await };
        let row = answered(client.query_opt(&statements.lock_head, &[&bundle.node])).await?;
        let head = row.as_ref().map(head).transpose().map_err(Failure::ForGood)?;
        let end = bundle.first + u64::from(bundle.count);
        match head {
            Some(head) if head.size == end && head.checkpoint == bundle.checkpoint => Ok(true),
            Some(head) if head.size == bundle.first => Ok(false),
            None if bundle.first == 0 => Ok(false),
            _ => Err(Failure::Split(split_log(&bundle.node, bundle.first))),
        }
    }

    /// Content is sealed with randomness, so that what is equal is what was written.
    async fn look_at_records(&self, client: &Client, statements: &Statements) -> Result<bool, Failure> {
        let keys: Vec<RecordKey> = self.written.iter().map(|(key, _)| key.clone()).collect();
        let (kinds, ids, accounts) = columns(&keys);
        let parameters: [&(dyn ToSql + Sync); 3] = [&kinds, &ids, &accounts];
        let rows = answered(client.query(&statements.lock_whole, &parameters)).await?;
        let mut found = BTreeMap::new();
        for row in &rows {
            let (key, version) = version(row).map_err(Failure::ForGood)?;
            let sealed: &[u8] = cell(row, 4).map_err(Failure::ForGood)?;
            found.insert(key, (version, sealed.to_vec()));
        }
        // Facts alone are written again: that changes nothing.
        Ok(!self.written.is_empty() && self.written.iter().all(|(key, record)| found.get(key) == record.as_ref()))
    }
}

/// The answer of the database, if it comes in time.
async fn answered<T>(asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
    match timeout(ANSWER, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            let said = database_error(DOING, &error);
            Err(match remedy(&error) {
                Remedy::Again => Failure::Again(said),
                Remedy::Elsewhere => Failure::Elsewhere(said),
                Remedy::None => Failure::ForGood(said),
            })
        }
        Err(_) => Err(Failure::Elsewhere(silent(DOING, ANSWER))),
    }
}

fn done(plan: Plan, epochs: Epochs, bundle: Option<&Bundle>) -> Done {
    let entries = plan.entries.len();
    Done { parts: plan.parts, epochs, first_index: bundle.map_or(0, |bundle| bundle.first), entries }
}

fn written(plan: &Plan) -> Written {
    let put = plan.inserts.iter().chain(plan.updates.iter().map(|(_, record)| record));
    let put = put.map(|record| (record.key.clone(), Some((record.version, record.sealed.to_vec()))));
    put.chain(plan.deletes.iter().map(|(_, key)| (key.clone(), None))).collect()
}

/// Where a bundle stands in its log, as the columns hold it.
struct Place {
    first: i64,
    end: i64,
    count: i64,
}

impl Place {
    fn of(bundle: &Bundle) -> Result<Self, StoreError> {
        Ok(Self {
            first: column(bundle.first, "a log index")?,
            end: column(bundle.first.saturating_add(u64::from(bundle.count)), "a log size")?,
            count: i64::from(bundle.count),
        })
    }
}

/// Records, column by column.
struct Rows<'a> {
    kinds: Vec<&'static str>,
    ids: Vec<&'a str>,
    accounts: Vec<i64>,
    versions: Vec<i64>,
    account_key_versions: Vec<i64>,
    scopes: Vec<&'a str>,
    owners: Vec<&'a str>,
    due: Vec<Option<i64>>,
    sealed: Vec<&'a [u8]>,
}

impl<'a> Rows<'a> {
    fn of(records: impl Iterator<Item = &'a Record> + Clone) -> Result<Self, StoreError> {
        Ok(Self {
            kinds: records.clone().map(|record| record.key.kind.as_str()).collect(),
            ids: records.clone().map(|record| record.key.id.as_str()).collect(),
            accounts: records.clone().map(|record| account_column(record.key.account)).collect(),
            versions: versions(records.clone().map(|record| record.version))?,
            account_key_versions: records.clone().map(|record| i64::from(record.account_key_version)).collect(),
            scopes: records.clone().map(|record| record.scope.as_str()).collect(),
            owners: records.clone().map(|record| record.owner.as_str()).collect(),
            due: records.clone().map(|record| record.due.map(|due| due.0)).collect(),
            sealed: records.map(|record| record.sealed.as_ref()).collect(),
        })
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.kinds,
            &self.ids,
            &self.accounts,
            &self.versions,
            &self.account_key_versions,
            &self.scopes,
            &self.owners,
            &self.due,
            &self.sealed,
        ]
    }
}

fn columns(keys: &[RecordKey]) -> (Vec<&'static str>, Vec<&str>, Vec<i64>) {
    let kinds = keys.iter().map(|key| key.kind.as_str()).collect();
    let ids = keys.iter().map(|key| key.id.as_str()).collect();
    (kinds, ids, keys.iter().map(|key| account_column(key.account)).collect())
}

fn versions(versions: impl Iterator<Item = u64>) -> Result<Vec<i64>, StoreError> {
    versions.map(|version| column(version, "a version")).collect()
}

/// The first columns of a row of [`statements::LOCK`].
fn version(row: &Row) -> Result<(RecordKey, u64), StoreError> {
    let (kind, id, account): (&str, String, i64) = (cell(row, 0)?, cell(row, 1)?, cell(row, 2)?);
    let bad = || StoreError::Corrupt(format!("the record ({kind}, {id}, {account}) is not one that this program writes"));
    let kind = RecordKind::parse(kind).ok_or_else(bad)?;
    let account = u64::try_from(account).ok().and_then(claviger_domain::AccountId::from_number).ok_or_else(bad)?;
    let version = unsigned(cell(row, 3)?, "the version of a record")?;
    Ok((RecordKey { account, kind, id }, version))
}

/// A shard and its epoch.
pub(super) fn epoch(row: &Row) -> Result<(usize, u64), StoreError> {
    let (shard, epoch): (i64, i64) = (cell(row, 0)?, cell(row, 1)?);
    let number = usize::try_from(shard).ok().filter(|number| *number < Shard::COUNT);
    let number = number.ok_or_else(|| StoreError::Corrupt(format!("there is an epoch for shard {shard}")))?;
    Ok((number, unsigned(epoch, "an epoch")?))
}

/// How long one waits before a transaction that failed is tried again.
pub(super) const fn pause(attempt: u32) -> Duration {
    Duration::from_millis(if attempt < 6 { 2 << attempt } else { 100 })
}
