//! Changes on their way to the inputs: times, rows, clocks, and what a change touches.

use super::api::HydrationSource;
use super::registry::Owner;
use super::worker::{Command, InputId};
use super::Engine;
use crate::expr::clock::Instant;
use crate::operators::border::{Diff, Time};
use crate::plan::{GraphId, SourceId};
use crate::value::Row;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// The connected component that a change touches (HAZARDS E8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// To be advanced together.
    pub sources: Vec<SourceId>,
    /// Those that will report, every upstream before its readers.
    pub graphs: Vec<GraphId>,
}

impl Engine {
    /// A new time, later than all before.
    pub fn open(&mut self) -> Time {
        self.time += 1;
        self.time
    }

    /// Changes of a table at `time`; `columns` are the attribute numbers of `rows`, and must contain what the source's
    /// inputs need ([`Engine::source_columns`]). Inputs that still hydrate do not get them: the main thread must hydrate
    /// them with these changes too.
    pub fn feed(&mut self, time: Time, source: SourceId, columns: &[i16], rows: Vec<(Row, Diff)>) {
        let from = HydrationSource::Table(source);
        let ids: Vec<InputId> =
            self.registry.inputs.iter().filter(|(_, i)| i.from == from && !i.hydrating).map(|(id, _)| *id).collect();
        self.send_rows(&ids, time, columns, rows);
    }

    /// Whether `graph` is attached and reads a clock.
    pub fn reads_clock(&self, graph: GraphId) -> bool {
        self.registry.graphs.get(&graph).is_some_and(|entry| entry.sources.contains(&graph))
    }

    /// The graph's clock shows `instant` from `time` on, or from its installation on if it is not installed yet. A clock
    /// does not go back: an earlier reading than the last one changes nothing. In [`Engine::affected`] and
    /// [`Engine::advance`], the graph's own number stands for its clock.
    pub fn tick(&mut self, time: Time, graph: GraphId, instant: Instant) {
        let Some(entry) = self.registry.graphs.get_mut(&graph) else { return };
        entry.instant = entry.instant.max(Some(instant));
        if let (Some(input), Some(instant)) = (entry.clock, entry.instant) {
            self.broadcast(&Command::Tick { input, time, instant });
        }
    }

    /// The last reading of the graph's clock.
    pub fn instant(&self, graph: GraphId) -> Option<Instant> {
        self.registry.graphs.get(&graph)?.instant
    }

    /// When the clock next changes the graph's own content, as of what it has reported.
    pub fn next_instant(&self, graph: GraphId) -> Option<Instant> {
        self.registry.graphs.get(&graph)?.control.next_instant()
    }

    /// The attribute numbers that something reads of `source`, in ascending order.
    pub fn source_columns(&self, source: SourceId) -> Vec<i16> {
        let from = HydrationSource::Table(source);
        let inputs = self.registry.inputs.values().filter(|input| input.from == from);
        inputs.flat_map(|input| input.columns.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) fn send_rows(&mut self, ids: &[InputId], time: Time, columns: &[i16], mut rows: Vec<(Row, Diff)>) {
        if rows.is_empty() || ids.is_empty() {
            return;
        }
        let mut targets = Vec::new();
        for id in ids {
            let input = &self.registry.inputs[id];
            assert!(time >= input.position, "time {time} has already been advanced for {:?}", input.from);
            let places = crate::graph::columns::positions(&input.columns, columns)
                .unwrap_or_else(|| panic!("columns {columns:?} of {:?} lack some of {:?}", input.from, input.columns));
            targets.push((*id, crate::graph::columns::projection(places, columns.len())));
        }
        // Rows that need no projection can be moved into the last input.
        targets.sort_by_key(|(_, project)| project.is_none());
        let targets = Arc::new(targets);
        let workers = self.commands.len();
        let share = rows.len().div_ceil(workers).max(256);
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(share));
            let bytes = rows.iter().map(|(row, _)| row.heap_bytes() + size_of::<(Row, Diff)>()).sum();
            self.queued.fetch_add(bytes, Ordering::Relaxed);
            let to = self.next_worker % workers;
            self.next_worker = self.next_worker.wrapping_add(1);
            self.send_to(to, Command::Feed { targets: Arc::clone(&targets), time, rows, bytes });
            rows = rest;
        }
    }

    /// Everything of `sources` through `time` has been fed. Graphs that depend on them will report `time` as soon as all
    /// of their sources have passed it.
    pub fn advance(&mut self, time: Time, sources: &[SourceId]) {
        let registry = &self.registry;
        let sources: BTreeSet<SourceId> = sources.iter().copied().collect();
        let graphs: BTreeSet<GraphId> = registry
            .graphs
            .iter()
            .filter(|(id, graph)| graph.installed && !registry.sources_of(**id).is_disjoint(&sources))
            .map(|(id, _)| *id)
            .collect();
        let inputs: Vec<InputId> = registry
            .inputs
            .iter()
            .filter(|(_, input)| match (input.from, input.owner) {
                (HydrationSource::Table(source), _) => sources.contains(&source),
                (HydrationSource::StreamTable(_), Owner::Graph(graph)) => graphs.contains(&graph),
                (HydrationSource::StreamTable(_), Owner::Arrangement(_)) => false,
            })
            .map(|(id, _)| *id)
            .collect();
        let graphs: Vec<GraphId> = graphs.into_iter().collect();
        self.send_advance(time, inputs, &graphs);
    }

    /// Moves `inputs` past `time`, those that are not there yet, and asks the complete ones of `graphs` for a report.
    pub(super) fn send_advance(&mut self, time: Time, mut inputs: Vec<InputId>, graphs: &[GraphId]) {
        inputs.retain(|id| {
            let input = self.registry.inputs.get_mut(id).filter(|input| input.position <= time);
            input.map(|input| input.position = time + 1).is_some()
        });
        let mut reports = Vec::new();
        for id in graphs {
            if let Some(graph) = self.registry.graphs.get_mut(id).filter(|g| g.complete && g.reported < time) {
                graph.reported = time;
                reports.push(graph.incarnation);
            }
        }
        self.broadcast(&Command::Advance { inputs: Arc::new(inputs), time, reports: Arc::new(reports) });
    }

    /// The connected component of `sources`: through shared sources and through stream tables.
    pub fn affected(&self, sources: &[SourceId]) -> Affected {
        let mut found: BTreeSet<SourceId> = sources.iter().copied().collect();
        let mut graphs: BTreeSet<GraphId> = BTreeSet::new();
        loop {
            let before = (found.len(), graphs.len());
            for id in self.registry.graphs.keys() {
                let of = self.registry.sources_of(*id);
                if graphs.contains(id) || !of.is_disjoint(&found) {
                    found.extend(of);
                    graphs.extend(self.registry.upstream_of(*id));
                }
            }
            if before == (found.len(), graphs.len()) {
                break;
            }
        }
        // Constants never change: no advance of a source asks them for a report.
        graphs.retain(|id| {
            self.registry.graphs.get(id).is_some_and(|graph| graph.complete)
                && !self.registry.sources_of(*id).is_empty()
        });
        Affected { sources: found.into_iter().collect(), graphs: self.registry.topological(graphs) }
    }
}
