//! The life of a graph: attached, installed, hydrated, detached; with the arrangements that it shares.

use super::api::{Hydration, HydrationSource};
use super::registry::{Arrangement, Graph, Input, Owner};
use super::worker::{ArrangementId, Command, InputId, Install};
use super::Engine;
use crate::graph::requirements::{Requirements, SharedArrangement};
use crate::operators::border::Diff;
use crate::operators::context::Control;
use crate::plan::{GraphId, Plan};
use crate::value::Row;
use std::sync::Arc;

impl Engine {
    /// Makes the shared arrangements that `plan` needs and does not find, and returns what must be fed into them. Stream
    /// tables that the plan reads must have been installed. The graph must not exist.
    pub fn attach(&mut self, graph: GraphId, plan: Arc<Plan>) -> Vec<Hydration> {
        assert!(!self.registry.graphs.contains_key(&graph), "graph {graph} is attached already");
        let required = Requirements::of(&plan);
        let mut hydrations = Vec::new();
        let mut arrangements = Vec::new();
        for wanted in &required.arrangements {
            let found = self.registry.find(self.lane, wanted);
            arrangements.push(found.unwrap_or_else(|| {
                let (id, hydration) = self.arrange(wanted.clone());
                hydrations.push(hydration);
                (id, None)
            }));
        }
        let sources = required.arrangements.iter().map(|a| a.source).chain(required.sources.iter().map(|s| s.0));
        let clock = required.clock.then_some(graph);
        let entry = Graph {
            incarnation: self.new_id(),
            plan,
            control: Arc::new(Control::new(graph, Arc::clone(&self.stop), Arc::clone(&self.memory))),
            arrangements,
            upstream: required.stream_tables.iter().map(|(table, _)| *table).collect(),
            sources: sources.chain(clock).collect(),
            inputs: Vec::new(),
            clock: None,
            instant: None,
            installed: false,
            complete: false,
            reported: 0,
        };
        let mut read: Vec<Arc<Control>> = Vec::new();
        for (id, _) in &entry.arrangements {
            let control = &self.registry.arrangements[id].control;
            if !read.iter().any(|known| Arc::ptr_eq(known, control)) {
                read.push(Arc::clone(control));
            }
        }
        self.memory.enter(entry.incarnation, &entry.control, read);
        self.registry.graphs.insert(graph, entry);
        hydrations
    }

    fn arrange(&mut self, shared: SharedArrangement) -> (ArrangementId, Hydration) {
        let (id, input, at) = (self.new_id(), self.new_id(), self.open());
        let from = HydrationSource::Table(shared.source);
        let columns = shared.columns.clone();
        // An arrangement belongs to no graph.
        let control = Arc::new(Control::shared(Arc::clone(&self.stop), Arc::clone(&self.memory)));
        let shared = Arc::new(shared);
        let command =
            Command::Arrange { id, input, arrangement: Arc::clone(&shared), at, control: Arc::clone(&control) };
        self.broadcast(&command);
        let owner = Owner::Arrangement(id);
        let entry = Input { from, columns: columns.clone(), owner, position: at, hydrating: true };
        self.registry.inputs.insert(input, entry);
        self.registry.arrangements.insert(id, Arrangement { lane: self.lane, shared, input, control });
        (id, Hydration { id: input, from, columns })
    }

    /// Whether all arrangements and stream tables that an attached graph reads are there, so that it can be installed.
    pub fn is_installable(&self, graph: GraphId) -> bool {
        let Some(graph) = self.registry.graphs.get(&graph) else { return false };
        let hydrated =
            |id| self.registry.arrangements.get(id).is_some_and(|a| !self.registry.inputs[&a.input].hydrating);
        let installed = |id| self.registry.graphs.get(id).is_some_and(|graph| graph.installed);
        !graph.installed
            && graph.arrangements.iter().all(|(id, _)| hydrated(id))
            && graph.upstream.iter().all(installed)
    }

