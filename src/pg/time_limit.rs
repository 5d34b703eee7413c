//! A limit on the time that the worker runs what a stream table's owner wrote. All stream tables of a database wait while it
//! does, and nobody else would ever end it (HAZARDS E15).
//!
//! It is PostgreSQL's own statement timeout, which background workers have but never arm: it interrupts whatever looks for
//! interrupts, functions of any language among them.

use crate::pg::txn::Failure;
use crate::settings;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

// Of timeout.h, which the bindings do not cover.
unsafe extern "C-unwind" {
    fn enable_timeout_after(id: i32, delay_ms: i32);
    fn disable_timeout(id: i32, keep_indicator: bool);
}

/// `TimeoutId`'s
const STATEMENT_TIMEOUT: i32 = 3;

/// Whether the last error that passed [`within`] was the limit's.
static EXPIRED: AtomicBool = AtomicBool::new(false);

struct Armed {
    since: Instant,
    limit: Duration,
}

impl Drop for Armed {
    fn drop(&mut self) {
        // SAFETY: takes the timeout from the list of this process; does not raise. A cancel that arrived too late must not hit
        // what comes next.
        unsafe {
            disable_timeout(STATEMENT_TIMEOUT, false);
            std::ptr::write_volatile(&raw mut pg_sys::QueryCancelPending, 0);
        }
        EXPIRED.store(self.since.elapsed() >= self.limit, Ordering::Relaxed);
    }
}

/// `pg_trickle.query_timeout`, if there is a limit.
pub fn limit() -> Option<Duration> {
    let milliseconds = settings::QUERY_TIMEOUT_MS.get();
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds as u64))
}

/// Runs `body`, for at most `pg_trickle.query_timeout`; then it ends with an ERROR, of which [`expired`] knows.
pub fn within<T>(body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let Some(limit) = limit() else { return body() };
    // SAFETY: InitPostgres has registered the timeout; arming it does not raise.
    unsafe { enable_timeout_after(STATEMENT_TIMEOUT, limit.as_millis() as i32) };
    let _armed = Armed { since: Instant::now(), limit };
    body()
}

/// What is to be said of a failure, if it was the limit's.
pub fn expired(failure: &Failure) -> Option<Failure> {
    let ours = EXPIRED.swap(false, Ordering::Relaxed) && failure.sqlstate == *b"57014";
    ours.then(|| {
        Failure::new(b"57014", "evaluating the query took longer than \"pg_trickle.query_timeout\"")
            .hint("Make the query faster or increase the setting, then use pgtrickle.rebuild().")
    })
}
