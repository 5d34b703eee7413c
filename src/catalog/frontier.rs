//! `pgtrickle.frontier`: what each stream table covers. Appended, never updated (HAZARDS H10); the last row of a table counts.

use crate::pg::role::as_extension;
use crate::pg::snapshot::Frontier;
use crate::pg::spi;
use crate::pg::txn::Failure;

/// Says that `tables` cover `frontier` from this transaction's commit on.
pub fn append(tables: &[u32], frontier: &Frontier) -> Result<(), Failure> {
    let tables: Vec<String> = tables.iter().map(u32::to_string).collect();
    let tables = format!("{{{}}}", tables.join(","));
    as_extension(|| {
        spi::execute(
            "INSERT INTO pgtrickle.frontier (relid, frontier, applied_at)
             SELECT t, $2, pg_catalog.clock_timestamp() FROM pg_catalog.unnest($1::oid[]) t",
            &[Some(&tables), Some(&frontier.to_string())],
        )
    });
    Ok(())
}

/// Leaves the newest frontier of each table.
pub fn compact() -> Result<(), Failure> {
    as_extension(|| {
        spi::execute(
            "DELETE FROM pgtrickle.frontier f
              USING (SELECT relid, pg_catalog.max(applied_at) AS newest FROM pgtrickle.frontier GROUP BY relid) g
              WHERE f.relid = g.relid AND f.applied_at < g.newest",
            &[],
        )
    });
    Ok(())
}
