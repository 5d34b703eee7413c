//! Reading the change buffer between two snapshots.

use crate::capture::{segments, Kind};
use crate::pg::segment;
use crate::pg::snapshot::Frontier;
use crate::pg::{process, txn::Failure};
use crate::shm;
use std::collections::HashMap;

/// One change row of a cut.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The table that holds the rows; see `capture::members`.
    pub source: u32,
    /// 0: no columns.
    pub layout: i32,
    pub kind: Kind,
    /// See `capture::payload`.
    pub payload: &'a [u8],
}

/// Reads every change row that the active snapshot shows and `since` does not cover: exactly the difference between the
/// sources' contents at the two. The active snapshot must be the one of the caller's REPEATABLE READ transaction.
///
/// Reads only segments that may have such rows, so its cost follows what is not sealed. `count` says whether these rows
/// count as read; a second reading of the same rows (a catch-up of one source) must not count.
pub fn read(
    since: &Frontier,
    count: bool,
    each: &mut dyn FnMut(&Change<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut read: HashMap<u32, (u64, u64)> = HashMap::new();
    for relation in segments::unread(since)? {
        segment::read(relation, &mut |row| {
            if since.visible(row.xid) {
                return Ok(());
            }
            let kind = Kind::from_code(row.kind)
                .ok_or_else(|| Failure::new(b"XX001", format!("change row of unknown kind {}", row.kind)))?;
            let totals = read.entry(row.source).or_default();
            totals.0 += row.rows.max(0) as u64;
            totals.1 += row.payload.len() as u64 + 4;
            each(&Change { source: row.source, layout: row.layout, kind, payload: row.payload })
        })?;
    }
    if let Some(shared) = shm::shared().filter(|_| count) {
        for (source, (rows, bytes)) in read {
            if let Some(counters) = shared.sources.claim(process::database(), source) {
                counters.note_read(rows, bytes);
            }
        }
    }
    Ok(())
}
