//! One engine thread: takes commands, runs the dataflows, reports.
//!
//! It sleeps when there is nothing to do (a command or another worker's message unparks it), and it looks at the stop
//! flag between steps; what may run longer than a moment inside a step looks at it itself.

use crate::expr::clock::Instant;
use crate::graph::requirements::SharedArrangement;
use crate::graph::{build_arrangement, build_graph, Graph, InputHandle, Shared, Wiring};
use crate::operators::arrangement::{compact, RowTrace};
use crate::operators::border::{Diff, ErrorRow, EvaluationReply, EvaluationRequest, StopReason, Time};
use crate::operators::bridge::BridgeGate;
use crate::operators::context::{Context, Control, Evaluations, Slice};
use crate::operators::memory::Memory;
use crate::operators::sink::SinkHandle;
use crate::plan::{GraphId, Plan};
use crate::value::{Row, RowBuilder};
use crossbeam_channel::{Receiver, Sender};
use differential_dataflow::trace::TraceReader;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use timely::progress::Antichain;
use timely::worker::Worker;

/// An input of a dataflow; the same numbers as hydrations have.
pub type InputId = u64;
pub type ArrangementId = u64;
/// One life of a graph: a number that no other life of the same graph has.
pub type Incarnation = u64;

/// Where fed rows go, and which of their columns.
pub type Target = (InputId, Option<Vec<usize>>);

#[derive(Clone)]
pub enum Command {
    Arrange {
        id: ArrangementId,
        input: InputId,
        arrangement: Arc<SharedArrangement>,
        at: Time,
        control: Arc<Control>,
    },
    Install(Arc<Install>),
    Feed {
        targets: Arc<Vec<Target>>,
        time: Time,
        rows: Vec<(Row, Diff)>,
        bytes: usize,
    },
    /// Everything through `time` has been fed to `inputs`; `reports` are due once they have done it.
    Advance {
        inputs: Arc<Vec<InputId>>,
        time: Time,
        reports: Arc<Vec<Incarnation>>,
    },
    /// A graph's clock shows `instant` from `time` on; every worker is told.
    Tick {
        input: InputId,
        time: Time,
        instant: Instant,
    },
    /// The input's stream table has been read; its changes from `from` on come over the bridge.
    Cross {
        input: InputId,
        from: Time,
    },
    Detach {
        graph: Incarnation,
    },
    Release {
        id: ArrangementId,
        input: InputId,
    },
    /// A graph's detachment and what was released with it have been sent.
    Released,
    Reply(EvaluationReply),
}

pub struct Install {
    pub incarnation: Incarnation,
    pub plan: Arc<Plan>,
    pub at: Time,
    /// As the plan's requirements list them.
    pub arrangements: Vec<(ArrangementId, Option<Vec<usize>>)>,
    pub sources: Vec<InputId>,
    pub stream_tables: Vec<(InputId, Incarnation)>,
    pub clock: Option<InputId>,
    pub control: Arc<Control>,
}

/// One worker's part of what happened.
pub enum Part {
    Output {
        graph: Incarnation,
        time: Time,
        rows: Vec<(Row, Diff)>,
        errors: Vec<(ErrorRow, Diff)>,
    },
    Evaluate(EvaluationRequest),
    /// The graph stopped itself; once from every worker that noticed.
    Stopped {
        graph: Incarnation,
        reason: StopReason,
    },
    Panicked {
        graph: Option<GraphId>,
        operator: String,
        message: String,
    },
}

/// What a thread shares with the main thread.
#[derive(Clone)]
pub struct Border {
    pub events: Sender<Part>,
    pub notify: Arc<dyn Fn() + Send + Sync>,
    pub stop: Arc<AtomicBool>,
    /// Bytes in commands that have not been taken yet.
    pub queued: Arc<AtomicUsize>,
    pub memory: Arc<Memory>,
    pub slice: Slice,
}

impl Border {
    pub fn tell(&self, part: Part) {
        // The main thread may be gone already; then nobody waits for this.
        if self.events.send(part).is_ok() {
            (self.notify)();
        }
    }
}

struct Running {
    sink: SinkHandle,
    context: Context,
    due: VecDeque<Time>,
    stopping: bool,
}

struct Held {
    trace: RowTrace,
    /// Compacted through here.
    compacted: Time,
    /// Fed through here.
    fed: Time,
}

