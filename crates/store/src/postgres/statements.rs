//! What is written in one statement for many records at once. Reads, and what is small, are in `sql`.

/// The versions of these records, as far as they are there, and nobody else may change them until the transaction ends.
pub(super) const LOCK: &str = "
    SELECT records.kind, records.id, records.account, records.version
    FROM records JOIN unnest($1::text[], $2::text[], $3::bigint[]) AS wanted (kind, id, account)
      ON records.kind = wanted.kind AND records.id = wanted.id AND records.account = wanted.account
    ORDER BY records.kind, records.id, records.account FOR UPDATE OF records";
/// A record that is there in spite of what was found is an error, which undoes the transaction.
pub(super) const INSERT: &str = "
    INSERT INTO records (kind, id, account, version, account_key_version, scope, owner, due, sealed)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::bytea[])";
pub(super) const UPDATE: &str = "
    UPDATE records SET version = new.version, account_key_version = new.account_key_version, scope = new.scope, owner = new.owner,
        due = new.due, sealed = new.sealed
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::bytea[], $10::bigint[])
        AS new (kind, id, account, version, account_key_version, scope, owner, due, sealed, before)
    WHERE records.kind = new.kind AND records.id = new.id AND records.account = new.account AND records.version = new.before";
pub(super) const DELETE: &str = "
    DELETE FROM records USING unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS gone (kind, id, account, before)
    WHERE records.kind = gone.kind AND records.id = gone.id AND records.account = gone.account AND records.version = gone.before";
pub(super) const BUMP_EPOCHS: &str = "
    INSERT INTO shards (shard, epoch) SELECT shard, 1 FROM unnest($1::bigint[]) AS changed (shard)
    ON CONFLICT (shard) DO UPDATE SET epoch = shards.epoch + 1 RETURNING shard, epoch";
/// What one row of the table of shards has counted to.
pub(super) const EPOCH: &str = "SELECT epoch FROM shards WHERE shard = $1";
/// A log's new head and the bundle up to it, in one statement that is a transaction of its own: nothing of it is done where the log does not
/// end at the bundle's beginning.
pub(super) const EXTEND_LOG: &str = "
    WITH moved AS (
        UPDATE audit_heads SET size = $1, checkpoint = $2, frontier = $3 WHERE node = $4 AND size = $5 RETURNING node
    )
    INSERT INTO audit_bundles (node, first, count, checkpoint, data)
    SELECT node, $5, $6, $2, $7 FROM moved";
/// A log's head, once nobody else is about to move it.
pub(super) const LOCK_HEAD: &str = "SELECT node, size, checkpoint, frontier FROM audit_heads WHERE node = $1 FOR UPDATE";
/// Records, once nobody else is about to change them.
pub(super) const LOCK_WHOLE: &str = "
    SELECT records.kind, records.id, records.account, records.version, records.sealed
    FROM records JOIN unnest($1::text[], $2::text[], $3::bigint[]) AS wanted (kind, id, account)
      ON records.kind = wanted.kind AND records.id = wanted.id AND records.account = wanted.account
    ORDER BY records.kind, records.id, records.account FOR UPDATE OF records";
