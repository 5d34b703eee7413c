//! The main loop of a database worker: look at everything that could have rung, do what is due, sleep until the next thing.

use crate::capture::segments;
use crate::catalog;
use crate::pg::latch::Waiter;
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{allocator, background, invalidation, log, process, xact};
use crate::settings;
use crate::shm;
use crate::worker::database::Database;
use crate::worker::sources::Sources;
use hashbrown::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;
use trickle_operators::engine::api::MemoryGauge;
use trickle_operators::engine::{Config, Engine};

/// The process's counted memory against the setting.
struct Gauge;

impl MemoryGauge for Gauge {
    fn used(&self) -> usize {
        allocator::bytes_in_use()
    }

    fn limit(&self) -> usize {
        LIMIT.load(Ordering::Relaxed)
    }
}

/// The setting in bytes: engine threads may not ask PostgreSQL for it.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The engine's memory limit in bytes.
pub fn memory_limit() -> usize {
    LIMIT.load(Ordering::Relaxed)
}

fn note_limit() {
    LIMIT.store((settings::MEMORY_LIMIT_MB.get().max(0) as usize) << 20, Ordering::Relaxed);
}

/// History is written at most this often, in microseconds.
const HISTORY_EVERY: i64 = 1_000_000;
/// Frontiers and history are trimmed this often.
const TRIM_EVERY: i64 = 60_000_000;
/// A cut for the change buffer's sake is made at most this often.
const LOOK_EVERY: i64 = 1_000_000;
/// Ending the capture of a table that is locked is tried this often.
const RELEASE_EVERY: i64 = 1_000_000;
/// How many failed cycles in a row are told of once; first after a tenth of them.
const FAILURES_TOLD: u64 = 300;
/// How long the worker sleeps at most while it waits for something that nobody announces: the end of a prepared transaction,
/// or of a lock.
const COARSE_POLL: Duration = Duration::from_secs(1);

/// Runs until the process is told to end. `database` is the OID of the database that this process is connected to.
pub fn run(database: u32) -> Result<(), Failure> {
    let Some(shared) = shm::shared() else {
        return Err(Failure::new(b"55000", "pg_trickle must be loaded via \"shared_preload_libraries\""));
    };
    invalidation::listen();
    // Taken before the look: whoever knocks after it is heard by the launcher.
    let known = shared.databases.find(database);
    if let Some(entry) = known {
        entry.take_news();
    }
    let Some(extension) = txn::run(Isolation::ReadCommitted, || Ok(background::extension()))? else {
        known.inspect(|entry| entry.extension_is_absent());
        return Ok(());
    };
    let Some(entry) = shared.databases.claim(database) else {
        return Err(Failure::new(b"53000", "too many databases use pg_trickle"));
    };
    entry.extension_is_present();
    allocator::count_this_process();
    note_limit();
    let waiter = Waiter::new(c"PgTrickleWait")
        .map_err(|error| Failure::new(b"58000", format!("could not create an event descriptor: {error}")))?;
    let bell = waiter.bell();
    let workers = settings::MAX_PARALLEL_WORKERS.get().max(1) as usize;
    let config = Config::new(workers, Arc::new(Gauge), Arc::new(move || bell.ring()));
    let engine = background::with_signals_blocked(|| Engine::start(config))
        .map_err(|error| Failure::new(b"53000", format!("could not start engine threads: {error}")))?;
    background::stop_engine_at_exit(engine.stopper());
    entry.worker_starts();
    // From before a restart, perhaps.
    entry.note_prepared();
    shared.requests.sweep(database, true, process::alive);
    let mut worker = Database {
        oid: database,
        engine,
        waiter,
        tables: HashMap::new(),
        consumed: None,
        withheld: HashMap::new(),
        sources: Sources::default(),
        extension,
        awaited: HashMap::new(),
        later: (0, Vec::new()),
        missed: false,
        unchecked: None,
        failed_evaluation: None,
        reported: HashMap::new(),
        complete: HashSet::new(),
        filled: HashSet::new(),
        late: HashMap::new(),
        fed: Vec::new(),
        filling: None,
        wait_for_filling: HashSet::new(),
        catalog_stale: false,
        culprit: None,
        rebuild_wanted: HashSet::new(),
        history: Vec::new(),
        asked: Vec::new(),
        verified: HashMap::new(),
        segments_wait: false,
    };
    worker.maintain_segments(entry, true)?;
    worker.serve(shared, entry).or_else(|failure| {
        // DROP EXTENSION in mid-work is no failure.
        if txn::run(Isolation::ReadCommitted, || Ok(background::extension_installed()))? {
            return Err(failure);
        }
        worker.leave_without_extension(shared, entry);
        Ok(())
    })
}

