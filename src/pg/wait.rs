//! A session that waits: on its latch, answering cancel, terminate and barriers at once (HAZARDS H57).

use pgrx::pg_sys;
use std::sync::OnceLock;

/// `InvalidSubTransactionId`, which is a macro.
const INVALID_SUBTRANSACTION: pg_sys::SubTransactionId = 0;

static EVENT: OnceLock<u32> = OnceLock::new();

/// Sleeps until the latch is set, or for `milliseconds`. Raises if the session is cancelled.
pub fn on_latch(milliseconds: i64) {
    // SAFETY: MyLatch is this process's own; the event's name is registered once a process.
    unsafe {
        let event = *EVENT.get_or_init(|| pg_sys::WaitEventExtensionNew(c"PgTrickleAnswer".as_ptr()));
        let wake = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
        pg_sys::WaitLatch(pg_sys::MyLatch, wake as i32, milliseconds as _, event);
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    pgrx::check_for_interrupts!();
}

/// Whether this transaction keeps one snapshot for all statements.
pub fn snapshot_is_fixed() -> bool {
    // SAFETY: a plain read.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 }
}

/// Whether the server is a standby, or recovers.
pub fn in_recovery() -> bool {
    // SAFETY: reads shared memory.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Whether a relation was made by this transaction; `None` if there is no such relation any more.
pub fn created_here(relation: u32) -> Option<bool> {
    // SAFETY: opened and closed here.
    unsafe {
        let relation = pg_sys::try_relation_open(pg_sys::Oid::from(relation), pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            return None;
        }
        let created = (*relation).rd_createSubid != INVALID_SUBTRANSACTION;
        pg_sys::relation_close(relation, pg_sys::AccessShareLock as i32);
        Some(created)
    }
}

/// Whether this session holds a lock on a relation that keeps others from writing it, or, with `reading`, from reading it.
pub fn locked_here(relation: u32, reading: bool) -> bool {
    let mode = if reading { pg_sys::AccessExclusiveLock } else { pg_sys::ShareLock };
    // SAFETY: looks into this backend's lock table.
    unsafe { pg_sys::CheckRelationOidLockedByMe(pg_sys::Oid::from(relation), mode as i32, true) }
}

/// Waits for a lock on a relation that keeps others from changing it, to the end of the transaction; `alone`: from reading
/// it too.
pub fn lock_against_writers(relation: u32, alone: bool) {
    let mode = if alone { pg_sys::AccessExclusiveLock } else { pg_sys::ShareRowExclusiveLock };
    // SAFETY: taken through the lock manager, released at the end of the transaction.
    unsafe { pg_sys::LockRelationOid(pg_sys::Oid::from(relation), mode as i32) }
}
