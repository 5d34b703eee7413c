//! A process that does nothing but hold a snapshot, so that the worker can read a big table in slices of a few
//! milliseconds, each in a short transaction of its own, and keep the other stream tables on schedule in between
//! (HAZARDS E5). Only the snapshot is held between slices, no lock: DDL never waits for a hydration (H46).
//!
//! Locks come first (H4): the holder locks the table and what is part of it, takes and exports its snapshot, and gives the
//! locks back. What DDL
//! does to the table from then on shows in its capture generation, which the worker compares at each slice.

use crate::pg::background::{self, Handle, Start, State};
use crate::pg::inheritance;
use crate::pg::lock::{self, Mode};
use crate::pg::txn::{self, Failure, Isolation};
use crate::shm::{self, Database};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// How often a holder looks whether its worker still lives, in milliseconds: nobody rings when that is killed.
const LOOK_MS: i64 = 1000;

/// A snapshot that is being held, from the worker's side. Dropped: not wanted any more.
pub struct Held {
    database: &'static Database,
    handle: Handle,
    name: Option<String>,
}

impl Held {
    /// Starts a process that holds a snapshot of `source`.
    pub fn start(database: &'static Database, source: u32) -> Result<Held, Failure> {
        database.holder.want(source);
        match background::start_holder(database.oid()) {
            Start::Started(handle) => Ok(Held { database, handle, name: None }),
            Start::NoSlot => Err(Failure {
                hint: Some("Increase \"max_worker_processes\".".into()),
                ..Failure::new(b"53000", "no background worker slot is free to read a source table")
            }),
        }
    }

    /// The snapshot's name, if it is there by now; an error if the process ended without.
    pub fn name(&mut self) -> Result<Option<&str>, Failure> {
        if self.name.is_none() {
            self.name = self.database.holder.name();
            if self.name.is_none() && background::state(&self.handle) == State::Ended {
                return Err(Failure::new(b"55P03", "could not take a snapshot of a source table: it is locked"));
            }
        }
        Ok(self.name.as_deref())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.database.holder.release();
    }
}

/// Makes the snapshot of this REPEATABLE READ transaction the one that was exported under `name`, and pushes it.
pub fn import(name: &str) -> Result<(), Failure> {
    let name = CString::new(name).map_err(|_| Failure::new(b"XX000", "snapshot name contains a zero"))?;
    // SAFETY: inside a REPEATABLE READ transaction that has taken no snapshot; anything else is an ERROR.
    unsafe { pg_sys::ImportSnapshot(name.as_ptr()) };
    txn::push_transaction_snapshot();
    Ok(())
}

fn export() -> String {
    // SAFETY: a snapshot is active; the name is a C string in this transaction's memory.
    unsafe { CStr::from_ptr(pg_sys::ExportSnapshot(pg_sys::GetActiveSnapshot())).to_string_lossy().into_owned() }
}

/// The holder's main function.
pub fn run(database: u32) -> Result<(), Failure> {
    let Some(entry) = shm::shared().and_then(|shared| shared.databases.find(database)) else { return Ok(()) };
    let Some((ticket, source)) = entry.holder.serve() else { return Ok(()) };
    let outcome = txn::run(Isolation::RepeatableRead, || {
        lock::lock(source, Mode::AccessShare);
        let parts = inheritance::family(source);
        parts[1..].iter().for_each(|part| lock::lock(*part, Mode::AccessShare));
        txn::push_transaction_snapshot();
        let name = export();
        parts.iter().for_each(|part| lock::unlock(*part, Mode::AccessShare));
        if !entry.holder.held(ticket, &name) {
            return Ok(());
        }
        entry.wake();
        while entry.holder.wanted(ticket) && !entry.quiesced() {
            wait();
        }
        Ok(())
    });
    entry.holder.leave();
    entry.wake();
    outcome
}

fn wait() {
    // SAFETY: the latch is this process's own.
    unsafe {
        let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
        pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, LOOK_MS, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    txn::check_for_interrupts();
}
