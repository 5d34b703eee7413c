//! The engine: threads that run timely workers, and the main thread's handle to them.
//!
//! Nothing here blocks the main thread: commands go into unbounded channels whose bytes are counted
//! ([`Engine::queued_bytes`]), so that it is the feed that is bounded; events are polled, and `notify` is called after each.

pub mod api;
mod registry;
mod worker;

use crate::expr::clock::Instant;
use crate::graph::requirements::{Requirements, SharedArrangement};
use crate::operators::arrangement::set_idle_merging;
use crate::operators::border::{Diff, ErrorRow, EvaluationReply, MemoryGauge, StopReason, Time};
use crate::operators::consolidate;
use crate::operators::context::{current_operator, Control, Slice};
use crate::operators::memory::Memory;
use crate::plan::{GraphId, Plan, SourceId};
use crate::value::Row;
use api::{Event, Hydration, HydrationSource};
use crossbeam_channel::{Receiver, Sender};
use registry::{Arrangement, Graph, Input, Owner, Registry};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use timely::communication::allocator::{ProcessBuilder, Thread as ThreadAllocator};
use timely::communication::{Allocator, Hooks};
use timely::worker::Worker;
use timely::WorkerConfig;
use worker::{Border, Command, EngineThread, Incarnation, InputId, Install, Part};

pub use registry::LaneId;

/// How an engine is set up.
pub struct Config {
    /// Threads, one timely worker each; at least one.
    pub workers: usize,
    pub gauge: Arc<dyn MemoryGauge>,
    /// Called by engine threads after each event: wakes the main thread.
    pub notify: Arc<dyn Fn() + Send + Sync>,
    /// Updates an arrangement merges in one idle round, of merges that have begun; 0: only when written.
    pub idle_merge_effort: usize,
    pub slice: Slice,
}

impl Config {
    pub fn new(workers: usize, gauge: Arc<dyn MemoryGauge>, notify: Arc<dyn Fn() + Send + Sync>) -> Self {
        Config { workers: workers.max(1), gauge, notify, idle_merge_effort: 1000, slice: Slice::default() }
    }
}

/// The connected component that a change touches (HAZARDS E8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// To be advanced together.
    pub sources: Vec<SourceId>,
    /// Those that will report, every upstream before its readers.
    pub graphs: Vec<GraphId>,
}

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

/// The parts of one output that have arrived.
#[derive(Default)]
struct Assembly {
    parts: usize,
    rows: Vec<(Row, Diff)>,
    errors: Vec<(ErrorRow, Diff)>,
}

/// The main thread's handle. One lane so far.
pub struct Engine {
    lane: LaneId,
    memory: Arc<Memory>,
    stop: Arc<AtomicBool>,
    queued: Arc<AtomicUsize>,
    commands: Vec<Sender<Command>>,
    threads: Vec<(JoinHandle<()>, Thread)>,
    events: Receiver<Part>,
    /// Disconnected once all threads have ended.
    ended: Receiver<()>,
    registry: Registry,
    time: Time,
    next_id: u64,
    next_worker: usize,
    assemblies: BTreeMap<(Incarnation, Time), Assembly>,
    pending: VecDeque<Event>,
}

/// Stack of an engine thread: expressions and plans are trees, and walking them recurses.
const STACK: usize = 16 << 20;

