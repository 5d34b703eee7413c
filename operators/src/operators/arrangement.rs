//! Arrangements: a collection indexed by key, shared by all who look rows up in it.
//!
//! [`arrange`] seals one span per distinct time, so that a trace can be cut strictly before and through any time, however
//! many are in flight; stock `arrange` seals one over all the times its frontier skipped (HAZARDS E2). [`import`] brings
//! an arrangement into a later dataflow: its past stays behind the trace handle, and the stream starts with the live spans
//! from the given time on; stock `import` replays merged spans that cannot be cut any more (HAZARDS E1). [`sweep`] reads
//! the past in slices.

use super::border::{Diff, Time};
use super::context::{Budget, Context, Downstream};
use super::row_container::{RowContainer, RowLayout};
use super::{bucket, weight, Keyed, Rows};
use crate::value::{Row, RowBuilder, RowRef};
use differential_dataflow::operators::arrange::{TraceAgent, TraceReplayInstruction};
use differential_dataflow::trace::cursor::{cursor_list, CursorList};
use differential_dataflow::trace::implementations::ord_neu::val_batch::OrdValStorage;
use differential_dataflow::trace::implementations::ord_neu::{OrdValBatch, Upds, Vals};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};
use differential_dataflow::trace::{Cursor, Description, ExertionLogic, Navigable, Span, Trace, TraceReader};
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::Capability;
use timely::dataflow::{Scope, Stream};
use timely::progress::{Antichain, Stamp};

pub type RowBatch = OrdValBatch<RowLayout>;
pub type RowSpine = Spine<Rc<RowBatch>>;
pub type RowTrace = TraceAgent<RowSpine>;
/// A cursor over several batches, and the batches, which it must be given at every call.
pub type RowCursor = CursorList<<Rc<RowBatch> as Navigable>::Cursor>;
pub type RowStorage = Vec<Rc<RowBatch>>;

/// An arrangement as one dataflow sees it.
#[derive(Clone)]
pub struct Arrangement<'s> {
    pub trace: RowTrace,
    /// The batches as they are sealed, each of one time; its frontier says through which time the trace can be read.
    pub batches: Stream<'s, Time, Vec<Rc<RowBatch>>>,
}

type Batches = CapacityContainerBuilder<Vec<Rc<RowBatch>>>;

/// The cursor over everything strictly before `cut`.
pub fn cut(trace: &mut RowTrace, cut: Time) -> (RowCursor, RowStorage) {
    let batches = trace.batches_through(Antichain::from_elem(cut).borrow()).unwrap_or_default();
    cursor_list(batches)
}

/// The count of the value that the cursor stands at.
pub fn count(cursor: &mut RowCursor, storage: &RowStorage) -> Diff {
    let mut sum = 0;
    cursor.map_times(storage, |_, diff| sum += *diff);
    sum
}

/// Allows a trace to forget the distinctions before `time`, which this handle then no longer can read.
pub fn compact(trace: &mut RowTrace, time: Time) {
    let frontier = Antichain::from_elem(time);
    trace.set_logical_compaction(frontier.borrow());
    trace.set_physical_compaction(frontier.borrow());
}

const EXERT_LOGIC: &str = "differential/default_exert_logic";

/// What arrangements do while nothing else is to be done: merges that have begun are finished, `effort` updates a round.
pub fn set_idle_merging(settings: &mut timely::WorkerConfig, effort: usize) {
    let logic: ExertionLogic = std::sync::Arc::new(move |layers| idle_effort(effort, layers));
    settings.set(EXERT_LOGIC.to_owned(), logic);
}

/// The effort for a trace with these layers: (index, batches, updates).
///
/// Stock logic goes on until one batch is left, which after a change of one row means to write the whole arrangement
/// again: cost by the size of the data, and each next change waits behind a round of it.
fn idle_effort(effort: usize, layers: &[(usize, usize, usize)]) -> Option<usize> {
    layers.iter().any(|(_, batches, _)| *batches > 1).then_some(effort)
}

