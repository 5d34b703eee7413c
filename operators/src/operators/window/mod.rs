//! The engine's own window functions: values appended to rows, of which a change touches only those that it can be felt in.
//!
//! Neighbours for lag and lead; for ranks and running aggregates the rows from a change on, until the functions know what
//! they knew before; all rows where the value of the whole partition is another one. When the frontier passes a time its
//! changes are applied by partition and order, and then [`sweep`] walks over the rows in question. It stops and goes on
//! between any two of them, and what it finds is emitted as it goes. State: the rows of every partition in order, with what
//! was emitted for them (see [`partition`]); both are functions of the rows alone, so these are all that a checkpoint needs.

mod emitted;
mod partition;
mod running;
mod sweep;

use super::border::{Diff, ErrorRow};
use super::context::{Budget, Context};
use super::ordered::{place, Entry, Gathered, Place};
use super::stateful::{stateful, Output, Progress, Stateful};
use super::{Errors, Keyed, Rows};
use crate::expr::EvalError;
use crate::plan::{OrderKey, Reach, WindowCall, WindowFrame, WindowFunction};
use crate::value::Row;
use hashbrown::{HashMap, HashSet};
use partition::Partition;
use running::Running;
use std::iter::Peekable;
use sweep::{Step, Sweep};

/// What is computed, sorted by how.
pub struct Functions {
    order: Vec<OrderKey>,
    calls: Vec<WindowCall>,
    /// The calls that go on row by row.
    rows: Vec<usize>,
    /// Those that take in all rows that are equal in the order at once.
    peers: Vec<usize>,
    /// Those over the whole partition.
    whole: Vec<usize>,
    /// Where each call's value comes from.
    sources: Vec<Source>,
    /// How many rows before a row, and after it, calls look at.
    behind: u64,
    ahead: u64,
    /// Whether copies of a row may have different values.
    per_copy: bool,
}

enum Source {
    /// The state with this number.
    State(usize),
    Whole,
    Neighbour,
}

/// What has to be emitted.
#[derive(Default)]
struct Changes {
    rows: Vec<(Row, Diff)>,
    errors: Vec<(EvalError, Row, Diff)>,
}

impl Functions {
    pub fn new(order: Vec<OrderKey>, calls: Vec<WindowCall>) -> Self {
        let of = |is: &dyn Fn(&WindowCall) -> bool| {
            let found = calls.iter().enumerate().filter(|(_, call)| is(call));
            found.map(|(at, _)| at).collect::<Vec<usize>>()
        };
        let following = |call: &WindowCall| call.reach() == Reach::Following;
        let rows = of(&|call| following(call) && call.frame != WindowFrame::Peers);
        let peers = of(&|call| following(call) && call.frame == WindowFrame::Peers);
        let whole = of(&|call| call.reach() == Reach::Partition);
        let source = |at: usize| match rows.iter().chain(&peers).position(|call| *call == at) {
            Some(state) => Source::State(state),
            None if whole.contains(&at) => Source::Whole,
            None => Source::Neighbour,
        };
        let sources = (0..calls.len()).map(source).collect();
        let neighbours = calls.iter().filter_map(WindowCall::neighbours);
        let (from, to) = neighbours.fold((0, 0), |(from, to), (first, last)| (first.min(from), last.max(to)));
        let (behind, ahead) = (from.unsigned_abs(), to.unsigned_abs());
        let ranked = |call: &usize| matches!(calls[*call].function, WindowFunction::Rank | WindowFunction::DenseRank);
        let per_copy = behind > 0 || ahead > 0 || !rows.iter().all(ranked);
        Functions { order, rows, peers, whole, sources, behind, ahead, per_copy, calls }
    }

    /// Whether any call's value follows from that of the rows before.
    fn is_running(&self) -> bool {
        !self.rows.is_empty() || !self.peers.is_empty()
    }

    fn running(&self) -> impl Iterator<Item = usize> + use<'_> {
        self.rows.iter().chain(&self.peers).copied()
    }

    /// What is known before the first row.
    fn states(&self) -> Box<[Running]> {
        self.running().map(|call| Running::new(&self.calls[call].function)).collect()
    }
}

struct Window {
    functions: Functions,
    site: usize,
    partitions: HashMap<Row, Partition>,
    suspects: HashSet<Row>,
    changes: Changes,
}

/// The time in work.
struct Work {
    changes: Peekable<std::vec::IntoIter<(Place, Diff)>>,
    current: Option<Current>,
}

/// The partition in work: taken out of the state, with what it held when that was last counted.
struct Current {
    key: Row,
    partition: Partition,
    noted: (Diff, Diff),
    /// The entries that have changed, in order, and how many of them the walk has passed.
    changed: Vec<(Entry, u32)>,
    next: usize,
    /// None until all changes have been applied.
    sweep: Option<Sweep>,
    settled: bool,
}

/// Appends the values of window functions to keyed rows; `site` is where they may raise.
pub fn window<'s>(input: Keyed<'s>, functions: Functions, site: usize, context: &Context) -> (Rows<'s>, Errors<'s>) {
    stateful("window", input, context, None, move |_| Window {
        functions,
        site,
        partitions: HashMap::new(),
        suspects: HashSet::new(),
        changes: Changes::default(),
    })
}

