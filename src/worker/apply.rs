//! Writing pending output to stream tables, each as its owner, and recording what the content then covers.

use crate::catalog::{self, error_row::ErrorSample, refresh_log::Refresh};
use crate::pg::sink::{self, SinkError};
use crate::pg::snapshot::Frontier;
use crate::pg::txn::Failure;
use crate::pg::{invalidation, log, owner, process, text};
use crate::shm;
use crate::shm::status::State;
use crate::worker::cycle::{Cycle, Timings};
use crate::worker::database::Database;
use crate::worker::table::{Mode, StreamTable, NEVER};
use hashbrown::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// One table written in a cycle; its pending output is taken off when the transaction has committed.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub table: u32,
    pub rows: u64,
    pub micros: u64,
}

impl Database {
    /// Writes a table's pending output, unless error rows hold it back. A failure of this table ends the transaction: no
    /// subtransaction a table, because many of them make every snapshot of the server slower (HAZARDS H44); the caller runs
    /// the cycle again without the culprit.
    pub fn apply_pending(&mut self, cycle: &mut Cycle<'_>, table: u32) -> Result<(), Failure> {
        let clock = Instant::now();
        let state = self.tables.get_mut(&table).expect("visited tables exist");
        if !state.errors.is_empty() {
            cycle.held.insert(table);
            return Ok(());
        }
        if state.pending.is_empty() {
            cycle.written.push(Written { table, rows: 0, micros: 0 });
            return Ok(());
        }
        self.culprit = Some(table);
        let delta = match state.pending.to_delta(state.key.as_deref()) {
            Ok(delta) => delta,
            Err(detail) => return Err(self.diverged(table, &detail)),
        };
        let (owner, columns) = (state.definition.owner, state.columns.clone());
        let written = owner::as_owner(owner, &[], || match sink::write(table, &columns, delta) {
            Ok(rows) => Ok(Ok(rows)),
            Err(SinkError::Failed(failure)) => Err(failure),
            Err(SinkError::Diverged(detail)) => Ok(Err(detail)),
        })?;
        let rows = match written {
            Ok(rows) => rows,
            Err(detail) => return Err(self.diverged(table, &detail)),
        };
        self.culprit = None;
        let since = self.tables[&table].pending_since;
        for reader in self.direct_readers(table) {
            let reader = self.tables.get_mut(&reader).expect("readers are tables of ours");
            reader.dirty = true;
            reader.pending_since = reader.pending_since.or(since);
        }
        let micros = clock.elapsed().as_micros() as u64;
        cycle.timings.apply_micros += micros;
        cycle.written.push(Written { table, rows, micros });
        Ok(())
    }

    /// The content is not what was published: nothing of it is trusted any more.
    fn diverged(&mut self, table: u32, detail: &str) -> Failure {
        self.rebuild_wanted.insert(table);
        let name = &self.tables[&table].definition.name;
        log::log(&format!("stream table {name} is rebuilt by difference: {detail}"));
        Failure::new(b"XX001", format!("the content of stream table {name} is not what was published"))
    }

    /// Frontiers and error rows, in the cycle's transaction.
    pub fn record(&mut self, cycle: &mut Cycle<'_>) -> Result<(), Failure> {
        let written: Vec<u32> = cycle.written.iter().filter(|w| w.rows > 0).map(|w| w.table).collect();
        let first = |table: &&u32| self.tables[*table].frontier.is_none();
        let news: Vec<u32> = cycle
            .written
            .iter()
            .map(|w| &w.table)
            .filter(|table| written.contains(table) || first(table))
            .copied()
            .collect();
        if !news.is_empty() {
            let news: Vec<_> = news.into_iter().map(|table| (table, self.engine.instant(table))).collect();
            catalog::frontier::append(&news, &cycle.snapshot)?;
        }
        for (table, state) in &mut self.tables {
            if state.errors_changed {
                // Values are shown by the output functions of their types.
                self.culprit = Some(*table);
                catalog::error_row::replace(*table, &samples(state))?;
                self.culprit = None;
                state.errors_changed = false;
            }
        }
        Ok(())
    }

    /// After the commit: what was written is not pending any more; status, history and answers follow.
    pub fn settle(
        &mut self,
        snapshot: Frontier,
        held: &HashSet<u32>,
        written: Vec<Written>,
        timings: Timings,
        started_at: i64,
    ) {
        let now = process::now();
        for (oid, table) in &mut self.tables {
            table.held = held.contains(oid);
        }
        for done in &written {
            let Some(table) = self.tables.get_mut(&done.table) else { continue };
            table.pending.clear();
            table.pending_since = None;
            table.dirty = false;
            table.trouble = None;
            table.frontier = Some(snapshot.clone());
            table.refreshed_at = now;
            if done.rows > 0 {
                self.history.push(Refresh {
                    table: done.table,
                    at: now,
                    micros: (now - started_at).max(0) as u64,
                    rows: done.rows,
                    cut_micros: timings.cut_micros,
                    decode_micros: timings.decode_micros,
                    dataflow_micros: timings.compute_micros,
                    apply_micros: done.micros,
                    commit_micros: timings.commit_micros,
                    index_micros: None,
                    error: None,
                });
            }
            if let Some(entry) = shm::shared().and_then(|shared| shared.statuses.claim(self.oid, done.table)) {
                if done.rows > 0 {
                    entry.rows_changed_last.store(done.rows, Ordering::Relaxed);
                    entry.refreshes.fetch_add(1, Ordering::Relaxed);
                    entry.refresh_micros.fetch_add((now - started_at).max(0) as u64, Ordering::Relaxed);
                }
            }
        }
        // Whatever has nothing pending is current as of the cut, changed or not, if what it reads is.
        let mut late: HashMap<u32, i64> = HashMap::new();
        for oid in self.order() {
            let Some(table) = self.tables.get_mut(&oid) else { continue };
            let above = table.upstream.iter().filter_map(|upstream| late.get(upstream)).min().copied();
            if above.is_none() && table.attached && !table.behind() && table.errors.is_empty() {
                table.pending_since = None;
                table.current_at = started_at;
                table.frontier = Some(snapshot.clone());
                continue;
            }
            // Read without having been announced, when an apply worker commits what was prepared, say: late from now on.
            let since = *table.pending_since.get_or_insert(above.unwrap_or(started_at));
            late.insert(oid, since);
        }
        self.publish_status();
    }

