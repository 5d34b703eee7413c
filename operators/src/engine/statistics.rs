//! What graphs and arrangements have done and hold.

use super::Engine;
use crate::operators::context::Control;
use crate::plan::{GraphId, SourceId};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// One operator's counters, summed over the workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorStatistics {
    pub name: String,
    pub rows_in: u64,
    pub rows_out: u64,
    pub activations: u64,
    pub time: Duration,
    pub held_rows: u64,
    pub held_bytes: u64,
}

/// What a graph has done and holds since it was installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// In the order in which the graph was built.
    pub operators: Vec<OperatorStatistics>,
    /// The shared arrangements it reads: their source, columns, counters, and how many graphs read each.
    pub arrangements: Vec<ArrangementStatistics>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrangementStatistics {
    pub source: SourceId,
    pub columns: Vec<i16>,
    pub rows: u64,
    pub bytes: u64,
    pub readers: usize,
}

impl Engine {
    /// Bytes of rows that have been fed and not yet taken by the threads.
    pub fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// The main thread keeps so many bytes of what `graph` has reported; they are charged to it. Until this is said, that is
    /// everything reported.
    pub fn keep(&self, graph: GraphId, bytes: usize) {
        if let Some(graph) = self.registry.graphs.get(&graph) {
            graph.control.keep(bytes);
        }
    }

    /// What a graph is charged with: its operators' state, what is kept of its output, and its parts of the arrangements
    /// that it shares.
    pub fn held_bytes(&self, graph: GraphId) -> usize {
        self.registry.graphs.get(&graph).map_or(0, |graph| self.memory.held(graph.incarnation))
    }

    /// All graphs that are attached.
    pub fn graphs(&self) -> Vec<GraphId> {
        self.registry.graphs.keys().copied().collect()
    }

    /// Bytes that a graph's operators and all of the arrangements that it reads hold, whoever else reads these.
    pub fn state_bytes(&self, graph: GraphId) -> u64 {
        let Some(graph) = self.registry.graphs.get(&graph) else { return 0 };
        let held = |control: &Control| control.counters().iter().map(|counters| counters.held().1).sum::<u64>();
        let arrangements = graph.arrangements.iter().filter_map(|(id, _)| self.registry.arrangements.get(id));
        held(&graph.control) + arrangements.map(|arrangement| held(&arrangement.control)).sum::<u64>()
    }

    pub fn statistics(&self, graph: GraphId) -> Option<Statistics> {
        let graph = self.registry.graphs.get(&graph)?;
        let arrangements = graph.arrangements.iter().filter_map(|(id, _)| {
            let arrangement = self.registry.arrangements.get(id)?;
            let (rows, bytes) = arrangement.control.counters().iter().fold((0, 0), |(rows, bytes), counters| {
                let held = counters.held();
                (rows + held.0, bytes + held.1)
            });
            let readers = self.registry.graphs.values().filter(|graph| graph.arrangements.iter().any(|a| a.0 == *id));
            Some(ArrangementStatistics {
                source: arrangement.shared.source,
                columns: arrangement.shared.columns.clone(),
                rows,
                bytes,
                readers: readers.count(),
            })
        });
        let counters = graph.control.counters();
        let operators = counters.iter().map(|counters| OperatorStatistics {
            name: counters.name.clone(),
            rows_in: counters.rows_in.load(Ordering::Relaxed),
            rows_out: counters.rows_out.load(Ordering::Relaxed),
            activations: counters.activations.load(Ordering::Relaxed),
            time: Duration::from_nanos(counters.nanoseconds.load(Ordering::Relaxed)),
            held_rows: counters.held().0,
            held_bytes: counters.held().1,
        });
        Some(Statistics { operators: operators.collect(), arrangements: arrangements.collect() })
    }
}
