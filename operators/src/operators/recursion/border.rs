//! Into the loop, out of it, and what is wrong if it did not end.

use super::{Changes, Count, LoopErrors, LoopTime, Round, Totals};
use crate::expr::EvalError;
use crate::operators::border::{Diff, ErrorRow, Time};
use crate::operators::context::Context;
use crate::operators::{Errors, Rows};
use crate::value::Row;
use differential_dataflow::collection::AsCollection;
use differential_dataflow::VecCollection;
use std::collections::BTreeMap;
use std::num::Wrapping;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::Capability;
use timely::dataflow::{Scope, Stream};

/// Rows with their times written out.
pub fn enter<'s>(rows: Rows<'s>) -> Changes<'s, Time> {
    rows.unary::<CapacityContainerBuilder<Vec<(Row, Time, Count)>>, _, _, _>(Pipeline, "Enter", |_, _| {
        |input, output| {
            input.for_each(|capability, data| {
                let Some(&time) = capability.least() else { return data.clear() };
                let mut session = output.session(&capability);
                session.give_iterator(data.drain(..).map(|(row, diff)| (row, time, Wrapping(diff))));
            });
        }
    })
    .as_collection()
}

/// The last round's content, as the graph's other operators know collections.
pub fn leave<'s>(inside: Changes<'_, LoopTime>, outer: Scope<'s, Time>) -> Rows<'s> {
    by_message(inside.leave(outer))
}

/// The same for errors.
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

/// Rows of one round beyond which a recursion is taken not to end: no table could hold them, and counts stay far from where
/// they would lose meaning.
const ROWS_OF_A_ROUND: i128 = 1 << 40;

/// Raises while a recursion is not at its end after `rounds` rounds, or comes to more rows than any table can hold.
///
/// A total is a sum of changes, so that it is right after deletions too. One that is too large may grow until totals of
/// later rounds mean nothing; that of the first such round does.
pub fn bound<'s>(totals: Totals<'s, Time>, name: &str, rounds: Round, site: usize, context: &Context) -> Errors<'s> {
    let scope = totals.scope();
    let context = context.clone();
    let endless = EvalError::new(
        b"54000",
        format!("recursive query \"{name}\" does not end within {rounds} rounds of recursion"),
    );
    let too_large = EvalError::new(b"54000", format!("recursive query \"{name}\" comes to too many rows"));
    totals.unary_frontier::<CapacityContainerBuilder<Vec<(ErrorRow, Diff)>>, _, _, _>(
        Pipeline,
        "Bound",
        move |_, info| {
            let operator = context.operator("bound of recursion", scope.activator_for(info.address));
            let mut open: BTreeMap<Time, (Capability<Time>, Vec<(Round, i128)>)> = BTreeMap::new();
            let mut totals: BTreeMap<Round, i128> = BTreeMap::new();
            let mut excessive = 0usize;
            let mut emitted: Option<ErrorRow> = None;
            move |(input, frontier), output| {
                let _running = operator.enter();
                let halted = operator.halted();
                input.for_each(|capability, data| {
                    if halted || capability.least().is_none() {
                        return data.clear();
                    }
                    for (time, round, total) in data.drain(..) {
                        let (_, rounds) =
                            open.entry(time).or_insert_with(|| (capability.delayed(&time, 0), Vec::new()));
                        rounds.push((round, total));
                    }
                });
                if halted {
                    open.clear();
                    totals.clear();
                    operator.holds(0, 0);
                    return;
                }
                while let Some(entry) = open.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (held, changed) = entry.remove();
                    for (round, change) in changed {
                        let total = totals.entry(round).or_insert(0);
                        excessive -= usize::from(*total > ROWS_OF_A_ROUND);
                        *total += change;
                        excessive += usize::from(*total > ROWS_OF_A_ROUND);
                        if *total == 0 {
                            totals.remove(&round);
                        }
                    }
                    let wrong = match totals.last_key_value() {
                        _ if excessive > 0 => Some(&too_large),
                        Some((last, _)) if *last > rounds => Some(&endless),
                        _ => None,
                    };
                    let wrong = wrong.map(|error| ErrorRow { site, error: error.clone(), row: Row::default() });
                    if wrong != emitted {
                        let mut session = output.session(&held);
                        let old = std::mem::replace(&mut emitted, wrong.clone());
                        session.give_iterator(old.map(|error| (error, -1)).into_iter());
                        session.give_iterator(wrong.map(|error| (error, 1)).into_iter());
                    }
                }
                operator.holds(totals.len(), totals.len() * size_of::<(Round, i128)>());
            }
        },
    )
}
