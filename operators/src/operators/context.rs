//! What every operator of one graph shares: how it is told to stop, how memory is watched, what it counts, and how it
//! asks PostgreSQL.

use super::border::{Diff, EvaluationReply, EvaluationRequest, StopReason, Time};
use super::memory::Memory;
use crate::expr::EvalError;
use crate::plan::GraphId;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use timely::scheduling::Activator;

/// Counters of one operator, summed over the workers.
#[derive(Debug, Default)]
pub struct Counters {
    pub name: String,
    pub rows_in: AtomicU64,
    pub rows_out: AtomicU64,
    pub activations: AtomicU64,
    pub nanoseconds: AtomicU64,
    /// Rows and bytes that the operator keeps, where it keeps any.
    pub held_rows: AtomicU64,
    pub held_bytes: AtomicU64,
}

impl Counters {
    /// Rows and bytes that the operator keeps. Two workers' additions may be seen in part, so that a sum may be below zero
    /// for a moment.
    pub fn held(&self) -> (u64, u64) {
        let held = |counter: &AtomicU64| (counter.load(Ordering::Relaxed) as i64).max(0) as u64;
        (held(&self.held_rows), held(&self.held_bytes))
    }
}

/// The part of a graph, or of a shared arrangement, that all workers share.
pub struct Control {
    pub graph: GraphId,
    halted: AtomicBool,
    engine_stop: Arc<AtomicBool>,
    reason: Mutex<Option<StopReason>>,
    memory: Arc<Memory>,
    counters: Mutex<Vec<Arc<Counters>>>,
    /// Bytes of what has been reported and is kept for this graph elsewhere.
    outside: AtomicUsize,
    /// What was held when the graph last reported.
    settled: AtomicUsize,
    /// A shared arrangement belongs to no graph.
    shared: bool,
    /// By worker and operator: when the clock will change its output.
    instants: Mutex<BTreeMap<(usize, usize), i64>>,
}

impl Control {
    pub fn new(graph: GraphId, engine_stop: Arc<AtomicBool>, memory: Arc<Memory>) -> Self {
        Control {
            graph,
            halted: AtomicBool::new(false),
            engine_stop,
            reason: Mutex::new(None),
            memory,
            counters: Mutex::default(),
            outside: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            shared: false,
            instants: Mutex::default(),
        }
    }

    /// That of a shared arrangement.
    pub fn shared(engine_stop: Arc<AtomicBool>, memory: Arc<Memory>) -> Self {
        Control { shared: true, ..Control::new(0, engine_stop, memory) }
    }

    /// Whether operators must drop what they hold and do nothing more.
    pub fn halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed) || self.engine_stop.load(Ordering::Relaxed)
    }

    pub fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }

    /// Gives the graph up from inside; the first reason stands. A shared arrangement takes its readers with it.
    pub fn give_up(&self, reason: StopReason) {
        let first = {
            let mut known = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
            let first = known.is_none();
            known.get_or_insert_with(|| reason.clone());
            first
        };
        self.halt();
        if first && self.shared {
            self.memory.give_up_readers(self, &reason);
        }
    }

    pub fn reason(&self) -> Option<StopReason> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// To be called between slices of work that can multiply rows, and where rows pile up.
    pub fn check_memory(&self) {
        self.memory.check();
    }

    /// Bytes that the operators hold, and what is kept of their output.
    pub fn held(&self) -> usize {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.iter().map(|counters| counters.held().1 as usize).sum::<usize>() + self.outside.load(Ordering::Relaxed)
    }

    /// By how much that is more than when the graph last reported.
    pub fn grown(&self) -> usize {
        self.held().saturating_sub(self.settled.load(Ordering::Relaxed))
    }

    pub fn settle(&self) {
        self.settled.store(self.held(), Ordering::Relaxed);
    }

    /// Output of so many bytes has left the engine.
    pub fn left(&self, bytes: usize) {
        self.outside.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes of what has left the engine are kept.
    pub fn keep(&self, bytes: usize) {
        self.outside.store(bytes, Ordering::Relaxed);
    }

    /// The next instant at which the clock changes what some operator has let through, as far as that is known from what
    /// has been reported.
    pub fn next_instant(&self) -> Option<i64> {
        self.instants.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }

    /// All operators' counters, in the order in which the graph was built.
    pub fn counters(&self) -> Vec<Arc<Counters>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn register(&self, index: usize, name: &str) -> Arc<Counters> {
        let mut all = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if index == all.len() {
            all.push(Arc::new(Counters { name: name.to_owned(), ..Counters::default() }));
        }
        // Every worker builds the same operators in the same order, so the index is one the first worker made.
        Arc::clone(&all[index])
    }
}

