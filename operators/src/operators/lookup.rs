//! Lookup: the step of a delta join (HAZARDS E0, E11).
//!
//! A row change at time `t` meets the rows of an arrangement that have the same key, as they are strictly before `t` or
//! through `t`. Which of the two is a physical cut of the trace, so nothing is compared by time. The operator waits
//! until the arrangement's frontier allows the cut, works in slices, and keeps the capability of what it has not done.

use super::arrangement::{compact, count, cut, Arrangement, RowCursor, RowStorage, RowTrace};
use super::border::{Diff, Time};
use super::context::{Budget, Context, Downstream, OperatorContext};
use super::{bucket, occurrences, weight, Keyed, Rows};
use crate::expr::EvalError;
use crate::value::{Row, RowBuilder, RowRef};
use differential_dataflow::trace::Cursor;
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::Capability;

/// Where the arrangement is cut for a change at time `t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    Through,
}

/// Gives each row its key; a row for which `key` returns false has none and is dropped. An error ends the graph: a row must
/// not vanish because its bytes cannot be read.
pub fn key_by<'s>(
    input: Rows<'s>,
    name: &str,
    context: &Context,
    mut key: impl FnMut(RowRef<'_>, &mut RowBuilder) -> Result<bool, EvalError> + 'static,
) -> Keyed<'s> {
    let scope = input.scope();
    let context = context.clone();
    input.unary::<CapacityContainerBuilder<Vec<(Row, Row, Diff)>>, _, _, _>(Pipeline, name, move |_, info| {
        let operator = context.operator(&format!("key {name}"), scope.activator_for(info.address));
        let mut builder = RowBuilder::default();
        move |input, output| {
            let _running = operator.enter();
            let halted = operator.halted();
            input.for_each(|capability, data| {
                if halted {
                    return data.clear();
                }
                let mut session = output.session(&capability);
                for (row, diff) in data.drain(..) {
                    match key(row.as_ref(), &mut builder) {
                        Ok(true) => session.give((builder.finish(), row, diff)),
                        Ok(false) => builder.clear(),
                        Err(error) => {
                            builder.clear();
                            operator.malformed(&error);
                        }
                    }
                }
            });
        }
    })
}

/// The lookups of one time, sorted by key, and how far they are done.
struct Active {
    capability: Capability<Time>,
    rows: Vec<(Row, Row, Diff)>,
    /// The rows of the key in work.
    group: std::ops::Range<usize>,
    /// What they and their keys take up.
    bytes: usize,
    /// The next of them to meet the value that the cursor stands at.
    next: usize,
    sought: bool,
    cursor: RowCursor,
    storage: RowStorage,
}

