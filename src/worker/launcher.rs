//! The launcher, one a server: starts a worker in every database where the extension is, and starts it again when it ends.
//!
//! Which databases those are can only be seen from inside each, so at start every database gets a worker once; one that
//! does not find the extension leaves, and is not started again until somebody knocks (a session that creates a stream
//! table sets its database's flag). Workers are started one after the other, so that probing many databases does not take
//! all worker slots at once.

use crate::pg::background::{self, Start};
use crate::pg::latch::Waiter;
use crate::pg::txn::Failure;
use crate::pg::{log, process};
use crate::shm;
use hashbrown::HashMap;
use std::time::Duration;

/// The wait before a worker that ended is started again doubles from the first to the second, in microseconds.
const FIRST_WAIT: i64 = 1_000_000;
const LONGEST_WAIT: i64 = 60_000_000;
/// A worker that has run this long is healthy: the next wait is short again.
const HEALTHY: i64 = 30_000_000;

struct Child {
    handle: background::Handle,
    started_at: i64,
}

#[derive(Default)]
struct Candidate {
    child: Option<Child>,
    /// Not before this moment.
    next_start: i64,
    wait: i64,
    /// A worker has looked; if it has found no extension, only a knock starts another.
    probed: bool,
}

/// Runs until the process is told to end.
pub fn run() -> Result<(), Failure> {
    let Some(shared) = shm::shared() else {
        return Err(Failure::new(b"55000", "pg_trickle must be loaded via \"shared_preload_libraries\""));
    };
    shared.launcher.starts();
    let waiter = Waiter::new(c"PgTrickleLauncher")
        .map_err(|error| Failure::new(b"58000", format!("could not create an event descriptor: {error}")))?;
    let mut candidates: HashMap<u32, Candidate> = HashMap::new();
    for database in background::databases()? {
        candidates.entry(database).or_default();
    }
    loop {
        background::reload_if_asked();
        for entry in shared.databases.iter() {
            if entry.is_missed() {
                let candidate = candidates.entry(entry.oid()).or_default();
                if !entry.has_extension() && candidate.child.is_none() {
                    candidate.probed = false;
                    candidate.next_start = 0;
                }
            }
        }
        let mut timeout: Option<Duration> = None;
        let now = process::now();
        let mut starting = false;
        for (database, candidate) in &mut candidates {
            if let Some(child) = &candidate.child {
                match background::state(&child.handle) {
                    background::State::Starting => {
                        starting = true;
                        continue;
                    }
                    background::State::Running => continue,
                    background::State::Ended => {
                        let entry = shared.databases.find(*database);
                        let asked_to_leave = entry.is_some_and(|entry| entry.quiesced() || !entry.has_extension());
                        let ran = now - child.started_at;
                        candidate.wait = if asked_to_leave || ran > HEALTHY {
                            FIRST_WAIT
                        } else {
                            (candidate.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT)
                        };
                        candidate.next_start = if asked_to_leave { now } else { now + candidate.wait };
                        candidate.probed = true;
                        candidate.child = None;
                        // Whoever knocked meanwhile is heard in another round.
                        timeout = Some(Duration::ZERO);
                    }
                }
            }
            let entry = shared.databases.find(*database);
            let absent = candidate.probed && !entry.is_some_and(|entry| entry.has_extension());
            if absent || starting {
                continue;
            }
            let quiesced = entry.is_some_and(|entry| entry.quiesced());
            let due = if quiesced { now + FIRST_WAIT } else { candidate.next_start };
            if due > now {
                let wait = Duration::from_micros((due - now) as u64);
                timeout = Some(timeout.map_or(wait, |timeout| timeout.min(wait)));
                continue;
            }
            match background::start_worker(*database) {
                Start::Started(handle) => {
                    candidate.child = Some(Child { handle, started_at: now });
                    starting = true;
                }
                Start::NoSlot => {
                    candidate.wait = (candidate.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
                    candidate.next_start = now + candidate.wait;
                    log::log("could not start a pg_trickle worker: no background worker slot is free (increase \"max_worker_processes\")");
                }
            }
        }
        // The postmaster sets our latch when a child starts or ends.
        waiter.wait(timeout);
    }
}
