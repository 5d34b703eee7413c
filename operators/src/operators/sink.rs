//! The end of a graph: net changes by finished time, for the main thread and for the bridges to other graphs.
//!
//! A time is reported as a whole, so its net change is in memory at once, however it was made: here, then in what the main
//! thread keeps until it is written. It is consolidated whenever it has doubled, so that rows that cancel do not add up, and
//! it counts as held by the graph from its first row until the main thread has let go of it; a hydration whose content
//! exceeds the memory limit ends in that limit, while it is made.

use super::border::{Diff, ErrorRow, Time};
use super::bridge::BridgeWriter;
use super::context::{Context, OperatorContext};
use super::{consolidate, weight, Collection};
use crate::value::Row;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::core::Concatenate;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::Scope;

#[derive(Default)]
struct Changes {
    rows: Vec<(Row, Diff)>,
    errors: Vec<(ErrorRow, Diff)>,
    bytes: usize,
    /// Rows at the last consolidation: twice as many, and it is worth doing again.
    consolidated: usize,
}

impl Changes {
    fn consolidate(&mut self) {
        consolidate(&mut self.rows);
        consolidate(&mut self.errors);
        self.consolidated = self.rows.len();
        self.bytes = self.rows.iter().map(|(row, _)| weight(row)).sum::<usize>() + errors_weight(&self.errors);
    }

    fn consolidate_if_doubled(&mut self) {
        if self.rows.len() > 2 * self.consolidated + 1024 {
            self.consolidate();
        }
    }

    fn add_rows(&mut self, rows: &mut Vec<(Row, Diff)>) {
        self.bytes += rows.iter().map(|(row, _)| weight(row)).sum::<usize>();
        self.rows.append(rows);
        self.consolidate_if_doubled();
    }

    fn add_errors(&mut self, errors: &mut Vec<(ErrorRow, Diff)>) {
        self.bytes += errors_weight(errors);
        self.errors.append(errors);
    }
}

fn errors_weight(errors: &[(ErrorRow, Diff)]) -> usize {
    errors.iter().map(|(error, _)| weight(&error.row) + error.error.message.len() + size_of::<ErrorRow>()).sum()
}

struct State {
    /// Of times that are not finished.
    open: BTreeMap<Time, Changes>,
    finished: BTreeMap<Time, (Rc<Vec<(Row, Diff)>>, Vec<(ErrorRow, Diff)>, usize)>,
    /// Finished, added up, and not yet reported.
    collected: Changes,
    frontier: Option<Time>,
}

impl State {
    fn charge(&self, operator: &OperatorContext) {
        let open = self.open.values().map(|changes| (changes.rows.len(), changes.bytes));
        let finished = self.finished.values().map(|(rows, _, bytes)| (rows.len(), *bytes));
        let collected = (self.collected.rows.len(), self.collected.bytes);
        let (rows, bytes) = open.chain(finished).fold(collected, |sum, more| (sum.0 + more.0, sum.1 + more.1));
        operator.holds(rows, bytes);
    }
}

/// The worker's handle to what a graph's sink has collected.
#[derive(Clone)]
pub struct SinkHandle {
    state: Rc<RefCell<State>>,
    operator: Rc<OperatorContext>,
    pub bridges: BridgeWriter,
}

impl SinkHandle {
    /// Through which time the output is finished on this worker; `None`: for ever.
    pub fn frontier(&self) -> Option<Time> {
        self.state.borrow().frontier
    }

    /// Adds up the net change of all finished times up to and with `time`.
    pub fn collect(&self, time: Time) {
        let mut state = self.state.borrow_mut();
        let later = match time.checked_add(1) {
            Some(next) => state.finished.split_off(&next),
            None => BTreeMap::new(),
        };
        let finished = std::mem::replace(&mut state.finished, later);
        if finished.is_empty() {
            return;
        }
        for (rows, mut errors, _) in finished.into_values() {
            state.collected.add_rows(&mut Rc::unwrap_or_clone(rows));
            state.collected.add_errors(&mut errors);
        }
        state.charge(&self.operator);
    }

    /// The consolidated content of what was collected, and the bytes it takes up; leaves nothing.
    pub fn report(&self) -> (Vec<(Row, Diff)>, Vec<(ErrorRow, Diff)>, usize) {
        let mut state = self.state.borrow_mut();
        let mut collected = std::mem::take(&mut state.collected);
        collected.consolidate();
        state.charge(&self.operator);
        (collected.rows, collected.errors, collected.bytes)
    }

    /// Drops everything.
    pub fn clear(&self) {
        let mut state = self.state.borrow_mut();
        state.open.clear();
        state.finished.clear();
        state.collected = Changes::default();
        state.charge(&self.operator);
    }
}

/// Ends `output`.
pub fn sink<'s>(scope: Scope<'s, Time>, output: Collection<'s>, name: &str, context: &Context) -> SinkHandle {
    let context = context.clone();
    let state = Rc::new(RefCell::new(State {
        open: BTreeMap::new(),
        finished: BTreeMap::new(),
        collected: Changes::default(),
        frontier: Some(0),
    }));
    let bridges = BridgeWriter::default();
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let info = builder.operator_info();
    let operator = Rc::new(context.operator("output", scope.activator_for(info.address)));
    let handle = SinkHandle { state: Rc::clone(&state), operator: Rc::clone(&operator), bridges: bridges.clone() };
    let mut rows = builder.new_input(output.rows, Pipeline);
    let mut errors = if output.errors.is_empty() {
        None
    } else {
        Some(builder.new_input(scope.concatenate(output.errors), Pipeline))
    };
    builder.build(move |_| {
        move |frontiers| {
            let _running = operator.enter();
            let halted = operator.halted();
            let mut state = state.borrow_mut();
            rows.for_each(|capability, data| {
                if let (Some(time), false) = (capability.least(), halted) {
                    operator.count_in(data.len());
                    state.open.entry(*time).or_default().add_rows(data);
                } else {
                    data.clear();
                }
            });
            if let Some(errors) = &mut errors {
                errors.for_each(|capability, data| {
                    if let (Some(time), false) = (capability.least(), halted) {
                        state.open.entry(*time).or_default().add_errors(data);
                    } else {
                        data.clear();
                    }
                });
            }
            if halted {
                state.open.clear();
                state.finished.clear();
                state.collected = Changes::default();
                state.charge(&operator);
                return;
            }
            let frontier = frontiers.iter().filter_map(|frontier| frontier.frontier().first().copied()).min();
            while let Some(entry) = state.open.first_entry() {
                if frontier.is_some_and(|frontier| *entry.key() >= frontier) {
                    break;
                }
                let (time, mut changes) = entry.remove_entry();
                changes.consolidate();
                let Changes { rows, errors, bytes, .. } = changes;
                operator.count_out(rows.len());
                let rows = Rc::new(rows);
                if !rows.is_empty() {
                    bridges.send(time, &rows);
                }
                if !(rows.is_empty() && errors.is_empty()) {
                    state.finished.insert(time, (rows, errors, bytes));
                }
            }
            if frontier != state.frontier {
                state.frontier = frontier;
                bridges.advance(frontier);
            }
            state.charge(&operator);
            drop(state);
            operator.context().control.check_memory();
        }
    });
    handle
}
