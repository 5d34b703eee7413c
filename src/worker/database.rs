//! The state of one database's worker, and the graph of "reads" between its stream tables.

use crate::catalog::refresh_log::Refresh;
use crate::pg::invalidation::{Evaluation, Invalidated};
use crate::pg::latch::Waiter;
use crate::pg::snapshot::Frontier;
use crate::pg::txn::Failure;
use crate::shm::requests::Request;
use crate::worker::cycle::{Agenda, SourceChanges};
use crate::worker::filling::Filling;
use crate::worker::sources::Sources;
use crate::worker::table::{Mode, StreamTable};
use hashbrown::{HashMap, HashSet};
use std::time::Instant;
use trickle_operators::engine::api::Time;
use trickle_operators::engine::Engine;

/// A request that was taken and not answered yet.
pub struct Asked {
    pub request: Request,
    /// Set once a cycle that began after the request was taken has served it.
    pub served: bool,
}

/// One database's worker.
pub struct Database {
    pub oid: u32,
    /// The extension's OID: one that is made anew is another, and so must this process be.
    pub extension: u32,
    pub engine: Engine,
    pub waiter: Waiter,
    pub tables: HashMap<u32, StreamTable>,
    /// What the engine has consumed; nothing before the first cut, because everything is attached at a cut.
    pub consumed: Option<Frontier>,
    /// Changes that were read but could not be fed: a source of their component was locked.
    pub withheld: HashMap<u32, Vec<SourceChanges>>,
    /// Captured base tables.
    pub sources: Sources,
    /// The time up to which each graph has been fed and has not reported yet; outlives a cycle that fails.
    pub awaited: HashMap<u32, Time>,
    /// The cut's time, and the sources that are advanced when the full-mode tables have been visited.
    pub later: (Time, Vec<u32>),
    /// Commit times, and what was heard of, were taken by a cut that has read nothing so far: it is made again.
    pub missed: bool,
    /// What a cut has heard of, while it is not done with it.
    pub unchecked: Option<(Invalidated, Evaluation)>,
    /// The graph whose expressions PostgreSQL could not evaluate, should the transaction fail.
    pub failed_evaluation: Option<u32>,
    /// Newest time that each graph has reported.
    pub reported: HashMap<u32, Time>,
    /// Graphs that have reported their whole content.
    pub complete: HashSet<u32>,
    /// Graphs of tables that are not attached yet that have been fed the whole of what they read.
    pub filled: HashSet<u32>,
    /// Graphs that the cycles do not wait for, and since when they have been waited for.
    pub late: HashMap<u32, Instant>,
    /// Full-mode tables whose difference was fed in the cycle that runs.
    pub fed: Vec<u32>,
    /// The table that hydrates from tables too big for one cut.
    pub filling: Option<Filling>,
    /// Tables that cannot be attached before that is done.
    pub wait_for_filling: HashSet<u32>,
    /// The catalog must be read before the next cut.
    pub catalog_stale: bool,
    /// The table that is being worked on, should the transaction fail.
    pub culprit: Option<u32>,
    /// Tables whose content turned out not to be what was published.
    pub rebuild_wanted: HashSet<u32>,
    pub history: Vec<Refresh>,
    pub asked: Vec<Asked>,
    /// Answers to requests to verify, good once the cycle that runs has committed; by the requests' numbers.
    pub verified: HashMap<u64, Result<Vec<u8>, Failure>>,
    /// A segment of the change buffer waits to be sealed or freed.
    pub segments_wait: bool,
}

impl Database {
    /// Stream tables, those that are read before those that read them, and the more important first: that is the order in which
    /// they are attached, and take the one place of a table that fills. A cycle cannot exist: a definition can only name
    /// what exists already; should the catalog show one all the same, its members come last in any order.
    pub fn order(&self) -> Vec<u32> {
        let mut order = Vec::with_capacity(self.tables.len());
        let mut left: Vec<u32> = self.tables.keys().copied().collect();
        left.sort_unstable_by_key(|table| (self.tables[table].definition.tier, *table));
        while !left.is_empty() {
            let waiting: HashSet<u32> = left.iter().copied().collect();
            let (ready, rest): (Vec<u32>, Vec<u32>) =
                left.iter().partition(|table| self.upstream_of(**table).iter().all(|u| !waiting.contains(u)));
            if ready.is_empty() {
                order.extend(rest);
                break;
            }
            order.extend(ready);
            left = rest;
        }
        order
    }