type Mailbox = Rc<RefCell<Vec<EvaluationReply>>>;

/// One worker's questions to PostgreSQL that wait for an answer.
pub struct Evaluations {
    next: Cell<u64>,
    waiting: RefCell<HashMap<u64, (Mailbox, Rc<Activator>)>>,
    send: Box<dyn Fn(EvaluationRequest)>,
}

impl Evaluations {
    pub fn new(send: Box<dyn Fn(EvaluationRequest)>) -> Self {
        Evaluations { next: Cell::new(0), waiting: RefCell::default(), send }
    }

    /// Puts a reply into the mailbox of the operator that asked; one that has gone in the meantime misses nothing.
    pub fn deliver(&self, reply: EvaluationReply) {
        if let Some((mailbox, activator)) = self.waiting.borrow_mut().remove(&reply.id) {
            mailbox.borrow_mut().push(reply);
            activator.activate();
        }
    }
}

/// Negative counts by time: operators are total over them, and they are judged only at reported times.
#[derive(Clone, Default)]
pub struct Suspicion(Rc<RefCell<Vec<(Time, usize, String)>>>);

impl Suspicion {
    /// After `time`, `operator` holds `count` things that cannot be.
    pub fn set(&self, time: Time, operator: &str, count: usize) {
        self.0.borrow_mut().push((time, count, operator.to_owned()));
    }

    /// What stands wrong once everything through `time` has been done; forgets what is older.
    pub fn judge(&self, time: Time) -> Option<StopReason> {
        let mut log = self.0.borrow_mut();
        let mut last: Vec<(Time, usize, String)> = Vec::new();
        log.retain(|entry| {
            if entry.0 > time {
                return true;
            }
            match last.iter_mut().find(|known| known.2 == entry.2) {
                Some(known) => *known = entry.clone(),
                None => last.push(entry.clone()),
            }
            false
        });
        last.retain(|entry| entry.1 > 0);
        let wrong = last.first().map(|(_, count, operator)| StopReason::Inconsistent {
            operator: operator.clone(),
            detail: format!("{count} groups or rows have a negative count"),
        });
        // What still stands must be judged again at the next report.
        log.splice(0..0, last);
        wrong
    }
}

/// One worker's view of the graph it builds and runs.
#[derive(Clone)]
pub struct Context {
    pub control: Arc<Control>,
    pub worker: usize,
    pub evaluations: Rc<Evaluations>,
    pub suspicion: Suspicion,
    /// How much one activation may do before it lets others run.
    pub slice: Slice,
    /// From when on all that the graph reads has been fed, once that is known.
    complete: Rc<Cell<Option<Time>>>,
    built: Rc<Cell<usize>>,
    activators: Rc<RefCell<Vec<Activator>>>,
}

/// The budget of one activation of a resumable operator.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    pub rows: usize,
    pub time: Duration,
}

impl Default for Slice {
    fn default() -> Self {
        Slice { rows: 100_000, time: Duration::from_millis(10) }
    }
}

