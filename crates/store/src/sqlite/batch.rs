//! One transaction: the commits that waited together, one audit bundle for all of them, one sync of the disk.

use rusqlite::{Connection, OptionalExtension, params};

use crate::group::{Part, answers, check_bundle, check_form, no_log, shards_in, shards_of, split_log};
use crate::sqlite::queue::Work;
use crate::sqlite::{rows, sqlite_error};
use crate::{Bundle, Change, Commit, Committed, Entry, Epochs, Expect, Record, RecordKey, Sequencer, Shard, StoreError, sql};

/// A transaction under way.
pub(super) struct Batch<'a> {
    connection: &'a Connection,
    sequencer: &'a mut Option<Box<dyn Sequencer>>,
    /// The entries of all commits that go through, in order.
    entries: Vec<Entry>,
    /// What became of each piece of work, in order.
    parts: Vec<Result<Part, StoreError>>,
    /// The shards that anything was changed in, one bit each.
    shards: u64,
}

/// A transaction that is durable.
pub(super) struct Done {
    parts: Vec<Result<Part, StoreError>>,
    epochs: Epochs,
    first_index: u64,
    /// How many audit entries it wrote.
    pub(super) entries: usize,
}

/// Does all of `work` in one transaction. When it fails nothing has been done, and the sequencer is where it was before.
pub(super) fn carry_out(
    connection: &Connection,
    sequencer: &mut Option<Box<dyn Sequencer>>,
    work: &mut [Work],
) -> Result<Done, StoreError> {
    let parts = Vec::with_capacity(work.len());
    let mut batch = Batch { connection, sequencer, entries: Vec::with_capacity(work.len()), parts, shards: 0 };
    run(connection, "BEGIN IMMEDIATE")?;
    match batch.fill_and_commit(work) {
        Ok((epochs, bundle)) => {
            let first_index = bundle.map_or(0, |bundle| bundle.first);
            if let (Some(sequencer), false) = (batch.sequencer.as_mut(), batch.entries.is_empty()) {
                sequencer.accept();
            }
            Ok(Done { parts: batch.parts, epochs, first_index, entries: batch.entries.len() })
        }
        Err(error) => {
            roll_back(connection);
            if let (Some(sequencer), false) = (batch.sequencer.as_mut(), batch.entries.is_empty()) {
                sequencer.discard();
            }
            Err(error)
        }
    }
}

impl Done {
    /// The answer to each piece of work, in order.
    pub(super) fn into_answers(self) -> impl Iterator<Item = Result<Committed, StoreError>> {
        answers(self.parts, self.epochs, self.first_index)
    }
}

impl Batch<'_> {
    fn fill_and_commit(&mut self, work: &mut [Work]) -> Result<(Epochs, Option<Bundle>), StoreError> {
        for work in work {
            let part = match work {
                Work::Commit { commit, .. } => self.take_commit(commit)?,
                Work::SetFact { name, value, .. } => {
                    execute(self.connection, sql::SET_FACT, params![&*name, &*value])?;
                    Ok(Part { shards: 0, first_entry: None })
                }
                #[cfg(any(test, feature = "contract"))]
                Work::LimitPages { pages, .. } => {
                    let set = self.connection.pragma_update_and_check(None, "max_page_count", *pages, |_| Ok(()));
                    set.map_err(|error| write_error(&error))?;
                    Ok(Part { shards: 0, first_entry: None })
                }
            };
            self.parts.push(part);
        }
        let mut epochs = [0; Shard::COUNT];
        for shard in shards_in(self.shards) {
            if let Some(epoch) = epochs.get_mut(shard.number()) {
                *epoch = bump(self.connection, shard)?;
            }
        }
        let bundle = if self.entries.is_empty() { None } else { Some(self.add_bundle()?) };
        run(self.connection, "COMMIT")?;
        Ok((epochs, bundle))
    }

    /// Carries out one commit. The outer error is of the whole transaction, the inner one of this commit alone, of which then
    /// nothing has been done.
    fn take_commit(&mut self, commit: &mut Commit) -> Result<Result<Part, StoreError>, StoreError> {
        if !commit.entries.is_empty() && self.sequencer.is_none() {
            return Ok(Err(no_log()));
        }
        if let Err(error) = check_form(&commit.changes) {
            return Ok(Err(error));
        }
        for change in &commit.changes {
            if !holds(self.connection, change)? {
                return Ok(Err(StoreError::Conflict(change.key().clone())));
            }
        }
        for change in commit.changes.iter().filter(|change| change.writes()) {
            apply(self.connection, change)?;
        }
        let shards = shards_of(&commit.changes);
        self.shards |= shards;
        let first_entry = (!commit.entries.is_empty()).then_some(self.entries.len());
        self.entries.append(&mut commit.entries);
        Ok(Ok(Part { shards, first_entry }))
    }

    /// Has the entries put in their place in the log, and writes the bundle and the log's new head.
    fn add_bundle(&mut self) -> Result<Bundle, StoreError> {
        let sequencer = self.sequencer.as_mut().ok_or_else(no_log)?;
        let bundle = check_bundle(sequencer.sequence(&self.entries), self.entries.len())?;
        let first = column(bundle.first, "a log index")?;
        let size = column(bundle.first.saturating_add(u64::from(bundle.count)), "a log size")?;
        let (node, checkpoint, frontier) = (&bundle.node, &bundle.checkpoint, bundle.frontier.as_ref());
        let head = params![size, checkpoint, frontier, node, first];
        let mut moved = execute(self.connection, sql::MOVE_HEAD, head)?;
        if moved == 0 && bundle.first == 0 {
            moved = execute(self.connection, sql::FIRST_HEAD, params![node, size, checkpoint, frontier])?;
        }
        if moved != 1 {
            return Err(split_log(node, bundle.first));
        }
        execute(self.connection, sql::ADD_BUNDLE, params![node, first, bundle.count, checkpoint, bundle.data.as_ref()])?;
        Ok(bundle)
    }
}