/// Joins each keyed row with the arrangement's rows of the same key. `combine` writes the joined row and says whether it
/// passes; what it refuses leaves nothing. `own` is what the operator before it knows it by, `next` the lookup after it.
pub fn lookup<'s>(
    input: Keyed<'s>,
    arrangement: &Arrangement<'s>,
    side: Side,
    name: &str,
    (own, next): (&Downstream, &Downstream),
    context: &Context,
    mut combine: impl FnMut(RowRef<'_>, RowRef<'_>, &mut RowBuilder) -> Result<bool, EvalError> + 'static,
) -> Rows<'s> {
    let scope = input.scope();
    let mut trace: Option<RowTrace> = Some(arrangement.trace.clone());
    let context = context.clone();
    let pact = Exchange::new(|(key, _, _): &(Row, Row, Diff)| bucket(key.as_ref()));
    let batches = arrangement.batches.clone();
    let (own, next) = (own.clone(), next.clone());
    input.binary_frontier::<_, CapacityContainerBuilder<Vec<(Row, Diff)>>, _, _, _, _>(
        batches,
        pact,
        Pipeline,
        name,
        move |_, info| {
            let operator = context.operator(&format!("lookup {name}"), scope.activator_for(Rc::clone(&info.address)));
            own.is(&operator);
            let mut waiting: BTreeMap<Time, (Capability<Time>, usize, Vec<(Row, Row, Diff)>)> = BTreeMap::new();
            let mut active: Option<Active> = None;
            let mut builder = RowBuilder::default();
            move |(input, frontier), (batches, arranged), output| {
                let _running = operator.enter();
                let halted = operator.halted();
                batches.for_each(|_, data| data.clear());
                input.for_each(|capability, data| {
                    let Some(&time) = capability.least() else { return data.clear() };
                    if halted {
                        return data.clear();
                    }
                    operator.count_in(data.len());
                    let bytes: usize = data.iter().map(|(key, row, _)| weight(key) + weight(row)).sum();
                    operator.hold(data.len() as Diff, bytes as Diff);
                    let (_, held, rows) =
                        waiting.entry(time).or_insert_with(|| (capability.delayed(&time, 0), 0, Vec::new()));
                    *held += bytes;
                    rows.append(data);
                });
                if halted {
                    waiting.clear();
                    (active, trace) = (None, None);
                    operator.holds(0, 0);
                    return;
                }
                let mut budget = Budget::new(&context);
                loop {
                    if (active.is_some() || !waiting.is_empty()) && next.is_behind(&operator) {
                        break;
                    }
                    if active.is_none() {
                        let Some(entry) = waiting.first_entry() else { break };
                        let Some(trace) = &mut trace else { break };
                        let time = *entry.key();
                        let (ready, at) = match side {
                            Side::Before => (!arranged.less_than(&time), time),
                            Side::Through => (!arranged.less_equal(&time), time + 1),
                        };
                        if !ready {
                            break;
                        }
                        let (capability, bytes, mut rows) = entry.remove();
                        rows.sort_unstable();
                        let (cursor, storage) = cut(trace, at);
                        let (group, next, sought) = (0..0, 0, false);
                        active = Some(Active { capability, rows, group, bytes, next, sought, cursor, storage });
                    }
                    let Some(work) = &mut active else { break };
                    if work.run(&mut budget, output, &mut builder, &mut combine, &operator) {
                        operator.hold(-(work.rows.len() as Diff), -(work.bytes as Diff));
                        active = None;
                    } else {
                        context.control.check_memory();
                        operator.activator.activate();
                        break;
                    }
                }
                // The trace must keep the cuts that what waits, and what may still come, will ask for.
                let hold = [
                    frontier.frontier().first().copied(),
                    waiting.keys().next().copied(),
                    active.as_ref().map(|work| *work.capability.time()),
                ];
                match (hold.into_iter().flatten().min(), &mut trace) {
                    (Some(time), Some(trace)) => compact(trace, time),
                    (None, slot) => *slot = None,
                    (Some(_), None) => {}
                }
            }
        },
    )
}

type Output<'a> =
    timely::dataflow::operators::generic::OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<(Row, Diff)>>>;

impl Active {
    /// Goes on until all is done (true) or the budget is spent (false).
    fn run(
        &mut self,
        budget: &mut Budget,
        output: &mut Output<'_>,
        builder: &mut RowBuilder,
        combine: &mut impl FnMut(RowRef<'_>, RowRef<'_>, &mut RowBuilder) -> Result<bool, EvalError>,
        operator: &OperatorContext,
    ) -> bool {
        let mut emitted = 0;
        let mut session = output.session(&self.capability);
        let done = loop {
            if self.group.is_empty() {
                let start = self.group.end;
                let Some((key, _, _)) = self.rows.get(start) else { break true };
                let length = self.rows[start..].iter().take_while(|(other, _, _)| other == key).count();
                self.group = start..start + length;
                self.next = start;
                self.sought = false;
            }
            let key = self.rows[self.group.start].0.as_ref();
            if !self.sought {
                self.cursor.seek_key(&self.storage, key);
                self.sought = true;
                if self.cursor.get_key(&self.storage) != Some(key) {
                    self.group = self.group.end..self.group.end;
                    if !budget.spend() {
                        break false;
                    }
                    continue;
                }
            }
            if !self.cursor.val_valid(&self.storage) {
                self.group = self.group.end..self.group.end;
                continue;
            }
            let held = count(&mut self.cursor, &self.storage);
            let mut more = budget.spend();
            if held != 0 {
                let value = self.cursor.val(&self.storage);
                while self.next < self.group.end && more {
                    let (_, row, diff) = &self.rows[self.next];
                    match combine(row.as_ref(), value, builder) {
                        Ok(true) => {
                            let row = builder.finish();
                            match occurrences(*diff, held) {
                                Some(count) => session.give((row, count)),
                                None => operator.too_many(),
                            }
                            emitted += 1;
                        }
                        Ok(false) => builder.clear(),
                        Err(error) => {
                            builder.clear();
                            operator.malformed(&error);
                        }
                    }
                    self.next += 1;
                    more = budget.spend();
                }
            } else {
                self.next = self.group.end;
            }
            if self.next == self.group.end {
                self.cursor.step_val(&self.storage);
                self.next = self.group.start;
            }
            if !more {
                break false;
            }
        };
        operator.count_out(emitted);
        done
    }
}