    /// The transaction failed. What the engine has consumed stays pending; the table at fault, if one is, rests.
    pub fn after_failed_cycle(&mut self, failure: Failure) {
        self.advance_later();
        if let Some((relations, evaluation)) = self.unchecked.take() {
            invalidation::restore(relations);
            invalidation::restore_evaluation(evaluation);
            self.missed = true;
        }
        // Their heap content went back, but the graphs that read them have seen the difference.
        for table in std::mem::take(&mut self.fed) {
            for reader in self.direct_readers(table) {
                self.detach_and_forget(reader);
            }
        }
        let Some(table) = self.culprit.take() else { return };
        if self.rebuild_wanted.remove(&table) {
            self.detach_and_forget(table);
            return;
        }
        // A full-mode table keeps nothing that could be wrong: its readers have seen nothing of what failed.
        let whole = self.tables.get(&table).is_some_and(|state| state.attached && state.is_full());
        let whole = whole || self.tables.get(&table).is_some_and(|state| state.attached) && self.is_live_graph(table);
        if !whole {
            self.detach_and_forget(table);
        }
        if let Some(failure) = self.violation(table, failure) {
            if let Some(state) = self.tables.get(&table) {
                log::log(&format!("could not refresh stream table {}: {failure}", state.definition.name));
            }
            self.table_failed(table, failure);
        }
        self.publish_status();
    }

    /// Shows the worker's view of every table to the status functions.
    pub fn publish_status(&self) {
        let Some(shared) = shm::shared() else { return };
        let mut failing: HashSet<u32> = HashSet::new();
        for oid in &self.order() {
            let table = &self.tables[oid];
            let (mut state, mut text) = describe(table);
            // A table inherits the errors of those that it reads: it stays as it is with them.
            if let (State::Active, Some(above)) = (state, table.upstream.iter().find(|above| failing.contains(*above)))
            {
                let name = &self.tables[above].definition.name;
                (state, text) = (State::Error, format!("stream table {name}, which it reads, is not refreshed"));
            }
            if matches!(state, State::Error | State::Quarantined) {
                failing.insert(*oid);
            }
            let Some(entry) = shared.statuses.claim(self.oid, *oid) else { continue };
            if entry.state() != state || entry.text() != text {
                entry.set_state(state, &text);
            }
            entry.current_at.store(table.current_at, Ordering::Relaxed);
            entry.oldest_pending.store(table.pending_since.unwrap_or(0), Ordering::Relaxed);
            entry.pending_rows.store(table.pending.rows() as u64, Ordering::Relaxed);
            entry.error_rows.store(table.errors.len() as u64, Ordering::Relaxed);
            self.engine.keep(*oid, table.pending.bytes());
            let bytes = table.pending.bytes() as u64 + self.engine.state_bytes(*oid);
            entry.state_bytes.store(bytes, Ordering::Relaxed);
        }
    }
}

/// Error rows as `errors()` shows them; at most this many a table.
const SAMPLES: usize = 100;

fn samples(table: &StreamTable) -> Vec<ErrorSample> {
    let Mode::Incremental(graph) = &table.mode else { return Vec::new() };
    let rows = table.errors.iter().take(SAMPLES);
    rows.map(|(row, count)| {
        let site = graph.plan.sites.get(row.site);
        ErrorSample {
            sqlstate: String::from_utf8_lossy(&row.error.sqlstate).into_owned(),
            message: row.error.message.clone(),
            expression: site.map_or_else(String::new, |site| site.text.clone()),
            row_text: site.map(|site| text::row(row.row.as_ref(), &site.columns)),
            occurrences: *count,
        }
    })
    .collect()
}

fn describe(table: &StreamTable) -> (State, String) {
    if table.definition.suspended {
        return (State::Suspended, String::new());
    }
    if let Some(trouble) = &table.trouble {
        let state = match trouble.retry_at {
            _ if trouble.quarantined => State::Quarantined,
            NEVER => State::Suspended,
            _ => State::Error,
        };
        // A lock that could not be had at once is no error yet.
        if trouble.failure.transient() && trouble.attempts < 3 && table.attached {
            return (State::Active, trouble.failure.to_string());
        }
        return (state, trouble.failure.to_string());
    }
    if let Some((row, _)) = table.errors.iter().next() {
        let more = table.errors.len() - 1;
        let also = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        return (State::Error, format!("{}{also}", row.error.message));
    }
    let state = if table.attached { State::Active } else { State::Initializing };
    (state, String::new())
}
