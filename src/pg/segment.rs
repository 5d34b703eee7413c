//! Segments: the relations that hold change rows. Here is how one is written, read, measured and emptied; which one is in
//! which state is `capture::segments`'s business.
//!
//! A segment is a materialized view without a query of meaning, made only because a relation of that kind cannot be
//! published: FOR ALL TABLES must not see it (HAZARDS H39). It is written by direct heap insertion, without information for
//! logical decoding, and without triggers, rules or privileges.

use crate::pg::txn::Failure;
use pgrx::pg_sys;

/// One tuple of a segment.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Top-level transaction.
    pub xid: u64,
    pub source: u32,
    pub layout: i32,
    pub rows: i32,
    /// Microseconds since 2000-01-01.
    pub captured_at: i64,
    pub kind: u8,
    pub payload: &'a [u8],
}

/// Columns of a segment, in order: xid xid8, source oid, layout int4, rows int4, captured_at timestamptz, kind "char",
/// payload bytea.
const COLUMNS: usize = 7;

/// The longest payload that is kept inline: a page's largest tuple, less the tuple's header (24), the fixed columns
/// (8 + 4 + 4 + 4 + padding + 8 + 1 + padding) and the payload's length word.
pub const INLINE_PAYLOAD: usize = 8160 - 24 - 36 - 4;

/// The longest payload that can be stored at all, TOASTed.
pub const LONGEST_PAYLOAD: usize = 0x3fff_ffff - 4;

