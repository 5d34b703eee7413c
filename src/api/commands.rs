//! Commands of PostgreSQL that the extension takes part in, in whatever database they are issued.
//!
//! DROP DATABASE, RENAME, SET TABLESPACE and CREATE DATABASE … TEMPLATE need the database without sessions, and a worker is
//! one (HAZARDS H38): it is asked to leave, and kept away until the command has ended. COMMIT PREPARED makes changes
//! visible of which this session knows nothing, and ROLLBACK PREPARED ends what another session has counted.

use crate::pg::{background, process, role, utility, wait, xact};
use crate::shm::{self, Database};
use crate::{capture, catalog};
use std::sync::atomic::{AtomicU32, Ordering};

/// How long the worker has to leave by itself, and after that by SIGTERM; PostgreSQL waits for five seconds more.
const POLITE_MICROS: i64 = 1_000_000;
const PATIENCE_MICROS: i64 = 5_000_000;
const LOOK_MILLISECONDS: i64 = 5;

/// Takes part from now on. In _PG_init only.
pub fn follow() {
    utility::install(utility::Listener {
        alone_begins,
        alone_ends,
        dropped,
        copied,
        prepared_known,
        prepared_committed,
        prepared_aborted,
        view_replaced,
        joined,
    });
}

fn entry(database: u32) -> Option<&'static Database> {
    shm::shared()?.databases.find(database)
}

fn alone_begins(database: u32) {
    let Some(entry) = entry(database) else { return };
    entry.quiesce();
    let began = process::now();
    let mut terminated = false;
    while let Some(worker) = entry.worker_pid().filter(|pid| process::alive(*pid)) {
        let waited = process::now() - began;
        if waited > PATIENCE_MICROS {
            return;
        }
        if waited > POLITE_MICROS && !terminated {
            process::terminate(worker);
            terminated = true;
        }
        wait::on_latch(LOOK_MILLISECONDS);
    }
    entry.holder.release();
}

fn alone_ends(database: u32) {
    if let Some(entry) = entry(database).filter(|entry| entry.resume() && !entry.retired()) {
        entry.wake();
    }
}

fn dropped(database: u32) {
    let Some(shared) = shm::shared() else { return };
    shared.statuses.retain(database, |_| false);
    if let Some(entry) = shared.databases.find(database) {
        entry.retire();
    }
}

/// The copy whose worker is to look once it is there for others.
static COPY: AtomicU32 = AtomicU32::new(0);

/// The copy has the extension if the template has, and triggers that capture: its own worker must see to it, when this
/// transaction has committed. Before that no process can connect to it.
fn copied(template: u32, copy: u32) {
    let Some(shared) = shm::shared() else { return };
    if shared.databases.find(template).is_some_and(Database::has_extension) {
        COPY.store(copy, Ordering::Relaxed);
        xact::after_commit(|| {
            let copy = COPY.load(Ordering::Relaxed);
            if let Some(entry) = shm::shared().and_then(|shared| shared.databases.claim(copy)) {
                entry.wake();
            }
        });
    }
}

fn prepared_known() -> bool {
    shm::shared().is_some_and(|shared| shared.prepared.any())
}

fn prepared_committed(xid: u32) {
    if let Some(shared) = shm::shared() {
        // What it could not write anywhere is nobody's to read.
        shared.prepared.take(xid, |database, source, _, _| {
            if let Some(entry) = entry(database).filter(|_| source == 0) {
                entry.mark_lost();
            }
        });
    }
    if let Some(entry) = entry(process::database()) {
        entry.note_unattributed(process::now());
    }
}

/// What it had counted is taken back.
fn prepared_aborted(xid: u32) {
    let Some(shared) = shm::shared() else { return };
    shared.prepared.take(xid, |database, source, rows, bytes| {
        if let Some(counters) = shared.sources.find(database, source) {
            counters.take_back(rows, bytes);
        }
    });
}

/// A new member of a captured tree is captured from its first row on, whatever who makes it may do with this extension.
fn joined(child: u32) {
    if background::extension_installed() {
        role::as_extension(|| capture::kin::joined(child));
    }
}

/// A view is not replaced by one that reads a stream table which reads the view.
fn view_replaced(view: u32) {
    if background::extension_installed() {
        if let Some(circle) = catalog::sources::circle(view) {
            circle.refusal().raise();
        }
    }
}