impl Engine {
    /// Starts the threads. They inherit the caller's signal mask: block all signals around this call.
    pub fn start(config: Config) -> std::io::Result<Engine> {
        let stop = Arc::new(AtomicBool::new(false));
        let queued = Arc::new(AtomicUsize::new(0));
        let memory = Arc::new(Memory::new(Arc::clone(&config.gauge)));
        let (outbox, events) = crossbeam_channel::unbounded();
        let (alive, ended) = crossbeam_channel::bounded::<()>(0);
        let mut settings = WorkerConfig::default();
        if config.idle_merge_effort > 0 {
            set_idle_merging(&mut settings, config.idle_merge_effort);
        }
        let builders: Vec<Option<ProcessBuilder>> = if config.workers == 1 {
            vec![None]
        } else {
            let refill = Hooks::default().refill;
            ProcessBuilder::new_typed_vector(config.workers, refill, None).into_iter().map(Some).collect()
        };
        let mut engine = Engine {
            lane: LaneId::default(),
            memory: Arc::clone(&memory),
            stop: Arc::clone(&stop),
            queued: Arc::clone(&queued),
            commands: Vec::new(),
            threads: Vec::new(),
            events,
            ended,
            registry: Registry::default(),
            time: 0,
            next_id: 0,
            next_worker: 0,
            assemblies: BTreeMap::new(),
            pending: VecDeque::new(),
        };
        for (index, builder) in builders.into_iter().enumerate() {
            let (sender, commands) = crossbeam_channel::unbounded();
            let border = Border {
                events: outbox.clone(),
                notify: Arc::clone(&config.notify),
                stop: Arc::clone(&stop),
                queued: Arc::clone(&queued),
                memory: Arc::clone(&memory),
                slice: config.slice,
            };
            let (settings, alive) = (settings.clone(), alive.clone());
            let handle = std::thread::Builder::new().name(format!("trickle engine {index}")).stack_size(STACK).spawn(
                move || {
                    let _alive = alive;
                    let allocator = match builder {
                        None => Allocator::Thread(ThreadAllocator::default()),
                        Some(builder) => Allocator::Process(builder.build()),
                    };
                    let worker = Worker::new(settings, allocator, Some(std::time::Instant::now()));
                    thread_main(EngineThread::new(worker, commands, border.clone()), &border);
                },
            );
            match handle {
                Ok(handle) => {
                    let thread = handle.thread().clone();
                    engine.commands.push(sender);
                    engine.threads.push((handle, thread));
                }
                Err(error) => {
                    // Those already started wait for each other's first message; the flag ends them after it never comes.
                    engine.stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(engine)
    }

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

    fn send_rows(&mut self, ids: &[InputId], time: Time, columns: &[i16], mut rows: Vec<(Row, Diff)>) {
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
        let graphs: Vec<GraphId> = registry
            .graphs
            .iter()
            .filter(|(id, graph)| graph.installed && sources.iter().any(|s| registry.sources_of(**id).contains(s)))
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
        self.send_advance(time, inputs, &graphs);
    }

    /// Moves `inputs` past `time`, those that are not there yet, and asks the complete ones of `graphs` for a report.
    fn send_advance(&mut self, time: Time, mut inputs: Vec<InputId>, graphs: &[GraphId]) {
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

    fn arrange(&mut self, shared: SharedArrangement) -> (worker::ArrangementId, Hydration) {
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

    /// PostgreSQL's answer to an [`Event::Evaluate`].
    pub fn reply(&mut self, reply: EvaluationReply) {
        if reply.worker < self.commands.len() {
            self.send_to(reply.worker, Command::Reply(reply));
        }
    }

    /// The next event, if there is one.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            let event = match self.events.try_recv().ok()? {
                Part::Output { graph, time, rows, errors } => self.assemble(graph, time, rows, errors),
                Part::Evaluate(request) => {
                    let wanted = self.registry.graphs.get(&request.graph).is_some_and(|graph| !graph.control.halted());
                    wanted.then_some(Event::Evaluate(request))
                }
                Part::Stopped { graph, reason } => self.graph_of(graph).map(|graph| {
                    for reader in self.detach(graph) {
                        let reason = StopReason::Upstream { graph };
                        self.pending.push_back(Event::Stopped { graph: reader, reason });
                    }
                    Event::Stopped { graph, reason }
                }),
                Part::Panicked { graph, operator, message } => Some(Event::Panicked { graph, operator, message }),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn graph_of(&self, incarnation: Incarnation) -> Option<GraphId> {
        self.registry.graphs.iter().find(|(_, graph)| graph.incarnation == incarnation).map(|(id, _)| *id)
    }

    fn assemble(
        &mut self,
        incarnation: Incarnation,
        time: Time,
        rows: Vec<(Row, Diff)>,
        errors: Vec<(ErrorRow, Diff)>,
    ) -> Option<Event> {
        let graph = self.graph_of(incarnation)?;
        let assembly = self.assemblies.entry((incarnation, time)).or_default();
        assembly.parts += 1;
        assembly.rows.extend(rows);
        assembly.errors.extend(errors);
        if assembly.parts < self.commands.len() {
            return None;
        }
        let Assembly { mut rows, mut errors, .. } = self.assemblies.remove(&(incarnation, time))?;
        if self.commands.len() > 1 {
            consolidate(&mut rows);
            consolidate(&mut errors);
        }
        Some(Event::Output { graph, time, rows, errors, complete: true })
    }

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

    /// Sets the stop flag and waits for the threads; false if some have not ended in time (they then still run).
    pub fn stop(&mut self, timeout: Duration) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        for (_, thread) in &self.threads {
            thread.unpark();
        }
        // Nothing is ever sent: the channel closes when the last thread ends.
        let ended = self.ended.recv_timeout(timeout) == Err(crossbeam_channel::RecvTimeoutError::Disconnected);
        if ended {
            for (handle, _) in self.threads.drain(..) {
                // A thread catches its own panics and reports them.
                let _ = handle.join();
            }
        }
        ended
    }

    /// The same as a function that needs no engine, for a process that ends while the engine is in use. The threads are not
    /// joined: nothing that they share with this handle may be relied on afterwards.
    pub fn stopper(&self) -> Box<dyn FnOnce(Duration) -> bool + Send> {
        let (stop, ended) = (Arc::clone(&self.stop), self.ended.clone());
        let threads: Vec<Thread> = self.threads.iter().map(|(_, thread)| thread.clone()).collect();
        Box::new(move |timeout| {
            stop.store(true, Ordering::Relaxed);
            for thread in threads {
                thread.unpark();
            }
            ended.recv_timeout(timeout) == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
        })
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn broadcast(&mut self, command: &Command) {
        for worker in 0..self.commands.len() {
            self.send_to(worker, command.clone());
        }
    }

    fn send_to(&mut self, worker: usize, command: Command) {
        // A thread that has ended has said why by an event.
        if self.commands[worker].send(command).is_ok() {
            if let Some((_, thread)) = self.threads.get(worker) {
                thread.unpark();
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for (_, thread) in &self.threads {
            thread.unpark();
        }
    }
}

/// Runs one engine thread to its end. A panic is reported, stops the others, and leaves this thread's state alone: it may
/// be half borrowed, and a second panic would abort the process (HAZARDS E34).
fn thread_main(mut thread: EngineThread, border: &Border) {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        thread.run();
        thread.close();
    }));
    let Err(payload) = outcome else { return };
    std::mem::forget(thread);
    border.stop.store(true, Ordering::Relaxed);
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "panic without a message".to_owned(),
    };
    let (graph, operator) = match current_operator() {
        Some((graph, operator)) => (Some(graph).filter(|graph| *graph != 0), operator),
        None => (None, "engine".to_owned()),
    };
    border.tell(Part::Panicked { graph, operator, message });
}