/// A batch of consolidated rows in key, row order, all of time `time`; none if there are none.
fn seal(time: Time, mut rows: Vec<((Row, Row), Diff)>) -> Option<Rc<RowBatch>> {
    super::consolidate(&mut rows);
    if rows.is_empty() {
        return None;
    }
    let mut offsets = OffsetList::with_capacity(rows.len() + 1);
    offsets.push(0);
    let mut storage = OrdValStorage::<RowLayout> {
        keys: RowContainer::with_capacity(rows.len()),
        vals: Vals::with_capacity(rows.len(), rows.len()),
        upds: Upds { offs: offsets, times: Vec::new(), diffs: Vec::new() },
    };
    let updates = rows.len();
    let mut rows = rows.into_iter().peekable();
    while let Some(((key, row), diff)) = rows.next() {
        storage.vals.vals.push(row.as_ref());
        // The layout's code for "the same time and count as the one before" is an offset that does not move.
        if storage.upds.diffs.last() != Some(&diff) {
            storage.upds.times.push(time);
            storage.upds.diffs.push(diff);
        }
        storage.upds.offs.push(storage.upds.times.len());
        if rows.peek().is_none_or(|((next, _), _)| *next != key) {
            storage.keys.push(key.as_ref());
            storage.vals.offs.push(storage.vals.vals.len());
        }
    }
    Some(Rc::new(OrdValBatch { storage, updates }))
}

/// Arranges rows by key, on the worker that [`bucket`] says.
pub fn arrange<'s>(input: Keyed<'s>, name: &str, context: &Context) -> Arrangement<'s> {
    let scope = input.scope();
    let mut reader = None;
    let reader_slot = &mut reader;
    let pact = Exchange::new(|(key, _, _): &(Row, Row, Diff)| bucket(key.as_ref()));
    let context = context.clone();
    let batches = input.unary_frontier::<Batches, _, _, _>(pact, name, move |_, info| {
        let operator = context.operator(&format!("arrange {name}"), scope.activator_for(Rc::clone(&info.address)));
        let mut trace = RowSpine::new(info.clone(), None, Some(scope.activator_for(Rc::clone(&info.address))));
        if let Some(logic) = scope.worker().config().get::<ExertionLogic>(EXERT_LOGIC) {
            trace.set_exert_logic(logic.clone());
        }
        let (agent, writer) = TraceAgent::new(trace, info, None);
        let spine = Rc::downgrade(&agent.trace_box_unstable());
        *reader_slot = Some(agent);
        let mut writer = Some(writer);
        let mut upper: Time = 0;
        let mut open: BTreeMap<Time, (Capability<Time>, Vec<((Row, Row), Diff)>)> = BTreeMap::new();
        // Rows and bytes of what is open.
        let mut waiting = (0, 0);
        move |(input, frontier), output| {
            let _running = operator.enter();
            let halted = operator.halted();
            input.for_each(|capability, data| {
                let Some(&time) = capability.least() else { return data.clear() };
                if halted {
                    return data.clear();
                }
                operator.count_in(data.len());
                waiting.0 += data.len();
                waiting.1 += data.iter().map(|(key, row, _)| weight(key) + weight(row)).sum::<usize>();
                let (_, rows) = open.entry(time).or_insert_with(|| (capability.delayed(&time, 0), Vec::new()));
                rows.extend(data.drain(..).map(|(key, row, diff)| ((key, row), diff)));
            });
            if halted {
                open.clear();
                writer = None;
                operator.holds(0, 0);
                return;
            }
            let Some(writer) = &mut writer else { return };
            let bound = frontier.frontier().first().copied();
            while let Some(entry) = open.first_entry() {
                if bound.is_some_and(|bound| *entry.key() >= bound) {
                    break;
                }
                let (time, (capability, rows)) = entry.remove_entry();
                waiting.0 -= rows.len();
                waiting.1 -= rows.iter().map(|((key, row), _)| weight(key) + weight(row)).sum::<usize>();
                if time > upper {
                    writer.seal(Antichain::from_elem(time));
                }
                let next = Antichain::from_elem(time + 1);
                match seal(time, rows) {
                    Some(batch) => {
                        let description = Description::new(Antichain::from_elem(time), next, Antichain::from_elem(0));
                        operator.count_out(batch.updates);
                        writer.insert(Span::new(description, Some(Rc::clone(&batch))), Stamp::from_elem(time));
                        output.session(&capability).give(batch);
                    }
                    None => writer.seal(next),
                }
                upper = time + 1;
            }
            match bound {
                Some(bound) if bound > upper => {
                    writer.seal(Antichain::from_elem(bound));
                    upper = bound;
                }
                Some(_) => {}
                None => writer.seal(Antichain::new()),
            }
            writer.exert();
            // Merges drop what cancels, so what is there is measured, not added up.
            let mut kept = (0, 0);
            if let Some(spine) = spine.upgrade() {
                spine.borrow().trace().map_spans(|span| {
                    if let Some(batch) = &span.inner {
                        kept = (kept.0 + batch.updates, kept.1 + bytes(batch));
                    }
                });
            }
            operator.holds(waiting.0 + kept.0, waiting.1 + kept.1);
            context.control.check_memory();
        }
    });
    let trace = reader.expect("the operator's constructor has run");
    Arrangement { trace, batches }
}