/// Whether the record is as the change expects it.
fn holds(connection: &Connection, change: &Change) -> Result<bool, StoreError> {
    let RecordKey { account, kind, id } = change.key();
    let version = || {
        let mut statement = connection.prepare_cached(sql::VERSION)?;
        statement.query_row(params![kind.as_str(), id, rows::account_column(*account)], |row| row.get::<_, i64>(0)).optional()
    };
    let found = version().map_err(|error| write_error(&error))?;
    Ok(match change.expect() {
        Expect::Absent => found.is_none(),
        Expect::Version(version) => found.is_some() && found == i64::try_from(version).ok(),
    })
}

/// Writes a change whose expectation holds.
fn apply(connection: &Connection, change: &Change) -> Result<(), StoreError> {
    let RecordKey { account, kind, id } = change.key();
    let (kind, account) = (kind.as_str(), rows::account_column(*account));
    let written = match change {
        Change::Put { record, expect } => {
            let Record { version, account_key_version, scope, owner, due, sealed, .. } = record;
            let (version, due, sealed) = (column(*version, "a version")?, due.map(|due| due.0), sealed.as_ref());
            match expect {
                Expect::Absent => {
                    let row = params![kind, id, account, version, account_key_version, scope, owner, due, sealed];
                    execute(connection, sql::INSERT, row)?
                }
                Expect::Version(before) => {
                    let before = column(*before, "a version")?;
                    let row = params![version, account_key_version, scope, owner, due, sealed, kind, id, account, before];
                    execute(connection, sql::UPDATE, row)?
                }
            }
        }
        Change::Delete { version, .. } => {
            execute(connection, sql::DELETE, params![kind, id, account, column(*version, "a version")?])?
        }
        Change::Check { .. } => return Ok(()),
    };
    // The expectation was looked at in this very transaction: a row that is then not there is not where its index says.
    if written == 1 { Ok(()) } else { Err(StoreError::Corrupt(format!("{} could be read but not changed", change.key()))) }
}

/// Moves the epoch of a shard, and says where to.
fn bump(connection: &Connection, shard: Shard) -> Result<u64, StoreError> {
    let bump =
        || connection.prepare_cached(sql::BUMP_EPOCH)?.query_row(params![shard.number() as i64], |row| row.get::<_, i64>(0));
    let epoch = bump().map_err(|error| write_error(&error))?;
    u64::try_from(epoch).map_err(|_| StoreError::Corrupt(format!("the epoch of shard {} is {epoch}", shard.number())))
}

fn column(number: u64, what: &str) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Invalid(format!("{what} would be {number}")))
}

fn run(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    execute(connection, sql, []).map(|_| ())
}

fn execute(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<usize, StoreError> {
    let execute = || connection.prepare_cached(sql)?.execute(params);
    execute().map_err(|error| write_error(&error))
}

fn write_error(error: &rusqlite::Error) -> StoreError {
    sqlite_error("writing to the store", error)
}

/// Undoes what the transaction did, unless SQLite has already done so.
fn roll_back(connection: &Connection) {
    if connection.is_autocommit() {
        return;
    }
    if let Err(error) = run(connection, "ROLLBACK") {
        // The next BEGIN then fails too, so that nothing is ever acknowledged on top of this.
        tracing::error!(%error, "a transaction of the store could not be rolled back");
    }
}
