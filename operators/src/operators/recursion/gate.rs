//! The gate that everything going round passes.

use super::rounds::Rounds;
use super::{Changes, Count, LoopTime, Round, Total, Totals};
use crate::operators::border::Time;
use crate::operators::bucket;
use crate::operators::context::Context;
use crate::value::Row;
use differential_dataflow::collection::AsCollection;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::OutputBuilder;

/// Adds up each round's changes, row by row, so that nothing goes round that cancels; lets pass what is of no round after
/// `rounds`, and says what each round has come to.
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
    let mut totals = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Time, Round, Total)>>>::from(totals);
    builder.build(move |_| {
        let mut open = Rounds::default();
        move |frontiers| {
            let _running = operator.enter();
            let halted = operator.halted();
            input.for_each(|capability, data| match halted {
                true => data.clear(),
                false => open.add(&operator, &capability, data),
            });
            if halted {
                open.clear();
                operator.holds(0, 0);
                return;
            }
            let (mut rows, mut totals) = (rows.activate(), totals.activate());
            for round in open.complete(&operator, &frontiers[0]) {
                let (time, held, changes) = (round.time, round.held, round.rows);
                totals.session(&held.1).give((time.outer, time.inner, total(&changes)));
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

fn total(changes: &[(Row, Count)]) -> Total {
    let mut total = Total::default();
    for (row, count) in changes {
        total.0 += count;
        total.1 += std::num::Wrapping(mark(row)) * count;
    }
    total
}

/// An odd number of the row's own.
fn mark(row: &Row) -> i64 {
    xxhash_rust::xxh3::xxh3_64(row.as_ref().bytes()) as i64 | 1
}