    /// Stream tables that `table` reads directly.
    pub fn upstream_of(&self, table: u32) -> Vec<u32> {
        self.tables.get(&table).map_or_else(Vec::new, |state| state.upstream.clone())
    }

    /// Stream tables that read `table` directly.
    pub fn direct_readers(&self, table: u32) -> Vec<u32> {
        self.tables.iter().filter(|(_, state)| state.upstream.contains(&table)).map(|(oid, _)| *oid).collect()
    }

    /// Stream tables that read any of `sources` (base tables, whatever is part of them, or stream tables), directly or
    /// through others.
    pub fn readers_of(&self, sources: &HashSet<u32>) -> HashSet<u32> {
        if sources.is_empty() {
            return HashSet::new();
        }
        let sources = self.sources.over(sources);
        let mut readers: HashSet<u32> = HashSet::new();
        loop {
            let before = readers.len();
            for (oid, state) in &self.tables {
                let reads = state.sources.iter().any(|(source, _)| sources.contains(source))
                    || state.upstream.iter().any(|table| sources.contains(table) || readers.contains(table));
                if reads {
                    readers.insert(*oid);
                }
            }
            if readers.len() == before {
                return readers;
            }
        }
    }

    /// Base tables under all stream tables with whatever is part of them, in OID order.
    pub fn base_tables(&self) -> Vec<u32> {
        let sources = self.tables.values().flat_map(|state| state.sources.iter().map(|(source, _)| *source));
        let sources: HashSet<u32> = sources.collect();
        let mut all: Vec<u32> = sources.into_iter().flat_map(|source| self.sources.relations(source)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Base tables that `table` reads, directly or through other stream tables, with whatever is part of them.
    pub fn base_tables_of(&self, table: u32) -> HashSet<u32> {
        let mut found = HashSet::new();
        let mut seen = HashSet::new();
        let mut queue = vec![table];
        while let Some(oid) = queue.pop() {
            if !seen.insert(oid) {
                continue;
            }
            if let Some(state) = self.tables.get(&oid) {
                found.extend(state.sources.iter().flat_map(|(source, _)| self.sources.relations(*source)));
                queue.extend(&state.upstream);
            }
        }
        found
    }

    /// Whether the engine runs a graph for `table`.
    pub fn is_live_graph(&self, table: u32) -> bool {
        self.engine.graphs().contains(&table)
    }

    /// Full-mode tables that this cycle will evaluate.
    pub fn full_tables_due(&self, agenda: &Agenda, held: &HashSet<u32>) -> HashSet<u32> {
        let full = |oid: &u32| matches!(self.tables.get(oid).map(|table| &table.mode), Some(Mode::Full(_)));
        agenda.due.iter().chain(&agenda.attach).copied().filter(|oid| full(oid) && !held.contains(oid)).collect()
    }

    /// Takes a graph out of the engine, with the graphs that read it; returns all of them.
    pub fn detach_graph(&mut self, table: u32) -> Vec<u32> {
        let mut gone = self.engine.detach(table);
        if !gone.contains(&table) {
            gone.push(table);
        }
        for graph in &gone {
            self.reported.remove(graph);
            self.complete.remove(graph);
            self.awaited.remove(graph);
            self.filled.remove(graph);
            self.late.remove(graph);
        }
        self.end_filling(&gone);
        gone
    }

    /// Forgets what came out of graphs that are gone.
    pub fn forget(&mut self, graphs: &[u32]) {
        for graph in graphs {
            if let Some(table) = self.tables.get_mut(graph) {
                table.forget_graph();
            }
        }
    }

    /// Detaches a table and everything that reads it; all are attached again by difference.
    pub fn detach_and_forget(&mut self, table: u32) {
        let mut all: Vec<u32> = self.readers_of(&HashSet::from([table])).into_iter().collect();
        all.push(table);
        for table in &all {
            let gone = self.detach_graph(*table);
            self.forget(&gone);
        }
    }

    /// Answers a request and wakes who asked.
    pub fn answer(&self, request: &Request, result: &Result<Vec<u8>, Failure>) {
        if let Some(shared) = crate::shm::shared() {
            if let Some(pid) = shared.requests.answer(request, result) {
                crate::pg::process::wake(pid);
            }
        }
    }
}
