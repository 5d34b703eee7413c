//! The clocks of temporal filters.
//!
//! A stream table whose query has temporal filters is the query as of what its clock shows. The clock is read once for each
//! cut and never goes back, not even when the server's does or when the worker is started anew: its reading is kept with the
//! frontier of the content (HAZARDS E32). Between two instants at which some row enters or leaves, no reading makes a
//! difference, so the engine is told a new one only when such an instant has passed, when the table is due or when changes
//! are fed to it. The instant at which the next row turns is to the agenda what a commit is: the table is to show it within
//! its bound.

use crate::catalog;
use crate::pg::process;
use crate::worker::cycle::Agenda;
use crate::worker::database::Database;
use hashbrown::HashSet;
use trickle_operators::engine::api::Time;
use trickle_operators::expr::clock::Instant;

impl Database {
    /// Lets the clock of a graph that is about to be installed go on from where it was.
    pub fn start_clock(&mut self, table: u32) {
        if self.engine.reads_clock(table) {
            let shown = catalog::frontier::clock(table).unwrap_or(Instant::MIN);
            self.engine.tick(0, table, process::now().max(shown));
        }
    }

    /// Tells a graph that fills what time it is; between two times.
    pub fn show_time(&mut self, table: u32) {
        if self.engine.reads_clock(table) {
            let time = self.engine.open();
            self.engine.tick(time, table, process::now());
        }
    }

    /// When a row next enters or leaves a temporal filter of the table, or of a stream table that it reads.
    pub fn turns_at(&self, table: u32) -> Option<Instant> {
        let upstream = self.upstream_of(table).into_iter().filter_map(|above| self.turns_at(above));
        let own = self.engine.next_instant(table).filter(|_| self.tables[&table].attached);
        upstream.chain(own).min()
    }

    /// Tells the time to the graphs that wait for it, as part of the cut at `time`; returns them. `touched` are the sources
    /// that are fed in this cut; `stuck`, those that must not be advanced.
    pub fn move_clocks(
        &mut self,
        time: Time,
        agenda: &Agenda,
        touched: &HashSet<u32>,
        stuck: &[u32],
        held: &HashSet<u32>,
    ) -> Vec<u32> {
        let clocked = |table: &u32| self.engine.reads_clock(*table) && self.tables[table].attached;
        let clocked: Vec<u32> = self.tables.keys().copied().filter(clocked).collect();
        if clocked.is_empty() {
            return Vec::new();
        }
        let now = process::now();
        let touched: Vec<u32> = touched.iter().copied().collect();
        let fed = self.engine.affected(&touched).graphs;
        let mut moved = Vec::new();
        for table in clocked {
            let passed = self.engine.next_instant(table).filter(|instant| *instant <= now);
            let wanted = passed.is_some() || agenda.due.contains(&table) || fed.contains(&table);
            if !wanted || stuck.contains(&table) || held.contains(&table) {
                continue;
            }
            self.engine.tick(time, table, now);
            moved.push(table);
            let Some(state) = self.tables.get_mut(&table) else { continue };
            // From then on the content has not been what the query returns.
            state.pending_since = [state.pending_since, passed].into_iter().flatten().min();
        }
        moved
    }
}
