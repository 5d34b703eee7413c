//! One cut and what follows from it: read the changes between two snapshots, step the graphs, write what is due, all in one
//! REPEATABLE READ transaction, so that everything it publishes belongs to one snapshot and appears at one moment.
//!
//! Order, and why:
//! 1. conditional AccessShareLock on the sources (rewrites and TRUNCATE are not MVCC-safe, HAZARDS H4; and while we hold it
//!    no ALTER can be between "visible" and "noticed"), *then* the snapshot S;
//! 2. change rows visible in S and not in what was consumed before: exactly the difference of the sources;
//! 3. everything is read before anything is fed: up to here a failure changes nothing. From the feed on the engine has
//!    consumed S, whatever becomes of the transaction: outputs are kept as pending in memory, and written by a later one;
//! 4. tables are visited upstream first: a new one is attached by difference, a full-mode one is evaluated where its
//!    inputs have just been written (own writes are visible), its difference is fed at the same time (HAZARDS H32);
//! 5. commit; only then is what was written taken off the pending.

use crate::capture::layout::{self, Layout, Place};
use crate::capture::members::Member;
use crate::capture::{self, Kind};
use crate::catalog;
use crate::pg::lock::{self, Mode};
use crate::pg::relation::TABLE_OID;
use crate::pg::snapshot::Frontier;
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{invalidation, log, process};
use crate::shm;
use crate::worker::apply::Written;
use crate::worker::database::Database;
use crate::worker::members::Regrown;
use crate::worker::serve::memory_limit;
use crate::worker::table::StreamTable;
use hashbrown::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use trickle_operators::engine::api::Time;
use trickle_operators::value::Row;

/// What a cycle is to do.
#[derive(Default, Debug)]
pub struct Agenda {
    /// Tables to be brought up to date, closed under "reads".
    pub due: HashSet<u32>,
    /// Tables to be attached.
    pub attach: HashSet<u32>,
    /// Tables to be compared with their query (request id, table).
    pub verify: Vec<(u64, u32)>,
    /// A cut is wanted even if nothing is due: someone waits to hear that a table is current.
    pub look: bool,
}

/// Changes of one source, decoded, in the column order of `columns`.
pub struct SourceChanges {
    pub columns: Vec<i16>,
    pub rows: Vec<(Row, i64)>,
}

/// Durations of one cycle's parts, for the history.
#[derive(Default, Clone, Copy, Debug)]
pub struct Timings {
    /// Locks, snapshot, checks, reading the change buffer.
    pub cut_micros: u64,
    pub decode_micros: u64,
    /// Feeding the engine, and waiting for it.
    pub compute_micros: u64,
    pub apply_micros: u64,
    /// Frontiers and the commit.
    pub commit_micros: u64,
}

/// What a cycle knows while it runs, and what remains of it if the transaction commits.
pub struct Cycle<'a> {
    pub agenda: &'a Agenda,
    /// The tables to be written: those that are due, and those that go with them.
    pub due: HashSet<u32>,
    pub snapshot: Frontier,
    /// The cut's time; graphs that were alive before report at it.
    pub time: Time,
    /// Tables that cannot be touched in this cycle: a lock was refused, or their graph must be rebuilt first.
    pub held: HashSet<u32>,
    pub written: Vec<Written>,
    pub timings: Timings,
}

impl Agenda {
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.attach.is_empty() && self.verify.is_empty() && !self.look
    }
}

impl Database {
    /// Runs one cycle. Failures of single tables are recorded with them; an error here means that the transaction failed.
    pub fn cycle(&mut self, agenda: &Agenda) -> Result<(), Failure> {
        let started_at = process::now();
        self.culprit = None;
        self.fed.clear();
        self.verified.clear();
        let finished = txn::run(Isolation::RepeatableRead, || {
            let mut cycle = self.cut(agenda)?;
            self.visit(&mut cycle)?;
            self.recheck_stamps()?;
            let clock = Instant::now();
            self.record(&mut cycle)?;
            Ok((cycle.snapshot, cycle.held, cycle.written, cycle.timings, clock))
        });
        let (snapshot, held, written, mut timings, clock) = match finished {
            Ok(finished) => finished,
            Err(failure) => {
                self.after_failed_cycle(failure.clone());
                return Err(failure);
            }
        };
        timings.commit_micros = clock.elapsed().as_micros() as u64;
        self.settle(snapshot, &held, written, timings, started_at);
        Ok(())
    }