/// How many times are let into the dataflows before they get to run (HAZARDS E9).
const TIMES_IN_FLIGHT: usize = 8;

pub struct EngineThread {
    worker: Worker,
    commands: Receiver<Command>,
    border: Border,
    evaluations: Rc<Evaluations>,
    inputs: BTreeMap<InputId, InputHandle>,
    gates: BTreeMap<InputId, BridgeGate>,
    arrangements: BTreeMap<ArrangementId, Held>,
    /// Which arrangement an input feeds.
    feeds: BTreeMap<InputId, ArrangementId>,
    graphs: BTreeMap<Incarnation, Running>,
    graph_inputs: BTreeMap<Incarnation, Vec<InputId>>,
    /// Detached graphs whose operators have not run since.
    released: usize,
}

impl EngineThread {
    pub fn new(worker: Worker, commands: Receiver<Command>, border: Border) -> Self {
        let outbox = border.clone();
        let evaluations = Rc::new(Evaluations::new(Box::new(move |request| outbox.tell(Part::Evaluate(request)))));
        EngineThread {
            worker,
            commands,
            border,
            evaluations,
            inputs: BTreeMap::new(),
            gates: BTreeMap::new(),
            arrangements: BTreeMap::new(),
            feeds: BTreeMap::new(),
            graphs: BTreeMap::new(),
            graph_inputs: BTreeMap::new(),
            released: 0,
        }
    }

    /// Runs until the stop flag is set.
    pub fn run(&mut self) {
        while !self.border.stop.load(Ordering::Relaxed) {
            let mut times = 0;
            let mut applied = false;
            while times < TIMES_IN_FLIGHT {
                let Ok(command) = self.commands.try_recv() else { break };
                times += usize::from(matches!(command, Command::Advance { .. }));
                self.apply(command);
                applied = true;
            }
            // Parks only if nothing is to be run or reported: a command may ask for a report without giving any operator
            // work (a graph of constants, whose rows are long through). More commands may wait; then the step must not park.
            if applied || !self.commands.is_empty() {
                self.worker.step();
            } else {
                self.worker.step_or_park(None);
            }
            for _ in 0..std::mem::take(&mut self.released) {
                self.border.memory.released();
            }
            self.compact();
            self.report();
        }
    }

    /// Lets go of all dataflows; timely would otherwise run them to completion.
    pub fn close(&mut self) {
        self.inputs.clear();
        self.arrangements.clear();
        self.graphs.clear();
        for dataflow in self.worker.installed_dataflows() {
            self.worker.drop_dataflow(dataflow);
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Arrange { id, input, arrangement, at, control } => {
                let context = self.context(control);
                let (handle, trace) = build_arrangement(&mut self.worker, &arrangement, at, &context);
                self.inputs.insert(input, handle);
                self.feeds.insert(input, id);
                self.arrangements.insert(id, Held { trace, compacted: 0, fed: 0 });
            }
            Command::Install(install) => self.install(&install),
            Command::Feed { targets, time, rows, bytes } => {
                self.border.queued.fetch_sub(bytes, Ordering::Relaxed);
                self.feed(&targets, time, rows);
            }
            Command::Advance { inputs, time, reports } => {
                for input in inputs.iter() {
                    if let Some(handle) = self.inputs.get_mut(input) {
                        handle.advance_to(time + 1);
                    }
                    if let Some(held) = self.feeds.get(input).and_then(|id| self.arrangements.get_mut(id)) {
                        held.fed = time + 1;
                    }
                }
                for graph in reports.iter() {
                    if let Some(running) = self.graphs.get_mut(graph) {
                        running.context.completed(time);
                        running.due.push_back(time);
                    }
                }
            }
            Command::Tick { input, time, instant } => {
                if let Some(handle) = self.inputs.get_mut(&input) {
                    handle.advance_to(time);
                    handle.send((Row::from_columns([Some(&instant.to_ne_bytes()[..])]), 1));
                    handle.flush();
                }
            }
            Command::Cross { input, from } => {
                self.inputs.remove(&input);
                if let Some(gate) = self.gates.remove(&input) {
                    gate.open(from);
                }
            }
            Command::Detach { graph } => {
                if let Some(running) = self.graphs.remove(&graph) {
                    running.context.control.halt();
                    running.context.wake();
                }
                for input in self.graph_inputs.remove(&graph).unwrap_or_default() {
                    self.inputs.remove(&input);
                    self.gates.remove(&input);
                }
            }
            Command::Release { id, input } => {
                self.inputs.remove(&input);
                self.feeds.remove(&input);
                self.arrangements.remove(&id);
            }
            Command::Released => self.released += 1,
            Command::Reply(reply) => self.evaluations.deliver(reply),
        }
    }

