//! Every statement, in one place, in the subset of SQL that SQLite, PostgreSQL, CockroachDB and YugabyteDB share.
//!
//! Two rules, both tested below: placeholders are `$1`, `$2`, ... and each statement first uses them in that order (SQLite
//! numbers `$n` by first appearance); texts are compared by their bytes (a PostgreSQL database needs the collation `C`).

/// The schema, one migration per version, each run in a transaction of its own. Append; never edit.
///
/// `BYTEA` is PostgreSQL's name; SQLite takes any type name and keeps bytes as bytes.
pub(crate) const MIGRATIONS: &[&str] = &["
    CREATE TABLE schema (version BIGINT NOT NULL);
    INSERT INTO schema (version) VALUES (0);
    CREATE TABLE records (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        account BIGINT NOT NULL,
        version BIGINT NOT NULL,
        account_key_version BIGINT NOT NULL,
        scope TEXT NOT NULL,
        owner TEXT NOT NULL,
        due BIGINT,
        sealed BYTEA NOT NULL,
        PRIMARY KEY (kind, id, account)
    );
    CREATE INDEX records_by_account ON records (kind, account, id);
    CREATE INDEX records_by_scope ON records (kind, account, scope, id);
    CREATE INDEX records_by_owner ON records (kind, owner, account, id);
    CREATE INDEX records_by_due ON records (kind, due, id, account) WHERE due IS NOT NULL;
    CREATE TABLE shards (
        shard BIGINT NOT NULL PRIMARY KEY,
        epoch BIGINT NOT NULL
    );
    CREATE TABLE facts (
        name TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL
    );
    CREATE TABLE audit_heads (
        node TEXT NOT NULL PRIMARY KEY,
        size BIGINT NOT NULL,
        checkpoint TEXT NOT NULL,
        frontier BYTEA NOT NULL
    );
    CREATE TABLE audit_bundles (
        node TEXT NOT NULL,
        first BIGINT NOT NULL,
        count BIGINT NOT NULL,
        checkpoint TEXT NOT NULL,
        data BYTEA NOT NULL,
        PRIMARY KEY (node, first)
    );
"];

pub(crate) const SCHEMA_VERSION: &str = "SELECT version FROM schema";
pub(crate) const SET_SCHEMA_VERSION: &str = "UPDATE schema SET version = $1";

/// The columns of a record, in the order in which every query below selects them.
macro_rules! select_records {
    ($rest:literal) => {
        concat!("SELECT kind, id, account, version, account_key_version, scope, owner, due, sealed FROM records ", $rest)
    };
}

pub(crate) const GET: &str = select_records!("WHERE kind = $1 AND id = $2 AND account = $3");
/// Two rows at most: the second is the error.
pub(crate) const FIND: &str = select_records!("WHERE kind = $1 AND id = $2 LIMIT 2");
pub(crate) const LIST: &str = select_records!("WHERE kind = $1 AND account = $2 AND id > $3 ORDER BY id LIMIT $4");
pub(crate) const LIST_SCOPE: &str =
    select_records!("WHERE kind = $1 AND account = $2 AND id > $3 AND scope = $4 ORDER BY id LIMIT $5");
pub(crate) const LIST_OWNER: &str =
    select_records!("WHERE kind = $1 AND account = $2 AND id > $3 AND owner = $4 ORDER BY id LIMIT $5");
pub(crate) const LIST_OWNER_SCOPE: &str =
    select_records!("WHERE kind = $1 AND account = $2 AND id > $3 AND owner = $4 AND scope = $5 ORDER BY id LIMIT $6");
pub(crate) const SCAN_FIRST: &str = select_records!("ORDER BY kind, id, account LIMIT $1");
pub(crate) const SCAN: &str = select_records!("WHERE (kind, id, account) > ($1, $2, $3) ORDER BY kind, id, account LIMIT $4");
pub(crate) const DUE: &str =
    select_records!("WHERE kind = $1 AND due IS NOT NULL AND due <= $2 ORDER BY due, id, account LIMIT $3");
pub(crate) const COUNT: &str = "SELECT COUNT(*) FROM records WHERE kind = $1";
pub(crate) const COUNT_ACCOUNT: &str = "SELECT COUNT(*) FROM records WHERE kind = $1 AND account = $2";
pub(crate) const COUNT_SCOPE: &str = "SELECT COUNT(*) FROM records WHERE kind = $1 AND account = $2 AND scope = $3";
pub(crate) const COUNT_BY_OWNER: &str = "SELECT owner, COUNT(*) FROM records WHERE kind = $1 GROUP BY owner ORDER BY owner";

pub(crate) const VERSION: &str = "SELECT version FROM records WHERE kind = $1 AND id = $2 AND account = $3";
pub(crate) const INSERT: &str = "
    INSERT INTO records (kind, id, account, version, account_key_version, scope, owner, due, sealed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (kind, id, account) DO NOTHING";
pub(crate) const UPDATE: &str = "
    UPDATE records SET version = $1, account_key_version = $2, scope = $3, owner = $4, due = $5, sealed = $6
    WHERE kind = $7 AND id = $8 AND account = $9 AND version = $10";
pub(crate) const DELETE: &str = "DELETE FROM records WHERE kind = $1 AND id = $2 AND account = $3 AND version = $4";

pub(crate) const EPOCHS: &str = "SELECT shard, epoch FROM shards";
pub(crate) const BUMP_EPOCH: &str = "
    INSERT INTO shards (shard, epoch) VALUES ($1, 1)
    ON CONFLICT (shard) DO UPDATE SET epoch = shards.epoch + 1 RETURNING epoch";

pub(crate) const FACT: &str = "SELECT value FROM facts WHERE name = $1";
pub(crate) const SET_FACT: &str =
    "INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

pub(crate) const HEAD: &str = "SELECT node, size, checkpoint, frontier FROM audit_heads WHERE node = $1";
/// Looks the nodes of bundles up one after the other, each behind the one before, instead of reading all bundles. Names some of them twice.
pub(crate) const NODES: &str = "
    WITH RECURSIVE named(node) AS (
        SELECT MIN(node) FROM audit_bundles
        UNION ALL
        SELECT (SELECT MIN(node) FROM audit_bundles WHERE node > named.node) FROM named WHERE named.node IS NOT NULL
    )
    SELECT node FROM named WHERE node IS NOT NULL UNION ALL SELECT node FROM audit_heads";
/// Moves a head only from where the new bundle begins, so that two writers can never fork a log.
pub(crate) const MOVE_HEAD: &str =
    "UPDATE audit_heads SET size = $1, checkpoint = $2, frontier = $3 WHERE node = $4 AND size = $5";
pub(crate) const FIRST_HEAD: &str =
    "INSERT INTO audit_heads (node, size, checkpoint, frontier) VALUES ($1, $2, $3, $4) ON CONFLICT (node) DO NOTHING";
pub(crate) const ADD_BUNDLE: &str =
    "INSERT INTO audit_bundles (node, first, count, checkpoint, data) VALUES ($1, $2, $3, $4, $5)";
pub(crate) const BUNDLES: &str = "
    SELECT node, first, count, checkpoint, data FROM audit_bundles
    WHERE node = $1
      AND first >= COALESCE((SELECT MAX(first) FROM audit_bundles WHERE node = $1 AND first <= $2), 0)
      AND first + count > $2
    ORDER BY first LIMIT $3";

#[cfg(test)]
mod tests {
    use super::*;

    /// Every statement that takes parameters.
    const QUERIES: &[(&str, &str)] = &[
        ("get", GET),
        ("find", FIND),
        ("list", LIST),
        ("list of a scope", LIST_SCOPE),
        ("list of an owner", LIST_OWNER),
        ("list of an owner and a scope", LIST_OWNER_SCOPE),
        ("scan", SCAN),
        ("due", DUE),
        ("count", COUNT),
        ("count in an account", COUNT_ACCOUNT),
        ("count in a scope", COUNT_SCOPE),
        ("count by owner", COUNT_BY_OWNER),
        ("version", VERSION),
        ("insert", INSERT),
        ("update", UPDATE),
        ("delete", DELETE),
        ("bump epoch", BUMP_EPOCH),
        ("fact", FACT),
        ("set fact", SET_FACT),
        ("head", HEAD),
        ("nodes", NODES),
        ("move head", MOVE_HEAD),
        ("first head", FIRST_HEAD),
        ("add bundle", ADD_BUNDLE),
        ("bundles", BUNDLES),
    ];

    /// Statements that may read a whole index, because they answer with something about all of it.
    const WHOLE: &[&str] = &["scan", "count", "count by owner", "count in an account"];

    fn model() -> rusqlite::Connection {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            connection.execute_batch(migration).unwrap();
        }
        connection
    }

    #[test]
    fn placeholders_first_appear_in_their_order() {
        for (name, sql) in QUERIES {
            let mut met = Vec::new();
            for number in sql.split('$').skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>()) {
                let number: usize = number.parse().unwrap();
                if !met.contains(&number) {
                    met.push(number);
                }
            }
            assert_eq!(met, (1..=met.len()).collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn no_statement_reads_a_whole_table_or_sorts() {
        let model = model();
        for (name, sql) in QUERIES {
            let mut plan = model.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; plan.parameter_count()];
            let steps = plan.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3)).unwrap();
            for step in steps.map(Result::unwrap) {
                assert!(!step.contains("TEMP B-TREE"), "{name}: {step}");
                assert!(!step.starts_with("SCAN records") || WHOLE.contains(name) && step.contains("INDEX"), "{name}: {step}");
                assert!(!step.starts_with("SCAN audit_bundles"), "{name}: {step}");
            }
        }
    }
}