/// What a batch keeps on the heap.
pub fn bytes(batch: &RowBatch) -> usize {
    let OrdValStorage { keys, vals, upds } = &batch.storage;
    let offsets = |list: &OffsetList| list.smol.capacity() * 4 + list.chonk.capacity() * 8;
    let updates = upds.times.capacity() * size_of::<Time>() + upds.diffs.capacity() * size_of::<Diff>();
    keys.heap_bytes() + vals.vals.heap_bytes() + offsets(&vals.offs) + offsets(&upds.offs) + updates
}

/// Brings an arrangement into another dataflow from time `from` on: everything before is in the trace alone, and the
/// stream's frontier stays at the beginning until the trace has reached `from`.
pub fn import<'s>(
    scope: Scope<'s, Time>,
    trace: &RowTrace,
    from: Time,
    name: &str,
    context: &Context,
) -> Arrangement<'s> {
    let mut trace = trace.clone();
    let context = context.clone();
    let batches = source::<_, Batches, _, _>(scope, name, |capability, info| {
        let operator = context.operator(&format!("import {name}"), scope.activator_for(Rc::clone(&info.address)));
        let mut live = Some((capability, trace.new_listener(scope.activator_for(info.address))));
        move |output| {
            let _running = operator.enter();
            if operator.halted() {
                live = None;
            }
            let Some((capability, queue)) = &mut live else { return };
            let mut closed = false;
            for instruction in queue.1.borrow_mut().drain(..) {
                match instruction {
                    TraceReplayInstruction::Span(span, _) => {
                        let lower = span.lower().elements().first().copied();
                        if let (Some(batch), Some(time)) = (span.inner, lower) {
                            if time >= from {
                                operator.count_out(batch.updates);
                                output.session(&capability.delayed(&time)).give(batch);
                            }
                        }
                    }
                    TraceReplayInstruction::Frontier(frontier) => match frontier.elements().first() {
                        Some(time) if *time >= from => capability.downgrade(time),
                        Some(_) => {}
                        None => closed = true,
                    },
                }
            }
            if closed {
                live = None;
            }
        }
    });
    Arrangement { trace, batches }
}