    /// Steps 1 to 3: locks, snapshot, changes, feed.
    fn cut<'a>(&mut self, agenda: &'a Agenda) -> Result<Cycle<'a>, Failure> {
        let clock = Instant::now();
        let mut refused = self.lock_sources();
        let refused_views = self.lock_views();
        // Whoever commits from here on sets the oldest time again; what is visible in S is consumed.
        self.take_oldest();
        txn::push_transaction_snapshot();
        let snapshot = Frontier::take();
        let mut held = self.readers_of(&refused);
        held.extend(self.stalled());
        let invalidated = invalidation::take();
        if self.tables.keys().any(|table| invalidated.includes(*table)) && self.definitions_differ() {
            // Their content in this snapshot is another definition's: the catalog is read before anything else.
            invalidation::restore(invalidated);
            self.catalog_stale = true;
            return Err(Failure::new(b"40001", "a definition has changed"));
        }
        // An ERROR in what follows ends the transaction before everything heard of was looked at.
        self.unchecked = Some((invalidated.clone(), invalidation::evaluation()));
        let (unheld, regrown) = self.check_generations(&mut refused, &invalidated)?;
        held.extend(unheld);
        held.extend(self.check_views(&refused_views, &invalidated));
        held.extend(self.check_privileges(&held, &invalidated));
        held.extend(self.check_stamps());
        let mut changes: HashMap<u32, Vec<SourceChanges>> = HashMap::new();
        let (broken, decode_micros) = self.read_changes(&snapshot, &mut changes)?;

        // Point of no return: the engine consumes S.
        self.consumed = Some(snapshot.clone());
        self.missed = false;
        self.unchecked = None;
        held.extend(self.break_readers(&broken));
        let mut waiting = std::mem::take(&mut self.withheld);
        for (source, batches) in changes {
            waiting.entry(source).or_default().extend(batches);
        }
        for Regrown { source, generation, changes } in regrown {
            // No writer has announced it.
            for table in self.readers_of(&HashSet::from([source])) {
                if let Some(state) = self.tables.get_mut(&table) {
                    state.pending_since.get_or_insert(process::now());
                }
            }
            self.sources.note(source, generation, false);
            waiting.entry(source).or_default().push(changes);
        }
        held.extend(self.drop_what_waits_too_long(&mut waiting));
        let refused: Vec<u32> = refused.into_iter().collect();
        let stuck = if refused.is_empty() { Vec::new() } else { self.engine.affected(&refused).sources };
        let cut_micros = (clock.elapsed().as_micros() as u64).saturating_sub(decode_micros);
        // The engine works from here on, beside this thread.
        let clock = Instant::now();
        let time = self.engine.open();
        let mut touched: HashSet<u32> = HashSet::new();
        for (source, batches) in waiting {
            if refused.contains(&source) || stuck.contains(&source) {
                self.withheld.insert(source, batches);
                continue;
            }
            touched.insert(source);
            for batch in batches {
                self.engine.feed(time, source, &batch.columns, batch.rows);
            }
        }
        touched.extend(self.move_clocks(time, agenda, &touched, &stuck, &held));
        // Whoever attached now would have from the snapshot what is fed later, and whoever is written now would show a
        // moment that has not been: the content of this snapshot without what waits.
        held.extend(self.readers_of(&self.withheld.keys().copied().collect()));
        // A full-mode table that is evaluated in this cycle feeds its difference at the same time, and is advanced then.
        let later = self.full_tables_due(agenda, &held);
        touched.extend(&later);
        let touched: Vec<u32> = touched.into_iter().collect();
        let affected = self.engine.affected(&touched);
        let now: Vec<u32> = affected.sources.iter().copied().filter(|source| !later.contains(source)).collect();
        self.engine.advance(time, &now);
        self.later = (time, later.iter().copied().collect());
        self.awaited.extend(affected.graphs.iter().map(|graph| (*graph, time)));
        // With those that a cycle before has fed, and that it failed too early to hear of.
        let awaited: HashSet<u32> = self.awaited.keys().copied().collect();
        let due = self.companions(&agenda.due, &awaited, &held);
        let compute_micros = clock.elapsed().as_micros() as u64;
        let timings = Timings { cut_micros, decode_micros, compute_micros, ..Timings::default() };
        Ok(Cycle { agenda, due, snapshot, time, held, written: Vec::new(), timings })
    }

    /// Changes that wait for a lock on another table of their component are kept in memory up to a limit; beyond it what
    /// reads them is detached, and attached by difference when the lock is gone. Returns the tables.
    fn drop_what_waits_too_long(&mut self, waiting: &mut HashMap<u32, Vec<SourceChanges>>) -> HashSet<u32> {
        let rows = waiting.values().flatten().flat_map(|batch| &batch.rows);
        let bytes: usize = rows.map(|(row, _)| row.heap_bytes() + size_of::<(Row, i64)>()).sum();
        if bytes <= memory_limit() / 2 {
            return HashSet::new();
        }
        log::log(&format!("{} MB of changes wait for a locked table: rebuilding their readers", bytes >> 20));
        let sources: HashSet<u32> = waiting.drain().map(|(source, _)| source).collect();
        self.break_readers(&sources)
    }

    /// The due tables, with those that the cut's changes concern too and whose bound is as tight as that of one that is due:
    /// tables with one schedule over one source always show the same moment, though only some of them were due when the
    /// agenda was made. None goes without what it reads.
    fn companions(&self, due: &HashSet<u32>, affected: &HashSet<u32>, held: &HashSet<u32>) -> HashSet<u32> {
        let mut all = due.clone();
        let bounds = self.bounds();
        let Some(reach) = due.iter().filter_map(|table| bounds.get(table)).max() else { return all };
        let now = process::now();
        for table in self.order() {
            let state = &self.tables[&table];
            let apt = state.attached
                && state.is_incremental()
                && (affected.contains(&table) || state.behind())
                && !held.contains(&table)
                && !state.resting(now)
                && bounds[&table] <= *reach;
            let current = |upstream: &u32| {
                let behind = self.tables.get(upstream).is_some_and(StreamTable::behind);
                all.contains(upstream) || !(behind || affected.contains(upstream))
            };
            if apt && self.upstream_of(table).iter().all(current) {
                all.insert(table);
            }
        }
        all
    }

    /// Locks the base tables of all tables without waiting; those refused are returned, with the sources that they are part
    /// of.
    fn lock_sources(&self) -> HashSet<u32> {
        let refused =
            self.base_tables().into_iter().filter(|source| !lock::try_lock(*source, Mode::AccessShare)).collect();
        self.sources.over(&refused)
    }

    /// Whether the snapshot shows other definitions than those that are followed.
    fn definitions_differ(&self) -> bool {
        let now = catalog::definition::all();
        now.len() != self.tables.len()
            || now.iter().any(|one| self.tables.get(&one.table).is_none_or(|table| table.definition != *one))
    }

    /// Locks the views that definitions read, for the same reason as the sources: a replaced view that the snapshot shows has
    /// been noticed.
    fn lock_views(&self) -> HashSet<u32> {
        let views: HashSet<u32> =
            self.tables.values().flat_map(|table| table.views.iter().map(|view| view.0)).collect();
        views.into_iter().filter(|view| !lock::try_lock(*view, Mode::AccessShare)).collect()
    }

    /// Takes the commit times that the writers left; their tables are behind from then on, whether this cut sees the changes
    /// or the next one does.
    fn take_oldest(&mut self) {
        let Some(shared) = shm::shared() else { return };
        let mut behind: Vec<(HashSet<u32>, i64)> = Vec::new();
        for (source, counters) in shared.sources.of(self.oid) {
            if let Some(at) = counters.take_oldest() {
                behind.push((self.readers_of(&HashSet::from([source])), at));
            }
        }
        if let Some(at) = shared.databases.find(self.oid).and_then(shm::Database::take_unattributed) {
            behind.push((self.tables.keys().copied().collect(), at));
        }
        self.missed |= !behind.is_empty();
        for (tables, at) in behind {
            for table in tables {
                let Some(state) = self.tables.get_mut(&table) else { continue };
                let since = state.pending_since.map_or(at, |since| since.min(at));
                state.pending_since = Some(since);
                // Nobody else knows of it from here on.
                if let Some(entry) = shared.statuses.find(self.oid, table) {
                    entry.oldest_pending.store(since, Ordering::Relaxed);
                }
            }
        }
    }

    /// Reads what became visible since the last cut; returns the sources with a break in the range, and how long decoding
    /// took.
    fn read_changes(
        &mut self,
        snapshot: &Frontier,
        changes: &mut HashMap<u32, Vec<SourceChanges>>,
    ) -> Result<(HashSet<u32>, u64), Failure> {
        let mut decoding = Duration::ZERO;
        let Some(consumed) = self.consumed.clone().filter(|consumed| consumed != snapshot) else {
            return Ok((HashSet::new(), 0));
        };
        let mut reading = Reading { changed: HashSet::new(), broken: HashSet::new(), changes, bytes: 0 };
        capture::cut::read(&consumed, true, &mut |change| {
            reading.changed.insert(change.source);
            match change.kind {
                Kind::Break => reading.broken.extend(self.sources.over(&HashSet::from([change.source]))),
                Kind::Dirty => {}
                Kind::Changes => {
                    let clock = Instant::now();
                    let layout = Layout::load(change.layout)?;
                    for (source, member) in self.sources.of_member(change.source) {
                        let told_apart = self.sources.are_told_apart(source);
                        reading.add(source, member, told_apart, &layout, change.payload)?;
                    }
                    decoding += clock.elapsed();
                }
            }
            Ok(())
        })?;
        let Reading { changed, broken, .. } = reading;
        for table in self.readers_of(&changed) {
            if let Some(table) = self.tables.get_mut(&table) {
                table.dirty = true;
            }
        }
        Ok((broken, decoding.as_micros() as u64))
    }
}