    fn context(&self, control: Arc<Control>) -> Context {
        Context::new(control, self.worker.index(), Rc::clone(&self.evaluations), self.border.slice)
    }

    fn install(&mut self, install: &Install) {
        let context = self.context(Arc::clone(&install.control));
        let arrangements = install
            .arrangements
            .iter()
            .map(|(id, project)| Shared { trace: self.arrangements[id].trace.clone(), project: project.clone() })
            .collect();
        let mut bridges = Vec::new();
        for (input, upstream) in &install.stream_tables {
            let upstream = &self.graphs[upstream].sink;
            let (reader, gate) = upstream.bridges.reader(upstream.frontier());
            bridges.push(reader);
            self.gates.insert(*input, gate);
        }
        let wiring = Wiring { at: install.at, arrangements, bridges };
        let Graph { sources, stream_tables, clock, sink } =
            build_graph(&mut self.worker, &install.plan, wiring, &context);
        let table_inputs = install.stream_tables.iter().map(|(input, _)| *input);
        let ids: Vec<InputId> = install.sources.iter().copied().chain(table_inputs).collect();
        self.inputs.extend(ids.iter().copied().zip(sources.into_iter().chain(stream_tables)));
        self.inputs.extend(install.clock.zip(clock));
        self.graph_inputs.insert(install.incarnation, ids.into_iter().chain(install.clock).collect());
        let running = Running { sink, context, due: VecDeque::new(), stopping: false };
        self.graphs.insert(install.incarnation, running);
    }

    fn feed(&mut self, targets: &[Target], time: Time, mut rows: Vec<(Row, Diff)>) {
        let mut builder = RowBuilder::default();
        for (index, (input, project)) in targets.iter().enumerate() {
            let Some(handle) = self.inputs.get_mut(input) else { continue };
            handle.advance_to(time);
            let last = index + 1 == targets.len();
            match project {
                Some(columns) => {
                    for (row, diff) in &rows {
                        for &column in columns {
                            builder.push(row.column(column));
                        }
                        handle.send((builder.finish(), *diff));
                    }
                }
                None if last => std::mem::take(&mut rows).into_iter().for_each(|row| handle.send(row)),
                None => rows.iter().for_each(|row| handle.send(row.clone())),
            }
            // Without this, what a later feed of the same time brings would wait for it.
            handle.flush();
        }
    }

    /// Lets arrangements forget what no reader asks for any more.
    fn compact(&mut self) {
        let mut upper = Antichain::new();
        for held in self.arrangements.values_mut() {
            if held.compacted == held.fed {
                continue;
            }
            held.trace.read_upper(&mut upper);
            match upper.elements().first() {
                Some(&time) if time > held.compacted => {
                    compact(&mut held.trace, time);
                    held.compacted = time;
                }
                _ => {}
            }
        }
    }

    fn report(&mut self) {
        for (graph, reason) in self.border.memory.take_given_up() {
            self.border.tell(Part::Stopped { graph, reason });
        }
        for (id, running) in &mut self.graphs {
            if running.stopping {
                continue;
            }
            if let Some(reason) = running.context.control.reason() {
                running.stopping = true;
                running.sink.clear();
                running.context.wake();
                self.border.tell(Part::Stopped { graph: *id, reason });
                continue;
            }
            let frontier = running.sink.frontier();
            if running.due.is_empty() {
                // While a graph hydrates nothing is reported, but what it has made is added up.
                if let Some(done) = frontier.and_then(|frontier| frontier.checked_sub(1)) {
                    running.sink.collect(done);
                }
                continue;
            }
            while let Some(&time) = running.due.front() {
                if frontier.is_some_and(|frontier| frontier <= time) {
                    break;
                }
                running.due.pop_front();
                running.sink.collect(time);
                if let Some(reason) = running.context.suspicion.judge(time) {
                    running.context.control.give_up(reason);
                    break;
                }
                let (rows, errors, bytes) = running.sink.report();
                running.context.control.left(bytes);
                self.border.memory.settle(*id);
                self.border.tell(Part::Output { graph: *id, time, rows, errors });
            }
        }
    }
}
