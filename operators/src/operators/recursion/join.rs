//! The join of a loop: pairs of rows with the same key, each at the least time that is after both.
//!
//! Differential's operator does what it does for any join (which batch meets which, and for how long they are kept); how two lists of
//! batches are paired is ours. A round in which a key has many rows on both sides multiplies them, and nothing could stop the
//! stock pairing before it is through with a key. This one makes slices, between which it looks at the stop flag and at
//! memory, and the operator lets others run; what has been made and not yet been taken is counted.

use super::{Changes, Count, LoopTime};
use crate::operators::border::Diff;
use crate::operators::context::{Context, OperatorContext};
use crate::operators::weight;
use crate::value::{Row, RowBuilder, RowRef};
use differential_dataflow::collection::AsCollection;
use differential_dataflow::consolidation::{consolidate, consolidate_updates};
use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::operators::join::{join_with_tactic, Fresh, JoinTactic};
use differential_dataflow::trace::cursor::{cursor_list, Cursor, CursorList};
use differential_dataflow::trace::{BatchCursor, Navigable, TraceReader};
use std::cmp::Ordering;
use std::rc::Rc;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

/// Rows of a slice at the least: looking at a key again where a slice has ended costs what its rows are.
const SLICE: usize = 4096;

type Updates = Vec<(Row, LoopTime, Count)>;

/// Pairs of rows, the left one's columns first.
pub fn pairs<'s, L, R>(
    left: Arranged<'s, L>,
    right: Arranged<'s, R>,
    name: &str,
    context: &Context,
) -> Changes<'s, LoopTime>
where
    L: TraceReader<Batch: Navigable, Time = LoopTime> + 'static,
    R: TraceReader<Batch: Navigable, Time = LoopTime> + 'static,
    for<'a> BatchCursor<L>: Cursor<Key<'a> = RowRef<'a>, Val<'a> = RowRef<'a>, Time = LoopTime, Diff = Count>,
    for<'a> BatchCursor<R>: Cursor<Key<'a> = RowRef<'a>, Val<'a> = RowRef<'a>, Time = LoopTime, Diff = Count>,
{
    let scope = left.stream.scope();
    let operator = Rc::new(context.operator(name, scope.activator_for(scope.addr())));
    let tactic = Tactic { operator: Rc::clone(&operator) };
    join_with_tactic(left, right, name, tactic)
        .unary(Pipeline, "Joined", move |_, _| {
            move |input, output| {
                input.for_each(|capability, data: &mut Updates| {
                    let bytes: usize = data.iter().map(|(row, ..)| weight(row)).sum();
                    operator.hold(-(data.len() as Diff), -(bytes as Diff));
                    output.session(&capability).give_container(data);
                });
            }
        })
        .as_collection()
}

struct Tactic {
    operator: Rc<OperatorContext>,
}

impl<B0, B1> JoinTactic<LoopTime, B0, B1, Updates> for Tactic
where
    B0: Navigable + 'static,
    B1: Navigable + 'static,
    for<'a> B0::Cursor: Cursor<Key<'a> = RowRef<'a>, Val<'a> = RowRef<'a>, Time = LoopTime, Diff = Count>,
    for<'a> B1::Cursor: Cursor<Key<'a> = RowRef<'a>, Val<'a> = RowRef<'a>, Time = LoopTime, Diff = Count>,
{
    fn prep(
        &mut self,
        left: Vec<B0>,
        right: Vec<B1>,
        fresh: Fresh,
        meet: LoopTime,
    ) -> Box<dyn Iterator<Item = Updates>> {
        // The side that has been there may forget what it was before the other's first change.
        let (left_from, right_from) = match fresh {
            Fresh::Input0 => (None, Some(meet)),
            Fresh::Input1 => (Some(meet), None),
        };
        Box::new(Pairs {
            operator: Rc::clone(&self.operator),
            left: Side::new(left, left_from),
            right: Side::new(right, right_from),
            done: 0,
            builder: RowBuilder::default(),
        })
    }
}

/// The batches of one input.
struct Side<B: Navigable> {
    cursor: CursorList<B::Cursor>,
    batches: Vec<B>,
    from: Option<LoopTime>,
}

