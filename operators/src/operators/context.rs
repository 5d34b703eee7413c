//! What every operator of one graph shares: how it is told to stop, how memory is watched, what it counts, and how it
//! asks PostgreSQL.

use super::border::{Diff, EvaluationReply, EvaluationRequest, MemoryGauge, StopReason, Time};
use crate::plan::GraphId;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// The part of a graph that all workers share.
pub struct Control {
    pub graph: GraphId,
    halted: AtomicBool,
    engine_stop: Arc<AtomicBool>,
    reason: Mutex<Option<StopReason>>,
    gauge: Arc<dyn MemoryGauge>,
    counters: Mutex<Vec<Arc<Counters>>>,
}

impl Control {
    pub fn new(graph: GraphId, engine_stop: Arc<AtomicBool>, gauge: Arc<dyn MemoryGauge>) -> Self {
        Control {
            graph,
            halted: AtomicBool::new(false),
            engine_stop,
            reason: Mutex::new(None),
            gauge,
            counters: Mutex::default(),
        }
    }

    /// Whether operators must drop what they hold and do nothing more.
    pub fn halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed) || self.engine_stop.load(Ordering::Relaxed)
    }

    pub fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }

    /// Gives the graph up from inside; the first reason stands.
    pub fn give_up(&self, reason: StopReason) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.halt();
    }

    pub fn reason(&self) -> Option<StopReason> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// To be called between slices of work that can multiply rows.
    pub fn check_memory(&self) {
        let (used, limit) = (self.gauge.used(), self.gauge.limit());
        if used > limit {
            self.give_up(StopReason::MemoryLimit { used, limit });
        }
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
            name: format!("{index}: {name}"),
            activator: Rc::new(activator),
            context: self.clone(),
        }
    }

    /// Wakes every operator, so that each sees that it must stop.
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
    context: Context,
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

    pub fn hold(&self, rows: Diff, bytes: Diff) {
        // Two's complement makes the wrapping addition of a negative change right.
        self.counters.held_rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.counters.held_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
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

/// Measures one activation against its budget.
pub struct Budget {
    slice: Slice,
    since: Instant,
    done: usize,
}

impl Budget {
    pub fn new(slice: Slice) -> Self {
        Budget { slice, since: Instant::now(), done: 0 }
    }

    /// Counts one unit of work; false once the activation has done enough.
    pub fn spend(&mut self) -> bool {
        self.done += 1;
        self.done < self.slice.rows && (!self.done.is_multiple_of(1024) || self.since.elapsed() < self.slice.time)
    }
}
