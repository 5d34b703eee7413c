//! What the engine runs, as the main thread knows it: graphs, their inputs, and the arrangements they share.

use super::worker::{ArrangementId, Incarnation, InputId};
use crate::engine::api::{HydrationSource, Time};
use crate::expr::clock::Instant;
use crate::graph::requirements::SharedArrangement;
use crate::operators::context::Control;
use crate::plan::{GraphId, Plan, SourceId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One engine instance: a timeline, its threads, its arrangements. There is one so far; it is part of an arrangement's
/// identity (HAZARDS E9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u32);

pub(super) struct Input {
    pub from: HydrationSource,
    pub columns: Vec<i16>,
    pub owner: Owner,
    /// Everything before this time has been fed.
    pub position: Time,
    pub hydrating: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Arrangement(ArrangementId),
    Graph(GraphId),
}

pub(super) struct Arrangement {
    pub lane: LaneId,
    pub shared: Arc<SharedArrangement>,
    pub input: InputId,
    pub control: Arc<Control>,
}

pub(super) struct Graph {
    pub incarnation: Incarnation,
    pub plan: Arc<Plan>,
    pub control: Arc<Control>,
    /// As the plan's requirements list them.
    pub arrangements: Vec<(ArrangementId, Option<Vec<usize>>)>,
    pub upstream: Vec<GraphId>,
    /// A graph that reads a clock is a source of its own: what it is told there is the time.
    pub sources: BTreeSet<SourceId>,
    pub inputs: Vec<InputId>,
    /// The input of its clock, once it is installed.
    pub clock: Option<InputId>,
    /// The last reading.
    pub instant: Option<Instant>,
    pub installed: bool,
    pub complete: bool,
    /// The last time a report was asked for.
    pub reported: Time,
}

#[derive(Default)]
pub(super) struct Registry {
    pub inputs: BTreeMap<InputId, Input>,
    pub arrangements: BTreeMap<ArrangementId, Arrangement>,
    pub graphs: BTreeMap<GraphId, Graph>,
}

impl Registry {
    /// An existing arrangement that serves `wanted`, and how its rows are narrowed.
    pub fn find(&self, lane: LaneId, wanted: &SharedArrangement) -> Option<(ArrangementId, Option<Vec<usize>>)> {
        self.arrangements
            .iter()
            .filter(|(_, arrangement)| arrangement.lane == lane && arrangement.control.reason().is_none())
            .find_map(|(id, arrangement)| Some((*id, arrangement.shared.serves(wanted)?)))
    }

    /// The sources that `graph` reads, itself or through stream tables.
    pub fn sources_of(&self, graph: GraphId) -> BTreeSet<SourceId> {
        let mut found = BTreeSet::new();
        for graph in self.upstream_of(graph) {
            if let Some(graph) = self.graphs.get(&graph) {
                found.extend(&graph.sources);
            }
        }
        found
    }

    /// `graph` and all graphs that its rows come through.
    pub fn upstream_of(&self, graph: GraphId) -> BTreeSet<GraphId> {
        let mut found = BTreeSet::new();
        let mut open = vec![graph];
        while let Some(graph) = open.pop() {
            if found.insert(graph) {
                open.extend(self.graphs.get(&graph).into_iter().flat_map(|graph| &graph.upstream));
            }
        }
        found
    }

    /// The graphs that read `graph`, directly or through others, those first that nothing else here reads.
    pub fn downstream_of(&self, graph: GraphId) -> Vec<GraphId> {
        let below: BTreeSet<GraphId> =
            self.graphs.keys().copied().filter(|id| *id != graph && self.upstream_of(*id).contains(&graph)).collect();
        let mut order = self.topological(below);
        order.reverse();
        order
    }

    /// `graphs` with every upstream before its readers.
    pub fn topological(&self, graphs: BTreeSet<GraphId>) -> Vec<GraphId> {
        let mut order: Vec<GraphId> = graphs.into_iter().collect();
        // The number of graphs above is larger than that of any of them.
        order.sort_by_key(|graph| (self.upstream_of(*graph).len(), *graph));
        order
    }

    /// The inputs that must pass a time before `graph` can finish it.
    pub fn inputs_above(&self, graph: GraphId) -> Vec<InputId> {
        let mut found = Vec::new();
        for graph in self.upstream_of(graph) {
            let Some(graph) = self.graphs.get(&graph) else { continue };
            found.extend(&graph.inputs);
            found.extend(graph.arrangements.iter().filter_map(|(id, _)| Some(self.arrangements.get(id)?.input)));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether any graph that exists reads the arrangement.
    pub fn is_read(&self, arrangement: ArrangementId) -> bool {
        self.graphs.values().any(|graph| graph.arrangements.iter().any(|(id, _)| *id == arrangement))
    }
}
