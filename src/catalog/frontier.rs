//! `pgtrickle.frontier`: what each stream table covers. Appended, never updated (HAZARDS H10); the last row of a table counts.

use crate::pg::lock::{self, Mode};
use crate::pg::role::as_extension;
use crate::pg::segment;
use crate::pg::snapshot::Frontier;
use crate::pg::spi;
use crate::pg::txn::Failure;
use trickle_operators::expr::clock::Instant;

/// Says that `tables` cover `frontier` from this transaction's commit on, each as of what its clock shows, if it has one.
pub fn append(tables: &[(u32, Option<Instant>)], frontier: &Frontier) -> Result<(), Failure> {
    // What NULL in an array's text means is a setting.
    let clocks: Vec<String> =
        tables.iter().map(|(_, clock)| clock.map_or_else(|| "\"\"".into(), |clock| clock.to_string())).collect();
    let tables: Vec<String> = tables.iter().map(|(table, _)| table.to_string()).collect();
    let (tables, clocks) = (format!("{{{}}}", tables.join(",")), format!("{{{}}}", clocks.join(",")));
    as_extension(|| {
        spi::execute(
            "INSERT INTO pgtrickle.frontier (relid, frontier, applied_at, clock)
             SELECT t, $2, pg_catalog.clock_timestamp(), NULLIF(c, '')::int8 FROM ROWS FROM
                    (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($3::text[])) AS f (t, c)",
            &[Some(&tables), Some(&frontier.to_string()), Some(&clocks)],
        )
    });
    Ok(())
}

/// The latest that the clock of a table's content has shown.
pub fn clock(table: u32) -> Option<Instant> {
    let rows = as_extension(|| {
        spi::query(
            "SELECT pg_catalog.max(clock) FROM pgtrickle.frontier WHERE relid = $1::oid",
            &[Some(&table.to_string())],
        )
    });
    rows.into_iter().next()?.into_iter().next()??.parse().ok()
}

/// The size at which the table is written anew.
const GROWN: u64 = 16 << 10;

/// Leaves the newest frontier of each table and the latest that its clock has shown, if there are many: in new storage, because a long snapshot would keep every
/// deleted row, and each look at the table would pass by all of them. Put off while somebody else reads the table.
pub fn compact() -> Result<(), Failure> {
    as_extension(|| {
        let oid = spi::query("SELECT 'pgtrickle.frontier'::pg_catalog.regclass::pg_catalog.oid", &[]);
        let oid = oid.into_iter().flatten().flatten().next().and_then(|oid| oid.parse().ok());
        let grown = |relation: &u32| segment::size(*relation) > GROWN;
        let Some(relation) = oid.filter(grown).filter(|relation| lock::try_lock(*relation, Mode::AccessExclusive))
        else {
            return;
        };
        // The server's clock may have been put back, and rows need not lie in the order in which they came: the newest is the
        // one that covers the most.
        let newest = spi::query(
            "SELECT DISTINCT ON (relid) relid, frontier, applied_at, pg_catalog.max(clock) OVER (PARTITION BY relid)
               FROM pgtrickle.frontier f
              WHERE EXISTS (SELECT FROM pgtrickle.live_table l WHERE l.relid = f.relid)
              ORDER BY relid, pg_catalog.pg_snapshot_xmax(frontier::pg_catalog.pg_snapshot) DESC,
                       pg_catalog.pg_snapshot_xmin(frontier::pg_catalog.pg_snapshot) DESC, clock DESC NULLS LAST, applied_at DESC",
            &[],
        );
        segment::empty(relation);
        for row in newest {
            let values: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
            spi::execute("INSERT INTO pgtrickle.frontier VALUES ($1::oid, $2, $3::timestamptz, $4::int8)", &values);
        }
    });
    Ok(())
}
