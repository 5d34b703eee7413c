//! Columns and rows that PostgreSQL computes: the two-phase operator that never blocks (HAZARDS E15).
//!
//! When a time is complete its rows are consolidated and their distinct arguments sent; the capability is held until the
//! reply has come. Several times may wait at once. What a reply brings is emitted in slices, and counts as held until then.

use super::border::{Diff, ErrorRow, EvaluationReply, StopReason, Time};
use super::context::{Budget, Context, OperatorContext};
use super::{consolidate, weight, Errors, Rows};
use crate::expr::EvalError;
use crate::value::{Row, RowBuilder};
use hashbrown::HashMap;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
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

/// One thing that comes of the rows that wait for a reply.
enum Given {
    Row(Row),
    Error(EvalError, Row),
    /// So many rows for this item, where there must be one.
    Wrong(usize, u64),
    /// A row without results.
    Nothing,
}

/// What a reply has brought for the rows that wait for it, given out one by one: a row may have any number of results, and
/// whoever emits them stops now and then (HAZARDS E11).
pub(super) struct Answers<T> {
    expected: Results,
    results: HashMap<u64, Result<Vec<Row>, EvalError>>,
    /// Rows, what each carries along, and the items that their arguments are.
    waiting: std::vec::IntoIter<(Row, T, u64)>,
    /// The row in work, and the next of its results.
    current: Option<(Row, T, u64)>,
    next: usize,
    builder: RowBuilder,
    bytes: usize,
}

impl<T: Copy> Answers<T> {
    pub(super) fn new(expected: Results, reply: EvaluationReply, waiting: Vec<(Row, T, u64)>) -> Self {
        let results = by_item(reply);
        let rows = results.values().flatten().flatten().map(weight).sum::<usize>();
        let bytes = rows + waiting_bytes(&waiting);
        let waiting = waiting.into_iter();
        Answers { expected, results, waiting, current: None, next: 0, builder: RowBuilder::default(), bytes }
    }

    /// Rows that have not had all of their results.
    pub(super) fn rows(&self) -> usize {
        self.waiting.len() + usize::from(self.current.is_some())
    }

    /// What the rows and the results took up when the reply had come.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Goes on giving until all has been given (true) or the budget is spent (false).
    pub(super) fn give(
        &mut self,
        (fragment, site): (usize, usize),
        operator: &OperatorContext,
        budget: &mut Budget,
        mut row: impl FnMut(Row, T),
        mut error: impl FnMut(ErrorRow, T),
    ) -> bool {
        let mut given = 0;
        let done = loop {
            match self.next() {
                None => break true,
                Some((Given::Row(found), along)) => {
                    given += 1;
                    row(found, along);
                }
                Some((Given::Error(raised, by), along)) => error(ErrorRow { site, error: raised, row: by }, along),
                Some((Given::Wrong(count, item), _)) => operator.context().control.give_up(StopReason::Inconsistent {
                    operator: operator.name.clone(),
                    detail: format!("{count} rows of fragment {fragment} for item {item}"),
                }),
                Some((Given::Nothing, _)) => {}
            }
            if !budget.spend() {
                break false;
            }
        };
        operator.count_out(given);
        done
    }

    fn next(&mut self) -> Option<(Given, T)> {
        if self.current.is_none() {
            self.current = Some(self.waiting.next()?);
            self.next = 0;
        }
        let (row, along, item) = self.current.as_ref()?;
        let (along, item) = (*along, *item);
        let found = match self.results.get(&item) {
            Some(Ok(found)) => &found[..],
            Some(Err(error)) => {
                let error = error.clone();
                return self.current.take().map(|(row, ..)| (Given::Error(error, row), along));
            }
            None => &[],
        };
        let given = match (found.get(self.next), self.expected) {
            (_, Results::One) if found.len() != 1 => Given::Wrong(found.len(), item),
            (Some(more), _) => {
                self.builder.extend(row.as_ref());
                self.builder.extend(more.as_ref());
                Given::Row(self.builder.finish())
            }
            (None, Results::Padded(width)) => {
                self.builder.extend(row.as_ref());
                (0..width).for_each(|_| self.builder.push(None));
                Given::Row(self.builder.finish())
            }
            (None, _) => Given::Nothing,
        };
        self.next += 1;
        if self.next >= found.len() || matches!(given, Given::Wrong(..)) {
            self.current = None;
        }
        Some((given, along))
    }
}

/// All results of each item, or the error that one of them is.
fn by_item(reply: EvaluationReply) -> HashMap<u64, Result<Vec<Row>, EvalError>> {
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
        // What replies have brought, until it has been emitted.
        let mut answered: VecDeque<(Held, Answers<Diff>)> = VecDeque::new();
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
                answered.clear();
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
            for reply in replies.borrow_mut().drain(..) {
                let Some((held, waiting)) = asked.remove(&reply.id) else { continue };
                held_bytes -= waiting_bytes(&waiting);
                let answers = Answers::new(expected, reply, waiting);
                held_bytes += answers.bytes();
                answered.push_back((held, answers));
            }
            let (mut rows, mut errors) = (rows.activate(), errors.activate());
            let mut budget = Budget::new(operator.context());
            while let Some((held, answers)) = answered.front_mut() {
                let (mut rows, mut errors) = (rows.session(&held.0), errors.session(&held.1));
                let done = answers.give(
                    (fragment, site),
                    &operator,
                    &mut budget,
                    |row, diff| rows.give((row, diff)),
                    |error, diff| errors.give((error, diff)),
                );
                drop((rows, errors));
                if !done {
                    operator.activator.activate();
                    break;
                }
                held_bytes -= answers.bytes();
                answered.pop_front();
            }
            let rows = open.values().map(|(_, rows)| rows.len()).chain(asked.values().map(|(_, rows)| rows.len()));
            let rows = rows.chain(answered.iter().map(|(_, answers)| answers.rows()));
            operator.holds(rows.sum(), held_bytes);
            operator.context().control.check_memory();
        }
    });
    (row_stream, error_stream)
}

/// Rows that wait, and the arguments that were sent for them.
pub(super) fn waiting_bytes<T>(rows: &[(Row, T, u64)]) -> usize {
    rows.iter().map(|(row, _, _)| 2 * weight(row)).sum()
}