    /// Builds an attached graph, and returns what must be fed into its own inputs. Must be installable; not between the
    /// opening of a time and its last advance.
    pub fn install(&mut self, graph: GraphId) -> Vec<Hydration> {
        assert!(self.is_installable(graph), "graph {graph} cannot be installed yet");
        let at = self.open();
        let entry = &self.registry.graphs[&graph];
        let (plan, control) = (Arc::clone(&entry.plan), Arc::clone(&entry.control));
        let (incarnation, arrangements) = (entry.incarnation, entry.arrangements.clone());
        let required = Requirements::of(&plan);
        let mut hydrations = Vec::new();
        let mut new_input = |engine: &mut Engine, from, columns: &Vec<i16>| {
            let id = engine.new_id();
            let owner = Owner::Graph(graph);
            let entry = Input { from, columns: columns.clone(), owner, position: at, hydrating: true };
            engine.registry.inputs.insert(id, entry);
            hydrations.push(Hydration { id, from, columns: columns.clone() });
            id
        };
        let mut sources = Vec::new();
        for (source, columns) in &required.sources {
            sources.push(new_input(self, HydrationSource::Table(*source), columns));
        }
        let mut stream_tables = Vec::new();
        for (table, columns) in &required.stream_tables {
            let id = new_input(self, HydrationSource::StreamTable(*table), columns);
            stream_tables.push((id, self.registry.graphs[table].incarnation));
        }
        let clock = required.clock.then(|| self.new_id());
        let install = Install { incarnation, plan, at, arrangements, sources, stream_tables, clock, control };
        let inputs: Vec<InputId> = hydrations.iter().map(|hydration| hydration.id).chain(clock).collect();
        if let Some(id) = clock {
            let from = HydrationSource::Table(graph);
            let owner = Owner::Graph(graph);
            self.registry.inputs.insert(id, Input { from, columns: vec![], owner, position: at, hydrating: false });
        }
        self.broadcast(&Command::Install(Arc::new(install)));
        if let Some(entry) = self.registry.graphs.get_mut(&graph) {
            entry.inputs = inputs;
            entry.clock = clock;
            entry.installed = true;
            entry.complete = hydrations.is_empty();
        }
        // Before anything else, so that no row is let through that the clock would take back.
        if let Some(instant) = self.registry.graphs[&graph].instant {
            self.tick(at, graph, instant);
        }
        let above = self.registry.inputs_above(graph);
        self.send_advance(at, above, &[graph]);
        hydrations
    }

    /// A chunk of a hydration, as a time of its own: rows of the table, in the hydration's columns. Negative counts are
    /// changes made since the table was read. Not between the opening of a time and its last advance.
    pub fn hydrate(&mut self, id: u64, rows: Vec<(Row, Diff)>) {
        let Some(input) = self.registry.inputs.get(&id) else { return };
        assert!(input.hydrating, "hydration {id} has ended");
        let (columns, owner) = (input.columns.clone(), input.owner);
        let time = self.open();
        self.send_rows(&[id], time, &columns, rows);
        let inputs = match owner {
            Owner::Arrangement(_) => vec![id],
            Owner::Graph(graph) => self.registry.inputs_above(graph),
        };
        self.send_advance(time, inputs, &[]);
    }

    /// Everything has been fed into `id`: from now on it follows its table's feeds, or its stream table's graph.
    pub fn hydrated(&mut self, id: u64) {
        let Some(input) = self.registry.inputs.get_mut(&id) else { return };
        input.hydrating = false;
        let (from, owner) = (input.from, input.owner);
        let time = self.open();
        if let HydrationSource::StreamTable(_) = from {
            self.registry.inputs.remove(&id);
            self.broadcast(&Command::Cross { input: id, from: time });
        }
        let Owner::Graph(graph) = owner else { return };
        let inputs = &self.registry.inputs;
        let Some(entry) = self.registry.graphs.get_mut(&graph) else { return };
        if let HydrationSource::StreamTable(_) = from {
            entry.inputs.retain(|input| *input != id);
        }
        entry.complete = entry.inputs.iter().all(|input| inputs.get(input).is_none_or(|input| !input.hydrating));
        if entry.complete {
            let above = self.registry.inputs_above(graph);
            self.send_advance(time, above, &[graph]);
        }
    }

    /// Ends a graph, and before it those that read it: these are returned. Arrangements that nobody reads any more go.
    pub fn detach(&mut self, graph: GraphId) -> Vec<GraphId> {
        let readers = self.registry.downstream_of(graph);
        for id in readers.iter().chain([&graph]) {
            let Some(entry) = self.registry.graphs.remove(id) else { continue };
            entry.control.halt();
            for input in &entry.inputs {
                self.registry.inputs.remove(input);
            }
            self.assemblies.retain(|(incarnation, _), _| *incarnation != entry.incarnation);
            self.memory.leave(entry.incarnation, self.commands.len());
            self.broadcast(&Command::Detach { graph: entry.incarnation });
            for (arrangement, _) in &entry.arrangements {
                if self.registry.is_read(*arrangement) {
                    continue;
                }
                if let Some(unread) = self.registry.arrangements.remove(arrangement) {
                    unread.control.halt();
                    self.registry.inputs.remove(&unread.input);
                    self.broadcast(&Command::Release { id: *arrangement, input: unread.input });
                }
            }
            self.broadcast(&Command::Released);
        }
        readers
    }
}