/// What became visible since the last cut, while it is read.
struct Reading<'a> {
    /// Tables that change rows are of.
    changed: HashSet<u32>,
    /// Sources whose readers must be built anew.
    broken: HashSet<u32>,
    changes: &'a mut HashMap<u32, Vec<SourceChanges>>,
    /// Of the payloads in `changes`.
    bytes: usize,
}

impl Reading<'_> {
    /// Adds changed rows of a member to its source's.
    fn add(
        &mut self,
        source: u32,
        member: &Member,
        told_apart: bool,
        layout: &Layout,
        payload: &[u8],
    ) -> Result<(), Failure> {
        if self.broken.contains(&source) {
            return Ok(());
        }
        // More than this is not held in memory: what reads the source is built anew, which is bounded.
        let limit = memory_limit() / 4;
        self.bytes += payload.len();
        if self.bytes > limit {
            log::log(&format!("more than {} MB of changes at once: rebuilding their readers", limit >> 20));
            self.broken.insert(source);
            if let Some(dropped) = self.changes.remove(&source) {
                let size = |batch: &SourceChanges| batch.rows.iter().map(|(row, _)| row.heap_bytes()).sum::<usize>();
                self.bytes = self.bytes.saturating_sub(dropped.iter().map(size).sum());
            }
            return Ok(());
        }
        let mut places = layout.columns_of(member);
        if told_apart {
            places.push((TABLE_OID, Place::TableOid));
        }
        let batches = self.changes.entry(source).or_default();
        let same = |batch: &&mut SourceChanges| batch.columns.iter().eq(places.iter().map(|(column, _)| column));
        if batches.last_mut().filter(same).is_none() {
            let columns = places.iter().map(|(column, _)| *column).collect();
            batches.push(SourceChanges { columns, rows: Vec::new() });
        }
        let rows = &mut batches.last_mut().expect("there is one now").rows;
        // Most have nothing to be moved.
        let whole = places.len() == layout.columns.len();
        if whole && places.iter().enumerate().all(|(at, (_, place))| Place::Column(at) == *place) {
            return capture::payload::decode(payload, &mut |row, diff| rows.push((row.to_owned(), diff)));
        }
        capture::payload::decode(payload, &mut |row, diff| {
            rows.push((layout::arranged(row, member.relation, places.iter().map(|(_, place)| *place)), diff))
        })
    }
}
