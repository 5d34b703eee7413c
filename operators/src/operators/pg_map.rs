//! Columns and rows that PostgreSQL computes: the two-phase operator that never blocks (HAZARDS E15).
//!
//! When a time is complete its rows are consolidated and their distinct arguments sent; the capability is held until the
//! reply has come. Several times may wait at once.

use super::border::{Diff, ErrorRow, EvaluationReply, StopReason, Time};
use super::context::Context;
use super::{consolidate, weight, Errors, Rows};
use crate::expr::EvalError;
use crate::value::{Row, RowBuilder};
use hashbrown::HashMap;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::Capability;

/// How many rows of results belong to one of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    One,
    Any,
    /// Any, and where there is none, one with this many NULLs.
    Padded(usize),
}

/// What comes of one row.
pub(super) enum Answer {
    Rows(Vec<Row>),
    Error(EvalError),
    /// So many rows where there must be one.
    Wrong(usize),
}

impl Results {
    /// The row with what was found for its arguments.
    pub(super) fn of(self, row: &Row, found: Option<&Result<Vec<Row>, EvalError>>, out: &mut RowBuilder) -> Answer {
        let found = match found {
            Some(Ok(found)) => &found[..],
            Some(Err(error)) => return Answer::Error(error.clone()),
            None => &[],
        };
        match self {
            Results::One if found.len() != 1 => return Answer::Wrong(found.len()),
            Results::Padded(width) if found.is_empty() => {
                out.extend(row.as_ref());
                (0..width).for_each(|_| out.push(None));
                return Answer::Rows(vec![out.finish()]);
            }
            Results::One | Results::Any | Results::Padded(_) => {}
        }
        let joined = found.iter().map(|more| {
            out.extend(row.as_ref());
            out.extend(more.as_ref());
            out.finish()
        });
        Answer::Rows(joined.collect())
    }
}

/// All results of each item, or the error that one of them is.
pub(super) fn by_item(reply: EvaluationReply) -> HashMap<u64, Result<Vec<Row>, EvalError>> {
    let mut results: HashMap<u64, Result<Vec<Row>, EvalError>> = HashMap::new();
    for (item, result) in reply.results {
        match (result, results.entry(item).or_insert_with(|| Ok(Vec::new()))) {
            (Ok(row), Ok(rows)) => rows.push(row),
            (Ok(_), Err(_)) => {}
            (Err(error), known) => *known = Err(error),
        }
    }
    results
}

type Held = (Capability<Time>, Capability<Time>);

/// Appends the fragment's results over the listed columns to every row; a row is repeated for each of several results.
///
/// A row that goes is evaluated again, and its results are taken back: the fragment gives the same results for the same
/// arguments, in any order, for as long as the graph lives (definitions are stamped, settings pinned).
pub fn pg_map<'s>(
    input: Rows<'s>,
    fragment: usize,
    arguments: Vec<usize>,
    expected: Results,
    site: usize,
    context: &Context,
) -> (Rows<'s>, Errors<'s>) {
    let scope = input.scope();
    let mut builder = OperatorBuilder::new("PgMap".to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator("evaluate in PostgreSQL", scope.activator_for(info.address));
    let mut input = builder.new_input(input, Pipeline);
    let (rows, row_stream) = builder.new_output();
    let mut rows = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Row, Diff)>>>::from(rows);
    let (errors, error_stream) = builder.new_output();
    let mut errors = OutputBuilder::<_, CapacityContainerBuilder<Vec<(ErrorRow, Diff)>>>::from(errors);
    builder.build(move |_| {
        let mut open: BTreeMap<Time, (Held, Vec<(Row, Diff)>)> = BTreeMap::new();
        // By request: the rows, each with the item that its arguments are.
        let mut asked: HashMap<u64, (Held, Vec<(Row, Diff, u64)>)> = HashMap::new();
        let replies: Rc<RefCell<Vec<EvaluationReply>>> = Rc::default();
        let mut out = RowBuilder::default();
        let mut held_bytes = 0;
        move |frontiers| {
            let _running = operator.enter();
            let halted = operator.halted();
            input.for_each(|capability, data| {
                let Some(&time) = capability.least() else { return data.clear() };
                if halted {
                    return data.clear();
                }
                operator.count_in(data.len());
                held_bytes += data.iter().map(|(row, _)| weight(row)).sum::<usize>();
                let (_, waiting) = open
                    .entry(time)
                    .or_insert_with(|| ((capability.delayed(&time, 0), capability.delayed(&time, 1)), Vec::new()));
                waiting.append(data);
            });
            if halted {
                open.clear();
                asked.clear();
                operator.holds(0, 0);
                return;
            }
            let frontier = frontiers[0].frontier().first().copied();
            while let Some(entry) = open.first_entry() {
                if frontier.is_some_and(|frontier| *entry.key() >= frontier) {
                    break;
                }
                let (held, mut waiting) = entry.remove();
                held_bytes -= waiting.iter().map(|(row, _)| weight(row)).sum::<usize>();
                consolidate(&mut waiting);
                if waiting.is_empty() {
                    continue;
                }
                let mut items: HashMap<Row, u64> = HashMap::new();
                let mut batch = Vec::new();
                let waiting: Vec<(Row, Diff, u64)> = waiting
                    .into_iter()
                    .map(|(row, diff)| {
                        let argument = Row::from_columns(arguments.iter().map(|&column| row.column(column)));
                        let item = *items.entry(argument).or_insert_with_key(|argument| {
                            batch.push((batch.len() as u64, argument.clone()));
                            batch.len() as u64 - 1
                        });
                        (row, diff, item)
                    })
                    .collect();
                held_bytes += waiting_bytes(&waiting);
                let request = operator.evaluate(&replies, fragment, batch);
                asked.insert(request, (held, waiting));
            }
            let (mut rows, mut errors) = (rows.activate(), errors.activate());
            for reply in replies.borrow_mut().drain(..) {
                let Some((held, waiting)) = asked.remove(&reply.id) else { continue };
                held_bytes -= waiting_bytes(&waiting);
                let results = by_item(reply);
                let mut given = 0;
                let (mut rows, mut errors) = (rows.session(&held.0), errors.session(&held.1));
                for (row, diff, item) in waiting {
                    match expected.of(&row, results.get(&item), &mut out) {
                        Answer::Rows(found) => {
                            given += found.len();
                            rows.give_iterator(found.into_iter().map(|row| (row, diff)));
                        }
                        Answer::Error(error) => errors.give((ErrorRow { site, error, row }, diff)),
                        Answer::Wrong(count) => operator.context().control.give_up(StopReason::Inconsistent {
                            operator: operator.name.clone(),
                            detail: format!("{count} rows of fragment {fragment} for item {item}"),
                        }),
                    }
                }
                operator.count_out(given);
            }
            let rows = open.values().map(|(_, rows)| rows.len()).chain(asked.values().map(|(_, rows)| rows.len()));
            operator.holds(rows.sum(), held_bytes);
            operator.context().control.check_memory();
        }
    });
    (row_stream, error_stream)
}

/// Rows that wait, and the arguments that were sent for them.
fn waiting_bytes(rows: &[(Row, Diff, u64)]) -> usize {
    rows.iter().map(|(row, _, _)| 2 * weight(row)).sum()
}
