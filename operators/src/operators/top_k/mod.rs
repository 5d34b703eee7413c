//! ORDER BY … LIMIT/OFFSET/WITH TIES and DISTINCT ON: the first rows of each partition in an order.
//!
//! When the frontier passes a time its changes are applied one by one, by partition and order, and for each partition the
//! rows that have come into view or gone out of it are emitted, consolidated. The work stops and goes on between any two
//! changes, also within a partition; of one with very many changes the rows are emitted in parts, so that what waits to be
//! emitted is bounded however large OFFSET is. State: all rows of every partition, in order (see [`partition`]); what has
//! been emitted is a function of them, so the rows are all that a checkpoint needs. Among rows that are equal in the order
//! those with the least image come first.

mod partition;

pub use partition::Limits;

use super::border::Diff;
use super::context::{Budget, Context};
use super::ordered::{place, Gathered, Place};
use super::stateful::{stateful, Output, Progress, Stateful};
use super::{consolidate, weight, Keyed, Rows};
use crate::expr::EvalError;
use crate::plan::OrderKey;
use crate::value::Row;
use hashbrown::{HashMap, HashSet};
use partition::Partition;
use std::iter::Peekable;

/// What is shown of each partition.
pub struct Specification {
    pub order: Vec<OrderKey>,
    pub limits: Limits,
}

/// The time in work.
struct Work {
    changes: Peekable<std::vec::IntoIter<(Place, Diff)>>,
    current: Option<Current>,
}

/// The partition in work: taken out of the state, with what it held when that was last counted and what is to be emitted.
struct Current {
    key: Row,
    partition: Partition,
    noted: (Diff, Diff),
    /// Changes since its cuts were moved to where they belong.
    unsettled: usize,
    out: Vec<(Row, Diff)>,
}

/// After so many changes the cuts are moved though there are more to come for the partition: a cut moves by as many rows as
/// have changed, and what one cut takes out of view as the other brings it in cancels.
const CHANGES_TOGETHER: usize = 4 << 10;

struct TopK {
    specification: Specification,
    partitions: HashMap<Row, Partition>,
    suspects: HashSet<Row>,
}

/// The first rows of each key's.
pub fn top_k<'s>(input: Keyed<'s>, specification: Specification, context: &Context) -> Rows<'s> {
    let (rows, _) = stateful("top k", input, context, None, move |_| TopK {
        specification,
        partitions: HashMap::new(),
        suspects: HashSet::new(),
    });
    rows
}

impl Stateful for TopK {
    type Changes = Gathered;
    type Work = Work;

    fn no_changes(&self) -> Gathered {
        Gathered::default()
    }

    fn gather(&mut self, changes: &mut Gathered, key: Row, row: Row, diff: Diff) -> Result<Diff, EvalError> {
        Ok(changes.add(place(&self.specification.order, key, row.as_ref())?, diff))
    }

    fn begin(&mut self, changes: Gathered) -> (Work, Diff) {
        let (changes, more) = changes.sorted();
        (Work { changes: changes.into_iter().peekable(), current: None }, more)
    }

    fn proceed(&mut self, work: &mut Work, budget: &mut Budget, out: &mut Output<'_, '_>) -> Progress {
        while let Some(((key, entry, order), diff)) = work.changes.next() {
            let mut current = match work.current.take() {
                Some(current) => current,
                None => self.take_out(key),
            };
            current.partition.change(entry, order, diff, &mut current.out);
            let more = work.changes.peek().is_some_and(|((next, _, _), _)| *next == current.key);
            current.unsettled += 1;
            if !more || current.unsettled >= CHANGES_TOGETHER {
                current.unsettled = 0;
                current.partition.settle(&mut current.out);
                consolidate(&mut current.out);
                out.rows(&mut current.out);
            }
            let spent = !budget.spend();
            if more {
                if spent {
                    note(&mut current, out);
                }
                work.current = Some(current);
            } else {
                self.put_back(current, out);
            }
            if spent {
                return Progress::Spent;
            }
        }
        Progress::Done
    }

    fn suspects(&self) -> usize {
        self.suspects.len()
    }

    fn clear(&mut self) {
        self.partitions = HashMap::new();
    }
}

impl TopK {
    fn take_out(&mut self, key: Row) -> Current {
        let found = self.partitions.remove(&key);
        let noted = found.as_ref().map_or((0, 0), |partition| held(&key, partition));
        let partition = found.unwrap_or_else(|| Partition::new(&self.specification.limits));
        Current { key, partition, noted, unsettled: 0, out: Vec::new() }
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
            note(&mut current, out);
            self.partitions.insert(current.key, current.partition);
        }
    }
}

/// Counts what the partition holds by now, with what waits to be emitted.
fn note(current: &mut Current, out: &Output<'_, '_>) {
    let now = held(&current.key, &current.partition);
    let waiting: usize = current.out.iter().map(|(row, _)| weight(row)).sum();
    let now = (now.0, now.1 + waiting as Diff);
    out.operator.hold(now.0 - current.noted.0, now.1 - current.noted.1);
    current.noted = now;
}

/// Rows and bytes of a partition.
fn held(key: &Row, partition: &Partition) -> (Diff, Diff) {
    (partition.entries() as Diff, (key.heap_bytes() + partition.bytes()) as Diff)
}