impl Context {
    pub fn new(control: Arc<Control>, worker: usize, evaluations: Rc<Evaluations>, slice: Slice) -> Self {
        Context {
            control,
            worker,
            evaluations,
            suspicion: Suspicion::default(),
            slice,
            complete: Rc::default(),
            built: Rc::default(),
            activators: Rc::default(),
        }
    }

    /// The handle of a new operator of this graph; `activator` wakes it.
    pub fn operator(&self, name: &str, activator: Activator) -> OperatorContext {
        let index = self.built.replace(self.built.get() + 1);
        self.activators.borrow_mut().push(activator.clone());
        OperatorContext {
            counters: self.control.register(index, name),
            index,
            name: format!("{index}: {name}"),
            activator: Rc::new(activator),
            context: self.clone(),
            held: Cell::default(),
        }
    }

    /// The time at which everything that the graph reads has been fed for the first time; none while it hydrates.
    pub fn complete(&self) -> Option<Time> {
        self.complete.get()
    }

    /// Everything has been fed at `time`; the first time stands.
    pub fn completed(&self, time: Time) {
        if self.complete.get().is_none() {
            self.complete.set(Some(time));
            self.wake();
        }
    }

    /// Wakes every operator, so that each sees that it must stop, or that it may begin.
    pub fn wake(&self) {
        for activator in self.activators.borrow().iter() {
            activator.activate();
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<(GraphId, String)>> = const { RefCell::new(None) };
}

/// The operator that this thread runs, if it runs one: what a panic names.
pub fn current_operator() -> Option<(GraphId, String)> {
    CURRENT.with(|current| current.borrow().clone())
}

/// One operator's share of the context.
pub struct OperatorContext {
    pub counters: Arc<Counters>,
    pub name: String,
    pub activator: Rc<Activator>,
    index: usize,
    context: Context,
    /// Rows and bytes that the operator holds on this worker.
    held: Cell<(Diff, Diff)>,
}

/// While it lives, the operator is the one this thread runs.
pub struct Running<'a> {
    counters: &'a Counters,
    since: Instant,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.counters.nanoseconds.fetch_add(self.since.elapsed().as_nanos() as u64, Ordering::Relaxed);
        if !std::thread::panicking() {
            CURRENT.with(|current| *current.borrow_mut() = None);
        }
    }
}

