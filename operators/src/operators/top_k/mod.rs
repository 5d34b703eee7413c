//! ORDER BY … LIMIT/OFFSET/WITH TIES and DISTINCT ON: the first rows of each partition in an order.
//!
//! Changes are gathered as they arrive. When the frontier passes a time they are sorted by partition and order, applied one
//! by one, and for each partition the rows that have come into view or gone out of it are emitted, consolidated. The work
//! stops and goes on between any two changes, also within a partition. State: all rows of every partition, in order (see
//! [`partition`]); what has been emitted is a function of them, so the rows are all that a checkpoint needs. Among rows that
//! are equal in the order those with the least image come first.

mod partition;

pub use partition::Limits;

use super::border::{Diff, Time};
use super::context::{Budget, Context, OperatorContext};
use super::{bucket, consolidate, Keyed, Rows};
use crate::expr::EvalError;
use crate::plan::OrderKey;
use crate::value::order::order_column;
use crate::value::{Row, RowRef};
use hashbrown::{HashMap, HashSet};
use partition::{entry_weight, Entry, Partition};
use std::collections::BTreeMap;
use std::iter::Peekable;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::Capability;

/// What is shown of each partition.
pub struct Specification {
    pub order: Vec<OrderKey>,
    pub limits: Limits,
}

/// A partition's key, a row in order, and how many of its bytes are the order's.
type Place = (Row, Entry, u32);

/// The changes of a time that is not complete.
struct Open {
    capability: Capability<Time>,
    changes: Vec<(Place, Diff)>,
    /// How many of them are left of the last consolidation.
    consolidated: usize,
    bytes: usize,
}

/// The time in work.
struct Work {
    capability: Capability<Time>,
    changes: Peekable<std::vec::IntoIter<(Place, Diff)>>,
    bytes: usize,
    /// The partition in work: taken out of the state, with what it held then and what is to be emitted for it.
    current: Option<Current>,
}

struct Current {
    key: Row,
    partition: Partition,
    noted: (Diff, Diff),
    out: Vec<(Row, Diff)>,
}

/// Below so many changes they are not consolidated before their time is complete.
const CONSOLIDATE_FROM: usize = 16 << 10;

struct TopK {
    specification: Specification,
    operator: OperatorContext,
    partitions: HashMap<Row, Partition>,
    open: BTreeMap<Time, Open>,
    work: Option<Work>,
    suspects: HashSet<Row>,
    suspected: usize,
}

/// The first rows of each key's.
pub fn top_k<'s>(input: Keyed<'s>, specification: Specification, context: &Context) -> Rows<'s> {
    let scope = input.scope();
    let context = context.clone();
    let pact = Exchange::new(|(key, _, _): &(Row, Row, Diff)| bucket(key.as_ref()));
    input.unary_frontier::<CapacityContainerBuilder<Vec<(Row, Diff)>>, _, _, _>(pact, "TopK", move |_, info| {
        let operator = context.operator("top k", scope.activator_for(info.address));
        let mut top_k = TopK {
            specification,
            operator,
            partitions: HashMap::new(),
            open: BTreeMap::new(),
            work: None,
            suspects: HashSet::new(),
            suspected: 0,
        };
        move |(input, frontier), output| {
            let counters = std::sync::Arc::clone(&top_k.operator.counters);
            let context = top_k.operator.context().clone();
            let _running = top_k.operator.enter_as(&counters);
            let halted = top_k.operator.halted();
            input.for_each(|capability, data| {
                let Some(&time) = capability.least() else { return data.clear() };
                if halted {
                    return data.clear();
                }
                top_k.operator.count_in(data.len());
                let open = top_k.open.entry(time).or_insert_with(|| Open {
                    capability: capability.delayed(&time, 0),
                    changes: Vec::new(),
                    consolidated: 0,
                    bytes: 0,
                });
                let before = open.bytes;
                for (key, row, diff) in data.drain(..) {
                    match top_k.specification.place(key, row.as_ref()) {
                        Ok(place) => {
                            open.bytes += weight(&place);
                            open.changes.push((place, diff));
                        }
                        Err(error) => top_k.operator.malformed(&error),
                    }
                }
                if open.changes.len() > CONSOLIDATE_FROM.max(2 * open.consolidated) {
                    open.consolidate();
                }
                top_k.operator.hold(0, open.bytes as Diff - before as Diff);
            });
            if halted {
                top_k.open.clear();
                top_k.partitions = HashMap::new();
                top_k.work = None;
                top_k.operator.holds(0, 0);
                return;
            }
            let frontier = frontier.frontier().first().copied();
            top_k.run(frontier, &mut |capability, rows| output.session(capability).give_iterator(rows.drain(..)));
            context.control.check_memory();
        }
    })
}