/// Inserts a change row; false if there is no such relation any more. The caller holds RowExclusiveLock on it.
/// `payload` must start with four bytes that are not part of it, where the length word goes.
pub fn insert(segment: u32, change: &Change<'_>, payload: &mut [u8]) -> bool {
    debug_assert!(payload.len() >= 4);
    // SAFETY: the relation is locked, so it stays what it is while it is open. The values match its column types; the payload
    // is a varlena with a four-byte header, aligned by its allocation, and is copied by heap_form_tuple.
    unsafe {
        let relation = pg_sys::try_table_open(pg_sys::Oid::from(segment), pg_sys::NoLock as i32);
        if relation.is_null() {
            return false;
        }
        if (*(*relation).rd_att).natts as usize != COLUMNS {
            pg_sys::relation_close(relation, pg_sys::NoLock as i32);
            return false;
        }
        let length = payload.len() as i32;
        pgrx::set_varsize_4b(payload.as_mut_ptr().cast(), length);
        let mut values: [pg_sys::Datum; COLUMNS] = [
            pg_sys::Datum::from(change.xid),
            pg_sys::Datum::from(change.source),
            pg_sys::Datum::from(change.layout),
            pg_sys::Datum::from(change.rows),
            pg_sys::Datum::from(change.captured_at),
            pg_sys::Datum::from(change.kind as i8),
            pg_sys::Datum::from(payload.as_mut_ptr()),
        ];
        let mut nulls = [false; COLUMNS];
        let tuple = pg_sys::heap_form_tuple((*relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::heap_insert(
            relation,
            tuple,
            pg_sys::GetCurrentCommandId(true),
            pg_sys::HEAP_INSERT_NO_LOGICAL as i32,
            std::ptr::null_mut(),
        );
        pg_sys::heap_freetuple(tuple);
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
    }
    true
}

/// Reads the tuples of a segment that the active snapshot shows; `each` is called for every one. The lock is kept to the
/// end of the transaction.
pub fn read(segment: u32, each: &mut dyn FnMut(&Change<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut outcome = Ok(());
    // SAFETY: the relation is locked while it is scanned; a tuple returned by the scan stays valid until the next call; its
    // descriptor has exactly the columns that are read here, none of them null.
    unsafe {
        let relation = pg_sys::try_table_open(pg_sys::Oid::from(segment), pg_sys::AccessShareLock as i32);
        if relation.is_null() || (*(*relation).rd_att).natts as usize != COLUMNS {
            return Err(Failure::new(b"42P01", format!("segment {segment} of the change buffer does not exist")));
        }
        // Not the scan that large tables get: the newest pages are what is wanted, and they are in shared buffers.
        let flags = pg_sys::ScanOptions::SO_TYPE_SEQSCAN | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
        let scan = pg_sys::heap_beginscan(
            relation,
            pg_sys::GetActiveSnapshot(),
            0,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            flags,
        );
        let mut values = [pg_sys::Datum::null(); COLUMNS];
        let mut nulls = [false; COLUMNS];
        loop {
            pgrx::check_for_interrupts!();
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            pg_sys::heap_deform_tuple(tuple, (*relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            let stored = values[6].cast_mut_ptr::<pg_sys::varlena>();
            let payload = pg_sys::pg_detoast_datum_packed(stored);
            outcome = each(&Change {
                xid: values[0].value() as u64,
                source: values[1].value() as u32,
                layout: values[2].value() as i32,
                rows: values[3].value() as i32,
                captured_at: values[4].value() as i64,
                kind: values[5].value() as u8,
                payload: pgrx::varlena_to_byte_slice(payload),
            });
            if payload != stored {
                pg_sys::pfree(payload.cast());
            }
            if outcome.is_err() {
                break;
            }
        }
        pg_sys::heap_endscan(scan);
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
    }
    outcome
}

/// Bytes that a segment takes, its TOAST table included. The caller is the only one who could empty it.
pub fn size(segment: u32) -> u64 {
    // SAFETY: opened under lock and closed again.
    let (blocks, toast) = unsafe {
        let relation = pg_sys::try_relation_open(pg_sys::Oid::from(segment), pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            return 0;
        }
        let blocks = pg_sys::RelationGetNumberOfBlocksInFork(relation, pg_sys::ForkNumber::MAIN_FORKNUM);
        let toast = (*(*relation).rd_rel).reltoastrelid.to_u32();
        pg_sys::relation_close(relation, pg_sys::AccessShareLock as i32);
        (blocks, toast)
    };
    let own = u64::from(blocks) * u64::from(pg_sys::BLCKSZ);
    own + if toast == 0 { 0 } else { size(toast) }
}

/// Empties a segment by giving it, and its TOAST table, new storage: independent of what snapshots still see, crash-safe,
/// and replayed on standbys. The caller holds AccessExclusiveLock on it.
pub fn empty(segment: u32) {
    // SAFETY: the steps that core's ExecuteTruncateGuts takes, on a relation that nobody else has open.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::Oid::from(segment), pg_sys::NoLock as i32);
        let persistence = (*(*relation).rd_rel).relpersistence;
        pg_sys::RelationSetNewRelfilenumber(relation, persistence);
        let toast = (*(*relation).rd_rel).reltoastrelid;
        if toast != pg_sys::InvalidOid {
            let toast = pg_sys::relation_open(toast, pg_sys::AccessExclusiveLock as i32);
            pg_sys::RelationSetNewRelfilenumber(toast, persistence);
            pg_sys::relation_close(toast, pg_sys::NoLock as i32);
        }
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        let parameters = pg_sys::ReindexParams { options: 0, tablespaceOid: pg_sys::InvalidOid };
        pg_sys::reindex_relation(
            std::ptr::null(),
            pg_sys::Oid::from(segment),
            pg_sys::REINDEX_REL_PROCESS_TOAST as i32,
            &parameters,
        );
    }
}

/// A row of pgtrickle.segment: relation, state, the frontier it was sealed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub relation: u32,
    pub state: u8,
    pub sealed: Option<String>,
}

const STATE_COLUMNS: usize = 3;

/// All rows of pgtrickle.segment as of now, whatever the transaction's snapshot; in no order. Empty if there is no such
/// table. Needs no privilege: writers of every role come here while no worker has published the active segments.
pub fn states() -> Vec<State> {
    let mut states = Vec::new();
    // SAFETY: a scan of a small table under AccessShareLock with a registered snapshot; columns are read by the table's own
    // descriptor, in the order in which the extension's script made them: relation oid, state "char", sealed text.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"pgtrickle".as_ptr(), true);
        let table = match schema {
            pg_sys::InvalidOid => pg_sys::InvalidOid,
            schema => pg_sys::get_relname_relid(c"segment".as_ptr(), schema),
        };
        if table == pg_sys::InvalidOid {
            return states;
        }
        let relation = pg_sys::try_table_open(table, pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            return states;
        }
        if (*(*relation).rd_att).natts as usize != STATE_COLUMNS {
            pg_sys::relation_close(relation, pg_sys::AccessShareLock as i32);
            return states;
        }
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let scan = pg_sys::systable_beginscan(relation, pg_sys::InvalidOid, false, snapshot, 0, std::ptr::null_mut());
        let mut values = [pg_sys::Datum::null(); STATE_COLUMNS];
        let mut nulls = [true; STATE_COLUMNS];
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            pg_sys::heap_deform_tuple(tuple, (*relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            let sealed = (!nulls[2]).then(|| {
                let text = pg_sys::pg_detoast_datum_packed(values[2].cast_mut_ptr());
                String::from_utf8_lossy(pgrx::varlena_to_byte_slice(text)).into_owned()
            });
            states.push(State { relation: values[0].value() as u32, state: values[1].value() as u8, sealed });
        }
        pg_sys::systable_endscan(scan);
        pg_sys::UnregisterSnapshot(snapshot);
        pg_sys::relation_close(relation, pg_sys::AccessShareLock as i32);
    }
    states
}

/// Makes the latest state of the database the active snapshot while `body` runs.
pub fn with_latest_snapshot<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: the snapshot is pushed and popped here; on an ERROR the abort pops it.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
    let value = body();
    // SAFETY: as above.
    unsafe { pg_sys::PopActiveSnapshot() };
    value
}