/// The live changes of an arranged collection: its values.
pub fn changes<'s>(arrangement: &Arrangement<'s>, context: &Context, project: Option<Vec<usize>>) -> Rows<'s> {
    let scope = arrangement.batches.scope();
    let context = context.clone();
    arrangement.batches.clone().unary::<CapacityContainerBuilder<Vec<(Row, Diff)>>, _, _, _>(
        Pipeline,
        "Changes",
        move |_, info| {
            let operator = context.operator("changes", scope.activator_for(info.address));
            let mut builder = RowBuilder::default();
            move |input, output| {
                let _running = operator.enter();
                input.for_each(|capability, batches| {
                    let mut session = output.session(&capability);
                    for batch in batches.drain(..) {
                        let mut cursor = batch.cursor();
                        while cursor.key_valid(&batch) {
                            while let Some(value) = cursor.get_val(&batch) {
                                let row = projected(value, project.as_deref(), &mut builder);
                                let mut sum = 0;
                                cursor.map_times(&batch, |_, diff| sum += *diff);
                                session.give((row, sum));
                                cursor.step_val(&batch);
                            }
                            cursor.step_key(&batch);
                        }
                    }
                });
            }
        },
    )
}

/// The listed columns of `row`, or all.
pub fn projected(row: RowRef<'_>, columns: Option<&[usize]>, builder: &mut RowBuilder) -> Row {
    match columns {
        None => row.to_owned(),
        Some(columns) => {
            for &column in columns {
                builder.push(row.column(column));
            }
            builder.finish()
        }
    }
}

/// Everything an imported arrangement holds strictly before `at`, emitted at `at`, slice by slice. Lookups work on it as it
/// comes, and the sweep waits while `next`, the first of them, is behind; what takes a time as a whole is at the end, the
/// groups of a reduce and the net change of a sink, and is bounded by the memory limit.
pub fn sweep<'s>(
    arrangement: &Arrangement<'s>,
    at: Time,
    next: &Downstream,
    context: &Context,
    project: Option<Vec<usize>>,
) -> Rows<'s> {
    let next = next.clone();
    let scope = arrangement.batches.scope();
    let mut trace = Some(arrangement.trace.clone());
    let context = context.clone();
    arrangement.batches.clone().unary_frontier::<CapacityContainerBuilder<Vec<(Row, Diff)>>, _, _, _>(
        Pipeline,
        "Sweep",
        move |capability, info| {
            let operator = context.operator("sweep", scope.activator_for(info.address));
            let mut capability = Some(capability.delayed(&at));
            let mut reading: Option<(RowCursor, RowStorage)> = None;
            let mut builder = RowBuilder::default();
            move |(input, frontier), output| {
                let _running = operator.enter();
                input.for_each(|_, batches| batches.clear());
                if operator.halted() {
                    (capability, trace, reading) = (None, None, None);
                }
                let Some(held) = &capability else { return };
                if frontier.less_than(&at) {
                    return;
                }
                if let Some(mut trace) = trace.take() {
                    reading = Some(cut(&mut trace, at));
                }
                let Some((cursor, storage)) = &mut reading else { return };
                if next.is_behind(&operator) {
                    return;
                }
                let mut session = output.session(held);
                let mut budget = Budget::new(&context);
                while cursor.key_valid(storage) {
                    if let Some(value) = cursor.get_val(storage) {
                        let row = projected(value, project.as_deref(), &mut builder);
                        let sum = count(cursor, storage);
                        if sum != 0 {
                            session.give((row, sum));
                            operator.count_out(1);
                        }
                        cursor.step_val(storage);
                    } else {
                        cursor.step_key(storage);
                    }
                    if !budget.spend() {
                        context.control.check_memory();
                        operator.activator.activate();
                        return;
                    }
                }
                drop(session);
                (capability, reading) = (None, None);
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::idle_effort;

    #[test]
    fn e08_a_row_more_does_not_make_an_idle_engine_write_an_arrangement_again() {
        assert_eq!(idle_effort(1000, &[(20, 1, 1_000_000), (3, 0, 0), (0, 1, 1)]), None);
        assert_eq!(idle_effort(1000, &[(20, 1, 1_000_000), (3, 2, 12), (0, 1, 1)]), Some(1000));
    }
}
