//! The transaction that this backend is in: its xid, its subtransaction, and how it ends.

use pgrx::pg_sys;
use std::cell::Cell;
use std::sync::OnceLock;

/// How a transaction or subtransaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Committed, and visible to snapshots taken from now on.
    Commit,
    /// Prepared: another session decides.
    Prepare,
    Abort,
    /// The subtransaction was rolled back, with everything inside of it. Whatever began in it has this number or a greater
    /// one; whatever began before it has a smaller one.
    SubAbort(u32),
}

static OBSERVER: OnceLock<fn(End)> = OnceLock::new();

/// Has `observer` called in this process at the end of every transaction from now on. It must not raise, and must be
/// quick. The first call decides who observes.
pub fn observe(observer: fn(End)) {
    if OBSERVER.set(observer).is_ok() {
        // SAFETY: the callbacks are static functions and live as long as the process.
        unsafe {
            pg_sys::RegisterXactCallback(Some(on_end), std::ptr::null_mut());
            pg_sys::RegisterSubXactCallback(Some(on_subtransaction), std::ptr::null_mut());
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_end(event: pg_sys::XactEvent::Type, _argument: *mut std::ffi::c_void) {
    let end = match event {
        pg_sys::XactEvent::XACT_EVENT_COMMIT => End::Commit,
        pg_sys::XactEvent::XACT_EVENT_PREPARE => End::Prepare,
        pg_sys::XactEvent::XACT_EVENT_ABORT => End::Abort,
        _ => return,
    };
    if let Some(observer) = OBSERVER.get() {
        observer(end);
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    own: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut std::ffi::c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        if let Some(observer) = OBSERVER.get() {
            observer(End::SubAbort(own));
        }
    }
}

thread_local! {
    /// What to do once this transaction has committed.
    static AFTER_COMMIT: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// Has `action` called once this transaction has committed, sent its invalidations and released its locks: whoever is told
/// then finds everything as it will stay. At XACT_EVENT_COMMIT, invalidations are not sent yet. It must not raise. One
/// action a transaction; the last one counts.
pub fn after_commit(action: fn()) {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        // SAFETY: the callback is a static function and lives as long as the process.
        unsafe { pg_sys::RegisterResourceReleaseCallback(Some(on_release), std::ptr::null_mut()) }
    });
    AFTER_COMMIT.set(Some(action));
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_release(
    phase: pg_sys::ResourceReleasePhase::Type,
    committed: bool,
    top_level: bool,
    _argument: *mut std::ffi::c_void,
) {
    if top_level && phase == pg_sys::ResourceReleasePhase::RESOURCE_RELEASE_AFTER_LOCKS {
        if let (Some(action), true) = (AFTER_COMMIT.take(), committed) {
            action();
        }
    }
}

/// Whether some transaction of this database is prepared. Inside a transaction.
pub fn prepared_here() -> bool {
    !super::spi::query(
        "SELECT FROM pg_catalog.pg_prepared_xacts
          WHERE database OPERATOR(pg_catalog.=) pg_catalog.current_database() LIMIT 1",
        &[],
    )
    .is_empty()
}

/// The top-level transaction's xid, assigned now if it has none.
pub fn top_xid() -> u64 {
    // SAFETY: called inside a transaction; raises where no xid can be assigned (recovery, parallel mode).
    unsafe { pg_sys::GetTopFullTransactionId().value }
}

/// The top-level transaction's xid, if it has one; also while it is being prepared.
pub fn top_xid_if_any() -> Option<u64> {
    // SAFETY: a plain read of this backend's transaction state.
    Some(unsafe { pg_sys::GetTopFullTransactionIdIfAny() }.value).filter(|xid| *xid != 0)
}

/// The number of the current subtransaction (the top-level transaction counts as the first).
pub fn subtransaction() -> u32 {
    // SAFETY: a plain read of this backend's transaction state.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
}

/// The top-level transaction's xid and the greatest xid of it and of the subtransactions that it has committed so far;
/// `None` if it has none.
pub fn xids_if_any() -> Option<(u64, u64)> {
    // SAFETY: plain reads of this backend's transaction state. Xids of one transaction are within one epoch of each other.
    unsafe {
        let top = pg_sys::GetTopFullTransactionIdIfAny().value;
        if top == 0 {
            return None;
        }
        let mut children = std::ptr::null_mut();
        let count = pg_sys::xactGetCommittedChildren(&mut children);
        let distance = |child: u32| u64::from(child.wrapping_sub(top as u32));
        let children = if count == 0 { &[][..] } else { std::slice::from_raw_parts(children, count as usize) };
        let last = children.iter().map(|child| distance(child.into_inner())).max().unwrap_or(0);
        Some((top, top + last))
    }
}
