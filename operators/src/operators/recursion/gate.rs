//! The gate that everything going round passes.

use super::{Changes, Count, LoopTime, Round, Totals};
use crate::operators::border::{Diff, Time};
use crate::operators::context::Context;
use crate::operators::{bucket, weight};
use crate::value::Row;
use differential_dataflow::collection::AsCollection;
use differential_dataflow::consolidation::consolidate;
use std::collections::BTreeMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::Capability;

type Held = (Capability<LoopTime>, Capability<LoopTime>);

/// Adds up each round's changes, row by row, so that nothing goes round that cancels; lets pass what is of no round after
/// `rounds`, and says how many rows there are new in each.
pub fn gate<'s>(
    input: Changes<'s, LoopTime>,
    rounds: Round,
    context: &Context,
) -> (Changes<'s, LoopTime>, Totals<'s, LoopTime>) {
    let scope = input.inner.scope();
    let mut builder = OperatorBuilder::new("Gate".to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator("recursion", scope.activator_for(info.address));
    let pact = Exchange::new(|(row, _, _): &(Row, LoopTime, Count)| bucket(row.as_ref()));
    let mut input = builder.new_input(input.inner, pact);
    let (rows, row_stream) = builder.new_output();
    let mut rows = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Row, LoopTime, Count)>>>::from(rows);
    let (totals, total_stream) = builder.new_output();
    let mut totals = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Time, Round, Count)>>>::from(totals);
    builder.build(move |_| {
        let mut open: BTreeMap<LoopTime, (Held, Vec<(Row, Count)>)> = BTreeMap::new();
        move |frontiers| {
            let _running = operator.enter();
            let halted = operator.halted();
            input.for_each(|capability, data| {
                if halted {
                    return data.clear();
                }
                operator.count_in(data.len());
                let mut bytes = 0;
                operator.hold(data.len() as Diff, 0);
                for (row, time, count) in data.drain(..) {
                    bytes += weight(&row);
                    let (_, waiting) = open
                        .entry(time)
                        .or_insert_with(|| ((capability.delayed(&time, 0), capability.delayed(&time, 1)), Vec::new()));
                    waiting.push((row, count));
                }
                operator.hold(0, bytes as Diff);
            });
            if halted {
                open.clear();
                operator.holds(0, 0);
                return;
            }
            let (mut rows, mut totals) = (rows.activate(), totals.activate());
            let complete: Vec<LoopTime> = open.keys().filter(|time| !frontiers[0].less_equal(*time)).copied().collect();
            for time in complete {
                let Some((held, mut changes)) = open.remove(&time) else { continue };
                let bytes: usize = changes.iter().map(|(row, _)| weight(row)).sum();
                operator.hold(-(changes.len() as Diff), -(bytes as Diff));
                consolidate(&mut changes);
                if changes.is_empty() {
                    continue;
                }
                let total: Count = changes.iter().map(|(_, count)| *count).sum();
                totals.session(&held.1).give((time.outer, time.inner, total));
                if time.inner > rounds {
                    continue;
                }
                operator.count_out(changes.len());
                let mut session = rows.session(&held.0);
                session.give_iterator(changes.into_iter().map(|(row, count)| (row, time, count)));
            }
            operator.context().control.check_memory();
        }
    });
    (row_stream.as_collection(), total_stream)
}
