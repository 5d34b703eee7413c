//! Commands of PostgreSQL that the extension takes part in, in whatever database they are issued.
//!
//! DROP DATABASE, RENAME, SET TABLESPACE and CREATE DATABASE … TEMPLATE need the database without sessions, and a worker is
//! one (HAZARDS H38): it is asked to leave, and kept away until the command has ended. COMMIT PREPARED makes changes
//! visible of which this session knows nothing.

use crate::pg::{process, utility, wait};
use crate::shm::{self, Database};

/// How long the worker has to leave by itself, and after that by SIGTERM; PostgreSQL waits for five seconds more.
const POLITE_MICROS: i64 = 1_000_000;
const PATIENCE_MICROS: i64 = 5_000_000;
const LOOK_MILLISECONDS: i64 = 5;

/// Takes part from now on. In _PG_init only.
pub fn follow() {
    utility::install(utility::Listener { alone_begins, alone_ends, dropped, copied, prepared_committed });
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

/// The copy has the extension if the template has, and triggers that capture: its own worker must see to it.
fn copied(template: u32, copy: u32) {
    let Some(shared) = shm::shared() else { return };
    if shared.databases.find(template).is_some_and(Database::has_extension) {
        if let Some(entry) = shared.databases.claim(copy) {
            entry.wake();
        }
    }
}

fn prepared_committed() {
    if let Some(entry) = entry(process::database()) {
        entry.note_unattributed(process::now());
    }
}
