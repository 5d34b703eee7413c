//! Columns that PostgreSQL computes, in a loop: as [`crate::operators::pg_map`], a round at a time.
//!
//! When no more can come of a round of a time, its rows are consolidated and their distinct arguments sent; the
//! capabilities of that time are held until the reply has come, which keeps what depends on them waiting, and nothing else.
//! A question may be asked again in another round or time: the functions are immutable, and what was emitted is what is
//! retracted.

use super::rounds::{Complete, Held, Rounds};
use super::{Changes, Count, LoopErrors, LoopTime};
use crate::operators::border::{Diff, ErrorRow, EvaluationReply};
use crate::operators::context::{Budget, Context};
use crate::operators::pg_map::{waiting_bytes, Answers, Results};
use crate::value::Row;
use differential_dataflow::collection::AsCollection;
use hashbrown::HashMap;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::OutputBuilder;

/// The rows of one round of one time that wait for a reply, each with the item that its arguments are.
struct Asked {
    held: Held,
    time: LoopTime,
    rows: Vec<(Row, Count, u64)>,
    bytes: usize,
}

/// Appends the fragment's results over the listed columns to every row; a row is repeated for each of several results.
pub fn pg_map<'s>(
    input: Changes<'s, LoopTime>,
    fragment: usize,
    arguments: Vec<usize>,
    expected: Results,
    site: usize,
    context: &Context,
) -> (Changes<'s, LoopTime>, LoopErrors<'s>) {
    let scope = input.inner.scope();
    let mut builder = OperatorBuilder::new("PgMap".to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator("evaluate in PostgreSQL", scope.activator_for(info.address));
    let mut input = builder.new_input(input.inner, Pipeline);
    let (rows, row_stream) = builder.new_output();
    let mut rows = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Row, LoopTime, Count)>>>::from(rows);
    let (errors, error_stream) = builder.new_output();
    let mut errors = OutputBuilder::<_, CapacityContainerBuilder<Vec<(ErrorRow, LoopTime, Count)>>>::from(errors);
    builder.build(move |_| {
        let mut open = Rounds::default();
        let mut asked: HashMap<u64, Asked> = HashMap::new();
        let replies: Rc<RefCell<Vec<EvaluationReply>>> = Rc::default();
        // What replies have brought, until it has been emitted.
        let mut answered: VecDeque<(Held, LoopTime, Answers<Count>)> = VecDeque::new();
        move |frontiers| {
            let _running = operator.enter();
            let halted = operator.halted();
            input.for_each(|capability, data| match halted {
                true => data.clear(),
                false => open.add(&operator, &capability, data),
            });
            if halted {
                open.clear();
                asked.clear();
                answered.clear();
                operator.holds(0, 0);
                return;
            }
            for Complete { time, held, rows: waiting } in open.complete(&operator, &frontiers[0]) {
                let mut items: HashMap<Row, u64> = HashMap::new();
                let mut batch = Vec::new();
                let rows: Vec<(Row, Count, u64)> = waiting
                    .into_iter()
                    .map(|(row, count)| {
                        let argument = Row::from_columns(arguments.iter().map(|&column| row.column(column)));
                        let item = *items.entry(argument).or_insert_with_key(|argument| {
                            batch.push((batch.len() as u64, argument.clone()));
                            batch.len() as u64 - 1
                        });
                        (row, count, item)
                    })
                    .collect();
                let bytes = waiting_bytes(&rows);
                operator.hold(rows.len() as Diff, bytes as Diff);
                let request = operator.evaluate(&replies, fragment, batch);
                asked.insert(request, Asked { held, time, rows, bytes });
            }
            for reply in replies.borrow_mut().drain(..) {
                let Some(Asked { held, time, rows, bytes }) = asked.remove(&reply.id) else { continue };
                operator.hold(-(rows.len() as Diff), -(bytes as Diff));
                let answers = Answers::new(expected, reply, rows);
                operator.hold(0, answers.bytes() as Diff);
                answered.push_back((held, time, answers));
            }
            let (mut rows, mut errors) = (rows.activate(), errors.activate());
            let mut budget = Budget::new(operator.context());
            while let Some((held, time, answers)) = answered.front_mut() {
                let time = *time;
                let (mut rows, mut errors) = (rows.session(&held.0), errors.session(&held.1));
                let done = answers.give(
                    (fragment, site),
                    &operator,
                    &mut budget,
                    |row, count| rows.give((row, time, count)),
                    |error, count| errors.give((error, time, count)),
                );
                drop((rows, errors));
                if !done {
                    operator.activator.activate();
                    break;
                }
                operator.hold(0, -(answers.bytes() as Diff));
                answered.pop_front();
            }
            operator.context().control.check_memory();
        }
    });
    (row_stream.as_collection(), error_stream.as_collection())
}
