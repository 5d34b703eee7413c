//! Out of the loop, and what is wrong if it did not end.

use super::{Changes, Count, LoopErrors, LoopTime, Round, Total, Totals};
use crate::expr::EvalError;
use crate::operators::border::{Diff, ErrorRow, Time};
use crate::operators::context::Context;
use crate::operators::{weight, Errors, Rows};
use crate::value::Row;
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::VecCollection;
use std::collections::BTreeMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};
use timely::dataflow::operators::{vec::Broadcast, Capability, InputCapability, Leave};
use timely::dataflow::{Scope, Stream};

/// What stands in the last round, as the graph's other operators know collections.
pub fn leave_errors<'s>(inside: LoopErrors<'_>, outer: Scope<'s, Time>) -> Errors<'s> {
    by_message(inside.leave(outer))
}

/// Changes whose time is that of their message.
fn by_message<'s, D: Clone + 'static>(changes: VecCollection<'s, Time, D, Count>) -> Stream<'s, Time, Vec<(D, Diff)>> {
    changes.inner.unary::<CapacityContainerBuilder<Vec<(D, Diff)>>, _, _, _>(Pipeline, "Leave", |_, _| {
        |input, output| {
            input.for_each(|capability, data| {
                // A message of no time at all carries nothing.
                if capability.least().is_none() {
                    return data.clear();
                }
                let mut of_time: BTreeMap<Time, Vec<(D, Diff)>> = BTreeMap::new();
                for (row, time, count) in data.drain(..) {
                    of_time.entry(time).or_default().push((row, count.0));
                }
                for (time, rows) in of_time {
                    let held = capability.delayed(&time, 0);
                    output.session(&held).give_iterator(rows.into_iter());
                }
            });
        }
    })
}

/// How many rows there may be, in one round or in all: counts then stay far from where they lose meaning. PostgreSQL would take
/// hours for as many.
const ROWS: i64 = 1 << 32;

/// The content of the last round; an error while the recursion is not at its end after `rounds` rounds, or comes to more rows
/// than can be counted. Meanwhile the content stays what it was, since what there is then means nothing, not even as counts.
///
/// A total is a sum of changes in the same ring, so that it is right after deletions too. One that is too large may grow until
/// totals of later rounds mean nothing; that of the first such round does. Every worker knows all totals and judges alike.
pub fn bound<'s>(
    inside: Changes<'_, LoopTime>,
    totals: Totals<'_, LoopTime>,
    outer: Scope<'s, Time>,
    (name, rounds, site): (&str, Round, usize),
    context: &Context,
) -> (Rows<'s>, Errors<'s>) {
    let error = |what: String| ErrorRow {
        site,
        error: EvalError::new(b"54000", format!("recursive query \"{name}\" {what}")),
        row: Row::default(),
    };
    let endless = error(format!("does not end within {rounds} rounds of recursion"));
    let too_large = error("comes to too many rows".to_owned());
    let mut builder = OperatorBuilder::new("Bound".to_owned(), outer);
    let info = builder.operator_info();
    let operator = context.operator("bound of recursion", outer.activator_for(info.address));
    let mut content = builder.new_input(inside.leave(outer).inner, Pipeline);
    let mut totals = builder.new_input(totals.leave(outer).broadcast(), Pipeline);
    let (rows, row_stream) = builder.new_output();
    let mut rows = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Row, Diff)>>>::from(rows);
    let (errors, error_stream) = builder.new_output();
    let mut errors = OutputBuilder::<_, CapacityContainerBuilder<Vec<(ErrorRow, Diff)>>>::from(errors);
    builder.build(move |_| {
        let mut open: BTreeMap<Time, (Held, Open)> = BTreeMap::new();
        let mut known: BTreeMap<Round, Total> = BTreeMap::new();
        let mut excessive = 0usize;
        let mut sum = 0i128;
        // What has changed since the content was last good.
        let mut withheld: Vec<(Row, Count)> = Vec::new();
        let mut withheld_bytes = 0;
        let mut emitted: Option<ErrorRow> = None;
        move |frontiers| {
            let _running = operator.enter();
            let halted = operator.halted();
            let mut bytes = 0;
            let of = |capability: &InputCapability<Time>, time: Time| {
                (capability.delayed(&time, 0), capability.delayed(&time, 1))
            };
            content.for_each(|capability, data| {
                if halted || capability.least().is_none() {
                    return data.clear();
                }
                operator.count_in(data.len());
                operator.hold(data.len() as Diff, 0);
                for (row, time, count) in data.drain(..) {
                    bytes += weight(&row);
                    open.entry(time)
                        .or_insert_with(|| (of(&capability, time), Open::default()))
                        .1
                        .rows
                        .push((row, count));
                }
            });
            totals.for_each(|capability, data| {
                if halted || capability.least().is_none() {
                    return data.clear();
                }
                for (time, round, total) in data.drain(..) {
                    let (_, open) = open.entry(time).or_insert_with(|| (of(&capability, time), Open::default()));
                    open.totals.push((round, total));
                }
            });
            operator.hold(0, bytes as Diff);
            if halted {
                open.clear();
                withheld = Vec::new();
                operator.holds(0, 0);
                return;
            }
            let (mut rows, mut errors) = (rows.activate(), errors.activate());
            while let Some(entry) = open.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (held, Open { rows: changed, totals }) = entry.remove();
                for (round, change) in totals {
                    let total = known.entry(round).or_default();
                    excessive -= usize::from(is_excessive(total));
                    sum -= i128::from(total.0 .0);
                    total.0 += change.0;
                    total.1 += change.1;
                    excessive += usize::from(is_excessive(total));
                    sum += i128::from(total.0 .0);
                    if *total == Total::default() {
                        known.remove(&round);
                    }
                }
                let wrong = match known.last_key_value() {
                    _ if excessive > 0 || sum > i128::from(ROWS) => Some(&too_large),
                    Some((last, _)) if *last > rounds => Some(&endless),
                    _ => None,
                };
                if wrong != emitted.as_ref() {
                    let old = std::mem::replace(&mut emitted, wrong.cloned());
                    if operator.context().worker == 0 {
                        let mut session = errors.session(&held.1);
                        session.give_iterator(old.into_iter().map(|error| (error, -1)));
                        session.give_iterator(emitted.iter().map(|error| (error.clone(), 1)));
                    }
                }
                let before = (changed.len() + withheld.len(), weigh(&changed) + withheld_bytes);
                withheld.extend(changed);
                consolidate(&mut withheld);
                if emitted.is_none() {
                    operator.count_out(withheld.len());
                    rows.session(&held.0).give_iterator(withheld.drain(..).map(|(row, count)| (row, count.0)));
                }
                withheld_bytes = weigh(&withheld);
                let after = (withheld.len(), withheld_bytes);
                operator.hold(after.0 as Diff - before.0 as Diff, after.1 as Diff - before.1 as Diff);
            }
            operator.context().control.check_memory();
        }
    });
    (row_stream, error_stream)
}

type Held = (Capability<Time>, Capability<Time>);

/// What has come of a time.
#[derive(Default)]
struct Open {
    rows: Vec<(Row, Count)>,
    totals: Vec<(Round, Total)>,
}

/// What is far from any number of rows, or below zero, has lost its meaning.
fn is_excessive((rows, _): &Total) -> bool {
    rows.0.checked_abs().is_none_or(|rows| rows > ROWS)
}

fn weigh(rows: &[(Row, Count)]) -> usize {
    rows.iter().map(|(row, _)| weight(row)).sum()
}
