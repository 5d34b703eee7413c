//! Transactions of a background worker, and what is left of an error that ended one.
//!
//! [`run`] is the only way in which the worker enters a transaction. Whatever goes wrong inside, an ERROR of PostgreSQL or
//! a panic of ours, ends with the transaction aborted (which also restores the user id, the security context and the
//! settings), and comes back as a [`Failure`]: never as an exception that leaves a transaction open.

use pgrx::pg_sys;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::PgTryBuilder;
use serde::{Deserialize, Serialize};
use std::panic::AssertUnwindSafe;

/// An ERROR that was caught, without its exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub sqlstate: [u8; 5],
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// The isolation level of a worker's transaction, whatever the cluster's default is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    /// One snapshot for all statements.
    RepeatableRead,
}

impl Failure {
    pub fn new(sqlstate: &[u8; 5], message: impl Into<String>) -> Self {
        Failure { sqlstate: *sqlstate, message: message.into(), detail: None, hint: None }
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the same work may succeed later: cancel, lock, resources, serialization (HAZARDS E15).
    pub fn transient(&self) -> bool {
        let class = &self.sqlstate[..2];
        matches!(class, b"40" | b"53" | b"57" | b"58" | b"55" | b"08" | b"25")
    }

    /// Raises it again as an ERROR of the calling backend.
    pub fn raise(self) -> ! {
        self.report(pgrx::PgLogLevel::ERROR);
        unreachable!("a report at ERROR does not return")
    }

    /// Tells the client, without ending anything.
    pub fn notice(self) {
        self.report(pgrx::PgLogLevel::NOTICE);
    }

    fn report(self, level: pgrx::PgLogLevel) {
        let mut report = pg_sys::panic::ErrorReport::new(self.code(), self.message, "pg_trickle");
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(hint);
        }
        report.report(level);
    }

    fn code(&self) -> PgSqlErrorCode {
        let packed = self
            .sqlstate
            .iter()
            .enumerate()
            .fold(0i32, |packed, (at, byte)| packed | ((i32::from(*byte) - i32::from(b'0')) & 0x3f) << (6 * at));
        PgSqlErrorCode::from(packed)
    }

    fn caught(error: &CaughtError) -> Self {
        let report = match error {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => report,
            CaughtError::RustPanic { ereport, .. } => ereport,
        };
        let mut code = report.sql_error_code() as i32;
        let mut sqlstate = [0u8; 5];
        for byte in &mut sqlstate {
            *byte = (code & 0x3f) as u8 + b'0';
            code >>= 6;
        }
        Failure {
            sqlstate,
            message: report.message().to_string(),
            detail: report.detail().map(str::to_string),
            hint: report.hint().map(str::to_string),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

/// Runs `body` in a transaction of its own and commits it, or aborts it if `body` fails.
///
/// In a READ COMMITTED transaction an active snapshot is pushed; in a REPEATABLE READ one none is, so that `body` can take
/// locks before the snapshot (HAZARDS H4) and then call [`push_transaction_snapshot`].
pub fn run<T>(isolation: Isolation, body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    begin(isolation);
    let outcome = attempt(|| {
        if isolation == Isolation::ReadCommitted {
            push_transaction_snapshot();
        }
        let value = body()?;
        commit();
        Ok(value)
    });
    let outcome = match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) | Err(failure) => {
            abort();
            Err(failure)
        }
    };
    release_session_locks();
    outcome
}

/// Advisory locks that a user's function took for the session would be kept as long as this process lives: we have none.
fn release_session_locks() {
    // SAFETY: outside of a transaction; what pg_advisory_unlock_all() does.
    unsafe { pg_sys::LockReleaseSession(pg_sys::USER_LOCKMETHOD as pg_sys::LOCKMETHODID) }
}

/// Runs `body` in a subtransaction that is always rolled back to if it fails, and released if not.
pub fn subtransaction<T>(body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // SAFETY: called inside a transaction; context and owner are put back on both ways out, as PL/pgSQL's exception blocks
    // do.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let outcome = match attempt(body) {
            Ok(Ok(value)) => {
                pg_sys::ReleaseCurrentSubTransaction();
                Ok(value)
            }
            Ok(Err(failure)) | Err(failure) => {
                pg_sys::RollbackAndReleaseCurrentSubTransaction();
                Err(failure)
            }
        };
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        outcome
    }
}

/// Pushes the transaction's snapshot; popped by commit or abort.
pub fn push_transaction_snapshot() {
    // SAFETY: called inside a transaction; the snapshot is copied by PushActiveSnapshot.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) }
}

/// Makes what this transaction has written visible to what it reads next.
pub fn make_own_writes_visible() {
    // SAFETY: called inside a transaction with an active snapshot that this transaction pushed.
    unsafe {
        pg_sys::CommandCounterIncrement();
        if pg_sys::ActiveSnapshotSet() {
            pg_sys::PopActiveSnapshot();
        }
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
    }
}

/// Runs `body`, turning an ERROR or panic into a [`Failure`]. The caller must abort the (sub)transaction it ran in.
fn attempt<T>(body: impl FnOnce() -> T) -> Result<T, Failure> {
    let mut result = None;
    let mut failure = None;
    {
        let result = AssertUnwindSafe(&mut result);
        let failed = AssertUnwindSafe(std::cell::RefCell::new(&mut failure));
        let body = AssertUnwindSafe(body);
        PgTryBuilder::new(AssertUnwindSafe(move || {
            // Whole wrappers are moved, not their fields: edition 2021 captures fields otherwise.
            let (result, body) = (result, body);
            *result.0 = Some((body.0)());
        }))
        .catch_others(move |error| {
            let failed = &failed;
            **failed.0.borrow_mut() = Some(Failure::caught(&error));
        })
        .execute();
    }
    match (result, failure) {
        (_, Some(failure)) => Err(failure),
        (Some(value), None) => Ok(value),
        (None, None) => Err(Failure::new(b"XX000", "a protected section ended without a result")),
    }
}

fn begin(isolation: Isolation) {
    // SAFETY: the worker is outside of a transaction here: every way out of `run` commits or aborts. The isolation level is
    // set before the first snapshot, which is when PostgreSQL reads it (HAZARDS H13).
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::XactIsoLevel = match isolation {
            Isolation::ReadCommitted => pg_sys::XACT_READ_COMMITTED as i32,
            Isolation::RepeatableRead => pg_sys::XACT_REPEATABLE_READ as i32,
        };
        pg_sys::XactReadOnly = false;
    }
}

fn commit() {
    // SAFETY: inside a transaction that `begin` started; snapshots that are still active were pushed by this transaction.
    unsafe {
        while pg_sys::ActiveSnapshotSet() {
            pg_sys::PopActiveSnapshot();
        }
        pg_sys::CommitTransactionCommand();
    }
}

fn abort() {
    // SAFETY: AbortCurrentTransaction is right in every transaction state; interrupts are held so that a second error
    // cannot be raised by a cancel that arrives meanwhile, as PostgresMain does.
    unsafe {
        pg_sys::InterruptHoldoffCount += 1;
        pg_sys::AbortCurrentTransaction();
        pg_sys::FlushErrorState();
        pg_sys::InterruptHoldoffCount -= 1;
    }
}

/// CHECK_FOR_INTERRUPTS().
pub fn check_for_interrupts() {
    pgrx::check_for_interrupts!();
}
