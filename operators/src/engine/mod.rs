//! The engine: threads that run timely workers, and the main thread's handle to them.
//!
//! Nothing here blocks the main thread: commands go into unbounded channels whose bytes are counted
//! ([`Engine::queued_bytes`]), so that it is the feed that is bounded; events are polled, and `notify` is called after each.

pub mod api;
mod attach;
mod feed;
mod registry;
mod start;
mod statistics;
mod worker;

use crate::operators::border::{Diff, ErrorRow, EvaluationReply, MemoryGauge, StopReason, Time};
use crate::operators::consolidate;
use crate::operators::context::Slice;
use crate::operators::memory::Memory;
use crate::plan::GraphId;
use crate::value::Row;
use api::Event;
use crossbeam_channel::{Receiver, Sender};
use registry::Registry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::Arc;
use std::thread::{JoinHandle, Thread};
use worker::{Command, Incarnation, Part};

pub use feed::Affected;
pub use registry::LaneId;
pub use statistics::{ArrangementStatistics, OperatorStatistics, Statistics};

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

impl Engine {
    /// PostgreSQL's answer to an [`Event::Evaluate`].
    pub fn reply(&mut self, reply: EvaluationReply) {
        if reply.worker < self.commands.len() {
            self.send_to(reply.worker, Command::Reply(reply));
        }
    }

    /// Whether [`Engine::poll`] has something to look at.
    pub fn has_events(&self) -> bool {
        !self.pending.is_empty() || !self.events.is_empty()
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