impl OperatorContext {
    /// Marks the start of an activation.
    pub fn enter(&self) -> Running<'_> {
        self.enter_as(&self.counters)
    }

    /// As [`OperatorContext::enter`], for an operator that must be borrowed while it runs: `counters` are its own.
    pub fn enter_as<'a>(&self, counters: &'a Counters) -> Running<'a> {
        CURRENT.with(|current| {
            let mut current = current.borrow_mut();
            match &mut *current {
                Some((graph, name)) => {
                    *graph = self.context.control.graph;
                    name.clone_from(&self.name);
                }
                None => *current = Some((self.context.control.graph, self.name.clone())),
            }
        });
        counters.activations.fetch_add(1, Ordering::Relaxed);
        Running { counters, since: Instant::now() }
    }

    pub fn halted(&self) -> bool {
        self.context.control.halted()
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    pub fn count_in(&self, rows: usize) {
        self.counters.rows_in.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub fn count_out(&self, rows: usize) {
        self.counters.rows_out.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// The operator holds so much more on this worker.
    pub fn hold(&self, rows: Diff, bytes: Diff) {
        let (held_rows, held_bytes) = self.held.get();
        let held = (held_rows + rows, held_bytes + bytes);
        // More is taken away than was added: some sum is not that of the same things. The limit would be kept by it.
        debug_assert!(held.0 >= 0 && held.1 >= 0, "operator {} holds {held:?}", self.name);
        self.held.set(held);
        // Two's complement makes the wrapping addition of a negative change right.
        self.counters.held_rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.counters.held_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The operator holds so much on this worker.
    pub fn holds(&self, rows: usize, bytes: usize) {
        let (held_rows, held_bytes) = self.held.get();
        self.hold(rows as Diff - held_rows, bytes as Diff - held_bytes);
    }

    /// The clock will change the operator's output at this instant, and not before.
    pub fn changes_at(&self, instant: Option<i64>) {
        let mut instants = self.context.control.instants.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.context.worker, self.index);
        match instant {
            Some(instant) => instants.insert(key, instant),
            None => instants.remove(&key),
        };
    }

    /// What is wrong is the plan or an image, not the state of the data: the graph cannot go on.
    pub fn malformed(&self, error: &EvalError) {
        if error.is_count() {
            return self.too_many();
        }
        let reason = StopReason::Malformed { operator: self.name.clone(), error: error.clone() };
        self.context.control.give_up(reason);
    }

    /// There are more rows than can be counted.
    pub fn too_many(&self) {
        self.context.control.give_up(StopReason::TooMany { operator: self.name.clone() });
    }

    /// Asks PostgreSQL; the reply will be in `mailbox` and wake the operator. Returns the request's id.
    pub fn evaluate(&self, mailbox: &Mailbox, fragment: usize, rows: Vec<(u64, crate::value::Row)>) -> u64 {
        let evaluations = &self.context.evaluations;
        let id = evaluations.next.replace(evaluations.next.get() + 1);
        evaluations.waiting.borrow_mut().insert(id, (Rc::clone(mailbox), Rc::clone(&self.activator)));
        let (graph, worker) = (self.context.control.graph, self.context.worker);
        (evaluations.send)(EvaluationRequest { id, worker, graph, fragment, rows });
        id
    }
}

/// The lookup that takes what an operator emits, if one does: how many rows wait there, on all workers.
///
/// Whoever multiplies rows stops while the next lookup has that much to do, so that of a hydration of one time only slices
/// are in memory between the operators of a path. That cannot wait for ever: the last lookup of a path waits for nobody,
/// and what a lookup needs to go on are arrangements, which are never made from its own path.
#[derive(Clone, Default)]
pub struct Downstream(Rc<OnceCell<Arc<Counters>>>);

impl Downstream {
    /// `operator` is the one.
    pub fn is(&self, operator: &OperatorContext) {
        // Set while the dataflow is built, once.
        let _ = self.0.set(Arc::clone(&operator.counters));
    }

    /// If too much waits there, has `operator` look again a moment later.
    pub fn is_behind(&self, operator: &OperatorContext) -> bool {
        let waiting = self.0.get().map_or(0, |counters| counters.held_rows.load(Ordering::Relaxed) as i64);
        let behind = waiting > (SLICES_AHEAD * operator.context.slice.rows) as i64;
        if behind {
            operator.activator.activate_after(AGAIN);
        }
        behind
    }
}

/// By how many activations' rows an operator may be ahead of the next.
const SLICES_AHEAD: usize = 2;
/// When one that is too far ahead looks again: the other may be on another worker, which cannot wake it.
const AGAIN: Duration = Duration::from_millis(1);

/// Measures one activation against its budget.
pub struct Budget {
    slice: Slice,
    since: Instant,
    done: usize,
}

impl Budget {
    /// Over the memory limit an activation does next to nothing until the graph that was given up is gone.
    pub fn new(context: &Context) -> Self {
        let mut slice = context.slice;
        if context.control.memory.is_over() {
            slice.rows = 1;
        }
        Budget { slice, since: Instant::now(), done: 0 }
    }

    /// Counts one unit of work; false once the activation has done enough.
    pub fn spend(&mut self) -> bool {
        self.done += 1;
        self.done < self.slice.rows && (!self.done.is_multiple_of(1024) || self.since.elapsed() < self.slice.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_below_zero_is_nothing() {
        let counters = Counters::default();
        counters.held_rows.fetch_add(3, Ordering::Relaxed);
        counters.held_bytes.fetch_add(-5i64 as u64, Ordering::Relaxed);
        assert_eq!(counters.held(), (3, 0));
    }
}
