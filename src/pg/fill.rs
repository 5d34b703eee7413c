//! The first content of a new stream table: its query, evaluated once into the empty heap, in the creator's transaction.
//!
//! Locks come before the snapshot (HAZARDS H4): rewriting and planning lock every relation that the query reads, and then
//! the latest snapshot is taken, whatever the caller's isolation level (H18). Runs as whoever the current user is: see
//! [`super::owner`]. The table has no index, trigger or constraint yet, so rows go straight to the table access method.

use super::txn::Failure;
use pgrx::pg_sys;

/// Our destination; `base` must be first, PostgreSQL sees only that.
#[repr(C)]
struct Inserter {
    base: pg_sys::DestReceiver,
    relation: pg_sys::Relation,
    bulk: pg_sys::BulkInsertState,
    command: pg_sys::CommandId,
    rows: u64,
}

/// What to do with the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Fill the table.
    Fill,
    /// Only find out whether the current user may run it.
    Check,
}

/// Runs the definition `view` into `table`, or checks that it could be run; how many rows were inserted.
pub fn fill(view: u32, table: u32, run: Run) -> u64 {
    // SAFETY: relations are opened under locks that are kept to the end of the transaction; the rule's tree is copied before
    // it is changed; executor calls come in core's order; the receiver outlives them. After an ERROR the abort cleans up.
    unsafe {
        let relation = pg_sys::try_relation_open(pg_sys::Oid::from(view), pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            Failure::new(b"42P01", "the definition of the stream table does not exist").raise();
        }
        let query = pg_sys::copyObjectImpl(pg_sys::get_view_query(relation).cast()).cast::<pg_sys::Query>();
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        pg_sys::AcquireRewriteLocks(query, true, false);
        let rewritten = pg_sys::QueryRewrite(query);
        if rewritten.is_null() || (*rewritten).length != 1 {
            let text = "definition was rewritten to something other than one query";
            Failure::new(b"XX000", text).raise();
        }
        let query = (*(*rewritten).elements).ptr_value.cast::<pg_sys::Query>();
        let options = pg_sys::CURSOR_OPT_PARALLEL_OK as i32;
        let plan = pg_sys::pg_plan_query(query, c"pg_trickle".as_ptr(), options, std::ptr::null_mut());

        pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        pg_sys::UpdateActiveSnapshotCommandId();
        let target = pg_sys::table_open(pg_sys::Oid::from(table), pg_sys::RowExclusiveLock as i32);
        let mut inserter = Inserter {
            base: pg_sys::DestReceiver {
                receiveSlot: Some(insert),
                rStartup: Some(startup),
                rShutdown: Some(nothing),
                rDestroy: Some(nothing),
                mydest: pg_sys::CommandDest::DestTransientRel,
            },
            relation: target,
            bulk: pg_sys::GetBulkInsertState(),
            command: pg_sys::GetCurrentCommandId(true),
            rows: 0,
        };
        let execution = pg_sys::CreateQueryDesc(
            plan,
            c"pg_trickle".as_ptr(),
            pg_sys::GetActiveSnapshot(),
            std::ptr::null_mut(),
            (&raw mut inserter.base).cast(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            0,
        );
        let flags = if run == Run::Check { pg_sys::EXEC_FLAG_EXPLAIN_ONLY as i32 } else { 0 };
        pg_sys::ExecutorStart(execution, flags);
        if run == Run::Fill {
            pg_sys::ExecutorRun(execution, pg_sys::ScanDirection::ForwardScanDirection, 0);
            pg_sys::ExecutorFinish(execution);
        }
        pg_sys::ExecutorEnd(execution);
        pg_sys::FreeQueryDesc(execution);
        pg_sys::FreeBulkInsertState(inserter.bulk);
        pg_sys::table_close(target, pg_sys::NoLock as i32);
        pg_sys::PopActiveSnapshot();
        pg_sys::CommandCounterIncrement();
        inserter.rows
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn insert(slot: *mut pg_sys::TupleTableSlot, this: *mut pg_sys::DestReceiver) -> bool {
    // SAFETY: `this` is the first field of an Inserter that `fill` keeps alive, with its relation open; the executor passes a
    // valid slot of the view's columns, which are the table's.
    unsafe {
        let inserter = &mut *this.cast::<Inserter>();
        let access = (*inserter.relation).rd_tableam;
        let insert = (*access).tuple_insert.expect("every table access method inserts");
        // The row may reference storage of the slot: a table access method copies what it stores.
        insert(inserter.relation, slot, inserter.command, 0, inserter.bulk);
        inserter.rows += 1;
    }
    true
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn startup(
    _this: *mut pg_sys::DestReceiver,
    _operation: std::ffi::c_int,
    _type: pg_sys::TupleDesc,
) {
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn nothing(_this: *mut pg_sys::DestReceiver) {}