/// Housekeeping that fails, on a lock say, is tried again at its next turn: no reason to compute everything anew.
fn tolerate(what: &str, outcome: Result<(), Failure>) {
    if let Err(failure) = outcome {
        log::log(&format!("could not {what}: {failure}"));
    }
}

impl Database {
    fn serve(&mut self, shared: &shm::Shared, entry: &'static shm::Database) -> Result<(), Failure> {
        let mut catalog_read = false;
        let mut history_written = 0i64;
        let mut failures = 0u64;
        let (mut trimmed, mut looked) = (0i64, 0i64);
        // Whether nothing is captured that nobody reads, and when that was last tried.
        let (mut released, mut release_tried) = (false, 0i64);
        loop {
            background::reload_if_asked();
            note_limit();
            if entry.quiesced() {
                log::debug("pg_trickle worker leaves the database to a session that needs it");
                return Ok(());
            }
            if !settings::ENABLED.get() {
                self.refuse_requests();
                self.waiter.wait(Some(COARSE_POLL));
                continue;
            }
            let news = entry.take_news();
            self.take_requests();
            // What changes no row is noticed at a cut, which nobody's write asks for.
            let mut changed = false;
            if news || !catalog_read || self.catalog_stale || !self.asked.is_empty() {
                // A transaction's start is where this process hears of DDL; its own end is not needed for that.
                txn::run(Isolation::ReadCommitted, || Ok(()))?;
                // A table that is asked for and not known is committed, but its invalidation may be on the way.
                let unknown = self.asked.iter().any(|asked| !self.knows(asked.request.table));
                let stale = std::mem::take(&mut self.catalog_stale);
                changed = invalidation::catalog_changed();
                if changed || !catalog_read || unknown || stale {
                    match txn::run(Isolation::ReadCommitted, || Ok(background::extension()))? {
                        None => {
                            self.leave_without_extension(shared, entry);
                            return Ok(());
                        }
                        // Dropped and made anew meanwhile: nothing of what this process knows is true of it.
                        Some(extension) if extension != self.extension => {
                            entry.set_active(&[]);
                            return Ok(());
                        }
                        Some(_) => {}
                    }
                    self.reconcile()?;
                    catalog_read = true;
                    released = false;
                }
            }
            if entry.take_lost() {
                log::log("changes went unrecorded: all stream tables of the database are rebuilt");
                let all: Vec<u32> = self.tables.keys().copied().collect();
                all.into_iter().for_each(|table| self.detach_and_forget(table));
            }
            self.prepare();
            let (refresh, verify, mut look) = self.wanted();
            look |= changed || self.missed;
            // Also when nothing is due: what nobody reads (any more) must be passed by, or the change buffer grows.
            let crowded = self.waits(entry);
            // And what was prepared may be committed by an apply worker, which no hook of ours sees (HAZARDS H14).
            let undecided = entry.has_prepared();
            if (crowded || undecided) && process::now() - looked >= LOOK_EVERY {
                looked = process::now();
                look = true;
                // Before the cut: what is gone by now is seen there.
                if entry.take_prepared() && txn::run(Isolation::ReadCommitted, || Ok(xact::prepared_here()))? {
                    entry.note_prepared();
                }
            }
            let (agenda, next) = self.agenda(&refresh, verify, look);
            let mut timeout = next;
            if !agenda.is_empty() {
                let outcome = self.cycle(&agenda);
                match &outcome {
                    Ok(_) => failures = 0,
                    Err(failure) => {
                        failures += 1;
                        log::debug(&format!("cycle failed: {failure}"));
                        // What passes by itself has passed by then.
                        if failures % FAILURES_TOLD == FAILURES_TOLD / 10 {
                            log::log(&format!(
                                "stream tables are not refreshed, {failures} attempts in a row: {failure}"
                            ));
                        }
                    }
                }
                self.answer_requests(outcome.is_ok());
                tolerate("maintain the change buffer", self.maintain_segments(entry, false));
                // Look again at once: what the cycle could not do is on the next agenda, with its own time.
                let (refresh, verify, _) = self.wanted();
                let (agenda, next) = self.agenda(&refresh, verify, false);
                timeout = if agenda.is_empty() { next } else { Some(self.pause(outcome.is_err())) };
            } else {
                self.answer_requests(false);
            }
            // What the cycle has detached is decided anew at once, whatever else there is to wait for.
            let now = process::now();
            if self.tables.values().any(|table| table.is_undecided() && !table.resting(now)) {
                timeout = Some(Duration::ZERO);
            }
            for wait in [self.fill(entry), self.attend()].into_iter().flatten() {
                timeout = Some(timeout.map_or(wait, |timeout| timeout.min(wait)));
            }
            let now = process::now();
            if !self.history.is_empty() && now - history_written >= HISTORY_EVERY {
                let entries = std::mem::take(&mut self.history);
                tolerate(
                    "record refreshes",
                    txn::run(Isolation::ReadCommitted, || catalog::refresh_log::append(entries)),
                );
                history_written = now;
            }
            if !released && now - release_tried >= RELEASE_EVERY {
                released = self.release_sources();
                release_tried = now;
            }
            if !released {
                timeout = Some(timeout.map_or(COARSE_POLL, |timeout| timeout.min(COARSE_POLL)));
            }
            if now - trimmed >= TRIM_EVERY {
                let trimming = txn::run(Isolation::ReadCommitted, || {
                    catalog::frontier::compact()?;
                    catalog::refresh_log::expire()
                });
                tolerate("trim the catalog", trimming);
                trimmed = now;
            }
            if !self.history.is_empty() {
                timeout = Some(timeout.map_or(COARSE_POLL, |timeout| timeout.min(COARSE_POLL)));
            }
            let crowded = self.waits(entry);
            if crowded || self.missed || entry.has_prepared() || !self.asked.is_empty() || !self.withheld.is_empty() {
                timeout = Some(timeout.map_or(COARSE_POLL, |timeout| timeout.min(COARSE_POLL)));
            }
            if self.catalog_stale {
                timeout = Some(Duration::ZERO);
            }
            entry.note_memory(allocator::bytes_in_use());
            if timeout.is_none_or(|timeout| !timeout.is_zero()) && !entry.has_news() {
                if let Some(next) = background::report_statistics() {
                    timeout = Some(timeout.map_or(next, |timeout| timeout.min(next)));
                }
                self.waiter.wait(timeout);
            }
        }
    }

    /// Whether a cut is to be made soon, though nothing is due: for the change buffer, or because a lock held something up. Who
    /// gives back a lock does not ring, and until then a table with a long schedule would seem to be late.
    fn waits(&self, entry: &'static shm::Database) -> bool {
        let held = self.tables.values().any(|table| table.held && table.attached && !table.definition.suspended);
        held || self.segments_wait || segments::full(entry, settings::segment_bytes())
    }

    fn leave_without_extension(&self, shared: &shm::Shared, entry: &shm::Database) {
        entry.extension_is_absent();
        shared.statuses.retain(self.oid, |_| false);
    }

    /// Whether a request's table is one of ours; 0 stands for all.
    fn knows(&self, table: u32) -> bool {
        table == 0 || self.tables.contains_key(&table)
    }

    /// How long to wait before a cycle that has something to do is run again: not at all, unless it has just failed or was held up.
    fn pause(&self, failed: bool) -> Duration {
        if failed {
            Duration::from_millis(100)
        } else if self.tables.values().any(|table| table.held) {
            // Someone holds a lock, and nobody rings when it is released.
            Duration::from_millis(20)
        } else {
            Duration::ZERO
        }
    }
}