impl Stateful for Window {
    type Changes = Gathered;
    type Work = Work;

    fn no_changes(&self) -> Gathered {
        Gathered::default()
    }

    fn gather(&mut self, changes: &mut Gathered, key: Row, row: Row, diff: Diff) -> Result<Diff, EvalError> {
        Ok(changes.add(place(&self.functions.order, key, row.as_ref())?, diff))
    }

    fn begin(&mut self, changes: Gathered) -> (Work, Diff) {
        let (changes, more) = changes.sorted();
        (Work { changes: changes.into_iter().peekable(), current: None }, more)
    }

    fn proceed(&mut self, work: &mut Work, budget: &mut Budget, out: &mut Output<'_, '_>) -> Progress {
        loop {
            let mut current = match (work.current.take(), work.changes.peek()) {
                (Some(current), _) => current,
                (None, Some(((key, _, _), _))) => self.take_out(key.clone()),
                (None, None) => return Progress::Done,
            };
            let within = match self.advance(&mut current, work, budget, out) {
                Ok(within) => within,
                Err(error) => {
                    out.operator.malformed(&error);
                    return Progress::Spent;
                }
            };
            self.emit(out);
            if within {
                self.put_back(current, out);
            } else {
                note(&mut current, out);
                work.current = Some(current);
                return Progress::Spent;
            }
        }
    }

    fn suspects(&self) -> usize {
        self.suspects.len()
    }

    fn clear(&mut self) {
        self.partitions = HashMap::new();
        self.changes = Changes::default();
    }
}

/// What is emitted at once at the least, while there is more.
const ROWS_TOGETHER: usize = 1 << 10;

impl Window {
    fn take_out(&mut self, key: Row) -> Current {
        let found = self.partitions.remove(&key);
        let noted = found.as_ref().map_or((0, 0), |partition| held(&key, partition));
        let partition = found.unwrap_or_else(|| Partition::new(&self.functions));
        Current { key, partition, noted, changed: Vec::new(), next: 0, sweep: None, settled: false }
    }

    /// Goes on with a partition: true once nothing is left to do for it.
    fn advance(
        &mut self,
        current: &mut Current,
        work: &mut Work,
        budget: &mut Budget,
        out: &mut Output<'_, '_>,
    ) -> Result<bool, EvalError> {
        while let Some(((_, entry, order), diff)) = work.changes.next_if(|((key, _, _), _)| *key == current.key) {
            current.partition.change(&self.functions, &entry, order, diff, &mut self.changes)?;
            current.changed.push((entry, order));
            if !budget.spend() {
                return Ok(false);
            }
        }
        if !current.settled {
            current.settled = true;
            if current.partition.settle(&self.functions) {
                current.sweep = Some(Sweep::new(&current.partition, &self.functions, None));
            }
        }
        loop {
            let sweep = match &mut current.sweep {
                Some(sweep) => sweep,
                None => match current.changed.get(current.next) {
                    Some(change) => current.sweep.insert(Sweep::new(&current.partition, &self.functions, Some(change))),
                    None => return Ok(true),
                },
            };
            let (changed, next) = (&current.changed, &mut current.next);
            let step = sweep.step(&mut current.partition, &self.functions, changed, next, &mut self.changes)?;
            if step == Step::Done {
                current.sweep = None;
            }
            if self.changes.rows.len() + self.changes.errors.len() >= ROWS_TOGETHER {
                self.emit(out);
            }
            if !budget.spend() {
                return Ok(false);
            }
        }
    }

    fn emit(&mut self, out: &mut Output<'_, '_>) {
        out.rows(&mut self.changes.rows);
        for (error, row, diff) in self.changes.errors.drain(..) {
            out.error(ErrorRow { site: self.site, error, row }, diff);
        }
    }

    fn put_back(&mut self, mut current: Current, out: &Output<'_, '_>) {
        if current.partition.is_sound() {
            self.suspects.remove(&current.key);
        } else {
            self.suspects.insert(current.key.clone());
        }
        if current.partition.is_empty() {
            out.operator.hold(-current.noted.0, -current.noted.1);
        } else {
            current.sweep = None;
            current.changed = Vec::new();
            note(&mut current, out);
            self.partitions.insert(current.key, current.partition);
        }
    }
}

/// Counts what the partition holds by now.
fn note(current: &mut Current, out: &Output<'_, '_>) {
    let now = held(&current.key, &current.partition);
    let walk = current.changed.capacity() * size_of::<(Entry, u32)>() + current.sweep.as_ref().map_or(0, Sweep::bytes);
    let now = (now.0, now.1 + walk as Diff);
    out.operator.hold(now.0 - current.noted.0, now.1 - current.noted.1);
    current.noted = now;
}

/// Rows and bytes of a partition.
fn held(key: &Row, partition: &Partition) -> (Diff, Diff) {
    (partition.entries() as Diff, (key.heap_bytes() + partition.bytes()) as Diff)
}