impl<B: Navigable> Side<B>
where
    for<'a> B::Cursor: Cursor<Key<'a> = RowRef<'a>, Val<'a> = RowRef<'a>, Time = LoopTime, Diff = Count>,
{
    fn new(batches: Vec<B>, from: Option<LoopTime>) -> Self {
        let (cursor, batches) = cursor_list(batches);
        Side { cursor, batches, from }
    }

    /// The rows of the present key, with the times at which their counts change.
    fn rows<'a>(
        cursor: &mut CursorList<B::Cursor>,
        batches: &'a Vec<B>,
        from: Option<&LoopTime>,
    ) -> Vec<(RowRef<'a>, LoopTime, Count)> {
        let mut rows = Vec::new();
        let mut times: Vec<(LoopTime, Count)> = Vec::new();
        cursor.rewind_vals(batches);
        while let Some(row) = cursor.get_val(batches) {
            cursor.map_times(batches, |time, count| {
                let mut time = <CursorList<B::Cursor> as Cursor>::owned_time(time);
                if let Some(from) = from {
                    time.join_assign(from);
                }
                times.push((time, <CursorList<B::Cursor> as Cursor>::owned_diff(count)));
            });
            consolidate(&mut times);
            rows.extend(times.drain(..).map(|(time, count)| (row, time, count)));
            cursor.step_val(batches);
        }
        rows
    }
}

/// The pairs of two lists of batches, slice by slice.
struct Pairs<B0: Navigable, B1: Navigable> {
    operator: Rc<OperatorContext>,
    left: Side<B0>,
    right: Side<B1>,
    /// How many pairs of the key at which both stand have been made.
    done: usize,
    builder: RowBuilder,
}

impl<B0, B1> Iterator for Pairs<B0, B1>
where
    B0: Navigable,
    B1: Navigable,
    for<'a> B0::Cursor: Cursor<Key<'a> = RowRef<'a>, Val<'a> = RowRef<'a>, Time = LoopTime, Diff = Count>,
    for<'a> B1::Cursor: Cursor<Key<'a> = RowRef<'a>, Val<'a> = RowRef<'a>, Time = LoopTime, Diff = Count>,
{
    type Item = Updates;

    fn next(&mut self) -> Option<Updates> {
        let operator = Rc::clone(&self.operator);
        let _running = operator.enter();
        operator.context().control.check_memory();
        let mut out = Updates::new();
        while out.len() < SLICE && !operator.halted() {
            let keys = (self.left.cursor.get_key(&self.left.batches), self.right.cursor.get_key(&self.right.batches));
            let (Some(left), Some(right)) = keys else { break };
            match left.cmp(&right) {
                Ordering::Less => self.left.cursor.seek_key(&self.left.batches, right),
                Ordering::Greater => self.right.cursor.seek_key(&self.right.batches, left),
                Ordering::Equal => self.pair(&mut out),
            }
        }
        if operator.halted() {
            return None;
        }
        consolidate_updates(&mut out);
        if out.is_empty() {
            // All of a slice may have cancelled.
            return (!self.is_through()).then_some(out);
        }
        operator.count_out(out.len());
        operator.hold(out.len() as Diff, out.iter().map(|(row, ..)| weight(row) as Diff).sum());
        Some(out)
    }
}

impl<B0, B1> Pairs<B0, B1>
where
    B0: Navigable,
    B1: Navigable,
    for<'a> B0::Cursor: Cursor<Key<'a> = RowRef<'a>, Val<'a> = RowRef<'a>, Time = LoopTime, Diff = Count>,
    for<'a> B1::Cursor: Cursor<Key<'a> = RowRef<'a>, Val<'a> = RowRef<'a>, Time = LoopTime, Diff = Count>,
{
    fn is_through(&self) -> bool {
        !self.left.cursor.key_valid(&self.left.batches) || !self.right.cursor.key_valid(&self.right.batches)
    }

    /// Pairs of the key at which both stand, as many as a slice takes; if these are all, goes on to the next key.
    fn pair(&mut self, out: &mut Updates) {
        let left = Side::<B0>::rows(&mut self.left.cursor, &self.left.batches, self.left.from.as_ref());
        let right = Side::<B1>::rows(&mut self.right.cursor, &self.right.batches, self.right.from.as_ref());
        let all = left.len().saturating_mul(right.len());
        let end = all.min(self.done.saturating_add(SLICE.max(left.len() + right.len())));
        for pair in self.done..end {
            let ((row, at, count), (value, when, times)) = (&left[pair / right.len()], &right[pair % right.len()]);
            self.builder.extend(*row);
            self.builder.extend(*value);
            out.push((self.builder.finish(), at.join(when), count * times));
        }
        self.done = end;
        if end == all {
            self.done = 0;
            self.left.cursor.step_key(&self.left.batches);
            self.right.cursor.step_key(&self.right.batches);
        }
    }
}
