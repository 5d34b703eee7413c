//! Step 4 of a cycle: the stream tables, upstream first. Each is attached, evaluated or written, so that whatever reads it
//! later in the same transaction finds it at the cut's snapshot.

use crate::pg::txn::{self, Failure};
use crate::worker::apply::Written;
use crate::worker::cycle::Cycle;
use crate::worker::database::Database;
use crate::worker::late::Patience;
use crate::worker::table::Mode;
use hashbrown::HashSet;
use std::time::Instant;

impl Database {
    pub fn visit(&mut self, cycle: &mut Cycle<'_>) -> Result<(), Failure> {
        for table in self.order() {
            if self.upstream_of(table).iter().any(|upstream| cycle.held.contains(upstream)) {
                cycle.held.insert(table);
            }
            if cycle.held.contains(&table) {
                continue;
            }
            if cycle.agenda.attach.contains(&table) && !self.tables[&table].attached {
                self.attach(cycle, table)?;
            }
            let state = &self.tables[&table];
            if !state.attached {
                cycle.held.insert(table);
                continue;
            }
            match &state.mode {
                Mode::Full(_) => self.visit_full(cycle, table)?,
                Mode::Incremental(_) => {
                    if cycle.due.contains(&table) {
                        self.collect(cycle, &[table])?;
                        if cycle.held.contains(&table) {
                            continue;
                        }
                        self.apply_pending(cycle, table)?;
                    }
                }
                Mode::Undecided => {}
            }
        }
        // Full-mode tables that were not reached have their time passed too, or the graphs that read them would wait.
        self.advance_later();
        // The rest of the component: computed now, written when due.
        let rest: Vec<u32> = self.awaited.keys().copied().collect();
        self.collect(cycle, &rest)?;
        self.note_for_verifiers(cycle);
        Ok(())
    }

    /// Evaluates a full-mode table if it is due and something changed, writes the difference, and feeds it to the graphs
    /// that read the table, at the cut's time.
    fn visit_full(&mut self, cycle: &mut Cycle<'_>, table: u32) -> Result<(), Failure> {
        let due = cycle.due.contains(&table);
        if due {
            let upstream: Vec<u32> = self.upstream_of(table);
            self.collect(cycle, &upstream)?;
            if cycle.held.contains(&table) {
                return Ok(());
            }
            if self.tables[&table].dirty || self.is_blind(table) {
                txn::make_own_writes_visible();
                self.refresh_full(cycle, table)?;
            } else {
                cycle.written.push(Written { table, rows: 0, micros: 0 });
            }
        }
        // Fed or not, its time is over: graphs that read it can report now.
        self.engine.advance(cycle.time, &[table]);
        Ok(())
    }

    /// Lets the graphs that read full-mode tables report the cut's time, whether those tables were reached or not.
    pub fn advance_later(&mut self) {
        let (time, later) = std::mem::take(&mut self.later);
        if !later.is_empty() {
            self.engine.advance(time, &later);
        }
    }

    /// Waits until the given graphs have reported everything that they were fed; their output joins what is pending. Those
    /// that take too long are held.
    pub fn collect(&mut self, cycle: &mut Cycle<'_>, graphs: &[u32]) -> Result<(), Failure> {
        let clock = Instant::now();
        let patience = Patience::new();
        loop {
            self.drain_events()?;
            self.note_reported();
            let live: HashSet<u32> = self.engine.graphs().into_iter().collect();
            let stopped: HashSet<u32> = self.awaited.keys().copied().filter(|graph| !live.contains(graph)).collect();
            self.awaited.retain(|graph, _| !stopped.contains(graph));
            cycle.held.extend(stopped);
            let stalled = self.stalled();
            cycle.held.extend(&stalled);
            let awaited = |graph: &u32| self.awaited.contains_key(graph) && !stalled.contains(graph);
            let graphs: Vec<u32> = graphs.iter().copied().filter(awaited).collect();
            if graphs.is_empty() {
                break;
            }
            cycle.held.extend(self.wait_for(&graphs, &patience));
        }
        cycle.timings.compute_micros += clock.elapsed().as_micros() as u64;
        Ok(())
    }
}
