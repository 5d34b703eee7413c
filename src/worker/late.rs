//! Graphs that the cycles do not wait for.
//!
//! A cycle waits until the graphs that it writes have reported, with its transaction and its locks open: nobody may be in the
//! way of all others for long. A graph that has been waited for long enough is *late*: the cycle goes on without it and
//! without what reads it, as if they were locked. Later cycles feed it, and do not wait; between them it is served what it
//! wants from PostgreSQL. As soon as it has reported something, it is waited for again: whoever has much to do gets
//! on, and is done one day even if changes do not cease.
//!
//! How long is enough: a stream table that is just being attached has shown nothing yet that others would have to agree
//! with, and a recursion may run on for ever; for any other, tables over one source are to show the same moment, also after a
//! change that takes time. A recursion that is late for as long as `pg_trickle.query_timeout` is given up.

use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{log, time_limit};
use crate::worker::database::Database;
use crate::worker::table::Mode;
use hashbrown::HashSet;
use std::time::{Duration, Instant};

/// How long a cycle waits for what should be over at once, or may never be.
const PATIENCE: Duration = Duration::from_secs(1);

/// A wait for several graphs in a cycle.
pub struct Patience(Instant);

impl Patience {
    pub fn new() -> Self {
        Patience(Instant::now())
    }
}

impl Database {
    /// Tables that cannot be touched while some graphs are late: their own, and those that read them.
    pub fn stalled(&self) -> HashSet<u32> {
        let late: HashSet<u32> = self.late.keys().copied().collect();
        let mut all = self.readers_of(&late);
        all.extend(late);
        all
    }

    /// Sleeps until the engine has something to tell, or one of `graphs` has been waited for long enough; these are late then,
    /// and returned with what reads them.
    pub fn wait_for(&mut self, graphs: &[u32], patience: &Patience) -> HashSet<u32> {
        let waited = patience.0.elapsed();
        // What reads a graph that is awaited is not to blame.
        let to_blame = |graph: &&u32| !self.upstream_of(**graph).iter().any(|above| graphs.contains(above));
        let limits: Vec<(u32, Option<Duration>)> =
            graphs.iter().filter(to_blame).map(|graph| (*graph, self.patience_with(*graph))).collect();
        let over = |limit: &Option<Duration>| limit.is_some_and(|limit| waited >= limit);
        let late: HashSet<u32> = limits.iter().filter(|(_, limit)| over(limit)).map(|(graph, _)| *graph).collect();
        if late.is_empty() {
            let limit = limits.iter().filter_map(|(_, limit)| *limit).min();
            self.waiter.wait(if self.engine.has_events() {
                Some(Duration::ZERO)
            } else {
                limit.map(|limit| limit - waited)
            });
            return late;
        }
        for graph in &late {
            if let Some(state) = self.tables.get(graph) {
                log::debug(&format!("stream table {} is late", state.definition.name));
            }
            self.late.entry(*graph).or_insert(patience.0);
        }
        let mut held = self.readers_of(&late);
        held.extend(late);
        held
    }

    fn patience_with(&self, graph: u32) -> Option<Duration> {
        let attached = self.tables.get(&graph).is_some_and(|state| state.attached);
        if attached && !self.recurses(graph) {
            time_limit::limit()
        } else {
            Some(time_limit::limit().map_or(PATIENCE, |limit| limit.min(PATIENCE)))
        }
    }

    fn recurses(&self, table: u32) -> bool {
        matches!(self.tables.get(&table).map(|state| &state.mode), Some(Mode::Incremental(graph)) if graph.plan.root.has_loop())
    }

    /// Serves the engine outside of any cycle; how long until there is more to be done, or a graph to be given up.
    pub fn attend(&mut self) -> Option<Duration> {
        if self.engine.has_events() {
            let served = txn::run(Isolation::RepeatableRead, || {
                txn::push_transaction_snapshot();
                self.drain_events()
            });
            if let Err(failure) = served {
                log::debug(&format!("could not serve the engine: {failure}"));
            }
        }
        self.note_reported();
        let live: HashSet<u32> = self.engine.graphs().into_iter().collect();
        self.late.retain(|graph, _| live.contains(graph));
        let limit = time_limit::limit();
        let mut next = limit.filter(|_| !self.late.is_empty());
        let late: Vec<(u32, Duration)> = self.late.iter().map(|(graph, since)| (*graph, since.elapsed())).collect();
        for (graph, waited) in late {
            let Some(left) = limit.filter(|_| self.recurses(graph)).map(|limit| limit.saturating_sub(waited)) else {
                continue;
            };
            if left.is_zero() {
                self.give_up_recursion(graph);
            }
            next = next.map(|next| next.min(left));
        }
        if self.engine.has_events() {
            next = Some(Duration::ZERO);
        }
        next
    }

    /// Takes off the list what has been reported.
    pub fn note_reported(&mut self) {
        let reported = &self.reported;
        self.awaited.retain(|graph, time| reported.get(graph).is_none_or(|reported| reported < time));
    }

    /// The engine lets go of the graph in mid-work.
    fn give_up_recursion(&mut self, graph: u32) {
        self.detach_and_forget(graph);
        let Some(state) = self.tables.get_mut(&graph) else { return };
        let name = &state.definition.name;
        let failure = Failure::new(
            b"57014",
            format!("the recursion of stream table {name} took longer than \"pg_trickle.query_timeout\""),
        )
        .hint("Change the data or the query so that it ends, or increase the setting, then use pgtrickle.rebuild().");
        log::log(&format!("stream table {name} is suspended: {failure}"));
        state.give_up(failure, false);
        self.publish_status();
    }
}