/// What a change takes up while it waits.
fn weight((key, entry, _): &Place) -> usize {
    key.heap_bytes() + entry_weight(entry)
}

impl Open {
    fn consolidate(&mut self) {
        consolidate(&mut self.changes);
        self.consolidated = self.changes.len();
        self.bytes = self.changes.iter().map(|(place, _)| weight(place)).sum();
    }
}

impl Specification {
    fn place(&self, key: Row, row: RowRef<'_>) -> Result<Place, EvalError> {
        let mut entry = Vec::with_capacity(16 * self.order.len() + row.bytes().len());
        for OrderKey { column, kind, descending, nulls_first } in &self.order {
            order_column(*kind, row.column(*column), *descending, *nulls_first, &mut entry)?;
        }
        let order = entry.len() as u32;
        entry.extend_from_slice(row.bytes());
        Ok((key, entry.into(), order))
    }
}

impl TopK {
    fn run(&mut self, frontier: Option<Time>, emit: &mut dyn FnMut(&Capability<Time>, &mut Vec<(Row, Diff)>)) {
        let mut budget = Budget::new(self.operator.context());
        loop {
            if self.work.is_none() {
                let Some(entry) = self.open.first_entry() else { break };
                if frontier.is_some_and(|frontier| *entry.key() >= frontier) {
                    break;
                }
                let mut open = entry.remove();
                let before = open.bytes;
                open.consolidate();
                self.operator.hold(0, open.bytes as Diff - before as Diff);
                self.work = Some(Work {
                    capability: open.capability,
                    changes: open.changes.into_iter().peekable(),
                    bytes: open.bytes,
                    current: None,
                });
            }
            let Some(mut work) = self.work.take() else { break };
            if !self.proceed(&mut work, &mut budget, emit) {
                self.work = Some(work);
                self.operator.activator.activate();
                break;
            }
            self.operator.hold(0, -(work.bytes as Diff));
            if self.suspects.len() != self.suspected {
                self.suspected = self.suspects.len();
                let suspicion = &self.operator.context().suspicion;
                suspicion.set(*work.capability.time(), &self.operator.name, self.suspected);
            }
        }
    }

    /// Goes on with a time: true once nothing is left of it.
    fn proceed(
        &mut self,
        work: &mut Work,
        budget: &mut Budget,
        emit: &mut dyn FnMut(&Capability<Time>, &mut Vec<(Row, Diff)>),
    ) -> bool {
        while let Some(((key, entry, order), diff)) = work.changes.next() {
            let mut current = match work.current.take() {
                Some(current) => current,
                None => self.take_out(&key),
            };
            current.partition.change(entry, order, diff, &mut current.out);
            let more = work.changes.peek().is_some_and(|((next, _, _), _)| *next == current.key);
            let spent = !budget.spend();
            if more {
                if spent {
                    self.note(&mut current);
                }
                work.current = Some(current);
            } else {
                self.put_back(current, &work.capability, emit);
            }
            if spent {
                return false;
            }
        }
        true
    }

    fn take_out(&mut self, key: &Row) -> Current {
        match self.partitions.remove(key) {
            Some(partition) => {
                let noted = held(key, &partition);
                Current { key: key.clone(), partition, noted, out: Vec::new() }
            }
            None => {
                let partition = Partition::new(&self.specification.limits);
                Current { key: key.clone(), partition, noted: (0, 0), out: Vec::new() }
            }
        }
    }

    /// Counts what the partition holds by now.
    fn note(&self, current: &mut Current) {
        let now = held(&current.key, &current.partition);
        self.operator.hold(now.0 - current.noted.0, now.1 - current.noted.1);
        current.noted = now;
    }

    fn put_back(
        &mut self,
        mut current: Current,
        capability: &Capability<Time>,
        emit: &mut dyn FnMut(&Capability<Time>, &mut Vec<(Row, Diff)>),
    ) {
        current.partition.settle(&mut current.out);
        consolidate(&mut current.out);
        self.operator.count_out(current.out.len());
        emit(capability, &mut current.out);
        if current.partition.is_sound() {
            self.suspects.remove(&current.key);
        } else {
            self.suspects.insert(current.key.clone());
        }
        if current.partition.is_empty() {
            self.operator.hold(-current.noted.0, -current.noted.1);
        } else {
            self.note(&mut current);
            self.partitions.insert(current.key, current.partition);
        }
    }
}

/// Rows and bytes of a partition.
fn held(key: &Row, partition: &Partition) -> (Diff, Diff) {
    (partition.entries() as Diff, (key.heap_bytes() + partition.bytes()) as Diff)
}
